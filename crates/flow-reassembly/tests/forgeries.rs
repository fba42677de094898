//! One forged, damaged or displaced packet in a connection: no byte disappears for it, and none is
//! made of it.

#![allow(clippy::unwrap_used)]

#[path = "common/transcript.rs"]
mod transcript;
#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use flow_core::{FlowEvent, FlowSide, FlowTracker, FlowTrackerConfig, SegmentOddity};
use transcript::{HANDSHAKE, check, check_raw, swapped};
use wire::{Wire, frames};

const STAMPED: &str = "> S -1 tsval=1000\n< SA -1 0 tsval=77\n> A 0 0 tsval=1020\n";

fn events_of(script: &str, isn: [u32; 2]) -> String {
    let config = FlowTrackerConfig::default();
    let mut tracker = FlowTracker::new(Wire).with_config(config).with_emit_anomalies(true);
    let mut words = Vec::new();
    let mut take = |event| match event {
        FlowEvent::Started { side: FlowSide::Initiator, .. } => words.push("started".to_owned()),
        FlowEvent::Started { .. } => words.push("answered".to_owned()),
        FlowEvent::Established { .. } => words.push("open".to_owned()),
        FlowEvent::StateChange { to, .. } => words.push(to.to_string()),
        FlowEvent::Anomaly { kind, .. } => words.push(format!("!{kind}")),
        FlowEvent::Ended { reason, .. } => words.push(format!("{reason}.")),
        _ => {}
    };
    for frame in frames(script, isn) {
        tracker.track(frame.view()).for_each(&mut take);
    }
    tracker.finish().for_each(&mut take);
    words.join(" ")
}

#[track_caller]
fn events(script: &str, expected: &str) {
    for isn in [[1_000, 5_000], [u32::MAX, 0], [u32::MAX - 7, u32::MAX - 3], [0x7fff_fffa, 9]] {
        for script in [script, &swapped(script)] {
            assert_eq!(events_of(script, isn), expected, "{isn:?} {script}");
        }
    }
}

const OPEN: &str = "started syn_received open established";

#[track_caller]
fn events_open(rest: &str, expected: &str) {
    events(&format!("{HANDSHAKE}{rest}"), &format!("{OPEN} {expected}"));
}

/// A host answers the SYN with a challenge ACK and does not look at its timestamp.
#[test]
fn a7_d5_a_repeated_syn_does_not_move_the_timestamp() {
    let script = format!("{STAMPED}> S -1 tsval=2000000000\n> PA 0 0 AAAAA tsval=1021");
    check_raw(&script, "AAAAA", "");
}

/// Nor does it go back, so that old data would be new.
#[test]
fn a7_d5_a_repeated_syn_does_not_take_the_timestamp_back() {
    let script =
        format!("{STAMPED}> S -1 tsval=1\n> PA 0 0 EVIL tsval=2\n> PA 0 0 good tsval=1021");
    check_raw(&script, "good", "");
}

#[test]
fn a7_d5_nor_does_a_repeated_syn_ack() {
    let script = format!("{STAMPED}< SA -1 0 tsval=2000000000\n< PA 0 0 AAAAA tsval=78");
    check_raw(&script, "", "AAAAA");
}

/// Nor does it agree on signatures.
#[test]
fn a7_d6_a_repeated_syn_agrees_on_nothing() {
    events_open("> S -1 md5\n> R 0 md5\n< A 0 0", "!md5_unexpected eof.");
}

/// Nor does its data count for what was sent.
#[test]
fn a7_c7_data_of_a_repeated_syn_is_not_in_the_way_of_the_fin() {
    events_open(
        "> S -1 0 x=600\n> PA 0 0 AAAAA\n> FA 5 0\n< FA 0 6\n> A 6 1",
        "!syn_data fin_wait closing closed fin.",
    );
}

#[test]
fn a7_c2_nor_does_it_make_a_reset_exact() {
    events_open("> S -1 0 x=600\n> PA 0 0 AAAAA\n< A 0 5\n> R 300", "!syn_data !rst_bad_seq eof.");
}

#[test]
fn a8_a3_data_of_the_syn_that_was_answered() {
    let rest = "< SA -1 1003\n> A 1003 0\n> PA 1003 0 more";
    check_raw(&format!("> S -1 0 EVIL\n> S 999 0 GET\n{rest}"), "GETmore", "");
}

#[test]
fn a8_a3_data_of_a_syn_that_was_not_answered() {
    check_raw("> S -1 0 EVIL\n> S 999\n< SA -1 1000\n> A 1000 0\n> PA 1000 0 good", "good", "");
}

#[test]
fn a9_a5_data_of_the_syn_ack_that_was_answered() {
    let rest = "> A 0 4\n< PA 4 0 more";
    check_raw(&format!("> S -1\n< SA 4999 0 EVIL\n< SA -1 0 good\n{rest}"), "", "goodmore");
}

#[test]
fn a9_a5_data_of_a_syn_ack_that_was_not_answered() {
    check_raw("> S -1\n< SA 4999 0 EVIL\n< SA -1 0\n> A 0 0\n< PA 0 0 good", "", "good");
}

#[test]
fn d5_old_timestamps_with_a_bit_of_old_data() {
    let rest = "> PA 0 0 AAAAA tsval=1020\n< A 0 5 tsval=78\n> PA 4 0 xEVIL tsval=1\n> PA 5 0 BBBBB tsval=1021";
    check_raw(&format!("{STAMPED}{rest}"), "AAAAABBBBB", "");
}

/// The acknowledgment is of bytes that were never seen, so that it makes nothing old.
#[test]
fn d5_b6_old_timestamps_behind_a_forged_acknowledgment() {
    let rest = "< A 0 1000 tsval=77\n> PA 0 0 EVIL tsval=1\n> PA 0 0 good tsval=1021";
    check_raw(&format!("{STAMPED}{rest}"), "good[996 acked]", "");
}

#[test]
fn d5_c7_a_fin_with_an_old_timestamp() {
    check_raw(&format!("{STAMPED}> FA 0 0 tsval=1\n> PA 0 0 good tsval=1021"), "good", "");
}

#[test]
fn d3_c7_a_fin_that_acknowledges_what_was_never_sent() {
    check("> FA 0 1600000000\n> PA 0 0 good", "good", "");
}

#[test]
fn c6_a_fin_before_the_syn_ack() {
    for seq in [0, 70_000, 1_000_000_000] {
        let script =
            format!("> S -1\n< FA {seq} 0\n< SA -1 0\n> A 0 0\n> PA 0 0 hello\n< PA 0 5 hi");
        check_raw(&script, "hello", "hi");
    }
}

#[test]
fn c6_data_before_the_syn_ack() {
    check_raw(
        "> S -1\n< PA 70000 0 evil\n< SA -1 0\n> A 0 0\n> PA 0 0 hello\n< PA 0 5 hi",
        "hello",
        "hi",
    );
}

/// The first in-order FIN counts, for the stream as for the state.
#[test]
fn c7_a_fin_in_front_of_a_forged_one_ends_the_stream() {
    check("> PA 0 0 AAAAA\n> FA 15 0\n> FA 5 0\n< FA 0 6\n> A 6 1", "AAAAA.", ".");
}

/// The same the other way round: the stream ends there, the connection does not.
#[test]
fn c7_b18_a_fin_in_front_of_forged_data_closes() {
    events_open(
        "> PA 0 0 AAAAA\n> PA 10 0 PAST!\n> FA 10 0\n> PA 5 0 BBBBB\n< FA 0 11\n> A 11 1",
        "closing closed fin.",
    );
}

#[test]
fn c7_b18_forged_data_far_behind_the_fin() {
    events_open(
        "> PA 0 0 AAAAA\n> PA 50 0 junk\n> FA 5 0\n< FA 0 6\n> A 6 1",
        "closing closed fin.",
    );
}

#[test]
fn a6_the_sender_of_the_syn_is_the_originator() {
    // What was turned down says nothing about who is who.
    check_raw("> SFA 0 0\n> S -1\n< SA -1 0\n> A 0 0\n> PA 0 0 hi", "hi", "");
}

#[test]
fn a6_what_was_turned_down_makes_no_originator() {
    let rest = "< SA -1 0\n> A 0 0\n> PA 0 0 hi";
    check_raw(&format!("< - 900\n> S -1\n{rest}"), "hi", "");
}

/// INTANG's reverse_tcb: the client sends a SYN-ACK of its own first.
#[test]
fn a6_tcb_reversal_with_the_same_number() {
    check_raw("> SA -1 0\n> S -1\n< SA -1 0\n> A 0 0\n> PA 0 0 data\n< PA 0 4 hi", "data", "hi");
}

#[test]
fn a6_tcb_reversal_with_another_number() {
    check_raw(
        "> SA 70000 30000\n> S -1\n< SA -1 0\n> A 0 0\n> PA 0 0 data\n< PA 0 4 hi",
        "data",
        "hi",
    );
}

#[test]
fn c13_a_syn_with_data_that_is_answered() {
    check(
        "> PA 0 0 old\n> S 77777 0 GET\n< SA 900000 77781\n> PA 77781 900001 new",
        "old|new",
        "|",
    );
}

/// Data with the SYN flag, one number early, in a capture of one direction.
#[test]
fn d7_c13_a_syn_right_in_front_of_what_comes_next_is_no_new_connection() {
    check_raw("> S -1\n> A 0 0\n> PA 0 0 AAAAA\n> SP 4 0 EVIL\n> PA 5 0 BBBBB", "AAAAABBBBB", "");
}

#[test]
fn c12_premature_needs_both() {
    let closed = "> FA 0 0 tsval=1020\n< FA 0 1 tsval=78\n> A 1 1 tsval=1020\n";
    let expected = format!("{OPEN} fin_wait closing closed fin. started eof.");
    events(&format!("{STAMPED}{closed}> S 9000 tsval=1020"), &expected);
}

#[test]
fn c12_premature_needs_both_even_if_older() {
    let closed = "> FA 0 0 tsval=1020\n< FA 0 1 tsval=78\n> A 1 1 tsval=1020\n";
    let expected = format!("{OPEN} fin_wait closing closed fin. started eof.");
    events(&format!("{STAMPED}{closed}> S 9000 tsval=900"), &expected);
}

#[test]
fn a3_b16_data_of_a_syn_that_was_cut_off() {
    let stats = check_raw("> S -1 0 GE len=3\n< SA -1 3\n> PA 3 0 more", "GE[1 snaplen]more", "");
    assert_eq!(stats.tcp.initiator.truncated_bytes, 1);
}

/// The acknowledgments are of the side that is not seen.
#[test]
fn a12_acknowledgments_of_the_invisible_side() {
    let stats =
        check_raw("> S -1\n> A 0 0\n> PA 0 0 AA\n> PA 2 500 BB\n> PA 4 900 CC", "AABBCC", "");
    assert_eq!(stats.tcp.responder.acks_unseen, 2);
}

/// A five-way handshake whose first ACK has the number that RFC 9293 gives an answer to what is
/// not expected.
#[test]
fn a13_a_split_handshake_that_begins_with_an_odd_ack() {
    check_raw(
        "> S -1\n< A 1777777777 0\n< S -1\n> SA -1 0\n< A 0 0\n> PA 0 0 hello\n< PA 0 5 hi",
        "hello",
        "hi",
    );
}

#[test]
fn a13_a_split_handshake_is_nothing_to_complain_of() {
    events("> S -1\n< A -1 0\n< S -1\n> SA -1 0\n< A 0 0", "started open established eof.");
}

#[test]
fn b6_a_gap_at_the_end() {
    check("> PA 0 0 AAAAA\n< A 0 15", "AAAAA[10 acked]", "");
}

#[test]
fn a10_b12_joined_at_a_keep_alive() {
    let stats = check_raw("> A 50 101\n< A 100 50 x\n> A 50 101\n< PA 101 50 data", "", "data");
    assert_eq!(stats.tcp.responder.keep_alives, 1);
}

#[test]
fn d6_a_signed_reset_of_a_syn() {
    events("> S -1\n< RA 0 0 md5", "started !md5_unexpected eof.");
}

/// What is odd is counted of segments that count.
#[test]
fn b17_d2_a_rejected_segment_is_not_odd_as_well() {
    let stats = check("> U 0 0 urg=1 EVIL", "", "");
    let at = SegmentOddity::ALL.iter().position(|&one| one == SegmentOddity::UrgentData).unwrap();
    assert_eq!(stats.tcp.initiator.odd_segments[at], 0);
}

/// The capture has it in another order than it was sent.
#[test]
fn a6_b4_the_syn_behind_the_first_data() {
    check_raw("> PA 0 0 hello\n> S -1\n< SA -1 0\n> A 0 0\n> PA 5 0 more", "hellomore", "");
}

#[test]
fn a6_b4_the_syn_ack_behind_the_first_answer() {
    let expected = "started !out_of_window syn_received open established eof.";
    events("> S -1\n< PA 0 0 hi\n< SA -1 0\n> A 0 2", expected);
    check_raw("> S -1\n< PA 0 0 hi\n< SA -1 0\n> A 0 2", "", "hi");
}
