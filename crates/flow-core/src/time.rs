use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// A moment of packet time: nanoseconds since the Unix epoch, without leap seconds.
///
/// Reaches from 1970 to July 2554. Arithmetic saturates at both ends, so that no capture,
/// however broken its clock, can make it wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest moment there is.
    pub const MAX: Self = Self(u64::MAX);

    /// From seconds and nanoseconds; nanoseconds of a second and more carry over.
    #[must_use]
    pub const fn new(secs: u32, nanos: u32) -> Self {
        // The largest sum is 4.3e18, well below u64::MAX.
        Self(secs as u64 * NANOS_PER_SEC + nanos as u64)
    }

    /// From nanoseconds since the epoch.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`, zero if `earlier` is the later one.
    #[must_use]
    pub const fn saturating_sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` later, [`Timestamp::MAX`] at most.
    #[must_use]
    pub fn saturating_add(self, by: Duration) -> Self {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(nanos))
    }

    /// The same moment as the standard library's wall-clock type.
    #[must_use]
    pub fn to_system_time(self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.0)
    }
}

/// RFC 3339 in UTC with nine digits of the second: `2013-03-07T21:42:06.869344000Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, nanos) = (self.0 / NANOS_PER_SEC, self.0 % NANOS_PER_SEC);
        let (days, second_of_day) = (secs / 86_400, secs % 86_400);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) =
            (second_of_day / 3_600, second_of_day / 60 % 60, second_of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
    }
}

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// Counts in eras of 400 years (146,097 days) of years that begin in March, so that the leap day
/// is the last of its year.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(nanos: u64, expected: &str) {
        assert_eq!(Timestamp::from_nanos(nanos).to_string(), expected);
    }

    #[test]
    fn rfc_3339() {
        check(0, "1970-01-01T00:00:00.000000000Z");
        check(1_362_692_526_869_344_000, "2013-03-07T21:42:06.869344000Z");
        check(951_782_399_999_999_999, "2000-02-28T23:59:59.999999999Z");
        check(951_782_400_000_000_000, "2000-02-29T00:00:00.000000000Z");
        check(4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z");
        check(u64::MAX, "2554-07-21T23:34:33.709551615Z");
    }

    #[test]
    fn saturates() {
        let (early, late) = (Timestamp::new(1, 0), Timestamp::new(3, 500));
        assert_eq!(late.saturating_sub(early), Duration::new(2, 500));
        assert_eq!(early.saturating_sub(late), Duration::ZERO);
        assert_eq!(late.saturating_add(Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn nanoseconds_carry() {
        assert_eq!(Timestamp::new(1, 2_500_000_000), Timestamp::new(3, 500_000_000));
    }
}
