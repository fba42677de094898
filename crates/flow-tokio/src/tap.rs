use std::fmt;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use flow_core::{CaptureStats, PacketView};
use flow_pcap::PcapWriter;

use crate::{Error, PacketSource, Take};

/// A source that also writes every packet which passes to a pcap file, before anybody else sees it.
///
/// The file has nanoseconds, and the link type of the first packet; without any, nothing is written.
/// What is written is flushed whenever the source has nothing at the moment, and at its end. After
/// [`finish`](crate::EventStream::finish), which leaves the source where it is, there is
/// [`flush`](Self::flush).
///
/// If it cannot be written, the stream has one [`Error::Tap`] among its items; the tap is closed
/// then, and the packets go on. A packet that the file cannot hold, as it is of another link type
/// or too long, is left out; the first of them is told of in the same way.
pub struct Tap<S, W: Write> {
    source: S,
    place: Place<W>,
    error: Option<io::Error>,
    written: u64,
    left_out: u64,
}

enum Place<W: Write> {
    /// No packet has shown its link type yet.
    Fresh(W),
    Open(PcapWriter<W>),
    Closed,
}

impl<S: PacketSource, W: Write + Send + Unpin> Tap<S, W> {
    /// Writes to `writer` what passes from `source`. Each packet is written with two calls of
    /// `write_all`: give it a [`BufWriter`](std::io::BufWriter) unless it is in memory.
    #[must_use]
    pub fn new(source: S, writer: W) -> Self {
        Self { source, place: Place::Fresh(writer), error: None, written: 0, left_out: 0 }
    }

    /// Packets written so far.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Packets that the file cannot hold, up to now.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Flushes the writer.
    ///
    /// # Errors
    ///
    /// Those of the writer. The tap is not closed.
    pub fn flush(&mut self) -> io::Result<()> {
        self.place.flush()
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }
}

impl<W: Write> Place<W> {
    fn write(&mut self, view: &PacketView<'_>) -> io::Result<()> {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::Fresh(writer) => Self::Open(PcapWriter::new(writer, view.link_type, true)?),
            place => place,
        };
        if let Self::Open(writer) = self { writer.write(view) } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Self::Open(writer) = self { writer.flush() } else { Ok(()) }
    }
}

impl<S: PacketSource, W: Write + Send + Unpin> PacketSource for Tap<S, W> {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        let Self { source, place, error, written, left_out } = self;
        let polled = source.poll_packets(cx, &mut |packet| {
            if !matches!(place, Place::Closed) {
                match place.write(&packet.view) {
                    Ok(()) => *written += 1,
                    Err(failed) if failed.kind() == io::ErrorKind::InvalidInput => {
                        *left_out += 1;
                        *error = (*left_out == 1).then_some(failed);
                    }
                    Err(failed) => (*place, *error) = (Place::Closed, Some(failed)),
                }
            }
            let taken = take(packet);
            if error.is_some() { ControlFlow::Break(()) } else { taken }
        });
        if matches!(polled, Poll::Pending | Poll::Ready(None))
            && let Err(failed) = place.flush()
        {
            (*place, *error) = (Place::Closed, Some(failed));
        }
        match error.take() {
            // Whatever else there is comes with the next call.
            Some(error) => Poll::Ready(Some(Err(Error::Tap(error)))),
            None => polled,
        }
    }

    fn is_terminated(&self) -> bool {
        self.source.is_terminated()
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn capture_stats(&mut self) -> CaptureStats {
        self.source.capture_stats()
    }
}

impl<S: fmt::Debug, W: Write> fmt::Debug for Tap<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap")
            .field("source", &self.source)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
