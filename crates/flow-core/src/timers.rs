use std::time::Duration;

use crate::Timestamp;

/// Lazy timers: a packet only stores its time in its flow; the wheel learns of it when the
/// flow's timer fires, and arms it anew.
///
/// ```text
/// bucket   now   +1    +2   …   +511
///          [..]  [..]  [..]     [..]      (slot, tick) of every armed timer
/// ```
///
/// Every live flow has one timer whose tick it remembers; a timer of another flow or tick than
/// that is a leftover and is dropped. Deadlines beyond the horizon wait in
/// the last bucket and are armed anew from there. So the work is one step per flow and timeout,
/// however many packets came between.
pub(crate) struct TimerWheel {
    buckets: Vec<Vec<Timer>>,
    interval: u64,
    now: u64,
    len: usize,
}

#[derive(Clone, Copy)]
pub(crate) struct Timer {
    pub(crate) slot: u32,
    /// The low half of the flow's number: slots are used again.
    pub(crate) id: u32,
    pub(crate) tick: u64,
}

/// Buckets of the wheel: with the default interval of a second, more than the longest timeout.
const BUCKETS: u64 = 512;

/// Leftovers of flows that ended which timers and queues may hold besides twice as many as there
/// are flows.
pub(crate) const SLACK: usize = 4_096;

/// The shortest interval, in nanoseconds: a shorter one would only cost time.
const MIN_INTERVAL: u64 = 1_000_000;

impl TimerWheel {
    pub(crate) fn new(interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(MIN_INTERVAL);
        Self { buckets: (0..BUCKETS).map(|_| Vec::new()).collect(), interval, now: 0, len: 0 }
    }

    /// The first tick at which `deadline` has passed.
    pub(crate) fn tick_of(&self, deadline: Timestamp) -> u64 {
        (deadline.as_nanos() / self.interval).saturating_add(1)
    }

    /// Whether a bucket is due at `now`.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        now.as_nanos() / self.interval > self.now
    }

    /// Arms a timer for `deadline` and gives the tick it will fire at, possibly an earlier one.
    pub(crate) fn arm(&mut self, slot: u32, id: u32, deadline: Timestamp) -> u64 {
        let tick = self.tick_of(deadline).clamp(self.now + 1, self.now + BUCKETS - 1);
        self.bucket(tick).push(Timer { slot, id, tick });
        self.len += 1;
        tick
    }

    /// Takes every timer due at `now` into `fired`, which is empty, and moves the wheel there.
    pub(crate) fn advance(&mut self, now: Timestamp, fired: &mut Vec<Timer>) {
        let target = now.as_nanos() / self.interval;
        if target <= self.now {
            return;
        }
        let first = target.saturating_sub(BUCKETS - 1).max(self.now + 1);
        for tick in first..=target {
            fired.append(self.bucket(tick));
        }
        self.len -= fired.len();
        self.now = target;
    }

    /// Timers armed, leftovers included.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Drops the timers that are not `live`.
    pub(crate) fn retain(&mut self, mut live: impl FnMut(&Timer) -> bool) {
        for bucket in &mut self.buckets {
            bucket.retain(&mut live);
            bucket.shrink_to(2 * bucket.len());
        }
        self.len = self.buckets.iter().map(Vec::len).sum();
    }

    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below BUCKETS")]
    fn bucket(&mut self, tick: u64) -> &mut Vec<Timer> {
        let index = (tick % BUCKETS) as usize;
        // The remainder is always in range; the first bucket is never the wrong answer.
        &mut self.buckets[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fired_at(wheel: &mut TimerWheel, secs: u32) -> Vec<u32> {
        let mut fired = Vec::new();
        wheel.advance(Timestamp::new(secs, 0), &mut fired);
        fired.iter().map(|timer| timer.slot).collect()
    }

    #[test]
    fn fires_once_after_the_deadline() {
        let mut wheel = TimerWheel::new(Duration::from_secs(1));
        assert!(fired_at(&mut wheel, 100).is_empty());
        wheel.arm(7, 0, Timestamp::new(105, 500));
        assert!(fired_at(&mut wheel, 105).is_empty());
        assert_eq!(fired_at(&mut wheel, 106), [7]);
        assert!(fired_at(&mut wheel, 2_000).is_empty());
    }

    #[test]
    fn a_jump_of_years_fires_everything_once() {
        let mut wheel = TimerWheel::new(Duration::from_secs(1));
        for slot in 0..1000 {
            wheel.arm(slot, 0, Timestamp::new(slot, 0));
        }
        let mut fired = fired_at(&mut wheel, 2_000_000_000);
        fired.sort_unstable();
        assert_eq!(fired, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn a_deadline_beyond_the_horizon_fires_early_and_not_late() {
        let mut wheel = TimerWheel::new(Duration::from_secs(1));
        let tick = wheel.arm(1, 0, Timestamp::new(1_000_000, 0));
        assert_eq!(tick, BUCKETS - 1);
        assert_eq!(fired_at(&mut wheel, 600), [1]);
    }

    #[test]
    fn time_that_goes_back_fires_nothing() {
        let mut wheel = TimerWheel::new(Duration::from_secs(1));
        assert!(fired_at(&mut wheel, 100).is_empty());
        wheel.arm(1, 0, Timestamp::new(50, 0));
        assert!(fired_at(&mut wheel, 60).is_empty());
        assert_eq!(fired_at(&mut wheel, 101), [1]);
    }
}
