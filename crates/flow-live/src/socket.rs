//! What libpcap leaves to its users to ask of the socket itself.

use std::io;
use std::os::fd::BorrowedFd;

#[cfg(target_os = "linux")]
pub(crate) use self::linux::{Interface, join_fanout};

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::AsRawFd;

    use rustix::io::Errno;
    use rustix::net::netdevice::{index_to_name_inlined, name_to_index};

    use super::{BorrowedFd, io};

    /// The interface a socket is bound to, by the number that is never given to another one.
    #[derive(Clone, Copy, Debug)]
    pub(crate) struct Interface(Option<u32>);

    impl Interface {
        /// `any` is none, and always there.
        pub(crate) fn of(socket: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
            if name == "any" {
                return Ok(Self(None));
            }
            let interface = name_to_index(socket, name)?;
            // A packet on the loopback interface passes twice, and libpcap shows the second time.
            // So the first need not take a place in the buffer, nor be counted. Kernels before
            // 4.20 do not know how; there it does both.
            if name_to_index(socket, "lo") == Ok(interface) {
                drop(set(socket, libc::PACKET_IGNORE_OUTGOING, 1));
            }
            Ok(Self(Some(interface)))
        }

        /// Whether it was removed. Renamed or taken down, it is still the same.
        pub(crate) fn is_gone(self, socket: BorrowedFd<'_>) -> bool {
            let name = self.0.map(|index| index_to_name_inlined(socket, index));
            matches!(name, Some(Err(Errno::NODEV | Errno::NXIO)))
        }
    }

    /// Makes the bound socket a member of a group that divides packets by flow, or of a new one;
    /// returns the number of the group.
    pub(crate) fn join_fanout(socket: BorrowedFd<'_>, group: Option<u16>) -> io::Result<u16> {
        let mode = libc::PACKET_FANOUT_HASH | libc::PACKET_FANOUT_FLAG_DEFRAG;
        let unique = if group.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
        let argument = u32::from(group.unwrap_or_default()) | (mode | unique) << 16;
        set(socket, libc::PACKET_FANOUT, argument)?;
        match group {
            Some(group) => Ok(group),
            // The lower half of what the option now says.
            None => {
                Ok(u16::try_from(get(socket, libc::PACKET_FANOUT)? & 0xffff).unwrap_or_default())
            }
        }
    }

    #[allow(unsafe_code)]
    fn set(socket: BorrowedFd<'_>, option: i32, value: u32) -> io::Result<()> {
        // SAFETY: the descriptor is open as long as it is borrowed; the kernel reads four bytes
        // from a pointer to as many, and keeps nothing of it.
        let status = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                std::ptr::from_ref(&value).cast(),
                LEN,
            )
        };
        if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    #[allow(unsafe_code)]
    fn get(socket: BorrowedFd<'_>, option: i32) -> io::Result<u32> {
        let mut value = 0_u32;
        let mut len = LEN;
        // SAFETY: the descriptor is open as long as it is borrowed; the kernel writes at most as
        // many bytes as `len` says, which is what `value` has.
        let status = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                std::ptr::from_mut(&mut value).cast(),
                &raw mut len,
            )
        };
        if status == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
    }

    const LEN: libc::socklen_t = 4;
}

#[cfg(not(target_os = "linux"))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interface;

#[cfg(not(target_os = "linux"))]
impl Interface {
    pub(crate) fn of(_: BorrowedFd<'_>, _: &str) -> io::Result<Self> {
        Ok(Self)
    }

    /// Elsewhere, libpcap says so itself.
    pub(crate) fn is_gone(self, _: BorrowedFd<'_>) -> bool {
        false
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn join_fanout(_: BorrowedFd<'_>, _: Option<u16>) -> io::Result<u16> {
    Err(io::ErrorKind::Unsupported.into())
}
