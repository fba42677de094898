//! Packets whose flow is not in their own headers: fragments, and ICMP errors.

use super::{Arrival, Engine};
use crate::sink::FlowSink;
use crate::{AnomalyKind, Defragmented, Encapsulation, FlowExtractor, SkipReason, Timestamp};

/// Packets in fragments, inside of each other, that are put together for one frame.
///
/// Rationale: a tunnel whose packets are fragments inside and outside has two; each one more costs
/// a copy of the packet.
const MAX_NESTED_FRAGMENTS: usize = 4;

impl<E: FlowExtractor, S> Engine<E, S> {
    /// A packet to which the extractor gives no flow: a fragment, or nothing for us.
    #[cold]
    pub(super) fn without_flow<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut T,
    ) {
        self.look_for_fragment(arrival, Encapsulation::default(), 0, sink);
    }

    /// `outer` is what the packet of `arrival` is wrapped in, `depth` how many packets around it
    /// were put together.
    fn look_for_fragment<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        outer: Encapsulation,
        depth: usize,
        sink: &mut T,
    ) {
        let view = arrival.view;
        let reason = self.extractor.skip_reason(view);
        let fragment = if reason == SkipReason::Fragment && depth < MAX_NESTED_FRAGMENTS {
            self.extractor.fragment(view)
        } else {
            None
        };
        let Some(mut fragment) = fragment else {
            self.stats.skip(reason);
            return;
        };
        fragment.packet.encapsulation = outer.around(fragment.packet.encapsulation);
        let now = Timestamp::from_nanos(self.clock.elapsed());
        let whole = match self.defragmenter.insert(&fragment, now) {
            Defragmented::Whole(whole) => whole,
            Defragmented::Dropped(anomaly) => {
                self.stats.skip(reason);
                sink.anomaly(None, AnomalyKind::Fragments { anomaly }, arrival.ts);
                return;
            }
            Defragmented::Held | Defragmented::Duplicate | Defragmented::AlreadyDropped(_) => {
                self.stats.skip(reason);
                return;
            }
        };
        if let Some(anomaly) = whole.anomaly {
            sink.anomaly(None, AnomalyKind::Fragments { anomaly }, arrival.ts);
        }
        let arrival = Arrival { view: whole.view(arrival.view.timestamp), ..*arrival };
        match self.extractor.extract(arrival.view) {
            Some(mut extracted) => {
                extracted.encapsulation = whole.encapsulation.around(extracted.encapsulation);
                let hash = self.table.hash(&extracted.key);
                let slot = self.table.find(hash, &extracted.key);
                self.handle(&arrival, hash, slot, &extracted, sink);
            }
            None => self.look_for_fragment(&arrival, whole.encapsulation, depth + 1, sink),
        }
        self.defragmenter.reclaim(whole);
    }

    /// Counts an ICMP error with the flow that it speaks of, if that is there.
    pub(super) fn icmp_error<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut T,
    ) -> bool {
        let Some(quoted) = self.extractor.quoted(arrival.view) else { return false };
        let slot = self.table.find(self.table.hash(&quoted.key), &quoted.key);
        let Some(flow) = slot.and_then(|slot| self.table.get_mut(slot)) else { return false };
        let side = flow.side_of(quoted.orientation);
        let from = side.other();
        flow.count(from, arrival, 0);
        flow.details.get_or_insert_default().icmp_errors[from.index()] += 1;
        if flow.closed().is_none() {
            flow.touched = arrival.elapsed;
        }
        self.stats.icmp_errors += 1;
        sink.icmp_error(flow, side, quoted.error, arrival.ts);
        true
    }
}
