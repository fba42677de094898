use std::fmt;
use std::time::Duration;

use crate::engine::Engine;
use crate::flow::Flow;
use crate::sink::{EventQueue, FlowSink};
use crate::{
    DefragmentStats, FlowEvent, FlowExtractor, FlowStats, FlowTrackerConfig, L4Proto, PacketView,
    RoutedPacket, Tick, Timestamp, TrackerStats,
};

/// The flow table: takes packets, keeps one entry per flow, reports what happens.
///
/// The order of calls is [`track`](Self::track) for every packet, in capture order, and
/// [`finish`](Self::finish) when there are no more. Each gives back the events it caused as a
/// draining iterator; what is not read is dropped, but counted all the same. Who has many packets
/// at hand gives them to [`track_batch`](Self::track_batch), which is faster in large tables.
/// Timeouts are looked at as packet time passes; a caller who knows that time passes without
/// packets calls [`sweep`](Self::sweep).
///
/// Packets that come in IP fragments are put together, if the extractor finds the fragments: such
/// a packet counts once, with the frame that completes it.
///
/// A packet whose time lies more than a day from that of the packets before it counts, with the
/// time it has, but neither ends flows nor keeps them alive, unless several more in a row agree
/// with it: then the capture goes on at another time.
///
/// `S` is what the caller wants to keep per flow; see [`with_state`](Self::with_state).
///
/// Per packet the tracker extracts once, hashes once and touches one entry. It allocates only to
/// grow the table.
pub struct FlowTracker<E: FlowExtractor, S = ()> {
    engine: Engine<E, S>,
    queue: EventQueue<E::Key>,
}

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
        Self { engine: Engine::new(extractor, Box::new(init)), queue: EventQueue::default() }
    }

    /// The same tracker with another configuration; to be called before the first packet.
    #[must_use]
    pub fn with_config(mut self, config: FlowTrackerConfig) -> Self {
        self.engine.configure(config);
        self
    }

    /// Whether [`track`](Self::track) and the others report anomalies too; not by default. One of
    /// a kind is reported per flow, side and sweep interval, the others are only counted.
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.queue = std::mem::take(&mut self.queue).with_emit_anomalies(emit);
        self
    }

    /// Whether every packet is an event; it is by default. Flows begin, change and end all the same.
    #[must_use]
    pub fn with_packet_events(mut self, packets: bool) -> Self {
        self.queue = std::mem::take(&mut self.queue).with_packets(packets);
        self
    }

    /// Whether a packet that is older than one before it counts as being of that one's time; not
    /// by default. Events then never go back in time.
    #[must_use]
    pub fn with_monotonic_timestamps(mut self, monotonic: bool) -> Self {
        self.engine.monotonic = monotonic;
        self
    }

    /// Handles one packet and gives the events it caused.
    #[inline]
    pub fn track(&mut self, view: PacketView<'_>) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.track(view, &mut self.queue);
        self.queue.drain()
    }

    /// Handles packets in their order, and gives the events that they caused: the same as
    /// [`track`](Self::track) for each of them. Decodes some of them ahead and reads the memory of
    /// their flows in one go, which hides the latency of tables that are larger than the
    /// processor's cache: with a million flows, a packet costs a quarter. With a few thousand flows
    /// there is nothing to gain. A few dozen packets at a time are enough.
    pub fn track_batch(
        &mut self,
        views: &[PacketView<'_>],
    ) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.track_batch(views, &mut self.queue);
        self.queue.drain()
    }

    /// Ends the flows that have been idle for too long at `now`, and moves the packet clock
    /// there if it is behind.
    pub fn sweep(&mut self, now: Timestamp) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.sweep_at(now, &mut self.queue);
        self.queue.drain()
    }

    /// Ends every flow, in the order in which they began: the packets have come to an end.
    pub fn finish(&mut self) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.finish(&mut self.queue);
        self.queue.drain()
    }

    /// [`track`](Self::track) for a layer above: reports to `sink` in place of events.
    #[inline]
    pub fn track_with<T: FlowSink<E::Key, S>>(&mut self, view: PacketView<'_>, sink: &mut T) {
        self.engine.track(view, sink);
    }

    /// [`track_batch`](Self::track_batch) for a layer above.
    pub fn track_batch_with<T: FlowSink<E::Key, S>>(
        &mut self,
        views: &[PacketView<'_>],
        sink: &mut T,
    ) {
        self.engine.track_batch(views, sink);
    }

    /// [`sweep`](Self::sweep) for a layer above.
    pub fn sweep_with<T: FlowSink<E::Key, S>>(&mut self, now: Timestamp, sink: &mut T) {
        self.engine.sweep_at(now, sink);
    }

    /// [`finish`](Self::finish) for a layer above.
    pub fn finish_with<T: FlowSink<E::Key, S>>(&mut self, sink: &mut T) {
        self.engine.finish(sink);
    }

    /// [`track`](Self::track) for a packet that a [`FlowRouter`](crate::FlowRouter) hands to this
    /// tracker, with the frame that it came with.
    #[inline]
    pub fn track_routed(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
    ) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.track_routed(packet, frame, &mut self.queue);
        self.queue.drain()
    }

    /// Counts an ICMP error with the flow that it quotes. If that is not here, nothing happens: it
    /// gives `None`.
    pub fn track_quoted(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
    ) -> Option<impl Iterator<Item = FlowEvent<E::Key>> + '_> {
        self.queue.clear();
        let is_there = self.engine.track_quoted(packet, frame, &mut self.queue);
        is_there.then(|| self.queue.drain())
    }

    /// Ends the flows that have been idle for too long, by the clock of the router.
    pub fn advance(&mut self, tick: &Tick) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.advance(tick, &mut self.queue);
        self.queue.drain()
    }

    /// [`finish`](Self::finish) for a tracker that a router hands packets to.
    pub fn finish_at(&mut self, tick: &Tick) -> impl Iterator<Item = FlowEvent<E::Key>> + '_ {
        self.queue.clear();
        self.engine.finish_at(tick, &mut self.queue);
        self.queue.drain()
    }

    /// [`track_routed`](Self::track_routed) for a layer above.
    #[inline]
    pub fn track_routed_with<T: FlowSink<E::Key, S>>(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
        sink: &mut T,
    ) {
        self.engine.track_routed(packet, frame, sink);
    }

    /// [`track_quoted`](Self::track_quoted) for a layer above: gives whether the flow is there.
    pub fn track_quoted_with<T: FlowSink<E::Key, S>>(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
        sink: &mut T,
    ) -> bool {
        self.engine.track_quoted(packet, frame, sink)
    }

    /// [`advance`](Self::advance) for a layer above.
    pub fn advance_with<T: FlowSink<E::Key, S>>(&mut self, tick: &Tick, sink: &mut T) {
        self.engine.advance(tick, sink);
    }

    /// [`finish_at`](Self::finish_at) for a layer above.
    pub fn finish_at_with<T: FlowSink<E::Key, S>>(&mut self, tick: &Tick, sink: &mut T) {
        self.engine.finish_at(tick, sink);
    }

    /// The entry of a flow.
    pub fn get(&self, key: &E::Key) -> Option<&Flow<E::Key, S>> {
        self.engine.table.get(self.engine.table.find(self.engine.table.hash(key), key)?)
    }

    /// The entry of a flow.
    pub fn get_mut(&mut self, key: &E::Key) -> Option<&mut Flow<E::Key, S>> {
        self.engine.table.get_mut(self.engine.table.find(self.engine.table.hash(key), key)?)
    }

    /// Every flow in the table, lingering ones included, in no particular order.
    pub fn flows(&self) -> impl Iterator<Item = &Flow<E::Key, S>> + '_ {
        self.engine.table.slots().map(|(_, flow)| flow)
    }

    /// What time it is by the packet clock: the latest time of a packet that is believed, or the one
    /// that [`sweep`](Self::sweep) was told since.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.engine.now()
    }

    /// Flows in the table, lingering ones included.
    #[must_use]
    pub fn flow_count(&self) -> usize {
        self.engine.table.len()
    }

    /// Takes a flow out of the table without an event. A later packet begins a new one.
    pub fn forget(&mut self, key: &E::Key) -> Option<FlowStats> {
        let slot = self.engine.table.find(self.engine.table.hash(key), key)?;
        self.engine.table.remove(slot).map(|flow| flow.stats())
    }

    /// What the tracker counted of all packets and flows.
    #[must_use]
    pub const fn stats(&self) -> &TrackerStats {
        &self.engine.stats
    }

    /// What became of IP fragments.
    #[must_use]
    pub const fn fragment_stats(&self) -> &DefragmentStats {
        self.engine.defragmenter.stats()
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
        &self.engine.config
    }

    /// Takes another configuration. Timeouts and limits apply from the next time they are
    /// looked at; the sweep interval stays.
    pub fn set_config(&mut self, config: FlowTrackerConfig) {
        self.engine.defragmenter.set_config(config.defragment);
        self.engine.config = config;
    }

    /// Chooses the idle timeout of each flow when it begins; `None` for that of the
    /// configuration. It counts in whole milliseconds, 49 days at most.
    pub fn set_idle_timeout_fn(
        &mut self,
        timeout: impl Fn(&E::Key, Option<L4Proto>) -> Option<Duration> + Send + Sync + 'static,
    ) {
        self.engine.idle_timeout = Some(Box::new(timeout));
    }

    /// The extractor.
    #[must_use]
    pub const fn extractor(&self) -> &E {
        &self.engine.extractor
    }

    /// Gives the extractor back.
    #[must_use]
    pub fn into_extractor(self) -> E {
        self.engine.extractor
    }

    /// Counts a packet that was left out before it came here, so that packet numbers stay those
    /// of the capture.
    pub fn pass_over(&mut self) {
        self.engine.stats.packets += 1;
        self.engine.stats.skipped_duplicates += 1;
    }
}

impl<E: FlowExtractor, S> fmt::Debug for FlowTracker<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTracker")
            .field("config", &self.engine.config)
            .field("flows", &self.engine.table.len())
            .field("now", &self.engine.now())
            .finish_non_exhaustive()
    }
}
