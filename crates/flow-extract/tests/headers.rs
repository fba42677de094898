//! IP, TCP and UDP headers: options, extensions, and lengths that lie.

#![allow(clippy::unwrap_used, reason = "a packet without a flow is a failed test")]

mod common;

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use common::{HELLO, check, hello, ipv4, ipv6, join, udp};
use flow_core::{FlowExtractor, L4Proto, LinkType, Orientation, TcpFlags, TcpInfo};
use flow_extract::{FiveTuple, FiveTupleKey, IpPair};

const V6: &str = "udp [2001:db8::1]:50000 <-> [2001:db8::2]:53";

#[track_caller]
fn finds(packet: &[u8], expected: &str) {
    check(&FiveTuple::bidirectional(), LinkType::RAW, packet, expected);
}

#[track_caller]
fn tcp_of(packet: &[u8]) -> Option<TcpInfo> {
    let view = common::view(LinkType::RAW, packet);
    FiveTuple::bidirectional().extract(view).unwrap().tcp
}

/// A segment with these options, padded to four bytes.
fn segment(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let padding = vec![0; options.len().next_multiple_of(4) - options.len()];
    let offset = u8::try_from(20 + options.len() + padding.len()).unwrap() << 2;
    let header = [4, 210, 0, 80, 0, 0, 0, 7, 0, 0, 0, 8, offset, 0x18, 1, 0, 0, 0, 0, 3];
    ipv4(6, &join(&[&header, options, &padding, payload]))
}

#[test]
fn total_length_lies() {
    let mut packet = hello();
    packet[3] = 0;
    finds(&packet, &format!("{HELLO} < [] \"hello\""));
    packet[3] = 47;
    finds(&packet, &format!("{HELLO} < [] \"hello\"+2"));
    packet[3] = 43;
    finds(&packet, &format!("{HELLO} < [] \"hel\""));
    packet[3] = 39;
    finds(&packet, "Malformed");
    packet[3] = 19;
    finds(&packet, "Malformed");
}

#[test]
fn header_length_lies() {
    let mut packet = hello();
    packet[0] = 0x44;
    finds(&packet, "Malformed");
    let mut with_options = hello();
    with_options.splice(20..20, [1, 1, 1, 0]);
    with_options[0] = 0x46;
    with_options[3] += 4;
    finds(&with_options, &format!("{HELLO} < [] \"hello\""));
}

#[test]
fn fragments_have_no_flow() {
    for (high, low) in [(0x20, 0), (0x20, 1), (0, 1)] {
        let mut packet = hello();
        (packet[6], packet[7]) = (high, low);
        finds(&packet, "Fragment");
        let pair = "10.0.0.1 <-> 10.0.0.2 < [] ";
        assert!(common::describe(&IpPair, LinkType::RAW, &packet).starts_with(pair));
    }
    let mut whole = hello();
    whole[6] = 0x40;
    finds(&whole, &format!("{HELLO} < [] \"hello\""));
    finds(&ipv6(44, &join(&[&[17, 0, 0, 1, 0, 0, 0, 1], &udp(53, b"x")])), "Fragment");
    finds(&ipv6(44, &join(&[&[17, 0, 0, 8, 0, 0, 0, 1], &udp(53, b"x")])), "Fragment");
}

#[test]
fn extension_headers() {
    let query = udp(53, b"query");
    let expected = format!("{V6} > [] \"query\"");
    let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    for kind in [0, 43, 60, 135, 140] {
        finds(&ipv6(kind, &join(&[&options(17), &query])), &expected);
    }
    let atomic = [17, 0, 0, 0, 0, 0, 0, 1];
    finds(&ipv6(44, &join(&[&atomic, &query])), &expected);
    let auth = [17, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    finds(&ipv6(51, &join(&[&auth, &query])), &expected);
    finds(&ipv6(0, &join(&[&options(43), &options(60), &options(17), &query])), &expected);
    let in_v4 = "udp 192.0.2.1:50000 <-> 192.0.2.2:53 > [] \"query\"";
    finds(&ipv4(51, &join(&[&auth, &query])), in_v4);
    finds(&ipv6(0, &[17, 9, 0, 0, 0, 0, 0, 0]), "Malformed");
    finds(&ipv6(59, b"rest"), "59 2001:db8::1 <-> 2001:db8::2 > [] \"rest\"");
}

#[test]
fn at_most_sixteen_extension_headers() {
    let chain = |n: usize| {
        let headers = [[60, 0, 1, 4, 0, 0, 0, 0]; 16][..n - 1].concat();
        ipv6(60, &join(&[&headers, &[17, 0, 1, 4, 0, 0, 0, 0], &udp(53, b"query")]))
    };
    finds(&chain(15), &format!("{V6} > [] \"query\""));
    finds(&chain(16), "Malformed");
}

#[test]
fn jumbograms() {
    let jumbo = |len: u32| {
        let option = [17, 0, 0xc2, 4];
        let mut datagram = udp(53, b"query");
        datagram[4..6].fill(0);
        let mut packet = ipv6(0, &join(&[&option, &len.to_be_bytes(), &datagram]));
        packet[4..6].fill(0);
        packet
    };
    finds(&jumbo(21), &format!("{V6} > [] \"query\""));
    finds(&jumbo(100_000), &format!("{V6} > [] \"query\"+99979"));
    finds(&jumbo(7), "Malformed");
    let mut cut_later = ipv6(17, &udp(53, b"query"));
    cut_later[4..6].fill(0);
    finds(&cut_later, &format!("{V6} > [] \"query\""));
}

#[test]
fn udp_length_lies() {
    let query = |len: u8| {
        let mut datagram = udp(53, b"query");
        datagram[5] = len;
        ipv4(17, &datagram)
    };
    let key = "udp 192.0.2.1:50000 <-> 192.0.2.2:53 > []";
    finds(&query(0), &format!("{key} \"query\""));
    finds(&query(11), &format!("{key} \"que\""));
    finds(&query(200), &format!("{key} \"query\""));
    finds(&query(7), "Malformed");
    finds(&ipv4(17, &[0; 7]), "Malformed");
}

#[test]
fn other_protocols() {
    let sctp = [0x0b, 0x59, 0x0b, 0x5a, 0, 0, 0, 1, 0, 0, 0, 0, b'c'];
    finds(&ipv4(132, &sctp), "sctp 192.0.2.1:2905 <-> 192.0.2.2:2906 > [] \"c\"");
    let echo = [8, 0, 0, 0, 0, 1, 0, 1, b'p'];
    finds(&ipv4(1, &echo), "icmp 192.0.2.1 <-> 192.0.2.2 > [] \"p\"");
    finds(&ipv6(58, &echo), "icmpv6 2001:db8::1 <-> 2001:db8::2 > [] \"p\"");
    finds(&ipv4(50, b"esp"), "50 192.0.2.1 <-> 192.0.2.2 > [] \"esp\"");
    finds(&ipv4(89, b"ospf"), "89 192.0.2.1 <-> 192.0.2.2 > [] \"ospf\"");
}

#[test]
fn tcp_fields() {
    let tcp = tcp_of(&segment(&[], b"")).unwrap();
    assert_eq!(tcp.flags, TcpFlags::ACK | TcpFlags::PSH);
    assert_eq!((tcp.seq, tcp.ack, tcp.window, tcp.urgent), (7, 8, 256, 3));
    assert_eq!(tcp.ttl, 64);
    assert_eq!(tcp.options, flow_core::TcpOptions::default());
}

#[test]
fn tcp_options() {
    let options = |list: &[u8]| tcp_of(&segment(list, b"")).unwrap().options;
    let usual = options(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert_eq!(usual.timestamps, Some((1, 2)));
    let syn = [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7];
    assert_eq!(options(&syn).timestamps, Some((9, 0)));
    assert_eq!(options(&syn).window_scale, Some(7));
    assert!(!options(&syn).signed);
    let md5 = [&[19, 18][..], &[0; 16], &[3, 3, 2]].concat();
    assert!(options(&md5).signed);
    assert_eq!(options(&md5).window_scale, Some(2));
    assert!(options(&[29, 4, 0, 0]).signed);
    for broken in [&[8, 10, 0, 0][..], &[3, 1, 7], &[3, 0, 7], &[254], &[0, 3, 3, 7]] {
        assert_eq!(options(broken), flow_core::TcpOptions::default(), "{broken:?}");
    }
}

#[test]
fn tcp_data_offset_lies() {
    let mut packet = segment(&[], b"hello");
    packet[32] = 0x40;
    finds(&packet, "Malformed");
    packet[32] = 0x70;
    finds(&packet, "Malformed");
    packet[32] = 0x60;
    finds(&packet, "tcp 192.0.2.1:1234 <-> 192.0.2.2:80 > [] \"o\"");
}

#[test]
fn tcp_header_cut_by_the_capture() {
    let packet = segment(&[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], b"hello");
    let key = "tcp 192.0.2.1:1234 <-> 192.0.2.2:80 > []";
    // Options cut: everything else is known.
    finds(&packet[..45], &format!("{key} \"\"+5"));
    assert_eq!(tcp_of(&packet[..45]).unwrap().seq, 7);
    // With the data offset, the payload's length is known; before it nothing is claimed.
    finds(&packet[..33], &format!("{key} \"\"+5"));
    assert_eq!(tcp_of(&packet[..33]), None);
    finds(&packet[..32], &format!("{key} \"\""));
    finds(&packet[..24], &format!("{key} \"\""));
    finds(&packet[..23], "Truncated");
}

#[test]
fn directional_keys_go_from_sender_to_receiver() {
    let expected = "tcp 10.0.0.2:1234 <-> 10.0.0.1:80 > [] \"hello\"";
    check(&FiveTuple::directional(), LinkType::RAW, &hello(), expected);
}

#[test]
fn both_directions_have_one_key() {
    let ends =
        [("10.0.0.1:80", "10.0.0.2:80"), ("10.0.0.1:1", "10.0.0.1:2"), ("[::1]:5", "[::]:5")];
    for (a, b) in ends {
        let [a, b] = [a, b].map(|end| end.parse::<SocketAddr>().unwrap().into());
        let there = FiveTuple::bidirectional().key(L4Proto::Tcp, a, b);
        let back = FiveTuple::bidirectional().key(L4Proto::Tcp, b, a);
        assert_eq!(there.0, back.0);
        assert_eq!(there.1, back.1.reversed());
        assert_eq!(HashSet::from([there.0, back.0]).len(), 1);
        let there = FiveTuple::directional().key(L4Proto::Tcp, a, b);
        assert_eq!(there, (FiveTupleKey { proto: L4Proto::Tcp, a, b }, Orientation::Forward));
    }
}

#[test]
fn keys_are_small_and_tell_families_apart() {
    assert!(size_of::<FiveTupleKey>() <= 40);
    let key = |end: &str| {
        let end = end.parse::<SocketAddr>().unwrap().into();
        FiveTuple::directional().key(L4Proto::Udp, end, end).0
    };
    assert_ne!(key("10.0.0.1:53"), key("[::ffff:10.0.0.1]:53"));
    assert_ne!(key("10.0.0.1:53"), key("[::10.0.0.1]:53"));
    assert_eq!(key("10.0.0.1:53").to_string(), "udp 10.0.0.1:53 <-> 10.0.0.1:53");
    assert_eq!(key("10.0.0.1:53").a.ip(), Ipv4Addr::new(10, 0, 0, 1));
    assert!(key("10.0.0.1:53").either_port(53));
    assert!(!key("10.0.0.1:53").either_port(54));
}
