//! The command on every fixture: what stands in `NAME.expected.json` is in its output.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use std::path::{Path, PathBuf};

use common::{fixtures, flow};
use flow::extract::{FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{
    EndReason, Flow, FlowSide, FlowSink, FlowTracker, IcmpError, L4Proto, Orientation, Timestamp,
};
use serde_json::{Value, json};

/// Captures that have expectations, with these.
fn expectations() -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if let Some(stem) = name.strip_suffix(".expected.json") {
            let expected = std::fs::read_to_string(&path).unwrap();
            found.push((capture(stem), serde_json::from_str(&expected).unwrap()));
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert!(!found.is_empty());
    found
}

fn capture(stem: &str) -> PathBuf {
    let mut captures = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let is_capture = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.split_once('.').is_some_and(|(name, rest)| name == stem && rest != "expected.json")
    };
    captures.find(is_capture).unwrap_or_else(|| panic!("no capture for {stem}"))
}

/// Whether `actual` has everything that `expected` has; says what it lacks.
fn subset(expected: &Value, actual: &Value, at: &str) -> Result<(), String> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected.iter().try_for_each(|(name, expected)| {
                let actual = actual.get(name).unwrap_or(&Value::Null);
                subset(expected, actual, &format!("{at}.{name}"))
            })
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            let pairs = expected.iter().zip(actual).enumerate();
            pairs.into_iter().try_for_each(|(i, (expected, actual))| {
                subset(expected, actual, &format!("{at}[{i}]"))
            })
        }
        _ if expected == actual => Ok(()),
        _ => Err(format!("{at} is {actual}, expected {expected}")),
    }
}

/// The lines by flow and side, since an expectation does not say how those interleave; in their
/// order for each.
fn by_stream(mut lines: Vec<Value>) -> Value {
    lines.sort_by_key(|line| (line["flow"].as_u64(), line["side"].as_str().map(str::to_owned)));
    Value::Array(lines)
}

#[track_caller]
fn check_lines(command: &str, capture: &Path, expected: &Value) -> Result<(), String> {
    let output = flow(&[command, "--format", "json", capture.to_str().unwrap()]);
    let lines = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let wanted = expected[command].as_array().unwrap().clone();
    subset(&by_stream(wanted), &by_stream(lines), command)
        .map_err(|lack| format!("{lack}\n  {}", output.stdout))?;
    let error = &expected["error"];
    let code = error["exit"].as_i64().unwrap_or(0);
    if i64::from(output.code) != code {
        return Err(format!("exit status {}: {}", output.code, output.stderr));
    }
    if error.is_null() {
        return if output.stderr.is_empty() { Ok(()) } else { Err(output.stderr) };
    }
    let offset = format!("{}: offset {}: ", capture.display(), error["offset"]);
    for part in [offset.as_str(), error["contains"].as_str().unwrap_or_default()] {
        if !output.stderr.contains(part) {
            return Err(format!("{:?} lacks {part:?}", output.stderr));
        }
    }
    Ok(())
}

fn check_all(command: &str) {
    let mut failed = Vec::new();
    for (capture, expected) in expectations() {
        if let Err(lack) = check_lines(command, &capture, &expected) {
            failed.push(format!("{}: {lack}", capture.display()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn conv() {
    check_all("conv");
}

#[test]
fn streams() {
    check_all("streams");
}

#[test]
fn log() {
    check_all("log");
}

/// The numbers of the flows are the same in all commands.
#[test]
fn flow_numbers_agree() {
    for (capture, _) in expectations() {
        let ends = |command: &str| {
            let output = flow(&[command, "--format", "json", capture.to_str().unwrap()]);
            let lines = output.stdout.lines().map(|line| serde_json::from_str(line).unwrap());
            lines
                .filter(|line: &Value| line["side"] != "responder" || command != "streams")
                .map(|line| (line["flow"].to_string(), line["src"].clone(), line["sport"].clone()))
                .collect::<Vec<_>>()
        };
        let flows = ends("conv");
        for command in ["streams", "follow", "log"] {
            for line in ends(command) {
                assert!(flows.contains(&line), "{}: {command} {line:?}", capture.display());
            }
        }
    }
}

/// What ICMP errors say of flows, in the words of the expectations.
#[derive(Default)]
struct IcmpErrors {
    lines: Vec<Value>,
    icmp_flows: usize,
}

impl FlowSink<FiveTupleKey, ()> for IcmpErrors {
    fn icmp_error(
        &mut self,
        flow: &mut Flow<FiveTupleKey, ()>,
        side: FlowSide,
        IcmpError { icmp_type, code }: IcmpError,
        _number: u64,
        ts: Timestamp,
    ) {
        let FiveTupleKey { a, b, .. } = *flow.key();
        let (src, dst) = if flow.initiator() == Orientation::Forward { (a, b) } else { (b, a) };
        let side = if side == FlowSide::Initiator { "initiator" } else { "responder" };
        self.lines.push(json!({
            "flow": flow.id(), "side": side, "type": icmp_type, "code": code, "ts": ts.to_string(),
            "src": src.ip(), "sport": src.port(), "dst": dst.ip(), "dport": dst.port(),
        }));
    }

    fn ended(&mut self, flow: &mut Flow<FiveTupleKey, ()>, _: EndReason, _: Timestamp) {
        let is_icmp = matches!(flow.l4(), Some(L4Proto::Icmp | L4Proto::Icmpv6));
        self.icmp_flows += usize::from(is_icmp);
    }
}

/// A tracker that looks for the packets which ICMP errors quote has them in these packets' flows.
#[test]
fn icmp_errors() {
    let mut seen = 0;
    for (capture, expected) in expectations() {
        let Some(wanted) = expected["icmp_errors"].as_array() else { continue };
        let extractor = FiveTuple::bidirectional().with_icmp_errors(true);
        let mut tracker = FlowTracker::<_, ()>::new(extractor);
        let mut sink = IcmpErrors::default();
        for view in PcapFlowSource::open(&capture).unwrap().views() {
            tracker.track_with(view.unwrap().as_view(), &mut sink);
        }
        tracker.finish_with(&mut sink);
        assert_eq!(&sink.lines, wanted, "{}", capture.display());
        assert_eq!(sink.icmp_flows, 0);
        seen += wanted.len();
    }
    assert_eq!(seen, 3);
}
