use bytes::Bytes;
use flow_core::FlowSide;
use flow_session::Context;
use memchr::{memchr, memrchr};

use super::searching::may_be_head;
use super::{Broken, HttpParser};
use crate::body::whole_body;
use crate::exchange::Asked;
use crate::framing::{BodyFields, Framing};
use crate::head::{Fields, SectionEnd};
use crate::oddity::{Oddities, Oddity};
use crate::side::{Evidence, State};
use crate::start_line::{REASON_AT, StartLine, leading_blank};
use crate::{
    BodyPolicy, HttpMessage, HttpRequest, HttpResponse, HttpText, HttpVersion, Tunnel, TunnelKind,
};

/// A head as far as it was captured.
pub(super) struct Head<'a> {
    line: StartLine<'a>,
    /// The head from its start line on.
    text: &'a [u8],
    /// Where in `text` the fields begin.
    fields_at: usize,
    /// Header lines, for the room they need.
    lines: usize,
    /// It has its empty line.
    whole: bool,
}

impl Head<'_> {
    /// Its fields, of which it keeps `max`.
    pub(super) fn fields(&self, max: usize) -> Fields {
        Fields::parse(self.text, self.fields_at, self.lines, max)
    }
}

impl HttpParser {
    pub(super) fn start_line(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        if self.enter_tunnel(side, cx.mark(at).offset) {
            return Ok(bytes.len());
        }
        let max = self.config.max_buffer;
        // An answer of HTTP/0.9 is all body.
        let all_body = self.exchanges.next_for(side).is_some_and(|asked| asked.http09);
        let sender = self.side_mut(side);
        if sender.buffer.is_empty() {
            let blank = leading_blank(bytes);
            if blank > 0 && !all_body {
                return Ok(blank);
            }
            sender.mark = Some(cx.mark(at));
        }
        let kept = sender.buffer.len();
        let window = bytes.get(..max.saturating_sub(kept)).unwrap_or(bytes);
        let Some(end) = memchr(b'\n', window) else {
            if window.len() < bytes.len() || !sender.line_may_go_on(window) {
                return self.no_start_line(side, at, cx);
            }
            sender.buffer.extend_from_slice(window);
            return Ok(window.len());
        };
        let (line, _) = bytes.split_at(end + 1);
        if kept == 0 {
            return self.whole_line(side, bytes, line, at, cx);
        }
        sender.buffer.extend_from_slice(line);
        match StartLine::parse(sender.buffer.strip_suffix(b"\n").unwrap_or_default()) {
            None => {
                sender.buffer.truncate(kept);
                self.no_start_line(side, at, cx)
            }
            Some(start) if start.is_http09() => {
                let text = std::mem::take(&mut sender.buffer);
                self.http09_request(side, &text, line.len(), at, cx)
            }
            Some(_) => {
                sender.section = SectionEnd::default();
                sender.begin_head();
                Ok(line.len())
            }
        }
    }

    /// `bytes` begin with a whole `line`.
    fn whole_line(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        line: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let Some(start) = StartLine::parse(line.strip_suffix(b"\n").unwrap_or(line)) else {
            return self.no_start_line(side, at, cx);
        };
        if start.is_http09() {
            return self.http09_request(side, line, line.len(), at, cx);
        }
        let window = bytes.get(..self.config.max_buffer).unwrap_or(bytes);
        let rest = window.get(line.len()..).unwrap_or_default();
        let max_line = self.max_searched_line();
        let sender = self.side_mut(side);
        if sender.searching && !may_be_head(rest) {
            sender.begin_search(max_line);
            return Ok(line.len());
        }
        let mut section = SectionEnd::default();
        let Some(found) = section.find(rest) else {
            sender.buffer = window.to_vec();
            sender.section = section;
            sender.begin_head();
            return Ok(window.len());
        };
        let (text, body) = bytes.split_at(line.len() + found);
        let (fields_at, lines) = (line.len(), section.lines());
        let head = Head { line: start, text, fields_at, lines, whole: true };
        let taken = self.message(side, &head, body, at + text.len(), cx);
        taken.map(|taken| text.len() + taken).map_err(|reason| Broken::new(reason, text.len()))
    }

    /// A request that is nothing but a line; there is one in a connection. `taken` bytes of its
    /// `text` are in this piece.
    fn http09_request(
        &mut self,
        side: FlowSide,
        text: &[u8],
        taken: usize,
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        if let Some(line) = StartLine::parse(text.strip_suffix(b"\n").unwrap_or(text)) {
            let head = Head { line, text, fields_at: text.len(), lines: 0, whole: true };
            let fields = head.fields(0);
            let (mut message, ..) = self.read_head(side, &head, fields);
            message.set_body(whole_body(&[], &self.config));
            self.emit(side, at + taken, message, cx);
        }
        self.side_mut(side).clear_buffer();
        self.side_mut(side).state = State::Behind09;
        Ok(taken)
    }

    /// Steps over empty lines behind a request of HTTP/0.9; anything else does not belong there.
    pub(super) fn behind09(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> usize {
        let blank = leading_blank(bytes);
        if blank < bytes.len() {
            cx.anomaly(at + blank, Oddity::Behind09.reason());
            self.side_mut(side).stop();
        }
        bytes.len()
    }

    pub(super) fn head(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let (max, max_line) = (self.config.max_buffer, self.max_searched_line());
        let sender = self.side_mut(side);
        let kept = sender.buffer.len();
        let mut window = bytes.get(..max.saturating_sub(kept)).unwrap_or(bytes);
        let too_long = window.is_empty();
        let doubtful = sender.searching && sender.section.lines() == 0;
        let first_end = if doubtful { memchr(b'\n', window) } else { None };
        if let Some(end) = first_end {
            window = window.get(..=end).unwrap_or(window);
        }
        let found = sender.section.find(window);
        let (more, body) = bytes.split_at(found.unwrap_or(window.len()));
        sender.buffer.extend_from_slice(more);
        if first_end.is_some() {
            let fields_at = line_len(&sender.buffer);
            if !may_be_head(sender.buffer.get(fields_at..).unwrap_or_default()) {
                // The line may be a start line itself.
                sender.buffer.truncate(kept);
                sender.buffer.drain(..fields_at.min(kept));
                sender.begin_search(max_line);
                return Ok(0);
            }
        }
        if too_long && sender.searching {
            let lines = memrchr(b'\n', &sender.buffer).map_or(0, |end| end + 1);
            sender.buffer.drain(..lines);
            sender.begin_search(max_line);
            return Ok(0);
        }
        if too_long {
            return Err(Broken::new("head is too long", 0));
        }
        if found.is_none() {
            return Ok(more.len());
        }
        let (text, lines) = (std::mem::take(&mut sender.buffer), sender.section.lines());
        sender.clear_buffer();
        let Some(head) = buffered_head(&text, lines, true) else {
            return Err(Broken::new(NO_START_LINE, 0));
        };
        let taken = self.message(side, &head, body, at + more.len(), cx);
        taken.map(|taken| more.len() + taken).map_err(|reason| Broken::new(reason, more.len()))
    }

    /// A head is whole. The first bytes of its body may be in `rest`, which has the index `end`
    /// in the piece; says how many of them are taken.
    fn message(
        &mut self,
        side: FlowSide,
        head: &Head<'_>,
        rest: &[u8],
        end: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, &'static str> {
        let fields = head.fields(self.config.max_headers);
        let valid = !fields.invalid;
        if !valid && self.side(side).searching {
            // It only looked like a head.
            let max_line = self.max_searched_line();
            self.side_mut(side).begin_search(max_line);
            return Ok(0);
        }
        let (mut message, framing, odd) = self.read_head(side, head, fields);
        odd.iter().for_each(|oddity| cx.anomaly(end.saturating_sub(1), oddity.reason()));
        if !valid {
            self.emit(side, end, message, cx);
            return Err("header line is invalid");
        }
        let streams = self.config.body == BodyPolicy::Stream;
        let body = match framing {
            None => rest.get(..0),
            Some(Framing::Length(length)) if !streams => {
                usize::try_from(length).ok().and_then(|length| rest.get(..length))
            }
            Some(_) => None,
        };
        match (body, framing) {
            (None, Some(framing)) => {
                self.open(side, message, framing, end, cx);
                Ok(0)
            }
            (body, _) => {
                let body = body.unwrap_or_default();
                message.set_body(whole_body(body, &self.config));
                self.emit(side, end + body.len(), message, cx);
                Ok(body.len())
            }
        }
    }

    /// Makes a message of a head, and says how its body is framed and what is odd about it.
    pub(super) fn read_head(
        &mut self,
        side: FlowSide,
        head: &Head<'_>,
        mut fields: Fields,
    ) -> (HttpMessage, Option<Framing>, Oddities) {
        let valid = !fields.invalid;
        let text = fields.unfold(head.text);
        let mut body = std::mem::take(&mut fields.body);
        let headers = fields.into_headers(text.clone());
        let (mut message, (framing, ambiguous)) = match head.line {
            StartLine::Request(line) => {
                let part = |at, part: &[u8]| HttpText::new(text.slice(at..at + part.len()));
                let request = HttpRequest {
                    method: part(0, line.method),
                    path: part(line.target_at, line.target),
                    version: line.version,
                    version_text: part(line.version_at, line.version_text),
                    malformed_start_line: line.malformed,
                    headers,
                    ..HttpRequest::default()
                };
                body.odd.add_if(line.malformed, Oddity::MalformedStartLine);
                let framing = body.of_request(line.version);
                // A server answers what it cannot read, too.
                self.note_request(side, &request, &body);
                (HttpMessage::Request(request), framing)
            }
            StartLine::Response { version, status, reason } => {
                let start = REASON_AT.min(head.text.len());
                let mut response = HttpResponse {
                    status,
                    reason: HttpText::new(text.slice(start..start + reason.len())),
                    version,
                    headers,
                    ..HttpResponse::default()
                };
                let framing = self.note_response(side, &mut response, &mut body);
                (HttpMessage::Response(response), framing)
            }
        };
        let sender = self.side_mut(side);
        sender.evidence = Evidence::Http;
        message.set_head(sender.searching, head.whole && valid, ambiguous);
        sender.searching = false;
        sender.state = State::StartLine;
        (message, framing, body.odd)
    }

    fn note_request(&mut self, side: FlowSide, request: &HttpRequest, body: &BodyFields) {
        self.side_mut(side).may_tunnel = request.method == "CONNECT" || body.upgrade;
        let asked = Asked {
            by: side,
            // Copies: a slice would keep the whole head for as long as there is no answer.
            method: request.method.as_str().into(),
            path: request.path.as_str().into(),
            http09: request.version == HttpVersion::HTTP_09,
            upgrade: body.upgrade,
        };
        self.exchanges.ask(asked, self.config.max_pending_requests);
    }

    /// Finds the request that a response answers, and from it the framing of its body.
    fn note_response(
        &mut self,
        side: FlowSide,
        response: &mut HttpResponse,
        body: &mut BodyFields,
    ) -> (Option<Framing>, bool) {
        let interim = matches!(response.status, 100 | 102..=199);
        let guessed = self.exchanges.uncertain();
        let asked = if interim {
            self.exchanges.next_for(side).cloned()
        } else {
            self.exchanges.answered(side)
        };
        // Nobody may switch who was not asked to (RFC 9110 section 7.8): what goes on is HTTP.
        let unasked = !guessed && self.exchanges.uncertain();
        let switched = response.status == 101
            && match &asked {
                Some(asked) => asked.upgrade,
                None => !unasked || self.side(side.other()).evidence != Evidence::Http,
            };
        let (method, target) = asked.map(|asked| (asked.method, asked.path)).unzip();
        let connected = method.as_deref() == Some("CONNECT") && response.status / 100 == 2;
        if connected || switched {
            let upgrade = || response.headers.get("upgrade").map(Bytes::copy_from_slice);
            let kind = match &target {
                Some(target) if connected => TunnelKind::Connect { target: target.clone() },
                _ => TunnelKind::Upgrade { protocol: HttpText::new(upgrade().unwrap_or_default()) },
            };
            self.tunnel.get_or_insert_with(|| Box::new(Tunnel { kind, start: [None; 2] }));
        }
        let bodiless = method.as_deref() == Some("HEAD")
            || matches!(response.status, 100..=199 | 204 | 304)
            || connected;
        (response.request_method, response.request_uri) = (method, target);
        let (framing, ambiguous) = body.of_response(response.version);
        (framing.filter(|_| !bodiless), ambiguous)
    }

    /// What begins at the buffered bytes, or at the next, is no start line.
    fn no_start_line(
        &mut self,
        side: FlowSide,
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        if self.exchanges.next_for(side).is_some_and(|asked| asked.http09) {
            self.http09_response(side, at, cx);
            return Ok(0);
        }
        let (max_line, uncertain) = (self.max_searched_line(), self.exchanges.uncertain());
        let other = self.side(side.other()).evidence;
        let sender = self.side_mut(side);
        match sender.evidence {
            Evidence::Http if sender.may_tunnel => {
                sender.stop();
                return Ok(0);
            }
            Evidence::Http if !uncertain => return Err(Broken::new(NO_START_LINE, 0)),
            Evidence::Http => {}
            Evidence::None | Evidence::NotHttp => {
                sender.evidence = Evidence::NotHttp;
                if other == Evidence::NotHttp {
                    self.initiator.stop();
                    self.responder.stop();
                    return Ok(0);
                }
            }
        }
        self.side_mut(side).begin_search(max_line);
        self.exchanges.lose();
        Ok(0)
    }

    /// Opens the answer to a request of HTTP/0.9, which is all body; what is buffered is the
    /// beginning of it.
    pub(super) fn http09_response(
        &mut self,
        side: FlowSide,
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) {
        let asked = self.exchanges.answered(side);
        let (method, target) = asked.map(|asked| (asked.method, asked.path)).unzip();
        let mut message = HttpMessage::Response(HttpResponse {
            version: HttpVersion::HTTP_09,
            request_method: method,
            request_uri: target,
            ..HttpResponse::default()
        });
        message.set_head(false, true, false);
        let sender = self.side_mut(side);
        sender.evidence = Evidence::Http;
        let begun = std::mem::take(&mut sender.buffer);
        sender.clear_buffer();
        let start = sender.mark.unwrap_or_else(|| cx.mark(at));
        self.open(side, message, Framing::UntilClose, at, cx);
        self.side_mut(side).mark.get_or_insert(start);
        if !begun.is_empty() {
            self.body_bytes(side, &begun, start, at, cx);
        }
    }

    pub(super) fn emit(
        &mut self,
        side: FlowSide,
        end: usize,
        message: HttpMessage,
        cx: &mut Context<'_, HttpMessage>,
    ) {
        let sender = self.side_mut(side);
        let mark = sender.mark.take().unwrap_or_else(|| cx.mark(0));
        sender.end = cx.mark(end).offset;
        cx.emit_from(mark, end, message);
        if self.tunnel.is_some() {
            FlowSide::BOTH.iter().for_each(|&side| self.end_in_tunnel(side));
        }
    }
}

const NO_START_LINE: &str = "expected a start line";

/// Takes a buffered head apart. There is none if the buffer does not have its start line, which
/// [`State::Head`] rules out.
pub(super) fn buffered_head(text: &[u8], lines: usize, whole: bool) -> Option<Head<'_>> {
    let fields_at = line_len(text);
    let line = StartLine::parse(text.get(..fields_at)?.strip_suffix(b"\n")?)?;
    Some(Head { line, text, fields_at, lines, whole })
}

/// Length of the first line with its LF.
fn line_len(text: &[u8]) -> usize {
    memchr(b'\n', text).map_or(text.len(), |end| end + 1)
}
