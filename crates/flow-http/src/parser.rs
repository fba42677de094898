mod bodies;
mod heads;
mod searching;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use flow_core::{EndReason, FlowSide, Gap, Timestamp};
use flow_session::{Context, GapAction, Mark, SessionParser};

use self::heads::buffered_head;
use crate::exchange::Exchanges;
use crate::framing::Framing;
use crate::search::Search;
use crate::side::{Evidence, Side, State};
use crate::{HttpConfig, HttpMessage, Tunnel};

/// Reads the HTTP/1.x messages of a TCP connection.
///
/// [`SessionParser::feed_initiator`] and its like can be used instead of [`SessionParser::feed`];
/// mixing the two makes the offsets of a [`Tunnel`] wrong.
///
/// Which side is the client is told by what it sends, not by who opened the connection. A clone
/// of a fresh parser is a fresh parser with the same configuration.
///
/// Memory is bounded for each side by [`HttpConfig::max_buffer`], [`HttpConfig::max_trailers`]
/// and [`HttpConfig::body`], and by [`HttpConfig::max_pending_requests`]; of bytes that are part of
/// no message at most 16 KiB are kept while a start line is looked for, and nothing grows with the
/// length of the connection.
#[derive(Clone, Debug)]
pub struct HttpParser {
    config: Arc<HttpConfig>,
    initiator: Side,
    responder: Side,
    exchanges: Exchanges,
    tunnel: Option<Box<Tunnel>>,
    /// Why a side was given up. The other one may still be wanted.
    broken: Option<Box<str>>,
}

/// A stream that was HTTP is not any more.
#[derive(Debug)]
struct Broken {
    reason: &'static str,
    /// How many of the next bytes still belong to the message.
    taken: usize,
}

impl Broken {
    const fn new(reason: &'static str, taken: usize) -> Self {
        Self { reason, taken }
    }
}

impl HttpParser {
    /// A parser with these limits.
    #[must_use]
    pub fn with_config(mut config: HttpConfig) -> Self {
        // Places in a head are kept in 32 bits.
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        config.max_buffer = config.max_buffer.min(most);
        config.max_trailers = config.max_trailers.min(most);
        Self {
            config: Arc::new(config),
            initiator: Side::default(),
            responder: Side::default(),
            exchanges: Exchanges::default(),
            tunnel: None,
            broken: None,
        }
    }

    /// The limits.
    #[must_use]
    pub fn config(&self) -> &HttpConfig {
        &self.config
    }

    /// Whether a valid start line was seen, so that the connection is, or was, HTTP.
    #[must_use]
    pub fn is_http(&self) -> bool {
        FlowSide::BOTH.iter().any(|&side| self.side(side).evidence == Evidence::Http)
    }

    /// Whether both sides began with something else than a message.
    #[must_use]
    pub fn is_not_http(&self) -> bool {
        FlowSide::BOTH.iter().all(|&side| self.side(side).evidence == Evidence::NotHttp)
    }

    /// What the connection became, once it is no longer HTTP/1.x by agreement.
    #[must_use]
    pub fn tunnel(&self) -> Option<&Tunnel> {
        self.tunnel.as_deref()
    }

    /// [`SessionParser::feed`] up to the message that shows that [it is HTTP](Self::is_http), so
    /// that what waits of the other side can come before the rest; says how many bytes it took.
    pub fn feed_until_http(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        cx: &mut Context<'_, HttpMessage>,
    ) -> usize {
        self.feed_while(|parser| !parser.is_http(), side, bytes, cx)
    }

    fn side(&self, side: FlowSide) -> &Side {
        match side {
            FlowSide::Initiator => &self.initiator,
            FlowSide::Responder => &self.responder,
        }
    }

    fn side_mut(&mut self, side: FlowSide) -> &mut Side {
        match side {
            FlowSide::Initiator => &mut self.initiator,
            FlowSide::Responder => &mut self.responder,
        }
    }
}

impl Default for HttpParser {
    fn default() -> Self {
        Self::with_config(HttpConfig::default())
    }
}

impl SessionParser for HttpParser {
    type Message = HttpMessage;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<HttpMessage> {
        self.without_context(FlowSide::Initiator, bytes.len(), |parser, cx| {
            parser.feed(FlowSide::Initiator, bytes, cx);
        })
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<HttpMessage> {
        self.without_context(FlowSide::Responder, bytes.len(), |parser, cx| {
            parser.feed(FlowSide::Responder, bytes, cx);
        })
    }

    fn fin_initiator(&mut self) -> Vec<HttpMessage> {
        self.without_context(FlowSide::Initiator, 0, |parser, cx| {
            parser.fin(FlowSide::Initiator, cx);
        })
    }

    fn fin_responder(&mut self) -> Vec<HttpMessage> {
        self.without_context(FlowSide::Responder, 0, |parser, cx| {
            parser.fin(FlowSide::Responder, cx);
        })
    }

    fn is_poisoned(&self) -> bool {
        self.broken.is_some() && FlowSide::BOTH.iter().all(|&side| !self.wants(side))
    }

    fn poison_reason(&self) -> Option<&str> {
        self.broken.as_deref().filter(|_| self.is_poisoned())
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, HttpMessage>) {
        self.feed_while(|_| true, side, bytes, cx);
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, HttpMessage>) -> GapAction {
        if matches!(self.side(side).state, State::Behind09 | State::Off) {
            self.side_mut(side).stop();
            return GapAction::StopSide;
        }
        if self.resume_behind(side, gap, cx) {
            return GapAction::Resume;
        }
        self.cut(side, 0, cx);
        if self.enter_tunnel(side, cx.offset()) {
            return GapAction::StopSide;
        }
        self.exchanges.lose();
        let sender = self.side_mut(side);
        sender.clear_buffer();
        sender.state = State::Search(Search::AT_LINE);
        GapAction::Resync
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, HttpMessage>) {
        self.end(side, true, cx);
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, HttpMessage>) {
        self.end(side, reason == EndReason::Fin, cx);
    }

    fn wants(&self, side: FlowSide) -> bool {
        self.side(side).state != State::Off
    }

    fn buffered_bytes(&self) -> usize {
        self.initiator.buffered_bytes()
            + self.responder.buffered_bytes()
            + self.exchanges.buffered_bytes()
    }
}

impl HttpParser {
    fn feed_while(
        &mut self,
        goes_on: impl Fn(&Self) -> bool,
        side: FlowSide,
        bytes: &[u8],
        cx: &mut Context<'_, HttpMessage>,
    ) -> usize {
        let mut at = 0;
        while let Some(rest @ [_, ..]) = bytes.get(at..) {
            if !goes_on(self) {
                return at;
            }
            self.stop_if_idle(side);
            let taken = match self.side(side).state {
                State::StartLine => self.start_line(side, rest, at, cx),
                State::Head => self.head(side, rest, at, cx),
                State::Body(framing) => self.body(side, framing, rest, at, cx),
                State::Search(search) => Ok(self.search(side, search, rest, at, cx)),
                State::Behind09 => Ok(self.behind09(side, rest, at, cx)),
                State::Off => return bytes.len(),
            };
            match taken {
                Ok(taken) => at += taken,
                Err(broken) => {
                    self.break_off(side, &broken, at, cx);
                    return bytes.len();
                }
            }
        }
        self.stop_if_idle(side);
        bytes.len()
    }

    /// Puts out what there is of a message that is cut off before the byte with index `end`.
    fn cut(&mut self, side: FlowSide, end: usize, cx: &mut Context<'_, HttpMessage>) {
        let sender = self.side_mut(side);
        match sender.state {
            State::Body(_) => self.finish(side, end, false, cx),
            State::Head => {
                let (text, lines) = (std::mem::take(&mut sender.buffer), sender.section.lines());
                sender.clear_buffer();
                if let Some(head) = buffered_head(&text, lines, false) {
                    let fields = head.fields(self.config.max_headers);
                    let (message, ..) = self.read_head(side, &head, fields);
                    self.emit(side, end, message, cx);
                }
            }
            State::StartLine | State::Search(_) | State::Behind09 | State::Off => {}
        }
    }

    /// `side` sends nothing more; `fin` says that it has sent everything.
    fn end(&mut self, side: FlowSide, fin: bool, cx: &mut Context<'_, HttpMessage>) {
        let sender = self.side(side);
        if sender.state == State::StartLine
            && !sender.buffer.is_empty()
            && self.exchanges.next_for(side).is_some_and(|asked| asked.http09)
        {
            // The answer was so short that it might have become a start line.
            self.http09_response(side, 0, cx);
        }
        if self.side(side).state == State::Body(Framing::UntilClose) {
            self.finish(side, 0, fin, cx);
        }
        self.cut(side, 0, cx);
        self.side_mut(side).stop();
    }

    /// Puts out what there is of a message, and gives the side up; the other one too, once it has
    /// finished what it is in and has answered what it was asked.
    fn break_off(
        &mut self,
        side: FlowSide,
        broken: &Broken,
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) {
        let end = at.saturating_add(broken.taken);
        let sender = self.side(side);
        // What is no start line is wrong from its first byte on.
        let start = sender.mark.filter(|_| sender.state == State::StartLine);
        let offset = start.unwrap_or_else(|| cx.mark(end)).offset;
        cx.anomaly_at(offset, broken.reason);
        self.cut(side, end, cx);
        let sender = match side {
            FlowSide::Initiator => "initiator",
            FlowSide::Responder => "responder",
        };
        let reason = || format!("{} (at byte {offset} of the {sender})", broken.reason).into();
        self.broken.get_or_insert_with(reason);
        if start.is_some() {
            self.exchanges.ask_unreadably(side);
        }
        self.side_mut(side).stop();
        self.stop_if_idle(side.other());
    }

    /// Gives up a side that is between messages and owes no answer, if the other one was given up
    /// because it broke off.
    fn stop_if_idle(&mut self, side: FlowSide) {
        if self.broken.is_none() {
            return;
        }
        let sender = self.side(side);
        let between_messages = sender.state == State::StartLine && sender.buffer.is_empty()
            || matches!(sender.state, State::Search(_) | State::Behind09);
        if between_messages && !self.exchanges.owes(side) {
            self.side_mut(side).stop();
        }
    }

    /// Whether `side` is in a tunnel; `offset` is then where its next byte is.
    fn enter_tunnel(&mut self, side: FlowSide, offset: u64) -> bool {
        let Some(tunnel) = &mut self.tunnel else { return false };
        tunnel.enter(side, offset);
        self.side_mut(side).stop();
        true
    }

    /// Ends HTTP on a side that is between messages: behind the last one the tunnel begins. A
    /// side that went silent to HTTP before had sent into the tunnel before it was there.
    fn end_in_tunnel(&mut self, side: FlowSide) {
        let sender = self.side(side);
        let between_messages = sender.state == State::StartLine && sender.buffer.is_empty();
        if between_messages || sender.state == State::Off && sender.may_tunnel {
            self.enter_tunnel(side, sender.end);
        }
    }

    fn without_context(
        &mut self,
        side: FlowSide,
        len: usize,
        call: impl FnOnce(&mut Self, &mut Context<'_, HttpMessage>),
    ) -> Vec<HttpMessage> {
        let sender = self.side_mut(side);
        let at = Mark { offset: sender.fed, packet: 0 };
        sender.fed = sender.fed.saturating_add(len as u64);
        let (mut pending, mut out) = (None, Vec::new());
        let time = Timestamp::from_nanos(0);
        call(self, &mut Context::new(time, 0, side, at, len, &mut pending, &mut out));
        out.into_iter().map(|parsed| parsed.message).collect()
    }
}
