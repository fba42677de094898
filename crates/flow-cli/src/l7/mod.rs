//! HTTP, TLS and DNS on any port: parsers that find out by themselves what a flow speaks.

mod datagram;
mod reader;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use self::datagram::L7Datagram;
pub(crate) use self::stream::L7Stream;

use flow::dns::DnsMessage;
use flow::http::HttpMessage;
use flow::tls::TlsMessage;

/// A message of any of the protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum L7Message {
    Http(HttpMessage),
    Tls(TlsMessage),
    Dns(DnsMessage),
}
