//! Flow keys from frames: five-tuples, IP and MAC pairs, decapsulation.
//!
//! An extractor takes a captured frame and says which flow it belongs to, in which direction it
//! goes, where its payload is, and what the TCP header says. [`FiveTuple`] is the one that most
//! programs want; [`IpPair`] and [`MacPair`] tell flows apart more coarsely.
//!
//! ```
//! use flow_core::{FlowExtractor, LinkType, Orientation, PacketView, Timestamp};
//! use flow_extract::FiveTuple;
//!
//! // A DNS query in IPv4, from 192.0.2.1 to 192.0.2.53.
//! let packet = [
//!     0x45, 0, 0, 33, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 53, // IPv4
//!     0xc0, 0, 0, 53, 0, 13, 0, 0, // UDP, ports 49152 and 53
//!     b'q', b'u', b'e', b'r', b'y',
//! ];
//! let view = PacketView::new(&packet, Timestamp::new(0, 0)).with_link_type(LinkType::RAW);
//!
//! let found = FiveTuple::bidirectional().extract(view).expect("an IP packet");
//! assert_eq!(found.key.to_string(), "udp 192.0.2.1:49152 <-> 192.0.2.53:53");
//! assert_eq!(found.orientation, Orientation::Forward);
//! assert_eq!(found.payload.of(&packet), b"query");
//! assert!(found.key.either_port(53));
//! ```
//!
//! # Tunnels
//!
//! What travels in tunnels is found by wrapping an extractor: any [`FlowExtractor`], of this crate
//! or not. [`AutoDetectEncap`] looks into every encapsulation it knows, one inside the other, and
//! gives the flow of the innermost packet. [`StripVlan`], [`StripMpls`], [`StripPppoe`],
//! [`InnerVxlan`], [`InnerGeneve`], [`InnerGtpU`], [`InnerGre`], [`InnerTeredo`] and [`InnerIp`]
//! look into one kind each and can be nested. Either way the layers are reported in
//! [`Extracted::encapsulation`](flow_core::Extracted::encapsulation), and payload offsets count
//! from the start of the frame as it was captured.
//!
//! ```
//! use flow_extract::{AutoDetectEncap, FiveTuple, InnerGre, InnerVxlan};
//!
//! let everything = AutoDetectEncap::new(FiveTuple::bidirectional());
//! let vxlan_in_gre = InnerGre::new(InnerVxlan::new(FiveTuple::bidirectional()));
//! # let _ = (everything, vxlan_in_gre);
//! ```
//!
//! # Link types
//!
//! Ethernet (II, 802.3 with LLC or SNAP, VLAN tags), raw IP, BSD loopback, Linux cooked capture 1
//! and 2, PPP, PPPoE, Cisco HDLC, FDDI, ARCNET, netfilter log, MPLS, and IEEE 802.11 in clear
//! with or without radiotap. Any other is
//! [`SkipReason::UnknownLinkType`](flow_core::SkipReason::UnknownLinkType).
//!
//! # Fragments
//!
//! A fragment of an IP packet has no ports, so [`FiveTuple`] gives it no flow. It finds the
//! fragment instead, outside and inside of tunnels:
//! [`FlowExtractor::fragment`](flow_core::FlowExtractor::fragment). [`FlowTracker`](flow_core::FlowTracker) keeps fragments until
//! their packet is whole and has the flow of that extracted, through the same combinators.
//!
//! # ICMP errors
//!
//! On request ([`FiveTuple::with_icmp_errors`]) an ICMP error is matched to the flow of the packet
//! that it quotes: [`FlowExtractor::quoted`](flow_core::FlowExtractor::quoted).
//!
//! # Other keys
//!
//! [`FlowLabel`] adds the IPv6 flow label to the key of any extractor. With the feature
//! `community-id`, a [`FiveTupleKey`] has a Community ID, by which other tools name the flow.
//!
//! # Lengths that lie
//!
//! The payload is what the IP and transport headers say, not what the frame holds: Ethernet
//! padding is no payload, and what a snap length cut off still counts in
//! [`Payload::len`](flow_core::Payload::len). A packet whose headers contradict each other has no
//! flow. No input makes an extractor panic, read outside the frame, or take more than a bounded
//! number of steps.
//!
//! [`FlowExtractor`]: flow_core::FlowExtractor
#![warn(clippy::indexing_slicing)]

mod bytes;
mod checksum;
mod combinators;
#[cfg(feature = "community-id")]
mod community_id;
mod encap;
mod five_tuple;
mod flow_label;
mod fragment;
mod icmp;
mod ip;
mod key;
mod levels;
mod link;
mod pairs;
mod plain;
mod transport;

pub use self::combinators::{
    AutoDetectEncap, InnerGeneve, InnerGre, InnerGtpU, InnerIp, InnerTeredo, InnerVxlan, StripMpls,
    StripPppoe, StripVlan,
};
#[cfg(feature = "community-id")]
pub use self::community_id::CommunityId;
pub use self::encap::AutoEncapVariants;
pub use self::five_tuple::FiveTuple;
pub use self::flow_label::{FlowLabel, FlowLabelKey};
pub use self::key::{Endpoint, FiveTupleKey, IpPairKey, MacAddr, MacPairKey};
pub use self::pairs::{IpPair, MacPair};
