//! Reads packets beside the terminal, which so answers at any time: a pipe may keep its reader
//! waiting, and a replay waits by itself.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use flow::{CaptureStats, FlowExtractor as _, PacketView, Timestamp};

use super::model::{self, Model};
use crate::clock;
use crate::input::{Consumer, Outcome};
use crate::log::MessageSessions;

/// What the reader and the terminal share.
pub(super) struct Shared {
    feed: Mutex<Feed>,
    /// The terminal waits for it, and goes first.
    is_wanted: AtomicBool,
    pub(super) is_paused: AtomicBool,
    /// The terminal is gone.
    pub(super) is_over: AtomicBool,
}

/// Flows, and what is shown of them.
pub(super) struct Feed {
    sessions: MessageSessions,
    pub(super) model: Model,
    /// What is being read, how many bytes of it have been, and of how many.
    pub(super) source: (String, u64, Option<u64>),
    /// What came of it, once everything was read.
    pub(super) outcome: Option<io::Result<Outcome>>,
}

impl Shared {
    pub(super) fn new(sessions: MessageSessions) -> Self {
        let source = (String::new(), 0, None);
        let feed = Feed { sessions, model: Model::default(), source, outcome: None };
        Self {
            feed: Mutex::new(feed),
            is_wanted: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        }
    }

    /// For the terminal.
    pub(super) fn look(&self) -> MutexGuard<'_, Feed> {
        self.is_wanted.store(true, Ordering::Release);
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_wanted.store(false, Ordering::Release);
        feed
    }

    /// For the reader, between any two packets.
    pub(super) fn feed(&self) -> MutexGuard<'_, Feed> {
        // A lock that is given back and taken again at once leaves nobody else a chance.
        while self.is_wanted.load(Ordering::Acquire) {
            thread::yield_now();
        }
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    pub(super) fn packet(&mut self, view: PacketView<'_>) {
        let Self { sessions, model, .. } = self;
        model.packet(view);
        sessions.track(view, |session, event| model.event(session, &event));
        let tracker = sessions.tracker();
        // Of what comes behind the end of a session, and of what is none, there are no events.
        if let Some(found) = tracker.extractor().extract(view)
            && let Some(flow) = tracker.get(&found.key)
            && (flow.closed().is_some() || !model::is_reported(flow.l4()))
        {
            model.update(flow);
        }
        if model.must_look(tracker.flow_count()) {
            model.look(tracker.flows());
        }
    }

    fn idle(&mut self, now: Timestamp) {
        let Self { sessions, model, .. } = self;
        model.idle(now);
        sessions.sweep(now, |session, event| model.event(session, &event));
    }

    fn pass_over(&mut self) {
        self.sessions.pass_over();
    }

    /// Looks through the flow table.
    pub(super) fn look(&mut self) {
        if !self.model.is_finished {
            self.model.look(self.sessions.tracker().flows());
        }
    }

    pub(super) fn finish(&mut self) {
        self.look();
        let Self { sessions, model, .. } = self;
        sessions.finish(|session, event| model.event(session, &event));
        model.finish();
    }
}

/// Feeds packets as they are read.
pub(super) struct Reader {
    shared: Arc<Shared>,
    pace: Option<Pace>,
    /// Packets come by themselves and do not wait.
    is_live: bool,
}

/// When packets of a replay are due.
struct Pace {
    speed: f64,
    /// The time of the last packet, and when it was due.
    last: Option<(Timestamp, Instant)>,
}

/// How often somebody who waits looks around.
const TICK: Duration = Duration::from_millis(50);

impl Pace {
    /// When a packet is due.
    fn due(&mut self, ts: Timestamp) -> Instant {
        let (last, due) = self.last.unwrap_or_else(|| (ts, clock::now()));
        // Nobody would wait for so long.
        let gap = ts.saturating_sub(last);
        let gap = if gap > model::LONGEST_GAP { Duration::ZERO } else { gap };
        let gap = Duration::try_from_secs_f64(gap.as_secs_f64() / self.speed).unwrap_or_default();
        let due = due.checked_add(gap).unwrap_or(due);
        self.last = Some((ts, due));
        due
    }
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, speed: Option<f64>, is_live: bool) -> Self {
        let pace = speed.map(|speed| Pace { speed, last: None });
        Self { shared, pace, is_live }
    }

    /// Waits until a packet of this time may be handled.
    fn wait(&mut self, ts: Timestamp) -> io::Result<()> {
        let due = self.pace.as_mut().map(|pace| pace.due(ts));
        let mut paused = Duration::ZERO;
        loop {
            self.check()?;
            let rest = if self.shared.is_paused.load(Ordering::Relaxed) && !self.is_live {
                let began = clock::now();
                thread::sleep(TICK);
                paused += clock::now().saturating_duration_since(began);
                continue;
            } else if let Some(due) = due {
                (due + paused).saturating_duration_since(clock::now())
            } else {
                break;
            };
            if rest.is_zero() {
                break;
            }
            self.pass_time(ts, rest);
            thread::sleep(rest.min(TICK));
        }
        if let Some(Pace { last: Some((_, due)), .. }) = &mut self.pace {
            *due += paused;
        }
        Ok(())
    }

    /// Whether there is somebody who looks.
    fn check(&self) -> io::Result<()> {
        let is_over = self.shared.is_over.load(Ordering::Relaxed);
        if is_over { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    /// It is as long as `rest` before the next packet.
    fn pass_time(&mut self, next: Timestamp, rest: Duration) {
        let Some(pace) = &self.pace else { return };
        let rest = Duration::try_from_secs_f64(rest.as_secs_f64() * pace.speed).unwrap_or_default();
        let rest = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        let now = Timestamp::from_nanos(next.as_nanos().saturating_sub(rest));
        let mut feed = self.shared.feed();
        if feed.model.began.is_some() && now > feed.model.now {
            feed.model.idle(now);
        }
    }
}

impl Consumer for Reader {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.wait(view.timestamp)?;
        self.shared.feed().packet(view);
        Ok(())
    }

    fn filtered(&mut self) {
        self.shared.feed().pass_over();
    }

    fn progress(&mut self, source: &str, read: u64, total: Option<u64>) {
        self.shared.feed().source = (source.to_owned(), read, total);
    }

    fn idle(&mut self, now: Timestamp) -> io::Result<()> {
        self.check()?;
        self.shared.feed().idle(now);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.check()
    }

    fn capture_stats(&mut self, stats: CaptureStats) {
        self.shared.feed().model.capture = Some(stats);
    }

    fn finish(&mut self) -> io::Result<()> {
        self.shared.feed().finish();
        Ok(())
    }
}
