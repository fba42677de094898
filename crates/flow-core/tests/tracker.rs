//! What the tracker makes of whole connections: events in order, judged segment by segment.

#![allow(clippy::unwrap_used)]

mod wire;

use flow_core::{FlowEvent, FlowTracker, FlowTrackerConfig, Timestamp};
use std::time::Duration;
use wire::{Wire, frames};

fn describe(event: FlowEvent<u32>) -> Option<String> {
    Some(match event {
        FlowEvent::Started { side, .. } => format!("started {side:?}"),
        FlowEvent::Packet { .. } => return None,
        FlowEvent::Established { .. } => "established".into(),
        FlowEvent::StateChange { to, .. } => to.to_string(),
        FlowEvent::Ended { reason, stats, history, .. } => format!(
            "ended {reason} {history} {}/{}",
            stats.packets_initiator, stats.packets_responder
        ),
        FlowEvent::Anomaly { kind, .. } => format!("! {kind}"),
        other => format!("{other:?}"),
    })
}

fn events_with(config: FlowTrackerConfig, script: &str) -> Vec<String> {
    let mut tracker = FlowTracker::new(Wire).with_config(config).with_emit_anomalies(true);
    let mut events = Vec::new();
    for frame in frames(script, [1_000, 5_000]) {
        events.extend(tracker.track(frame.view()).filter_map(describe));
    }
    events.extend(tracker.finish().filter_map(describe));
    events
}

#[track_caller]
fn check(script: &str, expected: &[&str]) {
    assert_eq!(events_with(FlowTrackerConfig::default(), script), expected);
}

const HANDSHAKE: &str = "> S -1\n< SA -1 0\n> A 0 0\n";

#[track_caller]
fn check_established(rest: &str, expected: &[&str]) {
    let opened = ["started Initiator", "syn_received", "established", "established"];
    let expected: Vec<_> = opened.iter().chain(expected).copied().collect();
    check(&format!("{HANDSHAKE}{rest}"), &expected);
}

#[test]
fn plain_connection() {
    check_established(
        "> PA 0 0 hello\n< A 0 5\n< PA 0 5 hi\n> FA 5 2\n< FA 2 6\n> A 6 3",
        &["fin_wait", "closing", "closed", "ended fin ShADadFf 5/4"],
    );
}

#[test]
fn a6_syn_ack_before_syn_makes_its_receiver_the_initiator() {
    check(
        "< SA -1 0\n> S -1\n> A 0 0",
        &["started Responder", "! role_flip", "established", "established", "ended eof ^hSA 2/1"],
    );
}

#[test]
fn a13_simultaneous_open() {
    check(
        "> S -1\n< S -1\n> SA -1 0\n< SA -1 0\n> PA 0 0 AAAAA",
        &["started Initiator", "syn_received", "established", "established", "ended eof SsHhD 3/2"],
    );
}

#[test]
fn c1_a_reset_that_its_sender_contradicts_is_undone() {
    check_established(
        "> R 0\n> PA 0 0 hello\n< A 0 5",
        &["reset", "! rst_ignored_by_sender", "established", "ended eof ShARDa 4/2"],
    );
}

#[test]
fn c1_exact_reset_ends_after_its_linger() {
    check_established(
        "> R 0\n+3000 > S -1 flow=2",
        &["reset", "ended rst ShAR 3/1", "started Initiator", "ended eof S 1/0"],
    );
}

#[test]
fn c2_c3_reset_with_another_number_is_ignored() {
    check_established("> R 10\n> R 5000000", &["! rst_bad_seq", "ended eof ShAR 4/1"]);
}

#[test]
fn c4_reset_behind_data_the_capture_lost() {
    check_established("< A 0 500\n> R 500", &["reset", "ended rst ShAaR 3/2"]);
}

#[test]
fn c6_reset_of_a_syn_must_acknowledge_it() {
    check("> S -1\n< RA 0 0", &["started Initiator", "reset", "ended rst Sr 1/1"]);
    check("> S -1\n< RA 0 77", &["started Initiator", "! rst_in_syn_sent", "ended eof Sr 1/1"]);
    check(
        "> S -1\n< RA 0 0\n< SA -1 0\n> A 0 0",
        &[
            "started Initiator",
            "reset",
            "syn_received",
            "established",
            "established",
            "ended eof SrhA 2/2",
        ],
    );
}

#[test]
fn c9_half_close() {
    check_established(
        "> FA 0 0\n< A 0 1\n< PA 0 1 more\n> A 1 4\n< FA 4 1\n> A 1 5",
        &["fin_wait", "closing", "closed", "ended fin ShAFadf 5/4"],
    );
}

#[test]
fn c11_stragglers_make_no_ghost_flow() {
    check_established(
        "> FA 0 0\n< FA 0 1\n> A 1 1\n+3000 < FA 0 1\n> A 1 1\n+1000 < FA 0 1",
        &["fin_wait", "closing", "closed", "ended fin ShAFf 5/4"],
    );
}

#[test]
fn c12_reuse_after_close_is_a_new_flow() {
    check_established(
        "> FA 0 0\n< FA 0 1\n> A 1 1\n> S 899999\n< SA 699999 900000",
        &[
            "fin_wait",
            "closing",
            "closed",
            "ended fin ShAFf 4/2",
            "started Initiator",
            "syn_received",
            "ended eof Sh 1/1",
        ],
    );
}

#[test]
fn c13_syn_inside_a_connection_is_ignored_unless_answered() {
    check_established(
        "> S 77777\n< A 0 0\n> PA 0 0 AAAAA",
        &["! syn_in_established", "ended eof ShAaD 4/2"],
    );
    check_established(
        "> S 77777\n< SA 900000 77778",
        &[
            "! syn_in_established",
            "ended replaced ShA 3/1",
            "started Responder",
            "! role_flip",
            "ended eof ^h 0/1",
        ],
    );
}

#[test]
fn c14_flags_that_no_host_sends() {
    check_established(
        "> SF 0\n> SR 0\n> - 0",
        &["! bad_flags", "! data_no_ack", "ended eof ShAQ 5/1"],
    );
}

#[test]
fn d_segments_that_a_host_would_drop() {
    check_established("> P 0 EVIL", &["! data_no_ack", "ended eof ShAD 3/1"]);
    check_established("> PA 0 0 EVIL md5", &["! md5_unexpected", "ended eof ShAD 3/1"]);
    check_established("> PA 9000000 0 EVIL", &["! out_of_window", "ended eof ShAD 3/1"]);
}

#[test]
fn d5_old_timestamps() {
    check(
        "> S -1 tsval=1000\n< SA -1 0 tsval=77\n> A 0 0 tsval=1010\n> PA 0 0 AAAAA tsval=1020\n\
         < A 0 5 tsval=78\n> PA 5 0 EVILX tsval=1\n> PA 5 0 BBBBB tsval=1030",
        &[
            "started Initiator",
            "syn_received",
            "established",
            "established",
            "! paws_old",
            "ended eof ShADa 5/2",
        ],
    );
}

#[test]
fn far_away_data_needs_the_word_of_the_other_side() {
    check_established(
        "< A 0 0\n> PA 1000000000 0 AAAAA\n> PA 1000000005 0 BBBBB\n> PA 5 0 AAAAA",
        &["! out_of_window", "ended eof ShAaD 5/2"],
    );
    check_established(
        "< A 0 0\n> PA 1000000000 0 AAAAA\n< A 0 1000000005\n> PA 1000000005 0 BBBBB",
        &["! out_of_window", "ended eof ShAaD 4/3"],
    );
    // Where it is not heard, a second segment has to do.
    check(
        "> S -1\n> A 0 0\n> PA 1000000000 0 AAAAA\n> PA 1000000005 0 BBBBB",
        &[
            "started Initiator",
            "established",
            "established",
            "! out_of_window",
            "ended eof SAD 4/0",
        ],
    );
}

#[test]
fn c7_fin_from_the_past_changes_nothing() {
    check_established(
        "> PA 0 0 AAAAA\n> FA -100000 0\n< FA 0 5",
        &["fin_wait", "ended eof ShADFf 4/2"],
    );
}

#[test]
fn c12_reuse_seen_from_one_side_only() {
    for seq in [-500_000_000, -1_500_000_000, 500_000_000, 1_500_000_000] {
        let script = format!(
            "> S -1\n> A 0 0\n> PA 0 0 AAAAA\n> S {}\n> A {seq} 0\n> PA {seq} 0 BBBBB",
            seq - 1
        );
        check(
            &script,
            &[
                "started Initiator",
                "established",
                "established",
                "! syn_in_established",
                "ended replaced SAD 4/0",
                "started Initiator",
                "ended eof AD 2/0",
            ],
        );
    }
}

#[test]
fn d5_timestamps_of_a_long_flow_seen_from_one_side() {
    let mut script = String::from("> S -1 tsval=1000\n> A 0 0 tsval=1000\n");
    for (at, tsval) in
        [1_000_000_000u32, 2_000_000_000, 3_000_000_000, 4_000_000_000].iter().enumerate()
    {
        script += &format!("> PA {} 0 AAAAA tsval={tsval}\n", at * 5);
    }
    check(&script, &["started Initiator", "established", "established", "ended eof SAD 6/0"]);
}

#[test]
fn an_ack_of_something_else_establishes_nothing() {
    check(
        "> S -1\n< A 5000000 300\n> R 300",
        &["started Initiator", "! bad_ack", "! rst_bad_seq", "ended eof SaR 2/1"],
    );
}

#[test]
fn d3_data_with_a_wild_ack_is_rejected_where_both_sides_are_known() {
    check_established(
        "> PA 0 0 AAAAA\n> PA 5 1600000000 EVIL!\n> PA 5 0 BBBBB",
        &["! bad_ack", "ended eof ShAD 5/1"],
    );
    // Somebody who saw no SYN cannot tell who is right.
    check(
        "> PA 0 0 AAAAA\n< A 0 5\n> PA 5 1600000000 BBBBB",
        &["started Initiator", "ended eof Da 2/1"],
    );
}

/// Two bytes in a row are lost, then somebody acknowledges far too much.
#[test]
fn a_wild_ack_after_a_loss_does_not_stick() {
    check_established(
        "< A 0 100\n< A 0 1600000000\n> PA 100 0 AAAAA\n> FA 105 0\n< FA 0 106\n> A 106 1",
        &["fin_wait", "closing", "closed", "ended fin ShAaDFf 5/4"],
    );
}

#[test]
fn a_wild_ack_before_the_other_side_is_heard_does_not_stick() {
    check(
        "> A 0 1600000000\n> A 0 0\n< PA 0 0 AAAAA\n< PA 10 0 BBBBB\n< FA 15 0\n> FA 0 16\n< A 16 1",
        &["started Initiator", "fin_wait", "closing", "closed", "ended fin AdfFa 3/4"],
    );
}

#[test]
fn a_flow_that_only_lingers_is_not_reported() {
    let mut config = FlowTrackerConfig::default();
    config.update_interval = Some(Duration::from_secs(1));
    let closed = "> FA 0 0\n< FA 0 1\n> A 1 1\n+1100 > - udp flow=2\n+1100 > - udp flow=2";
    let events = events_with(config, &format!("{HANDSHAKE}{closed}"));
    let updates =
        |key| events.iter().filter(|e| e.starts_with(&format!("Update {{ key: {key},"))).count();
    assert_eq!((updates(0), updates(2)), (0, 1), "{events:?}");
}

#[test]
fn no_linger_after_a_reset_ends_at_once() {
    let mut config = FlowTrackerConfig::default();
    config.reset_linger = Duration::ZERO;
    let events = events_with(config, &format!("{HANDSHAKE}> R 0\n< A 0 0"));
    let expected = ["reset", "ended rst ShAR 3/1", "started Initiator"];
    assert_eq!(events[4..7], expected);
}

#[test]
fn a_reset_as_the_first_packet_captured_is_undone_too() {
    check(
        "> R 0\n> PA 0 0 AAAAA\n< A 0 5",
        &["started Initiator", "! rst_ignored_by_sender", "established", "ended eof RDa 2/1"],
    );
}

#[test]
fn c13_a_challenge_ack_settles_it() {
    check_established(
        "> S 77777\n< A 0 0\n< SA 900000 77778",
        &["! syn_in_established", "! syn_in_established", "ended eof ShAa 3/3"],
    );
}

#[test]
fn leftovers_stay_fewer_than_flows() {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = 1_000;
    let mut tracker = FlowTracker::new(Wire).with_config(config);
    let counted = allocation_counter::measure(|| {
        for key in 0..100_000u32 {
            let mut frame = frames("> S -1", [0, 0]);
            frame[0].bytes[..4].copy_from_slice(&key.to_le_bytes());
            tracker.track(frame[0].view()).for_each(drop);
        }
    });
    assert!(counted.bytes_max < 2_000_000, "{} bytes at once", counted.bytes_max);
}

#[test]
fn midstream_ends_by_fin() {
    check(
        "> PA 100 50 AAAAA\n< A 50 105\n> FA 105 50\n< FA 50 106\n> A 106 51",
        &["started Initiator", "fin_wait", "closing", "closed", "ended fin DaFfA 3/2"],
    );
}

#[test]
fn one_direction_only() {
    check(
        "> S -1\n> A 0 0\n> PA 0 0 AAAAA\n> FA 5 0",
        &["started Initiator", "established", "established", "fin_wait", "ended eof SADF 4/0"],
    );
}

#[test]
fn c15_timeouts_by_state() {
    check(
        "> S -1\n+32000 > S -1 flow=2",
        &[
            "started Initiator",
            "aborted",
            "ended timeout S 1/0",
            "started Initiator",
            "ended eof S 1/0",
        ],
    );
    check_established(
        "+299000 > A 0 0\n+302000 > S -1 flow=2",
        &["ended timeout ShA 3/1", "started Initiator", "ended eof S 1/0"],
    );
    check(
        "> - udp\n+59000 < - udp\n+62000 > - udp",
        &["started Initiator", "ended timeout  1/1", "started Initiator", "ended eof  1/0"],
    );
}

#[test]
fn full_table_evicts_lingering_then_least_recently_seen() {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = 3;
    let events = events_with(
        config,
        "> S -1 flow=1\n> S -1 flow=2\n> S -1 flow=3\n< RA 0 0 flow=2\n> S -1 flow=1\n\
         > S -1 flow=4\n> S -1 flow=5",
    );
    let ended: Vec<_> = events.iter().filter(|e| e.contains("ended") || e.contains('!')).collect();
    assert_eq!(
        ended,
        [
            "ended rst Sr 1/1",
            "! flow_table_eviction_pressure",
            "ended evicted S 1/0",
            "ended eof S 2/0",
            "ended eof S 1/0",
            "ended eof S 1/0",
        ]
    );
}

#[test]
fn zero_linger_ends_at_once() {
    let mut config = FlowTrackerConfig::default();
    config.close_linger = Duration::ZERO;
    let script = format!("{HANDSHAKE}> R 0\n> A 0 0");
    let events = events_with(config, &script);
    assert_eq!(
        events[4..],
        ["reset", "ended rst ShAR 3/1", "started Initiator", "ended eof A 1/0"]
    );
}

#[test]
fn idle_timeout_of_the_key() {
    let mut tracker = FlowTracker::new(Wire);
    tracker.set_idle_timeout_fn(|key, _| (*key == 7).then_some(Duration::from_secs(2)));
    for frame in frames("> - udp flow=7\n> - udp flow=8", [0, 0]) {
        assert_eq!(tracker.track(frame.view()).count(), 2);
    }
    let ended: Vec<_> = tracker.sweep(Timestamp::new(1_010, 0)).filter_map(describe).collect();
    assert_eq!(ended, ["ended timeout  1/0"]);
    assert!(tracker.get(&8).is_some() && tracker.get(&7).is_none());
}

#[test]
fn forget_ends_without_an_event() {
    let mut tracker = FlowTracker::new(Wire);
    for frame in frames("> - udp flow=7", [0, 0]) {
        assert_eq!(tracker.track(frame.view()).count(), 2);
    }
    assert_eq!(tracker.forget(&7).map(|stats| stats.packets_initiator), Some(1));
    assert_eq!((tracker.flow_count(), tracker.finish().count()), (0, 0));
}

#[test]
fn state_is_made_once_per_flow() {
    let mut made = 0;
    let mut tracker = FlowTracker::with_state(Wire, move |_: &u32| {
        made += 1;
        made
    });
    for frame in frames("> - udp flow=7\n< - udp flow=7\n> - udp flow=8", [0, 0]) {
        tracker.track(frame.view()).for_each(drop);
    }
    let mut states: Vec<_> = tracker.flows().map(|flow| flow.user).collect();
    states.sort_unstable();
    assert_eq!(states, [1, 2]);
}

#[test]
fn time_that_goes_back_ends_nothing() {
    let mut tracker = FlowTracker::new(Wire).with_monotonic_timestamps(true);
    let frames = frames("> - udp\n+5000 < - udp", [0, 0]);
    let mut ts = Vec::new();
    for frame in frames.iter().rev() {
        for event in tracker.track(frame.view()) {
            if let FlowEvent::Packet { ts: at, .. } = event {
                ts.push(at);
            }
        }
    }
    assert_eq!(ts, [frames[1].ts, frames[1].ts]);
    assert_eq!(tracker.flow_count(), 1);
}

#[test]
fn an_anomaly_is_reported_once_per_tick() {
    check_established(
        "> R 10\n> R 11\n< R 10\n> S 77777\n+2000 > R 10",
        &[
            "! rst_bad_seq",
            "! rst_bad_seq",
            "! syn_in_established",
            "! rst_bad_seq",
            "ended eof ShARr 6/2",
        ],
    );
}

#[test]
fn a3_data_on_a_syn_is_noted() {
    check("> S -1 0 GET", &["started Initiator", "! syn_data", "ended eof SD 1/0"]);
}

#[test]
fn a8_any_of_the_latest_syns_can_be_the_one() {
    check(
        "> S -1\n> S 999\n> S 1999\n> S 2999\n< SA -1 1000\n> A 1000 0",
        &["started Initiator", "syn_received", "established", "established", "ended eof ShA 5/1"],
    );
}

#[test]
fn a9_the_ack_says_which_syn_ack_it_was() {
    check(
        "> S -1\n< SA 4999 0\n< SA -1 0\n> A 0 0\n< PA 0 0 hi",
        &[
            "started Initiator",
            "syn_received",
            "! syn_in_established",
            "established",
            "established",
            "ended eof ShAd 2/3",
        ],
    );
}

#[test]
fn b18_data_behind_the_fin_is_noted() {
    check_established(
        "> FA 0 0\n> PA 1 0 more",
        &["fin_wait", "! data_after_fin", "ended eof ShAFD 4/1"],
    );
}

#[test]
fn c3_a_signed_reset_counts_where_signatures_were_agreed_only() {
    check_established("> R 0 md5", &["! md5_unexpected", "ended eof ShAR 3/1"]);
    check(
        "> S -1 md5\n< SA -1 0 md5\n> A 0 0 md5\n> R 0 md5",
        &[
            "started Initiator",
            "syn_received",
            "established",
            "established",
            "reset",
            "ended rst ShAR 3/1",
        ],
    );
}

#[test]
fn c5_payload_of_a_reset_is_noted() {
    check_established("> R 0 0 sorry", &["! rst_payload", "reset", "ended rst ShADR 3/1"]);
}

#[test]
fn c6_a_reset_echoes_the_timestamp_of_its_syn() {
    check(
        "> S -1 tsval=77\n< RA 0 0 tsecr=78",
        &["started Initiator", "! rst_in_syn_sent", "ended eof Sr 1/1"],
    );
    check(
        "> S -1 tsval=77\n< RA 0 0 tsecr=77",
        &["started Initiator", "reset", "ended rst Sr 1/1"],
    );
}

#[test]
fn c7_fins_outside_of_the_window_are_rejected() {
    check_established("< A 0 0\n> FA 9000000 0", &["! fin_bad_seq", "ended eof ShAaF 3/2"]);
}

#[test]
fn c7_a_fin_in_front_of_a_forged_one_is_the_real_one() {
    check_established(
        "< A 0 0\n> FA 10 0\n> PA 0 0 AAAAA\n> FA 5 0\n< A 0 6\n< FA 0 6\n> A 6 1",
        &["fin_wait", "closing", "closed", "ended fin ShAaFTDf 6/4"],
    );
}

#[test]
fn c12_reuse_that_comes_too_early_is_noted() {
    check_established(
        "> PA 0 0 AAAAA\n> FA 5 0\n< FA 0 6\n> A 6 1\n> S -3",
        &[
            "fin_wait",
            "closing",
            "closed",
            "! premature_reuse",
            "ended fin ShADFf 5/2",
            "started Initiator",
            "ended eof S 1/0",
        ],
    );
}

#[test]
fn d8_a_segment_from_somewhere_else_is_noted() {
    check(
        "> S -1 ttl=64\n< SA -1 0 ttl=50\n> A 0 0 ttl=64\n> PA 0 0 AAAAA ttl=60\n\
         > PA 5 0 BBBBB ttl=30\n< A 0 10 ttl=50\n< A 0 10 ttl=3\n< PA 0 10 hi ttl=3",
        &[
            "started Initiator",
            "syn_received",
            "established",
            "established",
            "! ttl_anomaly",
            "! ttl_anomaly",
            "ended eof ShADad 4/4",
        ],
    );
}

#[test]
fn d8_segments_that_will_not_arrive_can_be_rejected() {
    let mut config = FlowTrackerConfig::default();
    config.min_ttl = 10;
    let script =
        "> S -1 ttl=64\n< SA -1 0 ttl=50\n> A 0 0 ttl=64\n> R 0 ttl=3\n> PA 0 0 AAAAA ttl=64";
    let events = events_with(config, script);
    assert_eq!(events[4..], ["! low_ttl", "ended eof ShARD 4/1"]);
}

#[track_caller]
fn check_conn_state(script: &str, expected: &str) {
    let mut tracker = FlowTracker::new(Wire);
    for frame in frames(script, [1_000, 5_000]) {
        tracker.track(frame.view()).for_each(drop);
    }
    let states: Vec<_> = tracker.flows().map(|flow| flow.conn_state().to_string()).collect();
    assert_eq!(states, [expected], "{script}");
}

#[test]
fn conn_states_are_those_of_zeek() {
    check_conn_state("> S -1", "S0");
    check_conn_state("> S -1\n< SA -1 0", "S1");
    check_conn_state(HANDSHAKE, "S1");
    check_conn_state("> S -1\n< SA -1 0\n> A 0 0\n> FA 0 0", "S2");
    check_conn_state("> S -1\n< SA -1 0\n> A 0 0\n< FA 0 0", "S3");
    check_conn_state("> S -1\n< SA -1 0\n> A 0 0\n> FA 0 0\n< FA 0 1\n> A 1 1", "SF");
    check_conn_state("> S -1\n< RA 0 0", "REJ");
    check_conn_state("> S -1\n< SA -1 0\n> A 0 0\n> R 0", "RSTO");
    check_conn_state("> S -1\n< SA -1 0\n> A 0 0\n< R 0", "RSTR");
    check_conn_state("> S -1\n> R 0", "RSTOS0");
    check_conn_state("< SA -1 0\n< R 0", "RSTRH");
    check_conn_state("> S -1\n> FA 0 0", "SH");
    check_conn_state("< SA -1 0\n< FA 0 0", "SHR");
    check_conn_state("> PA 0 0 hello\n< A 0 5", "OTH");
    check_conn_state("> - udp", "S0");
    check_conn_state("> - udp\n< - udp", "SF");
}
