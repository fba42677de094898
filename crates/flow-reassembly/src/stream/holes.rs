//! Missing bytes: how long they are waited for, and what is told of them.

use flow_core::{Gap, GapReason, Timestamp};

use super::{Hole, LOST, OVERFLOWED, QUEUED, SKIP, StreamReassembler};
use crate::{StreamConfig, StreamSink};

/// Gaps remembered.
const GAPS_REMEMBERED: usize = 16;

impl StreamReassembler {
    /// The snap length cut off so many bytes behind those just handed on. They are given up when
    /// something shows that the sender has gone on; until then it may send them again.
    pub(super) fn lose(&mut self, cut_off: u64, sink: &mut impl StreamSink) {
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
    pub(super) fn pass_lost(&mut self, upto: u64, sink: &mut impl StreamSink) {
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

    /// Gives up every hole in front of offset `upto` and hands on what is queued between them.
    pub(super) fn give_up_until(
        &mut self,
        upto: u64,
        reason: GapReason,
        sink: &mut impl StreamSink,
    ) {
        self.pass_lost(upto, sink);
        while self.next < upto {
            self.pass_gap(self.queue_start().min(upto), reason, sink);
            self.drain(sink);
        }
    }

    /// Hands on the gap in front of offset `end`, if there is one, and nothing else.
    pub(super) fn pass_gap(&mut self, end: u64, reason: GapReason, sink: &mut impl StreamSink) {
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
        self.note_gap(gap);
        let rare = self.rare.get_or_insert_default();
        if rare.gaps.len() == GAPS_REMEMBERED {
            rare.gaps.pop_front();
        }
        rare.gaps.push_back((gap.offset, gap.offset + gap.len));
    }

    /// Where the queued data begins.
    pub(super) fn queue_start(&self) -> u64 {
        let start = |rare: &super::Rare| match rare.unwanted.first() {
            Some(&(start, _)) => Some(start),
            None => rare.queue.start(),
        };
        self.rare.as_deref().and_then(start).unwrap_or(u64::MAX)
    }

    /// Where the first hole ends, if there is one: in front of queued data or of the FIN.
    pub(super) fn hole_end(&self) -> Option<u64> {
        let end = self.queue_start().min(self.fin);
        (self.next < end && end != u64::MAX).then_some(end)
    }

    /// Gives up the first hole if it was acknowledged some while ago, or is too old.
    ///
    /// An acknowledgment alone does not say that the capture missed the bytes: captures reorder
    /// packets, and may show the acknowledgment first.
    pub(super) fn check_hole(
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
                let segments = u32::try_from(rare.waiting()).unwrap_or(u32::MAX);
                rare.hole = Hole { start: self.next, since: ts, segments, acked: None };
            }
            let hole = &mut rare.hole;
            let reason = if acked >= end {
                let age = ts.saturating_sub(*hole.acked.get_or_insert(ts));
                let overtaken = hole.segments > config.reorder_segments;
                let is_over = age >= if overtaken { config.ack_grace } else { config.pause };
                is_over.then_some(GapReason::Acked)
            } else {
                let age = ts.saturating_sub(hole.since);
                let is_over = age >= config.hole_timeout && rare.waiting() > 0;
                is_over.then_some(GapReason::Timeout)
            };
            let Some(reason) = reason else { return };
            self.give_up_until(end, reason, sink);
        }
    }

    pub(super) fn enforce_limits(&mut self, config: &StreamConfig, sink: &mut impl StreamSink) {
        while let Some(rare) = &self.rare {
            if rare.queue.charge() <= config.max_buffer && rare.waiting() <= config.max_segments {
                return;
            }
            self.flags |= OVERFLOWED;
            self.give_up_until(self.queue_start(), GapReason::Budget, sink);
        }
    }
}
