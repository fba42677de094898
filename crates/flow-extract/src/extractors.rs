use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_core::{
    Encapsulation, Extracted, FlowExtractor, L4Proto, Orientation, PacketView, Payload, SkipReason,
};

use crate::bytes::span;
use crate::ip::{self, Addresses, Ip};
use crate::link::{self, IPV4, IPV6, Network};
use crate::transport::{self, Transport};
use crate::{Endpoint, FiveTupleKey, IpPairKey, MacAddr, MacPairKey};

/// Flows by transport protocol, addresses and ports.
///
/// TCP, UDP and SCTP have ports; every other protocol above IP makes one flow per pair of
/// addresses and protocol number, ICMP included, whose types and codes are no ports.
///
/// VLAN tags are looked through and recorded in [`Extracted::encapsulation`]; they are not part
/// of the key. Fragments of an IP datagram have no flow ([`SkipReason::Fragment`]), not even the
/// first.
///
/// A packet is skipped as [`SkipReason::Malformed`] if the transport header contradicts the IP
/// header, as no host would accept it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FiveTuple {
    directional: bool,
}

impl FiveTuple {
    /// Both directions are one flow; the lower endpoint is the key's first.
    #[must_use]
    pub const fn bidirectional() -> Self {
        Self { directional: false }
    }

    /// Each direction is a flow of its own; the sender is the key's first endpoint and the
    /// orientation always [`Orientation::Forward`].
    #[must_use]
    pub const fn directional() -> Self {
        Self { directional: true }
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
        let forward = self.directional || source <= destination;
        let a = Endpoint::select(forward, source, destination);
        let b = Endpoint::select(forward, destination, source);
        (
            FiveTupleKey { proto, a, b },
            if forward { Orientation::Forward } else { Orientation::Reverse },
        )
    }

    #[inline(always)]
    fn extracted(
        self,
        addresses: Addresses,
        l4: Transport,
        encapsulation: Encapsulation,
    ) -> Extracted<FiveTupleKey> {
        let (source, destination) = match addresses {
            Addresses::V4(source, destination) => (
                Endpoint::v4(source, l4.source_port),
                Endpoint::v4(destination, l4.destination_port),
            ),
            Addresses::V6(source, destination) => (
                Endpoint::v6(source, l4.source_port),
                Endpoint::v6(destination, l4.destination_port),
            ),
        };
        let (key, orientation) = self.key(l4.proto, source, destination);
        let (l4, tcp, payload) = (Some(l4.proto), l4.tcp, l4.payload);
        Extracted { key, orientation, l4, tcp, payload, encapsulation }
    }

    #[inline(never)]
    fn decode(self, view: PacketView<'_>) -> Result<Extracted<FiveTupleKey>, SkipReason> {
        let network = link::network(view.frame, view.link_type)?;
        if let ethertype @ (IPV4 | IPV6) = network.ethertype
            && let Some((ip, l4)) = plain_packet(view.frame, network.offset, ethertype)
        {
            return Ok(self.extracted(ip.addresses, l4, network.encapsulation));
        }
        let ip = ip_header(view.frame, &network)?;
        if ip.fragment {
            return Err(SkipReason::Fragment);
        }
        let l4 = transport::header(view.frame, &ip)?;
        Ok(self.extracted(ip.addresses, l4, network.encapsulation))
    }
}

impl FlowExtractor for FiveTuple {
    type Key = FiveTupleKey;

    #[inline]
    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<FiveTupleKey>> {
        let plain = link::plain_ethernet(view.frame, view.link_type);
        // IP directly above Ethernet has two copies of the code to itself: in them, the version and
        // where it begins are constants.
        if plain == Some(IPV4)
            && let Some((ip, l4)) = plain_packet(view.frame, link::ETHERNET_HEADER, IPV4)
        {
            return Some(self.extracted(ip.addresses, l4, Encapsulation::default()));
        }
        if plain == Some(IPV6)
            && let Some((ip, l4)) = plain_packet(view.frame, link::ETHERNET_HEADER, IPV6)
        {
            return Some(self.extracted(ip.addresses, l4, Encapsulation::default()));
        }
        self.decode(view).ok()
    }

    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        self.decode(view).err().unwrap_or(SkipReason::NoFlow)
    }
}

/// Flows by IP addresses: all that two hosts exchange.
///
/// As such a flow is a mixture of connections, [`Extracted::l4`] and [`Extracted::tcp`] are
/// `None`; the payload is that of the transport protocol. Fragments belong to their flow, their
/// payload is what follows the IP header. A packet whose transport header cannot be read counts
/// without payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpPair;

impl IpPair {
    fn decode(view: PacketView<'_>) -> Result<Extracted<IpPairKey>, SkipReason> {
        let network = link::network(view.frame, view.link_type)?;
        let ip = ip_header(view.frame, &network)?;
        let payload = payload(view.frame, &ip);
        Ok(Self::extracted(ip.addresses, payload, network.encapsulation))
    }

    #[inline(always)]
    fn extracted(
        addresses: Addresses,
        payload: Payload,
        encapsulation: Encapsulation,
    ) -> Extracted<IpPairKey> {
        let v4 = |address| IpAddr::V4(Ipv4Addr::from_bits(address));
        let v6 = |address| IpAddr::V6(Ipv6Addr::from_bits(address));
        let (a, b, orientation) = match addresses {
            Addresses::V4(source, destination) => {
                let (a, b, orientation) = in_order(source, destination);
                (v4(a), v4(b), orientation)
            }
            Addresses::V6(source, destination) => {
                let (a, b, orientation) = in_order(source, destination);
                (v6(a), v6(b), orientation)
            }
        };
        let key = IpPairKey { a, b };
        Extracted { key, orientation, l4: None, tcp: None, payload, encapsulation }
    }
}

impl FlowExtractor for IpPair {
    type Key = IpPairKey;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<IpPairKey>> {
        match link::plain_ethernet(view.frame, view.link_type)
            .and_then(|ethertype| plain_packet(view.frame, link::ETHERNET_HEADER, ethertype))
        {
            Some((ip, l4)) => {
                Some(Self::extracted(ip.addresses, l4.payload, Encapsulation::default()))
            }
            None => Self::decode(view).ok(),
        }
    }

    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        Self::decode(view).err().unwrap_or(SkipReason::NoFlow)
    }
}

/// Flows by MAC addresses: all that two stations exchange, whatever the network protocol.
///
/// For Ethernet and FDDI. [`Extracted::l4`] and [`Extracted::tcp`] are `None` as for [`IpPair`];
/// the payload of what is not IP is all that follows the link header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacPair;

impl MacPair {
    fn decode(view: PacketView<'_>) -> Result<Extracted<MacPairKey>, SkipReason> {
        let [source, destination] = link::addresses(view.frame, view.link_type)?.map(MacAddr);
        let (a, b, orientation) = in_order(source, destination);
        let (payload, encapsulation) = match link::plain_ethernet(view.frame, view.link_type)
            .and_then(|ethertype| plain_packet(view.frame, link::ETHERNET_HEADER, ethertype))
        {
            Some((_, l4)) => (l4.payload, Encapsulation::default()),
            None => above_link(view),
        };
        let key = MacPairKey { a, b };
        Ok(Extracted { key, orientation, l4: None, tcp: None, payload, encapsulation })
    }
}

impl FlowExtractor for MacPair {
    type Key = MacPairKey;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<MacPairKey>> {
        Self::decode(view).ok()
    }

    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        Self::decode(view).err().unwrap_or(SkipReason::NoFlow)
    }
}

/// The headers of what most packets are: a whole transport header directly above IP.
///
/// The general way, [`ip_header`] and [`transport::header`], does the same and more. What sets
/// this one apart is that nothing in it is handed over in memory: all functions are inlined, or
/// are out of line and return registers. A struct that is stored by fields and copied in wider
/// pieces right after makes the processor wait for each piece, which is most of the
/// general way's time.
#[inline(always)]
fn plain_packet(frame: &[u8], offset: usize, ethertype: u16) -> Option<(Ip, Transport)> {
    let ip = ip::fixed_header(frame, offset, ethertype).ok()?;
    if ip.fragment || !ip.is_final() {
        return None;
    }
    Some((ip, transport::whole_header(frame, &ip)?))
}

fn ip_header(frame: &[u8], network: &Network) -> Result<Ip, SkipReason> {
    match network.ethertype {
        IPV4 | IPV6 => ip::header(frame, network.offset, network.ethertype),
        _ => Err(SkipReason::NoFlow),
    }
}

fn in_order<T: Ord>(source: T, destination: T) -> (T, T, Orientation) {
    if source <= destination {
        (source, destination, Orientation::Forward)
    } else {
        (destination, source, Orientation::Reverse)
    }
}

/// The transport payload; that of IP for a fragment; nothing if it cannot be told where it begins.
fn payload(frame: &[u8], ip: &Ip) -> Payload {
    if ip.fragment {
        return ip.payload;
    }
    transport::header(frame, ip).map_or(nothing(frame), |l4| l4.payload)
}

fn nothing(frame: &[u8]) -> Payload {
    span(frame, frame.len(), 0)
}

/// What follows the link header, and the tags in between.
fn above_link(view: PacketView<'_>) -> (Payload, Encapsulation) {
    let frame = view.frame;
    let Ok(network) = link::network(frame, view.link_type) else {
        return (nothing(frame), Encapsulation::default());
    };
    let payload = match ip_header(frame, &network) {
        Ok(ip) => payload(frame, &ip),
        Err(SkipReason::NoFlow) => {
            span(frame, network.offset, frame.len().saturating_sub(network.offset))
        }
        Err(_) => nothing(frame),
    };
    (payload, network.encapsulation)
}
