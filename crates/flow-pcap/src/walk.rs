//! From packet to packet through the bytes of a capture.

use std::path::{Path, PathBuf};

use flow_core::PacketView;

use crate::format::{Format, Record, Step, Stop};
use crate::input::Stream;
use crate::prefetch::Prefetch;
use crate::{Error, ErrorKind, Part, PcapConfig};

/// Where in a capture the walk is. The bytes are passed in, so that packets can borrow from them
/// while the walk goes on.
pub(crate) struct Walk {
    format: Format,
    config: PcapConfig,
    path: Option<PathBuf>,
    /// Of the next record.
    offset: u64,
    packets: u64,
    /// After the end and after an error there is nothing more.
    ended: bool,
    prefetch: Prefetch,
}

impl Walk {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self {
            format: Format::Unknown,
            config: PcapConfig::default(),
            path,
            offset: 0,
            packets: 0,
            ended: false,
            prefetch: Prefetch::default(),
        }
    }

    pub(crate) fn set_config(&mut self, config: PcapConfig) {
        self.config = config;
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(crate) fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Walks over what a capture begins with.
    pub(crate) fn file_header(&mut self, input: &mut impl Input) -> Result<(), Error> {
        match input.fill(1) {
            Ok(true) => {}
            Ok(false) => return Err(self.fail(ErrorKind::Empty)),
            Err(kind) => return Err(self.fail(kind)),
        }
        while matches!(self.format, Format::Unknown) {
            self.step(input).map_err(|kind| self.fail(kind))?;
        }
        Ok(())
    }

    /// The next packet of a capture that is in memory as a whole.
    #[inline]
    pub(crate) fn next_in<'a>(&mut self, all: &'a [u8]) -> Option<Result<PacketView<'a>, Error>> {
        let at = usize::try_from(self.offset).unwrap_or(usize::MAX);
        self.prefetch.ahead_of(all, at);
        let mut rest = all.get(at..).unwrap_or_default();
        Some(self.next_record(&mut rest)?.map(|record| record.view(rest)))
    }

    /// The next packet of a stream.
    #[inline]
    pub(crate) fn next_of<'a>(
        &mut self,
        stream: &'a mut Stream,
    ) -> Option<Result<PacketView<'a>, Error>> {
        let record = self.next_record(stream)?;
        Some(record.map(|record| record.view(stream.consume(record.len))))
    }

    /// The next packet, which is then what `input` begins with.
    #[inline]
    fn next_record(&mut self, input: &mut impl Input) -> Option<Result<Record, Error>> {
        while !self.ended {
            if input.unread().is_empty() {
                match input.fill(1) {
                    Ok(true) => {}
                    Ok(false) => {
                        self.ended = true;
                        break;
                    }
                    Err(kind) => return Some(Err(self.fail(kind))),
                }
            }
            match self.step(input) {
                Ok(Some(record)) => {
                    self.offset += record.len as u64;
                    self.packets += 1;
                    return Some(Ok(record));
                }
                Ok(None) => {}
                Err(kind) => return Some(Err(self.fail(kind))),
            }
        }
        None
    }

    /// Finds a packet, or gets nearer to one.
    #[inline]
    fn step(&mut self, input: &mut impl Input) -> Result<Option<Record>, ErrorKind> {
        match self.format.step(input.unread(), &self.config) {
            Ok(Step::Packet(record)) => Ok(Some(record)),
            Ok(Step::Skip(len)) => {
                let left = input.skip(len)?;
                if left < len {
                    return Err(ErrorKind::Truncated { part: Part::Block, needed: len, left });
                }
                self.offset += len;
                Ok(None)
            }
            Err(Stop::Need(part, needed)) => {
                if !input.fill(needed)? {
                    let (needed, left) = (needed as u64, input.unread().len() as u64);
                    return Err(ErrorKind::Truncated { part, needed, left });
                }
                Ok(None)
            }
            Err(Stop::Damaged(kind)) => Err(kind),
        }
    }

    #[cold]
    fn fail(&mut self, kind: ErrorKind) -> Error {
        self.ended = true;
        Error::new(self.path.as_deref(), self.offset, kind)
    }
}

/// Bytes from the cursor on.
pub(crate) trait Input {
    /// Those that are in memory.
    fn unread(&self) -> &[u8];

    /// Brings `needed` bytes into memory; false if the input ends before.
    fn fill(&mut self, needed: usize) -> Result<bool, ErrorKind>;

    /// Moves the cursor on; gives by how much, which is less at the end of the input.
    fn skip(&mut self, len: u64) -> Result<u64, ErrorKind>;
}

impl Input for &[u8] {
    #[inline]
    fn unread(&self) -> &[u8] {
        self
    }

    fn fill(&mut self, needed: usize) -> Result<bool, ErrorKind> {
        Ok(self.len() >= needed)
    }

    fn skip(&mut self, len: u64) -> Result<u64, ErrorKind> {
        let here = usize::try_from(len).unwrap_or(usize::MAX).min(self.len());
        *self = self.get(here..).unwrap_or_default();
        Ok(here as u64)
    }
}

impl Input for Stream {
    #[inline]
    fn unread(&self) -> &[u8] {
        self.unread()
    }

    fn fill(&mut self, needed: usize) -> Result<bool, ErrorKind> {
        self.fill(needed)
    }

    fn skip(&mut self, len: u64) -> Result<u64, ErrorKind> {
        self.skip(len)
    }
}
