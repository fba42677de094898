//! Tunnels in UDP, recognised by port and header.

use flow_core::{EncapKind, EncapLayer, Encapsulation, LinkType};

use crate::bytes::{array_at, u16_at, u24_at, u32_at};

use super::{AutoEncapVariants, link_type_of, mpls};

const HEADER: usize = 8;

const GTP_U: u16 = 2152;
const TEREDO: u16 = 3544;
const VXLAN: u16 = 4789;
const VXLAN_GPE: u16 = 4790;
/// What Linux took before a number was assigned; Flannel still does.
const VXLAN_LINUX: u16 = 8472;
const GENEVE: u16 = 6081;
const MPLS: u16 = 6635;

/// Whether a datagram between these ports may be a tunnel's. Source ports of VXLAN, Geneve and
/// MPLS are no ports but hashes of the inner flow.
#[inline]
pub(crate) fn is_tunnel_port(source: u16, destination: u16) -> bool {
    matches!(destination, VXLAN | VXLAN_GPE | VXLAN_LINUX | GENEVE | MPLS | GTP_U | TEREDO)
        || matches!(source, GTP_U | TEREDO)
}

/// A UDP datagram of `len` bytes, as far as it was captured: where the packet in it begins.
pub(super) fn tunnel(
    datagram: &[u8],
    len: u32,
    wanted: AutoEncapVariants,
    layers: &mut Encapsulation,
) -> Option<(usize, LinkType)> {
    let (source, destination) = (u16_at(datagram, 0)?, u16_at(datagram, 2)?);
    let payload = datagram.get(HEADER..)?;
    let wants = |variant| wanted.contains(variant);
    let (at, link_type) = match destination {
        VXLAN | VXLAN_LINUX if wants(AutoEncapVariants::VXLAN) => vxlan(payload, layers),
        VXLAN_GPE if wants(AutoEncapVariants::VXLAN) => vxlan_gpe(payload, layers),
        GENEVE if wants(AutoEncapVariants::GENEVE) => geneve(payload, layers),
        MPLS if wants(AutoEncapVariants::MPLS) => mpls::labels(payload, layers),
        _ if [source, destination].contains(&GTP_U) && wants(AutoEncapVariants::GTP_U) => {
            gtp_u(payload, layers)
        }
        _ if [source, destination].contains(&TEREDO) && wants(AutoEncapVariants::TEREDO) => {
            teredo(payload, len.saturating_sub(8), layers)
        }
        _ => None,
    }?;
    Some((HEADER + at, link_type))
}

/// RFC 7348; the other flags are those of the group policy extension.
fn vxlan(bytes: &[u8], layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    const HAS_VNI: u8 = 0x08;
    if bytes.first()? & HAS_VNI == 0 {
        return None;
    }
    layers.push(EncapLayer { kind: EncapKind::Vxlan, id: u24_at(bytes, 4)? });
    Some((8, LinkType::ETHERNET))
}

/// The generic protocol extension (draft-ietf-nvo3-vxlan-gpe) has the inner protocol in the
/// fourth byte.
fn vxlan_gpe(bytes: &[u8], layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    const HAS_PROTOCOL: u8 = 0x04;
    let &[flags, _, _, protocol] = array_at(bytes, 0)?;
    if flags & HAS_PROTOCOL == 0 {
        return vxlan(bytes, layers);
    }
    layers.push(EncapLayer { kind: EncapKind::Vxlan, id: u24_at(bytes, 4)? });
    match protocol {
        1 => Some((8, LinkType::IPV4)),
        2 => Some((8, LinkType::IPV6)),
        3 => Some((8, LinkType::ETHERNET)),
        _ => None,
    }
}

/// RFC 8926.
fn geneve(bytes: &[u8], layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    let &[version_len, _, p0, p1] = array_at(bytes, 0)?;
    if version_len >> 6 != 0 {
        return None;
    }
    layers.push(EncapLayer { kind: EncapKind::Geneve, id: u24_at(bytes, 4)? });
    let options = usize::from(version_len & 0x3f) * 4;
    Some((8 + options, link_type_of(u16::from_be_bytes([p0, p1]))?))
}

/// A G-PDU of version 1 with IP in it; the header does not say what it carries.
fn gtp_u(bytes: &[u8], layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    const G_PDU: u8 = 0xff;
    const EXTENSION: u8 = 0x04;
    const ANY_OPTION: u8 = 0x07;

    let &[flags, message, _, _] = array_at(bytes, 0)?;
    // Version 1, protocol type GTP.
    if flags >> 4 != 0b0011 || message != G_PDU {
        return None;
    }
    layers.push(EncapLayer { kind: EncapKind::GtpU, id: u32_at(bytes, 4)? });
    let mut at = 8;
    if flags & ANY_OPTION != 0 {
        // Sequence number, N-PDU number and next extension are there together or not at all.
        let mut next = *bytes.get(11)?;
        at = 12;
        if flags & EXTENSION != 0 {
            while next != 0 {
                let len = usize::from(*bytes.get(at)?) * 4;
                if len == 0 {
                    return None;
                }
                at += len;
                next = *bytes.get(at - 1)?;
            }
        }
    }
    match bytes.get(at)? >> 4 {
        4 => Some((at, LinkType::IPV4)),
        6 => Some((at, LinkType::IPV6)),
        _ => None,
    }
}

/// RFC 4380 section 5.1.1. The port alone says little, so the IPv6 packet must fill the datagram
/// and have an address that Teredo uses.
fn teredo(bytes: &[u8], len: u32, layers: &mut Encapsulation) -> Option<(usize, LinkType)> {
    const AUTHENTICATION: [u8; 2] = [0, 1];
    const ORIGIN: [u8; 2] = [0, 0];

    let mut at = 0;
    if let Some(&[a, b, id_len, auth_len]) = array_at(bytes, at)
        && [a, b] == AUTHENTICATION
    {
        at += 13 + usize::from(id_len) + usize::from(auth_len);
    }
    if array_at(bytes, at) == Some(&ORIGIN) {
        at += 8;
    }
    let header: &[u8; 40] = array_at(bytes, at)?;
    let packet_len = 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let teredo = |address: &[u8]| {
        address.starts_with(&[0x20, 0x01, 0, 0]) || address.starts_with(&[0xfe, 0x80])
    };
    if header[0] >> 4 != 6
        || at + packet_len != len as usize
        || !(teredo(&header[8..24]) || teredo(&header[24..40]))
    {
        return None;
    }
    layers.push(EncapLayer { kind: EncapKind::Teredo, id: 0 });
    Some((at, LinkType::IPV6))
}
