use std::io;

/// Why packets could not be read, or not be written by a tap.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A capture file is damaged, or cannot be read.
    #[cfg(feature = "pcap")]
    #[error(transparent)]
    Pcap(#[from] flow_pcap::Error),
    /// A live interface.
    #[cfg(feature = "live")]
    #[error(transparent)]
    Live(#[from] flow_live::Error),
    /// A tap cannot write what passes. It writes nothing more; packets pass all the same.
    #[error("cannot write to the tap: {0}")]
    Tap(io::Error),
    /// The engine of a [`FanOut`](crate::FanOut), or what it calls, panicked.
    #[error("shard {shard} panicked: {message}")]
    Panicked {
        /// Which one.
        shard: usize,
        /// With these words.
        message: String,
    },
    /// The operating system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A source of the user's own.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}
