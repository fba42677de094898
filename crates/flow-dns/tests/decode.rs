//! Messages byte by byte, whole and broken.

mod common;

use common::{QUESTION, decode, message, query, record, response};
use flow_core::Timestamp;
use flow_dns::{DnsDefect, DnsMessage, DnsQuery, DnsRcode, DnsRdata, DnsRecord, DnsResponse};
use proptest::prelude::*;

fn as_query(bytes: &[u8]) -> DnsQuery {
    let DnsMessage::Query(query) = decode(bytes) else { panic!("a query") };
    query
}

fn as_response(bytes: &[u8]) -> DnsResponse {
    let DnsMessage::Response(response) = decode(bytes) else { panic!("a response") };
    response
}

#[test]
fn header_and_question() {
    let query = as_query(&message(0xABCD, 0x2930, [1, 0, 0, 0], &[QUESTION]));
    assert_eq!(query.transaction_id, 0xABCD);
    assert_eq!(query.opcode.to_string(), "UPDATE");
    assert_eq!(query.flags.names().collect::<Vec<_>>(), ["rd", "ad", "cd"]);
    assert_eq!(query.questions[0].name, "www.example.net");
    assert_eq!((query.questions[0].qtype, query.questions[0].qclass), (1, 1));
    assert_eq!(query.malformed, None);
    for short in 0..12 {
        assert_eq!(DnsMessage::decode(&common::query(1)[..short], Timestamp::default()), None);
    }
}

#[test]
fn presentation() {
    #[track_caller]
    fn check(rtype: u16, rdata: &[u8], expected: &str) {
        let bytes = message(1, 0x8400, [1, 1, 0, 0], &[QUESTION, &record(rtype, rdata)]);
        let response = as_response(&bytes);
        let answer = &response.answers[0];
        assert_eq!((answer.data.to_string().as_str(), answer.rdata()), (expected, rdata));
    }
    check(1, &[192, 0, 2, 1], "192.0.2.1");
    check(28, b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", "2001:db8::1");
    check(2, b"\x02ns\xC0\x10", "ns.example.net");
    check(5, b"\xC0\x10", "example.net");
    check(12, b"\x04host\0", "host");
    check(39, b"\x04host\0", "host");
    check(15, b"\0\x0A\x04mail\xC0\x10", "10 mail.example.net");
    check(15, b"\0\0\0", "0 .");
    check(16, b"\x04a\"\\b\x00\x02\xFFx", r#""a\"\\b" "" "\255x""#);
    check(
        6,
        b"\x02ns\xC0\x10\x04root\xC0\x10\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
        "ns.example.net root.example.net 1 2 3 4 5",
    );
    check(33, b"\0\x01\0\x02\x13\xC4\x03sip\xC0\x10", "1 2 5060 sip.example.net");
    check(13, b"\x03cpu\x02os", r#""cpu" "os""#);
    check(17, b"\x02me\xC0\x10\0", "me.example.net .");
    check(18, b"\0\x01\xC0\x10", "1 example.net");
    check(
        35,
        b"\0\x64\0\x0A\x01u\x07E2U+sip\x00\xC0\x10",
        r#"100 10 "u" "E2U+sip" "" example.net"#,
    );
    check(43, b"\xEC\x45\x05\x01\xAB\xCD", "60485 5 1 ABCD");
    check(44, b"\x02\x01\x12\x34", "2 1 1234");
    check(47, b"\xC0\x10\0\x06\x40\x01\0\0\0\x03", "example.net A MX RRSIG NSEC");
    check(48, b"\x01\x01\x03\x05\x01\x02\x03\x04", "257 3 5 AQIDBA==");
    check(
        46,
        b"\0\x01\x05\x03\0\x01\x51\x80\x3E\x83\xA1\x37\x3E\x5C\x14\x37\x0A\x52\xC0\x10\xFF",
        "A 5 3 86400 20030328011119 20030226011119 2642 example.net /w==",
    );
    check(50, b"\x01\x01\0\x0C\x02\xAA\xBB\x05abcde\0\x01\x40", "1 1 12 AABB C5H66P35 A");
    check(51, b"\x01\0\0\0\0", "1 0 0 -");
    check(52, b"\x03\x01\x01\xAB", "3 1 1 AB");
    check(257, b"\0\x05issueca.example", r#"0 issue "ca.example""#);
    check(256, b"\0\x0A\0\x01https://x", r#"10 1 "https://x""#);
    check(108, b"\0\0\x5e\0\x53\x2a", "00-00-5e-00-53-2a");
    check(
        65,
        b"\0\x01\0\0\x01\0\x06\x02h2\x02h3\0\x03\0\x02\x20\xFB\0\x04\0\x04\xC0\0\x02\x01\xFD\xE8\0\x01x",
        "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 key65000=x",
    );
    check(64, b"\0\x10\xC0\x10\0\x01\0\x06\x05f\\o,o", r#"16 example.net alpn="f\\\\o\\,o""#);
    check(
        29,
        b"\0\x12\x16\x13\x89\x17\x2D\xD0\x70\xBE\x15\xF0\0\x98\x8D\x20",
        "42 21 54.000 N 71 6 18.000 W -24.00m 1.00m 10000.00m 10.00m",
    );
    // What the type does not allow, and what is not known, as RFC 3597 says.
    check(1, &[192, 0, 2], "\\# 3 C00002");
    check(5, b"\xC0\x10\0", "\\# 3 C01000");
    check(16, b"\x05a", "\\# 2 0561");
    check(65, b"\0\x01\0\0\x01\0\x06\x02h2", "\\# 10 00010000010006026832");
    check(257, b"\0\x05iss", "\\# 5 0005697373");
    check(65534, b"\x01", "\\# 1 01");
    check(1, b"", "");
}

/// A record whose data makes no sense loses nothing but itself.
#[test]
fn bad_record_among_good_ones() {
    let records = [record(5, b"\xC0\xFF"), record(1, &[192, 0, 2, 9])].concat();
    let response = as_response(&message(1, 0x8180, [1, 2, 0, 0], &[QUESTION, &records]));
    assert_eq!(response.malformed, None);
    assert!(matches!(response.answers[0].data, DnsRdata::Other(_)));
    assert_eq!(response.answers[1].data.to_string(), "192.0.2.9");
}

#[test]
fn what_a_defect_leaves() {
    #[track_caller]
    fn check(bytes: &[u8], counts: [usize; 4], defect: Option<DnsDefect>) {
        let r = as_response(bytes);
        let lens = [r.questions.len(), r.answers.len(), r.authorities.len(), r.additionals.len()];
        assert_eq!((lens, r.malformed), (counts, defect));
    }
    let whole = response(1);
    check(&whole, [1, 1, 0, 0], None);
    check(&[&whole[..], b"\0"].concat(), [1, 1, 0, 0], Some(DnsDefect::TrailingBytes));
    check(&whole[..whole.len() - 1], [1, 0, 0, 0], Some(DnsDefect::CutShort));
    check(&whole[..40], [1, 0, 0, 0], Some(DnsDefect::CutShort));
    check(&whole[..20], [0, 0, 0, 0], Some(DnsDefect::CutShort));
    check(&whole[..33], [1, 0, 0, 0], Some(DnsDefect::BadCounts));
    check(&whole[..12], [0, 0, 0, 0], Some(DnsDefect::BadCounts));
    let a = record(1, &[192, 0, 2, 1]);
    let lying = message(1, 0x8180, [1, 9, 9, 9], &[QUESTION, &a]);
    check(&lying, [1, 1, 0, 0], Some(DnsDefect::BadCounts));
    // Nothing says where a label of a reserved type ends.
    let reserved = message(1, 0x8180, [1, 3, 0, 0], &[QUESTION, &a, b"\x41x", &a[2..], &a]);
    check(&reserved, [1, 1, 0, 0], Some(DnsDefect::BadName));
}

/// A name that is none takes nothing with it: neither the rest of its entry nor what follows.
#[test]
fn bad_names_among_good_ones() {
    #[track_caller]
    fn check(name: &[u8]) {
        let question = [name, b"\0\x01\0\x01"].concat();
        let bad = [name, &record(5, b"\xC0\xFF")[2..]].concat();
        let good = record(1, &[192, 0, 2, 9]);
        let counts = [2, 2, 1, 0];
        let r =
            as_response(&message(1, 0x8180, counts, &[QUESTION, &question, &bad, &good, &good]));
        assert_eq!(r.malformed, Some(DnsDefect::BadName));
        let names: Vec<_> = r.questions.iter().map(|q| (&*q.name, q.qtype)).collect();
        assert_eq!(names, [("www.example.net", 1), ("", 1)]);
        let shown = |r: &DnsRecord| format!("{} {} {}", r.name, r.type_name(), r.data);
        assert_eq!(
            r.answers.iter().map(shown).collect::<Vec<_>>(),
            [" CNAME \\# 2 C0FF", "www.example.net A 192.0.2.9",]
        );
        assert!(!r.answers[0].name.is_readable() && r.answers[1].name.is_readable());
        assert_eq!(r.answers[0].rdata(), b"\xC0\xFF");
        assert_eq!(r.authorities.len(), 1);
    }
    // Out of the message; at itself, to where the name begins in the question; too long.
    check(b"\xFF\xFF");
    check(b"\x01a\xC0\x21");
    check(&[&[63; 64].repeat(4)[..], &[0]].concat());
    check(&[&[63; 64].repeat(4)[..], b"\xC0\x0C"].concat());
    check(&[&[63; 64].repeat(3)[..], &[55; 56], b"\xC0\x0C"].concat());
}

/// The most that a message of the largest size can make of its bytes.
#[test]
fn largest_messages() {
    let largest = |head: &[u8], entry: &[u8]| {
        let count = (65_535 - 12 - head.len()) / entry.len();
        let bytes = message(1, 0x8180, [0, u16::try_from(count + 1).expect("fits"), 0, 0], &[]);
        let bytes = [&bytes[..], head, &entry.repeat(count)].concat();
        let response = as_response(&bytes);
        assert_eq!(response.answers.len(), count + 1);
        response
    };
    let smallest = b"\0\0\x01\0\x01\0\0\0\0\0\0";
    let r = largest(smallest, smallest);
    assert_eq!((r.answers.len(), r.malformed), (5_956, None));
    assert!(r.answers.iter().all(|record| record.name.is_root() && record.rdata().is_empty()));

    // Names behind a chain of pointers: as many as the longest chain allows, and no more when a
    // message has nothing else.
    let chain = |pointers: u16| {
        let mut data: Vec<u8> =
            (1..=pointers).flat_map(|i| (0xC017 + 2 * i).to_be_bytes()).collect();
        data.push(0);
        let length = u16::try_from(data.len()).expect("few");
        [&smallest[..9], &length.to_be_bytes(), &data].concat()
    };
    let entry = [b"\xC0\x17", &smallest[1..]].concat();
    let r = largest(&chain(126), &entry);
    let readable = r.answers.iter().filter(|record| record.name.is_readable()).count();
    assert_eq!((readable, r.malformed), (1 + 262_144 / (127 * 2), Some(DnsDefect::BadName)));
    let r = largest(&chain(127), &entry);
    assert!(r.answers[1..].iter().all(|record| !record.name.is_readable()));
    // A run of labels that is no name, to which all names point.
    let labels = [&smallest[..9], &[0x80, 1], &b"\x01a".repeat(0x4000), b"\0"].concat();
    let r = largest(&labels, &[b"\xC0\x17", &smallest[1..]].concat());
    assert!(r.answers[1..].iter().all(|record| !record.name.is_readable()));
    // What zones really have is far from that.
    let entry = [b"\x04host\xC0\x17", &smallest[1..]].concat();
    let zone = b"\x0aabcdefghij\x0aabcdefghij\x0aabcdefghij\x03net\0";
    let head = [&smallest[..9], &[0, 38], &zone[..]].concat();
    assert_eq!(largest(&head, &entry).malformed, None);
}

#[test]
fn counts_without_entries() {
    let query = as_query(&message(1, 0, [u16::MAX; 4], &[]));
    assert_eq!(query.malformed, Some(DnsDefect::BadCounts));
    assert_eq!([query.answers, query.authorities, query.additionals].map(|v| v.capacity()), [0; 3]);
    assert_eq!(query.questions.capacity(), 0);
    // Many questions are no defect.
    let query = as_query(&message(1, 0, [5_000, 0, 0, 0], &[&b"\0\0\x01\0\x01".repeat(5_000)]));
    assert_eq!((query.questions.len(), query.malformed), (5_000, None));
}

#[test]
fn extended_rcode() {
    let opt = b"\0\0\x29\x04\xD0\x01\0\0\0\0\0";
    let response = as_response(&message(1, 0x8180, [0, 0, 0, 1], &[opt]));
    assert_eq!((response.rcode, response.rcode.to_string()), (DnsRcode(16), "BADVERS".into()));
    assert_eq!(response.flags.rcode(), DnsRcode::NOERROR);
}

#[test]
fn multicast_classes() {
    let question = b"\x01a\x05local\0\0\x0C\x80\x01";
    let flush = b"\xC0\x0C\0\x01\x80\x01\0\0\0\x78\0\x04\xC0\0\x02\x01";
    let query = as_query(&message(0, 0, [1, 0, 1, 0], &[question, flush]));
    assert_eq!((query.questions[0].qclass, query.questions[0].class()), (0x8001, 1));
    assert!(query.questions[0].wants_unicast());
    assert!(query.authorities[0].cache_flush());
}

#[test]
fn names_of_numbers() {
    assert_eq!(flow_dns::type_name(65535), "TYPE65535");
    assert_eq!(flow_dns::type_name(65), "HTTPS");
    assert_eq!(flow_dns::class_name(2), "CLASS2");
    assert_eq!(DnsRcode(3).to_string(), "NXDOMAIN");
    assert_eq!(DnsRcode(4000).to_string(), "RCODE4000");
}

/// Everything that can be asked of a message.
fn exercise(message: &DnsMessage) {
    let (questions, sections) = match message {
        DnsMessage::Query(q) => (&q.questions, [&q.answers, &q.authorities, &q.additionals]),
        DnsMessage::Response(r) => (&r.questions, [&r.answers, &r.authorities, &r.additionals]),
        _ => return,
    };
    for question in questions {
        assert!(!question.name.contains(char::is_control));
        assert_eq!(question.name.is_readable(), !question.name.is_empty());
    }
    for record in sections.into_iter().flatten() {
        let _ = (record.data.to_string(), record.rdata(), record.type_name());
    }
}

fn valid() -> impl Strategy<Value = Vec<u8>> {
    let rtype = prop::sample::select(vec![
        1, 2, 5, 6, 12, 13, 15, 16, 28, 29, 33, 35, 41, 43, 46, 47, 48, 50, 64, 65, 249, 250, 257,
    ]);
    let rdata = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60),
        Just(b"\xC0\x10".to_vec()),
        Just(b"\0\x01\xC0\x10".to_vec()),
    ];
    prop::collection::vec((rtype, rdata), 0..6).prop_map(|records| {
        let count = u16::try_from(records.len()).expect("few");
        let records: Vec<u8> =
            records.iter().flat_map(|(rtype, rdata)| record(*rtype, rdata)).collect();
        message(1, 0x8180, [1, count, 0, 0], &[QUESTION, &records])
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        if let Some(message) = DnsMessage::decode(&bytes, Timestamp::default()) {
            exercise(&message);
        }
    }

    #[test]
    fn mutated(mut bytes in valid(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        exercise(&decode(&bytes));
        let at = at.index(bytes.len());
        bytes[at] = to;
        exercise(&decode(&bytes));
        if let Some(message) = DnsMessage::decode(&bytes[..at], Timestamp::default()) {
            exercise(&message);
        }
    }

    /// What hickory-proto reads, we read the same; it refuses more.
    #[test]
    fn as_hickory(bytes in valid()) {
        let ours = as_response(&bytes);
        prop_assert_eq!(ours.malformed, None);
        if let Ok(theirs) = hickory_proto::op::Message::from_vec(&bytes) {
            for (ours, theirs) in ours.answers.iter().zip(&theirs.answers) {
                prop_assert_eq!(ours.name.to_string() + ".", theirs.name.to_string());
                prop_assert_eq!(ours.rtype, u16::from(theirs.record_type()));
                if matches!(ours.rtype, 1 | 28 | 52) {
                    prop_assert_eq!(ours.data.to_string(), theirs.data.to_string());
                }
            }
        }
    }
}

/// The queries here are what the other tests build on.
#[test]
fn fixtures_are_whole() {
    assert_eq!(as_query(&query(7)).malformed, None);
    assert_eq!(as_response(&response(7)).answers[0].data.to_string(), "192.0.2.1");
}
