mod held;
mod holes;
mod news;
mod unwanted;
mod urgent;

use std::collections::VecDeque;

use flow_core::{GapReason, ReassemblyStats, TcpSideStats, Timestamp, UrgentPolicy, seq_before};

use self::held::{Held, Stray};
use self::news::News;
use crate::queue::{Piece, Queue, slice};
use crate::{LastWord, OverlapPolicy, Segment, Standing, StreamConfig, StreamSink};

/// One direction of a TCP connection: segments in any order go in, the stream comes out.
///
/// ```text
///            next                     first        second
/// ===========|·········hole···········[======]·····[====]          fin
///  delivered                           queued       queued          |
/// ```
///
/// Bytes in order are handed on as a slice of the frame. Bytes behind a hole are copied and kept
/// until the hole is filled or given up; which of two copies wins is up to [`OverlapPolicy`].
/// Offsets are counted from the first byte after the SYN and have 64 bits; sequence numbers are
/// only ever compared with the next one expected, so they may wrap.
///
/// Invariants: queued segments are sorted, disjoint, and all begin behind `next`; the bytes and
/// gaps handed on add up to `next`.
#[derive(Debug)]
pub struct StreamReassembler {
    /// Sequence number of the byte at offset `next`.
    next_seq: u32,
    flags: u16,
    /// `None` for that of the configuration.
    overlap: Option<OverlapPolicy>,
    /// Offset of the next byte to hand on.
    next: u64,
    /// Offset of the FIN, `u64::MAX` if none was seen.
    fin: u64,
    rare: Option<Box<Rare>>,
}

/// The first byte's sequence number is known.
const STARTED: u16 = 1;
/// Something is queued, or known to lie behind a hole.
const QUEUED: u16 = 1 << 1;
/// Data of the SYN, or a window probe, waits for its acknowledgment.
const HELD: u16 = 1 << 2;
/// Nobody wants the bytes any more.
const SKIP: u16 = 1 << 3;
/// The end was handed on.
const ENDED: u16 = 1 << 4;
/// The memory limit was reached.
const OVERFLOWED: u16 = 1 << 5;
/// The snap length cut off the bytes in front of `Rare::lost_until`, as far as is known yet.
const LOST: u16 = 1 << 6;
/// Some byte at `next` or behind it is urgent, and is to be taken out.
const URGENT: u16 = 1 << 7;
/// Segments outside of any window wait for somebody to vouch for them.
const STRAYS: u16 = 1 << 8;
/// There is something to report.
const FRESH: u16 = 1 << 9;

/// What a stream without losses never needs.
#[derive(Debug, Default)]
struct Rare {
    /// Everything in it begins behind `next`.
    queue: Queue,
    /// Where bytes that nobody wants lie behind a hole: sorted ranges that do not touch. Once there
    /// are any, the queue is empty.
    unwanted: Vec<(u64, u64)>,
    /// That of SYNs with different numbers, or one window probe.
    held: Vec<Held>,
    strays: VecDeque<Stray>,
    stray_bytes: usize,
    /// The first hole, as it was when it was last looked at.
    hole: Hole,
    /// How far the other side has acknowledged.
    acked: u64,
    /// The FIN, if that came before anything else of a stream whose beginning was not captured.
    early_fin: Option<u32>,
    /// Since when there are strays or held bytes.
    kept_since: Timestamp,
    /// How far the stream is known to go from its [`LastWord`].
    known_end: u64,
    /// Where the bytes that the snap length cut off end; valid with `LOST`.
    lost_until: u64,
    /// The last gaps given up, for telling late bytes from repeated ones.
    gaps: VecDeque<(u64, u64)>,
    /// Offsets of urgent bytes, in order; valid with `URGENT`.
    urgent: Vec<u64>,
    /// How far `next` has moved over bytes that nobody wanted.
    passed: u64,
    stats: TcpSideStats,
    news: News,
    high_watermark: usize,
}

impl Rare {
    /// Runs of bytes behind the first hole.
    fn waiting(&self) -> usize {
        self.queue.len() + self.unwanted.len()
    }
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

/// Payloads shorter than this count as tiny.
///
/// Rationale: nothing that is sent by itself is shorter but what somebody types.
const TINY: u32 = 4;
/// How far in front of the first captured byte a stream that was joined midstream may begin
/// because the other side acknowledges from there on.
///
/// Rationale: what a sender may have under way without window scaling.
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

    /// Hands on bytes that are just what comes next in a stream of which nothing waits, or counts
    /// them if nobody wants them, and says whether they were; else they are for
    /// [`segment`](Self::segment).
    #[inline]
    pub fn in_order(
        &mut self,
        seq: u32,
        bytes: &[u8],
        packet: u64,
        sink: &mut impl StreamSink,
    ) -> bool {
        let is_next = self.flags & !(FRESH | SKIP) == STARTED
            && self.fin == u64::MAX
            && seq == self.next_seq
            && bytes.len() >= TINY as usize;
        if is_next && self.flags & SKIP == 0 {
            self.hand_on(bytes, packet, sink);
        } else if is_next {
            let len = bytes.len() as u64;
            self.pass_over(self.next, len, len, sink);
        }
        is_next
    }

    /// Takes a segment and hands on what it completes.
    #[inline]
    pub fn segment(
        &mut self,
        segment: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let plain = !(segment.syn || segment.fin || segment.urgent.is_some())
            && segment.standing == Standing::Usual
            && segment.payload.len() == segment.len as usize;
        if !(plain && self.in_order(segment.seq, segment.payload, segment.packet, sink)) {
            self.segment_slow(segment, config, sink);
        }
    }

    /// Whether [`progress`](Self::progress) has anything to look at.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.flags & (QUEUED | HELD | STRAYS) != 0
            || (self.fin != u64::MAX && self.flags & ENDED == 0)
    }

    /// Whether nothing of it waits, ends or is to be reported, as of nearly all streams at nearly
    /// all times.
    #[must_use]
    #[inline]
    pub const fn is_plain(&self) -> bool {
        self.flags & !(STARTED | SKIP) == 0 && self.fin == u64::MAX
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
        if self.flags & STRAYS != 0 {
            let like = Segment { acked, ts, ..Segment::plain(0, &[]) };
            self.settle_strays(&like, config, sink);
        }
        if let (true, Some(acked)) = (self.flags & HELD != 0, acked) {
            self.settle_held(acked, config, sink);
        }
        let acked = acked.map_or(0, |acked| self.offset_of(acked).max(0).cast_unsigned());
        self.check_hole(acked, ts, config, sink);
        self.check_end(sink);
    }

    /// Takes down the last that is known of the stream, right before [`finish`](Self::finish): what
    /// was acknowledged and never captured is a gap, too.
    ///
    /// One byte more than was captured of a stream whose FIN was not is taken for the FIN.
    pub fn last_word(&mut self, word: LastWord, config: &StreamConfig, sink: &mut impl StreamSink) {
        let LastWord { start, acked, window } = word;
        self.begin_at(start);
        let Some(acked) = acked else { return };
        if self.flags & STRAYS != 0 {
            let like = Segment { start, acked: Some(acked), ..Segment::plain(0, &[]) };
            self.settle_strays(&like, config, sink);
        }
        if self.flags & STARTED == 0 {
            return;
        }
        if self.flags & HELD != 0 {
            self.settle_held(acked, config, sink);
            self.settle_held_at_end(sink);
        }
        let acked = self.offset_of(acked).max(0).cast_unsigned();
        if acked > self.next && acked - self.next <= window.max(u16::MAX.into()).into() {
            let rare = self.rare.get_or_insert_default();
            (rare.acked, rare.known_end) = (acked, acked);
        }
    }

    /// The flow is over: hands on what is queued, with gaps for what is missing.
    pub fn finish(&mut self, sink: &mut impl StreamSink) {
        if let (0, Some(fin)) = (self.flags & STARTED, self.early_fin()) {
            self.next_seq = fin;
            self.flags |= STARTED;
            self.settle_early_fin();
        }
        self.settle_held_at_end(sink);
        self.pass_lost(u64::MAX, sink);
        let acked = self.rare.as_ref().map_or(0, |rare| rare.acked);
        while let Some(end) = self.hole_end() {
            let reason = if acked >= end { GapReason::Acked } else { GapReason::End };
            self.give_up_until(end, reason, sink);
        }
        let known_end = self.rare.as_ref().map_or(0, |rare| rare.known_end);
        if self.fin == u64::MAX && known_end > self.next + 1 {
            self.give_up_until(known_end, GapReason::Acked, sink);
        }
        self.check_end(sink);
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
        // A stream that lost something once is not asked where it keeps what.
        if self.flags & (QUEUED | HELD | STRAYS) == 0 {
            return 0;
        }
        self.rare.as_ref().map_or(0, |rare| {
            let strays = rare.stray_bytes + rare.strays.len() * size_of::<Stray>();
            let strays = strays + size_of_val(rare.unwanted.as_slice());
            rare.queue.charge() + rare.held.iter().map(Held::charge).sum::<usize>() + strays
        })
    }

    /// Since when it waits for bytes in front of others, if it does.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Timestamp> {
        let since = |rare: &Rare| match self.flags & QUEUED {
            0 => rare.kept_since,
            _ => rare.hole.since,
        };
        self.rare.as_deref().filter(|_| self.buffered_bytes() > 0).map(since)
    }

    /// Gives up every hole in front of what is queued, as its memory is wanted elsewhere.
    pub fn give_up_holes(&mut self, sink: &mut impl StreamSink) {
        if let Some(rare) = &mut self.rare {
            rare.strays.clear();
            self.count_strays();
        }
        self.drop_held();
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
        if !segment.syn {
            self.begin_at(segment.start);
        }
        if segment.standing == Standing::Stray && !segment.syn {
            self.keep_stray(segment, config);
            return;
        }
        let seq = segment.seq.wrapping_add(u32::from(segment.syn));
        if let Standing::Resync(resync) = segment.standing {
            self.take_strays(seq, Some(resync), segment, config, sink);
        }
        if self.flags & STARTED == 0 {
            if segment.len == 0 && segment.acked != Some(seq) {
                // Where the stream began, a FIN alone does not say.
                self.rare.get_or_insert_default().early_fin = Some(seq);
                return;
            }
            self.start_at(seq, segment);
            self.settle_early_fin();
        }
        if segment.syn || self.is_held_probe(seq, segment) {
            self.hold(seq, segment, config);
            if segment.fin && !segment.syn {
                self.end_at(self.offset_of(seq).saturating_add(i64::from(segment.len)));
            }
            return;
        }
        if self.flags & HELD != 0 {
            self.settle_held_by(seq, segment, sink);
        }
        let start = self.offset_of(seq);
        if segment.len > 0 && segment.len < TINY && start >= self.next.cast_signed() {
            self.rare.get_or_insert_default().stats.tiny_segments += 1;
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
        if len > 0 {
            let cut_off = len - (payload.len() as u64).min(len);
            if cut_off > 0 {
                self.rare.get_or_insert_default().stats.truncated_bytes += cut_off;
            }
            if self.flags & SKIP != 0 {
                self.pass_over(start, len, len - cut_off, sink);
            } else {
                let policy = self.overlap.unwrap_or(config.overlap);
                self.accept(start, payload, len, segment, policy, sink);
            }
            self.enforce_limits(config, sink);
        }
        self.check_end(sink);
    }

    /// Fixes offset 0: the byte after the SYN or, joined midstream, what the other side expected
    /// next if that is just in front of the first byte captured, else that byte.
    fn start_at(&mut self, seq: u32, segment: &Segment<'_>) {
        let midstream = match segment.acked {
            Some(acked) if seq.wrapping_sub(acked) <= BACKFILL => acked,
            // A keep-alive probe (RFC 9293 section 3.8.4): its byte may be any.
            Some(acked) if segment.len == 1 && acked == seq.wrapping_add(1) => acked,
            _ => seq,
        };
        self.next_seq = segment.start.unwrap_or(midstream);
        self.flags |= STARTED;
    }

    fn offset_of(&self, seq: u32) -> i64 {
        let distance = seq.wrapping_sub(self.next_seq).cast_signed();
        self.next.cast_signed().saturating_add(i64::from(distance))
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
            rare.stats.spurious_segments += u64::from(is_acked(segment));
        }
        let cut = usize::try_from(before).unwrap_or(usize::MAX).min(payload.len());
        (self.next, payload.get(cut..).unwrap_or_default(), len - before)
    }

    fn early_fin(&self) -> Option<u32> {
        self.rare.as_ref().and_then(|rare| rare.early_fin)
    }

    /// Now it is known where the stream began, if it was a FIN that came first.
    fn settle_early_fin(&mut self) {
        if let Some(fin) = self.early_fin() {
            // What lies behind it is not of the stream.
            if seq_before(fin, self.next_seq) {
                self.next_seq = fin;
            }
            self.end_at(self.offset_of(fin));
        }
    }

    /// Takes down where the stream ends; the first FIN that does not contradict what was handed on
    /// counts.
    fn end_at(&mut self, end: i64) {
        let Some(end) = u64::try_from(end).ok().filter(|&end| end >= self.next) else { return };
        let is_first = self.fin == u64::MAX || (end == self.next && end < self.fin);
        if is_first && self.flags & ENDED == 0 {
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
        let mut behind = 0;
        rare.unwanted.retain_mut(|range| {
            behind += range.1 - range.1.min(fin).max(range.0);
            range.1 = range.1.min(fin);
            range.0 < range.1
        });
        rare.stats.beyond_fin_bytes += behind;
        rare.stats.undelivered_bytes = rare.stats.undelivered_bytes.saturating_sub(behind);
        if rare.waiting() == 0 {
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
        policy: OverlapPolicy,
        sink: &mut impl StreamSink,
    ) {
        let cut_off = len - (payload.len() as u64).min(len);
        if start == self.next && self.flags & QUEUED == 0 {
            if !payload.is_empty() {
                self.deliver(payload, segment.packet, sink);
            }
            self.lose(cut_off, sink);
        } else {
            let piece = Piece { start, bytes: payload, cut_off, packet: segment.packet };
            let is_acked = is_acked(segment);
            if self.queue(piece, policy) && is_acked {
                self.rare.get_or_insert_default().stats.spurious_segments += 1;
            }
            self.drain(sink);
        }
    }

    /// Keeps bytes for later. Whether some of them were there.
    fn queue(&mut self, piece: Piece<'_>, policy: OverlapPolicy) -> bool {
        if piece.start > self.next {
            self.note_early(piece.start - self.next);
        }
        let rare = self.rare.get_or_insert_default();
        let overlap = rare.queue.insert(piece, policy);
        let is_new = overlap.repeated < piece.bytes.len() as u64;
        rare.hole.segments = rare.hole.segments.saturating_add(u32::from(is_new));
        if overlap.repeated > 0 {
            rare.stats.retransmitted_bytes += overlap.repeated;
            rare.stats.retransmitted_segments += 1;
            rare.stats.overlap_bytes += overlap.repeated;
        }
        rare.high_watermark = rare.high_watermark.max(rare.queue.charge());
        if !rare.queue.is_empty() {
            self.flags |= QUEUED;
        }
        if overlap.conflicting > 0 {
            self.note_conflict(overlap.conflicting);
        }
        overlap.repeated > 0
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
        self.drain_unwanted();
        if self.rare.as_ref().is_none_or(|rare| rare.waiting() == 0) {
            self.flags &= !QUEUED;
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

/// Whether the other side had acknowledged the segment before it came.
fn is_acked(segment: &Segment<'_>) -> bool {
    let end = segment.seq.wrapping_add(segment.len);
    segment.acked.is_some_and(|acked| !seq_before(acked, end))
}

/// A distance on the circle of sequence numbers.
#[allow(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
const fn low_half(distance: u64) -> u32 {
    distance as u32
}
