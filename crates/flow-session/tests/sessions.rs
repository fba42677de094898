//! What the engine makes of whole connections, and what it costs.

#![allow(clippy::unwrap_used)]

#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use std::fmt::Write;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flow_core::{
    EndReason, Extracted, FlowExtractor, FlowSide, FlowTrackerConfig, Gap, OverflowPolicy,
    PacketView, SkipReason, TcpChecksum,
};
use flow_reassembly::FlowDriver;
use flow_session::{
    CallbackFactory, Context, DatagramParser, FlowDatagramDriver, FlowProtocolDriver,
    FlowSessionDriver, GapAction, Parsed, PoisonPolicy, ProtocolMessage, SessionEvent,
    SessionParser,
};
use wire::{Wire, frames};

/// Lines that end with `;`, by the two required methods alone. `!` is poison to it.
#[derive(Clone, Debug, Default)]
struct Lines {
    rest: [String; 2],
    poisoned: bool,
}

impl Lines {
    fn take(&mut self, side: usize, bytes: &[u8]) -> Vec<String> {
        let rest = &mut self.rest[side];
        rest.push_str(std::str::from_utf8(bytes).unwrap());
        self.poisoned |= rest.contains('!');
        let mut lines: Vec<String> = rest.split(';').map(str::to_owned).collect();
        *rest = lines.pop().unwrap_or_default();
        lines
    }
}

impl SessionParser for Lines {
    type Message = String;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<String> {
        self.take(0, bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<String> {
        self.take(1, bytes)
    }

    fn fin_initiator(&mut self) -> Vec<String> {
        Vec::from_iter(Some(std::mem::take(&mut self.rest[0])).filter(|rest| !rest.is_empty()))
    }

    fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    fn poison_reason(&self) -> Option<&str> {
        self.poisoned.then_some("an exclamation mark")
    }
}

fn describe(event: SessionEvent<u32, String>) -> String {
    match event {
        SessionEvent::Started { key, .. } => format!("started {key}"),
        SessionEvent::Application { side, message, origin, .. } => format!(
            "{side:?} {message:?} packets {}-{} bytes {:?}",
            origin.first_packet, origin.packet, origin.range
        ),
        SessionEvent::Closed { reason, .. } => format!("closed {reason}"),
        SessionEvent::Anomaly { kind, .. } => format!("! {kind}"),
        other => format!("{other:?}"),
    }
}

fn run(mut driver: FlowSessionDriver<Wire, Lines>, script: &str) -> Vec<String> {
    let mut events = Vec::new();
    for frame in frames(script, [1_000, 5_000]) {
        events.extend(driver.track(frame.view()).map(describe));
    }
    events.extend(driver.finish().map(describe));
    events
}

const HANDSHAKE: &str = "> S -1\n< SA -1 0\n> A 0 0\n";

#[track_caller]
fn check(rest: &str, expected: &[&str]) {
    let driver = FlowSessionDriver::<_, Lines>::new(Wire).with_emit_anomalies(true);
    assert_eq!(run(driver, &format!("{HANDSHAKE}{rest}")), expected);
}

#[test]
fn messages_with_their_packets_and_bytes() {
    check(
        "> PA 0 0 a;b\n> PA 3 0 c;\n< PA 0 5 d;\n> FA 5 2 e\n< FA 2 7\n> A 7 3",
        &[
            "started 0",
            r#"Initiator "a" packets 4-4 bytes 0..3"#,
            r#"Initiator "bc" packets 5-5 bytes 3..5"#,
            r#"Responder "d" packets 6-6 bytes 0..2"#,
            r#"Initiator "e" packets 7-7 bytes 5..6"#,
            "closed fin",
        ],
    );
}

#[test]
fn a_message_begins_in_the_packet_that_brought_its_first_byte() {
    check(
        "> PA 2 0 bb;\n> PA 0 0 aa",
        &[
            "started 0",
            "! out_of_order_segment",
            r#"Initiator "aabb" packets 5-5 bytes 0..5"#,
            "closed eof",
        ],
    );
}

#[test]
fn a_gap_stops_a_side_that_does_not_know_better() {
    check(
        "> PA 0 0 a;\n> PA 4 0 b;\n< A 0 6\n+30001 < A 0 6\n> PA 6 0 c;\n< PA 0 8 d;",
        &[
            "started 0",
            r#"Initiator "a" packets 4-4 bytes 0..2"#,
            "! out_of_order_segment",
            "! stream_gap",
            r#"Responder "d" packets 9-9 bytes 0..2"#,
            "closed eof",
        ],
    );
}

/// The first payload comes behind its FIN, or behind everything.
#[test]
fn payload_that_was_overtaken_by_its_fin_is_read() {
    let expected = ["started 0", "Initiator \"abc\" packets 5-5 bytes 0..3", "closed fin"];
    check("> FA 3 0\n> PA 0 0 abc\n< FA 0 4\n> A 4 1", &expected);
    check_last("> FA 3 0\n< FA 0 4\n> A 4 1\n> PA 0 0 abc", "closed fin");
}

/// The last event, in front of which there is a message.
#[track_caller]
fn check_last(rest: &str, expected: &str) {
    let events = run(FlowSessionDriver::<_, Lines>::new(Wire), &format!("{HANDSHAKE}{rest}"));
    assert!(
        matches!(&events[..], [_, message, last] if message.contains("abc") && last == expected),
        "{events:?}"
    );
}

#[test]
fn poison_ends_the_flow() {
    check(
        "> PA 0 0 a;\n> PA 2 0 !\n> PA 3 0 b;",
        &[
            "started 0",
            r#"Initiator "a" packets 4-4 bytes 0..2"#,
            "! session_parse_error",
            "closed parse_error",
            "started 0",
            r#"Initiator "b" packets 6-6 bytes 0..2"#,
            "closed eof",
        ],
    );
}

#[test]
fn poison_ends_the_session_only_if_asked_to() {
    let driver =
        FlowSessionDriver::<_, Lines>::new(Wire).with_poison_policy(PoisonPolicy::EndSession);
    let script = format!("{HANDSHAKE}> PA 0 0 !\n> PA 1 0 b;\n> PA 3 0 c;");
    assert_eq!(run(driver, &script), ["started 0", "closed parse_error"]);
}

#[test]
fn port_reuse_begins_a_new_session() {
    check(
        "> PA 0 0 a;\n> FA 2 0\n< FA 0 3\n> A 3 1\n> S 899999\n< SA 699999 900000\n\
         > PA 900000 700000 b;",
        &[
            "started 0",
            r#"Initiator "a" packets 4-4 bytes 0..2"#,
            "closed fin",
            "started 0",
            r#"Initiator "b" packets 10-10 bytes 0..2"#,
            "closed eof",
        ],
    );
}

#[test]
fn a_reset_closes_when_its_linger_is_over() {
    check(
        "> PA 0 0 a;b\n< R 0\n+3000 > S -1 flow=1",
        &[
            "started 0",
            r#"Initiator "a" packets 4-4 bytes 0..3"#,
            "closed rst",
            "started 1",
            "closed eof",
        ],
    );
}

#[test]
fn a_side_that_finished_without_a_word_has_finished() {
    check(
        "> FA 0 0\n< A 0 1\n< PA 0 1 hello;\n< FA 6 1\n> A 1 7",
        &["started 0", r#"Responder "hello" packets 6-6 bytes 0..6"#, "closed fin"],
    );
}

/// Goes on behind gaps, and breaks at an exclamation mark.
#[derive(Clone, Debug, Default)]
struct Fragile(bool);

impl SessionParser for Fragile {
    type Message = String;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<String> {
        self.0 |= bytes.contains(&b'!');
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<String> {
        self.feed_initiator(bytes)
    }

    fn gap(&mut self, _: FlowSide, _: Gap, _: &mut Context<'_, String>) -> GapAction {
        GapAction::Resume
    }

    fn is_poisoned(&self) -> bool {
        self.0
    }
}

#[test]
fn poison_behind_the_last_gap_is_reported() {
    let mut driver = FlowSessionDriver::<_, Fragile>::new(Wire).with_emit_anomalies(true);
    let mut events = Vec::new();
    for frame in frames(&format!("{HANDSHAKE}> PA 0 0 a;\n> PA 4 0 !"), [0, 0]) {
        events.extend(driver.track(frame.view()).map(describe));
    }
    events.extend(driver.finish().map(describe));
    assert_eq!(
        events,
        [
            "started 0",
            "! out_of_order_segment",
            "! stream_gap",
            "! session_parse_error",
            "closed parse_error",
        ]
    );
}

#[test]
fn a_full_stream_slides_or_ends_the_flow() {
    for (policy, expected) in [
        (OverflowPolicy::SlidingWindow, &["started 0", "closed eof"][..]),
        (OverflowPolicy::DropFlow, &["started 0", "closed overflow"][..]),
    ] {
        let mut config = FlowTrackerConfig::default();
        config.max_reassembler_buffer = Some(500);
        config.overflow_policy = policy;
        let driver = FlowSessionDriver::<_, Lines>::new(Wire).with_config(config);
        let script = format!("{HANDSHAKE}> PA 5 0 x=600");
        assert_eq!(run(driver, &script), expected, "{policy:?}");
    }
}

/// Wants one datagram.
#[derive(Clone, Copy, Debug, Default)]
struct Once(bool);

impl DatagramParser for Once {
    type Message = ();

    fn parse(&mut self, _payload: &[u8], _side: FlowSide) -> Vec<()> {
        self.0 = true;
        vec![()]
    }

    fn wants(&self) -> bool {
        !self.0
    }
}

#[test]
fn a_datagram_parser_that_wants_no_more_is_let_go() {
    let mut driver = FlowDatagramDriver::<_, Once>::new(Wire);
    let frames = frames("> - udp a\n> - udp b\n< - udp c", [0, 0]);
    let counts: Vec<_> = frames.iter().map(|frame| driver.track(frame.view()).count()).collect();
    assert_eq!(counts, [2, 0, 0], "started and a message, then nothing");
    assert_eq!(driver.finish().count(), 1);
}

#[test]
fn empty_datagrams_are_datagrams() {
    let mut driver = FlowDatagramDriver::<_, Echo>::new(Wire);
    let frames = frames("> - udp\n> - udp abc\n> - udp", [0, 0]);
    let lengths: Vec<_> = frames
        .iter()
        .flat_map(|frame| driver.track(frame.view()).collect::<Vec<_>>())
        .filter_map(|event| match event {
            SessionEvent::Application { message, .. } => Some(message.len()),
            _ => None,
        })
        .collect();
    assert_eq!(lengths, [0, 3, 0]);
}

#[test]
fn what_a_timeout_flushes_is_stamped_with_the_last_packet() {
    let mut driver = FlowSessionDriver::<_, Ten>::new(Wire);
    let script = format!("{HANDSHAKE}> PA 5 0 x=20\n+900000 > - flow=1 udp");
    let frames = frames(&script, [0, 0]);
    let mut stamps = Vec::new();
    for frame in &frames {
        for event in driver.track(frame.view()) {
            if let SessionEvent::Application { ts, origin, .. } = event {
                stamps.push((ts, origin.packet));
            }
        }
    }
    assert_eq!(stamps, [(frames[3].ts, 4)]);
}

#[test]
fn early_and_contradicting_segments_are_reported_once_before_the_end() {
    check(
        "> PA 3 0 ddd\n> PA 1 0 bcDef\n> PA 0 0 a\n> FA 6 0\n< FA 0 7\n> A 7 1",
        &[
            "started 0",
            "! out_of_order_segment",
            "! overlap_conflict",
            r#"Initiator "abcddd" packets 6-7 bytes 0..6"#,
            // A second one in the same tick.
            "! out_of_order_segment",
            "closed fin",
        ],
    );
}

#[test]
fn nothing_comes_after_the_end() {
    check("> FA 0 0\n< FA 0 1\n> A 1 1\n> PA 0 0 late;", &["started 0", "closed fin"]);
}

#[test]
fn memory_limit_covers_streams_and_parser() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembler_buffer = Some(1_000);
    let driver = FlowSessionDriver::<_, Hoarder>::new(Wire).with_config(config);
    let events: Vec<_> = {
        let mut driver = driver;
        let script = format!("{HANDSHAKE}> PA 0 0 x=600\n> PA 600 0 x=600");
        frames(&script, [0, 0])
            .iter()
            .flat_map(|frame| {
                driver.track(frame.view()).map(|e| format!("{e:?}")).collect::<Vec<_>>()
            })
            .collect()
    };
    assert!(events.last().unwrap().contains("BufferOverflow"), "{events:?}");
}

/// The third connection is one too many. The first breaks at what is behind its hole.
#[test]
fn memory_of_all_streams_has_a_limit_too() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembly_total = 2_500;
    let mut driver =
        FlowSessionDriver::<_, Fragile>::new(Wire).with_config(config).with_emit_anomalies(true);
    let script: String = (1..=3)
        .zip(["!", "", ""])
        .map(|(flow, end)| format!("> PA 0 0 flow={flow} a\n> PA 100 0 flow={flow} x=1000 {end}\n"))
        .collect();
    let mut events = Vec::new();
    for frame in frames(&script, [0, 0]) {
        for event in driver.track(frame.view()) {
            match event {
                SessionEvent::Anomaly { key, kind, .. } => events.push(format!("{key:?} {kind}")),
                SessionEvent::Closed { key, reason, .. } => events.push(format!("{key} {reason}")),
                _ => {}
            }
        }
    }
    assert_eq!(
        events,
        [
            "Some(1) out_of_order_segment",
            "Some(2) out_of_order_segment",
            "Some(3) out_of_order_segment",
            "Some(1) budget_flush",
            "Some(1) stream_gap",
            "Some(1) session_parse_error",
            "1 parse_error",
            "Some(2) budget_flush",
            "Some(2) stream_gap",
        ]
    );
    assert_eq!(driver.tracker().flow_count(), 2);
}

/// Keeps everything and says so.
#[derive(Clone, Debug, Default)]
struct Hoarder(usize);

impl SessionParser for Hoarder {
    type Message = ();

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<()> {
        self.0 += bytes.len();
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<()> {
        self.feed_initiator(bytes)
    }

    fn buffered_bytes(&self) -> usize {
        self.0
    }
}

/// Counts bytes and wants at most ten of each side.
#[derive(Clone, Debug, Default)]
struct Ten([usize; 2]);

impl SessionParser for Ten {
    type Message = usize;

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<usize> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<usize> {
        Vec::new()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, usize>) {
        assert!(self.wants(side), "fed what it does not want");
        self.0[side.index()] += bytes.len();
        if !self.wants(side) {
            cx.emit(self.0[side.index()]);
        }
    }

    fn gap(&mut self, _: FlowSide, _: Gap, _: &mut Context<'_, usize>) -> GapAction {
        GapAction::Resume
    }

    fn wants(&self, side: FlowSide) -> bool {
        self.0[side.index()] < 10
    }
}

#[test]
fn a_parser_that_wants_nothing_more_is_let_go() {
    let mut driver = FlowSessionDriver::<_, Ten>::new(Wire);
    let script = format!(
        "{HANDSHAKE}> PA 0 0 x=20\n> PA 20 0 x=20\n> PA 60 0 x=20\n< PA 0 80 x=10\n< PA 10 80 x=9\n\
         > FA 80 19\n< FA 19 81\n> A 81 20"
    );
    let mut events = Vec::new();
    for frame in frames(&script, [0, 0]) {
        events.extend(driver.track(frame.view()));
    }
    let found: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            SessionEvent::Application { message, .. } => Some(*message),
            _ => None,
        })
        .collect();
    assert_eq!(found, [20, 10]);
    let Some(SessionEvent::Closed { reason, .. }) = events.last() else { panic!("{events:?}") };
    assert_eq!(*reason, EndReason::Fin);
}

/// Gives every datagram back.
#[derive(Clone, Copy, Debug, Default)]
struct Echo;

impl DatagramParser for Echo {
    type Message = Vec<u8>;

    fn parse(&mut self, payload: &[u8], _side: FlowSide) -> Vec<Vec<u8>> {
        vec![payload.to_vec()]
    }
}

/// However many flows end at once, each has its own record.
#[test]
fn many_flows_end_at_once() {
    let script: String = (0..10_000_u32).fold(String::new(), |mut script, flow| {
        (0..=flow % 3).for_each(|_| writeln!(script, "> - flow={flow} udp hi").unwrap());
        script
    });
    let mut config = FlowTrackerConfig::default();
    config.idle_timeout_udp = Duration::from_secs(3_600);
    let mut driver = FlowDatagramDriver::<_, Echo>::new(Wire).with_config(config);
    for frame in frames(&script, [0, 0]) {
        driver.track(frame.view()).for_each(drop);
    }
    let closed = driver.finish().filter_map(|event| match event {
        SessionEvent::Closed { key, stats, .. } => Some((key, stats.packets_initiator)),
        _ => None,
    });
    assert!(closed.eq((0..10_000).map(|flow| (flow, u64::from(flow % 3 + 1)))));
    assert_eq!(driver.finish().count(), 0);
}

/// Counts how often frames are decoded, and how often checksums are verified.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicU64>, Arc<AtomicU64>);

impl FlowExtractor for Counting {
    type Key = u32;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u32>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Wire.extract(view)
    }

    fn tcp_checksum(&self, _: PacketView<'_>, _: &Extracted<u32>) -> Option<TcpChecksum> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Some(TcpChecksum::Good)
    }

    fn skip_reason(&self, _: PacketView<'_>) -> SkipReason {
        SkipReason::NoFlow
    }
}

#[test]
fn every_frame_is_decoded_once_however_many_parsers_run() {
    let count = Counting::default();
    let mut driver = FlowProtocolDriver::<_, Lines, Echo>::new(count.clone());
    let frames = frames(&format!("{HANDSHAKE}> PA 0 0 a;\n> - flow=1 udp hi\n< PA 0 2 b;"), [0, 0]);
    let mut messages = Vec::new();
    for frame in &frames {
        for event in driver.track(frame.view()) {
            if let SessionEvent::Application { message, .. } = event {
                messages.push(message);
            }
        }
    }
    assert_eq!(count.0.load(Ordering::Relaxed), frames.len() as u64);
    assert_eq!(
        messages,
        [
            ProtocolMessage::Stream("a".to_owned()),
            ProtocolMessage::Datagram(b"hi".to_vec()),
            ProtocolMessage::Stream("b".to_owned()),
        ]
    );
}

#[test]
fn checksums_of_what_nobody_reads_any_more_are_not_verified() {
    let count = Counting::default();
    let mut driver = FlowSessionDriver::<_, Ten>::new(count.clone());
    let mut verified = Vec::new();
    let script = format!(
        "{HANDSHAKE}> PA 0 0 x=20\n< PA 0 20 x=20\n> PA 20 20 x=20\n< PA 20 40 x=20\n> PA 40 40 x"
    );
    for frame in frames(&script, [0, 0]) {
        driver.track(frame.view()).for_each(drop);
        verified.push(count.1.load(Ordering::Relaxed));
    }
    // Both SYNs, and what each side said until the parser had enough.
    assert_eq!(verified, [1, 2, 2, 3, 4, 4, 4, 4]);

    // One side at a time.
    let mut driver = FlowSessionDriver::<_, Ten>::new(count.clone());
    let script = format!("{HANDSHAKE}> PA 0 0 x=20\n> PA 20 0 x=20\n> PA 40 0 x=20\n< PA 0 60 x=5");
    for frame in frames(&script, [0, 0]) {
        driver.track(frame.view()).for_each(drop);
    }
    assert_eq!(count.1.load(Ordering::Relaxed), 4 + 2 + 1 + 1);
}

#[test]
fn factories_by_clone_and_by_closure() {
    let by_clone = FlowDatagramDriver::with_parser(Wire, Echo);
    let by_closure = FlowDatagramDriver::with_parser(Wire, |_: &u32| Echo);
    for mut driver in [by_clone, by_closure] {
        let frames = frames("> - udp hello", [0, 0]);
        assert_eq!(driver.track(frames[0].view()).count(), 2);
        assert_eq!(driver.finish().count(), 1);
    }
    let mut stream = FlowSessionDriver::with_parser(Wire, |_: &u32| Lines::default());
    assert_eq!(stream.track(frames("> S -1", [0, 0])[0].view()).count(), 1);
}

#[test]
fn the_callback_face_finds_the_same_messages() {
    let script = format!(
        "{HANDSHAKE}> PA 2 0 b;c\n> PA 0 0 a;\n< PA 0 5 d;\n> PA 9 0 x;\n< A 2 11\n> PA 11 2 y;\n\
         > FA 13 2\n< FA 2 14"
    );
    let mut driver = FlowSessionDriver::<_, Lines>::new(Wire);
    let mut by_driver = Vec::new();
    let found = Arc::new(Mutex::new(Vec::new()));
    type Found = Arc<Mutex<Vec<Parsed<String>>>>;
    let factory =
        CallbackFactory::new(Lines::default(), Arc::clone(&found), |found: &Found, message| {
            found.lock().unwrap().push(message.clone());
        });
    let mut callbacks = FlowDriver::new(Wire, factory);
    let mut take = |event| {
        if let SessionEvent::Application { side, message, origin, .. } = event {
            let (first_packet, range) = (origin.first_packet, origin.range);
            by_driver.push(Parsed { side, message, first_packet, range });
        }
    };
    for frame in frames(&script, [1_000, 5_000]) {
        driver.track(frame.view()).for_each(&mut take);
        callbacks.track(frame.view()).for_each(drop);
    }
    driver.finish().for_each(&mut take);
    callbacks.finish().for_each(drop);
    assert_eq!(*found.lock().unwrap(), by_driver);
    assert_eq!(by_driver.len(), 3);
}

#[test]
fn nothing_is_allocated_where_no_message_completes() {
    let mut script = String::from(HANDSHAKE);
    for at in (0..1_000_000).step_by(1_000) {
        writeln!(script, "> PA {at} 0 x=1000\n< A 0 {}", at + 1_000).unwrap();
    }
    let frames = frames(&script, [0, 0]);
    let mut driver = FlowSessionDriver::<_, Silent>::new(Wire);
    let (warm_up, steady) = frames.split_at(100);
    warm_up.iter().for_each(|frame| driver.track(frame.view()).for_each(drop));
    let counted = allocation_counter::measure(|| {
        steady.iter().for_each(|frame| driver.track(frame.view()).for_each(drop));
    });
    assert_eq!(counted.count_total, 0);
    let stats: Vec<_> = driver.snapshot_flow_stats().map(|(_, stats)| stats).collect();
    assert_eq!(stats[0].tcp.initiator.delivered_bytes, 1_000_000);
}

/// Reads everything and finds nothing.
#[derive(Clone, Debug, Default)]
struct Silent(u64);

impl SessionParser for Silent {
    type Message = ();

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed(&mut self, _: FlowSide, bytes: &[u8], _: &mut Context<'_, ()>) {
        self.0 += bytes.len() as u64;
    }
}
