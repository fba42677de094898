use flow_core::{EndReason, FlowSide, Gap};
use flow_dns::DnsTcpParser;
use flow_http::HttpParser;
use flow_session::{Context, SessionParser};
use flow_tls::TlsParser;

use crate::opening::{Opening, Search};
use crate::prelude::Prelude;
use crate::reader::Reader;
use crate::{L7Message, L7Protocol};

/// A connection, or the inside of a tunnel in it.
#[derive(Debug)]
pub(crate) enum Layer<C> {
    Opening(Opening),
    Http(Box<Reader<HttpParser>>),
    Tls(Box<Reader<TlsParser>>),
    Dns(Box<Reader<DnsTcpParser>>),
    Custom(Box<Reader<Box<dyn SessionParser<Message = C>>>>),
    /// Nothing yet, but something may follow.
    Prelude(Box<Prelude>),
    /// Nothing that is known.
    Off,
}

/// Calls `$do` with the reader of a layer and what wraps its messages, if the layer has one.
macro_rules! with_reader {
    ($layer:expr, ($reader:ident, $wrap:ident) => $do:expr) => {
        match $layer {
            Layer::Opening(opening) => {
                if let Some($reader) = opening.http.going() {
                    let $wrap = L7Message::Http as fn(_) -> _;
                    $do;
                }
            }
            Layer::Http($reader) => {
                let $wrap = L7Message::Http as fn(_) -> _;
                $do;
            }
            Layer::Tls($reader) => {
                let $wrap = L7Message::Tls as fn(_) -> _;
                $do;
            }
            Layer::Dns($reader) => {
                let $wrap = L7Message::Dns as fn(_) -> _;
                $do;
            }
            Layer::Custom($reader) => {
                let $wrap = L7Message::Custom as fn(_) -> _;
                $do;
            }
            Layer::Prelude(_) | Layer::Off => {}
        }
    };
}

impl<C: Send + std::fmt::Debug + 'static> Layer<C> {
    /// What it was found to be.
    pub(crate) fn protocol(&self) -> Option<L7Protocol> {
        match self {
            Self::Http(_) => Some(L7Protocol::Http),
            Self::Tls(_) => Some(L7Protocol::Tls),
            Self::Dns(_) => Some(L7Protocol::Dns),
            Self::Custom(_) => Some(L7Protocol::Custom),
            Self::Opening(_) | Self::Prelude(_) | Self::Off => None,
        }
    }

    /// Whether it has a use for more of `side`.
    pub(crate) fn wants(&self, side: FlowSide) -> bool {
        match self {
            Self::Opening(opening) => opening.wants(side),
            // A side that HTTP needs no more of may still turn into a tunnel by the other's word.
            Self::Http(http) => http.reads(side) && http.wants_any(),
            Self::Tls(tls) => tls.wants(side),
            Self::Dns(dns) => dns.wants(side),
            Self::Custom(custom) => custom.wants(side),
            Self::Prelude(prelude) => prelude.wants(side),
            Self::Off => false,
        }
    }

    pub(crate) fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, L7Message<C>>) {
        with_reader!(self, (reader, wrap) => reader.gap(side, gap, cx, wrap));
        match self {
            Self::Prelude(prelude) => prelude.gap(side),
            Self::Opening(opening) => {
                if let Search::Going(prelude) = &mut opening.prelude {
                    prelude.gap(side);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, L7Message<C>>) {
        with_reader!(self, (reader, wrap) => reader.fin(side, cx, wrap));
    }

    pub(crate) fn close(
        &mut self,
        side: FlowSide,
        reason: EndReason,
        cx: &mut Context<'_, L7Message<C>>,
    ) {
        with_reader!(self, (reader, wrap) => reader.close(side, reason, cx, wrap));
    }

    pub(crate) fn rst(&mut self, side: FlowSide) {
        with_reader!(self, (reader, _wrap) => reader.rst::<L7Message<C>>(side, _wrap));
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        match self {
            Self::Opening(opening) => opening.buffered_bytes(),
            Self::Http(http) => http.buffered_bytes(),
            Self::Tls(tls) => tls.buffered_bytes(),
            Self::Dns(dns) => dns.buffered_bytes(),
            Self::Custom(custom) => custom.buffered_bytes(),
            Self::Prelude(prelude) => prelude.buffered_bytes(),
            Self::Off => 0,
        }
    }
}
