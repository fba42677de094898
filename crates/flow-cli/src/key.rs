use std::cmp::Ordering;
use std::fmt;
use std::io;
use std::net::IpAddr;

use flow::extract::{CommunityId, FiveTupleKey, IpPairKey, MacAddr, MacPairKey};
use flow::{Extracted, L4Proto, Orientation, PacketView};
use serde::Serialize;

use crate::output::{Rows, Shown};

/// The two ends of a flow: the initiator is the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ends {
    pub(crate) src: Shown<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sport: Option<u16>,
    pub(crate) dst: Shown<Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dport: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Address {
    Ip(IpAddr),
    Mac(MacAddr),
}

impl Ends {
    /// The columns of a table that [`row`](Self::row) writes.
    pub(crate) const COLUMNS: [&str; 4] = ["src", "sport", "dst", "dport"];

    /// Writes the fields of both ends.
    pub(crate) fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.src)?;
        row.optional(self.sport)?;
        row.field(self.dst)?;
        row.optional(self.dport)
    }

    /// What the responder sends, as seen from it.
    pub(crate) fn reversed(self) -> Self {
        Self { src: self.dst, sport: self.dport, dst: self.src, dport: self.sport }
    }

    /// The source as one word: `10.0.0.1:80`, `[2001:db8::1]:80`, an address without a port.
    pub(crate) fn source(&self) -> impl fmt::Display {
        End(self.src.0, self.sport)
    }

    /// The destination as one word.
    pub(crate) fn destination(&self) -> impl fmt::Display {
        End(self.dst.0, self.dport)
    }

    /// Which source comes first.
    pub(crate) fn cmp_source(&self, other: &Self) -> Ordering {
        (self.src.0, self.sport).cmp(&(other.src.0, other.sport))
    }

    /// Which destination comes first.
    pub(crate) fn cmp_destination(&self, other: &Self) -> Ordering {
        (self.dst.0, self.dport).cmp(&(other.dst.0, other.dport))
    }

    /// Either port.
    pub(crate) fn has_port(&self, port: u16) -> bool {
        self.sport == Some(port) || self.dport == Some(port)
    }
}

struct End(Address, Option<u16>);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match (self.0, self.1) {
            (Address::Ip(ip @ IpAddr::V6(_)), Some(port)) => format!("[{ip}]:{port}"),
            (address, Some(port)) => format!("{address}:{port}"),
            (address, None) => address.to_string(),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Mac(mac) => mac.fmt(f),
        }
    }
}

/// A key whose ends can be printed.
pub(crate) trait FlowKey: Sized {
    /// The ends, given how the initiator's packets relate to the key.
    fn ends(&self, initiator: Orientation) -> Ends;

    /// The Community ID, if there is one and the key is enough to tell.
    fn community_id(&self, seed: u16) -> Option<CommunityId> {
        let _ = seed;
        None
    }

    /// The Community ID of the flow of a packet, if there is one.
    fn community_id_of(
        view: PacketView<'_>,
        found: &Extracted<Self>,
        seed: u16,
    ) -> Option<CommunityId> {
        let _ = (view, found, seed);
        None
    }
}

impl FlowKey for FiveTupleKey {
    fn ends(&self, initiator: Orientation) -> Ends {
        let ports = matches!(self.proto, L4Proto::Tcp | L4Proto::Udp | L4Proto::Sctp);
        let end = |endpoint: flow::extract::Endpoint| {
            (Shown(Address::Ip(endpoint.ip())), ports.then(|| endpoint.port()))
        };
        let ((src, sport), (dst, dport)) = in_order(end(self.a), end(self.b), initiator);
        Ends { src, sport, dst, dport }
    }

    fn community_id(&self, seed: u16) -> Option<CommunityId> {
        self.community_id(seed)
    }

    fn community_id_of(
        view: PacketView<'_>,
        found: &Extracted<Self>,
        seed: u16,
    ) -> Option<CommunityId> {
        CommunityId::of_packet(view, found, seed)
    }
}

impl FlowKey for IpPairKey {
    fn ends(&self, initiator: Orientation) -> Ends {
        addresses(Address::Ip(self.a), Address::Ip(self.b), initiator)
    }
}

impl FlowKey for MacPairKey {
    fn ends(&self, initiator: Orientation) -> Ends {
        addresses(Address::Mac(self.a), Address::Mac(self.b), initiator)
    }
}

fn addresses(a: Address, b: Address, initiator: Orientation) -> Ends {
    let (src, dst) = in_order(Shown(a), Shown(b), initiator);
    Ends { src, sport: None, dst, dport: None }
}

fn in_order<T>(a: T, b: T, initiator: Orientation) -> (T, T) {
    match initiator {
        Orientation::Forward => (a, b),
        Orientation::Reverse => (b, a),
    }
}
