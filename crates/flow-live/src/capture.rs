use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use flow_core::{CaptureStats, LinkType, PacketView, Timestamp};
use pcap::{Active, Capture, Device, PacketHeader, Precision};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::words;
use crate::link_type::link_type;
use crate::socket::{Interface, join_fanout};
use crate::totals::Totals;
use crate::{Error, Fanout, LiveConfig};

/// A live interface, read with libpcap without waiting.
///
/// Read with [`next_view`](Self::next_view) until it gives `None`, then [`wait`](Self::wait), and
/// so on. With an event loop of your own, wait for the descriptor to become readable (its
/// [`AsFd`]). The removal of the interface does not make it so: call `next_view` now and then even
/// if nothing comes.
///
/// # Damage
///
/// An interface that is taken down is quiet until it comes back. One that is removed gives what
/// was captured, then [`Error::Removed`]; after this error, or any other of `next_view`,
/// everything is [`Error::Ended`], but the counters can still be read.
pub struct LiveCapture {
    capture: Capture<Active>,
    /// The same socket, for questions while a packet is lent.
    socket: OwnedFd,
    name: String,
    interface: Interface,
    link_type: LinkType,
    fanout: Option<Fanout>,
    state: State,
    /// Whether nothing was left at the last look. Blocks are read from where no poll sees them, so
    /// there is no use in waiting before.
    drained: bool,
    /// Whether something other than a packet woke us and none came since: the interface may be
    /// about to go, of which the rest wakes nobody.
    unsettled: bool,
    delivered: u64,
    totals: Totals,
    /// The longest time for which a captured packet is not shown.
    hidden: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The interface was removed; packets may be left.
    Removed,
    /// An error was reported.
    Ended,
}

/// How long the kernel holds on to a block that is not full, in milliseconds.
///
/// Rationale: short enough for whoever watches, and with [`LiveConfig::buffer_bytes`] long enough
/// that blocks with few packets in them do not fill the buffer of a reader that stands still.
const BLOCK_MILLIS: u16 = 50;

/// How often an interface that may be gone is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// libpcap's counters are looked at after so many packets at the latest, so that they cannot wrap
/// unseen: to do that, all but one in 4,096 would have to be dropped in between.
const COUNT_EVERY: u64 = 1 << 20;

impl LiveCapture {
    /// Opens an interface with [`LiveConfig::default`]; `any` is all of them.
    ///
    /// # Errors
    ///
    /// If there is no such interface, or it cannot be captured.
    pub fn open(interface: &str) -> Result<Self, Error> {
        Self::open_with(interface, &LiveConfig::default())
    }

    /// Opens an interface; `any` is all of them, and never promiscuous.
    ///
    /// # Errors
    ///
    /// If there is no such interface, or it cannot be captured like this.
    pub fn open_with(interface: &str, config: &LiveConfig) -> Result<Self, Error> {
        Self::open_in_group(interface, config, config.fanout.map(|fanout| Some(fanout.group)))
    }

    /// Opens an interface `n` times, such that both directions of a flow come to the same capture
    /// ([`Fanout`]). Linux only; before 4.8, the directions come to different ones.
    ///
    /// What was captured in the instant before a capture joined the others may come from it and
    /// from another one. Each has a buffer, a filter and counters of its own.
    ///
    /// # Errors
    ///
    /// As [`open_with`](Self::open_with); [`Error::Fanout`] if the system cannot do it.
    pub fn open_fanout(interface: &str, config: &LiveConfig, n: usize) -> Result<Vec<Self>, Error> {
        let mut group = config.fanout.map(|fanout| fanout.group);
        let mut captures = Vec::new();
        for _ in 0..n {
            let capture = Self::open_in_group(interface, config, Some(group))?;
            group = capture.fanout.map(|fanout| fanout.group);
            captures.push(capture);
        }
        Ok(captures)
    }

    /// Joins no group, a new one, or one of a number.
    fn open_in_group(
        name: &str,
        config: &LiveConfig,
        group: Option<Option<u16>>,
    ) -> Result<Self, Error> {
        let capture = activate(name, config).map_err(|error| refusal(name, &error))?;
        let failed = |error: std::io::Error| Error::Open {
            interface: name.to_owned(),
            reason: error.to_string(),
        };
        // First of all, as packets come to all members until they are.
        let fanout = match group {
            None => None,
            Some(group) => match join_fanout(capture.as_fd(), group) {
                Ok(group) => Some(Fanout { group }),
                Err(error) => {
                    let (interface, reason) = (name.to_owned(), error.to_string());
                    return Err(Error::Fanout { interface, reason });
                }
            },
        };
        let mut opened = Self {
            socket: capture.as_fd().try_clone_to_owned().map_err(failed)?,
            interface: Interface::of(capture.as_fd(), name).map_err(failed)?,
            link_type: link_type(capture.get_datalink().0),
            capture,
            name: name.to_owned(),
            fanout,
            state: State::Open,
            drained: true,
            unsettled: false,
            delivered: 0,
            totals: Totals::default(),
            hidden: if config.immediate {
                Duration::ZERO
            } else {
                // A block that is begun right after a look of the kernel is closed at the second.
                Duration::from_millis(u64::from(BLOCK_MILLIS)) * 3
            },
        };
        if let Some(expression) = &config.filter {
            opened.set_filter(expression)?;
        }
        Ok(opened)
    }

    /// The next packet if one is there now, lent until the next call. Does not wait, but once, for
    /// 150 ms at most: for the last packets of an interface that was removed.
    ///
    /// # Errors
    ///
    /// [`Error::Removed`] or [`Error::Read`] once, then [`Error::Ended`].
    pub fn next_view(&mut self) -> Result<Option<PacketView<'_>>, Error> {
        match self.state {
            State::Open => {}
            State::Removed => {
                let hidden = self.hidden;
                // Whether it ends early does not matter.
                let _ = self.poll(hidden);
            }
            State::Ended => return Err(Error::Ended { interface: self.name.clone() }),
        }
        if self.delivered % COUNT_EVERY == COUNT_EVERY - 1 {
            drop(self.stats());
        }
        let error = match self.capture.next_packet() {
            Ok(packet) => {
                self.delivered += 1;
                self.drained = false;
                self.unsettled = false;
                return Ok(Some(PacketView {
                    frame: packet.data,
                    timestamp: timestamp(packet.header),
                    link_type: self.link_type,
                    wire_len: packet.header.len,
                }));
            }
            Err(error) => error,
        };
        self.drained = true;
        let is_gone = self.interface.is_gone(self.socket.as_fd());
        let interface = || self.name.clone();
        match (self.state, error) {
            (State::Removed, _) => {
                self.state = State::Ended;
                Err(Error::Removed { interface: interface() })
            }
            (_, _) if is_gone => {
                self.state = State::Removed;
                Ok(None)
            }
            (_, pcap::Error::TimeoutExpired | pcap::Error::NoMorePackets) => Ok(None),
            (_, error) => {
                self.state = State::Ended;
                Err(Error::Read { interface: interface(), reason: words(&error) })
            }
        }
    }

    /// Waits until a packet may be there, at most `timeout`; false if none came. A signal ends it
    /// early, with false.
    ///
    /// # Errors
    ///
    /// [`Error::Ended`] after an error of [`next_view`](Self::next_view), [`Error::Read`] if the
    /// operating system cannot wait.
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, Error> {
        match self.state {
            State::Open if self.drained => {}
            State::Open | State::Removed => return Ok(true),
            State::Ended => return Err(Error::Ended { interface: self.name.clone() }),
        }
        let timeout = if self.unsettled { timeout.min(LOOK) } else { timeout };
        match self.poll(timeout) {
            Ok(PollFlags::IN) => Ok(true),
            // To have it looked at by `next_view`.
            Ok(flags) if flags.is_empty() => Ok(self.interface.is_gone(self.socket.as_fd())),
            Ok(_) => {
                self.unsettled = true;
                Ok(true)
            }
            Err(Errno::INTR) => Ok(false),
            Err(error) => {
                Err(Error::Read { interface: self.name.clone(), reason: error.to_string() })
            }
        }
    }

    fn poll(&self, timeout: Duration) -> Result<PollFlags, Errno> {
        // No time is too long: what does not fit is no limit.
        let timeout = Timespec::try_from(timeout).ok();
        let mut sockets = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut sockets, timeout.as_ref())?;
        Ok(sockets[0].revents())
    }

    /// Captures what this expression (`pcap-filter(7)`) says from now on, in place of what was
    /// captured before.
    ///
    /// On Linux, packets that were captured and not read yet come only if the new filter wants
    /// them too; they stay counted as received. What arrives in the instant in which filters are
    /// exchanged is neither captured nor counted. After an error the filter is as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Filter`] with libpcap's words.
    pub fn set_filter(&mut self, expression: &str) -> Result<(), Error> {
        self.capture.filter(expression, true).map_err(|error| Error::Filter {
            interface: self.name.clone(),
            expression: expression.to_owned(),
            reason: words(&error),
        })
    }

    /// What was counted since the capture was opened.
    ///
    /// On Linux, all counters are about packets that matched the filter of their time. Every
    /// packet that was `received` is read, or dropped and counted, or still in the buffer, but for
    /// those between two filters ([`set_filter`](Self::set_filter)); on `any`, those of the
    /// loopback interface are counted twice. Elsewhere the numbers are what libpcap makes of
    /// those of the system, where packets that do not match may be counted too.
    ///
    /// # Errors
    ///
    /// [`Error::Read`] with libpcap's words.
    pub fn stats(&mut self) -> Result<CaptureStats, Error> {
        match self.capture.stats() {
            Ok(stat) => Ok(self.totals.add(stat.received, stat.dropped, stat.if_dropped)),
            Err(error) => Err(Error::Read { interface: self.name.clone(), reason: words(&error) }),
        }
    }

    /// What frames of this interface begin with.
    #[must_use]
    pub fn link_type(&self) -> LinkType {
        self.link_type
    }

    /// The name under which it was opened.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.name
    }

    /// The group of captures it is a member of, if any.
    #[must_use]
    pub fn fanout(&self) -> Option<Fanout> {
        self.fanout
    }
}

impl AsFd for LiveCapture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for LiveCapture {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Debug for LiveCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveCapture")
            .field("interface", &self.name)
            .field("link_type", &self.link_type)
            .field("fanout", &self.fanout)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The names of what can be captured here, by name of which libpcap knows some that are no
/// interfaces, like `any`.
///
/// # Errors
///
/// libpcap's words, if it cannot tell.
pub fn interfaces() -> Result<Vec<String>, Error> {
    let failed = |error| Error::Open { interface: "any".to_owned(), reason: words(&error) };
    Ok(Device::list().map_err(failed)?.into_iter().map(|device| device.name).collect())
}

fn activate(name: &str, config: &LiveConfig) -> Result<Capture<Active>, pcap::Error> {
    let fit = |bytes: u32| i32::try_from(bytes).unwrap_or(i32::MAX);
    Capture::from_device(name)?
        .snaplen(fit(config.snaplen))
        .buffer_size(fit(config.buffer_bytes))
        // libpcap would warn that there is no such thing, and a warning is an error to its binding.
        .promisc(config.promiscuous && name != "any")
        .immediate_mode(config.immediate)
        .timeout(i32::from(BLOCK_MILLIS))
        .precision(PRECISION)
        .open()?
        .setnonblock()
}

/// Nothing tells whether libpcap took the precision. On Linux it always does, elsewhere rarely.
const PRECISION: Precision =
    if cfg!(target_os = "linux") { Precision::Nano } else { Precision::Micro };

fn timestamp(header: &PacketHeader) -> Timestamp {
    let nanos_per_unit = match PRECISION {
        Precision::Nano => 1,
        Precision::Micro => 1_000,
    };
    let secs = u64::try_from(header.ts.tv_sec).unwrap_or_default();
    let units = u64::try_from(header.ts.tv_usec).unwrap_or_default();
    Timestamp::from_nanos(secs.saturating_mul(1_000_000_000).saturating_add(units * nanos_per_unit))
}

/// Why libpcap did not open it; all it has are words.
fn refusal(name: &str, error: &pcap::Error) -> Error {
    let interface = name.to_owned();
    let reason = words(error);
    if ["CAP_NET_RAW", "ermission", "not permitted"].iter().any(|word| reason.contains(word)) {
        return Error::NotPermitted { interface };
    }
    match interfaces() {
        Ok(known) if !known.contains(&interface) => Error::UnknownInterface { interface, known },
        _ => Error::Open { interface, reason },
    }
}
