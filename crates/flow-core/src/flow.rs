use std::time::Duration;

use crate::tcp_state::Tcp;
use crate::timers::Timer;
use crate::{
    Encapsulation, EndReason, FlowSide, FlowState, FlowStats, FlowTrackerConfig, HistoryString,
    L4Proto, Orientation, TcpSideStats, TcpStats, Timestamp, Traffic,
};

/// An entry of the flow table.
///
/// What every packet touches stands in front; counters that most flows never raise are in a box
/// that is made when the first of them does.
#[derive(Debug)]
pub struct Flow<K, S> {
    pub(crate) key: K,
    pub(crate) last_seen: Timestamp,
    pub(crate) traffic: [Traffic; 2],
    pub(crate) tcp: Tcp,
    pub(crate) history: HistoryString,
    pub(crate) state: FlowState,
    pub(crate) l4: Option<L4Proto>,
    pub(crate) initiator: Orientation,
    /// The close that the flow lingers after.
    pub(crate) closed: Option<EndReason>,
    pub(crate) closed_at: Timestamp,
    /// Whether `Established` was reported.
    pub(crate) established: bool,
    /// The flow's own idle timeout in nanoseconds, [`OF_CONFIG`] if it has none.
    pub(crate) idle_timeout: u64,
    /// The tick of the flow's live timer.
    pub(crate) timer: u64,
    pub(crate) started: Timestamp,
    pub(crate) id: u64,
    pub(crate) details: Option<Box<Details>>,
    /// What the user keeps for this flow.
    pub user: S,
}

/// Marks a flow whose idle timeout is that of the configuration.
pub(crate) const OF_CONFIG: u64 = u64::MAX;

/// Counters and facts that most flows do not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) encapsulation: Encapsulation,
    pub(crate) tcp: TcpStats,
    pub(crate) reassembly: [ReassemblyStats; 2],
}

/// What a reassembler says of its buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReassemblyStats {
    /// Segments that arrived out of order and could not be kept.
    pub dropped_ooo: u64,
    /// Bytes dropped because the buffer was full.
    pub bytes_dropped_oversize: u64,
    /// Most bytes held at once.
    pub high_watermark: u64,
}

impl<K, S> Flow<K, S> {
    /// The key.
    pub const fn key(&self) -> &K {
        &self.key
    }

    /// The number of the flow, counted from 0 in the order of first packets.
    #[must_use]
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// The transport protocol.
    #[must_use]
    pub const fn l4(&self) -> Option<L4Proto> {
        self.l4
    }

    /// Where it is in its life.
    #[must_use]
    pub const fn state(&self) -> FlowState {
        self.state
    }

    /// Why it closed, while it lingers.
    #[must_use]
    pub const fn closed(&self) -> Option<EndReason> {
        self.closed
    }

    /// What happened so far.
    #[must_use]
    pub const fn history(&self) -> &HistoryString {
        &self.history
    }

    /// Notes a letter in the history; see [`HistoryString::note`].
    pub fn note(&mut self, side: FlowSide, letter: u8) {
        self.history.note(side, letter);
    }

    /// How the initiator's packets relate to the key.
    #[must_use]
    pub const fn initiator(&self) -> Orientation {
        self.initiator
    }

    /// Time of the first packet.
    #[must_use]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// Latest time of a packet.
    #[must_use]
    pub const fn last_seen(&self) -> Timestamp {
        self.last_seen
    }

    /// What the flow's first packet was wrapped in.
    #[must_use]
    pub fn encapsulation(&self) -> Encapsulation {
        self.details.as_ref().map_or_else(Encapsulation::default, |details| details.encapsulation)
    }

    /// The sequence number of the first stream byte that `side` sends, if its SYN is known.
    #[must_use]
    pub fn stream_start(&self, side: FlowSide) -> Option<u32> {
        self.tcp.stream_start(side)
    }

    /// The highest acknowledgment that `side` sent.
    #[must_use]
    pub fn acked(&self, side: FlowSide) -> Option<u32> {
        self.tcp.acked(side)
    }

    /// The sequence number of the FIN that `side` sent.
    #[must_use]
    pub fn fin(&self, side: FlowSide) -> Option<u32> {
        self.tcp.fin(side)
    }

    /// Details of the stream that `side` sends, to be counted.
    pub fn tcp_stats_mut(&mut self, side: FlowSide) -> &mut TcpSideStats {
        self.details.get_or_insert_default().tcp.side_mut(side)
    }

    /// Takes down what a reassembler says of its buffer.
    pub fn set_reassembly_stats(&mut self, side: FlowSide, stats: ReassemblyStats) {
        if stats != ReassemblyStats::default() || self.details.is_some() {
            self.details.get_or_insert_default().reassembly[side.index()] = stats;
        }
    }

    /// Everything counted so far.
    #[must_use]
    pub fn stats(&self) -> FlowStats {
        let [initiator, responder] = self.traffic;
        let mut stats = FlowStats {
            started: self.started,
            last_seen: self.last_seen,
            packets_initiator: initiator.packets,
            packets_responder: responder.packets,
            bytes_initiator: initiator.bytes,
            bytes_responder: responder.bytes,
            payload_bytes_initiator: initiator.payload_bytes,
            payload_bytes_responder: responder.payload_bytes,
            ..FlowStats::default()
        };
        if let Some(details) = &self.details {
            stats.tcp = details.tcp;
            for side in FlowSide::BOTH {
                stats.set_reassembly(side, details.reassembly[side.index()]);
            }
        }
        stats
    }

    /// Whether this is the flow's live timer.
    pub(crate) fn has(&self, timer: &Timer) -> bool {
        self.timer == timer.tick && self.low_id() == timer.id
    }

    /// What timers know of the flow's number.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is taken")]
    pub(crate) const fn low_id(&self) -> u32 {
        self.id as u32
    }

    /// The side that a packet of this orientation comes from.
    pub(crate) fn side_of(&self, orientation: Orientation) -> FlowSide {
        if orientation == self.initiator { FlowSide::Initiator } else { FlowSide::Responder }
    }

    /// When the flow ends if no packet comes.
    pub(crate) fn deadline(&self, config: &FlowTrackerConfig) -> Timestamp {
        let linger = match self.closed {
            Some(EndReason::Rst) => Some(config.reset_linger.min(config.close_linger)),
            Some(_) => Some(config.close_linger),
            None => None,
        };
        if let Some(linger) = linger {
            return self.closed_at.saturating_add(linger);
        }
        let own = Duration::from_nanos(self.idle_timeout);
        let timeout = match (self.state, self.l4) {
            (FlowState::SynSent | FlowState::SynReceived, _) => config.idle_timeout_syn.min(own),
            (FlowState::ClosingTcp, _) => config.idle_timeout_closing,
            _ if self.idle_timeout != OF_CONFIG => own,
            (_, Some(L4Proto::Tcp)) => config.idle_timeout_tcp,
            (_, Some(L4Proto::Udp)) => config.idle_timeout_udp,
            _ => config.idle_timeout_other,
        };
        self.last_seen.saturating_add(timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of 40 bytes is that of an IPv6 five-tuple.
    #[test]
    fn an_entry_takes_four_cache_lines() {
        assert_eq!(size_of::<Option<Flow<[u64; 5], ()>>>(), 256);
        assert_eq!((size_of::<Tcp>(), size_of::<HistoryString>()), (76, 30));
    }
}
