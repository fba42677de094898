use std::time::Duration;

/// Lazy timers: a packet only stores its time in its flow; the wheel learns of it when the
/// flow's timer fires, and arms it anew.
///
/// ```text
/// bucket   now   +1    +2   …   +511
///          [..]  [..]  [..]     [..]      (slot, tick) of every armed timer
/// ```
///
/// Every live flow has one timer whose tick it remembers; a timer of another tick than that is a
/// leftover and is dropped. Deadlines beyond the horizon wait in the last bucket and are armed
/// anew from there. So the work is one step per flow and timeout, however many packets came
/// between. Times are nanoseconds of the tracker's clock.
pub(crate) struct TimerWheel {
    buckets: Vec<Vec<Timer>>,
    interval: u64,
    now: u64,
    len: usize,
}

/// A slot of the flow table is due at a tick, of which the low half is kept: a timer is never
/// further away than the wheel is long.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Timer {
    pub(crate) slot: u32,
    pub(crate) tick: u32,
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

    /// The tick that a time belongs to.
    #[inline]
    pub(crate) fn tick_at(&self, time: u64) -> u64 {
        time / self.interval
    }

    /// The ticks that a duration takes, one at least.
    pub(crate) fn ticks_in(&self, duration: Duration) -> u64 {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        (nanos / self.interval).max(1)
    }

    /// The tick up to which timers have fired.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// When the next bucket is due.
    pub(crate) fn next_due(&self) -> u64 {
        (self.now + 1).saturating_mul(self.interval)
    }

    /// The tick at which a timer for `deadline` fires, the first at which it has passed, or an
    /// earlier one.
    pub(crate) fn tick_for(&self, deadline: u64) -> u64 {
        self.in_reach(self.tick_at(deadline).saturating_add(1))
    }

    fn in_reach(&self, tick: u64) -> u64 {
        tick.clamp(self.now + 1, self.now + BUCKETS - 1)
    }

    /// Whether a timer armed for `tick` comes before the one that a flow remembers.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "both are near")]
    pub(crate) fn is_before(tick: u64, armed: u32) -> bool {
        ((tick as u32).wrapping_sub(armed) as i32) < 0
    }

    /// Arms a timer and gives what its flow has to remember. It fires at `tick` or, if that is too
    /// far away, before it.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is kept")]
    pub(crate) fn arm(&mut self, slot: u32, tick: u64) -> u32 {
        let tick = self.in_reach(tick);
        let timer = Timer { slot, tick: tick as u32 };
        self.bucket(tick).push(timer);
        self.len += 1;
        timer.tick
    }

    /// The whole tick of a timer that has fired.
    #[allow(clippy::cast_possible_truncation, reason = "the low halves are compared")]
    pub(crate) fn tick_of(&self, fired: Timer) -> u64 {
        self.now - u64::from((self.now as u32).wrapping_sub(fired.tick))
    }

    /// Takes every timer due at `time` into `fired`, which is empty, and moves the wheel there.
    pub(crate) fn advance(&mut self, time: u64, fired: &mut Vec<Timer>) {
        let target = self.tick_at(time);
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

    /// Drops the timers that are not `live`, and all but one of those that are equal.
    pub(crate) fn retain(&mut self, mut live: impl FnMut(&Timer) -> bool) {
        for bucket in &mut self.buckets {
            bucket.retain(&mut live);
            bucket.sort_unstable();
            bucket.dedup();
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

    const SECOND: u64 = 1_000_000_000;

    fn wheel() -> TimerWheel {
        TimerWheel::new(Duration::from_secs(1))
    }

    fn fired_at(wheel: &mut TimerWheel, secs: u64) -> Vec<u32> {
        let mut fired = Vec::new();
        wheel.advance(secs * SECOND, &mut fired);
        fired.iter().map(|timer| timer.slot).collect()
    }

    fn arm(wheel: &mut TimerWheel, slot: u32, deadline: u64) -> u32 {
        wheel.arm(slot, wheel.tick_for(deadline))
    }

    #[test]
    fn fires_once_after_the_deadline() {
        let mut wheel = wheel();
        assert!(fired_at(&mut wheel, 100).is_empty());
        arm(&mut wheel, 7, 105 * SECOND + 500);
        assert!(fired_at(&mut wheel, 105).is_empty());
        assert_eq!(fired_at(&mut wheel, 106), [7]);
        assert!(fired_at(&mut wheel, 2_000).is_empty());
    }

    #[test]
    fn a_jump_of_years_fires_everything_once() {
        let mut wheel = wheel();
        for slot in 0..1_000 {
            arm(&mut wheel, slot, u64::from(slot) * SECOND);
        }
        let mut fired = fired_at(&mut wheel, 2_000_000_000);
        fired.sort_unstable();
        assert_eq!(fired, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_deadline_beyond_the_horizon_fires_early_and_not_late() {
        let mut wheel = wheel();
        let tick = arm(&mut wheel, 1, 1_000_000 * SECOND);
        assert_eq!(u64::from(tick), BUCKETS - 1);
        assert_eq!(fired_at(&mut wheel, 600), [1]);
    }

    #[test]
    fn leftovers_can_be_dropped() {
        let mut wheel = wheel();
        for _ in 0..10 {
            arm(&mut wheel, 1, 50 * SECOND);
            arm(&mut wheel, 2, 50 * SECOND);
        }
        wheel.retain(|timer| timer.slot == 1);
        assert_eq!((wheel.len(), fired_at(&mut wheel, 51)), (1, vec![1]));
    }
}
