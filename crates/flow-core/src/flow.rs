use std::time::Duration;

use crate::history::History;
use crate::tcp_state::{Rumours, Tcp};
use crate::{
    ConnState, Encapsulation, EndReason, FlowSide, FlowState, FlowStats, FlowTrackerConfig,
    HistoryString, L4Proto, Orientation, TcpFlags, TcpInfo, TcpSideStats, TcpSides, Timestamp,
    Traffic,
};

/// An entry of the flow table.
///
/// What every packet touches stands in front, in the order in which it is touched; what most flows
/// never have is in boxes that are made when the first packet has it.
#[derive(Debug)]
#[repr(C)]
pub struct Flow<K, S> {
    pub(crate) key: K,
    pub(crate) state: FlowState,
    pub(crate) initiator: Orientation,
    pub(crate) l4: Option<L4Proto>,
    /// The low half of the tick at which the flow is to be looked at. What when happens to it must not
    /// depend on the slot that it has, whose timer may fire earlier.
    pub(crate) timer: u32,
    /// When the last packet came, by the tracker's clock; while the flow lingers, when it closed.
    pub(crate) touched: u64,
    pub(crate) last_seen: Timestamp,
    pub(crate) traffic: [Traffic; 2],
    pub(crate) tcp: Tcp,
    pub(crate) history: History,
    /// The flow's own idle timeout in milliseconds, [`OF_CONFIG`] if it has none.
    pub(crate) idle_timeout: u32,
    pub(crate) started: Timestamp,
    pub(crate) id: u64,
    pub(crate) details: Option<Box<Details>>,
    /// What the user keeps for this flow.
    pub user: S,
}

/// Marks a flow whose idle timeout is that of the configuration.
pub(crate) const OF_CONFIG: u32 = u32::MAX;

/// What most flows do not have.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    pub(crate) encapsulation: Encapsulation,
    pub(crate) rumours: Rumours,
    pub(crate) reported: Reported,
    /// Packets counted for a side that came from a router on its way.
    pub(crate) icmp_errors: [u64; 2],
    /// Segments of each side with a bad checksum.
    pub(crate) bad_checksums: [u32; 2],
    /// The least and the most of the times to live of each side that differ from its first.
    pub(crate) ttl: [(u8, u8); 2],
    /// Apart, as they are many, and a flow with VLAN tags needs none of them.
    pub(crate) counters: Option<Box<Counters>>,
}

/// What is counted of oddities and of reassembly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) tcp: TcpSides,
    pub(crate) reassembly: [ReassemblyStats; 2],
}

/// Which anomalies of each side were reported in the present tick, so that none is twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reported {
    tick: u64,
    kinds: [u32; 2],
}

impl Reported {
    /// Whether the kind of this number is new for `side` in this tick.
    pub(crate) fn is_first(&mut self, tick: u64, side: FlowSide, kind: usize) -> bool {
        if self.tick != tick {
            *self = Self { tick, kinds: [0; 2] };
        }
        let kinds = &mut self.kinds[side.index()];
        let known = *kinds;
        *kinds |= 1 << kind;
        *kinds != known
    }
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
    /// Something from each of the cache lines that a packet touches, wherever lines begin.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let lines = [self.timer, self.tcp.touch(), self.history.touch()];
        lines.into_iter().fold(self.traffic[1].packets, |all, word| all ^ u64::from(word))
    }

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
        match self.state {
            FlowState::Closed => Some(EndReason::Fin),
            FlowState::Reset => Some(EndReason::Rst),
            _ => None,
        }
    }

    /// How it began and finished, in Zeek's words.
    #[must_use]
    pub fn conn_state(&self) -> ConnState {
        let mut traffic = self.traffic;
        if let Some(details) = &self.details {
            for (traffic, errors) in traffic.iter_mut().zip(details.icmp_errors) {
                traffic.packets -= errors;
            }
        }
        ConnState::of(self.l4, self.state, self.tcp.endings(), traffic)
    }

    /// What happened so far.
    #[must_use]
    pub fn history(&self) -> HistoryString {
        self.history.to_letters()
    }

    /// Notes in the history that `side` did what a letter of [`HistoryString`], in upper case,
    /// stands for. Only the first occurrence is noted; what is no such letter is ignored.
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

    /// Whether the SYN and the SYN-ACK were captured: the connection was established a round trip
    /// after [`started`](Self::started), as long as none of them was lost.
    #[must_use]
    pub fn has_whole_handshake(&self) -> bool {
        self.tcp.has_whole_handshake()
    }

    /// The highest acknowledgment that `side` sent.
    #[must_use]
    pub fn acked(&self, side: FlowSide) -> Option<u32> {
        self.tcp.acked(side)
    }

    /// The largest receive window, in bytes, that `side` is known to have advertised: as sent, if
    /// the shift was not captured (RFC 7323).
    #[must_use]
    pub fn receive_window(&self, side: FlowSide) -> u32 {
        self.tcp.known_window(side)
    }

    /// The sequence number of the FIN that `side` sent.
    #[must_use]
    pub fn fin(&self, side: FlowSide) -> Option<u32> {
        self.tcp.fin(side)
    }

    /// Details of the stream that `side` sends, to be counted.
    pub fn tcp_stats_mut(&mut self, side: FlowSide) -> &mut TcpSideStats {
        self.counters_mut().tcp.side_mut(side)
    }

    /// Takes down what a reassembler says of its buffer.
    pub fn set_reassembly_stats(&mut self, side: FlowSide, stats: ReassemblyStats) {
        let has_some = self.details.as_ref().is_some_and(|details| details.counters.is_some());
        if stats != ReassemblyStats::default() || has_some {
            self.counters_mut().reassembly[side.index()] = stats;
        }
    }

    fn counters_mut(&mut self) -> &mut Counters {
        self.details.get_or_insert_default().counters.get_or_insert_default()
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
            conn_state: self.conn_state(),
            ..FlowStats::default()
        };
        let counters = self.details.as_ref().and_then(|details| details.counters.as_ref());
        if let Some(counters) = counters {
            stats.tcp = counters.tcp.into();
            for side in FlowSide::BOTH {
                stats.set_reassembly(side, counters.reassembly[side.index()]);
            }
        }
        for side in FlowSide::BOTH {
            let (first, scale) = self.tcp.ttl_and_scale(side);
            let others = self.details.as_ref().map(|details| details.ttl[side.index()]);
            let others = others.filter(|&(least, _)| least != 0);
            if (first, scale, others) == (0, None, None) {
                continue;
            }
            let counted = stats.tcp.side_mut(side);
            (counted.min_ttl, counted.max_ttl) = (first, first);
            if let Some((least, most)) = others {
                counted.min_ttl = first.min(least);
                counted.max_ttl = first.max(most);
            }
            counted.window_scale = scale;
        }
        stats
    }

    /// What notes know of the flow's number.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is taken")]
    pub(crate) const fn low_id(&self) -> u32 {
        self.id as u32
    }

    /// The side that a packet of this orientation comes from.
    pub(crate) fn side_of(&self, orientation: Orientation) -> FlowSide {
        if orientation == self.initiator { FlowSide::Initiator } else { FlowSide::Responder }
    }

    /// Whether a SYN of `side`, so far the responder, shows that it is the initiator: nothing but
    /// what it sent itself, or what was turned down, said otherwise.
    pub(crate) fn has_roles_reversed(&self, side: FlowSide, info: &TcpInfo) -> bool {
        let control = TcpFlags::SYN | TcpFlags::ACK | TcpFlags::FIN | TcpFlags::RST;
        side == FlowSide::Responder
            && info.flags & control == TcpFlags::SYN
            && matches!(self.state, FlowState::Active | FlowState::SynReceived)
            && self.traffic.iter().all(|traffic| traffic.payload_bytes == 0)
            && self.tcp.has_heard_nothing_of(FlowSide::Initiator)
    }

    /// The initiator was taken for the responder. What is known of sequence numbers is forgotten.
    pub(crate) fn swap_sides(&mut self) {
        self.initiator = self.initiator.reversed();
        self.traffic.swap(0, 1);
        self.history.swap_sides();
        (self.tcp, self.state) = (Tcp::default(), FlowState::Active);
        let Some(details) = &mut self.details else { return };
        details.rumours = Rumours::default();
        details.reported = Reported::default();
        details.icmp_errors.swap(0, 1);
        details.bad_checksums.swap(0, 1);
        details.ttl.swap(0, 1);
        if let Some(counters) = &mut details.counters {
            let TcpSides { initiator, responder } = &mut counters.tcp;
            std::mem::swap(initiator, responder);
        }
    }

    /// How long it stays once it is closed.
    pub(crate) fn linger(&self, config: &FlowTrackerConfig) -> Duration {
        match self.state {
            FlowState::Reset => config.reset_linger.min(config.close_linger),
            _ => config.close_linger,
        }
    }

    /// When the flow ends if no packet comes, by the tracker's clock.
    pub(crate) fn deadline(&self, config: &FlowTrackerConfig) -> u64 {
        let own = Duration::from_millis(self.idle_timeout.into());
        let has_own = self.idle_timeout != OF_CONFIG;
        let timeout = match (self.state, self.l4) {
            (FlowState::Closed | FlowState::Reset, _) => self.linger(config),
            (FlowState::SynSent | FlowState::SynReceived, _) if has_own => {
                config.idle_timeout_syn.min(own)
            }
            (FlowState::SynSent | FlowState::SynReceived, _) => config.idle_timeout_syn,
            (FlowState::ClosingTcp, _) => config.idle_timeout_closing,
            _ if has_own => own,
            (_, Some(L4Proto::Tcp)) => config.idle_timeout_tcp,
            (_, Some(L4Proto::Udp)) => config.idle_timeout_udp,
            _ => config.idle_timeout_other,
        };
        self.touched.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::mem::offset_of;

    use super::*;

    /// A key of 40 bytes is that of an IPv6 five-tuple. As `docs/architecture.md` has it.
    #[test]
    fn layout_of_an_entry() {
        type Entry = Flow<[u64; 5], ()>;
        assert_eq!(size_of::<Option<Entry>>(), 216);
        let offsets = [
            offset_of!(Entry, state),
            offset_of!(Entry, touched),
            offset_of!(Entry, last_seen),
            offset_of!(Entry, traffic),
            offset_of!(Entry, tcp),
            offset_of!(Entry, history),
            offset_of!(Entry, idle_timeout),
            offset_of!(Entry, started),
            offset_of!(Entry, details),
        ];
        assert_eq!(offsets, [40, 48, 56, 64, 112, 168, 188, 192, 208]);
        assert_eq!((size_of::<Details>(), size_of::<Counters>()), (176, 1008));
    }
}
