use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow::L4Proto;
use flow::extract::FiveTupleKey;

/// Which flows are followed: those with the numbers that were asked for, or all.
///
/// Its clones are one: what makes parsers has one, and what chooses the events to print.
#[derive(Clone, Debug)]
pub(crate) struct Selection(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// What became of each number that was asked for; empty if all flows are followed.
    wanted: BTreeMap<u64, Seen>,
    /// The keys of followed flows, no more than there are numbers. One may be of a flow that is
    /// over, but never of another one that has begun since.
    keys: HashSet<FiveTupleKey>,
    /// Flows that have begun.
    flows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    OtherProtocol,
    Tcp,
}

impl Selection {
    /// Follows the flows of these numbers, or all if there are none.
    pub(crate) fn new(flows: &[u64]) -> Self {
        let wanted = flows.iter().map(|&flow| (flow, Seen::Nothing)).collect();
        Self(Arc::new(Mutex::new(State { wanted, keys: HashSet::new(), flows: 0 })))
    }

    /// The next flow has begun. Flows are numbered in the order in which they begin.
    pub(crate) fn begin(&self, key: &FiveTupleKey) {
        let mut state = self.lock();
        let flow = state.flows;
        state.flows += 1;
        match state.wanted.get_mut(&flow) {
            Some(seen) if key.proto == L4Proto::Tcp => {
                *seen = Seen::Tcp;
                state.keys.insert(*key);
            }
            Some(seen) => *seen = Seen::OtherProtocol,
            None => {
                state.keys.remove(key);
            }
        }
    }

    /// Whether the flow that began last with this key is followed.
    pub(crate) fn takes(&self, key: &FiveTupleKey) -> bool {
        let state = self.lock();
        state.wanted.is_empty() || state.keys.contains(key)
    }

    /// Whether the flow of this number is followed.
    pub(crate) fn has(&self, flow: u64) -> bool {
        let state = self.lock();
        state.wanted.is_empty() || state.wanted.contains_key(&flow)
    }

    /// What was asked for and cannot be followed.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let state = self.lock();
        let s = if state.flows == 1 { "" } else { "s" };
        let lack = |(flow, seen): (&u64, &Seen)| match seen {
            Seen::Nothing => Some(format!("no flow {flow}: there are {} flow{s}", state.flows)),
            Seen::OtherProtocol => Some(format!("flow {flow} is not TCP")),
            Seen::Tcp => None,
        };
        state.wanted.iter().filter_map(lack).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
