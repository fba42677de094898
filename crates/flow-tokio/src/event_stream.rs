use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flow_core::{CaptureStats, PacketView, Timestamp};
use futures_core::Stream;
use futures_core::stream::FusedStream;
use tokio::task::coop;

use crate::clock::IdleClock;
use crate::{Error, PacketSource};

/// Packets that are handled in one call at most, if nothing comes of them. Then the task lets others
/// run.
///
/// Rationale: some ten microseconds of work, against which a turn of the runtime costs little.
pub const MAX_PACKETS_PER_POLL: usize = 128;

/// What makes events of packets: an engine with the events that have not been taken yet.
pub trait Drive {
    /// What it makes.
    type Event;

    /// Handles a packet.
    fn track(&mut self, view: PacketView<'_>);
    /// It is `now`, though no packet says so.
    fn sweep(&mut self, now: Timestamp);
    /// There are no more packets.
    fn finish(&mut self);
    /// Takes the next event.
    fn pop(&mut self) -> Option<Self::Event>;
    /// Whether there is an event to take.
    fn has_events(&self) -> bool;
    /// Flows that may come to an end without a packet.
    fn active_flows(&self) -> usize;
    /// What the packet clock says.
    fn now(&self) -> Timestamp;
    /// How often to look at them.
    fn sweep_interval(&self) -> Duration;
}

/// The events of an engine over the packets of a source: what [`FlowStream`](crate::FlowStream) and
/// [`SessionStream`](crate::SessionStream) are.
///
/// Nothing is read from the source while there are events that have not been taken. What is not
/// taken therefore waits where the packets come from: in the ring of the interface, in the channel,
/// in the file. The only queue here holds the events of one packet.
///
/// Where packets never have to be waited for, as in a file, the stream has nothing at the moment once
/// its task has had its share of the tokio runtime.
///
/// All state is in the stream: a future of its next event can be dropped at any time, and loses
/// nothing.
///
/// The clock is that of the packets. While a live source is silent, flows that have been idle for too
/// long are ended by timer; for others nothing depends on how time passes. A timer needs a tokio
/// runtime with its clock enabled.
///
/// After the last packet, or [`finish`](Self::finish), every open flow ends. If the source ended with
/// an error, that is the last item.
pub struct EventStream<S, D> {
    source: S,
    pub(crate) driver: D,
    clock: IdleClock,
    /// Whether flows end by timer; as the source says if that is `None`.
    idle_timer: Option<bool>,
    /// The source of the packet that made the events which are there.
    from: Option<usize>,
    stage: Stage,
    error: Option<Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    /// No packet is read any more; the flows have not been ended yet.
    Stopping,
    /// The flows have been ended.
    Finished,
}

impl<S: PacketSource, D: Drive> EventStream<S, D> {
    pub(crate) fn with_driver(source: S, driver: D) -> Self {
        Self {
            source,
            driver,
            clock: IdleClock::default(),
            idle_timer: None,
            from: None,
            stage: Stage::Reading,
            error: None,
        }
    }

    /// The same stream with what `change` makes of its engine.
    pub(crate) fn with_changed<C>(self, change: impl FnOnce(D) -> C) -> EventStream<S, C> {
        let Self { source, driver, clock, idle_timer, from, stage, error } = self;
        EventStream { source, driver: change(driver), clock, idle_timer, from, stage, error }
    }

    /// Whether idle flows are ended by timer while no packet comes: by default, if the source is
    /// [live](PacketSource::is_live). For a channel or a stream that a live source feeds, say so.
    #[must_use]
    pub fn with_idle_timer(mut self, idle_timer: bool) -> Self {
        self.idle_timer = Some(idle_timer);
        self
    }

    /// Reads no more packets. Every open flow is given its end, as the next events; then the stream
    /// is over.
    pub fn finish(&mut self) {
        if self.stage == Stage::Reading {
            self.stage = Stage::Stopping;
        }
    }

    /// The source of the packet that made the last event, where several are
    /// [merged](crate::Merged); `None` if it was not a packet that made it, but time that passed or
    /// the end of the packets.
    #[must_use]
    pub fn source_index(&self) -> Option<usize> {
        self.from
    }

    /// The same events, each with the source of the packet that made it.
    #[must_use]
    pub fn with_source_index(self) -> Sourced<S, D> {
        Sourced(self)
    }

    /// The source.
    #[must_use]
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The source: to swap its filter, say. Packets that are taken from it here are missing.
    pub fn source_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// What the source counted since it was opened; a consumer that is too slow shows as packets
    /// that the kernel dropped.
    pub fn capture_stats(&mut self) -> CaptureStats {
        self.source.capture_stats()
    }

    /// Flows in the table, those included that linger after their end.
    #[must_use]
    pub fn active_flows(&self) -> usize {
        self.driver.active_flows()
    }

    /// Handles packets until one makes an event, the source has none, or it is time to let others
    /// run.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Self { source, driver, clock, from, .. } = self;
        let mut left = MAX_PACKETS_PER_POLL;
        let polled = source.poll_packets(cx, &mut |packet| {
            clock.packet();
            driver.track(packet.view);
            *from = Some(packet.source_index);
            left -= 1;
            if left == 0 || driver.has_events() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match polled {
            Poll::Ready(Some(Ok(()))) if driver.has_events() => Poll::Ready(Ok(())),
            Poll::Ready(Some(Ok(()))) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Ready(Some(Err(error))) if source.is_terminated() => {
                (self.stage, self.error) = (Stage::Stopping, Some(error));
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) => {
                self.stage = Stage::Stopping;
                Poll::Ready(Ok(()))
            }
            Poll::Pending => self.poll_idle(cx).map(Ok),
        }
    }

    /// The source has nothing at the moment: ends what has been idle for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let is_live = self.idle_timer.unwrap_or_else(|| self.source.is_live());
        while !self.driver.has_events() {
            if !is_live || self.driver.active_flows() == 0 {
                self.clock.stop();
                return Poll::Pending;
            }
            let (now, interval) = (self.driver.now(), self.driver.sweep_interval());
            let Poll::Ready(now) = self.clock.poll(cx, now, interval) else {
                return Poll::Pending;
            };
            self.from = None;
            self.driver.sweep(now);
        }
        Poll::Ready(())
    }
}

impl<S: PacketSource, D: Drive> Stream for EventStream<S, D> {
    type Item = Result<D::Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.driver.pop() {
                return Poll::Ready(Some(Ok(event)));
            }
            match self.stage {
                Stage::Reading => {
                    // A file always has more; the others of the runtime are to have their turn.
                    let turn = ready!(coop::poll_proceed(cx));
                    let polled = ready!(self.poll_source(cx));
                    turn.made_progress();
                    if let Err(error) = polled {
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                Stage::Stopping => {
                    self.stage = Stage::Finished;
                    self.from = None;
                    self.clock.stop();
                    self.driver.finish();
                }
                Stage::Finished => return Poll::Ready(self.error.take().map(Err)),
            }
        }
    }
}

/// Nothing in it is ever pinned.
impl<S, D> Unpin for EventStream<S, D> {}

impl<S: PacketSource, D: Drive> FusedStream for EventStream<S, D> {
    fn is_terminated(&self) -> bool {
        self.stage == Stage::Finished && !self.driver.has_events() && self.error.is_none()
    }
}

impl<S: fmt::Debug, D> fmt::Debug for EventStream<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream")
            .field("source", &self.source)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

/// Events with the source of the packet that made them, from [`EventStream::with_source_index`].
#[derive(Debug)]
pub struct Sourced<S, D>(EventStream<S, D>);

impl<S, D> Sourced<S, D> {
    /// The stream without them.
    pub fn get_mut(&mut self) -> &mut EventStream<S, D> {
        &mut self.0
    }
}

/// Nothing in it is ever pinned.
impl<S, D> Unpin for Sourced<S, D> {}

impl<S: PacketSource, D: Drive> Stream for Sourced<S, D> {
    type Item = Result<(Option<usize>, D::Event), Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.0).poll_next(cx);
        let from = self.0.from;
        polled.map_ok(|event| (from, event))
    }
}
