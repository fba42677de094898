use std::fmt;
use std::time::Duration;

use crate::eviction::Eviction;
use crate::flow::{Details, Flow, OF_CONFIG};
use crate::sink::{EventQueue, FlowSink, TrackedPacket};
use crate::table::FlowTable;
use crate::tcp_state::{Note, Tcp, Verdict};
use crate::timers::{SLACK, Timer, TimerWheel};
use crate::{
    AnomalyKind, EndReason, Extracted, FlowEvent, FlowExtractor, FlowSide, FlowState, FlowStats,
    FlowTrackerConfig, HistoryString, L4Proto, PacketView, TcpFlags, TcpInfo, Timestamp,
    TrackerStats, Traffic,
};

/// The flow table: takes packets, keeps one entry per flow, reports what happens.
///
/// The order of calls is [`track`](Self::track) for every packet, in capture order, and
/// [`finish`](Self::finish) when there are no more. Each gives back the events it caused as a
/// draining iterator; what is not read is dropped, but counted all the same. Timeouts are
/// looked at as packet time passes; a caller who knows that time passes without packets calls
/// [`sweep`](Self::sweep).
///
/// `S` is what the caller wants to keep per flow; see [`with_state`](Self::with_state).
///
/// Per packet the tracker extracts once, hashes once and touches one entry. It allocates only to
/// grow the table.
pub struct FlowTracker<E: FlowExtractor, S = ()> {
    extractor: E,
    config: FlowTrackerConfig,
    table: FlowTable<E::Key, S>,
    timers: TimerWheel,
    eviction: Eviction,
    fired: Vec<Timer>,
    queue: EventQueue<E::Key>,
    init: Init<E::Key, S>,
    idle_timeout: Option<IdleTimeout<E::Key>>,
    monotonic: bool,
    now: Timestamp,
    next_id: u64,
    stats: TrackerStats,
}

type Init<K, S> = Box<dyn FnMut(&K) -> S + Send>;
type IdleTimeout<K> = Box<dyn Fn(&K, Option<L4Proto>) -> Option<Duration> + Send + Sync>;

impl<E: FlowExtractor> FlowTracker<E> {
    /// A tracker with the default configuration.
    #[must_use]
    pub fn new(extractor: E) -> Self {
        Self::with_state(extractor, |_| ())
    }
}

impl<E: FlowExtractor, S> FlowTracker<E, S> {
    /// A tracker that keeps what `init` makes with every flow.
    #[must_use]
    pub fn with_state(extractor: E, init: impl FnMut(&E::Key) -> S + Send + 'static) -> Self {
        let config = FlowTrackerConfig::default();
        Self {
            extractor,
            table: FlowTable::with_capacity(config.initial_capacity),
            timers: TimerWheel::new(config.sweep_interval),
            config,
            eviction: Eviction::default(),
            fired: Vec::new(),
            queue: EventQueue::default(),
            init: Box::new(init),
            idle_timeout: None,
            monotonic: false,
            now: Timestamp::default(),
            next_id: 0,
            stats: TrackerStats::default(),
        }
    }

    /// The same tracker with another configuration; to be called before the first packet.
    #[must_use]
    pub fn with_config(mut self, config: FlowTrackerConfig) -> Self {
        self.table = FlowTable::with_capacity(config.initial_capacity);
        self.timers = TimerWheel::new(config.sweep_interval);
        self.config = config;
        self
    }

    /// Whether [`track`](Self::track) and the others report anomalies too; not by default.
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.queue = EventQueue::default().with_emit_anomalies(emit);
        self
    }

    /// Whether a packet that is older than one before it counts as being of that one's time; not
    /// by default. Events then never go back in time.
    #[must_use]
    pub fn with_monotonic_timestamps(mut self, monotonic: bool) -> Self {
        self.monotonic = monotonic;
        self
    }

    /// Handles one packet and gives the events it caused.
    pub fn track(&mut self, view: PacketView<'_>) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        let mut queue = std::mem::take(&mut self.queue);
        queue.drain();
        self.track_with(view, &mut queue);
        self.queue = queue;
        self.queue.drain()
    }

    /// Ends the flows that have been idle for too long at `now`, and moves the packet clock
    /// there if it is behind.
    pub fn sweep(&mut self, now: Timestamp) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        let mut queue = std::mem::take(&mut self.queue);
        queue.drain();
        self.sweep_with(now, &mut queue);
        self.queue = queue;
        self.queue.drain()
    }

    /// Ends every flow, in the order in which they began: the packets have come to an end.
    pub fn finish(&mut self) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        let mut queue = std::mem::take(&mut self.queue);
        queue.drain();
        self.finish_with(&mut queue);
        self.queue = queue;
        self.queue.drain()
    }

    /// [`track`](Self::track) for a layer above: reports to `sink` in place of events.
    pub fn track_with<T: FlowSink<E::Key, S>>(&mut self, view: PacketView<'_>, sink: &mut T) {
        self.stats.packets += 1;
        let ts = if self.monotonic { view.timestamp.max(self.now) } else { view.timestamp };
        self.now = self.now.max(ts);
        if self.config.auto_sweep && self.timers.is_due(self.now) {
            self.sweep_with(self.now, sink);
        }
        // By reference: moving it out of the option would copy it.
        match &self.extractor.extract(view) {
            Some(extracted) => self.handle(view, ts, extracted, sink),
            None => self.stats.skip(self.extractor.skip_reason(view)),
        }
    }

    /// [`sweep`](Self::sweep) for a layer above.
    pub fn sweep_with<T: FlowSink<E::Key, S>>(&mut self, now: Timestamp, sink: &mut T) {
        self.now = self.now.max(now);
        let mut fired = std::mem::take(&mut self.fired);
        self.timers.advance(now, &mut fired);
        for timer in fired.drain(..) {
            let slot = timer.slot;
            let Some(flow) = self.table.get_mut(slot).filter(|flow| flow.has(&timer)) else {
                continue;
            };
            let deadline = flow.deadline(&self.config);
            if deadline <= now {
                let reason = flow.closed.unwrap_or(match flow.state {
                    // Both sides had finished; only the last ACK is missing.
                    FlowState::ClosingTcp => EndReason::Fin,
                    _ => EndReason::IdleTimeout,
                });
                self.end(slot, reason, now, sink);
            } else {
                flow.timer = self.timers.arm(slot, flow.low_id(), deadline);
            }
        }
        self.fired = fired;
        self.eviction.forget_ended(&self.table);
    }

    /// [`finish`](Self::finish) for a layer above.
    pub fn finish_with<T: FlowSink<E::Key, S>>(&mut self, sink: &mut T) {
        let mut slots: Vec<_> = self.table.slots().map(|(slot, flow)| (flow.id, slot)).collect();
        slots.sort_unstable();
        for (_, slot) in slots {
            let closed = self.table.get(slot).and_then(|flow| flow.closed);
            self.end(slot, closed.unwrap_or(EndReason::EndOfInput), self.now, sink);
        }
        self.eviction = Eviction::default();
    }

    /// The entry of a flow.
    pub fn get(&self, key: &E::Key) -> Option<&Flow<E::Key, S>> {
        self.table.get(self.table.find(self.table.hash(key), key)?)
    }

    /// The entry of a flow.
    pub fn get_mut(&mut self, key: &E::Key) -> Option<&mut Flow<E::Key, S>> {
        self.table.get_mut(self.table.find(self.table.hash(key), key)?)
    }

    /// Every flow in the table, lingering ones included, in no particular order.
    pub fn flows(&self) -> impl Iterator<Item = &Flow<E::Key, S>> + '_ {
        self.table.slots().map(|(_, flow)| flow)
    }

    /// Flows in the table, lingering ones included.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.table.len()
    }

    /// Takes a flow out of the table without an event. A later packet begins a new one.
    pub fn forget(&mut self, key: &E::Key) -> Option<FlowStats> {
        let slot = self.table.find(self.table.hash(key), key)?;
        self.table.remove(slot).map(|flow| flow.stats())
    }

    /// What the tracker counted of all packets and flows.
    #[must_use]
    pub const fn stats(&self) -> &TrackerStats {
        &self.stats
    }

    /// What was counted of a flow so far.
    pub fn snapshot_stats(&self, key: &E::Key) -> Option<FlowStats> {
        self.get(key).map(Flow::stats)
    }

    /// What was counted of every flow in the table so far.
    pub fn all_flow_stats(&self) -> impl Iterator<Item = (&E::Key, FlowStats)> + '_ {
        self.flows().map(|flow| (&flow.key, flow.stats()))
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &FlowTrackerConfig {
        &self.config
    }

    /// Takes another configuration. Timeouts and limits apply from the next time they are
    /// looked at; the sweep interval stays.
    pub fn set_config(&mut self, config: FlowTrackerConfig) {
        self.config = config;
    }

    /// Chooses the idle timeout of each flow when it begins; `None` for that of the
    /// configuration.
    pub fn set_idle_timeout_fn(
        &mut self,
        timeout: impl Fn(&E::Key, Option<L4Proto>) -> Option<Duration> + Send + Sync + 'static,
    ) {
        self.idle_timeout = Some(Box::new(timeout));
    }

    /// The extractor.
    #[must_use]
    pub const fn extractor(&self) -> &E {
        &self.extractor
    }

    /// Gives the extractor back.
    #[must_use]
    pub fn into_extractor(self) -> E {
        self.extractor
    }

    /// Counts a packet that was left out before it came here, so that packet numbers stay those
    /// of the capture.
    pub fn pass_over(&mut self) {
        self.stats.packets += 1;
        self.stats.skipped_duplicates += 1;
    }

    fn handle<T: FlowSink<E::Key, S>>(
        &mut self,
        view: PacketView<'_>,
        ts: Timestamp,
        extracted: &Extracted<E::Key>,
        sink: &mut T,
    ) {
        let hash = self.table.hash(&extracted.key);
        let mut slot = self.table.find(hash, &extracted.key);
        let payload_len = extracted.payload.len;
        loop {
            let fresh = slot.is_none();
            let at = match slot {
                Some(at) => at,
                None => self.start(hash, ts, extracted, sink),
            };
            let Some(flow) = self.table.get_mut(at) else { return };
            let side = flow.side_of(extracted.orientation);
            let before = flow.state;
            let outcome = extracted
                .tcp
                .as_ref()
                .map(|info| flow.tcp.segment(before, side, info, payload_len));
            // Reuse is only ever found in a flow that was there before, so this runs twice at
            // most.
            if let (Some(true), false) = (outcome.map(|outcome| outcome.reuse), fresh) {
                let reason = flow.closed.unwrap_or(EndReason::Replaced);
                self.end(at, reason, ts, sink);
                slot = None;
                continue;
            }
            let verdict = outcome.map_or(Verdict::Accept, |outcome| outcome.verdict);
            let state = outcome.map_or(before, |outcome| outcome.state);
            let note = outcome.map_or(Note::None, |outcome| outcome.note);
            count(flow, side, view.wire_len, ts, payload_len);
            if let Some(info) = &extracted.tcp {
                write_history(&mut flow.history, side, info, payload_len, verdict);
            }
            if verdict != Verdict::Accept || note != Note::None {
                count_rare(flow, side, verdict, note, ts, sink);
            }
            flow.state = state;
            let packet = TrackedPacket {
                number: self.stats.packets,
                ts,
                side,
                wire_len: view.wire_len,
                payload: extracted.payload.of(view.frame),
                payload_len,
                tcp: extracted.tcp.as_ref(),
                verdict,
                resync: note == Note::Resync,
            };
            let end = sink.packet(flow, &packet);
            if state != before {
                self.changed(at, before, state, ts, sink);
            }
            match end {
                Some(reason) => self.end(at, reason, ts, sink),
                None if fresh || state != before => self.arm(at),
                None => {}
            }
            return;
        }
    }

    /// Puts a new flow into the table.
    fn start<T: FlowSink<E::Key, S>>(
        &mut self,
        hash: u32,
        ts: Timestamp,
        extracted: &Extracted<E::Key>,
        sink: &mut T,
    ) -> u32 {
        let limit = self.config.max_flows.clamp(1, u32::MAX as usize);
        if self.table.len() >= limit {
            self.evict(limit, ts, sink);
        }
        // The receiver of a SYN-ACK is the one who opened the connection.
        let both = TcpFlags::SYN | TcpFlags::ACK;
        let answers = extracted.tcp.is_some_and(|info| info.flags.contains(both));
        let orientation = extracted.orientation;
        let initiator = if answers { orientation.reversed() } else { orientation };
        let timeout =
            self.idle_timeout.as_ref().and_then(|choose| choose(&extracted.key, extracted.l4));
        let nanos = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(OF_CONFIG - 1);
        let details = (!extracted.encapsulation.is_empty()).then(|| {
            Box::new(Details { encapsulation: extracted.encapsulation, ..Details::default() })
        });
        let flow = Flow {
            user: (self.init)(&extracted.key),
            key: extracted.key.clone(),
            last_seen: ts,
            traffic: [Traffic::default(); 2],
            tcp: Tcp::default(),
            history: HistoryString::default(),
            state: FlowState::Active,
            l4: extracted.l4,
            initiator,
            closed: None,
            closed_at: ts,
            established: false,
            idle_timeout: timeout.map_or(OF_CONFIG, nanos),
            timer: 0, // armed when the first packet has made its state
            started: ts,
            id: self.next_id,
            details,
        };
        self.next_id += 1;
        self.stats.flows_started += 1;
        let slot = self.table.insert(hash, flow);
        self.stats.flows_peak = self.stats.flows_peak.max(self.table.len() as u64);
        if let Some(flow) = self.table.get_mut(slot) {
            let side = if answers { FlowSide::Responder } else { FlowSide::Initiator };
            sink.started(flow, side);
        }
        slot
    }

    /// The TCP state of a flow has changed.
    fn changed<T: FlowSink<E::Key, S>>(
        &mut self,
        slot: u32,
        from: FlowState,
        to: FlowState,
        ts: Timestamp,
        sink: &mut T,
    ) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let open = matches!(
            to,
            FlowState::Established | FlowState::FinWait | FlowState::ClosingTcp | FlowState::Closed
        );
        if open && !flow.established && flow.tcp.has_handshake() {
            flow.established = true;
            sink.established(flow, ts);
        }
        if from != FlowState::Active {
            sink.state_change(flow, from, to, ts);
        }
        let closed = match to {
            FlowState::Closed => Some(EndReason::Fin),
            FlowState::Reset => Some(EndReason::Rst),
            _ => None,
        };
        if flow.closed == closed {
            return;
        }
        flow.closed = closed;
        flow.closed_at = ts;
        let Some(reason) = closed else { return };
        if self.config.close_linger.is_zero() {
            self.end(slot, reason, ts, sink);
        } else {
            self.eviction.closed(slot, &self.table);
        }
    }

    /// Arms the timer of a flow that has none, or whose state gives it less time than before.
    fn arm(&mut self, slot: u32) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let deadline = flow.deadline(&self.config);
        if flow.timer == 0 || self.timers.tick_of(deadline) < flow.timer {
            flow.timer = self.timers.arm(slot, flow.low_id(), deadline);
        }
        // Flows that are gone leave their timers behind; this keeps them fewer than the flows.
        if self.timers.len() > 2 * self.table.len() + SLACK {
            let table = &self.table;
            self.timers.retain(|timer| table.get(timer.slot).is_some_and(|flow| flow.has(timer)));
        }
    }

    /// Makes room for one flow: first one that only lingers, then the least recently seen.
    fn evict<T: FlowSink<E::Key, S>>(&mut self, limit: usize, ts: Timestamp, sink: &mut T) {
        while self.table.len() >= limit {
            let Some((slot, reason)) = self.eviction.next(&self.table) else { return };
            if reason == EndReason::Evicted {
                self.stats.flows_evicted += 1;
                let evicted_total = self.stats.flows_evicted;
                let evicted_in_tick = 1;
                let kind =
                    AnomalyKind::FlowTableEvictionPressure { evicted_in_tick, evicted_total };
                sink.anomaly(None, kind, ts);
            }
            self.end(slot, reason, ts, sink);
        }
    }

    fn end<T: FlowSink<E::Key, S>>(
        &mut self,
        slot: u32,
        reason: EndReason,
        ts: Timestamp,
        sink: &mut T,
    ) {
        let Some(mut flow) = self.table.remove(slot) else { return };
        if reason == EndReason::IdleTimeout
            && matches!(flow.state, FlowState::SynSent | FlowState::SynReceived)
        {
            let from = std::mem::replace(&mut flow.state, FlowState::Aborted);
            sink.state_change(&mut flow, from, FlowState::Aborted, ts);
        }
        self.stats.flows_ended += 1;
        sink.ended(&mut flow, reason, ts);
    }
}

impl<E: FlowExtractor, S> fmt::Debug for FlowTracker<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTracker")
            .field("config", &self.config)
            .field("flows", &self.table.len())
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

fn count<K, S>(
    flow: &mut Flow<K, S>,
    side: FlowSide,
    wire_len: u32,
    ts: Timestamp,
    payload_len: u32,
) {
    flow.last_seen = flow.last_seen.max(ts);
    let traffic = &mut flow.traffic[side.index()];
    traffic.packets += 1;
    traffic.bytes += u64::from(wire_len);
    traffic.payload_bytes += u64::from(payload_len);
}

fn write_history(
    history: &mut HistoryString,
    side: FlowSide,
    info: &TcpInfo,
    payload_len: u32,
    verdict: Verdict,
) {
    let flags = info.flags;
    if verdict == Verdict::Reject(crate::RejectReason::BadFlags) {
        history.note(side, b'Q');
        return;
    }
    if flags.contains(TcpFlags::SYN) {
        history.note(side, if flags.contains(TcpFlags::ACK) { b'H' } else { b'S' });
    }
    if payload_len > 0 {
        history.note(side, b'D');
    }
    if flags.contains(TcpFlags::RST) {
        history.note(side, b'R');
    } else if flags.contains(TcpFlags::FIN) {
        history.note(side, b'F');
    } else if payload_len == 0 && !flags.contains(TcpFlags::SYN) {
        history.note(side, b'A');
        if info.window == 0 {
            history.note(side, b'W');
        }
    }
}

#[cold]
fn count_rare<K, S, T: FlowSink<K, S>>(
    flow: &mut Flow<K, S>,
    side: FlowSide,
    verdict: Verdict,
    note: Note,
    ts: Timestamp,
    sink: &mut T,
) {
    match note {
        Note::None => {}
        Note::Resync => flow.tcp_stats_mut(side).resyncs += 1,
        Note::SynRetransmission => flow.tcp_stats_mut(side).syn_retransmissions += 1,
        // Counted with the stream whose bytes are missing.
        Note::AckUnseen => flow.tcp_stats_mut(side.other()).acks_unseen += 1,
    }
    if let Verdict::Reject(reason) = verdict {
        flow.tcp_stats_mut(side).rejected_segments[reason as usize] += 1;
        sink.anomaly(Some(flow), AnomalyKind::RejectedSegment { side, reason }, ts);
    }
}
