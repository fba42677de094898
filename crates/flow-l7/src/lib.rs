//! HTTP, TLS and DNS on any port, inside of proxies and behind STARTTLS, and protocols of your own.
//!
//! [`L7Parser`] reads a TCP connection, [`L7DatagramParser`] a UDP flow. Both find out by
//! themselves what is spoken, hand the bytes to the parser of that protocol, and give its messages
//! as [`L7Message`]s.
//!
//! ```
//! use flow_l7::{L7Message, L7Parser, L7Protocol};
//! use flow_session::SessionParser;
//!
//! let mut parser = L7Parser::default();
//! parser.feed_initiator(b"CONNECT example.org:80 HTTP/1.1\r\n\r\n");
//! parser.feed_responder(b"HTTP/1.1 200 Connection established\r\n\r\n");
//! let messages = parser.feed_initiator(b"GET /inside HTTP/1.1\r\nHost: example.org\r\n\r\n");
//!
//! let [L7Message::<()>::Http(message)] = &messages[..] else { panic!("{messages:?}") };
//! assert_eq!(parser.protocol(), Some(L7Protocol::Http));
//! # let flow_http::HttpMessage::Request(request) = message else { panic!("{message:?}") };
//! # assert_eq!(request.path, "/inside");
//! ```
//!
//! # How a protocol is recognised
//!
//! By the first bytes that either side sent, never by the port alone: a port that is assigned to
//! DNS only makes its recognition less strict. A connection of which the beginning is missing is
//! searched for an HTTP message, within the limits of that parser.
//!
//! After an HTTP `CONNECT` that was granted or an `Upgrade` that was agreed to, and after the
//! handshakes of SOCKS 4, 4A and 5, the bytes inside are a connection of their own. In front of
//! TLS a dialogue may stand: SMTP, IMAP, POP3, FTP, NNTP, IRC and other lines of text, XMPP, LDAP,
//! PostgreSQL, MySQL, RDP.
//!
//! What is unknown stays so: once no protocol is possible any more the parser wants neither side,
//! and the engine only counts.
//!
//! # A protocol of your own
//!
//! [`L7Config::with_stream_protocol`] and [`L7Config::with_datagram_protocol`] take a function that
//! recognises it by its first bytes, and one that makes a parser of it; its messages come as
//! [`L7Message::Custom`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_l7::{L7Config, L7Detection, L7Message, L7Parser};
//! use flow_session::SessionParser;
//!
//! /// Lines behind the word `ECHO`.
//! #[derive(Default)]
//! struct Echo;
//!
//! impl SessionParser for Echo {
//!     type Message = String;
//!
//!     fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<String> {
//!         vec![String::from_utf8_lossy(bytes).into_owned()]
//!     }
//!
//!     fn feed_responder(&mut self, bytes: &[u8]) -> Vec<String> {
//!         self.feed_initiator(bytes)
//!     }
//! }
//!
//! let detect = |_side, prefix: &[u8]| match (prefix.len(), prefix.starts_with(b"ECHO")) {
//!     (_, true) => L7Detection::Yes,
//!     (..4, false) if b"ECHO".starts_with(prefix) => L7Detection::NeedMore,
//!     _ => L7Detection::No,
//! };
//! let config = L7Config::default().with_stream_protocol(detect, Echo::default);
//! let mut parser = L7Parser::new(Arc::new(config));
//! assert!(parser.feed_initiator(b"EC").is_empty());
//! assert_eq!(parser.feed_initiator(b"HO 1"), [
//!     L7Message::Custom("EC".to_owned()),
//!     L7Message::Custom("HO 1".to_owned()),
//! ]);
//! ```

#![warn(clippy::indexing_slicing)]

mod config;
mod datagram;
mod layer;
mod message;
mod opening;
mod parser;
mod prelude;
mod reader;

pub use self::config::L7Config;
pub use self::datagram::L7DatagramParser;
pub use self::message::{L7Detection, L7Message, L7Protocol};
pub use self::parser::L7Parser;
