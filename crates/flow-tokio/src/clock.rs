use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use flow_core::Timestamp;
use tokio::time::{Instant, Sleep};

/// Tells the time while a live source is silent.
///
/// It runs from where the packet clock stands, and needs not know what the clock on the wall says.
#[derive(Debug, Default)]
pub(crate) struct IdleClock {
    /// When the source ran out of packets, and what the packet clock said then; `None` while it has
    /// some.
    silent_since: Option<(Instant, Timestamp)>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The range of its interval.
///
/// Rationale: trackers look at timeouts once in a millisecond at most, and an interval of all the
/// time there is has no end that could be computed.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);

impl IdleClock {
    /// A packet has come.
    #[inline]
    pub(crate) fn packet(&mut self) {
        self.silent_since = None;
    }

    /// The source has no packet at the moment, and the packet clock says `packet_time`. Ready with
    /// what time it is when the source has been silent for another `interval`.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        packet_time: Timestamp,
        interval: Duration,
    ) -> Poll<Timestamp> {
        let (now, interval) = (Instant::now(), interval.clamp(SHORTEST, LONGEST));
        if self.silent_since.is_none() {
            self.set(now + interval);
        }
        let (since, begin) = *self.silent_since.get_or_insert((now, packet_time));
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.set(now + interval);
        let passed = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
        Poll::Ready(Timestamp::from_nanos(begin.as_nanos().saturating_add(passed)))
    }

    /// There is nothing to wait for.
    pub(crate) fn stop(&mut self) {
        self.timer = None;
    }

    fn set(&mut self, at: Instant) {
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(at);
        }
    }
}
