//! What happens to a packet in the tracker.

mod batch;
mod indirect;
mod routed;

use std::time::Duration;

pub(crate) use self::indirect::{MAX_ANOMALIES, assemble};

use crate::clock::{Clock, Moment};
use crate::eviction::Eviction;
use crate::flow::{Details, Flow, OF_CONFIG};
use crate::history::History;
use crate::report::{Report, write_history};
use crate::sink::{FlowSink, TrackedPacket};
use crate::table::FlowTable;
use crate::tcp_state::{Notes, Oddities, Outcome, Tcp, Verdict};
use crate::timers::{SLACK, Timer, TimerWheel};
use crate::{
    AnomalyKind, ChecksumPolicy, Defragmenter, EndReason, Extracted, FlowExtractor, FlowSide,
    FlowState, FlowTrackerConfig, L4Proto, PacketView, RejectReason, SegmentOddity, TcpChecksum,
    TcpFlags, TcpInfo, Timestamp, TrackerStats, Traffic,
};

/// The tracker without its faces: everything that a packet, or time that passes, does to the flow
/// table. Reports to the [`FlowSink`] it is given.
pub(crate) struct Engine<E: FlowExtractor, S> {
    pub(crate) extractor: E,
    pub(crate) config: FlowTrackerConfig,
    pub(crate) table: FlowTable<E::Key, S>,
    pub(crate) init: Init<E::Key, S>,
    pub(crate) idle_timeout: Option<IdleTimeout<E::Key>>,
    pub(crate) monotonic: bool,
    pub(crate) stats: TrackerStats,
    pub(crate) defragmenter: Defragmenter,
    clock: Clock,
    timers: TimerWheel,
    /// When the next timers may be due, by the clock.
    due_at: u64,
    /// Empty but while timers fire.
    fired: Vec<Timer>,
    eviction: Eviction,
    evicted_in_tick: u64,
    next_id: u64,
}

pub(crate) type Init<K, S> = Box<dyn FnMut(&K) -> S + Send>;
pub(crate) type IdleTimeout<K> = Box<dyn Fn(&K, Option<L4Proto>) -> Option<Duration> + Send + Sync>;

/// What is known of a packet that goes the long way.
struct Found<'a, K> {
    extracted: &'a Extracted<K>,
    payload_len: u32,
    /// If it was verified.
    checksum: Option<TcpChecksum>,
}

impl<K> Found<'_, K> {
    fn packet<'a>(
        &'a self,
        arrival: &Arrival<'a>,
        side: FlowSide,
        outcome: &Outcome,
    ) -> TrackedPacket<'a> {
        TrackedPacket {
            number: arrival.number,
            ts: arrival.when.ts,
            side,
            wire_len: arrival.wire_len,
            payload: self.extracted.payload.of(arrival.view.frame),
            payload_len: self.payload_len,
            tcp: self.extracted.tcp.as_ref(),
            verdict: outcome.verdict,
            resync: outcome.resync,
            window_probe: outcome.notes.contains(Notes::WINDOW_PROBE),
            is_usual: false,
        }
    }
}

/// What makes a segment one that begins or ends a connection.
const CONTROL: TcpFlags = TcpFlags::SYN.union(TcpFlags::FIN).union(TcpFlags::RST);

/// A packet, when and as it is counted.
struct Arrival<'a> {
    /// The frame, or the packet that it made whole.
    view: PacketView<'a>,
    /// Bytes on the wire of the frame.
    wire_len: u32,
    number: u64,
    when: Moment,
}

impl<E: FlowExtractor, S> Engine<E, S> {
    pub(crate) fn new(extractor: E, init: Init<E::Key, S>) -> Self {
        let config = FlowTrackerConfig::default();
        Self {
            extractor,
            table: FlowTable::with_capacity(config.initial_capacity),
            init,
            idle_timeout: None,
            monotonic: false,
            stats: TrackerStats::default(),
            defragmenter: Defragmenter::new(config.defragment),
            clock: Clock::default(),
            timers: TimerWheel::new(config.sweep_interval),
            due_at: 0,
            fired: Vec::new(),
            eviction: Eviction::default(),
            evicted_in_tick: 0,
            next_id: 0,
            config,
        }
    }

    /// The same with another configuration, before the first packet.
    pub(crate) fn configure(&mut self, config: FlowTrackerConfig) {
        self.table = FlowTable::with_capacity(config.initial_capacity);
        self.timers = TimerWheel::new(config.sweep_interval);
        self.defragmenter = Defragmenter::new(config.defragment);
        self.config = config;
    }

    /// The latest time that is believed.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[inline]
    pub(crate) fn track<T: FlowSink<E::Key, S>>(&mut self, view: PacketView<'_>, sink: &mut T) {
        let arrival = self.arrive(view, sink);
        // By reference: moving it out of the option would copy it.
        match &self.extractor.extract(view) {
            Some(extracted) => {
                let hash = self.table.hash(&extracted.key);
                let slot = self.table.find(hash, &extracted.key);
                self.handle(&arrival, hash, slot, extracted, sink);
            }
            None => self.without_flow(&arrival, sink),
        }
    }

    /// Moves the packet clock to `now` if it is behind, and looks at the timeouts.
    pub(crate) fn sweep_at<T: FlowSink<E::Key, S>>(&mut self, now: Timestamp, sink: &mut T) {
        self.clock.set(now);
        self.sweep(sink);
    }

    pub(crate) fn finish<T: FlowSink<E::Key, S>>(&mut self, sink: &mut T) {
        self.tell_of_evictions(sink);
        let now = self.clock.now();
        self.table.take_all().for_each_by_id(|flow| {
            let reason = flow.closed().unwrap_or(EndReason::EndOfInput);
            self.ended(flow, reason, now, sink);
        });
        self.eviction = Eviction::default();
    }

    /// Counts the packet and moves the clock.
    #[inline]
    fn arrive<'a, T: FlowSink<E::Key, S>>(
        &mut self,
        view: PacketView<'a>,
        sink: &mut T,
    ) -> Arrival<'a> {
        self.stats.packets += 1;
        let when = self.clock.arrive(view.timestamp, self.monotonic);
        if self.clock.elapsed() >= self.due_at && self.config.auto_sweep {
            self.sweep(sink);
        }
        self.stats.doubtful_timestamps += u64::from(!when.is_timely);
        Arrival { view, wire_len: view.wire_len, number: self.stats.packets, when }
    }

    /// Handles a packet of a flow. What nearly every one is, is handled here.
    #[inline]
    fn handle<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        hash: u32,
        slot: Option<u32>,
        extracted: &Extracted<E::Key>,
        sink: &mut T,
    ) {
        let payload_len = arrival.payload_len(extracted);
        let reads = T::READS_PAYLOAD && payload_len > 0 && extracted.tcp.is_some();
        let mut checksum = None;
        if let Some(at) = slot
            && let Some(flow) = self.table.get_mut(at)
        {
            let side = flow.side_of(extracted.orientation);
            if reads && sink.reads_payload(flow, side) {
                checksum = tcp_checksum(&self.extractor, &self.config, arrival, extracted);
            }
            let continues = match &extracted.tcp {
                _ if checksum == Some(TcpChecksum::Bad) => false,
                Some(info) => {
                    flow.state == FlowState::Established
                        && info.ttl >= self.config.min_ttl
                        && flow.tcp.continues(side, info, payload_len)
                }
                None => flow.closed().is_none() && !is_icmp(extracted.l4),
            };
            if continues {
                flow.touched = arrival.when.elapsed;
                flow.count(side, arrival, payload_len);
                if extracted.tcp.is_some() {
                    match checksum {
                        None => {}
                        Some(TcpChecksum::Good) => flow.tcp.note_good_checksum(side),
                        Some(_) => flow.tcp_stats_mut(side).offloaded_checksums += 1,
                    }
                    flow.history.note_data_or_ack(side, payload_len > 0);
                }
                let packet = TrackedPacket {
                    number: arrival.number,
                    ts: arrival.when.ts,
                    side,
                    wire_len: arrival.wire_len,
                    payload: extracted.payload.of(arrival.view.frame),
                    payload_len,
                    tcp: extracted.tcp.as_ref(),
                    verdict: Verdict::Accept,
                    resync: None,
                    window_probe: false,
                    is_usual: true,
                };
                if let Some(reason) = sink.packet(flow, &packet) {
                    self.end(at, reason, arrival.when.ts, sink);
                }
                return;
            }
        }
        if reads && slot.is_none() {
            checksum = tcp_checksum(&self.extractor, &self.config, arrival, extracted);
        }
        let found = Found { extracted, payload_len, checksum };
        self.handle_rest(arrival, hash, slot, &found, sink);
    }

    /// Handles a packet that begins a flow, changes its state, or is out of the ordinary.
    #[inline(never)]
    fn handle_rest<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        hash: u32,
        mut slot: Option<u32>,
        found: &Found<'_, E::Key>,
        sink: &mut T,
    ) {
        let Found { extracted, payload_len, .. } = *found;
        let checksum = found.checksum.or_else(|| {
            let counts = T::READS_PAYLOAD || self.config.checksums == ChecksumPolicy::Always;
            let counts = counts && extracted.tcp.is_some_and(|info| info.flags.intersects(CONTROL));
            counts
                .then(|| tcp_checksum(&self.extractor, &self.config, arrival, extracted))
                .flatten()
        });
        if is_icmp(extracted.l4) && self.icmp_error(arrival, sink) {
            return;
        }
        let ts = arrival.when.ts;
        loop {
            let fresh = slot.is_none();
            let at = match slot {
                Some(at) => at,
                None => self.start(hash, arrival, extracted, sink),
            };
            let Some(flow) = self.table.get_mut(at) else { return };
            let mut side = flow.side_of(extracted.orientation);
            if extracted.tcp.is_some_and(|info| flow.has_roles_reversed(side, &info)) {
                flow.swap_sides();
                side = side.other();
            }
            let before = flow.state;
            let outcome = match &extracted.tcp {
                Some(info) => judge(flow, side, info, payload_len, checksum, &self.config),
                None => Outcome::accept(before),
            };
            let mut report = Report { stats: &mut self.stats, tick: self.timers.now(), side, ts };
            // Reuse is only ever found in a flow that was there before, so this runs twice at
            // most.
            if outcome.reuse && !fresh {
                report.odd_segments(flow, &outcome, sink);
                let reason = flow.closed().unwrap_or(EndReason::Replaced);
                self.end(at, reason, ts, sink);
                slot = None;
                continue;
            }
            flow.count(side, arrival, payload_len);
            if let Some(info) = &extracted.tcp {
                write_history(flow, side, info, payload_len, &outcome);
                report.odd_segments(flow, &outcome, sink);
                report.segment(flow, &outcome, sink);
            }
            let was_closed = flow.closed().is_some();
            flow.state = outcome.state;
            if !was_closed || flow.closed().is_none() {
                flow.touched = arrival.when.elapsed;
            }
            let packet = found.packet(arrival, side, &outcome);
            let end = sink.packet(flow, &packet);
            if outcome.state != before {
                self.changed(at, before, outcome.state, ts, sink);
            }
            match end {
                Some(reason) => self.end(at, reason, ts, sink),
                None if fresh || outcome.state != before => self.arm(at, fresh),
                None => {}
            }
            return;
        }
    }

    /// Puts a new flow into the table.
    fn start<T: FlowSink<E::Key, S>>(
        &mut self,
        hash: u32,
        arrival: &Arrival<'_>,
        extracted: &Extracted<E::Key>,
        sink: &mut T,
    ) -> u32 {
        let limit = self.config.max_flows.clamp(1, u32::MAX as usize);
        if self.table.len() >= limit {
            self.evict(limit, arrival.when.ts, sink);
        }
        // The receiver of a SYN-ACK is the one who opened the connection.
        let both = TcpFlags::SYN | TcpFlags::ACK;
        let answers = extracted.tcp.is_some_and(|info| info.flags.contains(both));
        let orientation = extracted.orientation;
        let initiator = if answers { orientation.reversed() } else { orientation };
        let timeout =
            self.idle_timeout.as_ref().and_then(|choose| choose(&extracted.key, extracted.l4));
        let millis =
            |timeout: Duration| u32::try_from(timeout.as_millis()).unwrap_or(OF_CONFIG - 1);
        let details = (!extracted.encapsulation.is_empty()).then(|| {
            Box::new(Details { encapsulation: extracted.encapsulation, ..Details::default() })
        });
        let flow = Flow {
            user: (self.init)(&extracted.key),
            key: extracted.key.clone(),
            touched: arrival.when.elapsed,
            last_seen: arrival.when.ts,
            traffic: [Traffic::default(); 2],
            tcp: Tcp::default(),
            state: FlowState::Active,
            initiator,
            l4: extracted.l4,
            history: History::default(),
            timer: 0, // armed when the first packet has made its state
            idle_timeout: timeout.map_or(OF_CONFIG, millis),
            started: arrival.when.ts,
            id: self.next_id,
            details,
        };
        self.next_id += 1;
        self.stats.flows_started += 1;
        let slot = self.table.insert(hash, flow);
        self.stats.flows_peak = self.stats.flows_peak.max(self.table.len() as u64);
        self.eviction.started(slot, self.timers.tick_at(arrival.when.elapsed), &self.table);
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
        if open && flow.tcp.has_handshake() && flow.tcp.opens() {
            sink.established(flow, ts);
        }
        if from != FlowState::Active {
            sink.state_change(flow, from, to, ts);
        }
        let Some(reason) = flow.closed() else { return };
        if flow.linger(&self.config).is_zero() {
            self.end(slot, reason, ts, sink);
        } else {
            self.eviction.closed(slot, &self.table);
        }
    }

    /// Sees to it that the flow is looked at when its time is over, or has to be reported. Unless it
    /// has a timer already, it is `without` one.
    fn arm(&mut self, slot: u32, without: bool) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let tick = self.timers.tick_for(flow.deadline(&self.config));
        let tick = match self.config.update_interval {
            Some(interval) => tick.min(next_update(flow, &self.timers, interval)),
            None => tick,
        };
        // Nearly always the timer that it has does. What the wheel knows of it is far away.
        if !without && !TimerWheel::is_before(tick, flow.timer) {
            return;
        }
        flow.timer = self.timers.arm(slot, tick);
        // This keeps leftovers fewer than the flows, a bucket at a time, so that no packet waits
        // for all of them.
        if self.timers.len() > 2 * self.table.len() + SLACK {
            let table = &self.table;
            self.timers.clean_a_bucket(|slot| table.get(slot).is_some());
        }
    }

    /// Looks at the timers that are due.
    #[cold]
    fn sweep<T: FlowSink<E::Key, S>>(&mut self, sink: &mut T) {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        self.tell_of_evictions(sink);
        let mut fired = std::mem::take(&mut self.fired);
        self.timers.advance(elapsed, &mut fired);
        self.due_at = self.timers.next_due();
        for timer in fired.drain(..) {
            let slot = timer.slot;
            if !self.timers.take(timer) {
                continue;
            }
            let Some(flow) = self.table.get_mut(slot) else { continue };
            if self.timers.put_off(slot, flow.timer) {
                continue;
            }
            // Its last packet had a time that turned out to be wrong.
            flow.touched = flow.touched.min(elapsed);
            if flow.deadline(&self.config) <= elapsed {
                let reason = flow.closed().unwrap_or(match flow.state {
                    // Both sides had finished; only the last ACK is missing.
                    FlowState::ClosingTcp => EndReason::Fin,
                    _ => EndReason::IdleTimeout,
                });
                self.end(slot, reason, now, sink);
                continue;
            }
            if let Some(interval) = self.config.update_interval
                && is_update(flow, &self.timers, interval)
            {
                sink.update(flow, now);
            }
            self.arm(slot, true);
        }
        self.fired = fired;
        self.eviction.forget_ended(&self.table);
        self.defragmenter.sweep(Timestamp::from_nanos(elapsed));
    }

    /// Makes room for one flow: first one that only lingers, then the least recently seen.
    fn evict<T: FlowSink<E::Key, S>>(&mut self, limit: usize, ts: Timestamp, sink: &mut T) {
        while self.table.len() >= limit {
            let timers = &self.timers;
            let next = self.eviction.next(&self.table, |time| timers.tick_at(time));
            let Some((slot, reason)) = next else { return };
            if reason == EndReason::Evicted {
                self.stats.flows_evicted += 1;
                self.evicted_in_tick += 1;
                if self.evicted_in_tick == 1 {
                    self.tell_of_pressure(ts, sink);
                }
            }
            self.end(slot, reason, ts, sink);
        }
    }

    /// A tick is over.
    fn tell_of_evictions<T: FlowSink<E::Key, S>>(&mut self, sink: &mut T) {
        if self.evicted_in_tick > 1 {
            self.tell_of_pressure(self.clock.now(), sink);
        }
        self.evicted_in_tick = 0;
    }

    fn tell_of_pressure<T: FlowSink<E::Key, S>>(&mut self, ts: Timestamp, sink: &mut T) {
        let evicted_total = self.stats.flows_evicted;
        let evicted_in_tick = self.evicted_in_tick;
        let kind = AnomalyKind::FlowTableEvictionPressure { evicted_in_tick, evicted_total };
        sink.anomaly(None, kind, ts);
    }

    #[inline(never)]
    fn end<T: FlowSink<E::Key, S>>(
        &mut self,
        slot: u32,
        reason: EndReason,
        ts: Timestamp,
        sink: &mut T,
    ) {
        if let Some(flow) = self.table.remove(slot) {
            self.ended(flow, reason, ts, sink);
        }
    }

    /// The flow is not in the table any more.
    fn ended<T: FlowSink<E::Key, S>>(
        &mut self,
        mut flow: Flow<E::Key, S>,
        reason: EndReason,
        ts: Timestamp,
        sink: &mut T,
    ) {
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

impl Arrival<'_> {
    /// The length of the payload: what its headers say, but no more than was on the wire.
    #[inline]
    fn payload_len<K>(&self, extracted: &Extracted<K>) -> u32 {
        let frame_len = u32::try_from(self.view.frame.len()).unwrap_or(u32::MAX);
        let extent = self.view.wire_len.max(frame_len);
        extracted.payload.len.min(extent.saturating_sub(extracted.payload.offset))
    }
}

#[inline]
pub(crate) fn is_icmp(l4: Option<L4Proto>) -> bool {
    matches!(l4, Some(L4Proto::Icmp | L4Proto::Icmpv6))
}

impl<K, S> Flow<K, S> {
    #[inline]
    fn count(&mut self, side: FlowSide, arrival: &Arrival<'_>, payload_len: u32) {
        // A time that lies behind by more than clocks are wrong by shows that it was the last one
        // which was wrong.
        let is_later = arrival.when.ts >= self.last_seen;
        if arrival.when.is_timely
            && (is_later || self.last_seen.saturating_sub(arrival.when.ts) > crate::clock::STEP)
        {
            self.last_seen = arrival.when.ts;
        }
        let traffic = &mut self.traffic[side.index()];
        traffic.packets += 1;
        traffic.bytes += u64::from(arrival.wire_len);
        traffic.payload_bytes += u64::from(payload_len);
    }
}

fn judge<K, S>(
    flow: &mut Flow<K, S>,
    side: FlowSide,
    info: &TcpInfo,
    payload_len: u32,
    checksum: Option<TcpChecksum>,
    config: &FlowTrackerConfig,
) -> Outcome {
    if info.ttl != 0 && info.ttl < config.min_ttl {
        return Outcome::reject(RejectReason::LowTimeToLive, flow.state);
    }
    let mut odd = Oddities::default();
    match checksum {
        Some(TcpChecksum::Good) => flow.tcp.note_good_checksum(side),
        Some(TcpChecksum::Bad) => {
            let bad = &mut flow.details.get_or_insert_default().bad_checksums[side.index()];
            let before = *bad;
            *bad = before.saturating_add(1);
            let always = config.checksums == ChecksumPolicy::Always;
            if always || flow.tcp.has_good_checksums(side, before) {
                return Outcome::reject(RejectReason::BadChecksum, flow.state);
            }
            odd = Oddities::of(SegmentOddity::BadChecksum, true);
        }
        Some(TcpChecksum::Offloaded) => flow.tcp_stats_mut(side).offloaded_checksums += 1,
        None => {}
    }
    flow.tcp.segment(&mut flow.details, flow.state, side, info, payload_len).with(odd)
}

#[inline]
fn tcp_checksum<E: FlowExtractor>(
    extractor: &E,
    config: &FlowTrackerConfig,
    arrival: &Arrival<'_>,
    extracted: &Extracted<E::Key>,
) -> Option<TcpChecksum> {
    match config.checksums {
        ChecksumPolicy::Never => None,
        _ => extractor.tcp_checksum(arrival.view, extracted),
    }
}

/// The next tick, after now, at which a flow is to be reported: one that lies whole intervals behind
/// the tick in which it began. Where the clock was set meanwhile, any tick is as good.
fn next_update<K, S>(flow: &Flow<K, S>, timers: &TimerWheel, interval: Duration) -> u64 {
    let (now, every) = (timers.now(), timers.ticks_in(interval));
    let phase = timers.tick_at(flow.started.as_nanos()) % every;
    let since = (now % every + every - phase) % every;
    now.saturating_add(every - since)
}

/// Whether the flow's timer fired because it is to be reported, and there is something to report.
fn is_update<K, S>(flow: &Flow<K, S>, timers: &TimerWheel, interval: Duration) -> bool {
    let (tick, every) = (timers.passed(flow.timer), timers.ticks_in(interval));
    let phase = timers.tick_at(flow.started.as_nanos()) % every;
    let touched = timers.tick_at(flow.touched);
    tick % every == phase && touched.saturating_add(every) >= tick && flow.closed().is_none()
}
