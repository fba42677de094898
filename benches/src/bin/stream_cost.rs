//! What the streams of `flow-tokio` cost beside the driver that they are made of.
//!
//! Both read the same capture from its map and find the same messages, in turn, in one process.
//! Prints a JSON line with the medians.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use flow::extract::FiveTuple;
use flow::http::{BodyPolicy, HttpConfig, HttpParser};
use flow::pcap::PcapFlowSource;
use flow::tokio::CaptureFile;
use flow::{FlowSessionDriver, SessionEvent};
use flow_benches::Stopwatch;
use futures_util::StreamExt as _;
use serde_json::json;

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
        let path = Path::new(capture);
        let (mut driver, mut stream) = (Vec::new(), Vec::new());
        let mut found = by_driver(path)?;
        for _ in 0..rounds {
            let one = by_driver(path)?;
            let other = by_stream(path)?;
            if (one.packets, one.messages) != (other.packets, other.messages) {
                return Err(format!("{capture}: not the same messages").into());
            }
            driver.push(one.nanos);
            stream.push(other.nanos);
            found = one;
        }
        let (driver, stream) = (median(&mut driver), median(&mut stream));
        println!(
            "{}",
            json!({
                "capture": path.file_stem().unwrap_or_default().to_string_lossy(),
                "packets": found.packets,
                "messages": found.messages,
                "driver_cpu_ns_per_packet": driver.round(),
                "stream_cpu_ns_per_packet": stream.round(),
                "ratio": (stream / driver * 1000.0).round() / 1000.0,
            })
        );
    }
    Ok(())
}

/// What a way through a capture found, and took: processor time of each packet.
struct Found {
    packets: u64,
    messages: u64,
    nanos: f64,
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut events =
        CaptureFile::open(path)?.flow_stream(FiveTuple::bidirectional()).session_stream(parser());
    let mut messages = 0;
    let mut clock = Stopwatch::default();
    clock.time(|| {
        runtime.block_on(async {
            while let Some(event) = events.next().await {
                messages += u64::from(matches!(event?, SessionEvent::Application { .. }));
            }
            Ok::<_, flow::tokio::Error>(())
        })
    })?;
    Ok(Found::new(events.tracker_stats().packets, messages, &clock))
}

impl Found {
    fn new(packets: u64, messages: u64, clock: &Stopwatch) -> Self {
        let nanos = clock.processor.as_nanos() as f64 / packets.max(1) as f64;
        Self { packets, messages, nanos }
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}
