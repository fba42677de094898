use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_core::{
    Encapsulation, Extracted, FlowExtractor, Orientation, PacketView, Payload, SkipReason,
};

use crate::bytes::span;
use crate::ip::{self, Addresses, Ip};
use crate::link::{self, IPV4, IPV6, Network};
use crate::plain::{self, PlainPacket};
use crate::transport;
use crate::{IpPairKey, MacAddr, MacPairKey};

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
        let (source, destination) = match ip.addresses {
            Addresses::V4(source, destination) => (
                IpAddr::V4(Ipv4Addr::from_bits(source)),
                IpAddr::V4(Ipv4Addr::from_bits(destination)),
            ),
            Addresses::V6(source, destination) => (
                IpAddr::V6(Ipv6Addr::from_bits(source)),
                IpAddr::V6(Ipv6Addr::from_bits(destination)),
            ),
        };
        Ok(Self::extracted(source, destination, payload, network.encapsulation))
    }

    #[inline(always)]
    fn extracted(
        source: IpAddr,
        destination: IpAddr,
        payload: Payload,
        encapsulation: Encapsulation,
    ) -> Extracted<IpPairKey> {
        let (a, b, orientation) = in_order(source, destination);
        let key = IpPairKey { a, b };
        Extracted { key, orientation, l4: None, tcp: None, payload, encapsulation }
    }
}

impl FlowExtractor for IpPair {
    type Key = IpPairKey;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<IpPairKey>> {
        match plain_packet(view) {
            Some((PlainPacket { source, destination, payload, .. }, tags)) => {
                Some(Self::extracted(source.ip(), destination.ip(), payload, tags))
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
        let (payload, encapsulation) = match plain_packet(view) {
            Some((packet, tags)) => (packet.payload, tags),
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

/// Payload and tags of what most packets are.
#[inline(always)]
fn plain_packet(view: PacketView<'_>) -> Option<(PlainPacket, Encapsulation)> {
    let link = plain::link(view.frame, view.link_type)?;
    let packet = if link.ethertype == IPV4 {
        plain::packet::<false>(view.frame, link.offset)
    } else {
        plain::packet::<true>(view.frame, link.offset)
    };
    Some((packet?, link.tags))
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
