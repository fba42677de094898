use std::net::IpAddr;

use crate::Encapsulation;

/// An IP fragment (RFC 791 section 3.2, RFC 8200 section 4.5) as it lies in its frame.
///
/// Found by [`FlowExtractor::fragment`](crate::FlowExtractor::fragment), put together with the
/// others of its packet by a [`Defragmenter`](crate::Defragmenter).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    /// The packet that it is a part of.
    pub packet: FragmentedPacket,
    /// The IP header, for IPv6 with the extension headers in front of the fragment header: what
    /// the whole packet begins with, but for its length and, in IPv4, the fragment fields.
    pub header: &'a [u8],
    /// Where in `header` the number of the protocol stands that follows it.
    pub protocol_at: usize,
    /// Where its data begin in those of the whole packet, in bytes.
    pub offset: u32,
    /// Whether others follow.
    pub more: bool,
    /// Its data, as far as they were captured.
    pub data: &'a [u8],
    /// The length of its data as the IP header says; at least that of `data`.
    pub len: u32,
}

/// What the fragments of one packet have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentedPacket {
    /// The sender's address.
    pub source: IpAddr,
    /// The receiver's address.
    pub destination: IpAddr,
    /// The identification field: 16 bits in IPv4, 32 in IPv6.
    pub id: u32,
    /// The protocol of the data.
    pub protocol: u8,
    /// What the fragments are wrapped in: the same addresses and identification in another tunnel
    /// are another packet.
    pub encapsulation: Encapsulation,
}
