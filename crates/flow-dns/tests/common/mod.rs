//! Messages made of bytes.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "every test file takes its part")]

use flow_core::{FlowSide, Timestamp};
use flow_dns::DnsMessage;
use flow_session::{Context, Mark, Parsed};

/// A question for A records of `www.example.net`.
pub const QUESTION: &[u8] = b"\x03www\x07example\x03net\0\0\x01\0\x01";

pub fn message(id: u16, flags: u16, counts: [u16; 4], rest: &[&[u8]]) -> Vec<u8> {
    let words = [id, flags].into_iter().chain(counts);
    words.flat_map(u16::to_be_bytes).chain(rest.concat()).collect()
}

/// A record of the name at offset 12.
pub fn record(rtype: u16, rdata: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rdata.len()).expect("few");
    [b"\xC0\x0C", &rtype.to_be_bytes()[..], b"\0\x01\0\0\x0E\x10", &length.to_be_bytes(), rdata]
        .concat()
}

pub fn query(id: u16) -> Vec<u8> {
    message(id, 0x0100, [1, 0, 0, 0], &[QUESTION])
}

pub fn response(id: u16) -> Vec<u8> {
    message(id, 0x8180, [1, 1, 0, 0], &[QUESTION, &record(1, &[192, 0, 2, 1])])
}

pub fn decode(bytes: &[u8]) -> DnsMessage {
    DnsMessage::decode(bytes, Timestamp::default()).expect("a whole header")
}

/// Behind its length, as in a TCP stream.
pub fn framed(message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("few");
    [&length.to_be_bytes()[..], message].concat()
}

/// Calls `call` with a context for `len` bytes at `offset`, in packet `packet` at that second.
pub fn with_context(
    side: FlowSide,
    (packet, offset): (u32, u64),
    len: usize,
    call: impl FnOnce(&mut Context<'_, DnsMessage>),
) -> Vec<Parsed<DnsMessage>> {
    let (mut out, mut pending) = (Vec::new(), None);
    let at = Mark { offset, packet: packet.into() };
    let now = Timestamp::new(packet, 0);
    call(&mut Context::new(now, packet.into(), side, at, len, &mut pending, &mut out));
    out
}
