use std::sync::Arc;
use std::time::Duration;

use flow_core::{
    AnomalyKind, EndReason, FlowSide, FlowTrackerConfig, OverflowPolicy, ReassemblyStats,
    TcpSideStats, Timestamp,
};

use crate::{LastWord, Reassembler, Segment, StreamConfig, StreamReassembler, StreamSink};

/// Puts a stream in order, and hands it to a sink of yours: bytes as they are in the frame wherever
/// that can be, gaps, and the end.
///
/// ```
/// use flow_core::{FlowExtractor, FlowSide, Gap};
/// use flow_reassembly::{FlowDriver, OrderedReassembler, Reassembler, StreamSink};
///
/// /// Counts lines.
/// #[derive(Default)]
/// struct Lines(usize);
///
/// impl StreamSink for Lines {
///     fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
///         self.0 += bytes.iter().filter(|&&byte| byte == b'\n').count();
///     }
///     fn gap(&mut self, _gap: Gap) {}
///     fn end(&mut self, _offset: u64) {}
/// }
///
/// fn watch<E: FlowExtractor>(extractor: E) {
///     let driver = FlowDriver::new(extractor, |_key: &E::Key, _sender: FlowSide| {
///         OrderedReassembler::new(Lines::default())
///     });
///     let driver = driver.with_packet_events(false);
///     // …
/// #   drop(driver);
/// }
///
/// let mut stream = OrderedReassembler::new(Lines::default());
/// stream.segment(1_000, b"one\ntw");
/// stream.segment(1_008, b"three\n");
/// assert_eq!(stream.sink().0, 1);
/// stream.segment(1_006, b"o\n");
/// assert_eq!(stream.sink().0, 3);
/// ```
#[derive(Debug)]
pub struct OrderedReassembler<S> {
    stream: StreamReassembler,
    /// Shared by all streams with the same limits.
    config: Arc<StreamConfig>,
    has_own_config: bool,
    /// A stream that is full ends its flow.
    drops_flow: bool,
    /// How long the handshake took; the longest time there is if that is not known.
    round_trip: Duration,
    sink: S,
}

impl<S: StreamSink + Send + 'static> OrderedReassembler<S> {
    /// A stream of which nothing was seen yet, with the limits of the driver.
    #[must_use]
    pub fn new(sink: S) -> Self {
        Self::build(sink, Arc::default(), false)
    }

    /// The same with limits of its own.
    #[must_use]
    pub fn with_config(sink: S, config: Arc<StreamConfig>) -> Self {
        Self::build(sink, config, true)
    }

    fn build(sink: S, config: Arc<StreamConfig>, has_own_config: bool) -> Self {
        let (stream, round_trip) = (StreamReassembler::new(), Duration::MAX);
        Self { stream, config, has_own_config, drops_flow: false, round_trip, sink }
    }

    /// Where the stream goes.
    #[must_use]
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// Where the stream goes.
    pub const fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &StreamReassembler {
        &self.stream
    }
}

impl<S: StreamSink + Send + 'static> Reassembler for OrderedReassembler<S> {
    fn configure(&mut self, config: &FlowTrackerConfig, limits: &Arc<StreamConfig>) {
        self.drops_flow = config.overflow_policy == OverflowPolicy::DropFlow;
        if !self.has_own_config {
            self.config = Arc::clone(limits);
        }
    }

    fn established(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    fn segment(&mut self, seq: u32, payload: &[u8]) {
        self.handle(&Segment::plain(seq, payload));
    }

    fn handle(&mut self, segment: &Segment<'_>) {
        self.stream.segment(segment, &self.config, &mut self.sink);
    }

    #[inline]
    fn in_order(&mut self, seq: u32, payload: &[u8], packet: u64) -> bool {
        self.stream.in_order(seq, payload, packet, &mut self.sink)
    }

    #[inline]
    fn is_waiting(&self) -> bool {
        self.stream.is_waiting()
    }

    fn progress(&mut self, acked: Option<u32>, ts: Timestamp) {
        if self.stream.is_waiting() {
            let config = self.config.with_round_trip(self.round_trip);
            self.stream.progress(acked, ts, &config, &mut self.sink);
        }
    }

    fn last_word(&mut self, word: LastWord) {
        self.stream.last_word(word, &self.config, &mut self.sink);
    }

    fn finish(&mut self, _reason: EndReason) {
        self.stream.finish(&mut self.sink);
    }

    #[inline]
    fn is_overflowed(&self) -> bool {
        self.drops_flow && self.stream.has_overflowed()
    }

    fn queued_bytes(&self) -> usize {
        self.stream.buffered_bytes()
    }

    fn waiting_since(&self) -> Option<Timestamp> {
        self.stream.waiting_since()
    }

    fn give_up_holes(&mut self) {
        self.stream.give_up_holes(&mut self.sink);
    }

    #[inline]
    fn has_news(&self) -> bool {
        self.stream.has_news()
    }

    fn report(&mut self, side: FlowSide, tick: Option<u64>, tell: &mut dyn FnMut(AnomalyKind)) {
        self.stream.report(side, tick, tell);
    }

    fn buffer_stats(&self) -> ReassemblyStats {
        self.stream.buffer_stats()
    }

    fn stream_stats(&self) -> Option<TcpSideStats> {
        Some(self.stream.stats())
    }
}
