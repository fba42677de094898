use flow_core::{
    Extracted, FlowExtractor, Fragment, LinkType, PacketView, Quoted, SkipReason, TcpChecksum,
};

use crate::bytes::saturate;
use crate::encap::{self, AutoEncapVariants, Inner};
use crate::link::IPV4;
use crate::plain::PlainLink;

/// Defines a combinator that takes off one kind of encapsulation.
macro_rules! combinator {
    ($(#[$doc:meta])* $name:ident, $variant:ident) => {
        $(#[$doc])*
        ///
        /// Where this encapsulation is not there, or what it carries has no flow, the packet goes
        /// to the extractor as it came. Payload offsets count from the start of the outer frame.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name<E> {
            inner: E,
        }

        impl<E> $name<E> {
            /// Wraps the extractor that sees what is inside.
            #[must_use]
            pub const fn new(inner: E) -> Self {
                Self { inner }
            }
        }

        impl<E: FlowExtractor> FlowExtractor for $name<E> {
            type Key = E::Key;

            fn extract(&self, view: PacketView<'_>) -> Option<Extracted<E::Key>> {
                look_inside(&self.inner, view, AutoEncapVariants::$variant, 1).ok()
            }

            fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
                look_inside(&self.inner, view, AutoEncapVariants::$variant, 1)
                    .err()
                    .unwrap_or(SkipReason::NoFlow)
            }

            fn fragment<'a>(&self, view: PacketView<'a>) -> Option<Fragment<'a>> {
                fragment_inside(&self.inner, view, AutoEncapVariants::$variant, 1)
            }

            fn tcp_checksum(
                &self,
                view: PacketView<'_>,
                extracted: &Extracted<E::Key>,
            ) -> Option<TcpChecksum> {
                self.inner.tcp_checksum(view, extracted)
            }

            fn quoted(&self, view: PacketView<'_>) -> Option<Quoted<E::Key>> {
                quoted_inside(&self.inner, view, AutoEncapVariants::$variant, 1)
            }
        }
    };
}

combinator! {
    /// Takes off all VLAN tags (IEEE 802.1Q, 802.1ad).
    ///
    /// The inner extractor sees what follows the tags, with the link type of its protocol (IPv4,
    /// IPv6, MPLS, PPPoE). The extractors of this crate look through tags by themselves; this is
    /// for others, and for combinations such as `StripVlan<StripMpls<_>>`.
    StripVlan, VLAN
}
combinator! {
    /// Takes off a stack of MPLS labels, on a link, in IP or in UDP port 6635.
    ///
    /// Labels do not name what they carry: IP goes by its version field, an Ethernet pseudo-wire
    /// is taken where its type field and what follows agree.
    StripMpls, MPLS
}
combinator! {
    /// Looks into one PPPoE session.
    StripPppoe, PPPOE
}
combinator! {
    /// Looks into one VXLAN tunnel (UDP ports 4789 and 8472, VXLAN-GPE on 4790).
    InnerVxlan, VXLAN
}
combinator! {
    /// Looks into one Geneve tunnel (UDP port 6081).
    InnerGeneve, GENEVE
}
combinator! {
    /// Looks into one GTP-U tunnel (UDP port 2152) that carries IP.
    InnerGtpU, GTP_U
}
combinator! {
    /// Looks into one GRE tunnel: IP, Ethernet (NVGRE), ERSPAN I to III, PPP (PPTP).
    InnerGre, GRE
}
combinator! {
    /// Looks into one packet of IPv4 or IPv6 directly inside IP.
    InnerIp, IP_IN_IP
}
combinator! {
    /// Looks into one Teredo tunnel (UDP port 3544).
    InnerTeredo, TEREDO
}

/// Looks into every known encapsulation, one inside the other, for the innermost packet.
///
/// Layers are taken off from the outside until no further one is found. If an inner layer turns
/// out to be no packet with a flow (garbage, ARP, cut off), the flow is that of the last outer
/// packet that has one; so no packet is lost by looking into it.
///
/// A packet of TCP or UDP directly above IP and Ethernet costs a comparison of four fields more
/// than the wrapped extractor alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoDetectEncap<E> {
    inner: E,
    variants: AutoEncapVariants,
    max_depth: usize,
}

impl<E> AutoDetectEncap<E> {
    /// Encapsulations taken off one packet unless told otherwise.
    ///
    /// Rationale: real stacks have up to four (tags, GRE with ERSPAN, VXLAN, IP in IP); twice
    /// that leaves room while a packet made of nothing but tunnel headers stays cheap. A stack of
    /// tags or labels counts once.
    pub const DEFAULT_MAX_DEPTH: usize = 8;

    /// Every encapsulation, at most [`DEFAULT_MAX_DEPTH`](Self::DEFAULT_MAX_DEPTH) deep.
    #[must_use]
    pub const fn new(inner: E) -> Self {
        let variants = AutoEncapVariants::all();
        Self { inner, variants, max_depth: Self::DEFAULT_MAX_DEPTH }
    }

    /// Looks only into these.
    #[must_use]
    pub const fn with_variants(mut self, variants: AutoEncapVariants) -> Self {
        self.variants = variants;
        self
    }

    /// Takes off at most this many encapsulations; 64 and more count as 64, as each one takes
    /// some of the stack.
    #[must_use]
    pub const fn with_max_depth(mut self, max_depth: usize) -> Self {
        self.max_depth = if max_depth < 64 { max_depth } else { 64 };
        self
    }
}

impl<E: Default> Default for AutoDetectEncap<E> {
    fn default() -> Self {
        Self::new(E::default())
    }
}

impl<E: FlowExtractor> FlowExtractor for AutoDetectEncap<E> {
    type Key = E::Key;

    #[inline]
    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<E::Key>> {
        if let Some(link) = encap::plain_link(view) {
            let takes_tags_off =
                self.variants.contains(AutoEncapVariants::VLAN) && self.max_depth > 0;
            if link.tags.is_empty() || !takes_tags_off {
                return self.inner.extract(view);
            }
            if let Some(found) = below_tags(&self.inner, view, &link) {
                return Some(found);
            }
        }
        look_inside(&self.inner, view, self.variants, self.max_depth).ok()
    }

    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        look_inside(&self.inner, view, self.variants, self.max_depth)
            .err()
            .unwrap_or(SkipReason::NoFlow)
    }

    fn fragment<'a>(&self, view: PacketView<'a>) -> Option<Fragment<'a>> {
        fragment_inside(&self.inner, view, self.variants, self.max_depth)
    }

    fn tcp_checksum(
        &self,
        view: PacketView<'_>,
        extracted: &Extracted<E::Key>,
    ) -> Option<TcpChecksum> {
        self.inner.tcp_checksum(view, extracted)
    }

    fn quoted(&self, view: PacketView<'_>) -> Option<Quoted<E::Key>> {
        quoted_inside(&self.inner, view, self.variants, self.max_depth)
    }
}

/// The flow of a packet that has nothing but VLAN tags around it: what [`look_inside`] would find,
/// should there be one.
#[inline(always)]
fn below_tags<E: FlowExtractor>(
    extractor: &E,
    view: PacketView<'_>,
    link: &PlainLink,
) -> Option<Extracted<E::Key>> {
    let packet = view.frame.get(link.offset..)?;
    let link_type = if link.ethertype == IPV4 { LinkType::IPV4 } else { LinkType::IPV6 };
    let mut found = extractor.extract(view.with_frame(packet).with_link_type(link_type))?;
    found.encapsulation = link.tags.around(found.encapsulation);
    found.payload.offset = found.payload.offset.saturating_add(saturate(link.offset));
    Some(found)
}

/// The flow of the innermost packet, found by taking off at most `depth` encapsulations.
#[inline(never)]
fn look_inside<E: FlowExtractor>(
    extractor: &E,
    view: PacketView<'_>,
    wanted: AutoEncapVariants,
    depth: usize,
) -> Result<Extracted<E::Key>, SkipReason> {
    if let Some(depth) = depth.checked_sub(1)
        && let Some((packet, inner)) = inside(view, wanted)
    {
        match look_inside(extractor, packet, wanted, depth) {
            Ok(found) => return Ok(seen_from_outside(view.frame, found, &inner)),
            // Its flow is known once the datagram is whole; that of the tunnel would be another.
            Err(SkipReason::Fragment) => return Err(SkipReason::Fragment),
            Err(_) => {}
        }
    }
    extractor.extract(view).ok_or_else(|| extractor.skip_reason(view))
}

/// Puts the layers that were taken off in front and counts offsets from the outer frame's start.
fn seen_from_outside<K>(frame: &[u8], mut found: Extracted<K>, inner: &Inner) -> Extracted<K> {
    found.encapsulation = inner.layers.around(found.encapsulation);
    found.payload.offset = found.payload.offset.saturating_add(saturate(inner.start));
    // The capture goes on behind the outer layer's end, so nothing was cut off: what the inner
    // header claims beyond has never been there.
    if inner.end < frame.len() {
        found.payload.len = found.payload.captured;
    }
    found
}

/// The packet inside the outermost encapsulation.
fn inside<'a>(view: PacketView<'a>, wanted: AutoEncapVariants) -> Option<(PacketView<'a>, Inner)> {
    let inner = encap::take_off(view, wanted)?;
    let frame = view.frame.get(inner.start..inner.end)?;
    Some((view.with_frame(frame).with_link_type(inner.link_type), inner))
}

/// The fragment that [`look_inside`] came upon.
fn fragment_inside<'a, E: FlowExtractor>(
    extractor: &E,
    view: PacketView<'a>,
    wanted: AutoEncapVariants,
    depth: usize,
) -> Option<Fragment<'a>> {
    if let Some(depth) = depth.checked_sub(1)
        && let Some((packet, inner)) = inside(view, wanted)
        && let Some(mut found) = fragment_inside(extractor, packet, wanted, depth)
    {
        found.packet.encapsulation = inner.layers.around(found.packet.encapsulation);
        // As for a payload: nothing was cut off that the outer layer never had.
        if inner.end < view.frame.len() {
            found.len = saturate(found.data.len());
        }
        return Some(found);
    }
    extractor.fragment(view)
}

/// The flow that the ICMP error quotes which [`look_inside`] found.
fn quoted_inside<E: FlowExtractor>(
    extractor: &E,
    view: PacketView<'_>,
    wanted: AutoEncapVariants,
    depth: usize,
) -> Option<Quoted<E::Key>> {
    if let Some(depth) = depth.checked_sub(1)
        && let Some((packet, _)) = inside(view, wanted)
        && let Some(found) = quoted_inside(extractor, packet, wanted, depth)
    {
        return Some(found);
    }
    extractor.quoted(view)
}
