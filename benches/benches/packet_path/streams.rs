use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use flow::extract::FiveTuple;
use flow::http::HttpParser;
use flow::{
    FlowSessionDriver, FlowSide, FlowTrackerConfig, Gap, Segment, StreamConfig, StreamReassembler,
    StreamSink, TcpFlags,
};
use flow_benches::{Frame, Idle, MSS, Order, http_keep_alive, in_bursts, tcp};

/// Bytes that came in order.
struct Delivered(u64);

impl StreamSink for Delivered {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        self.0 += black_box(bytes).len() as u64;
    }

    fn gap(&mut self, _gap: Gap) {}

    fn end(&mut self, _offset: u64) {}
}

pub(crate) fn reassemble(c: &mut Criterion) {
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

pub(crate) fn session(c: &mut Criterion) {
    let mut group = c.benchmark_group("session");
    group.throughput(Throughput::Elements(1));
    for flows in [1, 10_000, 300_000] {
        let mut config = FlowTrackerConfig::default();
        config.max_flows = 1_000_000;
        let driver = FlowSessionDriver::<_, Idle>::new(FiveTuple::bidirectional());
        let mut driver = driver.with_config(config);
        let mut next = 0;
        let mut packets = |count: u64, frame: &dyn Fn(u64) -> Frame| {
            let numbers = next..next + count;
            next = numbers.end;
            let clock = in_bursts(numbers, 1, frame, |views| {
                views.iter().for_each(|view| driver.track(*view).for_each(drop));
            });
            clock.processor
        };
        let segment = next_segment(flows);
        packets(flows.into(), &segment);
        // Both sides were heard of, as of nearly all connections.
        packets(flows.into(), &|number| {
            let flow = Order::Sequential.flow(number, flows);
            tcp(flow, FlowSide::Responder, [1, 64], TcpFlags::ACK, &[])
        });
        // Whose numbers the segments do not count.
        let segment = |number| segment(number - u64::from(flows));
        group.bench_function(BenchmarkId::new("idle_parser", flows), |b| {
            b.iter_custom(|count| packets(count, &segment));
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

/// Packet by packet the next segment, in order, of each connection in turn.
fn next_segment(flows: u32) -> impl Fn(u64) -> Frame {
    const PAYLOAD: [u8; 64] = [b'.'; 64];
    move |number| {
        let flow = Order::Sequential.flow(number, flows);
        #[allow(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
        let seq = (number / u64::from(flows) * PAYLOAD.len() as u64) as u32;
        tcp(flow, FlowSide::Initiator, [seq, 1], TcpFlags::ACK, &PAYLOAD)
    }
}
