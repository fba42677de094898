//! Conversations, and what a parser finds in them.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part")]

use std::fmt::Debug;
use std::ops::Range;

use flow_core::{EndReason, FlowSide, Gap, GapReason, Timestamp};
use flow_dns::DnsMessage;
use flow_http::HttpMessage;
use flow_l7::{L7Message, L7Parser};
use flow_session::{Context, Mark, SessionParser};
use flow_tls::TlsMessage;

pub(crate) const CLIENT: FlowSide = FlowSide::Initiator;
pub(crate) const SERVER: FlowSide = FlowSide::Responder;

pub(crate) const HELLO: &[u8] = b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x03\
    0123456789abcdef0123456789abcdef\x00\x00\x04\x13\x01\x13\x02\x01\x00\
    \x00\x18\x00\x00\x00\x0d\x00\x0b\x00\x00\x08flow.org\x00\x2b\x00\x03\x02\x03\x04";
pub(crate) const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x32\x02\x00\x00\x2e\x03\x03\
    0123456789abcdef0123456789abcdef\x00\x13\x01\x00\x00\x06\x00\x2b\x00\x02\x03\x04";
pub(crate) const ALERT: &[u8] = b"\x15\x03\x01\x00\x02\x02\x28";
pub(crate) const QUERY: &[u8] = b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x07example\x03com\x00\x00\x01\x00\x01";
pub(crate) const REQUEST: &[u8] = b"GET /a HTTP/1.1\r\nHost: example.org\r\n\r\n";
pub(crate) const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
pub(crate) const CONNECT: &[u8] = b"CONNECT flow.org:443 HTTP/1.1\r\nHost: flow.org:443\r\n\r\n";
pub(crate) const CONNECTED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// What a side says next.
pub(crate) type Said<'a> = (FlowSide, &'a [u8]);

/// What was found: who sent it, where it stands in its stream, what it is.
pub(crate) type Found = (FlowSide, Range<u64>, String);

/// The name of a message.
pub(crate) fn name<C: Debug>(message: &L7Message<C>) -> String {
    match message {
        L7Message::Http(HttpMessage::Request(request)) => request.method.to_string(),
        L7Message::Http(HttpMessage::Response(response)) => response.status.to_string(),
        L7Message::Tls(TlsMessage::ClientHello(_)) => "client_hello".to_owned(),
        L7Message::Tls(TlsMessage::ServerHello(_)) => "server_hello".to_owned(),
        L7Message::Tls(TlsMessage::Alert(_)) => "alert".to_owned(),
        L7Message::Dns(DnsMessage::Query(_)) => "query".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A parser as the engine drives it.
pub(crate) struct Driven<C> {
    pub(crate) parser: L7Parser<C>,
    offsets: [u64; 2],
    /// Sides of which it wanted no more once. It is not asked again.
    unwanted: [bool; 2],
    pub(crate) found: Vec<Found>,
}

impl<C: Send + Debug + 'static> Driven<C> {
    pub(crate) fn new(parser: L7Parser<C>) -> Self {
        Self { parser, offsets: [0; 2], unwanted: [false; 2], found: Vec::new() }
    }

    pub(crate) fn say(&mut self, side: FlowSide, bytes: &[u8]) {
        self.read(side, bytes.len() as u64, |parser, cx| parser.feed(side, bytes, cx));
    }

    pub(crate) fn gap(&mut self, side: FlowSide, len: u64) {
        let offset = self.offsets[side.index()];
        let gap = Gap { offset, len, reason: GapReason::Acked };
        self.read(side, len, |parser, cx| _ = parser.gap(side, gap, cx));
    }

    pub(crate) fn fin(&mut self, side: FlowSide) {
        self.read(side, 0, |parser, cx| parser.fin(side, cx));
    }

    pub(crate) fn end(&mut self) {
        FlowSide::BOTH.into_iter().for_each(|side| self.fin(side));
        // A parser that wants neither side is gone by now.
        if self.unwanted != [true; 2] {
            for side in FlowSide::BOTH {
                self.call(side, 0, |parser, cx| parser.close(side, EndReason::Fin, cx));
            }
        }
    }

    /// Calls the parser for what it wants only.
    fn read(
        &mut self,
        side: FlowSide,
        len: u64,
        call: impl FnOnce(&mut L7Parser<C>, &mut Context<'_, L7Message<C>>),
    ) {
        if !self.unwanted[side.index()] {
            self.call(side, len, call);
        }
        self.offsets[side.index()] += len;
    }

    fn call(
        &mut self,
        side: FlowSide,
        len: u64,
        call: impl FnOnce(&mut L7Parser<C>, &mut Context<'_, L7Message<C>>),
    ) {
        if self.parser.is_poisoned() {
            return;
        }
        let offset = self.offsets[side.index()];
        let (mut pending, mut out) = (None, Vec::new());
        let (at, len) = (Mark { offset, packet: 1 }, usize::try_from(len).unwrap());
        let time = Timestamp::default();
        call(&mut self.parser, &mut Context::new(time, 1, side, at, len, &mut pending, &mut out));
        for parsed in out {
            self.found.push((parsed.side, parsed.range, name(&parsed.message)));
        }
        for side in FlowSide::BOTH {
            let (wanted, unwanted) = (self.parser.wants(side), &mut self.unwanted[side.index()]);
            assert!(!(wanted && *unwanted), "the {side:?} is wanted again");
            *unwanted = !wanted;
        }
    }
}

/// All that is found in a conversation.
pub(crate) fn converse(said: &[Said<'_>]) -> Driven<()> {
    let mut driven = Driven::new(L7Parser::<()>::default());
    said.iter().for_each(|(side, bytes)| driven.say(*side, bytes));
    driven
}

/// What is found in a conversation has these names, in whatever pieces it comes.
#[track_caller]
pub(crate) fn check(said: &[Said<'_>], expected: &[&str]) -> Driven<()> {
    let driven = converse(said);
    let names: Vec<_> = driven.found.iter().map(|(.., name)| name).collect();
    assert_eq!(names, expected);
    for size in [1, 2, 3, 7, 11, 30] {
        let pieces: Vec<_> = said
            .iter()
            .flat_map(|(side, bytes)| bytes.chunks(size).map(|piece| (*side, piece)))
            .collect();
        assert_eq!(converse(&pieces).found, driven.found, "in pieces of {size} bytes");
    }
    driven
}
