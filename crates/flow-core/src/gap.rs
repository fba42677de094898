use std::fmt;

/// Bytes of a TCP stream that the capture does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gap {
    /// Stream offset of the first missing byte; 0 is the first byte after the SYN.
    pub offset: u64,
    /// Missing bytes.
    pub len: u64,
    /// Why they were given up.
    pub reason: GapReason,
}

/// Why a hole in a stream was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The receiver acknowledged the bytes: they were on the wire, the capture missed them.
    Acked,
    /// The hole stayed open for longer than the hole timeout.
    Timeout,
    /// The data behind the hole exceeded a memory budget.
    Budget,
    /// The frame was captured, but cut off before these bytes.
    Snaplen,
    /// The stream ended with the hole open.
    End,
    /// The sender went on at a sequence number that cannot be connected with what came before.
    Resync,
}

impl GapReason {
    /// Every reason, in the order of their indices in per-reason counters.
    pub const ALL: [Self; 6] =
        [Self::Acked, Self::Timeout, Self::Budget, Self::Snaplen, Self::End, Self::Resync];

    /// Its index in [`ALL`](Self::ALL).
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// The name in lower case: `acked`.
impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Acked => "acked",
            Self::Timeout => "timeout",
            Self::Budget => "budget",
            Self::Snaplen => "snaplen",
            Self::End => "end",
            Self::Resync => "resync",
        })
    }
}
