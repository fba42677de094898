//! Rules for the text of files, source above all.

use super::Finding;

/// Longest source file, in lines.
const MAX_LINES: usize = 700;

/// Longest file that is nothing but tests.
const MAX_TEST_LINES: usize = 1_000;

/// Longest `lib.rs`: it is an essay and a list of names.
const MAX_LIB_LINES: usize = 150;

/// Largest file of any kind.
const MAX_BYTES: usize = 1_000_000;

/// What may not be committed. Split, so that this file does not find itself.
const UNFINISHED: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimple", "mented!("),
    concat!("db", "g!("),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("#[ig", "nore"),
];

/// What ends the program on a surprise.
const PANICS: &[&str] = &[".unwrap()", ".expect(", "panic!(", "unreachable!("];

/// The beginning of the comment that says why a surprise cannot happen.
const MARKER: &str = "Infallible: ";

const CLOCKS: &[&str] = &["Instant::now", "SystemTime::now"];

/// Crates that may read a clock.
const CLOCK_READERS: &[&str] = &["flow-tokio", "flow", "flow-cli"];

const MACHINE_FOLDERS: &[&str] = &["home", "root", "tmp", "work"];

/// Checks one file.
pub(super) fn check(path: &str, bytes: &[u8]) -> Vec<Finding> {
    let mut findings = Vec::new();
    if bytes.len() > MAX_BYTES {
        let message = format!("{} bytes; {MAX_BYTES} at most", bytes.len());
        findings.push(Finding::new(path, 0, message));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return findings };
    if path != "Cargo.lock" {
        findings.extend(machine_paths(path, text));
    }
    if path.ends_with(".rs") {
        findings.extend(length(path, text));
        findings.extend(unfinished(path, text));
        if let Some(library) = library_of(path) {
            findings.extend(panics(path, text));
            if !CLOCK_READERS.contains(&library) {
                findings.extend(clocks(path, text));
            }
        }
    }
    findings
}

/// The crate whose library or command the file is part of.
fn library_of(path: &str) -> Option<&str> {
    let (library, inside) = path.strip_prefix("crates/")?.split_once('/')?;
    inside.starts_with("src/").then_some(library)
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn length(path: &str, text: &str) -> Option<Finding> {
    let most = match path {
        _ if is_test(path) => MAX_TEST_LINES,
        _ if path.ends_with("/src/lib.rs") => MAX_LIB_LINES,
        _ => MAX_LINES,
    };
    let lines = text.lines().count();
    (lines > most).then(|| Finding::new(path, 0, format!("{lines} lines; {most} at most")))
}

fn unfinished(path: &str, text: &str) -> Vec<Finding> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| {
            let word = UNFINISHED.iter().find(|word| line.contains(**word))?;
            Some(Finding::new(path, index + 1, format!("`{word}` is not finished work")))
        })
        .collect()
}

/// Code outside of tests that may panic and does not say why it does not.
fn panics(path: &str, text: &str) -> Vec<Finding> {
    if is_test(path) {
        return Vec::new();
    }
    let lines: Vec<_> = text.lines().collect();
    let tests = test_lines(&lines);
    (0..lines.len())
        .filter(|&index| !tests[index])
        .filter_map(|index| {
            let word = PANICS.iter().find(|word| code(lines[index]).contains(**word))?;
            let message = format!("`{word}` without `// {MARKER}why` on it or above it");
            (!is_justified(&lines, index)).then(|| Finding::new(path, index + 1, message))
        })
        .collect()
}

/// Whether the line has the marker, or the comment right above does.
fn is_justified(lines: &[&str], index: usize) -> bool {
    let above = lines[..index].iter().rev().take_while(|line| line.trim_start().starts_with("//"));
    above.chain([&lines[index]]).any(|line| line.contains(&format!("// {MARKER}")))
}

/// Which lines belong to items under `#[cfg(test)]`. In formatted source such an item ends with
/// the first line that is indented like its attribute and ends with `}` or `;`.
fn test_lines(lines: &[&str]) -> Vec<bool> {
    let mut marks = Vec::with_capacity(lines.len());
    let mut inside: Option<usize> = None;
    for line in lines {
        let indent = line.len() - line.trim_start().len();
        if inside.is_none() && line.trim_start().starts_with("#[cfg(test)]") {
            inside = Some(indent);
        }
        marks.push(inside.is_some());
        if inside == Some(indent) && line.ends_with(['}', ';']) {
            inside = None;
        }
    }
    marks
}

fn clocks(path: &str, text: &str) -> Vec<Finding> {
    let numbered = text.lines().enumerate();
    numbered
        .filter_map(|(index, line)| {
            let clock = CLOCKS.iter().find(|clock| code(line).contains(**clock))?;
            let message = format!("`{clock}`: time comes with the packet");
            Some(Finding::new(path, index + 1, message))
        })
        .collect()
}

/// A line without its comment.
fn code(line: &str) -> &str {
    if line.trim_start().starts_with("//") {
        return "";
    }
    line.split_once(" // ").map_or(line, |(code, _)| code)
}

/// Absolute paths that exist on one machine only.
fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let numbered = text.lines().enumerate();
    let found = numbered.filter(|(_, line)| MACHINE_FOLDERS.iter().any(|f| has_path(line, f)));
    found.map(|(index, _)| Finding::new(path, index + 1, "path of one machine")).collect()
}

fn has_path(line: &str, folder: &str) -> bool {
    let needle = format!("/{folder}/");
    line.match_indices(&needle).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || "\"'`(=:".contains(c))
    })
}

#[cfg(test)]
mod tests;
