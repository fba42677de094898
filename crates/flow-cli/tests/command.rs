//! What the command does with inputs, arguments and pipes.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use common::{command, fixture, flow, flow_with_input, json, pcap, tcp};
use serde_json::Value;

const COMMANDS: [&str; 4] = ["conv", "streams", "follow", "log"];

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
    let wrong: [&[&str]; 28] = [
        &[],
        &["conv"],
        &["nonsense", "-"],
        &["conv", "--format", "xml", "-"],
        &["stats"],
        &["stats", "--max-buffer", "1", "-"],
        &["streams", "--extractor", "ip-pair", "-"],
        &["log", "--extractor", "mac-pair", "-"],
        &["conv", "--format", "csv", "--anomalies", "-"],
        &["streams", "--format", "csv", "--anomalies", "-"],
        &["follow", "--extractor", "ip-pair", "-"],
        &["follow", "--format", "csv", "--anomalies", "-"],
        &["follow", "--flow", "-1", "-"],
        &["follow", "--flow", "first", "-"],
        &["follow", "--side", "client", "-"],
        &["follow", "--hex", "--format", "json", "-"],
        &["follow", "--hex", "--raw", "--flow", "0", "--side", "initiator", "-"],
        &["follow", "--raw", "--flow", "0", "--side", "initiator", "--anomalies", "-"],
        &["follow", "--raw", "--flow", "0", "--side", "initiator", "--output", "no/such", "-"],
        &["follow", "--raw", "--flow", "0", "-"],
        &["follow", "--raw", "--flow", "0,1", "--side", "initiator", "-"],
        &["follow", "--raw", "--side", "initiator", "-"],
        &["streams", "--on-overflow", "panic", "-"],
        &["stats", "--filter", "tcp portt 80", "-"],
        &["log", "--reset-linger", "NaN", "-"],
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
fn wrong_arguments_are_explained() {
    let check = |arguments: &[&str], words: &str| {
        let stderr = flow(arguments).stderr;
        assert!(stderr.contains(words), "{stderr}");
    };
    check(&["conv", "--idle-timeout", "-1", "-"], "time does not go back");
    check(&["conv", "--close-linger", "soon", "-"], "not a number of seconds, such as 30 or 0.5");
    check(&["log", "--extractor", "ip-pair", "-"], "they need `--extractor five-tuple`");
    check(&["follow", "--raw", "--flow", "0", "-"], "needs `--flow` with one number, and `--side");
    check(
        &["conv", "--format", "csv", "--anomalies", "-"],
        "`--anomalies` needs another `--format`",
    );
}

#[test]
fn help_and_version() {
    for command in COMMANDS.into_iter().chain(["stats"]) {
        let output = flow(&[command, "--help"]);
        assert_eq!(output.code, 0);
        assert!(output.stdout.contains("--max-flows"));
    }
    let version = format!("flow {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(flow(&["--version"]).stdout, version);
}

#[test]
fn columns_of_conv() {
    let output = flow(&["conv", &fixture("tcp_rst.pcap")]);
    let (heading, line) = output.stdout.trim_end().split_once('\n').unwrap();
    let at = |text: &str, word: &str| text.find(word).unwrap();
    assert!(heading.ends_with(" state             conn   history"), "{heading}");
    for (column, word) in [("state", "reset rst"), ("conn ", "RSTR"), ("history", "ShADdr")] {
        assert_eq!(at(heading, column), at(line, word), "{column}: {line}");
    }
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
    for format in ["text", "json", "csv"] {
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
fn a_flow_that_overflows_ends_with_what_was_delivered() {
    let options = ["--format", "json", "--max-buffer", "100", "--on-overflow", "end-flow"];
    let file = fixture("http_gap.pcap");
    let lines = json(&flow(&[&["streams"], &options[..], &[file.as_str()]].concat()).stdout);
    let ends = lines.iter().map(|line| (line["bytes"].as_u64().unwrap(), line["end"].as_str()));
    let expected = [(67, Some("overflow")), (634, Some("overflow"))];
    // What comes behind is another flow.
    assert_eq!(ends.take(2).collect::<Vec<_>>(), expected, "{lines:?}");
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
fn icmp_errors_count_with_their_flow_on_request() {
    let file = fixture("icmp_unreachable.pcap");
    let packets =
        |flow: &Value| [&flow["fwd"]["packets"], &flow["rev"]["packets"]].map(Value::clone);
    let with = json(&flow(&["conv", "--format", "json", "--icmp-errors", &file]).stdout);
    assert_eq!((with.len(), packets(&with[0])), (1, [2.into(), 2.into()]));
    // The router answered, the server did not.
    assert_eq!(with[0]["conn_state"], "S0");
    let without = json(&flow(&["conv", "--format", "json", &file]).stdout);
    assert_eq!((without.len(), packets(&without[0])), (2, [2.into(), 0.into()]));
    let stats = json(&flow(&["stats", "--format", "json", "--icmp-errors", &file]).stdout);
    assert_eq!(stats[0]["flows"]["icmp_errors"], 2, "{stats:?}");
}

#[test]
fn table_of_one_flow_evicts() {
    let file = fixture("dns_udp.pcap");
    let output = flow(&["conv", "--format", "json", "--max-flows", "1", "--anomalies", &file]);
    let lines = json(&output.stdout);
    assert!(lines.iter().any(|line| line["reason"] == "evicted"));
    assert!(lines.iter().any(|line| line["kind"] == "flow_table_eviction_pressure"));
}

#[test]
fn community_ids() {
    let conv = |file: &str, options: &[&str]| {
        let file = fixture(file);
        json(&flow(&[&["conv", "--format", "json"], options, &[file.as_str()]].concat()).stdout)
    };
    let check = |file: &str, options: &[&str], expected: Option<&str>| {
        assert_eq!(conv(file, options)[0]["community_id"].as_str(), expected);
    };
    // SHA-1 of seed, addresses, protocol and ports, computed by other means.
    let udp = "1:k2uSKQmZjrnu5vj8JRewjN9H9Rc=";
    check("dns_udp.pcap", &["--community-id"], Some(udp));
    check("dns_udp.pcap", &["--community-id=0"], Some(udp));
    check("dns_udp.pcap", &["--community-id=1"], Some("1:npr3s+WmMqbr7N/qn1CrCl5d0gE="));
    check("dns_udp.pcap", &[], None);
    check("icmp_echo.pcap", &["--community-id"], Some("1:YcMyyWJfhc95EW1GfXt6jlZ3DiQ="));
    check("dns_udp.pcap", &["--community-id", "--extractor", "ip-pair"], None);

    let file = fixture("dns_udp.pcap");
    let table = flow(&["conv", "--format", "csv", "--community-id", &file]).stdout;
    let mut lines = table.lines().map(|line| line.rsplit(',').next().unwrap());
    assert_eq!((lines.next(), lines.next()), (Some("community_id"), Some(udp)));
}
