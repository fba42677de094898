use flow_core::FlowSide;

use crate::HttpText;

/// A connection that stopped being HTTP/1.x by agreement of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// What it became.
    pub kind: TunnelKind,
    pub(crate) start: [Option<u64>; 2],
}

/// What a connection became.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelKind {
    /// A connection to another host (CONNECT, RFC 9110 section 9.3.6).
    Connect {
        /// That host, mostly as `host:port`.
        target: HttpText,
    },
    /// A connection of another protocol (101 Switching Protocols, RFC 9110 section 7.8).
    Upgrade {
        /// The response's Upgrade field, such as `websocket`; may be empty.
        protocol: HttpText,
    },
}

impl Tunnel {
    /// Stream offset of the first byte of `side` that belongs to the tunnel, once that is
    /// known: the bytes of a piece behind the last message are in the tunnel already.
    #[must_use]
    pub fn start(&self, side: FlowSide) -> Option<u64> {
        let [initiator, responder] = self.start;
        match side {
            FlowSide::Initiator => initiator,
            FlowSide::Responder => responder,
        }
    }

    /// Notes where the tunnel begins, unless that is known.
    pub(crate) fn enter(&mut self, side: FlowSide, offset: u64) {
        let [initiator, responder] = &mut self.start;
        let start = match side {
            FlowSide::Initiator => initiator,
            FlowSide::Responder => responder,
        };
        start.get_or_insert(offset);
    }
}
