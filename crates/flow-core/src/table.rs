use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;

use crate::flow::Flow;
use crate::index::{Index, NO_SLOT};

/// Flows by key: a slab of entries and an [`Index`] over it.
///
/// ```text
/// index  [tag; 7] [hash; 7] [slot; 7] …    one cache line says where in the slab to look
///                             │
/// slab   [Flow; 4096] → [Flow; 4096] → …   blocks never move, so growing copies no entry
/// ```
///
/// The hasher is seeded per table, so that nobody outside can aim keys at one bucket.
pub(crate) struct FlowTable<K, S> {
    index: Index,
    blocks: Vec<Vec<Option<Flow<K, S>>>>,
    free: Vec<u32>,
    hasher: RandomState,
}

const BLOCK: usize = 1 << BLOCK_BITS;

/// Rationale: a block of this many entries is close to a megabyte, so that what the allocator adds
/// to it is nothing; memory that is not written yet takes none.
const BLOCK_BITS: usize = 12;

impl<K: Eq + Hash, S> FlowTable<K, S> {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self {
            index: Index::with_capacity(capacity),
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
        self.index.find(hash, |slot| self.get(slot).is_some_and(|flow| flow.key == *key))
    }

    /// Reads the memory that [`foresee`](Self::foresee) looks at, so that it is near by then.
    #[inline]
    pub(crate) fn touch(&self, hash: u32) -> u64 {
        self.index.touch(hash)
    }

    /// The slot that a flow with this hash is most likely in, or one that there is not.
    #[inline]
    pub(crate) fn foresee(&self, hash: u32) -> u32 {
        self.index.find(hash, |_| true).unwrap_or(NO_SLOT)
    }

    /// Reads the memory of a slot, so that it is near when its packet is handled.
    #[inline]
    pub(crate) fn touch_slot(&self, slot: u32) -> u64 {
        self.get(slot).map_or(0, Flow::touch)
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
        let slot = self.keep(flow);
        self.index.insert(hash, slot);
        slot
    }

    #[allow(clippy::cast_possible_truncation, reason = "`max_flows` is capped at u32::MAX")]
    fn keep(&mut self, flow: Flow<K, S>) -> u32 {
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
        self.index.remove(hash, slot);
        let at = slot as usize;
        let flow = self.blocks.get_mut(at / BLOCK)?.get_mut(at % BLOCK)?.take();
        self.free.push(slot);
        flow
    }

    /// Takes every flow out.
    pub(crate) fn take_all(&mut self) -> TakenFlows<K, S> {
        self.index = Index::with_capacity(0);
        self.free = Vec::new();
        TakenFlows { blocks: std::mem::take(&mut self.blocks) }
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

/// The flows that were in a table.
pub(crate) struct TakenFlows<K, S> {
    blocks: Vec<Vec<Option<Flow<K, S>>>>,
}

impl<K, S> TakenFlows<K, S> {
    /// Hands them out in the order in which they began.
    pub(crate) fn for_each_by_id(mut self, mut act: impl FnMut(Flow<K, S>)) {
        let flows = || self.blocks.iter().flatten().enumerate();
        if flows().filter_map(|(_, flow)| flow.as_ref()).is_sorted_by_key(Flow::id) {
            // No slot was used twice. The memory goes as the flows do.
            self.blocks.into_iter().flatten().flatten().for_each(act);
            return;
        }
        let mut order: Vec<_> =
            flows().filter_map(|(slot, flow)| Some((flow.as_ref()?.id, slot))).collect();
        order.sort_unstable();
        for (_, slot) in order {
            let block = self.blocks.get_mut(slot / BLOCK);
            if let Some(flow) = block.and_then(|block| block.get_mut(slot % BLOCK)?.take()) {
                act(flow);
            }
        }
    }
}
