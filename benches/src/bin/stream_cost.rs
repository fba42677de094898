//! What the streams of `flow-tokio` cost beside the driver that they are made of, and what is gained by
//! engines in threads.
//!
//! All read the same capture from its map and find the same messages, in turn, in one process. Prints
//! a JSON line with the medians: processor time, and for engines in threads the time that passes.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use flow::extract::FiveTuple;
use flow::http::{BodyPolicy, HttpConfig, HttpParser};
use flow::pcap::PcapFlowSource;
use flow::tokio::{CaptureFile, FanOut};
use flow::{FlowRouter, FlowSessionDriver, SessionEvent};
use flow_benches::Stopwatch;
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value, json};

const USAGE: &str = "usage: stream_cost [--rounds N] CAPTURE...";

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
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rounds = 7;
    if let Some(at) = arguments.iter().position(|argument| argument == "--rounds") {
        rounds = arguments.get(at + 1).ok_or(USAGE)?.parse()?;
        arguments.drain(at..at + 2);
    }
    if arguments.is_empty() {
        return Err(USAGE.into());
    }
    for capture in &arguments {
        println!("{}", compare(Path::new(capture), rounds)?);
    }
    Ok(())
}

/// Engines in threads.
const SHARDS: [usize; 2] = [1, 2];

fn compare(path: &Path, rounds: usize) -> Result<Value, Box<dyn Error>> {
    let mut found = by_driver(path)?;
    let [mut driver, mut driver_wall, mut stream] = [(); 3].map(|()| Vec::new());
    let mut fan_out = SHARDS.map(|_| Vec::new());
    for _ in 0..rounds {
        found = by_driver(path)?;
        driver.push(found.nanos);
        driver_wall.push(found.wall_nanos);
        let same = |other: Found| {
            let is_same = (found.packets, found.messages) == (other.packets, other.messages);
            if is_same { Ok(other) } else { Err("not the same messages") }
        };
        stream.push(same(by_stream(path)?)?.nanos);
        for (shards, times) in SHARDS.into_iter().zip(&mut fan_out) {
            times.push(same(by_fan_out(path, shards)?)?.wall_nanos);
        }
    }
    let (driver, stream) = (median(&mut driver), median(&mut stream));
    Ok(json!({
        "capture": path.file_stem().unwrap_or_default().to_string_lossy(),
        "packets": found.packets,
        "messages": found.messages,
        "driver_cpu_ns_per_packet": driver.round(),
        "stream_cpu_ns_per_packet": stream.round(),
        "ratio": (stream / driver * 1000.0).round() / 1000.0,
        "driver_wall_ns_per_packet": median(&mut driver_wall).round(),
        "fan_out_wall_ns_per_packet": fan_out.map(|mut times| median(&mut times).round()),
    }))
}

/// What a way through a capture found, and took for each packet.
struct Found {
    packets: u64,
    messages: u64,
    /// Processor time.
    nanos: f64,
    /// Time that passed.
    wall_nanos: f64,
}

fn parser() -> HttpParser {
    let mut config = HttpConfig::default();
    config.body = BodyPolicy::Skip;
    HttpParser::with_config(config)
}

fn by_driver(path: &Path) -> Result<Found, Box<dyn Error>> {
    let mut source = PcapFlowSource::open(path)?;
    let mut driver = FlowSessionDriver::with_parser(FiveTuple::bidirectional(), parser());
    let mut messages = 0;
    let mut clock = Stopwatch::default();
    clock.time(|| -> Result<(), flow::pcap::Error> {
        while let Some(view) = source.next_view() {
            for event in driver.track(view?) {
                messages += u64::from(matches!(event, SessionEvent::Application { .. }));
            }
        }
        for event in driver.finish() {
            messages += u64::from(matches!(event, SessionEvent::Application { .. }));
        }
        Ok(())
    })?;
    Ok(Found::new(source.packets(), messages, &clock))
}

fn by_stream(path: &Path) -> Result<Found, Box<dyn Error>> {
    let mut events =
        CaptureFile::open(path)?.flow_stream(FiveTuple::bidirectional()).session_stream(parser());
    let (messages, clock) = count(&mut events)?;
    Ok(Found::new(events.tracker_stats().packets, messages, &clock))
}

fn by_fan_out(path: &Path, shards: usize) -> Result<Found, Box<dyn Error>> {
    let extractor = FiveTuple::bidirectional();
    let mut events =
        FanOut::new(CaptureFile::open(path)?, FlowRouter::new(extractor, shards), |_| {
            FlowSessionDriver::with_parser(extractor, parser())
        })?;
    let (messages, clock) = count(&mut events)?;
    Ok(Found::new(events.tracker_stats().packets, messages, &clock))
}

/// Takes all events on the clock, and counts the messages.
fn count<K, M, T>(mut events: T) -> Result<(u64, Stopwatch), Box<dyn Error>>
where
    T: Stream<Item = Result<SessionEvent<K, M>, flow::tokio::Error>> + Unpin,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut messages, mut clock) = (0, Stopwatch::default());
    clock.time(|| {
        runtime.block_on(async {
            while let Some(event) = events.next().await {
                messages += u64::from(matches!(event?, SessionEvent::Application { .. }));
            }
            Ok::<_, flow::tokio::Error>(())
        })
    })?;
    Ok((messages, clock))
}

impl Found {
    fn new(packets: u64, messages: u64, clock: &Stopwatch) -> Self {
        let per_packet = |time: Duration| time.as_nanos() as f64 / packets.max(1) as f64;
        let (nanos, wall_nanos) = (per_packet(clock.processor), per_packet(clock.wall));
        Self { packets, messages, nanos, wall_nanos }
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
