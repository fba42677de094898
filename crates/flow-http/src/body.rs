use bytes::Bytes;

use crate::message::{Body, HttpMessage};
use crate::{BodyPolicy, HttpBodyData, HttpBodyEnd, HttpConfig, HttpHeaders};

/// A message whose body is not complete.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    /// `None` once it was put out, ahead of its body.
    message: Option<HttpMessage>,
    trailers: HttpHeaders,
    bytes: Vec<u8>,
    /// Bytes of the body that were captured.
    len: u64,
    /// Bytes of the body that were captured or are known to be missing.
    at: u64,
    gap: bool,
    digest: Digest,
}

impl Open {
    /// With room for `expected` bytes.
    pub(crate) fn new(message: HttpMessage, expected: u64, config: &HttpConfig) -> Self {
        // What a sender announces costs memory only when it comes.
        let room = usize::try_from(expected).unwrap_or(usize::MAX);
        let room = room.min(config.body.kept()).min(FIRST_RESERVE);
        Self {
            message: Some(message),
            trailers: HttpHeaders::default(),
            bytes: Vec::with_capacity(room),
            len: 0,
            at: 0,
            gap: false,
            digest: Digest::new(config),
        }
    }

    /// The message without its body, once.
    pub(crate) fn take_message(&mut self) -> Option<HttpMessage> {
        self.message.take()
    }

    /// Adds bytes of the body; gives back what is to be put out of them at once.
    pub(crate) fn push(&mut self, bytes: &[u8], policy: BodyPolicy) -> Option<HttpBodyData> {
        let offset = self.at;
        self.at = self.at.saturating_add(bytes.len() as u64);
        self.len = self.len.saturating_add(bytes.len() as u64);
        self.digest.update(bytes);
        let room = policy.kept().saturating_sub(self.bytes.len());
        self.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        let streams = policy == BodyPolicy::Stream && !bytes.is_empty();
        streams.then(|| HttpBodyData { data: Bytes::copy_from_slice(bytes), offset })
    }

    /// This many bytes of the body are missing.
    pub(crate) fn lose(&mut self, missing: u64) {
        self.gap = true;
        self.at = self.at.saturating_add(missing);
    }

    pub(crate) fn set_trailers(&mut self, trailers: HttpHeaders) {
        self.trailers = trailers;
    }

    /// The message as far as it has come, or the end of its body if it was put out already;
    /// `ended` says that this is its end.
    pub(crate) fn close(self, ended: bool) -> HttpMessage {
        let body = Body {
            bytes: Bytes::from(self.bytes),
            len: self.len,
            sha256: self.digest.finish().filter(|_| self.len > 0),
            complete: ended && !self.gap,
        };
        match self.message {
            Some(mut message) => {
                message.set_body(body);
                message.set_trailers(self.trailers);
                message
            }
            None => HttpMessage::BodyEnd(HttpBodyEnd {
                len: body.len,
                sha256: body.sha256,
                complete: body.complete,
                trailers: self.trailers,
            }),
        }
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        let headers = self.message.as_ref().and_then(HttpMessage::headers);
        let headers = headers.map_or(0, HttpHeaders::buffered_bytes);
        size_of::<Self>() + self.bytes.capacity() + headers + self.trailers.buffered_bytes()
    }
}

/// Makes what a message says of a body that is there in one piece.
pub(crate) fn whole_body(bytes: &[u8], config: &HttpConfig) -> Body {
    let mut digest = Digest::new(config);
    digest.update(bytes);
    Body {
        bytes: Bytes::copy_from_slice(bytes.get(..config.body.kept()).unwrap_or(bytes)),
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
