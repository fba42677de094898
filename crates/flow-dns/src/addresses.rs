//! Records with addresses whose form depends on what stands before them.

use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::presentation::{Bytes, write_base64, write_hex};

/// Families of addresses (IANA "Address Family Numbers").
const FAMILY_IPV4: u16 = 1;
const FAMILY_IPV6: u16 = 2;

/// Octets of an address of this family.
const fn address_len(family: u16) -> Option<usize> {
    match family {
        FAMILY_IPV4 => Some(4),
        FAMILY_IPV6 => Some(16),
        _ => None,
    }
}

/// Writes an address of this family whose last octets, all zero, may be left out.
pub(crate) fn write_address(out: &mut String, family: u16, octets: &[u8]) -> Option<()> {
    let mut whole = [0; 16];
    whole.get_mut(..octets.len())?.copy_from_slice(octets);
    (octets.len() <= address_len(family)?).then_some(())?;
    match whole.first_chunk::<4>() {
        Some(&short) if family == FAMILY_IPV4 => write!(out, "{}", Ipv4Addr::from(short)),
        _ => write!(out, "{}", Ipv6Addr::from(whole)),
    }
    .ok()
}

/// Writes address prefixes to the end, `1:192.0.2.0/24 !2:2001:db8::/32` (RFC 3123 4).
pub(crate) fn write_prefixes(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    while !bytes.0.is_empty() {
        let (family, prefix, length) = (bytes.u16()?, bytes.number(1)?, bytes.number(1)?);
        let negation = if length & 0x80 == 0 { "" } else { "!" };
        write!(out, "{negation}{family}:").ok()?;
        write_address(out, family, bytes.take(usize::try_from(length & 0x7F).ok()?)?)?;
        write!(out, "/{prefix}{}", if bytes.0.is_empty() { "" } else { " " }).ok()?;
    }
    Some(Ok(()))
}

/// Writes precedence, kind of gateway, algorithm and gateway, as an IPSECKEY record begins
/// (RFC 4025 3.1).
pub(crate) fn write_gateway(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    let (precedence, kind, algorithm) = (bytes.number(1)?, bytes.number(1)?, bytes.number(1)?);
    write!(out, "{precedence} {kind} {algorithm} ").ok()?;
    write_relay(out, kind, bytes)
}

/// Writes precedence, whether discovery is optional, kind of relay and relay (RFC 8777 4.3).
pub(crate) fn write_amt_relay(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    let (precedence, kind) = (bytes.number(1)?, bytes.number(1)?);
    write!(out, "{precedence} {} {} ", kind >> 7, kind & 0x7F).ok()?;
    write_relay(out, kind & 0x7F, bytes)
}

/// Nothing, an IPv4 address, an IPv6 address or a name.
fn write_relay(out: &mut String, kind: u64, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    Some(match kind {
        0 => out.write_char('.'),
        1 | 2 => {
            let family = u16::try_from(kind).ok()?;
            let octets = bytes.take(address_len(family)?)?;
            return write_address(out, family, octets).map(Ok);
        }
        3 => write!(out, "{}", bytes.name()?),
        _ => return None,
    })
}

/// Writes algorithm, host identity tag, public key and rendezvous servers (RFC 8005 6).
pub(crate) fn write_host_identity(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    let (tag, algorithm, key) = (bytes.number(1)?, bytes.number(1)?, bytes.number(2)?);
    write!(out, "{algorithm} ").ok()?;
    write_hex(out, bytes.take(usize::try_from(tag).ok()?)?).ok()?;
    out.push(' ');
    write_base64(out, bytes.take(usize::try_from(key).ok()?)?).ok()?;
    while !bytes.0.is_empty() {
        write!(out, " {}", bytes.name()?).ok()?;
    }
    Some(Ok(()))
}

/// Writes address, protocol and ports (RFC 1035 3.4.2).
pub(crate) fn write_services(out: &mut String, bytes: &mut Bytes<'_>) -> Option<fmt::Result> {
    write_address(out, FAMILY_IPV4, bytes.take(4)?)?;
    write!(out, " {}", bytes.number(1)?).ok()?;
    let bitmap = bytes.rest();
    (bitmap.len() <= 8_192).then_some(())?;
    for port in bits(bitmap) {
        write!(out, " {port}").ok()?;
    }
    Some(Ok(()))
}

/// The numbers of the bits that are set, counted from the most significant of the first octet.
pub(crate) fn bits(bitmap: &[u8]) -> impl Iterator<Item = u64> {
    let bits = bitmap.iter().flat_map(|octet| (0..8).map(move |bit| octet << bit & 0x80 != 0));
    (0_u64..).zip(bits).filter_map(|(number, set)| set.then_some(number))
}
