use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::flow::Flow;

/// Flows by key: a slab of entries and an index of 8-byte slots over it.
///
/// ```text
/// index  [hash:32|slot:32] …        hashbrown: 16 tags are compared at once
///                    │
/// slab   [Flow; 4096] → [Flow; 4096] → …   blocks never move, so growing copies no entry
/// ```
///
/// The index keeps 32 bits of each hash: growing it touches no entry, and a probe that hits
/// another key is told apart without a look at that entry in all but one case in 2^25. The
/// hasher is seeded per table, so that nobody outside can aim keys at one bucket.
pub(crate) struct FlowTable<K, S> {
    index: HashTable<IndexSlot>,
    blocks: Vec<Vec<Option<Flow<K, S>>>>,
    free: Vec<u32>,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct IndexSlot {
    hash: u32,
    slot: u32,
}

const BLOCK: usize = 1 << BLOCK_BITS;

/// Rationale: a block of this many entries is close to a megabyte, so that what the allocator adds
/// to it is nothing; memory that is not written yet takes none.
const BLOCK_BITS: usize = 12;

/// The 64 bits that the index works with: it takes the bucket from the low and the tag from the
/// high ones.
fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<K: Eq + Hash, S> FlowTable<K, S> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            index: HashTable::with_capacity(capacity),
            blocks: Vec::new(),
            free: Vec::new(),
            hasher: RandomState::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    #[allow(clippy::cast_possible_truncation, reason = "the high half is taken")]
    #[inline]
    pub(crate) fn hash(&self, key: &K) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    #[inline]
    pub(crate) fn find(&self, hash: u32, key: &K) -> Option<u32> {
        let same = |entry: &IndexSlot| {
            entry.hash == hash && self.get(entry.slot).is_some_and(|flow| flow.key == *key)
        };
        self.index.find(spread(hash), same).map(|entry| entry.slot)
    }

    /// The slot that a flow with this hash is most likely in, whose memory is asked for, or one
    /// that there is not.
    #[inline]
    pub(crate) fn foresee(&self, hash: u32) -> u32 {
        let found = self.index.find(spread(hash), |entry| entry.hash == hash);
        let slot = found.map_or(u32::MAX, |entry| entry.slot);
        if let Some(flow) = self.get(slot) {
            prefetch(flow);
        }
        slot
    }

    /// [`find`](Self::find) with a look at a [foreseen](Self::foresee) slot first. The table may
    /// have changed since.
    #[inline]
    pub(crate) fn find_foreseen(&self, slot: u32, hash: u32, key: &K) -> Option<u32> {
        if self.get(slot).is_some_and(|flow| flow.key == *key) {
            return Some(slot);
        }
        self.find(hash, key)
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Flow<K, S>> {
        let slot = slot as usize;
        self.blocks.get(slot / BLOCK)?.get(slot % BLOCK)?.as_ref()
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Flow<K, S>> {
        let slot = slot as usize;
        self.blocks.get_mut(slot / BLOCK)?.get_mut(slot % BLOCK)?.as_mut()
    }

    /// Adds a flow whose key is not there yet.
    pub(crate) fn insert(&mut self, hash: u32, flow: Flow<K, S>) -> u32 {
        let slot = self.place(flow);
        self.index.insert_unique(spread(hash), IndexSlot { hash, slot }, |e| spread(e.hash));
        slot
    }

    #[allow(clippy::cast_possible_truncation, reason = "`max_flows` is capped at u32::MAX")]
    fn place(&mut self, flow: Flow<K, S>) -> u32 {
        if let Some(slot) = self.free.pop() {
            let at = slot as usize;
            if let Some(entry) =
                self.blocks.get_mut(at / BLOCK).and_then(|block| block.get_mut(at % BLOCK))
            {
                *entry = Some(flow);
            }
            return slot;
        }
        match self.blocks.last_mut() {
            Some(block) if block.len() < BLOCK => block.push(Some(flow)),
            _ => {
                let mut block = Vec::with_capacity(BLOCK);
                block.push(Some(flow));
                self.blocks.push(block);
            }
        }
        let last = self.blocks.last().map_or(0, Vec::len);
        ((self.blocks.len() - 1) * BLOCK + last - 1) as u32
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow<K, S>> {
        let hash = self.hash(&self.get(slot)?.key);
        if let Ok(entry) = self.index.find_entry(spread(hash), |entry| entry.slot == slot) {
            entry.remove();
        }
        let at = slot as usize;
        let flow = self.blocks.get_mut(at / BLOCK)?.get_mut(at % BLOCK)?.take();
        self.free.push(slot);
        flow
    }

    /// Slots in use, in slab order.
    #[allow(clippy::cast_possible_truncation, reason = "`max_flows` is capped at u32::MAX")]
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Flow<K, S>)> + '_ {
        self.blocks.iter().flatten().enumerate().filter_map(|(slot, flow)| {
            let flow = flow.as_ref()?;
            Some((slot as u32, flow))
        })
    }
}

/// The part of an entry that a packet touches, in cache lines.
const HOT_LINES: usize = 4;

#[inline]
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn prefetch<T>(entry: &T) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    let start = std::ptr::from_ref(entry).cast::<i8>();
    for line in 0..HOT_LINES {
        // SAFETY: every x86-64 processor has the instruction; it takes any address and changes
        // nothing but the cache.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64 * line)) };
    }
}

#[inline]
#[cfg(not(target_arch = "x86_64"))]
fn prefetch<T>(_entry: &T) {}
