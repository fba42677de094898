use std::error::Error;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Processor time that this process has taken: what other programs and the host take meanwhile
/// does not count.
#[must_use]
pub fn processor_time() -> Duration {
    read(ClockId::ProcessCPUTime)
}

fn read(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

/// Anonymous memory of this process that is resident now, in KiB: a mapped file does not count.
/// 0 where there is no `/proc`.
#[must_use]
pub fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Adds up wall and processor time of the sections it is told to time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stopwatch {
    /// Time that has passed.
    pub wall: Duration,
    /// Time that this process took of a processor.
    pub processor: Duration,
}

impl Stopwatch {
    /// Does something on the clock.
    pub fn time<R>(&mut self, act: impl FnOnce() -> R) -> R {
        let (wall, processor) = (read(ClockId::Monotonic), processor_time());
        let result = act();
        self.processor += processor_time().saturating_sub(processor);
        self.wall += read(ClockId::Monotonic).saturating_sub(wall);
        result
    }
}

/// Runs this program once for each list of arguments, one after the other, so that none inherits
/// the memory of another. They print to the same standard output.
///
/// # Errors
///
/// The program cannot be run, or one of the runs failed; the remaining ones are left out.
pub fn each_in_its_own_process(runs: &[Vec<String>]) -> Result<(), Box<dyn Error>> {
    let program = std::env::current_exe()?;
    for arguments in runs {
        let status = Command::new(&program).args(arguments).status()?;
        if !status.success() {
            return Err(format!("{}: {status}", arguments.join(" ")).into());
        }
    }
    Ok(())
}
