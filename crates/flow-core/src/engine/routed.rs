//! Packets that a router hands to the engine, one of several.

use super::{Arrival, Engine, is_icmp};
use crate::sink::FlowSink;
use crate::{AnomalyKind, FlowExtractor, PacketView, RoutedPacket, Tick};

impl<K> RoutedPacket<K> {
    fn arrival<'a>(&self, frame: &'a [u8]) -> Arrival<'a> {
        let view = PacketView {
            frame,
            timestamp: self.timestamp,
            link_type: self.link_type,
            wire_len: self.whole_len,
        };
        Arrival { view, wire_len: self.wire_len, number: self.number, when: self.when }
    }
}

impl<E: FlowExtractor, S> Engine<E, S> {
    #[inline]
    pub(crate) fn track_routed<T: FlowSink<E::Key, S>>(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
        sink: &mut T,
    ) {
        report(packet, sink);
        if let Ok(extracted) = &packet.content {
            self.count_routed(packet);
            let hash = self.table.hash(&extracted.key);
            let slot = self.table.find(hash, &extracted.key);
            self.handle(&packet.arrival(frame), hash, slot, extracted, sink);
        }
    }

    /// Counts an ICMP error with the flow that it speaks of, and gives whether that is there.
    pub(crate) fn track_quoted<T: FlowSink<E::Key, S>>(
        &mut self,
        packet: &RoutedPacket<E::Key>,
        frame: &[u8],
        sink: &mut T,
    ) -> bool {
        let arrival = packet.arrival(frame);
        let is_error = packet.content.as_ref().is_ok_and(|extracted| is_icmp(extracted.l4));
        let Some(quoted) = self.extractor.quoted(arrival.view).filter(|_| is_error) else {
            return false;
        };
        let Some(slot) = self.table.find(self.table.hash(&quoted.key), &quoted.key) else {
            return false;
        };
        report(packet, sink);
        self.count_routed(packet);
        self.count_error(slot, &quoted, &arrival, sink);
        true
    }

    /// Time passes, by the router's clock.
    pub(crate) fn advance<T: FlowSink<E::Key, S>>(&mut self, tick: &Tick, sink: &mut T) {
        self.clock.follow(tick.now, tick.elapsed);
        self.sweep(sink);
    }

    pub(crate) fn finish_at<T: FlowSink<E::Key, S>>(&mut self, tick: &Tick, sink: &mut T) {
        self.clock.follow(tick.now, tick.elapsed);
        self.finish(sink);
    }

    fn count_routed(&mut self, packet: &RoutedPacket<E::Key>) {
        self.stats.packets += 1;
        self.stats.doubtful_timestamps += u64::from(!packet.when.is_timely);
    }
}

/// Tells what was wrong with the fragments that the packet is made of, or was one of.
#[inline]
fn report<K, S, T: FlowSink<K, S>>(packet: &RoutedPacket<K>, sink: &mut T) {
    for anomaly in packet.anomalies() {
        sink.anomaly(None, AnomalyKind::Fragments { anomaly }, packet.when.ts);
    }
}
