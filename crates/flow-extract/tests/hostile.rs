//! Arbitrary bytes: no panic, no payload outside the frame, for every link type and extractor.

mod common;

use common::view;
use flow_core::{FlowExtractor, LinkType};
use flow_extract::{
    AutoDetectEncap, FiveTuple, InnerGre, InnerGtpU, InnerVxlan, IpPair, MacPair, StripMpls,
    StripVlan,
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
}

fn all_hold(frame: &[u8]) {
    for link_type in LINK_TYPES.map(LinkType) {
        let five = FiveTuple::bidirectional();
        holds(&five, link_type, frame);
        holds(&IpPair, link_type, frame);
        holds(&MacPair, link_type, frame);
        holds(&AutoDetectEncap::new(five), link_type, frame);
        holds(&AutoDetectEncap::new(MacPair).with_max_depth(usize::MAX), link_type, frame);
        holds(&StripVlan::new(StripMpls::new(five)), link_type, frame);
        holds(&InnerGre::new(InnerVxlan::new(InnerGtpU::new(five))), link_type, frame);
    }
}

/// Pieces that arbitrary bytes would seldom form: headers with their lengths left arbitrary.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let known: [&[u8]; 14] = [
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
    ];
    prop_oneof![
        3 => proptest::sample::select(known.to_vec()).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..24),
    ]
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
}
