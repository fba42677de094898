use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::flow::Flow;

/// Flows by key: a slab of entries and an index of 8-byte slots over it.
///
/// ```text
/// index  [hash:32|slot:32] …        hashbrown: 16 tags are compared at once
///                    │
/// slab   [Flow; 1024] → [Flow; 1024] → …   blocks never move, so growing copies no entry
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

const BLOCK: usize = 1024;

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
    pub(crate) fn hash(&self, key: &K) -> u32 {
        (self.hasher.hash_one(key) >> 32) as u32
    }

    pub(crate) fn find(&self, hash: u32, key: &K) -> Option<u32> {
        let same = |entry: &IndexSlot| {
            entry.hash == hash && self.get(entry.slot).is_some_and(|flow| flow.key == *key)
        };
        self.index.find(spread(hash), same).map(|entry| entry.slot)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&Flow<K, S>> {
        let slot = slot as usize;
        self.blocks.get(slot / BLOCK)?.get(slot % BLOCK)?.as_ref()
    }

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
