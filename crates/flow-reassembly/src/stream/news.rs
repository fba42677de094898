//! What is out of the ordinary, for whoever wants to hear of it.

use flow_core::{AnomalyKind, FlowSide, Gap, GapReason};

use super::{FRESH, StreamReassembler};

/// What was not reported yet, and what was in the present tick.
#[derive(Debug, Default)]
pub(super) struct News {
    early: u64,
    conflicting: u64,
    /// Gaps of each reason: where the first begins, their bytes and their number.
    gaps: [Option<(u64, u64, u64)>; GapReason::ALL.len()],
    tick: u64,
    /// A bit for every kind that was reported in it.
    reported: u16,
}

/// The first bits are those of gaps, by their reasons.
const EARLY: u16 = 1 << 8;
const CONFLICT: u16 = 1 << 9;

impl News {
    /// Whether it is the first of its kind in this tick.
    fn is_due(&mut self, kind: u16) -> bool {
        let known = self.reported;
        self.reported |= kind;
        self.reported != known
    }
}

impl StreamReassembler {
    /// Whether something happened since the last [`report`](Self::report).
    #[must_use]
    #[inline]
    pub const fn has_news(&self) -> bool {
        self.flags & FRESH != 0
    }

    /// Reports what was out of the ordinary in what `side` sent: early segments, bytes that came
    /// again with other contents, gaps, holes given up for want of memory. The first of a kind is
    /// reported at once; what follows in the same tick, with the next of a later one. Without a
    /// `tick`, everything: the stream is over.
    pub fn report(&mut self, side: FlowSide, tick: Option<u64>, mut tell: impl FnMut(AnomalyKind)) {
        self.flags &= !FRESH;
        let Some(rare) = &mut self.rare else { return };
        let news = &mut rare.news;
        if tick != Some(news.tick) {
            (news.tick, news.reported) = (tick.unwrap_or_default(), 0);
        }
        if news.early > 0 && news.is_due(EARLY) {
            let count = std::mem::take(&mut news.early);
            tell(AnomalyKind::OutOfOrderSegment { side, count });
        }
        if news.conflicting > 0 && news.is_due(CONFLICT) {
            let bytes = std::mem::take(&mut news.conflicting);
            tell(AnomalyKind::OverlapConflict { side, bytes });
        }
        for (index, reason) in GapReason::ALL.into_iter().enumerate() {
            let Some(gap) = news.gaps.get(index).copied().flatten() else { continue };
            let (offset, bytes, count) = gap;
            if !news.is_due(1 << index) {
                continue;
            }
            if reason == GapReason::Budget {
                tell(AnomalyKind::BudgetFlush { side, bytes });
            }
            tell(AnomalyKind::StreamGap { side, offset, bytes, count, reason });
            if let Some(told) = news.gaps.get_mut(index) {
                *told = None;
            }
        }
    }

    /// A segment came `distance` bytes before its turn.
    pub(super) fn note_early(&mut self, distance: u64) {
        let rare = self.rare.get_or_insert_default();
        rare.stats.out_of_order_segments += 1;
        rare.stats.max_reorder_distance = rare.stats.max_reorder_distance.max(distance);
        rare.news.early += 1;
        self.flags |= FRESH;
    }

    /// So many queued bytes came again with other contents.
    pub(super) fn note_conflict(&mut self, bytes: u64) {
        let rare = self.rare.get_or_insert_default();
        rare.stats.conflicting_bytes += bytes;
        rare.stats.conflicting_segments += 1;
        rare.news.conflicting += bytes;
        self.flags |= FRESH;
    }

    pub(super) fn note_gap(&mut self, gap: Gap) {
        let rare = self.rare.get_or_insert_default();
        let index = gap.reason.index();
        if let (Some(count), Some(bytes), Some(news)) = (
            rare.stats.gaps.get_mut(index),
            rare.stats.gap_bytes.get_mut(index),
            rare.news.gaps.get_mut(index),
        ) {
            *count = count.saturating_add(1);
            *bytes = bytes.saturating_add(gap.len);
            let (offset, bytes, count) = news.unwrap_or((gap.offset, 0, 0));
            *news = Some((offset, bytes + gap.len, count + 1));
        }
        self.flags |= FRESH;
    }
}
