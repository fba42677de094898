//! Fingerprints against values that their authors published.
#![cfg(feature = "fingerprint")]

mod common;

use common::*;
use flow_tls::{TlsConfig, TlsFingerprint, TlsMessage};

/// The example of the JA4 specification, with GREASE as its browser sends it.
fn browser() -> Hello {
    let extensions = [0x1b, 0x33, 0x4469, 0x17, 0x2d, 0x05, 0x23, 0x12, 0xff01, 0x15];
    let hello = Hello::default()
        .suites(&[
            0xaaaa, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
            0xc014, 0x9c, 0x9d, 0x2f, 0x35,
        ])
        .extension(0x5a5a, &[])
        .sni("example.com")
        .groups(&[0x1a1a, 0x1d, 0x17, 0x18])
        .point_formats(&[0])
        .signature_algorithms(&[
            0x2a2a, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
        ])
        .alpn(&[b"h2", b"http/1.1"])
        .versions(&[0xfafa, 0x0304, 0x0303]);
    extensions.into_iter().fold(hello, |hello, kind| hello.extension(kind, &[]))
}

#[track_caller]
fn check_ja4(hello: &Hello, expected: &str) {
    assert_eq!(hello.parsed().ja4(), expected);
}

#[test]
fn ja4() {
    check_ja4(&browser(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    let mut unsigned = browser();
    unsigned.extensions.iter_mut().filter(|(kind, _)| *kind == 13).for_each(|(_, content)| {
        content.clear();
    });
    check_ja4(&unsigned, "t13d1516h2_8daaf6152771_6d807ffa2a79");
}

#[test]
fn ja4_of_nothing() {
    let bare = Hello::default().suites(&[0x0a0a]);
    check_ja4(&bare, "t12i000000_000000000000_000000000000");
    let named = bare.clone().sni("example.com").alpn(&[b"h2"]);
    check_ja4(&named, "t12d0002h2_000000000000_000000000000");
    let many = bare.suites(&[0x35; 120]);
    assert!(many.parsed().ja4().starts_with("t12i990000_"));
}

#[test]
fn ja4_versions_and_protocols() {
    let start = |hello: Hello, expected: &str| {
        let ja4 = hello.suites(&[]).parsed().ja4();
        assert_eq!(ja4.split('_').next(), Some(expected));
    };
    for (raw, text) in [
        (0x0300, "s3"),
        (0x0301, "10"),
        (0x0302, "11"),
        (0x0303, "12"),
        (0x0304, "13"),
        (0x03aa, "00"),
    ] {
        start(Hello::default().version(raw), &format!("t{text}i000000"));
    }
    start(Hello::default().versions(&[0x0302, 0x0303]), "t12i000100");
    // The highest counts, known or not; GREASE does not, and without another it is as if the
    // extension were not there.
    start(Hello::default().versions(&[0x0304, 0x7f1c]), "t00i000100");
    start(Hello::default().versions(&[0x0002]), "ts2i000100");
    start(Hello::default().versions(&[0xfefd, 0x0304]), "td2i000100");
    start(Hello::default().versions(&[0xfafa]), "t12i000100");
    start(Hello::default().version(0x0301).versions(&[]), "t10i000100");
    for (name, text) in [
        (b"http/1.1".as_slice(), "h1"),
        (b"h", "hh"),
        (b"\xba\xad", "bd"),
        (b"\xab", "ab"),
        (b"a\xcd", "6d"),
        (b"\x30\x31\xab", "3b"),
        (b"", "00"),
        // The examples of the specification.
        (b"\x20", "20"),
        (b"\xab\xcd", "ad"),
        (b"\x20\x61", "21"),
        (b"\x30\xab", "3b"),
        (b"\x61\x20", "60"),
        (b"\x30\x31\xab\xcd", "3d"),
        (b"\x30\xab\xcd\x31", "01"),
    ] {
        start(Hello::default().alpn(&[name]), &format!("t12i0001{text}"));
    }
    start(Hello::default().alpn(&[]), "t12i000100");
    start(Hello::default().alpn(&[b"", b"h2"]), "t12i000100");
    // GREASE is ignored anywhere, and this name of two bytes is none of it.
    start(Hello::default().alpn(&[b"\x8a\x8a", b"h2"]), "t12i0001h2");
    start(Hello::default().alpn(&[b"\x8a\x8a"]), "t12i000100");
    start(Hello::default().alpn(&[b"\x8a\x9a", b"h2"]), "t12i00018a");
}

/// Counts stop at 99, but the hashes are of all; sorted, and without GREASE.
#[test]
fn ja4_of_much() {
    let suites: Vec<u16> = (0..120).rev().collect();
    let hello = (200..320)
        .rev()
        .fold(Hello::default().suites(&suites), |hello, kind| hello.extension(kind, &[]));
    let sorted: Vec<u16> = (0..120).collect();
    let same =
        (200..320).fold(Hello::default().suites(&sorted), |hello, kind| hello.extension(kind, &[]));
    let ja4 = hello.parsed().ja4();
    assert!(ja4.starts_with("t12i999900_"));
    assert_eq!(ja4, same.extension(0x1a1a, &[]).parsed().ja4());
    assert_ne!(ja4, hello.clone().extension(320, &[]).parsed().ja4());
    assert_ne!(ja4, hello.suites(&suites[1..]).parsed().ja4());
}

/// A hello in the SSL 2.0 form has the suites of later versions and no extensions.
#[test]
fn ja4_of_ssl_2() {
    let check = |version, expected: &str| {
        let mut feed = Feed::default();
        let hello = feed.feed(Initiator, &ssl2_client_hello(version)).client_hello();
        assert_eq!(hello.ja4(), expected);
        assert_eq!(hello.ja3_string(), format!("{version},47-53,,,"));
    };
    let plain = Hello::default().suites(&[0x2f, 0x35]).parsed().ja4();
    let hash = plain.split('_').nth(1).unwrap();
    check(0x0301, &format!("t10i020000_{hash}_000000000000"));
    check(2, &format!("ts2i020000_{hash}_000000000000"));
}

#[test]
fn as_messages() {
    let (hello, answer) = (browser().record(), record(22, &server_hello_12()));
    let ssl2 = [ssl2_client_hello(2), ssl2_server_hello(false, b"certificate")];
    let check = |packets: [&[u8]; 2], yes, story: &str| {
        let mut feed = Feed::new(TlsConfig::default().with_fingerprints(yes));
        feed.feed(Initiator, packets[0]).feed_in_pieces(Responder, packets[1], 7);
        assert_eq!(feed.story(), story);
        feed
    };
    check([&hello, &answer], false, "CS");
    check([&ssl2[0], &ssl2[1]], true, "CFSFX");
    let feed = check([&hello, &answer], true, "CFSF");
    let [client, server] = [&feed.found[1], &feed.found[3]];
    let (ja3, ja4) = (feed.client_hello().ja3(), feed.client_hello().ja4());
    let expected = TlsMessage::Fingerprint(Box::new(TlsFingerprint::Client { ja3, ja4 }));
    assert_eq!((&client.message, &client.range), (&expected, &feed.found[0].range));
    let ja3s = feed.server_hello().ja3s();
    let expected = TlsMessage::Fingerprint(Box::new(TlsFingerprint::Server { ja3s }));
    assert_eq!((&server.message, &server.range), (&expected, &feed.found[2].range));
    assert_eq!((client.side, server.side), (Initiator, Responder));
}

#[test]
fn ja3() {
    let hello = Hello::default()
        .version(769)
        .suites(&[0x3a3a, 47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4])
        .sni("example.com")
        .groups(&[0x4a4a, 23, 24, 25])
        .point_formats(&[0])
        .extension(0x9a9a, &[])
        .parsed();
    let expected = "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0";
    assert_eq!(hello.ja3_string(), expected);
    assert_eq!(hello.ja3(), "ada70206e40642a3e4461f35503241d5");

    let bare = Hello::default().version(769).suites(&[4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99]);
    assert_eq!(bare.parsed().ja3_string(), "769,4-5-10-9-100-98-3-6-19-18-99,,,");
    assert_eq!(bare.parsed().ja3(), "de350869b8c85de67a350c8d186f11e6");
}

/// What every TLS 1.3 server gives that chooses `TLS_AES_128_GCM_SHA256` and sends the extensions
/// in this order.
#[test]
fn ja3s() {
    let extensions = [(51, vec![]), (43, vec![3, 4])];
    let mut message = server_hello(771, [9; 32], &extensions);
    let suite = 4 + 2 + 32 + 1;
    message[suite..suite + 2].copy_from_slice(&0x1301_u16.to_be_bytes());
    let mut feed = Feed::default();
    let hello = feed.feed(Responder, &record(22, &message)).server_hello();
    assert_eq!(hello.ja3s_string(), "771,4865,51-43");
    assert_eq!(hello.ja3s(), "eb1d94daa7e0344597e756a1fb6e7054");
}
