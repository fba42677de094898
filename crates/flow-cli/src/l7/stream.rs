use std::sync::Arc;

use flow::dns::{DnsConfig, DnsService, DnsTcpParser};
use flow::http::{HttpParser, TunnelKind};
use flow::tls::{Detection, TlsConfig, TlsParser, detect};
use flow::{Context, EndReason, FlowSide, Gap, GapAction, Mark, SessionParser, Timestamp};

use super::L7Message;
use super::reader::{Piece, Reader};

/// Reads the messages of a TCP connection, whatever its port.
///
/// Every parser that may be the right one reads along, until one of them is sure and the others
/// are dropped, or until none is left and the connection is of no interest. What each keeps
/// while it is not sure is bounded by its own limits.
///
/// After an HTTP CONNECT or Upgrade the search begins anew at the first byte inside the tunnel.
#[derive(Debug)]
pub(crate) struct L7Stream {
    fresh_http: Arc<HttpParser>,
    /// The HTTP connection that became the tunnel which the others read, until it is known where
    /// both sides enter it.
    outer: Option<Box<Reader<HttpParser>>>,
    http: Option<Box<Reader<HttpParser>>>,
    tls: Option<Box<Reader<TlsParser>>>,
    dns: Option<Box<Reader<DnsTcpParser>>>,
    /// Whether something of each side was read.
    began: [bool; 2],
    /// Bytes fed by the methods that have no context.
    fed: [u64; 2],
    poison: Option<String>,
}

/// How far into a connection TLS may begin, in bytes.
///
/// Rationale: beyond every greeting, capability list and proxy header that comes before STARTTLS
/// or inside of SOCKS.
const TLS_SCAN: usize = 16 << 10;

impl L7Stream {
    /// For a connection between these ports, with clones of `fresh_http` as parsers of HTTP. The
    /// ports decide how sure the DNS parser has to be.
    pub(crate) fn for_ports(fresh_http: Arc<HttpParser>, a: u16, b: u16) -> Self {
        let service = DnsService::from_ports(a, b);
        let dns = DnsTcpParser::new(DnsConfig::default()).with_service(service);
        Self {
            outer: None,
            http: Some(Reader::boxed(HttpParser::clone(&fresh_http))),
            tls: Some(Reader::boxed(tls_parser())),
            dns: Some(Reader::boxed(dns)),
            began: [false; 2],
            fed: [0; 2],
            poison: None,
            fresh_http,
        }
    }

    /// Feeds the parsers that are left; gives the index at which a tunnel begins.
    fn feed_all(
        &mut self,
        side: FlowSide,
        piece: Piece<'_>,
        cx: &mut Context<'_, L7Message>,
    ) -> Option<usize> {
        let first = !std::mem::replace(&mut self.began[side.index()], true);
        if let Some(http) = &mut self.http {
            http.feed(side, piece, cx, L7Message::Http);
            if http.parser.is_http() {
                (self.tls, self.dns) = (None, None);
                return self.enter_tunnel(side, piece);
            }
        }
        if let Some(tls) = &mut self.tls {
            let begins = first && detect(piece.bytes) == Detection::Yes;
            if tls.feed(side, piece, cx, L7Message::Tls) || begins {
                (self.http, self.dns) = (None, None);
            }
        }
        if let Some(dns) = &mut self.dns
            && dns.feed(side, piece, cx, L7Message::Dns)
        {
            (self.http, self.tls) = (None, None);
        }
        None
    }

    /// Begins anew if the HTTP connection has become a tunnel. Gives the index at which `side`
    /// enters it, if that is known.
    fn enter_tunnel(&mut self, side: FlowSide, piece: Piece<'_>) -> Option<usize> {
        let tunnel = self.http.as_ref()?.parser.tunnel()?;
        let connected = matches!(tunnel.kind, TunnelKind::Connect { .. });
        self.outer = self.http.take();
        self.http = connected.then(|| Reader::boxed(HttpParser::clone(&self.fresh_http)));
        self.tls = Some(Reader::boxed(tls_parser()));
        self.began = [false; 2];
        self.tunnel_start(side, piece)
    }

    /// The index at which `side` enters the tunnel, if that is known.
    fn tunnel_start(&mut self, side: FlowSide, piece: Piece<'_>) -> Option<usize> {
        let tunnel = self.outer.as_ref()?.parser.tunnel()?;
        let start = tunnel.start(side)?.saturating_sub(piece.at.offset);
        if tunnel.start(side.other()).is_some() {
            self.outer = None;
        }
        Some(usize::try_from(start).unwrap_or(usize::MAX))
    }

    /// Drops the parsers that are done. Only if the last one lost its way, this one has too:
    /// others lose theirs because the connection is not what they took it for.
    fn tidy(&mut self) {
        let reasons = [
            Reader::drop_if_done(&mut self.http),
            Reader::drop_if_done(&mut self.tls),
            Reader::drop_if_done(&mut self.dns),
        ];
        if self.is_done() {
            self.poison = self.poison.take().or(reasons.into_iter().flatten().next());
        }
    }

    fn is_done(&self) -> bool {
        self.http.is_none() && self.tls.is_none() && self.dns.is_none()
    }
}

impl SessionParser for L7Stream {
    type Message = L7Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<L7Message> {
        self.without_context(FlowSide::Initiator, bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<L7Message> {
        self.without_context(FlowSide::Responder, bytes)
    }

    fn rst_initiator(&mut self) {
        self.rst(FlowSide::Initiator);
    }

    fn rst_responder(&mut self) {
        self.rst(FlowSide::Responder);
    }

    fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    fn poison_reason(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, L7Message>) {
        let mut piece = Piece { bytes, at: cx.mark(0) };
        if let Some(outer) = &mut self.outer {
            outer.feed(side, piece, cx, L7Message::Http);
            match self.tunnel_start(side, piece) {
                Some(from) => piece = piece.behind(from),
                None => return,
            }
        }
        // Every turn but the last has read at least a message.
        while !piece.bytes.is_empty() {
            match self.feed_all(side, piece, cx) {
                Some(from) => piece = piece.behind(from),
                None => break,
            }
        }
        self.tidy();
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, L7Message>) -> GapAction {
        // What comes behind it is not the beginning of anything.
        self.began[side.index()] = true;
        Reader::gap(&mut self.outer, side, gap, cx, L7Message::Http);
        Reader::gap(&mut self.http, side, gap, cx, L7Message::Http);
        Reader::gap(&mut self.tls, side, gap, cx, L7Message::Tls);
        Reader::gap(&mut self.dns, side, gap, cx, L7Message::Dns);
        self.tidy();
        // Each parser has its own view of what the gap cost; `wants` says what they are left with.
        GapAction::Resume
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, L7Message>) {
        Reader::fin(&mut self.outer, side, cx, L7Message::Http);
        Reader::fin(&mut self.http, side, cx, L7Message::Http);
        Reader::fin(&mut self.tls, side, cx, L7Message::Tls);
        Reader::fin(&mut self.dns, side, cx, L7Message::Dns);
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, L7Message>) {
        Reader::close(&mut self.outer, side, reason, cx, L7Message::Http);
        Reader::close(&mut self.http, side, reason, cx, L7Message::Http);
        Reader::close(&mut self.tls, side, reason, cx, L7Message::Tls);
        Reader::close(&mut self.dns, side, reason, cx, L7Message::Dns);
    }

    fn wants(&self, side: FlowSide) -> bool {
        // A side that HTTP needs no more of may still turn into a tunnel by the other's word.
        self.outer.is_some()
            || self.http.is_some()
            || self.tls.as_ref().is_some_and(|tls| tls.wants(side))
            || self.dns.as_ref().is_some_and(|dns| dns.wants(side))
    }

    fn buffered_bytes(&self) -> usize {
        Reader::buffered_bytes(self.outer.as_deref())
            + Reader::buffered_bytes(self.http.as_deref())
            + Reader::buffered_bytes(self.tls.as_deref())
            + Reader::buffered_bytes(self.dns.as_deref())
    }
}

impl L7Stream {
    fn rst(&mut self, side: FlowSide) {
        Reader::rst(&mut self.outer, side);
        Reader::rst(&mut self.http, side);
        Reader::rst(&mut self.tls, side);
        Reader::rst(&mut self.dns, side);
    }

    /// Feeds without provenance, for the plain methods of the trait.
    fn without_context(&mut self, side: FlowSide, bytes: &[u8]) -> Vec<L7Message> {
        let (mut out, mut pending) = (Vec::new(), None);
        let at = Mark { offset: self.fed[side.index()], packet: 0 };
        self.fed[side.index()] += bytes.len() as u64;
        let now = Timestamp::default();
        let mut cx = Context::new(now, 0, side, at, bytes.len(), &mut pending, &mut out);
        self.feed(side, bytes, &mut cx);
        out.into_iter().map(|parsed| parsed.message).collect()
    }
}

fn tls_parser() -> TlsParser {
    TlsParser::with_config(TlsConfig::default().with_scan_for_hello(TLS_SCAN))
}
