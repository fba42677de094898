//! Ordered TCP streams from segments.

#![warn(clippy::indexing_slicing)]

mod buffered;
mod driver;
mod reassembler;
mod stream;

pub use self::buffered::{BufferedReassembler, BufferedReassemblerFactory};
pub use self::driver::{DriverState, FlowDriver};
pub use self::reassembler::{Reassembler, ReassemblerFactory};
pub use self::stream::{Segment, StreamConfig, StreamReassembler, StreamSink};
pub use flow_core::OverflowPolicy;
