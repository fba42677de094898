use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use flow_core::{LinkType, PacketView, Timestamp};
use flow_pcap::PcapFlowSource;

use crate::{Error, Take};

/// A capture that a thread reads.
///
/// The thread fills a batch while another one is used; they are exchanged when that is used up.
pub(super) struct Background {
    shared: Arc<Shared>,
    current: Batch,
    /// Packets of the current batch that were handed over.
    taken: usize,
    stop: Option<Arc<AtomicBool>>,
}

/// What the thread and the task that uses its packets share.
struct Shared {
    state: Mutex<State>,
    /// The batch was taken, or nobody wants it any more.
    taken: Condvar,
}

struct State {
    filling: Batch,
    /// Whether the batch is taken as soon as there is a packet in it, or when it is full.
    prompt: bool,
    /// Why the thread stopped, behind the packets.
    error: Option<Error>,
    /// The thread reads no more.
    is_over: bool,
    /// Nobody uses the packets any more.
    is_unwanted: bool,
    /// Who waits for packets.
    task: Option<Waker>,
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
        let state = State {
            filling: Batch::default(),
            prompt,
            error: None,
            is_over: false,
            is_unwanted: false,
            task: None,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), taken: Condvar::new() });
        let ends = Ends(Arc::clone(&shared));
        thread::Builder::new().name("flow-capture".to_owned()).spawn(move || {
            let Ends(shared) = &ends;
            if let Err(error) = open().and_then(|source| read(source, shared)) {
                shared.lock().error = Some(error.into());
            }
        })?;
        Ok(Self { shared, current: Batch::default(), taken: 0, stop: None })
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
            self.current.clear();
            self.taken = 0;
            let mut state = self.shared.lock();
            if state.has_packets() {
                std::mem::swap(&mut state.filling, &mut self.current);
                drop(state);
                self.shared.taken.notify_one();
            } else if state.is_over {
                return Poll::Ready(state.error.take().map(Err));
            } else {
                state.task = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(stop) = &self.stop {
            stop.store(true, Ordering::Relaxed);
        }
        self.shared.lock().is_unwanted = true;
        self.shared.taken.notify_one();
    }
}

/// Says so when the thread ends, however that happens.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        if thread::panicking() {
            state.error = Some(Error::Io(io::Error::other("the reader of the capture panicked")));
        }
        let task = state.task.take();
        drop(state);
        task.into_iter().for_each(Waker::wake);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a packet when there is room. Says whether anybody wants more.
    fn push(&self, view: PacketView<'_>) -> bool {
        let mut state = self.lock();
        while state.filling.is_full() && !state.is_unwanted {
            state = self.taken.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_unwanted {
            return false;
        }
        state.filling.push(view);
        let task = if state.has_packets() { state.task.take() } else { None };
        drop(state);
        task.into_iter().for_each(Waker::wake);
        true
    }
}

impl State {
    /// Whether the batch may be taken.
    fn has_packets(&self) -> bool {
        self.filling.is_full() || !self.filling.packets.is_empty() && (self.prompt || self.is_over)
    }
}

/// Reads a capture to its end, or until nobody wants it any more.
fn read(mut source: PcapFlowSource, shared: &Shared) -> Result<(), flow_pcap::Error> {
    while let Some(view) = source.next_view() {
        if !shared.push(view?) {
            break;
        }
    }
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

    /// Empties it, but for its memory.
    fn clear(&mut self) {
        self.bytes.clear();
        self.packets.clear();
    }

    fn view(&self, index: usize) -> Option<PacketView<'_>> {
        let Meta { end, timestamp, link_type, wire_len } = *self.packets.get(index)?;
        let start = index.checked_sub(1).and_then(|before| self.packets.get(before));
        let frame = self.bytes.get(start.map_or(0, |before| before.end)..end)?;
        let view = PacketView::new(frame, timestamp);
        Some(view.with_link_type(link_type).with_wire_len(wire_len))
    }
}
