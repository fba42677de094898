use std::collections::VecDeque;
use std::hash::Hash;

use flow_core::{FlowEvent, FlowExtractor, FlowTracker, RoutedPacket, Tick, TrackerStats};
use flow_reassembly::{FlowDriver, ReassemblerFactory};
use flow_session::{FlowNumbers, ParserSet, SessionEngine, SessionEvent};

/// One of the engines of a [`FanOut`](crate::FanOut): a tracker, a driver or a session engine, or
/// what makes something else of the events of one, where these are found.
pub trait Shard: Send + 'static {
    /// The key of its flows.
    type Key: Eq + Hash + Clone + Send + 'static;
    /// What it makes of packets.
    type Event: Send + 'static;

    /// See [`FlowTracker::track_routed`].
    fn track_routed(
        &mut self,
        packet: &RoutedPacket<Self::Key>,
        frame: &[u8],
        events: &mut Events<Self::Event>,
    );

    /// See [`FlowTracker::track_quoted`].
    fn track_quoted(
        &mut self,
        packet: &RoutedPacket<Self::Key>,
        frame: &[u8],
        events: &mut Events<Self::Event>,
    ) -> bool;

    /// See [`FlowTracker::advance`].
    fn advance(&mut self, tick: &Tick, events: &mut Events<Self::Event>);

    /// See [`FlowTracker::finish_at`].
    fn finish_at(&mut self, tick: &Tick, events: &mut Events<Self::Event>);

    /// What it counted.
    fn stats(&self) -> &TrackerStats;

    /// Puts the number that its flow has among those of all shards into an event, if that has one.
    fn number(event: &mut Self::Event, numbers: &mut FlowNumbers<Self::Key>) {
        let _ = (event, numbers);
    }
}

/// Where a [`Shard`] puts its events.
#[derive(Debug)]
pub struct Events<T> {
    queue: VecDeque<(u64, Output<T>)>,
    /// The place of what comes next among the events of all shards.
    place: u64,
}

/// What a shard has to tell.
#[derive(Debug)]
pub(super) enum Output<T> {
    /// A flow has begun, with an event or without.
    Begun,
    Event(T),
}

impl<T> Default for Events<T> {
    fn default() -> Self {
        Self { queue: VecDeque::new(), place: 0 }
    }
}

impl<T> Extend<T> for Events<T> {
    #[inline]
    fn extend<I: IntoIterator<Item = T>>(&mut self, events: I) {
        let place = self.place;
        self.queue.extend(events.into_iter().map(|event| (place, Output::Event(event))));
    }
}

impl<T> Events<T> {
    /// What follows belongs to this place.
    pub(super) fn at(&mut self, place: u64) -> &mut Self {
        self.place = place;
        self
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// A flow has begun in front of the events from this one on.
    pub(super) fn begin(&mut self, at: usize) {
        self.queue.insert(at, (self.place, Output::Begun));
    }

    /// The place of the next.
    #[inline]
    pub(super) fn next_place(&self) -> Option<u64> {
        self.queue.front().map(|&(place, _)| place)
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Output<T>> {
        self.queue.pop_front().map(|(_, output)| output)
    }
}

macro_rules! shard {
    ([$($generics:tt)*] $engine:ty, $event:ty, $stats:expr, $number:expr) => {
        impl<$($generics)*> Shard for $engine {
            type Key = E::Key;
            type Event = $event;

            #[inline]
            fn track_routed(
                &mut self,
                packet: &RoutedPacket<E::Key>,
                frame: &[u8],
                events: &mut Events<$event>,
            ) {
                events.extend(self.track_routed(packet, frame));
            }

            fn track_quoted(
                &mut self,
                packet: &RoutedPacket<E::Key>,
                frame: &[u8],
                events: &mut Events<$event>,
            ) -> bool {
                self.track_quoted(packet, frame).map(|found| events.extend(found)).is_some()
            }

            fn advance(&mut self, tick: &Tick, events: &mut Events<$event>) {
                events.extend(self.advance(tick));
            }

            fn finish_at(&mut self, tick: &Tick, events: &mut Events<$event>) {
                events.extend(self.finish_at(tick));
            }

            #[inline]
            fn stats(&self) -> &TrackerStats {
                let stats: fn(&Self) -> &TrackerStats = $stats;
                stats(self)
            }

            #[inline]
            fn number(event: &mut $event, numbers: &mut FlowNumbers<E::Key>) {
                let number: fn(&mut $event, &mut FlowNumbers<E::Key>) = $number;
                number(event, numbers);
            }
        }
    };
}

shard!(
    [E: FlowExtractor, S: Send + 'static] FlowTracker<E, S>,
    FlowEvent<E::Key>,
    |tracker| tracker.stats(),
    |_, _| {}
);
shard!(
    [E: FlowExtractor, F: ReassemblerFactory<E::Key>, S: Send + 'static] FlowDriver<E, F, S>,
    FlowEvent<E::Key>,
    |driver| driver.tracker().stats(),
    |_, _| {}
);
shard!(
    [E: FlowExtractor, T: ParserSet, S: Send + 'static] SessionEngine<E, T, S>,
    SessionEvent<E::Key, T::Message>,
    |engine| engine.tracker().stats(),
    |event, numbers| numbers.number(event)
);
