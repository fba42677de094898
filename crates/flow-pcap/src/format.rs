//! The walk from record to record, without I/O: bytes at the cursor in, what they are out.

use std::ops::Range;

use flow_core::{LinkType, PacketView, Timestamp};

use crate::pcap::{self, Pcap};
use crate::pcapng::{self, Pcapng};
use crate::{ErrorKind, Part, PcapConfig};

/// The format of a capture and what its headers have said so far.
pub(crate) enum Format {
    Unknown,
    Pcap(Pcap),
    Pcapng(Pcapng),
}

/// What is at the cursor.
pub(crate) enum Step {
    Packet(Record),
    /// So many bytes without a packet, which may be more than there are.
    Skip(u64),
}

/// A packet; `frame` and `len` count from the cursor and lie in the bytes that were given.
pub(crate) struct Record {
    pub(crate) frame: Range<usize>,
    /// Bytes to the next record.
    pub(crate) len: usize,
    pub(crate) timestamp: Timestamp,
    pub(crate) link_type: LinkType,
    pub(crate) wire_len: u32,
}

impl Record {
    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> PacketView<'a> {
        PacketView::new(bytes.get(self.frame.clone()).unwrap_or_default(), self.timestamp)
            .with_link_type(self.link_type)
            .with_wire_len(self.wire_len)
    }
}

/// Why there is no step.
pub(crate) enum Stop {
    /// So many bytes from the cursor on are needed to tell, or to have the whole packet.
    Need(Part, usize),
    Damaged(ErrorKind),
}

impl Format {
    /// Decodes what `bytes` begins with. Given more bytes after [`Stop::Need`] it gives the same
    /// as if it had had them at first.
    #[inline]
    pub(crate) fn step(&mut self, bytes: &[u8], config: &PcapConfig) -> Result<Step, Stop> {
        match self {
            Self::Pcap(pcap) => pcap.step(bytes, config),
            Self::Pcapng(pcapng) => pcapng.step(bytes, config),
            Self::Unknown => self.file_header(bytes, config),
        }
    }

    #[cold]
    fn file_header(&mut self, bytes: &[u8], config: &PcapConfig) -> Result<Step, Stop> {
        let magic = *bytes.first_chunk::<4>().ok_or(Stop::Need(Part::FileHeader, 4))?;
        if magic == pcapng::SECTION_HEADER.to_be_bytes() {
            let mut pcapng = Pcapng::default();
            let step = pcapng.step(bytes, config)?;
            *self = Self::Pcapng(pcapng);
            return Ok(step);
        }
        *self = Self::Pcap(Pcap::file_header(magic, bytes)?);
        Ok(Step::Skip(pcap::FILE_HEADER_LEN))
    }
}

/// The byte order of a capture's header fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    #[default]
    Little,
    Big,
}

impl ByteOrder {
    /// The first `N` fields of 32 bits.
    #[inline]
    pub(crate) fn words<const N: usize>(self, bytes: &[u8]) -> Option<[u32; N]> {
        let (words, _) = bytes.as_chunks::<4>();
        let words: &[[u8; 4]; N] = words.first_chunk()?;
        Some(words.map(|word| match self {
            Self::Little => u32::from_le_bytes(word),
            Self::Big => u32::from_be_bytes(word),
        }))
    }

    /// The two fields of 16 bits that were read as one of 32.
    pub(crate) fn halves(self, word: u32) -> (u16, u16) {
        let [a, b, c, d] = word.to_be_bytes();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match self {
            Self::Little => (low, high),
            Self::Big => (high, low),
        }
    }
}

/// The `LINKTYPE_` value of a link type field.
///
/// Raw IP has two more numbers, which old programs wrote because their system's `DLT_RAW` had
/// them; the registry keeps both for that reason.
pub(crate) fn link_type(number: u16) -> LinkType {
    match number {
        12 | 14 => LinkType::RAW,
        other => LinkType(other),
    }
}
