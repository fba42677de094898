//! Any bytes, cut any way.

mod common;

use std::ops::Range;

use common::kinds::kinds;
use common::*;
use flow_core::FlowSide;
use flow_session::SessionParser;
use flow_tls::{DETECTION_LEN, Detection, TlsConfig, TlsMessage, TlsVersion, detect};
use proptest::collection::vec;
use proptest::prelude::*;
use tls_parser::{TlsExtension, TlsMessageHandshake, parse_tls_message_handshake};

/// Both sides of a connection of some kind.
fn conversation() -> impl Strategy<Value = Vec<(FlowSide, Vec<u8>)>> {
    let kinds = kinds().into_iter().map(|kind| kind.packets).collect::<Vec<_>>();
    prop::sample::select(kinds)
        .prop_map(|packets| packets.into_iter().map(|packet| (packet.side, packet.bytes)).collect())
}

/// The same with a few bytes changed.
fn damaged_conversation() -> impl Strategy<Value = Vec<(FlowSide, Vec<u8>)>> {
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (conversation(), damage).prop_map(|(mut packets, damage)| {
        for (at, value) in damage {
            let packet = &mut at.get_mut(&mut packets).1;
            if !packet.is_empty() {
                let at = at.index(packet.len());
                packet[at] = value;
            }
        }
        packets
    })
}

/// What is found and where it stands.
fn found(feed: &Feed) -> Vec<(FlowSide, TlsMessage, Range<u64>)> {
    let found = feed.found.iter().cloned();
    found.map(|parsed| (parsed.side, parsed.message, parsed.range)).collect()
}

proptest! {
    /// The messages, where they stand, and what the parser thinks at the end do not depend on
    /// how the streams are cut, damaged ones included.
    #[test]
    fn cuts_do_not_matter(
        packets in prop_oneof![conversation(), damaged_conversation()],
        cuts in prop_oneof![Just(vec![1]), vec(1_usize..40, 1..20), vec(1_usize..700, 1..20)],
    ) {
        let config = TlsConfig::default();
        #[cfg(feature = "fingerprint")]
        let config = config.with_fingerprints(true);
        let (mut whole, mut cut) = (Feed::new(config), Feed::new(config));
        let mut cuts = cuts.iter().cycle();
        for (side, bytes) in &packets {
            whole.feed(*side, bytes);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                cut.feed(*side, piece);
                rest = after;
            }
        }
        prop_assert_eq!(found(&whole), found(&cut));
        prop_assert_eq!(whole.parser.poison_reason(), cut.parser.poison_reason());
        prop_assert_eq!(whole.wants(), cut.wants());
    }

    /// What is found behind a gap does not depend on how the streams are cut, either.
    #[test]
    fn cuts_around_a_gap_do_not_matter(
        packets in conversation(),
        at in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
        len in 1_usize..120,
        cuts in prop_oneof![Just(vec![1]), vec(1_usize..40, 1..20)],
    ) {
        let (lossy, mut feeds) = (at.index(packets.len()), [Feed::default(), Feed::default()]);
        let mut cuts = cuts.iter().cycle();
        for (number, (side, bytes)) in packets.iter().enumerate() {
            let start = if number == lossy { from.index(bytes.len() + 1) } else { bytes.len() };
            let (before, lost) = bytes.split_at(start);
            let (lost, after) = lost.split_at(lost.len().min(len));
            for (feed, is_cut) in feeds.iter_mut().zip([false, true]) {
                for (piece, lost) in [(before, lost.len()), (after, 0)] {
                    let mut rest = piece;
                    while !rest.is_empty() {
                        let len = if is_cut { *cuts.next().unwrap() } else { rest.len() };
                        let (piece, after) = rest.split_at(rest.len().min(len));
                        feed.feed(*side, piece);
                        rest = after;
                    }
                    if lost > 0 && feed.parser.wants(*side) {
                        feed.gap(*side, lost as u64);
                    }
                }
            }
        }
        let [whole, cut] = &feeds;
        prop_assert_eq!(found(whole), found(cut));
        prop_assert_eq!(whole.parser.poison_reason(), cut.parser.poison_reason());
        prop_assert_eq!(whole.wants(), cut.wants());
    }

    #[test]
    fn anything_goes(
        packets in damaged_conversation(),
        noise in vec((any::<bool>(), vec(any::<u8>(), 0..60), 0_u64..400), 0..6),
    ) {
        let mut feed = Feed::default();
        let mut noise = noise.into_iter();
        for (side, bytes) in packets {
            if let Some((other, junk, gap)) = noise.next() {
                let at = if other { side.other() } else { side };
                feed.feed(at, &junk);
                if gap > 0 {
                    feed.gap(at, gap);
                }
            }
            feed.feed_in_pieces(side, &bytes, 100);
            prop_assert!(feed.parser.buffered_bytes() < 40_000);
        }
    }

    #[test]
    fn detection_is_sure(
        start in prop::sample::select(vec![
            vec![], vec![22, 3, 1], vec![22, 3, 3, 0, 90, 1, 0, 0], vec![0x80, 46, 1, 3, 1],
            vec![0x80, 46, 4, 0, 1, 0, 2], vec![23, 3, 3], vec![21, 3, 1, 0], vec![20, 3, 3, 0],
        ]),
        rest in vec(any::<u8>(), 24),
    ) {
        let bytes = [start, rest].concat();
        let full = detect(&bytes);
        prop_assert_ne!(full, Detection::NeedMore);
        for len in 0..bytes.len() {
            let part = detect(&bytes[..len]);
            prop_assert!(part == full || part == Detection::NeedMore && len < DETECTION_LEN);
        }
    }

    /// Hellos are read as the `tls-parser` crate reads them.
    #[test]
    fn second_opinion(
        suites in vec(any::<u16>(), 0..40),
        groups in vec(any::<u16>(), 1..10),
        algorithms in vec(any::<u16>(), 1..10),
        versions in vec(any::<u16>(), 1..5),
        formats in vec(any::<u8>(), 1..4),
        names in vec(vec(any::<u8>(), 1..9), 1..4),
        host in "[a-z]{1,20}",
    ) {
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        let hello = Hello::default()
            .suites(&suites)
            .sni(&host)
            .groups(&groups)
            .point_formats(&formats)
            .signature_algorithms(&algorithms)
            .versions(&versions)
            .alpn(&names);
        let ours = hello.parsed();

        let message = hello.message();
        let (_, theirs) = parse_tls_message_handshake(&message).unwrap();
        let tls_parser::TlsMessage::Handshake(TlsMessageHandshake::ClientHello(theirs)) = theirs
        else {
            panic!("{theirs:?}");
        };
        prop_assert_eq!(ours.legacy_version.to_raw(), theirs.version.0);
        prop_assert_eq!(ours.random.as_slice(), theirs.random);
        prop_assert_eq!(&ours.session_id, theirs.session_id.unwrap());
        let suites: Vec<u16> = theirs.ciphers.iter().map(|suite| suite.0).collect();
        prop_assert_eq!(&ours.cipher_suites, &suites);
        let block = theirs.ext.unwrap();
        let (_, extensions) = tls_parser::parse_tls_client_hello_extensions(block).unwrap();
        for extension in extensions {
            match extension {
                TlsExtension::SNI(list) => {
                    prop_assert_eq!(ours.sni.as_deref().unwrap().as_bytes(), list[0].1);
                }
                TlsExtension::EllipticCurves(list) => {
                    let list: Vec<u16> = list.iter().map(|group| group.0).collect();
                    prop_assert_eq!(&ours.supported_groups, &list);
                }
                TlsExtension::EcPointFormats(list) => prop_assert_eq!(&ours.point_formats, list),
                TlsExtension::SignatureAlgorithms(list) => {
                    prop_assert_eq!(&ours.signature_algorithms, &list);
                }
                TlsExtension::SupportedVersions(list) => {
                    let list: Vec<_> = list.iter().map(|v| TlsVersion::from_raw(v.0)).collect();
                    prop_assert_eq!(&ours.supported_versions, &list);
                }
                TlsExtension::ALPN(list) => prop_assert_eq!(&ours.alpn, &list),
                other => panic!("{other:?}"),
            }
        }
    }
}
