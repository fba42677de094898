use std::collections::VecDeque;

use crate::{OverlapPolicy, buffers};

/// Bytes that arrived before bytes which precede them.
///
/// Invariant: segments are sorted by `start`, none is empty, and no two overlap: which of two
/// copies of a byte stays is decided when the second comes.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    segments: VecDeque<Queued>,
    charge: usize,
}

/// A run of queued bytes.
#[derive(Debug)]
pub(crate) struct Queued {
    /// Stream offset of the first byte.
    pub(crate) start: u64,
    /// The run, behind `cut` other bytes; there are none once it is taken from the queue.
    pub(crate) bytes: Vec<u8>,
    /// Bytes in front that went to a segment which begins earlier. What is left is moved once it
    /// is no more than that, so that cutting a byte off costs the same however long the run.
    cut: usize,
    /// The packet that brought the first byte.
    pub(crate) packet: u64,
    /// Bytes right behind these that the snap length cut off.
    pub(crate) cut_off: u64,
}

/// Bytes to be queued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece<'a> {
    /// Stream offset of the first byte.
    pub(crate) start: u64,
    pub(crate) bytes: &'a [u8],
    /// Bytes right behind these that the snap length cut off.
    pub(crate) cut_off: u64,
    /// The packet that brought them.
    pub(crate) packet: u64,
}

impl Piece<'_> {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The part between two stream offsets.
    fn part(&self, from: u64, to: u64) -> Self {
        Self {
            start: from,
            bytes: slice(self.bytes, from - self.start, to - self.start),
            cut_off: if to == self.end() { self.cut_off } else { 0 },
            packet: self.packet,
        }
    }
}

/// What inserting found to be there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overlap {
    /// Bytes that were there.
    pub(crate) repeated: u64,
    /// Those of them that have another value now.
    pub(crate) conflicting: u64,
}

/// Memory accounted for a segment besides its bytes, so that tiny ones cannot cheat.
const OVERHEAD: usize = 64;
/// Segments from which on a new one is appended to the one it touches, so that a flood of tiny
/// ones does not fill the queue. Below, each keeps the number of its own packet.
const CROWDED: usize = 256;
/// Size at which a segment is not appended to any more: growing it would copy too much.
const FULL: usize = 16 << 10;
/// Segments that one may cover without becoming one with them: their own packets are known, and
/// looking at each costs little. Beyond, one that comes again and again would cost too much.
const COVERED: usize = 64;

impl Queued {
    fn new(piece: &Piece<'_>) -> Self {
        let Piece { start, bytes, cut_off, packet } = *piece;
        Self { start, bytes: buffers::copy(bytes), cut: 0, packet, cut_off }
    }

    fn run(&self) -> &[u8] {
        self.bytes.get(self.cut..).unwrap_or_default()
    }

    fn run_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.cut..).unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.cut
    }

    pub(crate) fn end(&self) -> u64 {
        self.start + self.len() as u64
    }

    fn charge(&self) -> usize {
        self.bytes.capacity() + OVERHEAD
    }

    /// Cuts off what lies in front of `start`.
    fn cut_front(&mut self, start: u64) {
        let count = usize::try_from(start - self.start).unwrap_or(usize::MAX).min(self.len());
        self.start = start;
        self.cut += count;
        if self.cut >= self.len() {
            self.close_up();
        }
    }

    /// Moves the run to where its memory begins.
    fn close_up(&mut self) {
        self.bytes.drain(..self.cut);
        self.cut = 0;
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        buffers::reuse(&mut self.bytes);
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Number of segments.
    pub(crate) fn len(&self) -> usize {
        self.segments.len()
    }

    /// Memory taken, in bytes.
    pub(crate) const fn charge(&self) -> usize {
        self.charge
    }

    /// Bytes queued.
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len() as u64).sum()
    }

    /// Where each segment begins and ends.
    pub(crate) fn extents(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.segments.iter().map(|segment| (segment.start, segment.end()))
    }

    /// Offset behind the last byte; 0 if there is none.
    pub(crate) fn end(&self) -> u64 {
        self.segments.back().map_or(0, Queued::end)
    }

    /// Offset of the first byte.
    pub(crate) fn start(&self) -> Option<u64> {
        self.segments.front().map(|segment| segment.start)
    }

    /// Puts bytes in where there are none yet, and where `policy` has them win over what is there.
    ///
    /// O(log n) to find the place. In a crowded queue there is one insertion into the middle at
    /// most, except where a touching segment is full: behind its first piece, a segment always
    /// touches a queued one and is appended to that. What it covers is looked at one by one if that
    /// is little, else for the last time.
    pub(crate) fn insert(&mut self, new: Piece<'_>, policy: OverlapPolicy) -> Overlap {
        let overlap = match policy {
            OverlapPolicy::First => self.insert_between(new, false),
            OverlapPolicy::Last => self.insert_between(new, true),
            OverlapPolicy::StartBefore { tie_longer, tie_equal } => {
                self.insert_by_start(new, tie_longer, tie_equal)
            }
        };
        self.check();
        overlap
    }

    /// Fills the holes that `new` covers. What is there keeps its place, and its bytes unless they
    /// are to be `replaced`.
    fn insert_between(&mut self, new: Piece<'_>, replaced: bool) -> Overlap {
        if self.end() <= new.start {
            // Behind all others, as nearly every one is.
            if !new.bytes.is_empty() && !self.append(self.segments.len(), &new) {
                self.put(self.segments.len(), Queued::new(&new));
            }
            return Overlap::default();
        }
        let i = self.segments.partition_point(|segment| segment.end() <= new.start);
        let is_covered = |there: &Queued| there.end() <= new.end();
        if self.segments.get(i + COVERED).is_some_and(is_covered) {
            self.insert_over(i, new, replaced)
        } else {
            self.insert_among(i, new, replaced)
        }
    }

    /// The same with one segment in place of all that `new` covers. These are gone then, so that
    /// looking at each of them costs no more, in sum, than bringing them did.
    fn insert_over(&mut self, i: usize, new: Piece<'_>, replaced: bool) -> Overlap {
        let (start, end) = (new.start, new.end());
        let before = self.segments.get(i).filter(|there| there.start < start);
        let (first, from) = before.map_or((i, start), |before| (i + 1, before.end()));
        let after = self.segments.partition_point(|there| there.end() <= end);
        let upto = self.segments.get(after).map_or(end, |next| next.start.min(end));

        let mut one = Queued::new(&new.part(from, upto));
        let mut overlap = Overlap::default();
        for there in self.segments.drain(first..after) {
            self.charge -= there.charge();
            if there.start == from {
                one.packet = there.packet;
            }
            if there.end() == upto {
                one.cut_off = there.cut_off;
            }
            let place = slice_mut(&mut one.bytes, there.start - from, there.end() - from);
            let Some(place) = place else { continue };
            overlap.add(there.run(), place);
            if !replaced {
                place.copy_from_slice(there.run());
            }
        }
        self.put(first, one);
        // Of the two that reach over an edge of it, some bytes come again.
        overlap.join(self.insert_among(first + 1, new.part(upto, end), replaced));
        overlap.join(self.insert_among(i, new.part(start, from), replaced));
        overlap
    }

    /// The same segment by segment, from number `i` on, the first that ends behind the beginning
    /// of `new`.
    fn insert_among(&mut self, mut i: usize, new: Piece<'_>, replaced: bool) -> Overlap {
        let (start, end) = (new.start, new.end());
        let mut at = start;
        let mut overlap = Overlap::default();
        while at < end {
            if let Some(there) = self.segments.get_mut(i).filter(|there| there.start <= at) {
                let upto = there.end().min(end);
                let (from, to) = (at - there.start, upto - there.start);
                let again = slice(new.bytes, at - start, upto - start);
                overlap.add(slice(there.run(), from, to), again);
                if replaced && let Some(old) = slice_mut(there.run_mut(), from, to) {
                    old.copy_from_slice(again);
                }
                at = upto;
                i += 1;
                continue;
            }
            let upto = self.segments.get(i).map_or(end, |next| next.start.min(end));
            let piece = new.part(at, upto);
            at = upto;
            if !self.append(i, &piece) {
                self.put(i, Queued::new(&piece));
                i += 1;
            }
        }
        overlap
    }

    /// The neighbour that begins earlier cuts off the front of `new`; what begins later is cut off
    /// by it.
    fn insert_by_start(&mut self, new: Piece<'_>, tie_longer: bool, tie_equal: bool) -> Overlap {
        let end = new.end();
        let mut i = self.segments.partition_point(|segment| segment.start < new.start);
        if let Some(alike) = self.segments.get(i).filter(|there| there.start == new.start) {
            let new_wins = (end > alike.end() && tie_longer) || (end == alike.end() && tie_equal);
            i += usize::from(!new_wins);
        }
        let mut overlap = Overlap::default();
        let mut at = new.start;
        if let Some(earlier) = i.checked_sub(1).and_then(|left| self.segments.get(left)) {
            let upto = earlier.end().clamp(at, end);
            let old = slice(earlier.run(), at - earlier.start, upto - earlier.start);
            overlap.add(old, slice(new.bytes, 0, upto - at));
            at = upto;
        }
        let mut covered = 0;
        while let Some(later) = self.segments.get_mut(i + covered).filter(|l| l.start < end) {
            let upto = later.end().min(end);
            let again = slice(new.bytes, later.start - new.start, upto - new.start);
            overlap.add(slice(later.run(), 0, upto - later.start), again);
            self.charge -= later.charge();
            if later.end() > end {
                later.cut_front(end);
                self.charge += later.charge();
                break;
            }
            covered += 1;
        }
        self.segments.drain(i..i + covered);
        if at < end {
            self.put(i, Queued::new(&new.part(at, end)));
        }
        overlap
    }

    /// In a crowded queue, adds a piece to the segment in front of `i` if that has room and touches
    /// it. It is no segment by itself then: where it began is forgotten.
    fn append(&mut self, i: usize, piece: &Piece<'_>) -> bool {
        let crowded = self.segments.len() >= CROWDED;
        let left = i.checked_sub(1).and_then(|left| self.segments.get_mut(left));
        let has_room =
            |left: &&mut Queued| crowded && left.end() == piece.start && left.bytes.len() < FULL;
        let Some(left) = left.filter(has_room) else { return false };
        self.charge -= left.charge();
        left.bytes.extend_from_slice(piece.bytes);
        left.cut_off = piece.cut_off;
        self.charge += left.charge();
        true
    }

    /// Puts one that overlaps nothing in front of segment `i`.
    fn put(&mut self, i: usize, segment: Queued) {
        self.charge += segment.charge();
        if i == self.segments.len() {
            self.segments.push_back(segment);
        } else {
            self.segments.insert(i, segment);
        }
    }

    /// Takes the first segment if it begins at or before `next`.
    pub(crate) fn pop_until(&mut self, next: u64) -> Option<Queued> {
        self.segments.front().filter(|segment| segment.start <= next)?;
        let mut segment = self.segments.pop_front()?;
        self.charge -= segment.charge();
        segment.close_up();
        if self.segments.is_empty() {
            self.segments = VecDeque::new();
        }
        Some(segment)
    }

    /// Drops what lies at or behind `end` and says how many bytes that was.
    pub(crate) fn truncate(&mut self, end: u64) -> u64 {
        let mut dropped = 0;
        while let Some(last) = self.segments.back_mut().filter(|last| last.end() > end) {
            self.charge -= last.charge();
            let keep = usize::try_from(end.saturating_sub(last.start)).unwrap_or(usize::MAX);
            let keep = keep.min(last.len());
            dropped += (last.len() - keep) as u64;
            if keep == 0 {
                self.segments.pop_back();
            } else {
                last.bytes.truncate(last.cut + keep);
                last.cut_front(last.start);
                last.cut_off = 0;
                self.charge += last.charge();
            }
        }
        self.check();
        dropped
    }

    fn check(&self) {
        if cfg!(debug_assertions) {
            let mut end = 0;
            for segment in &self.segments {
                debug_assert!(end <= segment.start && segment.cut < segment.len());
                end = segment.end();
            }
            let charge: usize = self.segments.iter().map(Queued::charge).sum();
            debug_assert_eq!(self.charge, charge);
        }
    }
}

impl Overlap {
    fn add(&mut self, old: &[u8], new: &[u8]) {
        self.repeated += old.len() as u64;
        if old != new {
            self.conflicting += old.iter().zip(new).filter(|(a, b)| a != b).count() as u64;
        }
    }

    fn join(&mut self, other: Self) {
        self.repeated += other.repeated;
        self.conflicting += other.conflicting;
    }
}

/// `bytes[from..to]`, empty if that is not inside.
pub(crate) fn slice(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let range = usize::try_from(from).unwrap_or(usize::MAX)..usize::try_from(to).unwrap_or(0);
    bytes.get(range).unwrap_or_default()
}

fn slice_mut(bytes: &mut [u8], from: u64, to: u64) -> Option<&mut [u8]> {
    bytes.get_mut(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
}
