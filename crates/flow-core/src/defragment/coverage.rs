/// Which bytes of a packet's data are there, in the units of 8 bytes in which fragments lie.
///
/// ```text
/// covered  1 1 1 1 1 1 . . 1 1 1      two fragments side by side, a hole, a third
/// starts   1 . . . 1 . . . 1 . .
/// ```
///
/// A fragment costs one step per 64 units that it is long, however many others there are and in
/// whatever order they come.
///
/// Invariant: fragments do not overlap; `starts` is a subset of `covered`.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    words: Vec<Word>,
    covered: u32,
}

/// 64 units, the first in the lowest bit.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    covered: u64,
    starts: u64,
}

/// How a new fragment lies to those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// None of it is there.
    Apart,
    /// One that is there begins and ends where it does.
    Same,
    /// All of it is there.
    Contained,
    /// A part of it is there.
    Partial,
}

impl Coverage {
    /// Units that are there.
    pub(super) const fn covered(&self) -> u32 {
        self.covered
    }

    /// Memory taken, in bytes.
    pub(super) const fn charge(&self) -> usize {
        self.words.capacity() * size_of::<Word>()
    }

    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.covered = 0;
    }

    /// How the units `from..to` lie to those that are there.
    pub(super) fn relation(&self, from: u32, to: u32) -> Relation {
        let (mut covered, mut starts) = (0, 0);
        for (at, mask) in masks(from, to) {
            let word = self.word(at);
            covered += (word.covered & mask).count_ones();
            starts += (word.starts & mask).count_ones();
        }
        if covered == 0 {
            return Relation::Apart;
        }
        if covered < to.saturating_sub(from) {
            return Relation::Partial;
        }
        let begins = |unit| bit(self.word(unit / 64).starts, unit);
        let ends_here = !bit(self.word(to / 64).covered, to) || begins(to);
        if starts == 1 && begins(from) && ends_here { Relation::Same } else { Relation::Contained }
    }

    /// Adds a fragment that is [`Relation::Apart`] from the others.
    pub(super) fn add(&mut self, from: u32, to: u32) {
        debug_assert!(self.relation(from, to) == Relation::Apart);
        let words = to.div_ceil(64) as usize;
        if self.words.len() < words {
            self.words.resize(words, Word::default());
        }
        for (at, mask) in masks(from, to) {
            if let Some(word) = self.words.get_mut(at as usize) {
                word.covered |= mask;
                word.starts |= if at == from / 64 { 1 << (from % 64) } else { 0 };
            }
        }
        self.covered += to.saturating_sub(from);
    }

    fn word(&self, at: u32) -> Word {
        self.words.get(at as usize).copied().unwrap_or_default()
    }
}

fn bit(word: u64, unit: u32) -> bool {
    word >> (unit % 64) & 1 != 0
}

/// The words in which the units `from..to` lie, each with the bits of those units.
fn masks(from: u32, to: u32) -> impl Iterator<Item = (u32, u64)> {
    (from / 64..to.div_ceil(64)).map(move |at| {
        let low = if at == from / 64 { u64::MAX << (from % 64) } else { u64::MAX };
        let high = if at == to / 64 { !(u64::MAX << (to % 64)) } else { u64::MAX };
        (at, low & high)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relation of the last fragment to the others.
    #[track_caller]
    fn check(fragments: &[(u32, u32)], expected: Relation) {
        let (&(from, to), others) = fragments.split_last().unwrap();
        // The same at every place in a word, and across several.
        for shift in 0..200 {
            let mut coverage = Coverage::default();
            for &(from, to) in others {
                coverage.add(from + shift, to + shift);
            }
            assert_eq!(coverage.relation(from + shift, to + shift), expected, "shift {shift}");
            let covered: u32 = others.iter().map(|(from, to)| to - from).sum();
            assert_eq!(coverage.covered(), covered);
        }
    }

    #[test]
    fn relations_of_two() {
        check(&[(0, 4)], Relation::Apart);
        check(&[(10, 20), (20, 21)], Relation::Apart);
        check(&[(10, 20), (9, 10)], Relation::Apart);
        check(&[(10, 20), (10, 20)], Relation::Same);
        check(&[(10, 20), (10, 19)], Relation::Contained);
        check(&[(10, 20), (11, 20)], Relation::Contained);
        check(&[(10, 20), (12, 13)], Relation::Contained);
        check(&[(10, 20), (10, 21)], Relation::Partial);
        check(&[(10, 20), (9, 20)], Relation::Partial);
        check(&[(10, 20), (9, 21)], Relation::Partial);
        check(&[(10, 300), (10, 300)], Relation::Same);
        check(&[(10, 300), (10, 299)], Relation::Contained);
        check(&[(10, 300), (299, 301)], Relation::Partial);
    }

    #[test]
    fn relations_to_neighbours() {
        let three = [(10, 20), (20, 30), (30, 110)];
        let with = |last| [three.as_slice(), &[last]].concat();
        check(&with((20, 30)), Relation::Same);
        check(&with((30, 110)), Relation::Same);
        check(&with((10, 30)), Relation::Contained);
        check(&with((15, 25)), Relation::Contained);
        check(&with((15, 30)), Relation::Contained);
        check(&with((20, 40)), Relation::Contained);
        check(&with((10, 110)), Relation::Contained);
        check(&with((5, 115)), Relation::Partial);
        check(&with((0, 10)), Relation::Apart);
    }
}
