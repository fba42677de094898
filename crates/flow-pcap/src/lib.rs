//! Capture files as packet sources: pcap, pcapng, compressed.
//!
//! [`PcapFlowSource`] reads what tcpdump, Wireshark and the like write, whatever the byte order,
//! the resolution of time, the number of interfaces and sections. gzip, zstd and lz4 are
//! recognised by their first bytes and unpacked on the way. The packets come as the
//! [`PacketView`](flow_core::PacketView)s that trackers and drivers take.
//!
//! ```
//! use flow_core::{LinkType, PacketView, Timestamp};
//! use flow_pcap::{PcapFlowSource, PcapWriter};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, true)?;
//! let packet = PacketView::new(b"\x45...", Timestamp::new(1_362_692_526, 869_344_000));
//! writer.write(&packet.with_link_type(LinkType::RAW))?;
//! let bytes = writer.into_inner();
//!
//! // With a file: PcapFlowSource::open("traffic.pcapng.zst")?
//! for view in PcapFlowSource::from_reader(std::io::Cursor::new(bytes))?.views() {
//!     let view = view?;
//!     assert_eq!(view.as_view().frame, b"\x45...");
//!     assert_eq!(view.as_view().timestamp.to_string(), "2013-03-07T21:42:06.869344000Z");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Three ways to the packets
//!
//! | | gives | for |
//! |---|---|---|
//! | [`next_view`](PcapFlowSource::next_view) | one packet, lent until the next call | the packet path: nothing is copied |
//! | [`views`](PcapFlowSource::views) | an iterator of packets that can be kept | `for` loops and adapters |
//! | [`with_extractor`](PcapFlowSource::with_extractor) | an iterator of flow events | whole flows without a driver |
//!
//! A plain file that is opened by name is mapped, so that its packets are read where the kernel
//! has them; whatever else there is goes through one buffer of 128 KiB, which grows only for a
//! packet that is larger.
//!
//! # Damage
//!
//! Captures are cut by full disks and killed processes, and some are made to hurt. Whatever the
//! bytes are, the packets before the damage come first, then one [`Error`] that says where it
//! begins and what was expected, then nothing. A length is believed only as far as [`PcapConfig`]
//! allows, and memory is taken as bytes come, not as they are announced. A frame that was cut at
//! the snap length is no damage: its wire length says how much is missing.
//!
//! # Writing
//!
//! [`PcapWriter`] writes pcap files, with microseconds or nanoseconds.

#![warn(clippy::indexing_slicing)]

mod config;
mod error;
mod events;
mod format;
mod input;
mod pcap;
mod pcapng;
mod prefetch;
mod source;
mod walk;
mod writer;

pub use self::config::PcapConfig;
pub use self::error::{Error, ErrorKind, Part};
pub use self::events::FlowEvents;
pub use self::input::Compression;
pub use self::source::{CapturedPacket, PcapFlowSource, Views};
pub use self::writer::PcapWriter;
