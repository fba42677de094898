//! Parameters of SVCB and HTTPS records (RFC 9460 2.1, 14.3).

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::decimal_escape;
use crate::presentation::{Bytes, write_base64, write_quoted};

/// Writes `key=value` for each parameter.
pub(crate) fn write_params(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    let mut first = true;
    while !bytes.0.is_empty() {
        if !first {
            out.push(' ');
        }
        first = false;
        let key = bytes.u16()?;
        let value = bytes.prefixed(2)?;
        write_key(out, key);
        if !value.is_empty() {
            out.push('=');
        }
        write_value(out, key, value)?;
    }
    Some(Ok(()))
}

fn write_key(out: &mut String, key: u16) {
    out.push_str(match key {
        0 => "mandatory",
        1 => "alpn",
        2 => "no-default-alpn",
        3 => "port",
        4 => "ipv4hint",
        5 => "ech",
        6 => "ipv6hint",
        7 => "dohpath",
        8 => "ohttp",
        9 => "tls-supported-groups",
        _ => {
            out.extend(format!("key{key}").chars());
            return;
        }
    });
}

fn write_value(out: &mut String, key: u16, value: &[u8]) -> Option<()> {
    let mut bytes = Bytes(value);
    match key {
        0 => write_list(out, &mut bytes, |out, bytes| {
            write_key(out, bytes.u16()?);
            Some(())
        }),
        1 => write_alpn(out, &mut bytes),
        2 | 8 => value.is_empty().then_some(()),
        3 => {
            write!(out, "{}", bytes.u16()?).ok()?;
            bytes.0.is_empty().then_some(())
        }
        4 => write_list(out, &mut bytes, |out, bytes| {
            let address = <[u8; 4]>::try_from(bytes.take(4)?).ok()?;
            write!(out, "{}", Ipv4Addr::from(address)).ok()
        }),
        5 => write_base64(out, value).ok(),
        6 => write_list(out, &mut bytes, |out, bytes| {
            let address = <[u8; 16]>::try_from(bytes.take(16)?).ok()?;
            write!(out, "{}", Ipv6Addr::from(address)).ok()
        }),
        9 => write_list(out, &mut bytes, |out, bytes| write!(out, "{}", bytes.u16()?).ok()),
        _ if value.is_empty() => Some(()),
        _ => write_string(out, value),
    }
}

/// One item or more, with commas between them.
fn write_list(
    out: &mut String,
    bytes: &mut Bytes<'_>,
    item: impl Fn(&mut String, &mut Bytes<'_>) -> Option<()>,
) -> Option<()> {
    item(out, bytes)?;
    while !bytes.0.is_empty() {
        out.push(',');
        item(out, bytes)?;
    }
    Some(())
}

/// Commas and backslashes within an item are escaped for the list, and then once more with the
/// whole string (RFC 9460 A.1).
fn write_alpn(out: &mut String, bytes: &mut Bytes<'_>) -> Option<()> {
    let mut list = Vec::new();
    loop {
        for &byte in bytes.prefixed(1)? {
            if matches!(byte, b',' | b'\\') {
                list.push(b'\\');
            }
            list.push(byte);
        }
        if bytes.0.is_empty() {
            return write_string(out, &list);
        }
        list.push(b',');
    }
}

/// With quotes only where they are needed.
fn write_string(out: &mut String, string: &[u8]) -> Option<()> {
    let special = |byte: &u8| b" \"\\;()".contains(byte);
    if string.iter().any(special) {
        return write_quoted(out, string).ok();
    }
    for &byte in string {
        match byte {
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.extend(decimal_escape(byte).map(char::from)),
        }
    }
    Some(())
}
