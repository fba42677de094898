//! What a ClientHello offers, extension by extension.

mod common;

use common::*;
use flow_tls::{TlsEch, group_name, is_grease, is_post_quantum};

#[test]
fn key_shares() {
    let shares = |content: &[u8]| {
        let hello = Hello::default().extension(51, content).parsed();
        hello.key_shares.iter().map(|share| (share.group, share.len)).collect::<Vec<_>>()
    };
    let [grease, x25519] = [(0x3a3a_u16, 1), (29, 32)];
    let share = |(group, len): (u16, usize)| {
        [&group.to_be_bytes(), vec16(&vec![9; len]).as_slice()].concat()
    };
    let both = [share(grease), share(x25519)].concat();
    assert_eq!(shares(&vec16(&both)), [(0x3a3a, 1), (29, 32)]);
    // A client that asks for a HelloRetryRequest sends none.
    assert_eq!(shares(&[0, 0]), []);
    // What is cut short is left out.
    assert_eq!(shares(&vec16(&both[..both.len() - 1])), [(0x3a3a, 1)]);
    assert_eq!(shares(&[0]), []);
}

#[test]
fn pre_shared_keys() {
    let identity = |name: &[u8]| [vec16(name), vec![0, 0, 0, 1]].concat();
    let two = [identity(b"one"), identity(b"two")].concat();
    let count = |identities: &[u8]| {
        let content = [vec16(identities), vec16(&vec8(&[7; 32]))].concat();
        Hello::default().extension(41, &content).parsed().psk_identities
    };
    assert_eq!(count(&two), 2);
    assert_eq!(count(&two[..two.len() - 1]), 1);
    assert_eq!(count(&[]), 0);
    assert_eq!(Hello::default().parsed().psk_identities, 0);
    let hello = Hello::default().extension(45, &[2, 0, 1]).parsed();
    assert_eq!(hello.psk_key_exchange_modes, [0, 1].as_slice());
}

#[test]
fn encrypted_client_hello() {
    let ech = |content: &[u8]| Hello::default().extension(0xfe0d, content).parsed().ech;
    let suite: &[u8] = &[0, 0, 1, 0, 3, 0x42];
    let outer = [suite, &vec16(&[1; 32]), &vec16(&[2; 208])].concat();
    let expected =
        TlsEch::Outer { kdf: 1, aead: 3, config_id: 0x42, enc_len: 32, payload_len: 208 };
    assert_eq!(ech(&outer), Some(expected));
    let second = [suite, &vec16(&[]), &vec16(&[2; 208])].concat();
    let expected = TlsEch::Outer { kdf: 1, aead: 3, config_id: 0x42, enc_len: 0, payload_len: 208 };
    assert_eq!(ech(&second), Some(expected));
    assert_eq!(ech(&[1]), Some(TlsEch::Inner));
    assert_eq!(ech(&[1, 0]), None);
    assert_eq!(ech(&[2]), None);
    assert_eq!(ech(&outer[..outer.len() - 1]), None);
    assert!(Hello::default().extension(0xffce, &[1, 2]).parsed().esni);
    assert!(!Hello::default().parsed().esni);
}

#[test]
fn the_rest() {
    let hello = Hello::default()
        .extension(23, &[])
        .extension(27, &[4, 0, 2, 0, 1])
        .extension(28, &[0x40, 1])
        .extension(34, &[0, 4, 4, 3, 8, 7])
        .extension(42, &[])
        .extension(44, &[0, 3, 7, 8, 9])
        .parsed();
    assert!(hello.extended_master_secret && hello.early_data);
    assert_eq!(hello.compress_certificate, [2, 1]);
    assert_eq!(hello.record_size_limit, Some(0x4001));
    assert_eq!(hello.delegated_credentials, [0x0403, 0x0807]);
    assert_eq!(hello.cookie.as_deref(), Some([7, 8, 9].as_slice()));

    let bare = Hello::default().parsed();
    assert!(!bare.extended_master_secret && !bare.early_data);
    assert_eq!((bare.record_size_limit, bare.cookie, bare.ech), (None, None, None));
}

#[test]
fn grease() {
    let check = |hello: Hello, expected| assert_eq!(hello.parsed().has_grease(), expected);
    let plain = || {
        Hello::default()
            .groups(&[29, 23])
            .signature_algorithms(&[0x0403])
            .versions(&[0x0304])
            .alpn(&[b"h2"])
            .extension(45, &[1, 1])
            .extension(51, &[0, 5, 0, 29, 0, 1, 7])
    };
    check(plain(), false);
    check(plain().suites(&[0x1301, 0x8a8a]), true);
    check(plain().groups(&[0x8a8a]), true);
    check(plain().signature_algorithms(&[0x8a8a]), true);
    check(plain().versions(&[0x8a8a]), true);
    check(plain().alpn(&[b"h2", b"\x8a\x8a"]), true);
    check(plain().extension(0x8a8a, &[]), true);
    check(plain().extension(45, &[2, 1, 0x2a]), true);
    check(plain().extension(51, &[0, 5, 0x8a, 0x8a, 0, 1, 7]), true);
}

#[test]
fn groups() {
    let check = |group, name, post_quantum| {
        assert_eq!((group_name(group), is_post_quantum(group)), (name, post_quantum));
    };
    check(23, Some("secp256r1"), false);
    check(29, Some("x25519"), false);
    check(256, Some("ffdhe2048"), false);
    check(0x0200, Some("MLKEM512"), true);
    check(0x0202, Some("MLKEM1024"), true);
    check(0x11eb, Some("SecP256r1MLKEM768"), true);
    check(0x11ec, Some("X25519MLKEM768"), true);
    check(0x11ed, Some("SecP384r1MLKEM1024"), true);
    check(0x6399, Some("X25519Kyber768Draft00"), true);
    check(0xfe32, Some("P256Kyber768Draft00"), true);
    check(0, None, false);
    check(0x0a0a, None, false);
    let known: Vec<u16> = (0..=u16::MAX).filter(|&group| group_name(group).is_some()).collect();
    assert!(known.iter().all(|&group| !is_grease(group)));
    assert_eq!(known.iter().filter(|&&group| is_post_quantum(group)).count(), 13);
}
