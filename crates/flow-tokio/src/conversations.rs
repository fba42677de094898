mod config;
mod hub;
mod pump;
mod spill;
mod sync;

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flow_core::{CaptureStats, EndReason, FlowExtractor, FlowSide, Gap, TrackerStats};
use futures_core::Stream;

pub use self::config::{ConversationConfig, WhenFull};
use self::hub::{Hub, Piece};
use self::pump::{PieceStream, Pieces, Pump};
use crate::{Error, FlowStream, PacketSource};

/// The TCP connections of a source as they begin, each a stream of its own; from
/// [`FlowStream::conversations`].
///
/// They can be read in any way: one after the other to its end, each in a task, many at once. A task
/// of its own reads the packets, and what is not for the conversation that is read just now waits
/// within the [limits](ConversationConfig). Reading never deadlocks.
///
/// It is a conversation if it has bytes, or bytes are missing from it. When this is dropped, there are
/// no more of them; those that were taken go on.
///
/// What went wrong with the source is kept for [`take_errors`](Self::take_errors): look there in the
/// end, as an error does not show in the conversations.
///
/// The first poll must be made in a tokio runtime with its clock enabled, or panics; the packets are
/// read there. When the runtime is shut down, so is the reading.
///
/// ```
/// use flow_extract::FiveTuple;
/// use flow_tokio::CaptureFile;
/// use futures_util::StreamExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/http_get.pcap");
/// let mut conversations =
///     CaptureFile::open(path)?.flow_stream(FiveTuple::bidirectional()).conversations();
/// while let Some(mut conversation) = conversations.next().await {
///     println!("{}", conversation.key());
///     while let Some((side, bytes)) = conversation.next().await {
///         println!("  {side:?}: {} bytes", bytes.len());
///     }
///     println!("  {:?}, {} gaps", conversation.end_reason(), conversation.gaps().len());
/// }
/// for error in conversations.take_errors() {
///     eprintln!("{error}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct Conversations<S, E: FlowExtractor, U = ()> {
    hub: Arc<Hub<E::Key>>,
    stream: Arc<Mutex<PieceStream<S, E, U>>>,
    errors: Arc<Mutex<Vec<Error>>>,
    /// Until the first conversation is asked for, which is when there must be a runtime to run it.
    pump: Option<Pump<S, E, U>>,
}

impl<S, E, U> Conversations<S, E, U>
where
    S: PacketSource + 'static,
    E: FlowExtractor,
    U: Send + 'static,
{
    pub(crate) fn new(flows: FlowStream<S, E, U>, config: ConversationConfig) -> Self {
        let patience = config.patience;
        let hub = Hub::new(config);
        let parsers = Arc::clone(&hub);
        let stream = flows.session_stream(move |key: &E::Key| Pieces::new(parsers.clone(), key));
        let stream = Arc::new(Mutex::new(stream));
        let errors = Arc::default();
        let pump = Pump {
            stream: Arc::clone(&stream),
            hub: Arc::clone(&hub),
            errors,
            patience,
            timer: None,
        };
        Self { hub, stream, errors: Arc::clone(&pump.errors), pump: Some(pump) }
    }
}

impl<S, E: FlowExtractor, U> Conversations<S, E, U> {
    fn stream(&self) -> MutexGuard<'_, PieceStream<S, E, U>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Conversations that were passed over because too many waited to be taken.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.hub.passed_over()
    }

    /// What went wrong with the source since this was asked last; of many errors the first ones. One
    /// that ended the source is among them.
    #[must_use]
    pub fn take_errors(&mut self) -> Vec<Error> {
        std::mem::take(&mut *self.errors.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: PacketSource, E: FlowExtractor, U> Conversations<S, E, U> {
    /// Reads no more packets. Every conversation is given its end; then there are no more.
    pub fn finish(&mut self) {
        self.stream().finish();
        self.hub.wake_pump();
    }

    /// What the source counted since it was opened.
    #[must_use]
    pub fn capture_stats(&self) -> CaptureStats {
        self.stream().capture_stats()
    }

    /// What was counted of all packets and flows.
    #[must_use]
    pub fn tracker_stats(&self) -> TrackerStats {
        *self.stream().tracker_stats()
    }

    /// Flows in the table, those included that linger after their end.
    #[must_use]
    pub fn active_flows(&self) -> usize {
        self.stream().active_flows()
    }
}

impl<S, E, U> Stream for Conversations<S, E, U>
where
    S: PacketSource + 'static,
    E: FlowExtractor,
    U: Send + 'static,
{
    type Item = Conversation<E::Key>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(pump) = self.pump.take() {
            drop(tokio::spawn(pump));
        }
        let taken = ready!(self.hub.poll_accept(cx));
        Poll::Ready(taken.map(|(key, id)| Conversation::new(Arc::clone(&self.hub), id, key)))
    }
}

/// Nothing in it is ever pinned.
impl<S, E: FlowExtractor, U> Unpin for Conversations<S, E, U> {}

impl<S, E: FlowExtractor, U> Drop for Conversations<S, E, U> {
    fn drop(&mut self) {
        self.hub.close();
    }
}

impl<S, E: FlowExtractor, U> fmt::Debug for Conversations<S, E, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations").finish_non_exhaustive()
    }
}

/// A TCP connection: what both sides sent, in the order in which it was delivered, each side's bytes
/// in the order of its stream; from [`Conversations`].
///
/// Bytes that are missing are not among the items; [`gaps`](Self::gaps) has them. When this is
/// dropped, the rest of the connection is only counted.
pub struct Conversation<K> {
    hub: Arc<Hub<K>>,
    id: u64,
    key: K,
    gaps: Vec<(FlowSide, Gap)>,
    missing: [u64; 2],
    offsets: [u64; 2],
    end: Option<Option<EndReason>>,
}

/// Gaps of a conversation that are kept.
///
/// Rationale: who looks at more than these looks at their sum.
const MAX_GAPS: usize = 1_000;

impl<K> Conversation<K> {
    fn new(hub: Arc<Hub<K>>, id: u64, key: K) -> Self {
        Self { hub, id, key, gaps: Vec::new(), missing: [0; 2], offsets: [0; 2], end: None }
    }

    /// The flow.
    #[must_use]
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Bytes that are missing in front of what was read last, or before the end if nothing is left:
    /// the first 1,000 of these holes. Those that nobody read in time have the reason
    /// [`Budget`](flow_core::GapReason::Budget), as those have that reassembly could not wait for.
    #[must_use]
    pub fn gaps(&self) -> &[(FlowSide, Gap)] {
        &self.gaps
    }

    /// All bytes of a side that are missing up to there.
    #[must_use]
    pub fn missing_bytes(&self, side: FlowSide) -> u64 {
        self.missing[side.index()]
    }

    /// The offset, in the stream of its side, behind what was read last.
    #[must_use]
    pub fn offset(&self, side: FlowSide) -> u64 {
        self.offsets[side.index()]
    }

    /// How it ended, once everything was read; `None` before, and if the reading of packets stopped
    /// before its end.
    #[must_use]
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end.flatten()
    }
}

impl<K> Stream for Conversation<K> {
    type Item = (FlowSide, Bytes);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        while this.end.is_none() {
            match ready!(this.hub.poll_next(this.id, cx)) {
                Piece::Bytes(side, bytes) => {
                    this.offsets[side.index()] += bytes.len() as u64;
                    return Poll::Ready(Some((side, bytes)));
                }
                Piece::Gap(side, gap) => {
                    this.offsets[side.index()] += gap.len;
                    this.missing[side.index()] += gap.len;
                    if this.gaps.len() < MAX_GAPS {
                        this.gaps.push((side, gap));
                    }
                }
                Piece::End(reason) => {
                    this.end = Some(reason);
                    // It may be kept for long.
                    this.hub.leave(this.id);
                }
            }
        }
        Poll::Ready(None)
    }
}

/// Nothing in it is ever pinned.
impl<K> Unpin for Conversation<K> {}

impl<K> Drop for Conversation<K> {
    fn drop(&mut self) {
        if self.end.is_none() {
            self.hub.leave(self.id);
        }
    }
}

impl<K: fmt::Debug> fmt::Debug for Conversation<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation")
            .field("key", &self.key)
            .field("offsets", &self.offsets)
            .field("missing", &self.missing)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}
