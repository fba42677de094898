use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::gzip::Gzip;
use super::{ContentCoding, DecodeErrorKind};

/// Logarithm of the largest window of `zstd` (RFC 9659).
const ZSTD_WINDOW_LOG: u32 = 23;

/// What one step of a coding did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) read: usize,
    pub(super) written: usize,
    /// Why it cannot go on.
    pub(super) failed: Option<DecodeErrorKind>,
}

impl Step {
    /// Took bytes that give nothing.
    pub(super) fn read(read: usize) -> Self {
        Self { read, ..Self::default() }
    }
}

/// The decoder of a coding.
pub(super) enum Codec {
    Gzip(Box<Gzip>),
    Deflate(Deflate),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

impl Codec {
    pub(super) fn new(coding: ContentCoding) -> Result<Self, DecodeErrorKind> {
        Ok(match coding {
            ContentCoding::Gzip => Self::Gzip(Box::default()),
            ContentCoding::Deflate => Self::Deflate(Deflate::default()),
            ContentCoding::Brotli => Self::Brotli(Box::default()),
            ContentCoding::Zstd => Self::Zstd(Zstd::new()?),
        })
    }

    /// Decodes some of `input` into `output`. It may keep decoded bytes back only if `output` is
    /// full.
    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        match self {
            Self::Gzip(gzip) => gzip.step(input, output),
            Self::Deflate(deflate) => deflate.step(input, output),
            Self::Brotli(brotli) => brotli.step(input, output),
            Self::Zstd(zstd) => zstd.step(input, output),
        }
    }

    /// Whether its end was reached; what comes behind that is passed over.
    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Gzip(gzip) => gzip.is_done(),
            Self::Deflate(deflate) => deflate.done,
            Self::Brotli(brotli) => brotli.done,
            Self::Zstd(zstd) => zstd.done,
        }
    }
}

/// Decodes the bare format of RFC 1951 or that of zlib; says whether that was its end.
pub(super) fn inflate(inflate: &mut Decompress, input: &[u8], output: &mut [u8]) -> (Step, bool) {
    let before = (inflate.total_in(), inflate.total_out());
    let status = inflate.decompress(input, output, FlushDecompress::None);
    let advanced = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
    let step = Step {
        read: advanced(inflate.total_in(), before.0),
        written: advanced(inflate.total_out(), before.1),
        failed: status.is_err().then_some(DecodeErrorKind::Invalid),
    };
    (step, matches!(status, Ok(Status::StreamEnd)))
}

/// `deflate`, which is zlib unless its first two bytes are no header of that (RFC 1950).
#[derive(Default)]
pub(super) struct Deflate {
    first: Option<u8>,
    inflate: Option<Decompress>,
    done: bool,
}

impl Deflate {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.done {
            return Step::read(input.len());
        }
        if let Some(decoder) = &mut self.inflate {
            let (step, done) = inflate(decoder, input, output);
            self.done = done;
            return step;
        }
        match (self.first, input) {
            (_, []) => Step::default(),
            (None, [first, ..]) => {
                self.first = Some(*first);
                Step::read(1)
            }
            (Some(first), [second, ..]) => {
                let header = u16::from_be_bytes([first, *second]);
                let zlib = first & 0x0f == 8 && first >> 4 <= 7 && header % 31 == 0;
                let mut decoder = Decompress::new(zlib);
                let (step, done) = inflate(&mut decoder, &[first, *second], output);
                self.inflate = Some(decoder);
                self.done = done;
                Step { read: 1, ..step }
            }
        }
    }
}

/// `br`. Windows of more than 16 MiB are an extension that no browser takes.
pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    done: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), done: false }
    }
}

impl Brotli {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.done {
            return Step::read(input.len());
        }
        let (mut left, mut read, mut room, mut written) = (input.len(), 0, output.len(), 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut read,
            input,
            &mut room,
            &mut written,
            output,
            &mut 0,
            &mut self.state,
        );
        self.done = matches!(result, BrotliResult::ResultSuccess);
        let failed = matches!(result, BrotliResult::ResultFailure);
        Step { read, written, failed: failed.then_some(DecodeErrorKind::Invalid) }
    }
}

/// `zstd`; any number of frames.
pub(super) struct Zstd {
    decoder: Decoder<'static>,
    done: bool,
}

impl Zstd {
    fn new() -> Result<Self, DecodeErrorKind> {
        let decoder = Decoder::new().and_then(|mut decoder| {
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
            Ok(decoder)
        });
        let decoder = decoder.map_err(|_| DecodeErrorKind::WindowTooLarge)?;
        Ok(Self { decoder, done: false })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        if self.done && input.is_empty() {
            return Step::default();
        }
        let (mut input, mut output) = (InBuffer::around(input), OutBuffer::around(output));
        let result = self.decoder.run(&mut input, &mut output);
        self.done = matches!(result, Ok(0));
        // The library says this one in words only.
        let failed =
            result.err().map(|error| match error.to_string().contains("too much memory") {
                true => DecodeErrorKind::WindowTooLarge,
                false => DecodeErrorKind::Invalid,
            });
        Step { read: input.pos(), written: output.pos(), failed }
    }
}
