use std::collections::VecDeque;
use std::time::Duration;

use flow_core::{
    Dedup, FlowExtractor, FlowSide, FlowStats, FlowTracker, FlowTrackerConfig, L4Proto, PacketView,
    Timestamp, TrackerStats,
};
use flow_reassembly::OverlapPolicy;
use flow_session::{ParserSet, PoisonPolicy, SessionEngine, SessionEvent, SessionState};

use crate::event_stream::Drive;
use crate::{EventStream, PacketSource};

/// The messages of a source, from [`FlowStream::session_stream`](crate::FlowStream::session_stream)
/// and its like.
///
/// It has to be configured before it is read from.
///
/// ```
/// use flow_extract::FiveTuple;
/// use flow_http::{HttpMessage, HttpParser};
/// use flow_session::SessionEvent;
/// use flow_tokio::CaptureFile;
/// use futures_util::StreamExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/http_get.pcap");
/// let mut events = CaptureFile::open(path)?
///     .flow_stream(FiveTuple::bidirectional())
///     .session_stream(HttpParser::default());
/// while let Some(event) = events.next().await {
///     if let SessionEvent::Application { message: HttpMessage::Request(request), .. } = event? {
///         println!("{} {}", request.method, request.path);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub type SessionStream<S, E, T, U = ()> = EventStream<S, Sessions<E, T, U>>;

/// Makes the events of a [`SessionStream`].
pub struct Sessions<E: FlowExtractor, T: ParserSet, U> {
    engine: SessionEngine<E, T, U>,
    queue: VecDeque<SessionEvent<E::Key, T::Message>>,
}

impl<E: FlowExtractor, T: ParserSet, U> Sessions<E, T, U> {
    pub(crate) fn new(engine: SessionEngine<E, T, U>) -> Self {
        Self { engine, queue: VecDeque::new() }
    }
}

impl<S, E, T, U> SessionStream<S, E, T, U>
where
    S: PacketSource,
    E: FlowExtractor,
    T: ParserSet,
{
    /// The events of `engine` over the packets of `source`, for an engine that is made elsewhere.
    #[must_use]
    pub fn new(source: S, engine: SessionEngine<E, T, U>) -> Self {
        Self::with_driver(source, Sessions::new(engine))
    }

    fn change(self, change: impl FnOnce(SessionEngine<E, T, U>) -> SessionEngine<E, T, U>) -> Self {
        self.with_changed(|Sessions { engine, queue }| Sessions { engine: change(engine), queue })
    }

    /// See [`SessionEngine::with_config`].
    #[must_use]
    pub fn with_config(self, config: FlowTrackerConfig) -> Self {
        self.change(|engine| engine.with_config(config))
    }

    /// See [`SessionEngine::with_emit_anomalies`].
    #[must_use]
    pub fn with_emit_anomalies(self, emit: bool) -> Self {
        self.change(|engine| engine.with_emit_anomalies(emit))
    }

    /// See [`SessionEngine::with_poison_policy`].
    #[must_use]
    pub fn with_poison_policy(self, policy: PoisonPolicy) -> Self {
        self.change(|engine| engine.with_poison_policy(policy))
    }

    /// See [`SessionEngine::with_overlap_policy`].
    #[must_use]
    pub fn with_overlap_policy(
        self,
        choose: impl FnMut(&E::Key, FlowSide) -> OverlapPolicy + Send + 'static,
    ) -> Self {
        self.change(|engine| engine.with_overlap_policy(choose))
    }

    /// See [`SessionEngine::with_monotonic_timestamps`].
    #[must_use]
    pub fn with_monotonic_timestamps(self, monotonic: bool) -> Self {
        self.change(|engine| engine.with_monotonic_timestamps(monotonic))
    }

    /// See [`SessionEngine::with_dedup`].
    #[must_use]
    pub fn with_dedup(self, dedup: Dedup) -> Self {
        self.change(|engine| engine.with_dedup(dedup))
    }

    /// See [`SessionEngine::with_idle_timeout_fn`].
    #[must_use]
    pub fn with_idle_timeout_fn(
        self,
        timeout: impl Fn(&E::Key, Option<L4Proto>) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.change(|engine| engine.with_idle_timeout_fn(timeout))
    }

    /// The tracker, to ask for flows by their key and what is kept with them.
    #[must_use]
    pub fn tracker(&self) -> &FlowTracker<E, SessionState<T, U>> {
        self.driver.engine.tracker()
    }

    /// What was counted of all packets and flows.
    #[must_use]
    pub fn tracker_stats(&self) -> &TrackerStats {
        self.tracker().stats()
    }

    /// What was counted of every flow so far, streams included.
    pub fn snapshot_flow_stats(&self) -> impl Iterator<Item = (&E::Key, FlowStats)> + '_ {
        self.driver.engine.snapshot_flow_stats()
    }
}

impl<E: FlowExtractor, T: ParserSet, U> Drive for Sessions<E, T, U> {
    type Event = SessionEvent<E::Key, T::Message>;

    #[inline]
    fn track(&mut self, view: PacketView<'_>) {
        self.queue.extend(self.engine.track(view));
    }

    fn sweep(&mut self, now: Timestamp) {
        self.queue.extend(self.engine.sweep(now));
    }

    fn finish(&mut self) {
        self.queue.extend(self.engine.finish());
    }

    #[inline]
    fn pop(&mut self) -> Option<Self::Event> {
        self.queue.pop_front()
    }

    #[inline]
    fn has_events(&self) -> bool {
        !self.queue.is_empty()
    }

    fn active_flows(&self) -> usize {
        self.engine.tracker().flow_count()
    }

    fn now(&self) -> Timestamp {
        self.engine.tracker().now()
    }

    fn sweep_interval(&self) -> Duration {
        self.engine.tracker().config().sweep_interval
    }
}
