//! Any conversation through the parser that recognises protocols: how it is cut into pieces decides
//! nothing, what becomes of bodies changes no message, and memory stays within limits.
//!
//! The input is a conversation: a byte that says how it ends and whether the port is that of DNS,
//! then turns. A turn begins with a byte: its side, what it is, and how often. Behind it come the
//! number of a well-known opening, how much of it is left out, the length of bytes that follow, or
//! the length of a gap.

#![no_main]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use flow::dns::DnsConfig;
use flow::http::{BodyPolicy, HttpConfig, HttpMessage};
use flow::l7::{L7Config, L7Message, L7Parser};
use flow::tls::TlsConfig;
use flow::{
    AnomalyKind, EndReason, FlowSide, Moment, Parsed, Segment, Session, SessionParser,
    StreamConfig, Timestamp,
};
use libfuzzer_sys::fuzz_target;

/// Bytes that a parser with the limits of [`config`] may hold: prefixes of unknown protocols with
/// their provenance, heads and bodies, handshakes, messages of DNS over TCP.
const MAX_HELD: usize = 1 << 20;

/// Bytes of a conversation.
const MAX_SAID: usize = 1 << 15;

const OPENINGS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"5;x=y\r\nhello\r\n",
    b"0\r\nA: b\r\n\r\n",
    b"POST /b HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"CONNECT flow.org:443 HTTP/1.1\r\nHost: flow.org:443\r\n\r\n",
    b"HTTP/1.1 200 Connection established\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    b"GET /09\r\n",
    b"X: y\r\n folded\r\n\r\n",
    b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x030123456789abcdef0123456789abcdef\x00\x00\x04\x13\
      \x01\x13\x02\x01\x00\x00\x18\x00\x00\x00\x0d\x00\x0b\x00\x00\x08flow.org\x00\x2b\x00\x03\x02\
      \x03\x04",
    b"\x16\x03\x03\x00\x32\x02\x00\x00\x2e\x03\x030123456789abcdef0123456789abcdef\x00\x13\x01\x00\
      \x00\x06\x00\x2b\x00\x02\x03\x04",
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"\x14\x03\x03\x00\x01\x01",
    b"\x17\x03\x03\x00\x10",
    b"\x16\x03\x03\x00\x0a\x04\x00\x00\x06\x00\x00\x00\x00\x00\x00",
    b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\
      \x01",
    b"\x00\x2d\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\
      \x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04",
    b"\x04\x01\x01\xbb\0\0\0\x01me\0flow.org\0",
    b"\x00\x5a\0\0\0\0\0\0",
    b"\x05\x01\x00",
    b"\x05\x00",
    b"\x05\x01\x00\x03\x01a\x01\xbb",
    b"\x05\x00\x00\x01\0\0\0\0\0\0",
    b"220 mail.example ESMTP\r\n",
    b"STARTTLS\r\n",
    b"<starttls/>",
    b"\x30\x05\x02\x01\x01\x00\x00",
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    b"S",
    b"\x03\x00\x00\x07abc",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fuzz_target!(|data: &[u8]| {
    let Some((&how, rest)) = data.split_first() else { return };
    let turns = conversation(rest);
    let whole = converse(how, BodyPolicy::Collect { max: 1024 }, &turns, |len| len);
    let single = converse(how, BodyPolicy::Collect { max: 1024 }, &turns, |_| 1);
    assert_eq!(single, whole, "byte by byte");
    let mut size = 1;
    let mut next = |_| {
        size = size * 5 % 37;
        size
    };
    let pieces = converse(how, BodyPolicy::Collect { max: 1024 }, &turns, &mut next);
    assert_eq!(pieces, whole, "in pieces");

    let collected = whole.bodiless();
    let skipped = converse(how, BodyPolicy::Skip, &turns, |len| len);
    assert_eq!(skipped.bodiless(), collected, "skipped");
    let streamed = converse(how, BodyPolicy::Stream, &turns, |len| len);
    assert_eq!(streamed.joined(), whole.joined(), "streamed");
    let streamed = converse(how, BodyPolicy::Stream, &turns, |_| 1);
    assert_eq!(streamed.joined(), whole.joined(), "streamed byte by byte");
});

/// What a side does next.
#[derive(Debug)]
enum Turn {
    Says(FlowSide, Vec<u8>),
    Loses(FlowSide, u32),
    Ends(FlowSide),
}

fn conversation(mut input: &[u8]) -> Vec<Turn> {
    let mut turns = Vec::new();
    let mut said = 0;
    let byte = |input: &mut &[u8]| {
        let (&first, rest) = input.split_first()?;
        *input = rest;
        Some(first)
    };
    while let Some(what) = byte(&mut input) {
        let side = if what & 1 == 0 { FlowSide::Initiator } else { FlowSide::Responder };
        let times = [1, 1, 2, 60][usize::from(what >> 6)];
        let Some(how) = byte(&mut input) else { break };
        let opening = || OPENINGS[usize::from(how) % OPENINGS.len()];
        let bytes = match what >> 1 & 7 {
            0..=2 => opening(),
            3 => {
                let Some(cut) = byte(&mut input) else { break };
                let opening = opening();
                let (before, behind) = opening.split_at(usize::from(cut & 0x7f) % opening.len());
                if cut & 0x80 == 0 { before } else { behind }
            }
            4 | 5 => {
                let (bytes, rest) = input.split_at(usize::from(how).min(input.len()));
                input = rest;
                bytes
            }
            6 => {
                turns.push(Turn::Loses(side, u32::from(how) + 1));
                continue;
            }
            _ => {
                turns.push(Turn::Ends(side));
                continue;
            }
        };
        said += bytes.len() * times;
        if said > MAX_SAID {
            break;
        }
        turns.push(Turn::Says(side, bytes.repeat(times)));
    }
    turns
}

fn config(body: BodyPolicy) -> L7Config<()> {
    let mut http = HttpConfig::default();
    http.max_buffer = 2048;
    http.max_headers = 8;
    http.body = body;
    http.max_chunk_line = 64;
    http.max_trailers = 256;
    http.max_pending_requests = 8;
    http.max_search = 4096;
    http.digest_bodies = true;
    let tls = TlsConfig::default().with_max_buffer(2048);
    let dns = DnsConfig::default().with_max_pending(8);
    L7Config::default().with_http(http).with_tls(tls).with_dns(dns).with_max_prelude(2048)
}

/// What is found: in which turn, and where.
type Found = (u64, Parsed<L7Message<()>>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    found: Vec<Found>,
    anomalies: Vec<(u64, String)>,
    poison: Option<(FlowSide, String)>,
}

/// A conversation through a parser, in pieces of the lengths that `cut` says.
fn converse(
    how: u8,
    body: BodyPolicy,
    turns: &[Turn],
    mut cut: impl FnMut(usize) -> usize,
) -> Outcome {
    let parser = L7Parser::<()>::new(Arc::new(config(body)));
    let parser = if how & 1 == 0 { parser } else { parser.with_ports(53, 4096) };
    let mut driven = Driven::new(parser);
    for (number, turn) in (1..).zip(turns) {
        driven.turn = number;
        match turn {
            Turn::Says(side, bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (piece, behind) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
                    driven.say(*side, piece, false);
                    rest = behind;
                }
            }
            Turn::Loses(side, len) => driven.lose(*side, *len),
            Turn::Ends(side) => driven.say(*side, &[], true),
        }
        driven.take(body);
    }
    driven.turn += 1;
    let reason = match how >> 1 & 3 {
        0 => EndReason::Fin,
        1 => EndReason::Rst,
        2 => EndReason::IdleTimeout,
        _ => EndReason::Evicted,
    };
    driven.session.close(reason, driven.moment(), &mut driven.out);
    driven.take(body);
    driven.outcome.poison = driven.session.poison().map(|(side, reason)| (side, reason.to_owned()));
    driven.outcome
}

struct Driven {
    session: Session<L7Parser<()>>,
    config: StreamConfig,
    turn: u64,
    sent: [u32; 2],
    ended: [bool; 2],
    wanted: [bool; 2],
    /// Where each turn of a side began.
    turns: [BTreeMap<u64, u64>; 2],
    last: [u64; 2],
    out: Vec<Parsed<L7Message<()>>>,
    outcome: Outcome,
}

impl Driven {
    fn new(parser: L7Parser<()>) -> Self {
        Self {
            session: Session::new(parser),
            config: StreamConfig::default(),
            turn: 0,
            sent: [0; 2],
            ended: [false; 2],
            wanted: [true; 2],
            turns: Default::default(),
            last: [0; 2],
            out: Vec::new(),
            outcome: Outcome::default(),
        }
    }

    fn moment(&self) -> Moment {
        let mut moment = Moment { ts: Timestamp::default(), packet: self.turn };
        moment.ts = Timestamp::from_nanos(self.turn * 1_000_000_000);
        moment
    }

    fn say(&mut self, side: FlowSide, bytes: &[u8], fin: bool) {
        let at = side.index();
        if self.ended[at] {
            return;
        }
        self.ended[at] = fin;
        let mut segment = Segment::plain(self.sent[at], bytes);
        segment.start = Some(0);
        segment.fin = fin;
        segment.packet = self.turn;
        segment.ts = self.moment().ts;
        self.sent[at] += segment.len;
        self.turns[at].entry((self.sent[at] - segment.len).into()).or_insert(self.turn);
        self.session.segment(side, &segment, &self.config, &mut self.out);
        self.session.give_up_holes(self.moment(), &mut self.out);
        let parser = self.session.parser();
        assert!(parser.buffered_bytes() < MAX_HELD, "{} bytes held", parser.buffered_bytes());
        let wanted = FlowSide::BOTH.map(|side| parser.wants(side));
        for side in FlowSide::BOTH {
            let at = side.index();
            // Of a side that has sent everything, nobody can be fed again.
            let again = wanted[at] && !self.wanted[at] && !self.ended[at];
            assert!(!again, "the {side:?} is wanted again");
        }
        self.wanted = wanted;
    }

    /// Shows with the next segment.
    fn lose(&mut self, side: FlowSide, len: u32) {
        if !self.ended[side.index()] {
            self.turns[side.index()].insert(self.sent[side.index()].into(), 0);
            self.sent[side.index()] += len;
        }
    }

    /// Looks at what was found in a turn.
    fn take(&mut self, body: BodyPolicy) {
        for parsed in self.out.drain(..) {
            let at = parsed.side.index();
            let range = &parsed.range;
            assert!(range.start <= range.end, "{parsed:?}");
            assert!(range.end <= self.sent[at].into(), "{parsed:?}, {} sent", self.sent[at]);
            if body != BodyPolicy::Stream {
                assert!(range.end >= self.last[at], "{parsed:?} behind {}", self.last[at]);
                self.last[at] = range.end;
            }
            let from = self.turns[at].range(..=range.start).next_back();
            if let Some((_, &turn @ 1..)) = from
                && !range.is_empty()
            {
                // What was searched for may have come in several packets.
                let known =
                    parsed.first_packet == turn || parsed.first_packet < turn && searched(&parsed);
                assert!(known, "{parsed:?} in {turn}");
            }
            let mut parsed = parsed;
            if searched(&parsed) {
                parsed.first_packet = 0;
            }
            self.outcome.found.push((self.turn, parsed));
        }
        let (turn, anomalies) = (self.turn, &mut self.outcome.anomalies);
        self.session.report(None, |kind| {
            if let AnomalyKind::ProtocolViolation { .. } = kind {
                anomalies.push((turn, format!("{kind:?}")));
            }
        });
    }
}

/// Whether it was found by looking for a start line.
fn searched(parsed: &Parsed<L7Message<()>>) -> bool {
    match &parsed.message {
        L7Message::Http(HttpMessage::Request(request)) => request.after_gap,
        L7Message::Http(HttpMessage::Response(response)) => response.after_gap,
        _ => false,
    }
}

/// A message with the body taken out.
fn split(message: &mut HttpMessage) -> Vec<u8> {
    match message {
        HttpMessage::Request(request) => std::mem::take(&mut request.body).to_vec(),
        HttpMessage::Response(response) => std::mem::take(&mut response.body).to_vec(),
        _ => Vec::new(),
    }
}

impl Outcome {
    /// What does not depend on how much of bodies is kept.
    fn bodiless(&self) -> impl PartialEq + Debug + use<> {
        let found: Vec<_> = self
            .found
            .iter()
            .map(|(turn, parsed)| {
                let mut parsed = parsed.clone();
                if let L7Message::Http(message) = &mut parsed.message {
                    split(message);
                }
                (*turn, parsed)
            })
            .collect();
        (found, self.anomalies.clone(), self.poison.clone())
    }

    /// What does not depend on when messages with a body come: those of each side, with parts of
    /// bodies put together.
    fn joined(&self) -> impl PartialEq + Debug + use<> {
        let mut sides: [Vec<(Parsed<L7Message<()>>, Vec<u8>)>; 2] = Default::default();
        for (_, parsed) in &self.found {
            let mut parsed = parsed.clone();
            let side = &mut sides[parsed.side.index()];
            match &mut parsed.message {
                L7Message::Http(HttpMessage::BodyData(data)) => {
                    let (.., body) = side.last_mut().expect("data without a head");
                    let room = 1024_usize.saturating_sub(body.len()).min(data.data.len());
                    body.extend_from_slice(&data.data[..room]);
                }
                L7Message::Http(HttpMessage::BodyEnd(end)) => {
                    let (head, _) = side.last_mut().expect("an end without a head");
                    head.range.end = head.range.end.max(parsed.range.end);
                    let L7Message::Http(message) = &mut head.message else { panic!("{head:?}") };
                    match message {
                        HttpMessage::Request(head) => {
                            head.body_len = end.len;
                            head.body_sha256 = end.sha256;
                            head.body_complete = end.complete;
                            head.trailers = end.trailers.clone();
                        }
                        HttpMessage::Response(head) => {
                            head.body_len = end.len;
                            head.body_sha256 = end.sha256;
                            head.body_complete = end.complete;
                            head.trailers = end.trailers.clone();
                        }
                        _ => panic!("an end behind {message:?}"),
                    }
                }
                L7Message::Http(message) => {
                    let body = split(message);
                    side.push((parsed, body));
                }
                _ => side.push((parsed, Vec::new())),
            }
        }
        (sides, self.anomalies.clone(), self.poison.clone())
    }
}
