//! Tasks of this repository, run as `cargo xtask TASK`.
//!
//! `fixtures` writes the captures that the tests read, with what is to be found in them; `check`
//! proves the layers and the tidy rules; `bench-peers` measures ours beside other libraries.
//! Nothing here depends on the crates of the workspace: the expectations beside the fixtures must
//! not come from the code that they test.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]

mod bench_peers;
mod check;
mod fixtures;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bench_peers::Stop;

const HELP: &str = "\
Tasks of this repository.

Usage: cargo xtask TASK

Tasks:
  fixtures      Write every file under fixtures/ anew and remove what does not belong there
  check         Prove the layers of the crates and the tidy rules; one line per finding
  bench-peers   Measure ours and the peers in ../shared/bench in turn, and print a table of
                medians and ratios; --help for its options
  help          Print this text

Exit status: 0 done, 1 findings or a failure, 2 wrong arguments";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] | ["help" | "-h" | "--help"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        ["fixtures"] => fixtures::write(&root().join("fixtures")),
        ["check"] => check::run(&root()),
        ["bench-peers", ref options @ ..] => match bench_peers::run(&root(), options) {
            Err(Stop::Usage(text)) => {
                eprintln!("{text}");
                return ExitCode::from(2);
            }
            Err(Stop::Failed(reason)) => Err(reason),
            Ok(table) => Ok(table),
        },
        _ => {
            eprintln!("unknown task: {}\n\n{HELP}", arguments.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(report) => {
            eprintln!("{report}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the workspace.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_path_buf()
}
