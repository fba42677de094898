use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::{
    AnomalyKind, EndReason, FlowSide, FlowTrackerConfig, OverflowPolicy, ReassemblyStats,
    TcpSideStats, Timestamp,
};
use flow_reassembly::{
    LastWord, Reassembler, ReassemblerFactory, Segment, StreamConfig, StreamReassembler,
};

use crate::session::{Moment, Session};
use crate::{Parsed, SessionParser};

/// A parser whose messages go to a handler: what the factories of the protocol crates are made
/// of.
///
/// Used with [`FlowDriver`](flow_reassembly::FlowDriver). The two reassemblers of a flow share
/// one [`Session`], so the messages are those of
/// [`FlowSessionDriver`](crate::FlowSessionDriver).
pub struct CallbackFactory<P: SessionParser, H> {
    parser: P,
    handler: Arc<H>,
    deliver: Deliver<P, H>,
    /// `None` for what the driver's comes to.
    config: Option<StreamConfig>,
    /// The session whose second reassembler is made next.
    half_made: Option<Arc<Mutex<Shared<P>>>>,
}

/// How a handler is given a message.
type Deliver<P, H> = fn(&H, &Parsed<<P as SessionParser>::Message>);

/// One side of a flow whose messages go to a handler.
pub struct CallbackReassembler<P: SessionParser, H> {
    side: FlowSide,
    shared: Arc<Mutex<Shared<P>>>,
    handler: Arc<H>,
    deliver: Deliver<P, H>,
    poison: Option<String>,
}

struct Shared<P: SessionParser> {
    session: Session<P>,
    out: Vec<Parsed<P::Message>>,
    config: StreamConfig,
    has_own_config: bool,
    /// What the parser may hold.
    memory_limit: Option<usize>,
    /// A stream that is full ends its flow.
    drops_flow: bool,
    last: Moment,
    closed: bool,
}

impl<P, H> CallbackFactory<P, H>
where
    P: SessionParser + Clone,
    H: Send + Sync + 'static,
{
    /// Gives every flow a clone of `parser`, and every message to `handler` by means of
    /// `deliver`, with where it came from.
    pub fn new(parser: P, handler: H, deliver: fn(&H, &Parsed<P::Message>)) -> Self {
        Self { parser, handler: Arc::new(handler), deliver, config: None, half_made: None }
    }

    /// The same with other limits for the streams.
    #[must_use]
    pub fn with_stream_config(mut self, config: StreamConfig) -> Self {
        self.config = Some(config);
        self
    }
}

impl<K, P, H> ReassemblerFactory<K> for CallbackFactory<P, H>
where
    P: SessionParser + Clone,
    H: Send + Sync + 'static,
{
    type Reassembler = CallbackReassembler<P, H>;

    fn new_reassembler(&mut self, _key: &K, side: FlowSide) -> Self::Reassembler {
        let made = self.half_made.take().filter(|_| side == FlowSide::Responder);
        let shared = made.unwrap_or_else(|| {
            Arc::new(Mutex::new(Shared {
                session: Session::new(self.parser.clone()),
                out: Vec::new(),
                config: self.config.clone().unwrap_or_default(),
                has_own_config: self.config.is_some(),
                memory_limit: None,
                drops_flow: false,
                last: Moment { ts: Timestamp::default(), packet: 0 },
                closed: false,
            }))
        });
        if side == FlowSide::Initiator {
            self.half_made = Some(Arc::clone(&shared));
        }
        let (handler, deliver) = (Arc::clone(&self.handler), self.deliver);
        CallbackReassembler { side, shared, handler, deliver, poison: None }
    }
}

impl<P: SessionParser, H> CallbackReassembler<P, H> {
    fn look<R>(&self, at: impl FnOnce(&StreamReassembler) -> R) -> R {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        at(shared.session.stream(self.side))
    }

    /// Does something with the session, then hands out the messages it made. A poisoned session
    /// is left alone.
    fn with(&mut self, act: impl FnOnce(FlowSide, &mut Shared<P>)) {
        if self.poison.is_some() {
            return;
        }
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if shared.closed || shared.session.poison().is_some() {
            return;
        }
        act(self.side, &mut shared);
        self.poison = shared.session.poison().map(|(_, reason)| reason.to_owned());
        let messages = std::mem::take(&mut shared.out);
        drop(shared);
        // Outside the lock, so that a handler may take its time, and may panic.
        messages.iter().for_each(|message| (self.deliver)(&self.handler, message));
    }
}

impl<P, H> Reassembler for CallbackReassembler<P, H>
where
    P: SessionParser,
    H: Send + Sync + 'static,
{
    fn configure(&mut self, config: &FlowTrackerConfig, limits: &Arc<StreamConfig>) {
        self.with(|_, shared| {
            if !shared.has_own_config {
                shared.config = StreamConfig::clone(limits);
            }
            shared.memory_limit = config.max_reassembler_buffer;
            shared.drops_flow = config.overflow_policy == OverflowPolicy::DropFlow;
        });
    }

    fn established(&mut self, round_trip: Duration) {
        self.with(|_, shared| shared.config = shared.config.with_round_trip(round_trip));
    }

    fn segment(&mut self, seq: u32, payload: &[u8]) {
        self.handle(&Segment::plain(seq, payload));
    }

    fn handle(&mut self, segment: &Segment<'_>) {
        self.with(|side, shared| {
            shared.last = Moment { ts: segment.ts, packet: segment.packet };
            shared.session.segment(side, segment, &shared.config, &mut shared.out);
        });
    }

    fn progress(&mut self, acked: Option<u32>, ts: Timestamp) {
        self.with(|side, shared| {
            shared.last.ts = ts;
            let moment = shared.last;
            shared.session.progress(side, acked, moment, &shared.config, &mut shared.out);
        });
    }

    fn last_word(&mut self, word: LastWord) {
        self.with(|side, shared| {
            let words =
                FlowSide::BOTH.map(|of| if of == side { word } else { LastWord::default() });
            let moment = shared.last;
            shared.session.last_words(words, moment, &shared.config, &mut shared.out);
        });
    }

    fn has_news(&self) -> bool {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).session.has_news()
    }

    fn report(&mut self, side: FlowSide, tick: Option<u64>, tell: &mut dyn FnMut(AnomalyKind)) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.session.report_side(side, tick, tell);
    }

    fn finish(&mut self, reason: EndReason) {
        self.with(|_, shared| {
            let moment = shared.last;
            shared.session.close(reason, moment, &mut shared.out);
            shared.closed = true;
        });
    }

    fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    fn is_overflowed(&self) -> bool {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |limit| shared.session.parser().buffered_bytes() > limit;
        (shared.drops_flow && shared.session.has_overflowed())
            || shared.memory_limit.is_some_and(is_full)
    }

    fn buffer_stats(&self) -> ReassemblyStats {
        self.look(StreamReassembler::buffer_stats)
    }

    fn queued_bytes(&self) -> usize {
        self.look(StreamReassembler::buffered_bytes)
    }

    fn waiting_since(&self) -> Option<Timestamp> {
        self.look(StreamReassembler::waiting_since)
    }

    fn give_up_holes(&mut self) {
        self.with(|_, shared| {
            let moment = shared.last;
            shared.session.give_up_holes(moment, &mut shared.out);
        });
    }

    fn poison_reason(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    fn stream_stats(&self) -> Option<TcpSideStats> {
        Some(self.look(StreamReassembler::stats))
    }
}

impl<P: SessionParser, H> fmt::Debug for CallbackFactory<P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackFactory").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<P: SessionParser, H> fmt::Debug for CallbackReassembler<P, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallbackReassembler").field("side", &self.side).finish_non_exhaustive()
    }
}
