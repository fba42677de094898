//! Proof of what the compiler does not see: the layers of the crates and the tidy rules.

mod layers;
mod manifest;
mod tidy;

use std::fmt;
use std::path::Path;
use std::process::Command;

/// Something to be mended, printed as `path:line: message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// From 1; 0 if it concerns the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.into(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Runs every check on the workspace at `root`: a summary, or the findings, one per line.
pub(crate) fn run(root: &Path) -> Result<String, String> {
    let files = files(root)?;
    let mut findings = layers::check(root)?;
    let workspace = std::fs::read_to_string(root.join("Cargo.toml"))
        .map_err(|error| format!("Cargo.toml: {error}"))?;
    let mut read = 0;
    for path in &files {
        // A file that git knows may be gone from the checkout.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        read += 1;
        findings.extend(tidy::check(path, &bytes));
        findings.extend(manifest::check(path, &bytes, &workspace));
    }
    if findings.is_empty() {
        return Ok(format!("check: {read} files, nothing to mend"));
    }
    findings.sort();
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    Err(lines.join("\n"))
}

/// Every file that git tracks or would track, relative to `root`.
fn files(root: &Path) -> Result<Vec<String>, String> {
    let arguments = ["ls-files", "--cached", "--others", "--exclude-standard", "-z"];
    let output = output(Command::new("git").args(arguments).current_dir(root))?;
    Ok(output.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect())
}

/// What a command prints, or what it complains of.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| format!("{name}: {error}"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_where() {
        assert_eq!(Finding::new("a.rs", 3, "bad").to_string(), "a.rs:3: bad");
        assert_eq!(Finding::new("a.rs", 0, "bad").to_string(), "a.rs: bad");
    }
}
