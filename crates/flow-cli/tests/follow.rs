//! `flow follow`: the bytes of TCP flows.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{captures, command, fixture, flow, flow_with_input, json, pcap, tcp};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const REUSED: &str = "\
flow 0 10.0.0.1:45000 -> 10.0.0.2:9000
> first question
< first answer

flow 1 10.0.0.1:45000 -> 10.0.0.2:9000
> second question
< second answer
";

/// A folder of this test alone; removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("flow-cli-follow-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a piece in JSON.
fn data(line: &Value) -> Vec<u8> {
    let text = line["data"].as_str().unwrap();
    let mut bytes = vec![0; text.len()];
    let len = STANDARD.decode_slice(text, &mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

fn raw(file: &str, flow: u64, side: &str) -> Vec<u8> {
    let flow = flow.to_string();
    let arguments = ["follow", "--raw", "--flow", &flow, "--side", side, file];
    command(&arguments).output().unwrap().stdout
}

/// The text of a fixture with these options.
#[track_caller]
fn check(file: &str, options: &[&str], expected: &str) {
    let file = fixture(file);
    let output = flow(&[&["follow"], options, &[file.as_str()]].concat());
    assert_eq!((output.stderr.as_str(), output.code), ("", 0));
    assert_eq!(output.stdout, expected);
}

#[test]
fn text() {
    let (first, second) = REUSED.split_once("\n\n").unwrap();
    check("tcp_port_reuse.pcap", &[], REUSED);
    check("tcp_port_reuse.pcap", &["--flow", "0"], &format!("{first}\n"));
    check("tcp_port_reuse.pcap", &["--flow", "1"], second);
    check("tcp_port_reuse.pcap", &["--flow", "1,0"], REUSED);
    check("tcp_port_reuse.pcap", &["--flow", "0", "--flow", "1"], REUSED);
    let questions = REUSED.replace("< first answer\n", "").replace("< second answer\n", "");
    check("tcp_port_reuse.pcap", &["--side", "initiator"], &questions);
    let answers = second.replace("> second question\n", "");
    check("tcp_port_reuse.pcap", &["--side", "responder", "--flow", "1"], &answers);
}

#[test]
fn what_is_missing_is_told_in_its_place() {
    let output = flow(&["follow", &fixture("http_gap.pcap")]);
    let part = "\
< 3 packets and no by
> GET /2 HTTP/1.1
> Host: www.example.com
> User-Agent: fixture/1.0
> \n\
<! [633 bytes missing: acked]
< no byte lost
";
    assert!(output.stdout.contains(part), "{}", output.stdout);
}

#[test]
fn hex_dump() {
    let expected = "\
flow 1 10.0.0.1:45000 -> 10.0.0.2:9000
> 00000000  73 65 63 6f 6e 64 20 71  75 65 73 74 69 6f 6e 0a  |second question.|
< 00000000  73 65 63 6f 6e 64 20 61  6e 73 77 65 72 0a        |second answer.|
";
    check("tcp_port_reuse.pcap", &["--hex", "--flow", "1"], expected);
    let output = flow(&["follow", "--hex", "--side", "responder", &fixture("http_gap.pcap")]);
    // Behind the gap the offsets go on with the bytes that are there.
    let part = "  |d no by|\n<! [633 bytes missing: acked]\n< 00000320  6e 6f 20 62 ";
    assert!(output.stdout.contains(part), "{}", output.stdout);
}

#[test]
fn raw_bytes_are_all_there_is() {
    assert_eq!(raw(&fixture("tcp_port_reuse.pcap"), 1, "responder"), b"second answer\n");
    let file = fixture("http_gap.pcap");
    let output = flow(&["follow", "--raw", "--flow", "0", "--side", "responder", &file]);
    assert_eq!(output.code, 0);
    assert!(output.stdout.starts_with("HTTP/1.1 200 OK\r\n"));
    assert!(output.stdout.ends_with("\r\n\r\nafter the hole\n"));
    assert_eq!(output.stderr, "flow: flow 0 responder: offset 167: 633 bytes missing: acked\n");
}

#[test]
fn pieces_in_the_order_of_delivery() {
    let output = flow(&["follow", "--format", "json", &fixture("http_reordered.pcap")]);
    let pieces: Vec<_> = json(&output.stdout)
        .iter()
        .map(|line| {
            ["frame", "first_frame", "offset", "len"].map(|name| line[name].as_u64().unwrap())
        })
        .collect();
    // Segments 4 and 5 came in the wrong order, and so did 8 and 9, 11 and 12.
    let expected = [
        [5, 5, 0, 30],
        [5, 4, 30, 45],
        [7, 7, 0, 300],
        [9, 9, 300, 400],
        [9, 8, 700, 400],
        [12, 12, 1100, 500],
        [12, 11, 1600, 467],
    ];
    assert_eq!(pieces, expected);
}

#[test]
fn gaps_are_objects_too() {
    let output = flow(&["follow", "--format", "json", &fixture("http_gap.pcap")]);
    let lines = json(&output.stdout);
    let gaps: Vec<_> = lines.iter().filter(|line| line["type"] == "gap").collect();
    let expected = serde_json::json!({
        "ts": "2026-01-01T00:00:00.007000000Z", "frame": 14, "first_frame": 14, "flow": 0,
        "src": "10.0.0.1", "sport": 40000, "dst": "10.0.0.2", "dport": 80,
        "side": "responder", "type": "gap", "offset": 167, "len": 633, "reason": "acked",
    });
    assert_eq!(gaps, [&expected]);
}

/// For every stream of every fixture: the pieces, the raw bytes and the file are what `flow
/// streams` has the digest of, and nothing lies between the pieces.
#[test]
fn all_forms_have_the_same_bytes() {
    let mut compared = 0;
    for capture in captures() {
        let streams = json(&flow(&["streams", "--format", "json", &capture]).stdout);
        let pieces = json(&flow(&["follow", "--format", "json", &capture]).stdout);
        let folder = Folder::new("all");
        let output = flow(&["follow", "--format", "json", "--output", folder.path(), &capture]);
        let files = json(&output.stdout);
        for stream in &streams {
            let is_of =
                |line: &&Value| ["flow", "side"].iter().all(|name| line[name] == stream[name]);
            let (mut bytes, mut at) = (Vec::new(), 0);
            for piece in pieces.iter().filter(is_of) {
                assert_eq!(piece["offset"], at, "{capture}: {piece}");
                at += piece["len"].as_u64().unwrap();
                if piece["type"] == "bytes" {
                    bytes.extend(data(piece));
                }
            }
            assert_eq!(stream["sha256"], sha256(&bytes), "{capture}");
            let (flow, side) = (stream["flow"].as_u64().unwrap(), stream["side"].as_str().unwrap());
            assert_eq!(raw(&capture, flow, side), bytes, "{capture}");
            let file = files.iter().find(is_of);
            assert_eq!(file.is_some(), at > 0, "{capture}");
            if let Some(file) = file {
                for name in ["bytes", "gaps", "end"] {
                    assert_eq!(file[name], stream[name], "{capture}: {name}");
                }
                assert_eq!(std::fs::read(file["file"].as_str().unwrap()).unwrap(), bytes);
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "{compared}");
}

#[test]
fn files_are_named_by_their_flows() {
    let folder = Folder::new("names");
    let inner = folder.0.join("a/b");
    let file = fixture("tcp_port_reuse.pcap");
    let arguments = ["follow", "--flow", "1", "--output", inner.to_str().unwrap(), &file];
    let output = flow(&arguments);
    let name = |side| inner.join(format!("10.0.0.1.45000-10.0.0.2.9000.1.{side}"));
    let line = |bytes, side| format!("{bytes:>12} {:>12} fin       {}\n", 0, name(side).display());
    let heading = format!("{:>12} {:>12} end       file\n", "bytes", "missing");
    assert_eq!(output.stdout, heading + &line(16, "initiator") + &line(14, "responder"));
    assert_eq!(std::fs::read(name("responder")).unwrap(), b"second answer\n");
    assert_eq!(std::fs::read_dir(&inner).unwrap().count(), 2);
    // Again, in place of what is there.
    assert_eq!(flow(&arguments).stdout, output.stdout);
    assert_eq!(std::fs::read(name("responder")).unwrap(), b"second answer\n");
}

#[test]
fn names_are_safe() {
    let mut addresses = [0x20, 1, 0xd, 0xb8].to_vec();
    addresses.resize(15, 0);
    let mut frame = vec![0x60, 0, 0, 0, 0, 23, 6, 64];
    for last in [1, 2] {
        frame.extend_from_slice(&addresses);
        frame.push(last);
    }
    frame.extend_from_slice(&tcp(1, 0x18, b"abc")[20..]);
    let folder = Folder::new("safe");
    let input = pcap(101, &[&frame]);
    let output = flow_with_input(&["follow", "--output", folder.path(), "-"], &input);
    assert_eq!((output.stderr.as_str(), output.code), ("", 0));
    assert_eq!(folder.read("2001_db8__1.40000-2001_db8__2.80.0.initiator"), b"abc");
}

/// More streams at the same time than files are open.
#[test]
fn many_files() {
    const FLOWS: u16 = 150;
    let frame = |flow: u16, round: u32| {
        let mut frame = tcp(1 + 4 * round, 0x18, format!("{flow:03}\n").as_bytes());
        frame[20..22].copy_from_slice(&(1_000 + flow).to_be_bytes());
        frame
    };
    let frames: Vec<_> =
        (0..3).flat_map(|round| (0..FLOWS).map(move |flow| frame(flow, round))).collect();
    let frames: Vec<_> = frames.iter().map(Vec::as_slice).collect();
    let folder = Folder::new("many");
    let output = flow_with_input(&["follow", "--output", folder.path(), "-"], &pcap(101, &frames));
    assert_eq!((output.stderr.as_str(), output.code), ("", 0));
    assert_eq!(output.stdout.lines().count(), 1 + usize::from(FLOWS));
    for flow in 0..FLOWS {
        let name = format!("192.0.2.1.{}-192.0.2.2.80.{flow}.initiator", 1_000 + flow);
        assert_eq!(folder.read(&name), format!("{flow:03}\n").repeat(3).as_bytes());
    }
}

#[cfg(unix)]
#[test]
fn links_are_replaced_and_not_followed() {
    let folder = Folder::new("links");
    std::fs::create_dir_all(folder.0.join("in")).unwrap();
    let outside = folder.0.join("outside");
    std::fs::write(&outside, "precious").unwrap();
    let link = folder.0.join("in/10.0.0.1.45000-10.0.0.2.9000.0.initiator");
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let inner = folder.0.join("in");
    let file = fixture("tcp_port_reuse.pcap");
    let output = flow(&["follow", "--output", inner.to_str().unwrap(), &file]);
    assert_eq!((output.stderr.as_str(), output.code), ("", 0));
    assert_eq!(std::fs::read(&outside).unwrap(), b"precious");
    assert_eq!(std::fs::read(&link).unwrap(), b"first question\n");
}

#[test]
fn folder_that_cannot_be_made_is_told() {
    let folder = Folder::new("file");
    std::fs::write(&folder.0, "a file").unwrap();
    let file = fixture("tcp_port_reuse.pcap");
    let output = flow(&["follow", "--output", folder.path(), &file]);
    assert_eq!((output.stdout.as_str(), output.code), ("", 1));
    let start = format!("flow: cannot write: {}: ", folder.path());
    assert!(output.stderr.starts_with(&start), "{}", output.stderr);
    std::fs::remove_file(&folder.0).unwrap();
}

#[test]
fn flows_that_are_not_there_are_told() {
    let file = fixture("dns_udp.pcap");
    let flows = flow(&["conv", "--format", "json", &file]).stdout.lines().count();
    let output = flow(&["follow", "--flow", "0,1000", &file]);
    assert_eq!((output.stdout.as_str(), output.code), ("", 1));
    let expected =
        format!("flow: flow 0 is not TCP\nflow: no flow 1000: there are {flows} flows\n");
    assert_eq!(output.stderr, expected);
    let output = flow(&["follow", "--flow", "0,2", &fixture("tcp_port_reuse.pcap")]);
    assert!(REUSED.starts_with(&output.stdout) && output.stdout.lines().count() == 3);
    assert_eq!((output.stderr.as_str(), output.code), ("flow: no flow 2: there are 2 flows\n", 1));
}

/// A flow that was asked for has a heading even if nothing was sent; of all flows only those have
/// one that sent something.
#[test]
fn flows_without_bytes() {
    let input = pcap(101, &[&tcp(0, 2, b"")]);
    let output = flow_with_input(&["follow", "-"], &input);
    assert_eq!((output.stdout.as_str(), output.code), ("", 0));
    let output = flow_with_input(&["follow", "--flow", "0", "-"], &input);
    let heading = "flow 0 192.0.2.1:40000 -> 192.0.2.2:80\n";
    assert_eq!((output.stdout.as_str(), output.code), (heading, 0));
}

#[test]
fn bytes_cannot_control_the_terminal() {
    let bytes = b"\x1b]0;x\x07\t\xff\xc2\x9b\xe2\x80\xae caf\xc3\xa9\\\r\nb";
    let frames = [tcp(0, 2, b""), tcp(1, 0x18, bytes)];
    let input = pcap(101, &frames.each_ref().map(Vec::as_slice));
    let heading = "flow 0 192.0.2.1:40000 -> 192.0.2.2:80\n";
    let check = |options: &[&str], expected: &str| {
        let output = flow_with_input(&[&["follow"], options, &["-"]].concat(), &input);
        assert_eq!(output.stdout, format!("{heading}{expected}"));
    };
    let escaped = "> \\x1b]0;x\\x07\\x09\\xff\\xc2\\x9b\\xe2\\x80\\xae caf\u{e9}\\\\\n> b\n";
    check(&[], escaped);
    let dump = "\
> 00000000  1b 5d 30 3b 78 07 09 ff  c2 9b e2 80 ae 20 63 61  |.]0;x........ ca|
> 00000010  66 c3 a9 5c 0d 0a 62                              |f..\\..b|
";
    check(&["--hex"], dump);
}

#[test]
fn anomalies_of_followed_flows() {
    let files = [fixture("http_gap.pcap"), fixture("tcp_port_reuse.pcap")];
    let anomalies = |flows: &[&str]| {
        let common = ["follow", "--anomalies", &files[0], &files[1]];
        flow(&[&common, flows].concat()).stdout.matches(" anomaly ").count()
    };
    assert!(anomalies(&["--flow", "0"]) > 0);
    assert_eq!(anomalies(&[]), anomalies(&["--flow", "0"]) + anomalies(&["--flow", "1,2"]));
}

/// What a flow delivered before it ended for want of memory is in the index.
#[test]
fn flow_that_ends_at_its_limit() {
    let folder = Folder::new("limit");
    let limit = ["--max-buffer", "100", "--on-overflow", "end-flow"];
    let file = fixture("http_gap.pcap");
    let arguments = [&["follow", "--format", "json", "--output", folder.path()], &limit[..]];
    let output = flow(&[&arguments.concat()[..], &[file.as_str()]].concat());
    assert_eq!((output.stderr.as_str(), output.code), ("", 0));
    let lines = json(&output.stdout);
    let line = lines.iter().find(|line| line["side"] == "responder").unwrap();
    assert_eq!((&line["bytes"], &line["end"]), (&634.into(), &"overflow".into()));
    assert_eq!(std::fs::read(line["file"].as_str().unwrap()).unwrap().len(), 634);
}
