//! What each layer takes per packet.

#![allow(missing_docs, reason = "criterion's macros make functions without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flow::extract::{AutoDetectEncap, FiveTuple};
use flow::http::HttpParser;
use flow::{
    Context, FlowExtractor, FlowSessionDriver, FlowSide, FlowSink, FlowTracker, Gap, Segment,
    SessionParser, StreamConfig, StreamReassembler, StreamSink,
};
use flow_benches::{Frame, MSS, RoundRobin, http_keep_alive, mix};

criterion_group!(benches, extract, track, reassemble, session);
criterion_main!(benches);

fn extract(c: &mut Criterion) {
    let frames = mix(10_000);
    let mut group = c.benchmark_group("extract");
    group.throughput(Throughput::Elements(frames.len() as u64));
    let five_tuple = FiveTuple::bidirectional();
    group.bench_function("five_tuple", |b| b.iter(|| extract_all(&five_tuple, &frames)));
    let tunnels = AutoDetectEncap::new(five_tuple);
    group.bench_function("auto_detect_encap", |b| b.iter(|| extract_all(&tunnels, &frames)));
}

fn extract_all<E: FlowExtractor>(extractor: &E, frames: &[Frame]) {
    for frame in frames {
        black_box(extractor.extract(black_box(frame.view(0))));
    }
}

/// Wants to know nothing.
struct Deaf;

impl<K, S> FlowSink<K, S> for Deaf {}

fn track(c: &mut Criterion) {
    let mut group = c.benchmark_group("track");
    group.throughput(Throughput::Elements(1));
    for flows in [1, 1_000, 100_000] {
        group.bench_function(BenchmarkId::new("events", flows), |b| {
            let mut packets = RoundRobin::new(flows, 0);
            let mut tracker = FlowTracker::new(FiveTuple::bidirectional());
            (0..flows).for_each(|_| tracker.track(packets.next_view()).for_each(drop));
            b.iter(|| tracker.track(packets.next_view()).for_each(|event| drop(black_box(event))));
        });
        group.bench_function(BenchmarkId::new("no_events", flows), |b| {
            let mut packets = RoundRobin::new(flows, 0);
            let mut tracker = FlowTracker::new(FiveTuple::bidirectional());
            (0..flows).for_each(|_| tracker.track_with(packets.next_view(), &mut Deaf));
            b.iter(|| tracker.track_with(packets.next_view(), &mut Deaf));
        });
    }
}

/// Bytes that came in order.
struct Delivered(u64);

impl StreamSink for Delivered {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        self.0 += black_box(bytes).len() as u64;
    }

    fn gap(&mut self, _gap: Gap) {}

    fn end(&mut self, _offset: u64) {}
}

fn reassemble(c: &mut Criterion) {
    const SEGMENTS: u32 = 10_000;
    let in_order: Vec<u32> = (0..SEGMENTS).collect();
    let mut reordered = in_order.clone();
    reordered.chunks_exact_mut(100).for_each(|chunk| chunk.swap(50, 51));

    let mut group = c.benchmark_group("reassemble");
    group.throughput(Throughput::Elements(SEGMENTS.into()));
    let config = StreamConfig::default();
    for (name, order) in [("in_order", in_order), ("one_percent_reordered", reordered)] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let (mut stream, mut delivered) = (StreamReassembler::new(), Delivered(0));
                for number in &order {
                    let segment = Segment::plain(number * u32::from(MSS), &[0; MSS as usize]);
                    stream.segment(black_box(&segment), &config, &mut delivered);
                }
                assert_eq!(delivered.0, u64::from(SEGMENTS) * u64::from(MSS));
            });
        });
    }
}

/// Takes every byte and finds nothing.
#[derive(Clone, Debug, Default)]
struct Idle;

impl SessionParser for Idle {
    type Message = ();

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed(&mut self, _: FlowSide, bytes: &[u8], _: &mut Context<'_, ()>) {
        black_box(bytes);
    }
}

fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.throughput(Throughput::Elements(1));
    for flows in [1, 10_000] {
        group.bench_function(BenchmarkId::new("idle_parser", flows), |b| {
            let mut packets = RoundRobin::new(flows, 1_000);
            let mut driver = FlowSessionDriver::<_, Idle>::new(FiveTuple::bidirectional());
            (0..flows).for_each(|_| driver.track(packets.next_view()).for_each(drop));
            b.iter(|| driver.track(packets.next_view()).for_each(drop));
        });
    }

    let conversation = http_keep_alive(1_000);
    group.throughput(Throughput::Elements(conversation.len() as u64));
    group.bench_function("http_keep_alive", |b| {
        b.iter(|| {
            let mut driver = FlowSessionDriver::<_, HttpParser>::new(FiveTuple::bidirectional());
            for (frame, at) in conversation.iter().zip(0..) {
                driver.track(frame.view(at)).for_each(|event| drop(black_box(event)));
            }
        });
    });
}
