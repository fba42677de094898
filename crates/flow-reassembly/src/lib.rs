//! Ordered TCP streams from segments as they were captured: out of order, repeated, with holes.
//!
//! [`StreamReassembler`] is the core: one direction of a connection, segments in, bytes and gaps
//! out through a [`StreamSink`]. What is in order passes through as a slice of the frame; what is
//! early is copied and kept within the limits of [`StreamConfig`]; a hole is given up, with its
//! exact length and a reason, once the other side has acknowledged it, a limit is reached, or the
//! flow ends. The bytes and gaps handed on always add up to the stream offset.
//!
//! [`FlowDriver`] is a flow tracker that gives each side of a TCP flow a [`Reassembler`]:
//! [`BufferedReassembler`], which keeps the bytes until they are taken, [`OrderedReassembler`], which
//! hands them to a [`StreamSink`], or one of yours.
//!
//! ```
//! use flow_reassembly::{Segment, StreamConfig, StreamReassembler, StreamSink};
//! use flow_core::Gap;
//!
//! struct Print(String);
//!
//! impl StreamSink for Print {
//!     fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
//!         self.0.push_str(&String::from_utf8_lossy(bytes));
//!     }
//!     fn gap(&mut self, gap: Gap) {
//!         self.0.push_str(&format!("[{} bytes missing]", gap.len));
//!     }
//!     fn end(&mut self, _offset: u64) {}
//! }
//!
//! let (mut stream, mut out) = (StreamReassembler::new(), Print(String::new()));
//! let config = StreamConfig::default();
//! // Sequence numbers wrap, and the second segment comes last.
//! stream.segment(&Segment::plain(u32::MAX - 1, b"Wh"), &config, &mut out);
//! stream.segment(&Segment::plain(3, b"er"), &config, &mut out);
//! stream.segment(&Segment::plain(0, b"eth"), &config, &mut out);
//! stream.segment(&Segment::plain(9, b"rose"), &config, &mut out);
//! stream.finish(&mut out);
//! assert_eq!(out.0, "Whether[4 bytes missing]rose");
//! ```

#![warn(clippy::indexing_slicing)]

mod buffered;
mod buffers;
mod driver;
mod ordered;
mod queue;
mod reassembler;
mod segment;
mod stream;

pub use self::buffered::{BufferedReassembler, BufferedReassemblerFactory};
pub use self::driver::{DriverState, FlowDriver, longest_waiting};
pub use self::ordered::OrderedReassembler;
pub use self::reassembler::{Reassembler, ReassemblerFactory};
pub use self::segment::{LastWord, OverlapPolicy, Segment, Standing, StreamConfig, StreamSink};
pub use self::stream::StreamReassembler;
pub use flow_core::OverflowPolicy;
