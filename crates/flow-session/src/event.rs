use std::ops::Range;

use flow_core::{AnomalyKind, EndReason, FlowSide, FlowStats, Timestamp};

/// What happens to sessions: flows that a parser reads.
///
/// For every flow: one `Started`, then `Application`s in the order of the stream for each side,
/// one `Closed`, nothing after that. An anomaly comes before the end it causes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum SessionEvent<K, M> {
    /// The first packet of the flow.
    Started {
        /// The flow.
        key: K,
        /// When.
        ts: Timestamp,
    },
    /// A message is complete.
    Application {
        /// The flow.
        key: K,
        /// Who sent it.
        side: FlowSide,
        /// The message.
        message: M,
        /// Time of the packet that completed it.
        ts: Timestamp,
        /// Where it came from.
        origin: Origin,
    },
    /// The session is over.
    Closed {
        /// The flow.
        key: K,
        /// Why.
        reason: EndReason,
        /// What was counted until now. The flow's own record may grow by stragglers.
        stats: Box<FlowStats>,
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

impl<K, M> SessionEvent<K, M> {
    /// The flow it is about.
    pub const fn key(&self) -> Option<&K> {
        match self {
            Self::Started { key, .. }
            | Self::Application { key, .. }
            | Self::Closed { key, .. } => Some(key),
            Self::Anomaly { key, .. } => key.as_ref(),
        }
    }
}

/// Where a message came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Number of the flow, counted from 0 in the order of first packets.
    pub flow: u64,
    /// Number of the packet with the message's first byte, counted from 1.
    pub first_packet: u64,
    /// Number of the packet that completed it.
    pub packet: u64,
    /// Its bytes in the stream of its side; `0..length` for a datagram.
    pub range: Range<u64>,
}
