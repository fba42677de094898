use flow::{Gap, GapReason};
use serde::Serialize;

use crate::output::Shown;

/// Gaps of a side that are listed; those behind them are counted only.
///
/// Rationale: thousands of gaps say no more than the first of them, and the memory for them is
/// taken per stream.
const MAX_GAPS: usize = 1_000;

/// The gaps of a side, in the order of their offsets.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Gaps {
    #[serde(rename = "gaps")]
    listed: Vec<GapField>,
    #[serde(rename = "gaps_omitted", skip_serializing_if = "is_zero")]
    omitted: u64,
    /// Bytes of all gaps.
    #[serde(skip)]
    bytes: u64,
}

/// A gap, as programs read it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GapField {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) reason: Shown<GapReason>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde demands it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Gaps {
    pub(crate) fn push(&mut self, gap: Gap) {
        let Gap { offset, len: bytes, reason } = gap;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.listed.len() < MAX_GAPS {
            self.listed.push(GapField { offset, bytes, reason: Shown(reason) });
        } else {
            self.omitted += 1;
        }
    }

    /// All of them, listed or not.
    pub(crate) fn count(&self) -> u64 {
        self.listed.len() as u64 + self.omitted
    }

    /// The bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first of them.
    pub(crate) fn listed(&self) -> &[GapField] {
        &self.listed
    }

    /// How many are behind those that are listed.
    pub(crate) fn omitted(&self) -> u64 {
        self.omitted
    }

    /// Memory taken, in bytes.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.listed.capacity() * size_of::<GapField>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_behind_the_limit_are_counted() {
        let mut gaps = Gaps::default();
        for i in 0..MAX_GAPS as u64 + 5 {
            gaps.push(Gap { offset: 10 * i, len: 2, reason: GapReason::Acked });
        }
        assert_eq!((gaps.listed().len(), gaps.omitted()), (MAX_GAPS, 5));
        assert_eq!((gaps.count(), gaps.bytes()), (1_005, 2_010));
        assert!(gaps.buffered_bytes() < 64 * MAX_GAPS);
    }
}
