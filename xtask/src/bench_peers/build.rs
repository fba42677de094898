//! Getting programs and captures into the target folder.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::scenario::{OURS, PEERS};
use super::{say, truth};

/// The captures that the scenarios want.
const CAPTURES: &[&str] = &["mix", "http", "bulk", "tiny", "dns"];

/// The target folder of the workspace at `root`.
pub(super) fn target(root: &Path) -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // Cargo is run in several folders, so a relative one would be another each time.
    let chosen = chosen.and_then(|chosen| std::path::absolute(chosen).ok());
    chosen.unwrap_or_else(|| root.join("target"))
}

/// Binaries by name.
pub(super) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Builds the peers in a copy of theirs, and ours where they are.
    pub(super) fn build(root: &Path, shared: &Path, target: &Path) -> Result<Self, String> {
        let peers = target.join("bench-peers");
        copy(&shared.join("peers"), &peers)?;
        say("building the peers");
        let mut programs = cargo_build(&peers, &peers.join("target"), &["--workspace"])?;
        say("building ours");
        let package = ["--package", "flow-benches", "--bin", OURS];
        programs.extend(cargo_build(root, target, &package)?);
        let programs = Self(programs);
        for name in PEERS {
            programs.path(name)?;
        }
        Ok(programs)
    }

    pub(super) fn path(&self, name: &str) -> Result<&Path, String> {
        self.0.get(name).map(PathBuf::as_path).ok_or(format!("no program {name} was built"))
    }
}

/// The captures, generated unless they are there.
pub(super) fn captures(shared: &Path, target: &Path, anew: bool) -> Result<Vec<PathBuf>, String> {
    let folder = target.join("bench-captures");
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let file = |kind: &str| folder.join(format!("{kind}.pcap"));
    let wanted: Vec<_> = CAPTURES.iter().filter(|kind| anew || !file(kind).is_file()).collect();
    if !wanted.is_empty() {
        let generator = target.join("bench-generator");
        copy(&shared.join("gen"), &generator)?;
        say("building the generator");
        let built = cargo_build(&generator, &generator.join("target"), &[])?;
        let program = built.get("capgen").ok_or("no program capgen was built")?;
        for kind in wanted {
            say(&format!("generating {kind}.pcap"));
            // Under another name first: what is there is whole, even if this is interrupted.
            let partial = folder.join(format!("{kind}.partial"));
            output(Command::new(program).arg(kind).arg(&partial))?;
            let rename = |from: PathBuf, to: PathBuf| {
                fs::rename(&from, to).map_err(|error| format!("{}: {error}", from.display()))
            };
            rename(truth::path(&partial), truth::path(&file(kind)))?;
            rename(partial, file(kind))?;
        }
    }
    Ok(CAPTURES.iter().map(|kind| file(kind)).collect())
}

/// Builds in release; the binaries by name.
fn cargo_build(
    folder: &Path,
    target: &Path,
    arguments: &[&str],
) -> Result<BTreeMap<String, PathBuf>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--message-format", "json-render-diagnostics"]);
    command.args(arguments).arg("--target-dir").arg(target).current_dir(folder);
    // What it complains of is for the one who waits.
    command.stderr(Stdio::inherit());
    let messages = output(&mut command)?;
    Ok(messages.lines().filter_map(binary).collect())
}

/// The name and path of the binary that one of cargo's messages is about.
fn binary(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let path = message["executable"].as_str()?;
    Some((message["target"]["name"].as_str()?.to_owned(), path.into()))
}

/// What a command prints, or what it complains of.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let fail = |reason: String| format!("{name}: {reason}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped());
    let output = child.spawn().and_then(std::process::Child::wait_with_output);
    let output = output.map_err(|error| fail(error.to_string()))?;
    if output.status.success() {
        String::from_utf8(output.stdout).map_err(|error| fail(error.to_string()))
    } else {
        Err(fail(output.status.to_string()))
    }
}

/// Copies what is there and differs, so that a second build has nothing to do.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    copy_folder(from, to).map_err(|error| format!("{}: {error}", from.display()))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == "target" {
            continue;
        }
        let (from, to) = (entry.path(), to.join(name));
        if entry.file_type()?.is_dir() {
            copy_folder(&from, &to)?;
            continue;
        }
        // Not with its permissions: what is shared may be read-only.
        let bytes = fs::read(from)?;
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            fs::write(to, bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_alone_what_is_the_same() {
        let folder = std::env::temp_dir().join(format!("xtask-peers-{}", std::process::id()));
        let (from, to) = (folder.join("from"), folder.join("to"));
        fs::create_dir_all(from.join("src")).expect("a folder");
        fs::create_dir_all(from.join("target")).expect("a folder");
        fs::write(from.join("src/main.rs"), "fn main() {}").expect("a file");
        copy(&from, &to).expect("copied");
        assert_eq!(fs::read(to.join("src/main.rs")).expect("a file"), b"fn main() {}");
        assert!(!to.join("target").exists());
        let written = |to: &Path| {
            let metadata = fs::metadata(to.join("src/main.rs")).expect("a file");
            metadata.modified().expect("a time")
        };
        let before = written(&to);
        copy(&from, &to).expect("copied");
        assert_eq!(written(&to), before);
        fs::write(from.join("src/main.rs"), "fn main() { }").expect("a file");
        copy(&from, &to).expect("copied");
        assert_eq!(fs::read(to.join("src/main.rs")).expect("a file"), b"fn main() { }");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn binaries_are_found_in_the_messages_of_cargo() {
        let artifact =
            r#"{"reason":"compiler-artifact","target":{"name":"fs22"},"executable":"a/fs22"}"#;
        assert_eq!(binary(artifact), Some(("fs22".into(), "a/fs22".into())));
        let library = r#"{"reason":"compiler-artifact","target":{"name":"x"},"executable":null}"#;
        assert_eq!(binary(library), None);
        assert_eq!(binary("warning: something"), None);
    }
}
