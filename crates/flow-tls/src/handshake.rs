//! The handshake layer: messages in records.

use bytes::Bytes;
use flow_core::FlowSide;
use flow_session::{Context, Mark, SessionParser as _};

use crate::certificate::TlsCertificateChain;
use crate::client_hello::TlsClientHello;
#[cfg(feature = "fingerprint")]
use crate::fingerprint::TlsFingerprint;
use crate::message::TlsMessage;
use crate::parser::{TlsParser, report};
use crate::record::{
    CERTIFICATE, CLIENT_HELLO, HANDSHAKE_HEADER, NEW_SESSION_TICKET, Partial, SERVER_HELLO,
    handshake_header,
};
use crate::resumption::Offer;
use crate::server_hello::TlsServerHello;
use crate::side::Side;
use crate::ticket::TlsNewSessionTicket;
use crate::version::TlsVersion;
use crate::violation::{MALFORMED_TICKET, PSK_NOT_OFFERED, SESSION_ID_NOT_ECHOED};

/// What to do with a handshake message, judged by its header.
enum Plan {
    Read,
    Skip,
    Stop,
}

impl TlsParser {
    /// Reads the handshake messages in a record's fragment, or in what has come of it.
    pub(crate) fn handshake(
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
            NEW_SESSION_TICKET if len > config.max_ticket => Plan::Skip,
            CLIENT_HELLO | SERVER_HELLO | CERTIFICATE | NEW_SESSION_TICKET => Plan::Read,
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
        let mut violations = Vec::new();
        match *kind {
            CLIENT_HELLO => match TlsClientHello::parse(version, &body, &mut violations) {
                Some(hello) => self.give_client_hello(from, hello, start, end, cx),
                None => self.poison("malformed ClientHello"),
            },
            SERVER_HELLO => match TlsServerHello::parse(version, &body, &mut violations) {
                Some(mut hello) => {
                    self.answered(from, &mut hello, &mut violations);
                    self.give_hello(TlsMessage::ServerHello(Box::new(hello)), start, end, cx);
                }
                None => self.poison("malformed ServerHello"),
            },
            CERTIFICATE => match TlsCertificateChain::parse(&body) {
                Some(chain) => cx.emit_from(start, end, TlsMessage::Certificate(chain)),
                None => self.poison("malformed Certificate"),
            },
            _ => match TlsNewSessionTicket::parse(&body) {
                Some(ticket) => {
                    cx.emit_from(start, end, TlsMessage::NewSessionTicket(Box::new(ticket)));
                }
                None => violations.push(MALFORMED_TICKET),
            },
        }
        for reason in violations {
            report(cx, end, reason);
        }
    }

    /// Takes note of a ClientHello and gives it.
    pub(crate) fn give_client_hello(
        &mut self,
        from: FlowSide,
        hello: TlsClientHello,
        start: Mark,
        end: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        let side = self.side_mut(from);
        side.hellos = side.hellos.saturating_add(1);
        side.early_data = hello.early_data;
        self.offer = Offer::of(&hello);
        self.give_hello(TlsMessage::ClientHello(Box::new(hello)), start, end, cx);
    }

    /// Gives a hello, and its fingerprints if they are asked for.
    pub(crate) fn give_hello(
        &self,
        hello: TlsMessage,
        start: Mark,
        end: usize,
        cx: &mut Context<'_, TlsMessage>,
    ) {
        #[cfg(feature = "fingerprint")]
        let fingerprint = self.config.fingerprints.then(|| TlsFingerprint::of(&hello)).flatten();
        cx.emit_from(start, end, hello);
        #[cfg(feature = "fingerprint")]
        if let Some(fingerprint) = fingerprint {
            cx.emit_from(start, end, TlsMessage::Fingerprint(Box::new(fingerprint)));
        }
    }

    /// Takes note of a ServerHello, and compares it with what the client offered.
    fn answered(
        &mut self,
        from: FlowSide,
        hello: &mut TlsServerHello,
        violations: &mut Vec<&'static str>,
    ) {
        let client = from.other();
        if let Some(offer) = self.offer.filter(|_| self.side(client).hellos > 0) {
            let echoed = offer.is_echoed(&hello.session_id);
            hello.session_id_echoed = Some(echoed);
            if !hello.hello_retry {
                hello.resumption = offer.answered(hello);
            }
            if !echoed && hello.version() == TlsVersion::Tls1_3 {
                violations.push(SESSION_ID_NOT_ECHOED);
            }
            if hello.selected_psk.is_some_and(|index| !offer.has_psk(index)) {
                violations.push(PSK_NOT_OFFERED);
            }
        }
        if hello.hello_retry {
            self.retry = true;
            return;
        }
        self.negotiated = Some(hello.version());
        if hello.version().hides_handshake() {
            self.stop(from);
        }
        // The client's ChangeCipherSpec came first, and now it is clear that it was meant, unless
        // the second ClientHello is late.
        let Side { after_ccs, hellos, .. } = *self.side(client);
        if after_ccs && (!self.retry || hellos > 1) {
            self.stop(client);
        }
    }
}
