//! From the first byte of a frame to its network layer.

use etherparse::ether_type;
use flow_core::{EncapKind, EncapLayer, Encapsulation, LinkType, SkipReason};

use crate::bytes::{array_at, u16_at, u32_at};

/// IPv4.
pub(crate) const IPV4: u16 = ether_type::IPV4.0;
/// IPv6.
pub(crate) const IPV6: u16 = ether_type::IPV6.0;
/// A label stack (RFC 5332: either number is possible).
pub(crate) const MPLS: u16 = 0x8847;
const MPLS_MULTICAST: u16 = 0x8848;
/// PPPoE session stage.
pub(crate) const PPPOE: u16 = 0x8864;
/// A whole Ethernet frame ("transparent Ethernet bridging", RFC 1701).
pub(crate) const ETHERNET: u16 = 0x6558;
/// A PPP frame (RFC 2637).
pub(crate) const PPP: u16 = 0x880b;
/// Whatever else: there is no flow of IP in it.
const OTHER: u16 = 0;

/// `LINKTYPE_MPLS`: the frame begins with a label stack.
pub(crate) const LINK_MPLS: LinkType = LinkType(219);
/// `LINKTYPE_PPP_HDLC`.
const LINK_PPP_HDLC: LinkType = LinkType(50);
/// `LINKTYPE_ARCNET_LINUX`: an offset field of two bytes in front of the type.
const LINK_ARCNET_LINUX: LinkType = LinkType(129);
/// `LINKTYPE_C_HDLC`: Cisco's HDLC.
const LINK_C_HDLC: LinkType = LinkType(104);

/// Link layers that look like more than 8 tags are not Ethernet.
///
/// Rationale: 802.1ad allows two, three are seen in practice; each tag costs a loop turn.
const MAX_VLAN_TAGS: usize = 8;

/// What follows the link layer.
#[derive(Debug)]
pub(crate) struct Network {
    /// An `EtherType`, whatever the link layer calls it.
    pub(crate) ethertype: u16,
    /// Where it begins.
    pub(crate) offset: usize,
    /// VLAN tags and PPPoE sessions that stood in front of it.
    pub(crate) encapsulation: Encapsulation,
}

impl Network {
    #[inline]
    fn new(ethertype: u16, offset: usize) -> Self {
        Self { ethertype, offset, encapsulation: Encapsulation::default() }
    }
}

/// Length of an Ethernet header without tags.
pub(crate) const ETHERNET_HEADER: usize = 14;

/// Finds the network layer of a frame.
pub(crate) fn network(frame: &[u8], link_type: LinkType) -> Result<Network, SkipReason> {
    match link_type {
        LinkType::ETHERNET => ethertype_at(frame, 12, ETHERNET_HEADER),
        // Two more numbers are `DLT_RAW` of some systems, found in files that were written
        // without translation.
        LinkType::RAW | LinkType(12 | 14) => ip_at(frame, 0),
        LinkType::IPV4 => Ok(Network::new(IPV4, 0)),
        LinkType::IPV6 => Ok(Network::new(IPV6, 0)),
        LinkType::NULL | LinkType::LOOP => loopback(frame),
        LinkType::LINUX_SLL => ethertype_at(frame, 14, 16),
        LinkType::LINUX_SLL2 => ethertype_at(frame, 0, 20),
        LinkType::PPP | LINK_PPP_HDLC => ppp(frame, 0),
        LINK_C_HDLC => ethertype_at(frame, 2, 4),
        LinkType::PPP_ETHER => pppoe(frame),
        LinkType::FDDI => logical_link(frame, 13),
        LinkType::ARCNET_BSD => arcnet(frame, 2),
        LINK_ARCNET_LINUX => arcnet(frame, 4),
        LinkType::NFLOG => nflog(frame),
        LinkType::IEEE802_11 => wireless(frame, 0),
        LinkType::IEEE802_11_RADIOTAP => {
            let &[lo, hi] = array_at(frame, 2).ok_or(SkipReason::Truncated)?;
            wireless(frame, usize::from(u16::from_le_bytes([lo, hi])))
        }
        LINK_MPLS => Ok(Network::new(MPLS, 0)),
        unknown => Err(SkipReason::UnknownLinkType(unknown)),
    }
}

/// Source and destination MAC address, for link types that have both.
pub(crate) fn addresses(frame: &[u8], link_type: LinkType) -> Result<[[u8; 6]; 2], SkipReason> {
    let (source, destination) = match link_type {
        LinkType::ETHERNET => (6, 0),
        LinkType::FDDI => (7, 1),
        _ => return Err(SkipReason::NoFlow),
    };
    let at = |offset| array_at(frame, offset).copied().ok_or(SkipReason::Truncated);
    Ok([at(source)?, at(destination)?])
}

/// IPv4 or IPv6 by the version field.
fn ip_at(frame: &[u8], offset: usize) -> Result<Network, SkipReason> {
    match frame.get(offset).ok_or(SkipReason::Truncated)? >> 4 {
        4 => Ok(Network::new(IPV4, offset)),
        6 => Ok(Network::new(IPV6, offset)),
        _ => Err(SkipReason::Malformed),
    }
}

/// An `EtherType` and what follows it: VLAN tags, a length with LLC, or a network protocol.
fn ethertype_at(frame: &[u8], at: usize, offset: usize) -> Result<Network, SkipReason> {
    let mut ethertype = u16_at(frame, at).ok_or(SkipReason::Truncated)?;
    let mut network = Network::new(OTHER, offset);
    for _ in 0..=MAX_VLAN_TAGS {
        match ethertype {
            0x8100 | 0x88a8 | 0x9100 => {
                let &[hi, lo, next_hi, next_lo] =
                    array_at(frame, network.offset).ok_or(SkipReason::Truncated)?;
                let id = u32::from(u16::from_be_bytes([hi, lo]) & 0x0fff);
                network.encapsulation.push(EncapLayer { kind: EncapKind::Vlan, id });
                ethertype = u16::from_be_bytes([next_hi, next_lo]);
                network.offset += 4;
            }
            // Below 1536 it is the length of an 802.3 frame; cooked captures say 4 for LLC.
            ..0x0600 => {
                let inner = logical_link(frame, network.offset)?;
                return Ok(Network { encapsulation: network.encapsulation, ..inner });
            }
            MPLS_MULTICAST => return Ok(Network { ethertype: MPLS, ..network }),
            ethertype => return Ok(Network { ethertype, ..network }),
        }
    }
    Err(SkipReason::Malformed)
}

/// IEEE 802.2 LLC, with SNAP (RFC 1042) or the SAP of IP.
fn logical_link(frame: &[u8], offset: usize) -> Result<Network, SkipReason> {
    match array_at(frame, offset).ok_or(SkipReason::Truncated)? {
        [0xaa, 0xaa, 0x03] => {
            let &[o0, o1, o2, hi, lo] = array_at(frame, offset + 3).ok_or(SkipReason::Truncated)?;
            // 0000f8 is for protocols that an 802.1H bridge translates.
            let ethertype = match [o0, o1, o2] {
                [0, 0, 0] | [0, 0, 0xf8] => u16::from_be_bytes([hi, lo]),
                _ => OTHER,
            };
            Ok(Network::new(ethertype, offset + 8))
        }
        [0x06, 0x06, 0x03] => Ok(Network::new(IPV4, offset + 3)),
        _ => Ok(Network::new(OTHER, offset + 3)),
    }
}

/// A protocol family as the capturing host numbers it, in either byte order.
fn loopback(frame: &[u8]) -> Result<Network, SkipReason> {
    let family = u32_at(frame, 0).ok_or(SkipReason::Truncated)?;
    let family = if family > 0xffff { family.swap_bytes() } else { family };
    let ethertype = match family {
        2 => IPV4,
        // NetBSD and OpenBSD, FreeBSD, Darwin; Linux and Windows.
        24 | 28 | 30 | 10 | 23 => IPV6,
        _ => OTHER,
    };
    Ok(Network::new(ethertype, 4))
}

/// PPP from its address and control fields on, which may be left out (RFC 1661 section 6.6).
fn ppp(frame: &[u8], offset: usize) -> Result<Network, SkipReason> {
    let offset = match array_at(frame, offset) {
        Some([0xff, 0x03]) => offset + 2,
        _ => offset,
    };
    let first = *frame.get(offset).ok_or(SkipReason::Truncated)?;
    // An odd first byte is a compressed protocol field (RFC 1661 section 6.5).
    let (protocol, offset) = if first & 1 == 1 {
        (u16::from(first), offset + 1)
    } else {
        (u16_at(frame, offset).ok_or(SkipReason::Truncated)?, offset + 2)
    };
    let ethertype = match protocol {
        0x0021 => IPV4,
        0x0057 => IPV6,
        0x0281 | 0x0283 => MPLS,
        _ => OTHER,
    };
    Ok(Network::new(ethertype, offset))
}

/// A PPPoE session packet (RFC 2516).
pub(crate) fn pppoe(frame: &[u8]) -> Result<Network, SkipReason> {
    match array_at(frame, 0).ok_or(SkipReason::Truncated)? {
        &[0x11, 0, hi, lo] => {
            let mut network = ppp(frame, 6)?;
            let id = u32::from(u16::from_be_bytes([hi, lo]));
            network.encapsulation.push(EncapLayer { kind: EncapKind::PppoE, id });
            Ok(network)
        }
        // Another code is discovery.
        [0x11, ..] => Ok(Network::new(OTHER, 6)),
        _ => Err(SkipReason::Malformed),
    }
}

/// ARCNET from its type field on: RFC 1201 has a split flag and a sequence number, RFC 1051 has not.
fn arcnet(frame: &[u8], at: usize) -> Result<Network, SkipReason> {
    match *frame.get(at).ok_or(SkipReason::Truncated)? {
        212 => match frame.get(at + 1).ok_or(SkipReason::Truncated)? {
            0 => Ok(Network::new(IPV4, at + 4)),
            // An exception packet: padding in front of a second split flag.
            0xff => Ok(Network::new(IPV4, at + 8)),
            _ => Err(SkipReason::Fragment),
        },
        240 => Ok(Network::new(IPV4, at + 1)),
        _ => Ok(Network::new(OTHER, at + 1)),
    }
}

/// Netfilter log: a header of four bytes, then attributes in the host's byte order, one of which
/// is the packet.
fn nflog(frame: &[u8]) -> Result<Network, SkipReason> {
    const PAYLOAD: u16 = 9;
    let mut at = 4;
    while let Some(&[l0, l1, t0, t1]) = array_at(frame, at) {
        let (len, kind) = (u16::from_le_bytes([l0, l1]), u16::from_le_bytes([t0, t1]));
        // Types are small, so that a type with an empty low byte is big-endian.
        let (len, kind) = match kind {
            0x0100.. if t0 & 0x7f == 0 => (len.swap_bytes(), kind.swap_bytes()),
            _ => (len, kind),
        };
        if kind & 0x7fff == PAYLOAD {
            return ip_at(frame, at + 4);
        }
        if len < 4 {
            return Err(SkipReason::Malformed);
        }
        at += usize::from(len).next_multiple_of(4);
    }
    Err(SkipReason::Truncated)
}

/// An 802.11 data frame in clear.
fn wireless(frame: &[u8], offset: usize) -> Result<Network, SkipReason> {
    let &[control, flags] = array_at(frame, offset).ok_or(SkipReason::Truncated)?;
    let (is_data, no_body, is_qos) =
        (control & 0x0f == 0x08, control & 0x40 != 0, control & 0x80 != 0);
    let (four_addresses, protected, order) =
        (flags & 0x03 == 0x03, flags & 0x40 != 0, flags & 0x80 != 0);
    if !is_data || no_body || protected {
        return Ok(Network::new(OTHER, offset));
    }
    let mut header = 24;
    if four_addresses {
        header += 6;
    }
    if is_qos {
        let qos = *frame.get(offset + header).ok_or(SkipReason::Truncated)?;
        // Several frames in one (A-MSDU) have no single flow.
        if qos & 0x80 != 0 {
            return Ok(Network::new(OTHER, offset));
        }
        // With QoS, the order bit says that HT control follows.
        header += if order { 6 } else { 2 };
    }
    logical_link(frame, offset + header)
}
