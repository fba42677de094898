use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flow_core::{EndReason, FlowExtractor, FlowSide, Gap};
use flow_session::{Context as FeedContext, GapAction, SessionParser, StreamOnly};
use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use super::hub::{Hub, Pushed, Ready};
use crate::{Error, MAX_PACKETS_PER_POLL, PacketSource, SessionStream};

/// Brings the bytes of a flow to its mailbox.
pub(super) struct Pieces<K> {
    hub: Arc<Hub<K>>,
    mailbox: Mailbox<K>,
}

enum Mailbox<K> {
    /// Nothing has come yet.
    Unopened(K),
    Open(u64),
    Unwanted,
}

/// Says that a mailbox is full, so that the stream of events has one before the next packet is read.
#[derive(Debug)]
pub(super) struct IsFull;

impl<K: Clone> Pieces<K> {
    pub(super) fn new(hub: Arc<Hub<K>>, key: &K) -> Self {
        Self { hub, mailbox: Mailbox::Unopened(key.clone()) }
    }

    fn open(&mut self) -> Option<u64> {
        if let Mailbox::Unopened(key) = &self.mailbox {
            let opened = self.hub.open(key.clone());
            self.mailbox = opened.map_or(Mailbox::Unwanted, Mailbox::Open);
        }
        if let Mailbox::Open(id) = self.mailbox { Some(id) } else { None }
    }
}

impl<K: Clone + Send + Sync + 'static> SessionParser for Pieces<K> {
    type Message = IsFull;

    fn feed_initiator(&mut self, _bytes: &[u8]) -> Vec<IsFull> {
        Vec::new()
    }

    fn feed_responder(&mut self, _bytes: &[u8]) -> Vec<IsFull> {
        Vec::new()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut FeedContext<'_, IsFull>) {
        let Some(id) = self.open() else { return };
        match self.hub.push(id, side, bytes) {
            Pushed::Kept => {}
            Pushed::Full => cx.emit(IsFull),
            Pushed::Unwanted => self.mailbox = Mailbox::Unwanted,
        }
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _cx: &mut FeedContext<'_, IsFull>) -> GapAction {
        if let Some(id) = self.open() {
            self.hub.push_gap(id, side, gap);
        }
        GapAction::Resume
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, _cx: &mut FeedContext<'_, IsFull>) {
        if let (Mailbox::Open(id), FlowSide::Responder) = (&self.mailbox, side) {
            self.hub.end(*id, reason);
        }
    }

    fn wants(&self, _side: FlowSide) -> bool {
        !matches!(self.mailbox, Mailbox::Unwanted)
    }
}

pub(super) type PieceStream<S, E, U> =
    SessionStream<S, E, StreamOnly<Pieces<<E as FlowExtractor>::Key>>, U>;

/// Reads packets for as long as somebody wants what is in them, in a task of its own.
pub(super) struct Pump<S, E: FlowExtractor, U> {
    pub(super) stream: Arc<Mutex<PieceStream<S, E, U>>>,
    pub(super) hub: Arc<Hub<E::Key>>,
    pub(super) errors: Arc<Mutex<Vec<Error>>>,
    pub(super) patience: Duration,
    /// Runs while it waits for one reader, and another reader for it.
    pub(super) timer: Option<Pin<Box<Sleep>>>,
}

impl<S: PacketSource, E: FlowExtractor, U> Pump<S, E, U> {
    /// Ready when the next packet may be read.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Ready> {
        let Self { hub, patience, timer, .. } = self;
        loop {
            match hub.poll_ready(cx) {
                Poll::Pending if hub.is_awaited() => {
                    let timer = timer.get_or_insert_with(|| Box::pin(sleep(*patience)));
                    ready!(timer.as_mut().poll(cx));
                    hub.expect_nobody();
                }
                polled => {
                    *timer = None;
                    return polled;
                }
            }
            *timer = None;
        }
    }
}

impl<S: PacketSource, E: FlowExtractor, U> Future for Pump<S, E, U> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        for _ in 0..MAX_EVENTS_PER_POLL {
            if ready!(this.poll_ready(cx)) == Ready::Gone {
                return Poll::Ready(());
            }
            let Self { stream, hub, errors, .. } = this;
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            match Pin::new(&mut *stream).poll_next(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => {
                    let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
                    if errors.len() < MAX_ERRORS {
                        errors.push(error);
                    }
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return hub.poll_gone(cx),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Events, or errors, after which it lets other tasks run.
///
/// Rationale: as for packets of which nothing comes.
const MAX_EVENTS_PER_POLL: usize = MAX_PACKETS_PER_POLL;

/// Errors that are kept until somebody asks.
///
/// Rationale: the first say what is wrong; a source that goes on after errors must not fill memory.
const MAX_ERRORS: usize = 16;

/// Whatever ends the pump, nobody may wait for it any more.
impl<S, E: FlowExtractor, U> Drop for Pump<S, E, U> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let panicked = Error::Io(io::Error::other("the task that reads packets panicked"));
            self.errors.lock().unwrap_or_else(PoisonError::into_inner).push(panicked);
        }
        self.hub.shut();
    }
}
