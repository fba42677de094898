//! Flows, TCP streams and typed messages from network packets, without sending one.
//!
//! This crate holds no code: it re-exports the crates it is made of, each behind a feature of
//! the same name. Take them one by one to depend on less.
//!
//! | feature | paths | crate |
//! |---|---|---|
//! | – | `flow::{FlowTracker, FlowEvent, …}` | `flow-core` |
//! | `extract` | `flow::extract::{FiveTuple, AutoDetectEncap, …}` | `flow-extract` |
//! | `community-id` | `flow::extract::CommunityId` | the same, with a SHA-1 |
//! | `reassembly` | `flow::{FlowDriver, Reassembler, …}` | `flow-reassembly` |
//! | `session` | `flow::{SessionParser, FlowSessionDriver, …}` | `flow-session` |
//! | `http`, `tls`, `dns` | `flow::http`, `flow::tls`, `flow::dns` | `flow-http`, `flow-tls`, `flow-dns` |
//! | `digest` | `flow::http`: SHA-256 of bodies | `flow-http`, with a SHA-256 |
//! | `decode` | `flow::http::ContentDecoder` | `flow-http`, with decompressors |
//! | `l7` | `flow::l7` | `flow-l7` |
//! | `pcap` | `flow::pcap` | `flow-pcap` |
//! | `tokio` | `flow::tokio` | `flow-tokio` |
//! | `live` | `flow::live`, `flow::tokio::AsyncCapture` | `flow-live` |
//!
//! All of them are on by default but `live`, which needs libpcap.

pub use flow_core::*;
#[cfg(feature = "reassembly")]
pub use flow_reassembly::*;
#[cfg(feature = "session")]
pub use flow_session::*;

#[cfg(feature = "dns")]
pub use flow_dns as dns;
#[cfg(feature = "extract")]
pub use flow_extract as extract;
#[cfg(feature = "http")]
pub use flow_http as http;
#[cfg(feature = "l7")]
pub use flow_l7 as l7;
#[cfg(feature = "live")]
pub use flow_live as live;
#[cfg(feature = "pcap")]
pub use flow_pcap as pcap;
#[cfg(feature = "tls")]
pub use flow_tls as tls;
#[cfg(feature = "tokio")]
pub use flow_tokio as tokio;

/// The code in the README compiles.
#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../../README.md")]
struct Readme;
