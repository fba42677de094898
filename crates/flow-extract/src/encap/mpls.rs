//! MPLS label stacks.

use flow_core::{EncapKind, EncapLayer, Encapsulation, LinkType};

use crate::bytes::{u16_at, u32_at};
use crate::link::{IPV4, IPV6};

/// Labels that are taken off.
///
/// Rationale: stacks with segment routing and entropy labels (RFC 8662) stay near ten; each label
/// costs a loop turn.
const MAX_LABELS: usize = 16;

/// A label stack: where the packet below it begins.
pub(super) fn labels(bytes: &[u8], layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    const BOTTOM: u32 = 1 << 8;
    for at in (0..MAX_LABELS * 4).step_by(4) {
        let entry = u32_at(bytes, at)?;
        layers.push(EncapLayer { kind: EncapKind::Mpls, id: entry >> 12 });
        if entry & BOTTOM != 0 {
            let (skip, link_type) = below(bytes.get(at + 4..)?)?;
            return Some((at + 4 + skip, link_type));
        }
    }
    None
}

/// Labels do not say what they carry; the first nibble does by custom (RFC 4928): 4 and 6 are
/// IP, 0 is a pseudo-wire's control word (RFC 4385). A pseudo-wire without control word may begin
/// with any nibble.
fn below(packet: &[u8]) -> Option<(usize, LinkType)> {
    let first = *packet.first()?;
    match first >> 4 {
        // A length is there to tell IP from a MAC address that begins alike.
        4 if first & 0x0f >= 5 && !is_ethernet(packet) => Some((0, LinkType::IPV4)),
        6 if !is_ethernet(packet) => Some((0, LinkType::IPV6)),
        0 if is_ethernet(packet.get(4..)?) => Some((4, LinkType::ETHERNET)),
        _ if is_ethernet(packet) => Some((0, LinkType::ETHERNET)),
        _ => None,
    }
}

/// Whether this is clearly an Ethernet frame: the type says IP, a tag or ARP and what follows
/// fits.
fn is_ethernet(packet: &[u8]) -> bool {
    let after = u16_at(packet, 14);
    match (u16_at(packet, 12), after) {
        (Some(IPV4), Some(0x4500..=0x4fff)) | (Some(IPV6), Some(0x6000..=0x6fff)) => true,
        (Some(0x0806), Some(1)) => true,
        (Some(0x8100 | 0x88a8 | 0x9100), Some(_)) => {
            matches!(u16_at(packet, 16), Some(IPV4 | IPV6 | 0x0806 | 0x8100))
        }
        _ => false,
    }
}
