use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;

use flow_core::{LinkType, PacketView, Timestamp};
use flow_pcap::PcapFlowSource;
use tokio::sync::mpsc;

use crate::{Error, Take};

/// A capture that a thread reads.
pub(super) struct Background {
    batches: mpsc::Receiver<Result<Batch, flow_pcap::Error>>,
    /// Batches that have been used, for their memory.
    used: std::sync::mpsc::Sender<Batch>,
    current: Batch,
    /// Packets of the current batch that were handed over.
    taken: usize,
    stop: Option<Arc<AtomicBool>>,
}

/// Packets, one behind the other.
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    packets: Vec<Meta>,
}

struct Meta {
    /// Where its frame ends in the bytes of the batch; it begins where that of the one before ends.
    end: usize,
    timestamp: Timestamp,
    link_type: LinkType,
    wire_len: u32,
}

/// Batches that wait to be used.
///
/// Rationale: one to be used while the next is read.
const BATCHES: usize = 2;

/// Bytes of frames in a batch, but for the one that exceeds it.
///
/// Rationale: what fits into the second-level cache of a core, and is some hundred packets.
const BATCH_BYTES: usize = 128 << 10;

/// Packets of a batch.
const BATCH_PACKETS: usize = 512;

impl Background {
    /// Reads what `open` opens. If it is to be `prompt`, no packet waits for others; a file on a disk
    /// has them all.
    pub(super) fn spawn(
        prompt: bool,
        open: impl FnOnce() -> Result<PcapFlowSource, flow_pcap::Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, batches) = mpsc::channel(BATCHES);
        let (used, recycled) = std::sync::mpsc::channel();
        thread::Builder::new().name("flow-capture".to_owned()).spawn(move || {
            if let Err(error) = open().and_then(|source| read(source, prompt, &sender, &recycled)) {
                // Whoever would read it is gone otherwise.
                let _ = sender.blocking_send(Err(error));
            }
        })?;
        Ok(Self { batches, used, current: Batch::default(), taken: 0, stop: None })
    }

    /// The same, with what makes the thread give up when this is dropped.
    pub(super) fn with_stop(mut self, stop: Arc<AtomicBool>) -> Self {
        self.stop = Some(stop);
        self
    }

    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        loop {
            while let Some(view) = self.current.view(self.taken) {
                self.taken += 1;
                if take(view.into()).is_break() {
                    return Poll::Ready(Some(Ok(())));
                }
            }
            let next = match ready!(self.batches.poll_recv(cx)) {
                Some(next) => next?,
                None => return Poll::Ready(None),
            };
            // The thread may have read everything and be gone.
            let _ = self.used.send(std::mem::replace(&mut self.current, next));
            self.taken = 0;
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Reads a capture to its end, or until nobody wants it any more.
fn read(
    mut source: PcapFlowSource,
    prompt: bool,
    sender: &mpsc::Sender<Result<Batch, flow_pcap::Error>>,
    recycled: &std::sync::mpsc::Receiver<Batch>,
) -> Result<(), flow_pcap::Error> {
    let mut batch = Batch::default();
    while let Some(view) = source.next_view() {
        match view {
            Ok(view) => batch.push(view),
            Err(error) => {
                let _ = sender.blocking_send(Ok(batch));
                return Err(error);
            }
        }
        // Who has nothing left to read must not wait until a slow pipe has filled a batch.
        let is_wanted = prompt && sender.capacity() == BATCHES;
        if is_wanted || batch.is_full() {
            let empty = recycled.try_recv().map(Batch::emptied).unwrap_or_default();
            if sender.blocking_send(Ok(std::mem::replace(&mut batch, empty))).is_err() {
                return Ok(());
            }
        }
    }
    let _ = sender.blocking_send(Ok(batch));
    Ok(())
}

impl Batch {
    fn push(&mut self, view: PacketView<'_>) {
        let PacketView { frame, timestamp, link_type, wire_len } = view;
        self.bytes.extend_from_slice(frame);
        self.packets.push(Meta { end: self.bytes.len(), timestamp, link_type, wire_len });
    }

    fn is_full(&self) -> bool {
        self.bytes.len() >= BATCH_BYTES || self.packets.len() >= BATCH_PACKETS
    }

    fn emptied(mut self) -> Self {
        self.bytes.clear();
        self.packets.clear();
        self
    }

    fn view(&self, index: usize) -> Option<PacketView<'_>> {
        let Meta { end, timestamp, link_type, wire_len } = *self.packets.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.packets.get(before));
        let frame = self.bytes.get(start.map_or(0, |before| before.end)..end)?;
        let view = PacketView::new(frame, timestamp);
        Some(view.with_link_type(link_type).with_wire_len(wire_len))
    }
}
