//! The packets in a frame, one inside the other.

use flow_core::{Encapsulation, Extracted, PacketView};

use crate::bytes::saturate;
use crate::encap::{self, AutoEncapVariants};
use crate::link::{self, Network};

/// Packets inside one another that are looked at.
///
/// Rationale: the limit of [`AutoDetectEncap::with_max_depth`](crate::AutoDetectEncap); no
/// combinator finds a flow deeper.
const MAX_LEVELS: usize = 64;

/// One packet of a frame.
pub(crate) struct Level<'a> {
    /// The packet, from its link layer on where it has one.
    pub(crate) view: PacketView<'a>,
    /// Where its network layer is in `view`, with all layers from the outside up to there.
    pub(crate) network: Network,
    /// Where `view` begins in the outermost frame.
    pub(crate) start: usize,
}

/// The packets in a frame, outermost first.
pub(crate) fn levels(outermost: PacketView<'_>) -> impl Iterator<Item = Level<'_>> {
    let mut next = Some((outermost, 0, Encapsulation::default()));
    std::iter::from_fn(move || {
        let (view, start, outside) = next.take()?;
        let mut network = link::network(view.frame, view.link_type).ok()?;
        network.encapsulation = outside.around(network.encapsulation);
        if let Some(inner) = encap::take_off(view, AutoEncapVariants::all())
            && let Some(frame) = view.frame.get(inner.start..inner.end)
        {
            let inside = view.with_frame(frame).with_link_type(inner.link_type);
            next = Some((inside, start + inner.start, outside.around(inner.layers)));
        }
        Some(Level { view, network, start })
    })
    .take(MAX_LEVELS)
}

/// The packet whose flow was found: it is wrapped in the same layers and has its network header
/// in front of the payload. Where not all layers could be recorded, the innermost such packet.
pub(crate) fn level_of<'a, K>(view: PacketView<'a>, found: &Extracted<K>) -> Option<Level<'a>> {
    let is_recorded = found.encapsulation.layers().count() < Encapsulation::MAX_LAYERS;
    let mut candidates = levels(view)
        .take_while(|level| saturate(level.start + level.network.offset) < found.payload.offset)
        .filter(|level| level.network.encapsulation == found.encapsulation);
    if is_recorded { candidates.next() } else { candidates.last() }
}
