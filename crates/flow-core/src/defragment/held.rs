use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use super::partial::{Partial, is_ipv6};
use crate::FragmentedPacket;

/// Packets by what tells them apart, and in the order in which their first fragments came.
///
/// ```text
/// index   [slot] …                            seeded, so that nobody outside can aim at a bucket
///            │
/// entries [Partial, previous, next] …         two lists, oldest first: IPv4 and IPv6
/// ```
///
/// IPv4 and IPv6 have different timeouts; with a list for each, the first of a list is always the
/// next of it to time out. Every operation is O(1).
#[derive(Debug)]
pub(super) struct Held {
    index: HashTable<u32>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    ipv4: Ends,
    ipv6: Ends,
    hasher: RandomState,
}

#[derive(Debug)]
struct Entry {
    packet: Option<Partial>,
    previous: u32,
    next: u32,
}

/// First and last of a list.
#[derive(Clone, Copy, Debug)]
struct Ends {
    first: u32,
    last: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;

impl Held {
    pub(super) fn new() -> Self {
        let empty = Ends { first: NONE, last: NONE };
        Self {
            index: HashTable::new(),
            entries: Vec::new(),
            free: Vec::new(),
            ipv4: empty,
            ipv6: empty,
            hasher: RandomState::default(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Partial> {
        self.entries.get(slot as usize)?.packet.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Partial> {
        self.entries.get_mut(slot as usize)?.packet.as_mut()
    }

    pub(super) fn find(&self, key: &FragmentedPacket) -> Option<u32> {
        let same = |&slot: &u32| self.get(slot).is_some_and(|packet| packet.key == *key);
        self.index.find(self.hasher.hash_one(key), same).copied()
    }

    /// The packet of which the first fragment came first, of one version of IP.
    pub(super) fn oldest_of(&self, is_ipv6: bool) -> Option<(u32, &Partial)> {
        let slot = if is_ipv6 { self.ipv6.first } else { self.ipv4.first };
        Some((slot, self.get(slot)?))
    }

    /// The packet of which the first fragment came first.
    pub(super) fn oldest(&self) -> Option<u32> {
        let both = [self.oldest_of(false), self.oldest_of(true)];
        both.into_iter().flatten().min_by_key(|(_, packet)| packet.number).map(|(slot, _)| slot)
    }

    /// Adds a packet that is not there and that began after all others.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer than u32::MAX")]
    pub(super) fn push(&mut self, packet: Partial) -> u32 {
        let key = packet.key;
        let previous = self.ends(&key).last;
        let entry = Entry { packet: Some(packet), previous, next: NONE };
        let slot = self.free.pop().unwrap_or(self.entries.len() as u32);
        match self.entries.get_mut(slot as usize) {
            Some(place) => *place = entry,
            None => self.entries.push(entry),
        }
        self.link(&key, previous, slot);
        self.ends(&key).last = slot;
        let Self { index, entries, hasher, .. } = self;
        let hash_of = |&slot: &u32| {
            let packet = entries.get(slot as usize).and_then(|entry| entry.packet.as_ref());
            packet.map_or(0, |packet| hasher.hash_one(packet.key))
        };
        index.insert_unique(hasher.hash_one(key), slot, hash_of);
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Partial> {
        let entry = self.entries.get_mut(slot as usize)?;
        let packet = entry.packet.take()?;
        let (previous, next) = (entry.previous, entry.next);
        self.link(&packet.key, previous, next);
        match self.entries.get_mut(next as usize) {
            Some(next) => next.previous = previous,
            None => self.ends(&packet.key).last = previous,
        }
        let hash = self.hasher.hash_one(packet.key);
        if let Ok(found) = self.index.find_entry(hash, |&at| at == slot) {
            found.remove();
        }
        self.free.push(slot);
        Some(packet)
    }

    /// Lets `next` follow `previous`, or begin the list if there is none.
    fn link(&mut self, key: &FragmentedPacket, previous: u32, next: u32) {
        match self.entries.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.ends(key).first = next,
        }
    }

    fn ends(&mut self, key: &FragmentedPacket) -> &mut Ends {
        if is_ipv6(key) { &mut self.ipv6 } else { &mut self.ipv4 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::super::partial::Store;
    use super::*;
    use crate::{Encapsulation, Timestamp};

    fn key(id: u32, is_ipv6: bool) -> FragmentedPacket {
        let address: IpAddr =
            if is_ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
        let encapsulation = Encapsulation::default();
        FragmentedPacket { source: address, destination: address, id, protocol: 0, encapsulation }
    }

    proptest! {
        #[test]
        fn behaves_like_two_queues(
            steps in prop::collection::vec((0..40_u32, any::<bool>()), 0..300),
        ) {
            let mut held = Held::new();
            let mut model = [VecDeque::new(), VecDeque::new()];
            for (number, (id, is_ipv6)) in (0..).zip(steps) {
                let queue = &mut model[usize::from(is_ipv6)];
                if let Some(slot) = held.find(&key(id, is_ipv6)) {
                    let removed = held.remove(slot).unwrap();
                    prop_assert_eq!(removed.key, key(id, is_ipv6));
                    let at = queue.iter().position(|&(there, _)| there == id).unwrap();
                    queue.remove(at);
                } else {
                    prop_assert!(!queue.iter().any(|&(there, _)| there == id));
                    let packet = key(id, is_ipv6);
                    held.push(Partial::new(packet, Timestamp::MAX, number, Store::default()));
                    queue.push_back((id, number));
                }
                prop_assert_eq!(held.len(), model[0].len() + model[1].len());
                for (is_ipv6, queue) in [false, true].into_iter().zip(&model) {
                    let oldest = held.oldest_of(is_ipv6);
                    let oldest = oldest.map(|(_, packet)| (packet.key.id, packet.number));
                    prop_assert_eq!(oldest, queue.front().copied());
                }
                let oldest = held.oldest().and_then(|slot| held.get(slot));
                let fronts = model.iter().filter_map(|queue| queue.front());
                let expected = fronts.map(|&(_, number)| number).min();
                prop_assert_eq!(oldest.map(|packet| packet.number), expected);
            }
            prop_assert!(held.entries.len() <= 80);
        }
    }
}
