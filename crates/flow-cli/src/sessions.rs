use std::collections::HashMap;
use std::hash::Hash;

use flow::{
    FlowExtractor, FlowTracker, PacketView, ParserSet, SessionEngine, SessionEvent, SessionState,
    Timestamp,
};

use crate::key::{Ends, FlowKey};

/// An engine whose events come with the flow's number and its ends, initiator first.
pub(crate) struct Sessions<E: FlowExtractor, T: ParserSet> {
    engine: SessionEngine<E, T>,
    /// Flows that have begun and not been closed: never more than the table holds.
    open: HashMap<E::Key, Session>,
    events: Vec<SessionEvent<E::Key, T::Message>>,
}

/// What the lines of a flow have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub(crate) flow: u64,
    pub(crate) ends: Ends,
}

impl<E, T> Sessions<E, T>
where
    E: FlowExtractor<Key: FlowKey + Hash + Eq>,
    T: ParserSet,
{
    pub(crate) fn new(engine: SessionEngine<E, T>) -> Self {
        Self { engine, open: HashMap::new(), events: Vec::new() }
    }

    /// Handles a packet; hands its events to `handle`.
    pub(crate) fn track(
        &mut self,
        view: PacketView<'_>,
        handle: impl FnMut(Option<Session>, SessionEvent<E::Key, T::Message>),
    ) {
        self.events.extend(self.engine.track(view));
        if !self.events.is_empty() {
            self.dispatch(handle);
        }
    }

    /// The flow table.
    pub(crate) fn tracker(&self) -> &FlowTracker<E, SessionState<T, ()>> {
        self.engine.tracker()
    }

    /// Leaves out a packet, so that the numbers of those behind it stay those of the capture.
    pub(crate) fn pass_over(&mut self) {
        self.engine.pass_over();
    }

    /// Ends the flows that have been idle for too long at `now`; hands the events to `handle`.
    pub(crate) fn sweep(
        &mut self,
        now: Timestamp,
        handle: impl FnMut(Option<Session>, SessionEvent<E::Key, T::Message>),
    ) {
        self.events.extend(self.engine.sweep(now));
        self.dispatch(handle);
    }

    /// Ends every flow; hands the events to `handle`.
    pub(crate) fn finish(
        &mut self,
        handle: impl FnMut(Option<Session>, SessionEvent<E::Key, T::Message>),
    ) {
        self.events.extend(self.engine.finish());
        self.dispatch(handle);
    }

    fn dispatch(
        &mut self,
        mut handle: impl FnMut(Option<Session>, SessionEvent<E::Key, T::Message>),
    ) {
        for event in self.events.drain(..) {
            let session = match &event {
                // A flow stays in the table for longer than the packet it began with.
                SessionEvent::Started { key, .. } => self.engine.tracker().get(key).map(|flow| {
                    let session = Session { flow: flow.id(), ends: key.ends(flow.initiator()) };
                    self.open.insert(key.clone(), session);
                    session
                }),
                SessionEvent::Closed { key, .. } => self.open.remove(key),
                event => event.key().and_then(|key| self.open.get(key)).copied(),
            };
            handle(session, event);
        }
    }
}
