//! The cases of TCP reassembly one by one: sequence space (A), order and loss (B), closes (C),
//! segments that hosts drop (D), memory (F).

#![allow(clippy::unwrap_used)]

#[path = "common/transcript.rs"]
mod transcript;
#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use flow_core::{
    Extracted, FlowExtractor, FlowSide, Gap, GapReason, PacketView, RejectReason, SegmentOddity,
    TcpChecksum, TcpSideStats, Timestamp, UrgentPolicy,
};
use flow_reassembly::{OverlapPolicy, Segment, StreamConfig, StreamReassembler, StreamSink};
use transcript::{HANDSHAKE, check, check_raw, check_with, run_extracted};
use wire::Wire;

/// A handshake with timestamps 1000 and 77, of which the last is 1020.
const STAMPED: &str = "> S -1 tsval=1000\n< SA -1 0 tsval=77\n> A 0 0 tsval=1020\n";

fn rejected(stats: &TcpSideStats, reason: RejectReason) -> u64 {
    let at = RejectReason::ALL.iter().position(|&known| known == reason).unwrap();
    stats.rejected_segments[at]
}

fn odd(stats: &TcpSideStats, oddity: SegmentOddity) -> u64 {
    let at = SegmentOddity::ALL.iter().position(|&known| known == oddity).unwrap();
    stats.odd_segments[at]
}

fn gap_bytes(stats: &TcpSideStats, reason: GapReason) -> u64 {
    let at = GapReason::ALL.iter().position(|&known| known == reason).unwrap();
    stats.gap_bytes[at]
}

/// The client's stream, and for which reason how many segments of it were turned down.
#[track_caller]
fn check_rejected(script: &str, client: &str, reason: RejectReason, count: u64) {
    let stats = check_raw(script, client, "");
    assert_eq!(rejected(&stats.tcp.initiator, reason), count);
    assert_eq!(stats.tcp.initiator.conflicting_bytes, 0);
}

/// Follows a stream without keeping its bytes.
#[derive(Default)]
struct Counted {
    next: u64,
    gaps: Vec<Gap>,
    ended: Option<u64>,
}

impl StreamSink for Counted {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert_eq!(offset, self.next);
        self.next += bytes.len() as u64;
    }

    fn gap(&mut self, gap: Gap) {
        assert_eq!(gap.offset, self.next);
        self.next += gap.len;
        self.gaps.push(gap);
    }

    fn end(&mut self, offset: u64) {
        assert_eq!((offset, self.ended), (self.next, None));
        self.ended = Some(offset);
    }
}

/// A segment of a stream whose first byte has sequence number `start`.
#[allow(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
fn segment(start: u32, offset: u64, payload: &[u8]) -> Segment<'_> {
    let seq = start.wrapping_add(offset as u32);
    Segment { start: Some(start), ts: Timestamp::new(1, 0), ..Segment::plain(seq, payload) }
}

#[test]
fn a1_a_stream_of_more_than_4_gib() {
    const LEN: u64 = 65_535;
    static BYTES: [u8; 65_535] = [b'x'; 65_535];
    let config = StreamConfig::default();
    let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
    let start = 0xfff0_0000;
    // Around 2^31, 2^32 - 2^31 and 2^32 two segments come in each other's place.
    let swaps = [32_768, 65_537, 65_552];
    let lost = 69_000;
    for at in 0..70_000 {
        let at = match swaps.iter().find(|&&swap| at == swap || at == swap + 1) {
            Some(swap) => 2 * swap + 1 - at,
            None => at,
        };
        if at != lost {
            stream.segment(&segment(start, at * LEN, &BYTES), &config, &mut out);
        }
        if at == lost + 10 {
            let acked = segment(start, at * LEN, &[]).seq;
            stream.progress(Some(acked), Timestamp::new(1, 0), &config, &mut out);
            stream.progress(Some(acked), Timestamp::new(20, 0), &config, &mut out);
        }
    }
    let end = 70_000 * LEN;
    assert!(end > 1 << 32);
    let fin = Segment { fin: true, ..segment(start, end, &[]) };
    stream.segment(&fin, &config, &mut out);
    // A repeated segment from before the numbers wrapped is not taken for a new one.
    stream.segment(&segment(start, end - 3 * LEN, &BYTES), &config, &mut out);
    assert_eq!(out.gaps, [Gap { offset: lost * LEN, len: LEN, reason: GapReason::Acked }]);
    assert_eq!((out.ended, stream.offset()), (Some(end), end));
    let stats = stream.stats();
    assert_eq!(stats.delivered_bytes, end - LEN);
    assert_eq!((stats.retransmitted_bytes, stats.out_of_order_segments), (LEN, 13));
}

#[test]
fn a2_syn_and_fin_take_a_number_each() {
    check("> FA 0 0\n< A 0 1\n< FA 0 1\n> A 1 1", ".", ".");
    let stats = check("> PA 0 0 A\n> FPA 1 0 BB\n< A 0 4\n< FPA 0 4 c\n> A 4 2", "ABB.", "c.");
    assert_eq!([stats.tcp.initiator, stats.tcp.responder].map(|side| side.acks_unseen), [0, 0]);
    assert_eq!([stats.tcp.initiator, stats.tcp.responder].map(|side| side.keep_alives), [0, 0]);
}

#[test]
fn a3_a4_what_the_server_did_not_take_of_a_syn_is_not_in_the_stream() {
    let stats = check_raw("> S -1 0 EVIL\n< SA -1 0\n> A 0 0\n> PA 0 0 good", "good", "");
    assert_eq!(stats.tcp.initiator.refused_bytes, 4);
    assert_eq!(odd(&stats.tcp.initiator, SegmentOddity::SynData), 1);
    // In part.
    check_raw("> S -1 0 GETxx\n< SA -1 3\n> PA 3 0 yy\n> PA 5 0 zz", "GETyyzz", "");
    check_raw("> S -1 0 GETxx\n< SA -1 3\n> FA 3 0", "GET.", "");
    // Whoever gets no answer tries again without data, or with the same.
    check_raw("> S -1 0 EVIL\n+1000 > S -1\n< SA -1 0\n> PA 0 0 good", "good", "");
    check_raw("> S -1 0 GET\n+1000 > S -1 0 GET\n< SA -1 3\n> PA 3 0 more", "GETmore", "");
    // Before the answer, data behind that of the SYN say that it will be taken.
    check_raw("> S -1 0 GET\n< SA -1 3\n> PA 6 0 bbb\n> PA 3 0 aaa", "GETaaabbb", "");
    // An answer to more than was sent is none.
    check_raw("> S -1 0 GET\n< SA -1 5\n< SA -1 3\n> PA 3 0 more", "GETmore", "");
}

#[test]
fn a3_data_of_a_syn_that_only_one_direction_shows() {
    check_raw("> S -1 0 EVIL\n> PA 0 0 good", "good", "");
    check_raw("> S -1 0 GET\n> PA 3 0 more", "GETmore", "");
    check_raw("> S -1 0 GET\n> FA 3 0", "GET.", "");
    check_raw("> S -1 0 EVIL\n> FA 0 0", ".", "");
}

#[test]
fn a3_a8_data_of_the_first_syn_if_that_was_answered() {
    check_raw("> S -1 0 GET\n> S 999 0 EVIL\n< SA -1 3\n> A 3 0\n> PA 3 0 more", "GETmore", "");
    check_raw("> S -1 0 GET\n> S 999\n< SA -1 3\n> PA 3 0 more", "GETmore", "");
}

/// The handshake is over, so a host answers such a SYN with a challenge ACK.
#[test]
fn a3_a7_data_of_a_syn_that_comes_again_in_the_connection() {
    check("> S -1 0 EVIL\n> PA 2 0 od\n> PA 0 0 go", "good", "");
    check("> PA 0 0 good\n> S -1 0 EVIL\n> PA 4 0 more", "goodmore", "");
}

#[test]
fn a5_data_of_the_syn_ack() {
    check_raw("> S -1\n< SA -1 0 hello\n> A 0 5\n< PA 5 0 more", "", "hellomore");
    let stats = check_raw("> S -1\n< SA -1 0 EVIL!\n> A 0 0\n< PA 0 0 hello", "", "hello");
    assert_eq!(stats.tcp.responder.refused_bytes, 5);
    assert_eq!(odd(&stats.tcp.responder, SegmentOddity::SynData), 1);
    check_raw("> S -1\n< SA -1 0 heyyy\n> A 0 2\n< PA 2 0 llo", "", "hello");
    check_raw("> S -1 0 GET\n< SA -1 3 hello\n> PA 3 5 more\n< FA 5 7", "GETmore", "hello.");
    // The other direction was not captured.
    check_raw("< SA -1 0 hello\n< PA 5 0 more", "", "hellomore");
    check_raw("< SA -1 0 EVIL!\n< PA 0 0 hello", "", "hello");
}

#[test]
fn a6_either_order_of_syn_and_syn_ack() {
    let rest = "> A 0 0\n> PA 0 0 request\n< PA 0 7 answer";
    for script in ["> S -1\n< SA -1 0", "< SA -1 0\n> S -1", "< SA -1 0"] {
        let stats = check_raw(&format!("{script}\n{rest}"), "request", "answer");
        let flips = odd(&stats.tcp.responder, SegmentOddity::RoleFlip);
        assert_eq!(flips, u64::from(script.starts_with('<')), "{script}");
    }
}

#[test]
fn a7_repeated_handshakes_are_counted() {
    let again = "> S -1\n> S -1\n< SA -1 0\n< SA -1 0\n> A 0 0\n> S -1\n< SA -1 0\n> PA 0 0 hi";
    let stats = check_raw(again, "hi", "");
    let sides = [stats.tcp.initiator, stats.tcp.responder];
    assert_eq!(sides.map(|side| side.syn_retransmissions), [2, 2]);
    assert_eq!(sides.map(|side| side.retransmitted_bytes), [0, 0]);
}

#[test]
fn a8_the_stream_begins_at_the_syn_that_was_answered() {
    let rest = "> A 1000 0\n> PA 1000 0 hello\n< PA 0 1005 hi";
    for syns in ["> S 999\n", "> S -1\n> S 999\n", "> S -1\n> S 999\n> S 1999\n> S 500000000\n"] {
        let stats = check_raw(&format!("{syns}< SA -1 1000\n{rest}"), "hello", "hi");
        assert_eq!(stats.tcp.initiator.before_start_bytes, 0);
    }
}

#[test]
fn a9_the_stream_begins_at_the_syn_ack_that_was_answered() {
    for syn_acks in ["< SA 4999 0\n< SA -1 0", "< SA -1 0\n< SA 4999 0", "< SA -90000 0\n< SA -1 0"]
    {
        check_raw(&format!("> S -1\n{syn_acks}\n> A 0 0\n< PA 0 0 hi"), "", "hi");
        check_raw(&format!("> S -1\n{syn_acks}\n> PA 0 0 hello\n< PA 0 5 hi"), "hello", "hi");
    }
}

#[test]
fn a10_a11_midstream_with_the_first_segments_swapped() {
    // The other side says where the stream begins, whether it acknowledged before or with data.
    check_raw("< PA 50 100 q\n> PA 107 51 CC\n> PA 105 51 BB\n> PA 100 51 AAAAA", "q", "AAAAABBCC");
    // Nobody says so: what lies in front is counted.
    let stats = check_raw("> PA 105 0 BB\n> PA 100 0 AAAAA\n> PA 107 0 CC", "BBCC", "");
    assert_eq!(stats.tcp.initiator.before_start_bytes, 5);
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 0);
    let stats = check_raw("> PA 105 0 BB\n> PA 90 0 x=17\n> PA 95 0 x=10", "BB", "");
    assert_eq!(stats.tcp.initiator.before_start_bytes, 25);
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 2);
    // Joined in a retransmission: bytes that were acknowledged are there all the same.
    check_raw("< A 50 110\n> PA 105 50 BBCCCDD", "", "BBCCCDD");
}

#[test]
fn a12_the_server_alone() {
    let data = "< PA 0 0 hello\n< PA 10 0 !\n< PA 5 0 world\n< FA 11 0";
    check_raw(&format!("< SA -1 0\n{data}"), "", "helloworld!.");
    check_raw("> PA 0 0 AAAAA\n> PA 10 0 CC\n> FA 12 0", "AAAAA[5 end]CC.", "");
    let timed_out = "> S -1\n> A 0 0\n> PA 0 0 AA\n> PA 4 0 CC\n+10001 > PA 6 0 DD\n> PA 2 0 BB";
    let stats = check_raw(timed_out, "AA[2 timeout]CCDD", "");
    assert_eq!(stats.tcp.initiator.late_bytes, 2);
}

#[test]
fn a13_simultaneous_open_and_split_handshakes() {
    let rest = "> PA 0 0 hello\n< PA 0 5 hi\n> FA 5 2\n< FA 2 6\n> A 6 3";
    for handshake in [
        "> S -1\n< S -1\n> SA -1 0\n< SA -1 0\n",
        "> S -1\n< S -1\n< SA -1 0\n> SA -1 0\n",
        "> S -1\n< S -1\n> A 0 0\n< A 0 0\n",
        "> S -1\n< S -1\n> SA -1 0\n< A 0 0\n",
        "> S -1\n< A -1 0\n< S -1\n> SA -1 0\n< A 0 0\n",
    ] {
        check_raw(&format!("{handshake}{rest}"), "hello.", "hi.");
    }
    let with_data = "> S -1 0 AA\n< S -1 0 BB\n> SA -1 2\n< SA -1 2\n> PA 2 2 aa\n< PA 2 4 bb";
    check_raw(with_data, "AAaa", "BBbb");
}

#[test]
fn a14_old_bytes_in_front_of_new_ones() {
    let stats = check("> PA 0 0 AAAAA\n> PA -3 0 xyzAAAAABB\n> PA 7 0 C", "AAAAABBC", "");
    assert_eq!(stats.tcp.initiator.before_start_bytes, 3);
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 5);
}

#[test]
fn b5_b18_a_fin_behind_a_hole_ends_the_stream_where_it_is() {
    check("> PA 0 0 AAAAA\n> FA 10 0\n> PA 5 0 BBBBB", "AAAAABBBBB.", "");
    let stats =
        check("> PA 0 0 AAAAA\n> FA 10 0\n> PA 10 0 PAST!\n> PA 5 0 BBBBB", "AAAAABBBBB.", "");
    assert_eq!(stats.tcp.initiator.beyond_fin_bytes, 5);
    assert_eq!(odd(&stats.tcp.initiator, SegmentOddity::DataAfterFin), 1);
    let stats =
        check("> PA 0 0 AAAAA\n> PA 10 0 PAST!\n> FA 10 0\n> PA 5 0 BBBBB", "AAAAABBBBB.", "");
    assert_eq!(stats.tcp.initiator.beyond_fin_bytes, 5);
}

#[test]
fn b9_b11_a_filler_that_runs_into_queued_data() {
    let script = format!("{HANDSHAKE}> PA 4 0 DDDD\n> PA 2 0 bbbb\n> PA 0 0 aacc\n> PA 8 0 E");
    for (policy, expected) in [
        (OverlapPolicy::First, "aabbDDDDE"),
        (OverlapPolicy::Last, "aaccbbDDE"),
        (OverlapPolicy::BSD, "aaccbbDDE"),
        (OverlapPolicy::LINUX, "aaccbbDDE"),
    ] {
        let mut config = StreamConfig::default();
        config.overlap = policy;
        let stats = check_with(&config, &script, expected, "");
        assert_eq!(stats.tcp.initiator.conflicting_segments, 2, "{policy:?}");
        assert_eq!(stats.tcp.initiator.conflicting_bytes, 4, "{policy:?}");
        // What was handed on never changes.
        let again = check_with(&config, &format!("{script}\n> PA 0 0 EVILEVILE"), expected, "");
        assert_eq!(again.tcp.initiator.delivered_bytes, 9);
    }
}

#[test]
fn b12_keep_alives_say_nothing_about_the_stream() {
    // Before there was any data, behind a hole, and after the end.
    let stats = check("> A -1 0 x\n> A -1 0\n> PA 0 0 data", "data", "");
    assert_eq!(stats.tcp.initiator.keep_alives, 1);
    assert_eq!(stats.tcp.initiator.before_start_bytes, 0);
    let stats =
        check("> PA 0 0 AAAAA\n> PA 10 0 CC\n> A 4 0 x\n> PA 5 0 BBBBB", "AAAAABBBBBCC", "");
    assert_eq!((stats.tcp.initiator.keep_alives, stats.tcp.initiator.conflicting_bytes), (1, 0));
    check("< PA 0 0 AAAAA\n> A 0 5\n+100000 < A 4 0 x\n> A 0 5\n< FA 5 0\n< A 5 0", "", "AAAAA.");
}

/// Whole connections, every packet of which was captured twice.
#[test]
fn b15_duplicated_packets_change_nothing() {
    for (script, client, server) in [
        ("> PA 0 0 hello\n< PA 0 5 hi\n> FA 5 2\n< FA 2 6\n> A 6 3", "hello.", "hi."),
        ("> PA 5 0 BBBBB\n> PA 0 0 AAAAA\n< A 0 10\n< RA 0 10", "AAAAABBBBB", ""),
        ("> PA 0 0 AAAAA\n> R 5\n> PA 5 0 BBBBB", "AAAAABBBBB", ""),
        ("> PA 0 0 AAAAA\n> PA 10 0 CC\n< A 0 12\n+60 > FA 12 0", "AAAAA[5 acked]CC.", ""),
        ("> FPA 0 0 AAAAA\n< FPA 0 6 BB\n> A 6 3\n> S 900000", "AAAAA.|", "BB.|"),
    ] {
        let script = format!("{HANDSHAKE}{script}");
        check_raw(&script, client, server);
        let twice: String = script.lines().flat_map(|line| [line, "\n", line, "\n"]).collect();
        let stats = check_raw(&twice, client, server);
        assert_eq!(stats.tcp.initiator.conflicting_bytes, 0);
    }
}

#[test]
fn b17_where_the_urgent_byte_is() {
    let mut config = StreamConfig::default();
    config.urgent = UrgentPolicy::Remove;
    let check = |script: &str, expected| {
        let script = format!("{HANDSHAKE}> PA 0 0 AAAAA\n{script}");
        check_with(&config, &script, expected, "").tcp.initiator.urgent_bytes
    };
    assert_eq!(check("> UPA 5 0 urg=3 EVILX", "AAAAAEVLX"), 1);
    assert_eq!(check("> UPA 5 0 urg=0 EVILX", "AAAAAVILX"), 1);
    // The byte in front of where it points comes later.
    assert_eq!(check("> UPA 5 0 urg=9 EVILX\n> PA 10 0 BBBBB", "AAAAAEVILXBBBB"), 1);
    // Without the flag the pointer means nothing.
    assert_eq!(check("> PA 5 0 urg=3 EVILX", "AAAAAEVILX"), 0);
    // In front of a hole, and again.
    assert_eq!(check("> UPA 10 0 urg=1 xCCC\n> PA 5 0 BBBBB", "AAAAABBBBBCCC"), 1);
    assert_eq!(check("> UPA 5 0 urg=3 EVILX\n> UPA 5 0 urg=3 EVILX", "AAAAAEVLX"), 1);
}

#[test]
fn b19_nobody_wants_the_bytes() {
    let config = StreamConfig::default();
    let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
    let start = u32::MAX - 100;
    stream.segment(&segment(start, 0, &[1; 50]), &config, &mut out);
    stream.segment(&segment(start, 60, &[1; 100]), &config, &mut out);
    assert!(stream.buffered_bytes() >= 100);
    stream.skip();
    assert_eq!(stream.buffered_bytes(), 16);
    for at in 0..10_000 {
        stream.segment(&segment(start, 160 + at * 2_000, &[1; 1_000]), &config, &mut out);
        assert!(stream.buffered_bytes() <= config.max_segments * 64, "no bytes are kept");
    }
    let end = 160 + 9_999 * 2_000 + 1_000;
    stream.segment(&segment(start, end, &[1; 1_000]), &config, &mut out);
    assert_eq!((out.next, out.gaps.len()), (50, 0), "nor is anything handed on");
    let stats = stream.stats();
    assert_eq!((stats.delivered_bytes, stats.undelivered_bytes), (50, 100 + 10_001_000));
    // But for the end.
    out.next = end + 1_000;
    stream.segment(&Segment { fin: true, ..segment(start, end + 1_000, &[]) }, &config, &mut out);
    stream.finish(&mut out);
    assert_eq!((out.ended, stream.is_ended()), (Some(end + 1_000), true));
    assert_eq!((stream.offset(), out.gaps.len()), (end + 1_000, 0));
}

#[test]
fn c1_a_reset_hands_on_what_waits_once_it_is_certain() {
    let stats = check("> PA 0 0 AA\n> PA 4 0 CC\n> R 6", "AA[2 end]CC", "");
    assert_eq!(gap_bytes(&stats.tcp.initiator, GapReason::End), 2);
    let stats = check("> PA 0 0 AA\n> PA 4 0 CC\n> R 6\n> PA 2 0 BB\n> PA 6 0 DD", "AABBCCDD", "");
    assert_eq!(odd(&stats.tcp.initiator, SegmentOddity::ResetIgnoredBySender), 1);
    assert_eq!(stats.tcp.initiator.total_gap_bytes(), 0);
    // What the other side had sent by then is not lost.
    check("> PA 0 0 AAAAA\n> R 5\n< PA 0 5 hi", "AAAAA", "hi");
    // Its linger is over: the next packet begins another flow.
    check("> PA 0 0 AAAAA\n> R 5\n+3100 > PA 5 0 BBBBB", "AAAAA|BBBBB", "|");
}

#[test]
fn c1_c5_c7_ends_beside_a_reset() {
    check("> FA 5 0\n> PA 0 0 AAAAA\n> R 6", "AAAAA.", "");
    check("> PA 0 0 AAAAA\n> R 5 0 sorry\n> PA 5 0 BBBBB", "AAAAABBBBB", "");
}

#[test]
fn c8_c9_half_close_with_a_fin_out_of_order() {
    check("> FA 5 0 BB\n> PA 0 0 AAAAA\n< PA 0 8 more\n> A 8 4\n< FA 4 8", "AAAAABB.", "more.");
    check("> FPA 5 0 BB\n< PA 2 0 re\n< FA 4 0\n< PA 0 0 mo\n> PA 0 0 AAAAA", "AAAAABB.", "more.");
}

#[test]
fn c10_simultaneous_close_and_repeated_fins() {
    check("> FA 0 0\n< FA 0 0\n> A 1 1\n< A 1 1\n> FA 0 1\n< FA 0 1", ".", ".");
    let again =
        "> PA 0 0 AAAAA\n> FA 5 0\n> FPA 0 0 AAAAA\n> FPA 3 0 AA\n< FA 0 6\n< FA 0 6\n> A 6 1";
    let stats = check(again, "AAAAA.", ".");
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 7);
    assert_eq!(stats.tcp.initiator.beyond_fin_bytes, 0);
}

const CLOSED: &str = "> PA 0 0 hello\n> FA 5 0\n< FA 0 6\n> A 6 1\n";

#[test]
fn c11_stragglers_are_of_the_connection_that_is_over() {
    let script = "+3000 > PA 0 0 hello\n> FA 5 0\n< FA 0 6\n> A 6 1\n< R 1\n+1900 > PA 3 0 lo";
    let stats = check(&format!("{CLOSED}{script}"), "hello.", ".");
    assert_eq!(stats.tcp.initiator.retransmitted_bytes, 7);
    assert_eq!((stats.packets_initiator, stats.packets_responder), (9, 4));
}

#[test]
fn c12_no_byte_of_the_next_connection_is_lost() {
    for isn in [6, 899_999, -3, -900_000, 2_000_000_000, -2_000_000_000] {
        let (next, end) = (isn + 1, isn + 6);
        let script = format!(
            "{CLOSED}> S {isn}\n< SA 70 {next}\n> A {next} 71\n> PA {next} 71 again\n\
             < PA 71 {end} bye",
        );
        check(&script, "hello.|again", ".|bye");
    }
    // After a reset, and with the SYN captured behind its answer.
    check(
        "> PA 0 0 hello\n> R 5\n> S 6\n< SA 700000 7\n> A 7 700001\n> PA 7 700001 again",
        "hello|again",
        "|",
    );
    check(
        &format!("{CLOSED}< SA 700000 9000\n> S 8999\n> A 9000 700001\n> PA 9000 700001 again"),
        "hello.|again",
        ".|",
    );
}

#[test]
fn c13_bytes_after_a_syn_in_the_connection() {
    check("> PA 0 0 AAAAA\n> S 77777\n< A 0 5\n> PA 5 0 BBBBB", "AAAAABBBBB", "");
    check("> PA 0 0 AAAAA\n> S 77777\n> PA 5 0 BBBBB\n< A 0 10", "AAAAABBBBB", "");
    check(
        "> PA 0 0 old\n> S 77777\n< SA 900000 77778\n> A 77778 900001\n> PA 77778 900001 new\n\
         < PA 900001 77781 hi",
        "old|new",
        "|hi",
    );
    // Whoever has forgotten the connection resets it in answer to the challenge, and tries again.
    check(
        "> PA 0 0 old\n< A 0 3\n> S 77777\n< A 0 3\n> R 3\n+1000 > S 77777\n\
         < SA 900000 77778\n> A 77778 900001\n> PA 77778 900001 new",
        "old|new",
        "|",
    );
}

#[test]
fn c13_c14_joined_midstream() {
    check_raw("> PA 0 0 AAAAA\n< A 0 5\n> S 77777\n< A 0 5\n> PA 5 0 B", "AAAAAB", "");
    check_raw("> PA 0 0 A\n< A 0 1\n> S 77777\n< SA 90000 77778\n> PA 77778 90001 B", "A|B", "|");
}

#[test]
fn c14_no_bytes_of_segments_with_impossible_flags() {
    check(
        "> FPU 0 0 EVIL\n> SFRPAU 0 0 EVIL\n> SFA 0 0 EVIL\n> RS 0 0 EVIL\n> PA 0 0 good",
        "good",
        "",
    );
}

/// Says that the checksum is bad of segments whose urgent pointer is 66 and, of 67, that the
/// network card was to make it; the flag is not set, so that it means nothing else.
struct Checked;

impl FlowExtractor for Checked {
    type Key = u32;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u32>> {
        Wire.extract(view)
    }

    fn tcp_checksum(&self, view: PacketView<'_>, _: &Extracted<u32>) -> Option<TcpChecksum> {
        Some(match view.frame[31] {
            66 => TcpChecksum::Bad,
            67 => TcpChecksum::Offloaded,
            _ => TcpChecksum::Good,
        })
    }
}

/// The client's stream, and how many bad checksums of it were held against a segment.
#[track_caller]
fn check_sums(script: &str, client: &str, held_against: u64) {
    let config = StreamConfig::default();
    let (texts, stats) = run_extracted(Checked, config, script, [u32::MAX - 7, 9]);
    let count = rejected(&stats.tcp.initiator, RejectReason::BadChecksum);
    assert_eq!((texts[0].as_str(), count), (client, held_against), "{script}");
}

#[test]
fn d1_bad_checksums_of_data_resets_and_fins() {
    let good = format!("{HANDSHAKE}> PA 0 0 a\n> PA 1 0 b\n> PA 2 0 c\n");
    check_sums(&format!("{good}> PA 3 0 EVIL urg=66\n> PA 3 0 good"), "abcgood", 1);
    check_sums(&format!("{good}> R 3 0 urg=66\n> PA 3 0 good"), "abcgood", 1);
    check_sums(&format!("{good}> FA 3 0 urg=66\n> PA 3 0 good"), "abcgood", 1);
    check_sums(&format!("{good}> S 900 0 urg=66\n> PA 3 0 good"), "abcgood", 1);
    check_sums(&format!("{good}> PA 3 0 good urg=67\n> FA 7 0 urg=67"), "abcgood.", 0);
    // Nothing is known of this direction's checksums, whatever those of the other are.
    check_sums("> S -1 urg=66\n< SA -1 0\n> A 0 0\n< PA 0 0 xxx\n> PA 0 0 good urg=66", "good", 0);
    // Bad ones are as usual as good ones.
    let bad = "> PA 0 0 a urg=66\n> PA 1 0 b urg=66\n> PA 2 0 c urg=66\n> PA 3 0 d\n> PA 4 0 e\n";
    check_sums(&format!("{HANDSHAKE}{bad}> PA 5 0 good urg=66"), "abcdegood", 0);
}

#[test]
fn d2_data_without_the_ack_flag() {
    let evil = "> P 0 0 EVIL\n> - 0 0 EVIL\n> U 0 0 urg=3 EVIL\n> F 0 0 EVIL\n";
    check_rejected(&format!("{HANDSHAKE}{evil}> PA 0 0 good"), "good", RejectReason::NoAck, 4);
    check_rejected(
        &format!("> S -1\n> A 0 0\n{evil}> PA 0 0 good"),
        "good",
        RejectReason::NoAck,
        4,
    );
    check_rejected(&format!("{evil}> PA 0 0 good"), "good", RejectReason::NoAck, 4);
    check_rejected(
        &format!("> S -1\n{evil}< SA -1 0\n> PA 0 0 good"),
        "good",
        RejectReason::NoAck,
        4,
    );
}

#[test]
fn d3_data_that_acknowledges_what_was_never_sent() {
    for ack in [2_000_000, 1_600_000_000, -2_147_000_000] {
        let script = format!("{HANDSHAKE}> PA 0 {ack} EVIL!\n> PA 0 0 BBBBB");
        if ack > 0 {
            check_rejected(&script, "BBBBB", RejectReason::BadAck, 1);
        } else {
            check_rejected(&script, "EVIL!", RejectReason::BadAck, 0);
        }
    }
    check("< PA 0 1600000000 EVIL!\n< PA 0 0 BBBBB\n> A 0 5", "", "BBBBB");
}

#[test]
fn d4_acknowledgments_far_in_the_past() {
    let script = "> PA 0 0 AAAAA\n< A 0 5\n> PA 5 -100000 BB\n> PA 7 -1 CC\n> PA 9 -2000000000 DD";
    let stats = check(script, "AAAAABBCCDD", "");
    assert_eq!(stats.tcp.initiator.rejected_segments.iter().sum::<u64>(), 0);
    // Nor do they take anything back: the hole was acknowledged.
    check("> PA 5 0 BB\n< A 0 7\n< A 0 -100000\n> FA 7 0", "[5 acked]BB.", "");
}

#[test]
fn d5_which_timestamps_are_old() {
    let check = |script: &str, client, count| {
        check_rejected(&format!("{STAMPED}{script}"), client, RejectReason::PawsOld, count);
    };
    check("> PA 0 0 good tsval=1019", "good", 0);
    check("> PA 0 0 EVIL tsval=1018\n> PA 0 0 good tsval=1020", "good", 1);
    check("> PA 0 0 EVIL tsval=2147484668\n> PA 0 0 good tsval=1021", "good", 1);
    check("> PA 0 0 good\n> PA 4 0 more tsval=1020", "goodmore", 0);
    check(
        "> PA 0 0 good tsval=1030\n> PA 4 0 EVIL tsval=1028\n> PA 4 0 more tsval=1029",
        "goodmore",
        1,
    );
    // Only one side offered them.
    let one = "> S -1 tsval=1000\n< SA -1 0\n> A 0 0 tsval=1020\n> PA 0 0 good tsval=1";
    check_rejected(one, "good", RejectReason::PawsOld, 0);
    // They wrap, too.
    check_rejected(
        "> S -1 tsval=4294967290\n< SA -1 0 tsval=77\n> A 0 0 tsval=4294967294\n\
         > PA 0 0 good tsval=5\n> PA 4 0 EVIL tsval=4294967290\n> PA 4 0 more tsval=6",
        "goodmore",
        RejectReason::PawsOld,
        1,
    );
    // What was turned down for something else moves nothing.
    let other = "> PA 0 1600000000 EVIL tsval=2000000000\n> P 0 0 EVIL tsval=2000000000\n";
    check(&format!("{other}> PA 0 0 good tsval=1021"), "good", 0);
}

#[test]
fn d6_signatures_that_nobody_agreed_on() {
    let evil = "> PA 0 0 EVIL md5\n> FA 0 0 md5\n> R 0 md5\n> A 0 0 md5\n> PA 0 0 good";
    check_rejected(&format!("{HANDSHAKE}{evil}"), "good", RejectReason::Md5Unexpected, 4);
    check_rejected(
        "> PA 0 0 good md5\n> PA 4 0 more md5",
        "goodmore",
        RejectReason::Md5Unexpected,
        0,
    );
    let agreed = "> S -1 md5\n< SA -1 0 md5\n> A 0 0 md5\n> PA 0 0 good md5\n> FA 4 0 md5";
    check_rejected(agreed, "good.", RejectReason::Md5Unexpected, 0);
}

#[test]
fn d7_data_with_the_syn_flag() {
    let evil = "> PA 0 0 AAAAA\n> SPA 5 0 EVIL!\n> SP 5 0 EVIL!\n> SP 4 0 EVIL!\n";
    let script = format!("{HANDSHAKE}{evil}> PA 5 0 BBBBB\n< A 0 10");
    check_rejected(&script, "AAAAABBBBB", RejectReason::SynInEstablished, 3);
    let script =
        format!("{HANDSHAKE}> PA 0 0 AAAAA\n< A 0 5\n> SPA 5 0 EVIL!\n< A 0 5\n> PA 5 0 B");
    check_rejected(&script, "AAAAAB", RejectReason::SynInEstablished, 1);
}

#[test]
fn d8_a_segment_that_never_arrives_does_not_replace_one_that_came() {
    let opening = "> S -1 ttl=64\n< SA -1 0 ttl=50\n> A 0 0 ttl=64\n";
    let script =
        format!("{opening}> PA 5 0 BBBBB ttl=64\n> PA 5 0 EVIL! ttl=2\n> PA 0 0 AAAAA ttl=64");
    let stats = check_raw(&script, "AAAAABBBBB", "");
    assert_eq!(stats.tcp.initiator.conflicting_bytes, 5);
    assert_eq!(odd(&stats.tcp.initiator, SegmentOddity::TimeToLive), 1);
    // Nor is it dropped where nobody said so.
    let script = format!("{opening}> PA 0 0 AAAAA ttl=2");
    assert_eq!(odd(&check_raw(&script, "AAAAA", "").tcp.initiator, SegmentOddity::TimeToLive), 1);
}

#[test]
fn f1_limits_of_one_direction() {
    let config = StreamConfig::default();
    assert_eq!(config.max_segments, 1_024);
    let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
    for at in 1..=1_024 {
        stream.segment(&segment(u32::MAX, 2 * at, b"x"), &config, &mut out);
    }
    assert_eq!((out.next, stream.buffered_bytes()), (0, 1_024 * 65));
    assert!(!stream.has_overflowed());
    stream.segment(&segment(u32::MAX, 2 * 1_025, b"x"), &config, &mut out);
    assert_eq!((out.next, stream.buffered_bytes()), (3, 1_024 * 65));
    assert!(stream.has_overflowed());
    assert_eq!(out.gaps, [Gap { offset: 0, len: 2, reason: GapReason::Budget }]);

    // As many pieces of 64 KiB, their charge included, as fit, then one byte more.
    let (mut stream, mut out) = (StreamReassembler::new(), Counted::default());
    let bytes = vec![b'x'; (64 << 10) - 64];
    let pieces = config.max_buffer >> 16;
    for at in (0..).take(pieces) {
        stream.segment(&segment(u32::MAX, 1 + at * 70_000, &bytes), &config, &mut out);
    }
    assert_eq!((out.next, stream.buffered_bytes()), (0, config.max_buffer));
    stream.segment(&segment(u32::MAX, 9_000_000, b"x"), &config, &mut out);
    assert_eq!(out.next, 1 + bytes.len() as u64);
    assert_eq!(stream.buffered_bytes(), config.max_buffer - (64 << 10) + 65);
}

#[test]
fn f1_f3_a_full_queue_gives_up_one_hole_and_goes_on() {
    let mut config = StreamConfig::default();
    config.max_segments = 2;
    let script = "> PA 2 0 B\n> PA 4 0 D\n> PA 6 0 F\n< PA 2 0 b\n> PA 3 0 c\n> PA 5 0 e\n> PA 1 0 a\n\
                  > PA 7 0 gh\n< PA 0 0 aa\n> FA 9 0";
    let script = format!("{HANDSHAKE}{script}");
    let stats = check_with(&config, &script, "[2 budget]BcDeFgh.", "aab");
    assert_eq!(gap_bytes(&stats.tcp.initiator, GapReason::Budget), 2);
    assert_eq!((stats.tcp.initiator.late_bytes, stats.tcp.responder.total_gap_bytes()), (1, 0));
}

#[test]
fn a2_b2_sides_are_independent() {
    let script = "< PA 3 0 BBB\n> PA 3 0 bbb\n< PA 0 0 AAA\n> PA 0 0 aaa\n< FA 6 6\n> FA 6 7";
    let stats = check(script, "aaabbb.", "AAABBB.");
    for side in FlowSide::BOTH {
        assert_eq!(stats.tcp.side(side).out_of_order_segments, 1);
        assert_eq!(stats.tcp.side(side).delivered_bytes, 6);
    }
}
