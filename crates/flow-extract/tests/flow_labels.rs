//! Flows told apart by IPv6 flow labels.

#![allow(clippy::unwrap_used, reason = "a packet without a flow is a failed test")]

mod common;

use std::collections::HashSet;

use common::{ETHERNET, HELLO, SIX, check, ethernet, hello, ipv4, ipv6, join, six, udp, view};
use flow_core::{FlowExtractor, LinkType};
use flow_extract::{
    AutoDetectEncap, FiveTuple, FlowLabel, FlowLabelKey, InnerIp, IpPair, MacPair, StripVlan,
};

const FIVE: FiveTuple = FiveTuple::bidirectional();

fn labelled(mut packet: Vec<u8>, label: [u8; 3]) -> Vec<u8> {
    packet[1..4].copy_from_slice(&label);
    packet
}

#[test]
fn of_a_packet() {
    let label = FlowLabel::new(FIVE);
    let packet = labelled(six(), [0x01, 0x23, 0x45]);
    check(&label, LinkType::RAW, &packet, &format!("{SIX} label 0x12345 < [] \"six\""));
    // The upper half byte belongs to the traffic class.
    let packet = labelled(six(), [0xf0, 0, 1]);
    check(&label, LinkType::RAW, &packet, &format!("{SIX} label 0x00001 < [] \"six\""));
    check(&label, LinkType::RAW, &six(), &format!("{SIX} label 0x00000 < [] \"six\""));
    check(&label, LinkType::RAW, &hello(), &format!("{HELLO} < [] \"hello\""));
    check(&label, ETHERNET, &ethernet(0x0806, &[0; 28]), "NoFlow");
}

#[test]
fn labels_tell_flows_apart() {
    let label = FlowLabel::new(FIVE);
    let key = |packet: &[u8]| label.extract(view(LinkType::RAW, packet)).unwrap().key;
    let (one, two) = (labelled(six(), [0, 0, 1]), labelled(six(), [0, 0, 2]));
    assert_eq!(key(&one), key(&one));
    assert_ne!(key(&one), key(&two));
    assert_eq!(key(&one).key, key(&two).key);
    assert_eq!(key(&hello()).label, None);
    assert_eq!(HashSet::from([key(&one), key(&two), key(&one), key(&hello())]).len(), 3);
    let found: FlowLabelKey<_> = key(&two);
    assert_eq!(found.label, Some(2));
}

/// In whichever order the two are wrapped, it is the label of the innermost packet.
#[track_caller]
fn both_ways(frame: &[u8], expected: &str) {
    check(&AutoDetectEncap::new(FlowLabel::new(FIVE)), ETHERNET, frame, expected);
    check(&FlowLabel::new(AutoDetectEncap::new(FIVE)), ETHERNET, frame, expected);
}

#[test]
fn in_tunnels() {
    let inner = labelled(six(), [0, 0, 0x11]);
    let found = format!("{SIX} label 0x00011 <");
    both_ways(&ethernet(0x86dd, &inner), &format!("{found} [] \"six\""));
    let six_in_six = ethernet(0x86dd, &labelled(ipv6(41, &inner), [0, 0, 0x22]));
    both_ways(&six_in_six, &format!("{found} [ip] \"six\""));
    both_ways(&ethernet(0x0800, &ipv4(41, &inner)), &format!("{found} [ip] \"six\""));
    let four_in_six = ethernet(0x86dd, &labelled(ipv6(4, &hello()), [0, 0, 0x22]));
    both_ways(&four_in_six, &format!("{HELLO} < [ip] \"hello\""));
    let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x86dd, &inner)]);
    let outer = labelled(ipv6(17, &udp(4789, &vxlan)), [0, 0, 0x33]);
    let tagged = ethernet(0x8100, &join(&[&[0, 5, 0x86, 0xdd], &outer]));
    both_ways(&tagged, &format!("{found} [vlan:5, vxlan:2] \"six\""));
    let deep = (0..8).fold(inner, |packet, _| ipv6(41, &packet));
    both_ways(&ethernet(0x86dd, &deep), &format!("{found} [{}] \"six\"", ["ip"; 6].join(", ")));
}

#[test]
fn of_the_tunnel_if_that_has_the_flow() {
    let inner = labelled(six(), [0, 0, 0x11]);
    let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x86dd, &inner)]);
    let outer = ethernet(0x86dd, &labelled(ipv6(17, &udp(4789, &vxlan)), [0, 0, 0x33]));
    let found = FlowLabel::new(FIVE).extract(view(ETHERNET, &outer)).unwrap();
    assert_eq!((found.key.label, found.key.key.either_port(4789)), (Some(0x33), true));
    let in_ip = ethernet(0x86dd, &labelled(ipv6(41, &inner), [0, 0, 0x33]));
    let found = FlowLabel::new(FIVE).extract(view(ETHERNET, &in_ip)).unwrap();
    assert_eq!(found.key.label, Some(0x33));
    let found = FlowLabel::new(InnerIp::new(FIVE)).extract(view(ETHERNET, &in_ip)).unwrap();
    assert_eq!(found.key.label, Some(0x11));
    // What is inside has no flow.
    let garbage = ethernet(0x86dd, &labelled(ipv6(41, &inner[..30]), [0, 0, 0x33]));
    let found = FlowLabel::new(AutoDetectEncap::new(FIVE)).extract(view(ETHERNET, &garbage));
    assert_eq!(found.unwrap().key.label, Some(0x33));
}

#[test]
fn with_other_extractors() {
    let packet = labelled(six(), [0, 0, 0x11]);
    let expected = "2001:db8::1 <-> 2001:db8::2 label 0x00011 < [] \"six\"";
    check(&FlowLabel::new(IpPair), LinkType::RAW, &packet, expected);
    let tagged = ethernet(0x8100, &join(&[&[0, 5, 0x86, 0xdd], &packet]));
    let macs = "00:00:5e:00:53:01 <-> 00:00:5e:00:53:02";
    let expected = format!("{macs} label 0x00011 < [vlan:5] \"six\"");
    check(&FlowLabel::new(MacPair), ETHERNET, &tagged, &expected);
    let expected = format!("{SIX} label 0x00011 < [vlan:5] \"six\"");
    check(&StripVlan::new(FlowLabel::new(FIVE)), ETHERNET, &tagged, &expected);
}

#[test]
fn through_link_types() {
    let packet = labelled(six(), [0, 0, 0x11]);
    let expected = format!("{SIX} label 0x00011 < [] \"six\"");
    let null = join(&[&30u32.to_le_bytes(), &packet]);
    check(&FlowLabel::new(FIVE), LinkType::NULL, &null, &expected);
    check(&FlowLabel::new(FIVE), LinkType::IPV6, &packet, &expected);
    let session = join(&[&[0x11, 0, 0, 7, 0, 53, 0, 0x57], &packet]);
    let expected = format!("{SIX} label 0x00011 < [pppoe:7] \"six\"");
    check(&FlowLabel::new(FIVE), LinkType::PPP_ETHER, &session, &expected);
    both_ways(&ethernet(0x8864, &session), &expected);
}
