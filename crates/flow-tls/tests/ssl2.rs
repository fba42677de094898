//! Hellos in the SSL 2.0 form.

mod common;

use common::*;
use flow_session::SessionParser;
use flow_tls::{TlsMessage, TlsResumption, TlsVersion};

#[test]
fn client() {
    let mut feed = Feed::default();
    let hello = feed.feed_in_pieces(Initiator, &ssl2_client_hello(0x0301), 5).client_hello();
    assert_eq!(hello.record_version, TlsVersion::Ssl2);
    assert_eq!(hello.legacy_version, TlsVersion::Tls1_0);
    assert_eq!(hello.cipher_suites, [0x2f, 0x35]);
    assert_eq!(hello.ssl2_cipher_specs, [[7, 0, 0xc0], [0, 0, 0x2f], [0, 0, 0x35]]);
    assert_eq!(hello.random[..16], [0; 16]);
    assert_eq!(hello.random[16..], [8; 16]);
    assert_eq!((feed.found[0].range.clone(), feed.found[0].first_packet), (0..36, 1));
    assert_eq!(feed.wants(), [true, true]);
}

#[test]
fn server() {
    let record = ssl2_server_hello(false, b"certificate");
    for piece in [usize::MAX, 1] {
        let mut feed = Feed::default();
        feed.feed_in_pieces(Responder, &record, piece);
        assert_eq!(feed.story(), "SX");
        let hello = feed.server_hello();
        assert_eq!(hello.record_version, TlsVersion::Ssl2);
        assert_eq!(hello.version(), TlsVersion::Ssl2);
        assert_eq!(hello.ssl2_cipher_specs, [[7, 0, 0xc0], [1, 0, 0x80]]);
        assert_eq!(hello.random[..16], [0; 16]);
        assert_eq!(hello.random[16..], *b"a connection id.");
        assert_eq!(hello.resumption, Some(TlsResumption::Full));
        let TlsMessage::Certificate(chain) = &feed.found[1].message else { panic!() };
        assert_eq!(chain.certificates.len(), 1);
        assert_eq!(chain.certificates[0].der, b"certificate".as_slice());
        for parsed in &feed.found {
            assert_eq!(parsed.range, 0..record.len() as u64);
        }
        assert_eq!((feed.wants(), feed.parser.buffered_bytes()), ([true, false], 0));
    }
}

#[test]
fn session_id_hit() {
    let mut feed = Feed::default();
    let hello = feed.feed(Responder, &ssl2_server_hello(true, b"")).server_hello();
    assert_eq!(hello.resumption, Some(TlsResumption::SessionId));
    assert!(hello.ssl2_cipher_specs.is_empty());
    assert_eq!(feed.story(), "S");
}

/// Whatever the client offered, the connection goes on as the server says.
#[test]
fn the_server_chooses() {
    let (both, server) = (ssl2_client_hello(0x0301), ssl2_server_hello(false, b"certificate"));
    for packets in
        [[(Initiator, &both), (Responder, &server)], [(Responder, &server), (Initiator, &both)]]
    {
        let mut feed = Feed::default();
        for (side, bytes) in packets {
            feed.feed(side, bytes);
        }
        feed.feed(Initiator, &ssl2_record(&[2; 90]));
        assert_eq!((feed.found.len(), feed.wants()), (3, [false; 2]));
        assert!(!feed.parser.is_poisoned());
    }
}
