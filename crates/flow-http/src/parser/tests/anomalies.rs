use flow_core::AnomalyKind;
use flow_reassembly::{Segment, StreamConfig};
use flow_session::{Moment, Session};

use super::*;

/// What is told of these bytes, with the offset and the number of times, in pieces of `step` bytes.
fn told(side: FlowSide, bytes: &str, step: usize) -> Vec<(&'static str, u64, u64)> {
    let config = StreamConfig::default();
    let (mut session, mut out, mut seq) = (Session::new(HttpParser::default()), Vec::new(), 0);
    for piece in bytes.as_bytes().chunks(step) {
        session.segment(side, &Segment::plain(seq, piece), &config, &mut out);
        seq += u32::try_from(piece.len()).expect("a short piece");
    }
    let moment = Moment { ts: Timestamp::from_nanos(0), packet: 1 };
    session.close(EndReason::EndOfInput, moment, &mut out);
    let mut told = Vec::new();
    session.report(None, |kind| match kind {
        AnomalyKind::ProtocolViolation { side: by, offset, reason, count } => {
            assert_eq!(by, side);
            told.push((reason, offset, count));
        }
        other => panic!("{other:?}"),
    });
    told
}

fn check(side: FlowSide, bytes: &str, expected: &[(&str, u64, u64)]) {
    for step in [1, 3, bytes.len()] {
        assert_eq!(told(side, bytes, step), expected, "{bytes:?} by {step}");
    }
}

/// A request with these header lines; what is told is told of the head's last byte.
fn check_head(lines: &str, expected: &[&str]) {
    let head = format!("POST / HTTP/1.1\r\n{lines}\r\n");
    let expected: Vec<_> =
        expected.iter().map(|&reason| (reason, head.len() as u64 - 1, 1)).collect();
    check(C, &head, &expected);
}

#[test]
fn usual_messages_are_none() {
    check(C, GET, &[]);
    check(S, OK, &[]);
    check(C, "GET /old\r\n\r\n", &[]);
    check(C, "GET / HTTP/1.1\nHost: h\nX: a\n b\n\n", &[]);
    let chunked = "Transfer-Encoding: gzip, chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: t\r\n\r\n";
    check(S, &format!("HTTP/1.1 200 OK\r\n{chunked}"), &[]);
}

#[test]
fn framing_that_can_be_read_in_more_than_one_way() {
    let (length, chunked) = ("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n");
    check_head(&format!("{length}{chunked}"), &["transfer-encoding and content-length"]);
    check_head("Content-Length: 5\r\nContent-Length: 6\r\n", &["differing content-lengths"]);
    check_head("Content-Length: +5\r\n", &["invalid content-length"]);
    check_head("Content-Length : 0\r\n", &["space around the name of a framing field"]);
    check_head("Transfer-Encoding:\r\n chunked\r\n", &["folded framing field"]);
    check_head(&format!("{chunked}{chunked}"), &["chunked twice"]);
    check_head(
        "Transfer-Encoding: chunked, gzip\r\n",
        &[
            "chunked is not the last transfer coding",
            "last transfer coding of a request is not chunked",
        ],
    );
    let old = format!("POST / HTTP/1.0\r\n{chunked}\r\n0\r\n\r\n");
    check(C, &old, &[("transfer-encoding in http/1.0", 46, 1)]);
}

#[test]
fn odd_lines() {
    check_head("A: b\rc\r\n", &["bare cr in a head"]);
    check_head("no colon\r\n", &["header line without a colon"]);
    check(C, "GET / HTTP/1.\r\n\r\n", &[("malformed start line", 16, 1)]);
    check(C, &format!("{GET}\0"), &[("expected a start line", GET.len() as u64, 1)]);
    let behind = format!("{GET}what is no start line\r\n");
    check(C, &behind, &[("expected a start line", GET.len() as u64, 1)]);
}

#[test]
fn bytes_behind_http09() {
    let expected = [("bytes behind a request of http/0.9", 10, 1)];
    check(C, "GET /old\r\nHost: h\r\n\r\n", &expected);
}

#[test]
fn odd_chunks() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let start = head.len() as u64;
    let told = |body: &str, expected: &str, count| {
        let text = format!("{head}{body}");
        check(S, &text, &[(expected, start + 1, count)]);
    };
    told("2 ;a=b\r\nab\r\n0\r\n\r\n", "space behind a chunk size", 1);
    told("2\nab\r\n0\r\n\r\n", "bare lf in chunked framing", 1);
    told("2\nab\n0\n\r\n", "bare lf in chunked framing", 3);
    check(S, &format!("{head}0x2\r\n"), &[("chunk size is not a number", start + 1, 1)]);
    check(S, &format!("{head}1\r\nab"), &[("chunk is longer than its size", start + 4, 1)]);
}
