//! Several engines behind a router report what one engine does.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::Packet;
use common::corpus::{Capture, captures, extractor};
use common::shards::{Setup, Step, check};
use flow::extract::{AutoDetectEncap, FiveTuple};
use flow::l7::{L7DatagramParser, L7Parser};
use flow::{
    BufferedReassemblerFactory, ChecksumPolicy, FlowDriver, FlowTracker, FlowTrackerConfig,
    LinkType, SessionEngine, StreamAndDatagram, Timestamp,
};
use proptest::prelude::*;

type Extractor = AutoDetectEncap<FiveTuple>;
type Sessions = SessionEngine<Extractor, StreamAndDatagram<L7Parser, L7DatagramParser>>;

fn with_icmp_errors() -> Extractor {
    AutoDetectEncap::new(FiveTuple::bidirectional().with_icmp_errors(true))
}

fn tracker(setup: &Setup) -> impl Fn(Extractor) -> FlowTracker<Extractor> {
    let Setup { config, monotonic, .. } = setup.clone();
    move |extractor| {
        FlowTracker::new(extractor)
            .with_config(config.clone())
            .with_emit_anomalies(true)
            .with_monotonic_timestamps(monotonic)
    }
}

fn driver(
    setup: &Setup,
) -> impl Fn(Extractor) -> FlowDriver<Extractor, BufferedReassemblerFactory> {
    let Setup { config, monotonic, .. } = setup.clone();
    move |extractor| {
        FlowDriver::new(extractor, BufferedReassemblerFactory::default())
            .with_config(config.clone())
            .with_emit_anomalies(true)
            .with_monotonic_timestamps(monotonic)
    }
}

fn sessions(setup: &Setup) -> impl Fn(Extractor) -> Sessions {
    let Setup { config, monotonic, .. } = setup.clone();
    move |extractor| {
        Sessions::with_parsers(extractor, L7Parser::default(), L7DatagramParser::default())
            .with_config(config.clone())
            .with_emit_anomalies(true)
            .with_monotonic_timestamps(monotonic)
    }
}

/// What the configurations differ in.
fn setups() -> [Setup; 4] {
    let mut short = FlowTrackerConfig::default();
    short.idle_timeout_tcp = Duration::from_secs(3);
    short.idle_timeout_udp = Duration::from_millis(700);
    short.idle_timeout_other = Duration::from_millis(300);
    short.close_linger = Duration::from_millis(50);
    short.sweep_interval = Duration::from_millis(20);
    short.update_interval = Some(Duration::from_millis(200));
    let mut coarse = FlowTrackerConfig::default();
    coarse.close_linger = Duration::ZERO;
    coarse.update_interval = Some(Duration::from_secs(1));
    // Flows follow each other in a slot before the timers of those before them.
    let mut equal = coarse.clone();
    equal.idle_timeout_syn = Duration::from_secs(3);
    equal.idle_timeout_tcp = Duration::from_secs(3);
    equal.idle_timeout_udp = Duration::from_secs(3);
    equal.idle_timeout_other = Duration::from_secs(3);
    equal.update_interval = Some(Duration::from_secs(2));
    [
        Setup::default(),
        Setup { config: short, dedup: true, monotonic: false },
        Setup { config: coarse, dedup: false, monotonic: true },
        Setup { config: equal, dedup: true, monotonic: false },
    ]
}

/// Checks everything that can be behind a router. Gives how many events there were.
fn check_all(
    extractor: &Extractor,
    setup: &Setup,
    steps: &[Step],
    shards: usize,
    seed: u64,
) -> Result<usize, String> {
    let flows = check(extractor, setup, steps, shards, seed, tracker(setup))?;
    let streams = check(extractor, setup, steps, shards, seed, driver(setup))?;
    Ok(flows + streams + check(extractor, setup, steps, shards, seed, sessions(setup))?)
}

fn check_captures(captures: &[Capture]) {
    let (mut wrong, mut events) = (Vec::new(), 0);
    for (capture, shards) in captures.iter().zip((1..=8).cycle()) {
        let steps = Step::of(&capture.packets);
        for (setup, number) in setups().iter().zip(0..) {
            for extractor in [extractor(), with_icmp_errors()] {
                match check_all(&extractor, setup, &steps, shards, number) {
                    Ok(count) => events += count,
                    Err(error) => wrong.push(format!("{}: {error}", capture.name)),
                }
            }
        }
    }
    println!("{events} events of {} captures", captures.len());
    assert!(events > 1_000);
    assert!(wrong.is_empty(), "{} wrong: {}", wrong.len(), wrong[0]);
}

#[test]
fn fixtures() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_some_and(|extension| extension != "json"))
        .collect();
    files.sort();
    let captures: Vec<_> = files.iter().map(|file| Capture::open(file)).collect();
    check_captures(&captures);
}

#[test]
fn corpus() {
    let Some(captures) = captures() else { return };
    check_captures(&captures);
}

/// What comes next of made-up traffic. Hosts and ports are few, so that they are used again.
#[derive(Clone, Debug)]
enum Next {
    /// A segment of a connection: how far from where it should be it begins, and how long it is.
    Segment {
        connection: u8,
        side: bool,
        flags: u8,
        off: i16,
        len: u8,
    },
    Datagram {
        flow: u8,
        side: bool,
        len: u8,
    },
    /// A datagram in pieces of 16 bytes, each other one missing, doubled, or in its place.
    Fragments {
        flow: u8,
        id: u8,
        pieces: u8,
        mask: u8,
        backward: bool,
    },
    /// An error about what a flow or connection sent, from one of the routers.
    IcmpError {
        flow: u8,
        is_tcp: bool,
        side: bool,
        router: u8,
    },
    Echo {
        host: u8,
    },
    /// Not a packet of a flow.
    Noise {
        len: u8,
    },
    /// The last packet again.
    Again,
    /// Time passes, in milliseconds.
    Pause {
        millis: u32,
    },
    /// So many packets have another time, or all that follow.
    Jump {
        seconds: i64,
        packets: Option<u8>,
    },
    /// Somebody knows what time it is.
    Sweep {
        millis: u32,
    },
}

fn next() -> impl Strategy<Value = Next> {
    let segment = (
        0_u8..4,
        any::<bool>(),
        any::<u8>(),
        prop_oneof![4 => Just(0), 1 => -40_i16..40],
        0_u8..40,
    );
    let seconds =
        prop_oneof![-100_i64..100, -100_000_i64..100_000, Just(86_400 * 400), Just(-86_400 * 400)];
    prop_oneof![
        12 => segment.prop_map(|(connection, side, flags, off, len)| {
            Next::Segment { connection, side, flags, off, len }
        }),
        6 => (0_u8..12, any::<bool>(), 0_u8..40)
            .prop_map(|(flow, side, len)| Next::Datagram { flow, side, len }),
        2 => (0_u8..6, 0_u8..3, 2_u8..5, any::<u8>(), any::<bool>()).prop_map(
            |(flow, id, pieces, mask, backward)| Next::Fragments { flow, id, pieces, mask, backward }
        ),
        2 => (0_u8..6, any::<bool>(), any::<bool>(), 0_u8..3)
            .prop_map(|(flow, is_tcp, side, router)| Next::IcmpError { flow, is_tcp, side, router }),
        1 => (0_u8..3).prop_map(|host| Next::Echo { host }),
        1 => (0_u8..40).prop_map(|len| Next::Noise { len }),
        2 => Just(Next::Again),
        4 => (0_u32..300).prop_map(|millis| Next::Pause { millis }),
        2 => (0_u32..20_000).prop_map(|millis| Next::Pause { millis }),
        1 => (0_u32..4_000_000).prop_map(|millis| Next::Pause { millis }),
        2 => (seconds, proptest::option::weighted(0.8, 1_u8..12))
            .prop_map(|(seconds, packets)| Next::Jump { seconds, packets }),
        1 => (0_u32..100_000).prop_map(|millis| Next::Sweep { millis }),
    ]
}

/// Makes packets of it.
struct Network {
    steps: Vec<Step>,
    millis: i64,
    /// How far the next packets are from that time, and how many of them.
    jump: (i64, u8),
    /// The next sequence number of each side of each connection.
    numbers: [[u32; 2]; 4],
}

impl Network {
    fn of(script: &[Next]) -> Vec<Step> {
        let mut network = Self {
            steps: Vec::new(),
            millis: 1_770_000_000_000,
            jump: (0, 0),
            numbers: [[u32::MAX - 100, 1_000]; 4],
        };
        script.iter().for_each(|next| network.add(next));
        network.steps
    }

    fn add(&mut self, next: &Next) {
        match *next {
            Next::Segment { connection, side, flags, off, len } => {
                self.segment(usize::from(connection), side, flags, off, len);
            }
            Next::Datagram { flow, side, len } => {
                let udp = udp(flow, side, &vec![b'u'; usize::from(len)]);
                self.ip(hosts(flow, side), 17, [7, 0], &udp);
            }
            Next::Fragments { flow, id, pieces, mask, backward } => {
                let udp = udp(flow, true, &vec![b'f'; usize::from(pieces) * 16 - 13]);
                let mut parts: Vec<_> = udp.chunks(16).zip(0_u16..).collect();
                if backward {
                    parts.reverse();
                }
                for (part, number) in parts {
                    let more = u16::from(part.len() == 16) << 13;
                    let times = match (mask >> (2 * (number % 4))) & 3 {
                        0 => 0,
                        1 => 2,
                        _ => 1,
                    };
                    for _ in 0..times {
                        let place = [u16::from(id), (number * 2) | more];
                        self.ip(hosts(flow, true), 17, place, part);
                    }
                }
            }
            Next::IcmpError { flow, is_tcp, side, router } => {
                let (protocol, quoted) = match is_tcp {
                    true => (6, tcp(flow % 4, side, 1, 1, 0x10, &[])),
                    false => (17, udp(flow, side, &[])),
                };
                let flow = if is_tcp { flow % 4 } else { flow };
                let packet = ip(hosts(flow, side), protocol, [9, 0], &quoted);
                let error = [&[3, 1, 0, 0, 0, 0, 0, 0][..], &packet].concat();
                let [[to, _], _] = [hosts(flow, side), hosts(flow, !side)];
                self.ip([100 + router, to], 1, [8, 0], &error);
            }
            Next::Echo { host } => self.ip([host, 50], 1, [8, 0], &[8, 0, 0, 0, 0, 1, 0, 1]),
            Next::Noise { len } => self.frame(vec![0x45; usize::from(len)]),
            Next::Again => {
                let is_packet = |step: &&Step| matches!(step, Step::Packet(_));
                if let Some(Step::Packet(packet)) = self.steps.iter().rfind(is_packet) {
                    self.steps.push(Step::Packet(packet.clone()));
                }
            }
            Next::Pause { millis } => self.millis += i64::from(millis),
            Next::Jump { seconds, packets: Some(packets) } => {
                self.jump = (seconds * 1_000, packets);
            }
            Next::Jump { seconds, packets: None } => self.millis += seconds * 1_000,
            Next::Sweep { millis } => {
                let now = u64::try_from(self.millis + i64::from(millis)).unwrap() * 1_000_000;
                self.steps.push(Step::Sweep(Timestamp::from_nanos(now)));
            }
        }
    }

    /// What a host would send next, more or less.
    fn segment(&mut self, connection: usize, side: bool, flags: u8, off: i16, len: u8) {
        let [mine, peer] = [usize::from(side), usize::from(!side)];
        // Mostly data; sometimes what begins and ends connections.
        let flags = match flags {
            0..=29 => 0x02,
            30..=59 => 0x12,
            60..=79 => 0x11,
            80..=89 => 0x04,
            _ => 0x18,
        };
        let seq = self.numbers[connection][mine].wrapping_add_signed(off.into());
        let ack = self.numbers[connection][peer];
        let payload = vec![b'x'; if flags == 0x18 { usize::from(len) } else { 0 }];
        let number = u8::try_from(connection).unwrap();
        self.ip(hosts(number, side), 6, [7, 0], &tcp(number, side, seq, ack, flags, &payload));
        if off == 0 {
            let len = u32::try_from(payload.len()).unwrap() + u32::from(flags & 3 != 0);
            self.numbers[connection][mine] = seq.wrapping_add(len);
        }
    }

    fn ip(&mut self, hosts: [u8; 2], protocol: u8, place: [u16; 2], payload: &[u8]) {
        self.frame(ip(hosts, protocol, place, payload));
    }

    fn frame(&mut self, frame: Vec<u8>) {
        let (jump, packets) = self.jump;
        self.jump = if packets > 1 { (jump, packets - 1) } else { (0, 0) };
        let ts = u64::try_from((self.millis + jump).max(0)).unwrap() * 1_000_000;
        let (ts, wire_len) = (Timestamp::from_nanos(ts), u32::try_from(frame.len()).unwrap());
        self.steps.push(Step::Packet(Packet { frame, ts, link_type: LinkType::IPV4, wire_len }));
    }
}

/// The hosts of a flow, sender first.
fn hosts(flow: u8, side: bool) -> [u8; 2] {
    let pair = [1 + flow % 3, 10 + flow % 2];
    if side { pair } else { [pair[1], pair[0]] }
}

fn ports(flow: u8, side: bool) -> [u8; 4] {
    if side { [80, flow, 0, 77] } else { [0, 77, 80, flow] }
}

fn udp(flow: u8, side: bool, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(8 + payload.len()).unwrap();
    [&ports(flow, side)[..], &[0, len, 0, 0], payload].concat()
}

fn tcp(flow: u8, side: bool, seq: u32, ack: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let window = [0x50, flags, 0x80, 0, 0, 0, 0, 0];
    [&ports(flow, side)[..], &seq.to_be_bytes(), &ack.to_be_bytes(), &window, payload].concat()
}

/// With identification, flags and offset.
fn ip([from, to]: [u8; 2], protocol: u8, [id, place]: [u16; 2], payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let (id, place) = (id.to_be_bytes(), place.to_be_bytes());
    let header = [
        [0x45, 0, len[0], len[1]],
        [id[0], id[1], place[0], place[1]],
        [64, protocol, 0, 0],
        [10, 0, 0, from],
        [10, 0, 0, to],
    ];
    [header.as_flattened(), payload].concat()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn made_up_traffic(
        script in proptest::collection::vec(next(), 1..150),
        shards in 1_usize..6,
        seed in any::<u64>(),
        setup in 0_usize..4,
        icmp_errors in any::<bool>(),
    ) {
        let mut setup = setups()[setup].clone();
        setup.config.checksums = ChecksumPolicy::Never;
        let extractor = if icmp_errors { with_icmp_errors() } else { extractor() };
        let outcome = check_all(&extractor, &setup, &Network::of(&script), shards, seed);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}
