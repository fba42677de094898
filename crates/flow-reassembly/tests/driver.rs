//! What the driver tells of streams besides their bytes, and where bytes are to be had once their
//! flow has ended.

#![allow(clippy::unwrap_used)]

#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use flow_core::{
    AnomalyKind, EndReason, FlowEvent, FlowSide, FlowStats, FlowTracker, FlowTrackerConfig,
    GapReason, OverflowPolicy, Timestamp,
};
use flow_reassembly::{BufferedReassembler, BufferedReassemblerFactory, FlowDriver, Reassembler};
use wire::{Frame, Wire, frames};

const HANDSHAKE: &str = "> S -1\n< SA -1 0\n> A 0 0\n";

const CLIENT: FlowSide = FlowSide::Initiator;
const SERVER: FlowSide = FlowSide::Responder;

type Driver<F = BufferedReassemblerFactory> = FlowDriver<Wire, F>;

fn letter(side: FlowSide, letter: char) -> char {
    if side == FlowSide::Initiator { letter } else { letter.to_ascii_lowercase() }
}

/// Anomalies of streams and ends: `O` for early segments, `C` for conflicting bytes, `G` for gaps,
/// `B` for a flush, `V` for an overflow, in lower case if the responder sent them.
fn describe(event: &FlowEvent<u32>) -> Option<String> {
    let kind = match event {
        FlowEvent::Anomaly { kind, .. } => kind,
        FlowEvent::Ended { reason, history, .. } => return Some(format!("{reason} {history}")),
        _ => return None,
    };
    Some(match *kind {
        AnomalyKind::OutOfOrderSegment { side, count } => format!("{}{count}", letter(side, 'O')),
        AnomalyKind::OverlapConflict { side, bytes } => format!("{}{bytes}", letter(side, 'C')),
        AnomalyKind::StreamGap { side, offset, bytes, count, reason } => {
            format!("{}{count}:{bytes}@{offset} {reason}", letter(side, 'G'))
        }
        AnomalyKind::BudgetFlush { side, bytes } => format!("{}{bytes}", letter(side, 'B')),
        AnomalyKind::BufferOverflow { side, bytes, .. } => format!("{}{bytes}", letter(side, 'V')),
        ref other => other.to_string(),
    })
}

/// Those of the tracker, as far as no stream has its say.
#[test]
fn events_are_those_of_the_tracker() {
    let mut config = FlowTrackerConfig::default();
    config.update_interval = Some(std::time::Duration::from_secs(5));
    let script = "> S -1\n< SA -1 0\n> A 0 0\n+6000 < A 0 0\n+6000 > A 0 0\n> FA 0 0\n< FA 0 1";
    let mut tracker = FlowTracker::new(Wire).with_config(config.clone());
    let mut driver: Driver =
        FlowDriver::new(Wire, BufferedReassemblerFactory::default()).with_config(config);
    let mut updates = 0;
    for frame in frames(script, [7, 9]) {
        let expected: Vec<_> = tracker.track(frame.view()).collect();
        let found: Vec<_> = driver.track(frame.view()).collect();
        assert_eq!(format!("{found:?}"), format!("{expected:?}"));
        let is_update = |event: &&FlowEvent<u32>| matches!(event, FlowEvent::Update { .. });
        updates += found.iter().filter(is_update).count();
    }
    assert_eq!(updates, 2);
}

/// What each packet brought, its number in front; that of the end is 0.
fn told<F>(mut driver: Driver<F>, script: &str) -> Vec<String>
where
    F: flow_reassembly::ReassemblerFactory<u32>,
{
    let mut all = Vec::new();
    for (number, frame) in (1..).zip(frames(script, [u32::MAX - 7, 9])) {
        let events: Vec<_> = driver.track(frame.view()).collect();
        let words = events.iter().filter_map(describe);
        all.extend(words.map(|word| format!("{number} {word}")));
    }
    let events: Vec<_> = driver.finish().collect();
    all.extend(events.iter().filter_map(describe).map(|word| format!("0 {word}")));
    all
}

fn plain() -> Driver {
    FlowDriver::new(Wire, BufferedReassemblerFactory::default()).with_emit_anomalies(true)
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    check_with(plain(), script, expected);
}

#[track_caller]
fn check_with<F>(driver: Driver<F>, script: &str, expected: &[&str])
where
    F: flow_reassembly::ReassemblerFactory<u32>,
{
    // Packets are told apart by their numbers, those of the handshake not counted.
    let all = told(driver, &format!("{HANDSHAKE}{script}"));
    let expected: Vec<String> = expected.iter().map(|&word| word.to_owned()).collect();
    let renumbered = all.iter().map(|word| {
        let (number, rest) = word.split_once(' ').unwrap();
        format!("{} {rest}", number.parse::<usize>().unwrap().saturating_sub(3))
    });
    assert_eq!(renumbered.collect::<Vec<_>>(), expected, "{script}");
}

#[test]
fn nothing_out_of_the_ordinary() {
    check("> PA 0 0 hello\n< PA 0 5 hi\n> PA 0 0 hello\n> FA 5 2", &["0 eof ShADdTF"]);
}

#[test]
fn the_first_early_segment_at_once_and_the_others_later() {
    let three = "> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n";
    let filled = "> PA 0 0 AA\n> PA 3 0 C\n> PA 5 0 E\n";
    // With the next of a later tick, and if there is none, before the end.
    check(
        &format!("{three}{filled}+1000 > PA 8 0 H\n> PA 7 0 G\n+1000 > PA 9 0 I"),
        &["1 O1", "7 O3", "0 eof ShADT"],
    );
    check(&format!("{three}{filled}+1000 > PA 7 0 G"), &["1 O1", "0 O2", "0 eof ShADT"]);
    // Ticks begin where the clock's seconds do, not with the first of them, at 1,000,004 ms.
    let next = "> PA 2 0 B\n> PA 4 0 D\n+994 > PA 6 0 F\n> PA 8 0 H\n> PA 0 0 AA";
    check(next, &["1 O1", "4 O3", "0 G3:3@3 end", "0 eof ShADTG"]);
}

#[test]
fn what_is_told_of_later_ticks() {
    check(
        "> PA 2 0 B\n> PA 4 0 D\n+1000 > PA 6 0 F\n> PA 8 0 H\n> PA 10 0 J\n+3000 > PA 12 0 L\n\
         > PA 0 0 AA\n> PA 3 0 C",
        &["1 O1", "3 O2", "6 O3", "0 G4:4@5 end", "0 eof ShADTG"],
    );
}

#[test]
fn b9_conflicting_bytes() {
    check(
        "> PA 5 0 BBBBB\n> PA 5 0 EVILL\n> PA 7 0 XX\n> PA 9 0 B\n> PA 9 0 Y\n+1000 > PA 0 0 AAAAA",
        &["1 O1", "2 C5", "0 O4", "0 C3", "0 eof ShADT"],
    );
}

#[test]
fn b3_gaps_one_by_one_and_altogether() {
    let holes = "> PA 2 0 B\n> PA 5 0 E\n> PA 9 0 I\n> PA 14 0 N\n> PA 15 0 O\n";
    // Acknowledged, and long enough ago.
    check(
        &format!(
            "{holes}< A 0 16\n+60000 < A 0 16\n> PA 16 0 P\n+60000 > PA 17 0 Q\n+60000 > PA 18 0 R\n+60000 > PA 19 0 S"
        ),
        &[
            "1 O1",
            "7 O4",
            "7 G1:2@0 acked",
            "9 O2",
            "9 G1:2@3 acked",
            "10 O1",
            "10 G1:3@6 acked",
            "11 O1",
            "11 G1:4@10 acked",
            "0 eof ShADaG",
        ],
    );
}

/// A gap of another reason is of another kind.
#[test]
fn b3_b16_each_reason_by_itself() {
    check(
        "> PA 0 0 AA len=4\n> PA 4 0 B len=3\n> PA 7 0 C\n> PA 10 0 D\n> PA 20 0 E\n> FA 30 0",
        &["2 G1:2@2 snaplen", "4 O1", "0 O1", "0 G1:2@5 snaplen", "0 G3:20@8 end", "0 eof ShADGF"],
    );
}

#[test]
fn of_the_other_side() {
    check(
        "< PA 2 0 B\n< PA 2 0 E\n> PA 2 0 b\n< FA 9 0",
        &["1 o1", "2 c1", "3 O1", "0 G1:2@0 end", "0 o1", "0 g2:8@0 end", "0 eof ShAdtDfGg"],
    );
}

/// One gap is one letter.
#[test]
fn history_has_the_gap_of_each_side() {
    let stats = |script: &str| {
        let mut driver = FlowDriver::new(Wire, BufferedReassemblerFactory::default());
        let mut history = String::new();
        for frame in frames(&format!("{HANDSHAKE}{script}"), [5, 7]) {
            driver.track(frame.view()).for_each(drop);
        }
        for event in driver.finish() {
            if let FlowEvent::Ended { history: letters, .. } = event {
                history = letters.to_string();
            }
        }
        history
    };
    // Without anomalies being reported, too.
    assert_eq!(stats("> PA 5 0 B\n< PA 5 0 B"), "ShADdGg");
    assert_eq!(stats("< PA 5 0 B"), "ShAdg");
    assert_eq!(stats("> PA 0 0 B len=3\n> PA 3 0 C"), "ShADG");
    assert_eq!(stats("> PA 0 0 B\n< A 0 9"), "ShADaG");
    assert_eq!(stats("> PA 0 0 B\n< A 0 1"), "ShADa");
}

fn flooded(max_segments_bytes: usize) -> Driver {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembler_buffer = Some(max_segments_bytes);
    plain().with_config(config)
}

#[test]
fn f3_a_full_queue() {
    // Room for two segments.
    check_with(
        flooded(150),
        "> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n> PA 8 0 H\n> PA 10 0 J\n+1000 > PA 12 0 L",
        &[
            "1 O1",
            "3 B2",
            "3 G1:2@0 budget",
            "6 O5",
            "6 B3",
            "6 G3:3@3 budget",
            "0 G2:2@9 end",
            "0 eof ShADG",
        ],
    );
}

#[test]
fn f2_memory_for_all_of_them() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembly_total = 400;
    let script =
        "> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n> PA 8 0 H\n> PA 10 0 J\n> PA 12 0 L\n> PA 14 0 N";
    check_with(
        plain().with_config(config),
        script,
        &["1 O1", "7 B8", "7 G7:8@0 budget", "0 O6", "0 eof ShADG"],
    );
}

#[test]
fn f3_nobody_takes_the_bytes() {
    let script = "> PA 0 0 x=100\n> PA 100 0 x=30\n> PA 130 0 x=20\n< PA 0 150 x=110\n\
                  +1000 > PA 150 0 x=7\n> PA 157 0 x=3\n> PA 160 0 x=300";
    check_with(flooded(100), script, &["2 V30", "4 v10", "5 V27", "0 V303", "0 eof ShADd"]);
    // In a packet that ends the flow, and behind its last gap.
    check_with(
        flooded(100),
        "> PA 0 0 x=60\n> PA 65 0 x=20\n> PA 85 0 x=2\n> PA 90 0 x=9\n> FA 99 0\n> R 100",
        &["2 O1", "3 B5", "3 G1:5@60 budget", "0 O2", "0 G1:3@87 end", "0 rst ShADGFR"],
    );
    check_with(
        flooded(200),
        "> PA 0 0 x=190\n> PA 195 0 x=20\n< A 0 215",
        &["2 O1", "0 G1:5@190 acked", "0 V10", "0 eof ShADaG"],
    );
}

/// The flow ends with the packet that is too much, and says so once.
#[test]
fn f3_a_flow_that_is_dropped() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembler_buffer = Some(100);
    config.overflow_policy = OverflowPolicy::DropFlow;
    check_with(
        plain().with_config(config),
        "> PA 0 0 x=100\n> PA 100 0 x=30\n> PA 130 0 x=20",
        &["2 V30", "2 overflow ShAD", "0 eof D"],
    );
}

/// All kinds of trouble on both sides, with pauses of so many milliseconds.
fn trouble(pause: u32) -> String {
    let mut script = HANDSHAKE.to_owned();
    for at in 0..200 {
        let from = 10 * at + at % 7;
        let size = 1 + at * 5 % 13;
        script += &format!("+{pause} > PA {from} 0 {}\n", ["a", "b", "c"][at % 3].repeat(size));
        script += &format!("< PA {} {from} {}\n", 3 * from, "y".repeat(size));
        if at % 11 == 10 {
            script += &format!("> PA {} 0 zz\n", from.saturating_sub(20));
        }
    }
    script
}

/// What was told of a side, as [`FlowStats`] has it: early segments, conflicting bytes, bytes in
/// gaps and their number, dropped bytes, bytes in holes given up for want of memory.
type Sums = [u64; 6];

fn add(sums: &mut [Sums; 2], kind: &AnomalyKind) {
    let (side, counts) = match *kind {
        AnomalyKind::OutOfOrderSegment { side, count } => (side, [count, 0, 0, 0, 0, 0]),
        AnomalyKind::OverlapConflict { side, bytes } => (side, [0, bytes, 0, 0, 0, 0]),
        AnomalyKind::StreamGap { side, bytes, count, .. } => (side, [0, 0, bytes, count, 0, 0]),
        AnomalyKind::BufferOverflow { side, bytes, .. } => (side, [0, 0, 0, 0, bytes, 0]),
        AnomalyKind::BudgetFlush { side, bytes } => (side, [0, 0, 0, 0, 0, bytes]),
        _ => return,
    };
    assert!(counts.iter().any(|&count| count > 0), "{kind:?}");
    sums[side.index()].iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

fn counted(stats: &FlowStats, side: FlowSide) -> Sums {
    let tcp = stats.tcp.side(side);
    let dropped = match side {
        FlowSide::Initiator => stats.reassembly_bytes_dropped_oversize_initiator,
        FlowSide::Responder => stats.reassembly_bytes_dropped_oversize_responder,
    };
    [
        tcp.out_of_order_segments,
        tcp.conflicting_bytes,
        tcp.total_gap_bytes(),
        tcp.gaps.iter().sum(),
        dropped,
        tcp.gap_bytes[GapReason::Budget.index()],
    ]
}

/// Nothing twice, nothing left out, whenever packets come.
#[test]
fn all_that_is_told_is_all_that_is_counted() {
    for pause in [0, 1, 30, 300, 999, 1_000, 1_001, 5_000] {
        let (mut sums, mut stats) = ([Sums::default(); 2], None);
        let mut kinds = Vec::new();
        let mut take = |event: FlowEvent<u32>| match event {
            FlowEvent::Anomaly { kind, ts, .. } => {
                assert!(stats.is_none(), "nothing comes behind the end");
                add(&mut sums, &kind);
                let what = std::mem::discriminant(&kind);
                let reason = match kind {
                    AnomalyKind::StreamGap { side, reason, .. } => Some((side, Some(reason))),
                    AnomalyKind::OutOfOrderSegment { side, .. }
                    | AnomalyKind::BudgetFlush { side, .. }
                    | AnomalyKind::OverlapConflict { side, .. }
                    | AnomalyKind::BufferOverflow { side, .. } => Some((side, None)),
                    _ => None,
                };
                kinds.push((FlowTrackerConfig::default().tick(ts), what, reason));
            }
            FlowEvent::Ended { stats: all, .. } => stats = Some(all),
            _ => {}
        };
        let mut driver = flooded(600);
        for frame in frames(&trouble(pause), [u32::MAX - 99, 0]) {
            driver.track(frame.view()).for_each(&mut take);
        }
        driver.finish().for_each(&mut take);
        let stats = stats.unwrap();
        for side in FlowSide::BOTH {
            assert_eq!(sums[side.index()], counted(&stats, side), "{side:?}, {pause} ms");
        }
        let [client, server] = sums;
        assert!(client[..5].iter().all(|&sum| sum > 0) && server[5] > 0, "{sums:?}, {pause} ms");
        // Twice in a tick only in the last one, with the end.
        let last = kinds.last().unwrap().0;
        kinds.retain(|&(tick, ..)| tick != last);
        for (at, told) in kinds.iter().enumerate() {
            assert!(!kinds[..at].contains(told), "{told:?}, {pause} ms");
        }
    }
}

/// A driver with the bytes of both sides so far.
struct Taking {
    driver: Driver,
    frames: std::vec::IntoIter<Frame>,
}

impl Taking {
    fn of(script: &str) -> Self {
        Self::with(FlowDriver::new(Wire, BufferedReassemblerFactory::default()), script)
    }

    fn with(driver: Driver, script: &str) -> Self {
        let frames = frames(script, [u32::MAX - 3, u32::MAX]).into_iter();
        Self { driver, frames }
    }

    /// Why flows ended in the next packets.
    fn track(&mut self, count: usize) -> Vec<EndReason> {
        let mut ended = Vec::new();
        for frame in self.frames.by_ref().take(count) {
            ended.extend(self.driver.track(frame.view()).filter_map(|event| reason(&event)));
        }
        ended
    }

    fn take(&mut self, side: FlowSide) -> String {
        self.take_of(0, side)
    }

    fn take_of(&mut self, key: u32, side: FlowSide) -> String {
        String::from_utf8(self.driver.drain_buffer(&key, side)).unwrap()
    }

    /// What flows that ended in the last call have left.
    fn ended(&mut self) -> Vec<(u32, FlowSide, String)> {
        let ended = self.driver.ended();
        ended
            .map(|(&key, side, left)| (key, side, String::from_utf8(left.take()).unwrap()))
            .collect()
    }
}

fn reason(event: &FlowEvent<u32>) -> Option<EndReason> {
    match event {
        FlowEvent::Ended { reason, .. } => Some(*reason),
        _ => None,
    }
}

#[test]
fn bytes_while_the_flow_lives() {
    let mut it =
        Taking::of(&format!("{HANDSHAKE}> PA 0 0 one\n< PA 0 3 two\n> PA 5 3 !\n> PA 3 3 ab"));
    assert_eq!(it.take(CLIENT), "", "there is no such flow yet");
    it.track(4);
    assert_eq!((it.take(CLIENT), it.take(SERVER)), ("one".to_owned(), String::new()));
    assert_eq!(it.take(CLIENT), "", "it was taken");
    it.track(2);
    assert_eq!((it.take(CLIENT), it.take(SERVER)), (String::new(), "two".to_owned()));
    it.track(1);
    assert_eq!((it.take_of(7, CLIENT), it.take(CLIENT)), (String::new(), "ab!".to_owned()));
    assert_eq!(it.ended(), []);
}

#[test]
fn the_tail_of_a_flow_that_has_ended() {
    let script = format!("{HANDSHAKE}> PA 0 0 one\n> PA 9 0 two\n< PA 0 3 x");
    let mut it = Taking::of(&script);
    it.track(6);
    assert_eq!((it.take(CLIENT), it.take(SERVER)), ("one".to_owned(), "x".to_owned()));
    assert_eq!(
        it.driver.finish().filter_map(|event| reason(&event)).collect::<Vec<_>>(),
        [EndReason::EndOfInput]
    );
    assert_eq!((it.take(CLIENT), it.take(SERVER)), ("two".to_owned(), String::new()));
    assert_eq!(it.take(CLIENT), "");
    // Or the other way.
    let mut it = Taking::of(&script);
    it.track(6);
    it.driver.finish().for_each(drop);
    let both = [(0, CLIENT, "onetwo".to_owned()), (0, SERVER, "x".to_owned())];
    assert_eq!(it.ended(), both);
    assert_eq!(it.take(CLIENT), "");
    it.driver.finish().for_each(drop);
    assert_eq!(it.ended(), []);
}

#[test]
fn nothing_is_left_after_the_next_call() {
    let script =
        format!("{HANDSHAKE}> PA 0 0 one\n> R 3\n+3000 > PA 0 0 flow=7 x\n> PA 1 0 flow=7 y");
    // At the end of its linger, seen by the next packet of whatever flow.
    let mut it = Taking::of(&script);
    assert_eq!(it.track(5), []);
    assert_eq!(it.track(1), [EndReason::Rst]);
    assert_eq!(it.ended().len(), 2);
    // What `ended` gave was taken; otherwise it is there until the next call.
    let mut it = Taking::of(&script);
    it.track(6);
    assert_eq!(it.take(CLIENT), "one");
    let mut it = Taking::of(&script);
    it.track(7);
    assert_eq!((it.take(CLIENT), it.ended()), (String::new(), vec![]));
    assert_eq!(it.take_of(7, CLIENT), "xy");
    // By the time alone.
    let mut it = Taking::of(&script);
    it.track(5);
    let late = Timestamp::new(1_010, 0);
    assert_eq!(
        it.driver.sweep(late).filter_map(|event| reason(&event)).collect::<Vec<_>>(),
        [EndReason::Rst]
    );
    assert_eq!(it.take(CLIENT), "one");
    it.driver.sweep(late).for_each(drop);
    assert_eq!((it.take(CLIENT), it.ended()), (String::new(), vec![]));
}

#[test]
fn c12_the_key_is_taken_up_again_in_the_same_packet() {
    // The SYN has data, which its own reassembler holds.
    let script = format!(
        "{HANDSHAKE}> PA 0 0 one\n< PA 0 3 two\n> FA 3 3\n< FA 3 4\n> A 4 4\n> S 900000\n\
         < SA 700000 900001\n> PA 900001 700001 next",
    );
    let mut it = Taking::of(&script);
    assert_eq!(it.track(8), []);
    assert_eq!(it.track(1), [EndReason::Fin]);
    assert_eq!((it.take(CLIENT), it.take(CLIENT)), ("one".to_owned(), String::new()));
    assert_eq!((it.take(SERVER), it.take(SERVER)), ("two".to_owned(), String::new()));
    it.track(2);
    assert_eq!((it.take(CLIENT), it.take(SERVER)), ("next".to_owned(), String::new()));
    // Not taken in time: gone, and nothing of it in what its successor has.
    let mut it = Taking::of(&script);
    it.track(11);
    assert_eq!((it.take(CLIENT), it.take(SERVER)), ("next".to_owned(), String::new()));
}

/// The packet that begins the next flow brings its first bytes, too.
#[test]
fn c12_both_have_bytes() {
    let script = format!("{HANDSHAKE}> PA 0 0 one\n> R 3\n+3000 > PA 3 0 next");
    let mut it = Taking::of(&script);
    it.track(5);
    assert_eq!(it.track(1), [EndReason::Rst]);
    assert_eq!((it.take(SERVER), it.take(CLIENT)), (String::new(), "one".to_owned()));
    assert_eq!((it.take(CLIENT), it.take(CLIENT)), ("next".to_owned(), String::new()));
    // The successor's alone, where the other has nothing left.
    let mut it = Taking::of(&script);
    it.track(5);
    assert_eq!(it.take(CLIENT), "one");
    it.track(1);
    assert_eq!((it.take(CLIENT), it.ended()), ("next".to_owned(), vec![]));
}

/// Its only bytes lie behind a gap that ends with it.
#[test]
fn c12_the_tail_behind_a_last_gap() {
    let script = format!("{HANDSHAKE}> PA 2 0 CC\n> PA 9 0 D\n> R 10\n+3000 > PA 77 0 next");
    let mut it = Taking::of(&script);
    it.track(6);
    assert_eq!(it.take(CLIENT), "");
    assert_eq!(it.track(1), [EndReason::Rst]);
    let gaps: Vec<u64> = it.driver.ended().map(|(_, _, left)| left.gap_bytes()).collect();
    assert_eq!(gaps, [7, 0]);
    assert_eq!((it.take(CLIENT), it.take(CLIENT)), ("CCD".to_owned(), "next".to_owned()));
}

#[test]
fn many_flows_end_at_once() {
    let mut script = String::new();
    for flow in 0..50 {
        script += &format!("> PA 0 0 flow={flow} a{flow}z\n> PA 100 0 flow={flow} tail\n");
    }
    let mut it = Taking::of(&script);
    it.track(100);
    assert_eq!(it.take_of(3, CLIENT), "a3z");
    assert_eq!(it.driver.finish().filter_map(|event| reason(&event)).count(), 50);
    for flow in 0..50 {
        let first = if flow == 3 { String::new() } else { format!("a{flow}z") };
        assert_eq!(it.take_of(flow, CLIENT), format!("{first}tail"));
        assert_eq!(it.take_of(flow, SERVER), "");
    }
}

/// What an overflow left, where the flow ends for it and begins anew with the next packet.
#[test]
fn f3_bytes_of_a_flow_that_is_dropped() {
    let factory = BufferedReassemblerFactory::default()
        .with_max_buffer(5)
        .with_overflow_policy(OverflowPolicy::DropFlow);
    let script = format!("{HANDSHAKE}> PA 0 0 one\n> PA 3 0 two\n> PA 6 0 next");
    let mut it = Taking::with(FlowDriver::new(Wire, factory), &script);
    it.track(4);
    assert_eq!(it.track(1), [EndReason::BufferOverflow]);
    assert_eq!(it.take(CLIENT), "one");
    it.track(1);
    assert_eq!(it.take(CLIENT), "next");
}

#[test]
fn evicted_flows_leave_their_bytes() {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = 1;
    let driver = FlowDriver::new(Wire, BufferedReassemblerFactory::default()).with_config(config);
    let mut it = Taking::with(driver, "> PA 0 0 flow=1 one\n> PA 0 0 flow=2 two");
    it.track(1);
    assert_eq!(it.track(1), [EndReason::Evicted]);
    assert_eq!(
        (it.take_of(1, CLIENT), it.take_of(2, CLIENT)),
        ("one".to_owned(), "two".to_owned())
    );
}

/// Nobody has to take anything: whoever keeps no bytes leaves nothing.
#[test]
fn reassemblers_without_output_are_gone_with_their_flow() {
    struct Nothing;

    impl Reassembler for Nothing {
        fn segment(&mut self, _seq: u32, _payload: &[u8]) {}
    }

    let mut driver = FlowDriver::new(Wire, |_: &u32, _| Nothing);
    for frame in frames(&format!("{HANDSHAKE}> PA 0 0 one"), [5, 7]) {
        driver.track(frame.view()).for_each(drop);
    }
    driver.finish().for_each(drop);
    assert_eq!(driver.ended().count(), 0);
}

/// The same counters in the snapshot as in the end.
#[test]
fn a_snapshot_counts_what_the_end_does() {
    let script =
        format!("{HANDSHAKE}> PA 0 0 one\n> PA 9 0 two\n> PA 3 0 x=6\n> PA 3 0 x=6\n< PA 0 12 hi");
    let mut it = Taking::of(&script);
    it.track(8);
    let (&key, now) = it.driver.snapshot_flow_stats().next().unwrap();
    assert_eq!((key, now.tcp.initiator.delivered_bytes), (0, 12));
    let end = it.driver.finish().find_map(|event| match event {
        FlowEvent::Ended { stats, .. } => Some(*stats),
        _ => None,
    });
    assert_eq!(end, Some(now));
    let left: Vec<_> = it
        .driver
        .ended()
        .map(|(_, _, left): (_, _, &mut BufferedReassembler)| left.buffered().len())
        .collect();
    assert_eq!(left, [12, 2]);
}

#[test]
fn b17_urgent_bytes_are_taken_out_of_buffers_too() {
    let mut config = FlowTrackerConfig::default();
    config.urgent = flow_core::UrgentPolicy::Remove;
    let factory = BufferedReassemblerFactory::default();
    let mut driver = FlowDriver::new(Wire, factory).with_config(config);
    let script = format!("{HANDSHAKE}> UPA 0 0 urg=3 AAX");
    frames(&script, [0, 0]).iter().for_each(|frame| driver.track(frame.view()).for_each(drop));
    let key = *driver.tracker().flows().next().unwrap().key();
    assert_eq!(driver.drain_buffer(&key, CLIENT), b"AA");
}

/// Whoever changes a reassembler between packets does not make the limit a burden.
#[test]
fn f2_what_is_freed_outside_of_packets_is_noticed() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembly_total = 3_000;
    let factory = BufferedReassemblerFactory::default();
    let mut driver = FlowDriver::new(Wire, factory).with_config(config).with_emit_anomalies(true);
    let script: String = (1..=6)
        .map(|flow| format!("> PA 0 0 flow={flow} a\n> PA 9 0 flow={flow} x=900\n"))
        .collect();
    let mut flushes = 0;
    for frame in frames(&script, [0, 0]) {
        let flushed = |event: &FlowEvent<u32>| {
            matches!(event, FlowEvent::Anomaly { kind: AnomalyKind::BudgetFlush { .. }, .. })
        };
        flushes += driver.track(frame.view()).filter(flushed).count();
        for key in 1..=6 {
            driver.reassembler_mut(&key, CLIENT).into_iter().for_each(Reassembler::give_up_holes);
        }
    }
    // Nothing waits whenever the driver looks but what the last packet brought.
    assert_eq!(flushes, 0);
}
