use std::fmt;
use std::time::Duration;

use flow_core::{
    AnomalyKind, Dedup, EndReason, Flow, FlowExtractor, FlowSide, FlowSink, FlowState, FlowStats,
    FlowTracker, FlowTrackerConfig, L4Proto, OverflowPolicy, PacketView, Timestamp, TrackedPacket,
};
use flow_reassembly::{OverlapPolicy, Segment, StreamConfig};

use crate::session::{Moment, Session, SessionOutput, count_streams, moment_of, parse_error};
use crate::{
    Context, DatagramOnly, DatagramParser, DatagramParserFactory, Mark, Origin, Parsed, ParserSet,
    SessionEvent, SessionParser, SessionParserFactory, StreamAndDatagram, StreamOnly,
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
    /// What the user keeps.
    pub user: S,
}

enum Slot<T: ParserSet> {
    /// No payload yet.
    Idle,
    Stream(Box<Session<T::Stream>>),
    Datagram(T::Datagram),
    /// No parser any more.
    Done,
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
    stream_out: SessionOutput<<T::Stream as SessionParser>::Message>,
    datagram_out: Vec<Parsed<<T::Datagram as DatagramParser>::Message>>,
    config: StreamConfig,
    overlap: Option<ChooseOverlap<K>>,
    memory_limit: Option<usize>,
    /// Memory taken by what waits in all streams, and what it may take.
    queued: usize,
    queued_limit: usize,
    overflow: OverflowPolicy,
    poison: PoisonPolicy,
    /// The last packet: what a flow that ends without one of its own is stamped with.
    last: Moment,
}

impl<E: FlowExtractor, P: SessionParser + Default> SessionEngine<E, StreamOnly<P>> {
    /// A driver that gives every TCP flow a default parser.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::build(extractor, |_| (), |_| Some(P::default()), |_| None)
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

impl<E: FlowExtractor, D: DatagramParser + Default> SessionEngine<E, DatagramOnly<D>> {
    /// A driver that gives every UDP flow a default parser.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::build(extractor, |_| (), |_| None, |_| Some(D::default()))
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
    P: SessionParser + Default,
    D: DatagramParser + Default,
{
    /// A driver that gives every TCP and UDP flow a default parser.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::build(extractor, |_| (), |_| Some(P::default()), |_| Some(D::default()))
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
        let state =
            move |key: &E::Key| SessionState { slot: Slot::Idle, closed: false, user: init(key) };
        Self {
            tracker: FlowTracker::with_state(extractor, state),
            sink: Sink {
                new_stream: Box::new(new_stream),
                new_datagram: Box::new(new_datagram),
                events: Vec::new(),
                stream_out: SessionOutput::default(),
                datagram_out: Vec::new(),
                config: StreamConfig::default(),
                overlap: None,
                memory_limit: None,
                queued: 0,
                queued_limit: FlowTrackerConfig::default().max_reassembly_total,
                overflow: OverflowPolicy::default(),
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
        self.sink.memory_limit = config.max_reassembler_buffer;
        self.sink.overflow = config.overflow_policy;
        self.sink.queued_limit = config.max_reassembly_total;
        self.tracker = self.tracker.with_config(config);
        self
    }

    /// Whether anomalies are reported too; not by default.
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.sink.stream_out.emit_anomalies = emit;
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
        if self.sink.queued > self.sink.queued_limit {
            self.relieve();
        }
        self.sink.events.drain(..)
    }

    /// Makes the streams that have waited longest give up their holes, until a quarter of the
    /// memory for all of them is free: so that the look at all flows is rare.
    #[cold]
    fn relieve(&mut self) {
        let waits = |flow: &Flow<E::Key, SessionState<T, S>>| match &flow.user.slot {
            Slot::Stream(session) => {
                Some((session.waiting_since()?, flow.id(), flow.key().clone()))
            }
            _ => None,
        };
        let mut waiting: Vec<_> = self.tracker.flows().filter_map(waits).collect();
        waiting.sort_unstable_by_key(|&(since, id, _)| (since, id));
        for (_, _, key) in waiting {
            if self.sink.queued <= self.sink.queued_limit / 4 * 3 {
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

impl<K: Clone, T: ParserSet, S> FlowSink<K, SessionState<T, S>> for Sink<K, T> {
    const READS_PAYLOAD: bool = true;

    fn started(&mut self, flow: &mut Flow<K, SessionState<T, S>>, _side: FlowSide) {
        if T::covers(flow.l4()) {
            let (key, ts) = (flow.key().clone(), flow.started());
            self.events.push(SessionEvent::Started { key, ts });
        } else {
            flow.user.slot = Slot::Done;
            flow.user.closed = true;
        }
    }

    fn packet(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        self.last = moment_of(packet);
        match flow.user.slot {
            // Nothing comes after the end, not even of a flow that ended without payload.
            _ if flow.user.closed => return None,
            Slot::Done => {}
            Slot::Idle if packet.payload_len == 0 && packet.tcp.is_some() => {}
            _ if flow.l4() == Some(L4Proto::Tcp) => return self.stream_packet(flow, packet),
            _ => return self.datagram_packet(flow, packet),
        }
        self.close_if_over(flow);
        None
    }

    fn state_change(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        _from: FlowState,
        _to: FlowState,
        _ts: Timestamp,
    ) {
        self.close_if_over(flow);
    }

    fn anomaly(
        &mut self,
        flow: Option<&mut Flow<K, SessionState<T, S>>>,
        kind: AnomalyKind,
        ts: Timestamp,
    ) {
        let over = flow.as_ref().is_some_and(|flow| flow.user.closed);
        if self.stream_out.emit_anomalies && !over {
            let key = flow.map(|flow| flow.key().clone());
            self.events.push(SessionEvent::Anomaly { key, kind, ts });
        }
    }

    fn ended(&mut self, flow: &mut Flow<K, SessionState<T, S>>, reason: EndReason, _ts: Timestamp) {
        self.close(flow, reason, self.last);
    }
}

impl<K: Clone, T: ParserSet> Sink<K, T> {
    /// A packet of a TCP flow that has a parser, or has payload and gets one now.
    fn stream_packet<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        let segment = Segment::of(flow, packet);
        let mut own_fin = None;
        if let (Slot::Idle, Some(_)) = (&flow.user.slot, &segment) {
            let parser = (self.new_stream)(flow.key())?;
            let mut session = Box::new(Session::new(parser));
            if let Some(choose) = &mut self.overlap {
                session.set_overlap_policies(FlowSide::BOTH.map(|side| choose(flow.key(), side)));
            }
            // Either side may have finished before the first payload came.
            own_fin = Segment::fin_of(flow, packet, packet.side);
            if let Some(fin) = Segment::fin_of(flow, packet, packet.side.other()) {
                let side = packet.side.other();
                session.segment(side, &fin, &self.config, &mut self.stream_out);
            }
            flow.user.slot = Slot::Stream(session);
        }
        let acked = FlowSide::BOTH.map(|side| flow.acked(side.other()));
        let moment = moment_of(packet);
        let Slot::Stream(session) = &mut flow.user.slot else { return None };
        let out = &mut self.stream_out;
        let queued = session.queued_bytes();
        if let Some(segment) = &segment {
            session.segment(packet.side, segment, &self.config, out);
            if let Some(fin) = own_fin {
                session.segment(packet.side, &fin, &self.config, out);
            }
        }
        for (side, acked) in FlowSide::BOTH.into_iter().zip(acked) {
            session.progress(side, acked, moment, &self.config, out);
        }
        self.queued = self.queued + session.queued_bytes() - queued;
        let (over, unwanted) = (session.is_ended(), session.is_unwanted());
        let poison = parse_error(session.poison());
        // A stream that slides gives up its oldest hole by itself; a parser cannot.
        let drops_flow = self.overflow == OverflowPolicy::DropFlow && session.has_overflowed();
        let is_full = |limit| session.parser().buffered_bytes() > limit;
        let overflow = (drops_flow || self.memory_limit.is_some_and(is_full)).then(|| {
            let bytes = session.buffered_bytes() as u64;
            AnomalyKind::BufferOverflow { side: packet.side, bytes, policy: self.overflow }
        });
        self.flush(flow, moment);
        if let Some((kind, reason)) = poison
            .map(|kind| (kind, EndReason::ParseError))
            .or(overflow.map(|kind| (kind, EndReason::BufferOverflow)))
        {
            return self.give_up(flow, kind, reason, moment);
        }
        if over {
            self.close(flow, EndReason::Fin, moment);
        } else if unwanted {
            self.drop_session(flow);
        }
        None
    }

    fn datagram_packet<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        if let Slot::Idle = flow.user.slot {
            flow.user.slot = Slot::Datagram((self.new_datagram)(flow.key())?);
        }
        let moment = moment_of(packet);
        let Slot::Datagram(parser) = &mut flow.user.slot else { return None };
        let at = Mark { offset: 0, packet: packet.number };
        let (side, len) = (packet.side, packet.payload.len());
        let mut pending = Some(at);
        let out = &mut self.datagram_out;
        let mut cx = Context::new(packet.ts, packet.number, side, at, len, &mut pending, out);
        parser.datagram(side, packet.payload, &mut cx);
        let poisoned = parser.is_poisoned();
        let poison =
            parse_error(poisoned.then(|| (side, parser.poison_reason().unwrap_or("poisoned"))));
        let unwanted = !parser.wants();
        self.flush(flow, moment);
        if poison.is_none() && unwanted {
            self.drop_session(flow);
        }
        self.give_up(flow, poison?, EndReason::ParseError, moment)
    }

    /// Ends the session because of its parser, and the flow with it if the policy says so.
    fn give_up<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        kind: AnomalyKind,
        reason: EndReason,
        moment: Moment,
    ) -> Option<EndReason> {
        if self.stream_out.emit_anomalies {
            let (key, ts) = (Some(flow.key().clone()), moment.ts);
            self.events.push(SessionEvent::Anomaly { key, kind, ts });
        }
        if let Slot::Stream(session) = &mut flow.user.slot {
            if reason == EndReason::ParseError {
                session.reset();
            } else {
                // Its parser is whole, and has the last word.
                self.queued -= session.queued_bytes();
                session.close(reason, moment, &mut self.stream_out);
                self.queued += session.queued_bytes();
            }
        }
        self.flush(flow, moment);
        self.drop_session(flow);
        self.push_closed(flow, reason);
        (self.poison == PoisonPolicy::EndFlow).then_some(reason)
    }

    /// Gives up the holes of a flow for the sake of others.
    fn relieve<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>) -> Option<EndReason> {
        let moment = self.last;
        let Slot::Stream(session) = &mut flow.user.slot else { return None };
        let queued = session.queued_bytes();
        session.give_up_holes(moment, &mut self.stream_out);
        self.queued = self.queued + session.queued_bytes() - queued;
        let poison = parse_error(session.poison());
        self.flush(flow, moment);
        self.give_up(flow, poison?, EndReason::ParseError, moment)
    }

    /// Without a parser, the session is over when the tracker says that the connection is.
    fn close_if_over<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>) {
        // Payload that was overtaken by all that closed the connection is still on its way.
        let has_payload = |side| {
            flow.fin(side).zip(flow.stream_start(side)).is_some_and(|(fin, start)| fin != start)
        };
        let is_over = match flow.user.slot {
            Slot::Done => true,
            Slot::Idle => !FlowSide::BOTH.into_iter().any(has_payload),
            Slot::Stream(_) | Slot::Datagram(_) => false,
        };
        if flow.state() == FlowState::Closed && is_over {
            self.push_closed(flow, EndReason::Fin);
        }
    }

    fn close<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        reason: EndReason,
        moment: Moment,
    ) {
        let mut poison = None;
        match &mut flow.user.slot {
            Slot::Stream(session) => {
                self.queued -= session.queued_bytes();
                session.close(reason, moment, &mut self.stream_out);
                self.queued += session.queued_bytes();
                poison = parse_error(session.poison());
            }
            Slot::Datagram(parser) => {
                let at = Mark { offset: 0, packet: moment.packet };
                let (ts, packet, side) = (moment.ts, moment.packet, FlowSide::Initiator);
                let (mut pending, out) = (None, &mut self.datagram_out);
                let mut cx = Context::new(ts, packet, side, at, 0, &mut pending, out);
                parser.close(reason, &mut cx);
            }
            Slot::Idle | Slot::Done => {}
        }
        self.flush(flow, moment);
        if let Some(kind) = poison {
            self.give_up(flow, kind, EndReason::ParseError, moment);
        } else {
            self.drop_session(flow);
            self.push_closed(flow, reason);
        }
    }

    /// Lets go of the parser, keeping what its streams counted, and reports what was odd in them.
    fn drop_session<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>) {
        let Slot::Stream(session) = std::mem::replace(&mut flow.user.slot, Slot::Done) else {
            return;
        };
        self.queued -= session.queued_bytes();
        count_streams(flow, &session);
        if self.stream_out.emit_anomalies {
            let (key, ts) = (flow.key(), self.last.ts);
            self.events.extend(session.stream_anomalies().map(|kind| SessionEvent::Anomaly {
                key: Some(key.clone()),
                kind,
                ts,
            }));
        }
    }

    fn push_closed<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>, reason: EndReason) {
        if !std::mem::replace(&mut flow.user.closed, true) {
            let (key, stats) = (flow.key().clone(), Box::new(flow.stats()));
            self.events.push(SessionEvent::Closed { key, reason, stats });
        }
    }

    /// Turns what the parsers put out into events.
    fn flush<S>(&mut self, flow: &Flow<K, SessionState<T, S>>, moment: Moment) {
        let (key, id, Moment { ts, packet }) = (flow.key(), flow.id(), moment);
        for kind in self.stream_out.anomalies.drain(..) {
            let key = Some(key.clone());
            self.events.push(SessionEvent::Anomaly { key, kind, ts });
        }
        let streams = self.stream_out.messages.drain(..).map(|p| p.map(T::stream_message));
        let datagrams = self.datagram_out.drain(..).map(|p| p.map(T::datagram_message));
        self.events.extend(streams.chain(datagrams).map(|parsed| {
            let Parsed { side, message, first_packet, range } = parsed;
            let origin = Origin { flow: id, first_packet, packet, range };
            SessionEvent::Application { key: key.clone(), side, message, ts, origin }
        }));
    }
}
