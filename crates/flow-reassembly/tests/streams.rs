//! What becomes of a connection's streams, through the tracker and the driver.

#![allow(clippy::unwrap_used)]

#[path = "common/transcript.rs"]
mod transcript;
#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use flow_core::{EndReason, FlowEvent, FlowSide, FlowTrackerConfig};
use flow_reassembly::{
    BufferedReassemblerFactory, FlowDriver, OverflowPolicy, Reassembler, StreamConfig,
};
use transcript::{HANDSHAKE, check, check_raw, run_with};
use wire::{Wire, frames};

#[test]
fn b1_in_order() {
    let stats = check(
        "> PA 0 0 hello\n> PA 5 0 world\n< A 0 10\n< PA 0 10 reply\n> FA 10 5\n< FA 5 11\n> A 11 6",
        "helloworld.",
        "reply.",
    );
    assert_eq!(stats.tcp.initiator.delivered_bytes, 10);
    assert_eq!(stats.tcp.responder.delivered_bytes, 5);
}

#[test]
fn b2_out_of_order() {
    let stats =
        check("> PA 5 0 BBBBB\n> PA 10 0 CC\n> PA 0 0 AAAAA\n> FA 12 0", "AAAAABBBBBCC.", "");
    assert_eq!(stats.tcp.initiator.out_of_order_segments, 2);
}

#[test]
fn b3_missing_packet_that_was_acknowledged() {
    let script = "> PA 0 0 AAAAA\n< A 0 5\n> PA 10 0 CCCCC\n< A 0 15\n> PA 15 0 DDDDD\n< A 0 20";
    let stats = check(script, "AAAAA[5 acked]CCCCCDDDDD", "");
    assert_eq!(stats.tcp.initiator.gap_bytes.iter().sum::<u64>(), 5);
    // More segments overtake it than reordering explains.
    let more: String = (3..8).map(|n| format!("+70 > PA {} 0 x=5\n", n * 5)).collect();
    let script = format!("> PA 0 0 AAAAA\n> PA 10 0 CCCCC\n< A 0 15\n{more}> PA 5 0 late!");
    check(&script, &format!("AAAAA[5 acked]CCCCC{}", "x".repeat(25)), "");
    // It falls silent: time does.
    let script = "> PA 0 0 AAAAA\n> PA 10 0 CCCCC\n< A 0 15\n+30000 < A 0 15\n> PA 5 0 late!";
    let stats = check(script, "AAAAA[5 acked]CCCCC", "");
    assert_eq!(stats.tcp.initiator.late_bytes, 5);
}

#[test]
fn b4_ack_captured_before_its_data() {
    check("> PA 0 0 AA\n> PA 4 0 CC\n< A 0 6\n> PA 6 0 DD\n> PA 2 0 BB", "AABBCCDD", "");
    check("> PA 0 0 AAAAA\n< A 0 10\n> PA 5 0 BBBBB\n> PA 10 0 CC", "AAAAABBBBBCC", "");
}

#[test]
fn b5_tail_loss_revealed_by_the_fin() {
    check("> PA 0 0 AAAAA\n> FA 10 0\n< FA 0 11\n> A 11 1", "AAAAA[5 acked].", ".");
    check("> PA 0 0 AAAAA\n> FA 10 0", "AAAAA[5 end].", "");
}

#[test]
fn b6_ack_of_bytes_never_seen() {
    let stats = check("> PA 0 0 AAAAA\n< A 0 15\n> PA 15 0 DD", "AAAAA[10 acked]DD", "");
    assert_eq!(stats.tcp.initiator.acks_unseen, 1);
}

#[test]
fn b8_b10_retransmissions_and_repacketised_data() {
    let stats = check(
        "> PA 0 0 AAAAA\n> PA 0 0 AAAAA\n> PA 0 0 AAAAABB\n> PA 2 0 AAABBCC",
        "AAAAABBCC",
        "",
    );
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 15);
    assert_eq!(stats.tcp.initiator.retransmitted_segments, 3);
}

#[test]
fn b9_b11_first_copy_wins_and_conflicts_count() {
    let stats = check("> PA 3 0 ddd\n> PA 1 0 BCDEF\n> PA 0 0 a", "aBCddd", "");
    assert_eq!(stats.tcp.initiator.conflicting_bytes, 3);
    assert_eq!(stats.tcp.initiator.conflicting_segments, 1);
}

#[test]
fn b12_keep_alive() {
    let stats = check("> PA 0 0 AAAAA\n> A 4 0 x\n> A 4 0\n> PA 5 0 BB", "AAAAABB", "");
    assert_eq!(stats.tcp.initiator.keep_alives, 1);
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 0);
}

#[test]
fn b14_data_out_of_any_window() {
    check("> PA 0 0 AAAAA\n> PA 9000000 0 EVIL\n> PA 5 0 BBBBB", "AAAAABBBBB", "");
}

#[test]
fn b16_payload_cut_by_the_snap_length() {
    let stats = check(
        "> PA 0 0 AA len=10\n> PA 10 0 BB len=5\n> PA 15 0 CC",
        "AA[8 snaplen]BB[3 snaplen]CC",
        "",
    );
    assert_eq!(stats.tcp.initiator.truncated_bytes, 11);
}

#[test]
fn b16_what_was_cut_off_may_come_again() {
    let stats = check("> PA 0 0 AA len=10\n> PA 0 0 AAAAAAAAAA\n> PA 10 0 BB", "AAAAAAAAAABB", "");
    assert_eq!(stats.tcp.initiator.delivered_bytes, 12);
    // In pieces, of which one does not come.
    check(
        "> PA 0 0 AA len=10\n> PA 2 0 AA\n> PA 6 0 AA\n> PA 10 0 BB",
        "AAAA[2 snaplen]AA[2 snaplen]BB",
        "",
    );
    check("> PA 0 0 AA len=10\n> PA 10 0 BB\n> PA 0 0 AAAAAAAAAA", "AA[8 snaplen]BB", "");
    check("> PA 0 0 AA len=10\n> FA 10 0", "AA[8 snaplen].", "");
    check("> PA 0 0 AA len=10", "AA[8 snaplen]", "");
}

#[test]
fn b17_urgent_bytes_stay_or_are_taken_out() {
    let script = "> PA 0 0 AAAAA\n> UPA 5 0 urg=5 BBBBC\n> UPA 14 0 urg=0 xE\n> PA 10 0 DDDD";
    check(script, "AAAAABBBBCDDDDxE", "");
    let mut config = StreamConfig::default();
    config.urgent = flow_core::UrgentPolicy::Remove;
    let (texts, stats) = run_with(config, &format!("{HANDSHAKE}{script}"), [1_000, 5_000]);
    assert_eq!(texts[0], "AAAAABBBBDDDDE");
    let stats = stats.tcp.initiator;
    assert_eq!((stats.delivered_bytes, stats.urgent_bytes), (14, 2));
    assert_eq!(stats.odd_segments.iter().sum::<u64>(), 2);
}

#[test]
fn b18_data_after_the_fin() {
    let stats = check("> PA 0 0 AAAAA\n> FA 5 0\n< A 0 6\n> PA 6 0 EVIL", "AAAAA.", "");
    assert_eq!(stats.tcp.initiator.beyond_fin_bytes, 4);
}

#[test]
fn c8_fin_out_of_order() {
    check("> FA 5 0 BB\n> PA 0 0 AAAAA", "AAAAABB.", "");
}

#[test]
fn a3_data_on_the_syn() {
    // Taken: the SYN-ACK acknowledges it.
    check_raw("> S -1 GET\n< SA -1 3\n> A 3 0\n> PA 3 0 more", "GETmore", "");
    // Not taken: sent again.
    check_raw("> S -1 GET\n< SA -1 0\n> PA 0 0 GET\n> PA 3 0 more", "GETmore", "");
    // Taken in part.
    check_raw("> S -1 GETxx\n< SA -1 3\n> PA 3 0 more", "GETmore", "");
    // The other direction was not captured: the next segment tells.
    check_raw("> S -1 GET\n> PA 3 0 more", "GETmore", "");
}

#[test]
fn a10_midstream() {
    check_raw("> PA 100 50 AAAAA\n< A 50 105\n> PA 105 50 BB\n< PA 50 107 rr", "AAAAABB", "rr");
    // The other side says where the stream begins.
    check_raw("< A 50 100\n> PA 105 50 BB\n> PA 100 50 AAAAA", "", "AAAAABB");
    let stats = check_raw("> PA 100 0 BB\n> PA 90 0 xxxxxxxxxxBBC", "BBC", "");
    assert_eq!(stats.tcp.initiator.before_start_bytes, 10);
}

#[test]
fn a12_one_direction_only() {
    check_raw("> S -1\n> A 0 0\n> PA 5 0 BB\n> PA 0 0 AAAAA\n> FA 7 0", "AAAAABB.", "");
}

#[test]
fn a14_segment_from_before_the_stream_with_a_new_tail() {
    check("> PA -3 0 xxxAA\n> PA 2 0 BB", "AABB", "");
}

#[test]
fn c5_payload_of_a_reset_is_not_stream_data() {
    check("> PA 0 0 AAAAA\n< A 0 5\n< RA 0 5 ERRMSG", "AAAAA", "");
}

#[test]
fn hole_timer() {
    check("> PA 5 0 BB\n+9000 > A 0 0\n+1001 > A 0 0\n> PA 0 0 AAAAA", "[5 timeout]BB", "");
}

#[test]
fn hole_timer_counts_from_the_hole_and_not_from_the_first_reordering() {
    check(
        "> PA 5 0 BBBBB\n+9900 > PA 15 0 DDDDD\n> PA 0 0 AAAAA\n+110 < A 0 10\n> PA 10 0 CCCCC",
        "AAAAABBBBBCCCCCDDDDD",
        "",
    );
}

#[test]
fn c7_fin_on_a_segment_from_the_past_does_not_cut_the_stream() {
    check("> PA 0 0 AAAAA\n> PA 5 0 BBBBB\n> FPA 0 0 AAAAA\n> PA 10 0 CC", "AAAAABBBBBCC", "");
}

#[test]
fn b16_payload_cut_by_the_snap_length_out_of_order() {
    check("> PA 10 0 BB len=5\n> PA 15 0 CC\n> PA 0 0 AAAAAAAAAA", "AAAAAAAAAABB[3 snaplen]CC", "");
}

#[test]
fn tracker_limits_reach_the_reassemblers() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembler_buffer = Some(4);
    config.overflow_policy = OverflowPolicy::DropFlow;
    let factory = BufferedReassemblerFactory::default();
    let mut driver = FlowDriver::new(Wire, factory).with_config(config);
    let script = format!("{HANDSHAKE}> PA 0 0 AAAAA");
    let ended = frames(&script, [0, 0]).iter().fold(None, |ended, frame| {
        driver.track(frame.view()).fold(ended, |ended, event| match event {
            FlowEvent::Ended { reason, .. } => Some(reason),
            _ => ended,
        })
    });
    assert_eq!(ended, Some(EndReason::BufferOverflow));
}

#[test]
fn f1_budget_gives_up_the_oldest_hole() {
    let mut config = StreamConfig::default();
    config.max_segments = 2;
    let script = format!("{HANDSHAKE}> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n> PA 1 0 a\n> PA 3 0 c");
    let (streams, stats) = run_with(config, &script, [1_000, 5_000]);
    assert_eq!(streams[0], "[2 budget]BcD[1 end]F");
    assert_eq!(stats.tcp.initiator.late_bytes, 1);
}

/// A hundred connections, each with a hole and a thousand bytes behind it.
#[test]
fn f2_budget_of_all_gives_up_the_oldest_holes() {
    let mut config = FlowTrackerConfig::default();
    config.max_reassembly_total = 40_000;
    let mut driver =
        FlowDriver::new(Wire, BufferedReassemblerFactory::default()).with_config(config);
    for flow in 0..100 {
        let script = format!("> PA 0 0 flow={flow} a\n> PA 100 0 flow={flow} x=1000");
        for frame in frames(&script, [0, 0]) {
            driver.track(frame.view()).for_each(drop);
            let held = |driver: &FlowDriver<Wire, BufferedReassemblerFactory>| -> usize {
                let pairs = driver.tracker().flows().filter_map(|f| f.user.reassemblers.as_ref());
                pairs.flatten().map(Reassembler::queued_bytes).sum()
            };
            assert!(held(&driver) <= 40_000, "{} bytes", held(&driver));
        }
    }
    let gaps = |key| {
        let stats = driver.tracker().get(&key).unwrap();
        let pair = stats.user.reassemblers.as_ref().unwrap();
        pair[0].gap_bytes()
    };
    // The oldest gave up, and their bytes are there all the same; the latest still wait.
    assert_eq!((gaps(0), gaps(50), gaps(99)), (99, 99, 0));
    assert_eq!(driver.reassembler_mut(&0, FlowSide::Initiator).unwrap().take().len(), 1_001);
}

#[test]
fn buffered_sliding_window_keeps_the_newest() {
    let (dropped, taken, ended) = buffered(OverflowPolicy::SlidingWindow);
    assert_eq!((dropped, taken.as_slice(), ended), (4, &b"CCCCDDDD"[..], None));
}

#[test]
fn buffered_drop_flow_ends_the_flow() {
    let (dropped, _, ended) = buffered(OverflowPolicy::DropFlow);
    assert_eq!((dropped, ended), (4, Some(EndReason::BufferOverflow)));
}

fn buffered(policy: OverflowPolicy) -> (u64, Vec<u8>, Option<EndReason>) {
    let factory =
        BufferedReassemblerFactory::default().with_max_buffer(8).with_overflow_policy(policy);
    let mut driver = FlowDriver::new(Wire, factory).with_emit_anomalies(true);
    let script = format!("{HANDSHAKE}> PA 0 0 AAAA\n> PA 4 0 CCCC\n> PA 8 0 DDDD");
    let mut ended = None;
    let mut dropped = 0;
    for frame in frames(&script, [1_000, 5_000]) {
        for event in driver.track(frame.view()) {
            if let FlowEvent::Ended { reason, stats, .. } = event {
                dropped = stats.reassembly_bytes_dropped_oversize_initiator;
                ended = Some(reason);
            }
        }
    }
    let Some(stream) = driver.reassembler_mut(&0, FlowSide::Initiator) else {
        return (dropped, Vec::new(), ended);
    };
    (stream.dropped_bytes(), stream.take(), ended)
}
