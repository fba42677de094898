//! Once a side is encrypted it costs nothing.

mod common;

use common::kinds::kinds;
use common::*;
use flow_core::FlowSide;
use flow_session::SessionParser;

#[test]
fn nothing_encrypted_is_wanted() {
    for kind in kinds() {
        for piece in [usize::MAX, 1] {
            let mut feed = Feed::default();
            for packet in &kind.packets {
                feed.feed_in_pieces(packet.side, &packet.bytes, piece);
                let wanted = feed.parser.wants(packet.side);
                assert!(!packet.encrypted || !wanted, "{}: {:?}", kind.name, packet.side);
            }
            assert_eq!(feed.story(), kind.story, "{}", kind.name);
            let captured =
                FlowSide::BOTH.map(|side| kind.packets.iter().any(|packet| packet.side == side));
            assert_eq!(feed.wants(), captured.map(|captured| !captured), "{}", kind.name);
            assert_eq!(feed.parser.buffered_bytes(), 0, "{}", kind.name);
        }
    }
}

/// A message that has begun and is cut off by encryption is not held.
#[test]
fn nothing_is_held_of_what_is_cut_off() {
    let hello = Hello::default().record();
    let half = record(22, &certificate(&[&[1; 90]])[..50]);
    let skipped = record(22, &handshake(16, &[5; 66])[..50]);
    for begun in [half, skipped] {
        let mut feed = Feed::default();
        feed.feed(Initiator, &[&hello, begun.as_slice(), CCS].concat());
        assert_eq!(feed.parser.buffered_bytes(), 0);
        feed.feed(Initiator, &encrypted(22, 40));
        assert_eq!((feed.story().as_str(), feed.wants()), ("C", [false, true]));
    }
}
