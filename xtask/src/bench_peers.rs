//! Our benches beside those of other libraries, in turn, on one machine.
//!
//! The peers and the generator of the captures stand in `../shared/bench` beside the checkout,
//! which is only read: they are copied and built below the target folder. Every round runs each
//! program once, so that a slow spell of the machine hits all of them; what is compared is
//! processor time, and the ratio is the median over the rounds.

mod build;
mod options;
mod scenario;
mod table;
mod truth;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use build::Programs;
use options::{Options, USAGE};
use scenario::{Program, SCENARIOS, Scenario};
use table::Measured;
use truth::Truth;

/// Where the peers are, from the root of the checkout.
const SHARED: &str = "../shared/bench";

/// Why there is no table.
pub(crate) enum Stop {
    /// The arguments, or what they ask for, are not there.
    Usage(String),
    /// Something went wrong on the way.
    Failed(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

/// Builds what is needed, measures, and gives the table.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<String, Stop> {
    if arguments.iter().any(|word| matches!(*word, "-h" | "--help")) {
        return Ok(USAGE.into());
    }
    let options = Options::parse(arguments).map_err(Stop::Usage)?;
    let shared = root.join(SHARED);
    if !shared.is_dir() {
        return Err(Stop::Usage(format!(
            "!!!!!!!! {SHARED} is not there !!!!!!!!\n\nIt holds the peers and the generator of the \
             captures. Nothing was measured."
        )));
    }
    for capture in &options.captures {
        if !capture.is_file() {
            return Err(Stop::Usage(format!("{}: no such capture", capture.display())));
        }
    }
    let target = build::target(root);
    let programs = Programs::build(root, &shared, &target)?;
    let captures = if options.captures.is_empty() {
        build::captures(&shared, &target, options.generate)?
    } else {
        options.captures
    };

    let begin = monotonic();
    let measured = rounds(options.runs, &programs, &by_stem(&captures));
    let took = monotonic().saturating_sub(begin);
    let mut report = machine();
    report.push_str(&table::render(&measured));
    let rounds = if options.runs == 1 { "round" } else { "rounds" };
    report.push_str(&format!("\n{} {rounds} in {} s", options.runs, took.as_secs()));
    if measured.is_empty() {
        return Err(Stop::Failed("nothing could be measured".into()));
    }
    Ok(report)
}

/// Captures by the name that scenarios know them by: that of the file without its extension.
fn by_stem(captures: &[PathBuf]) -> BTreeMap<String, &Path> {
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    captures.iter().map(|path| (stem(path), path.as_path())).collect()
}

/// Runs everything so many times.
fn rounds(runs: u32, programs: &Programs, captures: &BTreeMap<String, &Path>) -> Vec<Measured> {
    let mut all = Vec::new();
    for scenario in SCENARIOS {
        if let Some(path) = captures.get(scenario.capture) {
            all.push((*path, Measured::new(scenario, Truth::beside(path))));
        } else {
            say(&format!("left out: {}, for want of {}.pcap", scenario.name, scenario.capture));
        }
    }
    for round in 1..=runs {
        for (path, measured) in &mut all {
            say(&format!("round {round} of {runs}: {}", measured.scenario.name));
            for program in measured.scenario.programs() {
                match run_one(programs, measured.scenario, program, path) {
                    Ok(line) => measured.add(program, round, &line),
                    Err(reason) => say(&format!("{program}: {reason}")),
                }
            }
        }
    }
    all.into_iter().map(|(_, measured)| measured).filter(|m| !m.is_empty()).collect()
}

/// Runs a program in one mode over one capture: its line.
fn run_one(
    programs: &Programs,
    scenario: &Scenario,
    program: &Program,
    capture: &Path,
) -> Result<Value, String> {
    let mut command = Command::new(programs.path(program.name)?);
    command.arg(program.mode).arg(capture);
    command.env("HARNESS_MAX_FLOWS", scenario.max_flows.to_string());
    let line = build::output(&mut command)?;
    serde_json::from_str(&line).map_err(|error| format!("not a line of JSON: {error}: {line}"))
}

/// What the figures depend on.
fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or("unknown", |line| line.trim_start_matches([':', ' ', '\t'])).to_owned()
    };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let compiler = build::output(Command::new("rustc").arg("--version")).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{processors} processors ({}), {} of memory, Linux {}, {}\n",
        field("/proc/cpuinfo", "model name"),
        field("/proc/meminfo", "MemTotal"),
        kernel.trim(),
        compiler.trim(),
    )
}

/// How the work goes on, beside the table on standard output.
fn say(text: &str) {
    eprintln!("{text}");
}

#[allow(clippy::disallowed_methods, reason = "how long a task takes is no packet's time")]
fn monotonic() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_shared_folder_it_says_so_and_where() {
        let Err(Stop::Usage(reason)) = run(Path::new("/nowhere/at/all"), &[]) else {
            panic!("measured nothing");
        };
        assert!(reason.contains("../shared/bench is not there"), "{reason}");
    }

    #[test]
    fn captures_are_known_by_their_stem() {
        let captures = [PathBuf::from("a/mix.pcap"), PathBuf::from("http.pcap")];
        let found: Vec<_> = by_stem(&captures).into_keys().collect();
        assert_eq!(found, ["http", "mix"]);
    }
}
