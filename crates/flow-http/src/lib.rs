//! HTTP/1.x messages from TCP streams.
//!
//! [`HttpParser`] is a [`SessionParser`](flow_session::SessionParser): it gets the two byte
//! streams of a TCP connection, in pieces of any size, and gives back an [`HttpMessage`] for each
//! request and each response, with its body.
//!
//! ```
//! use flow_http::{HttpMessage, HttpParser};
//! use flow_session::SessionParser;
//!
//! let mut parser = HttpParser::default();
//! let mut messages = parser.feed_initiator(b"GET /hello HTTP/1.1\r\nHost: example.com\r\n\r\n");
//! messages.extend(parser.feed_responder(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
//!
//! let [HttpMessage::Request(request), HttpMessage::Response(response)] = &messages[..] else {
//!     panic!("a request and its response");
//! };
//! assert_eq!((&*request.method, &*request.path), ("GET", "/hello"));
//! assert_eq!(request.headers.get_str("host"), Some("example.com"));
//! assert_eq!(response.status, 200);
//! assert_eq!(&response.body[..], b"hello");
//! assert_eq!(response.request_uri.as_deref(), Some("/hello"));
//! ```
//!
//! # What it takes
//!
//! Everything of RFC 9112 that a passive reader can know: bodies by length, chunked with
//! extensions and trailers, or up to the end of the connection; no body after HEAD, with 1xx, 204
//! and 304; interim responses; keep-alive and pipelining; folded fields, bare LF, empty lines
//! before a message; any method; all four forms of a target; HTTP/1.0 and 0.9. After CONNECT or
//! 101 Switching Protocols the connection is a [`Tunnel`] and its bytes are no longer looked at.
//!
//! Where messages can be read in more than one way it does what the RFC says and sets
//! [`ambiguous_framing`](HttpRequest::ambiguous_framing).
//!
//! A line that begins with a registered method where a start line is expected, and names HTTP, is a
//! request even if its version or its target is broken (`GET / HTTP/1.`, `GET /HTTP/1.1`,
//! `OPTIONS HTTP/1.1`): it comes with [`malformed_start_line`](HttpRequest::malformed_start_line)
//! set. A line `GET /path` with nothing behind is one of HTTP/0.9.
//!
//! # Bodies
//!
//! [`BodyPolicy`] says what becomes of them: they come with their message, up to a limit; or they
//! are only counted; or a message comes as soon as its head is whole and its body behind it, piece
//! by piece.
//!
//! # What is missing from the capture
//!
//! A gap inside of a body whose length is known costs only the missing bytes; the message comes
//! with `body_complete` unset. After any other gap, and in a connection joined midstream, the
//! parser looks for a start line: as a line of its own, as a status line inside of one, or as the
//! end of a line that ends like a request line, with a registered method in it, since a body
//! without a line end may come right before it. What follows it must look like a head. The message
//! found so comes with `after_gap` set. What was there of a message when a gap, a reset or the end
//! of the capture cut it off is put out too.
//!
//! Where messages begin and end depends on the bytes, never on the pieces in which they come.
//!
//! # What is not HTTP
//!
//! The parser can be run on every connection, whatever its port. When the first bytes of both
//! sides begin no message it wants no more of either. It allocates nothing for a side until that
//! has sent something which may be the beginning of a start line. [`looks_like_http`] is the test
//! by itself.
//!
//! When a side was HTTP and stops making sense it is given up, and the parser is poisoned, with a
//! reason, once the other side has finished its message and answered what it was asked. If bytes
//! are missing the parser rather looks for the next message.
//!
//! # Anomalies
//!
//! What breaks a rule of RFC 9112, or can be read in more than one way, is told to
//! [`Context::anomaly`](flow_session::Context::anomaly), in these words:
//! - `malformed start line`: see above.
//! - `bare cr in a head`, `header line without a colon`
//! - `space around the name of a framing field`, `folded framing field`, which are Content-Length
//!   and Transfer-Encoding; folded lines are joined (section 5.2).
//! - `transfer-encoding and content-length`: the former counts (section 6.3).
//! - `differing content-lengths`: the first counts.
//! - `invalid content-length`
//! - `chunked is not the last transfer coding`, `chunked twice`, `transfer-encoding in http/1.0`
//! - `last transfer coding of a request is not chunked`: its length is unknown.
//! - `space behind a chunk size`, `bare lf in chunked framing`
//! - `bytes behind a request of http/0.9`, which may be the header of one whose version is missing.
//! - and those that end the parsing of a side: `expected a start line`, `head is too long`,
//!   `header line is invalid`, `chunk size is not a number`, `chunk size is out of range`,
//!   `chunk is longer than its size`, `chunk-size line is too long`, `trailer section is too long`,
//!   `trailer line is invalid`.
//!
//! # Features
//!
//! - `digest`: with [`HttpConfig`]'s `digest_bodies`, messages carry the SHA-256 of their body, be
//!   it larger than what is kept of it.
//! - `decode`: `decoded_body` of requests and responses, and a `ContentDecoder` for bodies that come
//!   in pieces, take the content coding off: gzip, deflate, br, zstd, within limits.

#![warn(clippy::indexing_slicing)]

mod body;
mod chunked;
mod config;
#[cfg(feature = "decode")]
mod decode;
mod exchange;
mod factory;
mod framing;
mod handler;
mod head;
mod headers;
mod message;
mod methods;
mod oddity;
mod parser;
mod search;
mod side;
mod start_line;
mod text;
mod tunnel;

pub use self::config::{BodyPolicy, HttpConfig};
#[cfg(feature = "decode")]
pub use self::decode::{ContentCoding, ContentDecoder, DecodeError, DecodeErrorKind, DecodedBody};
pub use self::factory::HttpFactory;
pub use self::handler::HttpHandler;
pub use self::headers::HttpHeaders;
pub use self::message::{
    HttpBodyData, HttpBodyEnd, HttpMessage, HttpRequest, HttpResponse, HttpVersion,
};
pub use self::parser::HttpParser;
pub use self::start_line::{Detection, looks_like_http};
pub use self::text::HttpText;
pub use self::tunnel::{Tunnel, TunnelKind};
