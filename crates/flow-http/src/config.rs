/// Limits of an [`HttpParser`](crate::HttpParser), and what it does with bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpConfig {
    /// Bytes of a head, start line included. A longer one ends the parsing of its connection;
    /// a line of this length that has not become a start line is none.
    ///
    /// Rationale: servers and browsers stop between 8 and 256 KiB; who sends more wants to be
    /// seen doing it.
    pub max_buffer: usize,
    /// Header fields kept of a head or of trailers. Those behind them are counted in
    /// [`HttpHeaders::omitted`](crate::HttpHeaders::omitted), and still decide where the body
    /// ends.
    ///
    /// Rationale: browsers send about 20; common servers stop at 100.
    pub max_headers: usize,
    /// What becomes of bodies.
    pub body: BodyPolicy,
    /// Bytes of a chunk-size line, extensions included. A longer one ends the parsing of its
    /// connection.
    ///
    /// Rationale: chunk extensions are next to unknown in practice; hyper stops at 16 KiB for a
    /// whole body.
    pub max_chunk_line: usize,
    /// Bytes of the trailer section of a chunked body. A longer one ends the parsing of its
    /// connection.
    ///
    /// Rationale: trailers carry a digest or a status, a few hundred bytes.
    pub max_trailers: usize,
    /// Requests that wait for their response. Responses to those behind them do not know their
    /// request.
    ///
    /// Rationale: a thousand is more than any client pipelines.
    pub max_pending_requests: usize,
    /// Bytes of each side looked through for the start of a message while nothing of the
    /// connection is known to be HTTP.
    ///
    /// Rationale: a connection joined midstream shows a new message soon, and for any other
    /// protocol this much scanning is cheap.
    pub max_search: usize,
    /// Bytes of each side after which it is given up if nothing of the connection is known to be
    /// HTTP. Behind [`max_search`](Self::max_search) they are not looked at: until then, a message
    /// of the other side may show that it is worth it.
    ///
    /// Rationale: larger than nearly all bodies that a connection may be joined in the middle of; an
    /// unknown protocol costs nothing from then on.
    pub max_unknown: usize,
    /// Whether messages carry the SHA-256 of their body.
    #[cfg(feature = "digest")]
    pub digest_bodies: bool,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_buffer: 1024 * 1024,
            max_headers: 64,
            body: BodyPolicy::default(),
            max_chunk_line: 4 * 1024,
            max_trailers: 64 * 1024,
            max_pending_requests: 1_024,
            max_search: 64 * 1024,
            max_unknown: 4 * 1024 * 1024,
            #[cfg(feature = "digest")]
            digest_bodies: false,
        }
    }
}

/// What becomes of bodies. Whichever it is, they are counted, digested on request, and found to be
/// complete or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyPolicy {
    /// A message comes when its body has ended, with the body in it.
    Collect {
        /// Bytes of a body kept in a message. The others are only counted and digested.
        max: usize,
    },
    /// A message comes when its body has ended, without the body. Nothing of it is copied.
    Skip,
    /// A message comes as soon as its head is whole. If it has a body, all of what follows comes
    /// behind it, from the same side and before the side's next message: the body as it is
    /// captured, as [`HttpMessage::BodyData`](crate::HttpMessage::BodyData), and one
    /// [`HttpMessage::BodyEnd`](crate::HttpMessage::BodyEnd).
    ///
    /// The message itself then says nothing of its body: `body` is empty, `body_len` 0,
    /// `body_sha256` `None`, `body_complete` unset, and `trailers` empty.
    Stream,
}

impl BodyPolicy {
    /// Bytes of a body kept in a message.
    pub(crate) const fn kept(self) -> usize {
        match self {
            Self::Collect { max } => max,
            Self::Skip | Self::Stream => 0,
        }
    }
}

/// [`BodyPolicy::Collect`] of 1 MiB.
///
/// Rationale: holds nearly all bodies of documents and calls, and bounds what a download costs.
impl Default for BodyPolicy {
    fn default() -> Self {
        Self::Collect { max: 1024 * 1024 }
    }
}
