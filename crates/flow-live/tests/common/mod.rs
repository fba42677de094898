//! Two hosts with a wire between them, for tests of live capture.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Two network namespaces and a pair of virtual Ethernet interfaces, gone when dropped.
///
/// Nothing is on the wire but what a test sends: there is no IPv6, and the hosts know each other's
/// hardware addresses.
pub(crate) struct Wire {
    namespaces: [String; 2],
}

/// One end of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    A,
    B,
}

/// The interface of either host.
pub(crate) const INTERFACE: &str = "wire0";

/// An address on the wire that nobody has, so that nobody answers.
pub(crate) const NOBODY: &str = "10.77.0.9";

impl Host {
    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::A => "10.77.0.1",
            Self::B => "10.77.0.2",
        }
    }

    fn hardware_address(self) -> &'static str {
        match self {
            Self::A => "02:00:00:00:00:01",
            Self::B => "02:00:00:00:00:02",
        }
    }
}

impl Wire {
    /// The wire, or `None` where this may not be done, and a line that says so.
    pub(crate) fn try_new() -> Option<Self> {
        match Self::new() {
            Ok(wire) => Some(wire),
            Err(reason) => {
                skip(&format!("needs root and iproute2: {reason}"));
                None
            }
        }
    }

    fn new() -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_left_over();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = |end: &str| format!("flow-{}-{count}-{end}", std::process::id());
        // Before anything is there, so that whatever fails, all of it is removed.
        let wire = Self { namespaces: [name("a"), name("b")] };
        for namespace in &wire.namespaces {
            ip(&format!("netns add {namespace}"))?;
            // Before there are interfaces that would announce themselves.
            let off = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; \
                       echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6";
            run(Command::new("ip").args(["netns", "exec", namespace, "sh", "-c", off]))?;
        }
        let [a, b] = &wire.namespaces;
        ip(&format!(
            "link add {INTERFACE} address {} netns {a} type veth peer name {INTERFACE} \
             address {} netns {b}",
            Host::A.hardware_address(),
            Host::B.hardware_address(),
        ))?;
        for (host, other) in [(Host::A, Host::B), (Host::B, Host::A)] {
            let namespace = wire.namespace(host);
            let neighbour = |address: &str, hardware: &str| {
                ip(&format!(
                    "-n {namespace} neigh add {address} lladdr {hardware} dev {INTERFACE} \
                     nud permanent"
                ))
            };
            ip(&format!("-n {namespace} link set lo up"))?;
            ip(&format!("-n {namespace} address add {}/24 dev {INTERFACE}", host.address()))?;
            ip(&format!("-n {namespace} link set {INTERFACE} up"))?;
            neighbour(other.address(), other.hardware_address())?;
            neighbour(NOBODY, "02:00:00:00:00:09")?;
        }
        wire.wait_until_up()?;
        Ok(wire)
    }

    /// Waits until both ends carry packets, which the kernel arranges some time after it was told.
    pub(crate) fn wait_until_up(&self) -> Result<(), String> {
        for namespace in &self.namespaces {
            let is_up = (0..500).any(|_| {
                let link = ip(&format!("-n {namespace} link show {INTERFACE}"));
                let is_up = link.is_ok_and(|link| link.contains("state UP"));
                if !is_up {
                    std::thread::sleep(Duration::from_millis(10));
                }
                is_up
            });
            if !is_up {
                return Err("the wire does not come up".to_owned());
            }
        }
        Ok(())
    }

    pub(crate) fn namespace(&self, host: Host) -> &str {
        &self.namespaces[host as usize]
    }

    /// Moves the calling thread to a host. Its sockets and child processes are of this host.
    pub(crate) fn enter(&self, host: Host) {
        let file = File::open(format!("/run/netns/{}", self.namespace(host))).expect("namespace");
        let kind = Some(LinkNameSpaceType::Network);
        move_into_link_name_space(file.as_fd(), kind).expect("enter the namespace");
    }

    /// A thread on a host.
    pub(crate) fn spawn<'scope, T: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        host: Host,
        work: impl FnOnce() -> T + Send + 'scope,
    ) -> ScopedJoinHandle<'scope, T> {
        scope.spawn(move || {
            self.enter(host);
            work()
        })
    }

    /// `ip` on a host, as `link del wire0`.
    pub(crate) fn ip(&self, host: Host, arguments: &str) {
        ip(&format!("-n {} {arguments}", self.namespace(host))).expect("ip");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            // Perhaps it was never made.
            let _ = ip(&format!("netns del {namespace}"));
        }
    }
}

/// Says that something was not tested. The gate repeats the line at its end.
#[expect(clippy::print_stderr, reason = "for whoever reads what the tests say")]
pub(crate) fn skip(reason: &str) {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    eprintln!("SKIPPED: {test}: {reason}");
}

/// What `ip` says.
fn ip(arguments: &str) -> Result<String, String> {
    run(Command::new("ip").args(arguments.split_whitespace()))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().replace('\n', " ");
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Removes the namespaces of test processes that were killed.
fn remove_left_over() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix("flow-").and_then(|name| name.split('-').next());
        let is_left_over = process
            .and_then(|process| process.parse::<u32>().ok())
            .is_some_and(|process| !std::path::Path::new(&format!("/proc/{process}")).exists());
        if is_left_over {
            // Another test may have been faster.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}
