//! How a stream is cut into pieces decides nothing, and no bytes make a panic.

mod common;

use common::{
    ALERT, ANSWER, CLIENT, CONNECT, CONNECTED, Driven, HELLO, QUERY, REQUEST, SERVER, SERVER_HELLO,
    Said,
};
use flow_core::FlowSide;
use flow_l7::L7Parser;
use flow_session::SessionParser;
use proptest::prelude::*;

const PARTS: [&[u8]; 22] = [
    HELLO,
    SERVER_HELLO,
    ALERT,
    QUERY,
    REQUEST,
    ANSWER,
    CONNECT,
    CONNECTED,
    b"\x05\x01\x00",
    b"\x05\x00",
    b"\x05\x01\x00\x03\x01a\x01\xbb",
    b"\x05\x00\x00\x01\0\0\0\0\0\0",
    b"\x04\x01\x01\xbb\0\0\0\x01me\0flow.org\0",
    b"\x00\x5a\0\0\0\0\0\0",
    b"220 mail.example ESMTP\r\n",
    b"STARTTLS\r\n",
    b"<starttls/>",
    b"\x30\x05\x02\x01\x01\x00\x00",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b"S",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n",
];

fn turn() -> impl Strategy<Value = (FlowSide, Vec<u8>)> {
    let part = prop_oneof![
        8 => prop::sample::select(&PARTS[..]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        1 => (prop::sample::select(&PARTS[..]), any::<prop::sample::Index>())
            .prop_map(|(part, at)| part[at.index(part.len())..].to_vec()),
        1 => (prop::sample::select(&PARTS[..]), any::<prop::sample::Index>())
            .prop_map(|(part, at)| part[..at.index(part.len())].to_vec()),
    ];
    (prop::bool::ANY.prop_map(|client| if client { CLIENT } else { SERVER }), part)
}

/// What is found up to the end, and whether the parser lost its way.
fn outcome(said: &[Said<'_>]) -> (Vec<common::Found>, bool) {
    let mut driven = Driven::new(L7Parser::<()>::default());
    for (side, bytes) in said {
        driven.say(*side, bytes);
        assert!(driven.parser.buffered_bytes() < 1 << 20);
    }
    if !driven.parser.is_poisoned() {
        driven.end();
    }
    (driven.found, driven.parser.is_poisoned())
}

proptest! {
    #[test]
    fn pieces_do_not_matter(
        turns in prop::collection::vec(turn(), 1..12),
        sizes in prop::collection::vec(1..30_usize, 1..8),
    ) {
        let whole: Vec<_> = turns.iter().map(|(side, bytes)| (*side, &bytes[..])).collect();
        let expected = outcome(&whole);
        let mut pieces = Vec::new();
        let mut sizes = sizes.iter().cycle();
        for &(side, mut bytes) in &whole {
            while !bytes.is_empty() {
                let size = sizes.next().map_or(1, |size| *size).min(bytes.len());
                let (piece, rest) = bytes.split_at(size);
                pieces.push((side, piece));
                bytes = rest;
            }
        }
        prop_assert_eq!(outcome(&pieces), expected.clone());
        let bytes: Vec<_> =
            whole.iter().flat_map(|(side, bytes)| bytes.chunks(1).map(|one| (*side, one))).collect();
        prop_assert_eq!(outcome(&bytes), expected);
    }
}
