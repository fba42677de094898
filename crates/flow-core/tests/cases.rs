//! The cases of TCP state one by one, and what is reported of insertions: wherever the sequence
//! numbers wrap, and whichever host comes first in the key.

#![allow(clippy::unwrap_used)]

mod wire;

use std::time::Duration;

use flow_core::{
    AnomalyKind, FlowEvent, FlowSide, FlowStats, FlowTracker, FlowTrackerConfig, RejectReason,
    SegmentOddity, TcpSideStats,
};
use wire::{Wire, frames};

/// What happens, in words, and what was counted of the last flow to end.
fn events_of(config: &FlowTrackerConfig, script: &str, isn: [u32; 2]) -> (String, Box<FlowStats>) {
    let mut tracker = FlowTracker::new(Wire).with_config(config.clone()).with_emit_anomalies(true);
    let (mut words, mut last) = (Vec::new(), None);
    let mut take = |event| match event {
        FlowEvent::Started { side: FlowSide::Initiator, .. } => words.push("started".to_owned()),
        FlowEvent::Started { .. } => words.push("answered".to_owned()),
        FlowEvent::Established { .. } => words.push("open".to_owned()),
        FlowEvent::StateChange { to, .. } => words.push(to.to_string()),
        FlowEvent::Anomaly { kind, .. } => words.push(format!("!{kind}")),
        FlowEvent::Ended { reason, stats, .. } => {
            words.push(format!("{reason}."));
            last = Some(stats);
        }
        _ => {}
    };
    for frame in frames(script, isn) {
        tracker.track(frame.view()).for_each(&mut take);
    }
    tracker.finish().for_each(&mut take);
    (words.join(" "), last.unwrap())
}

/// The same connection with the hosts in each other's place.
fn swapped(script: &str) -> String {
    let turned = |word: &str| match word {
        ">" => "<".to_owned(),
        "<" => ">".to_owned(),
        other => other.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(turned).collect::<Vec<_>>().join(" ");
    script.lines().map(str::trim).map(line).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check_config(config: &FlowTrackerConfig, script: &str, expected: &str) -> Box<FlowStats> {
    for isn in [[1_000, 5_000], [u32::MAX, 0], [u32::MAX - 7, u32::MAX - 3], [0x7fff_fffa, 9]] {
        for script in [script, &swapped(script)] {
            let (words, _) = events_of(config, script, isn);
            assert_eq!(words, expected, "initial sequence numbers {isn:?}, {script}");
        }
    }
    events_of(config, script, [1_000, 5_000]).1
}

#[track_caller]
fn check(script: &str, expected: &str) -> Box<FlowStats> {
    check_config(&FlowTrackerConfig::default(), script, expected)
}

const HANDSHAKE: &str = "> S -1\n< SA -1 0\n> A 0 0\n";
const OPEN: &str = "started syn_received open established";
/// A handshake with timestamps 1000 and 77, of which the last is 1020.
const STAMPED: &str = "> S -1 tsval=1000\n< SA -1 0 tsval=77\n> A 0 0 tsval=1020\n";

#[track_caller]
fn check_open(rest: &str, expected: &str) -> Box<FlowStats> {
    check(&format!("{HANDSHAKE}{rest}"), &format!("{OPEN} {expected}"))
}

fn odd(stats: &TcpSideStats, oddity: SegmentOddity) -> u64 {
    let at = SegmentOddity::ALL.iter().position(|&known| known == oddity).unwrap();
    stats.odd_segments[at]
}

fn rejected(stats: &TcpSideStats, reason: RejectReason) -> u64 {
    let at = RejectReason::ALL.iter().position(|&known| known == reason).unwrap();
    stats.rejected_segments[at]
}

// A. Sequence space and handshakes.

#[test]
fn a2_a_fin_is_acknowledged_by_the_number_behind_it() {
    check_open(
        "> PA 0 0 AAAAA\n> FA 5 0\n< A 0 5\n< FA 0 5\n> A 6 1\n+4000 < A 1 6",
        "fin_wait closing closed fin.",
    );
    // Of an acknowledgment that stops in front of the FIN nothing follows.
    check_open("> PA 0 0 AAAAA\n> FA 5 0\n< A 0 5\n< FA 0 5\n> A 6 1", "fin_wait closing eof.");
    // RFC 9293 section 3.10.7.3: the SYN takes one, too.
    check("> S -1\n< SA -1 -1\n< SA -1 1", "started !bad_ack eof.");
}

#[test]
fn a3_a5_data_of_a_syn_is_noted_on_either_side() {
    let stats = check(
        "> S -1 0 GET\n< SA -1 3 hello\n> A 3 5",
        "started !syn_data !syn_data syn_received open established eof.",
    );
    for side in FlowSide::BOTH {
        assert_eq!(odd(stats.tcp.side(side), SegmentOddity::SynData), 1);
    }
}

#[test]
fn a6_roles_are_found_once() {
    let rest = "> A 0 0\n> FA 0 0\n< FA 0 1\n> A 1 1";
    let end = "open established fin_wait closing closed fin.";
    check(&format!("> S -1\n< SA -1 0\n{rest}"), &format!("started syn_received {end}"));
    let stats = check(
        &format!("< SA -1 0\n> S -1\n< SA -1 0\n> S -1\n{rest}"),
        &format!("answered !role_flip {end}"),
    );
    assert_eq!((stats.packets_initiator, stats.packets_responder), (5, 3));
}

#[test]
fn a7_repeated_syns_change_nothing() {
    let again = "> S -1\n> S -1\n> S -1\n< SA -1 0\n< SA -1 0\n> A 0 0\n> S -1\n< SA -1 0\n> A 0 0";
    let stats = check(again, &format!("{OPEN} eof."));
    assert_eq!(stats.tcp.initiator.syn_retransmissions, 3);
    assert_eq!(stats.tcp.responder.syn_retransmissions, 2);
}

#[test]
fn a8_four_more_syns_are_remembered() {
    let syns: String = (0..5).map(|at| format!("> S {}\n", at * 1_000 - 1)).collect();
    for at in [0, 1_000, 2_000, 3_000, 4_000] {
        check(&format!("{syns}< SA -1 {at}\n> A {at} 0"), &format!("{OPEN} eof."));
    }
    check(&format!("{syns}> S 99999\n< SA -1 0"), "started !bad_ack eof.");
    check(&format!("{syns}< SA -1 999"), "started !bad_ack eof.");
}

#[test]
fn a9_four_more_syn_acks_are_remembered() {
    let more: String = (1..5).map(|at| format!("< SA {} 0\n", at * 1_000 - 1)).collect();
    for at in [0, 1_000, 2_000, 3_000, 4_000] {
        let rest = format!("> A 0 {at}\n< PA {at} 0 hi\n< FA {} 0\n> FA 0 {0}", at + 2);
        let stats = check(
            &format!("> S -1\n< SA -1 0\n{more}{}", rest.replace("{0}", &(at + 3).to_string())),
            "started syn_received !syn_in_established open established fin_wait closing eof.",
        );
        assert_eq!(rejected(&stats.tcp.responder, RejectReason::SynInEstablished), 4);
    }
}

#[test]
fn a13_split_handshakes() {
    let end = "> FA 0 0\n< FA 0 1\n> A 1 1";
    let closes = "fin_wait closing closed fin.";
    let four = format!("> S -1\n< S -1\n> SA -1 0\n< A 0 0\n{end}");
    check(&four, &format!("{OPEN} {closes}"));
    let crossed = format!("> S -1\n< S -1\n< SA -1 0\n> SA -1 0\n> A 0 0\n{end}");
    check(&crossed, &format!("{OPEN} {closes}"));
}

// B. What the tracker says of bytes.

#[test]
fn b6_acknowledgments_of_bytes_never_seen_are_counted() {
    let stats = check_open("> PA 0 0 AAAAA\n< A 0 15\n< A 0 15\n> PA 15 0 DD\n< A 0 17", "eof.");
    assert_eq!(stats.tcp.initiator.acks_unseen, 2);
    assert_eq!(stats.tcp.responder.acks_unseen, 0);
}

#[test]
fn b17_urgent_data_is_noted() {
    let stats = check_open("> UPA 0 0 urg=1 xAAAA\n> UA 5 0 urg=1", "!urgent_data eof.");
    assert_eq!(odd(&stats.tcp.initiator, SegmentOddity::UrgentData), 1);
}

// C. Resets, closes, reuse.

#[test]
fn c1_who_can_take_a_reset_back() {
    let undone = "reset !rst_ignored_by_sender established";
    check_open("> R 0\n> A 0 0", &format!("{undone} eof."));
    check_open("< R 0\n< PA 0 0 hi", &format!("{undone} eof."));
    check_open("> R 0\n> FA 0 0", "reset !rst_ignored_by_sender fin_wait eof.");
    check_open("> R 0\n> PA 0 0 AA\n> R 2", &format!("{undone} reset rst."));
    // Not the other side, which may not have got it yet, nor what a host would drop.
    check_open("> PA 0 0 AAAAA\n> R 5\n< PA 0 5 hi\n< A 2 5", "reset rst.");
    check_open("> R 0\n> P 0 0 EVIL", "reset !data_no_ack rst.");
    check_open("> R 0\n> PA 0 0 EVIL md5", "reset !md5_unexpected rst.");
    check_open("> R 0\n> R 0\n< R 0", "reset rst.");
    // Nor anybody once its linger is over.
    check_open("> R 0\n+3100 > PA 0 0 AAAAA", "reset rst. started eof.");
}

#[test]
fn c1_a_reset_during_the_close_can_be_taken_back() {
    check_open(
        "> FA 0 0\n> R 1\n> FA 0 0\n< FA 0 1\n> A 1 1",
        "fin_wait reset \
        !rst_ignored_by_sender fin_wait closing closed fin.",
    );
}

#[test]
fn c2_one_off_is_not_exact() {
    for seq in [4, 6, 65_000, -60_000, 2_000_000_000, -2_000_000_000] {
        let script = format!("> PA 0 0 AAAAA\n< A 0 5\n> R {seq}\n> RA {seq} 0");
        let stats = check_open(&script, "!rst_bad_seq eof.");
        assert_eq!(rejected(&stats.tcp.initiator, RejectReason::RstBadSeq), 2);
    }
    check_open("< PA 0 0 AAAAA\n> A 0 5\n< R 6\n< RA 5 0", "!rst_bad_seq reset rst.");
    // Whatever it acknowledges.
    check_open("> PA 0 0 AAAAA\n< A 0 5\n> RA 5 77777", "reset rst.");
}

#[test]
fn c4_how_far_ahead_a_reset_may_be() {
    check_open("> PA 0 0 AAAAA\n< A 0 5\n> PA 10 0 CCCCC\n> R 15", "reset rst.");
    check_open("> PA 0 0 AAAAA\n< A 0 5\n> PA 10 0 CCCCC\n> R 16", "!rst_bad_seq eof.");
    check_open("< A 0 500\n> R 501", "!rst_bad_seq eof.");
}

#[test]
fn c6_resets_in_the_handshake() {
    // Without an acknowledgment, or with a timestamp that was never sent.
    check("> S -1\n< R 0", "started !rst_in_syn_sent eof.");
    check("> S -1\n< RA 0 1", "started !rst_in_syn_sent eof.");
    check("> S -1\n< RA 0 -1", "started !rst_in_syn_sent eof.");
    check("> S -1 tsval=77\n< RA 0 0 tsecr=0", "started reset rst.");
    check("> S -1 tsval=77\n< RA 0 0", "started reset rst.");
    // Whoever has sent the SYN may give up.
    check("> S -1\n> R 0", "started reset rst.");
    check(
        "> S -1\n< SA -1 0\n< R 77\n> A 0 0",
        "started syn_received !rst_bad_seq open established eof.",
    );
    check("> S -1\n< SA -1 0\n> R 0", "started syn_received reset rst.");
    // The data of the SYN may have been taken.
    check("> S -1 0 GET\n< RA 0 3", "started !syn_data reset rst.");
    check("> S -1 0 GET\n< RA 0 4", "started !syn_data !rst_in_syn_sent eof.");
}

#[test]
fn c7_a_fin_needs_the_ack_flag() {
    check_open("> F 0\n< A 0 0", "!data_no_ack eof.");
    check_open("> FA 0 0\n< F 0\n> A 1 0", "fin_wait !data_no_ack eof.");
}

#[test]
fn c8_a_fin_behind_a_hole_does_not_wait_for_it() {
    check_open("> FA 5 0\n> PA 0 0 AAAAA\n< FA 0 6\n> A 6 1", "fin_wait closing closed fin.");
}

#[test]
fn c10_simultaneous_close() {
    check_open("> FA 0 0\n< FA 0 0\n> A 1 1\n< A 1 1", "fin_wait closing closed fin.");
    check_open("< FA 0 0\n> FA 0 0\n< A 1 1\n> A 1 1", "fin_wait closing closed fin.");
    let again = "> FA 0 0\n> FA 0 0\n< FA 0 0\n< FA 0 0\n> FA 0 1\n< FA 0 1\n> FA 0 1\n< FA 0 1";
    check_open(again, "fin_wait closing closed fin.");
}

const CLOSED: &str = "> FA 0 0\n< FA 0 1\n> A 1 1\n";
const CLOSES: &str = "fin_wait closing closed";

#[test]
fn c11_how_long_a_closed_flow_lingers() {
    let stats = check_open(&format!("{CLOSED}+4900 < FA 0 1\n> A 1 1"), &format!("{CLOSES} fin."));
    assert_eq!((stats.packets_initiator, stats.packets_responder), (5, 3));
    // Stragglers do not make it longer.
    let stragglers = "+4000 < FA 0 1\n+2100 > A 1 1";
    check_open(&format!("{CLOSED}{stragglers}"), &format!("{CLOSES} fin. started eof."));
    check_open(&format!("{CLOSED}< R 1\n> R 1\n> S -1"), &format!("{CLOSES} fin."));
}

#[test]
fn c12_when_reuse_is_premature() {
    let early = format!("{CLOSES} !premature_reuse fin. started eof.");
    let plain = format!("{CLOSES} fin. started eof.");
    for (isn, is_early) in
        [(0, true), (1, false), (-2, true), (2_000_000_000, false), (-2_000_000_000, true)]
    {
        let script = format!("{CLOSED}> S {isn}");
        check_open(&script, if is_early { &early } else { &plain });
    }
    let stamped = "> FA 0 0 tsval=1020\n< FA 0 1 tsval=78\n> A 1 1 tsval=1020\n";
    for (isn, value, is_early) in
        [(9_000, 1_021, false), (-9_000, 1_021, false), (-9_000, 1_020, true)]
    {
        let expected = format!("{OPEN} {}", if is_early { &early } else { &plain });
        check(&format!("{STAMPED}{stamped}> S {isn} tsval={value}"), &expected);
    }
    // The other host begins the next connection.
    check_open(&format!("{CLOSED}< S 9000"), &plain);
    check_open(&format!("{CLOSED}< S -9000"), &early);
    // Whoever has finished may begin again at once.
    check_open("> FA 0 0\n> S 9000", "fin_wait replaced. started eof.");
}

#[test]
fn c13_one_of_several_syns_in_a_connection() {
    let syns: String = (1..5).map(|at| format!("> S {}\n", at * 100_000)).collect();
    for at in 1..5 {
        let answer = format!("< SA 900000 {}", at * 100_000 + 1);
        let expected = "!syn_in_established replaced. answered !role_flip eof.";
        check_open(&format!("{syns}{answer}"), expected);
    }
    // The other host may send one as well.
    check_open(
        "< S 77777\n> SA 900000 77778",
        "!syn_in_established replaced. answered !role_flip eof.",
    );
    check_open("< S 77777\n> A 0 0\n< PA 0 0 hi", "!syn_in_established eof.");
}

#[test]
fn c14_flags_in_any_place() {
    check("> SF -1", "started !bad_flags eof.");
    check("> SR -1", "started !bad_flags eof.");
    check("> FPU -1", "started !data_no_ack eof.");
    check("> - -1", "started !data_no_ack eof.");
    check_open("> SFRPAU 0 0\n> SFA 0 0\n> RSA 0 0\n< SF 0", "!bad_flags !bad_flags eof.");
    check_open("> SA 0 0\n> SA 0 0 EVIL", "!syn_in_established eof.");
    check_open("> FPU 0\n> U 0\n> P 0", "!data_no_ack eof.");
    check_open("> RF 0", "reset rst.");
    check_open("> RFPAU 0 0", "reset rst.");
}

#[test]
fn c15_while_closing_less_patience() {
    let mut config = FlowTrackerConfig::default();
    let closing = format!("{HANDSHAKE}> FA 0 0\n< FA 0 1\n");
    let expected = format!("{OPEN} fin_wait closing");
    check_config(&config, &format!("{closing}+59000 > A 1 1"), &format!("{expected} closed fin."));
    let late = format!("{closing}+62000 > A 1 1");
    check_config(&config, &late, &format!("{expected} fin. started eof."));
    config.idle_timeout_closing = Duration::from_secs(5);
    config.idle_timeout_syn = Duration::from_secs(2);
    config.idle_timeout_tcp = Duration::from_secs(8);
    let late = format!("{closing}+7000 > A 1 1");
    check_config(&config, &late, &format!("{expected} fin. started eof."));
    check_config(&config, "> S -1\n+4000 > S -1", "started aborted timeout. started eof.");
    check_config(
        &config,
        &format!("{HANDSHAKE}+7000 > A 0 0\n+10000 > A 0 0"),
        &format!("{OPEN} timeout. started eof."),
    );
}

// D. What hosts drop.

#[test]
fn d2_data_without_the_ack_flag() {
    let stats = check_open("> P 0 0 EVIL\n> - 0 0 EVIL\n> F 0 0 EVIL", "!data_no_ack eof.");
    assert_eq!(rejected(&stats.tcp.initiator, RejectReason::NoAck), 3);
    check("> P 0 0 EVIL\n> S -1\n< SA -1 0", "started !data_no_ack syn_received eof.");
}

#[test]
fn d3_d4_which_acknowledgments_are_wild() {
    check_open("> PA 0 1600000000 EVIL", "!bad_ack eof.");
    check_open("< PA 0 2000000 EVIL", "!bad_ack eof.");
    check_open("> PA 0 -100000 BB\n> PA 2 -2000000000 CC", "eof.");
}

#[test]
fn d5_resets_need_no_timestamp_and_data_a_new_one() {
    let check = |rest: &str, expected: &str| {
        check(&format!("{STAMPED}{rest}"), &format!("{OPEN} {expected}"));
    };
    check("> PA 0 0 AA tsval=1019\n> PA 2 0 BB", "eof.");
    check("> PA 0 0 EVIL tsval=1018", "!paws_old eof.");
    check("< PA 0 0 AA tsval=76\n< PA 2 0 EVIL tsval=75", "!paws_old eof.");
    check("> R 0 tsval=1", "reset rst.");
    check("> R 0", "reset rst.");
}

#[test]
fn d6_signatures_that_nobody_agreed_on() {
    let stats = check_open("> PA 0 0 EVIL md5\n> FA 0 0 md5\n> R 0 md5", "!md5_unexpected eof.");
    assert_eq!(rejected(&stats.tcp.initiator, RejectReason::Md5Unexpected), 3);
    // Nobody knows what was agreed on before.
    check(
        "> PA 0 0 AAAA md5\n> FA 4 0 md5\n< FA 0 5\n> A 5 1",
        "started fin_wait closing closed fin.",
    );
}

#[test]
fn d7_a_syn_with_data_in_a_connection() {
    let script = "> PA 0 0 AAAAA\n> SPA 5 0 EVIL!\n> SP 5 0 EVIL!\n< A 0 5\n> PA 5 0 BBBBB";
    let stats = check_open(script, "!syn_in_established eof.");
    assert_eq!(rejected(&stats.tcp.initiator, RejectReason::SynInEstablished), 2);
    assert_eq!(odd(&stats.tcp.initiator, SegmentOddity::SynData), 0);
}

#[test]
fn d8_from_which_time_to_live_on_it_is_odd() {
    let of = |first: u8, then: u8, rest: &str| {
        let opening = format!("> S -1 ttl={first}\n< SA -1 0 ttl=50\n> A 0 0 ttl={first}\n");
        let script = format!("{opening}{}", rest.replace("ttl=?", &format!("ttl={then}")));
        let (words, _) = events_of(&FlowTrackerConfig::default(), &script, [u32::MAX, 7]);
        words.matches("!ttl_anomaly").count()
    };
    for (first, then, count) in
        [(64, 59, 0), (64, 58, 1), (64, 69, 0), (64, 70, 1), (7, 5, 0), (7, 4, 1), (255, 1, 1)]
    {
        assert_eq!(of(first, then, "> PA 0 0 AA ttl=?"), count, "{first} {then}");
        assert_eq!(of(first, then, "> FA 0 0 ttl=?"), count, "{first} {then}");
        assert_eq!(of(first, then, "> R 0 ttl=?"), count, "{first} {then}");
        assert_eq!(of(first, then, "> A 0 0 ttl=?"), 0, "{first} {then}");
    }
    // The first of a direction counts, not the latest.
    assert_eq!(of(64, 60, "> PA 0 0 AA ttl=?\n> PA 2 0 BB ttl=56"), 1);
    assert_eq!(of(64, 60, "> PA 0 0 AA ttl=?\n< PA 0 2 BB ttl=46"), 0);
}

#[test]
fn d8_the_lowest_time_to_live_that_is_taken() {
    let mut config = FlowTrackerConfig::default();
    config.min_ttl = 10;
    let opening = "> S -1 ttl=64\n< SA -1 0 ttl=50\n> A 0 0 ttl=64\n";
    let script = format!("{opening}> PA 0 0 AA ttl=9\n> FA 0 0 ttl=9\n> PA 0 0 AA ttl=10");
    let stats = check_config(&config, &script, &format!("{OPEN} !low_ttl !ttl_anomaly eof."));
    assert_eq!(rejected(&stats.tcp.initiator, RejectReason::LowTimeToLive), 2);
    check_config(&config, "> S -1 ttl=9\n> S -1 ttl=10", "started !low_ttl eof.");
}

/// What the headers say counts as far as the frame was long enough for it.
#[test]
fn d9_lengths_that_the_frame_contradicts() {
    let mut tracker = FlowTracker::new(Wire);
    let script = format!("{HANDSHAKE}> PA 0 0 AAAAA len=20\n> PA 20 0 BBBBB len=20");
    let frames = frames(&script, [0, 0]);
    for frame in &frames[..4] {
        tracker.track(frame.view()).for_each(drop);
    }
    // 32 bytes of header and 8 of payload were on the wire, of which 5 were captured.
    tracker.track(frames[4].view().with_wire_len(40)).for_each(drop);
    assert_eq!(tracker.get(&0).unwrap().stats().payload_bytes_initiator, 20 + 8);
    // Less than was captured cannot be.
    tracker.track(frames[4].view().with_wire_len(0)).for_each(drop);
    assert_eq!(tracker.get(&0).unwrap().stats().payload_bytes_initiator, 20 + 8 + 5);
}

// What insertion and evasion are reported as.

#[test]
fn c7_b14_segments_outside_of_any_window() {
    check_open("< A 0 0\n> FA 9000000 0", "!fin_bad_seq eof.");
    check_open(
        "> A 0 0\n< FA 9000000 0\n> FA 0 0\n< FA 0 1\n> A 1 1",
        "!fin_bad_seq fin_wait \
        closing closed fin.",
    );
}

#[test]
fn b18_c7_data_behind_a_fin() {
    check_open("> FA 5 0\n> PA 6 0 more\n> PA 0 0 AAAAA", "fin_wait !data_after_fin eof.");
    check_open("> FA 5 0\n> PA 0 0 AAAAAmore", "fin_wait !data_after_fin eof.");
    check_open("> FA 5 0\n> PA 0 0 AAAAA", "fin_wait eof.");
}

/// Every name that is reported is that of the table.
#[test]
fn names_of_what_is_reported() {
    let side = FlowSide::Initiator;
    let reasons = RejectReason::ALL.map(|reason| AnomalyKind::RejectedSegment { side, reason });
    let names = reasons.map(|kind| kind.to_string());
    for name in [
        "bad_checksum",
        "data_no_ack",
        "bad_ack",
        "md5_unexpected",
        "paws_old",
        "rst_bad_seq",
        "rst_in_syn_sent",
        "fin_bad_seq",
        "syn_in_established",
        "out_of_window",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    let oddities = SegmentOddity::ALL.map(|oddity| AnomalyKind::OddSegment { side, oddity });
    let names = oddities.map(|kind| kind.to_string());
    for name in [
        "ttl_anomaly",
        "rst_ignored_by_sender",
        "rst_payload",
        "data_after_fin",
        "syn_data",
        "role_flip",
        "urgent_data",
        "premature_reuse",
    ] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
}
