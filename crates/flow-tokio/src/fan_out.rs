mod batch;
mod shard;

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::mpsc as blocking;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use flow_core::{
    CaptureStats, DefragmentStats, FlowExtractor, FlowRouter, Routed, Tick, TrackerStats,
};
use flow_session::FlowNumbers;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use tokio::sync::mpsc;

use self::batch::{Batch, Part};
use self::shard::Output;
use crate::clock::IdleClock;
use crate::{Error, PacketSource};

pub use self::shard::{Events, Shard};

/// The events of several engines, the shards, each in a thread of its own, over the packets of one
/// source.
///
/// They are those of one engine, in the order of the packets that made them; see [`FlowRouter`] for
/// the little that differs. In which order threads come to run makes no difference.
///
/// ```text
///            ┌ batch ─► thread: engine ─ events ┐
/// source ─ router                               merge ─► stream      a round
///            └ batch ─► thread: engine ─ events ┘
/// ```
///
/// The task that polls the stream reads the source and decodes the packets, which go to the shards
/// by the round. Nothing is read while [`rounds`](FanOutConfig::rounds) are under way, or wait with
/// events that have not been taken. A source that has no packets at the moment ends a round early,
/// if none is under way.
///
/// Where the extractor looks for what ICMP errors quote, such an error makes its own shard wait until
/// the one that may have the quoted flow has come as far.
///
/// The threads end with the stream, also if it is dropped. If one panics, that is an error and the
/// last item.
///
/// ```
/// use flow_core::FlowRouter;
/// use flow_extract::FiveTuple;
/// use flow_http::HttpParser;
/// use flow_session::FlowSessionDriver;
/// use flow_tokio::{CaptureFile, FanOut};
/// use futures_util::StreamExt as _;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/http_get.pcap");
/// let extractor = FiveTuple::bidirectional();
/// let mut events = FanOut::new(CaptureFile::open(path)?, FlowRouter::new(extractor, 4), |_| {
///     FlowSessionDriver::<_, HttpParser>::new(extractor)
/// })?;
/// # let mut found = 0;
/// while let Some(event) = events.next().await {
///     println!("{:?}", event?);
/// #   found += 1;
/// }
/// # assert!(found > 5);
/// # Ok(())
/// # }
/// ```
///
/// An interface that one thread cannot keep up with needs sources of its own for each: several
/// `AsyncCapture`s in one fanout group of the kernel, each with a stream of its own.
pub struct FanOut<S, E: FlowExtractor, W: Shard<Key = E::Key>> {
    source: S,
    router: FlowRouter<E>,
    config: FanOutConfig,
    workers: Vec<Worker<W>>,
    /// The round that is being filled: a batch for each shard.
    filling: Vec<Batch<E::Key, W::Event>>,
    /// Packets and bytes in it.
    filled: [usize; 2],
    /// Where in the order of all things the last one is.
    place: u64,
    /// Rounds under way, oldest first.
    rounds: VecDeque<Round<E::Key, W::Event>>,
    /// Batches to be used again.
    spare: Vec<Batch<E::Key, W::Event>>,
    numbers: FlowNumbers<E::Key>,
    clock: IdleClock,
    idle_timer: Option<bool>,
    stage: Stage,
    error: Option<Error>,
}

/// How much is under way in a [`FanOut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FanOutConfig {
    /// Packets of a round for each shard, on average.
    ///
    /// Rationale: to hand over a batch takes as long as some dozen packets.
    pub round_packets: usize,
    /// Bytes of their frames for each shard, on average; one packet more fits.
    ///
    /// Rationale: what fits into the second-level cache of a core, with what is made of it.
    pub round_bytes: usize,
    /// Rounds under way, the one included whose events are being taken; one at least.
    ///
    /// Rationale: while the events of one are taken, the shards have another one, and the next.
    pub rounds: usize,
}

impl Default for FanOutConfig {
    fn default() -> Self {
        Self { round_packets: 512, round_bytes: 256 << 10, rounds: 3 }
    }
}

/// A shard in its thread.
struct Worker<W: Shard> {
    jobs: blocking::Sender<Batch<W::Key, W::Event>>,
    results: mpsc::UnboundedReceiver<Batch<W::Key, W::Event>>,
    thread: Option<JoinHandle<()>>,
    stats: TrackerStats,
}

/// A batch of each shard.
struct Round<K, T> {
    batches: Vec<Progress<K, T>>,
    /// Whether all batches are done.
    is_done: bool,
}

#[allow(clippy::large_enum_variant, reason = "nearly all are batches")]
enum Progress<K, T> {
    /// There was nothing to do.
    Idle,
    UnderWay,
    Done(Batch<K, T>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    /// No packet is read any more; the shards have not been told so.
    Stopping,
    /// The shards know.
    Finished,
}

impl<S, E, W> FanOut<S, E, W>
where
    S: PacketSource,
    E: FlowExtractor,
    W: Shard<Key = E::Key>,
{
    /// Starts as many threads as `router` has shards, each with the engine that `shard` makes for its
    /// number.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn new(
        source: S,
        router: FlowRouter<E>,
        mut shard: impl FnMut(usize) -> W,
    ) -> Result<Self, Error> {
        let workers: Result<Vec<_>, Error> =
            (0..router.shards()).map(|number| Worker::spawn(number, shard(number))).collect();
        let filling = (0..router.shards()).map(|_| Batch::default()).collect();
        Ok(Self {
            source,
            router,
            config: FanOutConfig::default(),
            workers: workers?,
            filling,
            filled: [0; 2],
            place: 0,
            rounds: VecDeque::new(),
            spare: Vec::new(),
            numbers: FlowNumbers::default(),
            clock: IdleClock::default(),
            idle_timer: None,
            stage: Stage::Reading,
            error: None,
        })
    }

    /// With other bounds.
    #[must_use]
    pub fn with_config(mut self, config: FanOutConfig) -> Self {
        self.config = config;
        self
    }

    /// See [`EventStream::with_idle_timer`](crate::EventStream::with_idle_timer).
    #[must_use]
    pub fn with_idle_timer(mut self, idle_timer: bool) -> Self {
        self.idle_timer = Some(idle_timer);
        self
    }

    /// Reads no more packets. Every open flow is given its end, as the last events; then the stream
    /// is over.
    pub fn finish(&mut self) {
        if self.stage == Stage::Reading {
            self.stage = Stage::Stopping;
        }
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

    /// What the source counted since it was opened.
    pub fn capture_stats(&mut self) -> CaptureStats {
        self.source.capture_stats()
    }

    /// What was counted of all packets and flows: of those in rounds that are done. In the end, that
    /// is what one engine would have counted, but for
    /// [`flows_peak`](TrackerStats::flows_peak).
    #[must_use]
    pub fn tracker_stats(&self) -> TrackerStats {
        let mut stats = *self.router.stats();
        self.workers.iter().for_each(|worker| stats.add(&worker.stats));
        stats
    }

    /// What became of IP fragments.
    #[must_use]
    pub fn fragment_stats(&self) -> &DefragmentStats {
        self.router.fragment_stats()
    }

    /// Sends a round off if there is reason to. Says whether it did.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        match self.stage {
            // What comes before the error comes first.
            Stage::Reading if self.error.is_some() => self.send_off(),
            Stage::Reading => self.read(cx),
            Stage::Stopping => {
                self.stage = Stage::Finished;
                self.clock.stop();
                self.place += 1;
                let (place, tick) = (self.place, self.router.last_tick());
                self.filling.iter_mut().for_each(|batch| batch.finish(place, tick));
                self.send_off()
            }
            Stage::Finished => false,
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> bool {
        let Self { source, router, config, filling, filled, place, clock, .. } = self;
        let most = [config.round_packets, config.round_bytes].map(|most| most * filling.len());
        let polled = source.poll_packets(cx, &mut |packet| {
            clock.packet();
            let routed = router.route(packet.view);
            *filled = [filled[0] + 1, filled[1] + routed.frame.len()];
            hand_out(filling, place, routed);
            if filled[0] >= most[0] || filled[1] >= most[1] {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        match polled {
            Poll::Ready(Some(Ok(()))) => self.send_off(),
            Poll::Ready(Some(Err(error))) => {
                if self.source.is_terminated() {
                    self.stage = Stage::Stopping;
                }
                self.error = Some(error);
                self.fill(cx)
            }
            Poll::Ready(None) => {
                self.stage = Stage::Stopping;
                self.fill(cx)
            }
            Poll::Pending => {
                self.pass_time(cx);
                // A round that is under way wakes the task when it is done.
                self.rounds.is_empty() && self.send_off()
            }
        }
    }

    /// The source has nothing at the moment: flows may have been idle for too long.
    fn pass_time(&mut self, cx: &mut Context<'_>) {
        if !self.idle_timer.unwrap_or_else(|| self.source.is_live()) || self.router.packets() == 0 {
            self.clock.stop();
            return;
        }
        let interval = self.router.sweep_interval();
        while let Poll::Ready(now) = self.clock.poll(cx, self.router.now(), interval) {
            let tick = self.router.sweep(now);
            tell(&mut self.filling, &mut self.place, tick);
        }
    }

    /// Gives the shards their batches.
    fn send_off(&mut self) -> bool {
        if self.filling.iter().all(Batch::is_empty) {
            return false;
        }
        self.filled = [0; 2];
        let spare = &mut self.spare;
        let mut send = |batch: &mut Batch<_, _>, worker: &Worker<W>| {
            if batch.is_empty() {
                return Progress::Idle;
            }
            let batch = std::mem::replace(batch, spare.pop().unwrap_or_default());
            // Whether the thread is gone shows when it does not answer.
            let _ = worker.jobs.send(batch);
            Progress::UnderWay
        };
        let sent = self.filling.iter_mut().zip(&self.workers);
        let batches = sent.map(|(batch, worker)| send(batch, worker)).collect();
        self.rounds.push_back(Round { batches, is_done: false });
        true
    }

    /// Waits for the oldest round. Says whether there is one.
    fn poll_round(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        let Some(round) = self.rounds.front_mut() else { return Poll::Ready(Ok(false)) };
        round.is_done = true;
        for (shard, (progress, worker)) in
            round.batches.iter_mut().zip(&mut self.workers).enumerate()
        {
            if !matches!(progress, Progress::UnderWay) {
                continue;
            }
            match worker.results.poll_recv(cx) {
                Poll::Ready(Some(batch)) => {
                    worker.stats = batch.stats;
                    *progress = Progress::Done(batch);
                }
                Poll::Ready(None) => {
                    let message = worker.last_words();
                    return Poll::Ready(Err(Error::Panicked { shard, message }));
                }
                Poll::Pending => round.is_done = false,
            }
        }
        if round.is_done { Poll::Ready(Ok(true)) } else { Poll::Pending }
    }

    /// The next event of the rounds that are done.
    fn next_event(&mut self) -> Option<W::Event> {
        loop {
            let round = self.rounds.front_mut().filter(|round| round.is_done)?;
            let Some(events) = round.first() else {
                let batches = self.rounds.pop_front().into_iter().flat_map(|round| round.batches);
                self.spare.extend(batches.filter_map(Progress::into_batch));
                continue;
            };
            match events.pop() {
                Some(Output::Event(mut event)) => {
                    W::number(&mut event, &mut self.numbers);
                    return Some(event);
                }
                Some(Output::Begun) => self.numbers.begin(),
                None => {}
            }
        }
    }

    /// Nothing comes any more.
    fn give_up(&mut self) {
        self.stage = Stage::Finished;
        self.rounds.clear();
        self.workers.clear();
        self.clock.stop();
    }
}

/// Puts a packet where it belongs.
#[inline]
fn hand_out<K: Clone, T>(filling: &mut [Batch<K, T>], place: &mut u64, routed: Routed<'_, K>) {
    let Routed { tick, ask_first, shard, packet, frame, .. } = routed;
    if let Some(tick) = tick {
        tell(filling, place, tick);
    }
    *place += 1;
    let Some(shard) = shard else { return };
    let mut part = Part::Own;
    if let Some(other) = ask_first.and_then(|other| filling.get_mut(other)) {
        let (answer, question) = blocking::sync_channel(1);
        other.packet(*place, packet.clone(), frame, Part::IfQuoted(answer));
        part = Part::IfNotTaken(question);
    }
    if let Some(batch) = filling.get_mut(shard) {
        batch.packet(*place, packet, frame, part);
    }
}

fn tell<K, T>(filling: &mut [Batch<K, T>], place: &mut u64, tick: Tick) {
    *place += 1;
    filling.iter_mut().for_each(|batch| batch.tick(*place, tick));
}

impl<K, T> Round<K, T> {
    /// The events of which the first is the next of all; of shards that have one of the same place,
    /// those of the first.
    #[inline]
    fn first(&mut self) -> Option<&mut Events<T>> {
        let done = self.batches.iter_mut().filter_map(|progress| match progress {
            Progress::Done(batch) => Some((batch.events.next_place()?, &mut batch.events)),
            _ => None,
        });
        done.min_by_key(|&(place, _)| place).map(|(_, events)| events)
    }
}

impl<K, T> Progress<K, T> {
    fn into_batch(self) -> Option<Batch<K, T>> {
        match self {
            Self::Done(batch) => Some(batch),
            _ => None,
        }
    }
}

impl<W: Shard> Worker<W> {
    fn spawn(number: usize, mut shard: W) -> Result<Self, Error> {
        let (jobs, batches) = blocking::channel::<Batch<W::Key, W::Event>>();
        // Neither channel ever has more in it than rounds are under way, so nobody waits for room.
        let (sender, results) = mpsc::unbounded_channel();
        let name = format!("flow-shard-{number}");
        let thread = thread::Builder::new().name(name).spawn(move || {
            while let Ok(mut batch) = batches.recv() {
                batch.run(&mut shard);
                if sender.send(batch).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs, results, thread: Some(thread), stats: TrackerStats::default() })
    }

    /// What the thread panicked with.
    fn last_words(&mut self) -> String {
        let panic = self.thread.take().and_then(|thread| thread.join().err());
        let words = panic.as_deref().and_then(|panic: &(dyn Any + Send)| {
            let literal = panic.downcast_ref::<&str>().copied();
            literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        });
        words.unwrap_or_default().to_owned()
    }
}

impl<S, E, W> Stream for FanOut<S, E, W>
where
    S: PacketSource,
    E: FlowExtractor,
    W: Shard<Key = E::Key>,
{
    type Item = Result<W::Event, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut is_filled = false;
        loop {
            if let Some(event) = self.next_event() {
                return Poll::Ready(Some(Ok(event)));
            }
            let has_room = self.rounds.len() < self.config.rounds.max(1);
            if has_room && is_filled {
                // A round is as much as one turn may take.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if has_room {
                is_filled = self.fill(cx);
            }
            match self.poll_round(cx) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => match (self.stage, self.error.take()) {
                    (_, Some(error)) => return Poll::Ready(Some(Err(error))),
                    (Stage::Finished, None) => return Poll::Ready(None),
                    _ => return Poll::Pending,
                },
                Poll::Ready(Err(error)) => {
                    self.give_up();
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Pending if is_filled && self.rounds.len() < self.config.rounds => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Nothing in it is ever pinned.
impl<S, E: FlowExtractor, W: Shard<Key = E::Key>> Unpin for FanOut<S, E, W> {}

impl<S, E, W> FusedStream for FanOut<S, E, W>
where
    S: PacketSource,
    E: FlowExtractor,
    W: Shard<Key = E::Key>,
{
    fn is_terminated(&self) -> bool {
        self.stage == Stage::Finished && self.rounds.is_empty() && self.error.is_none()
    }
}

impl<S, E, W> fmt::Debug for FanOut<S, E, W>
where
    S: fmt::Debug,
    E: FlowExtractor,
    W: Shard<Key = E::Key>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut")
            .field("source", &self.source)
            .field("router", &self.router)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
