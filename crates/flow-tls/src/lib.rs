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
//! it, without an error and without having allocated anything. It is done with a side, too, once
//! that is encrypted. [`TlsConfig::scan_for_hello`] makes it look for TLS that begins later, after
//! STARTTLS or in a proxy's tunnel.
//!
//! Records and handshake messages are put together from any number of pieces, within the limits
//! of [`TlsConfig`]. A message that lies whole in the bytes fed is decoded from there. Messages
//! that are not decoded are skipped, not stored.
//!
//! A hello is not lost for a bad extension: its type is listed, its content left out. Values are
//! as sent, in the order sent, GREASE (RFC 8701) included; only fingerprints leave that out.
//!
//! # Fingerprints
//!
//! With the feature `fingerprint` (on by default) a hello has `ja3()`, `ja4()` or `ja3s()`, and a
//! certificate `sha256()`. With `certificates` (on by default) a certificate has `details()`.
//! Both cost nothing until called. Of FoxIO's JA4+ family only JA4 is here, the one with a free
//! licence.

#![warn(clippy::indexing_slicing)]

mod alert;
mod certificate;
mod client_hello;
mod config;
mod detect;
mod factory;
#[cfg(feature = "fingerprint")]
mod fingerprint;
mod message;
mod parser;
mod reader;
mod record;
mod server_hello;
mod version;
#[cfg(feature = "certificates")]
mod x509;

pub use self::alert::TlsAlert;
pub use self::certificate::{TlsCertificate, TlsCertificateChain};
pub use self::client_hello::TlsClientHello;
pub use self::config::TlsConfig;
pub use self::detect::{DETECTION_LEN, Detection, detect};
pub use self::factory::TlsFactory;
pub use self::message::{TlsHandler, TlsMessage};
pub use self::parser::TlsParser;
pub use self::server_hello::TlsServerHello;
pub use self::version::{TlsVersion, is_grease};
#[cfg(feature = "certificates")]
pub use self::x509::{CertificateDetails, CertificateTime};
