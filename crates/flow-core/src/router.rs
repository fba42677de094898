use std::fmt;
use std::hash::BuildHasher;
use std::time::Duration;

use foldhash::SharedSeed;
use foldhash::fast::{RandomState, SeedableRandomState};

use crate::clock::{Clock, Moment};
use crate::engine::{MAX_ANOMALIES, assemble, is_icmp};
use crate::timers::Ticks;
use crate::{
    Dedup, DefragmentStats, Defragmenter, Extracted, FlowExtractor, FlowTrackerConfig,
    FragmentAnomaly, LinkType, PacketView, SkipReason, Timestamp, TrackerStats, WholePacket,
};

/// Finds out which of several trackers, the shards, has the flow of a packet.
///
/// It does what concerns all flows: it leaves out duplicates, puts fragments together, and keeps the
/// clock. So it needs the packets in capture order, and the shards need no more than theirs, each in
/// order, in whatever thread. What the shards report, ordered by packets, is what one tracker would
/// report that is given all of them; so it is with the engines that are built on trackers.
///
/// For every packet in turn:
///
/// 1. [`route`](Self::route) it.
/// 2. If there is a [`tick`](Routed::tick), tell every shard ([`advance`]).
/// 3. If there is somebody to [`ask_first`](Routed::ask_first), and that
///    [takes][`track_quoted`] the packet, it is done with.
/// 4. If there is a [`shard`](Routed::shard), hand it over ([`track_routed`]).
///
/// In the end, each shard [finishes][`finish_at`] at the last [`Tick`].
///
/// A packet is decoded here alone: what was extracted travels with it. What it quotes, if it is an
/// ICMP error, and its checksum are looked at in the shard.
///
/// # What differs from one tracker
///
/// - What a single tick or the end of input brings about comes shard by shard, not in the order of
///   the timers, or of the flows' beginnings.
/// - [`max_flows`](FlowTrackerConfig::max_flows) and
///   [`max_reassembly_total`](FlowTrackerConfig::max_reassembly_total) hold for each shard by
///   itself. Give it its part of what all may take.
/// - [`Flow::id`](crate::Flow::id) counts the flows of the shard.
/// - [`TrackerStats::flows_peak`] of all shards is not known.
///
/// The extractor, configuration, duplicates and monotonic timestamps are the router's business;
/// those of a shard are not used for packets that it is handed, but for the configuration's timeouts
/// and limits. Shards need the same configuration.
///
/// ```
/// use flow_core::{FlowEvent, FlowExtractor, FlowRouter, FlowTracker, PacketView};
///
/// /// The events of all flows, from two trackers.
/// fn events<'a, E: FlowExtractor + Clone>(
///     extractor: E,
///     packets: impl IntoIterator<Item = PacketView<'a>>,
/// ) -> Vec<FlowEvent<E::Key>> {
///     let mut shards = [(); 2].map(|()| FlowTracker::new(extractor.clone()));
///     let mut router = FlowRouter::new(extractor, shards.len());
///     let mut events = Vec::new();
///     for packet in packets {
///         let routed = router.route(packet);
///         if let Some(tick) = &routed.tick {
///             shards.iter_mut().for_each(|shard| events.extend(shard.advance(tick)));
///         }
///         if let Some(other) = routed.ask_first
///             && let Some(error) = shards[other].track_quoted(&routed.packet, routed.frame)
///         {
///             events.extend(error);
///         } else if let Some(shard) = routed.shard {
///             events.extend(shards[shard].track_routed(&routed.packet, routed.frame));
///         }
///     }
///     let end = router.last_tick();
///     shards.iter_mut().for_each(|shard| events.extend(shard.finish_at(&end)));
///     events
/// }
/// # use flow_core::{Extracted, Timestamp};
/// # #[derive(Clone)]
/// # struct Nothing;
/// # impl FlowExtractor for Nothing {
/// #     type Key = u8;
/// #     fn extract(&self, _: PacketView<'_>) -> Option<Extracted<u8>> { None }
/// # }
/// # assert_eq!(events(Nothing, [PacketView::new(&[], Timestamp::default())]).len(), 0);
/// ```
///
/// [`advance`]: crate::FlowTracker::advance
/// [`track_quoted`]: crate::FlowTracker::track_quoted
/// [`track_routed`]: crate::FlowTracker::track_routed
/// [`finish_at`]: crate::FlowTracker::finish_at
pub struct FlowRouter<E> {
    extractor: E,
    shards: usize,
    hasher: SeedableRandomState,
    dedup: Option<Dedup>,
    defragmenter: Defragmenter,
    monotonic: bool,
    auto_sweep: bool,
    ticks: Ticks,
    clock: Clock,
    /// When the next timers may be due, by the clock.
    due_at: u64,
    previous: (u64, Timestamp),
    packets: u64,
    stats: TrackerStats,
    /// What the last packet was put together to.
    whole: Option<WholePacket>,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Routed<'a, K> {
    /// Time has passed: all shards are told so before anybody is handed the packet.
    pub tick: Option<Tick>,
    /// The packet is an ICMP error, and this shard takes it if it has the flow that is quoted. It has
    /// to be known before [`shard`](Self::shard) handles this packet, or a later one. Only if the
    /// extractor looks for the packets that errors quote.
    pub ask_first: Option<usize>,
    /// The shard that the packet is handed to; `None` if that needs to know nothing of it.
    pub shard: Option<usize>,
    /// The packet, without its bytes.
    pub packet: RoutedPacket<K>,
    /// Its bytes: the frame, or the whole packet if the frame was the last fragment missing.
    pub frame: &'a [u8],
}

/// A packet on its way to a shard, without its bytes, which may have to be copied.
#[derive(Clone, Copy, Debug)]
pub struct RoutedPacket<K> {
    pub(crate) number: u64,
    pub(crate) when: Moment,
    /// Its own time.
    pub(crate) timestamp: Timestamp,
    pub(crate) previous: (u64, Timestamp),
    pub(crate) link_type: LinkType,
    /// Bytes on the wire, as counters count them.
    pub(crate) wire_len: u32,
    /// Bytes on the wire of the bytes that come with it.
    pub(crate) whole_len: u32,
    pub(crate) content: Result<Extracted<K>, LeftOut>,
    anomalies: [Option<FragmentAnomaly>; MAX_ANOMALIES],
}

/// Why a packet has no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeftOut {
    /// The extractor gave none; fragments are kept until their packet is whole.
    Skipped(SkipReason),
    /// It is a duplicate.
    Duplicate,
}

/// Time has passed, by the clock of all packets: flows may have been idle for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    pub(crate) number: u64,
    pub(crate) now: Timestamp,
    pub(crate) elapsed: u64,
    pub(crate) previous: (u64, Timestamp),
}

impl<E: FlowExtractor> FlowRouter<E> {
    /// A router for so many shards, one at least.
    #[must_use]
    pub fn new(extractor: E, shards: usize) -> Self {
        let seed = RandomState::default().hash_one(shards);
        let hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_random());
        let config = FlowTrackerConfig::default();
        Self {
            extractor,
            shards: shards.max(1),
            hasher,
            dedup: None,
            defragmenter: Defragmenter::new(config.defragment),
            monotonic: false,
            auto_sweep: config.auto_sweep,
            ticks: Ticks::new(config.sweep_interval),
            clock: Clock::default(),
            due_at: 0,
            previous: (0, Timestamp::default()),
            packets: 0,
            stats: TrackerStats::default(),
            whole: None,
        }
    }

    /// The same router for shards of this configuration; to be called before the first packet.
    #[must_use]
    pub fn with_config(mut self, config: &FlowTrackerConfig) -> Self {
        self.defragmenter = Defragmenter::new(config.defragment);
        self.auto_sweep = config.auto_sweep;
        self.ticks = Ticks::new(config.sweep_interval);
        self
    }

    /// The same router, which gives the same flows to the same shards in every run. By default
    /// that is left to chance, so that nobody outside can aim flows at one of them.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.hasher = SeedableRandomState::with_seed(seed, SharedSeed::global_fixed());
        self
    }

    /// Drops packets that `dedup` has seen before.
    #[must_use]
    pub fn with_dedup(mut self, dedup: Dedup) -> Self {
        self.dedup = Some(dedup);
        self
    }

    /// Whether a packet that is older than one before it counts as being of that one's time; not
    /// by default.
    #[must_use]
    pub fn with_monotonic_timestamps(mut self, monotonic: bool) -> Self {
        self.monotonic = monotonic;
        self
    }

    /// Finds out what to do with a packet.
    #[inline]
    pub fn route<'a>(&'a mut self, view: PacketView<'a>) -> Routed<'a, E::Key> {
        self.packets += 1;
        if let Some(dedup) = &mut self.dedup
            && !dedup.keep(view)
        {
            return self.duplicate(view);
        }
        let when = self.clock.arrive(view.timestamp, self.monotonic);
        let is_due = self.clock.elapsed() >= self.due_at && self.auto_sweep;
        let tick = is_due.then(|| self.tick());
        match self.extractor.extract(view) {
            Some(extracted) => {
                let packet = self.packet(view, when, Ok(extracted));
                self.hand_over(view, tick, packet, view.frame)
            }
            None => self.without_flow(view, when, tick),
        }
    }

    /// Counts a packet that was left out before it came here, so that packet numbers stay those
    /// of the capture.
    pub fn pass_over(&mut self) {
        self.packets += 1;
        self.stats.packets += 1;
        self.stats.skipped_duplicates += 1;
    }

    /// It is `now`, says somebody who knows: moves the clock there if it is behind. Every shard is
    /// to be told.
    pub fn sweep(&mut self, now: Timestamp) -> Tick {
        self.clock.set(now);
        self.tick()
    }

    /// The present time, with which shards finish.
    #[must_use]
    pub fn last_tick(&self) -> Tick {
        let (now, elapsed) = (self.clock.now(), self.clock.elapsed());
        Tick { number: self.packets, now, elapsed, previous: self.previous }
    }

    /// The latest time that is believed.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// How often time passes for the shards, if packets come.
    #[must_use]
    pub const fn sweep_interval(&self) -> Duration {
        self.ticks.interval()
    }

    /// How many shards there are.
    #[must_use]
    pub const fn shards(&self) -> usize {
        self.shards
    }

    /// The shard of a flow.
    #[allow(clippy::cast_possible_truncation, reason = "it is below the number of shards")]
    #[inline]
    pub fn shard_of(&self, key: &E::Key) -> usize {
        ((u128::from(self.hasher.hash_one(key)) * self.shards as u128) >> 64) as usize
    }

    /// What was counted of packets that no shard was to count. The shards' own are to be
    /// [added](TrackerStats::add).
    #[must_use]
    pub const fn stats(&self) -> &TrackerStats {
        &self.stats
    }

    /// What became of IP fragments.
    #[must_use]
    pub const fn fragment_stats(&self) -> &DefragmentStats {
        self.defragmenter.stats()
    }

    /// Packets so far.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.packets
    }

    #[inline]
    fn packet(
        &self,
        view: PacketView<'_>,
        when: Moment,
        content: Result<Extracted<E::Key>, LeftOut>,
    ) -> RoutedPacket<E::Key> {
        RoutedPacket {
            number: self.packets,
            when,
            timestamp: view.timestamp,
            previous: self.previous,
            link_type: view.link_type,
            wire_len: view.wire_len,
            whole_len: view.wire_len,
            content,
            anomalies: [None; MAX_ANOMALIES],
        }
    }

    /// A packet of a flow: `view` is what it was extracted from.
    #[inline]
    fn hand_over<'a>(
        &mut self,
        view: PacketView<'_>,
        tick: Option<Tick>,
        packet: RoutedPacket<E::Key>,
        frame: &'a [u8],
    ) -> Routed<'a, E::Key> {
        let (mut ask_first, mut shard) = (None, None);
        if let Ok(extracted) = &packet.content {
            self.previous = (packet.number, packet.when.ts);
            let own = self.shard_of(&extracted.key);
            if is_icmp(extracted.l4) {
                let quoted = self.extractor.quoted(view);
                let other = quoted.map(|quoted| self.shard_of(&quoted.key));
                // Its own shard asks itself.
                ask_first = other.filter(|&other| other != own);
            }
            shard = Some(own);
        }
        Routed { tick, ask_first, shard, packet, frame }
    }

    #[cold]
    fn without_flow<'a>(
        &'a mut self,
        view: PacketView<'a>,
        when: Moment,
        tick: Option<Tick>,
    ) -> Routed<'a, E::Key> {
        if let Some(whole) = self.whole.take() {
            self.defragmenter.reclaim(whole);
        }
        let mut anomalies = [None; MAX_ANOMALIES];
        let mut rest = anomalies.iter_mut();
        let report = |anomaly| {
            if let Some(next) = rest.next() {
                *next = Some(anomaly);
            }
        };
        let elapsed = self.clock.elapsed();
        match assemble(&self.extractor, &mut self.defragmenter, view, elapsed, report) {
            Ok((whole, extracted)) => {
                let mut packet = self.packet(view, when, Ok(extracted));
                (packet.link_type, packet.whole_len) = (whole.link_type, whole.len);
                packet.anomalies = anomalies;
                let routed = self.hand_over(whole.view(view.timestamp), tick, packet, &[]);
                let whole = self.whole.insert(whole);
                Routed { frame: &whole.frame, ..routed }
            }
            Err(reason) => {
                self.stats.packets += 1;
                self.stats.doubtful_timestamps += u64::from(!when.is_timely);
                self.stats.skip(reason);
                let mut packet = self.packet(view, when, Err(LeftOut::Skipped(reason)));
                packet.anomalies = anomalies;
                // Somebody has to report them.
                let shard = packet.anomalies().next().map(|_| 0);
                Routed { tick, ask_first: None, shard, packet, frame: view.frame }
            }
        }
    }

    #[cold]
    fn duplicate<'a>(&mut self, view: PacketView<'a>) -> Routed<'a, E::Key> {
        self.stats.packets += 1;
        self.stats.skipped_duplicates += 1;
        let elapsed = self.clock.elapsed();
        let when = Moment { ts: view.timestamp, elapsed, is_timely: true };
        let packet = self.packet(view, when, Err(LeftOut::Duplicate));
        Routed { tick: None, ask_first: None, shard: None, packet, frame: view.frame }
    }

    #[cold]
    fn tick(&mut self) -> Tick {
        let tick = self.last_tick();
        self.due_at = self.ticks.end_of(self.ticks.at(tick.elapsed));
        self.defragmenter.sweep(Timestamp::from_nanos(tick.elapsed));
        tick
    }
}

impl<E> fmt::Debug for FlowRouter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowRouter")
            .field("shards", &self.shards)
            .field("packets", &self.packets)
            .field("now", &self.clock.now())
            .finish_non_exhaustive()
    }
}

impl<K> RoutedPacket<K> {
    /// Its number, counted from 1 over all packets the router was given.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The time that it counts with.
    #[must_use]
    pub const fn ts(&self) -> Timestamp {
        self.when.ts
    }

    /// What was extracted from it, or why nothing was.
    ///
    /// # Errors
    ///
    /// If it has no flow.
    pub fn content(&self) -> Result<&Extracted<K>, LeftOut> {
        self.content.as_ref().map_err(|&why| why)
    }

    /// Number and time of the last packet before it that had a flow; number 0 if there was none.
    /// What ends without a packet of its own is stamped with them.
    #[must_use]
    pub const fn previous(&self) -> (u64, Timestamp) {
        self.previous
    }

    /// What is wrong with the fragments that it is made of, or is one of.
    pub fn anomalies(&self) -> impl Iterator<Item = FragmentAnomaly> + '_ {
        self.anomalies.iter().map_while(|&anomaly| anomaly)
    }
}

impl Tick {
    /// The number of the packet in front of which it comes; if no packet brought it about, of the
    /// last one.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The latest time that is believed.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Number and time of the last packet before it that had a flow; number 0 if there was none.
    #[must_use]
    pub const fn previous(&self) -> (u64, Timestamp) {
        self.previous
    }
}
