//! What costs no memory: pieces in which no message ends, whatever is spoken and in whatever layer.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{CLIENT, CONNECT, CONNECTED, HELLO, SERVER, Said};
use flow_core::{FlowSide, Timestamp};
use flow_http::{BodyPolicy, HttpConfig};
use flow_l7::{L7Config, L7Parser};
use flow_session::{Context, Mark, SessionParser};

/// After what was said, no more of this piece takes memory, as far as it is wanted.
#[track_caller]
fn check(said: &[Said<'_>], (side, piece): Said<'_>) {
    let mut http = HttpConfig::default();
    http.body = BodyPolicy::Skip;
    let config = L7Config::<()>::default().with_http(http);
    let (mut parser, mut offsets) = (L7Parser::new(Arc::new(config)), [0; 2]);
    let mut feed = |side: FlowSide, bytes: &[u8]| {
        let (mut pending, mut out) = (None, Vec::with_capacity(1));
        let offset = &mut offsets[side.index()];
        let at = Mark { offset: *offset, packet: 1 };
        *offset += bytes.len() as u64;
        if !parser.wants(side) {
            return 0;
        }
        let time = Timestamp::default();
        let info = allocation_counter::measure(|| {
            let len = bytes.len();
            let mut cx = Context::new(time, 1, side, at, len, &mut pending, &mut out);
            parser.feed(side, bytes, &mut cx);
        });
        info.count_total
    };
    for (side, bytes) in said {
        feed(*side, bytes);
    }
    for number in 0..200 {
        assert_eq!(feed(side, piece), 0, "piece {number}");
    }
}

const BODY: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n";
const DATA: &[u8] = &[b'x'; 1_460];

#[test]
fn bodies_that_are_skipped() {
    check(&[(SERVER, BODY)], (SERVER, DATA));
    check(&[(CLIENT, CONNECT), (SERVER, CONNECTED), (SERVER, BODY)], (SERVER, DATA));
}

#[test]
fn records_of_tls() {
    let record = [&b"\x17\x03\x03\x05\xb4"[..], DATA].concat();
    check(&[(CLIENT, HELLO), (CLIENT, b"\x14\x03\x03\0\x01\x01")], (CLIENT, &record));
    check(&[(CLIENT, CONNECT), (SERVER, CONNECTED), (CLIENT, HELLO)], (CLIENT, &record));
}

#[test]
fn what_is_not_known() {
    let noise: &[u8] = &[0xee; 1_460];
    // The first bytes of each side begin the search.
    check(&[(CLIENT, noise), (CLIENT, noise)], (CLIENT, noise));
    check(&[(CLIENT, noise), (SERVER, noise), (SERVER, noise)], (SERVER, noise));
    check(&[(SERVER, b"x\r\n"), (SERVER, noise)], (SERVER, noise));
}

#[test]
fn a_dialogue_in_front_of_tls() {
    check(&[(SERVER, b"220 mail.example ESMTP\r\n")], (SERVER, b"250 go on\r\n"));
    check(&[(CLIENT, b"<stream>")], (CLIENT, b"<message>word</message>"));
}
