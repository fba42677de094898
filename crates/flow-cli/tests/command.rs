//! What the command does with inputs, arguments and pipes.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use common::{command, fixture, flow, flow_with_input};
use serde_json::Value;

const COMMANDS: [&str; 3] = ["conv", "streams", "log"];

fn json(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A pcap file of these frames, a millisecond apart.
fn pcap(link_type: u32, frames: &[&[u8]]) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, link_type] {
        file.extend(u32::to_le_bytes(field));
    }
    for (i, frame) in (0..).zip(frames) {
        let len = u32::try_from(frame.len()).unwrap();
        for field in [1_700_000_000, i * 1_000, len, len] {
            file.extend(u32::to_le_bytes(field));
        }
        file.extend_from_slice(frame);
    }
    file
}

/// An IPv4 packet of TCP with this payload, for link type RAW. Checksums are not looked at.
fn tcp(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(40 + payload.len()).unwrap();
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend([0x9c, 0x40, 0, 80]);
    packet.extend(seq.to_be_bytes());
    packet.extend(1u32.to_be_bytes());
    packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(payload);
    packet
}

#[test]
fn standard_input_is_a_file_too() {
    let capture = std::fs::read(fixture("http_get.pcap")).unwrap();
    for command in COMMANDS {
        let named = flow(&[command, "--format", "json", &fixture("http_get.pcap")]);
        let piped = flow_with_input(&[command, "--format", "json", "-"], &capture);
        assert_eq!((piped.stdout, piped.code), (named.stdout, 0));
    }
    let cut = flow_with_input(&["conv", "-"], &capture[..100]);
    assert_eq!(cut.code, 1);
    assert!(cut.stderr.starts_with("flow: standard input: offset "), "{}", cut.stderr);
}

#[test]
fn files_are_one_source() {
    let files = [fixture("dns_udp.pcap"), fixture("http_get.pcap")];
    let one = json(&flow(&["log", "--format", "json", &files[0]]).stdout);
    let both = json(&flow(&["log", "--format", "json", &files[0], &files[1]]).stdout);
    let (first, second) = both.split_at(one.len());
    assert_eq!(first, one);
    let flows = json(&flow(&["conv", "--format", "json", &files[0]]).stdout).len();
    let packets = json(&flow(&["conv", "--format", "json", &files[0]]).stdout)
        .iter()
        .flat_map(|flow| ["fwd", "rev"].map(|way| flow[way]["packets"].as_u64().unwrap()))
        .sum::<u64>();
    assert_eq!(second[0]["flow"], flows);
    assert_eq!(second[0]["frame"], packets + 4);
}

#[test]
fn damage_costs_what_is_behind_it() {
    let (cut, whole) = (fixture("truncated.pcap"), fixture("dns_udp.pcap"));
    let output = flow(&["log", "--format", "json", &cut, &whole]);
    assert_eq!(output.code, 1);
    assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    assert!(output.stderr.starts_with(&format!("flow: {cut}: offset ")), "{}", output.stderr);
    let before = json(&flow(&["log", "--format", "json", &cut]).stdout).len();
    let behind = json(&flow(&["log", "--format", "json", &whole]).stdout).len();
    assert!(before > 0);
    assert_eq!(json(&output.stdout).len(), before + behind);
}

#[test]
fn what_is_no_capture_is_named() {
    for (name, reason) in [("zero.pcap", "empty"), ("random.pcap", "not a capture")] {
        for command in COMMANDS {
            let output = flow(&[command, &fixture(name)]);
            assert_eq!(output.code, 1);
            let start = format!("flow: {}: offset 0: ", fixture(name));
            assert!(output.stderr.starts_with(&start), "{}", output.stderr);
            assert!(output.stderr.contains(reason), "{}", output.stderr);
        }
    }
    let output = flow(&["conv", "no/such/file.pcap"]);
    assert_eq!(output.code, 1);
    assert!(output.stderr.starts_with("flow: no/such/file.pcap: "), "{}", output.stderr);
}

#[test]
fn capture_without_packets_says_so() {
    for command in COMMANDS {
        let file = fixture("empty.pcap");
        let output = flow(&[command, "--format", "json", &file]);
        assert_eq!((output.stdout.as_str(), output.code), ("", 0));
        assert_eq!(output.stderr, format!("flow: {file}: offset 24: no packets\n"));
    }
}

#[test]
fn wrong_arguments() {
    let wrong: [&[&str]; 8] = [
        &[],
        &["conv"],
        &["nonsense", "-"],
        &["conv", "--format", "xml", "-"],
        &["streams", "--extractor", "ip-pair", "-"],
        &["log", "--max-flows", "0", "-"],
        &["conv", "--idle-timeout", "-1", "-"],
        &["conv", "--idle-timeout", "soon", "-"],
    ];
    for arguments in wrong {
        let output = flow(arguments);
        assert_eq!((output.stdout.as_str(), output.code), ("", 2), "{arguments:?}");
        assert!(!output.stderr.is_empty());
    }
}

#[test]
fn help_and_version() {
    for command in COMMANDS {
        let output = flow(&[command, "--help"]);
        assert_eq!(output.code, 0);
        assert!(output.stdout.contains("--max-flows"));
    }
    let version = format!("flow {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(flow(&["--version"]).stdout, version);
}

#[test]
fn closed_pipe_ends_quietly() {
    // More lines than any pipe holds.
    let frame = |i: u32| {
        let mut packet = tcp(1, 2, b"");
        packet[20..22].copy_from_slice(&u16::try_from(i & 0xffff).unwrap().to_be_bytes());
        packet
    };
    let frames: Vec<Vec<u8>> = (0..20_000).map(frame).collect();
    let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
    let capture = std::env::temp_dir().join(format!("flow-cli-pipe-{}.pcap", std::process::id()));
    std::fs::write(&capture, pcap(101, &frames)).unwrap();
    for format in ["text", "json"] {
        let mut child = command(&["conv", "--format", format, capture.to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!line.is_empty());
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
        assert_eq!(output.status.code(), Some(0));
    }
    std::fs::remove_file(&capture).unwrap();
}

#[test]
fn unknown_link_types_are_told() {
    let output = flow_with_input(&["conv", "--format", "json", "-"], &pcap(147, &[b"a", b"b"]));
    assert_eq!((output.stdout.as_str(), output.code), ("", 1));
    assert_eq!(
        output.stderr,
        "flow: standard input: no packet of a known link type\n\
         flow: unknown link type 147: 2 packets skipped\n"
    );
}

#[test]
fn text_from_the_wire_is_escaped() {
    let request = b"GET /\x1b[2J\xc2\x9b HTTP/1.1\r\nHost: a\x1b]0;b\x07\r\n\r\n";
    let frames = [tcp(0, 2, b""), tcp(1, 0x18, request)];
    let frames = frames.each_ref().map(Vec::as_slice);
    for command in COMMANDS {
        let output = flow_with_input(&[command, "-"], &pcap(101, &frames));
        assert_eq!(output.code, 0, "{}", output.stderr);
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!output.stdout.contains(control), "{:?}", output.stdout);
    }
}

#[test]
fn bytes_that_are_not_utf8_are_latin_1() {
    let request = b"GET / HTTP/1.1\r\nHost: h\r\nX-Name: caf\xe9\r\n\r\n";
    let frames = [tcp(0, 2, b""), tcp(1, 0x18, request)];
    let frames = frames.each_ref().map(Vec::as_slice);
    let output = flow_with_input(&["log", "--format", "json", "-"], &pcap(101, &frames));
    assert_eq!(json(&output.stdout)[0]["headers"][1][1], "caf\u{e9}");
}

#[test]
fn every_tcp_flow_has_two_streams() {
    let output =
        flow_with_input(&["streams", "--format", "json", "-"], &pcap(101, &[&tcp(0, 2, b"")]));
    let lines = json(&output.stdout);
    assert_eq!(lines.len(), 2);
    for line in &lines {
        assert_eq!(line["bytes"], 0);
        assert!(line["sha256"].as_str().unwrap().starts_with("e3b0c44298fc1c14"));
        assert_eq!(line["end"], "eof");
    }
    assert_eq!(lines[0]["src"], lines[1]["dst"]);
}

#[test]
fn extractors() {
    let ends = |extractor: &str, file: &str| {
        let file = fixture(file);
        let output = flow(&["conv", "--format", "json", "--extractor", extractor, &file]);
        let lines = json(&output.stdout);
        (lines.len(), lines[0].clone())
    };
    let (flows, first) = ends("ip-pair", "dns_udp.pcap");
    assert_eq!((flows, &first["src"], &first["sport"]), (1, &"10.0.0.1".into(), &Value::Null));
    let (flows, first) = ends("mac-pair", "dns_udp.pcap");
    assert_eq!((flows, first["src"].as_str().unwrap().len()), (1, 17));
}

#[test]
fn tunnels_are_left_closed_on_request() {
    let conv = |options: &[&str]| {
        let file = fixture("vxlan_http.pcap");
        let arguments = [&["conv", "--format", "json"], options, &[file.as_str()]].concat();
        json(&flow(&arguments).stdout)
    };
    assert!(conv(&[]).iter().any(|flow| flow["proto"] == "tcp"));
    assert!(conv(&["--no-decap"]).iter().all(|flow| flow["proto"] == "udp"));
}

#[test]
fn table_of_one_flow_evicts() {
    let file = fixture("dns_udp.pcap");
    let output = flow(&["conv", "--format", "json", "--max-flows", "1", "--anomalies", &file]);
    let lines = json(&output.stdout);
    assert!(lines.iter().any(|line| line["reason"] == "evicted"));
    assert!(lines.iter().any(|line| line["kind"] == "flow_table_eviction_pressure"));
}
