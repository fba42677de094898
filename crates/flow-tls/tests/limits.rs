//! Every limit, at it and one beyond, and what hostile streams come to.

mod common;

use common::*;
use flow_core::FlowSide;
use flow_session::SessionParser;
use flow_tls::{TlsClientHello, TlsConfig};

/// Feeds a side in pieces; checks what is found, why the parser gave up if it did, and that it
/// never held more than `held` bytes.
#[track_caller]
fn check(config: TlsConfig, bytes: &[u8], held: usize, story: &str, reason: Option<&str>) {
    let mut feed = Feed::new(config);
    for piece in bytes.chunks(1000) {
        feed.feed(Responder, piece);
        assert!(feed.parser.buffered_bytes() <= held, "{}", feed.parser.buffered_bytes());
    }
    let found = feed.story();
    assert!(found == story || story.ends_with('*') && found.starts_with(&story[..1]), "{found}");
    assert_eq!(feed.parser.poison_reason(), reason);
    if reason.is_some() {
        assert_eq!((feed.wants(), feed.parser.buffered_bytes()), ([false; 2], 0));
    }
}

const TOO_LONG: Option<&str> = Some("handshake longer than max_handshake");
const TOO_IDLE: Option<&str> = Some("too many records without handshake");

#[test]
fn messages() {
    let hello = Hello::default().extension(21, &[0; 500]).message();
    let chain = certificate(&[&[1; 500]]);
    let config = TlsConfig::default();
    let records = |message| record(22, message);
    check(config.with_max_buffer(hello.len()), &records(&hello), 0, "C", None);
    let reason = Some("hello longer than max_buffer");
    check(config.with_max_buffer(hello.len() - 1), &records(&hello), 0, "!", reason);
    check(config.with_max_certificates(chain.len()), &records(&chain), 0, "X", None);
    let reason = Some("Certificate longer than max_certificates");
    check(config.with_max_certificates(chain.len() - 1), &records(&chain), 0, "!", reason);

    let ssl2 = ssl2_server_hello(false, &[1; 500]);
    check(config.with_max_buffer(ssl2.len()), &ssl2, 0, "SX", None);
    let reason = Some("hello longer than max_buffer");
    check(config.with_max_buffer(ssl2.len() - 1), &ssl2, 0, "!", reason);
}

#[test]
fn sixteen_megabytes_announced() {
    let of_kind = |kind| [&[kind, 0xff, 0xff, 0xff], [0; 4000].as_slice()].concat();
    let stream = |kind| [record(22, &server_hello_12()), record(22, &of_kind(kind))].concat();
    // Passed over, it costs nothing until it comes.
    check(TlsConfig::default(), &stream(99), 0, "S", None);
    let check = |kind, reason| {
        check(TlsConfig::default(), &stream(kind), 0, "S!", Some(reason));
    };
    check(1, "hello longer than max_buffer");
    check(2, "hello longer than max_buffer");
    check(11, "Certificate longer than max_certificates");
}

/// Whether stored or skipped, a message without end comes to one; and so does one message after
/// the other.
#[test]
fn endless_handshake() {
    let config = TlsConfig::default().with_max_handshake(200_000);
    let hello = record(22, &server_hello_12());
    let exactly = |extra: usize| {
        let rest = 200_000 + extra - hello.len() - 12 * (5 + 16_384) - 5;
        let skipped = handshake(99, &vec![1; 12 * 16_384 + rest - 4]);
        [hello.clone(), in_records(&skipped, 16_384)].concat()
    };
    assert_eq!(exactly(0).len(), 200_000);
    check(config, &exactly(0), 0, "S", None);
    check(config, &exactly(1), 0, "S!", TOO_LONG);

    let one = record(22, &certificate(&[&[1; 900]]));
    let chains = [hello.clone(), one.repeat(1000)].concat();
    check(config, &chains, 3_000, "S*", TOO_LONG);
    let same = record(22, &server_hello_12()).repeat(5_000);
    check(config, &same, 500, "S*", TOO_LONG);
}

#[test]
fn a_million_records_of_one_byte() {
    let chain = in_records(&certificate(&[&[1; 500_000]]), 1);
    check(TlsConfig::default(), &chain, 1 << 20, "X", None);
    let chain = in_records(&certificate(&[&[1; 1_000_000]]), 1);
    check(TlsConfig::default(), &chain, 2 << 20, "!", TOO_LONG);
}

#[test]
fn a_million_records_of_nothing() {
    let hello = record(22, &server_hello_12());
    let check = |idle: &[u8], story| {
        let stream = |count| [hello.as_slice(), &idle.repeat(count)].concat();
        check(TlsConfig::default(), &stream(32), 0, story, None);
        let poisoned = format!("{story}!");
        check(TlsConfig::default(), &stream(33), 0, &poisoned, TOO_IDLE);
        check(TlsConfig::default(), &stream(1_000_000), 0, &poisoned, TOO_IDLE);
    };
    check(&record(22, &[]), "S");
    check(&record(21, &[]), "S");
    check(&record(24, b"heartbeat"), "S");
    check(&record(21, &[1, 100]), &format!("S{}", "A".repeat(32)));

    // What brings the handshake further begins the count anew.
    let empty = record(22, &[]).repeat(32);
    let done = record(22, &handshake(14, &[]));
    let stream = [hello.as_slice(), &empty, &done, &empty].concat();
    let mut feed = Feed::default();
    feed.feed(Responder, &stream);
    assert_eq!((feed.story().as_str(), feed.wants()), ("S", [true, true]));
}

#[test]
fn endless_early_data() {
    let hello = Hello::default().extension(42, &[]).record();
    for (early, wanted) in [
        (encrypted(23, 16_379).repeat(16), true),
        (encrypted(23, 16_379).repeat(17), false),
        (record(23, &[]).repeat(100_000), false),
    ] {
        let mut feed = Feed::default();
        feed.feed(Initiator, &hello);
        feed.feed_in_pieces(Initiator, &early, 1000);
        assert_eq!((feed.story().as_str(), feed.wants()), ("C", [wanted, true]));
        assert_eq!(feed.parser.buffered_bytes(), 0);
    }
}

/// Bytes that a hello holds on the heap besides its message.
fn held(hello: &TlsClientHello) -> usize {
    let numbers = [&hello.cipher_suites, &hello.extension_types, &hello.supported_groups];
    numbers.map(|list| 2 * list.capacity()).iter().sum::<usize>()
        + size_of_val(hello.key_shares.as_slice())
        + size_of_val(hello.alpn.as_slice())
}

#[test]
fn hellos_full_of_something() {
    let name = |len: usize| vec8(&vec![b'x'; len]).repeat(60_000 / (len + 1));
    let full = [
        Hello::default().suites(&[0x1301; 30_000]),
        (0..15_000).fold(Hello::default(), |hello, kind| hello.extension(kind, &[])),
        (0..15_000).fold(Hello::default(), |hello, _| hello.extension(0x7777, &[])),
        Hello::default().groups(&[29; 30_000]),
        Hello::default().extension(51, &vec16(&[0, 29, 0, 0].repeat(15_000))),
        Hello::default().extension(16, &vec16(&name(0))),
        Hello::default().extension(16, &vec16(&name(1))),
        Hello::default()
            .extension(41, &[vec16(&[0, 1, 9, 0, 0, 0, 0].repeat(9_000)), vec16(&[1])].concat()),
    ];
    for hello in full {
        let mut feed = Feed::default();
        for piece in in_records(&hello.message(), 16_384).chunks(1000) {
            feed.feed(Initiator, piece);
            assert!(feed.parser.buffered_bytes() <= 128 << 10);
        }
        assert_eq!((feed.story().as_str(), feed.parser.buffered_bytes()), ("C", 0));
        assert!(held(feed.client_hello()) <= 128 << 10);
    }
}

#[test]
fn chains_full_of_nothing() {
    let check = |count, story: &str| {
        let mut feed = Feed::default();
        let chain = certificate(&vec![b"".as_slice(); count]);
        feed.feed(Responder, &in_records(&chain, 16_384));
        assert_eq!(feed.story(), story);
    };
    check(1024, "X");
    check(1025, "!");
}

/// Lengths that say more or less than there is cost no more than their extension.
#[test]
fn lengths_that_lie() {
    let whole = Hello::default().sni("www.example.com").alpn(&[b"h2"]).groups(&[29]).message();
    let block = 4 + 2 + 32 + 33 + 2 + 4 + 2;
    for at in block..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut lying = whole.clone();
            lying[at] = value;
            let mut feed = Feed::default();
            feed.feed(Initiator, &record(22, &lying));
            assert_eq!((feed.story().as_str(), feed.wants()), ("C", [true, true]));
        }
    }
    for side in FlowSide::BOTH {
        let mut feed = Feed::default();
        feed.feed(
            side,
            &record(22, &server_hello(0x0303, [9; 32], &[(43, vec![3]), (16, vec![0, 9])])),
        );
        assert_eq!((feed.story().as_str(), feed.server_hello().supported_version), ("S", None));
    }
}
