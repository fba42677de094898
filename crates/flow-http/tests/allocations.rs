//! What costs no memory: bodies that are skipped, other protocols, bytes that are searched in vain.

use flow_core::FlowSide::{self, Initiator as C, Responder as S};
use flow_core::{Gap, GapReason, Timestamp};
use flow_http::{BodyPolicy, HttpConfig, HttpMessage, HttpParser};
use flow_session::{Context, Mark, Parsed, SessionParser};

/// Feeds the parser and says how many allocations that took.
fn feed(
    parser: &mut HttpParser,
    side: FlowSide,
    bytes: &[u8],
    out: &mut Vec<Parsed<HttpMessage>>,
) -> u64 {
    let (at, mut pending) = (Mark { offset: 0, packet: 1 }, None);
    let time = Timestamp::from_nanos(0);
    let info = allocation_counter::measure(|| {
        let mut cx = Context::new(time, 1, side, at, bytes.len(), &mut pending, out);
        parser.feed(side, bytes, &mut cx);
    });
    info.count_total
}

#[test]
fn skipped_bodies() {
    let mut config = HttpConfig::default();
    config.body = BodyPolicy::Skip;
    for framing in ["Content-Length: 999999", "Transfer-Encoding: chunked", "Connection: close"] {
        let (mut parser, mut out) = (HttpParser::with_config(config.clone()), Vec::new());
        let head = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
        feed(&mut parser, S, head.as_bytes(), &mut out);
        let piece = "5dc\r\n".to_owned() + &"x".repeat(1_500) + "\r\n";
        for _ in 0..100 {
            assert_eq!(feed(&mut parser, S, piece.as_bytes(), &mut out), 0, "{framing}");
        }
    }
}

#[test]
fn other_protocols() {
    let (mut parser, mut out) = (HttpParser::default(), Vec::new());
    assert_eq!(feed(&mut parser, C, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", &mut out), 0);
    assert_eq!(feed(&mut parser, S, b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03", &mut out), 0);
    assert!(parser.is_not_http());
}

#[test]
fn bytes_searched_in_vain() {
    let (mut parser, mut out) = (HttpParser::default(), Vec::new());
    feed(&mut parser, C, b"GET / HTTP/1.1\r\n\r\n", &mut out);
    let (at, mut pending) = (Mark { offset: 0, packet: 1 }, None);
    let mut cx = Context::new(Timestamp::from_nanos(0), 1, S, at, 9, &mut pending, &mut out);
    parser.gap(S, Gap { offset: 0, len: 9, reason: GapReason::Acked }, &mut cx);
    for piece in [&[0xff; 1_460][..], &[0; 1_460], &[b'x'; 1_460], b"\r\ntext\r\nmore\r\n"] {
        for _ in 0..100 {
            assert_eq!(feed(&mut parser, S, piece, &mut out), 0, "{:?}", &piece[..9]);
        }
    }
}
