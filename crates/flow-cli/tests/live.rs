//! `--interface`, in builds that have it and in those that do not.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use common::flow;

const COMMANDS: [&str; 6] = ["conv", "streams", "follow", "log", "stats", "top"];

#[test]
fn wrong_arguments() {
    let wrong: [&[&str]; 7] = [
        &["-i", "lo", "file.pcap"],
        &["--snaplen", "96", "file.pcap"],
        &["--packets", "1", "-"],
        &["--duration", "1", "-"],
        &["--promiscuous", "-"],
        &["-i"],
        &[],
    ];
    for command in COMMANDS {
        for arguments in wrong {
            let output = flow(&[&[command], arguments].concat());
            assert_eq!((output.stdout.as_str(), output.code), ("", 2), "{arguments:?}");
            assert!(output.stderr.contains("try '--help'"), "{}", output.stderr);
        }
    }
}

#[cfg(not(feature = "live"))]
#[test]
fn build_without_interfaces_says_so() {
    for command in COMMANDS {
        let output = flow(&[command, "-i", "lo"]);
        assert_eq!((output.stdout.as_str(), output.code), ("", 2));
        assert!(output.stderr.contains("--features live"), "{}", output.stderr);
    }
}

#[cfg(feature = "live")]
#[path = "../../flow-live/tests/common/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a part of it is used")]
mod wire;

#[cfg(feature = "live")]
mod built_in {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::net::UdpSocket;
    use std::process::{Child, ChildStdout, Command, Stdio};

    use rustix::process::{Pid, Signal, kill_process};

    use super::wire::{Host, INTERFACE, NOBODY, Wire};
    use super::{COMMANDS, flow};
    use crate::common::{Output, json};

    #[test]
    fn wrong_numbers() {
        for wrong in [["--snaplen", "0"], ["--packets", "0"], ["--duration", "-1"]] {
            let output = flow(&[&["conv", "-i", "lo"][..], &wrong].concat());
            assert_eq!((output.stdout.as_str(), output.code), ("", 2), "{wrong:?}");
        }
        let output = flow(&["top", "-i", "lo", "--speed", "1"]);
        assert_eq!((output.stdout.as_str(), output.code), ("", 2));
        let output = flow(&["conv", "-i", "lo", "--filter", "tcp portt 80"]);
        assert_eq!((output.stdout.as_str(), output.code), ("", 2));
    }

    #[test]
    fn interface_that_is_not_there() {
        for command in COMMANDS.iter().filter(|command| **command != "top") {
            let output = flow(&[command, "--format", "json", "-i", "nosuch0"]);
            assert_eq!(output.code, 1);
            assert!(output.stderr.starts_with("flow: nosuch0: "), "{}", output.stderr);
        }
    }

    /// A command that runs on a host.
    struct Running {
        child: Child,
        stdout: BufReader<ChildStdout>,
    }

    impl Running {
        /// Starts a program.
        fn start_program(wire: &Wire, program: &str, arguments: &[&str]) -> Self {
            let mut command = Command::new(program);
            command.args(arguments).env("SHELL", "/bin/sh").env("TERM", "xterm");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            // Who is started by a thread on a host is on that host too.
            let mut child = on(wire, Host::B, || command.spawn().unwrap());
            let stdout = BufReader::new(child.stdout.take().unwrap());
            Self { child, stdout }
        }

        /// Starts the command. When it returns, packets are captured.
        fn start(wire: &Wire, arguments: &[&str]) -> Self {
            let mut running = Self::start_program(wire, env!("CARGO_BIN_EXE_flow"), arguments);
            while !(running.is_waiting() && on(wire, Host::B, has_socket)) {
                assert!(running.child.try_wait().unwrap().is_none(), "it has ended");
                std::thread::yield_now();
            }
            running
        }

        /// Whether it waits for something.
        fn is_waiting(&self) -> bool {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
            stat.split(") ").nth(1).is_some_and(|state| state.starts_with('S'))
        }

        fn line(&mut self) -> String {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            line
        }

        /// Reads until this is there in one piece.
        #[track_caller]
        fn wait_for(&mut self, text: &str) {
            let mut seen = Vec::new();
            while !String::from_utf8_lossy(&seen).contains(text) {
                let piece = self.stdout.fill_buf().unwrap();
                assert!(!piece.is_empty(), "{}", String::from_utf8_lossy(&seen));
                let len = piece.len();
                seen.extend_from_slice(piece);
                self.stdout.consume(len);
            }
        }

        fn signal(&self, signal: Signal) {
            let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
            kill_process(pid, signal).unwrap();
        }

        /// The rest of what it says.
        fn end(mut self) -> Output {
            let (mut stdout, mut stderr) = (String::new(), String::new());
            self.stdout.read_to_string(&mut stdout).unwrap();
            self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            let code = self.child.wait().unwrap().code().unwrap_or(-1);
            Output { stdout, stderr, code }
        }
    }

    /// Does something on a host.
    fn on<T: Send>(wire: &Wire, host: Host, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| wire.spawn(scope, host, work).join().unwrap())
    }

    /// Whether there is a packet socket on this host that receives what passes on an interface.
    fn has_socket() -> bool {
        let sockets = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        let mut rows =
            sockets.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
        // Protocol, interface, and whether it is running.
        rows.any(|row| row[3] == "0003" && row[4] != "0" && row[5] == "1")
    }

    /// Sends datagrams to nobody.
    fn send(wire: &Wire, datagrams: &[(u16, &[u8])]) {
        on(wire, Host::A, || {
            let socket = UdpSocket::bind((Host::A.address(), 40_000)).unwrap();
            for (port, payload) in datagrams {
                socket.send_to(payload, (NOBODY, *port)).unwrap();
            }
        });
    }

    /// A query for the address of `www.example`.
    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01";

    const PORTS: [(u16, &[u8]); 4] = [(53, QUERY), (1_001, b"a"), (1_002, b"b"), (1_001, b"c")];

    /// Flags for what is not addressed to the host.
    fn arguments<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&[command, "--format", "json", "--promiscuous", "-i", INTERFACE], more].concat()
    }

    #[test]
    fn messages_are_printed_at_once() {
        let Some(wire) = Wire::try_new() else { return };
        let mut log = Running::start(&wire, &arguments("log", &[]));
        send(&wire, &PORTS);
        // It is read while the command runs.
        let line = &json(&log.line())[0];
        assert_eq!((&line["type"], &line["src"]), (&"query".into(), &Host::A.address().into()));
        assert_eq!(line["questions"][0]["name"], "www.example");
        log.signal(Signal::INT);
        let output = log.end();
        assert_eq!((output.stdout.as_str(), output.stderr.as_str(), output.code), ("", "", 0));
    }

    #[test]
    fn idle_flows_end_though_nothing_comes() {
        let Some(wire) = Wire::try_new() else { return };
        for command in ["conv", "log"] {
            let more = ["--idle-timeout", "0.5", "--anomalies"];
            let mut running = Running::start(&wire, &arguments(command, &more));
            send(&wire, &PORTS[..1]);
            let line = &json(&running.line())[0];
            assert_eq!(line["dport"], 53);
            if command == "conv" {
                assert_eq!(line["reason"], "timeout");
            }
            running.signal(Signal::TERM);
            assert_eq!(running.end().code, 0);
        }
    }

    #[test]
    fn signals_end_every_flow() {
        for signal in [Signal::INT, Signal::TERM] {
            let Some(wire) = Wire::try_new() else { return };
            let conv = Running::start(&wire, &arguments("conv", &[]));
            send(&wire, &PORTS);
            // What came before is read, however late the kernel shows it.
            conv.signal(signal);
            let output = conv.end();
            let lines = json(&output.stdout);
            let ports: Vec<_> = lines.iter().map(|line| line["dport"].as_u64().unwrap()).collect();
            assert_eq!((ports, output.code), (vec![53, 1_001, 1_002], 0));
        }
    }

    #[test]
    fn limits_end_it() {
        let Some(wire) = Wire::try_new() else { return };
        let conv = Running::start(&wire, &arguments("conv", &["--packets", "3"]));
        send(&wire, &PORTS);
        let output = conv.end();
        let lines = json(&output.stdout);
        let ports: Vec<_> = lines.iter().map(|line| line["dport"].as_u64().unwrap()).collect();
        assert_eq!((ports, output.code), (vec![53, 1_001, 1_002], 0));
        assert!(lines.iter().all(|line| line["reason"] == "eof"));
        let output = Running::start(&wire, &arguments("stats", &["--duration", "0.3"])).end();
        assert_eq!((json(&output.stdout)[0]["packets"].as_u64(), output.code), (Some(0), 0));
    }

    #[test]
    fn filter_and_length_are_those_of_the_capture() {
        let Some(wire) = Wire::try_new() else { return };
        let more = ["--filter", "udp port 1001", "--snaplen", "60", "--packets", "2"];
        let stats = Running::start(&wire, &arguments("stats", &more));
        send(&wire, &[(1_002, &[0; 500]), (1_001, &[0; 500]), (1_001, &[0; 10])]);
        let output = stats.end();
        let stats = &json(&output.stdout)[0];
        assert_eq!(stats["packets"], 2, "{stats}");
        assert_eq!(stats["filtered"], 0, "{stats}");
        assert_eq!(stats["captured_bytes"], 60 + 52, "{stats}");
    }

    #[test]
    fn filter_that_does_not_fit() {
        let Some(wire) = Wire::try_new() else { return };
        let more = ["--filter", "wlan type mgt"];
        let flow = env!("CARGO_BIN_EXE_flow");
        let output = Running::start_program(&wire, flow, &arguments("conv", &more)).end();
        let stderr = output.stderr;
        assert_eq!(output.code, 1);
        assert!(stderr.starts_with(&format!("flow: {INTERFACE}: filter ")), "{stderr}");
    }

    #[test]
    fn interface_that_goes_away() {
        let Some(wire) = Wire::try_new() else { return };
        let mut conv = Running::start(&wire, &arguments("conv", &[]));
        send(&wire, &PORTS[..1]);
        wire.ip(Host::B, &format!("link del {INTERFACE}"));
        let line = conv.line();
        assert_eq!(json(&line)[0]["dport"], 53);
        let output = conv.end();
        assert_eq!((output.stdout.as_str(), output.code), ("", 1));
        assert!(output.stderr.starts_with(&format!("flow: {INTERFACE}: ")), "{}", output.stderr);
    }

    #[test]
    fn losses_are_told() {
        let Some(wire) = Wire::try_new() else { return };
        // Nobody reads while the command is stopped.
        let mut conv = Running::start(&wire, &arguments("conv", &["--buffer-size", "65536"]));
        conv.signal(Signal::STOP);
        let payload = [0; 1_000];
        let datagrams = vec![(1_001, &payload[..]); 5_000];
        send(&wire, &datagrams);
        conv.signal(Signal::CONT);
        conv.signal(Signal::INT);
        let _ = conv.line();
        let output = conv.end();
        let start = format!("flow: {INTERFACE}: ");
        assert!(output.stderr.starts_with(&start), "{}", output.stderr);
        assert!(output.stderr.contains(" dropped by the kernel, "), "{}", output.stderr);
        assert_eq!(output.code, 0);
    }

    fn is_here(program: &str) -> bool {
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
    }

    #[test]
    fn top_of_an_interface() {
        let Some(wire) = Wire::try_new() else { return };
        if !is_here("script") {
            super::wire::skip("there is no `script` of util-linux");
            return;
        }
        let flow = env!("CARGO_BIN_EXE_flow");
        let top = format!("stty rows 24 cols 100; exec '{flow}' top --promiscuous -i {INTERFACE}");
        let script = ["--quiet", "--return", "--command", &top, "/dev/null"];
        let mut top = Running::start_program(&wire, "script", &script);
        // It is named once it is captured.
        top.wait_for(INTERFACE);
        send(&wire, &PORTS);
        top.wait_for("www.example");
        let stdin = top.child.stdin.as_mut().unwrap();
        std::io::Write::write_all(stdin, b"q").unwrap();
        let output = top.end();
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stdout.contains("\x1b[?1049l"));
    }
}
