use flow_pcap::{FlowEvents, PcapConfig, PcapFlowSource};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{Order, Pcap, Pcapng};
use crate::read::{read, ways};

fn order() -> impl Strategy<Value = Order> {
    prop_oneof![Just(Order::Little), Just(Order::Big)]
}

/// Small numbers, which are often right, and any.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..40_u32, 1 => any::<u32>()]
}

fn pcap() -> impl Strategy<Value = Vec<u8>> {
    let magic = prop_oneof![Just(Pcap::MICROS), Just(Pcap::NANOS), Just(Pcap::MODIFIED)];
    let records = vec(([number(), number(), number(), number()], vec(any::<u8>(), 0..40)), 0..8);
    (order(), magic, 0..6_u16, records).prop_map(|(order, magic, minor, records)| {
        let file = Pcap::with_header(order, magic, (2, minor), 96, 1);
        records.into_iter().fold(file, |file, (header, frame)| file.record(header, &frame)).bytes
    })
}

fn pcapng() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![8 => 0..8_u32, 1 => Just(0x0a0d_0d0a), 1 => any::<u32>()];
    let block = (kind, vec(number(), 0..12));
    (order(), vec(block, 0..8)).prop_map(|(order, blocks)| {
        let file = Pcapng::new(order).interface(1, 0, &[]);
        blocks
            .into_iter()
            .fold(file, |file, (kind, words)| file.block(kind, &order.words(&words)))
            .bytes
    })
}

fn after_one_of(magics: &'static [&'static [u8]]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(magics), vec(any::<u8>(), 0..400))
        .prop_map(|(magic, rest)| [magic, &rest].concat())
}

const CAPTURES: &[&[u8]] = &[
    b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00",
    b"\xa1\xb2\xc3\xd4\x00\x02\x00\x04",
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\xcd\x34",
    b"\x0a\x0d\x0d\x0a",
    b"",
];

const COMPRESSED: &[&[u8]] = &[
    b"\x1f\x8b\x08\x00",
    b"\x28\xb5\x2f\xfd",
    b"\x50\x2a\x4d\x18\x00\x00\x00\x00\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
];

proptest! {
    // Every read compares the ways to read, of which one gets the bytes one by one.
    #[test]
    fn any_bytes(bytes in after_one_of(CAPTURES)) {
        read(&bytes);
    }

    #[test]
    fn any_compressed_bytes(bytes in after_one_of(COMPRESSED)) {
        ways(&bytes, &PcapConfig::default());
    }

    #[test]
    fn almost_captures(mut bytes in prop_oneof![pcap(), pcapng()], flip in any::<(u16, u8)>()) {
        let whole = read(&bytes);
        let at = usize::from(flip.0) % bytes.len();
        bytes[at] ^= flip.1;
        read(&bytes);
        bytes[at] ^= flip.1;
        let prefix = read(&bytes[..at]);
        prop_assert!(whole.0.starts_with(&prefix.0));
    }
}

/// Sources cross threads.
#[test]
fn send() {
    fn check<T: Send>() {}
    check::<PcapFlowSource>();
    fn events<E: flow_core::FlowExtractor>() {
        check::<FlowEvents<E>>();
    }
    let _ = events::<NoFlows>;
}

struct NoFlows;

impl flow_core::FlowExtractor for NoFlows {
    type Key = u8;

    fn extract(&self, _: flow_core::PacketView<'_>) -> Option<flow_core::Extracted<u8>> {
        None
    }
}
