//! The hellos of the traces in RFC 8448 section 3, "Simple 1-RTT Handshake".

mod common;

use common::*;
use flow_tls::TlsVersion;

const CLIENT: &str = "16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef\
    6283024dece7000006130113031302010000910000000b0009000006736572766572ff01000100000a00140012\
    001d0017001800190100010101020103010400230000003300260024001d002099381de560e4bd43d23d8e435a\
    7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04030503060302030804080508\
    0604010501060102010402050206020202002d00020101001c00024001";

const SERVER: &str = "160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155\
    772ed3e2692800130100002e00330024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd\
    69b1b04e751f0f002b00020304";

#[test]
fn client_hello() {
    let mut feed = Feed::default();
    let hello = feed.feed(Initiator, &unhex(CLIENT)).client_hello();
    assert_eq!(hello.record_version, TlsVersion::Tls1_0);
    assert_eq!(hello.legacy_version, TlsVersion::Tls1_2);
    assert_eq!(hello.random[..4], [0xcb, 0x34, 0xec, 0xb1]);
    assert!(hello.session_id.is_empty());
    assert_eq!(hello.cipher_suites, [0x1301, 0x1303, 0x1302]);
    assert_eq!(hello.compression, [0].as_slice());
    assert_eq!(hello.extension_types, [0, 0xff01, 10, 35, 51, 43, 13, 45, 28]);
    assert_eq!(hello.sni.as_deref(), Some("server"));
    assert!(hello.alpn.is_empty());
    assert_eq!(hello.supported_versions, [TlsVersion::Tls1_3]);
    assert_eq!(hello.supported_groups, [29, 23, 24, 25, 256, 257, 258, 259, 260]);
    assert!(hello.point_formats.is_empty());
    assert_eq!(hello.signature_algorithms.len(), 15);
    assert_eq!(hello.signature_algorithms[..2], [0x0403, 0x0503]);
}

#[test]
fn server_hello() {
    let mut feed = Feed::default();
    let hello = feed.feed(Responder, &unhex(SERVER)).server_hello();
    assert_eq!(hello.legacy_version, TlsVersion::Tls1_2);
    assert_eq!(hello.supported_version, Some(TlsVersion::Tls1_3));
    assert_eq!(hello.version(), TlsVersion::Tls1_3);
    assert_eq!((hello.cipher_suite, hello.compression), (0x1301, 0));
    assert_eq!(hello.extension_types, [51, 43]);
    assert_eq!((&hello.alpn, hello.hello_retry), (&None, false));
    assert_eq!(feed.wants(), [true, false]);
}
