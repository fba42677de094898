use std::collections::VecDeque;

use flow_core::FlowSide;

use crate::HttpText;

/// What a response has to know of the request it answers.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) by: FlowSide,
    pub(crate) method: HttpText,
    pub(crate) path: HttpText,
    pub(crate) http09: bool,
    /// It offered to switch to another protocol.
    pub(crate) upgrade: bool,
}

/// Methods and targets kept of requests that wait, in bytes. Behind it a request keeps its place
/// only.
///
/// Rationale: a thousand ordinary requests, or a few with the longest targets there are.
const MAX_TEXT: usize = 256 << 10;

impl Asked {
    fn text(&self) -> usize {
        self.method.len() + self.path.len()
    }
}

/// Requests that wait for their response, in the order in which they were sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchanges {
    /// Never longer than the limit `ask` is given.
    pending: VecDeque<Asked>,
    /// Bytes of text in `pending`, at most [`MAX_TEXT`].
    text: usize,
    /// Requests behind those in `pending`, that found no room.
    untracked: u64,
    /// A request was sent before the one before it was answered.
    pipelined: bool,
    /// A request or a response was missed, so that `pending` may hold answered requests.
    uncertain: bool,
    /// Who sent the last request.
    client: Option<FlowSide>,
    /// The client sent something in place of its next request that cannot be read.
    unreadable: bool,
}

impl Exchanges {
    /// Another request was sent.
    pub(crate) fn ask(&mut self, asked: Asked, max: usize) {
        self.client = Some(asked.by);
        if !self.pending.is_empty() {
            if self.uncertain && !self.pipelined {
                // A client that does not pipeline has its answers, captured or not.
                self.pending.clear();
                (self.untracked, self.text) = (0, 0);
            } else {
                self.pipelined |= !self.uncertain;
            }
        }
        let text = self.text + asked.text();
        if self.untracked > 0 || self.pending.len() >= max || text > MAX_TEXT {
            self.untracked = self.untracked.saturating_add(1);
        } else {
            self.text = text;
            self.pending.push_back(asked);
        }
    }

    /// `side` sent something that is no start line. A server answers what it takes for a bad request,
    /// too (400, RFC 9110 section 15.5.1).
    pub(crate) fn ask_unreadably(&mut self, side: FlowSide) {
        self.unreadable |= self.client == Some(side);
    }

    /// Whether an answer of `side` is to be expected.
    pub(crate) fn owes(&self, side: FlowSide) -> bool {
        self.next_for(side).is_some() || self.unreadable && self.client == Some(side.other())
    }

    /// The request that the next response of `side` answers.
    pub(crate) fn next_for(&self, side: FlowSide) -> Option<&Asked> {
        self.pending.front().filter(|asked| asked.by == side.other())
    }

    /// `side` has sent a final response.
    pub(crate) fn answered(&mut self, side: FlowSide) -> Option<Asked> {
        if self.next_for(side).is_some() {
            let asked = self.pending.pop_front();
            self.text -= asked.as_ref().map_or(0, Asked::text);
            return asked;
        }
        if self.pending.is_empty() && self.untracked > 0 {
            self.untracked -= 1;
        } else if self.owes(side) {
            self.unreadable = false;
        } else {
            // Joined midstream, or captured in another order than sent.
            self.uncertain = true;
        }
        None
    }

    /// Bytes are missing that may have held requests or responses.
    pub(crate) fn lose(&mut self) {
        self.uncertain = true;
    }

    /// Whether something was missed, so that also the framing of a message may have been guessed
    /// wrongly.
    pub(crate) fn uncertain(&self) -> bool {
        self.uncertain
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        self.pending.capacity() * size_of::<Asked>() + self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: FlowSide = FlowSide::Initiator;
    const SERVER: FlowSide = FlowSide::Responder;

    fn ask(exchanges: &mut Exchanges, path: &str) {
        let asked = Asked {
            by: CLIENT,
            method: "GET".into(),
            path: path.into(),
            http09: false,
            upgrade: false,
        };
        exchanges.ask(asked, 2);
    }

    fn check(exchanges: &mut Exchanges, expected: Option<&str>) {
        let answered = exchanges.answered(SERVER).map(|asked| asked.path.as_str().to_owned());
        assert_eq!(answered.as_deref(), expected);
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let mut exchanges = Exchanges::default();
        ask(&mut exchanges, "/1");
        ask(&mut exchanges, "/2");
        check(&mut exchanges, Some("/1"));
        check(&mut exchanges, Some("/2"));
        check(&mut exchanges, None);
    }

    #[test]
    fn requests_beyond_the_limit_keep_their_place() {
        let mut exchanges = Exchanges::default();
        for path in ["/1", "/2", "/3", "/4"] {
            ask(&mut exchanges, path);
        }
        for expected in [Some("/1"), Some("/2"), None, None] {
            check(&mut exchanges, expected);
        }
        ask(&mut exchanges, "/5");
        check(&mut exchanges, Some("/5"));
    }

    #[test]
    fn long_targets_are_not_kept_without_end() {
        let mut exchanges = Exchanges::default();
        let path = "/x".repeat(60_000);
        for _ in 0..2 {
            ask(&mut exchanges, &path);
            ask(&mut exchanges, &path);
            ask(&mut exchanges, &path);
        }
        assert!(exchanges.buffered_bytes() <= MAX_TEXT + 16 * size_of::<Asked>());
        check(&mut exchanges, Some(&path));
    }

    #[test]
    fn a_response_before_its_request_shifts_nothing() {
        let mut exchanges = Exchanges::default();
        check(&mut exchanges, None);
        ask(&mut exchanges, "/answered early");
        ask(&mut exchanges, "/2");
        check(&mut exchanges, Some("/2"));
    }

    #[test]
    fn what_cannot_be_read_is_answered_last() {
        let mut exchanges = Exchanges::default();
        exchanges.ask_unreadably(CLIENT);
        assert!(!exchanges.owes(SERVER));
        ask(&mut exchanges, "/1");
        exchanges.ask_unreadably(SERVER);
        exchanges.ask_unreadably(CLIENT);
        check(&mut exchanges, Some("/1"));
        assert!(exchanges.owes(SERVER) && !exchanges.owes(CLIENT));
        check(&mut exchanges, None);
        assert!(!exchanges.owes(SERVER) && !exchanges.uncertain());
    }

    #[test]
    fn a_lost_response_shifts_nothing() {
        let mut exchanges = Exchanges::default();
        ask(&mut exchanges, "/answer lost");
        exchanges.lose();
        ask(&mut exchanges, "/2");
        check(&mut exchanges, Some("/2"));
    }
}
