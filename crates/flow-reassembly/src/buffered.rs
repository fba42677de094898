use flow_core::{
    EndReason, FlowSide, Gap, OverflowPolicy, ReassemblyStats, TcpSideStats, Timestamp,
};

use crate::{
    Reassembler, ReassemblerFactory, Segment, StreamConfig, StreamReassembler, StreamSink,
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
    policy: OverflowPolicy,
    buffer: Buffer,
}

/// What was handed on and not taken yet.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    max: Option<usize>,
    dropped: u64,
    high_watermark: usize,
    overflowed: bool,
    policy: OverflowPolicy,
    gap_bytes: u64,
    ended: bool,
}

impl StreamSink for Buffer {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        let max = self.max.unwrap_or(usize::MAX);
        if self.overflowed && self.policy == OverflowPolicy::DropFlow {
            self.dropped += bytes.len() as u64;
            return;
        }
        let excess = (self.bytes.len() + bytes.len()).saturating_sub(max);
        if excess == 0 {
            self.bytes.extend_from_slice(bytes);
        } else {
            self.overflowed = true;
            match self.policy {
                OverflowPolicy::DropFlow => self.dropped += bytes.len() as u64,
                // The newest bytes stay.
                _ => {
                    self.dropped += excess as u64;
                    let old = excess.min(self.bytes.len());
                    self.bytes.drain(..old);
                    self.bytes.extend_from_slice(bytes.get(excess - old..).unwrap_or_default());
                }
            }
        }
        self.high_watermark = self.high_watermark.max(self.bytes.len());
    }

    fn gap(&mut self, gap: Gap) {
        self.gap_bytes = self.gap_bytes.saturating_add(gap.len);
    }

    fn end(&mut self, _offset: u64) {
        self.ended = true;
    }
}

impl BufferedReassembler {
    /// A reassembler without a limit on bytes not taken; out-of-order bytes have the limit of
    /// [`StreamConfig`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with a limit, in bytes, on what was not taken yet, and likewise on what is out
    /// of order.
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
        self.policy = policy;
        self.buffer.policy = policy;
        self
    }

    /// Takes the ordered bytes that have come since the last call.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffer.bytes)
    }

    /// The ordered bytes that have come since the last [`take`](Self::take).
    #[must_use]
    pub fn buffered(&self) -> &[u8] {
        &self.buffer.bytes
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
    fn segment(&mut self, seq: u32, payload: &[u8]) {
        self.handle(&Segment::plain(seq, payload));
    }

    fn handle(&mut self, segment: &Segment<'_>) {
        self.stream.segment(segment, &self.config, &mut self.buffer);
    }

    fn progress(&mut self, acked: Option<u32>, ts: Timestamp) {
        if self.stream.is_waiting() {
            self.stream.progress(acked, ts, &self.config, &mut self.buffer);
        }
    }

    fn finish(&mut self, _reason: EndReason) {
        self.stream.finish(&mut self.buffer);
    }

    fn is_overflowed(&self) -> bool {
        self.policy == OverflowPolicy::DropFlow
            && (self.buffer.overflowed || self.stream.has_overflowed())
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

/// Makes a [`BufferedReassembler`] for every flow and side.
#[derive(Clone, Debug, Default)]
pub struct BufferedReassemblerFactory {
    max_buffer: Option<usize>,
    policy: OverflowPolicy,
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
        self.policy = policy;
        self
    }
}

impl<K> ReassemblerFactory<K> for BufferedReassemblerFactory {
    type Reassembler = BufferedReassembler;

    fn new_reassembler(&mut self, _key: &K, _side: FlowSide) -> BufferedReassembler {
        let new = BufferedReassembler::new().with_overflow_policy(self.policy);
        match self.max_buffer {
            Some(bytes) => new.with_max_buffer(bytes),
            None => new,
        }
    }
}
