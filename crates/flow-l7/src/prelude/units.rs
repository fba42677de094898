use flow_core::FlowSide;
use flow_tls::{Detection, detect};

/// Bytes that always suffice to tell how long a unit is, or that TLS begins in its place.
pub(crate) const HEAD: usize = 12;

/// The state of a side behind its last word.
pub(crate) const ENTERING: u8 = u8::MAX;

/// What the units of a prelude look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lines of text, or the packets that MySQL begins with, which may begin with the same bytes.
    Lines,
    /// Tags of XML.
    Xmpp,
    /// BER sequences (RFC 4511 section 4.2).
    Ldap,
    /// Requests for encryption, and answers of a byte.
    Postgres,
    /// Packets with a length in their header (RFC 1006 section 6), as RDP has them.
    Tpkt,
    Socks4,
    /// RFC 1928, RFC 1929.
    Socks5,
}

/// What the first bytes of a unit say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Too little.
    More,
    /// It has this many bytes.
    Unit(usize),
    /// It goes on to this byte.
    Until(u8),
    /// It has this many bytes, and is the last one.
    Enter(usize),
    /// It is none.
    Out,
}

impl Kind {
    /// The kind of prelude that begins with this byte. Only lines of text may begin with those of
    /// the server.
    pub(crate) fn of(side: FlowSide, first: u8) -> Option<Self> {
        match (first, side) {
            (b'<', _) => Some(Self::Xmpp),
            (b' '..=b'~', _) if first != b'0' || side == FlowSide::Responder => Some(Self::Lines),
            // The tag of a sequence is the digit zero, which no command begins with.
            (0x30, FlowSide::Initiator) => Some(Self::Ldap),
            (0, FlowSide::Initiator) => Some(Self::Postgres),
            (3, FlowSide::Initiator) => Some(Self::Tpkt),
            (4, FlowSide::Initiator) => Some(Self::Socks4),
            (5, FlowSide::Initiator) => Some(Self::Socks5),
            _ => None,
        }
    }

    /// The byte that ends every unit.
    pub(crate) fn delimiter(self) -> Option<u8> {
        match self {
            Self::Lines => Some(b'\n'),
            Self::Xmpp => Some(b'>'),
            _ => None,
        }
    }

    /// Whether these bytes may stand inside of a unit that ends with a byte.
    pub(crate) fn allows(self, unit: &[u8]) -> bool {
        let is_text = |byte: &u8| !matches!(byte, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
        self.delimiter().is_none() || unit.iter().all(is_text)
    }

    /// Looks at the first bytes of a unit, [`HEAD`] at most.
    pub(crate) fn step(self, side: FlowSide, state: &mut u8, head: &[u8]) -> Step {
        if *state == ENTERING {
            return Step::Enter(0);
        }
        let Some(first) = head.first() else { return Step::More };
        match (self, side) {
            (Self::Socks4, FlowSide::Initiator) => socks4_client(state, head),
            (Self::Socks4, FlowSide::Responder) => socks4_server(head),
            (Self::Socks5, FlowSide::Initiator) => socks5_client(state, head),
            (Self::Socks5, FlowSide::Responder) => socks5_server(state, head),
            // An alert or a handshake.
            _ if matches!(first, 0x15 | 0x16) => match detect(head) {
                Detection::Yes => Step::Enter(0),
                Detection::No => Step::Out,
                Detection::NeedMore => Step::More,
            },
            (Self::Lines, _) => line(side, state, head),
            (Self::Xmpp, _) => Step::Until(b'>'),
            (Self::Ldap, _) => ldap(head),
            (Self::Tpkt, _) => tpkt(head),
            (Self::Postgres, FlowSide::Initiator) => postgres_client(head),
            (Self::Postgres, FlowSide::Responder) if matches!(first, b'S' | b'N') => Step::Unit(1),
            (Self::Postgres, FlowSide::Responder) => Step::Out,
        }
    }
}

/// A line, or a packet if the first two bytes of the side say so, since text has no zeros.
fn line(side: FlowSide, state: &mut u8, head: &[u8]) -> Step {
    const FIRST: u8 = 0;
    const LINES: u8 = 1;
    const PACKETS: u8 = 2;
    match (*state, head) {
        (FIRST, [b'\n', ..] | [_, 1..=u8::MAX, ..]) => *state = LINES,
        (FIRST, [_, 0, ..]) => {
            let step = mysql(side, head);
            if step != Step::More {
                *state = PACKETS;
            }
            return step;
        }
        (FIRST, _) => return Step::More,
        // Only TLS makes sense behind it.
        (PACKETS, _) => return Step::Out,
        _ => {}
    }
    Step::Until(b'\n')
}

/// The greeting of a MySQL server, and the client's SSLRequest: a length of three bytes and a number
/// in front of version 10 of the protocol, and of flags with the one for TLS.
fn mysql(side: FlowSide, head: &[u8]) -> Step {
    match (side, head) {
        (FlowSide::Responder, [len, 0, 0, 0, 10, ..]) => Step::Unit(4 + usize::from(*len)),
        (FlowSide::Initiator, [32, 0, 0, 1, _, flags, ..]) if flags & 8 != 0 => Step::Unit(4 + 32),
        (_, [_, 0] | [_, 0, 0]) => Step::More,
        (FlowSide::Responder, [_, 0, 0, 0]) => Step::More,
        (FlowSide::Initiator, [32, 0, 0, 1] | [32, 0, 0, 1, _]) => Step::More,
        _ => Step::Out,
    }
}

/// An LDAP message: a sequence that begins with an integer. Its length is in the byte behind the tag,
/// or that says how many bytes it takes.
fn ldap(head: &[u8]) -> Step {
    let [0x30, first, rest @ ..] = head else {
        return if head == [0x30] { Step::More } else { Step::Out };
    };
    let octets = match *first {
        0..=0x7f => 0,
        0x81..=0x84 => usize::from(first & 0x7f),
        _ => return Step::Out,
    };
    let Some((octets, content)) = rest.split_at_checked(octets) else { return Step::More };
    let long = octets.iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
    let len = if octets.is_empty() { usize::from(*first) } else { long };
    match content.first() {
        Some(0x02) => Step::Unit(2 + octets.len() + len),
        None if len > 0 => Step::More,
        _ => Step::Out,
    }
}

fn tpkt(head: &[u8]) -> Step {
    match *head {
        [3, 0, a, b, ..] => match u16::from_be_bytes([a, b]) {
            // Its own header and the shortest one of X.224.
            len @ 7.. => Step::Unit(len.into()),
            _ => Step::Out,
        },
        [3] | [3, 0] | [3, 0, _] => Step::More,
        _ => Step::Out,
    }
}

/// SSLRequest and GSSENCRequest, by their codes 80877103 and 80877104.
fn postgres_client(head: &[u8]) -> Step {
    const REQUEST: [u8; 7] = [0, 0, 0, 8, 0x04, 0xd2, 0x16];
    let (known, code) = head.split_at(head.len().min(REQUEST.len()));
    match code {
        _ if !REQUEST.starts_with(known) => Step::Out,
        [] => Step::More,
        [0x2f | 0x30, ..] => Step::Unit(8),
        _ => Step::Out,
    }
}

/// A request to connect, then the user's name, and the host's if the address is 0.0.0.x (SOCKS 4A),
/// each up to a zero.
fn socks4_client(state: &mut u8, head: &[u8]) -> Step {
    const REQUEST: u8 = 0;
    const USER: u8 = 1;
    const HOST: u8 = 2;
    match (*state, head) {
        (REQUEST, [4, 1, _, _, a, b, c, d, ..]) => {
            *state = if [*a, *b, *c] == [0; 3] && *d != 0 { USER } else { HOST };
            Step::Unit(8)
        }
        (REQUEST, [4]) => Step::More,
        (REQUEST, [4, 1, ..]) if head.len() < 8 => Step::More,
        (USER, _) => {
            *state = HOST;
            Step::Until(0)
        }
        (HOST, _) => {
            *state = ENTERING;
            Step::Until(0)
        }
        _ => Step::Out,
    }
}

/// Granted is 90.
fn socks4_server(head: &[u8]) -> Step {
    match head {
        [0, 90, ..] => Step::Enter(8),
        [0] => Step::More,
        _ => Step::Out,
    }
}

fn socks5_client(state: &mut u8, head: &[u8]) -> Step {
    const METHODS: u8 = 0;
    const REQUEST: u8 = 1;
    const PASSWORD: u8 = 2;
    match (*state, head) {
        (METHODS, [5, count, ..]) if *count > 0 => {
            *state = REQUEST;
            Step::Unit(2 + usize::from(*count))
        }
        (METHODS, [5]) | (REQUEST, [1] | [5, 1]) => Step::More,
        // User name and password (RFC 1929 section 2).
        (REQUEST, [1, len, ..]) => {
            *state = PASSWORD;
            Step::Unit(2 + usize::from(*len))
        }
        (PASSWORD, [len, ..]) => {
            *state = REQUEST;
            Step::Unit(1 + usize::from(*len))
        }
        (REQUEST, [5, 1, address @ ..]) => socks5_address(address),
        (REQUEST, [5]) => Step::More,
        _ => Step::Out,
    }
}

fn socks5_server(state: &mut u8, head: &[u8]) -> Step {
    const METHOD: u8 = 0;
    const REPLY: u8 = 1;
    match (*state, head) {
        (METHOD, [5, method, ..]) if *method != 0xff => {
            *state = REPLY;
            Step::Unit(2)
        }
        (METHOD, [5]) | (REPLY, [1] | [5] | [5, 0]) => Step::More,
        // The password was right.
        (REPLY, [1, 0, ..]) => Step::Unit(2),
        (REPLY, [5, 0, address @ ..]) => socks5_address(address),
        _ => Step::Out,
    }
}

/// The rest of a request to connect or of a reply: a zero, the type of the address, address and
/// port.
fn socks5_address(address: &[u8]) -> Step {
    match *address {
        [] | [0] | [0, 3] => Step::More,
        [0, 1, ..] => Step::Enter(10),
        [0, 4, ..] => Step::Enter(22),
        [0, 3, len, ..] => Step::Enter(7 + usize::from(len)),
        _ => Step::Out,
    }
}
