/// One of the two ends of a flow.
///
/// The sender of the first packet is the initiator, unless that packet is a SYN-ACK: then its
/// receiver is. A TCP connection joined midstream has the sender of the first captured packet as
/// its initiator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FlowSide {
    /// The end that opened the flow.
    Initiator,
    /// The end that answered.
    Responder,
}

impl FlowSide {
    /// Both, initiator first.
    pub const BOTH: [Self; 2] = [Self::Initiator, Self::Responder];

    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Initiator => Self::Responder,
            Self::Responder => Self::Initiator,
        }
    }

    /// 0 for the initiator, 1 for the responder: the index into per-side arrays.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}
