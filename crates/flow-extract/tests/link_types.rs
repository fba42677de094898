//! One frame per link type.

mod common;

use common::{ETHERNET, HELLO, SIX, check, ethernet, hello, join, six};
use flow_core::LinkType;
use flow_extract::{FiveTuple, IpPair, MacPair};

#[track_caller]
fn finds_hello(link_type: LinkType, frame: &[u8], layers: &str) {
    let expected = format!("{HELLO} < [{layers}] \"hello\"");
    check(&FiveTuple::bidirectional(), link_type, frame, &expected);
}

#[track_caller]
fn finds_six(link_type: LinkType, frame: &[u8]) {
    check(&FiveTuple::bidirectional(), link_type, frame, &format!("{SIX} < [] \"six\""));
}

#[track_caller]
fn skips(link_type: LinkType, frame: &[u8], reason: &str) {
    check(&FiveTuple::bidirectional(), link_type, frame, reason);
}

#[test]
fn ethernet_ii() {
    finds_hello(ETHERNET, &ethernet(0x0800, &hello()), "");
    finds_six(ETHERNET, &ethernet(0x86dd, &six()));
    skips(ETHERNET, &ethernet(0x0806, &[0; 28]), "NoFlow");
    skips(ETHERNET, &[], "Truncated");
}

#[test]
fn ethernet_padding_is_no_payload() {
    finds_hello(ETHERNET, &join(&[&ethernet(0x0800, &hello()), &[0; 6]]), "");
}

#[test]
fn vlan_tags() {
    let one = join(&[&[0x20, 100, 0x08, 0x00], &hello()]);
    finds_hello(ETHERNET, &ethernet(0x8100, &one), "vlan:100");
    let two = join(&[&[0, 7, 0x81, 0], &one]);
    finds_hello(ETHERNET, &ethernet(0x88a8, &two), "vlan:7, vlan:100");
    let three = join(&[&[0x0f, 0xff, 0x88, 0xa8], &two]);
    finds_hello(ETHERNET, &ethernet(0x9100, &three), "vlan:4095, vlan:7, vlan:100");
    let priority = join(&[&[0xe0, 0, 0x08, 0x00], &hello()]);
    finds_hello(ETHERNET, &ethernet(0x8100, &priority), "vlan:0");
}

#[test]
fn at_most_eight_vlan_tags() {
    let tagged = |n: usize| {
        let tags = [[0, 1, 0x81, 0]; 9][..n - 1].concat();
        ethernet(0x8100, &join(&[&tags, &[0, 1, 0x08, 0], &hello()]))
    };
    let six_recorded = ["vlan:1"; 6].join(", ");
    finds_hello(ETHERNET, &tagged(8), &six_recorded);
    skips(ETHERNET, &tagged(9), "Malformed");
}

#[test]
fn ieee_802_3() {
    let snap = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0], &hello()]);
    finds_hello(ETHERNET, &ethernet(53, &snap), "");
    finds_hello(ETHERNET, &ethernet(48, &join(&[&[6, 6, 3], &hello()])), "");
    let tagged = join(&[&[0, 5, 0, 53], &snap]);
    finds_hello(ETHERNET, &ethernet(0x8100, &tagged), "vlan:5");
    skips(ETHERNET, &ethernet(38, &[0x42; 46]), "NoFlow");
    let cisco = [0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0];
    skips(ETHERNET, &ethernet(38, &cisco), "NoFlow");
}

#[test]
fn raw_ip() {
    for link_type in [LinkType::RAW, LinkType(12), LinkType(14), LinkType::IPV4] {
        finds_hello(link_type, &hello(), "");
    }
    for link_type in [LinkType::RAW, LinkType::IPV6] {
        finds_six(link_type, &six());
    }
    skips(LinkType::IPV4, &six(), "Malformed");
    skips(LinkType::IPV6, &hello(), "Malformed");
    skips(LinkType::RAW, &[0x50; 60], "Malformed");
}

#[test]
fn bsd_loopback() {
    for link_type in [LinkType::NULL, LinkType::LOOP] {
        finds_hello(link_type, &join(&[&2u32.to_le_bytes(), &hello()]), "");
        finds_hello(link_type, &join(&[&2u32.to_be_bytes(), &hello()]), "");
        for family in [24u32, 28, 30, 10, 23] {
            finds_six(link_type, &join(&[&family.to_le_bytes(), &six()]));
            finds_six(link_type, &join(&[&family.to_be_bytes(), &six()]));
        }
        skips(link_type, &[7, 0, 0, 0], "NoFlow");
    }
}

#[test]
fn linux_cooked() {
    let v1 = [0, 0, 0, 1, 0, 6, 0, 0, 0x5e, 0, 0x53, 2, 0, 0, 0x08, 0];
    finds_hello(LinkType::LINUX_SLL, &join(&[&v1, &hello()]), "");
    let v2 = [0x08, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 0, 0, 0x5e, 0, 0x53, 2, 0, 0];
    finds_hello(LinkType::LINUX_SLL2, &join(&[&v2, &hello()]), "");
    let tagged = [0, 0, 0, 1, 0, 6, 0, 0, 0x5e, 0, 0x53, 2, 0, 0, 0x81, 0, 0, 9, 0x08, 0];
    finds_hello(LinkType::LINUX_SLL, &join(&[&tagged, &hello()]), "vlan:9");
}

#[test]
fn ppp() {
    finds_hello(LinkType::PPP, &join(&[&[0xff, 3, 0, 0x21], &hello()]), "");
    finds_hello(LinkType::PPP, &join(&[&[0, 0x21], &hello()]), "");
    finds_hello(LinkType::PPP, &join(&[&[0x21], &hello()]), "");
    finds_six(LinkType::PPP, &join(&[&[0xff, 3, 0, 0x57], &six()]));
    skips(LinkType::PPP, &[0xff, 3, 0xc0, 0x21], "NoFlow");
    let session = [0x11, 0, 0, 7, 0, 47, 0, 0x21];
    finds_hello(LinkType::PPP_ETHER, &join(&[&session, &hello()]), "pppoe:7");
    finds_hello(LinkType(104), &join(&[&[0x0f, 0, 0x08, 0], &hello()]), "");
}

#[test]
fn other_link_layers() {
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0];
    finds_hello(LinkType::FDDI, &join(&[&[0x50], &[2; 12], &llc, &hello()]), "");
    finds_hello(LinkType::ARCNET_BSD, &join(&[&[1, 2, 212, 0, 0, 1], &hello()]), "");
    finds_hello(LinkType::ARCNET_BSD, &join(&[&[1, 2, 240], &hello()]), "");
    finds_hello(LinkType(129), &join(&[&[1, 2, 0, 0, 212, 0, 0, 1], &hello()]), "");
    skips(LinkType::ARCNET_BSD, &[1, 2, 212, 3, 0, 1], "Fragment");
}

#[test]
fn nflog() {
    let packet = hello();
    let len = u16::try_from(packet.len() + 4).unwrap();
    let prefix = [2, 0, 0, 0, 8, 0, 1, 0, 0x08, 0, 1, 0, 5, 0, 10, 0, 0, 0, 0, 0];
    finds_hello(LinkType::NFLOG, &join(&[&prefix, &len.to_le_bytes(), &[9, 0], &packet]), "");
    let prefix = [2, 0, 0, 0, 0, 8, 0, 1, 0x08, 0, 1, 0];
    finds_hello(LinkType::NFLOG, &join(&[&prefix, &len.to_be_bytes(), &[0, 9], &packet]), "");
    skips(LinkType::NFLOG, &[2, 0, 0, 0, 0, 0, 1, 0], "Malformed");
}

#[test]
fn ieee_802_11() {
    let llc = [0xaa, 0xaa, 3, 0, 0, 0, 0x08, 0];
    let frame =
        |control: [u8; 2], header: usize| join(&[&control, &vec![0; header - 2], &llc, &hello()]);
    finds_hello(LinkType::IEEE802_11, &frame([0x08, 1], 24), "");
    finds_hello(LinkType::IEEE802_11, &frame([0x88, 1], 26), "");
    finds_hello(LinkType::IEEE802_11, &frame([0x88, 0x83], 36), "");
    let radiotap = [0, 0, 8, 0, 0, 0, 0, 0];
    finds_hello(LinkType::IEEE802_11_RADIOTAP, &join(&[&radiotap, &frame([0x08, 2], 24)]), "");
    skips(LinkType::IEEE802_11, &frame([0x08, 0x41], 24), "NoFlow");
    skips(LinkType::IEEE802_11, &frame([0x80, 0], 24), "NoFlow");
}

#[test]
fn unknown_link_type() {
    skips(LinkType(147), &hello(), "UnknownLinkType(LinkType(147))");
}

#[test]
fn ip_pair() {
    let expected = "10.0.0.1 <-> 10.0.0.2 < [] \"hello\"";
    check(&IpPair, ETHERNET, &ethernet(0x0800, &hello()), expected);
    check(&IpPair, ETHERNET, &ethernet(0x0806, &[0; 28]), "NoFlow");
}

#[test]
fn mac_pair() {
    let macs = "00:00:5e:00:53:01 <-> 00:00:5e:00:53:02";
    let expected = format!("{macs} < [] \"hello\"");
    check(&MacPair, ETHERNET, &ethernet(0x0800, &hello()), &expected);
    let expected = format!("{macs} < [] \"anything\"");
    check(&MacPair, ETHERNET, &ethernet(0x88cc, b"anything"), &expected);
    check(&MacPair, LinkType::RAW, &hello(), "NoFlow");
}
