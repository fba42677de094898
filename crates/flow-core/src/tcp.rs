use bitflags::bitflags;

bitflags! {
    /// The control bits of a TCP header (RFC 9293 section 3.1), ECN bits included (RFC 3168).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct TcpFlags: u8 {
        /// No more data from the sender.
        const FIN = 0x01;
        /// Synchronise sequence numbers.
        const SYN = 0x02;
        /// Reset the connection.
        const RST = 0x04;
        /// Push.
        const PSH = 0x08;
        /// The acknowledgment number is valid.
        const ACK = 0x10;
        /// The urgent pointer is valid.
        const URG = 0x20;
        /// ECN echo.
        const ECE = 0x40;
        /// Congestion window reduced.
        const CWR = 0x80;
        const _ = !0;
    }
}

/// What the tracker and the reassembler need of a TCP header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    /// Control bits.
    pub flags: TcpFlags,
    /// Sequence number of the first payload byte, or of the SYN.
    pub seq: u32,
    /// Acknowledgment number; meaningless without [`TcpFlags::ACK`].
    pub ack: u32,
    /// Receive window as sent, before scaling.
    pub window: u16,
    /// Urgent pointer; meaningless without [`TcpFlags::URG`].
    pub urgent: u16,
    /// Time to live or hop limit of the packet it came in; 0 if it is not known.
    pub ttl: u8,
    /// Length of the header in bytes, options included; 0 if it is not known.
    pub header_len: u8,
    /// What the options say.
    pub options: TcpOptions,
}

/// The TCP options that change how a segment is judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// Value and echo reply of the timestamps option (RFC 7323).
    pub timestamps: Option<(u32, u32)>,
    /// Window scale shift (RFC 7323), as sent; more than 14 counts as 14.
    pub window_scale: Option<u8>,
    /// An MD5 signature (RFC 2385) or authentication option (RFC 5925) is there.
    pub signed: bool,
}

/// Whether sequence number `a` comes before `b` on the circle of 2^32 (RFC 9293 section 3.4).
#[must_use]
pub const fn seq_before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}
