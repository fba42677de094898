//! The reassembler against an obviously right model: one optional byte per stream offset.

#![allow(clippy::unwrap_used)]

use flow_core::{Gap, Timestamp};
use flow_reassembly::{Segment, StreamConfig, StreamReassembler, StreamSink};
use proptest::prelude::*;

#[derive(Default)]
struct Collected {
    bytes: Vec<Option<u8>>,
    ends: usize,
}

impl StreamSink for Collected {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert_eq!(offset, self.bytes.len() as u64, "offsets are contiguous");
        self.bytes.extend(bytes.iter().copied().map(Some));
    }

    fn gap(&mut self, gap: Gap) {
        assert_eq!(gap.offset, self.bytes.len() as u64, "offsets are contiguous");
        self.bytes.resize(self.bytes.len() + usize::try_from(gap.len).unwrap(), None);
    }

    fn end(&mut self, offset: u64) {
        assert_eq!(offset, self.bytes.len() as u64);
        self.ends += 1;
    }
}

/// Which bytes of the stream a segment has, and what it has in their place.
#[derive(Clone, Debug)]
struct Piece {
    offset: usize,
    bytes: Vec<u8>,
}

fn run(
    pieces: &[Piece],
    isn: u32,
    fin: Option<usize>,
    config: &StreamConfig,
) -> (Collected, StreamReassembler) {
    let (mut stream, mut out) = (StreamReassembler::new(), Collected::default());
    let segment = |seq: usize, payload, fin| Segment {
        seq: isn.wrapping_add(1).wrapping_add(u32::try_from(seq).unwrap()),
        payload,
        len: u32::try_from(payload.len()).unwrap(),
        syn: false,
        fin,
        resync: false,
        start: Some(isn.wrapping_add(1)),
        acked: None,
        packet: 1,
        ts: Timestamp::new(1, 0),
    };
    for piece in pieces {
        stream.segment(&segment(piece.offset, &piece.bytes, false), config, &mut out);
    }
    if let Some(at) = fin {
        stream.segment(&segment(at, &[], true), config, &mut out);
    }
    stream.finish(&mut out);
    (out, stream)
}

/// First copy wins, and what was delivered never changes: here the same, because a byte is
/// delivered once its first copy is there.
fn model(pieces: &[Piece]) -> Vec<Option<u8>> {
    let len = pieces.iter().map(|p| p.offset + p.bytes.len()).max().unwrap_or(0);
    let mut bytes = vec![None; len];
    for piece in pieces {
        for (at, &byte) in (piece.offset..).zip(&piece.bytes) {
            bytes[at].get_or_insert(byte);
        }
    }
    bytes
}

fn pieces(max: usize, len: usize) -> impl Strategy<Value = Vec<Piece>> {
    // More than one byte: a single byte in front of the next one is a keep-alive.
    let piece = (0..len, proptest::collection::vec(any::<u8>(), 2..40))
        .prop_map(|(offset, bytes)| Piece { offset, bytes });
    proptest::collection::vec(piece, 1..max)
}

proptest! {
    /// Any segmentation, permutation and duplication of one stream gives the stream.
    #[test]
    fn p1_same_bytes_in_any_order(
        stream in proptest::collection::vec(any::<u8>(), 2..2_000),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 2usize..300), 0..60),
        isn in any::<u32>(),
    ) {
        let mut all: Vec<Piece> = cuts
            .iter()
            .map(|(at, len)| {
                let offset = at.index(stream.len() - 1);
                let end = (offset + len).min(stream.len());
                Piece { offset, bytes: stream[offset..end].to_vec() }
            })
            .collect();
        // Whatever they leave out comes last.
        all.push(Piece { offset: 0, bytes: stream.clone() });
        let (out, reassembler) = run(&all, isn, Some(stream.len()), &StreamConfig::default());
        prop_assert_eq!(out.bytes, stream.iter().copied().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(out.ends, 1);
        prop_assert_eq!(reassembler.stats().conflicting_bytes, 0);
        prop_assert_eq!(reassembler.stats().delivered_bytes, stream.len() as u64);
    }

    /// With bytes missing or contradicting each other: gaps where the model has them, the first
    /// copy elsewhere, whatever the sequence numbers are.
    #[test]
    fn p3_p4_p5_equals_the_model(all in pieces(60, 1_500), isn in any::<u32>()) {
        let (out, _) = run(&all, isn, None, &StreamConfig::default());
        prop_assert_eq!(out.bytes, model(&all));
    }

    /// Whatever comes, memory stays below its limits.
    #[test]
    fn p7_limits(all in pieces(300, 60_000), isn in any::<u32>()) {
        let mut config = StreamConfig::default();
        config.max_buffer = 4_096;
        config.max_segments = 16;
        let (mut stream, mut out) = (StreamReassembler::new(), Collected::default());
        for piece in &all {
            let segment = Segment {
                seq: isn.wrapping_add(u32::try_from(piece.offset).unwrap()),
                payload: &piece.bytes,
                len: u32::try_from(piece.bytes.len()).unwrap(),
                syn: false,
                fin: false,
                resync: false,
                start: Some(isn),
                acked: None,
                packet: 1,
                ts: Timestamp::new(1, 0),
            };
            stream.segment(&segment, &config, &mut out);
            prop_assert!(stream.buffered_bytes() <= config.max_buffer);
        }
    }

    /// No sequence number, length or flag makes it panic, and what comes out stays contiguous.
    #[test]
    fn p8_arbitrary_segments(
        all in proptest::collection::vec(
            (any::<u32>(), 0usize..20, 0u32..30, any::<[bool; 3]>(), any::<Option<u32>>()),
            1..100,
        ),
        start in any::<Option<u32>>(),
    ) {
        let config = StreamConfig::default();
        let (mut stream, mut out) = (StreamReassembler::new(), Offsets::default());
        for (at, &(seq, captured, cut, [syn, fin, resync], acked)) in all.iter().enumerate() {
            let payload = vec![b'x'; captured];
            let len = u32::try_from(captured).unwrap() + cut;
            let ts = Timestamp::new(u32::try_from(at).unwrap(), 0);
            let near = start.unwrap_or(0).wrapping_add(seq % 64);
            let seq = if cut % 2 == 0 { near } else { seq };
            let segment =
                Segment { seq, payload: &payload, len, syn, fin, resync, start, acked, packet: 1, ts };
            stream.segment(&segment, &config, &mut out);
            stream.progress(acked, ts, &config, &mut out);
        }
        stream.finish(&mut out);
        prop_assert_eq!(out.0, stream.offset());
    }
}

/// Follows offsets without keeping bytes: gaps may be of gigabytes here.
#[derive(Default)]
struct Offsets(u64);

impl StreamSink for Offsets {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert_eq!(offset, self.0);
        self.0 += bytes.len() as u64;
    }

    fn gap(&mut self, gap: Gap) {
        assert_eq!(gap.offset, self.0);
        self.0 += gap.len;
    }

    fn end(&mut self, offset: u64) {
        assert_eq!(offset, self.0);
    }
}
