use flow::dns::{DnsMessage, DnsTcpParser};
use flow::http::{HttpMessage, HttpParser};
use flow::tls::{TlsMessage, TlsParser};
use flow::{Context, EndReason, FlowSide, Gap, GapAction, Mark, Parsed, SessionParser};

/// HTTP, TLS or DNS, on any port: each parser is fed until it wants no more.
#[derive(Default)]
pub(crate) struct AnyProtocol {
    http: Candidate<HttpParser>,
    tls: Candidate<TlsParser>,
    dns: Candidate<DnsTcpParser>,
}

/// What one of them found.
#[derive(Debug)]
pub(crate) enum AnyMessage {
    Http(HttpMessage),
    Tls(TlsMessage),
    Dns(DnsMessage),
}

/// A parser with what the engine would keep for it.
struct Candidate<P: SessionParser> {
    parser: P,
    done: [bool; 2],
    pending: [Option<Mark>; 2],
    out: Vec<Parsed<P::Message>>,
}

impl<P: SessionParser + Default> Default for Candidate<P> {
    fn default() -> Self {
        Self { parser: P::default(), done: [false; 2], pending: [None; 2], out: Vec::new() }
    }
}

impl<P: SessionParser> Candidate<P> {
    fn is_done(&self, side: FlowSide) -> bool {
        self.done[side.index()]
    }

    /// Does something with the parser and passes its messages on.
    fn with<R>(
        &mut self,
        (side, len): (FlowSide, usize),
        cx: &mut Context<'_, AnyMessage>,
        wrap: fn(P::Message) -> AnyMessage,
        act: impl FnOnce(&mut P, &mut Context<'_, P::Message>) -> R,
    ) -> R {
        let pending = &mut self.pending[side.index()];
        let (ts, at) = (cx.timestamp(), cx.mark(0));
        let mut own = Context::new(ts, cx.packet(), side, at, len, pending, &mut self.out);
        let result = act(&mut self.parser, &mut own);
        for Parsed { message, first_packet, range, .. } in self.out.drain(..) {
            let start = Mark { offset: range.start, packet: first_packet };
            let end = usize::try_from(range.end.saturating_sub(at.offset)).unwrap_or(len);
            cx.emit_from(start, end, wrap(message));
        }
        if self.parser.is_poisoned() {
            self.done = [true; 2];
        } else {
            let wanted = FlowSide::BOTH.map(|side| self.parser.wants(side));
            self.done.iter_mut().zip(wanted).for_each(|(done, wanted)| *done |= !wanted);
        }
        result
    }

    fn gap(
        &mut self,
        side: FlowSide,
        gap: Gap,
        cx: &mut Context<'_, AnyMessage>,
        wrap: fn(P::Message) -> AnyMessage,
    ) {
        match self.with((side, 0), cx, wrap, |parser, cx| parser.gap(side, gap, cx)) {
            GapAction::StopSide => self.done[side.index()] = true,
            GapAction::Stop => self.done = [true; 2],
            _ => {}
        }
    }
}

/// Calls the closure body with each candidate that still wants one of the sides, and with what
/// wraps its messages.
macro_rules! for_each {
    ($any:expr, $sides:expr, ($candidate:ident, $wrap:ident) => $do:expr) => {{
        for_each!($any.http, $sides, AnyMessage::Http, ($candidate, $wrap) => $do);
        for_each!($any.tls, $sides, AnyMessage::Tls, ($candidate, $wrap) => $do);
        for_each!($any.dns, $sides, AnyMessage::Dns, ($candidate, $wrap) => $do);
    }};
    ($one:expr, $sides:expr, $message:expr, ($candidate:ident, $wrap:ident) => $do:expr) => {
        if $sides.iter().any(|side| !$one.is_done(*side)) {
            let ($candidate, $wrap) = (&mut $one, $message as fn(_) -> _);
            $do;
        }
    };
}

impl SessionParser for AnyProtocol {
    type Message = AnyMessage;

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<AnyMessage> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<AnyMessage> {
        Vec::new()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, AnyMessage>) {
        for_each!(self, [side], (candidate, wrap) => {
            candidate.with((side, bytes.len()), cx, wrap, |parser, cx| parser.feed(side, bytes, cx));
        });
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, AnyMessage>) -> GapAction {
        for_each!(self, [side], (candidate, wrap) => candidate.gap(side, gap, cx, wrap));
        GapAction::Resume
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, AnyMessage>) {
        for_each!(self, [side], (candidate, wrap) => {
            candidate.with((side, 0), cx, wrap, |parser, cx| parser.fin(side, cx));
        });
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, AnyMessage>) {
        for_each!(self, FlowSide::BOTH, (candidate, wrap) => {
            candidate.with((side, 0), cx, wrap, |parser, cx| parser.close(side, reason, cx));
        });
    }

    fn wants(&self, side: FlowSide) -> bool {
        !(self.http.is_done(side) && self.tls.is_done(side) && self.dns.is_done(side))
    }

    fn buffered_bytes(&self) -> usize {
        let Self { http, tls, dns } = self;
        http.parser.buffered_bytes() + tls.parser.buffered_bytes() + dns.parser.buffered_bytes()
    }
}
