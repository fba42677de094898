//! The same packets through one engine, and through several behind a router.

use std::fmt::Debug;
use std::hash::Hash;

use flow::{
    Dedup, FlowDriver, FlowEvent, FlowExtractor, FlowNumbers, FlowRouter, FlowTracker,
    FlowTrackerConfig, PacketView, ParserSet, ReassemblerFactory, Routed, RoutedPacket,
    SessionEngine, SessionEvent, Tick, Timestamp, TrackerStats,
};

use super::Packet;

/// An engine behind a router, and alone.
pub(crate) trait Shard {
    type Key: Eq + Hash + Clone + Debug;
    type Event: Debug + Keyed<Self::Key>;

    fn track(&mut self, view: PacketView<'_>) -> Vec<Self::Event>;
    fn pass_over(&mut self);
    fn sweep(&mut self, now: Timestamp) -> Vec<Self::Event>;
    fn finish(&mut self) -> Vec<Self::Event>;
    fn track_routed(&mut self, packet: &RoutedPacket<Self::Key>, frame: &[u8]) -> Vec<Self::Event>;
    fn track_quoted(
        &mut self,
        packet: &RoutedPacket<Self::Key>,
        frame: &[u8],
    ) -> Option<Vec<Self::Event>>;
    fn advance(&mut self, tick: &Tick) -> Vec<Self::Event>;
    fn finish_at(&mut self, tick: &Tick) -> Vec<Self::Event>;
    fn counted(&self) -> TrackerStats;
}

/// An event of a flow, whose number is known.
pub(crate) trait Keyed<K> {
    fn key(&self) -> Option<&K>;
    fn number(&mut self, numbers: &mut FlowNumbers<K>);
}

impl<K: Clone> Keyed<K> for FlowEvent<K> {
    fn key(&self) -> Option<&K> {
        self.key()
    }

    fn number(&mut self, _: &mut FlowNumbers<K>) {}
}

impl<K: Eq + Hash + Clone, M> Keyed<K> for SessionEvent<K, M> {
    fn key(&self) -> Option<&K> {
        self.key()
    }

    fn number(&mut self, numbers: &mut FlowNumbers<K>) {
        numbers.number(self);
    }
}

macro_rules! shard {
    ([$($generics:tt)*] $engine:ty, $event:ty, $stats:expr) => {
        impl<$($generics)*> Shard for $engine
        where
            E::Key: Debug,
        {
            type Key = E::Key;
            type Event = $event;

            fn track(&mut self, view: PacketView<'_>) -> Vec<$event> {
                self.track(view).collect()
            }

            fn pass_over(&mut self) {
                self.pass_over();
            }

            fn sweep(&mut self, now: Timestamp) -> Vec<$event> {
                self.sweep(now).collect()
            }

            fn finish(&mut self) -> Vec<$event> {
                self.finish().collect()
            }

            fn track_routed(&mut self, packet: &RoutedPacket<E::Key>, frame: &[u8]) -> Vec<$event> {
                self.track_routed(packet, frame).collect()
            }

            fn track_quoted(
                &mut self,
                packet: &RoutedPacket<E::Key>,
                frame: &[u8],
            ) -> Option<Vec<$event>> {
                self.track_quoted(packet, frame).map(Iterator::collect)
            }

            fn advance(&mut self, tick: &Tick) -> Vec<$event> {
                self.advance(tick).collect()
            }

            fn finish_at(&mut self, tick: &Tick) -> Vec<$event> {
                self.finish_at(tick).collect()
            }

            fn counted(&self) -> TrackerStats {
                let stats: fn(&Self) -> &TrackerStats = $stats;
                *stats(self)
            }
        }
    };
}

shard!([E: FlowExtractor] FlowTracker<E>, FlowEvent<E::Key>, |shard| shard.stats());
shard!(
    [E: FlowExtractor, F: ReassemblerFactory<E::Key>] FlowDriver<E, F>,
    FlowEvent<E::Key>,
    |shard| shard.tracker().stats()
);
shard!(
    [E: FlowExtractor, T: ParserSet<Message: Debug>] SessionEngine<E, T>,
    SessionEvent<E::Key, T::Message>,
    |shard| shard.tracker().stats()
);

/// What comes to an engine.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Packet(Packet),
    Sweep(Timestamp),
}

impl Step {
    pub(crate) fn of(packets: &[Packet]) -> Vec<Self> {
        packets.iter().cloned().map(Self::Packet).collect()
    }
}

/// What shards and router have in common.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) config: FlowTrackerConfig,
    pub(crate) dedup: bool,
    pub(crate) monotonic: bool,
}

/// The events that a step brought about.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Caused {
    /// Because time has passed, or all has come to its end: in the order of keys, those of one flow in
    /// theirs. The timers' order is not that of the shards.
    passed: Vec<(String, String)>,
    /// By the packet itself.
    own: Vec<String>,
}

impl Caused {
    fn of<K: Debug, V: Debug + Keyed<K>>(passed: Vec<V>, own: Vec<V>) -> Self {
        let named = |event: V| (format!("{:?}", event.key()), format!("{event:?}"));
        let mut passed: Vec<_> = passed.into_iter().map(named).collect();
        passed.sort_by(|one, other| one.0.cmp(&other.0));
        Self { passed, own: own.into_iter().map(|event| format!("{event:?}")).collect() }
    }
}

/// The events of one engine and what it counted. How many of each step are the packet's own, `own`
/// says.
pub(crate) fn alone<E: Shard>(
    engine: &mut E,
    setup: &Setup,
    steps: &[Step],
    own: &[Caused],
) -> (Vec<Caused>, TrackerStats) {
    let mut dedup = setup.dedup.then(Dedup::loopback);
    let mut caused = Vec::new();
    for (step, own) in steps.iter().zip(own) {
        let mut events = match step {
            Step::Packet(packet)
                if dedup.as_mut().is_none_or(|dedup| dedup.keep(packet.view())) =>
            {
                engine.track(packet.view())
            }
            Step::Packet(_) => {
                engine.pass_over();
                Vec::new()
            }
            Step::Sweep(now) => engine.sweep(*now),
        };
        let own = events.split_off(events.len().saturating_sub(own.own.len()));
        caused.push(Caused::of(events, own));
    }
    caused.push(Caused::of(engine.finish(), Vec::new()));
    (caused, engine.counted())
}

/// The events of shards, and what they and their router counted.
pub(crate) fn routed<X: FlowExtractor<Key: Debug>, E: Shard<Key = X::Key>>(
    mut router: FlowRouter<X>,
    shards: &mut [E],
    steps: &[Step],
) -> (Vec<Caused>, TrackerStats) {
    let mut numbers = FlowNumbers::default();
    let mut caused = Vec::new();
    for step in steps {
        let tick = match step {
            Step::Packet(_) => None,
            Step::Sweep(now) => Some(router.sweep(*now)),
        };
        let routed = match step {
            Step::Packet(packet) => Some(router.route(packet.view())),
            Step::Sweep(_) => None,
        };
        let tick = tick.or(routed.as_ref().and_then(|routed| routed.tick));
        let mut passed = Vec::new();
        if let Some(tick) = &tick {
            passed.extend(shards.iter_mut().flat_map(|shard| shard.advance(tick)));
        }
        passed.iter_mut().for_each(|event| event.number(&mut numbers));
        let mut own =
            routed.map(|routed| own_events(&routed, shards, &mut numbers)).unwrap_or_default();
        own.iter_mut().for_each(|event| event.number(&mut numbers));
        caused.push(Caused::of(passed, own));
    }
    let tick = router.last_tick();
    let mut last: Vec<_> = shards.iter_mut().flat_map(|shard| shard.finish_at(&tick)).collect();
    last.iter_mut().for_each(|event| event.number(&mut numbers));
    caused.push(Caused::of(last, Vec::new()));
    let mut stats = *router.stats();
    shards.iter().for_each(|shard| stats.add(&shard.counted()));
    (caused, stats)
}

fn own_events<E: Shard>(
    routed: &Routed<'_, E::Key>,
    shards: &mut [E],
    numbers: &mut FlowNumbers<E::Key>,
) -> Vec<E::Event> {
    if let Some(other) = routed.ask_first
        && let Some(events) = shards[other].track_quoted(&routed.packet, routed.frame)
    {
        return events;
    }
    let Some(shard) = routed.shard else { return Vec::new() };
    let shard = &mut shards[shard];
    let before = shard.counted().flows_started;
    let events = shard.track_routed(&routed.packet, routed.frame);
    if shard.counted().flows_started > before {
        numbers.begin();
    }
    events
}

/// Checks that shards, so many, report what one engine does.
pub(crate) fn check<X, E>(
    extractor: &X,
    setup: &Setup,
    steps: &[Step],
    shards: usize,
    seed: u64,
    new: impl Fn(X) -> E,
) -> Result<usize, String>
where
    X: FlowExtractor<Key: Debug> + Clone,
    E: Shard<Key = X::Key>,
{
    let mut router = FlowRouter::new(extractor.clone(), shards)
        .with_config(&setup.config)
        .with_seed(seed)
        .with_monotonic_timestamps(setup.monotonic);
    if setup.dedup {
        router = router.with_dedup(Dedup::loopback());
    }
    let mut engines: Vec<E> = (0..shards).map(|_| new(extractor.clone())).collect();
    let (found, mut counted) = routed(router, &mut engines, steps);
    let (expected, expected_counts) = alone(&mut new(extractor.clone()), setup, steps, &found);
    for (step, (expected, found)) in expected.iter().zip(&found).enumerate() {
        if expected != found {
            return Err(format!("{shards} shards, step {step}: {expected:#?} became {found:#?}"));
        }
    }
    if counted.flows_peak < expected_counts.flows_peak {
        return Err(format!("{counted:?} instead of {expected_counts:?}"));
    }
    counted.flows_peak = expected_counts.flows_peak;
    if counted != expected_counts {
        return Err(format!("{counted:?} instead of {expected_counts:?}"));
    }
    Ok(found.iter().map(|caused| caused.passed.len() + caused.own.len()).sum())
}
