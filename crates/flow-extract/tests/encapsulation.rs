//! One frame per encapsulation, through its combinator and through automatic detection.

#![allow(clippy::unwrap_used, reason = "a packet without a flow is a failed test")]

mod common;

use std::fmt::Display;

use common::{ETHERNET, HELLO, SIX, check, ethernet, hello, ipv4, ipv6, join, six, udp};
use flow_core::{Extracted, FlowExtractor, LinkType, PacketView};
use flow_extract::{
    AutoDetectEncap, AutoEncapVariants, FiveTuple, InnerGeneve, InnerGre, InnerGtpU, InnerIp,
    InnerTeredo, InnerVxlan, IpPair, MacPair, StripMpls, StripPppoe, StripVlan,
};

const INNER: FiveTuple = FiveTuple::bidirectional();

/// Both the combinator and automatic detection find `hello`; without it, the outer flow is found.
#[track_caller]
fn finds_hello<E: FlowExtractor<Key: Display>>(combinator: &E, frame: &[u8], layers: &str) {
    let expected = format!("{HELLO} < [{layers}] \"hello\"");
    check(combinator, ETHERNET, frame, &expected);
    check(&AutoDetectEncap::new(INNER), ETHERNET, frame, &expected);
}

#[track_caller]
fn auto(frame: &[u8], expected: &str) {
    check(&AutoDetectEncap::new(INNER), ETHERNET, frame, expected);
}

fn in_udp(port: u16, header: &[u8], packet: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, &udp(port, &join(&[header, packet]))))
}

fn in_gre(header: &[u8], packet: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(47, &join(&[header, packet])))
}

#[test]
fn vlan() {
    let frame = ethernet(0x88a8, &join(&[&[0, 7, 0x81, 0, 0, 9, 0x08, 0], &hello()]));
    finds_hello(&StripVlan::new(INNER), &frame, "vlan:7, vlan:9");
    let macs = "00:00:5e:00:53:01 <-> 00:00:5e:00:53:02";
    let expected = format!("{macs} < [vlan:7, vlan:9] \"hello\"");
    check(&StripVlan::new(MacPair), ETHERNET, &frame, &expected);
}

#[test]
fn mpls() {
    let stack = [0, 1, 0x00, 64, 0, 2, 0x01, 64];
    let frame = ethernet(0x8847, &join(&[&stack, &hello()]));
    finds_hello(&StripMpls::new(INNER), &frame, "mpls:16, mpls:32");
    finds_hello(
        &StripMpls::new(INNER),
        &ethernet(0x8848, &join(&[&stack, &hello()])),
        "mpls:16, mpls:32",
    );
    auto(
        &ethernet(0x8847, &join(&[&stack, &six()])),
        &format!("{SIX} < [mpls:16, mpls:32] \"six\""),
    );
    auto(&in_udp(6635, &stack, &hello()), &format!("{HELLO} < [mpls:16, mpls:32] \"hello\""));
    let in_ip = ethernet(0x0800, &ipv4(137, &join(&[&stack, &hello()])));
    auto(&in_ip, &format!("{HELLO} < [mpls:16, mpls:32] \"hello\""));
}

#[test]
fn mpls_pseudo_wire() {
    let label = [0, 1, 0x01, 64];
    let inner = ethernet(0x0800, &hello());
    finds_hello(&StripMpls::new(INNER), &ethernet(0x8847, &join(&[&label, &inner])), "mpls:16");
    let with_control_word = ethernet(0x8847, &join(&[&label, &[0; 4], &inner]));
    finds_hello(&StripMpls::new(INNER), &with_control_word, "mpls:16");
    // A MAC address that begins like an IPv4 header.
    let mut alike = inner;
    alike[0] = 0x45;
    finds_hello(&StripMpls::new(INNER), &ethernet(0x8847, &join(&[&label, &alike])), "mpls:16");
}

#[test]
fn mpls_below_vlan() {
    let frame = ethernet(0x8100, &join(&[&[0, 7, 0x88, 0x47, 0, 1, 0x01, 64], &hello()]));
    finds_hello(&StripMpls::new(INNER), &frame, "vlan:7, mpls:16");
    finds_hello(&StripVlan::new(StripMpls::new(INNER)), &frame, "vlan:7, mpls:16");
}

#[test]
fn at_most_sixteen_labels() {
    let stack = |n: usize| {
        let labels = [[0, 1, 0, 64]; 16][..n - 1].concat();
        ethernet(0x8847, &join(&[&labels, &[0, 1, 1, 64], &hello()]))
    };
    finds_hello(&StripMpls::new(INNER), &stack(16), &["mpls:16"; 6].join(", "));
    auto(&stack(17), "NoFlow");
}

#[test]
fn pppoe() {
    let frame = ethernet(0x8864, &join(&[&[0x11, 0, 0, 7, 0, 47, 0, 0x21], &hello()]));
    finds_hello(&StripPppoe::new(INNER), &frame, "pppoe:7");
}

#[test]
fn inner_length_beyond_the_outer_end_is_padding() {
    let mut packet = hello();
    packet[3] += 6;
    let session = join(&[&[0x11, 0, 0, 7, 0, 47, 0, 0x21], &packet, &[0; 6]]);
    finds_hello(&StripPppoe::new(INNER), &ethernet(0x8864, &session), "pppoe:7");
}

#[test]
fn vxlan() {
    let header = [0x08, 0, 0, 0, 0, 0, 42, 0];
    let inner = ethernet(0x0800, &hello());
    finds_hello(&InnerVxlan::new(INNER), &in_udp(4789, &header, &inner), "vxlan:42");
    finds_hello(&InnerVxlan::new(INNER), &in_udp(8472, &header, &inner), "vxlan:42");
    let generic = [0x0c, 0, 0, 1, 0, 0, 42, 0];
    finds_hello(&InnerVxlan::new(INNER), &in_udp(4790, &generic, &hello()), "vxlan:42");
    let tagged = ethernet(0x8100, &join(&[&[0, 5, 0x08, 0], &hello()]));
    finds_hello(&InnerVxlan::new(INNER), &in_udp(4789, &header, &tagged), "vxlan:42, vlan:5");
    let inner_macs = "00:00:5e:00:53:01 <-> 00:00:5e:00:53:02 < [vxlan:42] \"hello\"";
    check(&InnerVxlan::new(MacPair), ETHERNET, &in_udp(4789, &header, &inner), inner_macs);
}

#[test]
fn geneve() {
    let header = [0x01, 0, 0x65, 0x58, 0, 0, 42, 0, 1, 2, 3, 0];
    let frame = in_udp(6081, &header, &ethernet(0x0800, &hello()));
    finds_hello(&InnerGeneve::new(INNER), &frame, "geneve:42");
    let ip = [0, 0, 0x08, 0x00, 0, 0, 42, 0];
    finds_hello(&InnerGeneve::new(INNER), &in_udp(6081, &ip, &hello()), "geneve:42");
}

#[test]
fn gtp_u() {
    let gtp = InnerGtpU::new(INNER);
    let layer = "gtp:0x01020304";
    finds_hello(&gtp, &in_udp(2152, &[0x30, 0xff, 0, 45, 1, 2, 3, 4], &hello()), layer);
    let sequence = [0x32, 0xff, 0, 49, 1, 2, 3, 4, 0, 9, 0, 0];
    finds_hello(&gtp, &in_udp(2152, &sequence, &hello()), layer);
    let extended = [0x34, 0xff, 0, 57, 1, 2, 3, 4, 0, 0, 0, 0x85, 1, 0, 1, 0xc0, 1, 0, 0, 0];
    finds_hello(&gtp, &in_udp(2152, &extended, &hello()), layer);
    let echo = in_udp(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0], &[]);
    auto(
        &echo,
        "udp 192.0.2.1:50000 <-> 192.0.2.2:2152 > [] \"2\\u{1}\\0\\u{4}\\0\\0\\0\\0\\0\\u{1}\\0\\0\"",
    );
}

#[test]
fn gre() {
    let gre = InnerGre::new(INNER);
    finds_hello(&gre, &in_gre(&[0, 0, 0x08, 0], &hello()), "gre");
    let all = [0xb0, 0, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1];
    finds_hello(&gre, &in_gre(&all, &hello()), "gre:0x00000009");
    let nvgre = [0x20, 0, 0x65, 0x58, 0, 0x12, 0x34, 1];
    finds_hello(&gre, &in_gre(&nvgre, &ethernet(0x0800, &hello())), "gre:0x00123401");
    let routed = [0x40, 0, 0x08, 0, 0, 0, 0, 0, 8, 0, 0, 4, 1, 2, 3, 4, 0, 0, 0, 0];
    finds_hello(&gre, &in_gre(&routed, &hello()), "gre");
}

#[test]
fn erspan() {
    let gre = InnerGre::new(INNER);
    let inner = ethernet(0x0800, &hello());
    finds_hello(&gre, &in_gre(&[0, 0, 0x88, 0xbe], &inner), "gre, erspan:0");
    let two = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0x08, 20, 0, 0, 0, 0];
    finds_hello(&gre, &in_gre(&two, &inner), "gre, erspan:20");
    let three = [0x10, 0, 0x22, 0xeb, 0, 0, 0, 1, 0x20, 5, 0x08, 20, 0, 0, 0, 0, 0, 0, 0, 0];
    finds_hello(&gre, &in_gre(&three, &inner), "gre, erspan:20");
    let mut subheader = three.to_vec();
    subheader[19] = 1;
    subheader.extend([0; 8]);
    finds_hello(&gre, &in_gre(&subheader, &inner), "gre, erspan:20");
}

#[test]
fn pptp() {
    let gre = InnerGre::new(INNER);
    let data = [0x30, 0x01, 0x88, 0x0b, 0, 49, 0, 7, 0, 0, 0, 1, 0xff, 3, 0, 0x21];
    finds_hello(&gre, &in_gre(&data, &hello()), "gre:0x00000007");
    let with_ack = [0x30, 0x81, 0x88, 0x0b, 0, 47, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0x21];
    finds_hello(&gre, &in_gre(&with_ack, &hello()), "gre:0x00000007");
    let only_ack = [0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 7, 0, 0, 0, 1];
    auto(
        &in_gre(&only_ack, &[]),
        "47 192.0.2.1 <-> 192.0.2.2 > [] \" \u{fffd}\u{fffd}\\u{b}\\0\\0\\0\\u{7}\\0\\0\\0\\u{1}\"",
    );
}

#[test]
fn ip_in_ip() {
    let ip = InnerIp::new(INNER);
    finds_hello(&ip, &ethernet(0x0800, &ipv4(4, &hello())), "ip");
    finds_hello(&ip, &ethernet(0x86dd, &ipv6(4, &hello())), "ip");
    for frame in [ethernet(0x0800, &ipv4(41, &six())), ethernet(0x86dd, &ipv6(41, &six()))] {
        auto(&frame, &format!("{SIX} < [ip] \"six\""));
        check(&ip, ETHERNET, &frame, &format!("{SIX} < [ip] \"six\""));
    }
}

#[test]
fn teredo() {
    let mut packet = six();
    packet[8..12].copy_from_slice(&[0x20, 0x01, 0, 0]);
    let key = "udp [2001::2]:1234 <-> [2001:db8::1]:53";
    auto(&in_udp(3544, &[], &packet), &format!("{key} > [teredo] \"six\""));
    let teredo = InnerTeredo::new(INNER);
    check(&teredo, ETHERNET, &in_udp(3544, &[], &packet), &format!("{key} > [teredo] \"six\""));
    let origin = [0, 0, 1, 2, 3, 4, 5, 6];
    auto(&in_udp(3544, &origin, &packet), &format!("{key} > [teredo] \"six\""));
    let authentication = [0, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0];
    let both = join(&[&authentication, &origin]);
    auto(&in_udp(3544, &both, &packet), &format!("{key} > [teredo] \"six\""));
    // Neither address is one that Teredo uses.
    assert!(
        common::describe(&AutoDetectEncap::new(INNER), ETHERNET, &in_udp(3544, &[], &six()))
            .starts_with("udp 192.0.2.1:50000")
    );
}

#[test]
fn layers_in_layers() {
    let vxlan = udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x0800, &hello())]));
    let erspan = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 5, 0x08, 20, 0, 0, 0, 0];
    let frame = in_gre(&erspan, &ethernet(0x0800, &ipv4(17, &vxlan)));
    let tagged = ethernet(0x8100, &join(&[&[0, 9], &frame[12..]]));
    auto(&tagged, &format!("{HELLO} < [vlan:9, gre, erspan:20, vxlan:2] \"hello\""));
}

/// A combinator alone does not see what it is not for; nested in the order of the layers, they do.
#[test]
fn combinators_in_combinators() {
    let expected = |layers: &str| format!("{HELLO} < [{layers}] \"hello\"");
    let gtp = join(&[&[0x30, 0xff, 0, 0, 0, 0, 0, 9], &ipv4(4, &hello())]);
    let frame = ethernet(0x0800, &ipv4(17, &udp(2152, &gtp)));
    let layers = expected("gtp:0x00000009, ip");
    check(&InnerGtpU::new(InnerIp::new(INNER)), ETHERNET, &frame, &layers);
    auto(&frame, &layers);

    let session = |packet: &[u8]| join(&[&[0x11, 0, 0, 7, 0, 0, 0, 0x21], packet]);
    let mut in_session = session(&hello());
    in_session[5] = u8::try_from(in_session.len() - 6).unwrap();
    let frame = ethernet(0x8100, &join(&[&[0, 5, 0x88, 0x64], &in_session]));
    let layers = expected("vlan:5, pppoe:7");
    check(&StripVlan::new(StripPppoe::new(INNER)), ETHERNET, &frame, &layers);
    check(&StripPppoe::new(INNER), ETHERNET, &frame, &layers);
    auto(&frame, &layers);

    let inner = ethernet(0x8847, &join(&[&[0, 1, 1, 64], &hello()]));
    let geneve = join(&[&[0, 0, 0x65, 0x58, 0, 0, 42, 0], &inner]);
    let frame = in_gre(&[0, 0, 0x08, 0], &ipv4(17, &udp(6081, &geneve)));
    let layers = expected("gre, geneve:42, mpls:16");
    check(&InnerGre::new(InnerGeneve::new(StripMpls::new(INNER))), ETHERNET, &frame, &layers);
    auto(&frame, &layers);
    let outermost = InnerGre::new(INNER).extract(common::view(ETHERNET, &frame)).unwrap();
    assert_eq!(outermost.key.to_string(), "udp 192.0.2.1:50000 <-> 192.0.2.2:6081");
    let not_there = InnerVxlan::new(INNER).extract(common::view(ETHERNET, &frame)).unwrap();
    assert_eq!(not_there.key.to_string(), "47 192.0.2.1 <-> 192.0.2.2");

    let vxlan = join(&[&[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x0800, &hello())]);
    let twice =
        join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &ethernet(0x0800, &ipv4(17, &udp(4789, &vxlan)))]);
    let frame = ethernet(0x0800, &ipv4(17, &udp(4789, &twice)));
    let layers = expected("vxlan:1, vxlan:2");
    check(&InnerVxlan::new(InnerVxlan::new(INNER)), ETHERNET, &frame, &layers);
    auto(&frame, &layers);
}

/// What holds for five-tuples holds for the pairs, whose extractors may be foreign for all that
/// the combinators know.
#[test]
fn pairs_in_combinators() {
    let tagged = ethernet(0x8100, &join(&[&[0, 7, 0x08, 0], &hello()]));
    let expected = "10.0.0.1 <-> 10.0.0.2 < [vlan:7] \"hello\"";
    check(&AutoDetectEncap::new(IpPair), ETHERNET, &tagged, expected);
    check(&StripVlan::new(IpPair), ETHERNET, &tagged, expected);
    let macs = "00:00:5e:00:53:01 <-> 00:00:5e:00:53:02 < [vlan:7] \"hello\"";
    check(&AutoDetectEncap::new(MacPair), ETHERNET, &tagged, macs);
    let in_ip = ethernet(0x0800, &ipv4(4, &hello()));
    let expected = "10.0.0.1 <-> 10.0.0.2 < [ip] \"hello\"";
    check(&InnerIp::new(IpPair), ETHERNET, &in_ip, expected);
}

/// The extractor inside sees what follows the tags, as it must if it knows no tags.
#[test]
fn tags_come_off_for_others() {
    struct RawOnly;
    impl FlowExtractor for RawOnly {
        type Key = u8;

        fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u8>> {
            let is_raw = matches!(view.link_type, LinkType::IPV4 | LinkType::IPV6);
            let found = INNER.extract(view.with_link_type(LinkType::RAW))?;
            let Extracted { orientation, l4, tcp, payload, encapsulation, .. } = found;
            let key = view.frame[0];
            is_raw.then_some(Extracted { key, orientation, l4, tcp, payload, encapsulation })
        }
    }
    for (tags, layers) in
        [(&[0, 7][..], 1), (&[0, 7, 0x81, 0, 0, 8], 2), (&[0, 7, 0x81, 0, 0, 8, 0x81, 0, 0, 9], 3)]
    {
        let frame = ethernet(0x8100, &join(&[tags, &[0x08, 0], &hello()]));
        let view = common::view(ETHERNET, &frame);
        let auto = AutoDetectEncap::new(RawOnly).extract(view).unwrap();
        let strip = StripVlan::new(RawOnly).extract(view).unwrap();
        assert_eq!((auto.key, auto.payload.of(&frame)), (0x45, &b"hello"[..]));
        assert_eq!(auto.encapsulation.layers().count(), layers);
        assert_eq!(auto, strip);
        let no_tags = AutoEncapVariants::all() - AutoEncapVariants::VLAN;
        assert_eq!(AutoDetectEncap::new(RawOnly).with_variants(no_tags).extract(view), None);
        assert_eq!(AutoDetectEncap::new(RawOnly).with_max_depth(0).extract(view), None);
    }
}

#[test]
fn depth_is_bounded() {
    let nested = |n: usize| ethernet(0x0800, &(0..n).fold(hello(), |packet, _| ipv4(4, &packet)));
    let within = AutoDetectEncap::<FiveTuple>::DEFAULT_MAX_DEPTH;
    auto(&nested(within), &format!("{HELLO} < [{}] \"hello\"", ["ip"; 6].join(", ")));
    let extractor = AutoDetectEncap::new(INNER);
    let found = extractor.extract(common::view(ETHERNET, &nested(within + 1))).unwrap();
    assert_eq!(found.key.to_string(), "4 192.0.2.1 <-> 192.0.2.2");
    let deeper = extractor.with_max_depth(within + 1);
    let found = deeper.extract(common::view(ETHERNET, &nested(within + 1))).unwrap();
    assert_eq!(found.key.to_string(), HELLO);
}

#[test]
fn what_is_not_wanted_stays() {
    let frame = in_udp(4789, &[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x0800, &hello()));
    let others = AutoEncapVariants::all() - AutoEncapVariants::VXLAN;
    let extractor = AutoDetectEncap::new(INNER).with_variants(others);
    let found = extractor.extract(common::view(ETHERNET, &frame)).unwrap();
    assert_eq!(found.key.to_string(), "udp 192.0.2.1:50000 <-> 192.0.2.2:4789");
}

#[test]
fn garbage_inside_leaves_the_outer_flow() {
    let arp = in_udp(4789, &[8, 0, 0, 0, 0, 0, 2, 0], &ethernet(0x0806, b"who has"));
    let found = AutoDetectEncap::new(INNER).extract(common::view(ETHERNET, &arp)).unwrap();
    assert_eq!(found.key.to_string(), "udp 192.0.2.1:50000 <-> 192.0.2.2:4789");
    assert!(found.encapsulation.is_empty());
}

#[test]
fn a_fragment_inside_has_no_flow() {
    let mut packet = hello();
    packet[6] = 0x20;
    auto(&in_gre(&[0, 0, 0x08, 0], &packet), "Fragment");
}

#[test]
fn from_other_link_types() {
    let packet = ipv4(4, &hello());
    let expected = format!("{HELLO} < [ip] \"hello\"");
    check(&AutoDetectEncap::new(INNER), LinkType::RAW, &packet, &expected);
    check(&InnerIp::new(INNER), LinkType::NULL, &join(&[&[2, 0, 0, 0], &packet]), &expected);
    let labels = join(&[&[0, 1, 1, 64], &hello()]);
    let expected = format!("{HELLO} < [mpls:16] \"hello\"");
    check(&StripMpls::new(INNER), LinkType(219), &labels, &expected);
}
