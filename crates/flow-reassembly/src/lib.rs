//! Ordered TCP streams from segments.

#![warn(clippy::indexing_slicing)]

mod buffered;
mod driver;
mod queue;
mod reassembler;
mod segment;
mod stream;

pub use self::buffered::{BufferedReassembler, BufferedReassemblerFactory};
pub use self::driver::{DriverState, FlowDriver};
pub use self::reassembler::{Reassembler, ReassemblerFactory};
pub use self::segment::{Segment, StreamConfig, StreamSink};
pub use self::stream::StreamReassembler;
pub use flow_core::OverflowPolicy;
