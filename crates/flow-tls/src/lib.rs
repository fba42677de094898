//! TLS handshakes and their fingerprints from TCP streams.
//!
//! What a TLS connection shows before it is encrypted: the ClientHello with the server's name and
//! everything the client offers, the ServerHello with what was chosen, the certificates (up to
//! TLS 1.2), and alerts. [`TlsParser`] is a [`SessionParser`](flow_session::SessionParser): it is
//! fed each side's bytes in order, in pieces of any size, and gives [`TlsMessage`]s.
//!
//! ```
//! use flow_session::SessionParser;
//! use flow_tls::{TlsMessage, TlsParser, TlsVersion};
//!
//! let record = b"\x16\x03\x01\x00\x49\x01\x00\x00\x45\x03\x03\
//!     0123456789abcdef0123456789abcdef\x00\x00\x04\x13\x01\x13\x02\x01\x00\
//!     \x00\x18\x00\x00\x00\x0d\x00\x0b\x00\x00\x08flow.org\x00\x2b\x00\x03\x02\x03\x04";
//! let mut parser = TlsParser::default();
//! assert!(parser.feed_initiator(&record[..50]).is_empty());
//! let messages = parser.feed_initiator(&record[50..]);
//!
//! let [TlsMessage::ClientHello(hello)] = messages.as_slice() else { panic!("{messages:?}") };
//! assert_eq!(hello.sni.as_deref(), Some("flow.org"));
//! assert_eq!(hello.cipher_suites, [0x1301, 0x1302]);
//! assert_eq!(hello.supported_versions, [TlsVersion::Tls1_3]);
//! # #[cfg(feature = "fingerprint")]
//! assert_eq!(hello.ja4(), "t13d020200_62ed6f6ca7ad_b9a491fefe05");
//! ```
//!
//! # Any port, any bytes
//!
//! The first bytes of a side tell whether it is TLS ([`detect`]); if not, the parser is done with
//! it, without an error and without having allocated anything. It is done with a side, too, with
//! its first encrypted record, and with an alert that ends it. Where TLS begins inside of another
//! protocol (STARTTLS, a proxy's tunnel), the parser is to be fed from there.
//!
//! Records and handshake messages are put together from any number of pieces, within the limits
//! of [`TlsConfig`], and what is found does not depend on how a stream is cut. A message that lies
//! whole in the bytes fed is decoded from there. Messages that are not decoded are skipped, not
//! stored. A gap inside one record that costs at most one message is jumped over; behind any other
//! nobody knows where a record begins, and the side is done.
//!
//! A hello is not lost for a bad extension: its type is listed, its content left out. Values are
//! as sent, in the order sent, GREASE (RFC 8701) included; only fingerprints leave that out.
//!
//! # Resumption
//!
//! [`TlsServerHello::resumption`] compares a server's answer with what the client offered. Tickets
//! for the next session are seen up to TLS 1.2 ([`TlsNewSessionTicket`]).
//!
//! # What breaks the rules
//!
//! These are told as [anomalies](flow_session::Context::anomaly), and the parser reads on:
//!
//! | words | meaning |
//! |---|---|
//! | `extension block length` | a hello has more or less behind its fields than its extensions say |
//! | `duplicate extension` | a hello has an extension twice (RFC 8446 section 4.2) |
//! | `malformed extension` | lengths inside of a known extension do not agree |
//! | `session id not echoed` | a TLS 1.3 server did not repeat the client's (section 4.1.3) |
//! | `selected psk not offered` | a server chose a key beyond the client's list (section 4.2.11) |
//! | `malformed new session ticket` | its lengths do not agree; it is not given |
//! | `empty record` | a record without content that must have some (section 5.1) |
//! | `record longer than 2^14` | in clear (section 5.1) |
//! | `unknown record version` | beyond TLS 1.3 |
//! | `interleaved handshake message` | other records between those of one message (section 5.1) |
//! | `unknown alert level` | neither warning nor fatal; the alert is not given |
//!
//! Nothing can be made of a record header of another kind, version or length, a hello or a
//! Certificate whose lengths lie, more than a limit allows, or more than 32 records in a row that
//! are no handshake: these poison the parser.
//!
//! # Fingerprints
//!
//! With the feature `fingerprint` (on by default) a hello has `ja3()`, `ja4()` or `ja3s()`, and a
//! certificate `sha256()`. With `certificates` (on by default) a certificate has `details()`.
//! Both cost nothing until called. With `TlsConfig::with_fingerprints` those of hellos come as
//! messages of their own, right behind each. Of FoxIO's JA4+ family only JA4 is here, the one with
//! a free licence.

#![warn(clippy::indexing_slicing)]

mod alert;
mod certificate;
mod client_hello;
mod config;
mod detect;
mod extension;
mod factory;
#[cfg(feature = "fingerprint")]
mod fingerprint;
mod handshake;
mod message;
mod named_group;
mod parser;
mod reader;
mod record;
mod resumption;
mod server_hello;
mod side;
mod ticket;
mod version;
mod violation;
#[cfg(feature = "certificates")]
mod x509;

pub use self::alert::TlsAlert;
pub use self::certificate::{TlsCertificate, TlsCertificateChain};
pub use self::client_hello::TlsClientHello;
pub use self::config::TlsConfig;
pub use self::detect::{DETECTION_LEN, Detection, detect};
pub use self::extension::{TlsEch, TlsKeyShare, TlsSessionTicket};
pub use self::factory::TlsFactory;
#[cfg(feature = "fingerprint")]
pub use self::fingerprint::TlsFingerprint;
pub use self::message::{TlsHandler, TlsMessage};
pub use self::named_group::{group_name, is_post_quantum};
pub use self::parser::TlsParser;
pub use self::resumption::TlsResumption;
pub use self::server_hello::TlsServerHello;
pub use self::ticket::TlsNewSessionTicket;
pub use self::version::{TlsVersion, is_grease};
#[cfg(feature = "certificates")]
pub use self::x509::{CertificateDetails, CertificateTime};
