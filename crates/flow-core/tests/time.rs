//! How flows begin and end as time passes: timeouts, updates, eviction, clocks that are wrong.

#![allow(clippy::unwrap_used)]

mod wire;

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flow_core::{
    AnomalyKind, EndReason, Extracted, FlowEvent, FlowExtractor, FlowTracker, FlowTrackerConfig,
    PacketView, Timestamp,
};
use wire::{Frame, Wire, frames};

/// A datagram of a flow.
fn datagram(flow: u32) -> Frame {
    let mut frame = frames("> - udp", [0, 0]).remove(0);
    frame.bytes[..4].copy_from_slice(&flow.to_le_bytes());
    frame
}

fn at(frame: &Frame, millis: u64) -> PacketView<'_> {
    PacketView::new(&frame.bytes, Timestamp::from_nanos(millis * 1_000_000))
}

/// What happens when datagrams of these flows come at these milliseconds.
fn events_of(tracker: &mut FlowTracker<Wire>, packets: &[(u32, u64)]) -> Vec<String> {
    let describe = |event: FlowEvent<u32>| match event {
        FlowEvent::Started { key, .. } => Some(format!("{key} started")),
        FlowEvent::Update { key, stats, .. } => Some(format!("{key}: {}", stats.total_packets())),
        FlowEvent::Ended { key, reason, stats, .. } => {
            Some(format!("{key} {reason} {}", stats.total_packets()))
        }
        FlowEvent::Anomaly { kind, .. } => Some(format!("{kind:?}")),
        _ => None,
    };
    let mut events = Vec::new();
    for &(flow, millis) in packets {
        events.extend(tracker.track(at(&datagram(flow), millis)).filter_map(describe));
    }
    events.extend(tracker.finish().filter_map(describe));
    events
}

#[track_caller]
fn check(packets: &[(u32, u64)], expected: &[&str]) {
    let mut tracker = FlowTracker::new(Wire);
    assert_eq!(events_of(&mut tracker, packets), expected);
}

const DAY: u64 = 86_400_000;
/// 2026 in milliseconds.
const NOW: u64 = 1_770_000_000_000;

#[test]
fn a_packet_from_decades_ahead_ends_nothing() {
    let ahead = NOW + 30 * 365 * DAY;
    check(
        &[(1, NOW), (2, NOW), (3, ahead), (1, ahead), (1, NOW + 1_000), (2, NOW + 2_000)],
        &["1 started", "2 started", "3 started", "1 eof 3", "2 eof 2", "3 eof 1"],
    );
}

#[test]
fn timeouts_go_on_after_packets_of_another_time() {
    let ahead = NOW + 30 * 365 * DAY;
    // The first of all, too.
    check(
        &[(1, ahead), (1, NOW), (1, NOW + 10), (2, NOW + 20), (3, NOW + 30), (4, NOW + 40)],
        &[
            "1 started",
            "2 started",
            "3 started",
            "4 started",
            "1 eof 3",
            "2 eof 1",
            "3 eof 1",
            "4 eof 1",
        ],
    );
    check(
        &[(1, NOW), (2, ahead), (2, NOW + 50_000), (2, NOW + 100_000)],
        &["1 started", "2 started", "1 timeout 1", "2 eof 3"],
    );
}

#[test]
fn a_packet_from_decades_ago_does_not_end_its_flow() {
    check(
        &[(1, NOW), (2, 0), (1, 1_000), (2, NOW + 10_000), (1, NOW + 40_000), (2, NOW + 90_000)],
        &["1 started", "2 started", "2 timeout 2", "2 started", "1 eof 3", "2 eof 1"],
    );
}

/// A clock that was set, or a second capture behind the first.
#[test]
fn many_packets_of_another_time_move_the_clock() {
    let packets = |then: u64| {
        let mut packets = vec![(1, NOW), (1, NOW + 1_000)];
        packets.extend((0..20).map(|n| (2, then + n * 100)));
        packets.push((3, then + 70_000));
        packets
    };
    check(
        &packets(NOW + 400 * DAY),
        &["1 started", "2 started", "1 timeout 2", "2 timeout 20", "3 started", "3 eof 1"],
    );
    check(
        &packets(NOW - 400 * DAY),
        &["1 started", "2 started", "1 timeout 2", "2 timeout 20", "3 started", "3 eof 1"],
    );
}

#[test]
fn the_record_keeps_the_times_that_are_plausible() {
    let mut tracker = FlowTracker::new(Wire);
    for millis in [NOW, NOW + 40 * 365 * DAY, NOW + 5_000, NOW + 4_000] {
        tracker.track(at(&datagram(1), millis)).for_each(drop);
    }
    let stats = tracker.snapshot_stats(&1).unwrap();
    assert_eq!(stats.last_seen, Timestamp::from_nanos((NOW + 5_000) * 1_000_000));
    assert_eq!(tracker.stats().doubtful_timestamps, 1);
}

/// The last packets of the record have times that nothing else confirms.
#[test]
fn the_record_does_not_end_with_a_time_in_doubt() {
    for doubtful in [0, NOW + 30 * 365 * DAY, NOW - 7_200_000] {
        let mut tracker = FlowTracker::new(Wire);
        for millis in [NOW, NOW + 5_000, doubtful] {
            tracker.track(at(&datagram(1), millis)).for_each(drop);
        }
        let stats = tracker.snapshot_stats(&1).unwrap();
        assert_eq!(stats.last_seen, Timestamp::from_nanos((NOW + 5_000) * 1_000_000));
    }
}

/// A packet half a day ahead moves the clock, but it does not stand still until then.
#[test]
fn timeouts_go_on_after_a_clock_was_set_back() {
    let mut packets = vec![(1, NOW), (2, NOW + DAY / 2)];
    packets.extend((0..10).map(|second| (3, NOW + second * 1_000)));
    packets.push((4, NOW + 100_000));
    check(
        &packets,
        &[
            "1 started",
            "1 timeout 1",
            "2 started",
            "3 started",
            "2 timeout 1",
            "3 timeout 10",
            "4 started",
            "4 eof 1",
        ],
    );
}

#[test]
fn monotonic_events_never_go_back() {
    let mut tracker = FlowTracker::new(Wire).with_monotonic_timestamps(true);
    let mut last = Timestamp::default();
    let back = (0..20).map(|second| NOW - 10 * DAY + second * 1_000);
    for millis in [NOW, NOW + 1_000].into_iter().chain(back).chain([NOW - 5_000, NOW + 2_000]) {
        for event in tracker.track(at(&datagram(1), millis)) {
            if let FlowEvent::Packet { ts, .. } = event {
                assert!(ts >= last, "{ts:?} after {last:?}");
                last = ts;
            }
        }
    }
    assert_eq!(last, Timestamp::from_nanos((NOW + 1_000) * 1_000_000));
}

/// Whatever the times are: every flow begins and ends once, and nothing goes on for ever.
#[test]
fn arbitrary_times_lose_nothing() {
    let mut tracker = FlowTracker::new(Wire);
    let (mut started, mut ended) = (0, 0);
    let mut seed = 1u64;
    for number in 0..20_000u32 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let ts = Timestamp::from_nanos(seed >> (seed >> 58));
        let frame = datagram(number % 50);
        for event in tracker.track(PacketView::new(&frame.bytes, ts)) {
            started += u32::from(matches!(event, FlowEvent::Started { .. }));
            ended += u32::from(matches!(event, FlowEvent::Ended { .. }));
        }
    }
    ended += u32::try_from(tracker.finish().count()).unwrap();
    assert_eq!(started, ended);
    assert_eq!(tracker.flow_count(), 0);
}

#[test]
fn flows_that_go_on_are_reported_if_asked_for() {
    let mut config = FlowTrackerConfig::default();
    config.update_interval = Some(Duration::from_secs(10));
    let mut tracker = FlowTracker::new(Wire).with_config(config);
    let start = NOW + 3_000;
    let packets: Vec<_> =
        [0, 4, 9, 11, 21, 55, 56].map(|second| (1, start + second * 1_000)).into();
    // Nothing came between 21 and 55 s.
    assert_eq!(events_of(&mut tracker, &packets), ["1 started", "1: 3", "1: 4", "1: 5", "1 eof 7"]);
    check(&packets, &["1 started", "1 eof 7"]);
}

/// And when it begins has nothing to do with what the clock was set to before.
#[test]
fn flows_that_go_on_behind_a_step_of_the_clock_are_reported() {
    let mut config = FlowTrackerConfig::default();
    config.update_interval = Some(Duration::from_secs(10));
    let step = [(1, NOW)].into_iter().chain((0..8).map(|_| (1, NOW + 400 * DAY)));
    let later = (0..50).map(|second| (2, NOW + 400 * DAY + second * 1_000));
    let packets: Vec<_> = step.chain(later).collect();
    let events = events_of(&mut FlowTracker::new(Wire).with_config(config), &packets);
    let updates = events.iter().filter(|event| event.starts_with("2: "));
    assert!((4..=5).contains(&updates.count()), "{events:?}");
}

#[test]
fn updates_do_not_keep_a_flow_from_its_timeout() {
    let mut config = FlowTrackerConfig::default();
    config.update_interval = Some(Duration::from_secs(7));
    let mut tracker = FlowTracker::new(Wire).with_config(config);
    assert_eq!(
        events_of(&mut tracker, &[(1, NOW), (2, NOW + 50_000), (2, NOW + 62_000)]),
        ["1 started", "1: 1", "2 started", "1 timeout 1", "2: 1", "2 eof 2"]
    );
}

/// When a flow ends and is reported has nothing to do with the flows that had its slot before.
#[test]
fn timers_of_flows_that_are_gone_change_nothing() {
    for (interval, expected) in
        [(None, [32_100].as_slice()), (Some(Duration::from_secs(20)), &[22_500, 32_100])]
    {
        let mut config = FlowTrackerConfig::default();
        config.idle_timeout_udp = config.idle_timeout_syn;
        config.close_linger = Duration::ZERO;
        config.update_interval = interval;
        for earlier in ["", "> S -1\n< RA 0 0"] {
            let mut tracker = FlowTracker::new(Wire).with_config(config.clone());
            for (frame, millis) in frames(earlier, [0, 0]).iter().zip([0, 1_000]) {
                assert!(tracker.track(at(frame, NOW + millis)).count() > 0);
            }
            assert_eq!(tracker.flow_count(), 0);
            let mut found = Vec::new();
            for (flow, millis) in [(2, 1_400), (3, 16_000), (3, 22_500), (3, 31_600), (3, 32_100)] {
                let frame = datagram(flow);
                for event in tracker.track(at(&frame, NOW + millis)) {
                    if let FlowEvent::Update { key: 2, .. } | FlowEvent::Ended { key: 2, .. } =
                        event
                    {
                        found.push(millis);
                    }
                }
            }
            assert_eq!(found, expected, "{interval:?} {earlier:?}");
        }
    }
}

fn full_tracker(max_flows: usize) -> FlowTracker<Wire> {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = max_flows;
    FlowTracker::new(Wire).with_config(config).with_emit_anomalies(true)
}

#[test]
fn eviction_takes_the_least_recently_seen() {
    let mut tracker = full_tracker(3);
    let packets = [
        (1, NOW),
        (2, NOW + 2_000),
        (3, NOW + 4_000),
        (1, NOW + 6_000),
        (4, NOW + 8_000),
        (3, NOW + 10_000),
        (5, NOW + 12_000),
    ];
    let evicted: Vec<_> = events_of(&mut tracker, &packets)
        .into_iter()
        .filter(|event| event.contains("evicted") && !event.contains('{'))
        .collect();
    assert_eq!(evicted, ["2 evicted 1", "1 evicted 2"]);
}

/// A flow with a packet now and then outlives a flood of flows with one.
#[test]
fn a_flood_does_not_evict_what_is_in_use() {
    let mut tracker = full_tracker(1_000);
    let mut ended = Vec::new();
    for number in 0..50_000u32 {
        let flow = if number % 100 == 0 { 1 } else { number + 10 };
        let frame = datagram(flow);
        for event in tracker.track(at(&frame, NOW + u64::from(number) / 50)) {
            if let FlowEvent::Ended { key, reason: EndReason::Evicted, .. } = event {
                ended.push(key);
            }
        }
    }
    assert!(ended.len() > 40_000 && !ended.contains(&1));
    assert_eq!(tracker.snapshot_stats(&1).unwrap().total_packets(), 500);
}

#[test]
fn pressure_is_reported_with_the_first_and_at_the_end_of_a_tick() {
    let mut tracker = full_tracker(2);
    let mut packets: Vec<_> = (0..7).map(|flow| (flow, NOW + u64::from(flow))).collect();
    packets.push((7, NOW + 2_000));
    let pressure = |event: &String| event.contains("Pressure");
    let events: Vec<_> = events_of(&mut tracker, &packets).into_iter().filter(pressure).collect();
    let told = |evicted_in_tick, evicted_total| {
        format!("{:?}", AnomalyKind::FlowTableEvictionPressure { evicted_in_tick, evicted_total })
    };
    assert_eq!(events, [told(1, 1), told(5, 5), told(1, 6)]);
}

/// A batch gives what its packets give one by one.
#[test]
fn a_batch_is_its_packets() {
    let script = "> S -1\n< SA -1 0\n> A 0 0\n> PA 0 0 hello\n< A 0 5\n> - udp flow=9\n\
                  > FA 5 0\n< FA 0 6\n> A 6 1\n+9000 > S 77777\n< SA 8888 77778\n> R 77778";
    let mut all = frames(script, [1_000, 5_000]);
    all.extend((0..100).map(datagram));
    let views: Vec<_> = all.iter().map(Frame::view).collect();
    let describe = |event: FlowEvent<u32>| format!("{event:?}");
    let mut one_by_one = FlowTracker::new(Wire);
    let mut expected: Vec<String> = Vec::new();
    for view in &views {
        expected.extend(one_by_one.track(*view).map(describe));
    }
    expected.extend(one_by_one.finish().map(describe));
    for size in [1, 7, 32, 33, 200] {
        let mut batched = FlowTracker::new(Wire);
        let mut events: Vec<String> = Vec::new();
        for views in views.chunks(size) {
            events.extend(batched.track_batch(views).map(describe));
        }
        events.extend(batched.finish().map(describe));
        assert_eq!(events, expected, "batches of {size}");
        assert_eq!(batched.stats(), one_by_one.stats());
    }
}

/// Keys that differ only in bits that many hashers do not see, which count their comparisons.
#[derive(Clone, Copy, Debug)]
struct Crafted(u64);

static COMPARISONS: AtomicU64 = AtomicU64::new(0);

impl PartialEq for Crafted {
    fn eq(&self, other: &Self) -> bool {
        COMPARISONS.fetch_add(1, Ordering::Relaxed);
        self.0 == other.0
    }
}

impl Eq for Crafted {}

impl Hash for Crafted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

struct CraftedKeys;

impl FlowExtractor for CraftedKeys {
    type Key = Crafted;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<Crafted>> {
        let Extracted { key, orientation, l4, tcp, payload, encapsulation } = Wire.extract(view)?;
        let key = Crafted(u64::from(key) << 44 | u64::from(key));
        Some(Extracted { key, orientation, l4, tcp, payload, encapsulation })
    }
}

#[test]
fn crafted_keys_are_found_in_constant_time() {
    const FLOWS: u32 = 20_000;
    let mut tracker = FlowTracker::new(CraftedKeys);
    for flow in (0..FLOWS).chain(0..FLOWS) {
        tracker.track(at(&datagram(flow << 12), NOW)).for_each(drop);
    }
    assert_eq!(tracker.stats().flows_started, u64::from(FLOWS));
    let comparisons = COMPARISONS.load(Ordering::Relaxed);
    // One for each packet of a flow that is there, and next to none for others.
    assert!(comparisons < u64::from(FLOWS) + 100, "{comparisons} comparisons");
}
