use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use flow_core::Timestamp;
use tokio::time::{Instant, Sleep};

/// Tells the time while a live source is silent.
///
/// It runs from the time of the last packet, and needs not know what the clock on the wall says.
#[derive(Debug, Default)]
pub(crate) struct IdleClock {
    /// The time of the last packet.
    last: Timestamp,
    /// When the source ran out of packets; `None` while it has some.
    silent_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl IdleClock {
    /// A packet of this time has come.
    #[inline]
    pub(crate) fn packet(&mut self, ts: Timestamp) {
        self.last = ts;
        self.silent_since = None;
    }

    /// The source has no packet at the moment. Ready with what time it is when the source has been
    /// silent for another `interval`.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, interval: Duration) -> Poll<Timestamp> {
        let now = Instant::now();
        let since = match self.silent_since {
            Some(since) => since,
            None => {
                self.silent_since = Some(now);
                self.set(now + interval);
                now
            }
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(interval)));
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.set(now + interval);
        let passed = u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX);
        Poll::Ready(Timestamp::from_nanos(self.last.as_nanos().saturating_add(passed)))
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
