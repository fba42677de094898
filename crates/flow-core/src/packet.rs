use std::fmt;

use crate::Timestamp;

/// One captured frame, borrowed from its source.
///
/// [`PacketView::new`] takes Ethernet and a frame that was captured whole; other link types and
/// frames cut by a snap length say so with the `with_*` methods.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// The captured bytes, from the link layer on.
    pub frame: &'a [u8],
    /// When it was captured.
    pub timestamp: Timestamp,
    /// What `frame` begins with.
    pub link_type: LinkType,
    /// Bytes the frame had on the wire; all byte counters use it.
    pub wire_len: u32,
}

impl<'a> PacketView<'a> {
    /// An Ethernet frame that was captured whole.
    #[must_use]
    pub fn new(frame: &'a [u8], timestamp: Timestamp) -> Self {
        let wire_len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        Self { frame, timestamp, link_type: LinkType::ETHERNET, wire_len }
    }

    /// The same packet with another link type.
    #[must_use]
    pub const fn with_link_type(mut self, link_type: LinkType) -> Self {
        self.link_type = link_type;
        self
    }

    /// The same packet with the length it had on the wire.
    #[must_use]
    pub const fn with_wire_len(mut self, wire_len: u32) -> Self {
        self.wire_len = wire_len;
        self
    }

    /// The same packet with other bytes, as after removal of an outer layer. The wire length
    /// stays: what was on the wire is what is counted.
    #[must_use]
    pub const fn with_frame<'b>(self, frame: &'b [u8]) -> PacketView<'b> {
        PacketView {
            frame,
            timestamp: self.timestamp,
            link_type: self.link_type,
            wire_len: self.wire_len,
        }
    }
}

/// The layer a frame begins with: a `LINKTYPE_` value of the registry at
/// <https://www.tcpdump.org/linktypes.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: a 4-byte address family in the byte order of the capturing host.
    pub const NULL: Self = Self(0);
    /// Ethernet II and IEEE 802.3.
    pub const ETHERNET: Self = Self(1);
    /// ARCNET with the RFC 1201 header.
    pub const ARCNET_BSD: Self = Self(7);
    /// PPP, with or without HDLC-like framing (RFC 1662).
    pub const PPP: Self = Self(9);
    /// FDDI.
    pub const FDDI: Self = Self(10);
    /// PPPoE session frames.
    pub const PPP_ETHER: Self = Self(51);
    /// IPv4 or IPv6 without a link layer, told apart by the version field.
    pub const RAW: Self = Self(101);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: a 4-byte address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux "cooked" capture.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 below a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// IPv4 without a link layer.
    pub const IPV4: Self = Self(228);
    /// IPv6 without a link layer.
    pub const IPV6: Self = Self(229);
    /// Linux netfilter log messages.
    pub const NFLOG: Self = Self(239);
    /// Linux "cooked" capture, version 2.
    pub const LINUX_SLL2: Self = Self(276);
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::NULL => "NULL",
            Self::ETHERNET => "ETHERNET",
            Self::ARCNET_BSD => "ARCNET_BSD",
            Self::PPP => "PPP",
            Self::FDDI => "FDDI",
            Self::PPP_ETHER => "PPP_ETHER",
            Self::RAW => "RAW",
            Self::IEEE802_11 => "IEEE802_11",
            Self::LOOP => "LOOP",
            Self::LINUX_SLL => "LINUX_SLL",
            Self::IEEE802_11_RADIOTAP => "IEEE802_11_RADIOTAP",
            Self::IPV4 => "IPV4",
            Self::IPV6 => "IPV6",
            Self::NFLOG => "NFLOG",
            Self::LINUX_SLL2 => "LINUX_SLL2",
            Self(number) => return write!(f, "{number}"),
        };
        f.write_str(name)
    }
}
