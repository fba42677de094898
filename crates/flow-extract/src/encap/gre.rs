//! GRE and what is known to be in it.

use flow_core::{EncapKind, EncapLayer, Encapsulation, LinkType};

use crate::bytes::{array_at, u16_at, u32_at};
use crate::link::PPP;

use super::link_type_of;

const ERSPAN_2: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;

const CHECKSUM: u16 = 0x8000;
const ROUTING: u16 = 0x4000;
const KEY: u16 = 0x2000;
const SEQUENCE: u16 = 0x1000;
const ACKNOWLEDGMENT: u16 = 0x0080;

/// A GRE packet: where the packet in it begins.
pub(super) fn packet(bytes: &[u8], layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    let flags = u16_at(bytes, 0)?;
    let ethertype = u16_at(bytes, 2)?;
    match flags & 0x0007 {
        0 => standard(bytes, flags, ethertype, layers),
        1 if ethertype == PPP => pptp(bytes, flags, layers),
        _ => None,
    }
}

/// Version 0: RFC 2784 with the fields of RFC 1701 and RFC 2890.
fn standard(
    bytes: &[u8],
    flags: u16,
    ethertype: u16,
    layers: &mut Encapsulation,
) -> Option<(usize, LinkType)> {
    let mut at = 4;
    if flags & (CHECKSUM | ROUTING) != 0 {
        at += 4;
    }
    let id = if flags & KEY != 0 {
        at += 4;
        u32_at(bytes, at - 4)?
    } else {
        0
    };
    if flags & SEQUENCE != 0 {
        at += 4;
    }
    if flags & ROUTING != 0 {
        at = after_routes(bytes, at)?;
    }
    layers.push(EncapLayer { kind: EncapKind::Gre, id });
    match ethertype {
        // Type I has no header of its own and no sequence number.
        ERSPAN_2 if flags & SEQUENCE == 0 => {
            layers.push(EncapLayer { kind: EncapKind::Erspan, id: 0 });
            Some((at, LinkType::ETHERNET))
        }
        ERSPAN_2 | ERSPAN_3 => erspan(bytes, at, layers),
        _ => Some((at, link_type_of(ethertype)?)),
    }
}

/// Source route entries (RFC 1701): address family, offset, length, route; one of family and
/// length zero is the last.
fn after_routes(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let &[f0, f1, _, len] = array_at(bytes, at)?;
        at += 4 + usize::from(len);
        if [f0, f1, len] == [0, 0, 0] {
            return Some(at);
        }
        if len == 0 {
            return None;
        }
    }
}

/// ERSPAN types II and III (draft-foschiano-erspan), told apart by the version field.
fn erspan(bytes: &[u8], at: usize, layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    const FRAME_TYPE: u16 = 0x7c00;
    const IP: u16 = 0x0800;
    const SUBHEADER: u16 = 0x0001;

    let version = bytes.get(at)? >> 4;
    let id = u32::from(u16_at(bytes, at + 2)? & 0x03ff);
    layers.push(EncapLayer { kind: EncapKind::Erspan, id });
    match version {
        1 => Some((at + 8, LinkType::ETHERNET)),
        2 => {
            let flags = u16_at(bytes, at + 10)?;
            let inner = if flags & SUBHEADER != 0 { at + 20 } else { at + 12 };
            match flags & FRAME_TYPE {
                0 => Some((inner, LinkType::ETHERNET)),
                IP => Some((inner, LinkType::RAW)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Version 1: the key is payload length and call, and a packet without sequence number only
/// acknowledges (RFC 2637 section 4.1).
fn pptp(bytes: &[u8], flags: u16, layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    if flags & (KEY | SEQUENCE) != KEY | SEQUENCE {
        return None;
    }
    let call = u32::from(u16_at(bytes, 6)?);
    layers.push(EncapLayer { kind: EncapKind::Gre, id: call });
    Some((if flags & ACKNOWLEDGMENT != 0 { 16 } else { 12 }, LinkType::PPP))
}
