use std::hash::{BuildHasher, Hash};
use std::time::Duration;

use flow_core::Timestamp;
use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::config::DnsConfig;
use crate::message::{DnsOpcode, DnsPendingQuery, DnsQuery, DnsQuestion, DnsResponse};

/// Different questions that may wait under one ID of one scope; one more pushes out the oldest of
/// them.
///
/// Rationale: IDs are random, so two are rare and this many are an attack. It keeps the search
/// short when somebody sends everything under the same ID.
const MAX_SAME_ID: usize = 16;

/// No entry, at the ends of the lists.
const NONE: u32 = u32::MAX;

/// Matches responses with queries.
///
/// A query waits under its scope, ID, opcode and first question. The scope is what the caller
/// wants it to be: the flow, or the pair of client and server. Names are compared without regard
/// to case; a response without a question, as some errors are, is matched by the rest.
///
/// Call [`sweep`](Self::sweep) before [`record_query`](Self::record_query) and
/// [`match_response`](Self::match_response), as often as timeouts shall be exact.
#[derive(Clone, Debug)]
pub struct Correlator<S> {
    config: DnsConfig,
    /// Indices into `slots`, hashed by scope and ID.
    table: HashTable<u32>,
    slots: Vec<Slot<S>>,
    /// First of the unused slots, linked by `next`.
    free: u32,
    /// Least and most recently recorded, linked by `prev` and `next`.
    oldest: u32,
    newest: u32,
    dropped: u64,
    hasher: RandomState,
}

#[derive(Clone, Debug)]
struct Slot<S> {
    prev: u32,
    next: u32,
    /// `None` if unused.
    pending: Option<(S, DnsPendingQuery)>,
}

/// What became of a query that was given to a [`Correlator`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DnsRecorded {
    /// It waits for its response.
    New,
    /// The same one waits already, and goes on waiting since it was first seen.
    Retransmission,
    /// It waits, and another one that waited was dropped because there were too many.
    NewInPlaceOfOldest,
    /// `max_pending` is zero.
    Refused,
}

/// A query that got its response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsAnswered {
    /// From when the query was first seen to the response.
    pub elapsed: Duration,
    /// The query.
    pub query: DnsPendingQuery,
}

impl<S: Eq + Hash> Default for Correlator<S> {
    fn default() -> Self {
        Self::new(DnsConfig::default())
    }
}

impl<S: Eq + Hash> Correlator<S> {
    /// One without queries.
    #[must_use]
    pub fn new(config: DnsConfig) -> Self {
        Self {
            config,
            table: HashTable::new(),
            slots: Vec::new(),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            dropped: 0,
            hasher: RandomState::default(),
        }
    }

    /// Lets a query wait for its response.
    pub fn record_query(&mut self, scope: S, query: &DnsQuery) -> DnsRecorded {
        self.record(scope, DnsPendingQuery::of(query))
    }

    pub(crate) fn record(&mut self, scope: S, query: DnsPendingQuery) -> DnsRecorded {
        if self.config.max_pending == 0 {
            self.dropped += 1;
            return DnsRecorded::Refused;
        }
        let hash = hash(&self.hasher, &scope, query.transaction_id);
        let (mut same_id, mut oldest): (_, Option<(Timestamp, u32)>) = (0, None);
        let slots = &mut self.slots;
        for &index in self.table.iter_hash(hash) {
            let Some((_, waiting)) = pending_mut(slots, index)
                .filter(|(s, q)| *s == scope && q.transaction_id == query.transaction_id)
            else {
                continue;
            };
            if waiting.is_same(query.transaction_id, query.opcode, query.question.as_ref()) {
                waiting.retransmissions = waiting.retransmissions.saturating_add(1);
                return DnsRecorded::Retransmission;
            }
            same_id += 1;
            let this = (waiting.timestamp, index);
            oldest = Some(oldest.map_or(this, |oldest| oldest.min(this)));
        }
        let victim = match oldest {
            Some((_, index)) if same_id >= MAX_SAME_ID => Some(index),
            _ => (self.table.len() >= self.config.max_pending).then_some(self.oldest),
        };
        if let Some(index) = victim {
            self.remove(index);
            self.dropped += 1;
        }
        self.insert(hash, scope, query);
        if victim.is_some() { DnsRecorded::NewInPlaceOfOldest } else { DnsRecorded::New }
    }

    /// Takes out the query that `response` answers, if it waits.
    pub fn match_response(&mut self, scope: &S, response: &DnsResponse) -> Option<DnsAnswered> {
        let hash = hash(&self.hasher, scope, response.transaction_id);
        let slots = &self.slots;
        let index = *self.table.find(hash, |&index| {
            pending(slots, index)
                .is_some_and(|(s, query)| s == scope && query.answered_by(response))
        })?;
        let (_, query) = self.remove(index)?;
        Some(DnsAnswered { elapsed: response.timestamp.saturating_sub(query.timestamp), query })
    }

    /// Takes out the queries that have waited for longer than
    /// [`query_timeout`](DnsConfig::query_timeout), the first recorded first. Those that the
    /// iterator did not come to are taken out by the next call.
    pub fn sweep(&mut self, now: Timestamp) -> impl Iterator<Item = (S, DnsPendingQuery)> {
        std::iter::from_fn(move || {
            let (_, query) = pending(&self.slots, self.oldest)?;
            let expired = query.is_expired(now, self.config.query_timeout);
            expired.then(|| self.remove(self.oldest)).flatten()
        })
    }

    /// Takes out all queries, the first recorded first.
    pub fn drain(&mut self) -> impl Iterator<Item = (S, DnsPendingQuery)> {
        std::iter::from_fn(|| self.remove(self.oldest))
    }

    /// Queries that wait.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.table.len()
    }

    /// Queries that were dropped without a response because too many waited. They are not
    /// reported as unanswered.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes on the heap, without those of long names.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot<S>>() + self.table.capacity() * size_of::<u32>()
    }

    fn insert(&mut self, hash: u64, scope: S, query: DnsPendingQuery) {
        let slot = Slot { prev: self.newest, next: NONE, pending: Some((scope, query)) };
        let index = match slot_mut(&mut self.slots, self.free) {
            Some(unused) => {
                let index = std::mem::replace(&mut self.free, unused.next);
                *unused = slot;
                index
            }
            None => {
                let Ok(index) = u32::try_from(self.slots.len()) else { return };
                self.slots.push(slot);
                index
            }
        };
        match slot_mut(&mut self.slots, self.newest) {
            Some(newest) => newest.next = index,
            None => self.oldest = index,
        }
        self.newest = index;
        let (slots, hasher) = (&self.slots, &self.hasher);
        self.table.insert_unique(hash, index, |&index| hash_of(hasher, slots, index));
        self.check();
    }

    fn remove(&mut self, index: u32) -> Option<(S, DnsPendingQuery)> {
        let hash = hash_of(&self.hasher, &self.slots, index);
        self.table.find_entry(hash, |&i| i == index).ok()?.remove();
        let slot = slot_mut(&mut self.slots, index)?;
        let (prev, next) = (slot.prev, std::mem::replace(&mut slot.next, self.free));
        let pending = slot.pending.take();
        self.free = index;
        match slot_mut(&mut self.slots, prev) {
            Some(prev) => prev.next = next,
            None => self.oldest = next,
        }
        match slot_mut(&mut self.slots, next) {
            Some(next) => next.prev = prev,
            None => self.newest = prev,
        }
        self.check();
        pending
    }

    fn check(&self) {
        debug_assert!(self.table.len() <= self.config.max_pending);
        debug_assert!(self.slots.len() <= self.config.max_pending);
        debug_assert_eq!(self.table.is_empty(), self.oldest == NONE);
        debug_assert_eq!(self.table.is_empty(), self.newest == NONE);
    }
}

fn slot_mut<S>(slots: &mut [Slot<S>], index: u32) -> Option<&mut Slot<S>> {
    slots.get_mut(index as usize)
}

fn pending<S>(slots: &[Slot<S>], index: u32) -> Option<&(S, DnsPendingQuery)> {
    slots.get(index as usize)?.pending.as_ref()
}

fn pending_mut<S>(slots: &mut [Slot<S>], index: u32) -> Option<&mut (S, DnsPendingQuery)> {
    slots.get_mut(index as usize)?.pending.as_mut()
}

fn hash<S: Hash>(hasher: &RandomState, scope: &S, id: u16) -> u64 {
    hasher.hash_one((scope, id))
}

fn hash_of<S: Hash>(hasher: &RandomState, slots: &[Slot<S>], index: u32) -> u64 {
    pending(slots, index).map_or(0, |(scope, query)| hash(hasher, scope, query.transaction_id))
}

impl DnsPendingQuery {
    pub(crate) fn of(query: &DnsQuery) -> Self {
        Self {
            transaction_id: query.transaction_id,
            opcode: query.opcode,
            question: query.questions.first().cloned(),
            retransmissions: 0,
            timestamp: query.timestamp,
        }
    }

    pub(crate) fn is_repeated_by(&self, query: &DnsQuery) -> bool {
        self.is_same(query.transaction_id, query.opcode, query.questions.first())
    }

    fn is_same(&self, id: u16, opcode: DnsOpcode, question: Option<&DnsQuestion>) -> bool {
        self.transaction_id == id
            && self.opcode == opcode
            && match (&self.question, question) {
                (Some(question), Some(repeated)) => question.is_same(repeated),
                (None, None) => true,
                _ => false,
            }
    }

    pub(crate) fn answered_by(&self, response: &DnsResponse) -> bool {
        self.transaction_id == response.transaction_id
            && self.opcode == response.opcode
            && match (&self.question, response.questions.first()) {
                (Some(question), Some(echoed)) => question.is_same(echoed),
                _ => true,
            }
    }

    pub(crate) fn is_expired(&self, now: Timestamp, timeout: Duration) -> bool {
        now.saturating_sub(self.timestamp) > timeout
    }
}
