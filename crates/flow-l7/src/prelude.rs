//! What comes before the protocol that is of interest, on the same connection.

mod units;

use flow_core::FlowSide;
use flow_session::Mark;
use memchr::memchr;

use self::units::{HEAD, Kind, Step};
use crate::reader::{Piece, of};

/// The words that a proxy or a server is talked to with before another protocol begins: SOCKS 4
/// and 5 (RFC 1928, RFC 1929), and the dialogues in front of STARTTLS: lines of text (SMTP, IMAP,
/// POP3, FTP, NNTP, IRC …), XMPP, LDAP, PostgreSQL, MySQL, RDP.
///
/// Each is taken for a sequence of units with bounds that are known: lines, tags, messages behind
/// their length. Behind a unit of the last kinds a TLS record may stand, and there TLS begins,
/// whatever the command was; behind the last word of SOCKS anything begins. Each side is read by
/// itself, since a capture may show the one before the other.
#[derive(Debug)]
pub(crate) struct Prelude {
    /// By the first byte that was seen.
    kind: Option<Kind>,
    sides: [Progress; 2],
    max: usize,
}

#[derive(Debug, Default)]
struct Progress {
    /// Where a side stands whose units differ.
    state: u8,
    place: Place,
    /// Bytes read.
    read: usize,
    /// The first bytes of a unit that came in earlier pieces, as long as they do not say what it
    /// is: `held.len() < HEAD`.
    held: Vec<u8>,
    /// Where they came from.
    mark: Option<Mark>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At the beginning of a unit.
    #[default]
    Start,
    /// Inside of one, of which this many bytes are left.
    Inside(usize),
    /// Inside of one that ends with this byte.
    Until(u8),
    /// It was nothing known.
    Out,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fed {
    /// It was part of the prelude.
    All,
    /// The next protocol begins.
    Entered(Exit),
    /// It is no prelude that is known.
    Unknown,
}

/// Where a side leaves a layer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The index in the piece of the first byte that belongs to the next layer.
    pub(crate) at: usize,
    /// Bytes in front of it that do, too, and where they came from.
    pub(crate) held: Option<(Mark, Vec<u8>)>,
}

impl Prelude {
    pub(crate) fn new(max: usize) -> Self {
        Self { kind: None, sides: Default::default(), max }
    }

    /// Whether there is anything to wait for on `side`.
    pub(crate) fn wants(&self, side: FlowSide) -> bool {
        let [initiator, responder] = &self.sides;
        let progress = if side == FlowSide::Initiator { initiator } else { responder };
        progress.place != Place::Out
    }

    /// Goes by the first byte of a side, unless the kind is known already.
    pub(crate) fn begin_with(&mut self, side: FlowSide, first: u8) {
        self.kind = self.kind.or_else(|| Kind::of(side, first));
    }

    /// Reads on.
    pub(crate) fn feed(&mut self, side: FlowSide, piece: Piece<'_>) -> Fed {
        if !self.wants(side) {
            return Fed::Unknown;
        }
        if let Some(first) = piece.bytes.first() {
            self.begin_with(side, *first);
        }
        let Self { kind, sides, max } = self;
        let progress = of(sides, side);
        let before = progress.read;
        let fed = kind.map_or(Fed::Unknown, |kind| progress.feed(kind, side, piece));
        progress.read = before.saturating_add(piece.bytes.len());
        // Bytes that are held may belong to what follows.
        let end = match &fed {
            Fed::All => progress.read.saturating_sub(progress.held.len()),
            Fed::Entered(Exit { at, held }) => {
                let held = held.as_ref().map_or(0, |(_, bytes)| bytes.len());
                before.saturating_add(*at).saturating_sub(held)
            }
            Fed::Unknown => usize::MAX,
        };
        if end > *max {
            progress.place = Place::Out;
            progress.held = Vec::new();
            return Fed::Unknown;
        }
        fed
    }

    /// Bytes of a side are missing. Where units end with a byte, the next one shows where.
    pub(crate) fn gap(&mut self, side: FlowSide) {
        let progress = of(&mut self.sides, side);
        progress.held = Vec::new();
        progress.place = match (self.kind.and_then(Kind::delimiter), progress.place) {
            (Some(delimiter), Place::Start | Place::Until(_)) => Place::Until(delimiter),
            _ => Place::Out,
        };
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        size_of::<Self>() + self.sides.iter().map(|side| side.held.capacity()).sum::<usize>()
    }
}

impl Progress {
    fn feed(&mut self, kind: Kind, side: FlowSide, piece: Piece<'_>) -> Fed {
        let mut at = 0;
        loop {
            let rest = piece.bytes.get(at..).unwrap_or_default();
            match self.place {
                Place::Out => return Fed::Unknown,
                Place::Inside(left) => {
                    let taken = left.min(rest.len());
                    at += taken;
                    self.place = Place::Inside(left - taken);
                    if taken < left {
                        return Fed::All;
                    }
                    self.place = Place::Start;
                }
                Place::Until(end) => {
                    let found = memchr(end, rest);
                    let unit = rest.get(..found.unwrap_or(rest.len())).unwrap_or_default();
                    if !kind.allows(unit) {
                        return Fed::Unknown;
                    }
                    let Some(found) = found else { return Fed::All };
                    at += found + 1;
                    self.place = Place::Start;
                }
                Place::Start => {
                    let held = self.held.len();
                    let mut head = [0; HEAD];
                    let known = self.held.iter().chain(rest);
                    let len = head.iter_mut().zip(known).map(|(to, from)| *to = *from).count();
                    let head = head.get(..len).unwrap_or_default();
                    match kind.step(side, &mut self.state, head) {
                        Step::More if len < HEAD => {
                            self.hold(piece.behind(at));
                            return Fed::All;
                        }
                        Step::More | Step::Out => return Fed::Unknown,
                        Step::Unit(len) => {
                            self.held.clear();
                            // What is held was part of it.
                            self.place = Place::Inside(len.saturating_sub(held));
                        }
                        // What is held is part of it, and was not looked at for that.
                        Step::Until(_) if !kind.allows(&self.held) => return Fed::Unknown,
                        Step::Until(end) => {
                            self.held.clear();
                            self.place = Place::Until(end);
                        }
                        Step::Enter(0) => {
                            let held = std::mem::take(&mut self.held);
                            let before = self.mark.take().filter(|_| !held.is_empty());
                            let held = before.map(|mark| (mark, held));
                            return Fed::Entered(Exit { at, held });
                        }
                        Step::Enter(len) => {
                            self.held.clear();
                            self.state = units::ENTERING;
                            self.place = Place::Inside(len.saturating_sub(held));
                        }
                    }
                }
            }
        }
    }

    fn hold(&mut self, piece: Piece<'_>) {
        if self.held.is_empty() {
            self.mark = Some(piece.at);
        }
        self.held.extend_from_slice(piece.bytes);
    }
}
