//! What flows cost by their number: memory for each, and time when somebody floods the table.
//!
//! Usage: `many_flows memory [FLOWS [CASE]]` or `many_flows flood [PACKETS [CASE]]`. Prints a JSON
//! line for each case, which has a process of its own: resident memory growth is that of the
//! process, so whatever stands behind a flow is in it (entry, index, timer, parser, streams).
//!
//! - `memory`: a million flows of one packet each, without payload for the tracker, with it for
//!   the session drivers, whose flows get a parser with their first payload.
//! - `flood`: ten million SYNs, each of another flow, into a table of 100,000; beside it as many
//!   new flows that find room, and as many packets of connections that come and go.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

use std::error::Error;
use std::process::ExitCode;

use flow::extract::FiveTuple;
use flow::http::HttpParser;
use flow::{
    FlowDatagramDriver, FlowSessionDriver, FlowSide, FlowTracker, FlowTrackerConfig, PacketView,
    ParserSet, SessionEngine, TcpFlags,
};
use flow_benches::{
    Deaf, Frame, Idle, IdleDatagrams, Network, Order, Stopwatch, anonymous_kib, conversations,
    each_in_its_own_process, in_bursts, syn, tcp, udp,
};
use serde_json::json;

const USAGE: &str = "usage: many_flows memory [FLOWS [CASE]] | many_flows flood [PACKETS [CASE]]";

type Tracker = FlowTracker<FiveTuple>;
type Case = (&'static str, fn(u64));

const MEMORY: [Case; 9] = [
    ("tracker_tcp_ipv4", |flows| tracker_memory("tracker_tcp_ipv4", flows, Network::Ipv4, empty)),
    ("tracker_tcp_ipv6", |flows| tracker_memory("tracker_tcp_ipv6", flows, Network::Ipv6, empty)),
    ("tracker_udp_ipv4", |flows| tracker_memory("tracker_udp_ipv4", flows, Network::Ipv4, data)),
    ("tracker_udp_ipv6", |flows| tracker_memory("tracker_udp_ipv6", flows, Network::Ipv6, data)),
    ("idle_tcp_ipv4", |flows| {
        let driver = FlowSessionDriver::<_, Idle>::new(FiveTuple::bidirectional());
        driver_memory("idle_tcp_ipv4", flows, Network::Ipv4, request, driver);
    }),
    ("idle_tcp_ipv6", |flows| {
        let driver = FlowSessionDriver::<_, Idle>::new(FiveTuple::bidirectional());
        driver_memory("idle_tcp_ipv6", flows, Network::Ipv6, request, driver);
    }),
    ("idle_udp_ipv4", |flows| {
        let driver = FlowDatagramDriver::<_, IdleDatagrams>::new(FiveTuple::bidirectional());
        driver_memory("idle_udp_ipv4", flows, Network::Ipv4, data, driver);
    }),
    ("idle_udp_ipv6", |flows| {
        let driver = FlowDatagramDriver::<_, IdleDatagrams>::new(FiveTuple::bidirectional());
        driver_memory("idle_udp_ipv6", flows, Network::Ipv6, data, driver);
    }),
    ("http_tcp_ipv4", |flows| {
        let driver = FlowSessionDriver::<_, HttpParser>::new(FiveTuple::bidirectional());
        driver_memory("http_tcp_ipv4", flows, Network::Ipv4, request, driver);
    }),
];

const FLOOD: [Case; 3] = [("flood", flood), ("room", room), ("normal", normal)];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (kind, number, case) = match &arguments[..] {
        [kind] => (kind, None, None),
        [kind, number] => (kind, Some(number), None),
        [kind, number, case] => (kind, Some(number), Some(case)),
        _ => return Err(USAGE.into()),
    };
    let (cases, default): (&[Case], u64) = match kind.as_str() {
        "memory" => (&MEMORY, 1_000_000),
        "flood" => (&FLOOD, 10_000_000),
        _ => return Err(USAGE.into()),
    };
    let number = number.map_or(Ok(default), |number| number.parse())?;
    let Some(case) = case else {
        let words = |case: &Case| vec![kind.clone(), number.to_string(), case.0.to_owned()];
        return each_in_its_own_process(&cases.iter().map(words).collect::<Vec<_>>());
    };
    let (_, measure) = cases.iter().find(|(name, _)| name == case).ok_or(USAGE)?;
    measure(number);
    Ok(())
}

/// Flows that have not had any payload.
fn empty(flow: u32) -> Frame {
    syn(flow)
}

fn data(flow: u32) -> Frame {
    udp(flow, FlowSide::Initiator, &[0; 64])
}

/// A whole request, so that nothing of it need be kept.
fn request(flow: u32) -> Frame {
    let payload = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    tcp(flow, FlowSide::Initiator, [1, 1], TcpFlags::ACK, payload)
}

fn config(max_flows: u64) -> FlowTrackerConfig {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = usize::try_from(max_flows).unwrap_or(usize::MAX);
    config
}

fn tracker(max_flows: u64) -> Tracker {
    FlowTracker::new(FiveTuple::bidirectional()).with_config(config(max_flows))
}

fn one_by_one(tracker: &mut Tracker, views: &[PacketView<'_>]) {
    views.iter().for_each(|view| tracker.track_with(*view, &mut Deaf));
}

fn tracker_memory(case: &str, flows: u64, network: Network, frame: fn(u32) -> Frame) {
    let before = warm_up();
    let mut tracker = tracker(2 * flows);
    let frame = |number| frame(network.flow(Order::Sequential.flow(number, u32::MAX)));
    in_bursts(0..flows, 1, frame, |views| one_by_one(&mut tracker, views));
    report_memory(case, tracker.flow_count(), before);
}

fn driver_memory<T: ParserSet>(
    case: &str,
    flows: u64,
    network: Network,
    frame: fn(u32) -> Frame,
    driver: SessionEngine<FiveTuple, T>,
) {
    let before = warm_up();
    let mut driver = driver.with_config(config(2 * flows));
    let frame = |number| frame(network.flow(Order::Sequential.flow(number, u32::MAX)));
    in_bursts(0..flows, 1, frame, |views| {
        views.iter().for_each(|view| driver.track(*view).for_each(drop));
    });
    report_memory(case, driver.tracker().flow_count(), before);
}

/// Memory once everything is there but the flows.
fn warm_up() -> u64 {
    let mut tracker = tracker(1);
    in_bursts(0..10_000, 1, |_| request(0), |views| one_by_one(&mut tracker, views));
    anonymous_kib()
}

fn report_memory(case: &str, flows: usize, before: u64) {
    let growth = anonymous_kib().saturating_sub(before);
    let bytes = growth as f64 * 1024.0 / flows as f64;
    println!(
        "{}",
        json!({"case": case, "flows": flows, "memory_kib": growth, "bytes_per_flow": tenths(bytes)})
    );
}

/// Every packet is the first of a flow, and the table is full.
fn flood(packets: u64) {
    const FLOWS: u64 = 100_000;
    let mut run = Run::begin();
    let mut tracker = tracker(FLOWS);
    run.packets(0..packets, 1, begin_flow, |views| one_by_one(&mut tracker, views));
    run.report("flood", packets, &tracker);
}

/// Every packet is the first of a flow, and the table grows: to a million flows, then another
/// one begins.
fn room(packets: u64) {
    const FLOWS: u64 = 1_000_000;
    let mut run = Run::begin();
    let mut all = tracker(2 * FLOWS);
    for from in (0..packets).step_by(1_000_000) {
        all = tracker(2 * FLOWS);
        let numbers = from..packets.min(from + FLOWS);
        run.packets(numbers, 1, begin_flow, |views| one_by_one(&mut all, views));
    }
    run.report("room", packets, &all);
}

/// Ten packets a connection, 10,000 connections at once, 100,000 packets a second: with those that
/// linger, the table is two thirds full.
fn normal(packets: u64) {
    const FLOWS: u64 = 100_000;
    let mut run = Run::begin();
    let mut tracker = tracker(FLOWS);
    let frame = |number| conversations(number, 10_000);
    run.packets(0..packets, 10, frame, |views| one_by_one(&mut tracker, views));
    run.report("normal", packets, &tracker);
}

fn begin_flow(number: u64) -> Frame {
    syn(Order::Sequential.flow(number, u32::MAX))
}

/// Time and memory of a flood.
struct Run {
    clock: Stopwatch,
    before: u64,
    peak: u64,
}

impl Run {
    fn begin() -> Self {
        let before = warm_up();
        Self { clock: Stopwatch::default(), before, peak: before }
    }

    fn packets(
        &mut self,
        numbers: std::ops::Range<u64>,
        micros: u64,
        mut frame: impl FnMut(u64) -> Frame,
        mut act: impl FnMut(&[PacketView<'_>]),
    ) {
        const BETWEEN_LOOKS: u64 = 100_000;
        let mut first = numbers.start;
        while first < numbers.end {
            let next = numbers.end.min(first + BETWEEN_LOOKS);
            let clock = in_bursts(first..next, micros, &mut frame, &mut act);
            self.clock.wall += clock.wall;
            self.clock.processor += clock.processor;
            self.peak = self.peak.max(anonymous_kib());
            first = next;
        }
    }

    fn report(&self, case: &str, packets: u64, tracker: &Tracker) {
        let per_packet =
            |time: std::time::Duration| tenths(time.as_nanos() as f64 / packets as f64);
        let stats = tracker.stats();
        println!(
            "{}",
            json!({
                "case": case,
                "packets": packets,
                "ns_per_packet": per_packet(self.clock.wall),
                "cpu_ns_per_packet": per_packet(self.clock.processor),
                "memory_kib": self.peak - self.before,
                "flows_peak": stats.flows_peak,
                "flows_evicted": stats.flows_evicted,
            })
        );
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
