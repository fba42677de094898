use std::convert::Infallible;
use std::fmt::Debug;
use std::sync::Arc;

use flow_core::{EndReason, FlowSide, Gap, Timestamp};
use flow_dns::{DnsService, DnsTcpParser};
use flow_http::{HttpParser, TunnelKind};
use flow_session::{Context, GapAction, Mark, SessionParser};
use flow_tls::TlsParser;

use crate::layer::Layer;
use crate::opening::{Opening, Prefix, Start, Verdict};
use crate::prelude::{Exit, Fed};
use crate::reader::{Piece, Reader, of};
use crate::{L7Config, L7Message, L7Protocol};

/// Reads the messages of a TCP connection, whatever its port and whatever it is wrapped in.
///
/// What a side speaks is told by its first bytes: the user's protocols, then TLS, HTTP and DNS.
/// Where none of them begins, what comes later is looked for within limits: an HTTP message if the
/// connection was joined midstream, TLS behind STARTTLS, anything inside of SOCKS. After an HTTP
/// CONNECT or Upgrade it begins anew, and so on, with the first byte of either side inside.
///
/// Nothing is decided by how a stream was cut into pieces. A connection that turns out to be
/// nothing known is [not wanted](SessionParser::wants) any more, and costs no more than one that
/// nobody reads.
///
/// A clone is a fresh parser with the same configuration.
#[derive(Debug)]
pub struct L7Parser<C = Infallible> {
    config: Arc<L7Config<C>>,
    service: DnsService,
    /// The innermost that was begun.
    current: Layer<C>,
    /// What `current` is inside of and a side has not left yet, the outermost first.
    outers: Vec<Layer<C>>,
    /// How many of `outers` each side has not left, the last ones: `<= outers.len()`.
    inside: [usize; 2],
    /// How many there were, `current` included.
    layers: u8,
    /// Sides that their layer had no use for at some byte. They stay so, even if the other side
    /// makes another layer of it, since whoever feeds this parser does not ask again.
    done: [bool; 2],
    poison: Option<Box<str>>,
    /// Bytes fed by the methods that have no context.
    fed: [u64; 2],
}

/// Layers of a connection, tunnels and what comes before STARTTLS; behind them it is unknown.
///
/// Rationale: proxies are chained by twos and threes, and each adds a single one.
const MAX_LAYERS: u8 = 16;

/// What is left to do with a piece.
enum Next<'a> {
    Nothing,
    /// It has not been read.
    Again(Piece<'a>),
    /// Its side leaves the layer.
    Leave(Exit),
}

impl<C: Send + Debug + 'static> L7Parser<C> {
    /// One for a connection of which nothing is known.
    #[must_use]
    pub fn new(config: Arc<L7Config<C>>) -> Self {
        Self {
            config,
            service: DnsService::Unknown,
            current: Layer::Opening(Opening::new()),
            outers: Vec::new(),
            inside: [0; 2],
            layers: 1,
            done: [false; 2],
            poison: None,
            fed: [0; 2],
        }
    }

    /// The same for a connection between these ports, in any order. On those of DNS, what is taken
    /// for it need not look like it in every respect; nothing else depends on them.
    #[must_use]
    pub fn with_ports(mut self, a: u16, b: u16) -> Self {
        self.service = DnsService::from_ports(a, b);
        self
    }

    /// What the connection speaks, or what is spoken inside of it, as far as it is known by now.
    #[must_use]
    pub fn protocol(&self) -> Option<L7Protocol> {
        self.current.protocol()
    }

    /// Feeds a piece to the layer that its side has come to, and what is behind the end of that to
    /// the next.
    fn feed_piece(
        &mut self,
        side: FlowSide,
        mut piece: Piece<'_>,
        cx: &mut Context<'_, L7Message<C>>,
    ) {
        // Every turn but the last has judged a side or left a layer. A piece that ended there would
        // have been the last one of a side that is done by then.
        while !piece.bytes.is_empty() && !*of(&mut self.done, side) {
            let next = match *of(&mut self.inside, side) {
                0 => self.feed_current(side, piece, cx),
                inside => self.feed_outer(inside, side, piece, cx),
            };
            if let Next::Leave(_) = next {
                self.leave(side);
            }
            self.look_for_done();
            piece = match next {
                Next::Nothing => return,
                Next::Again(piece) => piece,
                Next::Leave(Exit { at, held }) => {
                    if let Some((at, bytes)) = held {
                        self.feed_piece(side, Piece { bytes: &bytes, at }, cx);
                    }
                    piece.behind(at)
                }
            };
        }
    }

    /// Feeds a layer that is not the innermost.
    fn feed_outer<'a>(
        &mut self,
        inside: usize,
        side: FlowSide,
        piece: Piece<'a>,
        cx: &mut Context<'_, L7Message<C>>,
    ) -> Next<'a> {
        let index = self.outers.len().saturating_sub(inside);
        match self.outers.get_mut(index) {
            Some(Layer::Http(http)) => {
                http.feed(side, piece, cx, L7Message::Http);
                tunnel_start(http, side, piece)
            }
            Some(Layer::Prelude(prelude)) => match prelude.feed(side, piece) {
                Fed::Entered(exit) => Next::Leave(exit),
                Fed::All | Fed::Unknown => Next::Nothing,
            },
            _ => Next::Nothing,
        }
    }

    fn feed_current<'a>(
        &mut self,
        side: FlowSide,
        piece: Piece<'a>,
        cx: &mut Context<'_, L7Message<C>>,
    ) -> Next<'a> {
        match &mut self.current {
            Layer::Opening(_) => return self.open(side, piece, cx),
            Layer::Http(http) => {
                http.feed(side, piece, cx, L7Message::Http);
                return self.enter_tunnel(side, piece);
            }
            // A server that speaks no TLS says so in its own words. Its first byte begins no record.
            Layer::Tls(tls) if tls.is_fresh(side) && piece.bytes.starts_with(b"H") => {
                let http = Reader::boxed(self.config.http.clone()).without(side.other());
                self.current = Layer::Http(http);
                return Next::Again(piece);
            }
            Layer::Tls(tls) => _ = tls.feed(side, piece, cx, L7Message::Tls),
            Layer::Dns(dns) => _ = dns.feed(side, piece, cx, L7Message::Dns),
            Layer::Custom(custom) => _ = custom.feed(side, piece, cx, L7Message::Custom),
            Layer::Prelude(prelude) => match prelude.feed(side, piece) {
                Fed::All => {}
                Fed::Entered(exit) => {
                    self.go_inside(Opening::new());
                    return Next::Leave(exit);
                }
                Fed::Unknown if prelude.wants(side.other()) => {}
                Fed::Unknown => self.current = Layer::Off,
            },
            Layer::Off => {}
        }
        Next::Nothing
    }

    /// Goes inside of the HTTP connection that is the current layer, if it has become a tunnel.
    fn enter_tunnel<'a>(&mut self, side: FlowSide, piece: Piece<'a>) -> Next<'a> {
        let Layer::Http(http) = &self.current else { return Next::Nothing };
        let inner = match http.parser.tunnel().map(|tunnel| &tunnel.kind) {
            None => return Next::Nothing,
            Some(TunnelKind::Connect { .. }) => Opening::new(),
            Some(_) => Opening::after_http(),
        };
        let next = tunnel_start(http, side, piece);
        self.go_inside(inner);
        next
    }

    /// Begins with what is inside of the current layer. Neither side is there yet.
    fn go_inside(&mut self, inner: Opening) {
        self.layers = self.layers.saturating_add(1);
        let inner = if self.layers <= MAX_LAYERS { Layer::Opening(inner) } else { Layer::Off };
        self.outers.push(std::mem::replace(&mut self.current, inner));
        self.inside = self.inside.map(|inside| inside + 1);
    }

    /// `side` has left the outermost layer that it was in.
    fn leave(&mut self, side: FlowSide) {
        let inside = of(&mut self.inside, side);
        *inside = inside.saturating_sub(1);
        let [initiator, responder] = self.inside;
        let done = self.outers.len().saturating_sub(initiator.max(responder));
        self.outers.drain(..done);
    }

    /// Leaves the layers that `side` is known to have left at this offset of its stream.
    fn catch_up(&mut self, side: FlowSide, offset: u64) {
        loop {
            let inside = *of(&mut self.inside, side);
            let Some(Layer::Http(http)) = self.outers.get(self.outers.len().saturating_sub(inside))
            else {
                return;
            };
            match tunnel_offset(http, side) {
                Some(start) if start <= offset => self.leave(side),
                _ => return,
            }
        }
    }

    /// Judges the first bytes of a side, or looks on in one that begins like nothing.
    fn open<'a>(
        &mut self,
        side: FlowSide,
        piece: Piece<'a>,
        cx: &mut Context<'_, L7Message<C>>,
    ) -> Next<'a> {
        let Layer::Opening(opening) = &mut self.current else { return Next::Nothing };
        let (mut prefix, rest) = match std::mem::take(opening.start(side)) {
            Start::Waiting => (None, piece),
            Start::Prefix(mut prefix) => {
                let taken = prefix.take::<C>(piece);
                (Some(prefix), piece.behind(taken))
            }
            Start::Lost => {
                *opening.start(side) = Start::Lost;
                return self.search(side, piece, cx);
            }
        };
        let bytes = prefix.as_ref().map_or(piece.bytes, |prefix| prefix.bytes());
        let verdict = opening.judge(&self.config, self.service, side, bytes);
        if verdict == Verdict::NeedMore {
            let mut held = prefix.take().unwrap_or_default();
            if held.bytes().is_empty() {
                held.take::<C>(piece);
            }
            *opening.start(side) = Start::Prefix(held);
            return Next::Nothing;
        }
        self.settle(verdict, side, prefix.as_deref(), cx);
        Next::Again(rest)
    }

    /// Goes by the verdict on a side, which these bytes begin.
    fn settle(
        &mut self,
        verdict: Verdict,
        side: FlowSide,
        prefix: Option<&Prefix>,
        cx: &mut Context<'_, L7Message<C>>,
    ) {
        let Layer::Opening(opening) = &mut self.current else { return };
        *opening.start(side) = Start::Lost;
        let other = side.other();
        let others = match self.known_layer(verdict, other) {
            None => None,
            Some((known, others)) => {
                self.current = known;
                others
            }
        };
        // What is held of the other side came before it was clear.
        self.replay(other, others.as_deref(), cx);
        self.replay(side, prefix, cx);
    }

    /// What the opening becomes by a verdict on a side, with what is held of the `other` one;
    /// nothing if the verdict is that it is unknown.
    fn known_layer(
        &mut self,
        verdict: Verdict,
        other: FlowSide,
    ) -> Option<(Layer<C>, Option<Box<Prefix>>)> {
        let Layer::Opening(opening) = &mut self.current else { return None };
        let start = opening.take_held(&self.config, self.service, verdict, other);
        let is_lost = matches!(start, Start::Lost);
        let known = match verdict {
            Verdict::NeedMore | Verdict::Unknown => {
                *opening.start(other) = start;
                return None;
            }
            // It may have been read already, in search of a message.
            Verdict::Is(L7Protocol::Http) => {
                let http = opening.http.take();
                Layer::Http(http.unwrap_or_else(|| Reader::boxed(self.config.http.clone())))
            }
            Verdict::Is(L7Protocol::Tls) => {
                let tls = Reader::boxed(TlsParser::with_config(self.config.tls));
                Layer::Tls(if is_lost { tls.without(other) } else { tls })
            }
            Verdict::Is(_) => {
                let parser = DnsTcpParser::new(self.config.dns).with_service(self.service);
                let dns = Reader::boxed(parser);
                Layer::Dns(if is_lost { dns.without(other) } else { dns })
            }
            Verdict::Custom(index) => {
                let custom = Reader::boxed((self.config.streams.get(index)?.new_parser)());
                Layer::Custom(if is_lost { custom.without(other) } else { custom })
            }
        };
        match start {
            Start::Prefix(held) => Some((known, Some(held))),
            Start::Waiting | Start::Lost => Some((known, None)),
        }
    }

    /// Looks for the end of a prelude, and for a message in front of it, in a side that begins like
    /// nothing.
    fn search<'a>(
        &mut self,
        side: FlowSide,
        piece: Piece<'a>,
        cx: &mut Context<'_, L7Message<C>>,
    ) -> Next<'a> {
        let Layer::Opening(opening) = &mut self.current else { return Next::Nothing };
        let exit = opening.search_prelude(side, piece, self.config.max_prelude);
        let before = exit.as_ref().map_or(piece.bytes.len(), |exit| exit.at);
        let seen = Piece { bytes: piece.bytes.get(..before).unwrap_or_default(), at: piece.at };
        if let Some(taken) = opening.search_http(side, seen, &self.config.http, cx)
            && let Some((known, others)) =
                self.known_layer(Verdict::Is(L7Protocol::Http), side.other())
        {
            self.current = known;
            let next = self.enter_tunnel(side, piece);
            self.replay(side.other(), others.as_deref(), cx);
            return if let Next::Nothing = next { Next::Again(piece.behind(taken)) } else { next };
        }
        let Some(exit) = exit else {
            if let Layer::Opening(opening) = &self.current
                && opening.is_over()
            {
                self.current = Layer::Off;
            }
            return Next::Nothing;
        };
        let others = self.become_prelude(side.other());
        self.go_inside(Opening::new());
        self.replay(side.other(), others.as_deref(), cx);
        Next::Leave(exit)
    }

    /// Keeps nothing of the opening but its prelude; gives what is held of the `other` side.
    fn become_prelude(&mut self, other: FlowSide) -> Option<Box<Prefix>> {
        let Layer::Opening(opening) = &mut self.current else { return None };
        let (prelude, start) = (opening.prelude.take()?, std::mem::take(opening.start(other)));
        self.current = Layer::Prelude(prelude);
        match start {
            Start::Prefix(held) => Some(held),
            Start::Waiting | Start::Lost => None,
        }
    }

    /// Feeds what was held of a side.
    fn replay(
        &mut self,
        side: FlowSide,
        held: Option<&Prefix>,
        cx: &mut Context<'_, L7Message<C>>,
    ) {
        cx.with_side(side, |cx| {
            for piece in held.into_iter().flat_map(Prefix::pieces) {
                self.feed_piece(side, piece, cx);
            }
        });
    }

    /// No more comes to tell what the held bytes of a side begin.
    fn stop_waiting(&mut self, side: FlowSide, cx: &mut Context<'_, L7Message<C>>) {
        let Layer::Opening(opening) = &mut self.current else { return };
        if *of(&mut self.inside, side) > 0 {
            return;
        }
        if let Start::Prefix(held) = std::mem::take(opening.start(side)) {
            self.settle(Verdict::Unknown, side, Some(&held), cx);
        } else {
            *opening.start(side) = Start::Lost;
        }
    }

    /// Whether the layer that `side` has come to has a use for more of it.
    fn has_use_for(&self, side: FlowSide) -> bool {
        let [initiator, responder] = self.inside;
        let inside = if side == FlowSide::Initiator { initiator } else { responder };
        match self.outers.get(self.outers.len().saturating_sub(inside)) {
            None => self.current.wants(side),
            // A side that it needs no more of may be about to leave it.
            Some(Layer::Http(http)) => http.wants(side) || tunnel_offset(http, side).is_some(),
            Some(layer) => layer.wants(side),
        }
    }

    /// Takes notice of sides that their layer has no use for.
    fn look_for_done(&mut self) {
        for side in FlowSide::BOTH {
            if !self.has_use_for(side) {
                *of(&mut self.done, side) = true;
            }
        }
    }

    /// Takes notice of a parser that lost its way, once nothing around it has a use for more.
    fn look_for_poison(&mut self) {
        let is_wanted = |layer: &Layer<C>| matches!(layer, Layer::Http(http) if http.wants_any());
        if self.outers.iter().any(is_wanted) {
            return;
        }
        let poison = match &self.current {
            Layer::Http(http) => http.poison(),
            Layer::Tls(tls) => tls.poison(),
            Layer::Dns(dns) => dns.poison(),
            Layer::Custom(custom) => custom.poison(),
            Layer::Opening(_) | Layer::Prelude(_) | Layer::Off => None,
        };
        if poison.is_some() {
            self.poison = poison;
        }
    }

    /// Feeds without provenance, for the plain methods of the trait.
    fn without_context(
        &mut self,
        side: FlowSide,
        len: usize,
        call: impl FnOnce(&mut Self, &mut Context<'_, L7Message<C>>),
    ) -> Vec<L7Message<C>> {
        let (mut out, mut pending) = (Vec::new(), None);
        let fed = of(&mut self.fed, side);
        let at = Mark { offset: *fed, packet: 0 };
        *fed = fed.saturating_add(len as u64);
        let now = Timestamp::default();
        call(self, &mut Context::new(now, 0, side, at, len, &mut pending, &mut out));
        out.into_iter().map(|parsed| parsed.message).collect()
    }
}

/// Goes inside of the tunnel that an HTTP connection became, if it is known where `side` does.
fn tunnel_start<'a>(http: &Reader<HttpParser>, side: FlowSide, piece: Piece<'a>) -> Next<'a> {
    let Some(start) = tunnel_offset(http, side) else { return Next::Nothing };
    let at = usize::try_from(start.saturating_sub(piece.at.offset)).unwrap_or(usize::MAX);
    Next::Leave(Exit { at, held: None })
}

/// The stream offset at which `side` enters that tunnel.
fn tunnel_offset(http: &Reader<HttpParser>, side: FlowSide) -> Option<u64> {
    http.parser.tunnel()?.start(side)
}

impl<C: Send + Debug + 'static> SessionParser for L7Parser<C> {
    type Message = L7Message<C>;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<L7Message<C>> {
        let side = FlowSide::Initiator;
        self.without_context(side, bytes.len(), |parser, cx| parser.feed(side, bytes, cx))
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<L7Message<C>> {
        let side = FlowSide::Responder;
        self.without_context(side, bytes.len(), |parser, cx| parser.feed(side, bytes, cx))
    }

    fn fin_initiator(&mut self) -> Vec<L7Message<C>> {
        let side = FlowSide::Initiator;
        self.without_context(side, 0, |parser, cx| parser.fin(side, cx))
    }

    fn fin_responder(&mut self) -> Vec<L7Message<C>> {
        let side = FlowSide::Responder;
        self.without_context(side, 0, |parser, cx| parser.fin(side, cx))
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

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, L7Message<C>>) {
        let at = cx.mark(0);
        self.feed_piece(side, Piece { bytes, at }, cx);
        self.look_for_poison();
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, L7Message<C>>) -> GapAction {
        // A gap at which a side leaves a layer is one in the next, too.
        loop {
            self.catch_up(side, cx.offset());
            let inside = *of(&mut self.inside, side);
            let outer = self.outers.len().saturating_sub(inside);
            let Some(layer) = self.outers.get_mut(outer) else {
                // What comes behind it is not the beginning of anything.
                self.stop_waiting(side, cx);
                if let Layer::Opening(opening) = &mut self.current {
                    // It has to know that what it reads is not the beginning.
                    opening.http.begin(|| Reader::boxed(self.config.http.clone()));
                }
                self.current.gap(side, gap, cx);
                break;
            };
            layer.gap(side, gap, cx);
            self.catch_up(side, cx.offset());
            if *of(&mut self.inside, side) == inside {
                break;
            }
        }
        self.look_for_done();
        self.look_for_poison();
        // Each parser has its own view of what the gap cost; `wants` says what they are left with.
        GapAction::Resume
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, L7Message<C>>) {
        self.stop_waiting(side, cx);
        let Self { outers, current, .. } = self;
        outers.iter_mut().chain([current]).for_each(|layer| layer.fin(side, cx));
        self.look_for_done();
        self.look_for_poison();
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, L7Message<C>>) {
        self.stop_waiting(side, cx);
        let Self { outers, current, .. } = self;
        outers.iter_mut().chain([current]).for_each(|layer| layer.close(side, reason, cx));
        self.look_for_poison();
    }

    fn wants(&self, side: FlowSide) -> bool {
        let [initiator, responder] = self.done;
        !(if side == FlowSide::Initiator { initiator } else { responder })
    }

    fn buffered_bytes(&self) -> usize {
        let Self { outers, current, .. } = self;
        outers.iter().chain([current]).map(Layer::buffered_bytes).sum()
    }
}

impl<C: Send + Debug + 'static> L7Parser<C> {
    fn rst(&mut self, side: FlowSide) {
        let Self { outers, current, .. } = self;
        outers.iter_mut().chain([current]).for_each(|layer| layer.rst(side));
        self.look_for_done();
    }
}

impl<C: Send + Debug + 'static> Default for L7Parser<C> {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl<C: Send + Debug + 'static> Clone for L7Parser<C> {
    fn clone(&self) -> Self {
        Self { service: self.service, ..Self::new(Arc::clone(&self.config)) }
    }
}
