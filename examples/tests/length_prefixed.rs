//! The parser of the example: in any pieces, within its limit, and lost.

#[path = "../length_prefixed/parser.rs"]
mod parser;

use flow::SessionParser;
use parser::{Frame, LengthPrefixed, MAX_PAYLOAD};

/// What is found in these bytes, in pieces of `size`.
fn read(bytes: &[u8], size: usize) -> (Vec<Frame>, Option<String>) {
    let mut parser = LengthPrefixed::default();
    let mut frames = Vec::new();
    for piece in bytes.chunks(size) {
        if !parser.is_poisoned() {
            frames.extend(parser.feed_initiator(piece));
        }
    }
    (frames, parser.poison_reason().map(str::to_owned))
}

#[track_caller]
fn check(bytes: &[u8], expected: &[(char, &[u8])], poison: Option<&str>) {
    for size in [1, 2, 3, 5, bytes.len()] {
        let (frames, reason) = read(bytes, size);
        let found: Vec<_> = frames.iter().map(|f| (f.marker, &f.payload[..])).collect();
        assert_eq!((&found[..], reason.as_deref()), (expected, poison), "by {size}");
    }
}

#[test]
fn byte_by_byte() {
    check(b"S\0\x02hiL\0\0\0\x03youS\0\0", &[('S', b"hi"), ('L', b"you"), ('S', b"")], None);
    check(b"S\0\x05hel", &[], None);
    check(b"L\0\0", &[], None);
}

#[test]
fn an_unknown_marker_poisons() {
    check(b"S\0\x01a?S\0\x01b", &[('S', b"a")], Some("unknown marker 0x3f"));
}

#[test]
fn an_endless_payload_poisons() {
    let len = u32::try_from(MAX_PAYLOAD).unwrap_or(u32::MAX);
    check(&[&b"L"[..], &(len + 1).to_be_bytes()].concat(), &[], Some("a payload of 1048577 bytes"));
    let mut parser = LengthPrefixed::default();
    parser.feed_responder(&[&b"L"[..], &len.to_be_bytes()].concat());
    for _ in 1..MAX_PAYLOAD >> 10 {
        assert!(parser.feed_responder(&[7; 1 << 10]).is_empty());
        assert!(parser.buffered_bytes() <= 2 * MAX_PAYLOAD);
    }
    assert_eq!(parser.feed_responder(&[7; 1 << 10]).len(), 1);
}
