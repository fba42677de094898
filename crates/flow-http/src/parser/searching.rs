use flow_core::FlowSide;
use flow_session::{Context, Mark};
use memchr::memchr;

use super::HttpParser;
use crate::HttpMessage;
use crate::search::{Hit, Search};
use crate::side::State;
use crate::start_line::is_token;

/// Bytes of a line that are looked at while a start line is searched for. One that is longer is not
/// found, but the next one is.
///
/// Rationale: as much as RFC 9112 section 3 recommends to support, which is what servers take.
const MAX_SEARCHED_LINE: usize = 8 * 1024;

impl HttpParser {
    /// Looks for a start line, and says how many bytes come before it.
    pub(super) fn search(
        &mut self,
        side: FlowSide,
        mut search: Search,
        bytes: &[u8],
        at: usize,
        cx: &Context<'_, HttpMessage>,
    ) -> usize {
        if self.enter_tunnel(side, cx.mark(at).offset) {
            return bytes.len();
        }
        let (max_line, room) = (self.max_searched_line(), self.search_room(side));
        let max_unknown = self.config.max_unknown;
        let sender = self.side_mut(side);
        let window = bytes.get(..room).unwrap_or(bytes);
        if window.is_empty() {
            sender.clear_buffer();
            sender.state = State::Search(Search::INSIDE);
            sender.searched = sender.searched.saturating_add(bytes.len());
            if sender.searched > max_unknown {
                sender.stop();
            }
            return bytes.len();
        }
        let hit = search.advance(&mut sender.buffer, window, max_line);
        let searched = match &hit {
            None => window.len(),
            Some(Hit::Here(line)) => line.end,
            Some(Hit::Kept(taken)) => *taken,
        };
        sender.searched = sender.searched.saturating_add(searched);
        match hit {
            None => {
                sender.state = State::Search(search);
                let kept = sender.buffer.len();
                if kept <= window.len() {
                    sender.mark = Some(cx.mark(at + window.len() - kept));
                }
                sender.searched_last = Some(cx.mark(at));
                window.len()
            }
            Some(Hit::Here(line)) => {
                sender.searching = true;
                sender.state = State::StartLine;
                line.start
            }
            Some(Hit::Kept(taken)) => {
                let offset = cx.mark(at + taken).offset.saturating_sub(sender.buffer.len() as u64);
                let known = [Some(cx.mark(at)), sender.searched_last, sender.mark];
                let before = known.into_iter().flatten().find(|mark| mark.offset <= offset);
                let packet = before.map_or(cx.packet(), |mark| mark.packet);
                sender.mark = Some(Mark { offset, packet });
                sender.searching = true;
                sender.begin_head();
                taken
            }
        }
    }

    /// How many bytes of `side` may still be searched.
    fn search_room(&self, side: FlowSide) -> usize {
        if self.is_http() {
            return usize::MAX;
        }
        self.config.max_search.saturating_sub(self.side(side).searched)
    }

    pub(super) fn max_searched_line(&self) -> usize {
        MAX_SEARCHED_LINE.min(self.config.max_buffer)
    }
}

/// Whether the first line behind a start line, if it is whole, belongs to a head. Text that merely
/// quotes a start line goes on otherwise.
pub(super) fn may_be_head(behind: &[u8]) -> bool {
    let Some(end) = memchr(b'\n', behind) else { return true };
    let line = behind.get(..end).unwrap_or_default();
    if matches!(line, b"" | b"\r") {
        return true;
    }
    let name = line.iter().take_while(|&&byte| is_token(byte)).count();
    let rest = line.get(name..).unwrap_or_default();
    name > 0 && rest.trim_ascii_start().first() == Some(&b':')
}
