use std::sync::Arc;

use flow::http::{HttpConfig, HttpMessage, HttpParser};
use flow::tls::TlsMessage;
use flow::{FlowSide, SessionParser};

use super::{L7Message, L7Stream};

const CLIENT: FlowSide = FlowSide::Initiator;
const SERVER: FlowSide = FlowSide::Responder;

const HELLO: &[u8] = b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x03\
    0123456789abcdef0123456789abcdef\x00\x00\x04\x13\x01\x13\x02\x01\x00\
    \x00\x18\x00\x00\x00\x0d\x00\x0b\x00\x00\x08flow.org\x00\x2b\x00\x03\x02\x03\x04";
const QUERY: &[u8] = b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x07example\x03com\x00\x00\x01\x00\x01";
const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT flow.org:443 HTTP/1.1\r\nHost: flow.org:443\r\n\r\n";
const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

fn parser() -> L7Stream {
    L7Stream::for_ports(Arc::new(HttpParser::with_config(HttpConfig::default())), 40_000, 12_345)
}

fn name(message: &L7Message) -> String {
    match message {
        L7Message::Http(HttpMessage::Request(request)) => request.method.to_string(),
        L7Message::Http(HttpMessage::Response(response)) => response.status.to_string(),
        L7Message::Tls(TlsMessage::ClientHello(_)) => "client_hello".to_owned(),
        L7Message::Dns(_) => "dns".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Feeds pieces in this order; the messages that come out have these names.
#[track_caller]
fn check(pieces: &[(FlowSide, &[u8])], expected: &[&str]) -> L7Stream {
    let mut parser = parser();
    let mut found = Vec::new();
    for (side, bytes) in pieces {
        found.extend(match side {
            FlowSide::Initiator => parser.feed_initiator(bytes),
            FlowSide::Responder => parser.feed_responder(bytes),
        });
    }
    assert_eq!(found.iter().map(name).collect::<Vec<_>>(), expected);
    parser
}

#[test]
fn protocols_are_told_by_their_first_bytes() {
    check(&[(CLIENT, REQUEST)], &["GET"]);
    check(&[(CLIENT, HELLO)], &["client_hello"]);
    check(&[(CLIENT, QUERY)], &["dns"]);
}

#[test]
fn first_bytes_may_come_one_by_one() {
    for (bytes, expected) in [(REQUEST, "GET"), (HELLO, "client_hello"), (QUERY, "dns")] {
        let pieces: Vec<_> = bytes.chunks(1).map(|byte| (CLIENT, byte)).collect();
        check(&pieces, &[expected]);
    }
}

#[test]
fn sides_may_come_in_any_order() {
    check(&[(SERVER, HELLO)], &["client_hello"]);
    check(&[(SERVER, REQUEST)], &["GET"]);
}

#[test]
fn tls_begins_behind_a_greeting() {
    let pieces: [(FlowSide, &[u8]); 4] = [
        (SERVER, b"220 mail ESMTP\r\n"),
        (CLIENT, b"STARTTLS\r\n"),
        (SERVER, b"220 go ahead\r\n"),
        (CLIENT, HELLO),
    ];
    check(&pieces, &["client_hello"]);
}

#[test]
fn tls_begins_in_a_tunnel() {
    let expected = ["CONNECT", "200", "client_hello"];
    check(&[(CLIENT, CONNECT), (SERVER, CONNECTED), (CLIENT, HELLO)], &expected);
}

#[test]
fn http_begins_in_a_tunnel() {
    let expected = ["CONNECT", "200", "GET"];
    check(&[(CLIENT, CONNECT), (SERVER, CONNECTED), (CLIENT, REQUEST)], &expected);
}

#[test]
fn tunnels_lie_in_tunnels() {
    let through = [(CLIENT, CONNECT), (SERVER, CONNECTED)];
    let pieces = [&through[..], &through[..], &through[..], &[(CLIENT, HELLO)]].concat();
    let expected = ["CONNECT", "200", "CONNECT", "200", "CONNECT", "200", "client_hello"];
    check(&pieces, &expected);
}

#[test]
fn tunnel_begins_inside_of_a_piece() {
    let answer = [CONNECTED, b"HTTP/1.1 204 No Content\r\n\r\n"].concat();
    check(&[(CLIENT, CONNECT), (SERVER, &answer)], &["CONNECT", "200", "204"]);
}

#[test]
fn what_is_nothing_is_dropped() {
    let noise = vec![0xee; 128 << 10];
    let pieces: Vec<_> =
        noise.chunks(1_000).flat_map(|piece| [(CLIENT, piece), (SERVER, piece)]).collect();
    let parser = check(&pieces, &[]);
    assert!(!parser.wants(CLIENT) && !parser.wants(SERVER));
    assert!(!parser.is_poisoned());
    assert_eq!(parser.buffered_bytes(), 0);
}

#[test]
fn framing_that_breaks_is_told() {
    let noise = b"\0\0\0\0\r\n";
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    let pieces: [(FlowSide, &[u8]); 4] =
        [(CLIENT, REQUEST), (SERVER, answer), (CLIENT, noise), (SERVER, noise)];
    let parser = check(&pieces, &["GET", "204"]);
    assert!(parser.is_poisoned());
    assert!(parser.poison_reason().is_some());
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_never_panic(
            pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
            start in 0..6_usize,
        ) {
            let mut parser = parser();
            let openings: [&[u8]; 6] = [b"", HELLO, QUERY, REQUEST, CONNECT, CONNECTED];
            parser.feed_initiator(openings[start]);
            parser.feed_responder(openings[5 - start]);
            for (initiator, bytes) in pieces {
                if parser.is_poisoned() {
                    break;
                }
                if initiator { parser.feed_initiator(&bytes) } else { parser.feed_responder(&bytes) };
            }
        }
    }
}
