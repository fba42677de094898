//! `--format csv`: the fields of the JSON output in columns.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use common::{captures, fixture, flow, flow_with_input, json, pcap, tcp};
use serde_json::Value;

type Row = std::collections::HashMap<String, String>;

fn rows(table: &str) -> Vec<Row> {
    csv::Reader::from_reader(table.as_bytes()).deserialize().map(Result::unwrap).collect()
}

/// A value of the JSON output as a table shows it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// Every column whose name is that of a field, with `fwd_` and `rev_` for what is nested, has its
/// value; `different` are not such columns.
fn check(command: &str, different: &[&str]) {
    let mut compared = 0;
    for capture in captures() {
        let lines = json(&flow(&[command, "--format", "json", &capture]).stdout);
        let rows = rows(&flow(&[command, "--format", "csv", &capture]).stdout);
        assert_eq!(rows.len(), lines.len(), "{capture}");
        for (row, line) in rows.iter().zip(&lines) {
            for (column, cell) in row.iter().filter(|(c, _)| !different.contains(&c.as_str())) {
                let field = match column.split_once('_') {
                    Some((way @ ("fwd" | "rev"), field)) => &line[way][field],
                    _ => &line[column],
                };
                assert_eq!(cell, &shown(field), "{capture}: {column}");
                compared += 1;
            }
        }
    }
    assert!(compared > 100);
}

#[test]
fn conv() {
    check("conv", &[]);
}

#[test]
fn streams() {
    check("streams", &["gaps", "gap_bytes"]);
    let table = flow(&["streams", "--format", "csv", &fixture("http_gap.pcap")]).stdout;
    let gaps = rows(&table).iter().map(|row| (row["gaps"].clone(), row["gap_bytes"].clone())).max();
    assert_eq!(gaps, Some(("1".to_owned(), "633".to_owned())));
}

#[test]
fn follow() {
    check("follow", &[]);
}

#[test]
fn log() {
    check("log", &["summary"]);
    let table = flow(&["log", "--format", "csv", &fixture("http_get.pcap")]).stdout;
    let text = flow(&["log", &fixture("http_get.pcap")]).stdout;
    for (row, line) in rows(&table).iter().zip(text.lines().skip(1)) {
        assert!(line.ends_with(&format!(" {}", row["summary"])), "{line}");
    }
}

#[test]
fn heading_alone() {
    let table = flow(&["conv", "--format", "csv", &fixture("empty.pcap")]).stdout;
    assert_eq!(
        table,
        "flow,proto,src,sport,dst,dport,start,end,fwd_packets,fwd_bytes,fwd_payload_bytes,\
         rev_packets,rev_bytes,rev_payload_bytes,state,reason,conn_state,history,encap\n"
    );
}

#[test]
fn text_from_the_wire_is_quoted() {
    let request = b"GET /a,\"b\"\xc2\x9b HTTP/1.1\r\nHost: h\r\n\r\n";
    let frames = [tcp(0, 2, b""), tcp(1, 0x18, request)];
    let input = pcap(101, &frames.each_ref().map(Vec::as_slice));
    let table = flow_with_input(&["log", "--format", "csv", "-"], &input).stdout;
    assert!(table.ends_with(",request,\"GET h/a,\"\"b\"\"\\x9b\"\n"), "{table:?}");
}

/// Anomalies are rows of the log like others.
#[test]
fn anomalies_of_the_log() {
    let file = fixture("http_gap.pcap");
    let lines = json(&flow(&["log", "--format", "json", "--anomalies", &file]).stdout);
    let rows = rows(&flow(&["log", "--format", "csv", "--anomalies", &file]).stdout);
    assert_eq!(rows.len(), lines.len());
    let mut seen = 0;
    for (row, line) in rows.iter().zip(&lines).filter(|(_, line)| line["type"] == "anomaly") {
        assert_eq!((&row["type"], &row["flow"]), (&"anomaly".to_owned(), &shown(&line["flow"])));
        assert!(row["summary"].starts_with(line["kind"].as_str().unwrap()));
        seen += 1;
    }
    assert!(seen > 0);
}
