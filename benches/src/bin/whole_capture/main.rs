//! What a packet of a capture costs in processor time and memory, and what is found in it.
//!
//! Prints a JSON line for each mode and capture, in a process of its own.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

mod measure;
mod work;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use flow::extract::{AutoDetectEncap, FiveTuple};
use flow::http::BodyPolicy;
use flow::{ChecksumPolicy, FlowTrackerConfig};
use flow_benches::each_in_its_own_process;
use serde_json::Value;

use crate::measure::measure;
use crate::work::{Batch, Extract, Iterate, Quiet, Track};

const USAGE: &str = "\
usage: whole_capture [--max-flows N] MODE[,MODE...] CAPTURE...

modes:
  iterate      nothing: what the loop itself takes
  extract      the flow of each packet
  auto         the same, looking into tunnels
  track        flow table and TCP state, every event read
  quiet        the same without events
  batch        the same, 64 packets at a time
  idle         the session driver with a parser that does nothing
  reassemble   TCP streams in order
  unverified   the same without looking at checksums
  http         HTTP messages, their bodies counted
  http-kept    the same with the bodies, of up to 1 MiB
  all          HTTP, TLS and DNS messages on any port, HTTP bodies counted
  all-kept     the same with the bodies, of up to 1 MiB

N is what the flow table may hold, as is the variable HARNESS_MAX_FLOWS; 100,000 otherwise.";

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
    let mut config = FlowTrackerConfig::default();
    if let Ok(number) = std::env::var("HARNESS_MAX_FLOWS") {
        config.max_flows = number.parse()?;
    }
    if let Some(at) = arguments.iter().position(|argument| argument == "--max-flows") {
        config.max_flows = arguments.get(at + 1).ok_or(USAGE)?.parse()?;
        arguments.drain(at..at + 2);
    }
    let [modes, captures @ ..] = &arguments[..] else { return Err(USAGE.into()) };
    match captures {
        [] => Err(USAGE.into()),
        [capture] if !modes.contains(',') => {
            println!("{}", run_one(modes, Path::new(capture), config)?);
            Ok(())
        }
        captures => {
            let max_flows = config.max_flows.to_string();
            let words = |mode: &str, capture: &String| {
                ["--max-flows", &max_flows, mode, capture].map(str::to_owned).to_vec()
            };
            let runs = captures
                .iter()
                .flat_map(|capture| modes.split(',').map(move |mode| words(mode, capture)));
            each_in_its_own_process(&runs.collect::<Vec<_>>())
        }
    }
}

fn run_one(
    mode: &str,
    path: &Path,
    mut config: FlowTrackerConfig,
) -> Result<Value, Box<dyn Error>> {
    let five_tuple = FiveTuple::bidirectional();
    match mode {
        "iterate" => measure(mode, path, Iterate::default()),
        "extract" => measure(mode, path, Extract::new(five_tuple)),
        "auto" => measure(mode, path, Extract::new(AutoDetectEncap::new(five_tuple))),
        "track" => measure(mode, path, Track::new(config)),
        "quiet" => measure(mode, path, Quiet::new(config)),
        "batch" => measure(mode, path, Batch::new(config)),
        "idle" => measure(mode, path, work::idle(config)),
        "reassemble" => measure(mode, path, work::reassemble(config)),
        "unverified" => {
            config.checksums = ChecksumPolicy::Never;
            measure(mode, path, work::reassemble(config))
        }
        "http" => measure(mode, path, work::http(config, BodyPolicy::Skip)),
        "http-kept" => measure(mode, path, work::http(config, BodyPolicy::default())),
        "all" => measure(mode, path, work::all(config, BodyPolicy::Skip)),
        "all-kept" => measure(mode, path, work::all(config, BodyPolicy::default())),
        _ => Err(USAGE.into()),
    }
}
