use std::hint::black_box;

use criterion::{Criterion, Throughput};
use flow::Timestamp;
use flow::dns::DnsMessage;
use hickory_proto::op::Message;

const QUESTION: &[u8] = b"\x0ahost000128\x09example-v\x03net\0\0\x01\0\x01";
const A: &[u8] = b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x01";
const CNAME: &[u8] = b"\xC0\x0C\0\x05\0\x01\0\0\x01\x2C\0\x06\x03cdn\xC0\x0C";
const CDN_A: &[u8] = b"\xC0\x36\0\x01\0\x01\0\0\0\x3C\0\x04\xC0\0\x02\x02";
const SOA: &[u8] = b"\xC0\x0C\0\x06\0\x01\0\0\x01\x2C\0\x21\x02ns\xC0\x0C\x05admin\xC0\x0C\
    \0\0\0\x01\0\0\x0E\x10\0\0\x03\x84\0\x09\x3A\x80\0\0\x01\x2C";
const HTTPS: &[u8] = b"\xC0\x0C\0\x41\0\x01\0\0\0\x3C\0\x0A\0\x01\0\0\x01\0\x03\x02h2";
const OPT: &[u8] = b"\0\0\x29\x04\xD0\0\0\0\0\0\0";

/// What a resolver's clients ask and are told: as many queries as responses.
pub(crate) fn decode(c: &mut Criterion) {
    let query = message(0x0100, [0, 0, 1], &[OPT]);
    let responses = [
        message(0x8180, [1, 0, 1], &[A, OPT]),
        message(0x8180, [3, 0, 1], &[A, A, A, OPT]),
        message(0x8180, [3, 0, 0], &[CNAME, CDN_A, CDN_A]),
        message(0x8183, [0, 1, 1], &[SOA, OPT]),
        message(0x8180, [1, 0, 1], &[HTTPS, OPT]),
    ];
    let messages: Vec<_> = responses.into_iter().flat_map(|r| [query.clone(), r]).collect();
    let mut group = c.benchmark_group("dns");
    group.throughput(Throughput::Elements(messages.len() as u64));
    group.bench_function("decode", |b| {
        b.iter(|| {
            for bytes in &messages {
                black_box(DnsMessage::decode(black_box(bytes), Timestamp::default()));
            }
        });
    });
    group.bench_function("decode_by_hickory", |b| {
        b.iter(|| {
            for bytes in &messages {
                black_box(Message::from_vec(black_box(bytes))).expect("a message");
            }
        });
    });
}

fn message(flags: u16, records: [u16; 3], parts: &[&[u8]]) -> Vec<u8> {
    let [answers, authorities, additionals] = records;
    let words = [0x1234, flags, 1, answers, authorities, additionals];
    let head: Vec<u8> = words.into_iter().flat_map(u16::to_be_bytes).collect();
    [&head[..], QUESTION, &parts.concat()].concat()
}
