use flow_core::{EndReason, FlowSide, Gap, Timestamp};
use flow_session::{Context, GapAction, Mark, SessionParser};

use crate::config::DnsConfig;
use crate::detect::{DnsDetection, DnsService, detect_dns_stream};
use crate::message::{DnsDefect, DnsMessage};
use crate::transactions::Transactions;

/// Octets of the length before each message (RFC 1035 4.2.2, RFC 7766 8).
const PREFIX: usize = 2;

/// Messages in a row that cannot be DNS before a stream that was is given up.
///
/// Rationale: the length shows where the next one begins, so a single bad one is passed over.
const MAX_STRANGE: u8 = 4;

/// Reads the messages of a connection and matches responses with queries, as
/// [`DnsUdpTransactions`](crate::DnsUdpTransactions) does.
///
/// A message that is whole in the bytes given is read in place. One that is not is kept until the
/// rest comes, 65,537 bytes at most. A gap inside of a message costs what is missing of it: what
/// came before is given out as a message that is [`CutShort`](crate::DnsDefect::CutShort). After
/// a gap that is not within one message, the side goes on if what follows is DNS beyond doubt, as it
/// is where whole segments with whole messages are missing; otherwise the rest of the side is lost.
///
/// If the first message of the connection is not DNS, see [`detect_dns_stream`], the parser
/// [wants](SessionParser::wants) no more.
#[derive(Clone, Debug)]
pub struct DnsTcpParser {
    service: DnsService,
    transactions: Transactions,
    sides: [Side; 2],
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No message was whole yet.
    Undecided,
    /// The connection is DNS; so many messages in a row were not.
    Dns { strange: u8 },
    /// The connection is not DNS.
    NotDns,
}

#[derive(Clone, Debug, Default)]
struct Side {
    /// The message that is not whole yet, with its length.
    ///
    /// Invariant: shorter than its length says.
    buffer: Vec<u8>,
    /// Where the buffer's first byte came from.
    start: Option<Mark>,
    /// Bytes still to come of a message that has a gap.
    skip: usize,
    framing: Framing,
}

/// Whether the beginnings of a side's messages are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Framing {
    #[default]
    Known,
    /// A gap ended here, perhaps inside of a message.
    Doubtful,
    /// It did.
    Lost,
}

/// A message with its length, or as much as there is of it.
#[derive(Clone, Copy, Debug)]
struct Framed<'a> {
    bytes: &'a [u8],
    /// Where its first byte came from.
    start: Mark,
    /// Where it ends among the bytes that the context is about.
    end: usize,
}

impl Default for DnsTcpParser {
    fn default() -> Self {
        Self::new(DnsConfig::default())
    }
}

impl DnsTcpParser {
    /// One for a connection of which nothing is known.
    #[must_use]
    pub fn new(config: DnsConfig) -> Self {
        Self {
            service: DnsService::Unknown,
            transactions: Transactions::new(config),
            sides: Default::default(),
            state: State::Undecided,
        }
    }

    /// The same for a connection whose ports are known.
    #[must_use]
    pub const fn with_service(mut self, service: DnsService) -> Self {
        self.service = service;
        self
    }

    /// The buffer's part of a message, and then all messages that are whole in `bytes`.
    fn read(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, DnsMessage>) {
        let mut at = self.skip(side, bytes.len());
        if !self.side(side).buffer.is_empty() {
            let rest = bytes.get(at..).unwrap_or_default();
            at += self.side(side).fill(rest);
            if !is_whole(&self.side(side).buffer) {
                self.reconsider(side);
                return;
            }
            let buffer = std::mem::take(&mut self.side(side).buffer);
            let start = self.side(side).start.take().unwrap_or_else(|| cx.mark(0));
            self.message(side, Framed { bytes: &buffer, start, end: at }, cx);
        }
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if self.is_over() || self.side(side).framing == Framing::Lost {
                return;
            }
            let start = cx.mark(at);
            let Some(framed) = framed_len(rest).and_then(|len| rest.get(..len)) else {
                self.side(side).buffer.extend_from_slice(rest);
                self.side(side).start = Some(start);
                self.reconsider(side);
                return;
            };
            at += framed.len();
            self.message(side, Framed { bytes: framed, start, end: at }, cx);
        }
    }

    /// How many of `len` bytes belong to a message that has a gap.
    fn skip(&mut self, side: FlowSide, len: usize) -> usize {
        let side = self.side(side);
        let skipped = side.skip.min(len);
        side.skip -= skipped;
        skipped
    }

    /// Looks at the beginning of the first message, and of the first one behind a gap, so that
    /// something else is not kept until its first two bytes, taken for a length, are fulfilled.
    fn reconsider(&mut self, side: FlowSide) {
        let is_doubtful = self.side(side).framing == Framing::Doubtful;
        if is_doubtful || self.state == State::Undecided {
            let service = self.expected(side);
            match detect_dns_stream(&self.side(side).buffer, service) {
                DnsDetection::NotDns if is_doubtful => self.lose(side),
                DnsDetection::NotDns => self.give_up(State::NotDns),
                DnsDetection::Dns | DnsDetection::NeedMore => {}
            }
        }
    }

    /// It is not known where the messages of a side begin.
    fn lose(&mut self, side: FlowSide) {
        *self.side(side) = Side { framing: Framing::Lost, ..Side::default() };
    }

    fn message(&mut self, side: FlowSide, framed: Framed<'_>, cx: &mut Context<'_, DnsMessage>) {
        let Some(mut message) = self.decode(side, framed.bytes, cx.timestamp()) else {
            let is_doubtful = self.side(side).framing == Framing::Doubtful;
            match self.state {
                _ if is_doubtful => self.lose(side),
                State::Dns { strange } if strange + 1 < MAX_STRANGE => {
                    self.state = State::Dns { strange: strange + 1 };
                }
                State::Dns { .. } => {
                    self.give_up(State::Dns { strange: MAX_STRANGE });
                    self.tell_unanswered(framed.end, cx);
                }
                _ => self.give_up(State::NotDns),
            }
            return;
        };
        self.state = State::Dns { strange: 0 };
        self.side(side).framing = Framing::Known;
        if is_whole(framed.bytes) {
            if let Some(defect) = message.malformed() {
                cx.anomaly(framed.end.saturating_sub(1), defect.reason());
            }
        } else {
            message.set_malformed(DnsDefect::CutShort);
        }
        // Wherever the piece begins, the message shows how late it is.
        let at = cx.mark(framed.end);
        self.transactions.sweep(cx.timestamp(), |query| {
            cx.emit_from(at, framed.end, DnsMessage::Unanswered(query));
        });
        self.transactions.track(side, &mut message);
        cx.emit_from(framed.start, framed.end, message);
    }

    fn decode(&mut self, side: FlowSide, framed: &[u8], now: Timestamp) -> Option<DnsMessage> {
        let is_dns = detect_dns_stream(framed, self.expected(side)) == DnsDetection::Dns;
        framed.get(PREFIX..).filter(|_| is_dns).and_then(|body| DnsMessage::decode(body, now))
    }

    /// Gives out the queries that wait: no response can come any more, which the bytes before the
    /// one with index `end` show.
    fn tell_unanswered(&mut self, end: usize, cx: &mut Context<'_, DnsMessage>) {
        for query in self.transactions.drain() {
            cx.emit_from(cx.mark(end), end, DnsMessage::Unanswered(query));
        }
    }

    /// What the next message is examined as: once there was a message, all are lenient that begin
    /// where the one before ends.
    fn expected(&mut self, side: FlowSide) -> DnsService {
        match (self.side(side).framing, self.state, self.service) {
            (Framing::Doubtful, ..) => DnsService::Unknown,
            (_, State::Dns { .. }, DnsService::Unknown) => DnsService::Dns,
            (.., service) => service,
        }
    }

    fn give_up(&mut self, state: State) {
        self.state = state;
        self.sides = Default::default();
    }

    /// Whether nothing more is to be read.
    fn is_over(&self) -> bool {
        self.state == State::NotDns || self.is_poisoned()
    }

    fn side(&mut self, side: FlowSide) -> &mut Side {
        let [initiator, responder] = &mut self.sides;
        match side {
            FlowSide::Initiator => initiator,
            FlowSide::Responder => responder,
        }
    }

    /// What there is of a message of which no more comes.
    fn cut_message(&mut self, side: FlowSide, cx: &mut Context<'_, DnsMessage>) {
        let service = self.expected(side);
        let Side { buffer, start, .. } = std::mem::take(self.side(side));
        let is_dns = detect_dns_stream(&buffer, service) == DnsDetection::Dns;
        if let (true, Some(start)) = (is_dns, start) {
            self.message(side, Framed { bytes: &buffer, start, end: 0 }, cx);
        }
    }

    /// Feeds without provenance, for the plain methods of the trait.
    fn feed_plain(&mut self, side: FlowSide, bytes: &[u8]) -> Vec<DnsMessage> {
        let (mut out, mut pending) = (Vec::new(), None);
        let (at, now) = (Mark { offset: 0, packet: 0 }, Timestamp::default());
        let mut cx = Context::new(now, 0, side, at, bytes.len(), &mut pending, &mut out);
        self.feed(side, bytes, &mut cx);
        out.into_iter().map(|parsed| parsed.message).collect()
    }
}

impl SessionParser for DnsTcpParser {
    type Message = DnsMessage;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<DnsMessage> {
        self.feed_plain(FlowSide::Initiator, bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<DnsMessage> {
        self.feed_plain(FlowSide::Responder, bytes)
    }

    fn is_poisoned(&self) -> bool {
        matches!(self.state, State::Dns { strange: MAX_STRANGE.. })
    }

    fn poison_reason(&self) -> Option<&str> {
        self.is_poisoned().then_some("DNS over TCP lost its framing")
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, DnsMessage>) {
        if !self.is_over() {
            self.read(side, bytes, cx);
        }
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, DnsMessage>) -> GapAction {
        let state = self.side(side);
        let missing = match framed_len(&state.buffer) {
            _ if state.framing != Framing::Known => 0,
            Some(len) => len - state.buffer.len(),
            None if state.buffer.is_empty() => state.skip,
            None => 0,
        };
        self.cut_message(side, cx);
        if self.is_over() {
            return GapAction::StopSide;
        }
        let skip = usize::try_from(gap.len).ok().and_then(|len| missing.checked_sub(len));
        let framing = if skip.is_some() { Framing::Known } else { Framing::Doubtful };
        *self.side(side) = Side { skip: skip.unwrap_or(0), framing, ..Side::default() };
        GapAction::Resume
    }

    fn close(&mut self, side: FlowSide, _: EndReason, cx: &mut Context<'_, DnsMessage>) {
        self.cut_message(side, cx);
        // The responder is closed last, so that its last message can still be an answer.
        if side == FlowSide::Responder {
            self.tell_unanswered(0, cx);
        }
    }

    fn wants(&self, side: FlowSide) -> bool {
        let [initiator, responder] = &self.sides;
        let side = if side == FlowSide::Initiator { initiator } else { responder };
        self.state != State::NotDns && side.framing != Framing::Lost
    }

    fn buffered_bytes(&self) -> usize {
        let buffers: usize = self.sides.iter().map(|side| side.buffer.capacity()).sum();
        buffers + self.transactions.buffered_bytes()
    }
}

impl Side {
    /// Takes as much of `bytes` as the message in the buffer lacks; gives back how much it was.
    fn fill(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        // At most twice: until the length is there, and until the message is.
        loop {
            let target = framed_len(&self.buffer).unwrap_or(PREFIX);
            let lacking = target.saturating_sub(self.buffer.len());
            let rest = bytes.get(taken..).unwrap_or_default();
            let part = rest.get(..lacking).unwrap_or(rest);
            if part.is_empty() {
                return taken;
            }
            self.buffer.extend_from_slice(part);
            taken += part.len();
        }
    }
}

/// Octets of the message that `bytes` begins with, its length included.
fn framed_len(bytes: &[u8]) -> Option<usize> {
    let prefix = bytes.first_chunk::<PREFIX>()?;
    Some(PREFIX + usize::from(u16::from_be_bytes(*prefix)))
}

fn is_whole(framed: &[u8]) -> bool {
    framed_len(framed).is_some_and(|len| framed.len() >= len)
}
