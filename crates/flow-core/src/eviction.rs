use std::collections::VecDeque;
use std::hash::Hash;

use crate::table::FlowTable;
use crate::timers::SLACK;
use crate::{EndReason, Flow, Timestamp};

/// Which flow makes room when the table is full: one that is closed and only lingers, the first
/// to have closed, or else the one whose last packet is the oldest.
///
/// Nothing here is touched by a packet of a flow that goes on. Entries are notes, looked up in the
/// table before they count.
#[derive(Default)]
pub(crate) struct Eviction {
    /// Closed flows in the order of their closing.
    lingering: VecDeque<Note>,
    /// All flows, least recently seen first, as they were when the table was last found full.
    oldest: VecDeque<Note>,
}

/// A flow in its slot, and when it closed or was last seen.
#[derive(Clone, Copy)]
struct Note {
    time: Timestamp,
    slot: u32,
    id: u64,
}

impl Note {
    /// Whether the flow still lingers after the close for which it was noted.
    fn lingers_in<K: Eq + Hash, S>(&self, table: &FlowTable<K, S>) -> bool {
        let flow = table.get(self.slot).filter(|flow| flow.id == self.id);
        flow.is_some_and(|flow| flow.closed.is_some() && flow.closed_at == self.time)
    }
}

impl Eviction {
    /// The flow in this slot has closed.
    pub(crate) fn closed<K: Eq + Hash, S>(&mut self, slot: u32, table: &FlowTable<K, S>) {
        let Some(flow) = table.get(slot) else { return };
        self.lingering.push_back(Note { time: flow.closed_at, slot, id: flow.id });
        if self.lingering.len() > 2 * table.len() + SLACK {
            self.lingering.retain(|note| note.lingers_in(table));
        }
    }

    /// Drops what no longer lingers from the front, so that the queue stays as short as the linger
    /// is.
    pub(crate) fn forget_ended<K: Eq + Hash, S>(&mut self, table: &FlowTable<K, S>) {
        while self.lingering.front().is_some_and(|note| !note.lingers_in(table)) {
            self.lingering.pop_front();
        }
    }

    /// The slot to make room with, and the reason with which its flow ends.
    pub(crate) fn next<K: Eq + Hash, S>(
        &mut self,
        table: &FlowTable<K, S>,
    ) -> Option<(u32, EndReason)> {
        while let Some(note) = self.lingering.pop_front() {
            let flow = table.get(note.slot).filter(|_| note.lingers_in(table));
            if let Some(reason) = flow.and_then(|flow| flow.closed) {
                return Some((note.slot, reason));
            }
        }
        Some((self.least_recently_seen(table)?, EndReason::Evicted))
    }

    /// Works off a list sorted once per table-full: a flow that was seen since the list was made
    /// is skipped, because every flow still on it is older. Each note is skipped at most once per
    /// packet that touched its flow, so the cost per packet is that of sorting, O(log n), on
    /// average.
    fn least_recently_seen<K: Eq + Hash, S>(&mut self, table: &FlowTable<K, S>) -> Option<u32> {
        let is_untouched = |note: &Note| {
            let flow = table.get(note.slot);
            flow.is_some_and(|flow| flow.id == note.id && flow.last_seen == note.time)
        };
        while let Some(note) = self.oldest.pop_front() {
            if is_untouched(&note) {
                return Some(note.slot);
            }
        }
        let note =
            |(slot, flow): (u32, &Flow<K, S>)| Note { time: flow.last_seen, slot, id: flow.id };
        let mut all: Vec<_> = table.slots().map(note).collect();
        all.sort_unstable_by_key(|note| (note.time, note.id));
        self.oldest = all.into();
        self.oldest.pop_front().map(|note| note.slot)
    }
}
