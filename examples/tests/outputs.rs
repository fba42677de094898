//! Every example prints what its header shows, and is short enough to be read at once.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of an example must be fewer, its header left out.
const MAX_LINES: usize = 50;

/// The workspace, where the commands in the headers are meant to be run.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[track_caller]
fn check(example: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{example}.rs"));
    let source = fs::read_to_string(&path).unwrap();
    let lines = source.lines().filter(|line| !line.starts_with("//!")).count();
    assert!(lines < MAX_LINES, "{example} has {lines} lines");

    let command = format!("$ cargo run -p flow-examples --example {example} -- ");
    let mut header = source.lines().map_while(|line| line.strip_prefix("//!")).map(unindent);
    let capture = header.find_map(|line| line.strip_prefix(&command));
    let capture = capture.unwrap_or_else(|| panic!("the header of {example} has no `{command}`"));
    let shown: String =
        header.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();

    let output = run(example, &[capture]);
    assert_eq!(output, (shown, String::new(), true));

    let (printed, error, success) = run(example, &[]);
    assert!(!success && printed.is_empty() && error.contains("usage"), "{error}");
}

fn unindent(line: &str) -> &str {
    line.strip_prefix(' ').unwrap_or(line)
}

/// What the example prints to standard output and standard error, and whether it succeeds.
fn run(example: &str, arguments: &[&str]) -> (String, String, bool) {
    let output = Command::new(program(example)).args(arguments).current_dir(ROOT).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr), output.status.success())
}

/// Cargo builds the examples of a package with its tests, into the folder `examples` beside the
/// folder of the test programs.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(example).with_extension(std::env::consts::EXE_EXTENSION);
    assert!(program.exists(), "run all tests of the package, which builds {}", program.display());
    program
}

#[test]
fn flow_summary() {
    check("flow_summary");
}

#[test]
fn http_log() {
    check("http_log");
}

#[test]
fn tls_names() {
    check("tls_names");
}

#[test]
fn dns_log() {
    check("dns_log");
}

#[test]
fn tcp_streams() {
    check("tcp_streams");
}

#[test]
fn tcp_buffers() {
    check("tcp_buffers");
}

#[test]
fn tcp_segments() {
    check("tcp_segments");
}

#[test]
fn line_protocol() {
    check("line_protocol");
}

#[test]
fn length_prefixed() {
    check("length_prefixed");
}

#[test]
fn any_protocol() {
    check("any_protocol");
}

#[test]
fn async_http() {
    check("async_http");
}

#[test]
fn async_dns() {
    check("async_dns");
}

#[test]
fn async_dns_tcp() {
    check("async_dns_tcp");
}

#[test]
fn conversations_to_files() {
    check("conversations_to_files");
}

#[test]
fn service() {
    check("service");
}
