use std::fmt;
use std::hash::Hash;
use std::ops::Range;

use crate::{Fragment, LinkType, PacketView, TcpInfo};

/// Finds the flow that a packet belongs to.
///
/// An extractor decodes a frame exactly once; everything the layers above need of the headers
/// travels in the returned [`Extracted`]. `flow-extract` has the usual ones; combinators there
/// wrap any other.
pub trait FlowExtractor: Send + Sync + 'static {
    /// What tells flows apart. Both directions of a flow have the same key.
    type Key: Eq + Hash + Clone + Send + Sync + 'static;

    /// The flow of this packet, or `None` if it has none.
    ///
    /// Of a batch, packets are decoded before those in front of them are handled, in any order.
    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<Self::Key>>;

    /// Why [`extract`](Self::extract) gave `None` for this packet. Called for such packets only,
    /// to account for them.
    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        let _ = view;
        SkipReason::NoFlow
    }

    /// The IP fragment in this packet, if that is why [`extract`](Self::extract) gave `None`.
    /// Called for packets that were skipped as [`SkipReason::Fragment`] only. The tracker keeps
    /// fragments until their packet is whole, and has its flow extracted then, as a frame of
    /// link type [`LinkType::IPV4`] or [`LinkType::IPV6`].
    fn fragment<'a>(&self, view: PacketView<'a>) -> Option<Fragment<'a>> {
        let _ = view;
        None
    }

    /// What the checksum of the TCP segment says (RFC 9293 section 3.1) that was `extracted` from
    /// this packet, or `None` if that cannot be told, as not all of it was captured. Called for TCP
    /// packets only, and only where [`ChecksumPolicy`](crate::ChecksumPolicy) and what is done with
    /// their payload ask for it.
    fn tcp_checksum(
        &self,
        view: PacketView<'_>,
        extracted: &Extracted<Self::Key>,
    ) -> Option<TcpChecksum> {
        let _ = (view, extracted);
        None
    }

    /// The flow of the packet that an ICMP error quotes (RFC 792, RFC 4443 section 3). Called for
    /// packets of [`L4Proto::Icmp`] and [`L4Proto::Icmpv6`] only. With `None`, an error is a
    /// packet of the flow that [`extract`](Self::extract) gave.
    fn quoted(&self, view: PacketView<'_>) -> Option<Quoted<Self::Key>> {
        let _ = view;
        None
    }
}

/// What a TCP checksum says of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TcpChecksum {
    /// The segment is as it was sent.
    Good,
    /// It does not matter. It is the sum of the pseudo-header alone, as the segment was captured on
    /// its way to the network card, which was to add the rest; or the segment is too long for a
    /// frame, as the network card merged several or was to cut it.
    Offloaded,
    /// The segment is damaged or forged, or was captured where checksums are not made yet, or not
    /// any more.
    Bad,
}

/// What an ICMP error says, and of which flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quoted<K> {
    /// The flow of the packet that it quotes.
    pub key: K,
    /// The direction of the quoted packet, whose sender the error is for.
    pub orientation: Orientation,
    /// What is wrong.
    pub error: IcmpError,
}

/// Type and code of an ICMP error (RFC 792) or ICMPv6 error (RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IcmpError {
    /// The type: 3 is "destination unreachable" in ICMP, 1 in ICMPv6.
    pub icmp_type: u8,
    /// The code, whose meaning depends on the type.
    pub code: u8,
}

/// What an extractor learnt of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extracted<K> {
    /// The flow, the same for both directions.
    pub key: K,
    /// How this packet's direction relates to the key.
    pub orientation: Orientation,
    /// Transport protocol, where there is one.
    pub l4: Option<L4Proto>,
    /// The TCP header, if the packet has its 20 fixed bytes.
    pub tcp: Option<TcpInfo>,
    /// Where in the frame the transport payload is.
    pub payload: Payload,
    /// The layers that were taken off to get to the flow.
    pub encapsulation: Encapsulation,
}

/// Where the transport payload lies in its frame.
///
/// ```text
/// frame  |-- headers --|== captured ==|.. cut off ..|
///                      ^offset        ^offset+captured
///                      |<----------- len ---------->|
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// From the start of the frame to the first payload byte.
    pub offset: u32,
    /// Payload bytes that the frame holds; `captured <= len`.
    pub captured: u32,
    /// Payload bytes that the packet had, as the IP and transport headers say.
    pub len: u32,
}

impl Payload {
    /// The captured payload as a range of the frame.
    #[must_use]
    pub const fn range(self) -> Range<usize> {
        self.offset as usize..self.offset as usize + self.captured as usize
    }

    /// The captured payload, empty if `frame` is not the frame this was extracted from.
    #[must_use]
    pub fn of(self, frame: &[u8]) -> &[u8] {
        frame.get(self.range()).unwrap_or_default()
    }
}

/// A packet's direction in terms of its key, which is the same both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Orientation {
    /// From the key's first endpoint to its second.
    Forward,
    /// From the key's second endpoint to its first.
    Reverse,
}

impl Orientation {
    /// The other direction.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Forward => Self::Reverse,
            Self::Reverse => Self::Forward,
        }
    }
}

/// Transport protocol above IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum L4Proto {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
    /// ICMP for IPv4, RFC 792.
    Icmp,
    /// ICMP for IPv6, RFC 4443.
    Icmpv6,
    /// RFC 9260.
    Sctp,
    /// Any other, by its number in the IP header.
    Other(u8),
}

impl L4Proto {
    /// From the protocol number of an IP header.
    #[must_use]
    pub const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Icmp,
            6 => Self::Tcp,
            17 => Self::Udp,
            58 => Self::Icmpv6,
            132 => Self::Sctp,
            other => Self::Other(other),
        }
    }

    /// The protocol number of an IP header.
    #[must_use]
    #[inline]
    pub const fn number(self) -> u8 {
        // Apart from the others, which then come from a table instead of a jump.
        if let Self::Other(number) = self {
            return number;
        }
        match self {
            Self::Icmp => 1,
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Icmpv6 => 58,
            Self::Sctp | Self::Other(_) => 132,
        }
    }
}

/// The name in lower case (`tcp`), or the number where there is no name here.
impl fmt::Display for L4Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Sctp => "sctp",
            Self::Other(number) => return write!(f, "{number}"),
        })
    }
}

/// Why a packet belongs to no flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// The link type is not one the extractor knows.
    UnknownLinkType(LinkType),
    /// The frame ends before the headers do.
    Truncated,
    /// A header contradicts itself.
    Malformed,
    /// Part of an IP datagram that is not there whole.
    Fragment,
    /// A protocol without flows, such as ARP.
    NoFlow,
}

/// What a packet was wrapped in, outermost first.
///
/// Holds [`Encapsulation::MAX_LAYERS`] layers; what lies deeper is not recorded.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Encapsulation {
    /// One byte per layer, the outermost lowest: one more than its place in [`EncapKind::ALL`],
    /// 0 where there is no layer.
    //
    // One word, as it is made, copied and compared as a whole for every packet.
    kinds: u64,
    ids: [u32; Self::MAX_LAYERS],
}

impl Encapsulation {
    /// Layers that can be recorded.
    ///
    /// Rationale: the deepest stack in the corpus has 3 (GRE, ERSPAN, VXLAN); 6 leaves room for
    /// QinQ and an MPLS label in front.
    pub const MAX_LAYERS: usize = 6;

    /// Not wrapped in anything.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.kinds == 0
    }

    /// Adds a layer inside the others.
    #[inline]
    pub fn push(&mut self, layer: EncapLayer) {
        let at = self.len();
        if let Some(id) = self.ids.get_mut(at) {
            *id = layer.id;
            self.kinds |= (layer.kind as u64 + 1) << (8 * at);
        }
    }

    /// These layers, with those of `inner` inside of them.
    #[must_use]
    pub fn around(mut self, inner: Self) -> Self {
        inner.layers().for_each(|layer| self.push(layer));
        self
    }

    /// The layers, outermost first.
    pub fn layers(&self) -> impl Iterator<Item = EncapLayer> + '_ {
        let known = self.kinds.to_le_bytes().into_iter().zip(&self.ids);
        known.map_while(|(kind, &id)| {
            let kind = *EncapKind::ALL.get(usize::from(kind).checked_sub(1)?)?;
            Some(EncapLayer { kind, id })
        })
    }

    #[inline]
    const fn len(&self) -> usize {
        (u64::BITS - self.kinds.leading_zeros()).div_ceil(8) as usize
    }
}

impl fmt::Debug for Encapsulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.layers().map(|layer| layer.to_string())).finish()
    }
}

/// One layer of encapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EncapLayer {
    /// The protocol.
    pub kind: EncapKind,
    /// Its identifier: VLAN id, MPLS label, VNI, TEID, GRE key, PPPoE session; 0 where there is
    /// none.
    pub id: u32,
}

/// `vlan:100`, or the bare name for protocols without an identifier.
impl fmt::Display for EncapLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match self.kind {
            EncapKind::Vlan => write!(f, "vlan:{id}"),
            EncapKind::Mpls => write!(f, "mpls:{id}"),
            EncapKind::Vxlan => write!(f, "vxlan:{id}"),
            EncapKind::Geneve => write!(f, "geneve:{id}"),
            EncapKind::GtpU => write!(f, "gtp:{id:#010x}"),
            EncapKind::Gre if id != 0 => write!(f, "gre:{id:#010x}"),
            EncapKind::Gre => f.write_str("gre"),
            EncapKind::Erspan => write!(f, "erspan:{id}"),
            EncapKind::PppoE => write!(f, "pppoe:{id}"),
            EncapKind::IpInIp => f.write_str("ip"),
            EncapKind::Teredo => f.write_str("teredo"),
        }
    }
}

/// Protocols that carry whole packets of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncapKind {
    /// IEEE 802.1Q and 802.1ad tags.
    Vlan,
    /// RFC 3032.
    Mpls,
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// 3GPP TS 29.281.
    GtpU,
    /// RFC 2784, 2890, 2637, 7637.
    Gre,
    /// Encapsulated remote SPAN, types II and III.
    Erspan,
    /// RFC 2516.
    PppoE,
    /// IPv4 or IPv6 directly inside IP: RFC 2003, 2473, 4213.
    IpInIp,
    /// RFC 4380.
    Teredo,
}

impl EncapKind {
    /// Every kind, in the order of declaration.
    const ALL: [Self; 10] = [
        Self::Vlan,
        Self::Mpls,
        Self::Vxlan,
        Self::Geneve,
        Self::GtpU,
        Self::Gre,
        Self::Erspan,
        Self::PppoE,
        Self::IpInIp,
        Self::Teredo,
    ];
}
