use std::fmt;

use crate::tcp_state::Ending;
use crate::{FlowState, L4Proto, Traffic};

/// How a connection began and finished, as the field `conn_state` of Zeek's `conn.log` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnState {
    /// An attempt without an answer; of UDP, packets of the initiator only.
    S0,
    /// Established, and not finished.
    S1,
    /// Established and finished; of UDP, packets both ways.
    Sf,
    /// An attempt that was rejected.
    Rej,
    /// Established; the initiator has finished, the responder has not.
    S2,
    /// Established; the responder has finished, the initiator has not.
    S3,
    /// Established; the initiator reset it.
    Rsto,
    /// The responder reset it.
    Rstr,
    /// The initiator sent a SYN and a reset, and was never answered.
    Rstos0,
    /// The responder sent a SYN-ACK and a reset; a SYN of the initiator was not seen.
    Rstrh,
    /// The initiator sent a SYN and a FIN, and was never answered.
    Sh,
    /// The responder sent a SYN-ACK and a FIN, a SYN of the initiator was not seen; of UDP,
    /// packets of the responder only.
    Shr,
    /// Neither beginning nor end were seen, or it is no connection.
    #[default]
    Oth,
}

impl ConnState {
    /// The state of a flow of which so much was seen.
    pub(crate) fn of(
        l4: Option<L4Proto>,
        state: FlowState,
        [initiator, responder]: [Ending; 2],
        traffic: [Traffic; 2],
    ) -> Self {
        let sent = traffic.map(|traffic| traffic.packets > 0);
        match l4 {
            Some(L4Proto::Tcp) => Self::of_tcp(state, initiator, responder),
            Some(L4Proto::Udp) => match sent {
                [true, true] => Self::Sf,
                [true, false] => Self::S0,
                [false, true] => Self::Shr,
                [false, false] => Self::Oth,
            },
            _ => Self::Oth,
        }
    }

    fn of_tcp(state: FlowState, initiator: Ending, responder: Ending) -> Self {
        // In midstream a side is as good as not there until it has finished.
        let present = |end: &Ending| end.syn;
        if state == FlowState::Reset && responder.reset {
            return match (present(&initiator), present(&responder)) {
                (true, false) => Self::Rej,
                (false, _) => Self::Rstrh,
                (true, true) => Self::Rstr,
            };
        }
        if state == FlowState::Reset && initiator.reset {
            return if present(&responder) { Self::Rsto } else { Self::Rstos0 };
        }
        match (initiator.fin, responder.fin) {
            (true, true) => Self::Sf,
            (true, false) if present(&responder) => Self::S2,
            (true, false) => Self::Sh,
            (false, true) if present(&initiator) => Self::S3,
            (false, true) => Self::Shr,
            (false, false) => match (present(&initiator), present(&responder)) {
                (true, true) => Self::S1,
                (true, false) if !responder.sent => Self::S0,
                _ => Self::Oth,
            },
        }
    }
}

/// The name as Zeek writes it: `SF`, `RSTOS0`.
impl fmt::Display for ConnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::S0 => "S0",
            Self::S1 => "S1",
            Self::Sf => "SF",
            Self::Rej => "REJ",
            Self::S2 => "S2",
            Self::S3 => "S3",
            Self::Rsto => "RSTO",
            Self::Rstr => "RSTR",
            Self::Rstos0 => "RSTOS0",
            Self::Rstrh => "RSTRH",
            Self::Sh => "SH",
            Self::Shr => "SHR",
            Self::Oth => "OTH",
        })
    }
}
