//! Presentation format of the types that are decoded only when somebody wants to read them.
//!
//! Most types are a few fields in a row, so a table of fields says all of their format.

use std::fmt::{self, Write};
use std::net::Ipv4Addr;

use flow_core::Timestamp;

use crate::addresses::bits;
use crate::message::DnsRcode;
use crate::name::{DnsName, Octets, decimal_escape};
use crate::registry::{rr, type_name};
use crate::{addresses, edns, loc, svcb};

/// A part of a record's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    U8,
    U16,
    U32,
    U48,
    /// A type, by its name.
    Type,
    /// An rcode, by its name.
    Rcode,
    /// How to reach the target of a DSYNC record, by its name (RFC 9859 2.3).
    Scheme,
    /// Seconds since the epoch as `YYYYMMDDHHmmSS` (RFC 4034 3.2).
    Time,
    Name,
    /// A character string.
    Text,
    /// Character strings to the end.
    Texts,
    /// The property of a CAA record, a short word behind its length.
    Tag,
    /// One string to the end, without a length.
    Quoted,
    /// NSEC3's salt behind its length, `-` if there is none (RFC 5155 3.3).
    Salt,
    /// NSEC3's hash behind its length, in base 32 (RFC 5155 3.3).
    Hash,
    /// A bitmap of types to the end (RFC 4034 4.1.2).
    Types,
    /// A bitmap of the first types to the end (RFC 2535 5.2).
    OldTypes,
    /// To the end.
    Hex,
    /// The same behind `0x` (RFC 1706 7).
    Nsap,
    /// 64 bits in groups of 16 (RFC 6742 2.1.2).
    Groups,
    Ipv4,
    /// To the end.
    Base64,
    /// A length of 16 bits, and so many bytes in base 64 (TSIG, TKEY).
    Sized,
    /// So many bytes, in hexadecimal with hyphens (RFC 7043).
    Eui(u8),
    /// Parameters of a service binding to the end (RFC 9460 2.1).
    SvcParams,
    /// A location (RFC 1876), which is all of the data.
    Location,
    /// All of WKS.
    Services,
    /// Address prefixes to the end.
    Prefixes,
    /// Where an IPSECKEY is used.
    Gateway,
    /// All of AMTRELAY.
    AmtRelay,
    /// All of HIP.
    HostIdentity,
    /// Options of EDNS to the end.
    Options,
}

const fn layout(rtype: u16) -> &'static [Field] {
    use Field::*;
    match rtype {
        3 | 4 | 7..=9 | 23 => &[Name],
        14 | 17 | 58 => &[Name, Name],
        18 | 21 | 36 | 107 => &[U16, Name],
        26 => &[U16, Name, Name],
        11 => &[Services],
        13 => &[Text, Text],
        19 => &[Text],
        27 => &[Text, Text, Text],
        20 | 56 | rr::SPF | 258 | 261 | 262 => &[Texts],
        22 => &[Nsap],
        24 | 46 => &[Type, U8, U8, U32, Time, Time, U16, Name, Base64],
        25 | 48 | 57 | 60 => &[U16, U8, U8, Base64],
        rr::LOC => &[Location],
        30 => &[Name, OldTypes],
        35 => &[U16, U16, Text, Text, Text, Name],
        37 => &[U16, U16, U8, Base64],
        rr::OPT => &[Options],
        42 => &[Prefixes],
        43 | 59 | 32768 | 32769 => &[U16, U8, U8, Hex],
        44 => &[U8, U8, Hex],
        45 => &[Gateway, Base64],
        47 => &[Name, Types],
        49 | 61 | 67 | 68 => &[Base64],
        50 => &[U8, U8, U16, Salt, Hash, Types],
        51 => &[U8, U8, U16, Salt],
        52 | 53 => &[U8, U8, U8, Hex],
        55 => &[HostIdentity],
        62 => &[U32, U16, Types],
        63 => &[U32, U8, U8, Hex],
        rr::SVCB | rr::HTTPS => &[U16, Name, SvcParams],
        66 => &[Type, Scheme, U16, Name],
        104 | 106 => &[U16, Groups],
        105 => &[U16, Ipv4],
        108 => &[Eui(6)],
        109 => &[Eui(8)],
        249 => &[Name, Time, Time, U16, Rcode, Sized, Sized],
        250 => &[Name, U48, U16, Sized, U16, Rcode, Sized],
        256 => &[U16, U16, Quoted],
        257 => &[U8, Tag, Quoted],
        260 => &[AmtRelay],
        _ => &[],
    }
}

/// The presentation format of `rdata`, whose names must not be compressed. `None` if the type
/// has none here, or if the data is not what the type demands.
pub(crate) fn text(rtype: u16, rdata: &[u8]) -> Option<String> {
    let layout = layout(rtype);
    if layout.is_empty() {
        return None;
    }
    let mut bytes = Bytes(rdata);
    let mut out = String::new();
    for &field in layout {
        let before = out.len();
        write_field(&mut out, field, &mut bytes)?;
        if out.len() > before {
            out.push(' ');
        }
    }
    out.truncate(out.trim_end_matches(' ').len());
    bytes.0.is_empty().then_some(out)
}

/// `rdata`, which begins at `start` of `message`, with its names decompressed; `None` if nothing
/// was to be done or could be done.
pub(crate) fn expand(
    message: &Octets<'_>,
    start: usize,
    rdata: &[u8],
    rtype: u16,
) -> Option<Vec<u8>> {
    let layout = layout(rtype);
    if !layout.contains(&Field::Name) {
        return None;
    }
    let mut expanded = Vec::with_capacity(rdata.len());
    let (mut at, end) = (start, start + rdata.len());
    for field in layout {
        let octet = || message.octets.get(at).map(|&octet| usize::from(octet));
        let len = match field {
            Field::U8 | Field::Scheme => 1,
            Field::U16 | Field::Type | Field::Rcode => 2,
            Field::U32 | Field::Time => 4,
            Field::U48 => 6,
            Field::Text => 1 + octet()?,
            Field::Name => {
                let name_end = message
                    .for_each_label(at, |label| {
                        expanded.extend(u8::try_from(label.len()));
                        expanded.extend_from_slice(label);
                    })
                    .ok()?;
                expanded.push(0);
                at = name_end;
                continue;
            }
            // No name comes behind the other fields.
            _ => break,
        };
        expanded.extend_from_slice(message.octets.get(at..at + len)?);
        at += len;
    }
    expanded.extend_from_slice(message.octets.get(at..end)?);
    Some(expanded)
}

/// `\# length hex` (RFC 3597 5).
pub(crate) fn write_unknown(out: &mut impl Write, rdata: &[u8]) -> fmt::Result {
    write!(out, "\\# {}", rdata.len())?;
    if !rdata.is_empty() {
        out.write_char(' ')?;
    }
    write_hex(out, rdata)
}

/// A character string in quotes (RFC 1035 5.1).
pub(crate) fn write_quoted(out: &mut impl Write, string: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for &byte in string {
        match byte {
            b'"' | b'\\' => {
                out.write_char('\\')?;
                out.write_char(char::from(byte))?;
            }
            b' '..=b'~' => out.write_char(char::from(byte))?,
            _ => decimal_escape(byte).iter().try_for_each(|&c| out.write_char(char::from(c)))?,
        }
    }
    out.write_char('"')
}

pub(crate) fn write_base64(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        write_group(out, group, ALPHABET, 6, 4)?;
        for _ in group.len()..3 {
            out.write_char('=')?;
        }
    }
    Ok(())
}

/// The fields still to come.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// An unsigned number of `len` octets, eight at most.
    pub(crate) fn number(&mut self, len: usize) -> Option<u64> {
        Some(self.take(len)?.iter().fold(0, |number, &octet| number << 8 | u64::from(octet)))
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        u16::try_from(self.number(2)?).ok()
    }

    /// Bytes behind a length of `octets` octets.
    pub(crate) fn prefixed(&mut self, octets: usize) -> Option<&'a [u8]> {
        let len = self.number(octets)?;
        self.take(usize::try_from(len).ok()?)
    }

    /// A name without compression.
    pub(crate) fn name(&mut self) -> Option<DnsName> {
        let mut end = 0;
        while let Some(&octet @ 1..=63) = self.0.get(end) {
            end += 1 + usize::from(octet);
        }
        (self.0.get(end) == Some(&0)).then_some(())?;
        let mut name = DnsName::UNREADABLE;
        let end = name.read(&Octets::new(self.0), 0).ok()?;
        self.take(end)?;
        Some(name)
    }
}

fn write_field(out: &mut String, field: Field, bytes: &mut Bytes<'_>) -> Option<()> {
    match field {
        Field::U8 => write!(out, "{}", bytes.number(1)?),
        Field::U16 => write!(out, "{}", bytes.number(2)?),
        Field::U32 => write!(out, "{}", bytes.number(4)?),
        Field::U48 => write!(out, "{}", bytes.number(6)?),
        Field::Type => write!(out, "{}", type_name(bytes.u16()?)),
        Field::Rcode => write!(out, "{}", DnsRcode(bytes.u16()?)),
        Field::Scheme => match bytes.number(1)? {
            1 => out.write_str("NOTIFY"),
            scheme => write!(out, "{scheme}"),
        },
        Field::Time => write_time(out, u32::try_from(bytes.number(4)?).ok()?),
        Field::Name => write!(out, "{}", bytes.name()?),
        Field::Text => write_quoted(out, bytes.prefixed(1)?),
        Field::Texts => write_texts(out, bytes)?,
        Field::Tag => write_tag(out, bytes.prefixed(1)?)?,
        Field::Quoted => write_quoted(out, bytes.rest()),
        Field::Salt => match bytes.prefixed(1)? {
            [] => out.write_char('-'),
            salt => write_hex(out, salt),
        },
        Field::Hash => write_base32(out, bytes.prefixed(1)?),
        Field::Types => write_types(out, bytes)?,
        Field::OldTypes => write_bitmap(out, 0, bytes.rest())?,
        Field::Hex => write_hex(out, bytes.rest()),
        Field::Nsap => out.write_str("0x").and_then(|()| write_hex(out, bytes.rest())),
        Field::Groups => {
            let [a, b, c, d] = [bytes.u16()?, bytes.u16()?, bytes.u16()?, bytes.u16()?];
            write!(out, "{a:04x}:{b:04x}:{c:04x}:{d:04x}")
        }
        Field::Ipv4 => write!(out, "{}", Ipv4Addr::from(*bytes.take(4)?.first_chunk::<4>()?)),
        Field::Base64 => write_base64(out, bytes.rest()),
        Field::Sized => {
            let sized = bytes.prefixed(2)?;
            let gap = if sized.is_empty() { "" } else { " " };
            write!(out, "{}{gap}", sized.len()).and_then(|()| write_base64(out, sized))
        }
        Field::Eui(len) => write_eui(out, bytes.take(usize::from(len))?),
        Field::SvcParams => svcb::write_params(out, bytes)?,
        Field::Location => loc::write_location(out, bytes)?,
        Field::Services => addresses::write_services(out, bytes)?,
        Field::Prefixes => addresses::write_prefixes(out, bytes)?,
        Field::Gateway => addresses::write_gateway(out, bytes)?,
        Field::AmtRelay => addresses::write_amt_relay(out, bytes)?,
        Field::HostIdentity => addresses::write_host_identity(out, bytes)?,
        Field::Options => edns::write_options(out, bytes)?,
    }
    .ok()
}

fn write_texts(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    while !bytes.0.is_empty() {
        write_quoted(out, bytes.prefixed(1)?).ok()?;
        out.push_str(if bytes.0.is_empty() { "" } else { " " });
    }
    Some(Ok(()))
}

fn write_tag(out: &mut String, tag: &[u8]) -> Option<fmt::Result> {
    let word = !tag.is_empty() && tag.iter().all(u8::is_ascii_alphanumeric);
    Some(out.write_str(std::str::from_utf8(tag).ok().filter(|_| word)?))
}

fn write_types(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    while !bytes.0.is_empty() {
        let window = bytes.number(1)?;
        let bitmap = bytes.prefixed(1)?;
        if bitmap.len() > 32 {
            return None;
        }
        write_bitmap(out, window, bitmap)?.ok()?;
    }
    Some(Ok(()))
}

fn write_bitmap(out: &mut String, window: u64, bitmap: &[u8]) -> Option<fmt::Result> {
    for low in bits(bitmap) {
        let separator = if out.is_empty() || out.ends_with(' ') { "" } else { " " };
        let rtype = u16::try_from(window << 8 | low).ok()?;
        write!(out, "{separator}{}", type_name(rtype)).ok()?;
    }
    Some(Ok(()))
}

/// `20130307214206`.
fn write_time(out: &mut String, seconds: u32) -> fmt::Result {
    let time = Timestamp::new(seconds, 0).to_string();
    out.extend(time.chars().filter(char::is_ascii_digit).take(14));
    Ok(())
}

fn write_eui(out: &mut String, bytes: &[u8]) -> fmt::Result {
    for (i, byte) in bytes.iter().enumerate() {
        write!(out, "{}{byte:02x}", if i == 0 { "" } else { "-" })?;
    }
    Ok(())
}

pub(crate) fn write_hex(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02X}"))
}

/// Base 32 with the extended hex alphabet, without padding (RFC 4648 7, RFC 5155 1.3).
fn write_base32(out: &mut impl Write, bytes: &[u8]) -> fmt::Result {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
    bytes.chunks(5).try_for_each(|group| write_group(out, group, ALPHABET, 5, 8))
}

/// Writes `group` in digits of `bits` bits; a full group has `digits` of them.
fn write_group(
    out: &mut impl Write,
    group: &[u8],
    alphabet: &[u8],
    bits: usize,
    digits: usize,
) -> fmt::Result {
    let number = group.iter().fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    let used = (group.len() * 8).div_ceil(bits);
    // A group that is not full is as if zeros followed.
    let number = number << (digits * bits).saturating_sub(group.len() * 8);
    for i in 0..used {
        let digit = number >> ((digits - 1 - i) * bits);
        let index = usize::try_from(digit).unwrap_or_default() % alphabet.len();
        out.write_char(alphabet.get(index).copied().map_or('?', char::from))?;
    }
    Ok(())
}
