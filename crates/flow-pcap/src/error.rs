use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::Compression;

/// Why a capture could not be read on.
///
/// Says where: the [`offset`](Self::offset) is that of the record or block that is damaged, so
/// that everything before it has been read. The text is one line:
/// `NAME: offset 123: record header cut short: needs 16 bytes, 7 left`.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    path: Option<PathBuf>,
    offset: u64,
    kind: ErrorKind,
}

impl Error {
    pub(crate) fn new(path: Option<&Path>, offset: u64, kind: ErrorKind) -> Self {
        Self(Box::new(Inner { path: path.map(Path::to_path_buf), offset, kind }))
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// Where the damage begins: bytes from the start of the capture, after decompression.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.0.offset
    }

    /// The file, if it was opened by name.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.path() {
            write!(f, "{}: ", path.display())?;
        }
        // A file that cannot be opened has no place where that is so.
        if !matches!(self.kind(), ErrorKind::Io(_) if self.offset() == 0) {
            write!(f, "offset {}: ", self.offset())?;
        }
        self.kind().fmt(f)
    }
}

// The text has the whole reason, so that there is no `source` to print after it; the underlying
// `io::Error` is in the kind.
impl std::error::Error for Error {}

/// What is wrong with a capture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system, or the reader, says so.
    #[error("{0}")]
    Io(io::Error),
    /// The compressed data is damaged, or ends before it should.
    #[error("cannot decompress {compression}: {error}")]
    Decompress {
        /// Its format.
        compression: Compression,
        /// What the decompressor says.
        error: io::Error,
    },
    /// There is not one byte.
    #[error("empty, not a capture")]
    Empty,
    /// It does not begin like a capture or a compressed file.
    #[error("not a capture: begins with {:02x} {:02x} {:02x} {:02x}", .0[0], .0[1], .0[2], .0[3])]
    UnknownFormat([u8; 4]),
    /// A version whose records are laid out in a way that is not known here.
    #[error("{format} version {major}.{minor} is not supported")]
    UnsupportedVersion {
        /// `pcap` or `pcapng`.
        format: &'static str,
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The capture ends inside a header, packet or block.
    #[error("{part} cut short: needs {needed} bytes, {left} left")]
    Truncated {
        /// Inside of what.
        part: Part,
        /// Bytes from the offset on that it says it has.
        needed: u64,
        /// Bytes from the offset on that there are.
        left: u64,
    },
    /// A packet says that it is longer than packets are.
    #[error("packet of {len} bytes is longer than the limit of {limit}")]
    PacketTooLong {
        /// Captured bytes, as the record says.
        len: u32,
        /// [`PcapConfig::max_packet_bytes`](crate::PcapConfig::max_packet_bytes), or the snap
        /// length of the capture if that is more.
        limit: u32,
    },
    /// A pcapng packet does not fit the block around it.
    #[error("packet of {len} bytes in a block with room for {room}")]
    PacketBeyondBlock {
        /// Captured bytes, as the block says.
        len: u32,
        /// Bytes that the block has for it.
        room: usize,
    },
    /// A pcapng block that is needed says that it is longer than blocks are.
    #[error("block of {len} bytes is longer than the limit of {limit}")]
    BlockTooLong {
        /// Bytes, as the block says.
        len: u32,
        /// [`PcapConfig::max_block_bytes`](crate::PcapConfig::max_block_bytes).
        limit: u32,
    },
    /// A pcapng block length that is not a multiple of four, or too short for the block's own
    /// fields.
    #[error("bad block length {0}")]
    BadBlockLength(u32),
    /// The lengths at the start and at the end of a pcapng block differ.
    #[error("block length is {head} at its start, {tail} at its end")]
    BlockLengthMismatch {
        /// At its start.
        head: u32,
        /// At its end.
        tail: u32,
    },
    /// A pcapng section header without the byte-order magic 0x1a2b3c4d.
    #[error("bad byte-order magic {0:#010x}")]
    BadByteOrderMagic(u32),
    /// A pcapng packet of an interface that its section has not described.
    #[error("packet of interface {interface}, but the section describes {described}")]
    UnknownInterface {
        /// Its number, from 0.
        interface: u32,
        /// How many there are.
        described: usize,
    },
    /// A pcapng section describes too many interfaces.
    #[error("more interfaces in a section than the limit of {limit}")]
    TooManyInterfaces {
        /// [`PcapConfig::max_interfaces`](crate::PcapConfig::max_interfaces).
        limit: usize,
    },
}

/// The pieces that a capture consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// What a capture begins with.
    FileHeader,
    /// The header of a pcap record.
    RecordHeader,
    /// A pcap record with its header.
    Packet,
    /// Type and length of a pcapng block.
    BlockHeader,
    /// A pcapng block as a whole.
    Block,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FileHeader => "file header",
            Self::RecordHeader => "record header",
            Self::Packet => "packet",
            Self::BlockHeader => "block header",
            Self::Block => "block",
        })
    }
}
