use std::fmt;

use crate::{
    FlowSide, FlowStats, FragmentAnomaly, GapReason, HistoryString, IcmpError, L4Proto,
    OverflowPolicy, Timestamp,
};

/// What happens to flows.
///
/// For every flow: one `Started`, then its `Packet`s with `Established` and `StateChange` where
/// they happen, one `Ended`, nothing after that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum FlowEvent<K> {
    /// The first packet of a flow.
    Started {
        /// The flow.
        key: K,
        /// The side that sent the packet; the responder if it is a SYN-ACK.
        side: FlowSide,
        /// When.
        ts: Timestamp,
        /// Its transport protocol.
        l4: Option<L4Proto>,
    },
    /// A packet of a flow, the first included.
    Packet {
        /// The flow.
        key: K,
        /// Who sent it.
        side: FlowSide,
        /// Bytes on the wire.
        len: usize,
        /// When.
        ts: Timestamp,
    },
    /// The TCP handshake is complete.
    Established {
        /// The flow.
        key: K,
        /// When.
        ts: Timestamp,
    },
    /// The TCP state changed.
    StateChange {
        /// The flow.
        key: K,
        /// The state before.
        from: FlowState,
        /// The state now.
        to: FlowState,
        /// When.
        ts: Timestamp,
    },
    /// What was counted so far of a flow that goes on; only if
    /// [`update_interval`](crate::FlowTrackerConfig::update_interval) is set.
    Update {
        /// The flow.
        key: K,
        /// What was counted.
        stats: Box<FlowStats>,
        /// When.
        ts: Timestamp,
    },
    /// An ICMP error speaks of a packet of the flow; only if the extractor looks for the packets
    /// that errors quote.
    IcmpError {
        /// The flow.
        key: K,
        /// Who sent the packet that is quoted, and is told so.
        side: FlowSide,
        /// What is wrong.
        error: IcmpError,
        /// When.
        ts: Timestamp,
    },
    /// The record of a flow is complete.
    Ended {
        /// The flow.
        key: K,
        /// Why it ended.
        reason: EndReason,
        /// What was counted.
        stats: Box<FlowStats>,
        /// What happened, in Zeek's letters.
        history: HistoryString,
    },
    /// Something that is worth a look; only if anomalies are switched on.
    Anomaly {
        /// The flow, if it concerns a single one.
        key: Option<K>,
        /// What.
        kind: AnomalyKind,
        /// When.
        ts: Timestamp,
    },
}

impl<K> FlowEvent<K> {
    /// The flow it is about.
    pub const fn key(&self) -> Option<&K> {
        match self {
            Self::Started { key, .. }
            | Self::Packet { key, .. }
            | Self::Established { key, .. }
            | Self::StateChange { key, .. }
            | Self::Update { key, .. }
            | Self::IcmpError { key, .. }
            | Self::Ended { key, .. } => Some(key),
            Self::Anomaly { key, .. } => key.as_ref(),
        }
    }
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndReason {
    /// Both sides finished.
    Fin,
    /// A side reset the connection.
    Rst,
    /// No packet for longer than the idle timeout.
    IdleTimeout,
    /// The table was full.
    Evicted,
    /// A buffer overflowed under [`OverflowPolicy::DropFlow`].
    BufferOverflow,
    /// The parser gave up.
    ParseError,
    /// The packets came to an end.
    EndOfInput,
    /// A new connection of the same endpoints began before this one was seen to end.
    Replaced,
}

/// The name in lower case: `fin`, `rst`, `timeout`, `evicted`, `overflow`, `parse_error`,
/// `eof`, `replaced`.
impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fin => "fin",
            Self::Rst => "rst",
            Self::IdleTimeout => "timeout",
            Self::Evicted => "evicted",
            Self::BufferOverflow => "overflow",
            Self::ParseError => "parse_error",
            Self::EndOfInput => "eof",
            Self::Replaced => "replaced",
        })
    }
}

/// Where a flow is in its life. All but [`FlowState::Active`] are of TCP alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FlowState {
    /// A SYN was seen, waiting for the SYN-ACK.
    SynSent,
    /// A SYN-ACK was seen, waiting for its ACK.
    SynReceived,
    /// Data can flow both ways.
    Established,
    /// One side has finished.
    FinWait,
    /// Both sides have finished, waiting for the last ACK.
    ClosingTcp,
    /// Not a TCP flow, or one of which no valid segment was seen yet.
    Active,
    /// Both sides finished and acknowledged it.
    Closed,
    /// A valid reset was seen.
    Reset,
    /// Ended before anything was established.
    Aborted,
}

impl FlowState {
    /// Whether the connection is over in this state.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Closed | Self::Reset | Self::Aborted)
    }
}

/// The name in lower case with underscores: `syn_sent`.
impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SynSent => "syn_sent",
            Self::SynReceived => "syn_received",
            Self::Established => "established",
            Self::FinWait => "fin_wait",
            Self::ClosingTcp => "closing",
            Self::Active => "active",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Aborted => "aborted",
        })
    }
}

/// What was out of the ordinary.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnomalyKind {
    /// A stream buffer reached its limit.
    BufferOverflow {
        /// Whose stream.
        side: FlowSide,
        /// Bytes that were dropped.
        bytes: u64,
        /// What was done about it.
        policy: OverflowPolicy,
    },
    /// Segments arrived before bytes which precede them.
    OutOfOrderSegment {
        /// Who sent them.
        side: FlowSide,
        /// How many.
        count: u64,
    },
    /// The flow table was full and flows were evicted: reported with the first in a tick, and when
    /// the tick is over if there were more.
    FlowTableEvictionPressure {
        /// Flows evicted in this tick so far.
        evicted_in_tick: u64,
        /// Flows evicted since the tracker began.
        evicted_total: u64,
    },
    /// A parser gave up.
    SessionParseError {
        /// Whose bytes it was fed last.
        side: FlowSide,
        /// The parser's words, 256 bytes at most.
        reason: String,
    },
    /// A message breaks the rules of its protocol, or can be read in more than one way. The parser
    /// reads on.
    ProtocolViolation {
        /// Who sent it.
        side: FlowSide,
        /// Stream offset of the first such place; of a datagram, the place in it.
        offset: u64,
        /// What is wrong: one of the words that the parser's crate lists.
        reason: &'static str,
        /// How many such places.
        count: u64,
    },
    /// Bytes of a stream are missing.
    StreamGap {
        /// Who sent them.
        side: FlowSide,
        /// Stream offset of the first.
        offset: u64,
        /// How many, in all gaps.
        bytes: u64,
        /// How many gaps, each with delivered bytes in front of it.
        count: u64,
        /// Why they were given up.
        reason: GapReason,
    },
    /// Data that waited for bytes in front of it took all the memory that it may: the oldest holes
    /// were given up.
    BudgetFlush {
        /// Whose stream.
        side: FlowSide,
        /// Missing bytes in these holes.
        bytes: u64,
    },
    /// Bytes arrived again with other contents.
    OverlapConflict {
        /// Who sent them.
        side: FlowSide,
        /// How many.
        bytes: u64,
    },
    /// A segment that a host would not have accepted.
    RejectedSegment {
        /// Who sent it.
        side: FlowSide,
        /// Why.
        reason: RejectReason,
    },
    /// A segment that counts, but that hosts rarely send.
    OddSegment {
        /// Who sent it.
        side: FlowSide,
        /// What is odd about it.
        oddity: SegmentOddity,
    },
    /// Fragments that do not make a sound packet.
    Fragments {
        /// What is wrong with them.
        anomaly: FragmentAnomaly,
    },
}

/// The name in lower case with underscores: `stream_gap`; without the details.
impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferOverflow { .. } => "buffer_overflow",
            Self::OutOfOrderSegment { .. } => "out_of_order_segment",
            Self::FlowTableEvictionPressure { .. } => "flow_table_eviction_pressure",
            Self::SessionParseError { .. } => "session_parse_error",
            Self::ProtocolViolation { .. } => "protocol_violation",
            Self::StreamGap { .. } => "stream_gap",
            Self::BudgetFlush { .. } => "budget_flush",
            Self::OverlapConflict { .. } => "overlap_conflict",
            Self::RejectedSegment { reason, .. } => return fmt::Display::fmt(reason, f),
            Self::OddSegment { oddity, .. } => return fmt::Display::fmt(oddity, f),
            Self::Fragments { anomaly } => return fmt::Display::fmt(anomaly, f),
        })
    }
}

/// Why a segment does not count for the connection's state and streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectReason {
    /// A reset whose sequence number is not the expected one (RFC 5961 section 3.2).
    RstBadSeq,
    /// A reset in answer to a SYN that does not acknowledge it (RFC 9293 section 3.10.7.3).
    RstInSynSent,
    /// A SYN with another sequence number inside a connection (RFC 5961 section 4.2).
    SynInEstablished,
    /// A segment other than SYN or RST without the ACK flag (RFC 9293 section 3.10.7.4).
    NoAck,
    /// It acknowledges what was never sent (RFC 5961 section 5.2).
    BadAck,
    /// A timestamp older than the one before (RFC 7323 section 5).
    PawsOld,
    /// A signature option that the handshake did not have.
    Md5Unexpected,
    /// Sequence numbers outside of any window.
    OutOfWindow,
    /// Flags that no host sends together.
    BadFlags,
    /// A FIN outside of any window.
    FinBadSeq,
    /// It will not get far: its time to live is below
    /// [`min_ttl`](crate::FlowTrackerConfig::min_ttl).
    LowTimeToLive,
    /// Its checksum is wrong, and [`ChecksumPolicy`](crate::ChecksumPolicy) holds that against it.
    BadChecksum,
}

impl RejectReason {
    /// Every reason, in the order of their indices in per-reason counters.
    pub const ALL: [Self; 12] = [
        Self::RstBadSeq,
        Self::RstInSynSent,
        Self::SynInEstablished,
        Self::NoAck,
        Self::BadAck,
        Self::PawsOld,
        Self::Md5Unexpected,
        Self::OutOfWindow,
        Self::BadFlags,
        Self::FinBadSeq,
        Self::LowTimeToLive,
        Self::BadChecksum,
    ];
}

/// The name in lower case with underscores: `rst_bad_seq`.
impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RstBadSeq => "rst_bad_seq",
            Self::RstInSynSent => "rst_in_syn_sent",
            Self::SynInEstablished => "syn_in_established",
            Self::NoAck => "data_no_ack",
            Self::BadAck => "bad_ack",
            Self::PawsOld => "paws_old",
            Self::Md5Unexpected => "md5_unexpected",
            Self::OutOfWindow => "out_of_window",
            Self::BadFlags => "bad_flags",
            Self::FinBadSeq => "fin_bad_seq",
            Self::LowTimeToLive => "low_ttl",
            Self::BadChecksum => "bad_checksum",
        })
    }
}

/// What is odd about a segment that counts all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SegmentOddity {
    /// Its sender had sent a reset before, and goes on as if it had not: somebody else sent that.
    ResetIgnoredBySender,
    /// A reset with payload, which is no stream data (RFC 9293 section 3.5.3 has it explain the
    /// reset).
    ResetPayload,
    /// A SYN or SYN-ACK with payload (RFC 7413).
    SynData,
    /// The first packet is a SYN-ACK: its receiver counts as the initiator.
    RoleFlip,
    /// A new connection whose sequence numbers and timestamps do not lie behind those of the old
    /// one (RFC 6191).
    PrematureReuse,
    /// Data behind the FIN.
    DataAfterFin,
    /// It came from further away or from nearer than the first of its direction, or will not get
    /// far.
    TimeToLive,
    /// Its checksum is wrong, as it often is where it was captured.
    BadChecksum,
    /// It has payload of which a byte is urgent, which hosts hand on apart or in its place (RFC
    /// 6093).
    UrgentData,
}

impl SegmentOddity {
    /// Every oddity, in the order of their indices in counters.
    pub const ALL: [Self; 9] = [
        Self::ResetIgnoredBySender,
        Self::ResetPayload,
        Self::SynData,
        Self::RoleFlip,
        Self::PrematureReuse,
        Self::DataAfterFin,
        Self::TimeToLive,
        Self::BadChecksum,
        Self::UrgentData,
    ];
}

/// The name in lower case with underscores: `rst_ignored_by_sender`.
impl fmt::Display for SegmentOddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetIgnoredBySender => "rst_ignored_by_sender",
            Self::ResetPayload => "rst_payload",
            Self::SynData => "syn_data",
            Self::RoleFlip => "role_flip",
            Self::PrematureReuse => "premature_reuse",
            Self::DataAfterFin => "data_after_fin",
            Self::TimeToLive => "ttl_anomaly",
            Self::BadChecksum => "bad_checksum_accepted",
            Self::UrgentData => "urgent_data",
        })
    }
}
