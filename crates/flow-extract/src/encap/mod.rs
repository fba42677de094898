//! One layer of encapsulation: recognising it and finding what it carries.

mod gre;
mod mpls;
mod udp;

use bitflags::bitflags;
use flow_core::{EncapKind, EncapLayer, Encapsulation, LinkType, PacketView};

use crate::bytes::{array_at, u16_at};
use crate::ip::{self, Ip};
use crate::link::{self, ETHERNET, IPV4, IPV6, LINK_MPLS, MPLS, PPP, PPPOE};
use crate::plain::{self, PlainLink};

use self::udp::is_tunnel_port;

bitflags! {
    /// The encapsulations that [`AutoDetectEncap`](crate::AutoDetectEncap) looks into; all by
    /// default.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct AutoEncapVariants: u16 {
        /// IEEE 802.1Q and 802.1ad tags. The extractors of this crate see through them anyway;
        /// others may not.
        const VLAN = 1 << 0;
        /// Label stacks (RFC 3032) on a link, in IP (RFC 4023) and in UDP port 6635 (RFC 7510),
        /// with IP or an Ethernet pseudo-wire (RFC 4448) below.
        const MPLS = 1 << 1;
        /// VXLAN (RFC 7348) on UDP ports 4789 and 8472, VXLAN-GPE on 4790.
        const VXLAN = 1 << 2;
        /// Geneve (RFC 8926) on UDP port 6081.
        const GENEVE = 1 << 3;
        /// GTP-U (3GPP TS 29.281) on UDP port 2152.
        const GTP_U = 1 << 4;
        /// GRE (RFC 2784, 2890) with NVGRE (RFC 7637), ERSPAN and PPTP (RFC 2637).
        const GRE = 1 << 5;
        /// IPv4 or IPv6 directly in IP.
        const IP_IN_IP = 1 << 6;
        /// PPPoE sessions (RFC 2516).
        const PPPOE = 1 << 7;
        /// Teredo (RFC 4380) on UDP port 3544.
        const TEREDO = 1 << 8;
    }
}

impl Default for AutoEncapVariants {
    fn default() -> Self {
        Self::all()
    }
}

/// A packet found inside another.
#[derive(Debug)]
pub(crate) struct Inner {
    /// Where it begins in the outer frame.
    pub(crate) start: usize,
    /// Where the outer layer ends; what follows is padding.
    pub(crate) end: usize,
    /// What it begins with.
    pub(crate) link_type: LinkType,
    /// The layers in front of it.
    pub(crate) layers: Encapsulation,
}

/// The link layer of a frame that is one of the many with nothing inside but, at most, VLAN tags
/// around: TCP or UDP directly above IP. Looks at fields at fixed places; `None` decides nothing.
#[inline(always)]
pub(crate) fn plain_link(view: PacketView<'_>) -> Option<PlainLink> {
    let link = plain::link(view.frame, view.link_type)?;
    let header: &[u8; 20] = array_at(view.frame, link.offset)?;
    let (protocol, ports_at) = match link.ethertype {
        IPV4 if header[0] == 0x45 => (header[9], link.offset + 20),
        IPV6 => (header[6], link.offset + 40),
        _ => return None,
    };
    let is_plain = match protocol {
        ip::TCP => true,
        ip::UDP => match array_at(view.frame, ports_at) {
            Some(&[s0, s1, d0, d1]) => {
                !is_tunnel_port(u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]))
            }
            None => true,
        },
        _ => false,
    };
    is_plain.then_some(link)
}

/// Takes off the outermost encapsulation if it is one of `wanted`. Layers that belong together
/// (a stack of tags or labels, GRE and ERSPAN) come off together.
pub(crate) fn take_off(view: PacketView<'_>, wanted: AutoEncapVariants) -> Option<Inner> {
    let frame = view.frame;
    let network = link::network(frame, view.link_type).ok()?;
    let (start, end) = (network.offset, frame.len());
    let mut layers = network.encapsulation;

    let is_tagged = layers.layers().next().is_some_and(|layer| layer.kind == EncapKind::Vlan);
    let (at, end, link_type) = match network.ethertype {
        MPLS if wanted.contains(AutoEncapVariants::MPLS) => {
            let (at, link_type) = mpls::labels(frame.get(start..)?, &mut layers)?;
            (start.checked_add(at)?, end, link_type)
        }
        PPPOE if wanted.contains(AutoEncapVariants::PPPOE) => {
            let session = link::pppoe(frame.get(start..)?).ok()?;
            session.encapsulation.layers().for_each(|layer| layers.push(layer));
            let len = usize::from(u16_at(frame, start + 4)?);
            let end = end.min(start + 6 + len);
            (start + session.offset, end, link_type_of(session.ethertype)?)
        }
        ethertype if is_tagged && wanted.contains(AutoEncapVariants::VLAN) => {
            (start, end, link_type_of(ethertype)?)
        }
        IPV4 | IPV6 => {
            let ip = ip::header(frame, start, network.ethertype).ok()?;
            let (at, link_type) = in_ip(ip.payload.of(frame), &ip, wanted, &mut layers)?;
            let range = ip.payload.range();
            (range.start.checked_add(at)?, range.end, link_type)
        }
        _ => return None,
    };
    Some(Inner { start: at, end, link_type, layers })
}

/// What an IP packet carries: where it begins in `payload` and what it is.
fn in_ip(
    payload: &[u8],
    ip: &Ip,
    wanted: AutoEncapVariants,
    layers: &mut Encapsulation,
) -> Option<(usize, LinkType)> {
    const GRE: u8 = 47;
    const MPLS_IN_IP: u8 = 137;

    if ip.fragment {
        return None;
    }
    let wants = |variant| wanted.contains(variant);
    match ip.protocol {
        ip::UDP => udp::tunnel(payload, ip.payload.len, wanted, layers),
        GRE if wants(AutoEncapVariants::GRE) => gre::packet(payload, layers),
        protocol @ (ip::IPV4_IN_IP | ip::IPV6_IN_IP) if wants(AutoEncapVariants::IP_IN_IP) => {
            layers.push(EncapLayer { kind: EncapKind::IpInIp, id: 0 });
            let is_v4 = protocol == ip::IPV4_IN_IP;
            Some((0, if is_v4 { LinkType::IPV4 } else { LinkType::IPV6 }))
        }
        MPLS_IN_IP if wants(AutoEncapVariants::MPLS) => mpls::labels(payload, layers),
        _ => None,
    }
}

/// The link type that stands for an `EtherType`, where there is one.
fn link_type_of(ethertype: u16) -> Option<LinkType> {
    match ethertype {
        IPV4 => Some(LinkType::IPV4),
        IPV6 => Some(LinkType::IPV6),
        ETHERNET => Some(LinkType::ETHERNET),
        MPLS => Some(LINK_MPLS),
        PPP => Some(LinkType::PPP),
        PPPOE => Some(LinkType::PPP_ETHER),
        _ => None,
    }
}
