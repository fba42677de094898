use std::convert::Infallible;

use flow_dns::DnsMessage;
use flow_http::HttpMessage;
use flow_tls::TlsMessage;

/// A message of any of the protocols; `C` is what the user's own ones find.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum L7Message<C = Infallible> {
    /// HTTP/1.x.
    Http(HttpMessage),
    /// TLS.
    Tls(TlsMessage),
    /// DNS, over TCP or UDP.
    Dns(DnsMessage),
    /// A protocol of the user's: see [`L7Config::with_stream_protocol`](crate::L7Config).
    Custom(C),
}

/// What a connection turned out to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum L7Protocol {
    /// HTTP/1.x.
    Http,
    /// TLS.
    Tls,
    /// DNS.
    Dns,
    /// A protocol of the user's.
    Custom,
}

/// Whether bytes are the beginning of a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum L7Detection {
    /// They are, whatever follows.
    Yes,
    /// They are not, whatever follows.
    No,
    /// They may be.
    NeedMore,
}
