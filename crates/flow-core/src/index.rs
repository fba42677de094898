use std::iter;

/// Which slots of the slab may hold the flow of a hash: an open hash table whose buckets are cache
/// lines.
///
/// ```text
/// bucket, 64 bytes   [tag:8; 7] [hash:32; 7] [slot:32; 7]     all tags are compared at once
/// ```
///
/// An entry lives in the bucket that its hash names, or, while that is full, in the next one that
/// is not: every bucket between the one it belongs to and the one it lives in is full. Removal
/// keeps this so by moving an entry back, so there are no tombstones and a bucket with a free place
/// ends every search. The whole hash is kept, so that growing looks at no flow.
///
/// Rationale: one line has to come from memory before a flow's entry can be asked for; a table with
/// its tags apart from its slots needs two, one after the other.
pub(crate) struct Index {
    /// A power of two.
    buckets: Vec<Bucket>,
    len: usize,
}

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    /// One byte per place, the first place lowest: the [`tag`] of its hash, 0 if it is free. The
    /// highest byte is no place.
    tags: u64,
    hashes: [u32; PLACES],
    slots: [u32; PLACES],
}

const PLACES: usize = 7;

/// What a free place holds, so that it is none of the entries that are looked for: there are never
/// so many.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// Entries per bucket at which the table grows.
///
/// Rationale: with five on average about one entry in ten is not in its own bucket; with six, one
/// in three.
const FULL: usize = 5;

impl Index {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let buckets = capacity.div_ceil(FULL).next_power_of_two();
        Self { buckets: vec![Bucket::EMPTY; buckets], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first slot of this hash that `is_it`.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let bucket = self.buckets.get(self.home(hash))?;
        // Nearly always it is the first with this tag.
        if let Some(slot) = bucket.places_of(tag(hash)).take().and_then(|at| bucket.slot(at, hash))
            && is_it(slot)
        {
            return Some(slot);
        }
        self.search(hash, &mut is_it)
    }

    #[inline(never)]
    fn search(&self, hash: u32, is_it: &mut dyn FnMut(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        // There is always a bucket with a free place, so this ends before it comes round.
        while let Some(bucket) = self.buckets.get(at) {
            let mut places = bucket.places_of(tag(hash));
            while let Some(place) = places.take() {
                if let Some(slot) = bucket.slot(place, hash)
                    && is_it(slot)
                {
                    return Some(slot);
                }
            }
            if bucket.has_free() {
                return None;
            }
            at = self.next(at);
        }
        None
    }

    /// Reads from the first line that [`find`](Self::find) reads.
    #[inline]
    pub(crate) fn touch(&self, hash: u32) -> u64 {
        self.buckets.get(self.home(hash)).map_or(0, |bucket| bucket.tags)
    }

    /// Adds a slot that is not there yet.
    pub(crate) fn insert(&mut self, hash: u32, slot: u32) {
        if self.len >= FULL * self.buckets.len() {
            self.grow();
        }
        self.put(hash, slot);
        self.len += 1;
    }

    fn put(&mut self, hash: u32, slot: u32) {
        let mut at = self.home(hash);
        loop {
            let next = self.next(at);
            let Some(bucket) = self.buckets.get_mut(at) else { return };
            if let Some(place) = bucket.places_of(0).take() {
                bucket.set(place, tag(hash), hash, slot);
                return;
            }
            at = next;
        }
    }

    /// Removes a slot, if it is there.
    pub(crate) fn remove(&mut self, hash: u32, slot: u32) {
        let mut at = self.home(hash);
        let mut place = loop {
            let Some(bucket) = self.buckets.get(at) else { return };
            let mut places = bucket.places_of(tag(hash));
            let found = iter::from_fn(|| places.take())
                .find(|&place| bucket.slot(place, hash) == Some(slot));
            match found {
                Some(place) => break place,
                None if bucket.has_free() => return,
                None => at = self.next(at),
            }
        };
        self.len -= 1;
        // Whatever went past a full bucket comes back to the place that is free now.
        loop {
            let Some(bucket) = self.buckets.get_mut(at) else { return };
            let was_full = !bucket.has_free();
            bucket.set(place, 0, 0, NO_SLOT);
            let Some(strayed) = was_full.then(|| self.beyond(at)).flatten() else { return };
            let Some(bucket) = self.buckets.get_mut(at) else { return };
            bucket.set(place, tag(strayed.hash), strayed.hash, strayed.slot);
            (at, place) = (strayed.at, strayed.place);
        }
    }

    /// An entry that lives behind a full bucket but does not belong behind it.
    fn beyond(&self, full: usize) -> Option<Strayed> {
        let mut at = self.next(full);
        loop {
            let bucket = self.buckets.get(at)?;
            let behind = self.distance(full, at);
            let strayed =
                bucket.entries().find(|&(_, hash, _)| self.distance(self.home(hash), at) >= behind);
            if let Some((place, hash, slot)) = strayed {
                return Some(Strayed { at, place, hash, slot });
            }
            if bucket.has_free() {
                return None;
            }
            at = self.next(at);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![Bucket::EMPTY; 2 * self.buckets.len()];
        for bucket in std::mem::replace(&mut self.buckets, larger) {
            bucket.entries().for_each(|(_, hash, slot)| self.put(hash, slot));
        }
    }

    /// The bucket that a hash belongs to.
    #[inline]
    fn home(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    /// Steps from one bucket to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.buckets.len() - 1)
    }
}

/// An entry, and the bucket and place that it lives in.
struct Strayed {
    at: usize,
    place: usize,
    hash: u32,
    slot: u32,
}

/// What is compared first: bits of the hash that do not say where it belongs, never 0.
#[inline]
fn tag(hash: u32) -> u8 {
    (hash >> 24).max(1) as u8
}

impl Bucket {
    const EMPTY: Self =
        Self { tags: 0xff << (8 * PLACES), hashes: [0; PLACES], slots: [NO_SLOT; PLACES] };

    /// Where this tag stands, and maybe a few other places behind the first of them.
    #[inline]
    fn places_of(&self, tag: u8) -> Places {
        const LOW: u64 = u64::from_le_bytes([0x01; 8]);
        const HIGH: u64 = u64::from_le_bytes([0x80; 8]) >> 8;
        // A byte that is zero borrows from its highest bit, as "Determine if a word has a zero
        // byte" of the Bit Twiddling Hacks has it.
        let zero_where_equal = self.tags ^ (LOW * u64::from(tag));
        Places(zero_where_equal.wrapping_sub(LOW) & !zero_where_equal & HIGH)
    }

    #[inline]
    fn has_free(&self) -> bool {
        self.places_of(0).0 != 0
    }

    /// The slot in a place, if its hash is this one.
    #[inline]
    fn slot(&self, place: usize, hash: u32) -> Option<u32> {
        if *self.hashes.get(place)? == hash { self.slots.get(place).copied() } else { None }
    }

    fn set(&mut self, place: usize, tag: u8, hash: u32, slot: u32) {
        if let (Some(old_hash), Some(old_slot)) =
            (self.hashes.get_mut(place), self.slots.get_mut(place))
        {
            (*old_hash, *old_slot) = (hash, slot);
            self.tags = self.tags & !(0xff << (8 * place)) | u64::from(tag) << (8 * place);
        }
    }

    /// Places in use, with their hashes and slots.
    fn entries(&self) -> impl Iterator<Item = (usize, u32, u32)> {
        let places = self.hashes.iter().zip(&self.slots).enumerate();
        let tags = self.tags.to_le_bytes();
        places
            .zip(tags)
            .filter_map(|((place, (&hash, &slot)), tag)| (tag != 0).then_some((place, hash, slot)))
    }
}

/// A set of places in a bucket: the highest bit of a byte each.
#[derive(Clone, Copy)]
struct Places(u64);

impl Places {
    /// Takes the lowest place out.
    #[inline]
    fn take(&mut self) -> Option<usize> {
        let place = (self.0.trailing_zeros() / 8) as usize;
        self.0 &= self.0.wrapping_sub(1);
        (place < PLACES).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!((size_of::<Bucket>(), align_of::<Bucket>()), (64, 64));
    }

    fn is_there(index: &Index, hash: u32, slot: u32) -> bool {
        index.find(hash, |found| found == slot).is_some()
    }

    #[test]
    fn grows_and_keeps_everything() {
        let mut index = Index::with_capacity(1);
        for slot in 0..10_000_u32 {
            index.insert(slot.wrapping_mul(0x9e37_79b9), slot);
        }
        assert_eq!(index.len(), 10_000);
        assert!((0..10_000_u32).all(|slot| is_there(&index, slot.wrapping_mul(0x9e37_79b9), slot)));
        assert!(!is_there(&index, 1, 1));
    }

    #[test]
    fn a_free_place_is_no_entry() {
        let mut index = Index::with_capacity(1);
        for (hash, slot) in [(1 << 24, 7), (5 << 24, 8), (0, 0)] {
            index.insert(hash, slot);
        }
        index.remove(5 << 24, 8);
        index.remove(0, 0);
        assert_eq!((index.len(), is_there(&index, 0, 0)), (1, false));
    }

    proptest! {
        /// Of few hashes, so that buckets overflow, also from the last to the first.
        #[test]
        fn holds_what_was_put_in(steps in prop::collection::vec((any::<bool>(), 0..40_u32), 0..400)) {
            let hash_of = |slot: u32| if slot.is_multiple_of(3) { u32::MAX } else { slot % 5 };
            let mut index = Index::with_capacity(60);
            let mut expected = std::collections::BTreeSet::new();
            for (add, slot) in steps {
                if add && expected.insert(slot) {
                    index.insert(hash_of(slot), slot);
                } else if !add {
                    index.remove(hash_of(slot), slot);
                    expected.remove(&slot);
                }
                prop_assert_eq!(index.len(), expected.len());
                for slot in 0..40 {
                    prop_assert_eq!(
                        is_there(&index, hash_of(slot), slot),
                        expected.contains(&slot)
                    );
                }
            }
        }
    }
}
