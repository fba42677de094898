//! Servers and clients that are no part of this project, and what they need.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flow_core::{LinkType, PacketView, Timestamp};
use flow_pcap::PcapWriter;

use crate::common::{Host, Wire, skip};

/// Whether all of the programs are there; says so if not.
pub(crate) fn have(programs: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing: Vec<_> = programs
        .iter()
        .filter(|program| !std::env::split_paths(&path).any(|folder| folder.join(program).exists()))
        .copied()
        .collect();
    if !missing.is_empty() {
        skip(&format!("needs {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// A program on a host.
pub(crate) fn command(wire: &Wire, host: Host, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", wire.namespace(host), program]);
    command
}

/// Runs a program to its end and returns what it says on standard output.
pub(crate) fn run(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("program");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {complaint}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A program that serves until it is dropped.
pub(crate) struct Program(Child);

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        // An open standard input, as s_server ends with it.
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("program"))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until somebody listens on a port of [`Host::B`].
pub(crate) fn wait_for(wire: &Wire, port: u16) {
    std::thread::scope(|scope| {
        let listens = wire.spawn(scope, Host::A, || {
            (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(20));
                TcpStream::connect((Host::B.address(), port)).is_ok()
            })
        });
        assert!(listens.join().expect("client"), "nobody listens on port {port}");
    });
    // Until the connection has been closed by the server, too.
    std::thread::sleep(Duration::from_millis(200));
}

/// A folder for the files of a test, gone when dropped.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("flow-live-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.join(name), bytes).expect("file");
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A capture of so many packets of a thousand flows, half of them UDP and half of them TCP.
pub(crate) fn capture(packets: u64) -> Vec<u8> {
    let mut writer = PcapWriter::new(Vec::new(), LinkType::ETHERNET, true).expect("header");
    for number in 0..packets {
        let frame = frame(number);
        let at = Timestamp::from_nanos(1_700_000_000_000_000_000 + number * 1_000);
        writer.write(&PacketView::new(&frame, at)).expect("packet");
    }
    writer.into_inner()
}

fn frame(number: u64) -> Vec<u8> {
    let flow = u16::try_from(number % 1_000).expect("small");
    let payload = vec![7; usize::from(flow % 400) + 1];
    let (protocol, transport) = if flow % 2 == 0 {
        let len = u16::try_from(8 + payload.len()).expect("small").to_be_bytes();
        (17, [&port(1_000 + flow)[..], &port(4_000), &len, &[0; 2]].concat())
    } else {
        let sequence = u32::try_from(number / 1_000 * payload.len() as u64).expect("small");
        let rest = [0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0];
        let numbers = [sequence.to_be_bytes(), 1_u32.to_be_bytes()].concat();
        (6, [&port(1_000 + flow)[..], &port(4_000), &numbers, &rest].concat())
    };
    let len = u16::try_from(20 + transport.len() + payload.len()).expect("small").to_be_bytes();
    let mut ip = vec![0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    ip.extend([10, 77, 0, 1, 10, 77, 0, 9]);
    // Nobody's address, so that nobody answers.
    let ethernet = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0];
    [&ethernet[..], &ip, &transport, &payload].concat()
}

fn port(port: u16) -> [u8; 2] {
    port.to_be_bytes()
}
