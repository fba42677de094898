use std::collections::VecDeque;
use std::fmt;

use flow_core::{FlowEvent, FlowExtractor, FlowTracker};

use crate::{Error, PcapFlowSource};

/// The flow events of a capture, from [`PcapFlowSource::with_extractor`].
///
/// The events of every packet come as it is read. At the end of the capture, and likewise where it
/// is damaged, every flow that is still open ends. If it is damaged, the [`Error`] that says where
/// is the last item: nothing that was read is lost, and nothing comes after it.
pub struct FlowEvents<E: FlowExtractor, S = ()> {
    source: PcapFlowSource,
    tracker: FlowTracker<E, S>,
    /// Events of the last packet that have not been taken.
    queue: VecDeque<FlowEvent<E::Key>>,
    /// What the capture ended with, until it is its turn.
    error: Option<Error>,
    finished: bool,
}

impl PcapFlowSource {
    /// The flow events of the rest of the capture, with the tracker's default configuration.
    pub fn with_extractor<E: FlowExtractor>(self, extractor: E) -> FlowEvents<E> {
        self.with_tracker(FlowTracker::new(extractor))
    }

    /// The flow events of the rest of the capture, by a tracker with a configuration or state of
    /// its own.
    pub fn with_tracker<E: FlowExtractor, S>(self, tracker: FlowTracker<E, S>) -> FlowEvents<E, S> {
        FlowEvents { source: self, tracker, queue: VecDeque::new(), error: None, finished: false }
    }
}

impl<E: FlowExtractor, S> FlowEvents<E, S> {
    /// The capture, to ask how far along it is.
    #[must_use]
    pub fn source(&self) -> &PcapFlowSource {
        &self.source
    }

    /// The tracker, to ask for its statistics.
    #[must_use]
    pub fn tracker(&self) -> &FlowTracker<E, S> {
        &self.tracker
    }
}

impl<E: FlowExtractor, S> Iterator for FlowEvents<E, S> {
    type Item = Result<FlowEvent<E::Key>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Some(Ok(event));
            }
            if self.finished {
                return self.error.take().map(Err);
            }
            match self.source.next_view() {
                Some(Ok(view)) => self.queue.extend(self.tracker.track(view)),
                end => {
                    self.error = end.and_then(Result::err);
                    self.finished = true;
                    self.queue.extend(self.tracker.finish());
                }
            }
        }
    }
}

impl<E: FlowExtractor, S> std::iter::FusedIterator for FlowEvents<E, S> {}

impl<E: FlowExtractor, S> fmt::Debug for FlowEvents<E, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowEvents").field("source", &self.source).finish_non_exhaustive()
    }
}
