//! Bytes that wait for somebody's word: data of a SYN, window probes, segments outside of any window.

use flow_core::{GapReason, Resync, seq_before};

use super::{ENDED, HELD, LOST, QUEUED, SKIP, STARTED, STRAYS, StreamReassembler};
use crate::queue::{Queue, slice};
use crate::{Segment, Standing, StreamConfig, StreamSink};

/// Bytes that count only if they are acknowledged.
#[derive(Debug)]
pub(super) struct Held {
    /// Sequence number of the first.
    seq: u32,
    bytes: Vec<u8>,
    /// Bytes right behind these that the snap length cut off.
    cut_off: u32,
    packet: u64,
    /// It is a window probe; data of a SYN otherwise, whose answer says how much was taken.
    is_probe: bool,
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn charge(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>()
    }

    /// Whether an acknowledgment speaks of its SYN, and no more than its data.
    fn is_answered_by(&self, acked: u32) -> bool {
        acked.wrapping_sub(self.seq) as usize <= self.bytes.len() + self.cut_off as usize
    }
}

/// SYNs with data of which one may be the connection's.
///
/// Rationale: as many as the tracker knows of.
const MAX_SYNS: usize = 4;

/// A segment outside of any window.
#[derive(Debug)]
pub(super) struct Stray {
    seq: u32,
    bytes: Vec<u8>,
    /// Length on the wire.
    len: u32,
    fin: bool,
    packet: u64,
    /// Where it came, nothing but the first segment spoke for the numbers before it.
    resync: Resync,
}

/// Strays kept. Of more than that, the latest.
///
/// Rationale: the other side acknowledges every second segment (RFC 9293 section 3.8.6.3), so that
/// word of them comes soon; a burst of merged segments is a few more.
const MAX_STRAYS: usize = 16;

/// Bytes kept of them, if a stream may hold as much.
///
/// Rationale: room for a few merged segments of 64 KiB, and little beside what else is queued.
const MAX_STRAY_BYTES: usize = 256 << 10;

/// How far segments and acknowledgments may lie apart to vouch for each other.
///
/// Rationale: a receive window of a fast path, as the tracker has it.
const STRAY_SPAN: u32 = 1 << 20;

impl Stray {
    /// Whether it begins before `seq`, and not far.
    fn is_just_before(&self, seq: u32) -> bool {
        (1..=STRAY_SPAN).contains(&seq.wrapping_sub(self.seq))
    }

    /// Whether it begins at `seq` or behind it, within the least of windows.
    fn is_next_to(&self, seq: u32) -> bool {
        self.seq.wrapping_sub(seq) <= u16::MAX.into()
    }

    fn is_near(&self, seq: u32) -> bool {
        self.is_just_before(seq) || seq.wrapping_sub(self.seq).wrapping_neg() <= STRAY_SPAN
    }

    fn segment<'a>(&'a self, of: &Segment<'_>) -> Segment<'a> {
        Segment {
            len: self.len,
            fin: self.fin,
            packet: self.packet,
            start: of.start,
            acked: of.acked,
            ts: of.ts,
            ..Segment::plain(self.seq, &self.bytes)
        }
    }
}

impl StreamReassembler {
    /// Keeps the data of a SYN until it is known whether it was taken (RFC 7413), or a window probe.
    pub(super) fn hold(&mut self, seq: u32, segment: &Segment<'_>, config: &StreamConfig) {
        let is_probe = segment.standing == Standing::WindowProbe;
        let is_first = self.next == 0 && self.flags & (QUEUED | SKIP | ENDED) == 0;
        let rare = self.rare.get_or_insert_default();
        let is_known = rare.held.iter().any(|held| held.seq == seq || held.is_probe);
        if is_known || !(is_first || is_probe) {
            if segment.standing != Standing::Stray {
                rare.stats.retransmitted_bytes += u64::from(segment.len);
                rare.stats.retransmitted_segments += 1;
            }
            return;
        }
        let captured = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX).min(segment.len);
        let cut_off = segment.len - captured;
        // Of a probe, when it is taken.
        rare.stats.truncated_bytes += if is_probe { 0 } else { cut_off.into() };
        if self.flags & (HELD | STRAYS) == 0 {
            rare.kept_since = segment.ts;
        }
        let held: usize = rare.held.iter().map(Held::len).sum();
        if held + segment.payload.len() > config.max_buffer {
            // If it was taken, the acknowledgment makes a hole of it.
            rare.stats.refused_bytes += u64::from(captured);
            return;
        }
        if rare.held.len() == MAX_SYNS {
            let oldest = rare.held.remove(0);
            rare.stats.refused_bytes += oldest.len() as u64;
        }
        let bytes = slice(segment.payload, 0, captured.into()).to_vec();
        rare.held.push(Held { seq, bytes, cut_off, packet: segment.packet, is_probe });
        self.flags |= HELD;
    }

    /// Whether the segment is a window probe that nobody has taken so far.
    pub(super) fn is_held_probe(&self, seq: u32, segment: &Segment<'_>) -> bool {
        segment.standing == Standing::WindowProbe
            && !seq_before(seq, self.next_seq)
            && self.flags & SKIP == 0
    }

    /// The other side has acknowledged up to here, which may say something of what is held.
    pub(super) fn settle_held(
        &mut self,
        acked: u32,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let held = self.rare.as_ref().map(|rare| rare.held.as_slice()).unwrap_or_default();
        if let Some(probe) = held.first().filter(|held| held.is_probe) {
            if seq_before(probe.seq, acked) {
                let probe = self.take_held().pop();
                let Some(Held { seq, bytes, packet, cut_off, .. }) = probe else { return };
                let plain = Segment::plain(seq, &bytes);
                let len = plain.len + cut_off;
                let segment = Segment { packet, len, acked: Some(acked), ..plain };
                self.segment_slow(&segment, config, sink);
            }
            return;
        }
        // What acknowledges more than a SYN's data may be the answer to another one.
        let answered = held.iter().rfind(|held| held.is_answered_by(acked)).map(|held| held.seq);
        if let Some(seq) = answered {
            self.next_seq = seq;
            self.release_held(acked.wrapping_sub(seq).into(), sink);
        }
    }

    /// Where the data of a SYN lies, if the first byte of the stream is its first one.
    pub(super) fn held_extent(&self) -> Option<(u64, u64)> {
        let held = self.rare.as_ref()?.held.iter();
        let mut ours = held.filter(|held| held.seq == self.next_seq && !held.is_probe);
        ours.next_back().map(|held| (self.next, self.next + held.len() as u64))
    }

    fn take_held(&mut self) -> Vec<Held> {
        self.flags &= !HELD;
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.held)).unwrap_or_default()
    }

    /// Nothing of what is held was taken.
    pub(super) fn drop_held(&mut self) {
        let dropped: usize = self.take_held().iter().map(Held::len).sum();
        if let Some(rare) = &mut self.rare {
            rare.stats.refused_bytes += dropped as u64;
        }
    }

    /// Data behind that of a SYN says that it was taken, data in its place that it was not. In place
    /// of a probe comes what is sent once there is room.
    pub(super) fn settle_held_by(
        &mut self,
        seq: u32,
        segment: &Segment<'_>,
        sink: &mut impl StreamSink,
    ) {
        let held = self.rare.as_ref().map(|rare| rare.held.as_slice()).unwrap_or_default();
        if let Some(probe) = held.first().filter(|held| held.is_probe) {
            if probe.seq.wrapping_sub(seq) < segment.len {
                self.drop_held();
            }
            return;
        }
        let taken = seq.wrapping_sub(self.next_seq).cast_signed().max(0);
        self.release_held(taken.unsigned_abs().into(), sink);
    }

    /// The stream begins here, as its SYN says; of SYNs with different numbers, the one that counts.
    pub(super) fn begin_at(&mut self, start: Option<u32>) {
        let is_known = self.next > 0 || self.flags & (QUEUED | SKIP | ENDED | LOST) != 0;
        if let (true, Some(start)) = (self.flags & STARTED == 0 || !is_known, start) {
            self.next_seq = start;
            self.flags |= STARTED;
        }
    }

    /// Nobody will say any more whether what is held was taken: a SYN's data most likely was, if
    /// it was not answered with less; a probe was not.
    pub(super) fn settle_held_at_end(&mut self, sink: &mut impl StreamSink) {
        if self.flags & HELD != 0 {
            let held = self.rare.as_ref().map(|rare| rare.held.as_slice()).unwrap_or_default();
            if held.iter().any(|held| held.is_probe) {
                self.drop_held();
            } else {
                self.release_held(u64::MAX, sink);
            }
        }
    }

    /// So many bytes from `next` on, of those that are held, were taken.
    fn release_held(&mut self, taken: u64, sink: &mut impl StreamSink) {
        let all = self.take_held();
        let ours = all.iter().rposition(|held| held.seq == self.next_seq);
        for (at, held) in all.into_iter().enumerate() {
            let room = taken.min(self.fin.saturating_sub(self.next));
            let upto = if Some(at) == ours { room.min(held.len() as u64) } else { 0 };
            let left = held.len() as u64 - upto;
            self.rare.get_or_insert_default().stats.refused_bytes += left;
            if upto > 0 {
                self.deliver(slice(&held.bytes, 0, upto), held.packet, sink);
            }
            if Some(at) == ours && left == 0 && room > upto {
                self.lose((room - upto).min(held.cut_off.into()), sink);
            }
        }
        self.drain(sink);
    }

    /// Keeps a segment until somebody vouches for it.
    pub(super) fn keep_stray(&mut self, segment: &Segment<'_>, config: &StreamConfig) {
        if self.flags & SKIP != 0 {
            return;
        }
        let rare = self.rare.get_or_insert_default();
        if self.flags & (HELD | STRAYS) == 0 {
            rare.kept_since = segment.ts;
        }
        let bytes = segment.payload.to_vec();
        rare.stray_bytes += bytes.len();
        let most = MAX_STRAY_BYTES.min(config.max_buffer);
        let resync = match segment.start.or(segment.acked) {
            Some(_) => Resync::AfterGap,
            None => Resync::Anew,
        };
        let Segment { seq, len, fin, packet, .. } = *segment;
        rare.strays.push_back(Stray { seq, bytes, len, fin, packet, resync });
        while rare.strays.len() > MAX_STRAYS || rare.stray_bytes > most {
            let Some(oldest) = rare.strays.pop_front() else { break };
            rare.stray_bytes -= oldest.bytes.len();
        }
        self.flags |= STRAYS;
        self.count_strays();
    }

    /// The other side has acknowledged up to here. If that is further than anything seen but strays,
    /// these were segments of the stream.
    pub(super) fn settle_strays(
        &mut self,
        like: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let (Some(acked), Some(rare)) = (like.acked, &mut self.rare) else { return };
        let is_at = |stray: &&Stray| stray.seq == acked || stray.is_just_before(acked);
        let first = rare.strays.iter().find(is_at);
        let Some(resync) = first.map(|stray| stray.resync) else { return };
        let (ahead, behind) =
            (acked.wrapping_sub(self.next_seq), self.next_seq.wrapping_sub(acked));
        let seen = rare.queue.end().max(self.next) - self.next;
        let is_started = self.flags & STARTED != 0;
        let is_far = ahead > STRAY_SPAN && behind > STRAY_SPAN;
        let is_anew = is_started && is_far && resync == Resync::Anew;
        let is_seen = u64::from(ahead) <= seen || ahead >= behind;
        if is_started && is_seen && !is_anew {
            // What is there came in another segment.
            rare.strays.retain(|stray| !stray.is_just_before(acked));
            self.count_strays();
            return;
        }
        let resync = is_anew.then_some(resync);
        self.take_strays(acked, resync, like, config, sink);
    }

    /// Takes the strays in front of `seq` and near it, which are segments of the stream: `seq` is
    /// acknowledged or, with `resync`, where a segment goes on.
    pub(super) fn take_strays(
        &mut self,
        seq: u32,
        resync: Option<Resync>,
        like: &Segment<'_>,
        config: &StreamConfig,
        sink: &mut impl StreamSink,
    ) {
        let next_seq = self.next_seq;
        let ahead = seq.wrapping_sub(next_seq);
        let is_between = |stray: &Stray| {
            resync != Some(Resync::Anew)
                && ahead < 1 << 31
                && stray.seq.wrapping_sub(next_seq) < ahead
        };
        // What lies far behind the acknowledged is still in doubt.
        let is_ours = |stray: &Stray| match resync {
            Some(_) => stray.is_near(seq) || is_between(stray),
            None => stray.is_just_before(seq) || stray.is_next_to(seq) || is_between(stray),
        };
        let strays = self.rare.as_mut().map(|rare| std::mem::take(&mut rare.strays));
        let (mut taken, left): (Vec<_>, Vec<_>) = strays.into_iter().flatten().partition(is_ours);
        if let Some(rare) = &mut self.rare {
            rare.strays = left.into();
        }
        self.count_strays();
        // They lie within half of the circle around the same point.
        taken.sort_by_key(|stray| stray.seq.wrapping_sub(seq).cast_signed());
        if resync == Some(Resync::Anew) {
            let first = taken.first().filter(|stray| stray.is_just_before(seq));
            self.resync(first.map_or(seq, |stray| stray.seq), Resync::Anew, sink);
        }
        let is_behind = |stray: &Stray| stray.seq.wrapping_sub(seq).cast_signed() > 0;
        let (behind, before): (Vec<_>, Vec<_>) = taken.into_iter().partition(is_behind);
        let reason = if resync.is_some() { GapReason::Resync } else { GapReason::Acked };
        for stray in &before {
            // No reordering leads so far ahead.
            let start = u64::try_from(self.offset_of(stray.seq)).unwrap_or(0);
            if self.flags & STARTED != 0 && start > self.next + u64::from(STRAY_SPAN) {
                self.give_up_until(start.min(self.fin), reason, sink);
            }
            self.segment_slow(&stray.segment(like), config, sink);
        }
        if resync == Some(Resync::AfterGap) {
            self.resync(seq, Resync::AfterGap, sink);
        }
        for stray in &behind {
            self.segment_slow(&stray.segment(like), config, sink);
        }
    }

    /// After some were taken out.
    pub(super) fn count_strays(&mut self) {
        let Some(rare) = &mut self.rare else { return };
        rare.stray_bytes = rare.strays.iter().map(|stray| stray.bytes.len()).sum();
        if rare.strays.is_empty() {
            rare.strays = std::collections::VecDeque::new();
            self.flags &= !STRAYS;
        }
    }

    /// Goes on at `seq`: forward over a gap, backward as if nothing were missing, since how much
    /// is cannot be known.
    fn resync(&mut self, seq: u32, resync: Resync, sink: &mut impl StreamSink) {
        if self.flags & STARTED == 0 {
            self.next_seq = seq;
            self.flags |= STARTED;
        }
        match (u64::try_from(self.offset_of(seq)), resync) {
            (Ok(start), Resync::AfterGap) if start >= self.next => {
                self.give_up_until(start.min(self.fin), GapReason::Resync, sink);
            }
            // It is there already.
            (Ok(start), Resync::Anew)
                if self.next.abs_diff(start) <= u64::from(STRAY_SPAN) && self.next > 0 => {}
            _ => {
                if let Some(rare) = &mut self.rare {
                    rare.stats.undelivered_bytes += rare.queue.bytes();
                    (rare.queue, rare.unwanted) = (Queue::default(), Vec::new());
                }
                self.flags &= !(QUEUED | LOST);
                self.next_seq = seq;
            }
        }
    }
}
