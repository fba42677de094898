//! What the other side's word, or a second segment's, makes of bytes that do not count by
//! themselves: window probes, segments outside of any window, the numbers a stream begins with and
//! those it ends with. And what is counted of all that.

#![allow(clippy::unwrap_used)]

#[path = "common/transcript.rs"]
mod transcript;
#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use std::sync::{Arc, Mutex};

use flow_core::{
    EndReason, Extracted, FlowExtractor, FlowSide, Gap, GapReason, PacketView, RejectReason,
    TcpChecksum, TcpSideStats, Timestamp,
};
use flow_reassembly::{
    BufferedReassembler, FlowDriver, LastWord, Reassembler, Segment, Standing, StreamConfig,
    StreamReassembler, StreamSink,
};
use transcript::{
    FULL, HANDSHAKE, alone, check, check_raw, check_with, client, probed, run_extracted, run_with,
    swapped,
};
use wire::{Wire, frames};

const ISNS: [[u32; 2]; 4] =
    [[1_000, 5_000], [u32::MAX, 0], [u32::MAX - 7, u32::MAX - 3], [0x7fff_fffa, 9]];

fn rejected(stats: &TcpSideStats, reason: RejectReason) -> u64 {
    let at = RejectReason::ALL.iter().position(|&known| known == reason).unwrap();
    stats.rejected_segments[at]
}

fn gap_bytes(stats: &TcpSideStats, reason: GapReason) -> u64 {
    stats.gap_bytes[reason.index()]
}

#[test]
fn b13_a_probe_that_is_acknowledged_is_part_of_the_stream() {
    let stats = probed("> PA 5 0 B\n< A 0 6\n> PA 6 0 CC", "AAAAABCC");
    assert_eq!((stats.window_probes, stats.undelivered_bytes, stats.delivered_bytes), (1, 0, 8));
    // With data of the other side, by a later acknowledgment, and while there still is no room.
    check(&format!("{FULL}> PA 5 0 B\n< PA 0 6 hi\n> PA 6 2 C"), "AAAAABC", "hi");
    probed("> PA 5 0 B\n< A 0 5 win=0\n< A 0 5 win=0\n< A 0 6 win=0", "AAAAAB");
    probed("> PA 5 0 B\n< A 0 6 win=0\n> PA 6 0 C\n< A 0 7 win=0\n> PA 7 0 D\n< A 0 8", "AAAAABCD");
}

#[test]
fn b13_a_probe_that_nobody_takes_is_not() {
    let stats = probed("> PA 5 0 X", "AAAAA");
    assert_eq!((stats.window_probes, stats.refused_bytes), (1, 1));
    assert_eq!((stats.unique_bytes(), stats.total_gap_bytes()), (5, 0));
    probed("> PA 5 0 X\n< A 0 5\n< A 0 5", "AAAAA");
    // However it ends.
    probed("> PA 5 0 X\n< R 0", "AAAAA");
    probed("> PA 5 0 X\n> FA 5 0", "AAAAA.");
    let later = format!("{FULL}> PA 5 0 X\n+400000 < A 0 5");
    check(&later, "AAAAA|", "|");
}

#[test]
fn b13_other_bytes_in_place_of_a_probe() {
    let stats = probed("> PA 5 0 X\n< A 0 5\n> PA 5 0 BBBB", "AAAAABBBB");
    assert_eq!((stats.refused_bytes, stats.conflicting_bytes), (1, 0));
    assert_eq!((stats.retransmitted_bytes, stats.overlap_bytes), (0, 0));
    // One more byte, now that there is room.
    probed("> PA 5 0 X\n< A 0 5\n> PA 5 0 B\n> PA 6 0 C", "AAAAABC");
    probed("> PA 5 0 X\n< A 0 5\n> FPA 5 0 BB", "AAAAABB.");
}

#[test]
fn b13_repeated_probes() {
    let stats = probed("> PA 5 0 B\n+500 > PA 5 0 B\n+1000 > PA 5 0 B\n< A 0 6", "AAAAAB");
    assert_eq!((stats.window_probes, stats.retransmitted_bytes), (3, 2));
    assert_eq!((stats.retransmitted_segments, stats.delivered_bytes), (2, 6));
    let stats = probed("> PA 5 0 X\n> PA 5 0 X\n< A 0 5\n> PA 5 0 BB", "AAAAABB");
    assert_eq!((stats.window_probes, stats.refused_bytes), (2, 1));
    // One that was taken is a keep-alive when it comes again.
    let stats = probed("> PA 5 0 B\n< A 0 6 win=0\n> PA 5 0 X\n> PA 6 0 C\n< A 0 7", "AAAAABC");
    assert_eq!((stats.window_probes, stats.keep_alives), (2, 1));
}

#[test]
fn b13_what_follows_a_probe_does_not_say_that_it_was_taken() {
    probed("> PA 5 0 B\n> FA 6 0", "AAAAA[1 end].");
    probed("> PA 5 0 B\n> PA 6 0 CC\n> FA 8 0", "AAAAA[1 end]CC.");
    probed("> PA 5 0 B\n> PA 6 0 CC\n> FA 8 0\n< A 0 9", "AAAAABCC.");
}

#[test]
fn b13_of_both_sides_and_midstream() {
    let full = "> PA 0 0 AAAAA win=0\n< PA 0 5 h win=0\n";
    check(&format!("{full}> PA 5 0 X win=0\n< PA 0 5 Y win=0"), "AAAAA", "");
    check(&format!("{full}< PA 0 5 h win=0\n> A 5 1\n> PA 5 1 XX"), "AAAAAXX", "h");
    check_raw("> PA 9 5 q\n< A 5 10 win=0\n> PA 10 5 x\n< A 5 10\n> PA 10 5 YY", "qYY", "");
    // The first packet of its sender is one. It is the responder, since it was not first.
    check_raw("< A 5 10 win=0\n> A 10 5 x\n< A 5 10\n> PA 10 5 YY", "", "YY");
    check_raw("< A 5 10 win=0\n> A 10 5 x\n< A 5 11\n> PA 11 5 YY", "", "xYY");
}

#[test]
fn b13_a_server_without_room_from_the_beginning() {
    let opening = "> S -1\n< SA -1 0 win=0\n> A 0 0\n> PA 0 0 X\n";
    let stats = check_raw(&format!("{opening}< A 0 0\n> PA 0 0 BB"), "BB", "");
    assert_eq!((stats.tcp.initiator.window_probes, stats.tcp.initiator.refused_bytes), (1, 1));
    check_raw(&format!("{opening}< A 0 1\n> PA 1 0 BB"), "XBB", "");
}

#[test]
fn b13_b16_a_probe_that_was_cut_off() {
    let stats = probed("> PA 5 0 len=1\n< A 0 6\n> PA 6 0 CC", "AAAAA[1 snaplen]CC");
    assert_eq!(stats.truncated_bytes, 1);
    probed("> PA 5 0 len=1\n< A 0 5\n> PA 5 0 BB", "AAAAABB");
}

#[test]
fn b13_lost_bytes_behind_a_probe() {
    probed("> PA 5 0 B\n< A 0 9", "AAAAAB[3 acked]");
    probed("> PA 5 0 B\n< A 0 7", "AAAAAB");
}

/// What is no probe: it does not lie where the window ends, there is room, or it is more than one
/// byte.
#[test]
fn b13_bytes_that_are_no_probes() {
    for script in [
        "> PA 0 0 AAAAA\n< A 0 5\n> PA 5 0 B",
        "> PA 0 0 AAAAA\n< A 0 5 win=0\n< A 0 5\n> PA 5 0 B",
        "> PA 0 0 AAAAA\n< A 0 4 win=0\n> PA 5 0 B",
    ] {
        let stats = client(script, "AAAAAB");
        assert_eq!((stats.window_probes, stats.undelivered_bytes), (0, 0), "{script}");
    }
    let stats = probed("> A 4 0 x\n> A 4 0", "AAAAA");
    assert_eq!((stats.window_probes, stats.keep_alives), (0, 1));
    // That this side has no room says nothing about the other.
    let stats = client("> PA 0 0 AAAAA win=0\n> PA 5 0 B win=0", "AAAAAB");
    assert_eq!((stats.zero_windows, stats.window_probes), (1, 0));
    // A reset's window means nothing, nor does that of a segment which was turned down.
    client("> PA 0 0 AAAAA\n< A 0 5\n< R 99 0 win=0\n> PA 5 0 B", "AAAAAB");
    client("> PA 0 0 AAAAA\n< A 0 5\n< PA 3000000 5 x win=0\n> PA 5 0 B", "AAAAAB");
}

#[test]
fn b13_times_without_room() {
    let close = "< A 0 5 win=0\n";
    for (script, count) in [
        (close.to_owned(), 1),
        (close.repeat(4), 1),
        (format!("{close}< A 0 5\n{close}"), 2),
        (format!("{close}< A 0 5 win=1\n{close}> A 5 0\n{close}< A 0 5"), 2),
        ("< A 0 5\n".repeat(3), 0),
    ] {
        let stats = check(&format!("> PA 0 0 AAAAA\n{script}"), "AAAAA", "");
        assert_eq!(stats.tcp.responder.zero_windows, count, "{script}");
        assert_eq!(stats.tcp.initiator.zero_windows, 0);
    }
    let stats =
        check("> PA 0 0 AAAAA\n< PA 0 5 hello win=0\n< PA 5 5 hello win=0", "AAAAA", "hellohello");
    assert_eq!(stats.tcp.responder.zero_windows, 1);
}

/// Writes down how each segment stands to those before.
#[derive(Clone, Default)]
struct Standings(Arc<Mutex<Vec<(FlowSide, Standing)>>>);

struct Noted(Standings, FlowSide);

impl Reassembler for Noted {
    fn segment(&mut self, _seq: u32, _payload: &[u8]) {}

    fn handle(&mut self, segment: &Segment<'_>) {
        self.0.0.lock().unwrap().push((self.1, segment.standing));
    }
}

fn standings(script: &str) -> Vec<Standing> {
    let all = Standings::default();
    let made = all.clone();
    let mut driver = FlowDriver::new(Wire, move |_: &u32, side| Noted(made.clone(), side));
    for frame in frames(&format!("{HANDSHAKE}{script}"), [u32::MAX, 7]) {
        driver.track(frame.view()).for_each(drop);
    }
    all.0.lock().unwrap().iter().map(|&(_, standing)| standing).collect()
}

#[test]
fn b13_b14_how_segments_stand_to_those_before() {
    use flow_core::Resync;
    let full = format!("{FULL}> PA 5 0 B\n< A 0 6\n> PA 6 0 C");
    assert_eq!(standings(&full), [Standing::Usual, Standing::WindowProbe, Standing::Usual]);
    let far = "> PA 3000000 0 FAR\n> FA 3000003 0\n< A 0 3000004\n> PA 3000003 0 x";
    assert_eq!(standings(far), [Standing::Stray, Standing::Stray, Standing::Usual]);
    let resync = Standing::Resync(Resync::AfterGap);
    let known =
        "> PA 3000000 0 FAR\n< A 0 3000003\n> PA 6000000 0 FAR\n< A 0 5999000\n> PA 6000003 0 x";
    assert_eq!(standings(known), [Standing::Stray, Standing::Stray, Standing::Usual]);
    // What a host drops for any other reason is not even shown.
    assert_eq!(standings("> P 0 0 EVIL\n> SFA 0 0 EVIL\n> R 0 0 bye"), []);
    let mut driver = FlowDriver::new(Wire, |_: &u32, _| Only::default());
    for frame in frames("> S -1\n> A 0 0\n> PA 3000000 0 a\n> PA 3000001 0 b", [5, 7]) {
        driver.track(frame.view()).for_each(drop);
    }
    let seen = &driver.reassembler_mut(&0, FlowSide::Initiator).unwrap().0;
    assert_eq!(*seen, [Standing::Stray, resync]);
}

#[derive(Default)]
struct Only(Vec<Standing>);

impl Reassembler for Only {
    fn segment(&mut self, _seq: u32, _payload: &[u8]) {}

    fn handle(&mut self, segment: &Segment<'_>) {
        self.0.push(segment.standing);
    }
}

/// Whoever builds on payloads alone gets none that a host would have dropped.
#[test]
fn b14_a_plain_reassembler_gets_no_strays() {
    #[derive(Default)]
    struct Payloads(Vec<u8>, usize);

    impl Reassembler for Payloads {
        fn segment(&mut self, _seq: u32, payload: &[u8]) {
            self.0.extend_from_slice(payload);
        }

        fn fin(&mut self) {
            self.1 += 1;
        }
    }

    let mut driver = FlowDriver::new(Wire, |_: &u32, _| Payloads::default());
    let script = "> PA 0 0 AA\n> PA 3000000 0 EVIL\n> FPA 3000000 0 EVIL\n> PA 2 0 BB\n> FA 4 0";
    for frame in frames(&format!("{HANDSHAKE}{script}"), [5, 7]) {
        driver.track(frame.view()).for_each(drop);
    }
    let Payloads(bytes, fins) = driver.reassembler_mut(&0, FlowSide::Initiator).unwrap();
    assert_eq!((bytes.as_slice(), *fins), (&b"AABB"[..], 1));
}

#[test]
fn b14_the_other_side_vouches_for_a_stray() {
    for far in [3_000_000_i64, 20_000_000, 1_600_000_000] {
        let (end, gap) = (far + 3, far - 2);
        let script = format!("> PA 0 0 AA\n> PA {far} 0 FAR\n< A 0 {end}\n> PA {end} 0 MORE");
        let stats = client(&script, &format!("AA[{gap} acked]FARMORE"));
        assert_eq!(rejected(&stats, RejectReason::OutOfWindow), 1);
        assert_eq!(gap_bytes(&stats, GapReason::Acked), gap.unsigned_abs());
        assert_eq!((stats.resyncs, stats.acks_unseen), (0, 1));
    }
}

#[test]
fn b14_of_either_side_and_with_whatever_packet() {
    let gap = "AA[2999998 acked]FAR";
    check("< PA 0 0 AA\n< PA 3000000 0 FAR\n> A 0 3000003", "", gap);
    check("> PA 0 0 AA\n> PA 3000000 0 FAR\n< PA 0 3000003 hi", gap, "hi");
    check("> PA 0 0 AA\n> PA 3000000 0 FAR\n< FA 0 3000003\n> A 3000003 1", gap, ".");
    let both = "> PA 0 0 AA\n< PA 0 2 AA\n> PA 3000000 2 FAR\n< PA 3000000 2 FAR\n\
                < A 2 3000003\n> A 2 3000003";
    check(both, gap, gap);
}

#[test]
fn b14_whichever_part_of_it_is_acknowledged() {
    for acked in [3_000_000, 3_000_001, 3_000_005, 3_000_010] {
        let script =
            format!("> PA 0 0 AA\n> PA 3000000 0 0123456789\n< A 0 {acked}\n> PA 3000010 0 x");
        client(&script, "AA[2999998 acked]0123456789x");
    }
}

#[test]
fn b14_garbage_that_nobody_vouches_for() {
    for far in [3_000_000_i64, -20_000_000, 1_600_000_000, -1_600_000_000, 2_147_483_600] {
        let script = format!(
            "> PA {far} 0 EVIL\n> PA 0 0 AA\n< A 0 2\n> PA {far} 0 EVIL\n> FPA {far} 0 EVIL\n\
             > PA 2 0 BB\n< A 0 4\n> FA 4 0\n< FA 0 5\n> A 5 1",
        );
        let stats = check(&script, "AABB.", ".").tcp.initiator;
        assert_eq!(rejected(&stats, RejectReason::OutOfWindow), 2, "{far}");
        assert_eq!(rejected(&stats, RejectReason::FinBadSeq), 1, "{far}");
        assert_eq!((stats.total_gap_bytes(), stats.conflicting_bytes), (0, 0), "{far}");
    }
}

#[test]
fn b14_garbage_in_a_capture_of_one_direction() {
    let stats = alone(
        "> PA 0 0 AA\n> PA 3000000 0 EVIL\n> PA 2 0 BB\n> PA 900000000 0 EVIL\n> PA 4 0 CC\n\
         > PA -900000000 0 EVIL\n> FA 6 0",
        "AABBCC.",
    );
    assert_eq!((stats.total_gap_bytes(), stats.resyncs), (0, 0));
}

#[test]
fn b14_one_direction_alone_a_second_segment_vouches() {
    let stats = alone(
        "> PA 0 0 AA\n> PA 3000000 0 FAR\n> PA 3000003 0 MORE\n> FA 3000007 0",
        "AA[2999998 resync]FARMORE.",
    );
    assert_eq!((stats.resyncs, gap_bytes(&stats, GapReason::Resync)), (1, 2_999_998));
    // With a hole of its own, which is one like any other.
    alone(
        "> PA 0 0 AA\n> PA 3000000 0 FAR\n> PA 3000010 0 MORE\n> PA 3000003 0 0123456",
        "AA[2999998 resync]FAR[7 resync]MORE",
    );
    alone("> PA 0 0 AA\n> PA 3000000 0 FAR\n> FA 3000003 0", "AA[2999998 resync]FAR.");
}

#[test]
fn b14_several_jumps_in_a_row() {
    let jumps = "> PA 0 0 AA\n> PA 3000000 0 B\n< A 0 3000001\n> PA 6000000 0 C\n< A 0 6000001\n\
                 > PA 9000000 0 D\n< A 0 9000001\n> FA 9000001 0";
    let stats = client(jumps, "AA[2999998 acked]B[2999999 acked]C[2999999 acked]D.");
    assert_eq!(stats.gaps[GapReason::Acked.index()], 3);
    // With one word for all of them.
    client(
        "> PA 0 0 AA\n> PA 3000000 0 B\n> PA 6000000 0 C\n> PA 9000000 0 D\n< A 0 9000001",
        "AA[2999998 acked]B[2999999 acked]C[2999999 acked]D",
    );
    alone(
        "> PA 0 0 AA\n> PA 3000000 0 B\n> PA 3000001 0 b\n> PA 6000000 0 C\n> PA 6000001 0 c",
        "AA[2999998 resync]Bb[2999998 resync]Cc",
    );
    // Around the whole circle of sequence numbers.
    let mut script = "> PA 0 0 AA\n".to_owned();
    let mut stream = "AA".to_owned();
    for at in 1..=5_i64 {
        let from = at * 1_000_000_000;
        script += &format!("> PA {from} 0 B\n< A 0 {}\n", from + 1);
        stream += &format!("[{} acked]B", if at == 1 { 999_999_998 } else { 999_999_999 });
    }
    client(&script, &stream);
}

#[test]
fn b14_strays_in_any_order() {
    let pieces = ["> PA 3000000 0 aaa\n", "> PA 3000003 0 bbb\n", "> PA 3000006 0 ccc\n"];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let script = order.map(|at| pieces[at]).concat();
        let stats =
            client(&format!("> PA 0 0 AA\n{script}< A 0 3000009"), "AA[2999998 acked]aaabbbccc");
        assert_eq!(rejected(&stats, RejectReason::OutOfWindow), 3);
    }
    // Twice, and with a hole of their own.
    let twice = pieces.map(|piece| piece.repeat(2)).concat();
    let stats = client(&format!("> PA 0 0 AA\n{twice}< A 0 3000009"), "AA[2999998 acked]aaabbbccc");
    assert_eq!((stats.retransmitted_bytes, stats.conflicting_bytes), (9, 0));
    let hole = format!("> PA 0 0 AA\n{}{}< A 0 3000003\n{}", pieces[0], pieces[2], pieces[1]);
    client(&hole, "AA[2999998 acked]aaabbbccc");
}

#[test]
fn b14_b4_the_word_comes_before_the_segment() {
    client("> PA 0 0 AA\n< A 0 3000003\n> PA 3000000 0 FAR\n< A 0 3000003", "AA[2999998 acked]FAR");
    client("> PA 0 0 AA\n< A 0 60003\n> PA 60000 0 FAR", "AA[59998 acked]FAR");
}

#[test]
fn b14_what_waits_in_front_of_a_stray() {
    client(
        "> PA 0 0 AA\n> PA 4 0 CC\n> PA 3000000 0 FAR\n< A 0 3000003",
        "AA[2 acked]CC[2999994 acked]FAR",
    );
    client(
        "> PA 0 0 AA\n> PA 4 0 CC\n> PA 3000000 0 FAR\n> PA 2 0 BB\n< A 0 3000003",
        "AABBCC[2999994 acked]FAR",
    );
    client(
        "> PA 0 0 AA len=4\n> PA 3000000 0 FAR\n< A 0 3000003",
        "AA[2 snaplen][2999996 acked]FAR",
    );
}

#[test]
fn b14_c7_a_fin_outside_of_any_window() {
    let stats = client("> PA 0 0 AA\n> FA 3000000 0\n< A 0 3000001", "AA[2999998 acked].");
    assert_eq!(rejected(&stats, RejectReason::FinBadSeq), 1);
    client("> PA 0 0 AA\n> FPA 3000000 0 END\n< A 0 3000004", "AA[2999998 acked]END.");
    client(
        "> PA 0 0 AA\n> PA 3000000 0 END\n> FA 3000003 0\n< A 0 3000004",
        "AA[2999998 acked]END.",
    );
    client(
        "> PA 0 0 AA\n> FA 3000003 0\n> PA 3000000 0 END\n< A 0 3000004",
        "AA[2999998 acked]END.",
    );
    let stats = client("> PA 0 0 AA\n> FA 3000000 0\n< A 0 2\n> PA 2 0 BB\n> FA 4 0", "AABB.");
    assert_eq!(stats.beyond_fin_bytes, 0);
}

#[test]
fn b14_ends_without_a_word() {
    for end in ["> R 2", "< R 0", "> FA 2 0\n< FA 0 3\n> A 3 1"] {
        let script = format!("> PA 0 0 AA\n> PA 3000000 0 EVIL\n{end}");
        let dots = if end.contains('F') { [".", "."] } else { ["", ""] };
        let stats = check(&script, &format!("AA{}", dots[0]), dots[1]);
        assert_eq!(stats.tcp.initiator.total_gap_bytes(), 0, "{script}");
    }
}

/// The stream gets to where the stray was, by itself: what is there counts.
#[test]
fn b14_strays_that_real_data_overtakes() {
    let mut script = "> PA 2000000 0 EVIL\n".to_owned();
    for from in (0..2_000_000).step_by(50_000) {
        script += &format!("> PA {from} 0 x=50000\n< A 0 {}\n", from + 50_000);
    }
    script += "> PA 2000000 0 GOOD\n< A 0 2000004\n> PA 2000004 0 MORE\n< A 0 2000008";
    let expected = format!("{}GOODMORE", "x".repeat(2_000_000));
    let (streams, stats) =
        run_with(StreamConfig::default(), &format!("{HANDSHAKE}{script}"), [u32::MAX, 7]);
    assert!(streams[0] == expected, "{:?}", streams[0].trim_start_matches('x'));
    let stats = stats.tcp.initiator;
    assert_eq!((stats.delivered_bytes, stats.total_gap_bytes()), (2_000_008, 0));
    assert_eq!((stats.conflicting_bytes, stats.retransmitted_bytes), (0, 0));
}

/// Counts, and says what it holds.
#[derive(Default)]
struct Counted(Vec<u8>, Vec<Gap>);

impl StreamSink for Counted {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        self.0.extend_from_slice(bytes);
    }

    fn gap(&mut self, gap: Gap) {
        self.1.push(gap);
    }

    fn end(&mut self, _offset: u64) {}
}

fn stray(seq: u32, payload: &[u8]) -> Segment<'_> {
    Segment { standing: Standing::Stray, start: Some(0), ..Segment::plain(seq, payload) }
}

#[test]
fn f1_memory_for_strays_is_limited() {
    let config = StreamConfig::default();
    let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
    let first = Segment { start: Some(0), ..Segment::plain(0, b"AA") };
    stream.segment(&first, &config, &mut out);
    let mut most = 0;
    for at in 0..10_000_u32 {
        let len = [1, 100, 1_460, 65_000, 65_535][at as usize % 5];
        stream.segment(&stray(3_000_000 + at * 70_000, &vec![b'E'; len]), &config, &mut out);
        most = most.max(stream.buffered_bytes());
    }
    assert!((190 << 10..(256 << 10) + 16 * 128).contains(&most), "{most} bytes");
    assert!(stream.is_waiting());
    stream.give_up_holes(&mut out);
    assert_eq!((stream.buffered_bytes(), stream.is_waiting()), (0, false));
    stream.finish(&mut out);
    assert_eq!((out.0.as_slice(), out.1.len()), (&b"AA"[..], 0));
}

/// The latest ones are kept, sixteen of them.
#[test]
fn f1_sixteen_strays() {
    for (count, missing) in [(16_u32, 3_000_000), (17, 3_000_001), (40, 3_000_024)] {
        let config = StreamConfig::default();
        let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
        let letters: Vec<u8> = (0..count).map(|at| b'A' + u8::try_from(at).unwrap()).collect();
        for (seq, letter) in (3_000_000..).zip(&letters) {
            stream.segment(&stray(seq, std::slice::from_ref(letter)), &config, &mut out);
        }
        let first = Segment { start: Some(0), ..Segment::plain(0, b"") };
        stream.segment(&Segment { payload: b"?", len: 1, ..first }, &config, &mut out);
        stream.progress(Some(3_000_000 + count), Timestamp::new(1, 0), &config, &mut out);
        stream.finish(&mut out);
        let kept = &letters[letters.len() - 16..];
        assert_eq!(out.0, [b"?", kept].concat(), "{count}");
        assert_eq!(out.1, [Gap { offset: 1, len: missing - 1, reason: GapReason::Acked }]);
    }
}

/// A first segment that was damaged or forged, and how far it lies from those that follow.
const ASTRAY: [i64; 8] = [
    20_000_000,
    -20_000_000,
    1_000_000_000,
    -1_000_000_000,
    2_000_000_000,
    -2_000_000_000,
    2_147_483_000,
    -2_147_483_000,
];

#[track_caller]
fn check_astray(script: &str, stream: &str) {
    for far in ASTRAY {
        let stats = check_raw(&script.replace("FAR", &far.to_string()), stream, "");
        let stats = stats.tcp.initiator;
        assert_eq!((stats.total_gap_bytes(), stats.late_bytes), (0, 0), "{far} {script}");
    }
}

#[test]
fn a10_one_segment_alone_does_not_make_a_gap() {
    let rest = "> PA 105 50 BBBBB\n< A 50 110\n> PA 110 50 CCCCC\n< A 50 115\n> FA 115 50";
    let stream = "junkAAAAABBBBBCCCCC.";
    check_astray(&format!("> PA FAR 50 junk\n> PA 100 50 AAAAA\n< A 50 105\n{rest}"), stream);
    check_astray(&format!("> PA FAR 50 junk\n< A 50 100\n> PA 100 50 AAAAA\n{rest}"), stream);
    check_astray(&format!("> PA FAR 50 junk\n> PA 100 50 AAAAA\n{rest}"), stream);
    // Its acknowledgment is wrong, too.
    check_astray(&format!("> PA FAR FAR junk\n> PA 100 50 AAAAA\n< A 50 105\n{rest}"), stream);
    // What vouches for the others has no data either.
    check_astray(
        &format!("> PA FAR 50 junk\n> A 100 50\n< A 50 100\n> PA 100 50 AAAAA\n{rest}"),
        stream,
    );
    // It has no data.
    check_astray(&format!("> A FAR 50\n> PA 100 50 AAAAA\n< A 50 105\n{rest}"), &stream[4..]);
}

#[test]
fn a10_a12_nor_does_it_where_one_direction_is_captured() {
    let rest = "> PA 110 50 CCCCC\n> FA 115 50";
    let stream = "junkAAAAABBBBBCCCCC.";
    check_astray(
        &format!("> PA FAR 50 junk\n> PA 100 50 AAAAA\n> PA 105 50 BBBBB\n{rest}"),
        stream,
    );
    check_astray(
        &format!("> PA FAR 50 junk\n> PA 105 50 BBBBB\n> PA 100 50 AAAAA\n{rest}"),
        stream,
    );
    check_astray(
        &format!("> A FAR 50\n> PA 100 50 AAAAA\n> PA 105 50 BBBBB\n{rest}"),
        &stream[4..],
    );
    // Two of them, which do not vouch for each other.
    let other = "> PA 500000000 50 junk\n> PA 100 50 AAAAA\n> PA 105 50 BBBBB\n";
    check_astray(&format!("> PA FAR 50 junk\n{other}{rest}"), stream);
}

#[test]
fn a10_the_server_is_astray() {
    for far in ASTRAY {
        for rest in ["> A 0 4\n< PA 4 0 more", "< PA 4 0 more\n> A 0 8"] {
            let script = format!("> S -1\n> A 0 0\n< PA {far} 0 junk\n< PA 0 0 good\n{rest}");
            let stats = check_raw(&script, "", "junkgoodmore");
            assert_eq!(stats.tcp.responder.total_gap_bytes(), 0);
        }
        let script =
            format!("< PA {far} 100 junk\n> PA 100 50 AAAAA\n< PA 50 105 hi\n> PA 105 52 BB");
        // The server was first.
        let stats = check_raw(&script, "junkhi", "AAAAABB");
        assert_eq!(stats.tcp.initiator.total_gap_bytes(), 0);
    }
}

#[test]
fn a9_no_gap_behind_a_second_syn_ack() {
    for far in ASTRAY {
        for script in [
            format!("> S -1\n< SA {far} 0 EVIL\n< SA -1 0\n> A 0 0\n< PA 0 0 good"),
            format!("> S -1\n< SA -1 0\n< SA {far} 0 EVIL\n> A 0 0\n< PA 0 0 good"),
            format!("> S -1\n< SA {far} 0\n< SA -1 0\n> A 0 0\n> PA 0 0 q\n< PA 0 1 good"),
        ] {
            let client = if script.contains('q') { "q" } else { "" };
            let stats = check_raw(&script, client, "good");
            assert_eq!(stats.tcp.responder.total_gap_bytes(), 0, "{script}");
        }
    }
}

/// All that came before it was made up.
#[test]
fn a9_no_gap_in_front_of_a_syn_ack_that_comes_late() {
    for far in ASTRAY {
        let forged = format!("> S -1\n< A {far} 0\n< PA {far} 0 junk\n");
        let stats = check_raw(
            &format!("{forged}< SA -1 0\n> A 0 0\n< PA 0 0 good\n> A 0 4"),
            "",
            "junkgood",
        );
        assert_eq!(stats.tcp.responder.total_gap_bytes(), 0);
    }
}

/// Where more than one segment speaks for the numbers, what lies between them is missing.
#[test]
fn b14_a_jump_from_numbers_that_are_certain_is_a_gap() {
    let jump = "> PA 3000000 50 FAR\n> PA 3000003 50 MORE";
    let stats = check_raw(
        &format!("> PA 100 50 AA\n> PA 102 50 BB\n{jump}"),
        "AABB[2999896 resync]FARMORE",
        "",
    );
    assert_eq!(stats.tcp.initiator.resyncs, 1);
    check_raw(
        "> PA 100 50 AA\n< A 50 102\n> PA 3000000 50 FAR\n< A 50 3000003\n> PA 3000003 50 x",
        "AA[2999898 acked]FARx",
        "",
    );
}

#[test]
fn b6_acknowledged_and_never_captured() {
    let stats = client("> PA 0 0 AAAAA\n< A 0 15\n< A 0 20", "AAAAA[15 acked]");
    assert_eq!((gap_bytes(&stats, GapReason::Acked), stats.acks_unseen), (15, 2));
    assert_eq!(stats.delivered_bytes, 5);
    client("> PA 5 0 BB\n< A 0 10", "[5 acked]BB[3 acked]");
    client("> PA 5 0 BB\n< A 0 4\n< A 0 10", "[5 acked]BB[3 acked]");
    check("> PA 0 8 AA\n< PA 0 9 BB", "AA[7 acked]", "BB[6 acked]");
    // However it ends.
    client("> PA 0 0 AA\n< A 0 10\n< R 0", "AA[8 acked]");
    check("> PA 0 0 AA\n< A 0 10\n+400000 > A 2 0", "AA[8 acked]|", "|");
    check("> PA 0 0 AA\n< A 0 12\n< FA 0 12\n> A 12 1", "AA[10 acked]", ".");
}

#[test]
fn b6_one_byte_more_is_the_fin() {
    let stats = client("> PA 0 0 AAAAA\n< A 0 6", "AAAAA");
    assert_eq!((stats.total_gap_bytes(), stats.acks_unseen), (0, 1));
    client("< A 0 1", "");
    client("> PA 0 0 AAAAA\n< A 0 7", "AAAAA[2 acked]");
    client("> PA 5 0 BB\n< A 0 8", "[5 acked]BB");
    // If that was captured, too, there is nothing to guess.
    client("> PA 0 0 AAAAA\n< A 0 11\n> FA 10 0", "AAAAA[5 acked].");
    client("> PA 0 0 AAAAA\n< A 0 7\n> FA 6 0", "AAAAA[1 acked].");
    client("> PA 0 0 AAAAA\n> FA 5 0\n< A 0 6", "AAAAA.");
}

#[test]
fn b6_nothing_of_the_stream_was_captured() {
    client("< A 0 10", "[10 acked]");
    check("< PA 0 10 hi\n> A 10 2", "[10 acked]", "hi");
    check_raw("< SA -1 0\n< A 0 10", "[10 acked]", "");
    // Where it begins is not known.
    check_raw("> A 100 50\n< A 50 110", "", "");
    check_raw("> S -1\n> A 0 0\n> A 0 500", "", "");
    // Data of the SYN that was not taken, and what came in its place.
    let stats = check_raw("> S -1 0 GET\n< SA -1 0\n> A 0 0\n< A 0 3", "[3 acked]", "");
    assert_eq!(stats.tcp.initiator.refused_bytes, 3);
    check_raw("> S -1 0 GET\n< SA -1 3\n> A 3 0\n< A 0 9", "GET[6 acked]", "");
}

#[test]
fn b6_no_more_than_there_was_room_for() {
    client("> PA 0 0 AAAAA\n< A 0 65540", "AAAAA[65535 acked]");
    client("> PA 0 0 AAAAA\n< A 0 65541", "AAAAA");
    client("> PA 0 0 AA\n< A 0 30000000\n< A 0 10", "AA[8 acked]");
    let scaled = "> S -1 scale=7\n< SA -1 0 scale=7\n> A 0 0\n< A 0 0 win=1000\n";
    check_raw(&format!("{scaled}< A 0 128000 win=1000"), "[128000 acked]", "");
    check_raw(&format!("{scaled}< A 0 128001 win=1000"), "", "");
    // One that grows smaller was larger when they were sent.
    check_raw(&format!("{scaled}< A 0 128000 win=0"), "[128000 acked]", "");
    // No shift without both.
    let half = "> S -1 scale=7\n< SA -1 0\n> A 0 0\n< A 0 0 win=1000\n";
    check_raw(&format!("{half}< A 0 65535 win=1000"), "[65535 acked]", "");
    check_raw(&format!("{half}< A 0 65536 win=1000"), "", "");
    // Joined midstream: the shift is not known.
    check_raw("> PA 100 50 q\n< A 50 65636", "q[65535 acked]", "");
    check_raw("> PA 100 50 q\n< A 50 65637", "q", "");
}

#[test]
fn b6_b16_behind_what_was_cut_off() {
    client("> PA 0 0 AA len=5\n< A 0 5", "AA[3 snaplen]");
    client("> PA 0 0 AA len=5\n< A 0 8", "AA[3 snaplen][3 acked]");
    client("> PA 0 0 AA len=5\n< A 0 6", "AA[3 snaplen]");
}

#[test]
fn b6_each_connection_has_its_own_end() {
    let script = "> PA 0 0 AA\n< A 0 8\n> R 8\n> S 900000\n< SA 700000 900001\n> A 900001 700001\n\
                  > PA 900001 700001 BB\n< A 700001 900009";
    check(script, "AA[6 acked]|BB[6 acked]", "|");
}

/// The word is for streams that somebody else drives, too.
#[test]
fn b6_the_last_word_by_itself() {
    let config = StreamConfig::default();
    let check = |word: LastWord, data: &[u8], expected: u64| {
        let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
        if !data.is_empty() {
            let first = Segment { start: word.start, ..Segment::plain(u32::MAX, data) };
            stream.segment(&first, &config, &mut out);
        }
        stream.last_word(word, &config, &mut out);
        stream.finish(&mut out);
        assert_eq!(stream.stats().total_gap_bytes(), expected, "{word:?}");
        assert_eq!(stream.offset(), data.len() as u64 + expected);
        assert_eq!(out.1.len(), usize::from(expected > 0));
    };
    let word = |start, acked, window| {
        let mut word = LastWord::default();
        (word.start, word.acked, word.window) = (start, acked, window);
        word
    };
    check(word(Some(u32::MAX), Some(10), 0), b"AAAAA", 6);
    check(word(None, Some(10), 0), b"AAAAA", 6);
    check(word(Some(u32::MAX), None, 0), b"AAAAA", 0);
    check(word(Some(u32::MAX), Some(2), 0), b"AAAAA", 0);
    check(word(Some(u32::MAX), Some(70_000), 0), b"AAAAA", 0);
    check(word(Some(u32::MAX), Some(70_000), 70_000), b"AAAAA", 69_996);
    check(word(Some(u32::MAX), Some(10), 0), b"", 11);
    check(word(None, Some(10), 0), b"", 0);
    let mut buffered = BufferedReassembler::new();
    buffered.segment(5, b"AA");
    buffered.last_word(word(Some(5), Some(20), 0));
    buffered.finish(EndReason::EndOfInput);
    assert_eq!((buffered.take().as_slice(), buffered.gap_bytes()), (&b"AA"[..], 13));
}

#[test]
fn bytes_that_come_again_while_they_wait() {
    let stats = client(
        "> PA 10 0 BBBBBBBBBB\n> PA 10 0 BBBBBBBBBB\n> PA 5 0 aaaaabbbbb\n> PA 0 0 AAAAA\n\
         > PA 0 0 AAAAA",
        "AAAAAaaaaaBBBBBBBBBB",
    );
    assert_eq!((stats.overlap_bytes, stats.retransmitted_bytes), (15, 20));
    assert_eq!((stats.retransmitted_segments, stats.conflicting_bytes), (3, 5));
    assert_eq!((stats.conflicting_segments, stats.unique_bytes()), (1, 20));
}

#[test]
fn bytes_that_come_again_though_they_were_acknowledged() {
    let count = |script: &str, stream: &str| client(script, stream).spurious_segments;
    assert_eq!(count("> PA 0 0 AAAAA\n> PA 0 0 AAAAA", "AAAAA"), 0);
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 5\n> PA 0 0 AAAAA", "AAAAA"), 1);
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 4\n> PA 0 0 AAAAA", "AAAAA"), 0);
    // Something in it is new, or was not acknowledged.
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 5\n> PA 0 0 AAAAAB", "AAAAAB"), 0);
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 5\n> PA 0 0 AA\n> PA 2 0 AAA", "AAAAA"), 2);
    // What comes late, or is a keep-alive, was not repeated.
    let late = "> PA 5 0 BB\n< A 0 7\n+30001 < A 0 7\n> PA 0 0 AAAAA";
    assert_eq!(count(late, "[5 acked]BB"), 0);
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 5\n> A 4 0 x", "AAAAA"), 0);
}

const STAMPED: &str = "> S -1 tsval=1000\n< SA -1 0 tsval=77\n> A 0 0 tsval=1020\n";

#[test]
fn b15_captured_twice_or_sent_twice() {
    let count = |script: &str| {
        let stats = check_raw(&format!("{STAMPED}{script}"), "AAAAABBBBB", "");
        let counted = stats.tcp.initiator;
        (counted.duplicate_segments, counted.retransmitted_segments)
    };
    let (a, b) = ("> PA 0 0 AAAAA tsval=1020\n", "> PA 5 0 BBBBB tsval=1021\n");
    let acked = "< A 0 5 tsval=78\n";
    assert_eq!(count(&format!("{a}{acked}{b}")), (0, 0));
    assert_eq!(count(&format!("{a}{a}{acked}{b}{b}{b}")), (3, 3));
    // Sent again, with a time of its own.
    assert_eq!(count(&format!("{a}> PA 0 0 AAAAA tsval=1021\n{acked}{b}")), (0, 1));
    assert_eq!(count(&format!("{a}{acked}{b}> PA 5 0 BBBBB tsval=1300")), (0, 1));
    // No timestamps, nothing to tell by.
    let stats = client("> PA 0 0 AAAAA\n> PA 0 0 AAAAA", "AAAAA");
    assert_eq!((stats.duplicate_segments, stats.retransmitted_segments), (0, 1));
}

#[test]
fn small_segments() {
    let tiny = |script: &str, stream: &str| client(script, stream).tiny_segments;
    assert_eq!(
        tiny(
            "> PA 0 0 A\n> PA 1 0 BBB\n> PA 4 0 x=8\n> PA 12 0 x=1460",
            &format!("ABBB{}", "x".repeat(1_468))
        ),
        2
    );
    assert_eq!(tiny("> PA 3 0 B\n> PA 0 0 AAA", "AAAB"), 2);
    // Nothing new in it.
    assert_eq!(
        tiny(
            "> PA 0 0 x=100\n> PA 0 0 xx\n> A 99 0 x\n> FA 100 0",
            &format!("{}.", "x".repeat(100))
        ),
        0
    );
}

#[test]
fn how_far_ahead_segments_come() {
    let stats = client(
        "> PA 100 0 A\n> PA 50 0 B\n> PA 0 0 x=50\n> PA 51 0 x=49",
        &format!("{0}B{1}A", "x".repeat(50), "x".repeat(49)),
    );
    assert_eq!((stats.max_reorder_distance, stats.out_of_order_segments), (100, 2));
    assert_eq!(client("> PA 0 0 AA\n> PA 2 0 BB", "AABB").max_reorder_distance, 0);
    // From what is expected next, not from the beginning.
    let stats =
        client("> PA 0 0 x=100\n> PA 103 0 B\n> PA 100 0 AAA", &format!("{}AAAB", "x".repeat(100)));
    assert_eq!(stats.max_reorder_distance, 3);
}

#[test]
fn duplicate_acknowledgments() {
    let count = |script: &str| check(script, "AAAAA", "").tcp.responder.duplicate_acks;
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 0\n< A 0 0\n< A 0 5"), 2);
    // Nothing is outstanding.
    assert_eq!(count("< A 0 0\n> PA 0 0 AAAAA\n< A 0 5\n< A 0 5\n< A 0 5"), 0);
    // A window that opens or closes, and a keep-alive's answer.
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 0 win=0\n< A 0 0 win=0\n< A 0 0\n< A 0 0"), 1);
    assert_eq!(count("> PA 0 0 AAAAA\n< A 0 5\n> A 4 0\n< A 0 5"), 0);
    let stats = check("> PA 0 0 AAAAA\n> FA 5 0\n< A 0 6\n< A 0 6\n< A 0 6", "AAAAA.", "");
    assert_eq!(stats.tcp.responder.duplicate_acks, 0);
    let stats = check("> PA 0 0 AAAAA\n< PA 0 0 hi\n< PA 2 0 hi\n< FA 4 0", "AAAAA", "hihi.");
    assert_eq!((stats.tcp.responder.duplicate_acks, stats.tcp.initiator.duplicate_acks), (0, 0));
}

/// Of segments whose urgent pointer is 67, the network card was to make the checksum.
struct Checked;

impl FlowExtractor for Checked {
    type Key = u32;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u32>> {
        Wire.extract(view)
    }

    fn tcp_checksum(&self, view: PacketView<'_>, _: &Extracted<u32>) -> Option<TcpChecksum> {
        Some(if view.frame[31] == 67 { TcpChecksum::Offloaded } else { TcpChecksum::Good })
    }
}

#[test]
fn d1_checksums_that_the_network_card_was_to_make() {
    let script = "> S -1 urg=67\n< SA -1 0\n> A 0 0 urg=67\n> PA 0 0 AAAAA urg=67\n< A 0 5\n\
                  > PA 10 0 CCCCC urg=67\n> PA 5 0 BBBBB\n> FA 15 0 urg=67";
    for script in [script.to_owned(), swapped(script)] {
        let (streams, stats) = run_extracted(Checked, StreamConfig::default(), &script, [5, 7]);
        assert_eq!(streams[0], "AAAAABBBBBCCCCC.");
        // Those that are looked at: with payload, SYNs and FINs.
        assert_eq!(stats.tcp.initiator.offloaded_checksums, 4);
        assert_eq!(stats.tcp.responder.offloaded_checksums, 0);
    }
}

#[test]
fn d8_times_to_live_and_window_shifts() {
    let opening = "> S -1 ttl=64 scale=7\n< SA -1 0 ttl=50 scale=14\n> A 0 0 ttl=64\n";
    let stats = check_raw(
        &format!("{opening}> PA 0 0 AA ttl=60\n< A 0 2 ttl=50\n> PA 2 0 BB ttl=66"),
        "AABB",
        "",
    );
    let (client, server) = (stats.tcp.initiator, stats.tcp.responder);
    assert_eq!((client.min_ttl, client.max_ttl, client.window_scale), (60, 66, Some(7)));
    assert_eq!((server.min_ttl, server.max_ttl, server.window_scale), (50, 50, Some(14)));
    let stats = check_raw("> S -1 scale=0\n< SA -1 0\n> A 0 0", "", "").tcp;
    assert_eq!((stats.initiator.window_scale, stats.responder.window_scale), (Some(0), None));
    assert_eq!((stats.initiator.min_ttl, stats.initiator.max_ttl), (0, 0));
    let stats = check_raw("> PA 100 50 q ttl=33", "q", "").tcp;
    assert_eq!((stats.initiator.min_ttl, stats.initiator.max_ttl), (33, 33));
    assert_eq!((stats.responder.min_ttl, stats.initiator.window_scale), (0, None));
}

#[test]
fn each_captured_byte_once() {
    assert_eq!(
        client("> PA 0 0 AAAAA\n> PA 0 0 AAAAA\n> PA 8 0 CC\n> PA 8 0 CC", "AAAAA[3 end]CC")
            .unique_bytes(),
        7
    );
    let stats = check_raw("> S -1 0 EVIL\n< SA -1 0\n> PA 0 0 good", "good", "");
    assert_eq!(stats.tcp.initiator.unique_bytes(), 4);
    let mut config = StreamConfig::default();
    config.urgent = flow_core::UrgentPolicy::Remove;
    let script = format!("{HANDSHAKE}> UPA 0 0 urg=3 EVILX\n> UPA 0 0 urg=3 EVILX");
    let stats = check_with(&config, &script, "EVLX", "").tcp.initiator;
    assert_eq!((stats.unique_bytes(), stats.delivered_bytes, stats.urgent_bytes), (5, 4, 1));
}

/// A hole at 5 to 10 that more than enough segments have overtaken.
const HOLED: &str =
    "> PA 0 0 AAAAA\n> PA 10 0 C\n> PA 11 0 C\n> PA 12 0 C\n> PA 13 0 C\n> PA 14 0 C\n";

/// However often the receiver says that something is missing, and that it has what follows: it is
/// waiting for it.
#[test]
fn b7_duplicate_acknowledgments_do_not_end_a_hole() {
    for acks in ["< A 0 5\n", "< A 0 8\n", "< A 0 9\n", "< A 0 5\n< A 0 9\n", "< A 0 5 win=9\n"] {
        for pause in ["", "+40 < A 0 5\n", "+1000 < A 0 5\n"] {
            let asked = format!("{acks}{pause}").repeat(8);
            let stats = client(&format!("{HOLED}{asked}> PA 5 0 BBBBB"), "AAAAABBBBBCCCCC");
            assert_eq!((stats.total_gap_bytes(), stats.late_bytes), (0, 0));
            // Never filled: it ends for what it is.
            client(&format!("{HOLED}{asked}"), "AAAAA[5 end]CCCCC");
        }
    }
}

#[test]
fn b7_the_cumulative_acknowledgment_does() {
    for acked in [10, 12, 15] {
        let late =
            format!("{HOLED}< A 0 5\n< A 0 9\n< A 0 {acked}\n+300 < A 0 {acked}\n> PA 5 0 BBBBB");
        let stats = client(&late, "AAAAA[5 acked]CCCCC");
        assert_eq!((gap_bytes(&stats, GapReason::Acked), stats.late_bytes), (5, 5));
        // Not at once, since captures reorder packets.
        let soon = format!("{HOLED}< A 0 {acked}\n+5 < A 0 {acked}\n> PA 5 0 BBBBB");
        client(&soon, "AAAAABBBBBCCCCC");
    }
    // Nor does one that an older one follows count for less.
    client(
        &format!("{HOLED}< A 0 15\n< A 0 5\n+300 < A 0 5\n> PA 5 0 BBBBB"),
        "AAAAA[5 acked]CCCCC",
    );
    // That of the other side's own stream says nothing.
    check(
        &format!("< PA 0 0 x=40\n{HOLED}> A 15 40\n+300 > A 15 40\n> PA 5 40 BBBBB"),
        "AAAAABBBBBCCCCC",
        &"x".repeat(40),
    );
}

/// The second of two holes may end before the first is looked at again: not without its own word.
#[test]
fn b7_holes_end_one_by_one() {
    let two = format!("{HOLED}> PA 20 0 D\n> PA 21 0 D\n> PA 22 0 D\n> PA 23 0 D\n> PA 24 0 D\n");
    let rest = "+300 < A 0 15\n< A 0 15\n+300 < A 0 15\n> PA 15 0 EEEEE";
    client(&format!("{two}< A 0 15\n{rest}"), "AAAAA[5 acked]CCCCCEEEEEDDDDD");
    client(
        &format!("{two}< A 0 25\n+300 < A 0 25\n+300 < A 0 25\n> PA 15 0 EEEEE"),
        "AAAAA[5 acked]CCCCC[5 acked]DDDDD",
    );
}

/// Not a byte of all this depends on where the numbers begin, or on who is who in the key.
#[test]
fn a1_streams_that_are_counted_alike_wherever_they_begin() {
    let script = format!(
        "{HANDSHAKE}{FULL}> PA 5 0 X\n< A 0 5\n> PA 5 0 BBB\n> PA 3000000 0 FAR\n< A 0 3000003\n\
         > PA 3000010 0 MORE\n> PA 3000003 0 0123456\n< A 0 3000050\n> FA 3000040 0",
    );
    let (_, expected) = run_with(StreamConfig::default(), &script, ISNS[0]);
    for isn in ISNS {
        for script in [script.clone(), swapped(&script)] {
            let (_, stats) = run_with(StreamConfig::default(), &script, isn);
            assert_eq!(stats, expected, "{isn:?}");
        }
    }
}
