use std::fmt::{self, Debug};

use flow_core::FlowSide;
use flow_dns::DnsConfig;
use flow_http::{HttpConfig, HttpParser};
use flow_session::{DatagramParser, SessionParser};
use flow_tls::TlsConfig;

use crate::L7Detection;

/// Limits of the parsers, and protocols of the user's own. Shared by the parsers of all flows.
#[derive(Debug)]
#[non_exhaustive]
pub struct L7Config<C = std::convert::Infallible> {
    /// A fresh parser, which the others are clones of.
    pub(crate) http: HttpParser,
    /// Limits of the TLS parser.
    pub tls: TlsConfig,
    /// Limits of the DNS parsers.
    pub dns: DnsConfig,
    /// Bytes of each side looked through for the end of what comes before another protocol: the
    /// words of SOCKS, the dialogue up to STARTTLS. Behind them the connection is unknown.
    ///
    /// Rationale: greetings, capabilities and authentication take a few kilobytes at most; a
    /// connection that stays in clear costs nothing once this much of it has gone by.
    pub max_prelude: usize,
    pub(crate) streams: Vec<Protocol<dyn SessionParser<Message = C>>>,
    pub(crate) datagrams: Vec<Protocol<dyn DatagramParser<Message = C>>>,
}

type Detect = dyn Fn(FlowSide, &[u8]) -> L7Detection + Send + Sync;

/// A protocol of the user's.
pub(crate) struct Protocol<P: ?Sized> {
    pub(crate) detect: Box<Detect>,
    pub(crate) new_parser: Box<dyn Fn() -> Box<P> + Send + Sync>,
}

impl<C: Send + Debug + 'static> L7Config<C> {
    /// The same with other limits for HTTP.
    #[must_use]
    pub fn with_http(mut self, config: HttpConfig) -> Self {
        self.http = HttpParser::with_config(config);
        self
    }

    /// The same with other limits for TLS.
    #[must_use]
    pub fn with_tls(mut self, config: TlsConfig) -> Self {
        self.tls = config;
        self
    }

    /// The same with other limits for DNS.
    #[must_use]
    pub fn with_dns(mut self, config: DnsConfig) -> Self {
        self.dns = config;
        self
    }

    /// The same with another [`max_prelude`](Self::max_prelude).
    #[must_use]
    pub fn with_max_prelude(mut self, bytes: usize) -> Self {
        self.max_prelude = bytes;
        self
    }

    /// Adds a protocol over TCP. Its messages are [`L7Message::Custom`](crate::L7Message::Custom).
    ///
    /// `detect` gets the first bytes that a side sent, on the connection or inside of a tunnel, at
    /// most [`L7Config::MAX_PREFIX`] of them; more of them must not change a `Yes` or a `No`. The
    /// user's protocols are asked in the order in which they were added, and before the others: as
    /// long as one says `NeedMore`, those behind it wait.
    #[must_use]
    pub fn with_stream_protocol<P>(
        mut self,
        detect: impl Fn(FlowSide, &[u8]) -> L7Detection + Send + Sync + 'static,
        new_parser: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self
    where
        P: SessionParser<Message = C>,
    {
        let new_parser = Box::new(move || Box::new(new_parser()) as Box<_>);
        self.streams.push(Protocol { detect: Box::new(detect), new_parser });
        self
    }

    /// Adds a protocol over UDP. Its messages are [`L7Message::Custom`](crate::L7Message::Custom).
    ///
    /// `detect` gets whole datagrams, until one of the user's protocols says `Yes`; DNS is looked for
    /// in those before.
    #[must_use]
    pub fn with_datagram_protocol<P>(
        mut self,
        detect: impl Fn(FlowSide, &[u8]) -> L7Detection + Send + Sync + 'static,
        new_parser: impl Fn() -> P + Send + Sync + 'static,
    ) -> Self
    where
        P: DatagramParser<Message = C>,
    {
        let new_parser = Box::new(move || Box::new(new_parser()) as Box<_>);
        self.datagrams.push(Protocol { detect: Box::new(detect), new_parser });
        self
    }
}

impl<C> L7Config<C> {
    /// Bytes of a side that are kept while it is not clear what they begin.
    ///
    /// Rationale: HTTP, TLS and DNS need a line, 11 bytes and a question; beyond it only the
    /// longest start lines are undecided, which the HTTP parser keeps by itself.
    pub const MAX_PREFIX: usize = 2 << 10;
}

impl<C> Default for L7Config<C> {
    fn default() -> Self {
        Self {
            http: HttpParser::default(),
            tls: TlsConfig::default(),
            dns: DnsConfig::default(),
            max_prelude: 64 << 10,
            streams: Vec::new(),
            datagrams: Vec::new(),
        }
    }
}

impl<P: ?Sized> fmt::Debug for Protocol<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Protocol").finish_non_exhaustive()
    }
}
