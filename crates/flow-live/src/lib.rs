//! A live network interface as a packet source.
//!
//! [`LiveCapture`] reads packets from an interface with libpcap and lends them as the
//! [`PacketView`](flow_core::PacketView)s that trackers and drivers take. It is synchronous and
//! non-blocking: [`next_view`](LiveCapture::next_view) gives what is there,
//! [`wait`](LiveCapture::wait) waits for more.
//!
//! ```no_run
//! # #[cfg(not(feature = "libpcap"))]
//! # fn main() {}
//! # #[cfg(feature = "libpcap")]
//! # fn main() -> Result<(), flow_live::Error> {
//! use std::time::Duration;
//!
//! use flow_live::{LiveCapture, LiveConfig};
//!
//! let config = LiveConfig::default().with_filter("tcp port 80 or udp port 53");
//! let mut capture = LiveCapture::open_with("eth0", &config)?;
//! for _ in 0..60 {
//!     if capture.wait(Duration::from_secs(1))? {
//!         while let Some(view) = capture.next_view()? {
//!             println!("{} {} bytes", view.timestamp, view.wire_len);
//!         }
//!     }
//!     println!("{} packets lost", capture.stats()?.dropped);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The buffer
//!
//! Between the kernel and the reader lies a ring of [`LiveConfig::buffer_bytes`]. As long as
//! nobody reads, it fills; then packets are dropped and counted
//! ([`CaptureStats::dropped`](flow_core::CaptureStats::dropped)). There is no other queue, so a
//! slow reader costs packets, never memory. [`LiveConfig::immediate`] chooses between two rings of
//! Linux: one that is handed over in blocks, which holds as many packets as fit and shows them up
//! to a tenth of a second late, and one of fixed slots, which shows each packet at once and holds
//! few. Timestamps are those of the kernel and are right in both.
//!
//! # Several readers
//!
//! [`LiveCapture::open_fanout`] opens an interface several times such that each packet comes to
//! one of them, and both directions of a flow to the same: one tracker per reader is enough, and
//! nothing is shared.
//!
//! # Rights
//!
//! On Linux, capturing needs the capability `CAP_NET_RAW`; root has it, and
//! `setcap cap_net_raw=ep PROGRAM` gives it to a program.
//!
//! # libpcap
//!
//! All of this is behind the feature `libpcap`, for which the library and its development files
//! must be there. Without it this crate is empty, and needs nothing.

// Without the feature, there is nothing that the links could lead to.
#![cfg_attr(not(feature = "libpcap"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(all(feature = "libpcap", unix))]
mod capture;
#[cfg(all(feature = "libpcap", unix))]
mod config;
#[cfg(all(feature = "libpcap", unix))]
mod error;
#[cfg(all(feature = "libpcap", unix))]
mod link_type;
#[cfg(all(feature = "libpcap", unix))]
mod socket;
#[cfg(all(feature = "libpcap", unix))]
mod totals;

#[cfg(all(feature = "libpcap", unix))]
pub use self::{
    capture::{LiveCapture, interfaces},
    config::{Fanout, LiveConfig},
    error::Error,
};
