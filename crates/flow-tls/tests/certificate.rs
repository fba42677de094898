//! What is decoded of a certificate. The one here was made for this test with
//! `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 40000
//! -set_serial 0xf1020304 -subj "/C=FI/O=Example Oy/CN=www.example.org"
//! -addext "subjectAltName=DNS:www.example.org,DNS:*.example.org,IP:192.0.2.1"`.
#![cfg(feature = "certificates")]

mod common;

use common::*;
use flow_tls::{TlsCertificate, TlsMessage};

const DER: &str = "308201f330820199a003020102020500f1020304300a06082a8648ce3d040302303c310b30090603550406130246\
    4931133011060355040a0c0a4578616d706c65204f793118301606035504030c0f7777772e6578616d706c652e6f\
    72673020170d3236313132303131353530335a180f32313336303532373131353530335a303c310b300906035504\
    061302464931133011060355040a0c0a4578616d706c65204f793118301606035504030c0f7777772e6578616d70\
    6c652e6f72673059301306072a8648ce3d020106082a8648ce3d03010703420004f88520ebe921e4a71ec5fca79e\
    7c396a29fb877f80eaa54822063e28fc96023faeb73f18590a91edea3b9b80f709d19567323cc7aae58c5720b0d2\
    2486c0e45ba38185308182301d0603551d0e04160414195139ad374eef02554589f4af4ba51f5920c5a7301f0603\
    551d23041830168014195139ad374eef02554589f4af4ba51f5920c5a7300f0603551d130101ff040530030101ff\
    302f0603551d1104283026820f7777772e6578616d706c652e6f7267820d2a2e6578616d706c652e6f72678704c0\
    000201300a06082a8648ce3d040302034800304502210090bdab9dddbd0d6676519d46d977005676a3fa31feb38e\
    160703f4a98637f8dd0220678829b14210080eedc2827acf038a6ef17bdc82a00bda7682739f49b7dfa4da";

fn certificates(ders: &[&[u8]]) -> Vec<TlsCertificate> {
    let mut feed = Feed::default();
    feed.feed(Responder, &record(22, &certificate(ders)));
    match feed.found.pop().map(|parsed| parsed.message) {
        Some(TlsMessage::Certificate(chain)) => chain.certificates,
        other => panic!("{other:?}"),
    }
}

#[test]
fn details() {
    let der = unhex(DER);
    let found = certificates(&[&der]);
    assert_eq!(found[0].der, der);
    let details = found[0].details().unwrap();
    assert_eq!(details.subject, "C=FI, O=Example Oy, CN=www.example.org");
    assert_eq!(details.issuer, details.subject);
    assert_eq!(details.serial, "f1020304");
    assert_eq!(details.not_before.to_string(), "2026-11-20T11:55:03Z");
    assert_eq!(details.not_after.to_string(), "2136-05-27T11:55:03Z");
    let validity = details.not_after.unix_seconds() - details.not_before.unix_seconds();
    assert_eq!(validity, 40_000 * 86_400);
    assert_eq!(details.dns_names, ["www.example.org", "*.example.org"]);
}

#[cfg(feature = "fingerprint")]
#[test]
fn sha256() {
    let expected = "232796dffcfa1ea2cb8a0dd8e0b42608c526ad2274bc1dc73d11cdb5a06aaa79";
    let der = unhex(DER);
    assert_eq!(certificates(&[&der])[0].sha256().as_slice(), unhex(expected));
}

#[test]
fn malformed_ones_are_kept_as_they_are() {
    let der = unhex(DER);
    let found = certificates(&[b"no DER", &der[..200], b""]);
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|certificate| certificate.details().is_none()));
    for at in 0..der.len() {
        let mut damaged = der.clone();
        damaged[at] ^= 0xff;
        let _ = certificates(&[&damaged])[0].details();
    }
}
