//! The hellos of the traces in RFC 8448: section 3, "Simple 1-RTT Handshake", section 4, "Resumed
//! 0-RTT Handshake", and section 5, "HelloRetryRequest".

mod common;

use common::*;
use flow_session::SessionParser;
use flow_tls::{TlsKeyShare, TlsResumption, TlsSessionTicket, TlsVersion};

const CLIENT: &str = "16030100c4010000c00303cb34ecb1e78163ba1c38c6dacb196a6dffa21a8d9912ec18a2ef\
    6283024dece7000006130113031302010000910000000b0009000006736572766572ff01000100000a00140012\
    001d0017001800190100010101020103010400230000003300260024001d002099381de560e4bd43d23d8e435a\
    7dbafeb3c06e51c13cae4d5413691e529aaf2c002b0003020304000d0020001e04030503060302030804080508\
    0604010501060102010402050206020202002d00020101001c00024001";

const SERVER: &str = "160303005a020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155\
    772ed3e2692800130100002e00330024001d0020c9828876112095fe66762bdbf7c672e156d6cc253b833df1dd\
    69b1b04e751f0f002b00020304";

const RETRIED: &str = "010000b00303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8c\
    ee9258a346677b6f000006130113031302010000810000000b0009000006736572766572ff01000100000a000800\
    06001d00170018003300260024001d0020e8e8e3f3b93a25ed97a14a7dcacb8a272c6288e585c6484d05262fcad0\
    62ad1f002b0003020304000d0020001e040305030603020308040805080604010501060102010402050206020202\
    002d00020101001c00024001";

const RETRY: &str = "020000ac0303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e07\
    9e09e2c8a8339c001301000084003300020017002c0074007271dcd04bb88bc3189119398a00000000eefafc76c1\
    46b823b096f8aacad365dd0030953f4edf625636e5f21bb2e23fcc654b1b5b40318d10d137abcbb87574e36e8a1f\
    025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841dd9e4c0342267e8ca0caf571fb2b7cff0f934\
    b0002b00020304";

const AGAIN: &str = "010001fc0303b0b1c5a5aa37c5919f2ed1d5c6fff7fcb7849716945a2b8cee\
    9258a346677b6f000006130113031302010001cd0000000b0009000006736572766572ff01000100000a00080006\
    001d001700180033004700450017004104a6da7392ec591e17abfd535964b99894d13befb221b3def2ebe3830eac\
    8f0151812677c4d6d2237e85cf01d6910cfb83954e76ba7352830534159897e8065780002b0003020304000d0020\
    001e040305030603020308040805080604010501060102010402050206020202002c0074007271dcd04bb88bc318\
    9119398a00000000eefafc76c146b823b096f8aacad365dd0030953f4edf625636e5f21bb2e23fcc654b1b5b4031\
    8d10d137abcbb87574e36e8a1f025f7dfa5d6e50781b5eda4aa15b0c8be778257d16aa3030e9e7841dd9e4c03422\
    67e8ca0caf571fb2b7cff0f934b0002d00020101001c00024001001500af00000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    000000000000000000000000000000000000000000";

const ANSWER: &str = "020000770303bb341d847fd789c47c387172dc0c9bf147fccacb5043d86ca\
    4c598d3ff571b9800130100004f003300450017004104583e054b7a66672ae020ad9d2686fcc85b5ad41a134a0f0\
    3ee72b893052bd85b4c8de6776f5b04ac07d83540eab3e3d9c547bc6528c4317d294686093a6cad7d002b0002030\
    4";

const RESUMING: &str = "010001fc03031bc3ceb6bbe39cff938355b5a50adb6db21b7a6af649d7b\
    4bc419d7876487d95000006130113031302010001cd0000000b0009000006736572766572ff01000100000a00140\
    012001d00170018001901000101010201030104003300260024001d0020e4ffb68ac05f8d96c99da26698346c6be\
    16482badddafe051a66b4f18d668f0b002a0000002b0003020304000d0020001e040305030603020308040805080\
    604010501060102010402050206020202002d00020101001c0002400100150057000000000000000000000000000\
    00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
    0000000000000000000000000000000000000000000000000000000002900dd00b800b22c035d829359ee5ff7af4\
    ec900000000262a6494dc486d2c8a34cb33fa90bf1b0070ad3c498883c9367c09a2be785abc55cd226097a3a9821\
    17283f82a03a143efd3ff5dd36d64e861be7fd61d2827db279cce145077d454a3664d4e6da4d29ee03725a6a4daf\
    cd0fc67d2aea70529513e3da2677fa5906c5b3f7d8f92f228bda40dda721470f9fbf297b5aea617646fac5c03272\
    e970727c621a79141ef5f7de6505e5bfbc388e93343694093934ae4d357fad6aacb0021203add4fb2d8fdf822a0c\
    a3cf7678ef5e88dae990141c5924d57bb6fa31b9e5f9d";

#[test]
fn offer() {
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
    assert_eq!(shares(&hello.key_shares), [(29, 32)]);
    assert_eq!(hello.psk_key_exchange_modes, [1].as_slice());
    assert_eq!(hello.session_ticket, Some(TlsSessionTicket::Asked));
    assert_eq!(hello.record_size_limit, Some(0x4001));
    assert_eq!((hello.psk_identities, hello.early_data), (0, false));
    assert_eq!((&hello.ech, &hello.cookie, hello.has_grease()), (&None, &None, false));
}

#[test]
fn answer() {
    let mut feed = Feed::default();
    let hello = feed.feed(Responder, &unhex(SERVER)).server_hello();
    assert_eq!(hello.legacy_version, TlsVersion::Tls1_2);
    assert_eq!(hello.supported_version, Some(TlsVersion::Tls1_3));
    assert_eq!(hello.version(), TlsVersion::Tls1_3);
    assert_eq!((hello.cipher_suite, hello.compression), (0x1301, 0));
    assert_eq!(hello.extension_types, [51, 43]);
    assert_eq!((&hello.alpn, hello.hello_retry), (&None, false));
    assert_eq!((hello.key_share, hello.selected_psk), (Some(29), None));
    assert_eq!((hello.session_id_echoed, hello.resumption), (None, None));
    assert_eq!(feed.wants(), [true, false]);

    let mut feed = Feed::default();
    feed.feed(Initiator, &unhex(CLIENT));
    let hello = feed.feed(Responder, &unhex(SERVER)).server_hello();
    assert_eq!(hello.session_id_echoed, Some(true));
    assert_eq!(hello.resumption, Some(TlsResumption::Full));
}

#[test]
fn resumed_0_rtt() {
    let mut feed = Feed::default();
    let hello = feed.feed(Initiator, &record(22, &unhex(RESUMING))).client_hello();
    assert!(hello.early_data);
    assert_eq!((hello.psk_identities, &hello.psk_key_exchange_modes[..]), (1, [1].as_slice()));
    assert_eq!(hello.extension_types.last(), Some(&41));
    assert_eq!(shares(&hello.key_shares), [(29, 32)]);
    // That of the RFC's server, as far as it matters.
    let answer = server_hello(0x0303, [9; 32], &[(41, vec![0, 0]), (43, vec![3, 4])]);
    let hello = feed
        .feed(Initiator, &encrypted(23, 23))
        .feed(Responder, &record(22, &answer))
        .server_hello();
    assert_eq!(hello.selected_psk, Some(0));
    assert_eq!(hello.resumption, Some(TlsResumption::Psk));
    feed.feed(Initiator, &encrypted(23, 50));
    assert_eq!((feed.wants(), feed.parser.buffered_bytes()), ([false; 2], 0));
}

#[test]
fn retried() {
    let mut feed = Feed::default();
    let hello = feed.feed(Initiator, &record(22, &unhex(RETRIED))).client_hello();
    assert_eq!(shares(&hello.key_shares), [(29, 32)]);
    assert_eq!(hello.cookie, None);

    let hello = feed.feed(Responder, &record(22, &unhex(RETRY))).server_hello().clone();
    assert!(hello.hello_retry);
    assert_eq!((hello.key_share, hello.resumption), (Some(23), None));
    let cookie = hello.cookie.unwrap();
    assert_eq!((cookie.len(), &cookie[..4]), (0x72, [0x71, 0xdc, 0xd0, 0x4b].as_slice()));

    feed.found.clear();
    let hello = feed.feed(Initiator, &record(22, &unhex(AGAIN))).client_hello();
    assert_eq!(hello.cookie.as_ref(), Some(&cookie));
    assert_eq!(shares(&hello.key_shares), [(23, 65)]);
    let hello = feed.feed(Responder, &record(22, &unhex(ANSWER))).server_hello();
    assert_eq!((hello.hello_retry, hello.key_share, &hello.cookie), (false, Some(23), &None));
    assert_eq!(hello.resumption, Some(TlsResumption::Full));
}

fn shares(shares: &[TlsKeyShare]) -> Vec<(u16, u16)> {
    shares.iter().map(|share| (share.group, share.len)).collect()
}
