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
        let mut packets = |side: FlowSide, order: Order, count: u64, act: Act| {
            let numbers = next..next + count;
            next = numbers.end;
            let frame = |number| acknowledgment(side, order, number, flows);
            in_bursts(numbers, 1, frame, |views| act(&mut tracker, views)).processor
        };
        for side in FlowSide::BOTH {
            packets(side, Order::Sequential, flows.into(), one_by_one);
        }
        for (name, order, act) in WAYS {
            group.bench_function(BenchmarkId::new(name, flows), |b| {
                b.iter_custom(|count| packets(FlowSide::Initiator, order, count, act));
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
    /// More seconds than the timer wheel has buckets.
    const SPREAD: u64 = 600;
    let mut group = c.benchmark_group("sweep");
    group.throughput(Throughput::Elements(1));
    for flows in [1_000_u32, 100_000, 1_000_000] {
        // Timers come round all the time, the flows' shares of them.
        let mut evenly = LiveFlows::spread_over(SPREAD, flows);
        group.bench_function(BenchmarkId::new("timers_come_round", flows), |b| {
            b.iter_custom(|count| evenly.sweep(count));
        });
        // All come round together, and what is measured lies between two times at which they do.
        let mut together = LiveFlows::spread_over(0, flows);
        together.sweep(1);
        let mut swept = 1;
        group.bench_function(BenchmarkId::new("nothing_due", flows), |b| {
            b.iter_custom(|count| {
                let mut time = Duration::ZERO;
                let end = swept + count;
                while swept < end {
                    let until = end.min(swept.next_multiple_of(ROUND) - 1).max(swept);
                    time += together.sweep(until - swept);
                    swept = until;
                    if (swept + 1).is_multiple_of(ROUND) {
                        together.sweep(2);
                        swept += 2;
                    }
                }
                time
            });
        });
    }
}

/// Seconds after which a timer that was armed for later comes round.
const ROUND: u64 = 511;

/// Flows none of which will ever be due.
struct LiveFlows {
    tracker: Tracker,
    flows: u32,
    now: Timestamp,
}

impl LiveFlows {
    /// Begins that many flows in so many seconds.
    fn spread_over(seconds: u64, flows: u32) -> Self {
        let mut config = FlowTrackerConfig::default();
        config.max_flows = 2_000_000;
        config.idle_timeout_tcp = Duration::from_secs(1 << 33);
        let mut tracker = FlowTracker::new(FiveTuple::bidirectional()).with_config(config);
        let micros = seconds * 1_000_000 / u64::from(flows);
        let frame = |number| acknowledgment(FlowSide::Initiator, Order::Sequential, number, flows);
        in_bursts(0..flows.into(), micros, frame, |views| one_by_one(&mut tracker, views));
        Self { tracker, flows, now: syn(0).view(seconds * 1_000_000).timestamp }
    }

    /// That many seconds pass; gives the processor time of the sweeps.
    fn sweep(&mut self, seconds: u64) -> Duration {
        let begin = processor_time();
        for _ in 0..seconds {
            self.now = Timestamp::from_nanos(self.now.as_nanos() + 1_000_000_000);
            self.tracker.sweep_with(self.now, &mut Deaf);
        }
        let time = processor_time().saturating_sub(begin);
        assert_eq!(self.tracker.flow_count(), self.flows as usize, "none was due");
        time
    }
}

/// A packet of a connection whose beginning was not captured.
fn acknowledgment(side: FlowSide, order: Order, number: u64, flows: u32) -> Frame {
    tcp(order.flow(number, flows), side, [1, 1], TcpFlags::ACK, &[])
}
