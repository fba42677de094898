use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use flow::extract::FiveTuple;
use flow::{FlowSide, FlowTracker, FlowTrackerConfig, PacketView, TcpFlags, Timestamp};
use flow_benches::{Deaf, Frame, Order, in_bursts, processor_time, syn, tcp};

type Tracker = FlowTracker<FiveTuple>;

fn tracker(max_flows: usize) -> Tracker {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = max_flows;
    FlowTracker::new(FiveTuple::bidirectional()).with_config(config)
}

/// A packet of a flow that is there already, by the number of flows and their order.
pub(crate) fn track(c: &mut Criterion) {
    let mut group = c.benchmark_group("track");
    group.throughput(Throughput::Elements(1));
    for flows in [1, 1_000, 100_000, 1_000_000] {
        let mut tracker = tracker(2_000_000);
        let mut next = 0;
        let mut packets = |order: Order, count: u64, act: fn(&mut Tracker, &[PacketView<'_>])| {
            let numbers = next..next + count;
            next = numbers.end;
            let frame = |number| acknowledgment(order, number, flows);
            in_bursts(numbers, 1, frame, |views| act(&mut tracker, views)).processor
        };
        packets(Order::Sequential, flows.into(), one_by_one);
        for (name, order, act) in WAYS {
            group.bench_function(BenchmarkId::new(name, flows), |b| {
                b.iter_custom(|count| packets(order, count, act));
            });
        }
    }
}

type Act = fn(&mut Tracker, &[PacketView<'_>]);

const WAYS: [(&str, Order, Act); 4] = [
    ("sequential", Order::Sequential, one_by_one),
    ("random", Order::Random, one_by_one),
    ("random_batch", Order::Random, batches),
    ("random_events", Order::Random, events),
];

fn one_by_one(tracker: &mut Tracker, views: &[PacketView<'_>]) {
    views.iter().for_each(|view| tracker.track_with(*view, &mut Deaf));
}

/// As a ring that a network card fills gives them.
fn batches(tracker: &mut Tracker, views: &[PacketView<'_>]) {
    views.chunks(64).for_each(|batch| tracker.track_batch_with(batch, &mut Deaf));
}

fn events(tracker: &mut Tracker, views: &[PacketView<'_>]) {
    for view in views {
        tracker.track(*view).for_each(|event| drop(black_box(event)));
    }
}

/// A packet that begins a flow.
pub(crate) fn new_flow(c: &mut Criterion) {
    const FLOWS: u64 = 100_000;
    let mut group = c.benchmark_group("new_flow");
    group.throughput(Throughput::Elements(1));

    // The table grows from nothing to so many flows, then another one begins.
    group.bench_function("room", |b| {
        let mut next = 0;
        b.iter_custom(|count| {
            let end = next + count;
            let mut time = Duration::ZERO;
            while next < end {
                let until = end.min(next + FLOWS);
                let mut tracker = tracker(1_000_000);
                time += begin_flows(&mut tracker, next, until);
                next = until;
            }
            time
        });
    });

    // Every packet evicts the flow that was seen least recently.
    group.bench_function("full", |b| {
        let mut tracker = tracker(100_000);
        let mut next = FLOWS;
        begin_flows(&mut tracker, 0, next);
        b.iter_custom(|count| {
            let time = begin_flows(&mut tracker, next, next + count);
            next += count;
            time
        });
    });
}

fn begin_flows(tracker: &mut Tracker, from: u64, to: u64) -> Duration {
    let frame = |number| syn(Order::Sequential.flow(number, u32::MAX));
    in_bursts(from..to, 1, frame, |views| one_by_one(tracker, views)).processor
}

/// A look at the timeouts, once a second, while every flow goes on: its timer comes round now and
/// then and is armed anew.
pub(crate) fn sweep(c: &mut Criterion) {
    const SECOND: u64 = 1_000_000_000;
    /// More seconds than the timer wheel has buckets.
    const SPREAD: u64 = 600;
    let mut group = c.benchmark_group("sweep");
    group.throughput(Throughput::Elements(1));
    for flows in [1_000_u32, 100_000, 1_000_000] {
        let mut config = FlowTrackerConfig::default();
        config.max_flows = 2_000_000;
        // None is due for as long as this takes.
        config.idle_timeout_tcp = Duration::from_secs(1 << 33);
        let mut tracker = FlowTracker::new(FiveTuple::bidirectional()).with_config(config);
        let micros = SPREAD * 1_000_000 / u64::from(flows);
        let frame = |number| acknowledgment(Order::Sequential, number, flows);
        in_bursts(0..flows.into(), micros, frame, |views| one_by_one(&mut tracker, views));
        let mut now = syn(0).view(SPREAD * 1_000_000).timestamp.as_nanos();
        group.bench_function(BenchmarkId::from_parameter(flows), |b| {
            b.iter_custom(|count| {
                let begin = processor_time();
                for _ in 0..count {
                    now += SECOND;
                    tracker.sweep_with(Timestamp::from_nanos(now), &mut Deaf);
                }
                processor_time().saturating_sub(begin)
            });
        });
        assert_eq!(tracker.flow_count(), flows as usize, "none was due");
    }
}

/// A packet of a connection that was there before.
fn acknowledgment(order: Order, number: u64, flows: u32) -> Frame {
    let flow = order.flow(number, flows);
    tcp(flow, FlowSide::Initiator, [1, 1], TcpFlags::ACK, &[])
}
