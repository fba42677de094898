use flow_session::Mark;

use crate::body::Open;
use crate::framing::Framing;
use crate::head::SectionEnd;
use crate::search::Search;
use crate::start_line;

/// What one end sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) state: State,
    /// The part of a start line, head or trailer section that came in earlier pieces, never
    /// longer than `max_buffer` or `max_trailers`; in [`State::Search`] the end of a line.
    pub(crate) buffer: Vec<u8>,
    /// Where `buffer`'s section stands.
    pub(crate) section: SectionEnd,
    /// The message whose body is being read: `Some` in [`State::Body`] and nowhere else.
    pub(crate) open: Option<Box<Open>>,
    /// Where the first byte of the message came from that is being read, or what `buffer` begins
    /// with.
    pub(crate) mark: Option<Mark>,
    /// Where the first byte of the last piece came from that was searched.
    pub(crate) searched_last: Option<Mark>,
    /// Stream offset of the end of its last message.
    pub(crate) end: u64,
    /// Bytes searched, or passed over behind the last that were, while the connection was not known
    /// to be HTTP.
    pub(crate) searched: usize,
    /// Bytes fed by the methods that have no context.
    pub(crate) fed: u64,
    /// What its first bytes were.
    pub(crate) evidence: Evidence,
    /// The start line of the head that is being read was found by searching.
    pub(crate) searching: bool,
    /// It asked for a tunnel (CONNECT or Upgrade) and has not sent another request since.
    pub(crate) may_tunnel: bool,
}

/// What a side waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// The end of a start line, of which `buffer` has the beginning.
    #[default]
    StartLine,
    /// The end of the head of which `buffer` has the beginning, whole start line included.
    Head,
    /// The end of the body.
    Body(Framing),
    /// A start line in what follows.
    Search(Search),
    /// Nothing more, as it sent a request of HTTP/0.9, which is all there may be.
    Behind09,
    /// Nothing more.
    Off,
}

/// What a side has shown of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Evidence {
    /// Nothing yet.
    #[default]
    None,
    /// Its first bytes began no message.
    NotHttp,
    /// It sent a start line.
    Http,
}

impl Side {
    /// Whether an unfinished start line may still become one with `more` behind it.
    pub(crate) fn line_may_go_on(&self, more: &[u8]) -> bool {
        if start_line::begins_status(&self.buffer) {
            return true;
        }
        let ended = self.buffer.last() == Some(&b'\r') && more.first() != Some(&b'\r');
        // Behind the method, only control characters are out; before that, look at the whole.
        let known = self.buffer.len();
        if ended || known > start_line::MAX_METHOD + 1 {
            return !ended && start_line::may_go_on(more);
        }
        let mut prefix = [0; 2 * start_line::MAX_METHOD];
        let len = prefix
            .iter_mut()
            .zip(self.buffer.iter().chain(more))
            .map(|(slot, byte)| *slot = *byte)
            .count();
        let prefix = prefix.get(..len).unwrap_or_default();
        start_line::begins_status(prefix)
            || start_line::may_begin(prefix) && start_line::may_go_on(more)
    }

    /// The start line is whole and valid, and all of the head so far is in `buffer`. If it was
    /// searched for, what follows decides whether it really is one.
    pub(crate) fn begin_head(&mut self) {
        if !self.searching {
            self.evidence = Evidence::Http;
        }
        self.state = State::Head;
    }

    /// Looks for a start line in what follows, and in `buffer` if that has the beginning of a line.
    pub(crate) fn begin_search(&mut self, max_line: usize) {
        self.searched = self.searched.saturating_add(self.buffer.len());
        self.state = State::Search(Search::behind(&mut self.buffer, max_line));
        self.section = SectionEnd::default();
        self.searched_last = None;
    }

    /// Forgets an unfinished line or section, and frees its memory.
    pub(crate) fn clear_buffer(&mut self) {
        self.buffer = Vec::new();
        self.section = SectionEnd::default();
    }

    pub(crate) fn stop(&mut self) {
        self.clear_buffer();
        self.open = None;
        self.state = State::Off;
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| size_of::<Open>() + open.buffered_bytes());
        self.buffer.capacity() + open
    }
}
