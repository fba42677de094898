//! Vocabulary of packets and flows.

mod config;
mod event;
mod extract;
mod gap;
mod history;
mod packet;
mod side;
mod stats;
mod tcp;
mod time;

pub use self::config::{FlowTrackerConfig, OverflowPolicy};
pub use self::event::{AnomalyKind, EndReason, FlowEvent, FlowState, RejectReason};
pub use self::extract::{
    EncapKind, EncapLayer, Encapsulation, Extracted, FlowExtractor, L4Proto, Orientation, Payload,
    SkipReason,
};
pub use self::gap::{Gap, GapReason};
pub use self::history::HistoryString;
pub use self::packet::{LinkType, PacketView};
pub use self::side::FlowSide;
pub use self::stats::{FlowStats, TcpSideStats, TcpStats, Traffic};
pub use self::tcp::{TcpFlags, TcpInfo, TcpOptions, seq_before};
pub use self::time::Timestamp;
