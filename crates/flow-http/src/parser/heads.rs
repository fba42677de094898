use std::sync::Arc;

use bytes::Bytes;
use flow_core::FlowSide;
use flow_session::Context;
use memchr::memchr;

use super::{Broken, HttpParser};
use crate::exchange::Asked;
use crate::framing::{BodyFields, Framing};
use crate::head::{Fields, SectionEnd};
use crate::side::{Evidence, Open, State, whole_body};
use crate::start_line::{REASON_AT, StartLine, leading_blank};
use crate::{HttpMessage, HttpRequest, HttpResponse, HttpText, HttpVersion, Tunnel, TunnelKind};

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
        let sender = self.side_mut(side);
        if sender.buffer.is_empty() {
            let blank = leading_blank(bytes);
            if blank > 0 {
                return Ok(blank);
            }
            sender.mark = Some(cx.mark(at));
        }
        let Some(end) = memchr(b'\n', bytes) else {
            if sender.buffer.len() + bytes.len() > max || !sender.line_may_go_on(bytes) {
                return self.no_start_line(side, 0);
            }
            sender.buffer.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        let (line, rest) = bytes.split_at(end + 1);
        if !sender.buffer.is_empty() {
            sender.buffer.extend_from_slice(line);
            return self.buffered_line(side, line.len(), at, cx);
        }
        let Some(start) = StartLine::parse(line.strip_suffix(b"\n").unwrap_or(line)) else {
            return self.no_start_line(side, 0);
        };
        if start.is_http09() {
            return self.http09_request(side, line, line.len(), at, cx);
        }
        let mut section = SectionEnd::default();
        let found = section.find(rest);
        if line.len() + found.unwrap_or(rest.len()) > max {
            sender.buffer = line.to_vec();
            sender.begin_head();
            return Err(HEAD_TOO_LONG);
        }
        let Some(found) = found else {
            sender.buffer = bytes.to_vec();
            sender.section = section;
            sender.begin_head();
            return Ok(bytes.len());
        };
        let (text, body) = bytes.split_at(line.len() + found);
        let (fields_at, lines) = (line.len(), section.lines());
        let head = Head { line: start, text, fields_at, lines, whole: true };
        Ok(text.len() + self.message(side, &head, body, at + text.len(), cx)?)
    }

    /// A line that began in an earlier piece is whole; its last `taken` bytes are new.
    fn buffered_line(
        &mut self,
        side: FlowSide,
        taken: usize,
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let sender = self.side_mut(side);
        let line = sender.buffer.strip_suffix(b"\n").unwrap_or_default();
        match StartLine::parse(line) {
            None => self.no_start_line(side, taken),
            Some(start) if start.is_http09() => {
                let line = std::mem::take(&mut sender.buffer);
                self.http09_request(side, &line, taken, at, cx)
            }
            Some(_) => {
                sender.section = SectionEnd::default();
                sender.begin_head();
                Ok(taken)
            }
        }
    }

    /// A request that is nothing but a line; there is one in a connection.
    fn http09_request(
        &mut self,
        side: FlowSide,
        line: &[u8],
        taken: usize,
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let start = StartLine::parse(line.strip_suffix(b"\n").unwrap_or(line));
        let Some(start) = start.filter(|_| !self.side(side).searching) else {
            self.side_mut(side).clear_buffer();
            return self.no_start_line(side, 0);
        };
        let head = Head { line: start, text: line, fields_at: line.len(), lines: 0, whole: true };
        self.message(side, &head, &[], at + taken, cx)?;
        self.side_mut(side).stop();
        Ok(taken)
    }

    pub(super) fn head(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let max = self.config.max_buffer;
        let sender = self.side_mut(side);
        let found = sender.section.find(bytes);
        let (more, body) = bytes.split_at(found.unwrap_or(bytes.len()));
        if sender.buffer.len() + more.len() > max {
            return Err(HEAD_TOO_LONG);
        }
        sender.buffer.extend_from_slice(more);
        if found.is_none() {
            return Ok(more.len());
        }
        let (text, lines) = (std::mem::take(&mut sender.buffer), sender.section.lines());
        sender.clear_buffer();
        let Some(head) = buffered_head(&text, lines, true) else {
            return Err(NO_START_LINE);
        };
        Ok(more.len() + self.message(side, &head, body, at + more.len(), cx)?)
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
    ) -> Result<usize, Broken> {
        let (mut message, framing, valid) = self.read_head(side, head);
        if !valid {
            self.emit(side, end, message, cx);
            return Err("header line is invalid");
        }
        let config = Arc::clone(&self.config);
        let length = match framing {
            None => Some(0),
            Some(Framing::Length(length)) => usize::try_from(length).ok(),
            Some(_) => None,
        };
        if let Some(body) = length.and_then(|length| rest.get(..length)) {
            message.set_body(whole_body(body, &config));
            self.emit(side, end + body.len(), message, cx);
            return Ok(body.len());
        }
        let expected = length.map_or(0, |length| length as u64);
        let sender = self.side_mut(side);
        sender.open = Some(Box::new(Open::new(message, expected, &config)));
        sender.state = framing.map_or(State::StartLine, State::Body);
        Ok(0)
    }

    /// Makes a message of a head, and says how its body is framed and whether all lines were
    /// valid.
    pub(super) fn read_head(
        &mut self,
        side: FlowSide,
        head: &Head<'_>,
    ) -> (HttpMessage, Option<Framing>, bool) {
        let mut fields =
            Fields::parse(head.text, head.fields_at, head.lines, self.config.max_headers);
        let valid = !fields.invalid;
        let text = fields.unfold(head.text);
        let body = std::mem::take(&mut fields.body);
        let headers = fields.into_headers(text.clone());
        let (mut message, (framing, ambiguous)) = match head.line {
            StartLine::Request { method, target, target_at, version } => {
                let request = HttpRequest {
                    method: HttpText::new(text.slice(..method.len())),
                    path: HttpText::new(text.slice(target_at..target_at + target.len())),
                    version,
                    headers,
                    ..HttpRequest::default()
                };
                let framing = body.of_request(version);
                if valid {
                    self.note_request(side, &request, &body);
                }
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
                let framing = self.note_response(side, &mut response, &body);
                (HttpMessage::Response(response), framing)
            }
        };
        let sender = self.side_mut(side);
        sender.evidence = Evidence::Http;
        message.set_head(sender.searching, head.whole && valid, ambiguous);
        sender.searching = false;
        sender.state = State::StartLine;
        (message, framing, valid)
    }

    fn note_request(&mut self, side: FlowSide, request: &HttpRequest, body: &BodyFields) {
        self.side_mut(side).may_tunnel = request.method == "CONNECT" || body.upgrade;
        let asked = Asked {
            by: side,
            // Copies: a slice would keep the whole head for as long as there is no answer.
            method: request.method.as_str().into(),
            path: request.path.as_str().into(),
            http09: request.version == HttpVersion::HTTP_09,
        };
        self.exchanges.ask(asked, self.config.max_pending_requests);
    }

    /// Finds the request that a response answers, and from it the framing of its body.
    fn note_response(
        &mut self,
        side: FlowSide,
        response: &mut HttpResponse,
        body: &BodyFields,
    ) -> (Option<Framing>, bool) {
        let interim = matches!(response.status, 100 | 102..=199);
        let asked = if interim {
            self.exchanges.next_for(side).cloned()
        } else {
            self.exchanges.answered(side)
        };
        let (method, target) = asked.map(|asked| (asked.method, asked.path)).unzip();
        let connected = method.as_deref() == Some("CONNECT") && response.status / 100 == 2;
        if connected || response.status == 101 {
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

    /// What begins at the buffered bytes, or at the next, is no start line. `taken` of the next
    /// bytes are the rest of the buffered line, if that is whole.
    fn no_start_line(&mut self, side: FlowSide, taken: usize) -> Result<usize, Broken> {
        let other = self.side(side.other()).evidence;
        let uncertain = self.exchanges.uncertain();
        let http09 = self.exchanges.next_for(side).is_some_and(|asked| asked.http09);
        let sender = self.side_mut(side);
        if !sender.searching {
            if http09 {
                self.http09_response(side);
                return Ok(taken);
            }
            match sender.evidence {
                Evidence::Http if sender.may_tunnel => {
                    sender.stop();
                    return Ok(taken);
                }
                Evidence::Http if !uncertain => return Err(NO_START_LINE),
                Evidence::Http => {}
                Evidence::None | Evidence::NotHttp => {
                    sender.evidence = Evidence::NotHttp;
                    if other == Evidence::NotHttp {
                        self.initiator.stop();
                        self.responder.stop();
                        return Ok(taken);
                    }
                }
            }
        }
        let sender = self.side_mut(side);
        sender.clear_buffer();
        sender.searching = true;
        sender.state = if taken > 0 { State::StartLine } else { State::Search };
        self.exchanges.lose();
        Ok(taken)
    }

    /// Opens the answer to a request of HTTP/0.9, which is all body.
    pub(super) fn http09_response(&mut self, side: FlowSide) {
        let asked = self.exchanges.answered(side);
        let (method, target) = asked.map(|asked| (asked.method, asked.path)).unzip();
        let mut message = HttpMessage::Response(HttpResponse {
            version: HttpVersion::HTTP_09,
            request_method: method,
            request_uri: target,
            ..HttpResponse::default()
        });
        message.set_head(false, true, false);
        let config = Arc::clone(&self.config);
        let sender = self.side_mut(side);
        let mut open = Box::new(Open::new(message, 0, &config));
        open.push(&sender.buffer, config.max_body);
        sender.clear_buffer();
        sender.open = Some(open);
        sender.evidence = Evidence::Http;
        sender.state = State::Body(Framing::UntilClose);
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

const HEAD_TOO_LONG: Broken = "head is too long";
const NO_START_LINE: Broken = "expected a start line";

/// Takes a buffered head apart. There is none if the buffer does not have its start line, which
/// [`State::Head`] rules out.
pub(super) fn buffered_head(text: &[u8], lines: usize, whole: bool) -> Option<Head<'_>> {
    let end = memchr(b'\n', text)?;
    let line = StartLine::parse(text.get(..end)?)?;
    Some(Head { line, text, fields_at: end + 1, lines, whole })
}
