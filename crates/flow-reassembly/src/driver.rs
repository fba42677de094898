use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use flow_core::{
    AnomalyKind, Dedup, EndReason, EventQueue, Flow, FlowEvent, FlowExtractor, FlowSide, FlowSink,
    FlowState, FlowStats, FlowTracker, FlowTrackerConfig, IcmpError, L4Proto, OverflowPolicy,
    PacketView, RoutedPacket, TcpFlags, TcpSideStats, Tick, Timestamp, TrackedPacket, Verdict,
};

use crate::{
    BufferedReassembler, LastWord, Reassembler, ReassemblerFactory, Segment, StreamConfig,
};

/// A flow tracker that gives every TCP flow two reassemblers, one a side.
///
/// Events are those of [`FlowTracker`]; the bytes go to the reassemblers. The order of calls is
/// that of [`FlowTracker`] too: [`track`](Self::track) for every packet, then
/// [`finish`](Self::finish).
///
/// ```
/// use flow_core::{FlowEvent, FlowExtractor, FlowSide, OverflowPolicy, PacketView};
/// use flow_reassembly::{BufferedReassemblerFactory, FlowDriver};
///
/// /// The length of everything that was sent over TCP.
/// fn measure<'a, E: FlowExtractor>(
///     extractor: E,
///     packets: impl IntoIterator<Item = PacketView<'a>>,
/// ) -> usize {
///     let factory = BufferedReassemblerFactory::default()
///         .with_max_buffer(1_000_000)
///         .with_overflow_policy(OverflowPolicy::DropFlow);
///     let mut driver = FlowDriver::new(extractor, factory).with_emit_anomalies(true);
///     let mut sum = 0;
///     for packet in packets {
///         let events: Vec<_> = driver.track(packet).collect();
///         for event in events {
///             match event {
///                 FlowEvent::Packet { key, side, .. } => sum += driver.drain_buffer(&key, side).len(),
///                 FlowEvent::Anomaly { kind, .. } => eprintln!("{kind}"),
///                 _ => {}
///             }
///         }
///     }
///     // What the last packets of flows that go on would show.
///     for (_key, stats) in driver.snapshot_flow_stats() {
///         assert!(stats.tcp.initiator.delivered_bytes <= stats.payload_bytes_initiator);
///     }
///     driver.finish().for_each(drop);
///     // Bytes behind holes that were never filled.
///     for (_key, _side, stream) in driver.ended() {
///         sum += stream.take().len();
///     }
///     sum
/// }
/// # use flow_core::{Extracted, Timestamp};
/// # struct Nothing;
/// # impl FlowExtractor for Nothing {
/// #     type Key = u8;
/// #     fn extract(&self, _: PacketView<'_>) -> Option<Extracted<u8>> { None }
/// # }
/// # assert_eq!(measure(Nothing, [PacketView::new(&[], Timestamp::default())]), 0);
/// ```
pub struct FlowDriver<E, F, S = ()>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key>,
{
    tracker: FlowTracker<E, DriverState<F::Reassembler, S>>,
    sink: DriverSink<E::Key, F>,
    dedup: Option<Dedup>,
}

/// What a [`FlowDriver`] keeps with every flow.
#[derive(Debug)]
pub struct DriverState<R, S> {
    /// The initiator's and the responder's reassembler; `None` if the flow is not TCP.
    pub reassemblers: Option<[R; 2]>,
    /// What the user keeps.
    pub user: S,
}

struct DriverSink<K, F: ReassemblerFactory<K>> {
    factory: F,
    /// Reassemblers with output of flows that the last call ended.
    ended: Vec<(K, [F::Reassembler; 2])>,
    /// Which of them somebody has asked for last.
    asked: usize,
    queue: EventQueue<K>,
    config: FlowTrackerConfig,
    limits: Arc<StreamConfig>,
    /// Memory taken by what waits in all reassemblers.
    queued: usize,
}

impl<E: FlowExtractor, F: ReassemblerFactory<E::Key>> FlowDriver<E, F> {
    /// A driver with the default configuration.
    #[must_use]
    pub fn new(extractor: E, factory: F) -> Self {
        Self::with_state(extractor, factory, |_| ())
    }
}

impl<E, F, S> FlowDriver<E, F, S>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key>,
{
    /// A driver that keeps what `init` makes with every flow.
    #[must_use]
    pub fn with_state(
        extractor: E,
        factory: F,
        mut init: impl FnMut(&E::Key) -> S + Send + 'static,
    ) -> Self {
        let state = move |key: &E::Key| DriverState { reassemblers: None, user: init(key) };
        Self {
            tracker: FlowTracker::with_state(extractor, state),
            sink: DriverSink {
                factory,
                ended: Vec::new(),
                asked: 0,
                queue: EventQueue::default(),
                config: FlowTrackerConfig::default(),
                limits: Arc::default(),
                queued: 0,
            },
            dedup: None,
        }
    }

    /// The same driver with another configuration; to be called before the first packet.
    #[must_use]
    pub fn with_config(mut self, config: FlowTrackerConfig) -> Self {
        self.sink.config = config.clone();
        self.sink.limits = Arc::new(StreamConfig::of(&config));
        self.tracker = self.tracker.with_config(config);
        self
    }

    /// Whether anomalies are reported too; not by default.
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.sink.queue = std::mem::take(&mut self.sink.queue).with_emit_anomalies(emit);
        self
    }

    /// Whether every packet is an event; it is by default. Those who only want the streams, and the
    /// beginnings and ends of flows, can do without.
    #[must_use]
    pub fn with_packet_events(mut self, packets: bool) -> Self {
        self.sink.queue = std::mem::take(&mut self.sink.queue).with_packets(packets);
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
    pub fn track(&mut self, view: PacketView<'_>) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.sink.clear();
        if self.dedup.as_mut().is_none_or(|dedup| dedup.keep(view)) {
            self.tracker.track_with(view, &mut self.sink);
        } else {
            self.tracker.pass_over();
        }
        self.relieve_if_full(view.timestamp);
        self.sink.queue.drain()
    }

    /// [`track`](Self::track) for a packet that a [`FlowRouter`](flow_core::FlowRouter) hands to
    /// this driver, with the frame that it came with.
    pub fn track_routed(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
    ) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.sink.clear();
        self.tracker.track_routed_with(packet, frame, &mut self.sink);
        self.relieve_if_full(packet.ts());
        self.sink.queue.drain()
    }

    /// See [`FlowTracker::track_quoted`].
    pub fn track_quoted(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
    ) -> Option<impl Iterator<Item = FlowEvent<E::Key>> + '_> {
        self.sink.clear();
        let is_there = self.tracker.track_quoted_with(packet, frame, &mut self.sink);
        is_there.then(|| self.sink.queue.drain())
    }

    /// See [`FlowTracker::advance`].
    pub fn advance(&mut self, tick: &Tick) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.sink.clear();
        self.tracker.advance_with(tick, &mut self.sink);
        self.sink.queue.drain()
    }

    /// See [`FlowTracker::finish_at`].
    pub fn finish_at(&mut self, tick: &Tick) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.sink.clear();
        self.tracker.finish_at_with(tick, &mut self.sink);
        self.sink.queue.drain()
    }

    #[inline]
    fn relieve_if_full(&mut self, now: Timestamp) {
        if self.sink.queued > self.sink.config.max_reassembly_total {
            self.relieve(now);
        }
    }

    /// Makes the streams that have waited longest give up their holes, until a quarter of the
    /// memory for all of them is free: so that the look at all flows is rare.
    #[cold]
    fn relieve(&mut self, now: Timestamp) {
        // Somebody may have changed a reassembler between packets.
        let pairs = self.tracker.flows().filter_map(|flow| flow.user.reassemblers.as_ref());
        self.sink.queued = pairs.map(queued).sum();
        let since = |state: &DriverState<F::Reassembler, S>| {
            state.reassemblers.iter().flatten().filter_map(Reassembler::waiting_since).min()
        };
        for key in longest_waiting(self.tracker.flows(), since) {
            if self.sink.queued <= self.sink.config.max_reassembly_total / 4 * 3 {
                break;
            }
            let Some(flow) = self.tracker.get_mut(&key) else { continue };
            if let Some(pair) = &mut flow.user.reassemblers {
                let queued = queued(pair);
                pair.iter_mut().for_each(Reassembler::give_up_holes);
                self.sink.queued = (self.sink.queued + self::queued(pair)).saturating_sub(queued);
            }
            if flow.user.reassemblers.iter().flatten().any(Reassembler::has_news) {
                self.sink.report(flow, Some(self.sink.config.tick(now)), now);
            }
        }
    }

    /// See [`FlowTracker::pass_over`].
    pub fn pass_over(&mut self) {
        self.tracker.pass_over();
    }

    /// Ends the flows that have been idle for too long at `now`.
    pub fn sweep(&mut self, now: Timestamp) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.sink.clear();
        self.tracker.sweep_with(now, &mut self.sink);
        self.sink.queue.drain()
    }

    /// Ends every flow: the packets have come to an end.
    pub fn finish(&mut self) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.sink.clear();
        self.tracker.finish_with(&mut self.sink);
        self.sink.queue.drain()
    }

    /// The tracker.
    #[must_use]
    pub const fn tracker(&self) -> &FlowTracker<E, DriverState<F::Reassembler, S>> {
        &self.tracker
    }

    /// The reassembler of what `side` of a TCP flow sends.
    pub fn reassembler_mut(&mut self, key: &E::Key, side: FlowSide) -> Option<&mut F::Reassembler> {
        self.tracker.get_mut(key)?.user.reassemblers.as_mut()?.get_mut(side.index())
    }

    /// The reassemblers with something left to take of flows that ended in the last call, which they
    /// outlive until the next one.
    pub fn ended(&mut self) -> impl Iterator<Item = (&E::Key, FlowSide, &mut F::Reassembler)> + '_ {
        self.sink.ended.iter_mut().flat_map(|(key, pair)| {
            FlowSide::BOTH
                .into_iter()
                .zip(pair)
                .map(|(side, reassembler)| (&*key, side, reassembler))
        })
    }

    /// What was counted of every flow so far, reassembly included.
    pub fn snapshot_flow_stats(&self) -> impl Iterator<Item = (&E::Key, FlowStats)> + '_ {
        self.tracker.flows().map(|flow| {
            let mut stats = flow.stats();
            if let Some(pair) = &flow.user.reassemblers {
                for (side, reassembler) in FlowSide::BOTH.into_iter().zip(pair) {
                    if let Some(counted) = reassembler.stream_stats() {
                        stats.tcp.side_mut(side).add(&counted);
                    }
                    stats.set_reassembly(side, reassembler.buffer_stats());
                }
            }
            (flow.key(), stats)
        })
    }
}

impl<E, F, S> FlowDriver<E, F, S>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key, Reassembler = BufferedReassembler>,
{
    /// Takes the ordered bytes of `side` that have come since the last time. Those of a flow that
    /// ended in the last call come first, and by themselves: where the key was taken up again at
    /// once, a second call gives those of its successor.
    pub fn drain_buffer(&mut self, key: &E::Key, side: FlowSide) -> Vec<u8> {
        let left = self.sink.ended_with_output(key, side);
        if let Some(reassembler) = left {
            return reassembler.take();
        }
        self.reassembler_mut(key, side).map(BufferedReassembler::take).unwrap_or_default()
    }
}

impl<E, F, S> fmt::Debug for FlowDriver<E, F, S>
where
    E: FlowExtractor,
    F: ReassemblerFactory<E::Key>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowDriver").field("tracker", &self.tracker).finish_non_exhaustive()
    }
}

type DriverFlow<K, F, S> = Flow<K, DriverState<<F as ReassemblerFactory<K>>::Reassembler, S>>;

impl<K, F, S> FlowSink<K, DriverState<F::Reassembler, S>> for DriverSink<K, F>
where
    K: Clone,
    F: ReassemblerFactory<K>,
{
    const READS_PAYLOAD: bool = true;

    fn started(&mut self, flow: &mut DriverFlow<K, F, S>, side: FlowSide) {
        if flow.l4() == Some(L4Proto::Tcp) {
            let mut pair =
                FlowSide::BOTH.map(|side| self.factory.new_reassembler(flow.key(), side));
            for reassembler in &mut pair {
                reassembler.configure(&self.config, &self.limits);
            }
            flow.user.reassemblers = Some(pair);
        }
        self.queue.started(flow, side);
    }

    #[inline]
    fn packet(
        &mut self,
        flow: &mut DriverFlow<K, F, S>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        self.queue.packet(flow, packet);
        let pair = flow.user.reassemblers.as_mut()?;
        if packet.is_usual && !pair.iter().any(Reassembler::is_waiting) {
            if packet.payload_len == 0 {
                return None;
            }
            if in_order(pair, packet) {
                return self.settle(flow, packet);
            }
        }
        self.segment(flow, packet)
    }

    fn established(&mut self, flow: &mut DriverFlow<K, F, S>, ts: Timestamp) {
        if flow.has_whole_handshake() {
            let round_trip = ts.saturating_sub(flow.started());
            let pair = flow.user.reassemblers.iter_mut().flatten();
            pair.for_each(|reassembler| reassembler.established(round_trip));
        }
        self.queue.established(flow, ts);
    }

    fn state_change(
        &mut self,
        flow: &mut DriverFlow<K, F, S>,
        from: FlowState,
        to: FlowState,
        ts: Timestamp,
    ) {
        self.queue.state_change(flow, from, to, ts);
    }

    fn update(&mut self, flow: &mut DriverFlow<K, F, S>, ts: Timestamp) {
        self.queue.update(flow, ts);
    }

    fn icmp_error(
        &mut self,
        flow: &mut DriverFlow<K, F, S>,
        side: FlowSide,
        error: IcmpError,
        number: u64,
        ts: Timestamp,
    ) {
        self.queue.icmp_error(flow, side, error, number, ts);
    }

    fn anomaly(
        &mut self,
        flow: Option<&mut DriverFlow<K, F, S>>,
        kind: AnomalyKind,
        ts: Timestamp,
    ) {
        self.queue.anomaly(flow, kind, ts);
    }

    fn ended(&mut self, flow: &mut DriverFlow<K, F, S>, reason: EndReason, ts: Timestamp) {
        let gone = flow.user.reassemblers.as_ref().map_or(0, queued);
        self.queued = self.queued.saturating_sub(gone);
        let words = FlowSide::BOTH.map(|side| LastWord::of(flow, side));
        if let Some(pair) = &mut flow.user.reassemblers {
            pair.iter_mut().zip(words).for_each(|(reassembler, word)| reassembler.last_word(word));
            pair.iter_mut().for_each(|reassembler| reassembler.finish(reason));
        }
        self.report(flow, None, ts);
        if reason != EndReason::ParseError
            && let Some(kind) = poison(flow.user.reassemblers.as_ref())
        {
            self.queue.anomaly(Some(&mut *flow), kind, ts);
        }
        let pair = flow.user.reassemblers.take();
        for (side, reassembler) in FlowSide::BOTH.into_iter().zip(pair.iter().flatten()) {
            if let Some(counted) =
                reassembler.stream_stats().filter(|c| *c != TcpSideStats::default())
            {
                flow.tcp_stats_mut(side).add(&counted);
            }
            flow.set_reassembly_stats(side, reassembler.buffer_stats());
        }
        let has_output = |pair: &[F::Reassembler; 2]| pair.iter().any(Reassembler::has_output);
        if let Some(pair) = pair.filter(has_output) {
            self.ended.push((flow.key().clone(), pair));
        }
        self.queue.ended(flow, reason, ts);
    }
}

/// The anomaly that a poisoned reassembler is.
fn poison<R: Reassembler>(pair: Option<&[R; 2]>) -> Option<AnomalyKind> {
    let mut sides = FlowSide::BOTH.into_iter().zip(pair?);
    let (side, reassembler) = sides.find(|(_, reassembler)| reassembler.is_poisoned())?;
    let reason = reassembler.poison_reason().unwrap_or("poisoned").to_owned();
    Some(AnomalyKind::SessionParseError { side, reason })
}

/// Hands payload to a reassembler that takes it if it is just what comes next.
#[inline]
fn in_order<R: Reassembler>(pair: &mut [R; 2], packet: &TrackedPacket<'_>) -> bool {
    let (Some(info), true) = (packet.tcp, packet.is_whole()) else { return false };
    let [initiator, responder] = pair;
    let reassembler = match packet.side {
        FlowSide::Initiator => initiator,
        FlowSide::Responder => responder,
    };
    reassembler.in_order(info.seq, packet.payload, packet.number)
}

/// The keys of flows with streams that wait for bytes in front of others, those that have waited
/// longest first.
pub fn longest_waiting<'a, K, S>(
    flows: impl Iterator<Item = &'a Flow<K, S>>,
    since: impl Fn(&S) -> Option<Timestamp>,
) -> Vec<K>
where
    K: Clone + 'a,
    S: 'a,
{
    let mut waiting: Vec<_> = flows
        .filter_map(|flow| Some((since(&flow.user)?, flow.id(), flow.key().clone())))
        .collect();
    waiting.sort_unstable_by_key(|&(since, id, _)| (since, id));
    waiting.into_iter().map(|(.., key)| key).collect()
}

fn queued<R: Reassembler>(pair: &[R; 2]) -> usize {
    pair.iter().map(Reassembler::queued_bytes).sum()
}

impl<K: Clone, F: ReassemblerFactory<K>> DriverSink<K, F> {
    /// A reassembler with output of a flow that the last call ended. They are mostly asked for in
    /// the order in which they ended, and searched for from the last one on.
    fn ended_with_output(&mut self, key: &K, side: FlowSide) -> Option<&mut F::Reassembler>
    where
        K: PartialEq,
    {
        let at = side.index();
        let is_it = |(ended, pair): &(K, [F::Reassembler; 2])| {
            ended == key && pair.get(at).is_some_and(Reassembler::has_output)
        };
        let (before, behind) = self.ended.split_at(self.asked.min(self.ended.len()));
        let found = behind.iter().position(is_it).map(|index| before.len() + index);
        self.asked = found.or_else(|| before.iter().position(is_it))?;
        self.ended.get_mut(self.asked)?.1.get_mut(at)
    }

    /// Forgets what the last call brought.
    #[inline]
    fn clear(&mut self) {
        self.queue.clear();
        if !self.ended.is_empty() {
            self.ended.clear();
            self.asked = 0;
        }
    }

    /// Tells of what was out of the ordinary in the streams of a flow.
    #[cold]
    fn report<S>(&mut self, flow: &mut DriverFlow<K, F, S>, tick: Option<u64>, ts: Timestamp) {
        let mut kinds = Vec::new();
        let pair = flow.user.reassemblers.iter_mut().flatten();
        for (side, reassembler) in FlowSide::BOTH.into_iter().zip(pair) {
            reassembler.report(side, tick, &mut |kind| kinds.push(kind));
        }
        for kind in kinds {
            if let AnomalyKind::StreamGap { side, .. } = kind {
                flow.note(side, b'G');
            }
            self.queue.anomaly(Some(&mut *flow), kind, ts);
        }
    }

    /// A packet that is not just what comes next.
    #[inline(never)]
    fn segment<S>(
        &mut self,
        flow: &mut DriverFlow<K, F, S>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        let segment = Segment::of(flow, packet);
        let acked = FlowSide::BOTH.map(|side| flow.acked(side.other()));
        let pair = flow.user.reassemblers.as_mut()?;
        let before = queued(pair);
        if let Some(segment) = &segment {
            let [initiator, responder] = pair;
            match packet.side {
                FlowSide::Initiator => initiator.handle(segment),
                FlowSide::Responder => responder.handle(segment),
            }
        }
        for (reassembler, acked) in pair.iter_mut().zip(acked) {
            reassembler.progress(acked, packet.ts);
        }
        // Others' reassemblers may change between packets.
        self.queued = (self.queued + queued(pair)).saturating_sub(before);
        let reset = packet.tcp.is_some_and(|info| info.flags.contains(TcpFlags::RST));
        if reset && packet.verdict == Verdict::Accept {
            for reassembler in pair.iter_mut() {
                reassembler.rst();
            }
        }
        self.settle(flow, packet)
    }

    /// Looks at what the packet may have done to the reassemblers.
    #[inline]
    fn settle<S>(
        &mut self,
        flow: &mut DriverFlow<K, F, S>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        let pair = flow.user.reassemblers.as_ref()?;
        let is_done = |r: &F::Reassembler| r.is_overflowed() || r.is_poisoned();
        let (news, done) = (pair.iter().any(Reassembler::has_news), pair.iter().any(is_done));
        if news {
            self.report(flow, Some(self.config.tick(packet.ts)), packet.ts);
        }
        if done { self.outcome(flow, packet) } else { None }
    }

    /// Whether a reassembler wants the flow to end after this packet.
    fn outcome<S>(
        &mut self,
        flow: &mut DriverFlow<K, F, S>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        let pair = flow.user.reassemblers.as_ref()?;
        let sides = || FlowSide::BOTH.into_iter().zip(pair);
        let overflowed = sides().find(|(_, reassembler)| reassembler.is_overflowed());
        let (kind, reason) = if let Some((side, reassembler)) = overflowed {
            let bytes = reassembler.buffer_stats().bytes_dropped_oversize;
            let policy = OverflowPolicy::DropFlow;
            (AnomalyKind::BufferOverflow { side, bytes, policy }, EndReason::BufferOverflow)
        } else {
            (poison(Some(pair))?, EndReason::ParseError)
        };
        self.queue.anomaly(Some(flow), kind, packet.ts);
        Some(reason)
    }
}
