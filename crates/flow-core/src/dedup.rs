use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::fast::RandomState;

use crate::{PacketView, Timestamp};

/// Recognises frames that were captured twice: on both interfaces of a host, or by a mirror port
/// that copies a packet as it comes in and as it goes out.
///
/// A frame is a duplicate if one with the same bytes and wire length was kept at most `window`
/// apart from it and at most `capacity` frames ago. Frames are compared by a seeded 64-bit hash.
pub struct Dedup {
    window: Duration,
    capacity: usize,
    recent: VecDeque<(Timestamp, u64)>,
    count: HashMap<u64, u32, RandomState>,
    hasher: RandomState,
    dropped: u64,
}

impl Dedup {
    /// Remembers `capacity` frames, each for `window` of packet time.
    #[must_use]
    pub fn new(window: Duration, capacity: usize) -> Self {
        Self {
            window,
            capacity,
            recent: VecDeque::with_capacity(capacity),
            count: HashMap::with_capacity_and_hasher(capacity, RandomState::default()),
            hasher: RandomState::default(),
            dropped: 0,
        }
    }

    /// For a loopback interface, where some systems show every packet twice: 1 ms, 256 frames.
    #[must_use]
    pub fn loopback() -> Self {
        Self::new(Duration::from_millis(1), 256)
    }

    /// Whether this frame is new. If not, it counts as dropped.
    pub fn keep(&mut self, view: PacketView<'_>) -> bool {
        while let Some(&(ts, _)) = self.recent.front() {
            let apart = view.timestamp.saturating_sub(ts).max(ts.saturating_sub(view.timestamp));
            let old = apart > self.window;
            if !old && self.recent.len() < self.capacity.max(1) {
                break;
            }
            self.forget_oldest();
        }
        let hash = self.hasher.hash_one((view.frame, view.wire_len));
        if self.capacity > 0 && self.count.contains_key(&hash) {
            self.dropped += 1;
            return false;
        }
        self.recent.push_back((view.timestamp, hash));
        *self.count.entry(hash).or_insert(0) += 1;
        true
    }

    /// Frames that were not new so far.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn forget_oldest(&mut self) {
        let Some((_, hash)) = self.recent.pop_front() else { return };
        if let Some(count) = self.count.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&hash);
            }
        }
    }
}

impl fmt::Debug for Dedup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dedup")
            .field("window", &self.window)
            .field("capacity", &self.capacity)
            .field("dropped", &self.dropped)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(dedup: &mut Dedup, frame: &[u8], micros: u32) -> bool {
        dedup.keep(PacketView::new(frame, Timestamp::new(0, micros * 1_000)))
    }

    #[test]
    fn drops_within_the_window_only() {
        let mut dedup = Dedup::loopback();
        assert!(keep(&mut dedup, b"a", 0));
        assert!(!keep(&mut dedup, b"a", 500));
        assert!(keep(&mut dedup, b"b", 600));
        assert!(keep(&mut dedup, b"a", 1_500), "the first is 1.5 ms old");
        assert_eq!(dedup.dropped(), 1);
    }

    #[test]
    fn remembers_as_many_as_its_capacity() {
        let mut dedup = Dedup::new(Duration::from_secs(1), 2);
        for frame in [b"a", b"b", b"c"] {
            assert!(keep(&mut dedup, frame, 0));
        }
        assert!(!keep(&mut dedup, b"c", 1));
        assert!(keep(&mut dedup, b"a", 2), "two others came since");
        assert!(dedup.recent.len() <= 2);
        assert!(dedup.count.len() <= 2);
    }
}
