use std::sync::Arc;
use std::time::Duration;

use flow_core::{
    AnomalyKind, EndReason, FlowSide, FlowTrackerConfig, Gap, OverflowPolicy, ReassemblyStats,
    TcpSideStats, Timestamp,
};

use crate::{
    LastWord, OverlapPolicy, Reassembler, ReassemblerFactory, Segment, StreamConfig,
    StreamReassembler, StreamSink,
};

/// Keeps the ordered bytes of a stream until somebody [`take`](Self::take)s them.
///
/// ```
/// use flow_reassembly::{BufferedReassembler, Reassembler};
///
/// let mut stream = BufferedReassembler::new();
/// stream.segment(1_000, b"Hello");
/// stream.segment(1_007, b"world");
/// stream.segment(1_005, b", ");
/// assert_eq!(stream.take(), b"Hello, world");
/// ```
#[derive(Debug, Default)]
pub struct BufferedReassembler {
    stream: StreamReassembler,
    config: StreamConfig,
    buffer: Buffer,
}

/// What was handed on and not taken yet.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// Bytes at the front that were dropped already, so that dropping moves none.
    start: usize,
    max: Option<usize>,
    policy: Option<OverflowPolicy>,
    dropped: u64,
    high_watermark: usize,
    overflowed: bool,
    gap_bytes: u64,
    ended: bool,
    /// Dropped bytes that were not reported yet, and the tick in which some were.
    untold: u64,
    told_in: Option<u64>,
}

/// Bytes kept for somebody to take, where no limit was set.
///
/// Rationale: room for a large document, and an end to growth where nobody takes.
const DEFAULT_MAX_BUFFER: usize = 16 << 20;

impl Buffer {
    fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    fn drops_flow(&self) -> bool {
        self.policy == Some(OverflowPolicy::DropFlow)
    }

    /// Drops `count` bytes from the front.
    fn drop_front(&mut self, count: usize) {
        self.start += count;
        if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
    }
}

impl StreamSink for Buffer {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        let max = self.max.unwrap_or(DEFAULT_MAX_BUFFER);
        let held = self.as_slice().len();
        let excess = (held + bytes.len()).saturating_sub(max);
        self.overflowed |= excess > 0;
        if self.overflowed && self.drops_flow() {
            self.dropped += bytes.len() as u64;
        } else {
            // The newest bytes stay.
            self.dropped += excess as u64;
            self.untold += excess as u64;
            self.drop_front(excess.min(held));
            let too_old = excess.saturating_sub(held);
            self.bytes.extend_from_slice(bytes.get(too_old..).unwrap_or_default());
        }
        self.high_watermark = self.high_watermark.max(self.as_slice().len());
    }

    fn gap(&mut self, gap: Gap) {
        self.gap_bytes = self.gap_bytes.saturating_add(gap.len);
    }

    fn end(&mut self, _offset: u64) {
        self.ended = true;
    }
}

impl BufferedReassembler {
    /// A reassembler that keeps at most 16 MiB which nobody has taken; out-of-order bytes have
    /// the limit of [`StreamConfig`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another limit, in bytes, on what was not taken yet, and likewise on what is
    /// out of order.
    #[must_use]
    pub fn with_max_buffer(mut self, bytes: usize) -> Self {
        self.buffer.max = Some(bytes);
        self.config.max_buffer = bytes;
        self
    }

    /// The same with another policy for the limit: [`OverflowPolicy::SlidingWindow`] drops the
    /// oldest bytes, [`OverflowPolicy::DropFlow`] keeps them and ends the flow.
    #[must_use]
    pub fn with_overflow_policy(mut self, policy: OverflowPolicy) -> Self {
        self.buffer.policy = Some(policy);
        self
    }

    /// The same with another choice of the bytes that win where segments overlap.
    #[must_use]
    pub fn with_overlap_policy(mut self, policy: OverlapPolicy) -> Self {
        self.config.overlap = policy;
        self
    }

    /// Takes the ordered bytes that have come since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        let start = std::mem::take(&mut self.buffer.start);
        let mut bytes = std::mem::take(&mut self.buffer.bytes);
        bytes.drain(..start);
        bytes
    }

    /// The ordered bytes that have come since the last [`take`](Self::take).
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        self.buffer.as_slice()
    }

    /// Missing bytes so far. Nothing stands in for them in what is taken.
    #[must_use]
    pub const fn gap_bytes(&self) -> u64 {
        self.buffer.gap_bytes
    }

    /// Bytes dropped because the buffer was full.
    #[must_use]
    pub const fn dropped_bytes(&self) -> u64 {
        self.buffer.dropped
    }

    /// Whether the stream is complete up to its FIN.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.buffer.ended
    }
}

impl Reassembler for BufferedReassembler {
    fn configure(&mut self, config: &FlowTrackerConfig, limits: &Arc<StreamConfig>) {
        let overlap = self.config.overlap;
        self.config = StreamConfig { overlap, ..StreamConfig::clone(limits) };
        self.buffer.max = self.buffer.max.or(config.max_reassembler_buffer);
        self.config.max_buffer = self.buffer.max.unwrap_or(self.config.max_buffer);
        self.buffer.policy.get_or_insert(config.overflow_policy);
    }

    fn established(&mut self, round_trip: Duration) {
        self.config = self.config.with_round_trip(round_trip);
    }

    fn segment(&mut self, seq: u32, payload: &[u8]) {
        self.handle(&Segment::plain(seq, payload));
    }

    fn handle(&mut self, segment: &Segment<'_>) {
        self.stream.segment(segment, &self.config, &mut self.buffer);
    }

    fn in_order(&mut self, seq: u32, payload: &[u8], packet: u64) -> bool {
        self.stream.in_order(seq, payload, packet, &mut self.buffer)
    }

    fn is_waiting(&self) -> bool {
        self.stream.is_waiting()
    }

    fn progress(&mut self, acked: Option<u32>, ts: Timestamp) {
        if self.stream.is_waiting() {
            self.stream.progress(acked, ts, &self.config, &mut self.buffer);
        }
    }

    fn last_word(&mut self, word: LastWord) {
        self.stream.last_word(word, &self.config, &mut self.buffer);
    }

    fn has_output(&self) -> bool {
        !self.buffer.as_slice().is_empty()
    }

    fn has_news(&self) -> bool {
        self.stream.has_news() || self.buffer.untold > 0
    }

    fn report(&mut self, side: FlowSide, tick: Option<u64>, tell: &mut dyn FnMut(AnomalyKind)) {
        self.stream.report(side, tick, &mut *tell);
        if self.buffer.untold > 0 && tick.is_none_or(|tick| self.buffer.told_in != Some(tick)) {
            let bytes = std::mem::take(&mut self.buffer.untold);
            let policy = OverflowPolicy::SlidingWindow;
            self.buffer.told_in = tick;
            tell(AnomalyKind::BufferOverflow { side, bytes, policy });
        }
    }

    fn finish(&mut self, _reason: EndReason) {
        self.stream.finish(&mut self.buffer);
    }

    fn is_overflowed(&self) -> bool {
        self.buffer.drops_flow() && (self.buffer.overflowed || self.stream.has_overflowed())
    }

    fn queued_bytes(&self) -> usize {
        self.stream.buffered_bytes()
    }

    fn waiting_since(&self) -> Option<Timestamp> {
        self.stream.waiting_since()
    }

    fn give_up_holes(&mut self) {
        self.stream.give_up_holes(&mut self.buffer);
    }

    fn buffer_stats(&self) -> ReassemblyStats {
        let stream = self.stream.buffer_stats();
        ReassemblyStats {
            bytes_dropped_oversize: stream.bytes_dropped_oversize + self.buffer.dropped,
            high_watermark: stream.high_watermark.max(self.buffer.high_watermark as u64),
            ..stream
        }
    }

    fn stream_stats(&self) -> Option<TcpSideStats> {
        Some(self.stream.stats())
    }
}

/// Makes a [`BufferedReassembler`] for every flow and side, all alike. For different ones, use a
/// closure:
///
/// ```
/// use flow_core::{FlowExtractor, FlowSide};
/// use flow_reassembly::{BufferedReassembler, FlowDriver, OverlapPolicy};
///
/// // The key of these flows is the VLAN that they are in.
/// fn watch<E: FlowExtractor<Key = u16>>(extractor: E) {
///     let driver = FlowDriver::new(extractor, |vlan: &u16, _sender: FlowSide| {
///         let policy = if *vlan == 7 { OverlapPolicy::LINUX } else { OverlapPolicy::First };
///         BufferedReassembler::new().with_overlap_policy(policy)
///     });
///     // …
/// #   drop(driver);
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct BufferedReassemblerFactory {
    max_buffer: Option<usize>,
    policy: Option<OverflowPolicy>,
    overlap: OverlapPolicy,
}

impl BufferedReassemblerFactory {
    /// See [`BufferedReassembler::with_max_buffer`].
    #[must_use]
    pub fn with_max_buffer(mut self, bytes: usize) -> Self {
        self.max_buffer = Some(bytes);
        self
    }

    /// See [`BufferedReassembler::with_overflow_policy`].
    #[must_use]
    pub fn with_overflow_policy(mut self, policy: OverflowPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// See [`BufferedReassembler::with_overlap_policy`].
    #[must_use]
    pub fn with_overlap_policy(mut self, policy: OverlapPolicy) -> Self {
        self.overlap = policy;
        self
    }
}

impl<K> ReassemblerFactory<K> for BufferedReassemblerFactory {
    type Reassembler = BufferedReassembler;

    fn new_reassembler(&mut self, _key: &K, _side: FlowSide) -> BufferedReassembler {
        let mut new = BufferedReassembler::new().with_overlap_policy(self.overlap);
        new.buffer.policy = self.policy;
        match self.max_buffer {
            Some(bytes) => new.with_max_buffer(bytes),
            None => new,
        }
    }
}
