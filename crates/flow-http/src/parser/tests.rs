mod anomalies;
mod limits;
mod malformed;
mod searching;
mod segmentation;
mod streaming;

use flow_core::FlowSide::{Initiator as C, Responder as S};
use flow_core::GapReason;
use flow_session::Parsed;
use proptest::prelude::*;

use super::*;
use crate::{BodyPolicy, HttpVersion, TunnelKind};

/// Plays a connection to a parser, with a packet for each call.
struct Connection {
    parser: HttpParser,
    offsets: [u64; 2],
    pending: [Option<Mark>; 2],
    packet: u64,
    found: Vec<Parsed<HttpMessage>>,
}

impl Connection {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(set: impl FnOnce(&mut HttpConfig)) -> Self {
        let mut config = HttpConfig::default();
        set(&mut config);
        Self {
            parser: HttpParser::with_config(config),
            offsets: [0; 2],
            pending: [None; 2],
            packet: 0,
            found: Vec::new(),
        }
    }

    fn call<T>(
        &mut self,
        side: FlowSide,
        len: usize,
        call: impl FnOnce(&mut HttpParser, &mut Context<'_, HttpMessage>) -> T,
    ) -> T {
        self.packet += 1;
        let i = side.index();
        let at = Mark { offset: self.offsets[i], packet: self.packet };
        self.offsets[i] += len as u64;
        let (pending, time) = (&mut self.pending[i], Timestamp::from_nanos(0));
        let mut cx = Context::new(time, self.packet, side, at, len, pending, &mut self.found);
        call(&mut self.parser, &mut cx)
    }

    fn send(mut self, side: FlowSide, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.call(side, bytes.len(), |parser, cx| parser.feed(side, bytes, cx));
        self
    }

    /// The same in pieces of `step` bytes.
    fn send_by(mut self, step: usize, side: FlowSide, bytes: impl AsRef<[u8]>) -> Self {
        for piece in bytes.as_ref().chunks(step) {
            self = self.send(side, piece);
        }
        self
    }

    fn lose(mut self, side: FlowSide, len: u64, expected: GapAction) -> Self {
        let gap = Gap { offset: self.offsets[side.index()], len, reason: GapReason::Acked };
        let bytes = usize::try_from(len).expect("a small gap");
        let action = self.call(side, bytes, |parser, cx| parser.gap(side, gap, cx));
        assert_eq!(action, expected);
        self
    }

    fn fin(mut self, side: FlowSide) -> Self {
        self.call(side, 0, |parser, cx| parser.fin(side, cx));
        self
    }

    fn close(mut self, reason: EndReason) -> Self {
        for side in FlowSide::BOTH {
            self.call(side, 0, |parser, cx| parser.close(side, reason, cx));
        }
        self
    }

    /// Checks what was found, in the words of `describe`.
    fn check(self, expected: &[&str]) -> Self {
        let found: Vec<_> = self.found.iter().map(|parsed| describe(&parsed.message)).collect();
        assert_eq!(found, expected);
        self
    }

    fn check_wants(self, client: bool, server: bool) -> Self {
        assert_eq!((self.parser.wants(C), self.parser.wants(S)), (client, server));
        self
    }

    fn check_poison(self, expected: Option<&str>) -> Self {
        assert_eq!(self.parser.poison_reason(), expected);
        assert_eq!(self.parser.is_poisoned(), expected.is_some());
        self
    }
}

/// `GET /path` or `200 to GET /path`, the body, and what is out of the ordinary.
fn describe(message: &HttpMessage) -> String {
    let (mut text, body, flags) = match message {
        HttpMessage::BodyData(data) => {
            return format!("{} {:?}", data.offset, data.data.escape_ascii().to_string());
        }
        HttpMessage::BodyEnd(end) => {
            let part = if end.complete { "" } else { ", part" };
            return format!("end {}{part}", end.len);
        }
        HttpMessage::Request(r) => (
            format!("{} {}", r.method, r.path),
            &r.body,
            [!r.body_complete, !r.head_complete, r.after_gap, r.ambiguous_framing],
        ),
        HttpMessage::Response(r) => {
            let asked = r.request_method.as_ref().zip(r.request_uri.as_ref());
            let asked = asked.map(|(method, path)| format!(" to {method} {path}"));
            (
                format!("{}{}", r.status, asked.unwrap_or_default()),
                &r.body,
                [!r.body_complete, !r.head_complete, r.after_gap, r.ambiguous_framing],
            )
        }
    };
    if !body.is_empty() {
        text += &format!(" {:?}", body.escape_ascii().to_string());
    }
    for (flag, word) in flags.into_iter().zip(["part", "cut", "after gap", "ambiguous"]) {
        if flag {
            text += &format!(", {word}");
        }
    }
    text
}

const GET: &str = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_request_and_its_response() {
    Connection::new().send(C, GET).send(S, OK).check(&["GET /a", "200 to GET /a \"ok\""]);
}

#[test]
fn keep_alive_and_pipelining() {
    let asked = "GET /1 HTTP/1.1\r\n\r\n\r\nPOST /2 HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcHEAD /3 HTTP/1.1\n\n";
    let answered = "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n";
    Connection::new().send(C, asked).send(S, answered).send(C, GET).send(S, OK).check(&[
        "GET /1",
        "POST /2 \"abc\"",
        "HEAD /3",
        "204 to GET /1",
        "200 to POST /2 \"x\"",
        "200 to HEAD /3",
        "GET /a",
        "200 to GET /a \"ok\"",
    ]);
}

#[test]
fn no_body_where_there_can_be_none() {
    for status in ["204 No Content", "304 Not Modified"] {
        let response = format!("HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\n{OK}");
        Connection::new().send(C, GET).send(C, GET).send(S, response).check(&[
            "GET /a",
            "GET /a",
            &format!("{} to GET /a", &status[..3]),
            "200 to GET /a \"ok\"",
        ]);
    }
}

#[test]
fn interim_responses_do_not_answer() {
    let request = "PUT /p HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    Connection::new()
        .send(C, request)
        .send(S, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        .send(C, "hi")
        .send(S, OK)
        .check(&["100 to PUT /p", "103 to PUT /p", "PUT /p \"hi\"", "200 to PUT /p \"ok\""]);
}

#[test]
fn body_until_close() {
    let head = "HTTP/1.0 200 OK\r\n\r\nab";
    let open = || Connection::new().send(C, GET).send(S, head).send(S, "cd");
    open().check(&["GET /a"]).fin(S).check(&["GET /a", "200 to GET /a \"abcd\""]);
    open().close(EndReason::Fin).check(&["GET /a", "200 to GET /a \"abcd\""]);
    open().close(EndReason::Rst).check(&["GET /a", "200 to GET /a \"abcd\", part"]);
}

#[test]
fn a_body_cut_off_by_the_end_is_put_out() {
    Connection::new()
        .send(C, GET)
        .send(S, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        .fin(S)
        .close(EndReason::Fin)
        .check(&["GET /a", "200 to GET /a \"abc\", part"]);
}

#[test]
fn trailers_and_extensions() {
    let body = "3;a=\"b\"\r\nabc\r\n0;z\r\nDigest: x\r\n folded\r\n\r\n";
    let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    for step in 1..=response.len() {
        let connection = Connection::new().send(C, GET).send_by(step, S, &response);
        let connection = connection.check(&["GET /a", "200 to GET /a \"abc\""]);
        let HttpMessage::Response(response) = &connection.found[1].message else { panic!() };
        assert_eq!(response.trailers.get_str("digest"), Some("x   folded"));
    }
}

#[test]
fn connect_makes_a_tunnel() {
    let connection = Connection::new()
        .send(C, "CONNECT host:443 HTTP/1.1\r\n\r\n")
        .send(S, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        .check_wants(false, false)
        .send(C, b"\x16\x03\x01")
        .send(S, b"\x16\x03\x03")
        .check(&["CONNECT host:443", "200 to CONNECT host:443"])
        .check_wants(false, false)
        .check_poison(None);
    let tunnel = connection.parser.tunnel().expect("a tunnel");
    assert_eq!(tunnel.kind, TunnelKind::Connect { target: "host:443".into() });
    assert_eq!((tunnel.start(C), tunnel.start(S)), (Some(29), Some(38)));
}

#[test]
fn a_refused_connect_makes_none() {
    Connection::new()
        .send(C, "CONNECT host:443 HTTP/1.1\r\n\r\n")
        .send(S, "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno")
        .send(C, GET)
        .check(&["CONNECT host:443", "407 to CONNECT host:443 \"no\"", "GET /a"])
        .check_wants(true, true);
}

#[test]
fn an_upgrade_makes_a_tunnel_also_for_early_bytes() {
    let request = "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n";
    let response = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x01\x02";
    let connection = Connection::new()
        .send(C, request)
        .send(C, b"\x81\x01a")
        .send(S, response)
        .check(&["GET /ws", "101 to GET /ws"])
        .check_wants(false, false);
    let tunnel = connection.parser.tunnel().expect("a tunnel");
    assert_eq!(tunnel.kind, TunnelKind::Upgrade { protocol: "websocket".into() });
    let expected = (Some(request.len() as u64), Some(response.len() as u64 - 2));
    assert_eq!((tunnel.start(C), tunnel.start(S)), expected);
}

#[test]
fn nobody_switches_who_was_not_asked_to() {
    let switching = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n";
    Connection::new()
        .send(C, GET)
        .send(S, switching)
        .send(C, GET)
        .send(S, OK)
        .send(S, switching)
        .send(C, GET)
        .check(&["GET /a", "101 to GET /a", "GET /a", "200 to GET /a \"ok\"", "101", "GET /a"]);
    // It may have been asked for before the capture began.
    let connection = Connection::new().send(S, switching);
    assert!(connection.parser.tunnel().is_some());
}

#[test]
fn http09() {
    for answer in ["<html>", "x", "GET /looks like one HTTP/1.1\r"] {
        Connection::new().send(C, "GET /old\r\n").send(S, answer).fin(S).check(&[
            "GET /old",
            &format!(
                "0 to GET /old {:?}",
                answer.escape_default().to_string().replace("\\n", "\n")
            ),
        ]);
    }
    Connection::new()
        .send(C, "GET /old\r\n")
        .send(S, "HTTP/1.0 400 Bad\r\n\r\nbad")
        .fin(S)
        .check(&["GET /old", "400 to GET /old \"bad\""]);
}

#[test]
fn responses_before_requests() {
    Connection::new()
        .send(S, OK)
        .send(C, GET)
        .send(C, "GET /b HTTP/1.1\r\n\r\n")
        .send(S, OK)
        .check(&["200 \"ok\"", "GET /a", "GET /b", "200 to GET /b \"ok\""]);
}

#[test]
fn several_responses_to_one_request() {
    Connection::new().send(C, GET).send(S, format!("{OK}{OK}")).send(C, GET).send(S, OK).check(&[
        "GET /a",
        "200 to GET /a \"ok\"",
        "200 \"ok\"",
        "GET /a",
        "200 to GET /a \"ok\"",
    ]);
}

#[test]
fn transfer_encoding_wins_and_is_told() {
    let request =
        "POST / HTTP/1.1\r\nContent-Length: 50\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n";
    let request = format!("{request}{GET}");
    Connection::new().send(C, request).check(&["POST /, ambiguous", "GET /a"]);
}

#[test]
fn other_protocols_cost_nothing() {
    let connection = Connection::new()
        .send(C, b"\x16\x03\x01\x02\x00")
        .check_wants(true, true)
        .send(S, b"\x16\x03\x03\x00")
        .check_wants(false, false)
        .check_poison(None);
    assert!(connection.parser.is_not_http() && !connection.parser.is_http());
    assert_eq!(connection.parser.buffered_bytes(), 0);
    Connection::new().send(S, "220 hi ESMTP\r\n").send(C, "EHLO me\r\n").check_wants(false, false);
}

#[test]
fn a_connection_joined_midstream_yields_what_follows() {
    let rest_of_body = [0xff; 5_000];
    Connection::new()
        .send(S, rest_of_body)
        .send(S, format!("x\n{OK}"))
        .check(&["200 \"ok\", after gap"])
        .send(C, GET)
        .send(S, OK)
        .check(&["200 \"ok\", after gap", "GET /a", "200 to GET /a \"ok\""]);
}

#[test]
fn the_search_is_bounded_until_the_other_side_is_http() {
    let start = || Connection::with(|config| config.max_search = 100).send(S, [0xff; 100]);
    start().send(S, format!("\n{OK}")).check(&[]);
    start()
        .send(S, [0xff; 50])
        .send(C, GET)
        .send(S, OK)
        .check(&["GET /a", "200 to GET /a \"ok\", after gap"]);
    Connection::with(|config| config.max_search = 100)
        .send(S, [0xff; 10])
        .send(S, OK)
        .check(&["200 \"ok\", after gap"]);
}

#[test]
fn gaps_inside_of_a_body_are_counted() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
    let connection = || Connection::new().send(C, GET).send(S, head);
    let expected = ["GET /a", "200 to GET /a \"abcg\", part"];
    let resumed = connection().lose(S, 5, GapAction::Resume).send(S, "g").check(&expected);
    assert_eq!(resumed.found[1].range, 0..47);
    connection().lose(S, 6, GapAction::Resume).check(&["GET /a", "200 to GET /a \"abc\", part"]);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc";
    Connection::new()
        .send(C, GET)
        .send(S, chunked)
        .lose(S, 6, GapAction::Resume)
        .send(S, "\r\n1\r\ng\r\n0\r\n\r\n")
        .check(&expected);
}

#[test]
fn a_gap_beyond_a_body_is_searched_behind() {
    Connection::new()
        .send(C, GET)
        .send(C, GET)
        .send(S, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        .lose(S, 7, GapAction::Resync)
        .send(S, format!("HTTP/1.1 quoted\nrest\r\n{OK}"))
        .check(&[
            "GET /a",
            "GET /a",
            "200 to GET /a \"abc\", part",
            "200 to GET /a \"ok\", after gap",
        ]);
}

#[test]
fn a_cut_head_is_put_out() {
    let connection = Connection::new()
        .send(C, "POST /cut HTTP/1.1\r\nHost: h\r\nContent-Le")
        .lose(C, 30, GapAction::Resync)
        .send(C, format!("\r\n\r\n{{body}}{GET}"))
        .check(&["POST /cut, part, cut", "GET /a, after gap"]);
    assert_eq!(connection.found[0].message.headers().unwrap().get("host"), Some(&b"h"[..]));
    assert_eq!(connection.found[0].message.headers().unwrap().len(), 1);
}

#[test]
fn broken_streams_poison() {
    let bad_header = "GET / HTTP/1.1\r\nA: b\r\n\x01: c\r\n\r\n";
    Connection::new()
        .send(C, bad_header)
        .check_poison(None)
        .send(S, OK)
        .check(&["GET /, part, cut", "200 to GET / \"ok\""])
        .check_poison(Some("header line is invalid (at byte 30 of the initiator)"));
    Connection::new()
        .send(C, "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n")
        .check(&["PUT /, part"])
        .fin(S)
        .check_poison(Some("chunk size is not a number (at byte 46 of the initiator)"));
}

#[test]
fn junk_behind_a_request_does_not_hide_its_response() {
    Connection::new()
        .send(C, format!("{GET}\0\0\0"))
        .check_wants(false, true)
        .check_poison(None)
        .send(S, OK)
        .check_wants(false, true)
        .send(S, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        .check(&["GET /a", "200 to GET /a \"ok\"", "400"])
        .check_poison(Some("expected a start line (at byte 28 of the initiator)"));
}

#[test]
fn limits() {
    let head = |len: usize| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "x".repeat(len - 23));
    for step in [1, 100] {
        let small = || Connection::with(|config| config.max_buffer = 64);
        small().send_by(step, C, head(64)).check(&["GET /"]).check_poison(None);
        small()
            .send_by(step, C, head(65))
            .check(&["GET /, part, cut"])
            .fin(S)
            .check_poison(Some("head is too long (at byte 64 of the initiator)"));
    }
    let small = Connection::with(|config| {
        (config.body, config.max_headers) = (BodyPolicy::Collect { max: 1 }, 1);
    });
    let ok = "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok";
    let small = small.send(C, GET).send(S, ok).send(S, ok).check(&[
        "GET /a",
        "200 to GET /a \"o\"",
        "200 \"o\"",
    ]);
    let HttpMessage::Response(response) = &small.found[1].message else { panic!() };
    assert_eq!((response.body_len, response.headers.omitted()), (2, 1));
    let trailers = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: 12\r\n\r\n";
    let small = |max| Connection::with(|config| config.max_trailers = max).send(C, GET);
    small(9).send(S, trailers).check_poison(None);
    small(8)
        .send(S, trailers)
        .check_poison(Some("trailer section is too long (at byte 58 of the responder)"));
}

#[test]
fn provenance() {
    let connection = Connection::new().send(C, &GET[..9]).send(C, format!("{}{GET}", &GET[9..]));
    let found: Vec<_> =
        connection.found.iter().map(|parsed| (parsed.first_packet, parsed.range.clone())).collect();
    assert_eq!(found, [(1, 0..28), (2, 28..56)]);
}

#[cfg(feature = "digest")]
#[test]
fn bodies_are_digested_whole() {
    // SHA-256 of `abc` (FIPS 180-4).
    let expected = [
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22,
        0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00,
        0x15, 0xad,
    ];
    let request = "PUT / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    for step in [1, 100] {
        let set = |config: &mut HttpConfig| {
            (config.digest_bodies, config.body) = (true, BodyPolicy::Collect { max: 1 });
        };
        let connection = Connection::with(set).send_by(step, C, request);
        let HttpMessage::Request(request) = &connection.found[0].message else { panic!() };
        assert_eq!(request.body_sha256, Some(expected));
    }
}

#[test]
fn memory_is_counted_and_freed() {
    let connection = Connection::new().send(C, &GET[..20]);
    assert!(connection.parser.buffered_bytes() >= 20);
    let connection =
        connection.send(C, &GET[20..]).send(S, "HTTP/1.1 200 OK\r\n\r\n").send(S, [7; 999]);
    assert!(connection.parser.buffered_bytes() >= 999);
    assert!(size_of::<HttpParser>() <= 512, "{}", size_of::<HttpParser>());
}

/// A request and its response, as sent.
fn exchange() -> impl Strategy<Value = (String, String)> {
    let body = proptest::collection::vec(any::<char>(), 0..20);
    let request = (0..4u8, "[a-z]{0,9}", body.clone());
    let response = (0..5u8, body);
    (request, response).prop_map(|((kind, path, asked), (answer, answered))| {
        let (asked, answered) = (String::from_iter(asked), String::from_iter(answered));
        let request = match kind {
            0 => format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => format!("\r\nHEAD /{path} HTTP/1.0\nA: b\n c\n\n"),
            2 => format!("POST /{path} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{asked}", asked.len()),
            _ => format!(
                "X-Y /{path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{}",
                chunks(&asked)
            ),
        };
        let head = if answer == 4 { "HTTP/1.1 100 Continue\r\n\r\n" } else { "" };
        let bodiless = kind == 1 || answer == 0;
        let response = match answer {
            0 => format!("HTTP/1.1 304 Not\r\nContent-Length: {}\r\n\r\n", answered.len()),
            1 if bodiless => "HTTP/1.1 200\nTransfer-Encoding: chunked\n\n".to_owned(),
            1 => format!("HTTP/1.1 200\nTransfer-Encoding: chunked\n\n{}", chunks(&answered)),
            _ if bodiless => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n".to_owned(),
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answered}", answered.len()),
        };
        (request, format!("{head}{response}"))
    })
}

fn chunks(body: &str) -> String {
    let mut out = String::new();
    for piece in body.chars().map(String::from) {
        out += &format!("{:X};e\r\n{piece}\r\n", piece.len());
    }
    out + "0\r\nT: t\r\n\r\n"
}

proptest! {
    #[test]
    fn segmentation_changes_nothing(
        exchanges in proptest::collection::vec(exchange(), 1..6),
        cuts in proptest::collection::vec(1..40usize, 1..20),
    ) {
        let mut whole = Connection::new();
        let mut cut = Connection::new();
        let mut steps = cuts.iter().copied().cycle();
        for (request, response) in &exchanges {
            for (side, bytes) in [(C, request), (S, response)] {
                whole = whole.send(side, bytes);
                let mut rest = bytes.as_bytes();
                while !rest.is_empty() {
                    let (piece, more) = rest.split_at(rest.len().min(steps.next().unwrap_or(1)));
                    cut = cut.send(side, piece);
                    rest = more;
                }
            }
        }
        let messages = |connection: Connection| -> Vec<_> {
            let found = connection.close(EndReason::Fin).found.into_iter();
            found.map(|parsed| (parsed.side, parsed.range, parsed.message)).collect()
        };
        let (whole, cut) = (messages(whole), messages(cut));
        prop_assert!(whole.len() >= 2 * exchanges.len());
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        calls in proptest::collection::vec((any::<bool>(), 0..8u8, piece()), 0..30),
    ) {
        let mut connection = Connection::with(|config| {
            (config.max_buffer, config.max_search) = (200, 300);
            config.body = BodyPolicy::Collect { max: 50 };
            (config.max_trailers, config.max_chunk_line, config.max_headers) = (40, 20, 3);
        });
        for (client, kind, bytes) in calls {
            let side = if client { C } else { S };
            connection = match kind {
                0 => {
                    let gap = Gap {
                        offset: connection.offsets[side.index()],
                        len: bytes.len() as u64,
                        reason: GapReason::Acked,
                    };
                    connection.call(side, bytes.len(), |parser, cx| parser.gap(side, gap, cx));
                    connection
                }
                1 if bytes.len() > 60 => connection.fin(side),
                _ => connection.send(side, bytes),
            };
            for side in FlowSide::BOTH {
                let sender = connection.parser.side(side);
                prop_assert_eq!(sender.open.is_some(), matches!(sender.state, State::Body(_)));
                prop_assert!(sender.buffer.len() <= 200);
            }
        }
        let connection = connection.close(EndReason::EndOfInput);
        let bounded = |parsed: &Parsed<HttpMessage>| parsed.range.start <= parsed.range.end;
        prop_assert!(connection.found.iter().all(bounded));
    }

    #[test]
    fn heads_are_read_as_httparse_reads_them(
        method in "[A-Z]{1,9}",
        path in "/[!-~]{0,20}",
        headers in proptest::collection::vec(("[A-Za-z0-9-]{1,12}", "([!-~]([ -~]{0,20}[!-~])?)?"), 0..9),
    ) {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
        head += "\r\n";
        let mut slots = [httparse::EMPTY_HEADER; 16];
        let mut theirs = httparse::Request::new(&mut slots);
        prop_assume!(theirs.parse(head.as_bytes()) == Ok(httparse::Status::Complete(head.len())));
        let connection = Connection::new().send(C, &head).close(EndReason::EndOfInput);
        let HttpMessage::Request(ours) = &connection.found[0].message else { panic!() };
        prop_assert_eq!(Some(&*ours.method), theirs.method);
        prop_assert_eq!(Some(&*ours.path), theirs.path);
        let theirs: Vec<_> = theirs.headers.iter().map(|h| (h.name, h.value)).collect();
        prop_assert_eq!(ours.headers.iter().collect::<Vec<_>>(), theirs);
    }
}

/// Bytes that get deep into the parser.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(GET.as_bytes().to_vec()),
        Just(OK.as_bytes().to_vec()),
        Just(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        Just(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Just(b"HTTP/1.1 101 x\r\nUpgrade: y\r\n\r\n".to_vec()),
        Just(b"CONNECT h:1 HTTP/1.1\r\nUpgrade: y\r\n".to_vec()),
        Just(b"Content-Length: 30\r\n".to_vec()),
        Just(b"GET /old\r\n".to_vec()),
        Just(b"5\r\nhello\r\n".to_vec()),
        Just(b"0\r\nT: t\r\n".to_vec()),
        Just(b"\r\n".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}
