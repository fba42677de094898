//! ICMP errors and the flows that they quote.

#![allow(clippy::unwrap_used, reason = "an error that quotes nothing is a failed test")]

mod common;

use std::fmt::Display;

use common::{ETHERNET, ethernet, halves, halves_v6, hello, ipv4, ipv6, join, six, udp, view};
use flow_core::{FlowExtractor, L4Proto, LinkType};
use flow_extract::{AutoDetectEncap, FiveTuple, FlowLabel, InnerGre, InnerVxlan, StripVlan};

const ASKED: FiveTuple = FiveTuple::bidirectional().with_icmp_errors(true);

/// `KEY direction type/code`.
fn quoted<E: FlowExtractor<Key: Display>>(
    extractor: &E,
    link_type: LinkType,
    frame: &[u8],
) -> Option<String> {
    let view = view(link_type, frame);
    let found = extractor.quoted(view)?;
    assert!(matches!(extractor.extract(view).unwrap().l4, Some(L4Proto::Icmp | L4Proto::Icmpv6)));
    let error = found.error;
    Some(format!("{} {:?} {}/{}", found.key, found.orientation, error.icmp_type, error.code))
}

/// The error from a router, with unreachable's four unused bytes.
fn error(icmp_type: u8, code: u8, packet: &[u8]) -> Vec<u8> {
    ipv4(1, &join(&[&[icmp_type, code, 0, 0, 0, 0, 0, 0], packet]))
}

fn error_v6(icmp_type: u8, code: u8, packet: &[u8]) -> Vec<u8> {
    ipv6(58, &join(&[&[icmp_type, code, 0, 0, 0, 0, 0, 0], packet]))
}

#[track_caller]
fn check(packet: &[u8], expected: Option<&str>) {
    assert_eq!(quoted(&ASKED, LinkType::RAW, packet).as_deref(), expected);
}

const HELLO: &str = "tcp 10.0.0.1:80 <-> 10.0.0.2:1234 Reverse";
const SIX: &str = "udp [2001:db8::1]:53 <-> [2001:db8::2]:1234 Reverse";

#[test]
fn every_type_of_error() {
    for icmp_type in 0..=255 {
        let is_error = matches!(icmp_type, 3 | 4 | 5 | 11 | 12);
        let expected = is_error.then(|| format!("{HELLO} {icmp_type}/7"));
        check(&error(icmp_type, 7, &hello()), expected.as_deref());
        let is_error = matches!(icmp_type, 1..=4);
        let expected = is_error.then(|| format!("{SIX} {icmp_type}/7"));
        check(&error_v6(icmp_type, 7, &six()), expected.as_deref());
    }
}

#[test]
fn only_on_request() {
    let plain = FiveTuple::bidirectional();
    assert_eq!(quoted(&plain, LinkType::RAW, &error(3, 1, &hello())), None);
    let asked_not = ASKED.with_icmp_errors(false);
    assert_eq!(quoted(&asked_not, LinkType::RAW, &error(3, 1, &hello())), None);
}

#[test]
fn the_key_is_that_of_the_quoted_packet() {
    let packets = [
        hello(),
        ipv4(17, &udp(53, b"query")),
        ipv4(132, &[0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 1, 0, 0, 0, 0]),
        ipv4(1, &[8, 0, 0, 0, 0, 1, 0, 1]),
        ipv4(50, b"esp"),
    ];
    for extractor in [ASKED, FiveTuple::directional().with_icmp_errors(true)] {
        for packet in &packets {
            let itself = extractor.extract(view(LinkType::RAW, packet)).unwrap();
            let error = error(3, 3, packet);
            let quoted = extractor.quoted(view(LinkType::RAW, &error)).unwrap();
            assert_eq!((quoted.key, quoted.orientation), (itself.key, itself.orientation));
        }
    }
}

#[test]
fn eight_bytes_of_transport_suffice() {
    let expected = format!("{HELLO} 11/0");
    check(&error(11, 0, &hello()[..28]), Some(&expected));
    check(&error(11, 0, &hello()[..24]), Some(&expected));
    check(&error(11, 0, &hello()[..23]), None);
    let expected = format!("{SIX} 3/0");
    check(&error_v6(3, 0, &six()[..44]), Some(&expected));
    check(&error_v6(3, 0, &six()[..43]), None);
    // Also if it is the capture that ends there.
    let whole = error(11, 0, &hello());
    check(&whole[..20 + 8 + 24], Some(&format!("{HELLO} 11/0")));
}

#[test]
fn with_options_and_extension_headers() {
    let mut with_options = hello();
    with_options.splice(20..20, [1, 1, 1, 0]);
    (with_options[0], with_options[3]) = (0x46, with_options[3] + 4);
    check(&error(3, 0, &with_options), Some(&format!("{HELLO} 3/0")));
    let options = [17, 0, 1, 4, 0, 0, 0, 0];
    let packet = ipv6(60, &join(&[&options, &udp(53, b"query")]));
    let expected = "udp [2001:db8::1]:50000 <-> [2001:db8::2]:53 Forward 1/4";
    check(&error_v6(1, 4, &packet), Some(expected));
}

#[test]
fn extensions_behind_the_quoted_packet_do_not_matter() {
    let padded = join(&[&hello(), &vec![0; 128 - hello().len()]]);
    let extension = [0x20, 0, 0, 0, 0, 8, 1, 1, 0, 1, 1, 64];
    check(&error(11, 0, &join(&[&padded, &extension])), Some(&format!("{HELLO} 11/0")));
}

#[test]
fn fragments_count_if_they_have_ports() {
    let [first, last] = halves(&hello(), 8);
    check(&error(11, 1, &first), Some(&format!("{HELLO} 11/1")));
    check(&error(11, 1, &last), None);
    let [first, last] = halves_v6(&six(), 8);
    check(&error_v6(3, 1, &first), Some(&format!("{SIX} 3/1")));
    check(&error_v6(3, 1, &last), None);
}

#[test]
fn garbage_is_no_flow() {
    for quoted in [&b""[..], b"garbage", &[0x45; 19], &[0x45; 60], &[0xff; 60], &[0; 60]] {
        check(&error(3, 1, quoted), None);
        check(&error_v6(1, 1, quoted), None);
    }
    // The wrong version.
    check(&error(3, 1, &six()), None);
    check(&error_v6(1, 1, &hello()), None);
    // A header that contradicts itself.
    let mut short = ipv4(17, &udp(53, b"query"));
    short[25] = 7;
    check(&error(3, 3, &short), None);
    // ICMP of the other version, and no ICMP at all.
    check(&ipv4(58, &join(&[&[1, 0, 0, 0, 0, 0, 0, 0], &six()])), None);
    check(&hello(), None);
    assert_eq!(quoted(&ASKED, ETHERNET, &ethernet(0x0806, &[0; 28])), None);
}

#[test]
fn errors_in_fragments_are_none() {
    let [first, _] = halves(&error(3, 1, &hello()), 32);
    assert!(ASKED.quoted(view(LinkType::RAW, &first)).is_none());
}

#[test]
fn in_tunnels() {
    let expected = Some(format!("{HELLO} 3/1"));
    let in_gre = |packet: &[u8]| ethernet(0x0800, &ipv4(47, &join(&[&[0, 0, 8, 0], packet])));
    let packet = error(3, 1, &hello());
    let auto = AutoDetectEncap::new(ASKED);
    assert_eq!(quoted(&auto, ETHERNET, &ethernet(0x0800, &packet)), expected);
    assert_eq!(quoted(&auto, ETHERNET, &in_gre(&packet)), expected);
    assert_eq!(quoted(&InnerGre::new(ASKED), ETHERNET, &in_gre(&packet)), expected);
    let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x0800, &packet)]);
    let nested = in_gre(&ipv4(17, &udp(4789, &vxlan)));
    assert_eq!(quoted(&auto, ETHERNET, &nested), expected);
    assert_eq!(quoted(&InnerGre::new(InnerVxlan::new(ASKED)), ETHERNET, &nested), expected);
    let tagged = ethernet(0x8100, &join(&[&[0, 7, 0x08, 0], &packet]));
    assert_eq!(quoted(&StripVlan::new(ASKED), ETHERNET, &tagged), expected);
    assert_eq!(quoted(&ASKED, ETHERNET, &tagged), expected);
}

/// An error about a tunnel's packet speaks of the tunnel's flow, wherever it was looked for.
#[test]
fn about_tunnels() {
    let tunnel = ipv4(47, &join(&[&[0, 0, 8, 0], &hello()]));
    let expected = Some("47 192.0.2.1 <-> 192.0.2.2 Forward 3/1".to_owned());
    let packet = error(3, 1, &tunnel);
    assert_eq!(quoted(&AutoDetectEncap::new(ASKED), LinkType::RAW, &packet), expected);
}

#[test]
fn with_flow_labels() {
    let mut labelled = six();
    labelled[1..4].copy_from_slice(&[0x01, 0x23, 0x45]);
    let packet = error_v6(1, 4, &labelled);
    let key = SIX.strip_suffix(" Reverse").unwrap();
    let expected = Some(format!("{key} label 0x12345 Reverse 1/4"));
    let inside = AutoDetectEncap::new(FlowLabel::new(ASKED));
    let outside = FlowLabel::new(AutoDetectEncap::new(ASKED));
    assert_eq!(quoted(&outside, LinkType::RAW, &packet), expected);
    assert_eq!(quoted(&inside, LinkType::RAW, &packet), expected);
    let in_ip = ipv4(41, &packet);
    assert_eq!(quoted(&outside, LinkType::RAW, &in_ip), expected);
    assert_eq!(quoted(&inside, LinkType::RAW, &in_ip), expected);
    let v4 = error(3, 1, &hello());
    assert_eq!(quoted(&outside, LinkType::RAW, &v4), Some(format!("{HELLO} 3/1")));
}
