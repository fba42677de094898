//! Arbitrary bytes: no panic, no payload outside the frame, for every link type and extractor,
//! and the same result from every way through the code.

#![allow(clippy::unwrap_used, reason = "what cannot be built is a failed test")]

mod common;

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};

use common::view;
use flow_core::{Extracted, FlowExtractor, L4Proto, LinkType, Orientation, SkipReason};
use flow_extract::{
    AutoDetectEncap, AutoEncapVariants, FiveTuple, FlowLabel, InnerGre, InnerGtpU, InnerVxlan,
    IpPair, MacPair, StripMpls, StripVlan,
};
use proptest::prelude::*;

const LINK_TYPES: [u16; 22] = [
    0, 1, 7, 9, 10, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 129, 219, 228, 229, 239, 276, 999,
];

fn holds<E: FlowExtractor>(extractor: &E, link_type: LinkType, frame: &[u8]) {
    let view = view(link_type, frame);
    match extractor.extract(view) {
        Some(found) => {
            assert!(found.payload.range().end <= frame.len());
            assert!(found.payload.captured <= found.payload.len);
        }
        None => {
            let _ = extractor.skip_reason(view);
        }
    }
    if let Some(fragment) = extractor.fragment(view) {
        assert!(fragment.data.len() <= fragment.len as usize);
        assert!(fragment.protocol_at < fragment.header.len());
        assert!(fragment.more || fragment.offset > 0);
    }
    let _ = extractor.quoted(view);
}

fn all_hold(frame: &[u8]) {
    for link_type in LINK_TYPES.map(LinkType) {
        let five = FiveTuple::bidirectional().with_icmp_errors(true);
        holds(&five, link_type, frame);
        holds(&IpPair, link_type, frame);
        holds(&MacPair, link_type, frame);
        holds(&AutoDetectEncap::new(five), link_type, frame);
        holds(&AutoDetectEncap::new(MacPair).with_max_depth(usize::MAX), link_type, frame);
        holds(&StripVlan::new(StripMpls::new(five)), link_type, frame);
        holds(&AutoDetectEncap::new(FlowLabel::new(five)), link_type, frame);
        holds(&FlowLabel::new(AutoDetectEncap::new(five)), link_type, frame);
        holds(&InnerGre::new(InnerVxlan::new(InnerGtpU::new(five))), link_type, frame);
    }
}

/// Pieces that arbitrary bytes would seldom form: headers with their lengths left arbitrary.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: [&[u8]; 19] = [
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x86, 0xdd],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 0, 0, 1, 0x88, 0x47],
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x88, 0x64],
        &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 47, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 4, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x11, 0, 0, 1, 0, 40, 0, 0x21],
        &[8, 104, 8, 104, 0, 0, 0, 0, 0x34, 0xff, 0, 0, 0, 0, 0, 1],
        &[0, 1, 0x12, 0xb5, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0],
        &[0, 1, 0x17, 0xc1, 0, 0, 0, 0, 0x3f, 0, 0x65, 0x58, 0, 0, 1, 0],
        &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 1, 0, 0, 0, 0],
        &[0x30, 0x81, 0x88, 0x0b],
        &[0, 1, 1, 64],
        &[0x45, 0, 0, 0, 0, 7, 0x20, 0, 64, 17, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 3, 1, 0, 0, 0, 0, 0, 0],
        &[0x60, 0, 0, 1, 0, 0, 44, 64],
        &[0x60, 0, 0, 1, 0, 0, 58, 64],
        &[60, 0, 0, 9, 0, 0, 0, 7],
    ];
    prop_oneof![
        3 => proptest::sample::select(known.to_vec()).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..24),
    ]
}

/// The same packet, written such that nothing but the general way takes it; and how many bytes
/// were added in front of its payload. `None` if there is no such way to write it.
fn written_otherwise(packet: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut packet = packet.to_vec();
    let added: &[u8] = match packet.first()? >> 4 {
        4 if packet[0] == 0x45 && packet.len() >= 20 => {
            let len = u16::from_be_bytes([packet[2], packet[3]]);
            if len != 0 {
                packet[2..4].copy_from_slice(&len.checked_add(4)?.to_be_bytes());
            }
            packet[0] = 0x46;
            packet.splice(20..20, [1, 1, 1, 1]);
            &[1; 4]
        }
        6 if packet.len() >= 40 => {
            let len = u16::from_be_bytes([packet[4], packet[5]]);
            if len != 0 {
                packet[4..6].copy_from_slice(&len.checked_add(8)?.to_be_bytes());
            }
            let next = std::mem::replace(&mut packet[6], 60);
            // A hop-by-hop header counts in the first place alone.
            if next == 0 {
                return None;
            }
            packet.splice(40..40, [next, 0, 1, 4, 0, 0, 0, 0]);
            &[0; 8]
        }
        _ => return None,
    };
    Some((packet, added.len()))
}

type Outcome<K> = Result<Extracted<K>, SkipReason>;

/// What an extractor makes of a frame, with its payload `added` bytes further to the front.
fn outcome<E: FlowExtractor>(
    extractor: &E,
    link_type: LinkType,
    frame: &[u8],
    added: usize,
) -> Outcome<E::Key> {
    let view = view(link_type, frame);
    let mut found = extractor.extract(view).ok_or_else(|| extractor.skip_reason(view))?;
    let added = u32::try_from(added).unwrap();
    found.payload.offset = found.payload.offset.checked_sub(added).unwrap();
    Ok(found)
}

/// Below Ethernet, tags and IP are decoded on the plain way and the general one. Linux cooked
/// captures have their tags read by the general one alone.
fn links_agree<E: FlowExtractor<Key: Debug + PartialEq>>(extractor: &E, from_type: &[u8]) {
    let ethernet = common::join(&[&[2; 12], from_type]);
    let cooked = common::join(&[&[2; 14], from_type]);
    assert_eq!(
        outcome(extractor, LinkType::ETHERNET, &ethernet, 0),
        outcome(extractor, LinkType::LINUX_SLL, &cooked, 2)
    );
}

/// Whichever way a packet takes, the result is the same.
fn all_ways_agree(tags: &[u8], ethertype: u16, packet: &[u8]) {
    let five = FiveTuple::bidirectional();
    let auto = AutoDetectEncap::new(five);
    let header = common::join(&[tags, &ethertype.to_be_bytes()]);
    let from_type = common::join(&[&header, packet]);
    links_agree(&five, &from_type);
    links_agree(&FiveTuple::directional(), &from_type);
    links_agree(&auto, &from_type);
    links_agree(&auto.with_max_depth(1), &from_type);
    links_agree(
        &auto.with_variants(AutoEncapVariants::all() - AutoEncapVariants::VLAN),
        &from_type,
    );
    links_agree(&FlowLabel::new(five), &from_type);
    links_agree(&AutoDetectEncap::new(FlowLabel::new(five)), &from_type);
    links_agree(&IpPair, &from_type);
    let ethernet = common::join(&[&[2; 12], &from_type]);
    if let Some(ip) = IpPair.extract(view(LinkType::ETHERNET, &ethernet)) {
        let mac = MacPair.extract(view(LinkType::ETHERNET, &ethernet)).unwrap();
        assert_eq!((mac.payload, mac.encapsulation), (ip.payload, ip.encapsulation));
    }

    let Some((otherwise, added)) = written_otherwise(packet) else { return };
    let is_v4 = packet[0] >> 4 == 4;
    let (link_type, its_type) =
        if is_v4 { (LinkType::IPV4, 0x0800) } else { (LinkType::IPV6, 0x86dd) };
    let mut links = vec![(link_type, Vec::new()), (LinkType::RAW, Vec::new())];
    if ethertype == its_type {
        links.push((LinkType::ETHERNET, common::join(&[&[2; 12], &header])));
    }
    for (link_type, link) in &links {
        let link_type = *link_type;
        let plain = common::join(&[link, packet]);
        let general = common::join(&[link, &otherwise]);
        assert_eq!(
            outcome(&five, link_type, &plain, 0),
            outcome(&five, link_type, &general, added),
            "{link_type}"
        );
        assert_eq!(
            outcome(&IpPair, link_type, &plain, 0),
            outcome(&IpPair, link_type, &general, added),
            "{link_type}"
        );
    }
}

/// Tags that may be there, and some that are none.
fn tags() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![
        4 => proptest::sample::select(vec![0x8100u16, 0x88a8, 0x9100]),
        1 => any::<u16>(),
    ];
    let tag =
        (tag, any::<u16>()).prop_map(|(kind, id)| [kind.to_be_bytes(), id.to_be_bytes()].concat());
    proptest::collection::vec(tag, 0..4).prop_map(|tags| tags.concat())
}

fn ethertype() -> impl Strategy<Value = u16> {
    prop_oneof![8 => proptest::sample::select(vec![0x0800, 0x86dd]), 1 => any::<u16>()]
}

/// Packets such as most are, whole, cut and padded.
fn usual_packet() -> impl Strategy<Value = Vec<u8>> {
    let options: [&[u8]; 7] = [
        &[],
        &[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[3, 3, 7, 1, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[0, 0, 0, 0, 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8],
        &[2, 4, 5, 180],
        &[1; 12],
        &[1; 40],
    ];
    let options = proptest::sample::select(options.to_vec());
    let payload = proptest::collection::vec(any::<u8>(), 0..40);
    let fields = (any::<[u8; 12]>(), any::<[u8; 7]>());
    let segment =
        (fields, options, payload, 0u8..4).prop_map(|((a, b), options, payload, kind)| {
            let len = u8::try_from(20 + options.len()).unwrap() << 2;
            match kind {
                0 => (17, common::udp(u16::from(a[0]), &payload)),
                1 => (a[0], payload),
                _ => (6, common::join(&[&a, &[len], &b, options, &payload])),
            }
        });
    let packet = (segment, any::<bool>()).prop_map(|((protocol, segment), is_v6)| {
        if is_v6 { common::ipv6(protocol, &segment) } else { common::ipv4(protocol, &segment) }
    });
    (packet, 0usize..8, proptest::collection::vec(0u8..2, 0..24)).prop_map(
        |(mut packet, cut, padding)| {
            if cut < 3 {
                packet.truncate(packet.len().saturating_sub(cut * 11));
            } else {
                packet.extend(padding);
            }
            packet
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        all_hold(&frame);
    }

    #[test]
    fn arbitrary_stacks(pieces in proptest::collection::vec(piece(), 0..12)) {
        all_hold(&pieces.concat());
    }

    /// A packet with any single byte changed.
    #[test]
    fn changed_bytes(at in 0usize..100, byte in any::<u8>()) {
        let inner = common::ethernet(0x0800, &common::hello());
        let vxlan = common::udp(4789, &common::join(&[&[8, 0, 0, 0, 0, 0, 2, 0], &inner]));
        let mut frame = common::ethernet(0x0800, &common::ipv4(17, &vxlan));
        let at = at % frame.len();
        frame[at] = byte;
        all_hold(&frame);
    }

    #[test]
    fn usual_packets_all_ways(tags in tags(), ethertype in ethertype(), packet in usual_packet()) {
        all_ways_agree(&tags, ethertype, &packet);
    }

    #[test]
    fn changed_packets_all_ways(
        tags in tags(),
        ethertype in ethertype(),
        mut packet in usual_packet(),
        changes in proptest::collection::vec((0usize..70, any::<u8>()), 1..4),
    ) {
        for (at, byte) in changes {
            if let Some(changed) = packet.get_mut(at) {
                *changed = byte;
            }
        }
        all_ways_agree(&tags, ethertype, &packet);
    }

    #[test]
    fn arbitrary_stacks_all_ways(
        tags in tags(),
        ethertype in ethertype(),
        pieces in proptest::collection::vec(piece(), 0..12),
    ) {
        all_ways_agree(&tags, ethertype, &pieces.concat());
    }

    /// [`Endpoint`]s are ordered as their addresses and ports are.
    #[test]
    fn keys_are_in_order(ips in any::<[IpAddr; 2]>(), ports in any::<[u16; 2]>(), same in 0u8..3) {
        let source = SocketAddr::new(ips[0], ports[0]);
        let ip = if same > 0 { ips[0] } else { ips[1] };
        let destination = SocketAddr::new(ip, if same > 1 { ports[0] } else { ports[1] });
        let (key, orientation) =
            FiveTuple::bidirectional().key(L4Proto::Tcp, source.into(), destination.into());
        let (low, high) = (source.min(destination), source.max(destination));
        assert_eq!((key.a.socket_addr(), key.b.socket_addr()), (low, high));
        let forward = source <= destination;
        assert_eq!(orientation == Orientation::Forward, forward);
        assert!(key.a <= key.b);
    }
}
