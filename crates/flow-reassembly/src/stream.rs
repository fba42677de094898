mod urgent;

use std::collections::VecDeque;

use flow_core::{Gap, GapReason, ReassemblyStats, TcpSideStats, Timestamp, UrgentPolicy};

use crate::queue::{Piece, Queue, slice};
use crate::{OverlapPolicy, Segment, StreamConfig, StreamSink};

/// One direction of a TCP connection: segments in any order go in, the stream comes out.
///
/// ```text
///            next                     first        second
/// ===========|·········hole···········[======]·····[====]          fin
///  delivered                           queued       queued          |
/// ```
///
/// Bytes in order are handed on as a slice of the frame. Bytes behind a hole are copied and kept
/// until the hole is filled or given up; which of two copies wins is up to [`OverlapPolicy`]. Offsets are counted from
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
    /// `None` for that of the configuration.
    overlap: Option<OverlapPolicy>,
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

/// The snap length cut off the bytes in front of `Rare::lost_until`, as far as is known yet.
const LOST: u8 = 1 << 6;

/// Some byte at `next` or behind it is urgent, and is to be taken out.
const URGENT: u8 = 1 << 7;

/// What a stream without losses never needs.
#[derive(Debug, Default)]
struct Rare {
    /// Everything in it begins behind `next`.
    queue: Queue,
    /// Payload of the SYN.
    held: Vec<u8>,
    held_packet: u64,
    /// The first hole, as it was when it was last looked at.
    hole: Hole,
    /// How far the other side has acknowledged.
    acked: u64,
    /// Where the bytes that the snap length cut off end; valid with `LOST`.
    lost_until: u64,
    /// The last gaps given up, for telling late bytes from repeated ones.
    gaps: VecDeque<(u64, u64)>,
    /// Offsets of urgent bytes, in order; valid with `URGENT`.
    urgent: Vec<u64>,
    /// How far `next` has moved over bytes that nobody wanted.
    passed: u64,
    stats: TcpSideStats,
    high_watermark: usize,
}

/// What is known of the first hole. Once `next` has moved, it is another one.
#[derive(Clone, Copy, Debug)]
struct Hole {
    start: u64,
    since: Timestamp,
    /// Segments with new bytes that overtook it.
    segments: u32,
    /// When it was found acknowledged.
    acked: Option<Timestamp>,
}

impl Default for Hole {
    fn default() -> Self {
        let since = Timestamp::default();
        Self { start: u64::MAX, since, segments: 0, acked: None }
    }
}

/// Gaps remembered.
const GAPS_REMEMBERED: usize = 16;
/// How far in front of the first captured byte a stream that was joined midstream may begin
/// because the other side acknowledges from there on.
const BACKFILL: u32 = 1 << 16;

impl Default for StreamReassembler {
    fn default() -> Self {
        Self { next_seq: 0, flags: 0, overlap: None, next: 0, fin: u64::MAX, rare: None }
    }
}

impl StreamReassembler {
    /// A stream of which nothing was seen yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same stream with a policy of its own for overlapping segments.
    #[must_use]
    pub fn with_overlap_policy(mut self, policy: OverlapPolicy) -> Self {
        self.overlap = Some(policy);
        self
    }

    /// Takes a segment and hands on what it completes.
    #[inline]
    pub fn segment(
        &mut self,
        segment: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let plain = self.flags == STARTED
            && self.fin == u64::MAX
            && !(segment.syn || segment.fin || segment.resync || segment.urgent.is_some());
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
        self.check_hole(acked, ts, config, sink);
        self.check_end(sink);
    }

    /// The flow is over: hands on what is queued, with gaps for what is missing.
    pub fn finish(&mut self, sink: &mut impl StreamSink) {
        if self.flags & HELD != 0 {
            // Nobody ever said whether the data of the SYN was taken.
            self.release_held(u64::MAX, sink);
        }
        self.pass_lost(u64::MAX, sink);
        let acked = self.rare.as_ref().map_or(0, |rare| rare.acked);
        while let Some(end) = self.hole_end() {
            let reason = if acked >= end { GapReason::Acked } else { GapReason::End };
            self.give_up_until(end, reason, sink);
        }
        self.check_end(sink);
    }

    /// From now on the bytes are counted only, and nothing is kept or handed on.
    pub fn skip(&mut self) {
        self.flags |= SKIP;
        if let Some(rare) = &mut self.rare {
            rare.stats.undelivered_bytes += rare.queue.bytes() + rare.held.len() as u64;
            (rare.queue, rare.held) = (Queue::default(), Vec::new());
        }
        self.flags &= !(QUEUED | HELD | LOST);
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
        self.rare.as_ref().map_or(0, |rare| rare.queue.charge() + rare.held.capacity())
    }

    /// Since when it waits for bytes in front of others, if it does.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Timestamp> {
        let is_waiting = self.flags & (QUEUED | HELD) != 0;
        self.rare.as_ref().filter(|_| is_waiting).map(|rare| rare.hole.since)
    }

    /// Gives up every hole in front of what is queued, as its memory is wanted elsewhere.
    pub fn give_up_holes(&mut self, sink: &mut impl StreamSink) {
        while self.flags & QUEUED != 0 {
            self.give_up_until(self.queue_start(), GapReason::Budget, sink);
        }
        self.check_end(sink);
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> TcpSideStats {
        let mut stats = self.rare.as_ref().map(|rare| rare.stats).unwrap_or_default();
        let passed = self.rare.as_ref().map_or(0, |rare| rare.passed);
        let others =
            stats.total_gap_bytes().saturating_add(passed).saturating_add(stats.urgent_bytes);
        stats.delivered_bytes = self.next.saturating_sub(others);
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
        if segment.resync {
            self.resync(seq, sink);
        }
        let start = self.offset_of(seq);
        if segment.syn {
            self.hold(start, segment, config);
            return;
        }
        if self.flags & HELD != 0 {
            // Data behind that of the SYN says it was taken, data in its place that it was not.
            self.release_held(start.max(0).cast_unsigned(), sink);
        }
        if let (UrgentPolicy::Remove, Some(pointer)) = (config.urgent, segment.urgent) {
            self.mark_urgent(start.saturating_add(i64::from(pointer.max(1)) - 1));
        }
        if segment.fin {
            self.end_at(start.saturating_add(i64::from(segment.len)));
        }
        let (start, payload, len) = self.trim_front(start, segment);
        let (payload, len) = self.trim_back(start, payload, len);
        if start > self.next || segment.fin {
            self.pass_lost(if segment.fin { u64::MAX } else { start }, sink);
        }
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

    /// Goes on at `seq`: forward over a gap, backward as if nothing were missing, since how much
    /// is cannot be known.
    fn resync(&mut self, seq: u32, sink: &mut impl StreamSink) {
        let start = self.offset_of(seq);
        match u64::try_from(start) {
            Ok(start) if start > self.next => {
                self.give_up_until(start.min(self.fin), GapReason::Resync, sink);
            }
            _ => {
                if let Some(rare) = &mut self.rare {
                    rare.stats.undelivered_bytes += rare.queue.bytes();
                    rare.queue = Queue::default();
                }
                self.flags &= !(QUEUED | LOST);
                self.next_seq = seq;
            }
        }
    }

    fn offset_of(&self, seq: u32) -> i64 {
        let distance = seq.wrapping_sub(self.next_seq).cast_signed();
        self.next.cast_signed().saturating_add(i64::from(distance))
    }

    /// Keeps the data of a SYN until it is known whether it was taken (RFC 7413).
    fn hold(&mut self, start: i64, segment: &Segment<'_>, config: &StreamConfig) {
        let rare = self.rare.get_or_insert_default();
        if start != 0 || self.next != 0 || self.flags & (HELD | SKIP) != 0 {
            rare.stats.retransmitted_bytes += u64::from(segment.len);
            return;
        }
        if segment.payload.len() > config.max_buffer {
            // If it was taken, the acknowledgment makes a hole of it.
            rare.stats.undelivered_bytes += u64::from(segment.len);
            return;
        }
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
        rare.stats.undelivered_bytes += (held.len() - taken) as u64;
        if let Some(bytes) = held.get(..taken).filter(|bytes| !bytes.is_empty()) {
            self.deliver(bytes, packet, sink);
            self.drain(sink);
        }
    }

    /// Cuts off what was handed on before, and says by which counter it goes.
    fn trim_front<'a>(&mut self, start: i64, segment: &Segment<'a>) -> (u64, &'a [u8], u64) {
        let len = u64::from(segment.len);
        // Never more than the headers say, whoever made this segment.
        let payload = slice(segment.payload, 0, len.min(segment.payload.len() as u64));
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

    /// Takes down where the stream ends; the first FIN that does not contradict what was handed on
    /// counts.
    fn end_at(&mut self, end: i64) {
        let Some(end) = u64::try_from(end).ok().filter(|&end| end >= self.next) else { return };
        if self.fin == u64::MAX {
            self.fin = end;
            self.drop_behind(end);
        }
    }

    /// Cuts off what lies behind the FIN.
    fn trim_back<'a>(&mut self, start: u64, payload: &'a [u8], len: u64) -> (&'a [u8], u64) {
        let end = start + len;
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
        rare.stats.beyond_fin_bytes += rare.queue.truncate(fin);
        if rare.queue.is_empty() {
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
            self.lose(cut_off, sink);
        } else {
            let piece = Piece { start, bytes: payload, cut_off, packet: segment.packet };
            self.queue(piece, self.overlap.unwrap_or(config.overlap));
            self.drain(sink);
        }
        self.enforce_limits(config, sink);
    }

    /// Keeps bytes for later.
    fn queue(&mut self, piece: Piece<'_>, policy: OverlapPolicy) {
        let rare = self.rare.get_or_insert_default();
        if piece.start > self.next {
            rare.stats.out_of_order_segments += 1;
        }
        let overlap = rare.queue.insert(piece, policy);
        let is_new = overlap.repeated < piece.bytes.len() as u64;
        rare.hole.segments = rare.hole.segments.saturating_add(u32::from(is_new));
        if overlap.repeated > 0 {
            rare.stats.retransmitted_bytes += overlap.repeated;
            rare.stats.retransmitted_segments += 1;
        }
        if overlap.conflicting > 0 {
            rare.stats.conflicting_bytes += overlap.conflicting;
            rare.stats.conflicting_segments += 1;
        }
        rare.high_watermark = rare.high_watermark.max(rare.queue.charge());
        if !rare.queue.is_empty() {
            self.flags |= QUEUED;
        }
    }

    /// Hands on what is queued and in order now.
    fn drain(&mut self, sink: &mut impl StreamSink) {
        while let Some(rare) = &mut self.rare {
            let Some(first) = rare.queue.pop_until(self.next) else { break };
            let bytes = slice(&first.bytes, self.next - first.start, first.bytes.len() as u64);
            if !bytes.is_empty() {
                self.deliver(bytes, first.packet, sink);
                self.lose(first.cut_off, sink);
            }
        }
        if self.rare.as_ref().is_none_or(|rare| rare.queue.is_empty()) {
            self.flags &= !QUEUED;
        }
    }

    /// The snap length cut off so many bytes behind those just handed on. They are given up when
    /// something shows that the sender has gone on; until then it may send them again.
    fn lose(&mut self, cut_off: u64, sink: &mut impl StreamSink) {
        let upto = self.next.saturating_add(cut_off).min(self.queue_start()).min(self.fin);
        if upto > self.next {
            let rare = self.rare.get_or_insert_default();
            let known = if self.flags & LOST != 0 { rare.lost_until } else { 0 };
            rare.lost_until = upto.max(known);
            self.flags |= LOST;
        }
        let has_gone_on = self.flags & QUEUED != 0 && self.queue_start() != u64::MAX;
        self.pass_lost(if has_gone_on || self.fin != u64::MAX { u64::MAX } else { 0 }, sink);
    }

    /// Gives up what the snap length cut off in front of offset `upto`.
    fn pass_lost(&mut self, upto: u64, sink: &mut impl StreamSink) {
        if self.flags & LOST == 0 {
            return;
        }
        let lost_until = self.rare.as_ref().map_or(0, |rare| rare.lost_until);
        let end = lost_until.min(self.fin).min(self.queue_start());
        self.pass_gap(end.min(upto), GapReason::Snaplen, sink);
        if self.next >= end {
            self.flags &= !LOST;
        }
    }

    #[inline]
    fn deliver(&mut self, bytes: &[u8], packet: u64, sink: &mut impl StreamSink) {
        if self.flags & URGENT == 0 {
            self.hand_on(bytes, packet, sink);
        } else {
            self.deliver_around_urgent(bytes, packet, sink);
        }
    }

    #[inline]
    fn hand_on(&mut self, bytes: &[u8], packet: u64, sink: &mut impl StreamSink) {
        if !bytes.is_empty() {
            sink.data(self.next, bytes, packet);
            self.step(bytes.len() as u64);
        }
    }

    #[inline]
    fn step(&mut self, len: u64) {
        self.next += len;
        self.next_seq = self.next_seq.wrapping_add(low_half(len));
    }

    /// Gives up every hole in front of offset `upto` and hands on what is queued between them.
    fn give_up_until(&mut self, upto: u64, reason: GapReason, sink: &mut impl StreamSink) {
        self.pass_lost(upto, sink);
        while self.next < upto {
            self.pass_gap(self.queue_start().min(upto), reason, sink);
            self.drain(sink);
        }
    }

    /// Hands on the gap in front of offset `end`, if there is one, and nothing else.
    fn pass_gap(&mut self, end: u64, reason: GapReason, sink: &mut impl StreamSink) {
        if self.next < end {
            let gap = Gap { offset: self.next, len: end - self.next, reason };
            self.count_gap(gap);
            if self.flags & SKIP == 0 {
                sink.gap(gap);
            }
            self.step(gap.len);
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

    /// Where the queued data begins.
    fn queue_start(&self) -> u64 {
        self.rare.as_ref().and_then(|rare| rare.queue.start()).unwrap_or(u64::MAX)
    }

    /// Where the first hole ends, if there is one: in front of queued data or of the FIN.
    fn hole_end(&self) -> Option<u64> {
        let end = self.queue_start().min(self.fin);
        (self.next < end && end != u64::MAX).then_some(end)
    }

    /// Gives up the first hole if it was acknowledged some while ago, or is too old.
    ///
    /// An acknowledgment alone does not say that the capture missed the bytes: captures reorder
    /// packets, and may show the acknowledgment first.
    fn check_hole(
        &mut self,
        acked: u64,
        ts: Timestamp,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        while let Some(end) = self.hole_end() {
            let rare = self.rare.get_or_insert_default();
            rare.acked = acked;
            if rare.hole.start != self.next {
                let segments = u32::try_from(rare.queue.len()).unwrap_or(u32::MAX);
                rare.hole = Hole { start: self.next, since: ts, segments, acked: None };
            }
            let hole = &mut rare.hole;
            let reason = if acked >= end {
                let age = ts.saturating_sub(*hole.acked.get_or_insert(ts));
                let overtaken = hole.segments > config.reorder_segments;
                let is_over = age >= config.hole_timeout || (age >= config.ack_grace && overtaken);
                is_over.then_some(GapReason::Acked)
            } else {
                let age = ts.saturating_sub(hole.since);
                let is_over = age >= config.hole_timeout && !rare.queue.is_empty();
                is_over.then_some(GapReason::Timeout)
            };
            let Some(reason) = reason else { return };
            self.give_up_until(end, reason, sink);
        }
    }

    fn enforce_limits(&mut self, config: &StreamConfig, sink: &mut impl StreamSink) {
        while let Some(rare) = &self.rare {
            if rare.queue.charge() <= config.max_buffer && rare.queue.len() <= config.max_segments {
                return;
            }
            self.flags |= OVERFLOWED;
            self.give_up_until(self.queue_start(), GapReason::Budget, sink);
        }
    }

    /// Counts bytes that nobody wants.
    fn pass_over(&mut self, start: u64, len: u64) {
        let end = start + len;
        if end > self.next {
            let rare = self.rare.get_or_insert_default();
            rare.stats.undelivered_bytes += len;
            rare.passed += end - self.next;
            self.step(end - self.next);
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
        debug_assert!(self.queue_start() > self.next);
        debug_assert_eq!(self.queue_start() == u64::MAX, self.flags & QUEUED == 0);
    }
}

/// A distance on the circle of sequence numbers.
#[allow(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
const fn low_half(distance: u64) -> u32 {
    distance as u32
}
