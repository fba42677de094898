use flow_core::{
    Encapsulation, Extracted, FlowExtractor, Fragment, L4Proto, Orientation, PacketView, Quoted,
    SkipReason, TcpChecksum,
};

use crate::ip::{self, Addresses};
use crate::link::{self, IPV4, IPV6, Network};
use crate::plain::{self, PlainPacket};
use crate::transport::{self, Transport};
use crate::{Endpoint, FiveTupleKey, checksum, fragment, icmp};

/// Flows by transport protocol, addresses and ports.
///
/// TCP, UDP and SCTP have ports; every other protocol above IP makes one flow per pair of
/// addresses and protocol number, ICMP included, whose types and codes are no ports. The packets
/// that ICMP errors quote are looked at [on request](Self::with_icmp_errors).
///
/// VLAN tags are looked through and recorded in [`Extracted::encapsulation`]; they are not part
/// of the key. Fragments of an IP packet have no flow ([`SkipReason::Fragment`]), not even the
/// first; the whole packet has, once [`fragment`](FlowExtractor::fragment) has let somebody put it
/// together.
///
/// A packet is skipped as [`SkipReason::Malformed`] if the transport header contradicts the IP
/// header, as no host would accept it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiveTuple {
    directional: bool,
    icmp_errors: bool,
}

impl FiveTuple {
    /// Both directions are one flow; the lower endpoint is the key's first.
    #[must_use]
    pub const fn bidirectional() -> Self {
        Self { directional: false, icmp_errors: false }
    }

    /// Each direction is a flow of its own; the sender is the key's first endpoint and the
    /// orientation always [`Orientation::Forward`].
    #[must_use]
    pub const fn directional() -> Self {
        Self { directional: true, icmp_errors: false }
    }

    /// Whether an ICMP error is matched to the flow of the packet that it quotes
    /// ([`FlowExtractor::quoted`]); not by default. Then it is a packet of the flow of ICMP between
    /// the router that sent it and the host it went to.
    ///
    /// Errors are the types 3, 4, 5, 11 and 12 of ICMP (RFC 792) and 1 to 4 of ICMPv6 (RFC 4443).
    /// What they quote may end anywhere behind the ports; a fragment without ports has no flow.
    #[must_use]
    pub const fn with_icmp_errors(mut self, icmp_errors: bool) -> Self {
        self.icmp_errors = icmp_errors;
        self
    }

    /// The key of packets from `source` to `destination`, as for looking up a flow, and their
    /// orientation.
    #[must_use]
    #[inline]
    pub fn key(
        &self,
        proto: L4Proto,
        source: Endpoint,
        destination: Endpoint,
    ) -> (FiveTupleKey, Orientation) {
        let reverse = !self.directional & destination.is_before(&source);
        let (a, b) = source.swapped(destination, reverse);
        (
            FiveTupleKey { proto, a, b },
            if reverse { Orientation::Reverse } else { Orientation::Forward },
        )
    }

    /// For any link type and any packet. Out of line, as few packets come here.
    #[inline(never)]
    fn general(self, view: PacketView<'_>) -> Option<Extracted<FiveTupleKey>> {
        let network = link::network(view.frame, view.link_type).ok()?;
        let packet = match network.ethertype {
            IPV4 => plain::packet::<false>(view.frame, network.offset),
            IPV6 => plain::packet::<true>(view.frame, network.offset),
            _ => return None,
        };
        if let Some(packet) = packet {
            return Some(self.extracted(packet, network.encapsulation));
        }
        self.above_link(view, &network).ok()
    }

    #[inline(always)]
    fn above_link(
        self,
        view: PacketView<'_>,
        network: &Network,
    ) -> Result<Extracted<FiveTupleKey>, SkipReason> {
        let (IPV4 | IPV6) = network.ethertype else { return Err(SkipReason::NoFlow) };
        let ip = ip::header(view.frame, network.offset, network.ethertype)?;
        if ip.fragment {
            return Err(SkipReason::Fragment);
        }
        let Transport { proto, source_port, destination_port, tcp, payload } =
            transport::header(view.frame, &ip)?;
        let (source, destination) = endpoints(ip.addresses, source_port, destination_port);
        let packet = PlainPacket { source, destination, proto, tcp, payload };
        Ok(self.extracted(packet, network.encapsulation))
    }

    #[inline(always)]
    fn extracted(
        self,
        packet: PlainPacket,
        encapsulation: Encapsulation,
    ) -> Extracted<FiveTupleKey> {
        let PlainPacket { source, destination, proto, tcp, payload } = packet;
        let (key, orientation) = self.key(proto, source, destination);
        Extracted { key, orientation, l4: Some(proto), tcp, payload, encapsulation }
    }
}

impl FlowExtractor for FiveTuple {
    type Key = FiveTupleKey;

    #[inline]
    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<FiveTupleKey>> {
        if let Some(link) = plain::link(view.frame, view.link_type) {
            // Both versions have a copy of all that follows to themselves. In it, the length of the
            // IP header is a constant, so that the headers above it are fetched before it is known
            // to be one.
            if link.ethertype == IPV4 {
                if let Some(packet) = plain::packet::<false>(view.frame, link.offset) {
                    return Some(self.extracted(packet, link.tags));
                }
            } else if let Some(packet) = plain::packet::<true>(view.frame, link.offset) {
                return Some(self.extracted(packet, link.tags));
            }
        }
        self.general(view)
    }

    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        let network = link::network(view.frame, view.link_type);
        network
            .and_then(|network| self.above_link(view, &network))
            .err()
            .unwrap_or(SkipReason::NoFlow)
    }

    fn fragment<'a>(&self, view: PacketView<'a>) -> Option<Fragment<'a>> {
        fragment::in_frame(view)
    }

    #[inline]
    fn tcp_checksum(
        &self,
        view: PacketView<'_>,
        extracted: &Extracted<FiveTupleKey>,
    ) -> Option<TcpChecksum> {
        checksum::tcp(view.frame, extracted)
    }

    fn quoted(&self, view: PacketView<'_>) -> Option<Quoted<FiveTupleKey>> {
        if !self.icmp_errors {
            return None;
        }
        let quoted = icmp::quoted(view)?;
        let l4 = quoted.transport;
        let (source, destination) =
            endpoints(quoted.addresses, l4.source_port, l4.destination_port);
        let (key, orientation) = self.key(l4.proto, source, destination);
        Some(Quoted { key, orientation, error: quoted.error })
    }
}

fn endpoints(
    addresses: Addresses,
    source_port: u16,
    destination_port: u16,
) -> (Endpoint, Endpoint) {
    match addresses {
        Addresses::V4(source, destination) => {
            (Endpoint::v4(source, source_port), Endpoint::v4(destination, destination_port))
        }
        Addresses::V6(source, destination) => {
            (Endpoint::v6(source, source_port), Endpoint::v6(destination, destination_port))
        }
    }
}
