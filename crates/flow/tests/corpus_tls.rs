//! What TLS connections in captures of the folder `shared/corpus` beside the checkout say in clear.
//! Skipped, loudly, where that folder is not.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::Path;

use flow::extract::FiveTuple;
use flow::pcap::PcapFlowSource;
use flow::tls::{
    TlsClientHello, TlsEch, TlsMessage, TlsParser, TlsResumption, TlsServerHello, TlsVersion,
    group_name, is_post_quantum,
};
use flow::{FlowSessionDriver, SessionEvent};

/// The messages in a capture; `None` if it is not there.
fn messages(name: &str) -> Option<Vec<TlsMessage>> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/pcaps").join(name);
    if !file.is_file() {
        println!("SKIPPED: no {}", file.display());
        return None;
    }
    let mut driver = FlowSessionDriver::<_, TlsParser>::new(FiveTuple::bidirectional());
    let mut found = Vec::new();
    for view in PcapFlowSource::open(file).unwrap().views() {
        for event in driver.track(view.unwrap().as_view()) {
            if let SessionEvent::Application { message, .. } = event {
                found.push(message);
            }
        }
    }
    Some(found)
}

fn client_hellos(messages: &[TlsMessage]) -> Vec<&TlsClientHello> {
    let hellos = messages.iter().filter_map(|message| match message {
        TlsMessage::ClientHello(hello) => Some(hello.as_ref()),
        _ => None,
    });
    hellos.collect()
}

fn server_hellos(messages: &[TlsMessage]) -> Vec<&TlsServerHello> {
    let hellos = messages.iter().filter_map(|message| match message {
        TlsMessage::ServerHello(hello) => Some(hello.as_ref()),
        _ => None,
    });
    hellos.collect()
}

fn shares(hello: &TlsClientHello) -> Vec<(u16, u16)> {
    hello.key_shares.iter().map(|share| (share.group, share.len)).collect()
}

#[test]
fn post_quantum_key_shares() {
    let captures =
        ["zeek__tls__chrome-1250-tls-x25519-kyber.pcap", "derived__tls__hello_records.pcap"];
    for messages in captures.into_iter().filter_map(messages) {
        let [client] = client_hellos(&messages)[..] else { panic!("{messages:?}") };
        let [grease, (0x6399, 1216), (29, 32)] = shares(client)[..] else {
            panic!("{:?}", client.key_shares)
        };
        assert_eq!((group_name(grease.0), grease.1), (None, 1));
        assert!(client.has_grease());
        let [server] = server_hellos(&messages)[..] else { panic!("{messages:?}") };
        assert!(server.key_share.is_some_and(is_post_quantum));
        assert_eq!(server.session_id_echoed, Some(true));
    }
}

#[test]
fn hello_retry_request() {
    let Some(messages) = messages("zeek__tls__hrr.pcap") else { return };
    let [first, second] = client_hellos(&messages)[..] else { panic!("{messages:?}") };
    let [retry, answer] = server_hellos(&messages)[..] else { panic!("{messages:?}") };
    let group = retry.key_share.unwrap();
    assert!(retry.hello_retry && !shares(first).iter().any(|share| share.0 == group));
    assert!(shares(second).iter().any(|share| share.0 == group));
    assert_eq!(answer.key_share, Some(group));
    assert_eq!(second.cookie, retry.cookie);
    assert_eq!((retry.resumption, answer.resumption), (None, Some(TlsResumption::Full)));
}

#[test]
fn encrypted_client_hello() {
    let Some(messages) = messages("zeek__tls__tls13-ech.pcap") else { return };
    let outer = client_hellos(&messages).into_iter().filter(|hello| {
        matches!(hello.ech, Some(TlsEch::Outer { enc_len: 32, payload_len: 100.., .. }))
    });
    assert_eq!(outer.count(), 2);
}

#[test]
fn ssl_2() {
    let Some(messages) = messages("zeek__tls__ssl-v2.pcap") else { return };
    let [
        TlsMessage::ClientHello(client),
        TlsMessage::ServerHello(server),
        TlsMessage::Certificate(chain),
    ] = &messages[..]
    else {
        panic!("{messages:?}")
    };
    assert_eq!(client.ssl2_cipher_specs.len(), 7);
    assert_eq!(server.version(), TlsVersion::Ssl2);
    assert_eq!(server.ssl2_cipher_specs.len(), 6);
    assert!(server.ssl2_cipher_specs.iter().all(|spec| client.ssl2_cipher_specs.contains(spec)));
    assert_eq!(server.resumption, Some(TlsResumption::Full));
    let details = chain.certificates[0].details().unwrap();
    assert!(details.subject.contains("CN=plesk"), "{}", details.subject);
}

/// One of three connections begins with a hello in the SSL 2.0 form; another offers a session that
/// its server no longer has.
#[test]
fn ssl_2_form() {
    let Some(messages) = messages("zeek__tls__ssl.v3.pcap") else { return };
    let versions: Vec<_> =
        client_hellos(&messages).iter().map(|hello| hello.record_version).collect();
    assert_eq!(versions, [TlsVersion::Ssl2, TlsVersion::Tls1_0, TlsVersion::Tls1_0]);
    for server in server_hellos(&messages) {
        assert_eq!(server.session_id_echoed, Some(false));
        assert_eq!(server.resumption, Some(TlsResumption::Full));
    }
}
