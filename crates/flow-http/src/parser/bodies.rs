use flow_core::{FlowSide, Gap};
use flow_session::{Context, Mark};

use super::{Broken, HttpParser};
use crate::body::Open;
use crate::chunked::{Chunked, Piece, take};
use crate::framing::Framing;
use crate::head::Fields;
use crate::oddity::Oddities;
use crate::side::State;
use crate::{BodyPolicy, HttpMessage};

impl HttpParser {
    pub(super) fn body(
        &mut self,
        side: FlowSide,
        framing: Framing,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let max_line = self.config.max_chunk_line;
        let sender = self.side_mut(side);
        sender.mark.get_or_insert(cx.mark(at));
        match framing {
            Framing::UntilClose => {
                self.body_bytes(side, bytes, cx.mark(at), at + bytes.len(), cx);
                Ok(bytes.len())
            }
            Framing::Length(mut left) => {
                let taken = take(&mut left, bytes.len());
                sender.state = State::Body(Framing::Length(left));
                let body = bytes.get(..taken).unwrap_or_default();
                self.body_bytes(side, body, cx.mark(at), at + taken, cx);
                if left == 0 {
                    self.finish(side, at + taken, true, cx);
                }
                Ok(taken)
            }
            Framing::Chunked(Chunked::Trailers) => self.trailers(side, bytes, at, cx),
            Framing::Chunked(mut chunked) => {
                let mut odd = Oddities::default();
                let piece = chunked
                    .advance(bytes, max_line, &mut odd)
                    .map_err(|(reason, taken)| Broken::new(reason, taken))?;
                sender.state = State::Body(Framing::Chunked(chunked));
                match piece {
                    Piece::Framing(taken) => {
                        let last = (at + taken).saturating_sub(1);
                        odd.iter().for_each(|oddity| cx.anomaly(last, oddity.reason()));
                        Ok(taken)
                    }
                    Piece::Data(taken) => {
                        let body = bytes.get(..taken).unwrap_or_default();
                        self.body_bytes(side, body, cx.mark(at), at + taken, cx);
                        Ok(taken)
                    }
                }
            }
        }
    }

    /// Takes bytes of a body, the first of which came from `start`; the last one is before the byte
    /// with index `end`.
    pub(super) fn body_bytes(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        start: Mark,
        end: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) {
        let policy = self.config.body;
        let open = self.side_mut(side).open.as_mut();
        if let Some(data) = open.and_then(|open| open.push(bytes, policy)) {
            cx.emit_from(start, end, HttpMessage::BodyData(data));
        }
    }

    /// Opens a message whose body is to come, and puts it out if it need not wait for that. Its
    /// head ends before the byte with index `end`.
    pub(super) fn open(
        &mut self,
        side: FlowSide,
        message: HttpMessage,
        framing: Framing,
        end: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) {
        let expected = if let Framing::Length(length) = framing { length } else { 0 };
        let mut open = Box::new(Open::new(message, expected, &self.config));
        let streams = self.config.body == BodyPolicy::Stream;
        let head = streams.then(|| open.take_message()).flatten();
        let sender = self.side_mut(side);
        sender.open = Some(open);
        sender.state = State::Body(framing);
        if let Some(head) = head {
            self.emit(side, end, head, cx);
        }
    }

    fn trailers(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let (max, max_headers) = (self.config.max_trailers, self.config.max_headers);
        let sender = self.side_mut(side);
        let window = bytes.get(..max.saturating_sub(sender.buffer.len())).unwrap_or(bytes);
        let found = sender.section.find(window);
        let more = window.get(..found.unwrap_or(window.len())).unwrap_or_default();
        let lines = sender.section.lines();
        if found.is_none() || lines > 0 {
            sender.buffer.extend_from_slice(more);
        }
        if found.is_none() {
            let too_long = window.len() < bytes.len();
            let broken = Broken::new("trailer section is too long", more.len());
            return if too_long { Err(broken) } else { Ok(more.len()) };
        }
        let fields = Fields::parse(&sender.buffer, 0, lines, max_headers);
        if fields.invalid {
            return Err(Broken::new("trailer line is invalid", more.len()));
        }
        let last = (at + more.len()).saturating_sub(1);
        fields.body.odd.iter().for_each(|oddity| cx.anomaly(last, oddity.reason()));
        if lines > 0
            && let Some(open) = &mut sender.open
        {
            let text = fields.unfold(&sender.buffer);
            open.set_trailers(fields.into_headers(text));
        }
        self.finish(side, at + more.len(), true, cx);
        Ok(more.len())
    }

    /// Puts out the message whose body is being read; `ended` says that this is the body's end.
    pub(super) fn finish(
        &mut self,
        side: FlowSide,
        end: usize,
        ended: bool,
        cx: &mut Context<'_, HttpMessage>,
    ) {
        let sender = self.side_mut(side);
        sender.clear_buffer();
        sender.state = State::StartLine;
        if let Some(open) = sender.open.take() {
            self.emit(side, end, open.close(ended), cx);
        }
    }

    /// Steps over a gap inside of a body, if it is certain that the body goes on behind it, or
    /// ends with it.
    pub(super) fn resume_behind(
        &mut self,
        side: FlowSide,
        gap: Gap,
        cx: &mut Context<'_, HttpMessage>,
    ) -> bool {
        let sender = self.side_mut(side);
        let (State::Body(framing), Some(open)) = (&mut sender.state, &mut sender.open) else {
            return false;
        };
        open.lose(gap.len);
        match framing {
            Framing::UntilClose => true,
            Framing::Chunked(chunked) => chunked.skip(gap.len),
            Framing::Length(left) => match left.checked_sub(gap.len) {
                Some(0) => {
                    self.finish(side, usize::try_from(gap.len).unwrap_or(usize::MAX), true, cx);
                    true
                }
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
        }
    }
}
