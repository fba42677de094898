use std::collections::HashMap;
use std::hash::Hash;

use crate::SessionEvent;

/// Numbers the flows of several engines, to which a [`FlowRouter`](flow_core::FlowRouter) hands
/// packets, as one engine would number them.
///
/// It is told of all events in their order: when a packet has [begun](Self::begin) a flow, of
/// whichever engine and whether it is a session or not, and then of the events of that packet. What
/// it keeps is as much as there are open sessions.
#[derive(Clone, Debug)]
pub struct FlowNumbers<K> {
    begun: u64,
    open: HashMap<K, u64>,
}

impl<K> Default for FlowNumbers<K> {
    fn default() -> Self {
        Self { begun: 0, open: HashMap::new() }
    }
}

impl<K: Eq + Hash + Clone> FlowNumbers<K> {
    /// A flow has begun:
    /// [`flows_started`](flow_core::TrackerStats::flows_started) of an engine has grown.
    pub fn begin(&mut self) {
        self.begun += 1;
    }

    /// Puts the number among all flows into an event.
    pub fn number<M>(&mut self, event: &mut SessionEvent<K, M>) {
        match event {
            SessionEvent::Started { key, .. } => {
                self.open.insert(key.clone(), self.begun.saturating_sub(1));
            }
            SessionEvent::Application { key, origin, .. } => {
                if let Some(&number) = self.open.get(key) {
                    origin.flow = number;
                }
            }
            SessionEvent::Closed { key, .. } => {
                self.open.remove(key);
            }
            SessionEvent::Anomaly { .. } => {}
        }
    }
}
