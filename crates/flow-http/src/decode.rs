mod codec;
mod gzip;
#[cfg(test)]
mod tests;

use std::fmt;

use bytes::Bytes;

use self::codec::Codec;
use crate::{HttpHeaders, HttpRequest, HttpResponse};

/// Codings that one body may have, in any order.
///
/// Rationale: one is usual, two are an accident, curl takes five.
const MAX_CODINGS: usize = 5;

/// Bytes that a coding gives at once to the next one.
const BLOCK: usize = 16 * 1024;

/// A coding of a body (RFC 9110 section 8.4.1, RFC 7932, RFC 8878).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ContentCoding {
    /// `gzip` or `x-gzip`; any number of members.
    Gzip,
    /// `deflate`: the zlib format, or the bare one that many send under this name.
    Deflate,
    /// `br`.
    Brotli,
    /// `zstd`.
    Zstd,
}

/// Takes the content coding off a body that comes in pieces.
///
/// It holds at most five codings, each with a window of at most 16 MiB (`br`), 8 MiB (`zstd`, as
/// RFC 9659 has it) or 32 KiB, and gives out no more than its limit. A body that is not whole gives
/// what there is of it; what comes behind a gap is garbage to it.
pub struct ContentDecoder {
    /// In the order in which they are taken off.
    stages: Vec<Stage>,
    /// Bytes that each coding may give.
    limit: u64,
    /// What went wrong; from then on nothing is decoded.
    failed: bool,
}

/// A body without its content coding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodedBody {
    /// The bytes.
    pub bytes: Bytes,
    /// Every coding was there up to its end. If not, this is what could be decoded.
    pub complete: bool,
}

/// A body, or the rest of it, cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// Why.
    pub kind: DecodeErrorKind,
    /// The coding that it happened to, if it is a known one.
    pub coding: Option<ContentCoding>,
    /// How many bytes of this coding were read before.
    pub offset: u64,
    /// What was decoded of the given bytes nevertheless.
    pub decoded: Bytes,
}

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// A coding of another name than those of [`ContentCoding`].
    UnknownCoding,
    /// More than five codings.
    TooManyCodings,
    /// The bytes are not of this coding.
    Invalid,
    /// All was decoded, but its checksum is another one.
    Checksum,
    /// A coding gives more bytes than the limit.
    OutputLimit,
    /// The sender demands more memory than a recipient has to have.
    WindowTooLarge,
    /// An earlier piece could not be decoded.
    Failed,
}

struct Stage {
    coding: ContentCoding,
    codec: Codec,
    /// Bytes read of this coding.
    taken: u64,
    /// Bytes it gave.
    given: u64,
    /// Room for what it gives at once.
    block: Vec<u8>,
}

impl ContentCoding {
    /// The coding of this name.
    fn from_name(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("deflate") {
            Some(Self::Deflate)
        } else if is("br") {
            Some(Self::Brotli)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Its name in a Content-Encoding field.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }
}

impl ContentDecoder {
    /// For the body that comes with these headers. No coding may give more than `limit` bytes.
    ///
    /// # Errors
    ///
    /// A coding is unknown, or there are too many.
    pub fn new(headers: &HttpHeaders, limit: usize) -> Result<Self, DecodeError> {
        let names =
            headers.get_all("content-encoding").flat_map(|value| value.split(|&b| b == b','));
        let mut stages = Vec::new();
        for name in names.map(<[u8]>::trim_ascii) {
            if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            let Some(coding) = ContentCoding::from_name(name) else {
                return Err(DecodeError::new(DecodeErrorKind::UnknownCoding, None, 0));
            };
            if stages.len() == MAX_CODINGS {
                return Err(DecodeError::new(DecodeErrorKind::TooManyCodings, Some(coding), 0));
            }
            let codec =
                Codec::new(coding).map_err(|kind| DecodeError::new(kind, Some(coding), 0))?;
            stages.push(Stage { coding, codec, taken: 0, given: 0, block: Vec::new() });
        }
        // The last one named was the last one applied.
        stages.reverse();
        Ok(Self { stages, limit: limit as u64, failed: false })
    }

    /// Decodes the next bytes of the body.
    ///
    /// # Errors
    ///
    /// They cannot be decoded, or give too much. What they give before is in the error. Nothing
    /// behind them is decoded any more.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Bytes, DecodeError> {
        if self.failed {
            return Err(DecodeError::new(DecodeErrorKind::Failed, None, 0));
        }
        if self.stages.is_empty() {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        let mut decoded = Vec::new();
        match push(&mut self.stages, bytes, self.limit, &mut decoded) {
            Ok(()) => Ok(decoded.into()),
            Err(mut error) => {
                self.failed = true;
                error.decoded = decoded.into();
                Err(error)
            }
        }
    }

    /// Whether every coding has come to its end, or has not begun: an empty body is whole.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.failed && self.stages.iter().all(|stage| stage.taken == 0 || stage.codec.is_done())
    }
}

impl fmt::Debug for ContentDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codings: Vec<_> = self.stages.iter().map(|stage| stage.coding).collect();
        f.debug_struct("ContentDecoder").field("codings", &codings).finish_non_exhaustive()
    }
}

/// Sends bytes through the codings that are left, block by block.
fn push(
    stages: &mut [Stage],
    mut input: &[u8],
    limit: u64,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    let Some((stage, rest)) = stages.split_first_mut() else {
        out.extend_from_slice(input);
        return Ok(());
    };
    let mut block = std::mem::take(&mut stage.block);
    block.resize(BLOCK, 0);
    loop {
        let step = stage.codec.step(input, &mut block);
        stage.taken = stage.taken.saturating_add(step.read as u64);
        let room = usize::try_from(limit - stage.given).unwrap_or(usize::MAX);
        stage.given += step.written.min(room) as u64;
        let given = block.get(..step.written.min(room)).unwrap_or_default();
        push(rest, given, limit, out)?;
        let over = (step.written > room).then_some(DecodeErrorKind::OutputLimit);
        if let Some(kind) = over.or(step.failed) {
            return Err(DecodeError::new(kind, Some(stage.coding), stage.taken));
        }
        input = input.get(step.read..).unwrap_or_default();
        let idle = step.read == 0 && step.written == 0;
        if idle || input.is_empty() && step.written < BLOCK {
            stage.block = block;
            return Ok(());
        }
    }
}

impl DecodeError {
    fn new(kind: DecodeErrorKind, coding: Option<ContentCoding>, offset: u64) -> Self {
        Self { kind, coding, offset, decoded: Bytes::new() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            DecodeErrorKind::UnknownCoding => "unknown content coding",
            DecodeErrorKind::TooManyCodings => "too many content codings",
            DecodeErrorKind::Invalid => "body is not of its content coding",
            DecodeErrorKind::Checksum => "checksum of the decoded body is wrong",
            DecodeErrorKind::OutputLimit => "decoded body is too long",
            DecodeErrorKind::WindowTooLarge => "decoding takes too much memory",
            DecodeErrorKind::Failed => "decoding failed before",
        })?;
        match self.coding {
            Some(coding) => write!(f, " ({}, at byte {})", coding.name(), self.offset),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DecodeError {}

fn decoded_body(
    headers: &HttpHeaders,
    body: &[u8],
    limit: usize,
) -> Result<DecodedBody, DecodeError> {
    let mut decoder = ContentDecoder::new(headers, limit)?;
    let bytes = decoder.decode(body)?;
    Ok(DecodedBody { bytes, complete: decoder.is_complete() })
}

impl HttpRequest {
    /// [`body`](Self::body) without its content coding, of which each may give `limit` bytes at
    /// most. A body that is not whole gives what there is of it, up to the first gap at best.
    ///
    /// # Errors
    ///
    /// It cannot be decoded, or not all of it; the error has what was decoded before.
    pub fn decoded_body(&self, limit: usize) -> Result<DecodedBody, DecodeError> {
        decoded_body(&self.headers, &self.body, limit)
    }
}

impl HttpResponse {
    /// [`body`](Self::body) without its content coding, of which each may give `limit` bytes at
    /// most. A body that is not whole gives what there is of it, up to the first gap at best.
    ///
    /// # Errors
    ///
    /// It cannot be decoded, or not all of it; the error has what was decoded before.
    pub fn decoded_body(&self, limit: usize) -> Result<DecodedBody, DecodeError> {
        decoded_body(&self.headers, &self.body, limit)
    }
}
