use std::io::{self, Write};

use flow_core::{LinkType, PacketView};

use crate::pcap::{MAGIC_MICROS, MAGIC_NANOS, RECORD_HEADER_LEN};

/// Writes packets as a pcap file, which every tool of the field reads.
///
/// A pcap file has one link type and one resolution of time. The byte order is little-endian.
/// Every packet is written with two calls of `write_all`: give it a
/// [`BufWriter`](std::io::BufWriter) unless the writer is in memory.
#[derive(Debug)]
pub struct PcapWriter<W> {
    writer: W,
    link_type: LinkType,
    nanosecond: bool,
}

impl<W: Write> PcapWriter<W> {
    /// Bytes of a frame, at most.
    ///
    /// Rationale: the header says so as the snap length, and it is where other readers refuse.
    pub const MAX_FRAME_BYTES: u32 = 262_144;

    /// Begins a file. Time is written in nanoseconds if `nanosecond`, else cut to microseconds,
    /// which also old tools understand.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn new(mut writer: W, link_type: LinkType, nanosecond: bool) -> io::Result<Self> {
        const VERSION: u32 = 4 << 16 | 2;

        let magic = if nanosecond { MAGIC_NANOS } else { MAGIC_MICROS };
        let network = u32::from(link_type.0);
        writer.write_all(&bytes_of::<6, 24>([
            magic,
            VERSION,
            0,
            0,
            Self::MAX_FRAME_BYTES,
            network,
        ]))?;
        Ok(Self { writer, link_type, nanosecond })
    }

    /// Writes a packet.
    ///
    /// # Errors
    ///
    /// Those of the writer, and `InvalidInput`, with nothing written, for a packet that the file
    /// cannot hold: of another link type, after February 2106, or longer than
    /// [`MAX_FRAME_BYTES`](Self::MAX_FRAME_BYTES).
    pub fn write(&mut self, view: &PacketView<'_>) -> io::Result<()> {
        let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if view.link_type != self.link_type {
            return invalid("packet of another link type than the pcap file");
        }
        let nanos = view.timestamp.as_nanos();
        let (secs, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        let fraction = if self.nanosecond { fraction } else { fraction / 1_000 };
        let (Ok(secs), Ok(fraction)) = (u32::try_from(secs), u32::try_from(fraction)) else {
            return invalid("time of the packet is too late for a pcap file");
        };
        let captured = u32::try_from(view.frame.len()).unwrap_or(u32::MAX);
        if captured > Self::MAX_FRAME_BYTES {
            return invalid("packet is too long for a pcap file");
        }
        let header: [u8; RECORD_HEADER_LEN] = bytes_of([secs, fraction, captured, view.wire_len]);
        self.writer.write_all(&header)?;
        self.writer.write_all(view.frame)
    }

    /// Flushes the writer.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    /// Gives the writer back, without flushing it.
    #[must_use]
    pub fn into_inner(self) -> W {
        self.writer
    }
}

/// Little-endian fields one after the other; `BYTES` is four times `N`.
fn bytes_of<const N: usize, const BYTES: usize>(fields: [u32; N]) -> [u8; BYTES] {
    const { assert!(BYTES == 4 * N) };
    let mut bytes = [0; BYTES];
    for (to, field) in bytes.chunks_exact_mut(4).zip(fields) {
        to.copy_from_slice(&field.to_le_bytes());
    }
    bytes
}
