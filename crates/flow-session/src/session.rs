use flow_core::{
    AnomalyKind, EndReason, Flow, FlowSide, Gap, TcpSideStats, Timestamp, TrackedPacket,
};
use flow_reassembly::{
    LastWord, OverlapPolicy, Segment, StreamConfig, StreamReassembler, StreamSink,
};

use crate::notes::Notes;
use crate::{Context, GapAction, Mark, Parsed, SessionParser};

/// A parser with the two streams it reads: what the engine keeps per TCP flow, and what a
/// callback face shares between the two reassemblers of a flow.
#[derive(Debug)]
pub struct Session<P> {
    streams: [StreamReassembler; 2],
    pending: [Option<Mark>; 2],
    unwanted: [bool; 2],
    fed_last: FlowSide,
    notes: Notes,
    parser: P,
}

/// The moment at which something is handed to a parser.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Time of the packet.
    pub ts: Timestamp,
    /// Number of the packet, counted from 1.
    pub packet: u64,
}

impl<P: SessionParser> Session<P> {
    /// A session of which nothing was seen yet.
    pub fn new(parser: P) -> Self {
        Self {
            streams: Default::default(),
            pending: [None; 2],
            unwanted: [false; 2],
            fed_last: FlowSide::Initiator,
            notes: Notes::default(),
            parser,
        }
    }

    /// Which bytes win where segments of each side overlap, in place of what the configuration
    /// says; to be called before the first segment.
    pub fn set_overlap_policies(&mut self, policies: [OverlapPolicy; 2]) {
        self.streams = policies.map(|policy| StreamReassembler::new().with_overlap_policy(policy));
    }

    /// Takes payload that is just what comes next, as that of nearly all packets is, and says whether
    /// it was: see [`StreamReassembler::in_order`].
    #[inline]
    pub(crate) fn in_order(
        &mut self,
        packet: &TrackedPacket<'_>,
        out: &mut Vec<Parsed<P::Message>>,
    ) -> bool {
        let (Some(info), true) = (packet.tcp, packet.is_usual && packet.is_whole()) else {
            return false;
        };
        let mut taken = false;
        self.with(packet.side, moment_of(packet), out, |stream, feed| {
            taken = stream.in_order(info.seq, packet.payload, packet.number, feed);
        });
        taken
    }

    /// Takes a segment that `side` sent.
    pub fn segment(
        &mut self,
        side: FlowSide,
        segment: &Segment<'_>,
        config: &StreamConfig,
        out: &mut Vec<Parsed<P::Message>>,
    ) {
        let moment = Moment { ts: segment.ts, packet: segment.packet };
        self.with(side, moment, out, |stream, feed| stream.segment(segment, config, feed));
    }

    /// Looks at what waits in the stream of `side`, which was acknowledged up to `acked`.
    pub fn progress(
        &mut self,
        side: FlowSide,
        acked: Option<u32>,
        moment: Moment,
        config: &StreamConfig,
        out: &mut Vec<Parsed<P::Message>>,
    ) {
        if self.stream(side).is_waiting() {
            self.with(side, moment, out, |stream, feed| {
                stream.progress(acked, moment.ts, config, feed);
            });
        }
    }

    /// Whether [`progress`](Self::progress) has anything to look at.
    pub(crate) fn is_waiting(&self) -> bool {
        self.streams.iter().any(StreamReassembler::is_waiting)
    }

    /// Whether nothing needs to be done for it but to hand segments on: see
    /// [`StreamReassembler::is_plain`].
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.streams.iter().all(StreamReassembler::is_plain)
            && !self.is_unwanted()
            && !self.notes.are_fresh()
            && !self.parser.is_poisoned()
    }

    /// Since when a stream waits for bytes in front of others, if one does.
    pub fn waiting_since(&self) -> Option<Timestamp> {
        self.streams.iter().filter_map(StreamReassembler::waiting_since).min()
    }

    /// Gives up the holes of both streams, as their memory is wanted elsewhere.
    pub fn give_up_holes(&mut self, moment: Moment, out: &mut Vec<Parsed<P::Message>>) {
        for side in FlowSide::BOTH {
            self.with(side, moment, out, |stream, feed| stream.give_up_holes(feed));
        }
    }

    /// Takes down the last that is known of both streams, right before [`close`](Self::close).
    pub fn last_words(
        &mut self,
        words: [LastWord; 2],
        moment: Moment,
        config: &StreamConfig,
        out: &mut Vec<Parsed<P::Message>>,
    ) {
        for (side, word) in FlowSide::BOTH.into_iter().zip(words) {
            self.with(side, moment, out, |stream, feed| stream.last_word(word, config, feed));
        }
    }

    /// The flow is over: flushes both streams, then tells the parser.
    pub fn close(&mut self, reason: EndReason, moment: Moment, out: &mut Vec<Parsed<P::Message>>) {
        for side in FlowSide::BOTH {
            self.with(side, moment, out, |stream, feed| stream.finish(feed));
        }
        if reason == EndReason::Rst {
            self.reset();
        }
        for side in FlowSide::BOTH {
            self.with(side, moment, out, |stream, feed| {
                if !*feed.poisoned {
                    let at = Mark { offset: stream.offset(), packet: moment.packet };
                    feed.tell(at, 0, |parser, cx| parser.close(side, reason, cx));
                }
            });
        }
    }

    /// Tells the parser that the streams which have not ended are cut off.
    pub fn reset(&mut self) {
        let [initiator, responder] = &self.streams;
        if !initiator.is_ended() {
            self.parser.rst_initiator();
        }
        if !responder.is_ended() {
            self.parser.rst_responder();
        }
    }

    /// Whether the memory limit of a stream was reached.
    pub fn has_overflowed(&self) -> bool {
        self.streams.iter().any(StreamReassembler::has_overflowed)
    }

    /// Whether both streams were handed on up to their FINs.
    pub fn is_ended(&self) -> bool {
        self.streams.iter().all(StreamReassembler::is_ended)
    }

    /// Which sides the parser needs nothing more of.
    #[inline]
    pub(crate) const fn unwanted(&self) -> [bool; 2] {
        self.unwanted
    }

    /// Whether the parser needs nothing more of either side.
    pub fn is_unwanted(&self) -> bool {
        self.unwanted == [true, true]
    }

    /// Why the parser gave up and whose bytes it was fed last, if it gave up.
    pub fn poison(&self) -> Option<(FlowSide, &str)> {
        let poisoned = self.parser.is_poisoned();
        poisoned.then(|| (self.fed_last, self.parser.poison_reason().unwrap_or("poisoned")))
    }

    /// Memory taken by what waits in the streams, in bytes.
    pub fn queued_bytes(&self) -> usize {
        self.streams.iter().map(StreamReassembler::buffered_bytes).sum()
    }

    /// The same, and what waits in the parser.
    pub fn buffered_bytes(&self) -> usize {
        self.queued_bytes() + self.parser.buffered_bytes()
    }

    /// The parser.
    pub const fn parser(&self) -> &P {
        &self.parser
    }

    /// The stream that `side` sends.
    pub const fn stream(&self, side: FlowSide) -> &StreamReassembler {
        let [initiator, responder] = &self.streams;
        match side {
            FlowSide::Initiator => initiator,
            FlowSide::Responder => responder,
        }
    }

    pub(crate) const fn stream_mut(&mut self, side: FlowSide) -> &mut StreamReassembler {
        let [initiator, responder] = &mut self.streams;
        match side {
            FlowSide::Initiator => initiator,
            FlowSide::Responder => responder,
        }
    }

    /// Whether something happened since the last [`report`](Self::report).
    #[inline]
    pub fn has_news(&self) -> bool {
        self.streams.iter().any(StreamReassembler::has_news) || self.notes.are_fresh()
    }

    /// What was out of the ordinary in the streams, and in what the parser read of them.
    pub fn report(&mut self, tick: Option<u64>, mut tell: impl FnMut(AnomalyKind)) {
        for side in FlowSide::BOTH {
            self.report_side(side, tick, &mut tell);
        }
    }

    /// The same of one side: see [`StreamReassembler::report`].
    pub(crate) fn report_side(
        &mut self,
        side: FlowSide,
        tick: Option<u64>,
        mut tell: impl FnMut(AnomalyKind),
    ) {
        self.stream_mut(side).report(side, tick, &mut tell);
        self.notes.report(side, tick, tell);
    }

    fn with(
        &mut self,
        side: FlowSide,
        moment: Moment,
        out: &mut Vec<Parsed<P::Message>>,
        act: impl FnOnce(&mut StreamReassembler, &mut Feed<'_, P>),
    ) {
        let [initiator, responder] = &mut self.streams;
        let [first, second] = &mut self.pending;
        let (stream, pending) = match side {
            FlowSide::Initiator => (initiator, first),
            FlowSide::Responder => (responder, second),
        };
        let mut poisoned = self.parser.is_poisoned();
        let before = self.unwanted;
        let mut feed = Feed {
            side,
            moment,
            parser: &mut self.parser,
            pending,
            unwanted: &mut self.unwanted,
            notes: &mut self.notes,
            poisoned: &mut poisoned,
            fed: false,
            out,
        };
        act(stream, &mut feed);
        if feed.fed {
            self.fed_last = side;
        }
        if self.unwanted != before {
            for (stream, unwanted) in self.streams.iter_mut().zip(self.unwanted) {
                if unwanted {
                    stream.skip();
                }
            }
        }
    }
}

/// Hands a stream to the parser.
struct Feed<'a, P: SessionParser> {
    side: FlowSide,
    moment: Moment,
    parser: &'a mut P,
    pending: &'a mut Option<Mark>,
    unwanted: &'a mut [bool; 2],
    notes: &'a mut Notes,
    poisoned: &'a mut bool,
    fed: bool,
    out: &'a mut Vec<Parsed<P::Message>>,
}

impl<P: SessionParser> Feed<'_, P> {
    fn tell(
        &mut self,
        at: Mark,
        len: usize,
        what: impl FnOnce(&mut P, &mut Context<'_, P::Message>),
    ) {
        let Moment { ts, packet } = self.moment;
        let cx = Context::new(ts, packet, self.side, at, len, self.pending, self.out);
        what(self.parser, &mut cx.with_notes(self.notes));
        self.fed = true;
        *self.poisoned = self.parser.is_poisoned();
        for (side, unwanted) in FlowSide::BOTH.into_iter().zip(self.unwanted.iter_mut()) {
            *unwanted = *unwanted || !self.parser.wants(side);
        }
    }

    fn is_deaf(&self) -> bool {
        let [initiator, responder] = *self.unwanted;
        *self.poisoned
            || match self.side {
                FlowSide::Initiator => initiator,
                FlowSide::Responder => responder,
            }
    }
}

impl<P: SessionParser> StreamSink for Feed<'_, P> {
    fn data(&mut self, offset: u64, bytes: &[u8], packet: u64) {
        if self.is_deaf() {
            return;
        }
        let (side, at) = (self.side, Mark { offset, packet });
        self.pending.get_or_insert(at);
        self.tell(at, bytes.len(), |parser, cx| parser.feed(side, bytes, cx));
    }

    fn gap(&mut self, gap: Gap) {
        let side = self.side;
        if self.is_deaf() {
            return;
        }
        let mut action = GapAction::Resume;
        let at = Mark { offset: gap.offset, packet: self.moment.packet };
        self.tell(at, 0, |parser, cx| action = parser.gap(side, gap, cx));
        let [initiator, responder] = self.unwanted;
        match (action, side) {
            (GapAction::Resume, _) => {}
            (GapAction::Resync, _) => *self.pending = None,
            (GapAction::StopSide, FlowSide::Initiator) => *initiator = true,
            (GapAction::StopSide, FlowSide::Responder) => *responder = true,
            (GapAction::Stop, _) => (*initiator, *responder) = (true, true),
        }
    }

    fn end(&mut self, offset: u64) {
        if !self.is_deaf() {
            let (side, packet) = (self.side, self.moment.packet);
            let at = Mark { offset, packet };
            self.tell(at, 0, |parser, cx| parser.fin(side, cx));
        }
    }
}

/// Puts what the streams of a session counted into the record of its flow.
pub(crate) fn count_streams<K, S, P: SessionParser>(flow: &mut Flow<K, S>, session: &Session<P>) {
    for side in FlowSide::BOTH {
        let counted = session.stream(side).stats();
        if counted != TcpSideStats::default() {
            flow.tcp_stats_mut(side).add(&counted);
        }
        flow.set_reassembly_stats(side, session.stream(side).buffer_stats());
    }
}

/// The moment of a packet.
pub(crate) fn moment_of(packet: &TrackedPacket<'_>) -> Moment {
    Moment { ts: packet.ts, packet: packet.number }
}

/// The anomaly that a poisoned parser is.
pub(crate) fn parse_error(poison: Option<(FlowSide, &str)>) -> Option<AnomalyKind> {
    poison.map(|(side, reason)| {
        let reason = cut(reason, POISON_REASON_MAX).to_owned();
        AnomalyKind::SessionParseError { side, reason }
    })
}

/// Bytes of a poison reason that are reported.
const POISON_REASON_MAX: usize = 256;

/// The longest prefix of at most `max` bytes that ends on a character boundary.
fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|&at| text.is_char_boundary(at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
