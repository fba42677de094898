use std::hint::black_box;

use criterion::{Criterion, Throughput};
use flow::extract::{AutoDetectEncap, FiveTuple};
use flow::{FlowExtractor, FlowSide, TcpFlags};
use flow_benches::{Frame, MSS, Network, mix, tcp};

/// Few enough that their headers stay in the second-level cache.
const FRAMES: u32 = 1_000;

pub(crate) fn extract(c: &mut Criterion) {
    let mut group = c.benchmark_group("extract");
    group.throughput(Throughput::Elements(FRAMES.into()));
    let five_tuple = FiveTuple::bidirectional();
    let tunnels = AutoDetectEncap::new(five_tuple);
    let mix = mix(FRAMES);
    group.bench_function("five_tuple", |b| b.iter(|| extract_all(&five_tuple, &mix)));
    group.bench_function("auto_detect_encap", |b| b.iter(|| extract_all(&tunnels, &mix)));
    for (name, network) in [("vlan_tagged", Network::Tagged), ("ipv6", Network::Ipv6)] {
        let frame = |index| {
            let (flow, side) = (network.flow(index), FlowSide::Initiator);
            tcp(flow, side, [1, 1], TcpFlags::ACK, &[0; MSS as usize])
        };
        let frames: Vec<_> = (0..FRAMES).map(frame).collect();
        group.bench_function(name, |b| b.iter(|| extract_all(&five_tuple, &frames)));
    }
}

fn extract_all<E: FlowExtractor>(extractor: &E, frames: &[Frame]) {
    for frame in frames {
        black_box(extractor.extract(black_box(frame.view(0))));
    }
}
