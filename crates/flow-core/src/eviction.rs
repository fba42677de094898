use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use crate::table::FlowTable;
use crate::timers::SLACK;
use crate::{EndReason, Flow};

/// Which flow makes room when the table is full: one that is closed and only lingers, the first
/// to have closed, or else one of those whose last packet is the oldest, to the timers' tick.
///
/// Nothing here is touched by a packet of a flow that goes on. Entries are notes, looked up in the
/// table before they count.
#[derive(Default)]
pub(crate) struct Eviction {
    /// Closed flows in the order of their closing.
    lingering: VecDeque<Note>,
    /// Every flow under a tick of its past, once the table was full for the first time. The oldest
    /// are looked at first; one that was seen since goes to where it belongs, so that what a look
    /// costs was paid for by a packet.
    by_tick: Option<BTreeMap<u64, VecDeque<Note>>>,
    /// Notes in `by_tick`, those of flows that have ended included.
    noted: usize,
    /// The tick whose notes are being cleaned, and how many of them were not looked at yet.
    cleaning: (u64, usize),
}

/// Notes that one new flow cleans at most, so that no packet waits for all of them.
const CLEANED_AT_ONCE: usize = 64;

/// A flow in its slot, and when it was last seen.
#[derive(Clone, Copy)]
struct Note {
    touched: u64,
    slot: u32,
    id: u32,
}

impl Note {
    fn of<K, S>(slot: u32, flow: &Flow<K, S>) -> Self {
        Self { touched: flow.touched, slot, id: flow.low_id() }
    }

    /// The flow it is about, if that is still there.
    fn flow<'a, K: Eq + Hash, S>(&self, table: &'a FlowTable<K, S>) -> Option<&'a Flow<K, S>> {
        table.get(self.slot).filter(|flow| flow.low_id() == self.id)
    }

    fn lingers_in<K: Eq + Hash, S>(&self, table: &FlowTable<K, S>) -> bool {
        self.flow(table).is_some_and(|flow| flow.closed().is_some())
    }
}

impl Eviction {
    /// A flow has begun in this slot.
    pub(crate) fn started<K: Eq + Hash, S>(
        &mut self,
        slot: u32,
        tick: u64,
        table: &FlowTable<K, S>,
    ) {
        let (Some(by_tick), Some(flow)) = (&mut self.by_tick, table.get(slot)) else { return };
        by_tick.entry(tick).or_default().push_back(Note::of(slot, flow));
        self.noted += 1;
        if self.noted > 2 * table.len() + SLACK {
            self.clean(table);
        }
    }

    /// Drops some notes of flows that have ended, going round all of them.
    fn clean<K: Eq + Hash, S>(&mut self, table: &FlowTable<K, S>) {
        let Some(by_tick) = &mut self.by_tick else { return };
        let (tick, left) = self.cleaning;
        let next = by_tick.range(tick..).next().or_else(|| by_tick.first_key_value());
        let Some((&at, notes)) = next else { return };
        let left = if at == tick { left.min(notes.len()) } else { notes.len() };
        let Some(notes) = by_tick.get_mut(&at) else { return };
        let looked_at = left.min(CLEANED_AT_ONCE);
        for _ in 0..looked_at {
            let note = notes.pop_front().filter(|note| note.flow(table).is_some());
            self.noted -= usize::from(note.is_none());
            notes.extend(note);
        }
        if left > looked_at {
            self.cleaning = (at, left - looked_at);
            return;
        }
        self.cleaning = (at + 1, usize::MAX);
        if notes.is_empty() {
            by_tick.remove(&at);
        } else {
            notes.shrink_to(2 * notes.len());
        }
    }

    /// The flow in this slot has closed.
    pub(crate) fn closed<K: Eq + Hash, S>(&mut self, slot: u32, table: &FlowTable<K, S>) {
        let Some(flow) = table.get(slot) else { return };
        self.lingering.push_back(Note::of(slot, flow));
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

    /// The slot to make room with, and the reason with which its flow ends. `tick_at` gives the
    /// tick of a time.
    pub(crate) fn next<K: Eq + Hash, S>(
        &mut self,
        table: &FlowTable<K, S>,
        tick_at: impl Fn(u64) -> u64,
    ) -> Option<(u32, EndReason)> {
        while let Some(note) = self.lingering.pop_front() {
            if let Some(reason) = note.flow(table).and_then(Flow::closed) {
                return Some((note.slot, reason));
            }
        }
        Some((self.least_recently_seen(table, tick_at)?, EndReason::Evicted))
    }

    fn least_recently_seen<K: Eq + Hash, S>(
        &mut self,
        table: &FlowTable<K, S>,
        tick_at: impl Fn(u64) -> u64,
    ) -> Option<u32> {
        let by_tick = self.by_tick.get_or_insert_with(|| {
            let mut notes: Vec<_> =
                table.slots().map(|(slot, flow)| Note::of(slot, flow)).collect();
            notes.sort_unstable_by_key(|note| note.touched);
            self.noted = notes.len();
            let mut by_tick = BTreeMap::<u64, VecDeque<Note>>::new();
            for note in notes {
                by_tick.entry(tick_at(note.touched)).or_default().push_back(note);
            }
            by_tick
        });
        loop {
            let mut oldest = by_tick.first_entry()?;
            let Some(note) = oldest.get_mut().pop_front() else {
                oldest.remove();
                continue;
            };
            self.noted -= 1;
            let Some(flow) = note.flow(table) else { continue };
            if flow.touched == note.touched {
                return Some(note.slot);
            }
            let seen = Note::of(note.slot, flow);
            by_tick.entry(tick_at(flow.touched)).or_default().push_back(seen);
            self.noted += 1;
        }
    }
}
