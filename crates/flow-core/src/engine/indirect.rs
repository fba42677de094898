//! Packets whose flow is not in their own headers: fragments, and ICMP errors.

use super::{Arrival, Engine};
use crate::sink::FlowSink;
use crate::{
    AnomalyKind, Defragmented, Defragmenter, Extracted, FlowExtractor, FragmentAnomaly, PacketView,
    Quoted, SkipReason, Timestamp, WholePacket,
};

/// Packets in fragments, inside of each other, that are put together for one frame.
///
/// Rationale: a tunnel whose packets are fragments inside and outside has two; each one more costs
/// a copy of the packet.
const MAX_NESTED_FRAGMENTS: usize = 4;

/// What can be wrong with the fragments of one frame: one thing for each packet that they make, one
/// with what is inside of the last.
pub(crate) const MAX_ANOMALIES: usize = MAX_NESTED_FRAGMENTS + 1;

/// Looks for a fragment in a packet to which the extractor gives no flow. If it makes a packet
/// whole, gives that and what was extracted from it; it is to be reclaimed. Reports what is wrong
/// with fragments, [`MAX_ANOMALIES`] times at most.
pub(crate) fn assemble<E: FlowExtractor>(
    extractor: &E,
    defragmenter: &mut Defragmenter,
    view: PacketView<'_>,
    elapsed: u64,
    mut report: impl FnMut(FragmentAnomaly),
) -> Result<(WholePacket, Extracted<E::Key>), SkipReason> {
    let timestamp = view.timestamp;
    let mut around: Option<WholePacket> = None;
    let mut depth = 0;
    loop {
        let view = around.as_ref().map_or(view, |whole| whole.view(timestamp));
        let reason = extractor.skip_reason(view);
        let is_fragment = reason == SkipReason::Fragment && depth < MAX_NESTED_FRAGMENTS;
        let fragment = if is_fragment { extractor.fragment(view) } else { None };
        let outcome = fragment.map(|mut fragment| {
            let outer = around.as_ref().map(|whole| whole.encapsulation).unwrap_or_default();
            fragment.packet.encapsulation = outer.around(fragment.packet.encapsulation);
            defragmenter.insert(&fragment, Timestamp::from_nanos(elapsed))
        });
        if let Some(whole) = around.take() {
            defragmenter.reclaim(whole);
        }
        let whole = match outcome {
            Some(Defragmented::Whole(whole)) => whole,
            Some(Defragmented::Dropped(anomaly)) => {
                report(anomaly);
                return Err(reason);
            }
            _ => return Err(reason),
        };
        if let Some(anomaly) = whole.anomaly {
            report(anomaly);
        }
        match extractor.extract(whole.view(timestamp)) {
            Some(mut extracted) => {
                extracted.encapsulation = whole.encapsulation.around(extracted.encapsulation);
                return Ok((whole, extracted));
            }
            None => around = Some(whole),
        }
        depth += 1;
    }
}

impl<E: FlowExtractor, S> Engine<E, S> {
    /// A packet to which the extractor gives no flow: a fragment, or nothing for us.
    #[cold]
    pub(super) fn without_flow<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut T,
    ) {
        let (view, elapsed) = (arrival.view, self.clock.elapsed());
        let report = |anomaly| {
            sink.anomaly(None, AnomalyKind::Fragments { anomaly }, arrival.when.ts);
        };
        match assemble(&self.extractor, &mut self.defragmenter, view, elapsed, report) {
            Ok((whole, extracted)) => {
                let arrival = Arrival { view: whole.view(view.timestamp), ..*arrival };
                let hash = self.table.hash(&extracted.key);
                let slot = self.table.find(hash, &extracted.key);
                self.handle(&arrival, hash, slot, &extracted, sink);
                self.defragmenter.reclaim(whole);
            }
            Err(reason) => self.stats.skip(reason),
        }
    }

    /// Counts an ICMP error with the flow that it speaks of, if that is there.
    pub(super) fn icmp_error<T: FlowSink<E::Key, S>>(
        &mut self,
        arrival: &Arrival<'_>,
        sink: &mut T,
    ) -> bool {
        let Some(quoted) = self.extractor.quoted(arrival.view) else { return false };
        let slot = self.table.find(self.table.hash(&quoted.key), &quoted.key);
        let Some(slot) = slot else { return false };
        self.count_error(slot, &quoted, arrival, sink);
        true
    }

    pub(super) fn count_error<T: FlowSink<E::Key, S>>(
        &mut self,
        slot: u32,
        quoted: &Quoted<E::Key>,
        arrival: &Arrival<'_>,
        sink: &mut T,
    ) {
        let Some(flow) = self.table.get_mut(slot) else { return };
        let side = flow.side_of(quoted.orientation);
        let from = side.other();
        flow.count(from, arrival, 0);
        flow.details.get_or_insert_default().icmp_errors[from.index()] += 1;
        if flow.closed().is_none() {
            flow.touched = arrival.when.elapsed;
        }
        self.stats.icmp_errors += 1;
        sink.icmp_error(flow, side, quoted.error, arrival.number, arrival.when.ts);
    }
}
