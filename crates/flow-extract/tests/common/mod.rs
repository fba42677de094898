//! Frames, and a check that describes in one line what an extractor makes of one.
#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::unwrap_used, reason = "a frame that cannot be built is a failed test")]

use std::fmt::Display;

use etherparse::PacketBuilder;
use flow_core::{FlowExtractor, LinkType, Orientation, PacketView, Timestamp};
use flow_extract::{AutoDetectEncap, FiveTuple, IpPair, MacPair};

pub(crate) const ETHERNET: LinkType = LinkType::ETHERNET;

pub(crate) fn view(link_type: LinkType, frame: &[u8]) -> PacketView<'_> {
    PacketView::new(frame, Timestamp::from_nanos(0)).with_link_type(link_type)
}

/// `KEY < [layer, layer] "payload"`, with `<` for packets from `b` to `a`, or the skip reason.
pub(crate) fn describe<E: FlowExtractor<Key: Display>>(
    extractor: &E,
    link_type: LinkType,
    frame: &[u8],
) -> String {
    let view = view(link_type, frame);
    let Some(found) = extractor.extract(view) else {
        return format!("{:?}", extractor.skip_reason(view));
    };
    let layers: Vec<String> = found.encapsulation.layers().map(|layer| layer.to_string()).collect();
    let direction = if found.orientation == Orientation::Forward { '>' } else { '<' };
    let payload = String::from_utf8_lossy(found.payload.of(frame));
    let missing = match found.payload.len - found.payload.captured {
        0 => String::new(),
        n => format!("+{n}"),
    };
    format!("{} {direction} [{}] {payload:?}{missing}", found.key, layers.join(", "))
}

/// What the extractor makes of the frame; and that no shorter capture of it puts the payload
/// outside the frame or anywhere else than the whole frame has it.
#[track_caller]
pub(crate) fn check<E: FlowExtractor<Key: Display>>(
    extractor: &E,
    link_type: LinkType,
    frame: &[u8],
    expected: &str,
) {
    assert_eq!(describe(extractor, link_type, frame), expected);
    check_cuts(extractor, link_type, frame);
    check_cuts(&FiveTuple::bidirectional(), link_type, frame);
    check_cuts(&IpPair, link_type, frame);
    check_cuts(&MacPair, link_type, frame);
    check_cuts(&AutoDetectEncap::new(FiveTuple::directional()), link_type, frame);
}

#[track_caller]
fn check_cuts<E: FlowExtractor>(extractor: &E, link_type: LinkType, frame: &[u8]) {
    let whole = extractor.extract(view(link_type, frame));
    for len in 0..=frame.len() {
        let cut = view(link_type, &frame[..len]);
        let Some(found) = extractor.extract(cut) else {
            let _ = extractor.skip_reason(cut);
            continue;
        };
        let payload = found.payload;
        assert!(payload.range().end <= len, "payload outside a capture of {len} bytes");
        assert!(payload.captured <= payload.len);
        if let Some(whole) = &whole
            && whole.key == found.key
            && whole.encapsulation == found.encapsulation
            && payload.captured > 0
        {
            assert_eq!(whole.payload.offset, payload.offset, "payload shifted at {len} bytes");
        }
    }
}

/// An IPv4 packet from 10.0.0.2:1234 to 10.0.0.1:80 with a TCP segment `hello`.
pub(crate) fn hello() -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 2], [10, 0, 0, 1], 64)
        .tcp(1234, 80, 7, 1000)
        .write(&mut packet, b"hello")
        .unwrap();
    packet
}

pub(crate) const HELLO: &str = "tcp 10.0.0.1:80 <-> 10.0.0.2:1234";

/// An IPv6 packet from port 1234 to port 53 with a UDP datagram `six`.
pub(crate) fn six() -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv6(v6(2), v6(1), 64).udp(1234, 53).write(&mut packet, b"six").unwrap();
    packet
}

pub(crate) const SIX: &str = "udp [2001:db8::1]:53 <-> [2001:db8::2]:1234";

pub(crate) fn v6(last: u8) -> [u8; 16] {
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

/// An Ethernet frame from 00:00:5e:00:53:02 to 00:00:5e:00:53:01.
pub(crate) fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = [0, 0, 0x5e, 0, 0x53, 1, 0, 0, 0x5e, 0, 0x53, 2];
    join(&[&addresses, &ethertype.to_be_bytes(), payload])
}

/// An IPv4 packet between 192.0.2.1 and 192.0.2.2.
pub(crate) fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let rest = [0, 0, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    join(&[&[0x45, 0], &len, &rest, payload])
}

/// An IPv6 packet between 2001:db8::1 and 2001:db8::2.
pub(crate) fn ipv6(next_header: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap().to_be_bytes();
    join(&[&[0x60, 0, 0, 0], &len, &[next_header, 64], &v6(1), &v6(2), payload])
}

/// A UDP datagram from port 50000.
pub(crate) fn udp(destination: u16, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(8 + payload.len()).unwrap().to_be_bytes();
    join(&[&50000u16.to_be_bytes(), &destination.to_be_bytes(), &len, &[0, 0], payload])
}

/// A whole IPv4 packet in two fragments, the second from byte `at` of its data on.
pub(crate) fn halves(packet: &[u8], at: usize) -> [Vec<u8>; 2] {
    let (header, data) = packet.split_at(usize::from(packet[0] & 0x0f) * 4);
    let fragment = |data: &[u8], fields: u16| {
        let mut fragment = join(&[header, data]);
        let len = u16::try_from(fragment.len()).unwrap();
        fragment[2..4].copy_from_slice(&len.to_be_bytes());
        fragment[4..6].copy_from_slice(&[0x12, 0x34]);
        fragment[6..8].copy_from_slice(&fields.to_be_bytes());
        fragment
    };
    let place = u16::try_from(at / 8).unwrap();
    [fragment(&data[..at], 0x2000), fragment(&data[at..], place)]
}

/// The same for an IPv6 packet without extension headers.
pub(crate) fn halves_v6(packet: &[u8], at: usize) -> [Vec<u8>; 2] {
    let (header, data) = packet.split_at(40);
    let fragment = |data: &[u8], fields: u16| {
        let [hi, lo] = fields.to_be_bytes();
        let data = join(&[&[header[6], 0, hi, lo, 0, 0, 0x12, 0x34], data]);
        let len = u16::try_from(data.len()).unwrap().to_be_bytes();
        join(&[&header[..4], &len, &[44], &header[7..], &data])
    };
    [fragment(&data[..at], 1), fragment(&data[at..], u16::try_from(at).unwrap())]
}

pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}
