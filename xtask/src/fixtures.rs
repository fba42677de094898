//! The captures under `fixtures/`, each with what is to be found in it.
//!
//! A scenario is a function that sends the packets of a [`Capture`] and says which messages they
//! carry. Counters and streams follow from what it sent. Beside `NAME.pcap` stands
//! `NAME.expected.json` with the lines that `flow conv`, `flow streams` and `flow log` must print
//! for it, in the fields of their JSON output:
//!
//! - Objects hold the fields that are asserted; the output may have more. Arrays are complete.
//! - `conv` and `streams` are matched by `flow` and `side`; `log` is in order per `flow` and `side`.
//! - `icmp_errors`, where there are any, are what a tracker must report that looks for the packets
//!   which ICMP errors quote; by default, and in `conv`, these are flows of their own. In order.
//! - `error` is `null`, or the offset in the file at which reading must fail and a part of the
//!   reason.

mod capture;
mod damaged;
mod datagram;
mod file;
mod message;
mod packet;
mod scenario;
mod tcp;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use serde_json::{Value, json};

use capture::{Capture, Expected};
use file::Format;
use packet::Link;

/// One capture: how it is written down, and the script of its packets.
#[derive(Clone, Copy)]
struct Scenario {
    name: &'static str,
    format: Format,
    links: &'static [Link],
    script: fn(&Capture),
}

impl Scenario {
    const fn new(name: &'static str, script: fn(&Capture)) -> Self {
        Self { name, format: Format::MICROSECONDS, links: &[Link::Ethernet], script }
    }

    const fn format(self, format: Format) -> Self {
        Self { format, ..self }
    }

    const fn links(self, links: &'static [Link]) -> Self {
        Self { links, ..self }
    }

    fn files(self) -> [File; 2] {
        let capture = Capture::new(self.links);
        (self.script)(&capture);
        let (frames, expected) = capture.finish();
        let bytes = file::encode(self.format, self.links, &frames);
        files(self.name, self.format.extension(), bytes, &expected, &Value::Null)
    }
}

/// Name and contents.
type File = (String, Vec<u8>);

fn files(
    name: &str,
    extension: &str,
    bytes: Vec<u8>,
    expected: &Expected,
    error: &Value,
) -> [File; 2] {
    [
        (format!("{name}.{extension}"), bytes),
        (format!("{name}.expected.json"), expectation(expected, error).into_bytes()),
    ]
}

/// Every file that belongs under `fixtures/`.
fn generate() -> BTreeMap<String, Vec<u8>> {
    let scenarios = scenario::ALL.iter().flat_map(|scenario| scenario.files());
    scenarios.chain(damaged::files()).collect()
}

/// JSON with one event per line, so that a change shows as the line that it changes.
fn expectation(expected: &Expected, error: &Value) -> String {
    let mut out = String::from("{\n");
    let mut parts =
        vec![("conv", &expected.conv), ("streams", &expected.streams), ("log", &expected.log)];
    if !expected.icmp_errors.is_empty() {
        parts.push(("icmp_errors", &expected.icmp_errors));
    }
    for (name, lines) in parts {
        let _ = write!(out, "\"{name}\": [");
        for (index, line) in lines.iter().enumerate() {
            let mut line = line.clone();
            // Independent of the order that a feature of serde_json might give to maps.
            line.sort_all_objects();
            let _ = write!(out, "{}\n  {line}", if index == 0 { "" } else { "," });
        }
        out.push_str(if lines.is_empty() { "],\n" } else { "\n],\n" });
    }
    let mut error = error.clone();
    error.sort_all_objects();
    let _ = writeln!(out, "\"error\": {error}\n}}");
    out
}

/// Writes what is not there or differs, and removes what does not belong into `folder`.
pub(crate) fn write(folder: &Path) -> Result<String, String> {
    let files = generate();
    let total: usize = files.values().map(Vec::len).sum();
    let changed = sync(folder, &files).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(format!("fixtures: {} files, {total} bytes, {changed} changed", files.len()))
}

fn sync(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> io::Result<usize> {
    let mut changed = 0;
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| files.contains_key(name)) {
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
            changed += 1;
        }
    }
    for (name, bytes) in files {
        let path = folder.join(name);
        if fs::read(&path).ok().as_ref() != Some(bytes) {
            fs::write(path, bytes)?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// What is said on standard error of a capture that is damaged at `offset`.
fn error(offset: usize, contains: &str) -> Value {
    json!({"offset": offset, "contains": contains, "exit": 1})
}

/// What is said on standard error of a capture that is whole, but worth a word.
fn notice(offset: usize, contains: &str) -> Value {
    json!({"offset": offset, "contains": contains, "exit": 0})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_what_is_generated() {
        let folder = crate::root().join("fixtures");
        let mut committed = BTreeMap::new();
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
            committed.insert(name, fs::read(path).expect("a file"));
        }
        let generated = generate();
        let names = |files: &BTreeMap<String, _>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&committed), names(&generated));
        for (name, bytes) in generated {
            assert!(
                committed[&name] == bytes,
                "fixtures/{name} differs: run `cargo xtask fixtures`"
            );
        }
    }

    #[test]
    fn fixtures_stay_small() {
        let files = generate();
        for (name, bytes) in &files {
            assert!(bytes.len() < 20_000, "{name} has {} bytes", bytes.len());
        }
        assert!(files.values().map(Vec::len).sum::<usize>() < 300_000);
    }

    #[test]
    fn expectations_are_json() {
        for (name, bytes) in generate() {
            if name.ends_with(".json") {
                let value: Value = serde_json::from_slice(&bytes).expect("JSON");
                assert!(["conv", "streams", "log"].iter().all(|part| value[part].is_array()));
            }
        }
    }

    #[test]
    fn strays_are_removed_and_a_second_run_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("xtask-sync-{}", std::process::id()));
        let files =
            BTreeMap::from([("a.pcap".to_owned(), vec![1]), ("b.pcap".to_owned(), vec![2])]);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("stray"), b"x").expect("a file");
        assert_eq!(sync(&folder, &files).expect("written"), 3);
        assert!(!folder.join("stray").exists());
        assert_eq!(sync(&folder, &files).expect("written"), 0);
        fs::remove_dir_all(&folder).expect("removed");
    }
}
