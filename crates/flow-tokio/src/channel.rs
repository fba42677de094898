use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use flow_core::CaptureStats;
use futures_core::Stream;
use tokio::sync::mpsc;

use crate::{Error, OwnedPacket, PacketSource, Take};

/// Packets from any [`Stream`] of them.
///
/// Its items are packets, or results: an error is passed on, and does not end the stream.
///
/// ```
/// use flow_core::Timestamp;
/// use flow_tokio::{OwnedPacket, StreamSource};
///
/// let packets = vec![OwnedPacket::new(vec![0; 60], Timestamp::new(1, 0))];
/// let source = StreamSource::new(futures_util::stream::iter(packets));
/// # let _ = source;
/// ```
pub struct StreamSource<T> {
    stream: T,
    received: u64,
    is_over: bool,
}

impl<T> StreamSource<T>
where
    T: Stream<Item: IntoPacket> + Send + Unpin,
{
    /// The packets that `stream` gives.
    #[must_use]
    pub fn new(stream: T) -> Self {
        Self { stream, received: 0, is_over: false }
    }
}

/// What a [`StreamSource`] takes: a packet, or a packet or an error.
pub trait IntoPacket {
    /// The packet.
    ///
    /// # Errors
    ///
    /// There is none.
    fn into_packet(self) -> Result<OwnedPacket, Error>;
}

impl IntoPacket for OwnedPacket {
    fn into_packet(self) -> Result<OwnedPacket, Error> {
        Ok(self)
    }
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> IntoPacket for Result<OwnedPacket, E> {
    fn into_packet(self) -> Result<OwnedPacket, Error> {
        self.map_err(|error| Error::Source(error.into()))
    }
}

impl<T> PacketSource for StreamSource<T>
where
    T: Stream<Item: IntoPacket> + Send + Unpin,
{
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        while !self.is_over {
            let Some(item) = ready!(Pin::new(&mut self.stream).poll_next(cx)) else {
                self.is_over = true;
                break;
            };
            let packet = item.into_packet()?;
            self.received += 1;
            if take(packet.as_view().into()).is_break() {
                return Poll::Ready(Some(Ok(())));
            }
        }
        Poll::Ready(None)
    }

    fn is_terminated(&self) -> bool {
        self.is_over
    }

    fn capture_stats(&mut self) -> CaptureStats {
        received(self.received)
    }
}

impl<T> fmt::Debug for StreamSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource").field("received", &self.received).finish_non_exhaustive()
    }
}

/// Packets from a channel, whose capacity is the bound of what waits in it.
impl PacketSource for mpsc::Receiver<OwnedPacket> {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        while let Some(packet) = ready!(self.poll_recv(cx)) {
            if take(packet.as_view().into()).is_break() {
                return Poll::Ready(Some(Ok(())));
            }
        }
        Poll::Ready(None)
    }

    fn is_terminated(&self) -> bool {
        self.is_closed() && self.is_empty()
    }

    /// A channel counts nothing.
    fn capture_stats(&mut self) -> CaptureStats {
        CaptureStats::default()
    }
}

/// The statistics of a source that loses nothing.
pub(crate) fn received(received: u64) -> CaptureStats {
    let mut stats = CaptureStats::default();
    stats.received = received;
    stats
}
