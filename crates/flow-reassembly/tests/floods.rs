//! The worst that segments can do, by the thousand: memory and the number of queued segments stay
//! bounded after each of them, and every byte is the right one or named missing.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/loads.rs"]
mod loads;

use flow_core::{Gap, GapReason};
use flow_reassembly::{OverlapPolicy, Segment, StreamConfig, StreamReassembler, StreamSink};
use proptest::prelude::*;
use proptest::sample::select;

use self::common::{Call, Model, POLICIES, Piece, Run, accounted};
use self::loads::{At, LOADS, Load};

/// Segments of each load: several times what the queue holds.
const SEGMENTS: u32 = 3_000;
/// Memory accounted for each queued segment besides its bytes.
const OVERHEAD: usize = 64;
/// The least that a growing vector of bytes takes.
const SMALLEST: usize = 8;

/// The byte at an offset, whoever sends it.
fn truth(offset: usize) -> u8 {
    u8::try_from(offset % 251).unwrap()
}

/// Which bytes came and were not handed on yet, and in how many runs they lie.
#[derive(Default)]
struct Waiting {
    came: Vec<bool>,
    next: usize,
    bytes: usize,
    runs: usize,
    delivered: u64,
    missing: u64,
}

impl Waiting {
    fn has(&self, offset: usize) -> bool {
        offset >= self.next && self.came.get(offset).is_some_and(|&came| came)
    }

    fn add(&mut self, At { offset, len }: At) {
        let end = (offset + len) as usize;
        self.came.resize(self.came.len().max(end), false);
        for at in self.next.max(offset as usize)..end {
            if !self.has(at) {
                let joins = usize::from(at > 0 && self.has(at - 1)) + usize::from(self.has(at + 1));
                self.runs = self.runs + 1 - joins;
                self.bytes += 1;
                self.came[at] = true;
            }
        }
    }

    /// Goes on behind the next `len` bytes, all of which came, or none.
    fn step(&mut self, len: usize, came: bool) {
        let end = self.next + len;
        assert!((self.next..end).all(|at| self.has(at) == came), "{}..{end}", self.next);
        if came {
            self.bytes -= len;
            self.runs -= usize::from(!self.has(end));
        }
        self.next = end;
    }
}

impl StreamSink for Waiting {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert_eq!(offset, self.next as u64);
        let right = |(at, &byte): (usize, &u8)| byte == truth(at);
        assert!((self.next..).zip(bytes).all(right), "offset {offset}: {bytes:?}");
        self.step(bytes.len(), true);
        self.delivered += bytes.len() as u64;
    }

    fn gap(&mut self, gap: Gap) {
        assert_eq!(gap.offset, self.next as u64);
        self.step(usize::try_from(gap.len).unwrap(), false);
        self.missing += gap.len;
    }

    fn end(&mut self, _offset: u64) {
        panic!("there is no FIN");
    }
}

/// What is to be seen of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// It never waits for anything.
    InOrder,
    /// What waits stays below the limits, so that nothing is missing.
    Whole,
    /// The limits are reached, and holes given up.
    Bounded,
}

/// Sends a load to a stream of each policy. `queued` is what is to be seen where segments are put
/// together, `by_start` where each keeps its own beginning.
#[track_caller]
fn check(name: &str, queued: Expected, by_start: Expected) {
    let load = LOADS.iter().find(|load| load.name == name).expect("there is such a load");
    for policy in POLICIES {
        let by_start_wins = matches!(policy, OverlapPolicy::StartBefore { .. });
        let expected = if by_start_wins { by_start } else { queued };
        let mut config = StreamConfig::default();
        assert_eq!(play(load, policy, &config), expected, "{name}, {policy:?}");
        // Far below what so many segments would take.
        config.max_buffer = 10_000;
        let expected = if expected == InOrder { InOrder } else { Bounded };
        assert_eq!(play(load, policy, &config), expected, "{name}, {policy:?}, less memory");
    }
}

#[track_caller]
fn play(load: &Load, policy: OverlapPolicy, config: &StreamConfig) -> Expected {
    let segments = load.segments(SEGMENTS);
    assert!(segments.len() >= SEGMENTS as usize);
    let bytes: Vec<u8> = (0..longest_end(&segments)).map(truth).collect();
    let mut stream = StreamReassembler::new().with_overlap_policy(policy);
    let (mut waiting, mut sent) = (Waiting::default(), 0);
    // Where the limit of segments is, whatever waits can take no more than this.
    let at_most =
        |waiting: &Waiting| config.max_segments * (OVERHEAD + SMALLEST) + 2 * waiting.bytes;
    for &at in &segments {
        let payload = &bytes[at.offset as usize..(at.offset + at.len) as usize];
        waiting.add(at);
        sent += u64::from(at.len);
        let segment = Segment { start: Some(0), ..Segment::plain(at.offset, payload) };
        stream.segment(&segment, config, &mut waiting);

        let taken = stream.buffered_bytes();
        assert!(taken <= config.max_buffer, "{taken} bytes");
        assert!(waiting.runs <= config.max_segments, "{} runs", waiting.runs);
        assert!(taken <= at_most(&waiting), "{taken} bytes for {}", waiting.bytes);
        assert!(taken >= waiting.bytes + OVERHEAD * waiting.runs, "{taken} bytes accounted");
        assert_eq!(waiting.next as u64, stream.offset());
    }
    stream.finish(&mut waiting);
    let stats = stream.stats();
    assert_eq!(
        (stats.delivered_bytes, stats.total_gap_bytes()),
        (waiting.delivered, waiting.missing)
    );
    assert_eq!(waiting.delivered + waiting.missing, stream.offset());
    assert_eq!((waiting.bytes, waiting.runs, stream.buffered_bytes()), (0, 0, 0));
    assert_eq!(accounted(&stream), sent, "every byte is in one counter");
    assert_eq!(stats.conflicting_bytes, 0);
    assert_eq!(stream.has_overflowed(), waiting.missing > 0);
    match (stats.out_of_order_segments, stream.has_overflowed()) {
        (0, false) => Expected::InOrder,
        (_, false) => Expected::Whole,
        (_, true) => Expected::Bounded,
    }
}

fn longest_end(segments: &[At]) -> usize {
    segments.iter().map(|at| (at.offset + at.len) as usize).max().unwrap_or(0)
}

use Expected::{Bounded, InOrder, Whole};

#[test]
fn one_percent_late() {
    check("one_percent_late", Whole, Whole);
}

#[test]
fn one_byte_in_order() {
    check("one_byte_in_order", InOrder, InOrder);
}

#[test]
fn one_byte_forward() {
    check("one_byte_forward", Whole, Bounded);
}

#[test]
fn one_byte_every_second() {
    check("one_byte_every_second", Bounded, Bounded);
}

#[test]
fn one_byte_reverse() {
    check("one_byte_reverse", Bounded, Bounded);
}

#[test]
fn one_byte_reverse_in_blocks() {
    check("one_byte_reverse_in_blocks", Whole, Whole);
}

#[test]
fn one_byte_random() {
    check("one_byte_random", Bounded, Bounded);
}

#[test]
fn one_byte_random_nearby() {
    check("one_byte_random_nearby", Bounded, Bounded);
}

#[test]
fn full_over_alternating() {
    check("full_over_alternating", Whole, Whole);
}

#[test]
fn longest_over_alternating() {
    check("longest_over_alternating", Whole, Whole);
}

#[test]
fn grow_and_bridge() {
    check("grow_and_bridge", Bounded, Bounded);
}

#[test]
fn full_again_over_crumbs() {
    check("full_again_over_crumbs", Whole, Bounded);
}

#[test]
fn shave_the_longest() {
    check("shave_the_longest", Whole, Whole);
}

#[test]
fn every_load_is_checked() {
    let tests = include_str!("floods.rs");
    for Load { name, .. } in LOADS {
        assert!(tests.contains(&format!("check(\"{name}\", ")), "{name}");
    }
}

/// The packets that runs of bytes are said to come from, and gaps.
#[derive(Default)]
struct Origins(Vec<(u64, usize, u64)>, Vec<(u64, u64, GapReason)>);

impl StreamSink for Origins {
    fn data(&mut self, offset: u64, bytes: &[u8], packet: u64) {
        self.0.push((offset, bytes.len(), packet));
    }

    fn gap(&mut self, gap: Gap) {
        self.1.push((gap.offset, gap.len, gap.reason));
    }

    fn end(&mut self, _offset: u64) {}
}

/// A hundred crumbs from `first` on, two bytes apart, the last of which the snap length cut nine
/// bytes off; a segment over them up to the end of that; the bytes in front, and what follows.
#[track_caller]
fn check_origins(first: u32, expected: &[(u64, usize, u64)]) {
    let config = StreamConfig::default();
    let (mut stream, mut origins) = (StreamReassembler::new(), Origins::default());
    let mut send = |packet, offset: u32, captured: usize, cut: u32| {
        let payload = vec![b'x'; captured];
        let plain = Segment::plain(offset, &payload);
        let segment = Segment { start: Some(0), packet, len: plain.len + cut, ..plain };
        stream.segment(&segment, &config, &mut origins);
    };
    for number in 0..100 {
        let cut = if number == 99 { 9 } else { 0 };
        send(u64::from(number), first + 2 * number, 1, cut);
    }
    let end = first + 2 * 99 + 1;
    send(1_000, 10, (end - 10) as usize, 0);
    send(2_000, 0, 10, 0);
    send(3_000, end + 9, 5, 0);
    let lost = (u64::from(end), 9, GapReason::Snaplen);
    assert_eq!((origins.0.as_slice(), origins.1.as_slice()), (expected, &[lost][..]));
}

#[test]
fn covered_segments_keep_the_packet_of_the_first_byte_and_what_was_cut_off() {
    // The first crumb brought the first byte; then the segment over them did.
    check_origins(10, &[(0, 10, 2_000), (10, 199, 0), (218, 5, 3_000)]);
    check_origins(11, &[(0, 10, 2_000), (10, 200, 1_000), (219, 5, 3_000)]);
}

/// Crumbs of a byte or two, hundreds of them, and longer segments over any part of them.
fn crumbs_and_covers() -> impl Strategy<Value = Vec<Call>> {
    let piece = |offset: usize, bytes| Call::Data(Piece { offset: offset + 1, bytes });
    let crumb = (0usize..600, proptest::collection::vec(any::<u8>(), 1..3));
    let cover = (0usize..600, proptest::collection::vec(any::<u8>(), 60..500));
    let crumbs = proptest::collection::vec(crumb, 100..400);
    let covers = proptest::collection::vec((cover, any::<prop::sample::Index>()), 1..6);
    (crumbs, covers, any::<Option<u8>>()).prop_map(move |(crumbs, covers, first)| {
        let mut calls: Vec<_> = crumbs.into_iter().map(|(at, bytes)| piece(at, bytes)).collect();
        for ((at, bytes), place) in covers {
            // Not among the first: there is nothing to cover yet.
            calls.insert(calls.len() - place.index(calls.len() / 2), piece(at, bytes));
        }
        let first = first.map(|byte| Call::Data(Piece { offset: 0, bytes: vec![byte] }));
        calls.into_iter().chain(first).collect()
    })
}

proptest! {
    /// A segment that covers a crowd of others is one with them afterwards. Which bytes win, and
    /// what is counted, is as if it were not.
    #[test]
    fn crumbs_under_contradicting_segments(
        calls in crumbs_and_covers(),
        policy in select(POLICIES.to_vec()),
        isn in any::<u32>(),
    ) {
        let (mut run, mut model) = (Run::new(policy, isn), Model::new(policy));
        for call in &calls {
            run.call(call);
            model.call(call);
            prop_assert_eq!(run.out.bytes.len(), model.bytes.len());
            prop_assert_eq!(run.stream.stats().conflicting_bytes, model.conflicting);
            prop_assert!(model.waiting() + OVERHEAD * model.runs() <= run.stream.buffered_bytes());
        }
        run.finish();
        model.finish();
        prop_assert_eq!(&run.out.bytes, &model.bytes);
    }
}
