//! Where the bytes of a capture come from: a mapped file, or a stream that may be compressed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind as IoErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lz4_flex::frame::FrameDecoder;
use memmap2::Mmap;

use crate::ErrorKind;

/// A compression that is recognised by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// RFC 1952, also with several members.
    Gzip,
    /// RFC 8878, also with several frames.
    Zstd,
    /// The LZ4 frame format, also with several frames.
    Lz4,
}

impl Compression {
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            // The second is a skippable frame, with which parallel compressors begin.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            _ => None,
        }
    }
}

/// The name of the program: `gzip`, `zstd`, `lz4`.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
        })
    }
}

/// Maps a file into memory; `None` if it is not one that can be mapped.
#[allow(unsafe_code)]
pub(crate) fn map(file: &File) -> Option<Mmap> {
    let metadata = file.metadata().ok()?;
    // Pipes and devices cannot be mapped, and files below /proc say that they are empty.
    if !metadata.is_file() || metadata.len() == 0 {
        return None;
    }
    // SAFETY: the map is private and read-only, and is only handed out as `&[u8]` that live no
    // longer than it. What cannot be ruled out is that another process changes the file
    // meanwhile: a capture that is being written grows at its end, outside of the map; one that
    // is overwritten shows other bytes, on whose values no memory access depends without a
    // check; one that is cut ends the process with SIGBUS, as with any reader that maps.
    let map = unsafe { Mmap::map(file) }.ok()?;
    #[cfg(unix)]
    {
        // Best effort: without the advice the walk is slower, not wrong.
        let _ = map.advise(memmap2::Advice::Sequential);
    }
    Some(map)
}

/// A stream and the part of it that has been read but not consumed.
///
/// ```text
/// buffer  |.. consumed ..|== unread ==|.. free ..|
///                        ^start       ^end
/// ```
pub(crate) struct Stream {
    reader: Box<dyn Read + Send>,
    compression: Option<Compression>,
    /// Bytes taken from the reader below the decompressor.
    taken: Arc<AtomicU64>,
    buffer: Vec<u8>,
    /// `start <= end <= buffer.len()`
    start: usize,
    end: usize,
}

impl Stream {
    /// Bytes asked of the reader at once.
    ///
    /// Rationale: large enough that a system call costs little per packet, small enough that what
    /// was read is still in the cache when it is looked at.
    const CHUNK: usize = 128 << 10;

    /// Recognises the compression, for which it waits for four bytes.
    pub(crate) fn new(reader: impl Read + Send + 'static) -> Result<Self, ErrorKind> {
        let taken = Arc::new(AtomicU64::new(0));
        let mut reader = Counted { reader, taken: Arc::clone(&taken) };
        let mut magic = Vec::with_capacity(4);
        reader.by_ref().take(4).read_to_end(&mut magic).map_err(ErrorKind::Io)?;
        let compression = Compression::of(&magic);
        let reader = Cursor::new(magic).chain(reader);
        let reader: Box<dyn Read + Send> = match compression {
            None => Box::new(reader),
            Some(Compression::Gzip) => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Some(Compression::Zstd) => Box::new(zstd::Decoder::new(reader).map_err(ErrorKind::Io)?),
            Some(Compression::Lz4) => Box::new(Lz4Frames::new(reader)),
        };
        let buffer = vec![0; Self::CHUNK];
        Ok(Self { reader, compression, taken, buffer, start: 0, end: 0 })
    }

    /// Bytes taken from the reader, compressed if it is.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// What has been read and not consumed.
    #[inline]
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Consumes so many of the unread bytes and gives them.
    #[inline]
    pub(crate) fn consume(&mut self, len: usize) -> &[u8] {
        let from = self.start;
        self.start = from.saturating_add(len).min(self.end);
        self.buffer.get(from..self.start).unwrap_or_default()
    }

    /// Reads until there are `needed` unread bytes or the stream ends; false if it has ended.
    ///
    /// Reads no further than it must, so that packets that come through a pipe are not held up.
    pub(crate) fn fill(&mut self, needed: usize) -> Result<bool, ErrorKind> {
        while self.end - self.start < needed {
            if self.read()? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Consumes `len` bytes without holding them; gives how many there were.
    pub(crate) fn skip(&mut self, len: u64) -> Result<u64, ErrorKind> {
        let mut left = len;
        loop {
            let here = (self.end - self.start).min(usize::try_from(left).unwrap_or(usize::MAX));
            self.start += here;
            left -= here as u64;
            if left == 0 || self.read()? == 0 {
                return Ok(len - left);
            }
        }
    }

    /// Reads once; 0 at the end.
    fn read(&mut self) -> Result<usize, ErrorKind> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            // The rest of a packet that was cut by the buffer's end moves to its front. If it
            // fills more than half of it the buffer doubles, so that it grows with the bytes that
            // come and not with the length that a record claims.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end > self.buffer.len() / 2 {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        loop {
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.reader.read(free) {
                Ok(read) => {
                    let read = read.min(free.len());
                    self.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == IoErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(match self.compression {
                        Some(compression) => ErrorKind::Decompress { compression, error },
                        None => ErrorKind::Io(error),
                    });
                }
            }
        }
    }
}

/// Counts what goes through.
struct Counted<R> {
    reader: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf)?;
        self.taken.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// LZ4 frames, one after the other, each with a decoder of its own.
///
/// A decoder says "end" after its frame, and also where the data is cut between two blocks. The
/// two differ in that it runs into the end of its input only in the second case.
struct Lz4Frames<R: Read> {
    /// `None` after the last frame.
    decoder: Option<FrameDecoder<EndNoted<R>>>,
}

impl<R: Read> Lz4Frames<R> {
    fn new(reader: R) -> Self {
        let reader = EndNoted { reader: BufReader::new(reader), met: false };
        Self { decoder: Some(FrameDecoder::new(reader)) }
    }
}

impl<R: Read> Read for Lz4Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while let Some(mut decoder) = self.decoder.take() {
            let read = decoder.read(buf)?;
            if read != 0 || buf.is_empty() {
                self.decoder = Some(decoder);
                return Ok(read);
            }
            let mut input = decoder.into_inner();
            if input.met {
                return Err(io::Error::new(IoErrorKind::UnexpectedEof, "incomplete frame"));
            }
            if !input.reader.fill_buf()?.is_empty() {
                self.decoder = Some(FrameDecoder::new(input));
            }
        }
        Ok(0)
    }
}

/// Notes that the end was met, by a read that gave nothing.
struct EndNoted<R> {
    reader: BufReader<R>,
    met: bool,
}

impl<R: Read> Read for EndNoted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buf)?;
        self.met |= read == 0 && !buf.is_empty();
        Ok(read)
    }
}
