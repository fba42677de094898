//! Vocabulary of packets and flows.

mod config;
mod dedup;
mod event;
mod extract;
mod flow;
mod gap;
mod history;
mod packet;
mod side;
mod sink;
mod stats;
mod table;
mod tcp;
mod tcp_state;
mod time;
mod timers;
mod tracker;

pub use self::config::{FlowTrackerConfig, OverflowPolicy};
pub use self::dedup::Dedup;
pub use self::event::{AnomalyKind, EndReason, FlowEvent, FlowState, RejectReason};
pub use self::extract::{
    EncapKind, EncapLayer, Encapsulation, Extracted, FlowExtractor, L4Proto, Orientation, Payload,
    SkipReason,
};
pub use self::flow::{Flow, ReassemblyStats};
pub use self::gap::{Gap, GapReason};
pub use self::history::HistoryString;
pub use self::packet::{LinkType, PacketView};
pub use self::side::FlowSide;
pub use self::sink::{EventQueue, FlowSink, TrackedPacket};
pub use self::stats::{FlowStats, TcpSideStats, TcpStats, TrackerStats, Traffic};
pub use self::tcp::{TcpFlags, TcpInfo, TcpOptions, seq_before};
pub use self::tcp_state::Verdict;
pub use self::time::Timestamp;
pub use self::tracker::FlowTracker;
