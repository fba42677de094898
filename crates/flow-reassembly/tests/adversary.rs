//! Orders of packets that a careful adversary, or a careless capture, would choose: what is forged,
//! displaced or captured twice makes nothing of the stream disappear, and adds nothing to it.

#![allow(clippy::unwrap_used)]

#[path = "common/transcript.rs"]
mod transcript;
#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use flow_core::{RejectReason, Timestamp};
use flow_reassembly::{Segment, StreamConfig, StreamReassembler, StreamSink};
use transcript::{FULL, alone, check, check_raw, client, probed};

/// The window ends at 65,535; nobody vouches for what lies further on, by whatever distance.
#[test]
fn b14_garbage_just_beyond_the_window() {
    for far in [65_540, 70_000, 100_000, 1_000_000, 1_048_000] {
        let stats = client(
            &format!("> PA 0 0 AA\n> PA {far} 0 EVIL\n> PA 2 0 BB\n< A 0 4\n> PA 4 0 CC"),
            "AABBCC",
        );
        let at = RejectReason::ALL.iter().position(|&one| one == RejectReason::OutOfWindow);
        assert_eq!(stats.rejected_segments[at.unwrap()], 1, "{far}");
    }
}

#[test]
fn b14_the_other_side_vouches_for_what_lies_just_beyond_the_window() {
    client("> PA 0 0 AA\n> PA 100000 0 FAR\n< A 0 100003", "AA[99998 acked]FAR");
}

#[test]
fn c7_a_fin_just_beyond_the_window() {
    client("> PA 0 0 AA\n> FA 100000 0\n> PA 2 0 BB\n< A 0 4\n> FA 4 0", "AABB.");
}

#[test]
fn b14_real_data_gets_to_where_a_near_stray_was() {
    let script = "> PA 0 0 AA\n> PA 100000 0 EVIL\n> PA 2 0 x=65000\n< A 0 65002\n\
                  > PA 65002 0 x=34998\n> PA 100000 0 GOOD\n< A 0 100004";
    client(script, &format!("AA{}GOOD", "x".repeat(99_998)));
}

/// Captured twice, as mirrors do.
#[test]
fn b15_a_stray_and_its_copy() {
    alone(
        "> PA 0 0 AA\n> PA 3000000 0 FAR\n> PA 3000000 0 FAR\n> PA 3000003 0 MORE",
        "AA[2999998 resync]FARMORE",
    );
}

/// A copy is no second word: nothing else speaks for these numbers.
#[test]
fn b15_garbage_and_its_copy() {
    alone(
        "> PA 0 0 AA\n> PA 1600000000 0 EVIL\n> PA 1600000000 0 EVIL\n> PA 2 0 BB\n> PA 4 0 CC",
        "AABBCC",
    );
}

#[test]
fn b14_strays_in_each_others_place() {
    alone(
        "> PA 0 0 AA\n> PA 3000003 0 bbb\n> PA 3000000 0 aaa\n> PA 3000006 0 ccc",
        "AA[2999998 resync]aaabbbccc",
    );
}

#[test]
fn c7_a_fin_in_front_of_its_data() {
    alone("> PA 0 0 AA\n> FA 3000003 0\n> PA 3000000 0 END", "AA[2999998 resync]END.");
}

/// It lies behind all that was acknowledged, and beyond the window from there.
#[test]
fn b14_garbage_behind_what_was_acknowledged() {
    client(
        "> PA 0 0 AA\n> PA 3500000 0 EVIL\n> PA 3000000 0 FAR\n< A 0 3000003\n> PA 3000003 0 MORE\n\
         < A 0 3000007",
        "AA[2999998 acked]FARMORE",
    );
}

#[test]
fn b13_a_probe_with_a_fin() {
    probed("> FPA 5 0 B\n< A 0 7", "AAAAAB.");
    let script = "> FPA 5 0 B\n> FPA 5 0 B\n< A 0 7\n< FA 0 7\n> A 7 1";
    check(&format!("{FULL}{script}"), "AAAAAB.", ".");
}

/// The capture missed what lies in front of it.
#[test]
fn b13_a_probe_behind_a_hole() {
    client(
        "> PA 0 0 AAAAA\n< A 0 10 win=0\n> PA 10 0 X\n< A 0 10\n> PA 10 0 YY\n< A 0 12",
        "AAAAA[5 acked]YY",
    );
}

/// Segments that came out of order while there was room wait behind it.
#[test]
fn b13_a_probe_in_front_of_what_waits() {
    client(
        "> PA 0 0 AAAAA\n> PA 7 0 CC\n< A 0 5 win=0\n> PA 5 0 X\n< A 0 5\n> PA 5 0 BB",
        "AAAAABBCC",
    );
}

/// The other side said that it did not take the byte, and then the segments came in another order.
#[test]
fn b13_a_probe_and_data_that_overtakes_the_real_byte() {
    probed("> PA 5 0 X\n< A 0 5\n> PA 8 0 DD\n> PA 5 0 YBC\n< A 0 10", "AAAAAYBCDD");
    probed("> PA 5 0 X\n< A 0 5\n> PA 6 0 BC\n> PA 5 0 YBC\n< A 0 8", "AAAAAYBC");
}

/// RFC 9293 section 3.10.7.4: an acknowledgment older than the last does not tell of the window.
#[test]
fn b13_b4_an_old_acknowledgment_closes_no_window() {
    let stats = client("> PA 0 0 AAAAA\n< A 0 5\n< A 0 0 win=0\n> PA 5 0 B", "AAAAAB");
    assert_eq!(stats.window_probes, 0);
}

#[test]
fn b13_a_syn_ack_without_room_is_counted() {
    let stats = check_raw("> S -1\n< SA -1 0 win=0\n> A 0 0\n< A 0 0 win=0", "", "");
    assert_eq!(stats.tcp.responder.zero_windows, 1);
}

/// The other side acknowledges what follows, again and again.
#[test]
fn a10_a_first_segment_ten_mebibytes_ahead() {
    check_raw(
        "> PA 10000000 50 junk\n> PA 100 50 AAAAA\n< A 50 105\n> PA 105 50 BBBBB\n< A 50 110\n\
         > PA 110 50 CCCCC\n< A 50 115",
        "junkAAAAABBBBBCCCCC",
        "",
    );
}

/// As in zeek__modbus__fuzz-72: the acknowledgment of BBB has put the stream where it is, so that
/// what is missing behind it is a gap.
#[test]
fn a10_b3_bytes_missing_behind_the_segment_that_put_it_right() {
    for far in [-20_000_000_i64, -436_207_625, -1_000_000_000, -2_000_000_000] {
        let script = format!(
            "> PA {far} 100 junk\n< PA 100 0 aaa\n< A 103 18\n> PA 27 103 BBB\n< PA 103 30 bbb\n\
             < PA 106 33 ccc\n> PA 33 109 CCC\n< PA 109 36 ddd",
        );
        check_raw(&script, "junkBBB[3 acked]CCC", "aaabbbcccddd");
    }
}

/// A SYN-ACK that the client's data answer, far from the first one.
#[test]
fn a9_data_that_answers_the_second_syn_ack() {
    for far in [-20_000_000_i64, -1_000_000_000, -2_000_000_000] {
        check_raw(
            &format!("> S -1\n< SA {far} 0\n< SA -1 0\n> PA 0 0 q\n< PA 0 1 good"),
            "q",
            "good",
        );
    }
}

#[test]
fn spurious_while_it_waits() {
    let stats = client("> PA 5 0 BBBBB\n< A 0 10\n> PA 5 0 BBBBB\n> PA 0 0 AAAAA", "AAAAABBBBB");
    assert_eq!((stats.retransmitted_segments, stats.spurious_segments), (1, 1));
}

#[derive(Default)]
struct Ends(Vec<u64>);

impl StreamSink for Ends {
    fn data(&mut self, _offset: u64, _bytes: &[u8], _packet: u64) {}
    fn gap(&mut self, _gap: flow_core::Gap) {}
    fn end(&mut self, offset: u64) {
        self.0.push(offset);
    }
}

fn segment(offset: u32, payload: &[u8]) -> Segment<'_> {
    Segment { start: Some(0), ts: Timestamp::new(1, 0), ..Segment::plain(offset, payload) }
}

/// They are counted as bytes behind the FIN, and not as bytes of the stream.
#[test]
fn b18_b19_bytes_behind_the_fin() {
    let config = StreamConfig::default();
    let (mut stream, mut out) = (StreamReassembler::new(), Ends::default());
    stream.skip();
    stream.segment(&segment(10, b"0123456789"), &config, &mut out);
    stream.segment(&Segment { fin: true, ..segment(15, b"") }, &config, &mut out);
    stream.finish(&mut out);
    let stats = stream.stats();
    assert_eq!(out.0, [15]);
    assert_eq!((stats.undelivered_bytes, stats.beyond_fin_bytes), (5, 5));
    assert_eq!(stats.total_gap_bytes() + stats.undelivered_bytes, stream.offset());
}

#[test]
fn a3_b19_data_of_a_syn() {
    let config = StreamConfig::default();
    let (mut stream, mut out) = (StreamReassembler::new(), Ends::default());
    let syn = Segment { syn: true, start: Some(0), ..Segment::plain(u32::MAX, b"GET") };
    stream.segment(&syn, &config, &mut out);
    stream.skip();
    stream.progress(Some(3), Timestamp::new(1, 0), &config, &mut out);
    stream.segment(&segment(3, b"more"), &config, &mut out);
    stream.segment(&Segment { fin: true, ..segment(7, b"") }, &config, &mut out);
    stream.finish(&mut out);
    let stats = stream.stats();
    assert_eq!((stats.undelivered_bytes, stats.total_gap_bytes(), stream.offset()), (7, 0, 7));
}

#[test]
fn b16_b19_bytes_that_were_cut_off() {
    let config = StreamConfig::default();
    let (mut stream, mut out) = (StreamReassembler::new(), Ends::default());
    stream.skip();
    stream.segment(&Segment { len: 10, ..segment(0, b"01234") }, &config, &mut out);
    stream.finish(&mut out);
    let stats = stream.stats();
    assert_eq!((stats.undelivered_bytes, stats.truncated_bytes), (5, 5));
}

/// Data of SYNs waits, too, and is charged: giving up what waits frees it. Otherwise the limit for
/// all streams is no limit for it, and every packet beyond it looks at every flow.
#[test]
fn f2_data_of_syns_that_nobody_answers() {
    let mut config = flow_core::FlowTrackerConfig::default();
    config.max_reassembly_total = 10_000;
    let factory = flow_reassembly::BufferedReassemblerFactory::default();
    let mut driver = flow_reassembly::FlowDriver::new(wire::Wire, factory).with_config(config);
    for flow in 0..100 {
        for frame in wire::frames(&format!("> S -1 0 flow={flow} x=1000"), [5, 7]) {
            driver.track(frame.view()).for_each(drop);
        }
        let reassemblers =
            driver.tracker().flows().flat_map(|flow| flow.user.reassemblers.iter().flatten());
        let queued: usize = reassemblers.map(flow_reassembly::Reassembler::queued_bytes).sum();
        assert!(queued <= 10_000, "{queued} bytes");
    }
}

/// Where the stream began is known from its SYN, whatever comes first of it.
#[test]
fn b14_the_first_of_a_stream_is_far_away() {
    check("> PA 100000 0 FARX\n< A 0 100004\n> PA 100004 0 MORE", "[100000 acked]FARXMORE", "");
    let script = "> PA 70000 0 FARX\n< A 0 70004\n> PA 69996 0 BBBB";
    check(script, "[69996 acked]BBBBFARX", "");
    alone("> PA 3000000 0 FAR\n> PA 3000003 0 MORE", "[3000000 resync]FARMORE");
}

/// A FIN does not say where the stream began, if it is the first that was captured.
#[test]
fn c8_a10_a_fin_is_the_first_that_was_captured() {
    let all = "x".repeat(30);
    check_raw("> FA 30 0\n> PA 0 0 x=30\n< A 0 31", &format!("{all}."), "");
    check_raw("> FA 30 0\n< FA 0 31\n> A 31 1", ".", ".");
    check_raw("> FA 0 0\n> PA 34 0 EVIL", ".", "");
}
