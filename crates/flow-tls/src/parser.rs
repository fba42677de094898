use bytes::Bytes;
use flow_core::{EndReason, FlowSide, Gap, Timestamp};
use flow_session::{Context, GapAction, Mark, SessionParser};

use crate::alert::TlsAlert;
use crate::certificate::TlsCertificateChain;
use crate::client_hello::TlsClientHello;
use crate::config::TlsConfig;
use crate::detect::{DETECTION_LEN, Opening, opening};
use crate::message::TlsMessage;
use crate::record::{
    ALERT, APPLICATION_DATA, CHANGE_CIPHER_SPEC, CLIENT_HELLO, HANDSHAKE, HANDSHAKE_HEADER,
    HEARTBEAT, MAX_CLEAR_RECORD, MAX_RECORD, RECORD_HEADER, Record,
};
use crate::resumption::Offer;
use crate::server_hello::TlsServerHello;
use crate::side::{Side, State};
use crate::version::TlsVersion;
use crate::violation::{ALERT_LEVEL, EMPTY_RECORD, INTERLEAVED, LONG_RECORD, RECORD_VERSION};

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
    pub(crate) config: TlsConfig,
    initiator: Side,
    responder: Side,
    /// What the last ClientHello offered to resume.
    pub(crate) offer: Option<Offer>,
    /// A HelloRetryRequest was seen: there will be a second ClientHello.
    pub(crate) retry: bool,
    /// The version of a ServerHello that is none.
    pub(crate) negotiated: Option<TlsVersion>,
    poison: Option<&'static str>,
}

/// Early data skipped before a client is given up, in bytes.
///
/// Rationale: servers commonly take 16 KiB (RFC 8446 section 8 has the reasons to take little),
/// and the wait for a second ClientHello must end in a capture without the server's side.
const MAX_EARLY_DATA: u32 = 256 << 10;

/// Records in a row that bring no handshake message further: empty ones, alerts, heartbeats.
///
/// Rationale: proper TLS has a few alerts at most, and no empty record at all; OpenSSL, too,
/// gives up after 32 empty ones.
const MAX_IDLE_RECORDS: u8 = 32;

/// Level and description.
const ALERT_LEN: usize = 2;

/// Bytes of alerts that one record in clear may have: a warning or two in front of what is fatal.
const MAX_ALERTS_LEN: u16 = 8;

impl TlsParser {
    /// A parser with these limits and options; `default()` has the default ones.
    #[must_use]
    pub fn with_config(config: TlsConfig) -> Self {
        Self { config, ..Self::default() }
    }

    pub(crate) fn side(&self, side: FlowSide) -> &Side {
        match side {
            FlowSide::Initiator => &self.initiator,
            FlowSide::Responder => &self.responder,
        }
    }

    pub(crate) fn side_mut(&mut self, side: FlowSide) -> &mut Side {
        match side {
            FlowSide::Initiator => &mut self.initiator,
            FlowSide::Responder => &mut self.responder,
        }
    }

    /// Nothing more is needed of `side`; what is held for it goes.
    pub(crate) fn stop(&mut self, side: FlowSide) {
        self.side_mut(side).stop();
    }

    pub(crate) fn poison(&mut self, reason: &'static str) {
        self.stop(FlowSide::Initiator);
        self.stop(FlowSide::Responder);
        self.poison = Some(reason);
    }

    /// Tells from the first bytes what `side` speaks; says how many of this piece's bytes are
    /// used.
    fn open(
        &mut self,
        from: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) -> usize {
        let side = self.side_mut(from);
        let held = side.head.len();
        if held == 0 {
            side.record.start = cx.mark(at);
        }
        side.head.fill(bytes, DETECTION_LEN);
        match opening(side.head.bytes()) {
            None => bytes.len(),
            Some(None) => {
                self.stop(from);
                bytes.len()
            }
            Some(Some(Opening::Records)) => self.open_records(from, held, at, cx),
            Some(Some(Opening::Ssl2Hello)) => {
                self.open_ssl2(from, held);
                0
            }
        }
    }

    /// Begins the first record, of which `held` bytes came with earlier pieces; says how many of
    /// this piece's bytes are used.
    fn open_records(
        &mut self,
        from: FlowSide,
        held: usize,
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) -> usize {
        let side = self.side_mut(from);
        let head = std::mem::take(&mut side.head);
        side.state = State::Records;
        let (header, fragment) = head.bytes().split_at(RECORD_HEADER.min(head.len()));
        let used = RECORD_HEADER.saturating_sub(held);
        self.begin_record(from, header, at + used, cx);
        let fragment = fragment.get(..held.saturating_sub(RECORD_HEADER)).unwrap_or_default();
        let side = self.side_mut(from);
        if !fragment.is_empty() && side.state == State::Records {
            // Detection needs no more than the record has, and less than any message.
            side.record.left =
                side.record.left.saturating_sub(u16::try_from(fragment.len()).unwrap_or(0));
            side.keep(fragment, HANDSHAKE_HEADER);
        }
        used
    }

    /// Begins an SSL 2.0 hello, of which `held` bytes came with earlier pieces.
    fn open_ssl2(&mut self, from: FlowSide, held: usize) {
        let max_buffer = self.config.max_buffer;
        let side = self.side_mut(from);
        let head = std::mem::take(&mut side.head);
        let want = match *head.bytes() {
            [high, low, ..] => 2 + usize::from(u16::from_be_bytes([high & 0x7f, low])),
            _ => 0,
        };
        if want > max_buffer {
            return self.poison("hello longer than max_buffer");
        }
        side.state = State::Ssl2Hello;
        side.keep(head.bytes().get(..held).unwrap_or_default(), want);
    }

    /// Collects an SSL 2.0 hello; says how many bytes it used.
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
        let (start, end, record) = (partial.start, at + used, Bytes::from(partial.bytes));
        if record.get(2) == Some(&CLIENT_HELLO) {
            let Some(hello) = TlsClientHello::parse_ssl2(&record) else {
                self.poison("malformed SSL 2.0 ClientHello");
                return used;
            };
            side.state = State::Records;
            let versions = [Some(hello.legacy_version), self.negotiated];
            self.give_client_hello(from, hello, start, end, cx);
            if versions.contains(&Some(TlsVersion::Ssl2)) {
                self.stop(from);
            }
            return used;
        }
        let Some((hello, certificate)) = TlsServerHello::parse_ssl2(&record) else {
            self.poison("malformed SSL 2.0 ServerHello");
            return used;
        };
        // What follows is SSL 2.0's own handshake, of which nothing is decoded.
        self.stop(from);
        if self.side(from.other()).hellos > 0 {
            self.stop(from.other());
        }
        self.negotiated = Some(TlsVersion::Ssl2);
        self.give_hello(TlsMessage::ServerHello(Box::new(hello)), start, end, cx);
        if let Some(der) = certificate {
            let chain = TlsCertificateChain::of_one(der);
            cx.emit_from(start, end, TlsMessage::Certificate(chain));
        }
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
                self.begin_record(from, head.bytes(), at + used, cx);
            }
            return used;
        }
        let fragment = bytes.get(..side.record.left.into()).unwrap_or(bytes);
        side.record.left -= u16::try_from(fragment.len()).unwrap_or(side.record.left);
        match side.record.kind {
            HANDSHAKE => self.handshake(from, fragment, at, cx),
            ALERT => self.alerts(from, fragment, at, cx),
            _ => {}
        }
        fragment.len()
    }

    /// Takes note of a record's header, which ends at `at`, and stops where what follows is
    /// encrypted.
    fn begin_record(
        &mut self,
        from: FlowSide,
        header: &[u8],
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        let &[kind, major, minor, high, low] = header else { return };
        let len = u16::from_be_bytes([high, low]);
        if major != 3 || len > MAX_RECORD || !matches!(kind, CHANGE_CIPHER_SPEC..=HEARTBEAT) {
            return self.poison("bad record header");
        }
        let version = u16::from_be_bytes([major, minor]);
        let side = self.side_mut(from);
        side.record = Record { start: side.record.start, kind, version, len, left: len };
        if self.turns_encrypted(from) {
            return self.stop(from);
        }
        let side = self.side(from);
        let violations = [
            (minor > NEWEST_MINOR, RECORD_VERSION),
            (len > MAX_CLEAR_RECORD && kind != APPLICATION_DATA, LONG_RECORD),
            (len == 0 && kind != APPLICATION_DATA, EMPTY_RECORD),
            (kind != HANDSHAKE && side.is_amid_message(), INTERLEAVED),
        ];
        for (_, reason) in violations.into_iter().filter(|(broken, _)| *broken) {
            report(cx, at, reason);
        }
        self.count(from);
    }

    /// Whether the current record is encrypted, or all after it, as far as its header tells; takes
    /// note of those that leave it open.
    fn turns_encrypted(&mut self, from: FlowSide) -> bool {
        let (retry, negotiated) = (self.retry, self.negotiated.is_some());
        let side = self.side_mut(from);
        let Record { kind, len, .. } = side.record;
        let is_client = side.hellos > 0;
        let awaits_answer = is_client && (!negotiated || retry && side.hellos < 2);
        match kind {
            CHANGE_CIPHER_SPEC if awaits_answer => {
                side.after_ccs = true;
                // No message goes on behind it, so what comes may be told from what is encrypted.
                side.drop_message();
                false
            }
            // A server that asked for another hello sends one for the middleboxes, too.
            CHANGE_CIPHER_SPEC => is_client || negotiated || !retry,
            // Encrypted ones are longer than the few that a record in clear has.
            ALERT => len % 2 != 0 || len > MAX_ALERTS_LEN || side.after_ccs && !retry,
            APPLICATION_DATA => {
                side.early = side.early.saturating_add(record_len(len));
                !(awaits_answer && side.early_data && side.early <= MAX_EARLY_DATA)
            }
            _ => false,
        }
    }

    /// Counts the current record, which is in clear, towards the limits.
    fn count(&mut self, from: FlowSide) {
        let max_handshake = self.config.max_handshake;
        let side = self.side_mut(from);
        let Record { kind, len, .. } = side.record;
        match kind {
            APPLICATION_DATA => return,
            HANDSHAKE if len > 0 => side.idle_records = 0,
            _ => side.idle_records = side.idle_records.saturating_add(1),
        }
        side.in_clear = side.in_clear.saturating_add(record_len(len));
        if side.idle_records > MAX_IDLE_RECORDS {
            self.poison("too many records without handshake");
        } else if usize::try_from(side.in_clear).is_ok_and(|bytes| bytes > max_handshake) {
            self.poison("handshake longer than max_handshake");
        }
    }

    /// Reads the alerts in what has come of a record's fragment.
    fn alerts(
        &mut self,
        from: FlowSide,
        fragment: &[u8],
        at: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        let side = self.side_mut(from);
        let mut used = 0;
        while let Some(rest) = fragment.get(used..).filter(|rest| !rest.is_empty()) {
            used += side.head.fill(rest, ALERT_LEN);
            let &[level, description] = side.head.bytes() else { return };
            side.head.clear();
            if !matches!(level, 1..=2) {
                report(cx, at + used, ALERT_LEVEL);
                continue;
            }
            let alert = TlsAlert { level, description };
            cx.emit_from(side.record.start, at + used, TlsMessage::Alert(alert));
            if alert.is_last() {
                return side.stop();
            }
        }
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
                State::Opening => self.open(side, rest, at, cx),
                State::Ssl2Hello => self.ssl2_hello(side, rest, at, cx),
                State::Records => self.record(side, rest, at, cx),
                State::Done => return,
            };
        }
    }

    /// Goes on behind a gap inside one record that costs at most one message. Behind any other it
    /// is not known where the next record begins, and nothing that looks like one can be trusted:
    /// the side is done.
    fn gap(&mut self, side: FlowSide, gap: Gap, _cx: &mut Context<'_, TlsMessage>) -> GapAction {
        if self.side_mut(side).jump(gap.len) {
            return GapAction::Resume;
        }
        self.stop(side);
        GapAction::StopSide
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
        self.initiator.buffered_bytes() + self.responder.buffered_bytes()
    }
}

/// Reports a violation of the RFCs that the parse survives, in what ends before the byte with
/// index `end`.
pub(crate) fn report(cx: &mut Context<'_, TlsMessage>, end: usize, reason: &'static str) {
    cx.anomaly(end.saturating_sub(1), reason);
}

/// The length of a record with its header.
fn record_len(fragment: u16) -> u32 {
    u32::from(fragment).saturating_add(u32::try_from(RECORD_HEADER).unwrap_or(u32::MAX))
}

/// The second byte of the newest version that a record may claim to have.
const NEWEST_MINOR: u8 = 4;
