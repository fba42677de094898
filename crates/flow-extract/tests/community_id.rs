//! Community IDs against the published vectors:
//! <https://github.com/corelight/community-id-spec/tree/master/baseline> and
//! <https://github.com/corelight/pycommunityid/blob/master/tests/communityid_test.py>.

#![allow(clippy::unwrap_used, reason = "an address that does not parse is a failed test")]

mod common;

use std::net::{IpAddr, SocketAddr};

use common::{ethernet, ipv4, ipv6, join, view};
use flow_core::{FlowExtractor, L4Proto, LinkType};
use flow_extract::{AutoDetectEncap, CommunityId, FiveTuple};

const LOW_V6: &str = "fe80:1:203:405:607:809:a0b:c0d";
const HIGH_V6: &str = "fe80:1011:1213:1415:1617:1819:1a1b:1c1d";

/// Both directions, by keys of either kind, give the IDs with seed 0 and seed 1.
#[track_caller]
fn check(proto: u8, from: (&str, u16), to: (&str, u16), expected: [&str; 2]) {
    let end = |(ip, port): (&str, u16)| SocketAddr::new(ip.parse().unwrap(), port).into();
    let proto = L4Proto::from_number(proto);
    for (from, to) in [(from, to), (to, from)] {
        for extractor in [FiveTuple::bidirectional(), FiveTuple::directional()] {
            let (key, _) = extractor.key(proto, end(from), end(to));
            let ids = [0, 1].map(|seed| key.community_id(seed).unwrap().to_string());
            assert_eq!(ids, expected);
        }
    }
}

#[test]
fn with_ports() {
    let ends = (("1.2.3.4", 1122), ("5.6.7.8", 3344));
    let tcp = ["1:wCb3OG7yAFWelaUydu0D+125CLM=", "1:HhA1B+6CoLbiKPEs5nhNYN4XWfk="];
    check(6, ends.0, ends.1, tcp);
    let udp = ["1:0Mu9InQx6z4ZiCZM/7HXi2WMhOg=", "1:OShq+iKDAMVouh/4bMxB9Sz4amw="];
    check(17, ends.0, ends.1, udp);
    let sctp = ["1:EKt4MsxuyaE6mL+hmrEkQ9csDD8=", "1:uitchpn5MMGAQKBJh7bIr/bAr7s="];
    check(132, ends.0, ends.1, sctp);

    let tcp = ["1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "1:3V71V58M3Ksw/yuFALMcW0LAHvc="];
    check(6, ("128.232.110.120", 34855), ("66.35.250.204", 80), tcp);
    let tcp = ["1:SXBGMX1lBOwhhoDrZynfROxnhnM=", "1:HmBRGR+fUyXF4t8WEtal7Y0gEAo="];
    check(6, ("10.0.0.1", 10), ("10.0.0.2", 11569), tcp);
    let udp = ["1:d/FP5EW3wiY1vCndhwleRRKHowQ=", "1:Q9We8WO3piVF8yEQBNJF4uiSVrI="];
    check(17, ("192.168.1.52", 54585), ("8.8.8.8", 53), udp);
    let sctp = ["1:jQgCxbku+pNGw8WPbEc/TS/uTpQ=", "1:Y1/0jQg6e+I3ZwZZ9LP65DNbTXU="];
    check(132, ("192.168.170.8", 7), ("192.168.170.56", 80), sctp);
}

#[test]
fn without_ports() {
    let rsvp = ["1:ikv3kmf89luf73WPz1jOs49S768=", "1:/buhqeOmaRCopOZFy9HnoJd5XW8="];
    check(46, ("1.2.3.4", 0), ("5.6.7.8", 0), rsvp);
    let rsvp = ["1:wQ/2mwrnXP4lmJcHdGL5ePjR+e0=", "1:j6EyyfBzL4vWKHFXgUqb5Az3OxM="];
    check(46, (LOW_V6, 0), (HIGH_V6, 0), rsvp);
    let rsvp = ["1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4=", "1:BK3BVW3U2eemuwVQVN3zd/GULno="];
    check(46, ("10.1.24.4", 0), ("10.1.12.1", 0), rsvp);
}

/// The ID from addresses, type and code, and from a packet with them.
#[track_caller]
fn check_icmp(from: &str, to: &str, [icmp_type, code]: [u8; 2], expected: [&str; 2]) {
    let (source, destination): (IpAddr, IpAddr) = (from.parse().unwrap(), to.parse().unwrap());
    let message = [icmp_type, code, 0, 0, 0, 1, 0, 1];
    let packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let mut packet = ipv4(1, &message);
            packet[12..16].copy_from_slice(&source.octets());
            packet[16..20].copy_from_slice(&destination.octets());
            packet
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let mut packet = ipv6(58, &message);
            packet[8..24].copy_from_slice(&source.octets());
            packet[24..40].copy_from_slice(&destination.octets());
            packet
        }
        _ => panic!("two versions"),
    };
    let in_gre = ethernet(0x0800, &ipv4(47, &join(&[&gre_of(source), &packet])));
    for (seed, expected) in [0, 1].into_iter().zip(expected) {
        let id = CommunityId::of_icmp(source, destination, icmp_type, code, seed);
        assert_eq!(id.to_string(), expected);
        for extractor in [FiveTuple::bidirectional(), FiveTuple::directional()] {
            for (link_type, frame) in
                [(LinkType::RAW, &packet[..]), (LinkType::RAW, &packet[..packet.len() - 6])]
            {
                let view = view(link_type, frame);
                let found = extractor.extract(view).unwrap();
                assert_eq!(found.key.community_id(seed), None);
                assert_eq!(CommunityId::of_packet(view, &found, seed), Some(id));
            }
            let view = view(LinkType::ETHERNET, &in_gre);
            let found = AutoDetectEncap::new(extractor).extract(view).unwrap();
            assert_eq!(CommunityId::of_packet(view, &found, seed), Some(id));
        }
    }
}

fn gre_of(source: IpAddr) -> [u8; 4] {
    if source.is_ipv4() { [0, 0, 0x08, 0x00] } else { [0, 0, 0x86, 0xdd] }
}

#[test]
fn icmp() {
    let echo = ["1:crodRHL2FEsHjbv3UkRrfbs4bZ0=", "1:9pr4ZGTICiuZoIh90RRYE2RyXpU="];
    check_icmp("1.2.3.4", "5.6.7.8", [8, 0], echo);
    check_icmp("5.6.7.8", "1.2.3.4", [0, 0], echo);
    let exceeded = ["1:f/YiSyWqczrTgfUCZlBUnvHRcPk=", "1:1DD7cWGC/Yg91YGsQeni8du3pIA="];
    check_icmp("1.2.3.4", "5.6.7.8", [11, 0], exceeded);

    let (host, gateway) = ("192.168.0.89", "192.168.0.1");
    let echo = ["1:X0snYXpgwiv9TZtqg64sgzUn6Dk=", "1:03g6IloqVBdcZlPyX8r0hgoE7kA="];
    check_icmp(host, gateway, [8, 0], echo);
    check_icmp(gateway, host, [0, 8], echo);
    check_icmp(gateway, host, [0, 20], echo);
    let unpaired = ["1:3o2RFccXzUgjl7zDpqmY7yJi8rI=", "1:lCXHHxavE1Vq3oX9NH5ladQg02o="];
    check_icmp(host, gateway, [20, 0], unpaired);
    let unpaired = ["1:tz/fHIDUHs19NkixVVoOZywde+I=", "1:Ie3wmFyxiEyikbsbcO03d2nh+PM="];
    check_icmp(host, gateway, [20, 1], unpaired);
}

#[test]
fn icmpv6() {
    let echo = ["1:0bf7hyMJUwt3fMED7z8LIfRpBeo=", "1:IO27GQzPuCtNnwFvjWALMHu5tJE="];
    check_icmp(LOW_V6, HIGH_V6, [128, 0], echo);
    check_icmp(HIGH_V6, LOW_V6, [129, 0], echo);
    let unpaired = ["1:fYC8+pz24E+EhANP1EZhpX0Dw10=", "1:Cv4IKJe56BNkF0MBW2YxQ3Nwc3s="];
    check_icmp(LOW_V6, HIGH_V6, [146, 0], unpaired);

    let (a, b) = ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea");
    let neighbor = ["1:dGHyGvjMfljg6Bppwm3bg0LO8TY=", "1:kHa1FhMYIT6Ym2Vm2AOtoOARDzY="];
    check_icmp(a, b, [135, 0], neighbor);
    check_icmp(b, a, [136, 0], neighbor);
    let (a, b) = ("3ffe:507:0:1:260:97ff:fe07:69ea", "3ffe:507:0:1:200:86ff:fe05:80da");
    let exceeded = ["1:NdobDX8PQNJbAyfkWxhtL2Pqp5w=", "1:OlOWx9psIbBFi7lOCw/4MhlKR9M="];
    check_icmp(a, b, [3, 0], exceeded);
    let exceeded = ["1:/OGBt9BN1ofenrmSPWYicpij2Vc=", "1:Ij4ZxnC87/MXzhOjvH2vHu7LRmE="];
    check_icmp(b, a, [3, 0], exceeded);
}

/// Messages that answer each other have one ID, whoever sends which.
#[test]
fn pairs_of_messages() {
    let paired = |ips: [&str; 2], one: u8, other: u8| {
        let [a, b] = ips.map(|ip| ip.parse::<IpAddr>().unwrap());
        let there = CommunityId::of_icmp(a, b, one, 0, 0);
        assert_eq!(there, CommunityId::of_icmp(b, a, other, 5, 0), "{one} and {other}");
        assert_ne!(there, CommunityId::of_icmp(b, a, one, 0, 0), "{one} twice");
    };
    for (one, other) in [(8, 0), (10, 9), (13, 14), (15, 16), (17, 18)] {
        paired(["1.2.3.4", "5.6.7.8"], one, other);
        paired(["5.6.7.8", "1.2.3.4"], one, other);
    }
    for (one, other) in [(128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145)] {
        paired([LOW_V6, HIGH_V6], one, other);
        paired([HIGH_V6, LOW_V6], one, other);
    }
}

#[test]
fn of_packets_with_ports() {
    let packet = common::hello();
    let view = view(LinkType::RAW, &packet);
    let found = FiveTuple::bidirectional().extract(view).unwrap();
    assert!(found.key.community_id(0).is_some());
    assert_eq!(CommunityId::of_packet(view, &found, 0), found.key.community_id(0));
}

#[test]
fn a_message_without_type_has_none() {
    let packet = ipv4(1, &[8]);
    let view = view(LinkType::RAW, &packet);
    let found = FiveTuple::bidirectional().extract(view).unwrap();
    assert_eq!(CommunityId::of_packet(view, &found, 0), None);
}
