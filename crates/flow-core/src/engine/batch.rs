//! Packets that are decoded ahead of their turn.

use std::cell::Cell;
use std::hint::black_box;
use std::iter::successors;

use super::Engine;
use crate::sink::FlowSink;
use crate::{Extracted, FlowExtractor, PacketView};

/// A packet of a batch, decoded ahead.
struct Ahead<'a, K> {
    view: PacketView<'a>,
    extracted: Option<&'a Extracted<K>>,
    hash: u32,
    /// Where its flow most likely is, once that was looked up.
    slot: Cell<u32>,
    later: Option<&'a Self>,
}

/// Packets of a batch that are decoded before the first of them is handled.
///
/// Rationale: reading ahead for more of them costs a table of a million flows less, for fewer a
/// table of thousands; beyond this, what is read does not stay in the first-level cache until it is
/// used.
const BATCH: usize = 64;

impl<E: FlowExtractor, S> Engine<E, S> {
    pub(crate) fn track_batch<T: FlowSink<E::Key, S>>(
        &mut self,
        views: &[PacketView<'_>],
        sink: &mut T,
    ) {
        views.chunks(BATCH).for_each(|views| self.decode(views, None, sink));
    }

    /// Decodes the last of some packets, then those before it, and handles them all, with `later`
    /// ones, when there are none left.
    ///
    /// What was decoded stays where it was written, in the frame of a call: an array of them would
    /// be filled by copies, each of which waits for the writes in pieces to get through.
    #[inline(never)]
    fn decode<T: FlowSink<E::Key, S>>(
        &mut self,
        views: &[PacketView<'_>],
        later: Option<&Ahead<'_, E::Key>>,
        sink: &mut T,
    ) {
        let Some((&view, earlier)) = views.split_last() else {
            self.handle_ahead(later, sink);
            return;
        };
        let extracted = &self.extractor.extract(view);
        let extracted = extracted.as_ref();
        let hash = extracted.map_or(0, |extracted| self.table.hash(&extracted.key));
        let ahead = Ahead { view, extracted, hash, slot: Cell::new(0), later };
        self.decode(earlier, Some(&ahead), sink);
    }

    /// Asks for the memory of the flows of all these packets, and only then handles the first.
    fn handle_ahead<T: FlowSink<E::Key, S>>(
        &mut self,
        first: Option<&Ahead<'_, E::Key>>,
        sink: &mut T,
    ) {
        // Each in a loop of its own, which the processor runs through without waiting: the fewer
        // instructions are between two loads, the more of them are under way at once. Loads:
        // with prefetches in their place, a million flows cost half as much again.
        let packets = || successors(first, |ahead| ahead.later);
        black_box(packets().fold(0, |all, ahead| all ^ self.table.touch(ahead.hash)));
        packets().for_each(|ahead| ahead.slot.set(self.table.foresee(ahead.hash)));
        black_box(packets().fold(0, |all, ahead| all ^ self.table.touch_slot(ahead.slot.get())));
        for ahead in packets() {
            let arrival = self.arrive(ahead.view, sink);
            match ahead.extracted {
                Some(extracted) => {
                    let hash = ahead.hash;
                    let slot = self.table.find_foreseen(ahead.slot.get(), hash, &extracted.key);
                    self.handle(&arrival, hash, slot, extracted, sink);
                }
                None => self.without_flow(&arrival, sink),
            }
        }
    }
}
