//! What the engine tells of streams besides their messages: the same as the driver of
//! reassemblers does, and all of it before the session is closed.

#![allow(clippy::unwrap_used)]

#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use flow_core::{AnomalyKind, FlowEvent, FlowSide, FlowStats, FlowTrackerConfig, Gap, GapReason};
use flow_reassembly::FlowDriver;
use flow_session::{
    CallbackFactory, Context, FlowSessionDriver, GapAction, SessionEvent, SessionParser,
};
use wire::{Wire, frames};

const HANDSHAKE: &str = "> S -1\n< SA -1 0\n> A 0 0\n";

/// Reads on, whatever is missing, and takes exception to exclamation marks.
#[derive(Clone, Debug, Default)]
struct Any;

impl SessionParser for Any {
    type Message = ();

    fn feed_initiator(&mut self, _bytes: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed_responder(&mut self, _bytes: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed(&mut self, _side: FlowSide, bytes: &[u8], cx: &mut Context<'_, ()>) {
        let marks = (0..).zip(bytes).filter(|(_, byte)| **byte == b'!');
        marks.for_each(|(at, _)| cx.anomaly(at, "too loud"));
    }

    fn gap(&mut self, _side: FlowSide, _gap: Gap, _cx: &mut Context<'_, ()>) -> GapAction {
        GapAction::Resume
    }
}

fn letter(side: FlowSide, letter: char) -> char {
    if side == FlowSide::Initiator { letter } else { letter.to_ascii_lowercase() }
}

/// `V` for violations, `O` for early segments, `C` for conflicting bytes, `G` for gaps, `B` for a flush, in lower case
/// if the responder sent them.
fn describe(event: &SessionEvent<u32, ()>) -> Option<String> {
    match event {
        SessionEvent::Anomaly { kind, .. } => Some(describe_kind(kind)),
        SessionEvent::Closed { reason, .. } => Some(reason.to_string()),
        _ => None,
    }
}

fn describe_kind(kind: &AnomalyKind) -> String {
    match *kind {
        AnomalyKind::ProtocolViolation { side, offset, reason, count } => {
            format!("{}{count}@{offset} {reason}", letter(side, 'V'))
        }
        AnomalyKind::OutOfOrderSegment { side, count } => format!("{}{count}", letter(side, 'O')),
        AnomalyKind::OverlapConflict { side, bytes } => format!("{}{bytes}", letter(side, 'C')),
        AnomalyKind::StreamGap { side, offset, bytes, count, reason } => {
            format!("{}{count}:{bytes}@{offset} {reason}", letter(side, 'G'))
        }
        AnomalyKind::BudgetFlush { side, bytes } => format!("{}{bytes}", letter(side, 'B')),
        ref other => other.to_string(),
    }
}

fn driver(config: FlowTrackerConfig) -> FlowSessionDriver<Wire, Any> {
    FlowSessionDriver::<_, Any>::new(Wire).with_config(config).with_emit_anomalies(true)
}

/// What packets brought, numbered behind the handshake; that of the end is 0.
#[track_caller]
fn check_with(config: FlowTrackerConfig, script: &str, expected: &[&str]) {
    let mut driver = driver(config);
    let mut all = Vec::new();
    for (number, frame) in (-2..).zip(frames(&format!("{HANDSHAKE}{script}"), [u32::MAX - 7, 9])) {
        let words = driver.track(frame.view()).filter_map(|event| describe(&event));
        all.extend(words.map(|word| format!("{number} {word}")));
    }
    all.extend(
        driver.finish().filter_map(|event| describe(&event)).map(|word| format!("0 {word}")),
    );
    assert_eq!(all, expected, "{script}");
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    check_with(FlowTrackerConfig::default(), script, expected);
}

#[test]
fn the_first_of_a_kind_at_once_and_the_others_later() {
    check("> PA 0 0 hello\n< PA 0 5 hi", &["0 eof"]);
    check(
        "> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n> PA 0 0 AA\n> PA 3 0 C\n> PA 5 0 E\n\
         +1000 > PA 8 0 H\n> PA 7 0 G\n+1000 > PA 9 0 I",
        &["1 O1", "7 O3", "0 eof"],
    );
    check(
        "> PA 5 0 BBBBB\n> PA 5 0 EVILL\n> PA 7 0 XX\n> PA 9 0 B\n+1000 > PA 0 0 AAAAA",
        &["1 O1", "2 C5", "0 O3", "0 C2", "0 eof"],
    );
}

#[test]
fn of_both_sides_and_before_the_end() {
    check(
        "< PA 2 0 B\n< PA 2 0 E\n> PA 2 0 b\n< FA 9 0",
        &["1 o1", "2 c1", "3 O1", "0 G1:2@0 end", "0 o1", "0 g2:8@0 end", "0 eof"],
    );
    // Both streams are complete in the fifth packet, which closes the session.
    check(
        "> PA 2 0 B\n> PA 4 0 D\n> FA 5 0\n< FA 0 6\n> PA 0 0 AACCC\n> A 6 1",
        &["1 O1", "5 C2", "5 O1", "5 fin"],
    );
    check("> PA 0 0 AA\n< A 0 10\n< FA 0 10", &["0 G1:8@2 acked", "0 eof"]);
}

#[test]
fn f3_a_full_queue() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembler_buffer = Some(150);
    check_with(
        config,
        "> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n> PA 8 0 H\n> PA 10 0 J\n+1000 > PA 12 0 L",
        &[
            "1 O1",
            "3 B2",
            "3 G1:2@0 budget",
            "6 O5",
            "6 B3",
            "6 G3:3@3 budget",
            "0 G2:2@9 end",
            "0 eof",
        ],
    );
}

const LOUD: &str = "> PA 0 0 a!\n> PA 3 0 !!\n> PA 2 0 !\n< PA 0 5 !\n+1000 > PA 5 1 b\n> PA 6 1 !";

#[test]
fn what_a_parser_takes_exception_to() {
    check(LOUD, &["1 V1@1 too loud", "2 O1", "4 v1@0 too loud", "6 V4@2 too loud", "0 eof"]);
}

#[test]
fn a_callback_face_tells_of_it_too() {
    let factory = CallbackFactory::new(Any, (), |(), _| {});
    let mut driver = FlowDriver::new(Wire, factory).with_emit_anomalies(true);
    let mut all = Vec::new();
    for (number, frame) in (-2..).zip(frames(&format!("{HANDSHAKE}{LOUD}"), [u32::MAX - 7, 9])) {
        for event in driver.track(frame.view()) {
            if let FlowEvent::Anomaly { kind, .. } = event {
                all.push(format!("{number} {}", describe_kind(&kind)));
            }
        }
    }
    assert_eq!(all, ["1 V1@1 too loud", "2 O1", "4 v1@0 too loud", "6 V4@2 too loud"]);
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

/// Early segments, conflicting bytes, bytes in gaps and their number, and bytes in holes given up
/// for want of memory.
type Sums = [u64; 5];

fn add(sums: &mut [Sums; 2], kind: &AnomalyKind) {
    let (side, counts) = match *kind {
        AnomalyKind::OutOfOrderSegment { side, count } => (side, [count, 0, 0, 0, 0]),
        AnomalyKind::OverlapConflict { side, bytes } => (side, [0, bytes, 0, 0, 0]),
        AnomalyKind::StreamGap { side, bytes, count, .. } => (side, [0, 0, bytes, count, 0]),
        AnomalyKind::BudgetFlush { side, bytes } => (side, [0, 0, 0, 0, bytes]),
        _ => return,
    };
    assert!(counts.iter().any(|&count| count > 0), "{kind:?}");
    sums[side.index()].iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

fn counted(stats: &FlowStats, side: FlowSide) -> Sums {
    let tcp = stats.tcp.side(side);
    let flushed = tcp.gap_bytes[GapReason::Budget.index()];
    let gaps = tcp.gaps.iter().sum();
    [tcp.out_of_order_segments, tcp.conflicting_bytes, tcp.total_gap_bytes(), gaps, flushed]
}

#[test]
fn all_that_is_told_is_all_that_is_counted() {
    for pause in [0, 1, 30, 300, 999, 1_000, 1_001, 5_000] {
        let (mut sums, mut stats) = ([Sums::default(); 2], None);
        let mut take = |event| match event {
            SessionEvent::Anomaly { kind, .. } => {
                assert!(stats.is_none(), "nothing comes behind the end");
                add(&mut sums, &kind);
            }
            SessionEvent::Closed { stats: all, .. } => stats = Some(all),
            _ => {}
        };
        let mut config = FlowTrackerConfig::default();
        config.max_reassembler_buffer = Some(600);
        let mut driver = driver(config);
        for frame in frames(&trouble(pause), [u32::MAX - 99, 0]) {
            driver.track(frame.view()).for_each(&mut take);
        }
        driver.finish().for_each(&mut take);
        let stats = stats.unwrap();
        for side in FlowSide::BOTH {
            assert_eq!(sums[side.index()], counted(&stats, side), "{side:?}, {pause} ms");
        }
        let [client, server] = sums;
        assert!(client[..4].iter().all(|&sum| sum > 0) && server[4] > 0, "{sums:?}, {pause} ms");
    }
}
