//! Options of OPT records (RFC 6891 6.1.2).
//!
//! There is no standard form for them. They are written as the parameters of service bindings are,
//! by the names of the IANA registry "DNS EDNS0 Option Codes (OPT)":
//! `NSID="ns1" ECS=192.0.2.0/24/0 COOKIE=0102030405060708 PADDING=12 EDE=18,"blocked"`.

use std::fmt::{self, Write};

use crate::addresses::write_address;
use crate::presentation::{Bytes, write_hex, write_quoted};

pub(crate) fn write_options(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    while !bytes.0.is_empty() {
        let code = bytes.u16()?;
        let value = bytes.prefixed(2)?;
        match name(code) {
            Some(name) => out.push_str(name),
            None => write!(out, "OPT{code}").ok()?,
        }
        if !value.is_empty() {
            out.push('=');
            let before = out.len();
            if write_value(out, code, value).is_none() {
                out.truncate(before);
                write_hex(out, value).ok()?;
            }
        }
        out.push_str(if bytes.0.is_empty() { "" } else { " " });
    }
    Some(Ok(()))
}

const fn name(code: u16) -> Option<&'static str> {
    Some(match code {
        1 => "LLQ",
        2 => "UL",
        3 => "NSID",
        5 => "DAU",
        6 => "DHU",
        7 => "N3U",
        8 => "ECS",
        9 => "EXPIRE",
        10 => "COOKIE",
        11 => "KEEPALIVE",
        12 => "PADDING",
        13 => "CHAIN",
        14 => "KEY-TAG",
        15 => "EDE",
        18 => "REPORT-CHANNEL",
        19 => "ZONEVERSION",
        _ => return None,
    })
}

/// `None` for what is only octets, or not what the option demands.
fn write_value(out: &mut String, code: u16, value: &[u8]) -> Option<()> {
    let mut bytes = Bytes(value);
    match code {
        3 if value.iter().all(|octet| (b' '..=b'~').contains(octet)) => {
            write_quoted(out, bytes.rest()).ok()?;
        }
        5..=7 => write_numbers(out, &mut bytes, 1)?,
        8 => {
            let (family, source, scope) = (bytes.u16()?, bytes.number(1)?, bytes.number(1)?);
            write_address(out, family, bytes.rest())?;
            write!(out, "/{source}/{scope}").ok()?;
        }
        9 => write!(out, "{}", bytes.number(4)?).ok()?,
        // In units of 100 ms (RFC 7828 3.1).
        11 => {
            let tenths = bytes.u16()?;
            write!(out, "{}.{}s", tenths / 10, tenths % 10).ok()?;
        }
        12 => write!(out, "{}", bytes.rest().len()).ok()?,
        13 | 18 => write!(out, "{}", bytes.name()?).ok()?,
        14 => write_numbers(out, &mut bytes, 2)?,
        15 => {
            write!(out, "{}", bytes.u16()?).ok()?;
            if !bytes.0.is_empty() {
                out.push(',');
                write_quoted(out, bytes.rest()).ok()?;
            }
        }
        _ => return None,
    }
    bytes.0.is_empty().then_some(())
}

fn write_numbers(out: &mut String, bytes: &mut Bytes<'_>, octets: usize) -> Option<()> {
    write!(out, "{}", bytes.number(octets)?).ok()?;
    while !bytes.0.is_empty() {
        write!(out, ",{}", bytes.number(octets)?).ok()?;
    }
    Some(())
}
