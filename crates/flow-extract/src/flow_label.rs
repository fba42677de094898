use std::fmt;

use flow_core::{Extracted, FlowExtractor, Fragment, PacketView, Quoted, SkipReason, TcpChecksum};

use crate::levels::{level_of, levels};
use crate::{icmp, ip};

/// Flows by the key of another extractor and the IPv6 flow label (RFC 6437).
///
/// The label is that of the packet whose flow the wrapped extractor found: inside a tunnel, the
/// inner packet's. So `FlowLabel<AutoDetectEncap<_>>` and `AutoDetectEncap<FlowLabel<_>>` give the
/// same flows. IPv4 has no labels; its flows stay what they are.
///
/// Each sender chooses the labels of what it sends. The two directions of a connection therefore
/// have different labels as a rule, and then are two flows, each with one side that sends; so are
/// the parts of a connection whose sender changes its label, as Linux does when it suspects the
/// path. To follow connections, use the wrapped extractor alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowLabel<E> {
    inner: E,
}

impl<E> FlowLabel<E> {
    /// Wraps the extractor whose flows are to be told apart by their labels.
    #[must_use]
    pub const fn new(inner: E) -> Self {
        Self { inner }
    }
}

impl<E: FlowExtractor> FlowExtractor for FlowLabel<E> {
    type Key = FlowLabelKey<E::Key>;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<Self::Key>> {
        let found = self.inner.extract(view)?;
        let label = level_of(view, &found).and_then(|level| {
            ip::flow_label(level.view.frame, level.network.offset, level.network.ethertype)
        });
        let Extracted { key, orientation, l4, tcp, payload, encapsulation } = found;
        let key = FlowLabelKey { key, label };
        Some(Extracted { key, orientation, l4, tcp, payload, encapsulation })
    }

    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        self.inner.skip_reason(view)
    }

    fn fragment<'a>(&self, view: PacketView<'a>) -> Option<Fragment<'a>> {
        self.inner.fragment(view)
    }

    fn tcp_checksum(
        &self,
        view: PacketView<'_>,
        extracted: &Extracted<Self::Key>,
    ) -> Option<TcpChecksum> {
        let Extracted { ref key, orientation, l4, tcp, payload, encapsulation } = *extracted;
        let key = key.key.clone();
        let inner = Extracted { key, orientation, l4, tcp, payload, encapsulation };
        self.inner.tcp_checksum(view, &inner)
    }

    /// With the label of the quoted packet.
    fn quoted(&self, view: PacketView<'_>) -> Option<Quoted<Self::Key>> {
        let Quoted { key, orientation, error } = self.inner.quoted(view)?;
        let innermost = levels(view).filter_map(|level| icmp::quoted(level.view)).last();
        let label = innermost.and_then(|quoted| quoted.flow_label);
        Some(Quoted { key: FlowLabelKey { key, label }, orientation, error })
    }
}

/// A key and the flow label of the packets that have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowLabelKey<K> {
    /// The key of the wrapped extractor.
    pub key: K,
    /// 20 bits; 0 is that of packets which their sender did not label, `None` that of IPv4.
    pub label: Option<u32>,
}

/// `tcp [2001:db8::1]:80 <-> [2001:db8::2]:1234 label 0x12345`; the key alone for IPv4.
impl<K: fmt::Display> fmt::Display for FlowLabelKey<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label {
            Some(label) => write!(f, "{} label {label:#07x}", self.key),
            None => self.key.fmt(f),
        }
    }
}
