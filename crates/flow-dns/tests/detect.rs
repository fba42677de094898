//! What is DNS and what is not.

mod common;

use common::{QUESTION, framed, message, query, record, response};
use flow_dns::{DnsDetection, DnsService, detect_dns_stream, is_dns_datagram};
use proptest::prelude::*;

#[track_caller]
fn check(payload: &[u8], any_port: bool, port_53: bool) {
    let is_dns = |service| is_dns_datagram(payload, service);
    assert_eq!((is_dns(DnsService::Unknown), is_dns(DnsService::Dns)), (any_port, port_53));
}

#[test]
fn dns() {
    check(&query(1), true, true);
    check(&response(1), true, true);
    check(&message(0, 0x8400, [0, 1, 0, 0], &[b"\x01a\0", &record(1, &[1; 4])[2..]]), true, true);
    check(&message(1, 0x2800, [1, 0, 1, 0], &[QUESTION, &record(1, b"")]), true, true);
    // Padding in a record of type and class 0, as the first DNSCrypt clients had it.
    let padding = b"\0\0\0\0\0\0\0\0\0\0\x04\0\x0c\x01\xc2";
    check(&message(1, 0x0100, [1, 0, 0, 1], &[QUESTION, padding]), true, true);
    check(&message(1, 0x0100, [1, 0, 0, 1], &[QUESTION, &padding[..13]]), false, true);
    check(&message(1, 0x0100, [0, 0, 0, 1], &[padding]), false, true);
    // A response to something unreadable is a header alone.
    check(&message(1, 0x8181, [0; 4], &[]), false, true);
    check(&message(1, 0x0100, [1, 0, 0, 0], &[b"\x03a"]), false, true);
    check(&message(1, 0x0100, [1, 0, 0, 0], &[b"\x01a\0\xFF\xFE\0\x01"]), false, true);
    check(&[&query(1)[..], b"trailing"].concat(), false, true);
}

#[test]
fn not_dns() {
    check(b"", false, false);
    check(&query(1)[..11], false, false);
    check(b"INVITE sip:alice@example.net SIP/2.0\r\n", false, false);
    check(b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n", false, false);
    check(&[0; 48], false, false);
    check(&[0xFF; 48], false, false);
    // QUIC version 1, long header with an 8-byte connection ID.
    check(
        b"\xC3\0\0\0\x01\x08\x01\x02\x03\x04\x05\x06\x07\x08\0\0\x44\x9E\x10\x20\x30",
        false,
        false,
    );
    // NTP client.
    let ntp = [b"\xE3\0\x06\xEC\0\0\0\0\0\0\0\0\x31\x4E\x31\x34", &[0; 32][..]].concat();
    check(&ntp, false, false);
    // NetBIOS name service.
    let netbios = b"\x20FHFAEBEECACACACACACACACACACACAAA\0\0\x20\0\x01";
    assert!(!is_dns_datagram(&message(1, 0x0110, [1, 0, 0, 0], &[netbios]), DnsService::Unknown));
    let damaged = b"\x20FHFAEBEECACA\xD7CACACACACACACACACAAA\0\0\x20\0\x01";
    assert!(!is_dns_datagram(&message(1, 0x0110, [1, 0, 0, 0], &[damaged]), DnsService::Unknown));
    let answer =
        b"\x20FHFAEBEECACACACACACACACACACACAAA\0\0\x20\0\x01\0\0\0\x3c\0\x06\0\0\x0a\0\0\x01";
    assert!(!is_dns_datagram(&message(1, 0x8500, [0, 1, 0, 0], &[answer]), DnsService::Unknown));
}

#[test]
fn streams() {
    #[track_caller]
    fn check(prefix: &[u8], expected: DnsDetection) {
        assert_eq!(detect_dns_stream(prefix, DnsService::Unknown), expected);
    }
    check(&framed(&query(1)), DnsDetection::Dns);
    check(&framed(&query(1))[..20], DnsDetection::NeedMore);
    check(&framed(&query(1))[..7], DnsDetection::NeedMore);
    check(b"220 mail", DnsDetection::NotDns);
    check(b"", DnsDetection::NeedMore);
    check(b"\0\x0B", DnsDetection::NotDns);
    check(b"GET / HTTP/1.1\r\n", DnsDetection::NotDns);
    check(b"SSH-2.0-OpenSSH_9.6\r\n", DnsDetection::NotDns);
    check(b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03abcdefgh", DnsDetection::NotDns);
}

#[test]
fn services() {
    assert_eq!(DnsService::from_ports(40_000, 53), DnsService::Dns);
    assert_eq!(DnsService::from_ports(5353, 5353), DnsService::Mdns);
    assert_eq!(DnsService::from_ports(5355, 1), DnsService::Llmnr);
    assert_eq!(DnsService::from_ports(1, 2), DnsService::Unknown);
}

proptest! {
    #[test]
    fn random_bytes_are_not_dns(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!is_dns_datagram(&bytes, DnsService::Unknown));
    }

    /// An answer stays, however much more comes.
    #[test]
    fn answers_are_final(mut bytes in prop::collection::vec(any::<u8>(), 0..60), at in 0..60_usize) {
        let mut stream = framed(&response(1));
        if let Some(byte) = bytes.pop() {
            let len = stream.len();
            stream[at % len] = byte;
        }
        let whole = detect_dns_stream(&stream, DnsService::Unknown);
        for end in 0..stream.len() {
            let early = detect_dns_stream(&stream[..end], DnsService::Unknown);
            prop_assert!(early == DnsDetection::NeedMore || early == whole);
        }
    }
}
