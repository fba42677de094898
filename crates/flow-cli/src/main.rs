//! The `flow` command: flows, TCP streams and messages of captures.

mod anomaly;
mod args;
mod clock;
mod conv;
mod filter;
mod follow;
mod gaps;
mod input;
mod key;
mod live;
mod log;
mod output;
mod sessions;
mod stats;
mod streams;
mod top;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::args::{Cli, Command};
use crate::output::Output;

fn main() -> ExitCode {
    let command = Cli::of_process().command;
    match run(&command) {
        Ok(code) => code,
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told if this fails too.
            let _ = writeln!(io::stderr(), "flow: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> io::Result<ExitCode> {
    let output = |format| Output::new(Box::new(io::stdout().lock()), format);
    match command {
        Command::Conv { common, community_id } => {
            conv::run(common, *community_id, output(common.format))
        }
        Command::Streams { common, buffer } => streams::run(common, buffer, output(common.format)),
        Command::Follow { common, buffer, options } => {
            follow::run(common, buffer, options, output(common.format))
        }
        Command::Log { common, buffer } => log::run(common, buffer, output(common.format)),
        Command::Top { common, buffer, options } => top::run(common, buffer, options),
        Command::Stats { common } => stats::run(common, output(common.format)),
    }
}
