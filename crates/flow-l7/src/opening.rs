use flow_core::FlowSide;
use flow_dns::{DnsDetection, DnsService, detect_dns_stream};
use flow_http::{HttpParser, looks_like_http};
use flow_session::{Context, Mark};

use crate::config::L7Config;
use crate::prelude::{Exit, Fed, Prelude};
use crate::reader::{Piece, Reader, of};
use crate::{L7Detection, L7Message, L7Protocol};

/// A connection, or the inside of a tunnel, of which it is not known yet what it speaks.
///
/// Each side is judged by its first bytes alone. A side that begins like no protocol is still read:
/// an HTTP connection may be joined in the middle of a message, and TLS may come after a dialogue.
#[derive(Debug)]
pub(crate) struct Opening {
    starts: [Start; 2],
    /// What may be found in sides that are lost; dropped once it cannot be any more.
    pub(crate) http: Search<Box<Reader<HttpParser>>>,
    pub(crate) prelude: Search<Box<Prelude>>,
}

/// How a side begins.
#[derive(Debug, Default)]
pub(crate) enum Start {
    /// Nothing was seen.
    #[default]
    Waiting,
    /// These bytes may be the beginning of something.
    Prefix(Box<Prefix>),
    /// Like no protocol.
    Lost,
}

/// Something that is looked for.
#[derive(Debug)]
pub(crate) enum Search<T> {
    NotBegun,
    Going(T),
    Over,
}

/// Pieces of a prefix whose packets are remembered; those behind count as parts of the last one.
///
/// Rationale: nobody sends so many bytes one by one before it is clear what they begin, but to make
/// the remembering cost more than the bytes.
const MAX_PIECES: usize = 256;

/// The first bytes of a side, at most [`L7Config::MAX_PREFIX`], and where they came from.
#[derive(Debug, Default)]
pub(crate) struct Prefix {
    bytes: Vec<u8>,
    /// Where each piece begins in `bytes`: at most [`MAX_PIECES`].
    pieces: Vec<(usize, Mark)>,
}

/// What the first bytes of a side are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Is(L7Protocol),
    /// The user's protocol of this index.
    Custom(usize),
    NeedMore,
    Unknown,
}

impl Opening {
    /// Of a connection.
    pub(crate) const fn new() -> Self {
        let (http, prelude) = (Search::NotBegun, Search::NotBegun);
        Self { starts: [Start::Waiting, Start::Waiting], http, prelude }
    }

    /// Of what HTTP gave way to: neither HTTP nor anything that gives way again.
    pub(crate) const fn after_http() -> Self {
        let (http, prelude) = (Search::Over, Search::Over);
        Self { starts: [Start::Waiting, Start::Waiting], http, prelude }
    }

    pub(crate) fn start(&mut self, side: FlowSide) -> &mut Start {
        of(&mut self.starts, side)
    }

    /// Whether nothing can be found any more.
    pub(crate) fn is_over(&self) -> bool {
        !FlowSide::BOTH.into_iter().any(|side| self.wants(side))
    }

    /// Whether something can still be found in `side`.
    pub(crate) fn wants(&self, side: FlowSide) -> bool {
        let [initiator, responder] = &self.starts;
        let start = if side == FlowSide::Initiator { initiator } else { responder };
        let prelude = match &self.prelude {
            Search::NotBegun => true,
            Search::Going(prelude) => prelude.wants(side),
            Search::Over => false,
        };
        let http = match &self.http {
            Search::NotBegun => true,
            Search::Going(http) => http.wants(side),
            Search::Over => false,
        };
        !matches!(start, Start::Lost) || http || prelude
    }

    /// Judges the first bytes of a side.
    ///
    /// The answer is that of the first protocol which does not say no. More bytes change `NeedMore`
    /// only, so that it does not matter in which pieces they come.
    pub(crate) fn judge<C>(
        &self,
        config: &L7Config<C>,
        service: DnsService,
        side: FlowSide,
        bytes: &[u8],
    ) -> Verdict {
        let (prefix, full) = match bytes.get(..L7Config::<C>::MAX_PREFIX) {
            Some(prefix) => (prefix, true),
            None => (bytes, false),
        };
        let verdict = |detection, yes| match detection {
            L7Detection::Yes => Some(yes),
            L7Detection::NeedMore if !full => Some(Verdict::NeedMore),
            L7Detection::NeedMore | L7Detection::No => None,
        };
        let custom = config.streams.iter().enumerate().find_map(|(index, protocol)| {
            verdict((protocol.detect)(side, prefix), Verdict::Custom(index))
        });
        let allows_http = !matches!(self.http, Search::Over);
        custom
            .or_else(|| verdict(tls(prefix), Verdict::Is(L7Protocol::Tls)))
            .or_else(|| verdict(http(prefix, allows_http), Verdict::Is(L7Protocol::Http)))
            .or_else(|| verdict(dns(prefix, service), Verdict::Is(L7Protocol::Dns)))
            .unwrap_or(Verdict::Unknown)
    }

    /// Takes what is held of a side for a protocol that the other one speaks. A side that cannot be
    /// of it is lost.
    pub(crate) fn take_held<C>(
        &mut self,
        config: &L7Config<C>,
        service: DnsService,
        spoken: Verdict,
        side: FlowSide,
    ) -> Start {
        let start = std::mem::take(self.start(side));
        let Start::Prefix(held) = &start else { return start };
        let detection = match spoken {
            Verdict::Is(L7Protocol::Tls) => tls(&held.bytes),
            Verdict::Is(L7Protocol::Dns) => dns(&held.bytes, service),
            Verdict::Custom(index) => {
                let protocol = config.streams.get(index);
                protocol.map_or(L7Detection::No, |protocol| (protocol.detect)(side, &held.bytes))
            }
            // It is looked for later in the side, too.
            Verdict::Is(_) | Verdict::NeedMore | Verdict::Unknown => L7Detection::NeedMore,
        };
        if detection == L7Detection::No { Start::Lost } else { start }
    }

    /// Looks for the end of a prelude.
    pub(crate) fn search_prelude(
        &mut self,
        side: FlowSide,
        piece: Piece<'_>,
        max: usize,
    ) -> Option<Exit> {
        let [initiator, _] = &self.starts;
        let prelude = self.prelude.begin(|| Box::new(Prelude::new(max)))?;
        // The client's first byte says more than the server's, though its side may be undecided.
        if let Start::Prefix(prefix) = initiator
            && let Some(first) = prefix.bytes.first()
        {
            prelude.begin_with(FlowSide::Initiator, *first);
        }
        match prelude.feed(side, piece) {
            Fed::Entered(exit) => return Some(exit),
            Fed::Unknown if !prelude.wants(side.other()) => self.prelude = Search::Over,
            Fed::All | Fed::Unknown => {}
        }
        None
    }

    /// Looks for an HTTP message; says how many bytes there are up to its end, or its head's, if
    /// there is one.
    pub(crate) fn search_http<C>(
        &mut self,
        side: FlowSide,
        piece: Piece<'_>,
        fresh: &HttpParser,
        cx: &mut Context<'_, L7Message<C>>,
    ) -> Option<usize> {
        let http = self.http.begin(|| Reader::boxed(fresh.clone()))?;
        let taken = http.feed_until_http(side, piece, cx, L7Message::Http);
        if http.parser.is_http() {
            return Some(taken);
        }
        if !http.wants_any() {
            self.http = Search::Over;
        }
        None
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        let held: usize = self
            .starts
            .iter()
            .map(|start| match start {
                Start::Prefix(prefix) => prefix.buffered_bytes(),
                Start::Waiting | Start::Lost => 0,
            })
            .sum();
        let http = match &self.http {
            Search::Going(http) => http.buffered_bytes(),
            Search::NotBegun | Search::Over => 0,
        };
        let prelude = match &self.prelude {
            Search::Going(prelude) => prelude.buffered_bytes(),
            Search::NotBegun | Search::Over => 0,
        };
        held + http + prelude
    }
}

impl<T> Search<T> {
    /// What looks for it, begun now if it was not before.
    pub(crate) fn begin(&mut self, new: impl FnOnce() -> T) -> Option<&mut T> {
        if let Self::NotBegun = self {
            *self = Self::Going(new());
        }
        self.going()
    }

    pub(crate) fn going(&mut self) -> Option<&mut T> {
        match self {
            Self::Going(search) => Some(search),
            Self::NotBegun | Self::Over => None,
        }
    }

    /// Ends it.
    pub(crate) fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Over) {
            Self::Going(search) => Some(search),
            Self::NotBegun | Self::Over => None,
        }
    }
}

impl Prefix {
    /// Takes as much of a piece as it has room for; gives back how much that was.
    pub(crate) fn take<C>(&mut self, piece: Piece<'_>) -> usize {
        let room = L7Config::<C>::MAX_PREFIX.saturating_sub(self.bytes.len());
        let taken = piece.bytes.get(..room).unwrap_or(piece.bytes);
        if self.pieces.len() < MAX_PIECES {
            self.pieces.push((self.bytes.len(), piece.at));
        }
        self.bytes.extend_from_slice(taken);
        taken.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The pieces as they came.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let ends = self.pieces.iter().skip(1).map(|(start, _)| *start).chain([self.bytes.len()]);
        self.pieces.iter().zip(ends).map(|(&(start, at), end)| {
            let bytes = self.bytes.get(start..end).unwrap_or_default();
            Piece { bytes, at }
        })
    }

    fn buffered_bytes(&self) -> usize {
        let pieces = self.pieces.capacity() * size_of::<(usize, Mark)>();
        size_of::<Self>() + self.bytes.capacity() + pieces
    }
}

fn tls(prefix: &[u8]) -> L7Detection {
    match flow_tls::detect(prefix) {
        flow_tls::Detection::Yes => L7Detection::Yes,
        flow_tls::Detection::No => L7Detection::No,
        flow_tls::Detection::NeedMore => L7Detection::NeedMore,
    }
}

fn http(prefix: &[u8], allowed: bool) -> L7Detection {
    use flow_http::Detection;
    match looks_like_http(prefix) {
        _ if !allowed => L7Detection::No,
        Detection::Request | Detection::Response => L7Detection::Yes,
        Detection::NeedMore => L7Detection::NeedMore,
        Detection::No => L7Detection::No,
    }
}

fn dns(prefix: &[u8], service: DnsService) -> L7Detection {
    match detect_dns_stream(prefix, service) {
        DnsDetection::Dns => L7Detection::Yes,
        DnsDetection::NotDns => L7Detection::No,
        DnsDetection::NeedMore => L7Detection::NeedMore,
    }
}
