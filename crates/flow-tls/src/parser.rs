use bytes::Bytes;
use flow_core::{EndReason, FlowSide, Gap, Timestamp};
use flow_session::{Context, GapAction, Mark, SessionParser};

use crate::alert::TlsAlert;
use crate::certificate::TlsCertificateChain;
use crate::client_hello::TlsClientHello;
use crate::config::TlsConfig;
use crate::detect::{DETECTION_LEN, Opening, hello, opening};
use crate::message::TlsMessage;
use crate::record::{
    ALERT, APPLICATION_DATA, CERTIFICATE, CHANGE_CIPHER_SPEC, CLIENT_HELLO, HANDSHAKE,
    HANDSHAKE_HEADER, HEARTBEAT, Head, MAX_RECORD, Partial, RECORD_HEADER, Record, SERVER_HELLO,
    handshake_header,
};
use crate::server_hello::TlsServerHello;
use crate::version::TlsVersion;

/// Finds what a TLS connection shows in clear: SSL 2.0 hellos, SSL 3.0 to TLS 1.3.
///
/// Each side is read until it is encrypted; then, or at once if it is not TLS, the parser
/// [wants](SessionParser::wants) no more of it and holds no memory for it. So it can be run on
/// every TCP connection. A stream that began as TLS and then makes no sense poisons it.
///
/// Which side is the client is told from the hellos, so connections joined in their middle and
/// swapped sides are no trouble. Nothing is allocated unless a message completes or is cut by the
/// end of what was fed.
#[derive(Clone, Debug, Default)]
pub struct TlsParser {
    config: TlsConfig,
    initiator: Side,
    responder: Side,
    /// A HelloRetryRequest was seen: there will be a second ClientHello.
    retry: bool,
    /// A ServerHello was seen that is none.
    negotiated: bool,
    poison: Option<&'static str>,
}

/// One direction.
#[derive(Clone, Debug, Default)]
struct Side {
    state: State,
    /// The first bytes of the stream, of a record header, or of an alert.
    head: Head<DETECTION_LEN>,
    /// The current record.
    record: Record,
    /// ClientHellos seen; a side with any is the client.
    hellos: u8,
    /// The client offered early data, and may send it before it has an answer.
    early_data: bool,
    /// The client has sent a ChangeCipherSpec that need not mean what it says: TLS 1.3 sends one
    /// before the second ClientHello to please middleboxes (RFC 8446 appendix D.4).
    after_ccs: bool,
    /// Bytes of a handshake message of no interest that are still to come.
    skip: usize,
    /// Bytes passed over, in search of a hello while opening, of early data after.
    passed: usize,
    /// A message that waits for its rest.
    partial: Option<Box<Partial>>,
}

/// What a side waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The first bytes, which tell whether this is TLS.
    #[default]
    Opening,
    /// The rest of an SSL 2.0 hello.
    Ssl2Hello,
    /// Records.
    Records,
    /// Nothing.
    Done,
}

/// What to do with a handshake message, judged by its header.
enum Plan {
    Read,
    Skip,
    Stop,
}

/// Early data skipped before a client is given up, in bytes.
///
/// Rationale: servers commonly take 16 KiB (RFC 8446 section 8 has the reasons to take little),
/// and the wait for a second ClientHello must end in a capture without the server's side.
const MAX_EARLY_DATA: usize = 256 << 10;

/// Level and description.
const ALERT_LEN: usize = 2;

/// Bytes of alerts that one record in clear may have: a warning or two in front of what is fatal.
const MAX_ALERTS_LEN: u16 = 8;

impl TlsParser {
    /// A parser with these limits; `default()` has the default ones.
    #[must_use]
    pub fn with_config(config: TlsConfig) -> Self {
        Self { config, ..Self::default() }
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

    /// Nothing more is needed of `side`; what is held for it goes.
    fn stop(&mut self, side: FlowSide) {
        let Side { hellos, .. } = *self.side(side);
        *self.side_mut(side) = Side { state: State::Done, hellos, ..Side::default() };
    }

    fn stop_both(&mut self) {
        self.stop(FlowSide::Initiator);
        self.stop(FlowSide::Responder);
    }

    fn poison(&mut self, reason: &'static str) {
        self.stop_both();
        self.poison = Some(reason);
    }

    /// Tells from the first bytes what `side` speaks. `bytes` is a whole piece: a side is only
    /// opening at the start of one.
    fn open(&mut self, from: FlowSide, bytes: &[u8], at: Mark) -> usize {
        let scan_limit = self.config.scan_for_hello;
        loop {
            let side = self.side_mut(from);
            let held = side.head.len();
            if held == 0 {
                side.record.start = at;
            }
            side.head.fill(bytes, DETECTION_LEN);
            let opening = if side.passed == 0 {
                opening(side.head.bytes())
            } else {
                hello(side.head.bytes()).map(|yes| yes.then_some(Opening::Records))
            };
            match opening {
                None => return bytes.len(),
                Some(Some(opening)) => return self.opened(from, opening, held),
                Some(None) => {}
            }
            side.head.clear();
            side.passed = side.passed.saturating_add(held.max(1));
            if held == 0 {
                side.passed = side.passed.saturating_add(bytes.len() - 1);
            }
            if side.passed >= scan_limit {
                self.stop(from);
                return bytes.len();
            }
            if held == 0 {
                return bytes.len();
            }
            // What was held is not the beginning, but this piece may be.
        }
    }

    /// Begins the first record, of which `held` bytes came with earlier pieces; says how many of
    /// this piece's bytes are used.
    fn opened(&mut self, from: FlowSide, opening: Opening, held: usize) -> usize {
        let max_buffer = self.config.max_buffer;
        let side = self.side_mut(from);
        let head = std::mem::take(&mut side.head);
        side.passed = 0;
        if opening == Opening::Records {
            side.state = State::Records;
            let (header, fragment) = head.bytes().split_at(RECORD_HEADER.min(head.len()));
            self.begin_record(from, header);
            let fragment = fragment.get(..held.saturating_sub(RECORD_HEADER)).unwrap_or_default();
            let side = self.side_mut(from);
            if !fragment.is_empty() && side.state == State::Records {
                // Detection needs no more than the record has, and less than any message.
                side.record.left =
                    side.record.left.saturating_sub(u16::try_from(fragment.len()).unwrap_or(0));
                side.keep(fragment, HANDSHAKE_HEADER);
            }
            return RECORD_HEADER.saturating_sub(held);
        }
        let want = match *head.bytes() {
            [high, low, ..] => 2 + usize::from(u16::from_be_bytes([high & 0x7f, low])),
            _ => 0,
        };
        if opening == Opening::Ssl2ServerHello {
            // What follows is SSL 2.0's own handshake, of which nothing is decoded.
            self.stop_both();
        } else if want > max_buffer {
            self.poison("ClientHello longer than max_buffer");
        } else {
            side.state = State::Ssl2Hello;
            side.keep(head.bytes().get(..held).unwrap_or_default(), want);
        }
        0
    }

    /// Collects an SSL 2.0 ClientHello; says how many bytes it used.
    fn ssl2_hello(
        &mut self,
        from: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) -> usize {
        let side = self.side_mut(from);
        let Some(mut partial) = side.partial.take() else { return bytes.len() };
        let used = partial.take(bytes);
        if !partial.is_whole() {
            side.partial = Some(partial);
            return used;
        }
        let Some(hello) = TlsClientHello::parse_ssl2(&Bytes::from(partial.bytes)) else {
            self.poison("malformed SSL 2.0 ClientHello");
            return used;
        };
        side.hellos = 1;
        side.state = State::Records;
        if hello.legacy_version == TlsVersion::Ssl2 {
            self.stop(from);
        }
        cx.emit_from(partial.start, at + used, TlsMessage::ClientHello(Box::new(hello)));
        used
    }

    /// Reads a record's header or what has come of its fragment; says how many bytes it used.
    fn record(
        &mut self,
        from: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) -> usize {
        let side = self.side_mut(from);
        if side.record.left == 0 {
            if side.head.len() == 0 {
                side.record.start = cx.mark(at);
            }
            let used = side.head.fill(bytes, RECORD_HEADER);
            if side.head.len() == RECORD_HEADER {
                let head = std::mem::take(&mut side.head);
                self.begin_record(from, head.bytes());
            }
            return used;
        }
        let fragment = bytes.get(..side.record.left.into()).unwrap_or(bytes);
        side.record.left -= u16::try_from(fragment.len()).unwrap_or(side.record.left);
        match side.record.kind {
            HANDSHAKE => self.handshake(from, fragment, at, cx),
            ALERT => {
                let mut used = 0;
                while let Some(rest) = fragment.get(used..).filter(|rest| !rest.is_empty()) {
                    used += side.head.fill(rest, ALERT_LEN);
                    if side.head.len() < ALERT_LEN {
                        break;
                    }
                    if let [level @ 1..=2, description] = *side.head.bytes() {
                        let alert = TlsMessage::Alert(TlsAlert { level, description });
                        cx.emit_from(side.record.start, at + used, alert);
                    }
                    side.head.clear();
                }
            }
            _ => {}
        }
        fragment.len()
    }

    /// Takes note of a record's header, and stops where what follows is encrypted.
    fn begin_record(&mut self, from: FlowSide, header: &[u8]) {
        let &[kind, major, minor, high, low] = header else { return };
        let len = u16::from_be_bytes([high, low]);
        let (retry, negotiated) = (self.retry, self.negotiated);
        let side = self.side_mut(from);
        if major != 3 || len > MAX_RECORD || !matches!(kind, CHANGE_CIPHER_SPEC..=HEARTBEAT) {
            return self.poison("bad record header");
        }
        let version = u16::from_be_bytes([major, minor]);
        side.record = Record { start: side.record.start, kind, version, len, left: len };
        let is_client = side.hellos > 0;
        let awaits_answer = is_client && (!negotiated || retry && side.hellos < 2);
        let encrypted = match kind {
            CHANGE_CIPHER_SPEC if awaits_answer => {
                side.after_ccs = true;
                false
            }
            // A server that asked for another hello sends one for the middleboxes, too.
            CHANGE_CIPHER_SPEC => is_client || negotiated || !retry,
            // Encrypted ones are longer than the few that a record in clear has.
            ALERT => len % 2 != 0 || len > MAX_ALERTS_LEN || side.after_ccs && !retry,
            APPLICATION_DATA => {
                side.passed = side.passed.saturating_add(len.into());
                !(awaits_answer && side.early_data && side.passed <= MAX_EARLY_DATA)
            }
            _ => false,
        };
        if encrypted {
            self.stop(from);
        }
    }

    /// Reads the handshake messages in a record's fragment, or in what has come of it.
    fn handshake(
        &mut self,
        from: FlowSide,
        fragment: &[u8],
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        let end = at + fragment.len();
        let mut rest = fragment;
        while !rest.is_empty() && self.wants(from) {
            let side = self.side_mut(from);
            if side.skip > 0 {
                let skipped = side.skip.min(rest.len());
                side.skip -= skipped;
                rest = rest.get(skipped..).unwrap_or_default();
                continue;
            }
            if let Some(mut partial) = side.partial.take() {
                let used = partial.take(rest);
                rest = rest.get(used..).unwrap_or_default();
                self.resume(from, partial, end - rest.len(), cx);
                continue;
            }
            let Some((kind, len)) = handshake_header(rest) else {
                return side.keep(rest, HANDSHAKE_HEADER);
            };
            match self.plan(from, kind, len) {
                Plan::Stop => return,
                Plan::Skip => self.side_mut(from).skip = len,
                Plan::Read => {
                    let side = self.side_mut(from);
                    let Some((message, after)) = rest.split_at_checked(len) else {
                        return side.keep(rest, len);
                    };
                    rest = after;
                    let (start, version) = (side.record.start, side.record.version);
                    let message = Bytes::copy_from_slice(message);
                    self.message(from, &message, version, start, end - rest.len(), cx);
                }
            }
        }
    }

    /// Goes on with a message that began earlier: its header or all of it may be there now.
    fn resume(
        &mut self,
        from: FlowSide,
        mut partial: Box<Partial>,
        end: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        if partial.is_whole() && partial.want == HANDSHAKE_HEADER {
            let Some((kind, len)) = handshake_header(&partial.bytes) else { return };
            match self.plan(from, kind, len) {
                Plan::Stop => return,
                Plan::Skip => return self.side_mut(from).skip = len - HANDSHAKE_HEADER,
                Plan::Read => partial.want = len,
            }
        }
        if partial.is_whole() {
            let Partial { start, record_version, bytes, .. } = *partial;
            self.message(from, &Bytes::from(bytes), record_version, start, end, cx);
        } else {
            self.side_mut(from).partial = Some(partial);
        }
    }

    /// Judges a handshake message of `len` bytes by its header.
    fn plan(&mut self, from: FlowSide, kind: u8, len: usize) -> Plan {
        let (retry, config) = (self.retry, self.config);
        let side = self.side_mut(from);
        if side.after_ccs {
            // A second ClientHello, or the encrypted Finished of a resumed session, which has
            // random bytes here.
            let second_hello = kind == CLIENT_HELLO
                && (retry || len == usize::from(side.record.len))
                && len <= config.max_buffer;
            if !second_hello {
                self.stop(from);
                return Plan::Stop;
            }
        }
        match kind {
            CLIENT_HELLO | SERVER_HELLO if len > config.max_buffer => {
                self.poison("hello longer than max_buffer");
                Plan::Stop
            }
            CERTIFICATE if len > config.max_certificates => {
                self.poison("Certificate longer than max_certificates");
                Plan::Stop
            }
            CLIENT_HELLO | SERVER_HELLO | CERTIFICATE => Plan::Read,
            _ => Plan::Skip,
        }
    }

    /// Decodes a whole handshake message.
    fn message(
        &mut self,
        from: FlowSide,
        message: &Bytes,
        record_version: u16,
        start: Mark,
        end: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        let Some(kind) = message.first() else { return };
        let body = message.slice(HANDSHAKE_HEADER.min(message.len())..);
        let version = TlsVersion::from_raw(record_version);
        let message = match *kind {
            CLIENT_HELLO => self.client_hello(from, version, &body),
            SERVER_HELLO => self.server_hello(from, version, &body),
            _ => {
                let chain = TlsCertificateChain::parse(&body);
                chain.map(TlsMessage::Certificate).ok_or("malformed Certificate")
            }
        };
        match message {
            Ok(message) => cx.emit_from(start, end, message),
            Err(reason) => self.poison(reason),
        }
    }

    fn client_hello(
        &mut self,
        from: FlowSide,
        record_version: TlsVersion,
        body: &Bytes,
    ) -> Result<TlsMessage, &'static str> {
        let hello = TlsClientHello::parse(record_version, body).ok_or("malformed ClientHello")?;
        let side = self.side_mut(from);
        side.hellos = side.hellos.saturating_add(1);
        side.early_data = hello.offers_early_data();
        Ok(TlsMessage::ClientHello(Box::new(hello)))
    }

    fn server_hello(
        &mut self,
        from: FlowSide,
        record_version: TlsVersion,
        body: &Bytes,
    ) -> Result<TlsMessage, &'static str> {
        let hello = TlsServerHello::parse(record_version, body).ok_or("malformed ServerHello")?;
        if hello.hello_retry {
            self.retry = true;
        } else {
            self.negotiated = true;
            if hello.version().hides_handshake() {
                self.stop(from);
            }
            // The client's ChangeCipherSpec came first, and now it is clear that it was meant,
            // unless the second ClientHello is late.
            let client = self.side(from.other());
            if client.after_ccs && (!self.retry || client.hellos > 1) {
                self.stop(from.other());
            }
        }
        Ok(TlsMessage::ServerHello(Box::new(hello)))
    }

    /// [`feed`](SessionParser::feed) without an engine.
    fn feed_alone(&mut self, side: FlowSide, bytes: &[u8]) -> Vec<TlsMessage> {
        let (mut pending, mut out) = (None, Vec::new());
        let at = Mark { offset: 0, packet: 0 };
        let now = Timestamp::default();
        let mut cx = Context::new(now, 0, side, at, bytes.len(), &mut pending, &mut out);
        self.feed(side, bytes, &mut cx);
        out.into_iter().map(|parsed| parsed.message).collect()
    }
}

impl SessionParser for TlsParser {
    type Message = TlsMessage;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<TlsMessage> {
        self.feed_alone(FlowSide::Initiator, bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<TlsMessage> {
        self.feed_alone(FlowSide::Responder, bytes)
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, TlsMessage>) {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            at += match self.side(side).state {
                State::Opening => self.open(side, rest, cx.mark(at)),
                State::Ssl2Hello => self.ssl2_hello(side, rest, at, cx),
                State::Records => self.record(side, rest, at, cx),
                State::Done => return,
            };
        }
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _cx: &mut Context<'_, TlsMessage>) -> GapAction {
        if self.side_mut(side).jump(gap.len) {
            return GapAction::Resume;
        }
        if self.config.scan_for_hello == 0 || self.side(side).state == State::Done {
            self.stop(side);
            return GapAction::StopSide;
        }
        let Side { hellos, early_data, after_ccs, passed, .. } = *self.side(side);
        let passed = passed.max(1);
        *self.side_mut(side) = Side { hellos, early_data, after_ccs, passed, ..Side::default() };
        GapAction::Resync
    }

    fn fin(&mut self, side: FlowSide, _cx: &mut Context<'_, TlsMessage>) {
        self.stop(side);
    }

    fn rst_initiator(&mut self) {
        self.stop(FlowSide::Initiator);
    }

    fn rst_responder(&mut self) {
        self.stop(FlowSide::Responder);
    }

    fn close(&mut self, side: FlowSide, _reason: EndReason, _cx: &mut Context<'_, TlsMessage>) {
        self.stop(side);
    }

    fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    fn poison_reason(&self) -> Option<&str> {
        self.poison
    }

    fn wants(&self, side: FlowSide) -> bool {
        self.side(side).state != State::Done
    }

    fn buffered_bytes(&self) -> usize {
        let partials = [&self.initiator, &self.responder].map(|side| side.partial.as_deref());
        let held = |partial: &Partial| size_of::<Partial>() + partial.bytes.capacity();
        partials.into_iter().flatten().map(held).sum()
    }
}

impl Side {
    /// Keeps the beginning of a message that needs `want` bytes for the next step.
    fn keep(&mut self, bytes: &[u8], want: usize) {
        self.partial = Some(Box::new(Partial {
            start: self.record.start,
            record_version: self.record.version,
            bytes: bytes.to_vec(),
            want,
        }));
    }

    /// Passes over `len` missing bytes if it is known what they were, all of them inside one
    /// record: data of no interest, or a handshake message that is lost alone.
    fn jump(&mut self, len: u64) -> bool {
        let inside = u16::try_from(len).ok().filter(|len| *len <= self.record.left);
        let Some(len) = inside.filter(|_| self.state == State::Records) else { return false };
        match self.record.kind {
            APPLICATION_DATA | HEARTBEAT => {}
            HANDSHAKE => {
                let missing = self.partial.as_ref().map_or(0, |partial| match partial.want {
                    HANDSHAKE_HEADER => 0,
                    want => want - partial.bytes.len(),
                });
                let skip = self.skip.max(missing);
                if usize::from(len) > skip {
                    return false;
                }
                self.skip = skip - usize::from(len);
                self.partial = None;
            }
            _ => return false,
        }
        self.record.left -= len;
        true
    }
}
