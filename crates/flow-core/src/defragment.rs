mod coverage;
mod held;
mod partial;

use std::fmt;

use self::held::Held;
use self::partial::{Inserted, Partial, Store, is_ipv6, key_of};
use crate::{DefragmentConfig, Encapsulation, Fragment, LinkType, PacketView, Timestamp};

/// Puts IP packets together from their fragments (RFC 791 section 3.2, RFC 8200 section 4.5).
///
/// [`insert`](Self::insert) takes the fragments as they come and gives a packet once all of it is
/// there; [`reclaim`](Self::reclaim) takes its buffer back. Whatever comes, the first copy of a
/// byte stays as it is:
///
/// | fragment | IPv4 | IPv6 |
/// |---|---|---|
/// | begins and ends as one that is there | ignored | ignored |
/// | all of it is there | ignored | packet dropped |
/// | a part of it is there | packet dropped | packet dropped |
///
/// This is what Linux does since 4.20, and for IPv6 what RFC 5722 demands. A packet that was
/// dropped is remembered until its timeout, so that what still comes of it is dropped, too, and
/// is never put together with anything else.
///
/// Every fragment that was seen is in exactly one of: a packet that was put together, a packet
/// that is held, the duplicates, the fragments dropped for a [`FragmentAnomaly`]. A fragment costs
/// one step per 512 bytes that it is long and the copying of its data, twice; the packets that it
/// makes time out or evicts were each paid for when they began.
///
/// Memory is bounded by [`DefragmentConfig::max_bytes`], and a quarter of it for empty buffers that
/// wait to be used again.
///
/// ```
/// use flow_core::{
///     Defragmented, Defragmenter, Encapsulation, Fragment, FragmentedPacket, LinkType, Timestamp,
/// };
///
/// let packet = FragmentedPacket {
///     source: [192, 0, 2, 1].into(),
///     destination: [192, 0, 2, 2].into(),
///     id: 7,
///     protocol: 17,
///     encapsulation: Encapsulation::default(),
/// };
/// let mut header = [0; 20];
/// (header[0], header[9]) = (0x45, 17);
/// let end = Fragment {
///     packet,
///     header: &header,
///     protocol_at: 9,
///     offset: 8,
///     more: false,
///     data: b"end",
///     len: 3,
/// };
/// let start = Fragment { offset: 0, more: true, data: b"8 bytes,", len: 8, ..end };
///
/// let mut defragmenter = Defragmenter::default();
/// let now = Timestamp::new(1, 0);
/// assert_eq!(defragmenter.insert(&end, now), Defragmented::Held);
/// let Defragmented::Whole(whole) = defragmenter.insert(&start, now) else { panic!() };
/// assert_eq!(whole.link_type, LinkType::IPV4);
/// assert_eq!(&whole.frame[20..], b"8 bytes,end");
/// defragmenter.reclaim(whole);
/// ```
#[derive(Debug)]
pub struct Defragmenter {
    config: DefragmentConfig,
    held: Held,
    /// The latest time there was.
    now: Timestamp,
    /// Packets that began.
    begun: u64,
    /// Empty buffers of packets that are gone.
    stores: Vec<Store>,
    /// Empty buffers of packets that were given back.
    frames: Vec<Vec<u8>>,
    stats: DefragmentStats,
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defragmented {
    /// It is kept until the others are there.
    Held,
    /// It was there before and is ignored.
    Duplicate,
    /// It or the limits made its packet be dropped.
    Dropped(FragmentAnomaly),
    /// Its packet had been dropped before, for this reason.
    AlreadyDropped(FragmentAnomaly),
    /// It was the last one missing.
    Whole(WholePacket),
}

/// An IP packet put together from its fragments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WholePacket {
    /// The packet, with a header as if it had never been fragmented: that of the fragment with
    /// offset 0, with the length of the whole, without fragment fields or fragment header, with a
    /// valid checksum. If the snap length cut a fragment off, it ends there.
    pub frame: Vec<u8>,
    /// [`LinkType::IPV4`] or [`LinkType::IPV6`].
    pub link_type: LinkType,
    /// What its fragments were wrapped in.
    pub encapsulation: Encapsulation,
    /// How many there were, duplicates not counted.
    pub fragments: u32,
    /// Its length in bytes, as its header says; at least that of `frame`.
    pub len: u32,
    /// What was odd about it.
    pub anomaly: Option<FragmentAnomaly>,
}

impl WholePacket {
    /// The packet as if it had been captured like this, with its own length as that on the wire.
    #[must_use]
    pub fn view(&self, timestamp: Timestamp) -> PacketView<'_> {
        let view = PacketView::new(&self.frame, timestamp).with_link_type(self.link_type);
        view.with_wire_len(self.len)
    }
}

/// What was wrong with a fragment or a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FragmentAnomaly {
    /// A fragment contains a part of another one; in IPv6 also, one contains another (RFC 5722).
    Overlap,
    /// Fragments disagree about where the packet ends, or lie behind its end.
    Conflict,
    /// The packet would be longer than 65,535 bytes.
    Oversize,
    /// A fragment without data, one that others follow and that is not a multiple of 8 bytes long,
    /// or a header that is none.
    Malformed,
    /// The packet has more than [`DefragmentConfig::max_fragments`] fragments.
    TooMany,
    /// Fragments were missing when the packet's time was over.
    Timeout,
    /// The packet had to make room: [`DefragmentConfig::max_packets`] or
    /// [`DefragmentConfig::max_bytes`] was reached.
    Evicted,
    /// The first fragment ends within the 20 fixed bytes of the TCP header (RFC 1858). The packet
    /// is put together all the same.
    Tiny,
}

impl FragmentAnomaly {
    /// Every anomaly, in the order of their indices in counters.
    pub const ALL: [Self; 8] = [
        Self::Overlap,
        Self::Conflict,
        Self::Oversize,
        Self::Malformed,
        Self::TooMany,
        Self::Timeout,
        Self::Evicted,
        Self::Tiny,
    ];
}

/// The name in lower case with underscores: `frag_overlap`.
impl fmt::Display for FragmentAnomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Overlap => "frag_overlap",
            Self::Conflict => "frag_conflict",
            Self::Oversize => "frag_oversize",
            Self::Malformed => "frag_malformed",
            Self::TooMany => "frag_too_many",
            Self::Timeout => "frag_timeout",
            Self::Evicted => "frag_evicted",
            Self::Tiny => "frag_tiny",
        })
    }
}

/// What a [`Defragmenter`] counted. Every counter saturates.
///
/// `fragments` is the sum of `packet_fragments`, `fragments_held`, `duplicates` and
/// [`total_dropped_fragments`](Self::total_dropped_fragments).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefragmentStats {
    /// Fragments seen.
    pub fragments: u64,
    /// Packets put together.
    pub packets: u64,
    /// Fragments of these.
    pub packet_fragments: u64,
    /// Fragments that were there before.
    pub duplicates: u64,
    /// Fragments of packets that were dropped, by reason in the order of [`FragmentAnomaly::ALL`].
    pub dropped_fragments: [u64; FragmentAnomaly::ALL.len()],
    /// Packets by what was wrong with them, in the order of [`FragmentAnomaly::ALL`]: each that was
    /// dropped once, and those put together that are [`FragmentAnomaly::Tiny`].
    pub anomalies: [u64; FragmentAnomaly::ALL.len()],
    /// Fragments of packets that wait for others, now.
    pub fragments_held: u64,
    /// Packets of which fragments are missing, now.
    pub packets_held: u64,
    /// Packets that were dropped and are remembered, now.
    pub packets_remembered: u64,
    /// Memory taken by both, in bytes, now, as [`DefragmentConfig::max_bytes`] counts it.
    pub bytes_held: u64,
    /// Largest value of `bytes_held`.
    pub bytes_held_peak: u64,
}

impl DefragmentStats {
    /// Fragments of packets that were dropped, for whatever reason.
    #[must_use]
    pub fn total_dropped_fragments(&self) -> u64 {
        self.dropped_fragments.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }

    fn drop_fragments(&mut self, reason: FragmentAnomaly, count: u32) {
        add(&mut self.dropped_fragments[reason as usize], count.into());
    }

    fn anomaly(&mut self, anomaly: FragmentAnomaly) {
        add(&mut self.anomalies[anomaly as usize], 1);
    }
}

fn add(counter: &mut u64, count: u64) {
    *counter = counter.saturating_add(count);
}

fn subtract(counter: &mut u64, count: u64) {
    *counter = counter.saturating_sub(count);
}

/// Buffers of either kind that are kept for reuse.
///
/// Rationale: packets are mostly put together one or a few at a time.
const SPARE: usize = 8;

/// The largest buffer kept for reuse, as a fraction of [`DefragmentConfig::max_bytes`]: a packet
/// pays for the buffer it is given, which must not evict others for that. By default as much as
/// the largest packet needs.
const SPARE_FRACTION: usize = 64;

impl Default for Defragmenter {
    fn default() -> Self {
        Self::new(DefragmentConfig::default())
    }
}

impl Defragmenter {
    /// One that holds nothing.
    #[must_use]
    pub fn new(config: DefragmentConfig) -> Self {
        Self {
            config,
            held: Held::new(),
            now: Timestamp::default(),
            begun: 0,
            stores: Vec::new(),
            frames: Vec::new(),
            stats: DefragmentStats::default(),
        }
    }

    /// Limits and timeouts.
    #[must_use]
    pub const fn config(&self) -> &DefragmentConfig {
        &self.config
    }

    /// Changes limits and timeouts, also for what is held. What exceeds them is dropped at once.
    pub fn set_config(&mut self, config: DefragmentConfig) {
        self.config = config;
        let most = config.max_bytes / SPARE_FRACTION;
        self.stores.retain(|store| store.charge() <= most);
        self.frames.retain(|frame| frame.capacity() <= most);
        self.sweep(self.now);
        self.enforce_limits(None);
    }

    /// What was counted so far.
    #[must_use]
    pub const fn stats(&self) -> &DefragmentStats {
        &self.stats
    }

    /// Takes a fragment that came at `now`. A time before that of an earlier call counts as that.
    ///
    /// A packet in a single fragment is whole at once, whatever else is held of a packet that is
    /// called the same (RFC 6946).
    #[must_use = "it may be a whole packet"]
    pub fn insert(&mut self, fragment: &Fragment<'_>, now: Timestamp) -> Defragmented {
        self.sweep(now);
        add(&mut self.stats.fragments, 1);
        let outcome = if fragment.offset == 0 && !fragment.more {
            self.insert_atomic(fragment)
        } else {
            self.insert_part(fragment)
        };
        self.check();
        outcome
    }

    /// Takes back the buffer of a packet that was looked at, for another one.
    pub fn reclaim(&mut self, whole: WholePacket) {
        let mut frame = whole.frame;
        if self.frames.len() < SPARE && frame.capacity() <= self.config.max_bytes / SPARE_FRACTION {
            frame.clear();
            self.frames.push(frame);
        }
    }

    /// Drops the packets whose time is over at `now`. Costs nothing for the others.
    /// [`insert`](Self::insert) does it, too.
    pub fn sweep(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        for is_ipv6 in [false, true] {
            let timeout = if is_ipv6 { self.config.timeout_ipv6 } else { self.config.timeout_ipv4 };
            while let Some((slot, oldest)) = self.held.oldest_of(is_ipv6) {
                if self.now.saturating_sub(oldest.begun) < timeout {
                    break;
                }
                self.forget(slot, FragmentAnomaly::Timeout);
            }
        }
    }

    fn insert_atomic(&mut self, fragment: &Fragment<'_>) -> Defragmented {
        let mut frame = self.frames.pop().unwrap_or_default();
        match partial::write_atomic(fragment, &mut frame) {
            Ok(len) => {
                let link_type = link_type(is_ipv6(&fragment.packet));
                let encapsulation = fragment.packet.encapsulation;
                let anomaly = None;
                let fragments = 1;
                self.whole(WholePacket { frame, link_type, encapsulation, fragments, len, anomaly })
            }
            Err(reason) => {
                self.frames.push(frame);
                self.stats.anomaly(reason);
                self.stats.drop_fragments(reason, 1);
                Defragmented::Dropped(reason)
            }
        }
    }

    fn insert_part(&mut self, fragment: &Fragment<'_>) -> Defragmented {
        let key = key_of(&fragment.packet);
        let slot = match self.held.find(&key) {
            Some(slot) => slot,
            None => {
                let store = self.stores.pop().unwrap_or_default();
                let packet = Partial::new(key, self.now, self.begun, store);
                self.begun = self.begun.wrapping_add(1);
                add(&mut self.stats.bytes_held, packet.charge() as u64);
                add(&mut self.stats.packets_held, 1);
                self.held.push(packet)
            }
        };
        let max_fragments = self.config.max_fragments;
        let charged = self.held.get_mut(slot).map(|packet| {
            let before = packet.charge();
            let inserted = match packet.dropped {
                None => packet.insert(fragment, max_fragments).map_err(Defragmented::Dropped),
                Some(reason) => Err(Defragmented::AlreadyDropped(reason)),
            };
            (inserted, before, packet.charge())
        });
        let missing = (Err(Defragmented::Dropped(FragmentAnomaly::Evicted)), 0, 0);
        let (inserted, before, after) = charged.unwrap_or(missing);
        subtract(&mut self.stats.bytes_held, before as u64);
        add(&mut self.stats.bytes_held, after as u64);
        self.account(slot, inserted)
    }

    fn account(&mut self, slot: u32, inserted: Result<Inserted, Defragmented>) -> Defragmented {
        let outcome = match inserted {
            Ok(Inserted::Complete) => return self.complete(slot),
            Ok(Inserted::Held) => {
                add(&mut self.stats.fragments_held, 1);
                Defragmented::Held
            }
            Ok(Inserted::Duplicate) => {
                add(&mut self.stats.duplicates, 1);
                Defragmented::Duplicate
            }
            Err(Defragmented::Dropped(reason)) => {
                self.stats.drop_fragments(reason, 1);
                self.drop_packet(slot, reason);
                Defragmented::Dropped(reason)
            }
            Err(already) => {
                if let Defragmented::AlreadyDropped(reason) = already {
                    self.stats.drop_fragments(reason, 1);
                }
                already
            }
        };
        let evicted = self.enforce_limits(Some(slot));
        if evicted && outcome == Defragmented::Held {
            return Defragmented::Dropped(FragmentAnomaly::Evicted);
        }
        outcome
    }

    fn complete(&mut self, slot: u32) -> Defragmented {
        let Some(packet) = self.take(slot) else {
            return Defragmented::Dropped(FragmentAnomaly::Evicted);
        };
        let mut frame = self.frames.pop().unwrap_or_default();
        let whole = WholePacket {
            len: packet.write(&mut frame),
            frame,
            link_type: link_type(is_ipv6(&packet.key)),
            encapsulation: packet.key.encapsulation,
            fragments: packet.fragments,
            anomaly: packet.is_tiny.then_some(FragmentAnomaly::Tiny),
        };
        // The one that completed it was never counted as held.
        let held = u64::from(packet.fragments).saturating_sub(1);
        subtract(&mut self.stats.fragments_held, held);
        self.recycle(packet.into_store());
        self.whole(whole)
    }

    fn whole(&mut self, whole: WholePacket) -> Defragmented {
        add(&mut self.stats.packets, 1);
        add(&mut self.stats.packet_fragments, whole.fragments.into());
        if let Some(anomaly) = whole.anomaly {
            self.stats.anomaly(anomaly);
        }
        Defragmented::Whole(whole)
    }

    /// Drops a packet and remembers that.
    fn drop_packet(&mut self, slot: u32, reason: FragmentAnomaly) {
        let Some(packet) = self.held.get_mut(slot) else { return };
        let (charge, fragments) = (packet.charge(), packet.fragments);
        let store = packet.drop_data(reason);
        subtract(&mut self.stats.bytes_held, (charge - packet.charge()) as u64);
        subtract(&mut self.stats.packets_held, 1);
        add(&mut self.stats.packets_remembered, 1);
        self.lose(fragments, reason);
        self.recycle(store);
    }

    /// Drops a packet without a trace, or what is remembered of it.
    fn forget(&mut self, slot: u32, reason: FragmentAnomaly) {
        let Some(packet) = self.take(slot) else { return };
        if packet.dropped.is_none() {
            self.lose(packet.fragments, reason);
        }
        self.recycle(packet.into_store());
    }

    /// Counts a packet of which this many fragments were held as dropped.
    fn lose(&mut self, fragments: u32, reason: FragmentAnomaly) {
        subtract(&mut self.stats.fragments_held, fragments.into());
        self.stats.drop_fragments(reason, fragments);
        self.stats.anomaly(reason);
    }

    fn take(&mut self, slot: u32) -> Option<Partial> {
        let packet = self.held.remove(slot)?;
        subtract(&mut self.stats.bytes_held, packet.charge() as u64);
        let counter = match packet.dropped {
            None => &mut self.stats.packets_held,
            Some(_) => &mut self.stats.packets_remembered,
        };
        subtract(counter, 1);
        Some(packet)
    }

    /// Drops the oldest packets until the others are within the limits. Says whether `slot` was
    /// among them.
    fn enforce_limits(&mut self, slot: Option<u32>) -> bool {
        let mut evicted = false;
        let most = self.config.max_bytes as u64;
        while self.held.len() > self.config.max_packets || self.stats.bytes_held > most {
            let Some(oldest) = self.held.oldest() else { break };
            evicted |= slot == Some(oldest);
            self.forget(oldest, FragmentAnomaly::Evicted);
        }
        self.stats.bytes_held_peak = self.stats.bytes_held_peak.max(self.stats.bytes_held);
        evicted
    }

    fn recycle(&mut self, mut store: Store) {
        let most = self.config.max_bytes / SPARE_FRACTION;
        if self.stores.len() < SPARE && store.charge() <= most {
            store.clear();
            self.stores.push(store);
        }
    }

    fn check(&self) {
        let stats = &self.stats;
        let accounted = [
            stats.packet_fragments,
            stats.fragments_held,
            stats.duplicates,
            stats.total_dropped_fragments(),
        ];
        let sum = accounted.iter().fold(0_u64, |sum, &count| sum.saturating_add(count));
        debug_assert_eq!(stats.fragments, sum);
        let packets = stats.packets_held.saturating_add(stats.packets_remembered);
        debug_assert_eq!(self.held.len() as u64, packets);
        debug_assert!(self.held.len() <= self.config.max_packets);
        debug_assert!(stats.bytes_held <= self.config.max_bytes as u64);
    }
}

const fn link_type(is_ipv6: bool) -> LinkType {
    if is_ipv6 { LinkType::IPV6 } else { LinkType::IPV4 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charge_covers_the_entry() {
        assert!(size_of::<Partial>() + 64 <= partial::OVERHEAD, "{}", size_of::<Partial>());
    }

    #[test]
    fn buffers_for_reuse_are_few_and_small() {
        let mut defragmenter = Defragmenter::default();
        for capacity in (0..100).map(|power| 16 << (power % 20)) {
            defragmenter.reclaim(WholePacket {
                frame: Vec::with_capacity(capacity),
                link_type: LinkType::IPV4,
                encapsulation: Encapsulation::default(),
                fragments: 2,
                len: 0,
                anomaly: None,
            });
        }
        assert_eq!(defragmenter.frames.len(), SPARE);
        let most = defragmenter.config.max_bytes / SPARE_FRACTION;
        assert!(defragmenter.frames.iter().all(|frame| frame.capacity() <= most));
    }

    #[test]
    fn names() {
        let names = FragmentAnomaly::ALL.map(|anomaly| anomaly.to_string());
        let mut unique = names.to_vec();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len());
        assert!(names.iter().all(|name| name.starts_with("frag_")));
        for (index, anomaly) in FragmentAnomaly::ALL.into_iter().enumerate() {
            assert_eq!(anomaly as usize, index);
        }
    }
}
