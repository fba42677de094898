use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use flow::{Gap, OverlapPolicy, Segment, StreamConfig, StreamReassembler, StreamSink};

#[path = "../../../crates/flow-reassembly/tests/common/loads.rs"]
mod loads;

use self::loads::{At, LOADS, LONGEST};

/// Whoever comes first, last, or begins earlier.
const POLICIES: [(&str, OverlapPolicy); 3] = [
    ("first", OverlapPolicy::First),
    ("last", OverlapPolicy::Last),
    ("linux", OverlapPolicy::LINUX),
];

/// Bytes handed on, and bytes given up.
#[derive(Default)]
struct Followed(u64, u64);

impl StreamSink for Followed {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        self.0 += black_box(bytes).len() as u64;
    }

    fn gap(&mut self, gap: Gap) {
        self.1 += gap.len;
    }

    fn end(&mut self, _offset: u64) {}
}

/// What a stream's worst segments cost each, and that they cost no more if there are more of them.
pub(crate) fn floods(c: &mut Criterion) {
    let mut group = c.benchmark_group("reassemble");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    for load in LOADS {
        let counts: [(u32, &[_]); 2] = [(100_000, &POLICIES), (1_000_000, &POLICIES[..1])];
        for (count, policies) in counts {
            let segments = load.segments(count);
            group.throughput(Throughput::Elements(segments.len() as u64));
            for &(name, policy) in policies {
                // Not on the clock.
                play(&segments, policy, |stream, config| {
                    assert!(stream.buffered_bytes() <= config.max_buffer, "{}", load.name);
                });
                let id = BenchmarkId::new(format!("{}_{name}", load.name), count);
                group.bench_function(id, |b| b.iter(|| play(&segments, policy, |_, _| {})));
            }
        }
    }
}

/// Gives all segments to a stream, and the stream to `look` after each.
fn play(segments: &[At], policy: OverlapPolicy, look: impl Fn(&StreamReassembler, &StreamConfig)) {
    let config = StreamConfig::default();
    let mut stream = StreamReassembler::new().with_overlap_policy(policy);
    let mut followed = Followed::default();
    for &At { offset, len } in segments {
        let segment = Segment { start: Some(0), ..Segment::plain(offset, &BYTES[..len as usize]) };
        stream.segment(black_box(&segment), &config, &mut followed);
        look(&stream, &config);
    }
    stream.finish(&mut followed);
    assert_eq!(followed.0 + followed.1, stream.offset());
}

static BYTES: [u8; LONGEST as usize] = [0; LONGEST as usize];
