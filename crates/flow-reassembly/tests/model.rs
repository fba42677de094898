//! The reassembler against an obviously right model: one optional byte per stream offset. What
//! comes out is compared after every call.

#![allow(clippy::unwrap_used)]

mod common;

use flow_reassembly::OverlapPolicy;
use proptest::prelude::*;
use proptest::sample::select;

use self::common::{Call, Model, POLICIES, Piece, Run, calls, piece};

/// Runs the calls through the reassembler and the model.
fn check(calls: &[Call], policy: OverlapPolicy, isn: u32) -> Run {
    let (mut run, mut model) = (Run::new(policy, isn), Model::new(policy));
    let mut same = 0;
    for call in calls {
        run.call(call);
        model.call(call);
        if model.may_end(call) {
            model.skip_to(run.out.bytes.len());
        }
        same = compare(&run, &model, same);
    }
    run.finish();
    model.finish();
    compare(&run, &model, 0);
    run
}

/// What came since `same` bytes were compared; before them, nothing ever changes.
fn compare(run: &Run, model: &Model, same: usize) -> usize {
    assert_eq!(run.out.bytes[same..], model.bytes[same..]);
    assert_eq!(run.out.ends, model.ends);
    assert_eq!(run.stream.stats().conflicting_bytes, model.conflicting);
    model.bytes.len()
}

/// The same without comparing anything.
fn run(calls: &[Call], policy: OverlapPolicy, isn: u32) -> Run {
    let mut run = Run::new(policy, isn);
    calls.iter().for_each(|call| run.call(call));
    run.finish();
    run
}

/// A stream, cut into segments in any order, some of them several times or overlapping each other,
/// and its FIN somewhere among them.
fn whole_stream() -> impl Strategy<Value = (Vec<u8>, Vec<Call>)> {
    let index = any::<prop::sample::Index>;
    let cuts = proptest::collection::vec(index(), 0..40);
    let extra = proptest::collection::vec((index(), 1usize..300), 0..20);
    (proptest::collection::vec(any::<u8>(), 1..2_000), cuts, extra).prop_flat_map(
        |(stream, cuts, extra)| {
            let len = stream.len();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(len)).collect();
            cuts.extend([0, len]);
            cuts.sort_unstable();
            cuts.dedup();
            let extra = extra.iter().map(|(at, long)| (at.index(len), at.index(len) + long));
            let ranges = cuts.windows(2).map(|cut| (cut[0], cut[1])).chain(extra);
            let piece = |(offset, end): (usize, usize)| {
                Call::Data(Piece { offset, bytes: stream[offset..end.min(len)].to_vec() })
            };
            let calls: Vec<Call> = ranges.map(piece).chain([Call::Fin(len)]).collect();
            (Just(stream), Just(calls).prop_shuffle())
        },
    )
}

proptest! {
    /// P1, P2: any segmentation, permutation, duplication and overlap of one stream gives the
    /// stream, whole.
    #[test]
    fn p1_same_bytes_in_any_order(
        (stream, calls) in whole_stream(),
        policy in select(POLICIES.to_vec()),
        isn in any::<u32>(),
    ) {
        let run = check(&calls, policy, isn);
        prop_assert_eq!(&run.out.bytes, &stream.iter().copied().map(Some).collect::<Vec<_>>());
        prop_assert_eq!(run.out.ends, 1);
        let stats = run.stream.stats();
        prop_assert_eq!(stats.conflicting_bytes, 0);
        prop_assert_eq!(stats.conflicting_segments, 0);
        prop_assert_eq!(stats.total_gap_bytes(), 0);
        prop_assert_eq!(stats.delivered_bytes, stream.len() as u64);
    }

    /// P3: with segments of one stream missing, every byte that came before its hole was given up
    /// is there, and gaps are where none came.
    #[test]
    fn p3_gaps_are_where_nothing_came(
        (stream, calls) in whole_stream(),
        lost in proptest::collection::vec(any::<bool>(), 1..60),
        acks in proptest::collection::vec(0usize..2_000, 0..5),
        isn in any::<u32>(),
    ) {
        let is_lost = |(at, _): &(usize, Call)| !lost[at % lost.len()];
        let mut calls: Vec<Call> =
            calls.into_iter().enumerate().filter(is_lost).map(|(_, call)| call).collect();
        for (at, upto) in acks.iter().enumerate() {
            calls.insert((upto * 7 + at) % (calls.len() + 1), Call::Ack(*upto));
        }
        let run = check(&calls, OverlapPolicy::First, isn);
        for (byte, &truth) in run.out.bytes.iter().zip(&stream) {
            prop_assert!(byte.is_none_or(|byte| byte == truth), "no byte is made up");
        }
        prop_assert!(run.out.bytes.len() <= stream.len());
    }

    /// P4: with bytes contradicting each other, the byte that the policy has win.
    #[test]
    fn p4_first(calls in calls(80, 1_500), isn in any::<u32>()) {
        check(&calls, OverlapPolicy::First, isn);
    }

    #[test]
    fn p4_last(calls in calls(80, 1_500), isn in any::<u32>()) {
        check(&calls, OverlapPolicy::Last, isn);
    }

    #[test]
    fn p4_start_before(
        calls in calls(80, 1_500),
        (tie_longer, tie_equal) in any::<(bool, bool)>(),
        isn in any::<u32>(),
    ) {
        check(&calls, OverlapPolicy::StartBefore { tie_longer, tie_equal }, isn);
    }

    /// The same where nearly every segment begins and ends where another one does.
    #[test]
    fn p4_ties(
        grid in proptest::collection::vec((0usize..8, 1usize..4, any::<u8>()), 1..12),
        policy in select(POLICIES.to_vec()),
    ) {
        let piece = |&(at, cells, byte): &(usize, usize, u8)| {
            Call::Data(Piece { offset: 3 * at + 1, bytes: vec![byte; 3 * cells] })
        };
        check(&grid.iter().map(piece).collect::<Vec<_>>(), policy, 0);
    }

    /// P5: the result and all that is counted does not depend on the initial sequence number.
    #[test]
    fn p5_any_sequence_number(
        calls in calls(60, 1_500),
        policy in select(POLICIES.to_vec()),
        isn in any::<u32>(),
        before_wrap in 0u32..1_600,
    ) {
        let [a, b, c] = [0, isn, u32::MAX - before_wrap].map(|isn| run(&calls, policy, isn));
        for other in [b, c] {
            prop_assert_eq!(&a.out.bytes, &other.out.bytes);
            prop_assert_eq!(&a.out.gaps, &other.out.gaps);
            prop_assert_eq!(a.stream.stats(), other.stream.stats());
        }
    }

    /// P6: nor on whether the segments come in one packet or in two, in either order. Of at least
    /// two bytes each: a single byte may be a keep-alive. Under other policies it may depend on it:
    /// the first half may fill the hole in front of bytes that the second would have replaced.
    #[test]
    fn p6_split_in_two(
        all in proptest::collection::vec((piece(600, 4), any::<prop::sample::Index>()), 1..60),
        swapped in any::<bool>(),
        isn in any::<u32>(),
    ) {
        let policy = OverlapPolicy::First;
        let (mut whole, mut split) = (Run::new(policy, isn), Run::new(policy, isn));
        for (piece, cut) in &all {
            let cut = 2 + cut.index(piece.bytes.len() - 3);
            let (front, back) = piece.bytes.split_at(cut);
            let mut halves = [
                Piece { offset: piece.offset, bytes: front.to_vec() },
                Piece { offset: piece.offset + cut, bytes: back.to_vec() },
            ];
            if swapped {
                halves.reverse();
            }
            whole.call(&Call::Data(piece.clone()));
            halves.into_iter().for_each(|half| split.call(&Call::Data(half)));
            prop_assert_eq!(&whole.out.bytes, &split.out.bytes);
            let [a, b] = [&whole, &split].map(|run| run.stream.stats());
            prop_assert_eq!(a.retransmitted_bytes, b.retransmitted_bytes);
        }
        whole.finish();
        split.finish();
        prop_assert_eq!(&whole.out.bytes, &split.out.bytes);
        prop_assert_eq!(&whole.out.gaps, &split.out.gaps);
    }

    /// P9: what was handed on never changes; under `First`, nor does what waits.
    #[test]
    fn p9_what_was_handed_on_stays(
        before in calls(40, 1_000),
        after in calls(40, 1_000),
        policy in select(POLICIES.to_vec()),
        isn in any::<u32>(),
    ) {
        let mut known = Run::new(policy, isn);
        before.iter().for_each(|call| known.call(call));
        let handed_on = known.out.bytes.clone();
        let first = run(&before, OverlapPolicy::First, isn);
        let all: Vec<Call> = before.into_iter().chain(after).collect();
        let whole = run(&all, policy, isn);
        prop_assert_eq!(&whole.out.bytes[..handed_on.len()], &handed_on[..]);
        if policy == OverlapPolicy::First {
            for (at, (was, is)) in first.out.bytes.iter().zip(&whole.out.bytes).enumerate() {
                prop_assert!(was.is_none() || was == is, "at offset {at}");
            }
        }
    }

    /// P10: delivering everything twice changes only how often it was sent, be it right away or
    /// all of it once more.
    #[test]
    fn p10_everything_twice(
        calls in calls(60, 1_500),
        policy in select(POLICIES.to_vec()),
        isn in any::<u32>(),
    ) {
        let once = run(&calls, policy, isn);
        let each: Vec<Call> = calls.iter().flat_map(|call| [call.clone(), call.clone()]).collect();
        let twice = run(&each, policy, isn);
        prop_assert_eq!(&once.out.bytes, &twice.out.bytes);
        prop_assert_eq!(&once.out.gaps, &twice.out.gaps);
        prop_assert_eq!(once.out.ends, twice.out.ends);
        let [a, b] = [&once, &twice].map(|run| run.stream.stats());
        prop_assert_eq!((a.gaps, a.gap_bytes), (b.gaps, b.gap_bytes));
        prop_assert_eq!(a.delivered_bytes, b.delivered_bytes);
    }

    /// The same for all calls once more after all of them; under `First` only, since an older copy
    /// of a byte that waits comes last the second time.
    #[test]
    fn p10_all_of_it_twice(calls in calls(60, 1_500), isn in any::<u32>()) {
        let is_data = |call: &&Call| matches!(call, Call::Data(_));
        let calls: Vec<Call> = calls.iter().filter(is_data).cloned().collect();
        let once = run(&calls, OverlapPolicy::First, isn);
        let twice = run(&[&calls[..], &calls[..]].concat(), OverlapPolicy::First, isn);
        prop_assert_eq!(&once.out.bytes, &twice.out.bytes);
        prop_assert_eq!(&once.out.gaps, &twice.out.gaps);
        prop_assert_eq!(once.stream.stats().delivered_bytes, twice.stream.stats().delivered_bytes);
    }

    /// P4 in a queue so full that segments which touch may be put together: behind 300 islands.
    #[test]
    fn p4_crowded(
        all in proptest::collection::vec(piece(400, 1), 1..40),
        policy in select(POLICIES.to_vec()),
    ) {
        let island = |at: usize| Call::Data(Piece { offset: 1_000 + 4 * at, bytes: vec![b'i'; 2] });
        let calls: Vec<Call> = (0..300)
            .map(island)
            .chain(all.into_iter().map(Call::Data))
            .collect();
        check(&calls, policy, 0);
    }
}
