//! What comes in front of TLS, and of anything in SOCKS.

#![allow(clippy::unwrap_used)]

mod common;

use common::{ALERT, CLIENT, HELLO, REQUEST, SERVER, SERVER_HELLO, Said, check, converse};
use flow_l7::L7Config;
use flow_session::SessionParser;

const HELLOS: [&str; 2] = ["client_hello", "server_hello"];

/// TLS is found behind this.
#[track_caller]
fn check_tls(prelude: &[Said<'_>]) {
    let said = [prelude, &[(CLIENT, HELLO), (SERVER, SERVER_HELLO)]].concat();
    check(&said, &HELLOS);
    // A server that does not like the hello.
    check(&[prelude, &[(CLIENT, HELLO), (SERVER, ALERT)]].concat(), &["client_hello", "alert"]);
    // Nothing is there if nobody begins with it.
    let driven = check(prelude, &[]);
    assert_eq!(driven.parser.protocol(), None);
}

#[test]
fn smtp() {
    check_tls(&[
        (SERVER, b"220 mail.example ESMTP\r\n"),
        (CLIENT, b"EHLO client\r\n"),
        (SERVER, b"250-mail.example\r\n250-8BITMIME\r\n250 STARTTLS\r\n"),
        (CLIENT, b"STARTTLS\r\n"),
        (SERVER, b"220 go ahead\r\n"),
    ]);
}

#[test]
fn imap_pop3_ftp_and_nntp() {
    check_tls(&[
        (SERVER, b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        (CLIENT, b"a1 STARTTLS\r\n"),
        (SERVER, b"a1 OK begin\r\n"),
    ]);
    check_tls(&[(SERVER, b"+OK\r\n"), (CLIENT, b"STLS\r\n"), (SERVER, b"+OK begin\r\n")]);
    check_tls(&[
        (SERVER, b"220-Welcome\r\n220 caf\xc3\xa9\r\n"),
        (CLIENT, b"AUTH TLS\r\n"),
        (SERVER, b"234 AUTH TLS\r\n"),
    ]);
    check_tls(&[(SERVER, b"200 hi\r\n"), (CLIENT, b"STARTTLS\r\n"), (SERVER, b"382 ok\r\n")]);
}

#[test]
fn xmpp() {
    check_tls(&[
        (CLIENT, b"<?xml version='1.0'?><stream:stream to='example.org'>"),
        (
            SERVER,
            b"<?xml version='1.0'?><stream:stream><stream:features><starttls/></stream:features>",
        ),
        (CLIENT, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        (SERVER, b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
    ]);
}

#[test]
fn ldap() {
    let request = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";
    check_tls(&[
        (CLIENT, b"\x30\x84\x00\x00\x00\x05\x02\x01\x01\x00\x00"),
        (SERVER, b"\x30\x81\x03\x02\x01\x01"),
        (CLIENT, request),
        (SERVER, b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
    ]);
}

#[test]
fn mysql() {
    let greeting = [&b"\x4a\0\0\0\x0a8.0.36\0"[..], &[0xff; 66]].concat();
    let request = [&b"\x20\0\0\x01\x85\xae\xff\0"[..], &[0; 28]].concat();
    check_tls(&[(SERVER, &greeting), (CLIENT, &request)]);
    // Without the flag for TLS what follows is a user's name.
    let request = [&b"\x20\0\0\x01\x85\xa6\xff\0"[..], &[0; 28]].concat();
    check(&[(SERVER, &greeting), (CLIENT, &request), (CLIENT, HELLO)], &[]);
}

#[test]
fn postgresql() {
    const SSL: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";
    const GSS: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x30";
    check_tls(&[(CLIENT, SSL), (SERVER, b"S")]);
    check_tls(&[(CLIENT, GSS), (SERVER, b"N"), (CLIENT, SSL), (SERVER, b"S")]);
    let plain = b"\x00\x00\x00\x1a\x00\x03\x00\x00user\x00me\x00database\x00x\x00\x00";
    let driven =
        check(&[(CLIENT, SSL), (SERVER, b"N"), (CLIENT, plain), (SERVER, b"R\0\0\0\x08")], &[]);
    assert!(!driven.parser.wants(CLIENT) && !driven.parser.wants(SERVER));
}

#[test]
fn rdp() {
    check_tls(&[
        (CLIENT, b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x0b\x00\x00\x00"),
        (SERVER, b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00\x02\x0f\x08\x00\x02\x00\x00\x00"),
    ]);
}

#[test]
fn socks_5() {
    let address = |kind: &[u8]| [kind, b"\x01\xbb"].concat();
    let [v4, v6] = [address(b"\x01\x0a\0\0\x01"), address(&[&b"\x04"[..], &[9; 16]].concat())];
    let name = address(b"\x03\x08flow.org");
    for to in [v4.clone(), v6, name] {
        let request = [b"\x05\x01\x00", &to[..]].concat();
        let reply = [b"\x05\x00\x00", &v4[..]].concat();
        check_tls(&[
            (CLIENT, b"\x05\x01\x00"),
            (SERVER, b"\x05\x00"),
            (CLIENT, &request),
            (SERVER, &reply),
        ]);
        let login: [Said<'_>; 6] = [
            (CLIENT, b"\x05\x02\x00\x02"),
            (SERVER, b"\x05\x02"),
            (CLIENT, b"\x01\x04user\x06secret"),
            (SERVER, b"\x01\x00"),
            (CLIENT, &request),
            (SERVER, &reply),
        ];
        check_tls(&login);
        // Anything may be inside, another proxy too.
        let inside: [Said<'_>; 2] = [(CLIENT, REQUEST), (SERVER, common::ANSWER)];
        check(&[&login[..], &login[..], &inside].concat(), &["GET", "204"]);
    }
    let request = b"\x05\x01\x00\x05\x01\x00\x03\x08flow.org\x01\xbb";
    let refused = b"\x05\x05\x00\x01\0\0\0\0\0\0";
    let said: [Said<'_>; 4] =
        [(CLIENT, request), (SERVER, b"\x05\x00"), (SERVER, refused), (SERVER, SERVER_HELLO)];
    assert!(!check(&said, &[]).parser.wants(SERVER));
}

#[test]
fn socks_4() {
    let granted = b"\x00\x5a\0\0\0\0\0\0";
    check_tls(&[(CLIENT, b"\x04\x01\x01\xbb\x0a\0\0\x01me\0"), (SERVER, granted)]);
    check_tls(&[(CLIENT, b"\x04\x01\x01\xbb\0\0\0\x01me\0flow.org\0"), (SERVER, granted)]);
    check(
        &[(CLIENT, b"\x04\x01\x01\xbb\x0a\0\0\x01\0"), (SERVER, granted), (CLIENT, REQUEST)],
        &["GET"],
    );
}

#[test]
fn starttls_in_a_tunnel() {
    let said: [Said<'_>; 6] = [
        (CLIENT, common::CONNECT),
        (SERVER, common::CONNECTED),
        (SERVER, b"220 mail ESMTP\r\n"),
        (CLIENT, b"STARTTLS\r\n"),
        (SERVER, b"220 go\r\n"),
        (CLIENT, HELLO),
    ];
    check(&said, &["CONNECT", "200", "client_hello"]);
}

#[test]
fn a_hello_inside_of_a_line_is_none() {
    let line = [b"DATA ", HELLO, b"\r\n"].concat();
    let driven = check(&[(SERVER, b"220 mail\r\n"), (CLIENT, &line)], &[]);
    assert!(!driven.parser.wants(CLIENT));
}

#[test]
fn a_line_is_judged_from_its_first_byte() {
    const GREETING: Said<'_> = (SERVER, b"220 mail\r\n");
    check(&[GREETING, (CLIENT, b"\x02(\r\n"), (CLIENT, HELLO)], &[]);
    check(&[GREETING, (CLIENT, b"\x02("), (SERVER, HELLO), (CLIENT, HELLO)], &["client_hello"]);
    check(&[GREETING, (CLIENT, b"a(\r\n"), (CLIENT, HELLO)], &["client_hello"]);
}

#[test]
fn lines_go_on_behind_a_gap() {
    let mut driven = converse(&[(SERVER, b"220 mail\r\n"), (CLIENT, b"EHLO ")]);
    driven.gap(CLIENT, 100);
    driven.say(CLIENT, b"cut\r\nSTARTTLS\r\n");
    driven.say(SERVER, b"220 go\r\n");
    driven.say(CLIENT, HELLO);
    driven.say(SERVER, SERVER_HELLO);
    assert_eq!(driven.found.len(), 2);
}

#[test]
fn a_dialogue_that_stays_in_clear_is_let_go() {
    let mut driven = converse(&[]);
    for turn in 0_usize.. {
        driven.say(SERVER, b"250 ok, and another line of text\r\n");
        driven.say(CLIENT, b"NOOP is what a client says to that\r\n");
        if !driven.parser.wants(CLIENT) && !driven.parser.wants(SERVER) {
            break;
        }
        assert!(turn < 2_000, "64 KiB are enough");
    }
    assert_eq!(driven.parser.buffered_bytes(), 0);
}

#[test]
fn a_prelude_as_long_as_its_limit_is_followed() {
    let limit = L7Config::<()>::default().max_prelude;
    for (len, expected) in [(limit, &["client_hello"][..]), (limit + 1, &[])] {
        let prelude = [&vec![b'x'; len - 1][..], b"\n"].concat();
        check(&[(CLIENT, &prelude), (CLIENT, HELLO)], expected);
        // The same in one piece.
        check(&[(CLIENT, &[&prelude, HELLO].concat())], expected);
    }
}
