//! The pcap file format, as in draft-ietf-opsawg-pcap and its variants in the wild.
//!
//! ```text
//! file     magic  version  reserved  reserved  snaplen  link type       24 bytes
//! record   seconds  µs or ns  captured length  wire length  | frame     16 bytes, then the frame
//! ```

use flow_core::{LinkType, Timestamp};

use crate::format::{ByteOrder, Record, Step, Stop, link_type};
use crate::{ErrorKind, Part, PcapConfig};

pub(crate) const MAGIC_MICROS: u32 = 0xa1b2_c3d4;
pub(crate) const MAGIC_NANOS: u32 = 0xa1b2_3c4d;
/// Alexey Kuznetzov's variant: eight more bytes per record (interface, protocol, direction).
pub(crate) const MAGIC_MODIFIED: u32 = 0xa1b2_cd34;

pub(crate) const FILE_HEADER_LEN: u64 = 24;
pub(crate) const RECORD_HEADER_LEN: usize = 16;
const MODIFIED_RECORD_HEADER_LEN: usize = 24;

/// What the file header says.
pub(crate) struct Pcap {
    order: ByteOrder,
    record_header_len: usize,
    nanos_per_fraction: u64,
    snaplen: u32,
    link_type: LinkType,
    /// The lengths of a record may be in either order, as before version 2.4.
    lengths_may_be_swapped: bool,
}

impl Pcap {
    /// From the start of the file, whose first four bytes are `magic`.
    pub(crate) fn file_header(magic: [u8; 4], bytes: &[u8]) -> Result<Self, Stop> {
        const DIGITAL_UNIX: (u16, u16) = (543, 0);

        let known = [MAGIC_MICROS, MAGIC_NANOS, MAGIC_MODIFIED];
        let (order, magic) = if known.contains(&u32::from_le_bytes(magic)) {
            (ByteOrder::Little, u32::from_le_bytes(magic))
        } else if known.contains(&u32::from_be_bytes(magic)) {
            (ByteOrder::Big, u32::from_be_bytes(magic))
        } else {
            return Err(Stop::Damaged(ErrorKind::UnknownFormat(magic)));
        };
        let [_, version, _, _, snaplen, network] =
            order.words(bytes).ok_or(Stop::Need(Part::FileHeader, 24))?;
        let (major, minor) = order.halves(version);
        if major != 2 && (major, minor) != DIGITAL_UNIX {
            return Err(Stop::Damaged(ErrorKind::UnsupportedVersion {
                format: "pcap",
                major,
                minor,
            }));
        }
        // The upper half has the length of the frame check sequence and a class of link types
        // that only NetBSD used.
        let [_, _, high, low] = network.to_be_bytes();
        Ok(Self {
            order,
            record_header_len: match magic {
                MAGIC_MODIFIED => MODIFIED_RECORD_HEADER_LEN,
                _ => RECORD_HEADER_LEN,
            },
            nanos_per_fraction: if magic == MAGIC_NANOS { 1 } else { 1_000 },
            snaplen,
            link_type: link_type(u16::from_be_bytes([high, low])),
            lengths_may_be_swapped: major != 2 || minor < 4,
        })
    }

    #[inline]
    pub(crate) fn step(&self, bytes: &[u8], config: &PcapConfig) -> Result<Step, Stop> {
        let header_len = self.record_header_len;
        let words = self.order.words(bytes).filter(|_| bytes.len() >= header_len);
        let Some([secs, fraction, mut captured, mut wire_len]) = words else {
            return Err(Stop::Need(Part::RecordHeader, header_len));
        };
        if self.lengths_may_be_swapped && captured > wire_len {
            (captured, wire_len) = (wire_len, captured);
        }
        let limit = config.packet_limit(self.snaplen);
        if captured > limit {
            return Err(Stop::Damaged(ErrorKind::PacketTooLong { len: captured, limit }));
        }
        let len = header_len + captured as usize;
        if bytes.len() < len {
            return Err(Stop::Need(Part::Packet, len));
        }
        // 4.3e18 at most, and out-of-range fractions carry over.
        let nanos = u64::from(secs) * 1_000_000_000 + u64::from(fraction) * self.nanos_per_fraction;
        Ok(Step::Packet(Record {
            frame: header_len..len,
            len,
            timestamp: Timestamp::from_nanos(nanos),
            link_type: self.link_type,
            wire_len: wire_len.max(captured),
        }))
    }
}
