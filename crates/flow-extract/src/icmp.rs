//! ICMP messages: errors and the packets that they quote.

use flow_core::{IcmpError, PacketView};

use crate::bytes::array_at;
use crate::ip::{self, Addresses, Ip};
use crate::link::{self, IPV4, IPV6};
use crate::transport::{self, Transport};

/// Type and code of the message that `ip` carries.
pub(crate) fn type_and_code(frame: &[u8], ip: &Ip) -> Option<(u8, u8)> {
    let expected = match ip.addresses {
        Addresses::V4(..) => ip::ICMP,
        Addresses::V6(..) => ip::ICMPV6,
    };
    if ip.protocol != expected || ip.fragment {
        return None;
    }
    let &[icmp_type, code] = array_at(ip.payload.of(frame), 0)?;
    Some((icmp_type, code))
}

/// What an ICMP error says, and the headers of the packet that it quotes.
pub(crate) struct QuotedPacket {
    pub(crate) error: IcmpError,
    pub(crate) addresses: Addresses,
    pub(crate) transport: Transport,
    /// That of the quoted packet.
    pub(crate) flow_label: Option<u32>,
}

/// The packet that the ICMP error in a frame quotes, as far as its ports. Extensions behind it
/// (RFC 4884) are not looked at.
pub(crate) fn quoted(view: PacketView<'_>) -> Option<QuotedPacket> {
    const HEADER: usize = 8;

    let frame = view.frame;
    let network = link::network(frame, view.link_type).ok()?;
    let ethertype = network.ethertype;
    let (IPV4 | IPV6) = ethertype else { return None };
    let ip = ip::header(frame, network.offset, ethertype).ok()?;
    let (icmp_type, code) = type_and_code(frame, &ip)?;
    let is_error = match ip.addresses {
        // Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 792).
        Addresses::V4(..) => matches!(icmp_type, 3 | 4 | 5 | 11 | 12),
        // Unreachable, too big, time exceeded, parameter problem (RFC 4443 section 3).
        Addresses::V6(..) => matches!(icmp_type, 1..=4),
    };
    if !is_error {
        return None;
    }
    let packet = ip.payload.of(frame).get(HEADER..)?;
    let quoted = ip::quoted_header(packet, ethertype)?;
    Some(QuotedPacket {
        error: IcmpError { icmp_type, code },
        addresses: quoted.addresses,
        transport: transport::header(packet, &quoted).ok()?,
        flow_label: ip::flow_label(packet, 0, ethertype),
    })
}
