use bytes::Bytes;
use flow_session::Mark;

use crate::framing::Framing;
use crate::head::SectionEnd;
use crate::message::{Body, HttpMessage};
use crate::{HttpConfig, start_line};

/// What one end sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) state: State,
    /// The part of a start line, head or trailer section that came in earlier pieces; never
    /// longer than `max_buffer` or `max_trailers`.
    pub(crate) buffer: Vec<u8>,
    /// Where `buffer`'s section stands.
    pub(crate) section: SectionEnd,
    /// The message whose body is being read: `Some` in [`State::Body`] and nowhere else.
    pub(crate) open: Option<Box<Open>>,
    /// Where the first byte of the message came from that is being read.
    pub(crate) mark: Option<Mark>,
    /// Stream offset of the end of its last message.
    pub(crate) end: u64,
    /// Bytes seen while the connection was not known to be HTTP.
    pub(crate) searched: usize,
    /// Bytes fed by the methods that have no context.
    pub(crate) fed: u64,
    /// What its first bytes were.
    pub(crate) evidence: Evidence,
    /// Lines that are no start line are stepped over.
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
    /// The end of a line that is no start line.
    Search,
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
        // Behind the method, only control characters are out; before that, look at the whole.
        let known = self.buffer.len();
        if known > start_line::MAX_METHOD + 1 {
            return start_line::may_go_on(more);
        }
        let mut prefix = [0; 2 * start_line::MAX_METHOD];
        let len = prefix
            .iter_mut()
            .zip(self.buffer.iter().chain(more))
            .map(|(slot, byte)| *slot = *byte)
            .count();
        start_line::may_begin(prefix.get(..len).unwrap_or_default()) && start_line::may_go_on(more)
    }

    /// The start line is whole and valid, and all of the head so far is in `buffer`.
    pub(crate) fn begin_head(&mut self) {
        self.evidence = Evidence::Http;
        self.state = State::Head;
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

/// A message whose body is not complete.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) message: HttpMessage,
    body: BodyBuffer,
}

impl Open {
    pub(crate) fn new(message: HttpMessage, expected: u64, config: &HttpConfig) -> Self {
        Self { message, body: BodyBuffer::new(expected, config) }
    }

    /// Adds bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8], max: usize) {
        self.body.push(bytes, max);
    }

    /// Bytes of the body are missing.
    pub(crate) fn lose(&mut self) {
        self.body.gap = true;
    }

    /// The message as far as it has come; `ended` says that this is its end.
    pub(crate) fn close(self, ended: bool) -> HttpMessage {
        let mut message = self.message;
        message.set_body(self.body.close(ended));
        message
    }

    fn buffered_bytes(&self) -> usize {
        let headers = self.message.headers().buffered_bytes();
        self.body.bytes.capacity() + headers
    }
}

/// Collects a body.
#[derive(Clone, Debug)]
struct BodyBuffer {
    bytes: Vec<u8>,
    len: u64,
    gap: bool,
    digest: Digest,
}

impl BodyBuffer {
    fn new(expected: u64, config: &HttpConfig) -> Self {
        // What a sender announces costs memory only when it comes.
        let room = usize::try_from(expected).unwrap_or(usize::MAX);
        let bytes = Vec::with_capacity(room.min(config.max_body).min(FIRST_RESERVE));
        Self { bytes, len: 0, gap: false, digest: Digest::new(config) }
    }

    fn push(&mut self, bytes: &[u8], max: usize) {
        self.len = self.len.saturating_add(bytes.len() as u64);
        self.digest.update(bytes);
        let room = max.saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn close(self, ended: bool) -> Body {
        Body {
            bytes: Bytes::from(self.bytes),
            len: self.len,
            sha256: self.digest.finish().filter(|_| self.len > 0),
            complete: ended && !self.gap,
        }
    }
}

/// Makes what a message says of a body that is there in one piece.
pub(crate) fn whole_body(bytes: &[u8], config: &HttpConfig) -> Body {
    let mut digest = Digest::new(config);
    digest.update(bytes);
    Body {
        bytes: Bytes::copy_from_slice(bytes.get(..config.max_body).unwrap_or(bytes)),
        len: bytes.len() as u64,
        sha256: digest.finish().filter(|_| !bytes.is_empty()),
        complete: true,
    }
}

/// Bytes reserved for a body at once.
const FIRST_RESERVE: usize = 64 * 1024;

/// The running SHA-256 of a body, if that is wanted.
#[cfg(feature = "digest")]
#[derive(Clone, Debug)]
struct Digest(Option<sha2::Sha256>);

#[cfg(feature = "digest")]
impl Digest {
    fn new(config: &HttpConfig) -> Self {
        Self(config.digest_bodies.then(<sha2::Sha256 as sha2::Digest>::new))
    }

    fn update(&mut self, bytes: &[u8]) {
        if let Some(digest) = &mut self.0 {
            sha2::Digest::update(digest, bytes);
        }
    }

    fn finish(self) -> Option<[u8; 32]> {
        self.0.map(|digest| sha2::Digest::finalize(digest).into())
    }
}

#[cfg(not(feature = "digest"))]
#[derive(Clone, Debug)]
struct Digest;

#[cfg(not(feature = "digest"))]
impl Digest {
    fn new(_config: &HttpConfig) -> Self {
        Self
    }

    fn update(&mut self, _bytes: &[u8]) {}

    fn finish(self) -> Option<[u8; 32]> {
        None
    }
}
