mod sink;

use std::fmt;
use std::time::Duration;

use flow_core::{
    Dedup, FlowExtractor, FlowSide, FlowStats, FlowTracker, FlowTrackerConfig, L4Proto, PacketView,
    RoutedPacket, Tick, Timestamp,
};
use flow_reassembly::{OverlapPolicy, StreamConfig, longest_waiting};

use crate::notes::Notes;
use crate::session::{Moment, Session};
use crate::{
    DatagramOnly, DatagramParser, DatagramParserFactory, Parsed, ParserSet, SessionEvent,
    SessionParser, SessionParserFactory, StreamAndDatagram, StreamOnly,
};

/// Drives a TCP parser over the packets of a capture.
pub type FlowSessionDriver<E, P, S = ()> = SessionEngine<E, StreamOnly<P>, S>;

/// Drives a UDP parser over the packets of a capture.
pub type FlowDatagramDriver<E, P, S = ()> = SessionEngine<E, DatagramOnly<P>, S>;

/// Drives a TCP parser and a UDP parser over the packets of a capture, on one flow table.
pub type FlowProtocolDriver<E, P, D, S = ()> = SessionEngine<E, StreamAndDatagram<P, D>, S>;

/// The engine: one extraction and one flow table lookup per packet, streams put in order, one
/// parser per flow.
///
/// The order of calls is [`track`](Self::track) for every packet, in capture order, then
/// [`finish`](Self::finish). Each gives back the events it caused as a draining iterator; what
/// is not read is lost.
///
/// A flow's parser is made when its first payload comes. Which flows are sessions depends on the
/// parsers: TCP flows for [`FlowSessionDriver`], UDP flows for [`FlowDatagramDriver`], both for
/// [`FlowProtocolDriver`]; others are tracked without events.
pub struct SessionEngine<E: FlowExtractor, T: ParserSet, S = ()> {
    tracker: FlowTracker<E, SessionState<T, S>>,
    sink: Sink<E::Key, T>,
    dedup: Option<Dedup>,
}

/// What the engine keeps with every flow.
pub struct SessionState<T: ParserSet, S> {
    slot: Slot<T>,
    closed: bool,
    /// A stream may have something to look at when an acknowledgment comes.
    waits: bool,
    /// Sides that no parser reads (any more).
    unread: [bool; 2],
    /// How long the handshake took, in microseconds; the longest time there is if it was not captured.
    round_trip: u32,
    /// What the user keeps.
    pub user: S,
}

enum Slot<T: ParserSet> {
    /// No payload yet.
    Idle,
    Stream(Box<Session<T::Stream>>),
    Datagram(DatagramSession<T::Datagram>),
    /// No parser any more.
    Done,
}

/// What is kept per UDP flow.
struct DatagramSession<D> {
    parser: D,
    notes: Notes,
}

/// What happens to a flow whose parser gave up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoisonPolicy {
    /// The flow ends; later packets of the same key begin a new one with a new parser.
    #[default]
    EndFlow,
    /// The flow is tracked on without a parser until it really ends, so that one bad stream
    /// cannot make a storm of sessions.
    EndSession,
}

type NewParser<K, P> = Box<dyn FnMut(&K) -> P + Send>;
type ChooseOverlap<K> = Box<dyn FnMut(&K, FlowSide) -> OverlapPolicy + Send>;

struct Sink<K, T: ParserSet> {
    new_stream: NewParser<K, Option<T::Stream>>,
    new_datagram: NewParser<K, Option<T::Datagram>>,
    events: Vec<SessionEvent<K, T::Message>>,
    emit_anomalies: bool,
    stream_out: Vec<Parsed<<T::Stream as SessionParser>::Message>>,
    datagram_out: Vec<Parsed<<T::Datagram as DatagramParser>::Message>>,
    config: StreamConfig,
    overlap: Option<ChooseOverlap<K>>,
    limits: FlowTrackerConfig,
    /// Memory taken by what waits in all streams.
    queued: usize,
    poison: PoisonPolicy,
    /// The last packet: what a flow that ends without one of its own is stamped with.
    last: Moment,
}

impl<E: FlowExtractor, P: SessionParser + Default + Clone> SessionEngine<E, StreamOnly<P>> {
    /// A driver that gives every TCP flow a clone of the default parser.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::with_parser(extractor, P::default())
    }
}

impl<E: FlowExtractor, P: SessionParser> SessionEngine<E, StreamOnly<P>> {
    /// A driver that gives every TCP flow the parser that `factory` makes: a clone of it if it is
    /// a parser itself, its result if it is a closure.
    #[must_use]
    pub fn with_parser<M>(
        extractor: E,
        factory: impl SessionParserFactory<E::Key, M, Parser = P>,
    ) -> Self {
        Self::with_state(extractor, factory, |_| ())
    }
}

impl<E: FlowExtractor, P: SessionParser, S> SessionEngine<E, StreamOnly<P>, S> {
    /// [`with_parser`](SessionEngine::with_parser) that also keeps what `init` makes with every
    /// flow.
    #[must_use]
    pub fn with_state<M>(
        extractor: E,
        mut factory: impl SessionParserFactory<E::Key, M, Parser = P>,
        init: impl FnMut(&E::Key) -> S + Send + 'static,
    ) -> Self {
        Self::build(extractor, init, move |key| Some(factory.new_parser(key)), |_| None)
    }
}

impl<E: FlowExtractor, D: DatagramParser + Default + Clone> SessionEngine<E, DatagramOnly<D>> {
    /// A driver that gives every UDP flow a clone of the default parser.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::with_parser(extractor, D::default())
    }
}

impl<E: FlowExtractor, D: DatagramParser> SessionEngine<E, DatagramOnly<D>> {
    /// A driver that gives every UDP flow the parser that `factory` makes: a clone of it if it is
    /// a parser itself, its result if it is a closure.
    #[must_use]
    pub fn with_parser<M>(
        extractor: E,
        factory: impl DatagramParserFactory<E::Key, M, Parser = D>,
    ) -> Self {
        Self::with_state(extractor, factory, |_| ())
    }
}

impl<E: FlowExtractor, D: DatagramParser, S> SessionEngine<E, DatagramOnly<D>, S> {
    /// [`with_parser`](SessionEngine::with_parser) that also keeps what `init` makes with every
    /// flow.
    #[must_use]
    pub fn with_state<M>(
        extractor: E,
        mut factory: impl DatagramParserFactory<E::Key, M, Parser = D>,
        init: impl FnMut(&E::Key) -> S + Send + 'static,
    ) -> Self {
        Self::build(extractor, init, |_| None, move |key| Some(factory.new_parser(key)))
    }
}

impl<E, P, D> SessionEngine<E, StreamAndDatagram<P, D>>
where
    E: FlowExtractor,
    P: SessionParser + Default + Clone,
    D: DatagramParser + Default + Clone,
{
    /// A driver that gives every TCP and UDP flow a clone of the default parser.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::with_parsers(extractor, P::default(), D::default())
    }
}

impl<E, P, D> SessionEngine<E, StreamAndDatagram<P, D>>
where
    E: FlowExtractor,
    P: SessionParser,
    D: DatagramParser,
{
    /// A driver that gives every TCP flow the parser that `stream` makes, and every UDP flow the
    /// one that `datagram` makes.
    #[must_use]
    pub fn with_parsers<M, N>(
        extractor: E,
        stream: impl SessionParserFactory<E::Key, M, Parser = P>,
        datagram: impl DatagramParserFactory<E::Key, N, Parser = D>,
    ) -> Self {
        Self::with_state(extractor, stream, datagram, |_| ())
    }
}

impl<E, P, D, S> SessionEngine<E, StreamAndDatagram<P, D>, S>
where
    E: FlowExtractor,
    P: SessionParser,
    D: DatagramParser,
{
    /// [`with_parsers`](SessionEngine::with_parsers) that also keeps what `init` makes with every
    /// flow.
    #[must_use]
    pub fn with_state<M, N>(
        extractor: E,
        mut stream: impl SessionParserFactory<E::Key, M, Parser = P>,
        mut datagram: impl DatagramParserFactory<E::Key, N, Parser = D>,
        init: impl FnMut(&E::Key) -> S + Send + 'static,
    ) -> Self {
        Self::build(
            extractor,
            init,
            move |key| Some(stream.new_parser(key)),
            move |key| Some(datagram.new_parser(key)),
        )
    }
}

impl<E: FlowExtractor, T: ParserSet, S> SessionEngine<E, T, S> {
    fn build(
        extractor: E,
        mut init: impl FnMut(&E::Key) -> S + Send + 'static,
        new_stream: impl FnMut(&E::Key) -> Option<T::Stream> + Send + 'static,
        new_datagram: impl FnMut(&E::Key) -> Option<T::Datagram> + Send + 'static,
    ) -> Self {
        let state = move |key: &E::Key| {
            let (slot, user) = (Slot::Idle, init(key));
            let (closed, waits, unread) = (false, false, [false; 2]);
            SessionState { slot, closed, waits, unread, round_trip: u32::MAX, user }
        };
        Self {
            tracker: FlowTracker::with_state(extractor, state),
            sink: Sink {
                new_stream: Box::new(new_stream),
                new_datagram: Box::new(new_datagram),
                events: Vec::new(),
                emit_anomalies: false,
                stream_out: Vec::new(),
                datagram_out: Vec::new(),
                config: StreamConfig::default(),
                overlap: None,
                limits: FlowTrackerConfig::default(),
                queued: 0,
                poison: PoisonPolicy::default(),
                last: Moment { ts: Timestamp::default(), packet: 0 },
            },
            dedup: None,
        }
    }

    /// The same engine with another configuration; to be called before the first packet.
    ///
    /// `max_reassembler_buffer` limits what each stream of a flow holds, and what its parser does.
    /// A full stream gives up its oldest hole, or ends the flow if the overflow policy says so; a
    /// full parser ends the session.
    #[must_use]
    pub fn with_config(mut self, config: FlowTrackerConfig) -> Self {
        self.sink.config = StreamConfig::of(&config);
        self.sink.limits = config.clone();
        self.tracker = self.tracker.with_config(config);
        self
    }

    /// Whether anomalies are reported too; not by default.
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.sink.emit_anomalies = emit;
        self
    }

    /// What happens to a flow whose parser gave up.
    #[must_use]
    pub fn with_poison_policy(mut self, policy: PoisonPolicy) -> Self {
        self.sink.poison = policy;
        self
    }

    /// Chooses which bytes win where segments overlap in what a side of a flow sends; the first
    /// ones by default. It is the receiving host that the choice should follow.
    #[must_use]
    pub fn with_overlap_policy(
        mut self,
        choose: impl FnMut(&E::Key, FlowSide) -> OverlapPolicy + Send + 'static,
    ) -> Self {
        self.sink.overlap = Some(Box::new(choose));
        self
    }

    /// Drops packets that `dedup` has seen before.
    #[must_use]
    pub fn with_dedup(mut self, dedup: Dedup) -> Self {
        self.dedup = Some(dedup);
        self
    }

    /// See [`FlowTracker::with_monotonic_timestamps`].
    #[must_use]
    pub fn with_monotonic_timestamps(mut self, monotonic: bool) -> Self {
        self.tracker = self.tracker.with_monotonic_timestamps(monotonic);
        self
    }

    /// See [`FlowTracker::set_idle_timeout_fn`].
    #[must_use]
    pub fn with_idle_timeout_fn(
        mut self,
        timeout: impl Fn(&E::Key, Option<L4Proto>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.tracker.set_idle_timeout_fn(timeout);
        self
    }

    /// Handles one packet and gives the events it caused.
    pub fn track(
        &mut self,
        view: PacketView<'_>,
    ) -> impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_ {
        self.sink.events.clear();
        if self.dedup.as_mut().is_none_or(|dedup| dedup.keep(view)) {
            self.tracker.track_with(view, &mut self.sink);
        } else {
            self.tracker.pass_over();
        }
        self.relieve_if_full();
        self.sink.events.drain(..)
    }

    /// [`track`](Self::track) for a packet that a [`FlowRouter`](flow_core::FlowRouter) hands to
    /// this engine, with the frame that it came with.
    ///
    /// [`Origin::flow`](crate::Origin::flow) counts the flows of this engine. [`FlowNumbers`]
    /// knows what they are among those of all.
    ///
    /// [`FlowNumbers`]: crate::FlowNumbers
    pub fn track_routed(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
    ) -> impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_ {
        self.sink.begin(packet.previous());
        self.tracker.track_routed_with(packet, frame, &mut self.sink);
        self.relieve_if_full();
        self.sink.events.drain(..)
    }

    /// See [`FlowTracker::track_quoted`].
    pub fn track_quoted(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
    ) -> Option<impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_> {
        self.sink.begin(packet.previous());
        let is_there = self.tracker.track_quoted_with(packet, frame, &mut self.sink);
        is_there.then(|| self.sink.events.drain(..))
    }

    /// See [`FlowTracker::advance`].
    pub fn advance(
        &mut self,
        tick: &Tick,
    ) -> impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_ {
        self.sink.begin(tick.previous());
        self.tracker.advance_with(tick, &mut self.sink);
        self.sink.events.drain(..)
    }

    /// See [`FlowTracker::finish_at`].
    pub fn finish_at(
        &mut self,
        tick: &Tick,
    ) -> impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_ {
        self.sink.begin(tick.previous());
        self.tracker.finish_at_with(tick, &mut self.sink);
        self.sink.events.drain(..)
    }

    #[inline]
    fn relieve_if_full(&mut self) {
        if self.sink.queued > self.sink.limits.max_reassembly_total {
            self.relieve();
        }
    }

    /// Makes the streams that have waited longest give up their holes, until a quarter of the
    /// memory for all of them is free: so that the look at all flows is rare.
    #[cold]
    fn relieve(&mut self) {
        let since = |state: &SessionState<T, S>| match &state.slot {
            Slot::Stream(session) => session.waiting_since(),
            _ => None,
        };
        for key in longest_waiting(self.tracker.flows(), since) {
            if self.sink.queued <= self.sink.limits.max_reassembly_total / 4 * 3 {
                break;
            }
            let ended = self.tracker.get_mut(&key).and_then(|flow| self.sink.relieve(flow));
            if ended.is_some() {
                self.tracker.forget(&key);
            }
        }
    }

    /// See [`FlowTracker::pass_over`].
    pub fn pass_over(&mut self) {
        self.tracker.pass_over();
    }

    /// Ends the flows that have been idle for too long at `now`.
    pub fn sweep(
        &mut self,
        now: Timestamp,
    ) -> impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_ {
        self.sink.events.clear();
        self.tracker.sweep_with(now, &mut self.sink);
        self.sink.events.drain(..)
    }

    /// Ends every flow: the packets have come to an end.
    pub fn finish(&mut self) -> impl Iterator<Item = SessionEvent<E::Key, T::Message>> + '_ {
        self.sink.events.clear();
        self.tracker.finish_with(&mut self.sink);
        self.sink.events.drain(..)
    }

    /// The tracker.
    #[must_use]
    pub const fn tracker(&self) -> &FlowTracker<E, SessionState<T, S>> {
        &self.tracker
    }

    /// What was counted of every flow so far, streams included.
    pub fn snapshot_flow_stats(&self) -> impl Iterator<Item = (&E::Key, FlowStats)> + '_ {
        self.tracker.flows().map(|flow| {
            let mut stats = flow.stats();
            if let Slot::Stream(session) = &flow.user.slot {
                for side in FlowSide::BOTH {
                    stats.tcp.side_mut(side).add(&session.stream(side).stats());
                    stats.set_reassembly(side, session.stream(side).buffer_stats());
                }
            }
            (flow.key(), stats)
        })
    }
}

impl<E: FlowExtractor, T: ParserSet, S> fmt::Debug for SessionEngine<E, T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionEngine").field("tracker", &self.tracker).finish_non_exhaustive()
    }
}

impl<T: ParserSet, S> fmt::Debug for SessionState<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionState").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl<T: ParserSet, S> SessionState<T, S> {
    /// The parser of a TCP flow, if it has one at the moment.
    pub fn stream_parser(&self) -> Option<&T::Stream> {
        match &self.slot {
            Slot::Stream(session) => Some(session.parser()),
            _ => None,
        }
    }
}
