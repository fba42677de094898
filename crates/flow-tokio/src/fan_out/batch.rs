//! What goes to a shard and comes back.

use std::sync::mpsc;

use flow_core::{RoutedPacket, Tick, TrackerStats};

use super::{Events, Shard};

/// Packets for a shard, or what it made of them. Its memory goes round.
pub(super) struct Batch<K, T> {
    /// The frames, one behind the other.
    bytes: Vec<u8>,
    jobs: Vec<Job<K>>,
    pub(super) events: Events<T>,
    /// What the shard has counted up to here.
    pub(super) stats: TrackerStats,
}

/// Something to do, and its place among all that is done.
struct Job<K> {
    place: u64,
    what: What<K>,
}

enum What<K> {
    Tick(Tick),
    Finish(Tick),
    /// The frame ends here; it begins where the last one ended.
    Packet {
        end: usize,
        packet: RoutedPacket<K>,
        part: Part,
    },
}

/// What a shard has to do with a packet.
pub(super) enum Part {
    Own,
    /// It takes the packet if it has the flow which that quotes, and says whether it does.
    IfQuoted(mpsc::SyncSender<bool>),
    /// It takes the packet if the other shard does not.
    IfNotTaken(mpsc::Receiver<bool>),
}

impl<K, T> Default for Batch<K, T> {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            jobs: Vec::new(),
            events: Events::default(),
            stats: TrackerStats::default(),
        }
    }
}

impl<K, T> Batch<K, T> {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn tick(&mut self, place: u64, tick: Tick) {
        self.jobs.push(Job { place, what: What::Tick(tick) });
    }

    pub(super) fn finish(&mut self, place: u64, tick: Tick) {
        self.jobs.push(Job { place, what: What::Finish(tick) });
    }

    #[inline]
    pub(super) fn packet(&mut self, place: u64, packet: RoutedPacket<K>, frame: &[u8], part: Part) {
        self.bytes.extend_from_slice(frame);
        let what = What::Packet { end: self.bytes.len(), packet, part };
        self.jobs.push(Job { place, what });
    }

    /// Does what there is to do.
    pub(super) fn run<W: Shard<Key = K, Event = T>>(&mut self, shard: &mut W) {
        let Self { bytes, jobs, events, stats } = self;
        let mut start = 0;
        for Job { place, what } in jobs.drain(..) {
            let events = events.at(place);
            match what {
                What::Tick(tick) => shard.advance(&tick, events),
                What::Finish(tick) => shard.finish_at(&tick, events),
                What::Packet { end, packet, part } => {
                    let frame = bytes.get(start..end).unwrap_or_default();
                    start = end;
                    handle(shard, &packet, frame, part, events);
                }
            }
        }
        bytes.clear();
        *stats = *shard.stats();
    }
}

#[inline]
fn handle<W: Shard>(
    shard: &mut W,
    packet: &RoutedPacket<W::Key>,
    frame: &[u8],
    part: Part,
    events: &mut Events<W::Event>,
) {
    match part {
        Part::Own => {}
        Part::IfQuoted(answer) => {
            // Whoever asks may be gone.
            let _ = answer.send(shard.track_quoted(packet, frame, events));
            return;
        }
        // Nobody waits for a shard that is behind: what it waits for itself came earlier.
        Part::IfNotTaken(answer) => {
            if answer.recv().unwrap_or(false) {
                return;
            }
        }
    }
    let (begun, first) = (shard.stats().flows_started, events.len());
    shard.track_routed(packet, frame, events);
    if shard.stats().flows_started > begun {
        events.begin(first);
    }
}
