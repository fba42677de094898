use std::collections::VecDeque;
use std::time::Duration;

use flow_core::{
    Flow, FlowTrackerConfig, Gap, GapReason, ReassemblyStats, TcpFlags, TcpSideStats, Timestamp,
    TrackedPacket, Verdict,
};

/// Limits of one reassembled stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Bytes of memory that out-of-order data of one stream may take, 64 for each queued segment
    /// included. Beyond it the oldest hole is given up.
    ///
    /// Rationale: several times the receive window that an ordinary host has by default.
    pub max_buffer: usize,
    /// Segments that may be queued. Beyond it the oldest hole is given up.
    ///
    /// Rationale: inserting into a sorted queue of this length costs less than a microsecond;
    /// the length is what bounds the work a flood of tiny segments can cause.
    pub max_segments: usize,
    /// A hole is given up this long after the data behind it arrived, in packet time.
    ///
    /// Rationale: longer than the retransmission timer of a host that has seen a few losses
    /// (RFC 6298: 1 s at first, doubled each time).
    pub hole_timeout: Duration,
    /// A hole whose bytes were acknowledged is given up after this time.
    ///
    /// Rationale: packets that a capture reorders are milliseconds apart, not tens of them.
    pub ack_grace: Duration,
    /// A hole whose bytes were acknowledged is given up after this many packets of the flow.
    pub ack_grace_packets: u8,
}

impl StreamConfig {
    /// The default, with the buffer limit of a tracker's configuration if that has one.
    #[must_use]
    pub fn of(config: &FlowTrackerConfig) -> Self {
        let mut stream = Self::default();
        stream.max_buffer = config.max_reassembler_buffer.unwrap_or(stream.max_buffer);
        stream
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            max_buffer: 1 << 20,
            max_segments: 1024,
            hole_timeout: Duration::from_secs(10),
            ack_grace: Duration::from_millis(50),
            ack_grace_packets: 8,
        }
    }
}

/// A TCP segment of one side, accepted by the tracker.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Sequence number as in the header: of the SYN if there is one, else of the first byte.
    pub seq: u32,
    /// The payload as far as captured.
    pub payload: &'a [u8],
    /// Length of the payload on the wire.
    pub len: u32,
    /// It opens the stream.
    pub syn: bool,
    /// It ends the stream.
    pub fin: bool,
    /// The sequence number of the stream's first byte, if its SYN is known.
    pub start: Option<u32>,
    /// The highest acknowledgment of this stream by the other side so far.
    pub acked: Option<u32>,
    /// Number of the packet, counted from 1.
    pub packet: u64,
    /// Time of the packet.
    pub ts: Timestamp,
}

impl<'a> Segment<'a> {
    /// The segment that a packet of a TCP flow is; `None` if it adds nothing to a stream or a
    /// host would not take it. The payload of a reset is not part of the stream.
    #[must_use]
    #[inline]
    pub fn of<K, S>(flow: &Flow<K, S>, packet: &TrackedPacket<'a>) -> Option<Self> {
        let info = packet.tcp?;
        let fin = info.flags.contains(TcpFlags::FIN);
        if packet.verdict != Verdict::Accept
            || (packet.payload_len == 0 && !fin)
            || info.flags.contains(TcpFlags::RST)
        {
            return None;
        }
        Some(Self {
            seq: info.seq,
            payload: packet.payload,
            len: packet.payload_len,
            syn: info.flags.contains(TcpFlags::SYN),
            fin,
            start: flow.stream_start(packet.side),
            acked: flow.acked(packet.side.other()),
            packet: packet.number,
            ts: packet.ts,
        })
    }
}

/// Where the ordered stream goes.
pub trait StreamSink {
    /// The next bytes. `packet` is the packet they came in, which may be an earlier one than the
    /// one that made them deliverable.
    fn data(&mut self, offset: u64, bytes: &[u8], packet: u64);
    /// The next bytes are missing.
    fn gap(&mut self, gap: Gap);
    /// The stream is complete up to its FIN at `offset`. Called once.
    fn end(&mut self, offset: u64);
}

/// One direction of a TCP connection: segments in any order go in, the stream comes out.
///
/// ```text
///            next                     segs[0]      segs[1]
/// ===========|·········hole···········[======]·····[====]          fin
///  delivered                           queued       queued          |
/// ```
///
/// Bytes in order are handed on as a slice of the frame. Bytes behind a hole are copied and kept
/// until the hole is filled or given up; the first copy of a byte wins. Offsets are counted from
/// the first byte after the SYN and have 64 bits; sequence numbers are only ever compared with
/// the next one expected, so they may wrap.
///
/// Invariants: queued segments are sorted, disjoint, and all begin behind `next`; the bytes and
/// gaps handed on add up to `next`.
#[derive(Debug)]
pub struct StreamReassembler {
    /// Sequence number of the byte at offset `next`.
    next_seq: u32,
    flags: u8,
    /// Offset of the next byte to hand on.
    next: u64,
    /// Offset of the FIN, `u64::MAX` if none was seen.
    fin: u64,
    rare: Option<Box<Rare>>,
}

/// The first byte's sequence number is known.
const STARTED: u8 = 1;
/// Something is queued.
const QUEUED: u8 = 1 << 1;
/// Data of the SYN waits for its acknowledgment.
const HELD: u8 = 1 << 2;
/// Nobody wants the bytes any more.
const SKIP: u8 = 1 << 3;
/// The end was handed on.
const ENDED: u8 = 1 << 4;
/// The memory limit was reached.
const OVERFLOWED: u8 = 1 << 5;

/// What a stream without losses never needs.
#[derive(Debug, Default)]
struct Rare {
    segs: VecDeque<Queued>,
    /// Memory that `segs` takes.
    charge: usize,
    /// Payload of the SYN.
    held: Vec<u8>,
    held_packet: u64,
    /// When the first hole came to be.
    hole_since: Timestamp,
    /// When the first hole was found acknowledged, and packets since.
    hole_acked: Option<(Timestamp, u8)>,
    /// The last gaps given up, for telling late bytes from repeated ones.
    gaps: VecDeque<(u64, u64)>,
    /// How far `next` has moved over bytes that nobody wanted.
    passed: u64,
    stats: TcpSideStats,
    high_watermark: usize,
}

#[derive(Debug)]
struct Queued {
    start: u64,
    bytes: Vec<u8>,
    packet: u64,
}

impl Queued {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn charge(&self) -> usize {
        self.bytes.capacity() + SEGMENT_OVERHEAD
    }
}

/// Memory accounted for a queued segment besides its bytes, so that tiny ones cannot cheat.
const SEGMENT_OVERHEAD: usize = 64;
/// Bytes up to which a segment is appended to the one it touches rather than queued by itself.
const SMALL: usize = 256;
/// Size at which a queued buffer is not appended to any more: growing it would copy too much.
const FULL: usize = 16 << 10;
/// Gaps remembered.
const GAPS_REMEMBERED: usize = 16;
/// How far in front of the first captured byte a stream that was joined midstream may begin
/// because the other side acknowledges from there on.
const BACKFILL: u32 = 1 << 16;

impl Default for StreamReassembler {
    fn default() -> Self {
        Self { next_seq: 0, flags: 0, next: 0, fin: u64::MAX, rare: None }
    }
}

impl StreamReassembler {
    /// A stream of which nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a segment and hands on what it completes.
    #[inline]
    pub fn segment(
        &mut self,
        segment: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let plain = self.flags == STARTED && self.fin == u64::MAX && !segment.syn && !segment.fin;
        if plain && segment.seq == self.next_seq && segment.payload.len() == segment.len as usize {
            if !segment.payload.is_empty() {
                self.deliver(segment.payload, segment.packet, sink);
            }
            return;
        }
        self.segment_slow(segment, config, sink);
    }

    /// Whether [`progress`](Self::progress) has anything to look at.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.flags & (QUEUED | HELD) != 0 || (self.fin != u64::MAX && self.flags & ENDED == 0)
    }

    /// Looks at what waits, with the highest acknowledgment of this stream so far; to be called
    /// for every packet of the flow while [`is_waiting`](Self::is_waiting).
    pub fn progress(
        &mut self,
        acked: Option<u32>,
        ts: Timestamp,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let acked = acked.map(|acked| self.offset_of(acked).max(0).cast_unsigned());
        if let (true, Some(acked)) = (self.flags & HELD != 0, acked) {
            self.release_held(acked, sink);
        }
        let acked = acked.unwrap_or(0);
        if acked > self.fin {
            // The FIN was acknowledged: the other side has everything before it.
            self.give_up_until(self.fin, GapReason::Acked, sink);
        }
        self.check_hole(acked, ts, config, sink);
        self.check_end(sink);
    }

    /// The flow is over: hands on what is queued, with gaps for what is missing.
    pub fn finish(&mut self, sink: &mut impl StreamSink) {
        if self.flags & HELD != 0 {
            // Nobody ever said whether the data of the SYN was taken.
            self.release_held(u64::MAX, sink);
        }
        let end = match self.fin {
            u64::MAX => self.rare.as_ref().and_then(|r| r.segs.back()).map_or(0, Queued::end),
            fin => fin,
        };
        self.give_up_until(end, GapReason::End, sink);
        self.check_end(sink);
    }

    /// From now on the bytes are counted only, and nothing is kept or handed on.
    pub fn skip(&mut self) {
        self.flags |= SKIP;
        if let Some(rare) = &mut self.rare {
            let queued: u64 = rare.segs.iter().map(|seg| seg.bytes.len() as u64).sum();
            rare.stats.undelivered_bytes += queued + rare.held.len() as u64;
            (rare.segs, rare.held, rare.charge) = (VecDeque::new(), Vec::new(), 0);
        }
        self.flags &= !(QUEUED | HELD);
    }

    /// Whether the stream was handed on up to its FIN.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.flags & ENDED != 0
    }

    /// Whether the memory limit was reached.
    #[must_use]
    pub const fn has_overflowed(&self) -> bool {
        self.flags & OVERFLOWED != 0
    }

    /// Offset of the next byte to be handed on.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.next
    }

    /// Memory taken by what waits, in bytes.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.rare.as_ref().map_or(0, |rare| rare.charge + rare.held.capacity())
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> TcpSideStats {
        let mut stats = self.rare.as_ref().map(|rare| rare.stats).unwrap_or_default();
        let passed = self.rare.as_ref().map_or(0, |rare| rare.passed);
        stats.delivered_bytes =
            self.next.saturating_sub(stats.total_gap_bytes()).saturating_sub(passed);
        stats
    }

    /// What was counted of the buffer.
    #[must_use]
    pub fn buffer_stats(&self) -> ReassemblyStats {
        self.rare.as_ref().map_or_else(ReassemblyStats::default, |rare| ReassemblyStats {
            high_watermark: rare.high_watermark as u64,
            ..ReassemblyStats::default()
        })
    }

    #[cold]
    #[inline(never)]
    fn segment_slow(
        &mut self,
        segment: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        if segment.len == 0 && !segment.fin {
            return;
        }
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        if self.flags & STARTED == 0 {
            self.start_at(seq, segment);
        }
        let start = self.offset_of(seq);
        if segment.syn {
            self.hold(start, segment);
            return;
        }
        if self.flags & HELD != 0 {
            // Data behind that of the SYN says it was taken, data in its place that it was not.
            self.release_held(start.max(0).cast_unsigned(), sink);
        }
        let (start, payload, len) = self.trim_front(start, segment);
        let (payload, len) = self.trim_back(start, payload, len, segment.fin);
        if self.flags & SKIP != 0 {
            self.pass_over(start, len);
        } else if len > 0 {
            self.accept(start, payload, len, segment, config, sink);
        }
        self.check_end(sink);
    }

    /// Fixes offset 0: the byte after the SYN or, joined midstream, what the other side expected
    /// next if that is just in front of the first byte captured, else that byte.
    fn start_at(&mut self, seq: u32, segment: &Segment<'_>) {
        let midstream = match segment.acked {
            Some(acked) if seq.wrapping_sub(acked) <= BACKFILL => acked,
            _ => seq,
        };
        self.next_seq = segment.start.unwrap_or(midstream);
        self.flags |= STARTED;
    }

    fn offset_of(&self, seq: u32) -> i64 {
        let distance = seq.wrapping_sub(self.next_seq).cast_signed();
        self.next.cast_signed().saturating_add(i64::from(distance))
    }

    /// Keeps the data of a SYN until it is known whether it was taken (RFC 7413).
    fn hold(&mut self, start: i64, segment: &Segment<'_>) {
        if start != 0 || self.next != 0 || self.flags & (HELD | SKIP) != 0 {
            return;
        }
        let rare = self.rare.get_or_insert_default();
        rare.held = segment.payload.to_vec();
        rare.held_packet = segment.packet;
        self.flags |= HELD;
    }

    /// The data of the SYN was taken as far as offset `upto`.
    fn release_held(&mut self, upto: u64, sink: &mut impl StreamSink) {
        self.flags &= !HELD;
        let Some(rare) = &mut self.rare else { return };
        let (held, packet) = (std::mem::take(&mut rare.held), rare.held_packet);
        let room = self.fin.saturating_sub(self.next);
        let taken = usize::try_from(upto.min(room)).unwrap_or(usize::MAX).min(held.len());
        if let Some(bytes) = held.get(..taken).filter(|bytes| !bytes.is_empty()) {
            self.deliver(bytes, packet, sink);
            self.drain(sink);
        }
    }

    /// Cuts off what was handed on before, and says by which counter it goes.
    fn trim_front<'a>(&mut self, start: i64, segment: &Segment<'a>) -> (u64, &'a [u8], u64) {
        let (payload, len) = (segment.payload, u64::from(segment.len));
        let next = self.next.cast_signed();
        if start >= next || len == 0 {
            return (start.max(0).cast_unsigned(), payload, len);
        }
        let before = (next - start).cast_unsigned().min(len);
        let rare = self.rare.get_or_insert_default();
        // RFC 9293 section 3.8.4: a probe repeats the last byte, whatever it contains.
        if len == 1 && start == next - 1 {
            rare.stats.keep_alives += 1;
            return (self.next, &[], 0);
        }
        let negative = start.min(0).unsigned_abs().min(before);
        rare.stats.before_start_bytes += negative;
        let from = start.max(0).cast_unsigned();
        let late: u64 = rare
            .gaps
            .iter()
            .map(|&(a, b)| b.min(from + before - negative).saturating_sub(a.max(from)))
            .sum();
        rare.stats.late_bytes += late;
        let again = (before - negative).saturating_sub(late);
        if again > 0 {
            rare.stats.retransmitted_bytes += again;
            rare.stats.retransmitted_segments += 1;
        }
        let cut = usize::try_from(before).unwrap_or(usize::MAX).min(payload.len());
        (self.next, payload.get(cut..).unwrap_or_default(), len - before)
    }

    /// Cuts off what lies behind the FIN, which the segment may itself bring.
    fn trim_back<'a>(
        &mut self,
        start: u64,
        payload: &'a [u8],
        len: u64,
        fin: bool,
    ) -> (&'a [u8], u64) {
        let end = start + len;
        if fin && self.fin == u64::MAX && end >= self.next {
            self.fin = end;
            self.drop_behind(end);
        }
        if end <= self.fin {
            return (payload, len);
        }
        let keep = self.fin.saturating_sub(start).min(len);
        self.rare.get_or_insert_default().stats.beyond_fin_bytes += len - keep;
        let captured = usize::try_from(keep).unwrap_or(usize::MAX).min(payload.len());
        (payload.get(..captured).unwrap_or_default(), keep)
    }

    /// Drops what is queued behind the FIN.
    fn drop_behind(&mut self, fin: u64) {
        let Some(rare) = &mut self.rare else { return };
        while let Some(last) = rare.segs.back_mut().filter(|last| last.end() > fin) {
            let keep = usize::try_from(fin.saturating_sub(last.start)).unwrap_or(usize::MAX);
            rare.stats.beyond_fin_bytes += (last.bytes.len() - keep.min(last.bytes.len())) as u64;
            if keep == 0 {
                rare.charge -= last.charge();
                rare.segs.pop_back();
            } else {
                last.bytes.truncate(keep);
            }
        }
        if rare.segs.is_empty() {
            self.flags &= !QUEUED;
        }
    }

    /// Takes new bytes at `start >= next`: hands them on or queues them. Of `len` bytes on the
    /// wire, `payload` was captured.
    fn accept(
        &mut self,
        start: u64,
        payload: &[u8],
        len: u64,
        segment: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let cut_off = len - (payload.len() as u64).min(len);
        if cut_off > 0 {
            self.rare.get_or_insert_default().stats.truncated_bytes += cut_off;
        }
        if start == self.next && self.flags & QUEUED == 0 {
            if !payload.is_empty() {
                self.deliver(payload, segment.packet, sink);
            }
        } else {
            self.queue(start, payload, segment);
            self.drain(sink);
        }
        // What the snap length cut off at the front of the stream will not come.
        if cut_off > 0 && self.next == start + payload.len() as u64 {
            let queued = self.rare.as_ref().and_then(|rare| rare.segs.front());
            let upto = queued.map_or(start + len, |seg| seg.start.min(start + len));
            self.give_up_until(upto, GapReason::Snaplen, sink);
        }
        let acked = segment.acked.map_or(0, |acked| self.offset_of(acked).max(0).cast_unsigned());
        if self.flags & QUEUED != 0 && start >= acked && self.hole_end() <= acked {
            // The sender goes on behind what was acknowledged: it will not repeat the hole.
            self.give_up_until(self.hole_end(), GapReason::Acked, sink);
        }
        self.enforce_limits(config, sink);
    }

    /// Puts bytes into the queue where they are new; the first copy of a byte stays.
    fn queue(&mut self, start: u64, payload: &[u8], segment: &Segment<'_>) {
        let rare = self.rare.get_or_insert_default();
        if rare.segs.is_empty() {
            rare.hole_since = segment.ts;
            rare.hole_acked = None;
        }
        if start > self.next {
            rare.stats.out_of_order_segments += 1;
        }
        let end = start + payload.len() as u64;
        let mut at = start;
        let mut i = rare.segs.partition_point(|seg| seg.end() <= start);
        let (mut again, mut conflicting, mut inserted) = (0u64, 0u64, false);
        while at < end {
            let covering = rare.segs.get(i).filter(|seg| seg.start <= at);
            if let Some(seg) = covering {
                let upto = seg.end().min(end);
                let old = slice(&seg.bytes, at - seg.start, upto - seg.start);
                let new = slice(payload, at - start, upto - start);
                again += upto - at;
                if old != new {
                    conflicting += old.iter().zip(new).filter(|(a, b)| a != b).count() as u64;
                }
                at = upto;
                i += 1;
                continue;
            }
            let upto = rare.segs.get(i).map_or(end, |seg| seg.start.min(end));
            let new = slice(payload, at - start, upto - start);
            // Behind its first piece, a segment always touches what is queued: so there is one
            // insertion per segment at most, except into full buffers.
            let left = i.checked_sub(1).and_then(|left| rare.segs.get_mut(left));
            let room = |seg: &&mut Queued| {
                seg.end() == at && seg.bytes.len() < FULL && (inserted || new.len() <= SMALL)
            };
            if let Some(left) = left.filter(room) {
                rare.charge -= left.charge();
                left.bytes.extend_from_slice(new);
                rare.charge += left.charge();
            } else {
                let seg = Queued { start: at, bytes: new.to_vec(), packet: segment.packet };
                rare.charge += seg.charge();
                rare.segs.insert(i, seg);
                i += 1;
            }
            inserted = true;
            at = upto;
        }
        if again > 0 {
            rare.stats.retransmitted_bytes += again;
            rare.stats.retransmitted_segments += 1;
        }
        if conflicting > 0 {
            rare.stats.conflicting_bytes += conflicting;
            rare.stats.conflicting_segments += 1;
        }
        rare.high_watermark = rare.high_watermark.max(rare.charge);
        if !rare.segs.is_empty() {
            self.flags |= QUEUED;
        }
    }

    /// Hands on what is queued and in order now.
    fn drain(&mut self, sink: &mut impl StreamSink) {
        while let Some(rare) = &mut self.rare {
            let Some(seg) = rare.segs.front().filter(|seg| seg.start <= self.next) else { break };
            rare.charge -= seg.charge();
            let Some(seg) = rare.segs.pop_front() else { break };
            // Another hole is the first one now; its time counts from here.
            rare.hole_acked = None;
            let bytes = slice(&seg.bytes, self.next - seg.start, seg.bytes.len() as u64);
            if !bytes.is_empty() {
                self.deliver(bytes, seg.packet, sink);
            }
        }
        if self.rare.as_ref().is_none_or(|rare| rare.segs.is_empty()) {
            self.flags &= !QUEUED;
            if let Some(rare) = &mut self.rare {
                rare.segs = VecDeque::new();
            }
        }
    }

    fn deliver(&mut self, bytes: &[u8], packet: u64, sink: &mut impl StreamSink) {
        sink.data(self.next, bytes, packet);
        self.next += bytes.len() as u64;
        self.next_seq = self.next_seq.wrapping_add(low_half(bytes.len() as u64));
    }

    /// Gives up every hole in front of offset `upto` and hands on what is queued between them.
    fn give_up_until(&mut self, upto: u64, reason: GapReason, sink: &mut impl StreamSink) {
        while self.next < upto {
            let queued = self.rare.as_ref().and_then(|rare| rare.segs.front());
            let end = queued.map_or(upto, |seg| seg.start.min(upto));
            let gap = Gap { offset: self.next, len: end - self.next, reason };
            self.count_gap(gap);
            if self.flags & SKIP == 0 {
                sink.gap(gap);
            }
            self.next = end;
            self.next_seq = self.next_seq.wrapping_add(low_half(gap.len));
            self.drain(sink);
        }
    }

    fn count_gap(&mut self, gap: Gap) {
        let rare = self.rare.get_or_insert_default();
        let index = GapReason::ALL.iter().position(|&known| known == gap.reason).unwrap_or(0);
        if let (Some(count), Some(bytes)) =
            (rare.stats.gaps.get_mut(index), rare.stats.gap_bytes.get_mut(index))
        {
            *count = count.saturating_add(1);
            *bytes = bytes.saturating_add(gap.len);
        }
        if rare.gaps.len() == GAPS_REMEMBERED {
            rare.gaps.pop_front();
        }
        rare.gaps.push_back((gap.offset, gap.offset + gap.len));
    }

    /// Where the first hole ends.
    fn hole_end(&self) -> u64 {
        self.rare.as_ref().and_then(|rare| rare.segs.front()).map_or(u64::MAX, |seg| seg.start)
    }

    /// Gives up the first hole if it was acknowledged some while ago, or is too old.
    fn check_hole(
        &mut self,
        acked: u64,
        ts: Timestamp,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        while self.flags & QUEUED != 0 {
            let end = self.hole_end();
            let Some(rare) = &mut self.rare else { return };
            let reason = if acked >= end {
                let (since, packets) = rare.hole_acked.get_or_insert((ts, 0));
                *packets = packets.saturating_add(1);
                (ts.saturating_sub(*since) >= config.ack_grace
                    || *packets > config.ack_grace_packets)
                    .then_some(GapReason::Acked)
            } else {
                let age = ts.saturating_sub(rare.hole_since);
                (age >= config.hole_timeout).then_some(GapReason::Timeout)
            };
            let Some(reason) = reason else { return };
            self.give_up_until(end, reason, sink);
            if let Some(rare) = &mut self.rare {
                rare.hole_since = ts;
            }
        }
    }

    fn enforce_limits(&mut self, config: &StreamConfig, sink: &mut impl StreamSink) {
        while let Some(rare) = &self.rare {
            if rare.charge <= config.max_buffer && rare.segs.len() <= config.max_segments {
                return;
            }
            self.flags |= OVERFLOWED;
            self.give_up_until(self.hole_end(), GapReason::Budget, sink);
        }
    }

    /// Counts bytes that nobody wants.
    fn pass_over(&mut self, start: u64, len: u64) {
        let end = start + len;
        if end > self.next {
            let rare = self.rare.get_or_insert_default();
            rare.stats.undelivered_bytes += len;
            rare.passed += end - self.next;
            self.next_seq = self.next_seq.wrapping_add(low_half(end - self.next));
            self.next = end;
        }
    }

    fn check_end(&mut self, sink: &mut impl StreamSink) {
        if self.next == self.fin && self.flags & (ENDED | HELD) == 0 {
            self.flags |= ENDED;
            sink.end(self.next);
        }
        self.check();
    }

    /// The invariants named on the type.
    fn check(&self) {
        debug_assert!(self.next <= self.fin || self.flags & SKIP != 0);
        if let Some(rare) = self.rare.as_ref().filter(|_| cfg!(debug_assertions)) {
            let mut end = self.next + 1;
            for seg in &rare.segs {
                debug_assert!(end <= seg.start && !seg.bytes.is_empty());
                end = seg.end();
            }
            debug_assert_eq!(rare.charge, rare.segs.iter().map(Queued::charge).sum::<usize>());
            debug_assert_eq!(rare.segs.is_empty(), self.flags & QUEUED == 0);
        }
    }
}

/// A distance on the circle of sequence numbers.
#[allow(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
const fn low_half(distance: u64) -> u32 {
    distance as u32
}

/// `bytes[from..to]`, empty if that is not inside.
fn slice(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(0);
    bytes.get(range).unwrap_or_default()
}
