//! `flow top`: with a terminal and without one.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "code of tests")]

mod common;

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{fixture, flow, pcap, tcp};

#[test]
fn without_a_terminal() {
    let output = flow(&["top", &fixture("http_get.pcap")]);
    assert_eq!((output.stdout.as_str(), output.code), ("", 2));
    assert!(output.stderr.contains("needs a terminal"), "{}", output.stderr);
}

#[test]
fn wrong_arguments() {
    for wrong in [
        &["--format", "json"][..],
        &["--speed", "0"],
        &["--speed", "-1"],
        &["--speed", "NaN"],
        &["--speed", "fast"],
        &["--extractor", "ip-pair"],
    ] {
        let arguments = [&["top", "-"], wrong].concat();
        let output = flow(&arguments);
        assert_eq!((output.stdout.as_str(), output.code), ("", 2), "{wrong:?}");
        assert!(!output.stderr.contains("needs a terminal"), "{}", output.stderr);
    }
}

/// A `flow top` in a terminal of 100 columns and 24 lines, which `script` makes.
struct Terminal {
    child: Child,
    seen: Vec<u8>,
}

/// What a terminal is told at the beginning.
const ENTER: &str = "\x1b[?1049h";

/// What it is told at the end.
const LEAVE: &str = "\x1b[?1049l";

impl Terminal {
    /// `None` if there is no `script` of util-linux.
    fn open(arguments: &str) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: no pseudo-terminal, there is no `script` of util-linux");
            return None;
        }
        let flow = env!("CARGO_BIN_EXE_flow");
        let command = format!("stty rows 24 cols 100; exec '{flow}' top {arguments}");
        let child = Command::new("script")
            .args(["--quiet", "--return", "--command", &command, "/dev/null"])
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh")
            .env_remove("NO_COLOR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self { child, seen: Vec::new() })
    }

    /// Waits until this is drawn, in one piece.
    #[track_caller]
    fn wait_for(&mut self, text: &str) {
        let mut piece = [0; 1 << 12];
        while !String::from_utf8_lossy(&self.seen).contains(text) {
            let read = self.child.stdout.as_mut().unwrap().read(&mut piece).unwrap();
            assert!(read > 0, "no {text:?} in {:?}", String::from_utf8_lossy(&self.seen));
            self.seen.extend_from_slice(&piece[..read]);
        }
    }

    fn press(&mut self, keys: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Waits for the end; gives what was drawn since the beginning, and the exit status.
    fn end(mut self) -> (String, i32) {
        self.child.stdout.as_mut().unwrap().read_to_end(&mut self.seen).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        (String::from_utf8(self.seen).unwrap(), code)
    }
}

#[test]
fn terminal_is_as_before() {
    for keys in ["q", "\x03", "?xq"] {
        let Some(mut terminal) = Terminal::open(&fixture("http_get.pcap")) else { return };
        terminal.wait_for("finished");
        terminal.wait_for("large.bin");
        terminal.press(keys);
        let (drawn, code) = terminal.end();
        assert_eq!(code, 0, "{keys:?}");
        let (entered, left) = (drawn.find(ENTER), drawn.rfind(LEAVE));
        assert!(entered.is_some() && entered < left, "{drawn:?}");
        let behind = drawn.split(LEAVE).last().unwrap();
        assert_eq!(behind, "\x1b[?25h", "the cursor is there again");
    }
}

#[test]
fn what_cannot_be_read_is_said_afterwards() {
    let file = fixture("truncated.pcap");
    let Some(mut terminal) = Terminal::open(&file) else { return };
    terminal.wait_for("finished");
    terminal.press("q");
    let (drawn, code) = terminal.end();
    assert_eq!(code, 1);
    let behind = drawn.split(LEAVE).last().unwrap();
    assert!(behind.contains(&format!("flow: {file}: offset ")), "{behind:?}");
}

#[test]
fn bytes_of_the_wire_do_not_reach_the_terminal() {
    let evil = b"GET / HTTP/1.1\r\nHost: a\x1b]0;evil\x07\xe2\x80\xae.example\r\n\r\n";
    let (syn, data) = (tcp(1, 2, b""), tcp(2, 24, evil));
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("evil.pcap");
    std::fs::write(&path, pcap(101, &[&syn, &data])).unwrap();
    let Some(mut terminal) = Terminal::open(path.to_str().unwrap()) else { return };
    terminal.wait_for("GET");
    terminal.wait_for("finished");
    terminal.press("q");
    let (drawn, code) = terminal.end();
    assert_eq!(code, 0);
    assert!(!drawn.contains("\x1b]0;") && !drawn.contains('\u{202e}'), "{drawn:?}");
}
