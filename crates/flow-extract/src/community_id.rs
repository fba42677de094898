//! The Community ID of a flow, version 1.

use std::fmt;
use std::net::IpAddr;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use flow_core::{Extracted, L4Proto, Orientation, PacketView};
use sha1::{Digest, Sha1};

use crate::icmp;
use crate::ip;
use crate::key::has_ports;
use crate::levels::level_of;
use crate::{Endpoint, FiveTupleKey};

/// The Community ID of a flow, version 1: a hash that other tools compute alike (Zeek, Suricata,
/// Wireshark), to find a flow of theirs by
/// (<https://github.com/corelight/community-id-spec>).
///
/// The seed keeps apart the IDs of different users; 0 is the default everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommunityId([u8; 20]);

impl CommunityId {
    /// The ID of the flow of an ICMP or ICMPv6 message, in which its type and code stand for
    /// ports. Messages that answer each other, such as echo request and reply, have one ID in both
    /// directions; all others have an ID for each direction, type and code.
    ///
    /// The IP version of `source` decides which of the two protocols it is.
    #[must_use]
    pub fn of_icmp(
        source: IpAddr,
        destination: IpAddr,
        icmp_type: u8,
        code: u8,
        seed: u16,
    ) -> Self {
        let (proto, answer) = match source {
            IpAddr::V4(_) => (L4Proto::Icmp, icmp_answer(icmp_type)),
            IpAddr::V6(_) => (L4Proto::Icmpv6, icmpv6_answer(icmp_type)),
        };
        let from = Endpoint::new(source, icmp_type.into());
        let to = Endpoint::new(destination, answer.unwrap_or(code).into());
        let (a, b) = if answer.is_some() { in_order(from, to) } else { (from, to) };
        Self::hash(proto, a, b, true, seed)
    }

    /// The ID of the flow of a packet, whatever its protocol: what an extractor found in `view`.
    /// `None` if it is one of ICMP whose type and code were not captured.
    #[must_use]
    pub fn of_packet(
        view: PacketView<'_>,
        found: &Extracted<FiveTupleKey>,
        seed: u16,
    ) -> Option<Self> {
        let key = &found.key;
        if !matches!(key.proto, L4Proto::Icmp | L4Proto::Icmpv6) {
            return key.community_id(seed);
        }
        let level = level_of(view, found)?;
        let (frame, network) = (level.view.frame, &level.network);
        let header = ip::header(frame, network.offset, network.ethertype).ok()?;
        let (icmp_type, code) = icmp::type_and_code(frame, &header)?;
        let (source, destination) = match found.orientation {
            Orientation::Forward => (key.a.ip(), key.b.ip()),
            Orientation::Reverse => (key.b.ip(), key.a.ip()),
        };
        Some(Self::of_icmp(source, destination, icmp_type, code, seed))
    }

    /// The hash, of which [`Display`](fmt::Display) gives the usual form.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    fn hash(proto: L4Proto, a: Endpoint, b: Endpoint, with_ports: bool, seed: u16) -> Self {
        let mut hash = Sha1::new();
        hash.update(seed.to_be_bytes());
        for end in [&a, &b] {
            match end.ip() {
                IpAddr::V4(ip) => hash.update(ip.octets()),
                IpAddr::V6(ip) => hash.update(ip.octets()),
            }
        }
        hash.update([proto.number(), 0]);
        if with_ports {
            hash.update(a.port().to_be_bytes());
            hash.update(b.port().to_be_bytes());
        }
        Self(hash.finalize().into())
    }
}

impl FiveTupleKey {
    /// The Community ID of the flow, the same for both directions. `None` for ICMP and ICMPv6,
    /// whose IDs depend on the message: see [`CommunityId::of_packet`].
    #[must_use]
    pub fn community_id(&self, seed: u16) -> Option<CommunityId> {
        if matches!(self.proto, L4Proto::Icmp | L4Proto::Icmpv6) {
            return None;
        }
        let (a, b) = in_order(self.a, self.b);
        Some(CommunityId::hash(self.proto, a, b, has_ports(self.proto), seed))
    }
}

fn in_order(a: Endpoint, b: Endpoint) -> (Endpoint, Endpoint) {
    if a <= b { (a, b) } else { (b, a) }
}

/// The type of the message that a message of this type answers, or is answered by.
fn icmp_answer(icmp_type: u8) -> Option<u8> {
    Some(match icmp_type {
        // Echo.
        0 => 8,
        8 => 0,
        // Router advertisement and solicitation.
        9 => 10,
        10 => 9,
        // Timestamp, information, address mask: request and reply.
        13 | 15 | 17 => icmp_type + 1,
        14 | 16 | 18 => icmp_type - 1,
        _ => return None,
    })
}

/// [`icmp_answer`] for ICMPv6.
fn icmpv6_answer(icmp_type: u8) -> Option<u8> {
    Some(match icmp_type {
        // Echo, multicast listeners, home agent discovery: request and reply.
        128 | 130 | 144 => icmp_type + 1,
        129 | 131 | 145 => icmp_type - 1,
        // Router and neighbor discovery, node information: solicitation and answer.
        133 | 135 | 139 => icmp_type + 1,
        134 | 136 | 140 => icmp_type - 1,
        _ => return None,
    })
}

/// `1:LQU9qZlK+B5F3KDmev6m5PMibrg=`: the version, and the hash in Base64 (RFC 4648 section 4).
impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1:{}", Base64Display::new(&self.0, &STANDARD))
    }
}

impl fmt::Debug for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
