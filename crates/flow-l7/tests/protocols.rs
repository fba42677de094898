//! What is spoken is found by the first bytes, in tunnels too.

#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{
    ANSWER, CLIENT, CONNECT, CONNECTED, Driven, HELLO, QUERY, REQUEST, SERVER, SERVER_HELLO, Said,
    check, converse,
};
use flow_core::FlowSide;
use flow_l7::{L7Config, L7DatagramParser, L7Detection, L7Message, L7Parser, L7Protocol};
use flow_session::{DatagramParser, SessionParser};

#[test]
fn protocols_are_told_by_their_first_bytes() {
    let said = |bytes, expected, protocol| {
        assert_eq!(check(&[(CLIENT, bytes)], &[expected]).parser.protocol(), Some(protocol));
        assert_eq!(check(&[(SERVER, bytes)], &[expected]).parser.protocol(), Some(protocol));
    };
    said(REQUEST, "GET", L7Protocol::Http);
    said(HELLO, "client_hello", L7Protocol::Tls);
    said(QUERY, "query", L7Protocol::Dns);
}

#[test]
fn both_sides_count() {
    check(&[(CLIENT, REQUEST), (SERVER, ANSWER)], &["GET", "204"]);
    check(&[(SERVER, ANSWER), (CLIENT, REQUEST)], &["204", "GET"]);
    check(&[(CLIENT, HELLO), (SERVER, SERVER_HELLO)], &["client_hello", "server_hello"]);
    // Of a connection that was joined midstream, one side may begin with anything.
    let middle = &SERVER_HELLO[20..];
    check(&[(SERVER, middle), (CLIENT, HELLO)], &["client_hello"]);
    check(
        &[(SERVER, b"...the end of a body\r\n"), (CLIENT, REQUEST), (SERVER, ANSWER)],
        &["GET", "204"],
    );
    check(&[(SERVER, &QUERY[..20]), (CLIENT, HELLO)], &["client_hello"]);
}

#[test]
fn a_server_may_answer_tls_in_http() {
    let driven = check(&[(CLIENT, HELLO), (SERVER, ANSWER)], &["client_hello", "204"]);
    assert_eq!(driven.parser.protocol(), Some(L7Protocol::Http));
    check(&[(CLIENT, HELLO), (SERVER, b"Hello"), (CLIENT, REQUEST)], &["client_hello"]);
}

#[test]
fn tls_begins_in_a_tunnel() {
    let said: [Said<'_>; 4] =
        [(CLIENT, CONNECT), (SERVER, CONNECTED), (CLIENT, HELLO), (SERVER, SERVER_HELLO)];
    check(&said, &["CONNECT", "200", "client_hello", "server_hello"]);
}

#[test]
fn the_inside_of_a_tunnel_may_come_with_its_outside() {
    let request = [CONNECT, HELLO].concat();
    let answer = [CONNECTED, SERVER_HELLO].concat();
    check(
        &[(CLIENT, CONNECT), (SERVER, &answer), (CLIENT, HELLO)],
        &["CONNECT", "200", "server_hello", "client_hello"],
    );
    // What a client sends before it is let in is not looked at before.
    let found = converse(&[(CLIENT, &request), (SERVER, &answer)]).found;
    assert_eq!(found[2].2, "server_hello");
}

#[test]
fn http_begins_in_a_tunnel() {
    let through = [(CLIENT, CONNECT), (SERVER, CONNECTED)];
    let inside = [(CLIENT, REQUEST), (SERVER, ANSWER)];
    check(&[through, inside].concat(), &["CONNECT", "200", "GET", "204"]);
    let said = [through, through, through, inside].concat();
    check(&said, &["CONNECT", "200", "CONNECT", "200", "CONNECT", "200", "GET", "204"]);
}

#[test]
fn layers_have_a_limit() {
    let through = [(CLIENT, CONNECT), (SERVER, CONNECTED)].repeat(15);
    let inside = [&through[..], &[(CLIENT, HELLO)]].concat();
    assert_eq!(converse(&inside).found.len(), 31);
    let through = [(CLIENT, CONNECT), (SERVER, CONNECTED)].repeat(1_000);
    let driven = converse(&through);
    assert_eq!(driven.found.len(), 32);
    assert!(!driven.parser.wants(CLIENT));
    assert!(driven.parser.buffered_bytes() < 10_000);
}

#[test]
fn a_gap_in_front_of_a_tunnel_takes_its_beginning() {
    let mut driven = converse(&[(CLIENT, CONNECT), (SERVER, CONNECTED)]);
    driven.gap(CLIENT, 5);
    driven.say(CLIENT, HELLO);
    driven.say(SERVER, SERVER_HELLO);
    let names: Vec<_> = driven.found.iter().map(|(.., name)| &**name).collect();
    assert_eq!(names, ["CONNECT", "200", "server_hello"]);
}

#[test]
fn what_is_unknown_is_let_go() {
    let noise = vec![0xee; 128 << 10];
    let said: Vec<_> =
        noise.chunks(1_000).flat_map(|piece| [(CLIENT, piece), (SERVER, piece)]).collect();
    let driven = check(&said, &[]);
    assert!(!driven.parser.wants(CLIENT) && !driven.parser.wants(SERVER));
    assert!(!driven.parser.is_poisoned());
    assert_eq!(driven.parser.buffered_bytes(), 0);
    assert_eq!(driven.parser.protocol(), None);

    // The first segment of each side suffices for most.
    let ssh = b"SSH-2.0-OpenSSH_9.6\r\n\0\0\x04\x1c\x0a\x14";
    let driven = check(&[(SERVER, ssh), (CLIENT, ssh)], &[]);
    assert!(!driven.parser.wants(CLIENT) && !driven.parser.wants(SERVER));
}

#[test]
fn framing_that_breaks_is_told() {
    let noise = b"\0\0\0\0\r\n";
    let said: [Said<'_>; 4] =
        [(CLIENT, REQUEST), (SERVER, ANSWER), (CLIENT, noise), (SERVER, noise)];
    let driven = converse(&said);
    assert!(driven.parser.is_poisoned());
    assert!(driven.parser.poison_reason().is_some());
}

#[test]
fn held_bytes_are_bounded() {
    // A start line that does not end.
    let mut line = b"GET /".to_vec();
    line.resize(100 << 10, b'a');
    for size in [1, 1_000, 1 << 20] {
        let mut driven = Driven::new(L7Parser::<()>::default());
        for piece in line.chunks(size) {
            driven.say(CLIENT, piece);
            assert!(driven.parser.buffered_bytes() < 400 << 10, "{size}");
        }
        driven.say(CLIENT, b" HTTP/1.1\r\n\r\n");
        assert_eq!(driven.found.len(), 1, "{size}");
    }
}

#[test]
fn where_held_bytes_came_from_is_bounded_too() {
    let mut driven = Driven::new(L7Parser::<()>::default());
    for byte in b"GET /".iter().chain(&[b'a'; 8_000]) {
        driven.say(CLIENT, &[*byte]);
    }
    assert!(driven.parser.buffered_bytes() < 20 << 10);
}

#[test]
fn what_breaks_in_a_tunnel_ends_nothing_outside() {
    let head = b"POST /a HTTP/1.1\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\nab";
    let ticket = b"\x16\x03\x03\0\x0a\x04\0\0\x06\0\0\0\0\0\0";
    let said: [Said<'_>; 4] = [
        (CLIENT, head),
        (SERVER, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        (SERVER, ticket),
        (SERVER, b"no record"),
    ];
    let driven = converse(&said);
    assert_eq!((driven.found.len(), driven.parser.is_poisoned()), (2, false));
    let mut driven = converse(&[&said[..], &[(CLIENT, b"cde")]].concat());
    assert_eq!((driven.found.len(), driven.parser.is_poisoned()), (3, true));
    assert_eq!(driven.found.pop().unwrap().2, "POST");
    // The client comes to what is broken, and no further.
    let inside = [b"cde", ANSWER].concat();
    let warning = b"\x15\x03\x03\0\x02\x01\x70";
    let broken = [said[0], said[1], (SERVER, warning), said[3], (CLIENT, &inside)];
    let driven = check(&broken, &["101", "alert", "POST"]);
    assert!(driven.parser.is_poisoned());
    // It is told at the end at the latest.
    let mut driven = converse(&said);
    driven.end();
    assert_eq!((driven.found.len(), driven.parser.is_poisoned()), (3, true));
}

#[test]
fn what_is_held_is_read_before_the_other_side_breaks() {
    let answer = b"<x/>HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nno number";
    let rest = &REQUEST[2..];
    check(&[(CLIENT, &REQUEST[..2]), (SERVER, answer), (CLIENT, rest)], &["200", "GET"]);
}

#[test]
fn what_comes_behind_a_gap_is_no_beginning() {
    let found = |gap| {
        let mut driven = Driven::new(L7Parser::<()>::default());
        if gap {
            driven.gap(CLIENT, 5);
        }
        driven.say(CLIENT, b"GET /old\r\n");
        driven.found.len()
    };
    assert_eq!([found(false), found(true)], [1, 0]);
}

#[test]
fn a_prefix_that_nothing_follows_is_read() {
    let mut driven = converse(&[(CLIENT, &REQUEST[..REQUEST.len() - 2])]);
    assert_eq!(driven.found.len(), 0);
    driven.end();
    assert_eq!(driven.found.len(), 1);
}

/// Bytes behind a `#`, of either side.
#[derive(Debug, Default)]
struct Hashes(bool);

impl SessionParser for Hashes {
    type Message = String;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0 |= bytes.contains(&b'!');
        bytes.split(|byte| *byte == b';').map(|part| part.escape_ascii().to_string()).collect()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<String> {
        self.feed_initiator(bytes)
    }

    fn is_poisoned(&self) -> bool {
        self.0
    }
}

impl DatagramParser for Hashes {
    type Message = String;

    fn parse(&mut self, payload: &[u8], _: FlowSide) -> Vec<String> {
        vec![payload.escape_ascii().to_string()]
    }
}

fn hashes(_: FlowSide, prefix: &[u8]) -> L7Detection {
    match prefix {
        [b'#', b'#', ..] => L7Detection::Yes,
        [] | [b'#'] => L7Detection::NeedMore,
        _ => L7Detection::No,
    }
}

fn with_hashes() -> Driven<String> {
    let config = L7Config::default().with_stream_protocol(hashes, Hashes::default);
    Driven::new(L7Parser::new(Arc::new(config)))
}

#[test]
fn a_protocol_of_the_users() {
    let mut driven = with_hashes();
    driven.say(CLIENT, b"#");
    assert!(driven.found.is_empty());
    driven.say(CLIENT, b"#a;b");
    driven.say(SERVER, b"c");
    let expected =
        [(CLIENT, 0..1, "#"), (CLIENT, 1..5, "#a"), (CLIENT, 1..5, "b"), (SERVER, 0..1, "c")];
    let expected = expected.map(|(side, range, text)| (side, range, format!("Custom({text:?})")));
    assert_eq!(driven.found, expected);
    assert_eq!(driven.parser.protocol(), Some(L7Protocol::Custom));
    driven.say(SERVER, b"!");
    assert!(driven.parser.is_poisoned());
}

#[test]
fn held_bytes_are_of_the_side_that_sent_them() {
    let mut driven = with_hashes();
    driven.say(SERVER, b"#");
    driven.say(CLIENT, b"##");
    let expected = [(SERVER, 0..1, "#"), (CLIENT, 0..2, "##")];
    let expected = expected.map(|(side, range, text)| (side, range, format!("Custom({text:?})")));
    assert_eq!(driven.found, expected);
}

#[test]
fn a_protocol_of_the_users_in_a_tunnel() {
    let mut driven = with_hashes();
    let said: [Said<'_>; 3] = [(CLIENT, CONNECT), (SERVER, CONNECTED), (CLIENT, b"##")];
    said.iter().for_each(|(side, bytes)| driven.say(*side, bytes));
    assert_eq!(driven.found.len(), 3);
    assert_eq!(driven.found[2].1.start, CONNECT.len() as u64);
}

#[test]
fn others_are_still_found_beside_it() {
    for bytes in [REQUEST, HELLO, QUERY] {
        let mut driven = with_hashes();
        driven.say(CLIENT, bytes);
        assert_eq!(driven.found.len(), 1);
    }
}

#[test]
fn a_protocol_of_the_users_over_udp() {
    let config = L7Config::default().with_datagram_protocol(hashes, Hashes::default);
    let mut parser = L7DatagramParser::new(Arc::new(config));
    assert_eq!(parser.parse(&QUERY[2..], CLIENT).len(), 1);
    assert_eq!(parser.parse(b"##a", CLIENT), [L7Message::Custom("##a".to_owned())]);
    assert_eq!(parser.parse(b"b", SERVER), [L7Message::Custom("b".to_owned())]);
}

#[test]
fn a_side_that_is_done_stays_so() {
    let data = [&b"\x17\x03\x03\x00\x10"[..], &[7; 16]].concat();
    let refused = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n";
    for (answer, name) in [(&refused[..], "400"), (switched, "101")] {
        let said: [Said<'_>; 3] = [(CLIENT, &data), (SERVER, answer), (CLIENT, HELLO)];
        assert!(!converse(&said[..1]).parser.wants(CLIENT));
        let driven = check(&said, &[name]);
        assert!(!driven.parser.wants(CLIENT) && driven.parser.wants(SERVER));
    }
}
