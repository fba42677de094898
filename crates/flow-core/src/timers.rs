use std::time::Duration;

/// Lazy timers: a packet only stores its time in its flow; the wheel learns of it when the
/// flow's timer fires, and arms it anew.
///
/// ```text
/// bucket   now   +1    +2   …   +511
///          [..]  [..]  [..]     [..]      (slot, tick) of every armed timer
/// armed    tick of each slot's timer
/// ```
///
/// Every slot of the flow table has one timer at most. It stays armed when its flow has gone: the
/// next one in the slot, which remembers the tick that it asked for, lets it fire, too early, and
/// arms it anew, so that flows which come and go cost nothing here. A timer of another tick than its
/// slot's is a leftover. Deadlines beyond the
/// horizon wait in the last bucket and are armed anew from there. So the work is one step per flow
/// and timeout, however many packets came between. Times are nanoseconds of the tracker's clock.
pub(crate) struct TimerWheel {
    buckets: Vec<Vec<Timer>>,
    /// The low half of the tick of every slot's timer; of the past, if there is none.
    armed: Vec<u32>,
    ticks: Ticks,
    now: u64,
    len: usize,
    /// How many buckets were cleaned so far.
    cleaned: u64,
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

/// The clock's time in whole intervals.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticks {
    interval: u64,
}

impl Ticks {
    pub(crate) fn new(interval: Duration) -> Self {
        let interval = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX).max(MIN_INTERVAL);
        Self { interval }
    }

    pub(crate) const fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// The tick that a time belongs to.
    #[inline]
    pub(crate) fn at(self, time: u64) -> u64 {
        time / self.interval
    }

    /// When a tick is over.
    pub(crate) fn end_of(self, tick: u64) -> u64 {
        (tick + 1).saturating_mul(self.interval)
    }

    /// The ticks that a duration takes, one at least.
    fn within(self, duration: Duration) -> u64 {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        (nanos / self.interval).max(1)
    }
}

impl TimerWheel {
    pub(crate) fn new(interval: Duration) -> Self {
        let buckets = (0..BUCKETS).map(|_| Vec::new()).collect();
        let ticks = Ticks::new(interval);
        Self { buckets, armed: Vec::new(), ticks, now: 0, len: 0, cleaned: 0 }
    }

    /// The tick that a time belongs to.
    #[inline]
    pub(crate) fn tick_at(&self, time: u64) -> u64 {
        self.ticks.at(time)
    }

    /// The ticks that a duration takes, one at least.
    pub(crate) fn ticks_in(&self, duration: Duration) -> u64 {
        self.ticks.within(duration)
    }

    /// The tick up to which timers have fired.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// When the next bucket is due.
    pub(crate) fn next_due(&self) -> u64 {
        self.ticks.end_of(self.now)
    }

    /// The tick at which a timer for `deadline` fires, the first at which it has passed, or an
    /// earlier one.
    pub(crate) fn tick_for(&self, deadline: u64) -> u64 {
        self.in_reach(self.tick_at(deadline).saturating_add(1))
    }

    fn in_reach(&self, tick: u64) -> u64 {
        tick.clamp(self.now + 1, self.now + BUCKETS - 1)
    }

    /// Whether `tick` comes before the one that a timer is armed for, of which a flow remembers the
    /// low half.
    #[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "both are near")]
    pub(crate) fn is_before(tick: u64, armed: u32) -> bool {
        ((tick as u32).wrapping_sub(armed) as i32) < 0
    }

    /// Sees to it that the timer of a slot fires at `tick`, or before it if it was armed for the flow
    /// that had the slot before. Gives the low half of `tick`, or of the latest one in reach.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is kept")]
    pub(crate) fn arm(&mut self, slot: u32, tick: u64) -> u32 {
        let tick = self.in_reach(tick);
        let now = self.now as u32;
        let at = slot as usize;
        if at >= self.armed.len() {
            self.armed.resize(at + 1, now);
        }
        let Some(armed) = self.armed.get_mut(at) else { return now };
        // Distances, as the low half of a tick wraps.
        let ahead = armed.wrapping_sub(now);
        if (1..=(tick as u32).wrapping_sub(now)).contains(&ahead) && ahead < BUCKETS as u32 {
            return tick as u32;
        }
        *armed = tick as u32;
        let timer = Timer { slot, tick: *armed };
        self.bucket(tick).push(timer);
        self.len += 1;
        timer.tick
    }

    /// Arms the timer of a slot anew if the tick of which this is the low half is still to come, and
    /// says whether it is.
    #[allow(clippy::cast_possible_truncation, reason = "the low halves are compared")]
    pub(crate) fn put_off(&mut self, slot: u32, tick: u32) -> bool {
        let ahead = u64::from(tick.wrapping_sub(self.now as u32));
        let is_ahead = (1..BUCKETS).contains(&ahead);
        if is_ahead {
            self.arm(slot, self.now + ahead);
        }
        is_ahead
    }

    /// Whether a timer that has fired is that of its slot, and not a leftover. It is one from now
    /// on.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is kept")]
    pub(crate) fn take(&mut self, fired: Timer) -> bool {
        let (now, armed) = (self.now as u32, self.armed.get_mut(fired.slot as usize));
        let Some(armed) = armed.filter(|armed| **armed == fired.tick) else { return false };
        // A leftover of the same tick must not be taken for it. The tick that is now has passed.
        *armed = now.wrapping_sub(u32::from(*armed == now));
        true
    }

    /// The whole tick that has passed of which this is the low half.
    #[allow(clippy::cast_possible_truncation, reason = "the low halves are compared")]
    pub(crate) fn passed(&self, tick: u32) -> u64 {
        self.now.saturating_sub(u64::from((self.now as u32).wrapping_sub(tick)))
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

    /// Drops the leftovers of one bucket, another one each time, and the timers of slots that are
    /// not `in_use`.
    #[allow(clippy::cast_possible_truncation, reason = "the low half is kept")]
    pub(crate) fn clean_a_bucket(&mut self, in_use: impl Fn(u32) -> bool) {
        self.cleaned += 1;
        let at = self.index_of(self.cleaned);
        let now = self.now as u32;
        let (Some(bucket), armed) = (self.buckets.get_mut(at), &mut self.armed) else { return };
        let before = bucket.len();
        bucket.sort_unstable();
        bucket.dedup();
        bucket.retain(|timer| {
            let Some(armed) = armed.get_mut(timer.slot as usize) else { return false };
            let is_live = *armed == timer.tick;
            if is_live && !in_use(timer.slot) {
                *armed = now;
                return false;
            }
            is_live
        });
        bucket.shrink_to(2 * bucket.len());
        self.len -= before - bucket.len();
    }

    #[allow(clippy::cast_possible_truncation, reason = "the remainder is below BUCKETS")]
    fn index_of(&self, tick: u64) -> usize {
        (tick % BUCKETS) as usize
    }

    fn bucket(&mut self, tick: u64) -> &mut Vec<Timer> {
        let index = self.index_of(tick);
        // The remainder is always in range.
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
        fired.iter().filter(|&&timer| wheel.take(timer)).map(|timer| timer.slot).collect()
    }

    fn arm(wheel: &mut TimerWheel, slot: u32, deadline: u64) {
        wheel.arm(slot, wheel.tick_for(deadline));
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
        arm(&mut wheel, 1, 1_000_000 * SECOND);
        assert!(fired_at(&mut wheel, BUCKETS - 2).is_empty());
        assert_eq!(fired_at(&mut wheel, BUCKETS - 1), [1]);
    }

    #[test]
    fn a_slot_has_one_timer_the_earliest() {
        let mut wheel = wheel();
        for deadline in [50, 60, 50, 40, 45] {
            arm(&mut wheel, 1, deadline * SECOND);
        }
        assert_eq!(wheel.len(), 2);
        assert_eq!((fired_at(&mut wheel, 41), fired_at(&mut wheel, 51)), (vec![1], vec![]));
        arm(&mut wheel, 1, 60 * SECOND);
        assert_eq!(fired_at(&mut wheel, 61), [1]);
    }

    #[test]
    fn a_timer_of_the_flow_before_is_put_off() {
        let mut wheel = wheel();
        arm(&mut wheel, 1, 10 * SECOND);
        let wanted = wheel.arm(1, 21);
        assert_eq!(wanted, 21);
        assert_eq!(fired_at(&mut wheel, 12), [1]);
        assert!(wheel.put_off(1, wanted));
        assert!(fired_at(&mut wheel, 20).is_empty());
        assert_eq!(fired_at(&mut wheel, 23), [1]);
        assert!(!wheel.put_off(1, wanted));
        assert_eq!(wheel.passed(wanted), 21);
    }

    #[test]
    fn leftovers_can_be_dropped() {
        let mut wheel = wheel();
        for deadline in [50, 49, 48] {
            arm(&mut wheel, 1, deadline * SECOND);
            arm(&mut wheel, 2, deadline * SECOND);
        }
        (0..BUCKETS).for_each(|_| wheel.clean_a_bucket(|slot| slot == 1));
        assert_eq!(wheel.len(), 1);
        // The slot that was not in use has no timer left, and gets another.
        arm(&mut wheel, 2, 48 * SECOND);
        assert_eq!(fired_at(&mut wheel, 60), [1, 2]);
    }
}
