//! Handshakes as they go over the wire, each with what a parser must make of it.

mod common;

use common::*;
use flow_core::FlowSide;
use flow_session::{GapAction, SessionParser};
use flow_tls::{TlsAlert, TlsMessage, TlsParser, TlsVersion};

/// Feeds packets, and checks the messages found (see [`Feed::story`]) and which sides are still
/// of interest; then does so again byte by byte.
#[track_caller]
fn check(packets: &[(FlowSide, &[u8])], story: &str, wants: [bool; 2]) {
    for piece in [usize::MAX, 1] {
        let mut feed = Feed::default();
        for (side, bytes) in packets {
            feed.feed_in_pieces(*side, bytes, piece);
        }
        assert_eq!(feed.story(), story, "{:?}", feed.parser.poison_reason());
        assert_eq!(feed.wants(), wants, "wanted sides");
        for side in FlowSide::BOTH {
            let ends = feed.found.iter().filter(|parsed| parsed.side == side);
            assert!(ends.map(|parsed| parsed.range.end).is_sorted());
        }
        if wants == [false, false] {
            assert_eq!(feed.parser.buffered_bytes(), 0);
        }
    }
}

fn client_hello() -> Vec<u8> {
    Hello::default().sni("www.example.com").record()
}

const ALERT: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

#[test]
fn tls_1_2() {
    let server = [
        record(22, &server_hello_12()),
        record(22, &certificate(&[b"leaf", b"root"])),
        record(22, &[handshake(12, &[1; 300]), handshake(14, &[])].concat()),
    ]
    .concat();
    let client = [record(22, &handshake(16, &[5; 66])), CCS.to_vec(), encrypted(22, 40)].concat();
    let finish = [CCS, encrypted(22, 40).as_slice(), &encrypted(23, 400)].concat();
    check(
        &[
            (Initiator, &client_hello()),
            (Responder, &server),
            (Initiator, &client),
            (Responder, &finish),
            (Initiator, &encrypted(21, 26)),
        ],
        "CSX",
        [false, false],
    );
}

#[test]
fn client_certificate() {
    let mut server = server_hello_12();
    server.extend(certificate(&[b"leaf"]));
    server.extend(handshake(13, &[1; 20]));
    server.extend(handshake(14, &[]));
    let mut client = certificate(&[]);
    client.extend(handshake(16, &[5; 66]));
    check(
        &[
            (Initiator, &client_hello()),
            (Responder, &record(22, &server)),
            (Initiator, &[record(22, &client), CCS.to_vec()].concat()),
        ],
        "CSXX",
        [false, true],
    );
}

#[test]
fn resumption_leaves_the_finished_alone() {
    let hello = client_hello();
    let flight = [record(22, &server_hello_12()), CCS.to_vec(), encrypted(22, 40)].concat();
    let finish = [CCS, encrypted(22, 40).as_slice()].concat();
    check(&[(Initiator, &hello), (Responder, &flight), (Initiator, &finish)], "CS", [false; 2]);
    // The client's side alone: only its encrypted record shows that it meant it.
    check(&[(Initiator, &hello), (Initiator, CCS)], "C", [true, true]);
    check(&[(Initiator, &hello), (Initiator, &finish)], "C", [false, true]);
    // The server's side seen late.
    check(&[(Initiator, &hello), (Initiator, CCS), (Responder, &flight)], "CS", [false; 2]);
}

#[test]
fn tls_1_3() {
    let server = [record(22, &server_hello_13()), CCS.to_vec(), encrypted(23, 900)].concat();
    let client = [CCS.to_vec(), encrypted(23, 60)].concat();
    check(
        &[(Initiator, &client_hello()), (Responder, &server), (Initiator, &client)],
        "CS",
        [false, false],
    );
    // A client that dislikes the ServerHello says so in clear.
    check(
        &[(Initiator, &client_hello()), (Responder, &server), (Initiator, ALERT)],
        "CSA",
        [false, false],
    );
}

/// Drafts 18 to 21 leave session and compression out, and have their own number in the version.
#[test]
fn draft_of_tls_1_3() {
    let mut body = vec![0x7f, 0x12];
    body.extend([9; 32]);
    body.extend([0x13, 0x01, 0, 4, 0, 51, 0, 0]);
    let hello = record(22, &handshake(2, &body));
    check(&[(Responder, &hello), (Responder, &encrypted(23, 90))], "S", [true, false]);

    let mut feed = Feed::default();
    let hello = feed.feed(Responder, &hello).server_hello();
    assert_eq!(hello.version(), TlsVersion::Other(0x7f12));
    assert_eq!((hello.cipher_suite, hello.extension_types.as_slice()), (0x1301, [51].as_slice()));
}

#[test]
fn hello_retry_request() {
    let (first, second) = (client_hello(), Hello::default().groups(&[0x1d]).record());
    let retry = [record(22, &common::hello_retry_request()), CCS.to_vec()].concat();
    let client = [CCS, &second].concat();
    let server = [record(22, &server_hello_13()), encrypted(23, 900)].concat();
    let rest = encrypted(23, 60);
    let all: [(_, &[u8]); 5] = [
        (Initiator, &first),
        (Responder, &retry),
        (Initiator, &client),
        (Responder, &server),
        (Initiator, &rest),
    ];
    check(&all, "CRCS", [false, false]);
    // The second hello comes late, or the server's side is not there at all.
    check(&[all[0], all[1], (Initiator, CCS), all[3], (Initiator, &second)], "CRSC", [true, false]);
    check(&[all[0], all[2], all[4]], "CC", [false, true]);
    // Instead of the second hello.
    check(&[all[0], all[1], (Initiator, CCS), (Initiator, ALERT)], "CRA", [false, true]);
}

#[test]
fn early_data() {
    let first = Hello::default().extension(42, &[]).record();
    let early = [CCS, encrypted(23, 500).as_slice(), &encrypted(23, 500)].concat();
    let retry = record(22, &common::hello_retry_request());
    let second = Hello::default().record();
    check(
        &[(Initiator, &first), (Initiator, &early), (Responder, &retry), (Initiator, &second)],
        "CRC",
        [true, true],
    );
    let server = record(22, &server_hello_13());
    check(&[(Initiator, &first), (Initiator, &early), (Responder, &server)], "CS", [false, false]);
    // Without an answer it ends somewhere.
    let much = encrypted(23, 16_384).repeat(17);
    check(&[(Initiator, &first), (Initiator, &much)], "C", [false, true]);
    // Unless offered, it is no early data.
    check(&[(Initiator, &client_hello()), (Initiator, &early)], "C", [false, true]);
}

#[test]
fn alerts() {
    let warning: &[u8] = b"\x15\x03\x01\x00\x02\x01\x70";
    let server = [warning, &record(22, &server_hello_12())].concat();
    check(&[(Initiator, &client_hello()), (Responder, &server)], "CAS", [true, true]);
    check(&[(Responder, ALERT)], "A", [true, false]);
    let two: &[u8] = b"\x15\x03\x01\x00\x04\x01\x70\x02\x28";
    check(&[(Initiator, &client_hello()), (Responder, two)], "CAA", [true, false]);
    check(&[(Initiator, &encrypted(21, 26))], "", [false, true]);
    check(
        &[(Initiator, &client_hello()), (Initiator, CCS), (Initiator, ALERT)],
        "C",
        [false, true],
    );

    let mut feed = Feed::default();
    feed.feed(Responder, ALERT);
    let alert = TlsAlert { level: 2, description: 40 };
    assert_eq!(feed.found[0].message, TlsMessage::Alert(alert));
}

#[test]
fn one_message_over_many_records_and_many_in_one() {
    let hello = Hello::default().extension(21, &[0; 1500]).message();
    let server = [server_hello_12(), certificate(&[&[1; 3000]]), handshake(14, &[])].concat();
    for len in [1, 3, 4, 5, 60, 200] {
        check(
            &[(Initiator, &in_records(&hello, len)), (Responder, &in_records(&server, len))],
            "CSX",
            [true, true],
        );
    }
    check(&[(Responder, &record(22, &server))], "SX", [true, true]);
}

#[test]
fn unknown_messages_are_skipped() {
    let mut hello = client_hello();
    hello.extend(in_records(&handshake(99, &[1; 40_000]), 16_384));
    hello.extend(record(24, b"heartbeat"));
    hello.extend(record(22, &[]));
    hello.extend(record(22, &certificate(&[b"leaf"])));
    check(&[(Initiator, &hello)], "CX", [true, true]);
}

#[test]
fn not_tls() {
    for bytes in ["GET / HTTP/1.1\r\n\r\n", "SSH-2.0-OpenSSH_9.6\r\n", "\0\0\0\0", "\x16\x03\x07"] {
        check(&[(Initiator, bytes.as_bytes())], "", [false, true]);
    }
    check(&[(Initiator, b"\x16"), (Initiator, b"GET")], "", [false, true]);
}

#[test]
fn joined_in_the_middle() {
    check(&[(Initiator, &encrypted(23, 60)), (Responder, &encrypted(23, 60))], "", [false, false]);
    check(&[(Initiator, CCS)], "", [false, true]);
    check(&[(Responder, &record(22, &certificate(&[b"leaf"])))], "X", [true, true]);
    // The server was taken for the initiator.
    check(
        &[(Initiator, &record(22, &server_hello_13())), (Responder, &client_hello())],
        "SC",
        [false, true],
    );
}

#[test]
fn nonsense_poisons() {
    let check = |bytes: &[u8], reason: &str| {
        let bytes = [client_hello().as_slice(), bytes].concat();
        for piece in [usize::MAX, 1] {
            let mut feed = Feed::default();
            feed.feed_in_pieces(Initiator, &bytes, piece);
            assert_eq!(feed.story(), "C!");
            assert_eq!(feed.parser.poison_reason(), Some(reason));
            assert_eq!((feed.wants(), feed.parser.buffered_bytes()), ([false; 2], 0));
        }
    };
    check(b"HELO there", "bad record header");
    check(b"\x16\x03\x03\x48\x01", "bad record header");
    check(&record(22, &handshake(1, &[3; 30])), "malformed ClientHello");
    check(&record(22, &handshake(2, &[3; 30])), "malformed ServerHello");
    check(&record(22, &handshake(11, &[0, 0, 4, 0, 0, 2, 1])), "malformed Certificate");
}

#[test]
fn a_bad_extension_does_not_lose_the_hello() {
    let hello = Hello::default()
        .extension(0, &[0, 99, 0])
        .extension(10, &[0, 3, 0, 29, 0])
        .extension(16, &[0, 5, 2, b'h', b'2', 9, b'x'])
        .extension(43, &[])
        .extension(13, &[0, 2, 4, 3]);
    let parsed = hello.parsed();
    assert_eq!(parsed.extension_types, [0, 10, 16, 43, 13]);
    assert_eq!(parsed.sni, None);
    assert_eq!(parsed.supported_groups, [29]);
    assert_eq!(parsed.alpn, ["h2"]);
    assert_eq!(parsed.supported_versions, []);
    assert_eq!(parsed.signature_algorithms, [0x0403]);
}

#[test]
fn a_large_chain() {
    let der = vec![5; 340_000];
    let stream = in_records(&certificate(&[&der]), 16_384);
    let mut feed = Feed::default();
    feed.feed_in_pieces(Responder, &stream, 1_448);
    let TlsMessage::Certificate(chain) = &feed.found[0].message else { panic!() };
    assert_eq!(chain.certificates[0].der, der);
    assert_eq!(feed.found[0].range, 0..stream.len() as u64);
    assert_eq!(feed.parser.buffered_bytes(), 0);
}

#[test]
fn small_when_idle() {
    assert!(size_of::<TlsParser>() <= 256, "{}", size_of::<TlsParser>());
    assert!(size_of::<TlsMessage>() <= 32, "{}", size_of::<TlsMessage>());
    assert_eq!(TlsParser::default().buffered_bytes(), 0);

    let hello = client_hello();
    let mut feed = Feed::default();
    feed.feed(Initiator, &hello[..hello.len() - 1]);
    let held = feed.parser.buffered_bytes();
    assert!(held >= hello.len() - 6 && held < 2 * hello.len() + 100, "{held}");
    feed.feed(Initiator, &hello[hello.len() - 1..]);
    assert_eq!((feed.story().as_str(), feed.parser.buffered_bytes()), ("C", 0));

    feed.feed(Initiator, &hello[..9]);
    assert_ne!(feed.parser.buffered_bytes(), 0);
    feed.parser.rst_initiator();
    assert_eq!(feed.parser.buffered_bytes(), 0);
}

#[test]
fn provenance() {
    let first = record(22, &handshake(14, &[]));
    let both = [server_hello_12(), certificate(&[b"leaf"])].concat();
    let stream = [first.clone(), record(22, &both)].concat();
    let start = first.len() as u64;
    let hello_end = start + 5 + server_hello_12().len() as u64;
    let expected = [(start..hello_end, 2), (start..stream.len() as u64, 2)];

    let mut feed = Feed::default();
    feed.feed(Responder, &first[..3]).feed(Responder, &stream[3..first.len() + 20]);
    feed.feed(Responder, &stream[first.len() + 20..]);
    let found: Vec<_> = feed.found.iter().map(|p| (p.range.clone(), p.first_packet)).collect();
    assert_eq!(found, expected);
}

#[test]
fn gaps() {
    let server = record(22, &[server_hello_12(), handshake(12, &[1; 300])].concat());
    let hello_len = 5 + server_hello_12().len();
    let rest = record(22, &certificate(&[b"leaf"]));

    // Inside a message that is skipped anyway.
    let mut feed = Feed::default();
    feed.feed(Responder, &server[..hello_len + 100]);
    assert_eq!(feed.gap(Responder, 150), GapAction::Resume);
    feed.feed(Responder, &server[hello_len + 250..]).feed(Responder, &rest);
    assert_eq!(feed.story(), "SX");

    // Inside a hello, which is lost.
    let mut feed = Feed::default();
    feed.feed(Responder, &server[..30]);
    assert_eq!(feed.gap(Responder, 10), GapAction::Resume);
    feed.feed(Responder, &server[40..]).feed(Responder, &rest);
    assert_eq!((feed.story().as_str(), feed.parser.buffered_bytes()), ("X", 0));

    // Beyond it.
    let mut feed = Feed::default();
    feed.feed(Responder, &server[..30]);
    assert_eq!(feed.gap(Responder, 100), GapAction::StopSide);
    assert_eq!(feed.wants(), [true, false]);

    // At the start, or at the end of a record: where the next one begins is not known, not even
    // if something that looks like a hello follows.
    let mut feed = Feed::default();
    assert_eq!(feed.gap(Initiator, 100), GapAction::StopSide);
    feed.feed(Initiator, &client_hello());
    assert_eq!((feed.story().as_str(), feed.wants()), ("", [false, true]));
    let mut feed = Feed::default();
    feed.feed(Responder, &server);
    assert_eq!(feed.gap(Responder, 1), GapAction::StopSide);

    // The rest of an alert, and a part of it, behind which levels and descriptions are mixed up.
    let alerts = b"\x15\x03\x01\x00\x04\x01\x70\x01\x70";
    for (len, action, story) in
        [(3, GapAction::Resume, "C"), (2, GapAction::StopSide, ""), (4, GapAction::StopSide, "")]
    {
        let mut feed = Feed::default();
        feed.feed(Initiator, &alerts[..6]);
        assert_eq!(feed.gap(Initiator, len), action);
        feed.feed(Initiator, &client_hello());
        assert_eq!(feed.story(), story);
    }
}
