use flow_core::CaptureStats;

/// Adds up libpcap's counters, which have 32 bits and wrap.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    last: [u32; 3],
    stats: CaptureStats,
}

impl Totals {
    /// Takes the counters as they stand. Right if none has grown by 2³² since the last time.
    pub(crate) fn add(&mut self, received: u32, dropped: u32, by_interface: u32) -> CaptureStats {
        let now = [received, dropped, by_interface];
        let grown = std::array::from_fn::<u32, 3, _>(|i| now[i].wrapping_sub(self.last[i]));
        self.last = now;
        self.stats.received += u64::from(grown[0]);
        self.stats.dropped += u64::from(grown[1]);
        // The interface's own counter is taken from the interface, and is 0 once that has gone.
        if grown[2] <= u32::MAX / 2 {
            self.stats.dropped_by_interface += u64::from(grown[2]);
        }
        self.stats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(counters: &[(u32, u32, u32)], expected: (u64, u64, u64)) {
        let mut totals = Totals::default();
        let mut stats = CaptureStats::default();
        for &(received, dropped, by_interface) in counters {
            stats = totals.add(received, dropped, by_interface);
        }
        assert_eq!((stats.received, stats.dropped, stats.dropped_by_interface), expected);
    }

    #[test]
    fn counters_are_taken_as_they_stand() {
        check(&[(5, 2, 1), (5, 2, 1), (7, 3, 1)], (7, 3, 1));
    }

    #[test]
    fn a_counter_that_wraps_goes_on() {
        check(
            &[(u32::MAX, u32::MAX - 1, 0), (4, 1, 0), (3, 1, 0)],
            (2 * (1 << 32) + 3, (1 << 32) + 1, 0),
        );
    }

    #[test]
    fn an_interface_that_has_gone_dropped_nothing_more() {
        check(&[(1, 0, 9), (2, 0, 0), (2, 0, 0)], (2, 0, 9));
    }
}
