use std::ops::ControlFlow;
use std::task::{Context, Poll};

use bytes::Bytes;
use flow_core::{CaptureStats, FlowExtractor, LinkType, PacketView, Timestamp};

use crate::{Error, FlowStream};

/// Where packets come from.
///
/// A source lends each packet for the time of a call, from wherever it has it: nothing is copied.
/// It is asked for packets only when they can be used, so that it stops reading when nobody takes
/// what is found in them.
///
/// A source keeps its state in itself, never in a future: who stops waiting for a packet loses
/// none.
pub trait PacketSource: Send + Unpin {
    /// Hands packets to `take`, in their order, until that breaks off.
    ///
    /// - `Ready(Some(Ok(())))`: `take` has broken off; there may be more.
    /// - `Pending`: there are no more at the moment, and the task is woken when there are. Some may
    ///   have been handed over before.
    /// - `Ready(Some(Err(_)))`: something went wrong. It may go on, unless
    ///   [`is_terminated`](Self::is_terminated).
    /// - `Ready(None)`: there are no more. It is not called again.
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>>;

    /// Whether no packet will come any more.
    fn is_terminated(&self) -> bool;

    /// Whether packets come as they happen, so that time passes while none does.
    fn is_live(&self) -> bool {
        false
    }

    /// What was counted since the source was opened.
    fn capture_stats(&mut self) -> CaptureStats;

    /// The flow events of the packets, and the way to all that is made of them:
    /// [`session_stream`](FlowStream::session_stream),
    /// [`datagram_stream`](FlowStream::datagram_stream),
    /// [`protocol_stream`](FlowStream::protocol_stream),
    /// [`conversations`](FlowStream::conversations).
    #[must_use]
    fn flow_stream<E: FlowExtractor>(self, extractor: E) -> FlowStream<Self, E>
    where
        Self: Sized,
    {
        FlowStream::new(self, extractor)
    }
}

/// Takes a packet, and says whether it takes another one.
pub type Take<'a> = dyn FnMut(SourcePacket<'_>) -> ControlFlow<()> + 'a;

/// A packet that a source lends.
#[derive(Clone, Copy, Debug)]
pub struct SourcePacket<'a> {
    /// The packet.
    pub view: PacketView<'a>,
    /// Which of the sources it came from where several are [merged](crate::Merged), from 0.
    pub source_index: usize,
}

impl<'a> From<PacketView<'a>> for SourcePacket<'a> {
    fn from(view: PacketView<'a>) -> Self {
        Self { view, source_index: 0 }
    }
}

impl<S: PacketSource + ?Sized> PacketSource for Box<S> {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        (**self).poll_packets(cx, take)
    }

    fn is_terminated(&self) -> bool {
        (**self).is_terminated()
    }

    fn is_live(&self) -> bool {
        (**self).is_live()
    }

    fn capture_stats(&mut self) -> CaptureStats {
        (**self).capture_stats()
    }
}

/// A packet that owns its bytes: what goes through channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedPacket {
    /// The captured bytes, from the link layer on.
    pub frame: Bytes,
    /// When it was captured.
    pub timestamp: Timestamp,
    /// What `frame` begins with.
    pub link_type: LinkType,
    /// Bytes the frame had on the wire.
    pub wire_len: u32,
}

impl OwnedPacket {
    /// An Ethernet frame that was captured whole.
    #[must_use]
    pub fn new(frame: impl Into<Bytes>, timestamp: Timestamp) -> Self {
        let frame = frame.into();
        let PacketView { link_type, wire_len, .. } = PacketView::new(&frame, timestamp);
        Self { frame, timestamp, link_type, wire_len }
    }

    /// The same packet with another link type.
    #[must_use]
    pub fn with_link_type(self, link_type: LinkType) -> Self {
        Self { link_type, ..self }
    }

    /// The same packet with the length it had on the wire.
    #[must_use]
    pub fn with_wire_len(self, wire_len: u32) -> Self {
        Self { wire_len, ..self }
    }

    /// The packet as trackers and drivers take it.
    #[must_use]
    pub fn as_view(&self) -> PacketView<'_> {
        PacketView::new(&self.frame, self.timestamp)
            .with_link_type(self.link_type)
            .with_wire_len(self.wire_len)
    }
}

/// Copies the frame.
impl From<PacketView<'_>> for OwnedPacket {
    fn from(view: PacketView<'_>) -> Self {
        Self::new(Bytes::copy_from_slice(view.frame), view.timestamp)
            .with_link_type(view.link_type)
            .with_wire_len(view.wire_len)
    }
}
