use std::fmt::{self, Debug};
use std::ops::Range;

use flow_core::{EndReason, FlowSide, Gap, Timestamp};

use crate::notes::Notes;

/// Turns the two byte streams of a TCP connection into messages.
///
/// The smallest parser has a [`Message`](Self::Message) type and the two `feed_*` methods, which
/// get every byte of their direction once and in order, in pieces of any size, and give back the
/// messages that became complete. All else has a default.
///
/// A parser for the packet path overrides [`feed`](Self::feed) instead, which gets the pieces
/// with their provenance and puts messages into a sink, so that nothing is allocated where no
/// message completes. The engine calls only `feed`, [`gap`](Self::gap), [`fin`](Self::fin),
/// `rst_*` and [`close`](Self::close), in this order for each side:
///
/// ```text
/// (feed | gap)*  (fin | rst)?  close
/// ```
///
/// After every call the engine asks [`is_poisoned`](Self::is_poisoned); a poisoned parser is told
/// `rst_*` and dropped without `close`.
pub trait SessionParser: Send + 'static {
    /// What the parser finds.
    type Message: Send + Debug + 'static;

    /// The next bytes that the initiator sent.
    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Self::Message>;

    /// The next bytes that the responder sent.
    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Self::Message>;

    /// The initiator has sent everything: its stream ended with a FIN.
    fn fin_initiator(&mut self) -> Vec<Self::Message> {
        Vec::new()
    }

    /// The responder has sent everything: its stream ended with a FIN.
    fn fin_responder(&mut self) -> Vec<Self::Message> {
        Vec::new()
    }

    /// The initiator's stream was cut off by a reset.
    fn rst_initiator(&mut self) {}

    /// The responder's stream was cut off by a reset.
    fn rst_responder(&mut self) {}

    /// The streams make no sense to this parser any more; it must not be fed again.
    fn is_poisoned(&self) -> bool {
        false
    }

    /// Why, if [`is_poisoned`](Self::is_poisoned).
    fn poison_reason(&self) -> Option<&str> {
        None
    }

    /// The next bytes that `side` sent, with where they come from, and the sink for messages.
    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, Self::Message>) {
        let messages = match side {
            FlowSide::Initiator => self.feed_initiator(bytes),
            FlowSide::Responder => self.feed_responder(bytes),
        };
        cx.emit_all(messages);
    }

    /// `gap.len` bytes that `side` sent are missing from the capture. The answer says how to go
    /// on; [`Context::offset`] is the offset of the gap.
    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, Self::Message>) -> GapAction {
        let _ = (side, gap, cx);
        GapAction::StopSide
    }

    /// `side` has sent everything: its stream ended with a FIN.
    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, Self::Message>) {
        let messages = match side {
            FlowSide::Initiator => self.fin_initiator(),
            FlowSide::Responder => self.fin_responder(),
        };
        cx.emit_all(messages);
    }

    /// The flow is over, however it ended; the last chance to emit what `side` left unfinished.
    /// Called once for each side, the initiator first, before the parser is dropped.
    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, Self::Message>) {
        let _ = (side, reason, cx);
    }

    /// Whether the parser still needs what `side` sends. Once `false`, the engine only counts
    /// the bytes of that side, and does not ask again. A parser that wants neither side is
    /// dropped without [`close`](Self::close).
    fn wants(&self, side: FlowSide) -> bool {
        let _ = side;
        true
    }

    /// Bytes the parser keeps on the heap; they count towards the flow's memory limit.
    fn buffered_bytes(&self) -> usize {
        0
    }
}

/// How a parser goes on after a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapAction {
    /// The parser accounted for the missing bytes and goes on behind them.
    Resume,
    /// The parser looks for the start of a message in what follows.
    Resync,
    /// The parser has no use for the rest of this side.
    StopSide,
    /// The parser has no use for the rest of the flow.
    Stop,
}

/// Turns datagrams of one flow into messages.
pub trait DatagramParser: Send + 'static {
    /// What the parser finds.
    type Message: Send + Debug + 'static;

    /// The payload of one datagram that `side` sent.
    fn parse(&mut self, payload: &[u8], side: FlowSide) -> Vec<Self::Message>;

    /// The datagrams make no sense to this parser any more; it must not be fed again.
    fn is_poisoned(&self) -> bool {
        false
    }

    /// Why, if [`is_poisoned`](Self::is_poisoned).
    fn poison_reason(&self) -> Option<&str> {
        None
    }

    /// The payload of one datagram with where it comes from, and the sink for messages; what the
    /// engine calls.
    fn datagram(&mut self, side: FlowSide, payload: &[u8], cx: &mut Context<'_, Self::Message>) {
        let messages = self.parse(payload, side);
        cx.emit_all(messages);
    }

    /// Whether the parser still needs datagrams of this flow. Once `false`, it is dropped without
    /// [`close`](Self::close), and the engine only counts.
    fn wants(&self) -> bool {
        true
    }

    /// The flow is over; the last chance to emit something. Called once.
    fn close(&mut self, reason: EndReason, cx: &mut Context<'_, Self::Message>) {
        let _ = (reason, cx);
    }
}

/// Where the first byte of a message came from: remembered by a parser when it sees that byte,
/// handed back with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Stream offset; for datagrams 0.
    pub offset: u64,
    /// Number of the packet, counted from 1.
    pub packet: u64,
}

/// A message and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed<M> {
    /// Who sent it.
    pub side: FlowSide,
    /// The message.
    pub message: M,
    /// The packet with its first byte, counted from 1.
    pub first_packet: u64,
    /// Its bytes in the side's stream.
    pub range: Range<u64>,
}

impl<M> Parsed<M> {
    /// The same with another message.
    pub fn map<N>(self, change: impl FnOnce(M) -> N) -> Parsed<N> {
        let Self { side, message, first_packet, range } = self;
        Parsed { side, message: change(message), first_packet, range }
    }
}

/// What a parser is told of the bytes it gets, and where it puts messages.
pub struct Context<'a, M> {
    ts: Timestamp,
    packet: u64,
    side: FlowSide,
    at: Mark,
    len: u64,
    pending: &'a mut Option<Mark>,
    out: Out<'a, M>,
    notes: Option<&'a mut Notes>,
}

/// Where messages go.
enum Out<'a, M> {
    Engine(&'a mut Vec<Parsed<M>>),
    /// To the context of the parser around this one.
    Outer(&'a mut dyn FnMut(Parsed<M>)),
}

impl<M> Out<'_, M> {
    fn push(&mut self, parsed: Parsed<M>) {
        match self {
            Self::Engine(out) => out.push(parsed),
            Self::Outer(sink) => sink(parsed),
        }
    }
}

impl<'a, M> Context<'a, M> {
    /// A context as the engine makes it: `side` sent `len` bytes, the first of which is `at`;
    /// they are delivered by packet `packet` at `ts`. `pending` is where the side's first byte
    /// that belongs to no message yet came from; it must live as long as the parser.
    ///
    /// Public for tests of parsers and for other engines.
    pub fn new(
        ts: Timestamp,
        packet: u64,
        side: FlowSide,
        at: Mark,
        len: usize,
        pending: &'a mut Option<Mark>,
        out: &'a mut Vec<Parsed<M>>,
    ) -> Self {
        let (len, out) = (len as u64, Out::Engine(out));
        Self { ts, packet, side, at, len, pending, out, notes: None }
    }

    /// The same with a place for what [`anomaly`](Self::anomaly) is told.
    pub(crate) fn with_notes(self, notes: &'a mut Notes) -> Self {
        Self { notes: Some(notes), ..self }
    }

    /// Calls a parser inside of this one with `len` bytes, the first of which is `at`, and the mark
    /// kept for it as [`new`](Self::new) says. Its messages go where this context's go, as what
    /// `wrap` makes of them, and its anomalies are this context's.
    pub fn with_inner<N, R>(
        &mut self,
        (at, len): (Mark, usize),
        pending: &mut Option<Mark>,
        wrap: impl Fn(N) -> M,
        call: impl FnOnce(&mut Context<'_, N>) -> R,
    ) -> R {
        let Self { ts, packet, side, out, notes, .. } = self;
        let mut sink = |parsed: Parsed<N>| out.push(parsed.map(&wrap));
        call(&mut Context {
            ts: *ts,
            packet: *packet,
            side: *side,
            at,
            len: len as u64,
            pending,
            out: Out::Outer(&mut sink),
            notes: notes.as_deref_mut(),
        })
    }

    /// The same about the other side, of which a parser kept bytes: `side` sent what `call` is about.
    pub fn with_side<R>(&mut self, side: FlowSide, call: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.side, side);
        let answer = call(self);
        self.side = before;
        answer
    }

    /// The time of the packet that completed these bytes.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        self.ts
    }

    /// The number, from 1, of the packet that completed these bytes.
    #[must_use]
    pub fn packet(&self) -> u64 {
        self.packet
    }

    /// Stream offset of the first of these bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.at.offset
    }

    /// Where the byte with index `at` of these bytes came from.
    #[must_use]
    pub fn mark(&self, at: usize) -> Mark {
        Mark { offset: self.at.offset + at as u64, packet: self.at.packet }
    }

    /// Puts out a message that began at `start` and ends before the byte with index `end` of
    /// these bytes.
    pub fn emit_from(&mut self, start: Mark, end: usize, message: M) {
        let range = start.offset..(self.at.offset + end as u64).max(start.offset);
        *self.pending = (end as u64 != self.len).then(|| self.mark(end));
        let side = self.side;
        self.out.push(Parsed { side, message, first_packet: start.packet, range });
    }

    /// Puts out a message made of all bytes of this side that are not part of another one.
    pub fn emit(&mut self, message: M) {
        self.emit_all([message]);
    }

    /// Says that the message with the byte of index `at` breaks the rules of its protocol, or can
    /// be read in more than one way: an [`AnomalyKind::ProtocolViolation`], if anomalies are
    /// switched on. The words for it are fixed, so that they can be counted.
    ///
    /// [`AnomalyKind::ProtocolViolation`]: flow_core::AnomalyKind::ProtocolViolation
    pub fn anomaly(&mut self, at: usize, reason: &'static str) {
        self.anomaly_at(self.at.offset + at as u64, reason);
    }

    /// The same of the message with the byte at this stream offset, which may have come earlier.
    pub fn anomaly_at(&mut self, offset: u64, reason: &'static str) {
        if let Some(notes) = &mut self.notes {
            notes.add(self.side, offset, reason);
        }
    }

    /// Puts out messages, each with the provenance of all of them together: the bytes since the
    /// last message.
    pub fn emit_all(&mut self, messages: impl IntoIterator<Item = M>) {
        let mut messages = messages.into_iter().peekable();
        if messages.peek().is_none() {
            return;
        }
        let start = self.pending.take().unwrap_or(self.at);
        let (side, end) = (self.side, (self.at.offset + self.len).max(start.offset));
        for message in messages {
            let (first_packet, range) = (start.packet, start.offset..end);
            self.out.push(Parsed { side, message, first_packet, range });
        }
    }
}

impl<M> fmt::Debug for Context<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ts, packet, side, at, len, .. } = self;
        f.debug_struct("Context")
            .field("timestamp", ts)
            .field("packet", packet)
            .field("side", side)
            .field("at", at)
            .field("len", len)
            .finish_non_exhaustive()
    }
}
