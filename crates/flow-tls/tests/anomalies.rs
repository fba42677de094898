//! What breaks the RFCs and is read all the same.

#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use flow_core::{AnomalyKind, FlowSide};
use flow_reassembly::{Segment, StreamConfig};
use flow_session::Session;
use flow_tls::TlsParser;

/// Feeds both sides through a session, whole and byte by byte, and checks how many messages are
/// found, and for each report the side (0 or 1), the offset, how often, and why.
#[track_caller]
fn check(packets: &[(FlowSide, &[u8])], messages: usize, expected: &[(usize, u64, u64, &str)]) {
    for piece in [usize::MAX, 1] {
        let mut session = Session::new(TlsParser::default());
        let (mut found, mut sent) = (Vec::new(), [0_u32; 2]);
        for (side, bytes) in packets {
            for bytes in bytes.chunks(piece) {
                let at = &mut sent[side.index()];
                let segment = Segment::plain(*at, bytes);
                *at += u32::try_from(bytes.len()).unwrap();
                session.segment(*side, &segment, &StreamConfig::default(), &mut found);
            }
        }
        let mut told = Vec::new();
        session.report(None, |kind| match kind {
            AnomalyKind::ProtocolViolation { side, offset, reason, count } => {
                told.push((side.index(), offset, count, reason));
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(session.poison(), None);
        assert_eq!(found.len(), messages, "{found:?}");
        assert_eq!(told, expected, "in pieces of {piece}");
    }
}

/// What is reported of a ClientHello, or of a ServerHello that answers the default one.
#[track_caller]
fn check_message(side: FlowSide, message: &[u8], expected: &[&str]) {
    let (hello, bytes) = (Hello::default().record(), record(22, message));
    let last = bytes.len() as u64 - 1;
    let expected: Vec<_> = expected.iter().map(|why| (side.index(), last, 1, *why)).collect();
    match side {
        Initiator => check(&[(side, &bytes)], 1, &expected),
        Responder => check(&[(Initiator, &hello), (side, &bytes)], 2, &expected),
    }
}

#[track_caller]
fn check_client(hello: &Hello, expected: &[&str]) {
    check_message(Initiator, &hello.message(), expected);
}

#[test]
fn proper_handshakes() {
    for kind in common::kinds::kinds() {
        let packets: Vec<_> = kind.packets.iter().map(|p| (p.side, p.bytes.as_slice())).collect();
        check(&packets, kind.story.len(), &[]);
    }
}

#[test]
fn extension_block_length() {
    let why = ["extension block length"];
    let hello = Hello::default().extension(0x7777, &[1, 2, 3]);
    check_client(&hello, &[]);
    check_client(&Hello::default(), &[]);
    let block = hello.message().len() - 2 - 7;
    let with = |len: u8| {
        let mut message = hello.message();
        message[block + 1] = len;
        message
    };
    check_message(Initiator, &with(6), &why);
    check_message(Initiator, &with(8), &why);
    check_message(Initiator, &with(0), &why);
    let mut cut = hello.message();
    cut[block + 5] = 2;
    check_message(Initiator, &cut, &why);
    let mut odd = Hello::default().message();
    odd.push(0);
    odd[3] += 1;
    check_message(Initiator, &odd, &why);
}

#[test]
fn duplicate_extension() {
    let why = ["duplicate extension"];
    let hello = Hello::default().extension(23, &[]).extension(0x7777, &[]);
    check_client(&hello, &[]);
    check_client(&hello.extension(23, &[]), &why);
    let twice = [(23, vec![]), (23, vec![])];
    check_message(Responder, &server_hello(0x0303, [9; 32], &twice), &why);
}

#[test]
fn malformed_extension() {
    let check = |kind, content: &[u8]| {
        check_client(&Hello::default().extension(kind, content), &["malformed extension"]);
    };
    check(0, &[0, 99, 0]);
    check(10, &[0, 3, 0, 29, 0]);
    check(10, &[0, 2, 0, 29, 0]);
    check(11, &[]);
    check(13, &[0, 4, 4, 3]);
    check(16, &[0, 1, 0]);
    check(16, &[0, 3, 9, b'h', b'2']);
    check(23, &[0]);
    check(27, &[3, 0, 1, 0]);
    check(28, &[64]);
    check(34, &[0, 1, 4]);
    check(41, &[0, 0, 0, 0]);
    check(41, &[0, 7, 0, 1, 9, 0, 0, 0, 0]);
    check(42, &[0]);
    check(43, &[2, 3]);
    check(44, &[0, 2, 1]);
    check(45, &[2, 1]);
    check(51, &[0, 5, 0, 29, 0, 2, 1]);
    check(0xfe0d, &[0, 0, 1, 0, 1, 9, 0, 0, 0]);
    check(0xfe0d, &[2]);
    let check = |kind, content: &[u8]| {
        let hello = server_hello_in(&[7; 32], 0x0303, [9; 32], &[(kind, content.to_vec())]);
        check_message(Responder, &hello, &["malformed extension"]);
    };
    check(16, &[0, 1, 0]);
    check(43, &[3]);
    check(44, &[0, 1]);
    check(51, &[0, 29]);
}

#[test]
fn answers_that_do_not_fit_the_offer() {
    let answer = |session: &[u8], extensions: &[(u16, Vec<u8>)]| {
        let extensions = [&[(43, vec![3, 4])], extensions].concat();
        server_hello_in(session, 0x0303, [9; 32], &extensions)
    };
    check_message(Responder, &answer(&[7; 32], &[]), &[]);
    check_message(Responder, &answer(&[8; 32], &[]), &["session id not echoed"]);
    check_message(Responder, &answer(&[], &[]), &["session id not echoed"]);
    let psk = answer(&[7; 32], &[(41, vec![0, 0])]);
    check_message(Responder, &psk, &["selected psk not offered"]);
}

#[test]
fn records() {
    let hello = Hello::default().record();
    let end = hello.len() as u64;
    let check = |more: &[u8], messages, offset: u64, why| {
        let stream = [hello.as_slice(), more].concat();
        check(&[(Initiator, &stream)], messages, &[(0, end + offset, 1, why)]);
    };
    check(&record(22, &[]), 1, 4, "empty record");
    check(&record(21, &[]), 1, 4, "empty record");
    check(&record(22, &handshake(99, &[0; 16_381])), 1, 4, "record longer than 2^14");
    check(b"\x16\x03\x05\x00\x04\x0e\x00\x00\x00", 1, 4, "unknown record version");
    check(&record(21, &[3, 40]), 1, 6, "unknown alert level");
    check(
        &record(22, &handshake(4, &[0, 0, 0, 1, 0, 9, 1])),
        1,
        15,
        "malformed new session ticket",
    );
}

#[test]
fn interleaved_handshake_message() {
    let chain = certificate(&[&[1; 90]]);
    let (first, rest) = chain.split_at(50);
    let warning = record(21, &[1, 100]);
    let stream = [record(22, first), warning, record(22, rest)].concat();
    let why = [(0, 55 + 4, 1, "interleaved handshake message")];
    check(&[(Initiator, &stream)], 2, &why);
    // Also in a hello, in its header, and in a message that is skipped.
    let hello = Hello::default().message();
    for at in [2, 40] {
        let (first, rest) = hello.split_at(at);
        let warning = record(21, &[1, 100]);
        let start = record(22, &handshake(14, &[]));
        let stream = [start, record(22, first), warning, record(22, rest)].concat();
        let why = [(0, 9 + 5 + at as u64 + 4, 1, "interleaved handshake message")];
        check(&[(Initiator, &stream)], 2, &why);
    }
}
