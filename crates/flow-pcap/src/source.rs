use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flow_core::{LinkType, PacketView, Timestamp};
use memmap2::Mmap;

use crate::input::{self, Compression, Stream};
use crate::walk::Walk;
use crate::{Error, ErrorKind, PcapConfig};

/// A capture, packet by packet.
///
/// Plain files are mapped into memory and their packets are lent from there, without a copy.
/// Compressed files, pipes and readers go through a buffer.
///
/// ```text
/// open | from_reader   (with_config)?   (next_view | views)*  or  with_extractor
/// ```
///
/// Damage ends the walk: everything before it comes first, then one [`Error`], then nothing.
pub struct PcapFlowSource {
    input: Input,
    walk: Walk,
    /// Size of the file as it is on disk.
    total: Option<u64>,
}

enum Input {
    Mapped(Mmap),
    Streamed(Stream),
}

impl PcapFlowSource {
    /// Opens a capture: pcap or pcapng, plain or compressed, a file, a pipe or a device.
    ///
    /// A plain file is mapped. It may grow meanwhile (what is added is not read), but must not
    /// be cut: that ends the process with SIGBUS. Use
    /// [`from_reader`](Self::from_reader) with the opened file where that is to be feared.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or does not begin like a capture. A capture without packets is fine.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let fail = |kind| Error::new(Some(path), 0, kind);
        let file = File::open(path).map_err(|error| fail(ErrorKind::Io(error)))?;
        let metadata = file.metadata().ok();
        let total = metadata.filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        let input = match input::map(&file).filter(|map| Compression::of(map).is_none()) {
            Some(map) => Input::Mapped(map),
            None => Input::Streamed(Stream::new(file).map_err(fail)?),
        };
        Self::new(input, total.filter(|&len| len != 0), Some(path.to_path_buf()))
    }

    /// Reads a capture, plain or compressed, from any reader: standard input, a socket, memory.
    ///
    /// Has a buffer of its own; `reader` needs none.
    ///
    /// # Errors
    ///
    /// It cannot be read, or does not begin like a capture. A capture without packets is fine.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Result<Self, Error> {
        let stream = Stream::new(reader).map_err(|kind| Error::new(None, 0, kind))?;
        Self::new(Input::Streamed(stream), None, None)
    }

    fn new(input: Input, total: Option<u64>, path: Option<PathBuf>) -> Result<Self, Error> {
        let mut source = Self { input, walk: Walk::new(path), total };
        match &mut source.input {
            Input::Mapped(map) => source.walk.file_header(&mut &map[..])?,
            Input::Streamed(stream) => source.walk.file_header(stream)?,
        }
        Ok(source)
    }

    /// Sets what counts as damage.
    #[must_use]
    pub fn with_config(mut self, config: PcapConfig) -> Self {
        self.walk.set_config(config);
        self
    }

    /// The next packet, lent until the next call: the fastest way through a capture.
    ///
    /// `None` at the end, and after an error.
    #[inline]
    pub fn next_view(&mut self) -> Option<Result<PacketView<'_>, Error>> {
        match &mut self.input {
            Input::Mapped(map) => self.walk.next_in(map),
            Input::Streamed(stream) => self.walk.next_of(stream),
        }
    }

    /// The packets from here on, as an iterator whose items outlive each other.
    ///
    /// A packet of a mapped file borrows the map; any other is copied.
    pub fn views(&mut self) -> Views<'_> {
        let input = match &mut self.input {
            Input::Mapped(map) => ViewsInput::Mapped(map),
            Input::Streamed(stream) => ViewsInput::Streamed(stream),
        };
        Views { input, walk: &mut self.walk }
    }

    /// Whether the packets are lent from the mapped file, so that none has to be waited for.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        matches!(self.input, Input::Mapped(_))
    }

    /// Packets given so far.
    #[must_use]
    pub fn packets(&self) -> u64 {
        self.walk.packets()
    }

    /// Bytes of the capture, after decompression, that have been walked over: where the next
    /// record begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.walk.offset()
    }

    /// Bytes of the file or reader that have been read, compressed if it is. With
    /// [`total_bytes`](Self::total_bytes) it says how far along this is.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        match &self.input {
            Input::Mapped(_) => self.walk.offset(),
            Input::Streamed(stream) => stream.taken(),
        }
    }

    /// Size of the file when it was opened; `None` if that is not known, as for readers, pipes
    /// and devices.
    #[must_use]
    pub fn total_bytes(&self) -> Option<u64> {
        self.total
    }
}

impl fmt::Debug for PcapFlowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PcapFlowSource")
            .field("path", &self.walk.path())
            .field("offset", &self.offset())
            .field("packets", &self.packets())
            .finish_non_exhaustive()
    }
}

/// The packets of a [`PcapFlowSource`], from [`PcapFlowSource::views`].
///
/// Ends with the capture, or after the one error that says where it is damaged.
pub struct Views<'a> {
    input: ViewsInput<'a>,
    walk: &'a mut Walk,
}

enum ViewsInput<'a> {
    Mapped(&'a [u8]),
    Streamed(&'a mut Stream),
}

impl<'a> Iterator for Views<'a> {
    type Item = Result<CapturedPacket<'a>, Error>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.input {
            ViewsInput::Mapped(map) => {
                let view = self.walk.next_in(map)?;
                Some(view.map(|view| CapturedPacket::new(view, Cow::Borrowed(view.frame))))
            }
            ViewsInput::Streamed(stream) => {
                let view = self.walk.next_of(stream)?;
                Some(view.map(|view| CapturedPacket::new(view, Cow::Owned(view.frame.to_vec()))))
            }
        }
    }
}

impl std::iter::FusedIterator for Views<'_> {}

/// A packet of a capture that can be kept while others are read.
#[derive(Clone, Debug)]
pub struct CapturedPacket<'a> {
    frame: Cow<'a, [u8]>,
    timestamp: Timestamp,
    link_type: LinkType,
    wire_len: u32,
}

impl<'a> CapturedPacket<'a> {
    #[inline]
    fn new(view: PacketView<'_>, frame: Cow<'a, [u8]>) -> Self {
        let PacketView { timestamp, link_type, wire_len, .. } = view;
        Self { frame, timestamp, link_type, wire_len }
    }

    /// The packet as trackers and drivers take it.
    #[inline]
    #[must_use]
    pub fn as_view(&self) -> PacketView<'_> {
        PacketView::new(&self.frame, self.timestamp)
            .with_link_type(self.link_type)
            .with_wire_len(self.wire_len)
    }
}
