//! The parsers as the engine drives them, and the correlator.

mod common;

use std::time::Duration;

use common::{QUESTION, framed, message, query, record, response, with_context};
use flow_core::FlowSide::{self, Initiator, Responder};
use flow_core::{EndReason, Gap, GapReason, Timestamp};
use flow_dns::{
    Correlator, DnsConfig, DnsMessage, DnsQuery, DnsRecorded, DnsResponse, DnsService,
    DnsTcpParser, DnsUdpParser, DnsUdpTransactions,
};
use flow_session::{DatagramParser, GapAction, SessionParser};
use proptest::prelude::*;

/// `query 1`, `response 1 +2s`, `unanswered 1`, with `cut` for what is malformed.
fn describe(message: &DnsMessage) -> String {
    match message {
        DnsMessage::Query(q) => {
            let again = if q.retransmission { " again" } else { "" };
            let cut = if q.malformed.is_some() { " cut" } else { "" };
            format!("query {}{again}{cut}", q.transaction_id)
        }
        DnsMessage::Response(r) => {
            let elapsed = r.elapsed.map_or(String::new(), |e| format!(" +{}s", e.as_secs()));
            let cut = if r.malformed.is_some() { " cut" } else { "" };
            format!("response {}{elapsed}{cut}", r.transaction_id)
        }
        DnsMessage::Unanswered(q) => {
            format!("unanswered {} x{}", q.transaction_id, q.retransmissions)
        }
        _ => String::new(),
    }
}

/// Feeds datagrams, each at its second, and ends the flow.
fn udp(
    parser: &mut impl DatagramParser<Message = DnsMessage>,
    datagrams: &[(FlowSide, u32, Vec<u8>)],
) -> Vec<String> {
    let mut out = Vec::new();
    for (side, second, payload) in datagrams {
        out.extend(with_context(*side, (*second, 0), payload.len(), |cx| {
            parser.datagram(*side, payload, cx);
        }));
    }
    out.extend(with_context(Initiator, (99, 0), 0, |cx| parser.close(EndReason::EndOfInput, cx)));
    out.iter().map(|parsed| describe(&parsed.message)).collect()
}

#[test]
fn udp_transactions() {
    #[track_caller]
    fn check(datagrams: &[(FlowSide, u32, Vec<u8>)], expected: &[&str]) {
        assert_eq!(udp(&mut DnsUdpTransactions::default(), datagrams), expected);
    }
    let (i, r) = (Initiator, Responder);
    check(&[(i, 1, query(7)), (r, 3, response(7))], &["query 7", "response 7 +2s"]);
    check(&[(i, 1, query(7)), (r, 3, response(8))], &["query 7", "response 8", "unanswered 7 x0"]);
    // Sent again: one transaction, which lasts since it was first seen.
    check(
        &[(i, 1, query(7)), (i, 6, query(7)), (r, 7, response(7)), (r, 8, response(7))],
        &["query 7", "query 7 again", "response 7 +6s", "response 7"],
    );
    check(&[(i, 1, query(7)), (i, 2, query(7))], &["query 7", "query 7 again", "unanswered 7 x1"]);
    // Once it is answered, or given up, the same query is a new one.
    check(
        &[(i, 1, query(7)), (r, 2, response(7)), (i, 3, query(7)), (i, 40, query(7))],
        &["query 7", "response 7 +1s", "query 7", "unanswered 7 x0", "query 7", "unanswered 7 x0"],
    );
    // Many at once, from both sides, under the same ID.
    check(
        &[
            (i, 1, query(1)),
            (i, 1, query(2)),
            (r, 1, query(1)),
            (i, 2, query(1)),
            (r, 3, response(1)),
            (i, 4, response(1)),
        ],
        &[
            "query 1",
            "query 2",
            "query 1",
            "query 1 again",
            "response 1 +2s",
            "response 1 +3s",
            "unanswered 2 x0",
        ],
    );
    // The oldest is given up first, also where it waits beside one that took the place of another.
    check(
        &[
            (i, 1, query(1)),
            (i, 2, query(2)),
            (r, 3, response(1)),
            (i, 20, query(3)),
            (i, 21, query(4)),
            (i, 33, query(5)),
        ],
        &[
            "query 1",
            "query 2",
            "response 1 +2s",
            "query 3",
            "query 4",
            "unanswered 2 x0",
            "query 5",
            "unanswered 3 x0",
            "unanswered 4 x0",
            "unanswered 5 x0",
        ],
    );
    // A truncated answer is an answer; that over TCP is in a flow of its own.
    check(
        &[(i, 1, query(7)), (r, 2, message(7, 0x8380, [1, 0, 0, 0], &[QUESTION]))],
        &["query 7", "response 7 +1s"],
    );
    // An answer from the side that asked is none.
    check(&[(i, 1, query(7)), (i, 3, response(7))], &["query 7", "response 7", "unanswered 7 x0"]);
    check(
        &[
            (i, 1, query(1)),
            (i, 1, query(2)),
            (i, 1, query(3)),
            (r, 2, response(2)),
            (r, 3, response(3)),
            (r, 4, response(1)),
        ],
        &["query 1", "query 2", "query 3", "response 2 +1s", "response 3 +2s", "response 1 +3s"],
    );
    check(
        &[(i, 1, query(1)), (i, 32, query(2))],
        &["query 1", "unanswered 1 x0", "query 2", "unanswered 2 x0"],
    );
    // An error without a question answers by its ID.
    check(
        &[
            (i, 1, query(1)),
            (r, 2, message(1, 0x8182, [0, 0, 0, 1], &[b"\0\0\x29\x04\xD0\0\0\0\0\0\0"])),
        ],
        &["query 1", "response 1 +1s"],
    );
}

/// What `max_pending` does not let wait is not reported, neither as answered.
#[test]
fn udp_pending_limit() {
    let queries = || (1..=3).map(|id| (Initiator, 1, query(id)));
    for (limit, expected) in [
        (0, &[][..]),
        (1, &["unanswered 3 x0"]),
        (2, &["unanswered 2 x0", "unanswered 3 x0"]),
        (3, &["unanswered 1 x0", "unanswered 2 x0", "unanswered 3 x0"]),
    ] {
        let config = DnsConfig::default().with_max_pending(limit);
        let found = udp(&mut DnsUdpTransactions::new(config), &queries().collect::<Vec<_>>());
        assert_eq!(found[3..], *expected);
    }
}

#[test]
fn udp_without_memory() {
    let datagrams = [(Initiator, 1, query(7)), (Responder, 3, response(7))];
    assert_eq!(udp(&mut DnsUdpParser, &datagrams), ["query 7", "response 7"]);
    assert_eq!(DnsUdpParser.parse(b"something else", Initiator), []);
}

#[test]
fn multicast_is_not_matched() {
    let mut parser = DnsUdpTransactions::default().with_service(DnsService::Mdns);
    assert_eq!(udp(&mut parser, &[(Initiator, 1, query(0))]), ["query 0"]);
}

#[test]
fn a_flow_without_dns_is_given_up() {
    let mut parser = DnsUdpTransactions::default();
    for _ in 0..4 {
        assert!(parser.wants());
        assert_eq!(parser.parse(b"something else", Initiator), []);
    }
    assert!(!parser.wants() && !parser.is_poisoned());
    let mut parser = DnsUdpTransactions::default();
    assert_eq!(parser.parse(&query(1), Initiator).len(), 1);
    (0..300).for_each(|_| drop(parser.parse(b"something else", Initiator)));
    assert!(parser.wants());
}

/// Feeds a side in pieces, each in a packet of its own.
fn tcp(
    parser: &mut DnsTcpParser,
    side: FlowSide,
    pieces: &[&[u8]],
) -> Vec<(String, u64, std::ops::Range<u64>)> {
    let (mut out, mut offset, mut packet) = (Vec::new(), 0, 0);
    for piece in pieces {
        packet += 1;
        out.extend(with_context(side, (packet, offset), piece.len(), |cx| {
            parser.feed(side, piece, cx);
        }));
        offset += piece.len() as u64;
    }
    out.into_iter().map(|p| (describe(&p.message), p.first_packet, p.range)).collect()
}

#[test]
fn tcp_framing() {
    let (one, two) = (framed(&query(1)), framed(&query(2)));
    let len = one.len() as u64;
    let both = [&one[..], &two].concat();
    let parser = &mut DnsTcpParser::default();
    let expected = |a: u64, b: u64| {
        vec![("query 1".to_owned(), a, 0..len), ("query 2".to_owned(), b, len..2 * len)]
    };
    assert_eq!(tcp(parser, Initiator, &[&both]), expected(1, 1));
    let parser = &mut DnsTcpParser::default();
    assert_eq!(tcp(parser, Initiator, &[&both[..1], &both[1..30], &both[30..]]), expected(1, 3));
    let cut = usize::try_from(len).expect("few") + 1;
    let parser = &mut DnsTcpParser::default();
    assert_eq!(tcp(parser, Initiator, &[&both[..cut], &both[cut..]]), expected(1, 1));
    for id in [2, 1] {
        assert!((1..500).contains(&parser.buffered_bytes()), "queries that wait");
        assert_eq!(parser.feed_responder(&framed(&response(id))).len(), 1);
    }
}

#[test]
fn tcp_of_another_protocol() {
    let parser = &mut DnsTcpParser::default();
    assert_eq!(tcp(parser, Initiator, &[b"GET / HT", b"TP/1.1\r\n\r\n"]), []);
    assert!(!parser.wants(Initiator) && !parser.wants(Responder) && !parser.is_poisoned());
}

#[test]
fn tcp_that_loses_its_framing() {
    let parser = &mut DnsTcpParser::default();
    let stream = [&framed(&query(1))[..], &[0; 6]].concat();
    assert_eq!(tcp(parser, Initiator, &[&stream]).len(), 1);
    assert!(!parser.is_poisoned());
    assert_eq!(tcp(parser, Initiator, &[&framed(&query(2)), &[0; 6]]).len(), 1);
    assert!(!parser.is_poisoned());
    tcp(parser, Initiator, &[&[0; 2], &[0; 9]]);
    assert!(parser.is_poisoned());
}

/// What waits when a stream stops to make sense will not be answered.
#[test]
fn tcp_that_loses_its_framing_tells_what_waits() {
    let stream = [&framed(&query(1))[..], &[0; 8]].concat();
    let found = tcp(&mut DnsTcpParser::default(), Initiator, &[&stream]);
    let found: Vec<_> = found.into_iter().map(|(message, ..)| message).collect();
    assert_eq!(found, ["query 1", "unanswered 1 x0"]);
}

/// In whatever pieces it comes, what is unanswered is told behind the message that shows it.
#[test]
fn tcp_tells_what_waits_where_it_shows() {
    let late = [&framed(&query(1))[..], &framed(&query(2)), &[0; 8]].concat();
    let end = late.len() as u64;
    for size in [4, late.len()] {
        let pieces: Vec<_> = late.chunks(size).collect();
        let found = tcp(&mut DnsTcpParser::default(), Initiator, &pieces);
        let waiting = found.iter().filter(|(message, ..)| message.starts_with("unanswered"));
        let ranges: Vec<_> = waiting.map(|(.., range)| range.clone()).collect();
        assert_eq!(ranges, [end..end, end..end], "by {size}");
    }
}

/// Messages of no or one byte, a million of them, are given up as any that make no sense.
#[test]
fn tcp_of_tiny_messages() {
    for tiny in [&[0, 0][..], &[0, 1, 0]] {
        let stream = tiny.repeat(1_000_000);
        let parser = &mut DnsTcpParser::default();
        assert_eq!(parser.feed_initiator(&stream), []);
        assert!(!parser.wants(Initiator));
        let parser = &mut DnsTcpParser::default();
        assert_eq!(parser.feed_initiator(&[&framed(&query(1))[..], &stream].concat()).len(), 2);
        assert!(parser.is_poisoned());
    }
}

/// A message that never ends is kept up to its length.
#[test]
fn tcp_of_endless_messages() {
    let parser = &mut DnsTcpParser::default().with_service(DnsService::Dns);
    let start = [&[0xFF; 2][..], &message(1, 0x0100, [1, 0, 0, 1], &[QUESTION])].concat();
    assert_eq!(parser.feed_initiator(&start), []);
    for _ in 0..65_535 - 33 - 1 {
        assert_eq!(parser.feed_initiator(&[0]), []);
        assert!(parser.buffered_bytes() <= 2 * 65_537);
    }
    assert_eq!(parser.feed_initiator(&[0]).len(), 1);
}

#[test]
fn tcp_gaps() {
    #[track_caller]
    fn check(before: &[u8], gap: u64, after: &[u8], action: GapAction, expected: &[&str]) {
        let parser = &mut DnsTcpParser::default();
        let mut out: Vec<String> =
            tcp(parser, Initiator, &[before]).into_iter().map(|(m, ..)| m).collect();
        let offset = before.len() as u64;
        let mut got = GapAction::Stop;
        let gap = Gap { offset, len: gap, reason: GapReason::Acked };
        let found =
            with_context(Initiator, (2, offset), 0, |cx| got = parser.gap(Initiator, gap, cx));
        out.extend(found.iter().map(|p| describe(&p.message)));
        if got == GapAction::Resume {
            out.extend(tcp(parser, Initiator, &[after]).into_iter().map(|(m, ..)| m));
        }
        assert_eq!(
            (got, out.iter().map(String::as_str).collect::<Vec<_>>()),
            (action, expected.to_vec())
        );
    }
    let (one, two) = (framed(&response(1)), framed(&response(2)));
    let (cut, rest) = (&one[..one.len() - 4], 4);
    let after = [&one[one.len() - 3..], &two].concat();
    const RESUME: GapAction = GapAction::Resume;
    check(cut, rest - 3, &after, RESUME, &["response 1 cut", "response 2"]);
    check(cut, rest, &two, RESUME, &["response 1 cut", "response 2"]);
    // Behind a gap that a message may have begun in, only what is DNS beyond doubt is.
    let lax = framed(&[&response(3)[..], b"trailing"].concat());
    let behind = [&two[..], &lax].concat();
    check(cut, rest + 1, &behind, RESUME, &["response 1 cut", "response 2", "response 3 cut"]);
    check(&one, 5, &behind, RESUME, &["response 1", "response 2", "response 3 cut"]);
    check(&one[..1], 5, &two, RESUME, &["response 2"]);
    check(&one, 5, &two[1..], RESUME, &["response 1"]);
    check(&one, 5, &[&two[5..], &two].concat(), RESUME, &["response 1"]);
    check(&one, 5, &framed(&response(2)[..12]), RESUME, &["response 1"]);
}

#[test]
fn tcp_gap_behind_which_framing_is_lost() {
    let parser = &mut DnsTcpParser::default();
    tcp(parser, Initiator, &[&framed(&query(1))]);
    let gap = Gap { offset: 31, len: 5, reason: GapReason::Acked };
    with_context(Initiator, (2, 31), 0, |cx| _ = parser.gap(Initiator, gap, cx));
    assert_eq!(tcp(parser, Initiator, &[b"\0\x40\0\0\xFF\xFF"]), []);
    assert!(!parser.wants(Initiator) && parser.wants(Responder) && !parser.is_poisoned());
    assert_eq!(tcp(parser, Responder, &[&framed(&response(1))]).len(), 1);
}

#[test]
fn tcp_close_reports_what_is_left() {
    let parser = &mut DnsTcpParser::default();
    let stream = [&framed(&query(1))[..], &framed(&query(2))[..33]].concat();
    assert_eq!(tcp(parser, Initiator, &[&stream]).len(), 1);
    let mut out = Vec::new();
    for side in FlowSide::BOTH {
        out.extend(with_context(side, (9, 0), 0, |cx| parser.close(side, EndReason::Rst, cx)));
    }
    let out: Vec<_> = out.iter().map(|p| describe(&p.message)).collect();
    assert_eq!(out, ["query 2 cut", "unanswered 1 x0", "unanswered 2 x0"]);
}

fn parsed_query(id: u16, second: u32, name: &str) -> DnsQuery {
    let question =
        [&[u8::try_from(name.len()).expect("few")], name.as_bytes(), b"\0\0\x01\0\x01"].concat();
    let bytes = message(id, 0x0100, [1, 0, 0, 0], &[&question]);
    let now = Timestamp::new(second, 0);
    let Some(DnsMessage::Query(query)) = DnsMessage::decode(&bytes, now) else { panic!("a query") };
    query
}

fn parsed_response(id: u16, second: u32, name: &str) -> DnsResponse {
    let question =
        [&[u8::try_from(name.len()).expect("few")], name.as_bytes(), b"\0\0\x01\0\x01"].concat();
    let bytes = message(id, 0x8180, [1, 1, 0, 0], &[&question, &record(1, &[1; 4])]);
    let now = Timestamp::new(second, 0);
    let Some(DnsMessage::Response(response)) = DnsMessage::decode(&bytes, now) else {
        panic!("a response")
    };
    response
}

#[test]
fn correlator() {
    let mut waiting = Correlator::<&str>::default();
    assert_eq!(waiting.record_query("a", &parsed_query(1, 1, "x")), DnsRecorded::New);
    assert_eq!(waiting.record_query("a", &parsed_query(1, 2, "X")), DnsRecorded::Retransmission);
    assert_eq!(waiting.record_query("b", &parsed_query(1, 2, "x")), DnsRecorded::New);
    assert_eq!(waiting.match_response(&"a", &parsed_response(1, 3, "y")), None);
    let answered = waiting.match_response(&"a", &parsed_response(1, 4, "x")).expect("a match");
    assert_eq!(answered.elapsed, Duration::from_secs(3));
    assert_eq!(answered.query.retransmissions, 1);
    assert_eq!(waiting.pending_len(), 1);
    assert_eq!(waiting.sweep(Timestamp::new(32, 0)).count(), 0);
    assert_eq!(
        waiting.sweep(Timestamp::new(33, 0)).map(|(scope, _)| scope).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(waiting.pending_len(), 0);
}

#[test]
fn correlator_at_its_limits() {
    let mut waiting = Correlator::new(DnsConfig::default().with_max_pending(3));
    for id in 1..=3 {
        assert_eq!(waiting.record_query(0, &parsed_query(id, 1, "x")), DnsRecorded::New);
    }
    assert_eq!(waiting.record_query(0, &parsed_query(4, 1, "x")), DnsRecorded::NewInPlaceOfOldest);
    assert_eq!((waiting.pending_len(), waiting.dropped()), (3, 1));
    assert_eq!(waiting.drain().map(|(_, q)| q.transaction_id).collect::<Vec<_>>(), [2, 3, 4]);

    let mut none = Correlator::new(DnsConfig::default().with_max_pending(0));
    assert_eq!(none.record_query(0, &parsed_query(1, 1, "x")), DnsRecorded::Refused);

    // All under one ID: sixteen wait.
    let mut waiting = Correlator::default();
    for i in 0..20 {
        waiting.record_query(0, &parsed_query(1, i, &format!("name{i}")));
    }
    assert_eq!((waiting.pending_len(), waiting.dropped()), (16, 4));
    assert_eq!(waiting.match_response(&0, &parsed_response(1, 30, "name3")), None);
    assert!(waiting.match_response(&0, &parsed_response(1, 30, "name4")).is_some());
}

proptest! {
    /// The correlator against a plain list.
    #[test]
    fn correlator_as_a_list(steps in prop::collection::vec((any::<bool>(), 0..4_u16, 0..3_u8), 0..200)) {
        let mut waiting = Correlator::new(DnsConfig::default().with_max_pending(5));
        let mut model: Vec<(u16, u8, u32)> = Vec::new();
        for (now, (is_query, id, name)) in (0..).zip(steps) {
            let at = model.iter().position(|&(i, n, _)| (i, n) == (id, name));
            let text = format!("n{name}");
            if is_query {
                waiting.record_query((), &parsed_query(id, now, &text));
                if at.is_none() {
                    if model.len() == 5 {
                        model.remove(0);
                    }
                    model.push((id, name, now));
                }
            } else {
                let answered = waiting.match_response(&(), &parsed_response(id, now, &text));
                let expected = at.map(|at| Duration::from_secs((now - model.remove(at).2).into()));
                prop_assert_eq!(answered.map(|answered| answered.elapsed), expected);
            }
            waiting.sweep(Timestamp::new(now, 0)).for_each(drop);
            model.retain(|&(_, _, since)| now - since <= 30);
            prop_assert_eq!(waiting.pending_len(), model.len());
        }
    }

    /// However a stream is cut, its messages and their ranges are the same.
    #[test]
    fn split_invariance(
        ids in prop::collection::vec(any::<u16>(), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        noise in any::<(prop::sample::Index, u8)>(),
    ) {
        let mut stream: Vec<u8> = ids.iter().flat_map(|&id| framed(&response(id))).collect();
        stream.extend(framed(&message(9, 0x0100, [1, 0, 0, 0], &[QUESTION])));
        let at = noise.0.index(stream.len());
        stream[at] = noise.1;
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.sort_unstable();
        let (mut pieces, mut begin) = (Vec::new(), 0);
        for cut in cuts {
            pieces.push(&stream[begin..cut]);
            begin = cut;
        }
        pieces.push(&stream[begin..]);
        let found = |pieces: &[&[u8]]| {
            let parser = &mut DnsTcpParser::default();
            let found = tcp(parser, Responder, pieces);
            let messages: Vec<_> = found.into_iter().map(|(m, _, range)| (m, range)).collect();
            (messages, parser.is_poisoned())
        };
        prop_assert_eq!(found(&pieces), found(&[&stream]));
    }

    #[test]
    fn arbitrary_streams(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..80), 0..90_u64), 0..20)) {
        let parser = &mut DnsTcpParser::default().with_service(DnsService::Dns);
        for (gap, piece, len) in &pieces {
            with_context(Initiator, (1, 0), piece.len(), |cx| {
                if *gap {
                    parser.gap(Initiator, Gap { offset: 0, len: *len, reason: GapReason::End }, cx);
                } else {
                    parser.feed(Initiator, piece, cx);
                }
            });
            prop_assert!(parser.buffered_bytes() < 200_000);
        }
    }
}
