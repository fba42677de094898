use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_core::{
    Dedup, FlowEvent, FlowExtractor, FlowStats, FlowTracker, FlowTrackerConfig, L4Proto,
    PacketView, Timestamp, TrackerStats,
};
use flow_session::{
    DatagramOnly, DatagramParserFactory, FlowDatagramDriver, FlowProtocolDriver, FlowSessionDriver,
    ParserSet, SessionEngine, SessionParserFactory, StreamAndDatagram, StreamOnly,
};

use crate::event_stream::Drive;
use crate::{
    ConversationConfig, Conversations, EventStream, PacketSource, SessionStream, Sessions,
};

/// The flow events of a source, from [`PacketSource::flow_stream`], and the way to what is made of
/// flows.
///
/// What is configured here holds for the streams that are made of it, too. It has to be configured
/// before it is read from.
///
/// ```
/// use flow_core::FlowEvent;
/// use flow_extract::FiveTuple;
/// use flow_tokio::CaptureFile;
/// use futures_util::StreamExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/http_get.pcap");
/// let mut events = CaptureFile::open(path)?.flow_stream(FiveTuple::bidirectional());
/// while let Some(event) = events.next().await {
///     if let FlowEvent::Ended { key, stats, .. } = event? {
///         println!("{key}: {} packets", stats.packets_initiator + stats.packets_responder);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub type FlowStream<S, E, U = ()> = EventStream<S, Flows<E, U>>;

/// Makes the events of a [`FlowStream`].
pub struct Flows<E: FlowExtractor, U> {
    tracker: FlowTracker<E, U>,
    dedup: Option<Dedup>,
    shared: Shared<E::Key, U>,
    queue: VecDeque<FlowEvent<E::Key>>,
}

/// What another tracker, or the engine of a session stream, takes over from the tracker.
struct Shared<K, U> {
    monotonic: bool,
    emit_anomalies: bool,
    packet_events: bool,
    idle_timeout: Option<Arc<IdleTimeout<K>>>,
    init: Arc<Mutex<Init<K, U>>>,
}

type IdleTimeout<K> = dyn Fn(&K, Option<L4Proto>) -> Option<Duration> + Send + Sync;
type Init<K, U> = dyn FnMut(&K) -> U + Send;

impl<K, U> Shared<K, U>
where
    K: 'static,
    U: 'static,
{
    fn new(init: impl FnMut(&K) -> U + Send + 'static) -> Self {
        let init = Arc::new(Mutex::new(init));
        let (monotonic, emit_anomalies, packet_events) = (false, false, true);
        Self { monotonic, emit_anomalies, packet_events, idle_timeout: None, init }
    }

    /// Makes what the user keeps with a flow.
    fn init(&self) -> impl FnMut(&K) -> U + Send + 'static {
        let init = Arc::clone(&self.init);
        move |key| init.lock().unwrap_or_else(PoisonError::into_inner)(key)
    }
}

impl<S: PacketSource, E: FlowExtractor> FlowStream<S, E> {
    pub(crate) fn new(source: S, extractor: E) -> Self {
        Self::with_driver(source, Flows::new(extractor, Shared::new(|_| ()), None))
    }

    /// Keeps what `init` makes with every flow; [`tracker`](Self::tracker) has it.
    #[must_use]
    pub fn with_state<U: Send + 'static>(
        self,
        init: impl FnMut(&E::Key) -> U + Send + 'static,
    ) -> FlowStream<S, E, U> {
        self.with_changed(|Flows { tracker, dedup, shared, .. }| {
            let config = tracker.config().clone();
            let Shared { monotonic, emit_anomalies, packet_events, idle_timeout, .. } = shared;
            let init = Shared::new(init).init;
            let shared = Shared { monotonic, emit_anomalies, packet_events, idle_timeout, init };
            Flows::new(tracker.into_extractor(), shared, dedup)
                .with_tracker(|tracker| tracker.with_config(config))
        })
    }
}

impl<E: FlowExtractor, U: Send + 'static> Flows<E, U> {
    fn new(extractor: E, shared: Shared<E::Key, U>, dedup: Option<Dedup>) -> Self {
        let mut tracker = FlowTracker::with_state(extractor, shared.init())
            .with_monotonic_timestamps(shared.monotonic)
            .with_emit_anomalies(shared.emit_anomalies)
            .with_packet_events(shared.packet_events);
        if let Some(timeout) = shared.idle_timeout.clone() {
            tracker.set_idle_timeout_fn(move |key, l4| timeout(key, l4));
        }
        Self { tracker, dedup, shared, queue: VecDeque::new() }
    }

    fn with_tracker(self, change: impl FnOnce(FlowTracker<E, U>) -> FlowTracker<E, U>) -> Self {
        let Self { tracker, dedup, shared, queue } = self;
        Self { tracker: change(tracker), dedup, shared, queue }
    }

    /// An engine with the same configuration.
    fn into_engine<T: ParserSet>(
        self,
        build: impl FnOnce(E, BoxedInit<E::Key, U>) -> SessionEngine<E, T, U>,
    ) -> SessionEngine<E, T, U> {
        let Self { tracker, dedup, shared, .. } = self;
        let config = tracker.config().clone();
        let mut engine = build(tracker.into_extractor(), Box::new(shared.init()))
            .with_config(config)
            .with_emit_anomalies(shared.emit_anomalies)
            .with_monotonic_timestamps(shared.monotonic);
        if let Some(dedup) = dedup {
            engine = engine.with_dedup(dedup);
        }
        if let Some(timeout) = shared.idle_timeout {
            engine = engine.with_idle_timeout_fn(move |key, l4| timeout(key, l4));
        }
        engine
    }
}

impl<S: PacketSource, E: FlowExtractor, U: Send + 'static> FlowStream<S, E, U> {
    fn change(self, change: impl FnOnce(FlowTracker<E, U>) -> FlowTracker<E, U>) -> Self {
        self.with_changed(|flows| flows.with_tracker(change))
    }

    /// See [`FlowTracker::with_config`].
    #[must_use]
    pub fn with_config(self, config: FlowTrackerConfig) -> Self {
        self.change(|tracker| tracker.with_config(config))
    }

    /// See [`FlowTracker::with_emit_anomalies`].
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.driver.shared.emit_anomalies = emit;
        self.change(|tracker| tracker.with_emit_anomalies(emit))
    }

    /// See [`FlowTracker::with_packet_events`].
    #[must_use]
    pub fn with_packet_events(mut self, packets: bool) -> Self {
        self.driver.shared.packet_events = packets;
        self.change(|tracker| tracker.with_packet_events(packets))
    }

    /// See [`FlowTracker::with_monotonic_timestamps`].
    #[must_use]
    pub fn with_monotonic_timestamps(mut self, monotonic: bool) -> Self {
        self.driver.shared.monotonic = monotonic;
        self.change(|tracker| tracker.with_monotonic_timestamps(monotonic))
    }

    /// Drops packets that `dedup` has seen before.
    #[must_use]
    pub fn with_dedup(mut self, dedup: Dedup) -> Self {
        self.driver.dedup = Some(dedup);
        self
    }

    /// See [`FlowTracker::set_idle_timeout_fn`].
    #[must_use]
    pub fn with_idle_timeout_fn(
        mut self,
        timeout: impl Fn(&E::Key, Option<L4Proto>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        let timeout = Arc::new(timeout);
        self.driver.shared.idle_timeout = Some(timeout.clone());
        self.driver.tracker.set_idle_timeout_fn(move |key, l4| timeout(key, l4));
        self
    }

    /// The messages of TCP flows: every flow is read by the parser that `parser` makes, a clone of it
    /// if it is a parser itself, its result if it is a closure.
    #[must_use]
    pub fn session_stream<P, M>(
        self,
        parser: impl SessionParserFactory<E::Key, M, Parser = P>,
    ) -> SessionStream<S, E, StreamOnly<P>, U>
    where
        P: flow_session::SessionParser,
    {
        self.into_sessions(|extractor, init| FlowSessionDriver::with_state(extractor, parser, init))
    }

    /// The messages of UDP flows; see [`session_stream`](Self::session_stream).
    #[must_use]
    pub fn datagram_stream<D, M>(
        self,
        parser: impl DatagramParserFactory<E::Key, M, Parser = D>,
    ) -> SessionStream<S, E, DatagramOnly<D>, U>
    where
        D: flow_session::DatagramParser,
    {
        self.into_sessions(|extractor, init| {
            FlowDatagramDriver::with_state(extractor, parser, init)
        })
    }

    /// The messages of TCP and UDP flows, on one flow table.
    ///
    /// With the parsers of `flow-l7` that is everything it knows, on any port:
    ///
    /// ```
    /// use flow_extract::{AutoDetectEncap, FiveTuple};
    /// use flow_l7::{L7DatagramParser, L7Parser};
    /// use flow_tokio::CaptureFile;
    ///
    /// # fn example() -> Result<(), flow_tokio::Error> {
    /// let events = CaptureFile::open("traffic.pcapng")?
    ///     .flow_stream(AutoDetectEncap::new(FiveTuple::bidirectional()))
    ///     .protocol_stream(<L7Parser>::default(), <L7DatagramParser>::default());
    /// # let _ = events;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn protocol_stream<P, D, M, N>(
        self,
        stream: impl SessionParserFactory<E::Key, M, Parser = P>,
        datagram: impl DatagramParserFactory<E::Key, N, Parser = D>,
    ) -> SessionStream<S, E, StreamAndDatagram<P, D>, U>
    where
        P: flow_session::SessionParser,
        D: flow_session::DatagramParser,
    {
        self.into_sessions(|extractor, init| {
            FlowProtocolDriver::with_state(extractor, stream, datagram, init)
        })
    }

    /// The TCP connections, each as a stream of the bytes of both sides.
    #[must_use]
    pub fn conversations(self) -> Conversations<S, E, U>
    where
        S: 'static,
    {
        self.conversations_with(ConversationConfig::default())
    }

    /// The same with other limits, or another answer to readers that are too slow.
    #[must_use]
    pub fn conversations_with(self, config: ConversationConfig) -> Conversations<S, E, U>
    where
        S: 'static,
    {
        Conversations::new(self, config)
    }

    fn into_sessions<T: ParserSet>(
        self,
        build: impl FnOnce(E, BoxedInit<E::Key, U>) -> SessionEngine<E, T, U>,
    ) -> SessionStream<S, E, T, U> {
        self.with_changed(|flows| Sessions::new(flows.into_engine(build)))
    }

    /// The tracker, to ask for flows by their key.
    #[must_use]
    pub fn tracker(&self) -> &FlowTracker<E, U> {
        &self.driver.tracker
    }

    /// What was counted of all packets and flows.
    #[must_use]
    pub fn tracker_stats(&self) -> &TrackerStats {
        self.driver.tracker.stats()
    }

    /// What was counted of every flow so far.
    pub fn snapshot_flow_stats(&self) -> impl Iterator<Item = (&E::Key, FlowStats)> + '_ {
        self.driver.tracker.all_flow_stats()
    }
}

type BoxedInit<K, U> = Box<dyn FnMut(&K) -> U + Send>;

impl<E: FlowExtractor, U> Drive for Flows<E, U> {
    type Event = FlowEvent<E::Key>;

    #[inline]
    fn track(&mut self, view: PacketView<'_>) {
        if self.dedup.as_mut().is_none_or(|dedup| dedup.keep(view)) {
            self.queue.extend(self.tracker.track(view));
        } else {
            self.tracker.pass_over();
        }
    }

    fn sweep(&mut self, now: Timestamp) {
        self.queue.extend(self.tracker.sweep(now));
    }

    fn finish(&mut self) {
        self.queue.extend(self.tracker.finish());
    }

    #[inline]
    fn pop(&mut self) -> Option<FlowEvent<E::Key>> {
        self.queue.pop_front()
    }

    #[inline]
    fn has_events(&self) -> bool {
        !self.queue.is_empty()
    }

    fn active_flows(&self) -> usize {
        self.tracker.flow_count()
    }

    fn now(&self) -> Timestamp {
        self.tracker.now()
    }

    fn sweep_interval(&self) -> Duration {
        self.tracker.config().sweep_interval
    }
}
