//! The pcapng file format, as in draft-ietf-opsawg-pcapng.
//!
//! ```text
//! block    type  total length  | body, padded to 4 bytes |  total length
//! section  0x0a0d0d0a: byte-order magic, version, section length, options
//! ```
//!
//! The block walk is written here because the parsers of the field either collect the options of
//! every packet into a vector and let a bad comment fail its block (`pcap-file`), or give errors
//! without place and sizes.

use flow_core::{LinkType, Timestamp};

use crate::format::{ByteOrder, Record, Step, Stop, link_type};
use crate::{ErrorKind, Part, PcapConfig};

/// Block type of a section header, the same in either byte order.
pub(crate) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Type and length before the body.
const BLOCK_HEADER_LEN: usize = 8;
/// The length once more, after the body.
const BLOCK_TRAILER_LEN: usize = 4;
/// A block without a body.
const MIN_BLOCK_LEN: usize = BLOCK_HEADER_LEN + BLOCK_TRAILER_LEN;

/// Fields of an enhanced or obsolete packet block in front of the frame.
const PACKET_FIELDS_LEN: usize = 20;
/// Fields of a simple packet block in front of the frame.
const SIMPLE_FIELDS_LEN: usize = 4;

/// What the headers of the current section have said.
#[derive(Default)]
pub(crate) struct Pcapng {
    order: ByteOrder,
    interfaces: Vec<Interface>,
    /// The time of the packet before, which a simple packet takes because it has none: zero would
    /// throw packet time back to 1970.
    last: Timestamp,
}

#[derive(Clone, Copy)]
struct Interface {
    link_type: LinkType,
    snaplen: u32,
    resolution: Resolution,
    /// Seconds to add to its timestamps.
    offset_secs: i64,
}

/// Ticks of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// So many nanoseconds are a tick.
    NanosPerTick(u64),
    /// So many ticks are a nanosecond.
    TicksPerNano(u64),
    /// 2 to this power ticks are a second.
    PowerOfTwo(u8),
}

impl Pcapng {
    #[inline]
    pub(crate) fn step(&mut self, bytes: &[u8], config: &PcapConfig) -> Result<Step, Stop> {
        let (kind, body, len) = match self.block(bytes, config)? {
            Block::Whole { kind, body, len } => (kind, body, len),
            Block::Skipped(len) => return Ok(Step::Skip(u64::from(len))),
        };
        let packet = match kind {
            ENHANCED_PACKET | OBSOLETE_PACKET => self.packet(kind, body, config),
            SIMPLE_PACKET => self.simple_packet(body, config),
            SECTION_HEADER => self.section_header(body).map(|()| None),
            INTERFACE_DESCRIPTION => self.interface_description(body, config).map(|()| None),
            _ => Ok(None),
        };
        match packet.map_err(Stop::Damaged)? {
            Some(packet) => Ok(Step::Packet(packet.in_block(len))),
            None => Ok(Step::Skip(len as u64)),
        }
    }

    /// Cuts the next block out of `bytes`.
    #[inline]
    fn block<'a>(&self, bytes: &'a [u8], config: &PcapConfig) -> Result<Block<'a>, Stop> {
        let header = self.order.words(bytes);
        let [kind, mut head, third] = header.ok_or(Stop::Need(Part::BlockHeader, MIN_BLOCK_LEN))?;
        let mut order = self.order;
        if kind == SECTION_HEADER && third != BYTE_ORDER_MAGIC {
            order = match order {
                ByteOrder::Little => ByteOrder::Big,
                ByteOrder::Big => ByteOrder::Little,
            };
            if third.swap_bytes() != BYTE_ORDER_MAGIC {
                return Err(Stop::Damaged(ErrorKind::BadByteOrderMagic(third)));
            }
            head = head.swap_bytes();
        }
        let len = head as usize;
        if len < MIN_BLOCK_LEN || !len.is_multiple_of(4) {
            return Err(Stop::Damaged(ErrorKind::BadBlockLength(head)));
        }
        let limit = config.max_block_bytes;
        if head > limit {
            return match kind {
                SECTION_HEADER
                | INTERFACE_DESCRIPTION
                | OBSOLETE_PACKET
                | SIMPLE_PACKET
                | ENHANCED_PACKET => {
                    Err(Stop::Damaged(ErrorKind::BlockTooLong { len: head, limit }))
                }
                _ => Ok(Block::Skipped(head)),
            };
        }
        let block = bytes.get(..len).ok_or(Stop::Need(Part::Block, len))?;
        let (body, trailer) = block.split_at(len - BLOCK_TRAILER_LEN);
        let [tail] = order.words(trailer).unwrap_or_default();
        if head != tail {
            return Err(Stop::Damaged(ErrorKind::BlockLengthMismatch { head, tail }));
        }
        let body = body.get(BLOCK_HEADER_LEN..).unwrap_or_default();
        Ok(Block::Whole { kind, body, len })
    }

    /// Begins a section: its byte order holds for all of it, and its interfaces are its own.
    ///
    /// The section length is not looked at, since the blocks say where the section ends.
    fn section_header(&mut self, body: &[u8]) -> Result<(), ErrorKind> {
        let magic = ByteOrder::Little.words(body);
        self.order = match magic {
            Some([BYTE_ORDER_MAGIC]) => ByteOrder::Little,
            _ => ByteOrder::Big,
        };
        let [_, version, _, _] = self.order.words(body).ok_or_else(|| too_short(body))?;
        let (major, minor) = self.order.halves(version);
        if major != 1 {
            return Err(ErrorKind::UnsupportedVersion { format: "pcapng", major, minor });
        }
        self.interfaces.clear();
        Ok(())
    }

    fn interface_description(&mut self, body: &[u8], config: &PcapConfig) -> Result<(), ErrorKind> {
        let [link, snaplen] = self.order.words(body).ok_or_else(|| too_short(body))?;
        if self.interfaces.len() >= config.max_interfaces {
            return Err(ErrorKind::TooManyInterfaces { limit: config.max_interfaces });
        }
        let mut interface = Interface {
            link_type: link_type(self.order.halves(link).0),
            snaplen,
            resolution: Resolution::from_option(6),
            offset_secs: 0,
        };
        interface.read_options(self.order, body.get(8..).unwrap_or_default());
        self.interfaces.push(interface);
        Ok(())
    }

    #[inline]
    fn packet(
        &mut self,
        kind: u32,
        body: &[u8],
        config: &PcapConfig,
    ) -> Result<Option<Packet>, ErrorKind> {
        let [first, high, low, captured, wire_len] =
            self.order.words(body).ok_or_else(|| too_short(body))?;
        let number = match kind {
            // The other half counts drops.
            OBSOLETE_PACKET => u32::from(self.order.halves(first).0),
            _ => first,
        };
        let interface = self.interface(number)?;
        self.last = interface.timestamp(u64::from(high) << 32 | u64::from(low));
        Packet {
            fields_len: PACKET_FIELDS_LEN,
            captured,
            wire_len: wire_len.max(captured),
            timestamp: self.last,
            link_type: interface.link_type,
        }
        .checked(body, config.packet_limit(interface.snaplen))
    }

    fn simple_packet(&self, body: &[u8], config: &PcapConfig) -> Result<Option<Packet>, ErrorKind> {
        let [wire_len] = self.order.words(body).ok_or_else(|| too_short(body))?;
        let interface = self.interface(0)?;
        let captured = match interface.snaplen {
            0 => wire_len,
            snaplen => wire_len.min(snaplen),
        };
        Packet {
            fields_len: SIMPLE_FIELDS_LEN,
            captured,
            wire_len,
            timestamp: self.last,
            link_type: interface.link_type,
        }
        .checked(body, config.packet_limit(interface.snaplen))
    }

    #[inline]
    fn interface(&self, number: u32) -> Result<Interface, ErrorKind> {
        let interface = usize::try_from(number).ok().and_then(|at| self.interfaces.get(at));
        interface.copied().ok_or(ErrorKind::UnknownInterface {
            interface: number,
            described: self.interfaces.len(),
        })
    }
}

enum Block<'a> {
    Whole { kind: u32, body: &'a [u8], len: usize },
    Skipped(u32),
}

/// A packet block's fields.
struct Packet {
    fields_len: usize,
    captured: u32,
    wire_len: u32,
    timestamp: Timestamp,
    link_type: LinkType,
}

impl Packet {
    #[inline]
    fn checked(self, body: &[u8], limit: u32) -> Result<Option<Self>, ErrorKind> {
        let (len, room) = (self.captured, body.len().saturating_sub(self.fields_len));
        if len > limit {
            return Err(ErrorKind::PacketTooLong { len, limit });
        }
        if len as usize > room {
            return Err(ErrorKind::PacketBeyondBlock { len, room });
        }
        Ok(Some(self))
    }

    #[inline]
    fn in_block(self, len: usize) -> Record {
        let start = BLOCK_HEADER_LEN + self.fields_len;
        Record {
            frame: start..start + self.captured as usize,
            len,
            timestamp: self.timestamp,
            link_type: self.link_type,
            wire_len: self.wire_len,
        }
    }
}

impl Interface {
    /// Reads the options that timestamps depend on. A list that does not fit its block ends the
    /// reading of it, not of the capture.
    fn read_options(&mut self, order: ByteOrder, mut options: &[u8]) {
        const END: u16 = 0;
        const TIMESTAMP_RESOLUTION: u16 = 9;
        const TIMESTAMP_OFFSET: u16 = 14;

        while let Some([head]) = order.words(options) {
            let (code, len) = order.halves(head);
            let len = usize::from(len);
            let Some(value) = options.get(4..4 + len) else { return };
            match (code, value) {
                (END, _) => return,
                (TIMESTAMP_RESOLUTION, &[exponent]) => {
                    self.resolution = Resolution::from_option(exponent);
                }
                (TIMESTAMP_OFFSET, value) => {
                    if let Ok(value) = <[u8; 8]>::try_from(value) {
                        self.offset_secs = match order {
                            ByteOrder::Little => i64::from_le_bytes(value),
                            ByteOrder::Big => i64::from_be_bytes(value),
                        };
                    }
                }
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
    }

    /// The moment of so many ticks; what [`Timestamp`] cannot hold becomes its nearest end.
    #[inline]
    fn timestamp(&self, ticks: u64) -> Timestamp {
        if let (Resolution::NanosPerTick(nanos), 0) = (self.resolution, self.offset_secs) {
            return Timestamp::from_nanos(ticks.saturating_mul(nanos));
        }
        let ticks = i128::from(ticks);
        let nanos = match self.resolution {
            Resolution::NanosPerTick(nanos) => ticks * i128::from(nanos),
            Resolution::TicksPerNano(divisor) => ticks / i128::from(divisor),
            Resolution::PowerOfTwo(exponent) => (ticks * 1_000_000_000) >> exponent,
        };
        let nanos = nanos + i128::from(self.offset_secs) * 1_000_000_000;
        Timestamp::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

impl Resolution {
    /// From the option `if_tsresol`: a negative power of 10, or of 2 if the highest bit is set.
    fn from_option(value: u8) -> Self {
        let exponent = u32::from(value & 0x7f);
        if value & 0x80 != 0 {
            return Self::PowerOfTwo(value & 0x7f);
        }
        match exponent.checked_sub(9) {
            None | Some(0) => Self::NanosPerTick(10_u64.pow(9 - exponent)),
            // If the power does not fit, every count of ticks is less than a nanosecond, as it is
            // with the largest power of two.
            Some(more) => match 10_u64.checked_pow(more) {
                Some(ticks) => Self::TicksPerNano(ticks),
                None => Self::PowerOfTwo(0x7f),
            },
        }
    }
}

/// The block has no room for its own fields.
#[cold]
fn too_short(body: &[u8]) -> ErrorKind {
    let len = body.len().saturating_add(MIN_BLOCK_LEN);
    ErrorKind::BadBlockLength(u32::try_from(len).unwrap_or(u32::MAX))
}
