//! `flow stats`: totals that add up.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use common::{captures, fixture, flow, flow_with_input, json, pcap, tcp};
use serde_json::{Value, json};

/// The object of `flow stats --format json`.
fn stats(arguments: &[&str]) -> Value {
    let output = flow(&[&["stats", "--format", "json"], arguments].concat());
    let lines = json(&output.stdout);
    assert_eq!(lines.len(), 1);
    lines.into_iter().next().unwrap()
}

fn sum(numbers: &Value) -> u64 {
    numbers.as_object().unwrap().values().filter_map(Value::as_u64).sum()
}

fn sum_of(groups: &Value, field: &str) -> u64 {
    groups.as_object().unwrap().values().map(|group| group[field].as_u64().unwrap()).sum()
}

/// Every packet of every fixture is in one flow, or skipped for one reason.
#[test]
fn packets_are_accounted_for() {
    for capture in captures() {
        for options in [&[][..], &["--extractor", "ip-pair"], &["--extractor", "mac-pair"]] {
            let stats = stats(&[options, &[capture.as_str()]].concat());
            let (packets, accounted) = (&stats["packets"], &stats["accounted"]);
            assert_eq!(packets, &accounted["sum"], "{capture}");
            assert_eq!(
                accounted["in_flows"].as_u64().unwrap() + accounted["skipped"].as_u64().unwrap(),
                packets.as_u64().unwrap()
            );
            assert_eq!(accounted["skipped"], sum(&stats["skipped"]), "{capture}");
            assert_eq!(packets, sum(&stats["link_types"]), "{capture}");
            assert_eq!(stats["filtered"], 0);
        }
    }
}

/// What is said of the flows is what `flow conv` says of each of them.
#[test]
fn flows_are_those_of_conv() {
    for capture in captures() {
        let lines = json(&flow(&["conv", "--format", "json", &capture]).stdout);
        let in_lines = |field: &str| {
            let both = lines.iter().flat_map(|line| [&line["fwd"][field], &line["rev"][field]]);
            both.map(|number| number.as_u64().unwrap()).sum::<u64>()
        };
        let stats = stats(&[&capture]);
        let flows = &stats["flows"];
        assert_eq!(stats["accounted"]["in_flows"], in_lines("packets"), "{capture}");
        assert_eq!(flows["started"], lines.len());
        assert_eq!(sum(&flows["by_reason"]), lines.len() as u64);
        for groups in [&flows["by_protocol"], &flows["by_ip_version"]] {
            assert_eq!(sum_of(groups, "flows"), lines.len() as u64);
            assert_eq!(sum_of(groups, "packets"), in_lines("packets"));
            assert_eq!(sum_of(groups, "bytes"), in_lines("bytes"));
        }
        for (reason, flows) in flows["by_reason"].as_object().unwrap() {
            let with = lines.iter().filter(|line| line["reason"] == reason.as_str()).count();
            assert_eq!(flows, with, "{capture}: {reason}");
        }
    }
}

#[test]
fn fields() {
    let stats = stats(&[&fixture("interfaces.pcapng")]);
    let expected = json!({
        "packets": 12,
        "bytes": 837,
        "captured_bytes": 837,
        "first": "2026-01-01T00:00:00.000500000Z",
        "last": "2026-01-01T00:00:00.018000000Z",
        "filtered": 0,
        "link_types": { "ETHERNET": 10, "RAW": 2 },
        "anomalies": {},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&stats[name], value, "{name}");
    }
    assert_eq!(
        stats["flows"]["by_protocol"],
        json!({
            "tcp": { "flows": 1, "packets": 10, "bytes": 699 },
            "udp": { "flows": 1, "packets": 2, "bytes": 138 },
        })
    );
    assert_eq!(stats["flows"]["by_state"], json!({ "closed": 1 }));
}

#[test]
fn skipped_packets_have_a_reason() {
    let mut lying = tcp(1, 2, b"");
    lying[32] = 0x10; // a TCP header of four bytes
    let frames: [&[u8]; 4] = [&tcp(0, 2, b""), &lying, &[], b"\x45"];
    let input = pcap(101, &frames);
    let arguments = ["stats", "--format", "json", "-"];
    let stats = &json(&flow_with_input(&arguments, &input).stdout)[0];
    assert_eq!(stats["accounted"], json!({ "in_flows": 1, "skipped": 3, "sum": 4 }));
    assert_eq!(
        (&stats["skipped"]["malformed"], &stats["skipped"]["truncated"]),
        (&1.into(), &2.into())
    );

    let output = flow_with_input(&arguments, &pcap(147, &frames));
    let stats = &json(&output.stdout)[0];
    assert_eq!(output.code, 1);
    assert_eq!(stats["skipped"]["unknown_link_type"], 4);
    assert_eq!(stats["skipped"]["unknown_link_types"], json!({ "147": 4 }));
    assert_eq!(stats["accounted"]["sum"], 4);
}

/// A segment without ACK is not one that a host would accept.
#[test]
fn tcp_and_anomalies() {
    let frames = [tcp(0, 2, b""), tcp(0, 2, b""), tcp(1, 0, b"x")];
    let input = pcap(101, &frames.each_ref().map(Vec::as_slice));
    let output = flow_with_input(&["stats", "--format", "json", "-"], &input);
    let stats = &json(&output.stdout)[0];
    assert_eq!(stats["tcp"]["syn_retransmissions"], 1);
    let rejected = &stats["tcp"]["rejected_segments"];
    assert_eq!(sum(rejected), 1);
    assert_eq!(&stats["anomalies"], rejected);

    let output = flow_with_input(&["stats", "--format", "json", "--anomalies", "-"], &input);
    let lines = json(&output.stdout);
    assert_eq!((lines.len(), &lines[0]["type"]), (2, &"anomaly".into()));
    assert_eq!(&lines[1], stats);
}

#[test]
fn segments_that_will_not_get_far() {
    let input = pcap(101, &[&tcp(0, 2, b"")]);
    let rejected = |ttl: &str| {
        let arguments = ["stats", "--format", "json", "--min-ttl", ttl, "-"];
        json(&flow_with_input(&arguments, &input).stdout)[0]["tcp"]["rejected_segments"].clone()
    };
    assert_eq!(rejected("64"), json!({}));
    assert_eq!(rejected("65"), json!({ "low_ttl": 1 }));
}

#[test]
fn table_has_the_same_numbers() {
    let file = fixture("http_gap.pcap");
    let object = stats(&[&file]);
    let output = flow(&["stats", "--format", "csv", &file]);
    let mut rows = output.stdout.lines();
    assert_eq!(rows.next(), Some("name,value"));
    let mut seen = 0;
    for row in rows {
        let (path, value) = row.split_once(',').unwrap();
        let found = object.pointer(&format!("/{}", path.replace('.', "/"))).unwrap();
        assert_eq!(found.to_string().trim_matches('"'), value, "{path}");
        seen += 1;
    }
    assert!(seen > 20);
}

/// A packet in fragments is in its flow with the frame that made it whole, the others are skipped.
#[test]
fn fragments() {
    let check = |name: &str, in_flows: u64, skipped: u64, anomalies: &Value| {
        let stats = stats(&[&fixture(name)]);
        assert_eq!(stats["accounted"]["in_flows"], in_flows, "{name}");
        assert_eq!(stats["skipped"]["fragments"], skipped, "{name}");
        assert_eq!(stats["accounted"]["skipped"], skipped, "{name}");
        assert_eq!(&stats["anomalies"], anomalies, "{name}");
    };
    check("fragments_ipv4.pcap", 4, 12, &json!({ "frag_overlap": 1 }));
    check("fragments_ipv6.pcap", 4, 9, &json!({ "frag_overlap": 1 }));
    check("fragments_tunnel.pcap", 6, 7, &json!({}));
}

#[test]
fn text_has_sections() {
    let output = flow(&["stats", &fixture("tcp_rst.pcap")]);
    let line = |name: &str| {
        let line = output.stdout.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
        line.split_whitespace().last().unwrap().to_owned()
    };
    assert_eq!(
        (line("packets"), line("bytes"), line("sum")),
        ("7".into(), "892".into(), "7".into())
    );
    assert_eq!((line("ETHERNET"), line("rst")), ("7".into(), "1".into()));
    assert_eq!(line("flows by protocol"), "bytes");
}

#[test]
fn capture_without_packets() {
    let file = fixture("empty.pcap");
    let output = flow(&["stats", "--format", "json", &file]);
    assert_eq!((output.code, output.stderr), (0, format!("flow: {file}: offset 24: no packets\n")));
    let stats = &json(&output.stdout)[0];
    assert_eq!((&stats["packets"], &stats["first"]), (&0.into(), &Value::Null));
}
