use std::fmt;

use bytes::Bytes;

use crate::{HttpHeaders, HttpText};

/// A message of either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpMessage {
    /// From the client.
    Request(HttpRequest),
    /// From the server; interim ones (1xx) included.
    Response(HttpResponse),
    /// Bytes of the body of the last message of the same side
    /// ([`BodyPolicy::Stream`](crate::BodyPolicy::Stream) only).
    BodyData(HttpBodyData),
    /// The end of the body of the last message of the same side
    /// ([`BodyPolicy::Stream`](crate::BodyPolicy::Stream) only).
    ///
    /// There is exactly one for every message whose head was whole and which has a body: bytes
    /// announced by its length, chunks, were it only the last one, or all bytes up to the end of
    /// the connection, were there none. These are the messages with `head_complete` set and
    /// `body_complete` unset. Its range is that of the body with its framing.
    BodyEnd(HttpBodyEnd),
}

/// A piece of a body, as it was captured: how large it is depends on how the body was sent. All
/// pieces of a body together are what [`BodyPolicy::Collect`](crate::BodyPolicy::Collect) collects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpBodyData {
    /// The bytes without their chunked coding, but with their content coding.
    pub data: Bytes,
    /// Where they stand in the body. It is larger than the bytes before it where bytes are missing
    /// from the capture.
    pub offset: u64,
}

/// What is known of a body once it has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpBodyEnd {
    /// Captured bytes of the body.
    pub len: u64,
    /// SHA-256 of these bytes. `None` for an empty body, and unless `HttpConfig::digest_bodies`
    /// (feature `digest`) is set.
    pub sha256: Option<[u8; 32]>,
    /// The whole body was captured, to its very end.
    pub complete: bool,
    /// Trailer fields of a chunked body.
    pub trailers: HttpHeaders,
}

/// A request, with what was captured of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpRequest {
    /// Method, in the letters sent.
    pub method: HttpText,
    /// Request target as sent: a path with its query, an absolute URI, `host:port` of a CONNECT,
    /// or `*` (RFC 9112 section 3.2).
    pub path: HttpText,
    /// Version of the start line; [`HttpVersion::HTTP_09`] for a request of that version, whose
    /// line has none, and [`HttpVersion::HTTP_10`] where it cannot be read, or was left out by
    /// mistake.
    pub version: HttpVersion,
    /// The version as it stands in the start line; empty if there is none.
    pub version_text: HttpText,
    /// The method is a registered one, but what follows is no target with a version of HTTP/1.x.
    pub malformed_start_line: bool,
    /// Header fields.
    pub headers: HttpHeaders,
    /// Trailer fields of a chunked body.
    pub trailers: HttpHeaders,
    /// The body without its chunked coding, but with its content coding, as far as
    /// [`HttpConfig::body`](crate::HttpConfig::body) keeps it; gaps left out.
    pub body: Bytes,
    /// Captured bytes of the body, also of those not in `body`.
    pub body_len: u64,
    /// SHA-256 of these `body_len` bytes. `None` for an empty body, and unless
    /// `HttpConfig::digest_bodies` (feature `digest`) is set.
    pub body_sha256: Option<[u8; 32]>,
    /// The whole body was captured, to its very end.
    pub body_complete: bool,
    /// The whole head was captured. If not, `headers` has the lines before the part that is
    /// missing.
    pub head_complete: bool,
    /// Bytes before it are missing: its beginning was found by looking for a start line.
    pub after_gap: bool,
    /// The fields that say where the body ends contradict each other or are invalid, so that
    /// another recipient may see other messages (RFC 9112 sections 6.3 and 11.2).
    pub ambiguous_framing: bool,
}

/// A response, with what was captured of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpResponse {
    /// Status code; 0 for an HTTP/0.9 response, which has none.
    pub status: u16,
    /// Reason phrase, often empty.
    pub reason: HttpText,
    /// Version of the start line; [`HttpVersion::HTTP_09`] where there is none.
    pub version: HttpVersion,
    /// Header fields.
    pub headers: HttpHeaders,
    /// Trailer fields of a chunked body.
    pub trailers: HttpHeaders,
    /// The body without its chunked coding, but with its content coding, as far as
    /// [`HttpConfig::body`](crate::HttpConfig::body) keeps it; gaps left out.
    pub body: Bytes,
    /// Captured bytes of the body, also of those not in `body`.
    pub body_len: u64,
    /// SHA-256 of these `body_len` bytes. `None` for an empty body, and unless
    /// `HttpConfig::digest_bodies` (feature `digest`) is set.
    pub body_sha256: Option<[u8; 32]>,
    /// The whole body was captured, to its very end.
    pub body_complete: bool,
    /// The whole head was captured. If not, `headers` has the lines before the part that is
    /// missing.
    pub head_complete: bool,
    /// Bytes before it are missing: its beginning was found by looking for a start line.
    pub after_gap: bool,
    /// The fields that say where the body ends contradict each other or are invalid, so that
    /// another recipient may see other messages (RFC 9112 sections 6.3 and 11.2).
    pub ambiguous_framing: bool,
    /// Method of the request it answers, if that was seen before it.
    pub request_method: Option<HttpText>,
    /// Target of the request it answers, if that was seen before it.
    pub request_uri: Option<HttpText>,
}

/// Does something with a request or a response: the fields about the body have the same names in
/// both. `None` for a part of a body.
macro_rules! with_either {
    ($message:expr, $either:ident => $do:expr) => {
        match $message {
            HttpMessage::Request($either) => Some($do),
            HttpMessage::Response($either) => Some($do),
            HttpMessage::BodyData(_) | HttpMessage::BodyEnd(_) => None,
        }
    };
}

impl HttpMessage {
    /// Version of its start line; `None` for a part of a body.
    #[must_use]
    pub fn version(&self) -> Option<HttpVersion> {
        with_either!(self, message => message.version)
    }

    /// Header fields; `None` for a part of a body.
    #[must_use]
    pub fn headers(&self) -> Option<&HttpHeaders> {
        with_either!(self, message => &message.headers)
    }

    pub(crate) fn set_trailers(&mut self, trailers: HttpHeaders) {
        with_either!(self, message => message.trailers = trailers);
    }

    pub(crate) fn set_head(&mut self, after_gap: bool, head_complete: bool, ambiguous: bool) {
        with_either!(self, message => {
            message.after_gap = after_gap;
            message.head_complete = head_complete;
            message.ambiguous_framing = ambiguous;
        });
    }

    pub(crate) fn set_body(&mut self, body: Body) {
        with_either!(self, message => {
            message.body = body.bytes;
            message.body_len = body.len;
            message.body_sha256 = body.sha256;
            message.body_complete = body.complete;
        });
    }
}

/// What a message says of its body.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) bytes: Bytes,
    pub(crate) len: u64,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) complete: bool,
}

/// `HTTP/1.1` and the like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpVersion {
    /// The digit before the dot.
    pub major: u8,
    /// The digit behind the dot.
    pub minor: u8,
}

impl HttpVersion {
    /// HTTP/0.9: a request is a line `GET /path`, a response nothing but the body.
    pub const HTTP_09: Self = Self { major: 0, minor: 9 };
    /// HTTP/1.0 (RFC 1945).
    pub const HTTP_10: Self = Self { major: 1, minor: 0 };
    /// HTTP/1.1 (RFC 9112).
    pub const HTTP_11: Self = Self { major: 1, minor: 1 };
}

/// As in a start line: `HTTP/1.1`.
impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP/{}.{}", self.major, self.minor)
    }
}
