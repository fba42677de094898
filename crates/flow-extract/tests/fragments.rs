//! Fragments: what is found of them, and that their whole packets have a flow.

#![allow(clippy::unwrap_used, reason = "a fragment that is not found is a failed test")]

mod common;

use std::fmt::Display;
use std::time::Duration;

use common::{
    ETHERNET, HELLO, SIX, describe, ethernet, halves, halves_v6, hello, ipv4, ipv6, join, six, udp,
    v6, view,
};
use flow_core::{
    Defragmented, Defragmenter, FlowEvent, FlowExtractor, FlowTracker, FlowTrackerConfig, Fragment,
    FragmentAnomaly, LinkType, PacketView, SkipReason, Timestamp,
};
use flow_extract::{
    AutoDetectEncap, FiveTuple, FlowLabel, InnerGeneve, InnerGre, InnerGtpU, InnerIp, InnerTeredo,
    InnerVxlan, IpPair, MacPair, StripMpls, StripPppoe, StripVlan,
};

const FIVE: FiveTuple = FiveTuple::bidirectional();

fn found<'a, E: FlowExtractor>(
    extractor: &E,
    link_type: LinkType,
    frame: &'a [u8],
) -> Option<Fragment<'a>> {
    let view = view(link_type, frame);
    let fragment = extractor.fragment(view);
    if fragment.is_some() {
        assert!(extractor.extract(view).is_none());
        assert_eq!(extractor.skip_reason(view), SkipReason::Fragment);
    }
    fragment
}

/// `source -> destination id protocol [layers] at offset more "data"+missing`.
#[track_caller]
fn check<E: FlowExtractor>(extractor: &E, link_type: LinkType, frame: &[u8], expected: &str) {
    let fragment = found(extractor, link_type, frame).unwrap();
    let packet = fragment.packet;
    let data = String::from_utf8_lossy(fragment.data);
    let missing = match fragment.len as usize - fragment.data.len() {
        0 => String::new(),
        n => format!("+{n}"),
    };
    let described = format!(
        "{} -> {} {:x} {} {:?} at {} {} {data:?}{missing}",
        packet.source,
        packet.destination,
        packet.id,
        packet.protocol,
        packet.encapsulation,
        fragment.offset,
        fragment.more,
    );
    assert_eq!(described, expected);
}

/// The whole packet's flow, put together from its fragments in these frames.
fn put_together<E: FlowExtractor<Key: Display>>(extractor: &E, frames: &[Vec<u8>]) -> String {
    let mut defragmenter = Defragmenter::default();
    for frame in frames {
        let fragment = found(extractor, ETHERNET, frame).unwrap();
        let outcome = defragmenter.insert(&fragment, Timestamp::from_nanos(0));
        if let Defragmented::Whole(whole) = outcome {
            let outside = whole.encapsulation;
            let flow = describe(extractor, whole.link_type, &whole.frame);
            return format!("{outside:?} {flow}");
        }
    }
    panic!("not whole");
}

const V4: &str = "192.0.2.1 -> 192.0.2.2 1234 17";

#[test]
fn in_ipv4() {
    let [first, last] = halves(&ipv4(17, b"8 bytes,rest"), 8);
    check(&FIVE, LinkType::IPV4, &first, &format!("{V4} [] at 0 true \"8 bytes,\""));
    check(&FIVE, LinkType::IPV4, &last, &format!("{V4} [] at 8 false \"rest\""));
    let fragment = found(&FIVE, LinkType::RAW, &last).unwrap();
    assert_eq!((fragment.header, fragment.protocol_at), (&last[..20], 9));

    let mut with_options = join(&[&last[..20], &[1; 8], b"rest"]);
    (with_options[0], with_options[3]) = (0x47, 32);
    let fragment = found(&FIVE, LinkType::RAW, &with_options).unwrap();
    assert_eq!((fragment.header, fragment.protocol_at), (&with_options[..28], 9));
    assert_eq!((fragment.data, fragment.len), (&b"rest"[..], 4));

    let mut far = last;
    far[6..8].copy_from_slice(&[0x3f, 0xff]);
    check(&FIVE, LinkType::IPV4, &far, &format!("{V4} [] at 65528 true \"rest\""));
}

#[test]
fn what_the_ip_header_says_is_its_length() {
    let [_, last] = halves(&ipv4(17, b"8 bytes,rest"), 8);
    let padded = ethernet(0x0800, &join(&[&last, &[0; 22]]));
    check(&FIVE, ETHERNET, &padded, &format!("{V4} [] at 8 false \"rest\""));
    let cut = ethernet(0x0800, &last[..22]);
    check(&FIVE, ETHERNET, &cut, &format!("{V4} [] at 8 false \"re\"+2"));
    assert_eq!(found(&FIVE, ETHERNET, &ethernet(0x0800, &last[..19])), None);
}

#[test]
fn in_ipv6() {
    let [first, last] = halves_v6(&ipv6(17, b"8 bytes,rest"), 8);
    let key = "2001:db8::1 -> 2001:db8::2 1234 17";
    check(&FIVE, LinkType::IPV6, &first, &format!("{key} [] at 0 true \"8 bytes,\""));
    check(&FIVE, LinkType::IPV6, &last, &format!("{key} [] at 8 false \"rest\""));
    let fragment = found(&FIVE, LinkType::IPV6, &last).unwrap();
    assert_eq!((fragment.header, fragment.protocol_at), (&last[..40], 6));
}

#[test]
fn ipv6_headers_in_front_belong_to_the_whole() {
    let hop_by_hop = [60, 0, 1, 4, 0, 0, 0, 0];
    let destination = [44, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let header = [17, 0, 0, 9, 0, 0, 0, 7];
    let packet = ipv6(0, &join(&[&hop_by_hop, &destination, &header, b"8 bytes,"]));
    let framed = ethernet(0x86dd, &packet);
    check(&FIVE, ETHERNET, &framed, "2001:db8::1 -> 2001:db8::2 7 17 [] at 8 true \"8 bytes,\"");
    let fragment = found(&FIVE, ETHERNET, &framed).unwrap();
    assert_eq!((fragment.header, fragment.protocol_at), (&packet[..64], 48));
}

#[test]
fn whole_packets_are_none() {
    assert_eq!(found(&FIVE, LinkType::RAW, &hello()), None);
    assert_eq!(found(&FIVE, LinkType::RAW, &six()), None);
    // RFC 6946.
    let atomic = ipv6(44, &join(&[&[17, 0, 0, 0, 0, 0, 0, 1], &udp(53, b"x")]));
    assert_eq!(found(&FIVE, LinkType::RAW, &atomic), None);
    assert_eq!(found(&FIVE, ETHERNET, &ethernet(0x0806, &[0; 28])), None);
}

#[test]
fn pairs_of_addresses_need_none() {
    let [first, _] = halves(&hello(), 8);
    let frame = ethernet(0x0800, &first);
    assert_eq!(IpPair.fragment(view(ETHERNET, &frame)), None);
    assert_eq!(MacPair.fragment(view(ETHERNET, &frame)), None);
    assert!(IpPair.extract(view(ETHERNET, &frame)).is_some());
}

/// The headers of a tunnel, and what wraps a packet in it.
struct Tunnel {
    layers: &'static str,
    wrap: fn(&[u8]) -> Vec<u8>,
}

fn in_udp(port: u16, header: &[u8], packet: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(port, &join(&[header, packet]))))
}

const VLAN: Tunnel = Tunnel {
    layers: "vlan:7",
    wrap: |packet| ethernet(0x8100, &join(&[&[0, 7, 0x08, 0], packet])),
};
const QINQ: Tunnel = Tunnel {
    layers: "vlan:7, vlan:9",
    wrap: |packet| ethernet(0x88a8, &join(&[&[0, 7, 0x81, 0, 0, 9, 0x08, 0], packet])),
};
const MPLS: Tunnel =
    Tunnel { layers: "mpls:16", wrap: |packet| ethernet(0x8847, &join(&[&[0, 1, 1, 64], packet])) };
const PPPOE: Tunnel = Tunnel {
    layers: "pppoe:7",
    wrap: |packet| {
        let len = u8::try_from(packet.len() + 2).unwrap();
        ethernet(0x8864, &join(&[&[0x11, 0, 0, 7, 0, len, 0, 0x21], packet, &[0; 9]]))
    },
};
const VXLAN: Tunnel = Tunnel {
    layers: "vxlan:42",
    wrap: |packet| in_udp(4789, &[8, 0, 0, 0, 0, 0, 42, 0], &ethernet(0x0800, packet)),
};
const GENEVE: Tunnel =
    Tunnel { layers: "geneve:42", wrap: |packet| in_udp(6081, &[0, 0, 8, 0, 0, 0, 42, 0], packet) };
const GTP_U: Tunnel = Tunnel {
    layers: "gtp:0x00000009",
    wrap: |packet| in_udp(2152, &[0x30, 0xff, 0, 0, 0, 0, 0, 9], packet),
};
const GRE: Tunnel = Tunnel {
    layers: "gre",
    wrap: |packet| ethernet(0x0800, &ipv4(47, &join(&[&[0, 0, 8, 0], packet]))),
};
const IP: Tunnel = Tunnel { layers: "ip", wrap: |packet| ethernet(0x0800, &ipv4(4, packet)) };

/// Fragments inside are found with the layers around them, by the combinator and by automatic
/// detection, and their whole has the flow of the packet.
#[track_caller]
fn inside<E: FlowExtractor<Key: Display>>(extractor: &E, tunnel: &Tunnel) {
    let frames = halves(&hello(), 16).map(|packet| (tunnel.wrap)(&packet));
    let expected = format!("[{}] {HELLO} < [] \"hello\"", tunnel.layers.replace(", ", "\", \""));
    let expected = expected.replacen('[', "[\"", 1).replacen(']', "\"]", 1);
    assert_eq!(put_together(extractor, &frames), expected);
    assert_eq!(put_together(&AutoDetectEncap::new(FIVE), &frames), expected);
    let fragment = found(extractor, ETHERNET, &frames[1]).unwrap();
    assert_eq!((fragment.data.len(), fragment.len), (9, 9));
}

#[test]
fn in_tunnels() {
    inside(&StripVlan::new(FIVE), &VLAN);
    inside(&StripVlan::new(FIVE), &QINQ);
    inside(&StripMpls::new(FIVE), &MPLS);
    inside(&StripPppoe::new(FIVE), &PPPOE);
    inside(&InnerVxlan::new(FIVE), &VXLAN);
    inside(&InnerGeneve::new(FIVE), &GENEVE);
    inside(&InnerGtpU::new(FIVE), &GTP_U);
    inside(&InnerGre::new(FIVE), &GRE);
    inside(&InnerIp::new(FIVE), &IP);
    inside(&FlowLabel::new(InnerIp::new(FIVE)), &IP);
    inside(&InnerIp::new(FlowLabel::new(FIVE)), &IP);
    inside(&InnerGre::new(InnerVxlan::new(InnerIp::new(FIVE))), &IP);
}

#[test]
fn an_inner_length_beyond_the_outer_end_is_cut() {
    let [_, mut last] = halves(&hello(), 16);
    last[3] += 6;
    let frame = (PPPOE.wrap)(&last);
    let fragment = found(&StripPppoe::new(FIVE), ETHERNET, &frame).unwrap();
    assert_eq!((fragment.data.len(), fragment.len), (9, 9));
    // Without padding it is the capture that may have cut it.
    let frame = &frame[..frame.len() - 9];
    let fragment = found(&StripPppoe::new(FIVE), ETHERNET, frame).unwrap();
    assert_eq!((fragment.data.len(), fragment.len), (9, 15));
}

#[test]
fn in_teredo() {
    let mut packet = six();
    packet[8..12].copy_from_slice(&[0x20, 0x01, 0, 0]);
    let frames = halves_v6(&packet, 8).map(|packet| in_udp(3544, &[], &packet));
    let expected = "[\"teredo\"] udp [2001::2]:1234 <-> [2001:db8::1]:53 > [] \"six\"";
    assert_eq!(put_together(&InnerTeredo::new(FIVE), &frames), expected);
    assert_eq!(put_together(&AutoDetectEncap::new(FIVE), &frames), expected);
}

#[test]
fn in_tunnels_in_tunnels() {
    let frames = halves(&hello(), 8).map(|packet| {
        let inner = (VXLAN.wrap)(&ipv4(4, &packet));
        (GRE.wrap)(&inner[14..])
    });
    let expected = format!("[\"gre\", \"vxlan:42\", \"ip\"] {HELLO} < [] \"hello\"");
    assert_eq!(put_together(&AutoDetectEncap::new(FIVE), &frames), expected);
    let nested = InnerGre::new(InnerVxlan::new(InnerIp::new(FIVE)));
    assert_eq!(put_together(&nested, &frames), expected);
    let outer_only = InnerGre::new(FIVE);
    assert_eq!(found(&outer_only, ETHERNET, &frames[0]), None);
}

/// A tunnel's outer packet in fragments: its whole, which has no link layer, is looked into.
#[track_caller]
fn outside<E: FlowExtractor<Key: Display>>(extractor: &E, tunnel: &Tunnel) {
    let frame = (tunnel.wrap)(&hello());
    for at in [8, 24] {
        let frames = halves(&frame[14..], at).map(|packet| ethernet(0x0800, &packet));
        let expected = format!("[] {HELLO} < [{}] \"hello\"", tunnel.layers);
        assert_eq!(put_together(extractor, &frames), expected);
        assert_eq!(put_together(&AutoDetectEncap::new(FIVE), &frames), expected);
    }
}

#[test]
fn of_tunnels() {
    outside(&InnerVxlan::new(FIVE), &VXLAN);
    outside(&InnerGeneve::new(FIVE), &GENEVE);
    outside(&InnerGtpU::new(FIVE), &GTP_U);
    outside(&InnerGre::new(FIVE), &GRE);
    outside(&InnerIp::new(FIVE), &IP);
    outside(&StripVlan::new(InnerIp::new(FIVE)), &IP);
    outside(&FlowLabel::new(InnerIp::new(FIVE)), &IP);
    outside(&InnerIp::new(FlowLabel::new(FIVE)), &IP);
}

#[test]
fn of_ipv6_tunnels() {
    let packet = ipv6(41, &six());
    let frames = halves_v6(&packet, 16).map(|packet| ethernet(0x86dd, &packet));
    let expected = format!("[] {SIX} < [ip] \"six\"");
    assert_eq!(put_together(&InnerIp::new(FIVE), &frames), expected);
    let fragment = found(&AutoDetectEncap::new(FIVE), ETHERNET, &frames[0]).unwrap();
    assert_eq!((fragment.packet.protocol, fragment.packet.source), (41, v6(1).into()));
}

/// A whole packet keeps its extension headers.
#[test]
fn whole_packets_with_extension_headers() {
    let destination = [17, 0, 1, 4, 0, 0, 0, 0];
    let packet = ipv6(60, &join(&[&destination, &udp(53, b"query")]));
    let frames = halves_v6(&packet, 8).map(|packet| ethernet(0x86dd, &packet));
    let expected = "[] udp [2001:db8::1]:50000 <-> [2001:db8::2]:53 > [] \"query\"";
    assert_eq!(put_together(&FIVE, &frames), expected);
    assert_eq!(put_together(&AutoDetectEncap::new(FIVE), &frames), expected);
    assert_eq!(put_together(&InnerVxlan::new(FIVE), &frames), expected);
}

#[test]
fn a_disabled_layer_hides_its_fragments() {
    let [first, _] = halves(&hello(), 8);
    let frame = (GRE.wrap)(&first);
    let shallow = AutoDetectEncap::new(FIVE).with_max_depth(0);
    assert_eq!(found(&shallow, ETHERNET, &frame), None);
    assert!(shallow.extract(view(ETHERNET, &frame)).is_some());
}

// Segments in fragments, through the tracker.

/// The same packet with other data at an offset of it, as a fragment of the packet.
fn piece(packet: &[u8], at: usize, data: &[u8], more: bool) -> Vec<u8> {
    let place = u16::try_from(at).unwrap();
    if packet[0] >> 4 == 6 {
        let [hi, lo] = (place | u16::from(more)).to_be_bytes();
        let data = join(&[&[packet[6], 0, hi, lo, 0, 0, 0x12, 0x34], data]);
        let len = u16::try_from(data.len()).unwrap().to_be_bytes();
        return join(&[&packet[..4], &len, &[44], &packet[7..40], &data]);
    }
    let mut fragment = join(&[&packet[..20], data]);
    let len = u16::try_from(fragment.len()).unwrap();
    fragment[2..4].copy_from_slice(&len.to_be_bytes());
    fragment[4..6].copy_from_slice(&[0x12, 0x34]);
    fragment[6..8].copy_from_slice(&((u16::from(more) << 13) | (place / 8)).to_be_bytes());
    fragment
}

/// A SYN, then a segment of 44 bytes, with a header of 20, in pieces of so many bytes from an
/// offset on, each some seconds after the one before: which payload bytes count, and what is said
/// of the pieces.
fn segment_in(is_ipv6: bool, pieces: &[(u32, usize, usize, bool)]) -> String {
    let ip: fn(u8, &[u8]) -> Vec<u8> = if is_ipv6 { ipv6 } else { ipv4 };
    let header =
        |seq: u8, flags: u8| [4, 210, 0, 80, 0, 0, 0, seq, 0, 0, 0, 8, 80, flags, 1, 0, 0, 0, 0, 0];
    let segment = join(&[&header(8, 0x18), &[b'x'; 44]]);
    let packet = ip(6, &segment);
    let mut config = FlowTrackerConfig::default();
    config.idle_timeout_syn = Duration::from_secs(1_000);
    let mut tracker = FlowTracker::new(FIVE).with_config(config).with_emit_anomalies(true);
    let mut said = String::new();
    let mut take = |event| {
        if let FlowEvent::Anomaly { kind, .. } = event {
            said += &format!(" {kind}");
        }
    };
    let link_type = LinkType::RAW;
    tracker.track(view(link_type, &ip(6, &header(7, 2)))).for_each(&mut take);
    let mut secs = 0;
    for &(later, at, len, more) in pieces {
        secs += later;
        let mut data = segment.clone();
        data.resize(70_000, 0);
        let fragment = piece(&packet, at, &data[at..at + len], more);
        let frame = PacketView::new(&fragment, Timestamp::new(secs, 0)).with_link_type(link_type);
        tracker.track(frame).for_each(&mut take);
    }
    let flow = tracker.flows().next().map(flow_core::Flow::stats).unwrap();
    assert_eq!(tracker.flow_count(), 1);
    // Nothing came that it could be said of.
    let late =
        FragmentAnomaly::ALL.iter().position(|&one| one == FragmentAnomaly::Timeout).unwrap();
    if tracker.fragment_stats().anomalies[late] > 0 {
        said += " frag_timeout";
    }
    format!("{}{said}", flow.payload_bytes_initiator)
}

#[track_caller]
fn check_segment(pieces: &[(u32, usize, usize, bool)], v4: &str, v6: &str) {
    assert_eq!((segment_in(false, pieces).as_str(), segment_in(true, pieces).as_str()), (v4, v6));
}

#[test]
fn e1_overlapping_fragments_of_a_segment() {
    check_segment(&[(0, 0, 32, true), (0, 32, 32, false)], "44", "44");
    check_segment(&[(0, 32, 32, false), (0, 0, 32, true)], "44", "44");
    check_segment(&[(0, 0, 32, true), (0, 0, 32, true), (0, 32, 32, false)], "44", "44");
    let contained = [(0, 0, 32, true), (0, 8, 16, true), (0, 32, 32, false)];
    check_segment(&contained, "44", "0 frag_overlap");
    for overlap in [
        [(0, 0, 32, true), (0, 24, 40, false), (0, 32, 32, false)],
        [(0, 24, 40, false), (0, 0, 32, true), (0, 0, 24, true)],
        [(0, 0, 32, true), (0, 0, 40, true), (0, 32, 32, false)],
    ] {
        check_segment(&overlap, "0 frag_overlap", "0 frag_overlap");
    }
}

#[test]
fn e2_a_tcp_header_in_two_fragments() {
    for at in [8, 16] {
        let whole = "44 frag_tiny";
        check_segment(&[(0, 0, at, true), (0, at, 64 - at, false)], whole, whole);
        check_segment(&[(0, at, 64 - at, false), (0, 0, at, true)], whole, whole);
    }
    check_segment(&[(0, 0, 24, true), (0, 24, 40, false)], "44", "44");
    // What begins behind the ports does not count by itself.
    check_segment(&[(0, 8, 56, false)], "0", "0");
}

#[test]
fn e3_fragments_of_a_segment_that_cannot_be() {
    let ends = "0 frag_conflict";
    check_segment(&[(0, 32, 24, false), (0, 32, 32, false), (0, 0, 32, true)], ends, ends);
    check_segment(&[(0, 32, 32, false), (0, 64, 8, true), (0, 0, 32, true)], ends, ends);
    let death = "0 frag_oversize";
    check_segment(&[(0, 0, 32, true), (0, 65_528, 1_000, false), (0, 32, 32, false)], death, death);
    let odd = "0 frag_malformed";
    check_segment(&[(0, 0, 30, true), (0, 32, 32, false), (0, 0, 32, true)], odd, odd);
}

#[test]
fn e4_fragments_of_a_segment_that_come_late() {
    let late = |secs| [(100, 0, 32, true), (secs, 32, 32, false)];
    check_segment(&late(29), "44", "44");
    check_segment(&late(31), "0 frag_timeout", "44");
    check_segment(&late(59), "0 frag_timeout", "44");
    check_segment(&late(61), "0 frag_timeout", "0 frag_timeout");
}

/// Padding of the frame, a length field of 0 as the network card leaves it, and frames cut off.
#[test]
fn d9_lengths_of_a_segment() {
    let header = [4, 210, 0, 80, 0, 0, 0, 7, 0, 0, 0, 8, 80, 0x18, 1, 0, 0, 0, 0, 0];
    let (v4, v6) = (ipv4(6, &join(&[&header, b"hello"])), ipv6(6, &join(&[&header, b"hello"])));
    let payload = |packet: &[u8], ethertype: u16, padding: usize| {
        let frame = ethernet(ethertype, &join(&[packet, &vec![b'P'; padding]]));
        let payload = FIVE.extract(view(ETHERNET, &frame)).unwrap().payload;
        (String::from_utf8_lossy(payload.of(&frame)).into_owned(), payload.len)
    };
    for (packet, ethertype) in [(&v4, 0x0800), (&v6, 0x86dd)] {
        assert_eq!(payload(packet, ethertype, 0), ("hello".into(), 5));
        assert_eq!(payload(packet, ethertype, 9), ("hello".into(), 5));
        assert_eq!(payload(&packet[..packet.len() - 2], ethertype, 0), ("hel".into(), 5));
    }
    let (mut v4, mut v6) = (v4, v6);
    v4[2..4].fill(0);
    v6[4..6].fill(0);
    assert_eq!(payload(&v4, 0x0800, 0), ("hello".into(), 5));
    assert_eq!(payload(&v6, 0x86dd, 0), ("hello".into(), 5));
}
