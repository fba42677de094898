//! IP fragments where they lie.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use flow_core::{Fragment, FragmentedPacket, PacketView};

use crate::ip::{self, Addresses};
use crate::link::{self, IPV4, IPV6};

/// The fragment at the network layer of a frame.
pub(crate) fn in_frame(view: PacketView<'_>) -> Option<Fragment<'_>> {
    let frame = view.frame;
    let network = link::network(frame, view.link_type).ok()?;
    let (IPV4 | IPV6) = network.ethertype else { return None };
    let found = ip::fragment_header(frame, network.offset, network.ethertype)?;
    let (source, destination) = match found.ip.addresses {
        Addresses::V4(source, destination) => {
            (IpAddr::V4(Ipv4Addr::from_bits(source)), IpAddr::V4(Ipv4Addr::from_bits(destination)))
        }
        Addresses::V6(source, destination) => {
            (IpAddr::V6(Ipv6Addr::from_bits(source)), IpAddr::V6(Ipv6Addr::from_bits(destination)))
        }
    };
    let packet = FragmentedPacket {
        source,
        destination,
        id: found.id,
        protocol: found.ip.protocol,
        encapsulation: network.encapsulation,
    };
    Some(Fragment {
        packet,
        header: frame.get(network.offset..found.headers_end)?,
        protocol_at: found.protocol_at.checked_sub(network.offset)?,
        offset: found.offset,
        more: found.more,
        data: found.ip.payload.of(frame),
        len: found.ip.payload.len,
    })
}
