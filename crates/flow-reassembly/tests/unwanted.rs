//! Streams that nobody wants any more: every byte is in one counter, as it would be in a set of
//! offsets, and the end is where it is.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use flow_core::{Gap, GapReason, Timestamp};
use flow_reassembly::{Segment, StreamConfig, StreamReassembler, StreamSink};
use proptest::prelude::*;
use proptest::sample::select;

/// What is handed on before the bytes are not wanted any more, and the end.
#[derive(Debug, Default)]
struct Out {
    bytes: u64,
    gaps: Vec<Gap>,
    ends: Vec<u64>,
}

impl StreamSink for Out {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert_eq!(offset, self.next());
        assert!(self.ends.is_empty());
        self.bytes += bytes.len() as u64;
    }

    fn gap(&mut self, gap: Gap) {
        assert_eq!(gap.offset, self.next());
        self.gaps.push(gap);
    }

    fn end(&mut self, offset: u64) {
        self.ends.push(offset);
    }
}

impl Out {
    fn next(&self) -> u64 {
        self.bytes + self.gaps.iter().map(|gap| gap.len).sum::<u64>()
    }
}

/// A stream, whose first byte may have any number, with what it hands on.
struct Run {
    stream: StreamReassembler,
    out: Out,
    config: StreamConfig,
    start: u32,
}

impl Run {
    fn new(start: u32) -> Self {
        let (stream, out) = (StreamReassembler::new(), Out::default());
        Self { stream, out, config: StreamConfig::default(), start }
    }

    fn segment(&mut self, from: u64, to: u64, captured: u64, fin: bool) {
        let seq = self.start.wrapping_add(u32::try_from(from).unwrap());
        let payload = vec![b'x'; usize::try_from(captured).unwrap()];
        let len = u32::try_from(to - from).unwrap();
        let ts = Timestamp::new(1, 0);
        let plain = Segment::plain(seq, &payload);
        let segment = Segment { len, fin, start: Some(self.start), ts, ..plain };
        self.stream.segment(&segment, &self.config, &mut self.out);
        self.check();
    }

    fn data(&mut self, from: u64, to: u64) {
        self.segment(from, to, to - from, false);
    }

    fn fin(&mut self, at: u64) {
        self.segment(at, at, 0, true);
    }

    fn acked(&mut self, upto: u64, seconds: u32) {
        let acked = self.start.wrapping_add(u32::try_from(upto).unwrap());
        let ts = Timestamp::new(seconds, 0);
        self.stream.progress(Some(acked), ts, &self.config, &mut self.out);
        self.check();
    }

    fn finish(&mut self) {
        self.stream.finish(&mut self.out);
        self.check();
    }

    fn check(&self) {
        let stats = self.stream.stats();
        assert_eq!(stats.delivered_bytes, self.out.bytes);
        assert_eq!(self.stream.is_ended(), self.out.ends.len() == 1);
        assert!(self.out.ends.len() <= 1, "the end is reported once");
    }

    /// Delivered, not delivered, missing.
    fn counts(&self) -> [u64; 3] {
        let stats = self.stream.stats();
        [stats.delivered_bytes, stats.undelivered_bytes, stats.total_gap_bytes()]
    }
}

const STARTS: [u32; 4] = [0, 1_000, u32::MAX - 20, 0x7fff_fff0];

/// Runs it wherever the numbers begin.
fn check(run: impl Fn(&mut Run), counts: [u64; 3], end: Option<u64>) {
    for start in STARTS {
        let mut it = Run::new(start);
        run(&mut it);
        it.finish();
        assert_eq!(it.counts(), counts, "{start}");
        assert_eq!(it.out.ends, Vec::from_iter(end));
        assert_eq!(it.stream.offset(), counts.iter().sum::<u64>());
        assert_eq!(it.stream.buffered_bytes(), 0);
    }
}

#[test]
fn b19_in_order() {
    let run = |it: &mut Run| {
        it.data(0, 10);
        it.stream.skip();
        it.data(10, 30);
        it.data(30, 31);
        assert_eq!(it.stream.offset(), 31);
        it.fin(31);
        assert_eq!(it.out.ends, [31]);
    };
    check(run, [10, 21, 0], Some(31));
}

#[test]
fn b19_from_the_beginning() {
    let run = |it: &mut Run| {
        it.stream.skip();
        it.data(0, 10);
        it.fin(10);
    };
    check(run, [0, 10, 0], Some(10));
    check(|it| it.stream.skip(), [0, 0, 0], None);
}

#[test]
fn b19_holes_that_are_filled() {
    let run = |it: &mut Run| {
        it.data(0, 10);
        it.data(20, 30);
        it.stream.skip();
        it.data(40, 50);
        assert_eq!(it.stream.offset(), 10);
        it.fin(50);
        it.data(10, 20);
        assert_eq!(it.stream.offset(), 30);
        it.data(25, 45);
        assert_eq!(it.out.ends, [50]);
    };
    check(run, [10, 40, 0], Some(50));
}

#[test]
fn b19_holes_that_are_not() {
    let run = |it: &mut Run| {
        it.stream.skip();
        it.data(20, 30);
        it.data(5, 10);
        it.data(40, 50);
    };
    check(run, [0, 25, 25], None);
    let run = |it: &mut Run| {
        it.stream.skip();
        it.data(5, 10);
        it.fin(30);
        assert!(it.out.ends.is_empty(), "there are holes in front of it");
    };
    check(run, [0, 5, 25], Some(30));
}

#[test]
fn b19_the_end_comes_once_its_holes_are_given_up() {
    let run = |it: &mut Run| {
        it.data(0, 5);
        it.stream.skip();
        for from in [10, 20, 30, 40, 50] {
            it.data(from, from + 2);
        }
        it.fin(52);
        // One after the other, since each is waited for.
        (1..=6).for_each(|times| it.acked(53, 40 * times));
        assert_eq!((it.stream.offset(), it.out.ends.len()), (52, 1));
        assert!(it.out.gaps.is_empty(), "nobody wants to know");
        let gaps = it.stream.stats().gap_bytes;
        assert_eq!((gaps[GapReason::Acked.index()], gaps[GapReason::End.index()]), (37, 0));
    };
    check(run, [5, 10, 37], Some(52));
    // By time alone.
    let run = |it: &mut Run| {
        it.stream.skip();
        it.data(10, 12);
        it.fin(12);
        it.acked(0, 2);
        it.acked(0, 11);
        assert!(it.out.ends.is_empty());
        it.acked(0, 12);
        assert_eq!(it.out.ends, [12]);
    };
    check(run, [0, 2, 10], Some(12));
}

#[test]
fn b19_repeats() {
    for start in STARTS {
        let mut it = Run::new(start);
        it.data(0, 10);
        it.data(20, 30);
        it.stream.skip();
        it.data(20, 30);
        it.data(0, 12);
        it.data(25, 35);
        it.data(15, 40);
        it.data(15, 40);
        it.data(12, 15);
        it.data(2, 40);
        it.finish();
        assert_eq!(it.counts(), [10, 30, 0]);
        let stats = it.stream.stats();
        assert_eq!(stats.retransmitted_bytes, 10 + 10 + 5 + 15 + 25 + 38);
        assert_eq!(stats.retransmitted_segments, 6);
        assert_eq!((stats.out_of_order_segments, stats.conflicting_bytes), (5, 0));
    }
}

#[test]
fn b19_bytes_that_come_when_they_are_not_waited_for_any_more() {
    for start in STARTS {
        let mut it = Run::new(start);
        it.data(0, 10);
        it.stream.skip();
        for from in [20, 22, 24, 26, 28] {
            it.data(from, from + 2);
            it.acked(10, 1);
        }
        it.acked(30, 2);
        it.acked(30, 3);
        it.data(5, 25);
        it.finish();
        assert_eq!(it.counts(), [10, 10, 10]);
        let stats = it.stream.stats();
        assert_eq!((stats.late_bytes, stats.retransmitted_bytes), (10, 10));
    }
}

/// Ranges cost memory, too: the oldest hole is given up, and the bytes are counted all the same.
#[test]
fn f1_b19_more_holes_than_there_is_room_for() {
    for start in STARTS {
        let mut it = Run::new(start);
        it.stream.skip();
        let max = it.config.max_segments as u64;
        for at in 0..2 * max {
            it.data(10 * at + 1, 10 * at + 2);
            assert!(it.stream.buffered_bytes() <= 16 * usize::try_from(max).unwrap());
        }
        assert_eq!(it.stream.offset(), 10 * (max - 1) + 2);
        assert!(it.stream.has_overflowed());
        let stats = it.stream.stats();
        assert_eq!(stats.gaps[GapReason::Budget.index()], max);
        it.finish();
        let len = 20 * max - 8;
        assert_eq!(it.counts(), [0, 2 * max, len - 2 * max]);
        assert_eq!(it.stream.offset(), len);
    }
}

/// It waits for nothing, so there is nothing to look after.
#[test]
fn b19_in_order_there_is_nothing_to_wait_for() {
    let mut it = Run::new(7);
    it.data(0, 5);
    it.data(9, 12);
    assert!(it.stream.is_waiting());
    it.stream.skip();
    assert!(it.stream.is_waiting(), "for the hole");
    it.data(5, 9);
    assert!(!it.stream.is_waiting());
    assert_eq!(it.stream.waiting_since(), None);
}

/// The FIN comes behind bytes that lie beyond it, or in front of them.
#[test]
fn b18_b19_the_end_is_where_the_fin_is() {
    for fin_first in [false, true] {
        let mut it = Run::new(u32::MAX - 12);
        it.data(0, 5);
        it.stream.skip();
        if fin_first {
            it.fin(15);
        }
        it.data(10, 20);
        it.data(30, 40);
        it.fin(15);
        it.data(5, 10);
        assert_eq!((it.out.ends.as_slice(), it.stream.offset()), (&[15][..], 15));
        it.finish();
        assert_eq!((it.out.ends.len(), it.stream.offset()), (1, 15));
        assert_eq!(it.stream.stats().total_gap_bytes(), 0);
    }
}

/// What was cut off was on the wire, and is not missing.
#[test]
fn b16_b19_bytes_that_were_cut_off() {
    let mut it = Run::new(7);
    it.stream.skip();
    it.segment(0, 100, 60, false);
    it.segment(150, 200, 10, false);
    it.data(100, 150);
    it.fin(200);
    assert_eq!((it.counts(), it.out.ends.as_slice()), ([0, 120, 0], &[200][..]));
}

/// What a stream is told; offsets are those of its bytes.
#[derive(Clone, Debug)]
enum Call {
    Data(u64, u64),
    Acked(u64),
    Skip,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        20 => (0..400_u64, 1..60_u64).prop_map(|(from, len)| Call::Data(from, from + len)),
        2 => (0..460_u64).prop_map(Call::Acked),
        2 => Just(Call::Skip),
    ];
    proptest::collection::vec(call, 1..40)
}

/// The beginning is known from the SYN, whether anybody wants the bytes or not.
#[test]
fn b19_a_fin_is_all_that_comes() {
    let mut it = Run::new(7);
    it.stream.skip();
    it.fin(0);
    assert_eq!(it.out.ends, [0]);
}

proptest! {
    /// What is delivered, what is not, and what is missing is all there is; each byte is counted
    /// once, however often and in whatever order it comes.
    #[test]
    fn b19_counts_are_those_of_a_set_of_offsets(
        calls in calls(),
        start in select(STARTS.to_vec()),
        has_fin in any::<bool>(),
        fin_at in any::<proptest::sample::Index>(),
    ) {
        let mut it = Run::new(start);
        // An acknowledged hole is given up at once.
        it.config.ack_grace = Duration::ZERO;
        it.config.reorder_segments = 0;
        let fin = calls.iter().map(|call| if let Call::Data(_, to) = call { *to } else { 0 }).max();
        let fin = fin.filter(|_| has_fin);
        let fin_at = fin_at.index(calls.len());
        let mut there = BTreeSet::new();
        let mut again = 0;
        let mut is_wanted = true;
        let mut delivered = 0;
        for (at, call) in calls.iter().enumerate() {
            if let (Some(fin), true) = (fin, at == fin_at) {
                it.fin(fin);
            }
            match *call {
                Call::Data(from, to) => {
                    // Whether it comes late is told by the stream itself.
                    let next = it.stream.offset();
                    let late = it.stream.stats().late_bytes;
                    let keep_alives = it.stream.stats().keep_alives;
                    it.data(from, to);
                    let stats = it.stream.stats();
                    let late = stats.late_bytes - late + stats.keep_alives - keep_alives;
                    let behind = (from.max(next)..to).filter(|at| !there.contains(at)).count() as u64;
                    again += to - from - late - behind;
                    there.extend(from.max(next)..to);
                }
                Call::Acked(upto) => it.acked(upto, 1),
                Call::Skip => {
                    is_wanted = false;
                    it.stream.skip();
                }
            }
            let next = it.stream.offset();
            let counts = it.counts();
            if is_wanted {
                delivered = counts[0];
            }
            prop_assert_eq!(counts[0], delivered, "nothing is handed on any more");
            let waits = there.range(next..).count() as u64;
            let not_counted = if is_wanted { 0 } else { waits };
            prop_assert_eq!(counts.iter().sum::<u64>(), next + not_counted);
            prop_assert_eq!(counts[0] + counts[1] + if is_wanted { waits } else { 0 }, there.len() as u64);
            prop_assert!(!is_wanted || counts[1] == 0);
            if !is_wanted {
                prop_assert_eq!(it.stream.buffered_bytes() % 16, 0);
            }
            prop_assert_eq!(it.out.ends.is_empty(), fin.is_none_or(|fin| at < fin_at || next < fin));
            prop_assert_eq!(it.stream.stats().retransmitted_bytes, again);
        }
        it.finish();
        let last = there.last().map_or(0, |last| last + 1);
        let [handed_on, passed, missing] = it.counts();
        prop_assert_eq!(it.stream.offset(), fin.unwrap_or(last).max(it.stream.offset().min(last)));
        prop_assert_eq!(handed_on + passed, there.len() as u64);
        prop_assert_eq!(handed_on + passed + missing, it.stream.offset());
        prop_assert_eq!(it.out.ends, Vec::from_iter(fin));
        prop_assert_eq!(it.stream.stats().unique_bytes(), there.len() as u64);
    }
}
