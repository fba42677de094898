//! Network flows from packets: the vocabulary, the flow table, TCP state, timeouts and events.
//!
//! A [`PacketView`] borrows a captured frame. A [`FlowExtractor`] finds the flow it belongs to
//! and where its payload is, decoding the frame once. A [`FlowTracker`] keeps one entry per flow
//! and reports what happens to it as [`FlowEvent`]s. That is all there is here: no capture
//! format, no protocol, no clock, no I/O. `flow-extract` has the extractors for real frames,
//! `flow-reassembly` puts TCP streams in order, `flow-session` runs parsers on them.
//!
//! ```
//! use flow_core::{
//!     Encapsulation, Extracted, FlowEvent, FlowExtractor, FlowTracker, Orientation, PacketView,
//!     Payload, Timestamp,
//! };
//!
//! /// Flows of a bus whose frames begin with a channel number and a direction.
//! struct Channel;
//!
//! impl FlowExtractor for Channel {
//!     type Key = u8;
//!
//!     fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u8>> {
//!         let [channel, direction, payload @ ..] = view.frame else { return None };
//!         let len = payload.len() as u32;
//!         Some(Extracted {
//!             key: *channel,
//!             orientation: if *direction == 0 { Orientation::Forward } else { Orientation::Reverse },
//!             l4: None,
//!             tcp: None,
//!             payload: Payload { offset: 2, captured: len, len },
//!             encapsulation: Encapsulation::default(),
//!         })
//!     }
//! }
//!
//! let mut tracker = FlowTracker::new(Channel);
//! for (second, frame) in [(1, [7, 0, 42]), (2, [7, 1, 43]), (3, [8, 0, 44])] {
//!     for event in tracker.track(PacketView::new(&frame, Timestamp::new(second, 0))) {
//!         if let FlowEvent::Started { key, .. } = event {
//!             println!("channel {key} is in use");
//!         }
//!     }
//! }
//! assert_eq!(tracker.flow_count(), 2);
//! assert_eq!(tracker.snapshot_stats(&7).map(|stats| stats.total_packets()), Some(2));
//! ```
//!
//! # Layers above
//!
//! [`FlowTracker::track_with`] reports to a [`FlowSink`] in place of making events: it hands out
//! the entry of the flow itself, with the packet's payload and the tracker's [`Verdict`] on it.
//! Reassembly and sessions are sinks; so is the `flow conv` command.
//!
//! # Fragments
//!
//! Where an extractor hands out the [`Fragment`]s that it meets, the tracker puts their packet
//! together ([`Defragmenter`]) and extracts its flow as if it had come in one frame.
//!
//! # Several cores
//!
//! A [`FlowRouter`] finds out which of several trackers has the flow of each packet, and keeps the
//! clock for all of them. Each can then work in a thread of its own, and together they report what
//! one tracker would have.
//!
//! # Costs
//!
//! Per packet: one extraction, one hash, one entry touched, no allocation. Timers are lazy, so a
//! packet of a known flow does not move any list. [`FlowTracker::track_batch`] hides the latency
//! of large tables. Memory is bounded by [`FlowTrackerConfig::max_flows`] and
//! [`DefragmentConfig`].

mod capture;
mod clock;
mod config;
mod conn_state;
mod dedup;
mod defragment;
mod engine;
mod event;
mod eviction;
mod extract;
mod flow;
mod fragment;
mod gap;
mod history;
mod index;
mod packet;
mod report;
mod router;
mod side;
mod sink;
mod stats;
mod table;
mod tcp;
mod tcp_state;
mod time;
mod timers;
mod tracker;

pub use self::capture::CaptureStats;
pub use self::config::{
    ChecksumPolicy, DefragmentConfig, FlowTrackerConfig, OverflowPolicy, UrgentPolicy,
};
pub use self::conn_state::ConnState;
pub use self::dedup::Dedup;
pub use self::defragment::{
    DefragmentStats, Defragmented, Defragmenter, FragmentAnomaly, WholePacket,
};
pub use self::event::{AnomalyKind, EndReason, FlowEvent, FlowState, RejectReason, SegmentOddity};
pub use self::extract::{
    EncapKind, EncapLayer, Encapsulation, Extracted, FlowExtractor, IcmpError, L4Proto,
    Orientation, Payload, Quoted, SkipReason, TcpChecksum,
};
pub use self::flow::{Flow, ReassemblyStats};
pub use self::fragment::{Fragment, FragmentedPacket};
pub use self::gap::{Gap, GapReason};
pub use self::history::HistoryString;
pub use self::packet::{LinkType, PacketView};
pub use self::router::{FlowRouter, LeftOut, Routed, RoutedPacket, Tick};
pub use self::side::FlowSide;
pub use self::sink::{EventQueue, FlowSink, TrackedPacket};
pub use self::stats::{FlowStats, TcpSideStats, TcpSides, TcpStats, TrackerStats, Traffic};
pub use self::tcp::{TcpFlags, TcpInfo, TcpOptions, seq_before};
pub use self::tcp_state::{Resync, Verdict};
pub use self::time::Timestamp;
pub use self::tracker::FlowTracker;
