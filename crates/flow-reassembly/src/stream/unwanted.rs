//! Bytes that nobody wants: counted as exactly as others, and not kept.

use super::{LOST, QUEUED, SKIP, StreamReassembler};
use crate::StreamSink;
use crate::queue::Queue;

impl StreamReassembler {
    /// From now on the bytes are counted only, and nothing is kept or handed on.
    pub fn skip(&mut self) {
        self.flags |= SKIP;
        self.flags &= !LOST;
        let held = self.held_extent();
        self.drop_held();
        if let Some(rare) = &mut self.rare {
            let ours = held.map_or(0, |(start, end)| end - start);
            rare.stats.refused_bytes -= ours;
            rare.stats.undelivered_bytes += ours;
            rare.stats.undelivered_bytes += rare.queue.bytes();
            for (start, end) in rare.queue.extents().chain(held) {
                insert(&mut rare.unwanted, start, end);
            }
            rare.queue = Queue::default();
            rare.strays.clear();
            self.count_strays();
            self.drain_unwanted();
        }
        let waits = self.rare.as_ref().is_some_and(|rare| rare.waiting() > 0);
        self.flags = (self.flags & !QUEUED) | if waits { QUEUED } else { 0 };
    }

    /// Counts bytes from offset `start >= next` on, of which `captured` of `len` are there.
    pub(super) fn pass_over(
        &mut self,
        start: u64,
        len: u64,
        captured: u64,
        sink: &mut impl StreamSink,
    ) {
        let (end, next) = (start + len, self.next);
        let rare = self.rare.get_or_insert_default();
        if start == next && rare.unwanted.is_empty() {
            rare.stats.undelivered_bytes += captured;
            rare.passed += len;
            self.step(len);
            return;
        }
        let is_new = insert(&mut rare.unwanted, start, end);
        rare.stats.undelivered_bytes += is_new.min(captured);
        let again = captured.saturating_sub(is_new);
        if again > 0 {
            rare.stats.retransmitted_bytes += again;
            rare.stats.retransmitted_segments += 1;
        }
        if start > next {
            rare.hole.segments = rare.hole.segments.saturating_add(u32::from(is_new > 0));
            self.note_early(start - next);
        }
        self.flags |= QUEUED;
        self.drain(sink);
    }

    /// Passes over what is in order now.
    pub(super) fn drain_unwanted(&mut self) {
        let next = self.next;
        let Some(rare) = &mut self.rare else { return };
        // They touch or overlap nothing, so one is all that can be in order.
        if let Some(&(_, end)) = rare.unwanted.first().filter(|&&(start, _)| start <= next) {
            rare.unwanted.remove(0);
            rare.passed += end.saturating_sub(next);
            self.step(end.saturating_sub(next));
        }
    }
}

/// Adds a range to ranges that are sorted and neither touch nor overlap; the part of it that was in
/// none of them.
fn insert(ranges: &mut Vec<(u64, u64)>, start: u64, end: u64) -> u64 {
    let from = ranges.partition_point(|range| range.1 < start);
    let upto = from + ranges.get(from..).unwrap_or_default().partition_point(|r| r.0 <= end);
    let mut whole = (start, end);
    let mut there = 0;
    for &(a, b) in ranges.get(from..upto).unwrap_or_default() {
        there += b.min(end).saturating_sub(a.max(start));
        whole = (whole.0.min(a), whole.1.max(b));
    }
    ranges.splice(from..upto, [whole]);
    end - start - there
}
