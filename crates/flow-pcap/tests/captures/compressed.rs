use std::io::{Cursor, Write};

use flow_pcap::{Compression, ErrorKind, PcapConfig, PcapFlowSource};

use crate::build::{Order, Pcap};
use crate::read::{Packet, TempFile, check, packet, read, ways};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Compress = fn(&[u8]) -> Vec<u8>;

const ALL: [(Compression, Compress); 3] =
    [(Compression::Gzip, gzip), (Compression::Zstd, zstd), (Compression::Lz4, lz4)];

fn capture() -> (Vec<u8>, Vec<Packet>) {
    let mut file = Pcap::new(Order::Big, Pcap::NANOS);
    let mut expected = Vec::new();
    let mut state = 1_u32;
    for number in 0..300_u32 {
        // Bytes that do not compress, so that there are several blocks.
        let frame: Vec<u8> = (0..1_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        file = file.record([number, 0, 1_000, 1_000], &frame);
        expected.push(packet(u64::from(number) * 1_000_000_000, 1, 1_000, &frame));
    }
    (file.bytes, expected)
}

#[test]
fn round_trips() {
    let (bytes, expected) = capture();
    for (_, compress) in ALL {
        check(&compress(&bytes), &expected);
    }
}

#[test]
fn several_members_and_frames() {
    let (bytes, expected) = capture();
    let (first, second) = bytes.split_at(100_001);
    for (_, compress) in ALL {
        check(&[compress(first), compress(b""), compress(second)].concat(), &expected);
    }
    let skippable = b"\x50\x2a\x4d\x18\x02\x00\x00\x00hi";
    check(&[&skippable[..], &zstd(&bytes)].concat(), &expected);
}

/// A cut gives whole packets and then one error, wherever it is: never a clean end.
#[test]
fn cut_compressed_data() {
    let (bytes, expected) = capture();
    for (compression, compress) in ALL {
        let whole = compress(&bytes);
        for cut in (5..whole.len()).step_by(whole.len() / 15).chain(whole.len() - 9..whole.len()) {
            let (packets, error) = read(&whole[..cut]);
            assert!(expected.starts_with(&packets));
            let error = error.unwrap_or_else(|| panic!("{compression} cut at {cut} ends cleanly"));
            assert!(error.contains(&format!("cannot decompress {compression}: ")), "{error}");
        }
    }
}

/// Also where the data ends between two blocks of an LZ4 frame and between two packets.
#[test]
fn lz4_frame_without_end_mark() {
    let bytes = Pcap::new(Order::Little, Pcap::MICROS).bytes;
    let whole = lz4(&bytes);
    let (packets, error) = read(&whole[..whole.len() - 4]);
    assert_eq!(packets, []);
    assert_eq!(error.unwrap(), "offset 24: cannot decompress lz4: incomplete frame");
}

#[test]
fn damaged_compressed_data() {
    let (bytes, expected) = capture();
    for (compression, compress) in ALL {
        let mut whole = compress(&bytes);
        let middle = whole.len() / 2;
        whole[middle] ^= 0x55;
        for (packets, error) in ways(&whole, &PcapConfig::default()) {
            // Blocks that are stored as they are show damage only in a checksum at the end.
            assert!(packets.len() <= expected.len() && packets[..100] == expected[..100]);
            if compression == Compression::Gzip {
                assert!(error.unwrap().contains("cannot decompress gzip: "));
            }
        }
    }
}

#[test]
fn offsets_are_those_of_the_capture() {
    let file = Pcap::new(Order::Little, Pcap::MICROS).record([0, 0, 4, 4], b"abcd");
    let bytes = gzip(&file.record([0, 0, u32::MAX, 4], b"abcd").bytes);
    let mut source = PcapFlowSource::from_reader(Cursor::new(bytes)).unwrap();
    assert!(source.next_view().unwrap().is_ok());
    let error = source.next_view().unwrap().unwrap_err();
    assert_eq!(error.offset(), 44);
    assert!(matches!(error.kind(), ErrorKind::PacketTooLong { len: u32::MAX, .. }));
}

#[test]
fn progress_counts_bytes_of_the_file() {
    let (bytes, expected) = capture();
    for file in [bytes.clone(), gzip(&bytes), zstd(&bytes), lz4(&bytes)] {
        let temp = TempFile::new(&file);
        let mut source = PcapFlowSource::open(&temp.0).unwrap();
        assert_eq!(source.total_bytes(), Some(file.len() as u64));
        let mut before = 0;
        while let Some(view) = source.next_view() {
            view.unwrap();
            assert!(before <= source.bytes_read());
            before = source.bytes_read();
        }
        assert_eq!(source.bytes_read(), file.len() as u64);
        assert_eq!(source.offset(), bytes.len() as u64);
        assert_eq!(source.packets(), expected.len() as u64);
    }
    let source = PcapFlowSource::from_reader(Cursor::new(bytes)).unwrap();
    assert_eq!(source.total_bytes(), None);
}
