use std::time::Duration;

use crate::Timestamp;

/// The tracker's clock: packet time, as far as packets agree on it.
///
/// Timeouts are measured in `elapsed`, which runs with packet time but never goes back. A packet
/// whose time lies more than [`STEP`] ahead of that of the packets before does not move the clock:
/// one damaged record must not end every flow. Nor does one that lies behind by more than packets
/// overtake each other. Several in a row that agree do: the capture goes on at another time.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The time that is believed; `None` before the first packet.
    now: Option<Timestamp>,
    /// Nanoseconds; what timeouts are measured with.
    elapsed: u64,
    doubt: Option<Doubt>,
    /// The latest time from which the clock was set back.
    left: Timestamp,
}

/// When a packet comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// The time that it counts with.
    pub(crate) ts: Timestamp,
    /// By the clock.
    pub(crate) elapsed: u64,
    /// Whether its time is believed.
    pub(crate) is_timely: bool,
}

/// Packets in a row of another time than the clock's.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    latest: Timestamp,
    packets: u32,
}

/// How far a packet's time may lie ahead of the clock to be believed at once.
///
/// Rationale: longer than any pause in a capture that flows outlast; short against what a damaged
/// field makes of a time.
pub(crate) const STEP: Duration = Duration::from_secs(86_400);
const STEP_NANOS: u64 = nanos(STEP);

/// How far packets of one capture lie apart that are not in their order.
///
/// Rationale: longer than any buffer holds packets back, and than the clocks of interfaces which
/// are captured together are mostly apart.
const REORDERED: u64 = nanos(Duration::from_secs(60));

/// How far the clock may be set at once. No timeout is as long, and the clock's range ends after
/// hundreds of such steps.
const LONGEST: u64 = nanos(Duration::from_secs(366 * 86_400));

#[allow(clippy::cast_possible_truncation, reason = "none is near 2^64 nanoseconds")]
const fn nanos(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}

/// How many packets in a row make another time true.
///
/// Rationale: damage comes in ones and twos, and a handful of packets late is early enough to look
/// at timeouts after a pause of a day.
const WITNESSES: u32 = 8;

/// Where `elapsed` begins at most, so that a nonsensical first time leaves room for what follows:
/// the end of 32-bit seconds, in 2106.
const LATEST_START: u64 = (1 << 32) * 1_000_000_000;

impl Clock {
    /// The time that is believed.
    pub(crate) fn now(&self) -> Timestamp {
        self.now.unwrap_or_default()
    }

    /// The latest time that was ever believed.
    fn latest(&self) -> Timestamp {
        self.now().max(self.left)
    }

    /// Nanoseconds that never go back.
    pub(crate) fn elapsed(&self) -> u64 {
        self.elapsed
    }

    /// A packet of this time has come. With `monotonic`, one that is older than a packet before it
    /// counts as being of that one's time.
    #[inline]
    pub(crate) fn arrive(&mut self, ts: Timestamp, monotonic: bool) -> Moment {
        let elapsed = self.packet(ts);
        let ts = if monotonic { self.latest() } else { ts };
        Moment { ts, elapsed, is_timely: self.doubt.is_none() }
    }

    /// Another clock, which sees all packets, says that it is this time now.
    pub(crate) fn follow(&mut self, now: Timestamp, elapsed: u64) {
        (self.now, self.elapsed) = (Some(now), elapsed);
    }

    /// A packet of this time has come. Gives what `elapsed` is for it: ahead of the clock if it is
    /// not believed yet.
    #[inline]
    fn packet(&mut self, ts: Timestamp) -> u64 {
        let Some(now) = self.now else { return self.begin(ts) };
        let ahead = ts.as_nanos().wrapping_sub(now.as_nanos());
        if ahead <= REORDERED {
            self.now = Some(ts);
            self.elapsed = self.elapsed.saturating_add(ahead);
        } else if ahead.wrapping_neg() > REORDERED {
            return self.jump(now, ts);
        }
        self.doubt = None;
        self.elapsed
    }

    /// It is `ts` now, says somebody who knows.
    pub(crate) fn set(&mut self, ts: Timestamp) {
        let Some(now) = self.now else {
            self.begin(ts);
            return;
        };
        if ts > now {
            let ahead = ts.as_nanos() - now.as_nanos();
            self.elapsed = self.elapsed.saturating_add(ahead.min(LONGEST));
            self.now = Some(ts);
        }
    }

    fn begin(&mut self, ts: Timestamp) -> u64 {
        self.now = Some(ts);
        self.elapsed = ts.as_nanos().min(LATEST_START);
        self.elapsed
    }

    #[cold]
    fn jump(&mut self, now: Timestamp, ts: Timestamp) -> u64 {
        if ts < now || ts.as_nanos() - now.as_nanos() > STEP_NANOS {
            return self.doubtful(now, ts);
        }
        // A pause; or the clock comes back to where it was before, and that time has passed.
        let returns = ts.as_nanos().saturating_add(REORDERED) >= self.left.as_nanos();
        let since = if returns { now.max(self.left) } else { now };
        let passed = ts.as_nanos().saturating_sub(since.as_nanos());
        self.elapsed = self.elapsed.saturating_add(passed);
        self.now = Some(ts);
        self.doubt = None;
        self.elapsed
    }

    fn doubtful(&mut self, now: Timestamp, ts: Timestamp) -> u64 {
        let agrees = |doubt: &Doubt| {
            let latest = doubt.latest.as_nanos();
            ts.as_nanos().saturating_add(REORDERED) >= latest
                && ts.as_nanos().saturating_sub(latest) <= STEP_NANOS
        };
        let packets = self.doubt.filter(agrees).map_or(0, |doubt| doubt.packets) + 1;
        // However far it went ahead: a step is longer than the flows' timeouts, and a clock that
        // is thrown about cannot run into the end of its range.
        let ahead = ts.as_nanos().saturating_sub(now.as_nanos()).min(STEP_NANOS);
        let elapsed = self.elapsed.saturating_add(ahead);
        if packets < WITNESSES {
            self.doubt = Some(Doubt { latest: ts, packets });
        } else {
            let left = if ts < now { self.left.max(now) } else { self.left };
            *self = Self { now: Some(ts), elapsed, doubt: None, left };
        }
        elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The clock in seconds after packets at these times, and what has elapsed since the first.
    #[track_caller]
    fn check(seconds: &[u32], expected: [u64; 2]) {
        let mut clock = Clock::default();
        let begin = clock.packet(Timestamp::new(seconds[0], 0));
        for &second in &seconds[1..] {
            clock.packet(Timestamp::new(second, 0));
        }
        let (now, passed) = (clock.now().as_nanos(), clock.elapsed() - begin);
        assert_eq!([now, passed].map(|nanos| nanos / 1_000_000_000), expected);
    }

    const DAY: u32 = 86_400;

    #[test]
    fn follows_the_latest_packet() {
        check(&[1_000, 1_005, 1_003, 1_010], [1_010, 10]);
        check(&[1_000, 1_000 + DAY], [u64::from(1_000 + DAY), u64::from(DAY)]);
    }

    #[test]
    fn a_few_packets_of_another_time_move_nothing() {
        check(&[1_000, u32::MAX, 1_001, 4_000_000_000, 3_000_000_000, 1_002], [1_002, 2]);
        check(&[1_000_000, 0, 1, 2, 3, 4, 5, 6, 1_000_001], [1_000_001, 1]);
        check(&[u32::MAX, 1_000, 1_001], [u64::from(u32::MAX), 0]);
    }

    #[test]
    fn many_that_agree_do() {
        let later = [[1_000].as_slice(), &[5_000_000; 8]].concat();
        check(&later, [5_000_000, u64::from(DAY)]);
        let earlier = [[5_000_000].as_slice(), &[1_000; 8], &[1_007]].concat();
        check(&earlier, [1_007, 7]);
    }

    #[test]
    fn a_clock_that_is_set_back_goes_on() {
        let back = [[10_000].as_slice(), &[6_400; 8], &[6_410, 6_470, 6_600]].concat();
        check(&back, [6_600, 200]);
        // Half a day ahead by mistake: what follows counts from where the clock stood.
        let mistaken = [[10_000, 53_200].as_slice(), &[10_001; 8], &[10_100]].concat();
        check(&mistaken, [10_100, 43_200 + 99]);
    }

    #[test]
    fn two_clocks_in_turn_do_not_add_up() {
        let turns: Vec<u32> = (0..100_u32)
            .flat_map(|turn| [[10_000 + turn; 8], [6_400 + turn; 8]])
            .flatten()
            .collect();
        check(&turns, [6_499, 99]);
    }

    #[test]
    fn set_to_the_end_of_time_it_still_runs() {
        let mut clock = Clock::default();
        clock.packet(Timestamp::new(1_000, 0));
        for round in 0..20 {
            clock.set(Timestamp::MAX);
            let before = clock.elapsed();
            for second in 0..20 {
                clock.packet(Timestamp::new(1_000 + round * 100 + second, 0));
            }
            assert!(clock.elapsed() > before, "in round {round}");
        }
    }

    #[test]
    fn a_first_time_at_the_end_of_time_leaves_room() {
        let mut clock = Clock::default();
        clock.packet(Timestamp::MAX);
        for second in 0..20 {
            clock.packet(Timestamp::new(1_000 + second, 0));
        }
        assert_eq!(clock.now(), Timestamp::new(1_019, 0));
        assert!(clock.elapsed() < u64::MAX / 2);
    }
}
