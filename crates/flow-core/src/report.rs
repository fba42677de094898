//! What is noted of a packet besides its counters: history, oddities, rejections.

use crate::flow::Flow;
use crate::sink::FlowSink;
use crate::tcp_state::{Notes, Outcome, Verdict};
use crate::{
    AnomalyKind, FlowSide, RejectReason, SegmentOddity, TcpFlags, TcpInfo, Timestamp, TrackerStats,
};

/// What is out of the ordinary about a segment: counted always, reported once per flow, side and
/// kind in a tick.
pub(crate) struct Report<'a> {
    pub(crate) stats: &'a mut TrackerStats,
    pub(crate) tick: u64,
    pub(crate) side: FlowSide,
    pub(crate) ts: Timestamp,
}

impl Report<'_> {
    pub(crate) fn odd_segments<K, S, T: FlowSink<K, S>>(
        &mut self,
        flow: &mut Flow<K, S>,
        outcome: &Outcome,
        sink: &mut T,
    ) {
        let side = self.side;
        for oddity in outcome.odd.iter() {
            let number = oddity as usize;
            self.stats.odd_segments[number] += 1;
            flow.tcp_stats_mut(side).odd_segments[number] += 1;
            self.tell(flow, RejectReason::ALL.len() + number, sink, || AnomalyKind::OddSegment {
                side,
                oddity,
            });
        }
    }

    pub(crate) fn segment<K, S, T: FlowSink<K, S>>(
        &mut self,
        flow: &mut Flow<K, S>,
        outcome: &Outcome,
        sink: &mut T,
    ) {
        let side = self.side;
        let notes = outcome.notes;
        if notes.contains(Notes::COUNTED) || outcome.resync.is_some() {
            let count = |note| u64::from(notes.contains(note));
            let counted = flow.tcp_stats_mut(side);
            counted.resyncs += u64::from(outcome.resync.is_some());
            counted.syn_retransmissions += count(Notes::SYN_RETRANSMISSION);
            counted.duplicate_segments += count(Notes::DUPLICATE);
            counted.duplicate_acks += count(Notes::DUPLICATE_ACK);
            counted.zero_windows += count(Notes::ZERO_WINDOW);
            counted.window_probes += count(Notes::WINDOW_PROBE);
            // Counted with the stream whose bytes are missing.
            flow.tcp_stats_mut(side.other()).acks_unseen += count(Notes::ACK_UNSEEN);
        }
        if let Verdict::Reject(reason) = outcome.verdict {
            let number = reason as usize;
            self.stats.rejected_segments[number] += 1;
            flow.tcp_stats_mut(side).rejected_segments[number] += 1;
            self.tell(flow, number, sink, || AnomalyKind::RejectedSegment { side, reason });
        }
    }

    fn tell<K, S, T: FlowSink<K, S>>(
        &self,
        flow: &mut Flow<K, S>,
        number: usize,
        sink: &mut T,
        kind: impl FnOnce() -> AnomalyKind,
    ) {
        let reported = &mut flow.details.get_or_insert_default().reported;
        if reported.is_first(self.tick, self.side, number) {
            sink.anomaly(Some(flow), kind(), self.ts);
        }
    }
}

/// Notes what the segment adds to the flow's history.
pub(crate) fn write_history<K, S>(
    flow: &mut Flow<K, S>,
    side: FlowSide,
    info: &TcpInfo,
    payload_len: u32,
    outcome: &Outcome,
) {
    let (flags, history) = (info.flags, &mut flow.history);
    if outcome.verdict == Verdict::Reject(RejectReason::BadFlags) {
        history.note(side, b'Q');
        return;
    }
    if outcome.odd.contains(SegmentOddity::RoleFlip) {
        history.note(side, b'^');
    }
    if flags.contains(TcpFlags::SYN) {
        history.note(side, if flags.contains(TcpFlags::ACK) { b'H' } else { b'S' });
    }
    if outcome.notes.contains(Notes::RETRANSMISSION) {
        history.note(side, b'T');
    }
    if payload_len > 0 {
        history.note(side, b'D');
    }
    if flags.contains(TcpFlags::RST | TcpFlags::FIN) {
        history.note(side, b'I');
    }
    if flags.contains(TcpFlags::RST) {
        history.note(side, b'R');
    } else if flags.contains(TcpFlags::FIN) {
        history.note(side, b'F');
    } else if payload_len == 0 && !flags.contains(TcpFlags::SYN) {
        history.note(side, b'A');
        if info.window == 0 {
            history.note(side, b'W');
        }
    }
}
