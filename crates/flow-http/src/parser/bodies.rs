use flow_core::{FlowSide, Gap};
use flow_session::Context;

use super::{Broken, HttpParser};
use crate::HttpMessage;
use crate::chunked::{Chunked, Piece, take};
use crate::framing::Framing;
use crate::head::Fields;
use crate::side::State;

impl HttpParser {
    pub(super) fn body(
        &mut self,
        side: FlowSide,
        framing: Framing,
        bytes: &[u8],
        at: usize,
        cx: &mut Context<'_, HttpMessage>,
    ) -> Result<usize, Broken> {
        let (max_body, max_line) = (self.config.max_body, self.config.max_chunk_line);
        let sender = self.side_mut(side);
        let Some(open) = &mut sender.open else {
            sender.stop();
            return Ok(bytes.len());
        };
        match framing {
            Framing::UntilClose => {
                open.push(bytes, max_body);
                Ok(bytes.len())
            }
            Framing::Length(mut left) => {
                let taken = take(&mut left, bytes.len());
                open.push(bytes.get(..taken).unwrap_or_default(), max_body);
                sender.state = State::Body(Framing::Length(left));
                if left == 0 {
                    self.finish(side, at + taken, true, cx);
                }
                Ok(taken)
            }
            Framing::Chunked(Chunked::Trailers) => self.trailers(side, bytes, at, cx),
            Framing::Chunked(mut chunked) => {
                let taken = match chunked.advance(bytes, max_line)? {
                    Piece::Framing(taken) => taken,
                    Piece::Data(taken) => {
                        open.push(bytes.get(..taken).unwrap_or_default(), max_body);
                        taken
                    }
                };
                sender.state = State::Body(Framing::Chunked(chunked));
                Ok(taken)
            }
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
        let found = sender.section.find(bytes);
        let more = bytes.get(..found.unwrap_or(bytes.len())).unwrap_or_default();
        if sender.buffer.len() + more.len() > max {
            return Err("trailer section is too long");
        }
        let lines = sender.section.lines();
        if found.is_none() || lines > 0 {
            sender.buffer.extend_from_slice(more);
        }
        if found.is_some() {
            let fields = Fields::parse(&sender.buffer, 0, lines, max_headers);
            if fields.invalid {
                return Err("trailer line is invalid");
            }
            if lines > 0
                && let Some(open) = &mut sender.open
            {
                let text = fields.unfold(&sender.buffer);
                open.message.set_trailers(fields.into_headers(text));
            }
            self.finish(side, at + more.len(), true, cx);
        }
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
        open.lose();
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
