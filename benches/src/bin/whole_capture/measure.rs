//! Time, memory and packets, taken as the peers' harness takes them.
//!
//! The capture comes in pieces of 256 KiB. Each is read once before the clock starts, so that
//! packets come from the processor's cache, as they do from a reader's buffer or a network card,
//! and fetching the file costs nobody anything. Walking from record to record is on the clock.

use std::error::Error;
use std::hint::black_box;
use std::path::Path;

use flow::pcap::PcapFlowSource;
use flow::{LinkType, PacketView, Timestamp};
use flow_benches::{Stopwatch, anonymous_kib};
use serde_json::{Value, json};

/// Something done with every packet.
pub(crate) trait Work {
    /// One packet.
    fn packet(&mut self, view: PacketView<'_>);

    /// All packets of a piece; what is measured.
    fn packets(&mut self, packets: Packets<'_>) {
        packets.for_each(|view| self.packet(view));
    }

    /// The capture has come to its end: what was found.
    fn finish(&mut self) -> Value;
}

/// Does the work on every packet of a capture, and says what it took.
pub(crate) fn measure(
    name: &str,
    path: &Path,
    mut work: impl Work,
) -> Result<Value, Box<dyn Error>> {
    let mut source = PcapFlowSource::open(path)?;
    let mut piece = Piece::new();
    let before = anonymous_kib();
    let mut clock = Stopwatch::default();
    let (mut packets, mut peak, mut touched) = (0_u64, before, 0_u64);
    loop {
        let count = piece.fill(&mut source)?;
        if count == 0 {
            break;
        }
        packets += count;
        touched = touched.wrapping_add(sum(&piece.bytes));
        clock.time(|| work.packets(piece.packets()));
        // Now and then: looking takes longer than the piece.
        if packets % 64 < 8 {
            peak = peak.max(anonymous_kib());
        }
    }
    black_box(touched);
    peak = peak.max(anonymous_kib());
    let found = clock.time(|| work.finish());
    peak = peak.max(anonymous_kib());

    let bytes = std::fs::metadata(path)?.len();
    let per_packet = |nanos: u128| tenths(nanos as f64 / packets.max(1) as f64);
    let seconds = clock.processor.as_secs_f64();
    Ok(json!({
        "peer": format!("flow {name}"),
        "capture": path.file_stem().unwrap_or_default().to_string_lossy(),
        "packets": packets,
        "ns_per_packet": per_packet(clock.wall.as_nanos()),
        "cpu_ns_per_packet": per_packet(clock.processor.as_nanos()),
        "packets_per_second": (packets as f64 / seconds).round(),
        "mb_per_second": (bytes as f64 / seconds / 1e6).round(),
        "memory_kib": peak - before,
        "wall": clock.wall.as_secs_f64(),
        "counts": found,
    }))
}

/// Records in memory.
struct Piece {
    bytes: Vec<u8>,
}

/// Seconds, nanoseconds, captured and wire length, as in a pcap file; behind them the link type.
const HEADER: usize = 20;

impl Piece {
    const LEN: usize = 256 << 10;

    fn new() -> Self {
        // Written to, so that none of it is taken for memory that the work needed.
        Self { bytes: vec![1; 2 * Self::LEN] }
    }

    /// Takes the next packets of the capture; how many, 0 at its end.
    fn fill(&mut self, source: &mut PcapFlowSource) -> Result<u64, Box<dyn Error>> {
        self.bytes.clear();
        let mut count = 0;
        while self.bytes.len() < Self::LEN
            && let Some(view) = source.next_view()
        {
            let view = view?;
            let nanos = view.timestamp.as_nanos();
            let words = [
                u32::try_from(nanos / 1_000_000_000)?,
                u32::try_from(nanos % 1_000_000_000)?,
                u32::try_from(view.frame.len())?,
                view.wire_len,
                u32::from(view.link_type.0),
            ];
            self.bytes.extend(words.into_iter().flat_map(u32::to_le_bytes));
            self.bytes.extend_from_slice(view.frame);
            count += 1;
        }
        Ok(count)
    }

    fn packets(&self) -> Packets<'_> {
        Packets { left: &self.bytes }
    }
}

/// The packets of a piece.
pub(crate) struct Packets<'a> {
    left: &'a [u8],
}

impl<'a> Iterator for Packets<'a> {
    type Item = PacketView<'a>;

    #[inline]
    fn next(&mut self) -> Option<PacketView<'a>> {
        let (header, rest) = self.left.split_first_chunk::<HEADER>()?;
        let word = |at: usize| {
            let [a, b, c, d] = [header[at], header[at + 1], header[at + 2], header[at + 3]];
            u32::from_le_bytes([a, b, c, d])
        };
        let (frame, left) = rest.split_at_checked(word(8) as usize)?;
        self.left = left;
        #[allow(clippy::cast_possible_truncation, reason = "it was 16 bits before")]
        let link_type = LinkType(word(16) as u16);
        let view = PacketView::new(frame, Timestamp::new(word(0), word(4)));
        Some(view.with_link_type(link_type).with_wire_len(word(12)))
    }
}

/// Words of `bytes`, added up: touches every byte once.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_le_bytes(*word));
    words.chain(rest.iter().map(|&byte| u64::from(byte))).fold(0, u64::wrapping_add)
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use flow::pcap::PcapWriter;

    use super::*;

    #[test]
    fn a_piece_gives_the_packets_of_the_capture() {
        let frames: Vec<Vec<u8>> = (0..3_000_usize).map(|number| vec![7; number % 1_000]).collect();
        let mut writer = PcapWriter::new(Vec::new(), LinkType::RAW, true).expect("written");
        let view = |frame: &'_ Vec<u8>| -> (Timestamp, u32) {
            let len = u32::try_from(frame.len()).expect("short");
            (Timestamp::new(1_000 + len, 5), len + 10)
        };
        for frame in &frames {
            let (ts, wire_len) = view(frame);
            let packet = PacketView::new(frame, ts).with_link_type(LinkType::RAW);
            writer.write(&packet.with_wire_len(wire_len)).expect("written");
        }
        let capture = Cursor::new(writer.into_inner());
        let mut source = PcapFlowSource::from_reader(capture).expect("a capture");
        let (mut piece, mut expected, mut pieces) = (Piece::new(), frames.iter(), 0);
        while piece.fill(&mut source).expect("whole") > 0 {
            pieces += 1;
            for packet in piece.packets() {
                let frame = expected.next().expect("as many");
                assert_eq!(packet.frame, frame);
                assert_eq!((packet.timestamp, packet.wire_len), view(frame));
                assert_eq!(packet.link_type, LinkType::RAW);
            }
        }
        assert!(expected.next().is_none());
        assert_eq!(pieces, 6, "1.5 MB in pieces of 256 KiB");
    }

    #[test]
    fn every_byte_is_read() {
        assert_eq!(sum(&[1, 0, 0, 0, 0, 0, 0, 0, 2, 3]), 6);
    }
}
