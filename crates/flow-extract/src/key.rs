use std::fmt;
use std::hash::{Hash, Hasher};
use std::hint::select_unpredictable;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use flow_core::L4Proto;

use crate::checksum;

/// One end of a flow: an IP address and a port.
///
/// Takes 19 bytes, so that a [`FiveTupleKey`] fits 40; [`SocketAddr`] alone takes 32. Ordered by
/// address (IPv4 before IPv6), then by port.
//
// Packed, because padding would cost five bytes; in words instead of byte arrays, because a key
// is written and read back by words within nanoseconds, and a load that spans several smaller
// stores has to wait until these have left the processor.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(Rust, packed)]
pub struct Endpoint {
    /// First half of an IPv6 address; 0 for IPv4.
    high: u64,
    /// Second half of an IPv6 address, or the IPv4 address.
    low: u64,
    port: u16,
    family: Family,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    V4,
    V6,
}

impl Endpoint {
    /// An address and a port; port 0 where the protocol has none.
    #[must_use]
    pub const fn new(ip: IpAddr, port: u16) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::v4(ip.to_bits(), port),
            IpAddr::V6(ip) => Self::v6(ip.to_bits(), port),
        }
    }

    #[inline(always)]
    pub(crate) const fn v4(address: u32, port: u16) -> Self {
        Self { high: 0, low: address as u64, port, family: Family::V4 }
    }

    #[inline(always)]
    pub(crate) const fn v6(address: u128, port: u16) -> Self {
        Self::v6_halves(halves(address), port)
    }

    #[inline(always)]
    pub(crate) const fn v6_halves([high, low]: [u64; 2], port: u16) -> Self {
        Self { high, low, port, family: Family::V6 }
    }

    /// What its address adds to a checksum.
    #[inline]
    pub(crate) fn sum(&self) -> u64 {
        checksum::swapped(self.high) + checksum::swapped(self.low)
    }

    /// The address.
    #[must_use]
    pub const fn ip(&self) -> IpAddr {
        match self.family {
            Family::V4 => {
                let [.., a, b, c, d] = self.low.to_be_bytes();
                IpAddr::V4(Ipv4Addr::new(a, b, c, d))
            }
            Family::V6 => {
                IpAddr::V6(Ipv6Addr::from_bits((self.high as u128) << 64 | self.low as u128))
            }
        }
    }

    /// The port; 0 where the protocol has none.
    #[must_use]
    #[inline]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Both as the standard library's type.
    #[must_use]
    pub const fn socket_addr(&self) -> SocketAddr {
        SocketAddr::new(self.ip(), self.port())
    }

    /// Both, exchanged if `swap`, without a branch: which end of a flow sends is as good as random
    /// from packet to packet. Masks, as what is written as a selection may be made a branch.
    #[inline(always)]
    pub(crate) fn swapped(self, other: Self, swap: bool) -> (Self, Self) {
        let mask = u64::from(swap).wrapping_neg();
        let high = (self.high ^ other.high) & mask;
        let low = (self.low ^ other.low) & mask;
        let port = (self.port ^ other.port) & u16::from(swap).wrapping_neg();
        let family = |a, b| select_unpredictable(swap, b, a);
        (
            Self {
                high: self.high ^ high,
                low: self.low ^ low,
                port: self.port ^ port,
                family: family(self.family, other.family),
            },
            Self {
                high: other.high ^ high,
                low: other.low ^ low,
                port: other.port ^ port,
                family: family(other.family, self.family),
            },
        )
    }

    /// Whether this one comes before `other`; [`Ord`], without a branch.
    #[inline(always)]
    pub(crate) fn is_before(&self, other: &Self) -> bool {
        let rank = |end: &Self| {
            let high = u128::from(end.family as u8) << 64 | u128::from(end.high);
            (high, u128::from(end.low) << 16 | u128::from(end.port))
        };
        let ((high, low), (other_high, other_low)) = (rank(self), rank(other));
        (high < other_high) | (high == other_high) & (low < other_low)
    }
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "each half is what is wanted")]
const fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

impl Ord for Endpoint {
    #[inline]
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The lower half and the port are compared as one number.
        let rank =
            |end: &Self| (end.family, end.high, u128::from(end.low) << 16 | u128::from(end.port));
        rank(self).cmp(&rank(other))
    }
}

impl PartialOrd for Endpoint {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for Endpoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.high);
        state.write_u64(self.low);
        state.write_u32(u32::from(self.port) << 8 | self.family as u32);
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        Self::new(addr.ip(), addr.port())
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(end: Endpoint) -> Self {
        end.socket_addr()
    }
}

impl PartialEq<SocketAddr> for Endpoint {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.ip() == other.ip() && self.port() == other.port()
    }
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_addr().fmt(f)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket_addr().fmt(f)
    }
}

/// Transport protocol and both endpoints; 40 bytes.
///
/// Made by [`FiveTuple`](crate::FiveTuple), which decides which endpoint is `a`: the lower one if
/// it is bidirectional, the sender if it is directional.
#[derive(Clone, Copy, Debug)]
pub struct FiveTupleKey {
    /// Transport protocol.
    pub proto: L4Proto,
    /// First endpoint.
    pub a: Endpoint,
    /// Second endpoint, of the same address family.
    pub b: Endpoint,
}

impl FiveTupleKey {
    /// Whether one of the ports is this one. False for protocols without ports.
    #[must_use]
    pub const fn either_port(&self, port: u16) -> bool {
        has_ports(self.proto) && (self.a.port() == port || self.b.port() == port)
    }
}

impl FiveTupleKey {
    /// Both IPv4 addresses.
    #[inline(always)]
    fn v4_addresses(&self) -> u64 {
        self.a.low << 32 | self.b.low
    }

    /// The ports and the address family.
    #[inline(always)]
    fn tail(&self) -> u64 {
        u64::from(self.a.port()) << 32 | u64::from(self.b.port()) << 16 | self.a.family as u64
    }
}

/// With one branch instead of one per field: a lookup in the flow table nearly always finds its
/// key.
impl PartialEq for FiveTupleKey {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        let low = (self.a.low ^ other.a.low) | (self.b.low ^ other.b.low);
        let ports = (self.a.port ^ other.a.port) | (self.b.port ^ other.b.port);
        let family = self.a.family as u8 ^ other.a.family as u8;
        if (low | u64::from(ports) | u64::from(family) != 0) | (self.proto != other.proto) {
            return false;
        }
        // Only where it is needed: side by side with the other half it would be loaded in one
        // piece, which has to wait until the two stores just before have left the processor.
        self.a.family == Family::V4 || (self.a.high == other.a.high && self.b.high == other.b.high)
    }
}

impl Eq for FiveTupleKey {}

/// Two words for IPv4 and five for IPv6 instead of the 40 single bytes of a derived
/// implementation: the key is hashed once per packet.
impl Hash for FiveTupleKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.a.family {
            Family::V4 => state.write_u64(self.v4_addresses()),
            Family::V6 => {
                state.write_u64(self.a.high);
                state.write_u64(self.a.low);
                state.write_u64(self.b.high);
                state.write_u64(self.b.low);
            }
        }
        state.write_u64(self.tail() << 8 | u64::from(self.proto.number()));
    }
}

/// `tcp 10.0.0.1:80 <-> 10.0.0.2:1234`, without the ports where there are none.
impl fmt::Display for FiveTupleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proto, a, b } = self;
        if has_ports(*proto) {
            write!(f, "{proto} {a} <-> {b}")
        } else {
            write!(f, "{proto} {} <-> {}", a.ip(), b.ip())
        }
    }
}

/// Whether the protocol's header begins with two port numbers that name a flow.
#[inline]
pub(crate) const fn has_ports(proto: L4Proto) -> bool {
    matches!(proto, L4Proto::Tcp | L4Proto::Udp | L4Proto::Sctp)
}

/// Two IP addresses, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IpPairKey {
    /// The lower address.
    pub a: IpAddr,
    /// The higher address.
    pub b: IpAddr,
}

/// `10.0.0.1 <-> 10.0.0.2`.
impl fmt::Display for IpPairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {}", self.a, self.b)
    }
}

/// An IEEE 802 MAC address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

/// `00:00:5e:00:53:01`.
impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Two MAC addresses, the lower one first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacPairKey {
    /// The lower address.
    pub a: MacAddr,
    /// The higher address.
    pub b: MacAddr,
}

/// `00:00:5e:00:53:01 <-> 00:00:5e:00:53:02`.
impl fmt::Display for MacPairKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <-> {}", self.a, self.b)
    }
}
