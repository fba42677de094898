//! The reassembler under floods and nonsense: memory stays below its limits, and what comes out
//! stays contiguous and true.

#![allow(clippy::unwrap_used)]

mod common;

use flow_core::{Gap, Resync, Timestamp};
use flow_reassembly::{
    LastWord, OverlapPolicy, Segment, Standing, StreamConfig, StreamReassembler, StreamSink,
};
use proptest::prelude::*;
use proptest::sample::select;

use self::common::{Call, Model, POLICIES, Piece, Run, calls, piece};

proptest! {
    /// P7: whatever comes, memory stays below its limits, and so does the number of entries: there
    /// are at least as many as there are runs of bytes that wait.
    #[test]
    fn p7_limits(
        calls in calls(120, 20_000),
        max_buffer in 0usize..3_000,
        max_segments in 0usize..20,
        policy in select(POLICIES.to_vec()),
        isn in any::<u32>(),
    ) {
        let (mut run, mut model) = (Run::new(policy, isn), Model::new(policy));
        run.config.max_buffer = max_buffer;
        run.config.max_segments = max_segments;
        let mut same = 0;
        for call in &calls {
            run.call(call);
            model.call(call);
            // Holes given up for the limits come early; which bytes win does not depend on them.
            model.skip_to(run.out.bytes.len());
            prop_assert_eq!(&run.out.bytes[same..], &model.bytes[same..]);
            same = model.bytes.len();
            prop_assert!(run.stream.buffered_bytes() <= max_buffer);
            prop_assert!(model.runs() <= max_segments);
            prop_assert!(model.waiting() + 64 * model.runs() <= run.stream.buffered_bytes());
        }
        run.finish();
    }

    /// The same for tiny segments that touch each other, and with limits above the number from
    /// which on they are put together.
    #[test]
    fn p7_limits_of_a_crowd(
        order in proptest::collection::vec((0usize..1_500, 1usize..5), 400..800),
        max_segments in 250usize..330,
        policy in select(POLICIES.to_vec()),
    ) {
        let mut run = Run::new(policy, 0);
        run.config.max_segments = max_segments;
        run.config.max_buffer = 20_000;
        for &(offset, len) in &order {
            run.call(&Call::Data(Piece { offset: offset + 1, bytes: vec![b'x'; len] }));
            prop_assert!(run.stream.buffered_bytes() <= 20_000);
        }
        run.finish();
    }

    /// At the limit the stream goes on where it would have gone on: behind the oldest hole.
    #[test]
    fn p7_a_full_queue_gives_up_the_oldest_hole(
        holes in 1usize..20,
        max_segments in 1usize..10,
    ) {
        let mut run = Run::new(OverlapPolicy::First, 0);
        run.config.max_segments = max_segments;
        for at in 1..=holes {
            run.call(&Call::Data(Piece { offset: 4 * at, bytes: vec![b'x'; 2] }));
        }
        let given_up = holes.saturating_sub(max_segments);
        prop_assert_eq!(run.out.gaps.len(), given_up);
        prop_assert_eq!(run.stream.has_overflowed(), given_up > 0);
        prop_assert_eq!(run.out.bytes.len(), if given_up == 0 { 0 } else { 4 * given_up + 2 });
    }

    /// P8: no sequence number, length or flag makes it panic, and what comes out stays contiguous.
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
        for (at, &(seq, captured, cut, [syn, fin, odd], acked)) in all.iter().enumerate() {
            let payload = vec![b'x'; captured];
            let len = u32::try_from(captured).unwrap() + cut;
            let ts = Timestamp::new(u32::try_from(at).unwrap(), 0);
            let near = start.unwrap_or(0).wrapping_add(seq % 64);
            let seq = if cut % 2 == 0 { near } else { seq };
            let segment =
                Segment { seq, payload: &payload, len, syn, fin, urgent: None, standing: standing(odd, seq), start, acked, packet: 1, ts };
            stream.segment(&segment, &config, &mut out);
            stream.progress(acked, ts, &config, &mut out);
        }
        let acked = all.last().and_then(|last| last.4);
        stream.last_word(LastWord { start, acked, window: 1 << 20 }, &config, &mut out);
        stream.finish(&mut out);
        prop_assert_eq!(out.next, stream.offset());
    }

    /// P8 with every field as wild as it can be: more payload than the length says, lengths of
    /// gigabytes, times that go backwards, limits of nothing, and a parser that wants no more.
    #[test]
    fn p8_wild_segments(
        all in proptest::collection::vec(wild(), 1..100),
        start in any::<Option<u32>>(),
        policy in select(POLICIES.to_vec()),
        max_buffer in select(vec![0usize, 100, 1 << 20]),
        skip_after in 0usize..200,
    ) {
        let mut config = StreamConfig::default();
        config.max_buffer = max_buffer;
        let mut stream = StreamReassembler::new().with_overlap_policy(policy);
        let (mut out, mut before) = (Offsets::default(), 0);
        for (at, wild) in all.iter().enumerate() {
            if at == skip_after {
                stream.skip();
                out.skipped = true;
            }
            let payload = vec![b'x'; wild.captured];
            let near = start.unwrap_or(0).wrapping_add_signed(wild.near);
            let ts = Timestamp::new(wild.seconds, 0);
            let [syn, fin, odd, is_near, again] = wild.flags;
            let segment = Segment {
                seq: if is_near { near } else { wild.seq },
                payload: &payload,
                len: wild.len,
                syn,
                fin,
                urgent: (wild.len % 5 == 0).then_some(3),
                standing: standing(odd, wild.seq),
                start: if again { start } else { Some(wild.seq) },
                acked: wild.acked,
                packet: u64::from(wild.seq),
                ts,
            };
            stream.segment(&segment, &config, &mut out);
            prop_assert!(at >= skip_after || out.next == stream.offset());
            if wild.seq % 2 == 0 {
                stream.progress(wild.acked, ts, &config, &mut out);
            }
            prop_assert!(before <= stream.offset(), "a stream does not go back");
            before = stream.offset();
        }
        let acked = all.last().and_then(|last| last.acked);
        stream.last_word(LastWord { start, acked, window: 1 << 20 }, &config, &mut out);
        stream.finish(&mut out);
        prop_assert!(skip_after < all.len() || out.next == stream.offset());
    }

    /// Cut off by a snap length: every byte handed on is that of the stream at its offset, and no
    /// hole has a byte that came before the stream got there.
    #[test]
    fn p8_cut_off_segments_make_nothing_up(
        all in proptest::collection::vec((piece(600, 0), 0usize..30), 1..60),
        isn in any::<u32>(),
    ) {
        let truth = |at: usize| u8::try_from(at % 251).unwrap();
        let config = StreamConfig::default();
        let (mut stream, mut out) = (StreamReassembler::new(), common::Collected::default());
        let mut came = [false; 700];
        for (Piece { offset, bytes }, cut) in &all {
            let payload: Vec<u8> = (*offset..offset + bytes.len()).map(truth).collect();
            let from = out.bytes.len().max(*offset);
            let start = isn.wrapping_add(1);
            let segment = Segment {
                start: Some(start),
                len: u32::try_from(payload.len() + cut).unwrap(),
                ..Segment::plain(start.wrapping_add(u32::try_from(*offset).unwrap()), &payload)
            };
            (from..offset + bytes.len()).for_each(|at| came[at] = true);
            stream.segment(&segment, &config, &mut out);
            prop_assert_eq!(out.bytes.len() as u64, stream.offset());
        }
        stream.finish(&mut out);
        let sent: usize = all.iter().map(|(piece, cut)| piece.bytes.len() + cut).sum();
        prop_assert_eq!(common::accounted(&stream), sent as u64);
        for (at, byte) in out.bytes.iter().enumerate() {
            prop_assert_eq!(*byte, came[at].then(|| truth(at)), "at offset {}", at);
        }
    }
}

/// Any standing but the usual one, if it is to be `odd`.
fn standing(odd: bool, seq: u32) -> Standing {
    match seq % 4 {
        _ if !odd => Standing::Usual,
        0 => Standing::WindowProbe,
        1 => Standing::Stray,
        2 => Standing::Resync(Resync::AfterGap),
        _ => Standing::Resync(Resync::Anew),
    }
}

/// Fields of a segment.
#[derive(Clone, Debug)]
struct Wild {
    seq: u32,
    near: i32,
    captured: usize,
    len: u32,
    flags: [bool; 5],
    acked: Option<u32>,
    seconds: u32,
}

fn wild() -> impl Strategy<Value = Wild> {
    let len = prop_oneof![8 => 0u32..60, 1 => any::<u32>()];
    let flag = |often| prop::bool::weighted(often);
    let flags = (flag(0.05), flag(0.05), flag(0.2), flag(0.9), flag(0.9));
    (any::<u32>(), -70i32..200, 0usize..60, len, flags, any::<Option<u32>>(), 0u32..30).prop_map(
        |(seq, near, captured, len, (syn, fin, odd, is_near, again), acked, seconds)| Wild {
            seq,
            near,
            captured,
            len,
            flags: [syn, fin, odd, is_near, again],
            acked,
            seconds,
        },
    )
}

/// Follows offsets without keeping bytes: gaps may be of gigabytes here.
#[derive(Default)]
struct Offsets {
    next: u64,
    /// Nothing is handed on any more but the end.
    skipped: bool,
}

impl StreamSink for Offsets {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert!(offset == self.next && !self.skipped);
        self.next += bytes.len() as u64;
    }

    fn gap(&mut self, gap: Gap) {
        assert!(gap.offset == self.next && !self.skipped);
        self.next += gap.len;
    }

    fn end(&mut self, offset: u64) {
        assert!(offset == self.next || self.skipped);
    }
}
