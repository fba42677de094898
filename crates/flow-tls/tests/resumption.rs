//! What a ServerHello says of earlier sessions, and tickets for later ones.

mod common;

use common::*;
use flow_tls::{TlsConfig, TlsMessage, TlsResumption, TlsSessionTicket};

const SESSION: &[u8] = &[7; 32];

#[track_caller]
fn check(hello: Option<&Hello>, answer: &[u8], expected: Option<TlsResumption>) {
    let mut feed = Feed::default();
    if let Some(hello) = hello {
        feed.feed(Initiator, &hello.record());
    }
    let answer = feed.feed(Responder, &record(22, answer)).server_hello();
    assert_eq!(answer.resumption, expected);
    assert_eq!(answer.session_id_echoed.is_some(), hello.is_some());
}

fn without_session(mut hello: Hello) -> Hello {
    hello.session_id.clear();
    hello
}

#[test]
fn by_session_id() {
    let hello = Hello::default();
    let same = server_hello_in(SESSION, 0x0303, [9; 32], &[]);
    let other = server_hello_in(&[8; 32], 0x0303, [9; 32], &[]);
    let shorter = server_hello_in(&SESSION[..31], 0x0303, [9; 32], &[]);
    check(Some(&hello), &same, Some(TlsResumption::SessionId));
    check(Some(&hello), &other, Some(TlsResumption::Full));
    check(Some(&hello), &shorter, Some(TlsResumption::Full));
    check(Some(&hello), &server_hello_12(), Some(TlsResumption::Full));
    check(None, &same, None);
    // An empty one names no session.
    check(Some(&without_session(hello)), &server_hello_12(), Some(TlsResumption::Full));
    // A longer one than TLS has is not compared.
    let long = Hello { session_id: vec![7; 33], ..Hello::default() };
    let mut feed = Feed::default();
    feed.feed(Initiator, &long.record()).feed(Responder, &record(22, &same));
    assert_eq!(feed.server_hello().resumption, None);
}

#[test]
fn by_ticket() {
    let hello = Hello::default().extension(35, b"a ticket");
    let same = server_hello_in(SESSION, 0x0303, [9; 32], &[]);
    check(Some(&hello), &same, Some(TlsResumption::Ticket));
    check(Some(&hello), &server_hello_12(), Some(TlsResumption::Full));
    let asking = Hello::default().extension(35, b"");
    check(Some(&asking), &same, Some(TlsResumption::SessionId));
    // Without a session ID the answer is the same whether the ticket is taken or not.
    check(Some(&without_session(hello)), &server_hello_12(), None);
}

#[test]
fn by_pre_shared_key() {
    let hello = Hello::default().versions(&[0x0304]);
    let answer = |extensions: &[(u16, Vec<u8>)]| {
        let version = [(43, vec![3, 4])];
        server_hello_in(SESSION, 0x0303, [9; 32], &[&version, extensions].concat())
    };
    check(Some(&hello), &answer(&[]), Some(TlsResumption::Full));
    check(Some(&hello), &answer(&[(41, vec![0, 0])]), Some(TlsResumption::Psk));
    check(None, &answer(&[(41, vec![0, 0])]), None);
}

/// The hello must be the other side's, and come first.
#[test]
fn only_of_the_hello_before() {
    let same = record(22, &server_hello_in(SESSION, 0x0303, [9; 32], &[]));
    let mut feed = Feed::default();
    feed.feed(Responder, &same).feed(Initiator, &Hello::default().record());
    assert_eq!(feed.server_hello().resumption, None);
    let mut feed = Feed::default();
    feed.feed(Responder, &Hello::default().record()).feed(Responder, &same);
    assert_eq!(feed.server_hello().resumption, None);
}

#[test]
fn session_tickets_of_hellos() {
    let ticket = |hello: Hello| hello.parsed().session_ticket;
    assert_eq!(ticket(Hello::default()), None);
    assert_eq!(ticket(Hello::default().extension(35, b"")), Some(TlsSessionTicket::Asked));
    let offered = Some(TlsSessionTicket::Offered(b"a ticket".as_slice().into()));
    assert_eq!(ticket(Hello::default().extension(35, b"a ticket")), offered);
}

#[test]
fn new_session_tickets() {
    let message = new_session_ticket(b"a ticket");
    let check = |config: TlsConfig, message: &[u8], story: &str| {
        let mut feed = Feed::new(config);
        feed.feed(Responder, &record(22, &server_hello_12()));
        feed.feed_in_pieces(Responder, &in_records(message, 6), 4);
        feed.feed(Responder, &record(22, &certificate(&[b"leaf"])));
        assert_eq!(feed.story(), story);
        feed
    };
    let config = TlsConfig::default();
    let feed = check(config.with_max_ticket(message.len()), &message, "STX");
    let TlsMessage::NewSessionTicket(ticket) = &feed.found[1].message else { panic!() };
    assert_eq!((ticket.lifetime_hint, &ticket.ticket[..]), (7200, b"a ticket".as_slice()));
    check(config.with_max_ticket(message.len() - 1), &message, "SX");
    check(config, &new_session_ticket(b""), "STX");
    check(config, &handshake(4, &[0, 0, 0, 1, 0, 9, 1]), "SX");
}
