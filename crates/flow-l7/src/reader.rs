use std::cell::Cell;
use std::fmt;

use flow_core::{EndReason, FlowSide, Gap};
use flow_http::{HttpMessage, HttpParser};
use flow_session::{Context, GapAction, Mark, SessionParser};

/// The next bytes of a side, and where the first of them came from.
#[derive(Clone, Copy)]
pub(crate) struct Piece<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: Mark,
}

impl Piece<'_> {
    /// What follows the first `len` bytes.
    pub(crate) fn behind(self, len: usize) -> Self {
        let Mark { offset, packet } = self.at;
        let at = Mark { offset: offset.saturating_add(len as u64), packet };
        Self { bytes: self.bytes.get(len..).unwrap_or_default(), at }
    }
}

/// A parser of one protocol, with what the engine would keep for it if it were the only one.
pub(crate) struct Reader<P> {
    pub(crate) parser: P,
    pending: [Option<Mark>; 2],
    /// Sides that have said something.
    begun: [bool; 2],
    /// Sides of which nothing more makes sense.
    stopped: [bool; 2],
}

impl<P: SessionParser> Reader<P> {
    pub(crate) fn boxed(parser: P) -> Box<Self> {
        Box::new(Self { parser, pending: [None; 2], begun: [false; 2], stopped: [false; 2] })
    }

    /// Leaves out `side`, the beginning of which was something else.
    pub(crate) fn without(mut self: Box<Self>, side: FlowSide) -> Box<Self> {
        *of(&mut self.stopped, side) = true;
        self
    }

    /// Whether the next bytes of `side` are its first ones.
    pub(crate) fn is_fresh(&self, side: FlowSide) -> bool {
        let [initiator, responder] = self.begun;
        !(if side == FlowSide::Initiator { initiator } else { responder })
    }

    /// Whether `side` still makes sense to the parser.
    pub(crate) fn reads(&self, side: FlowSide) -> bool {
        let [initiator, responder] = self.stopped;
        !(if side == FlowSide::Initiator { initiator } else { responder })
    }

    /// Whether the parser has a use for more of `side`.
    pub(crate) fn wants(&self, side: FlowSide) -> bool {
        self.reads(side) && self.parser.wants(side) && !self.parser.is_poisoned()
    }

    pub(crate) fn wants_any(&self) -> bool {
        FlowSide::BOTH.into_iter().any(|side| self.wants(side))
    }

    pub(crate) fn poison(&self) -> Option<Box<str>> {
        let poisoned = self.parser.is_poisoned();
        poisoned.then(|| self.parser.poison_reason().unwrap_or("poisoned").into())
    }

    /// Feeds the parser; says whether that completed a message.
    pub(crate) fn feed<M>(
        &mut self,
        side: FlowSide,
        piece: Piece<'_>,
        cx: &mut Context<'_, M>,
        wrap: fn(P::Message) -> M,
    ) -> bool {
        if !self.wants(side) {
            return false;
        }
        of(&mut self.pending, side).get_or_insert(piece.at);
        *of(&mut self.begun, side) = true;
        let Piece { bytes, at } = piece;
        let found = Cell::new(false);
        let wrap = |message| {
            found.set(true);
            wrap(message)
        };
        self.call(side, (at, bytes.len()), cx, wrap, |parser, cx| parser.feed(side, bytes, cx));
        found.get()
    }

    /// Tells the parser of a gap.
    pub(crate) fn gap<M>(
        &mut self,
        side: FlowSide,
        gap: Gap,
        cx: &mut Context<'_, M>,
        wrap: fn(P::Message) -> M,
    ) {
        if !self.wants(side) {
            return;
        }
        let at = (cx.mark(0), 0);
        *of(&mut self.begun, side) = true;
        match self.call(side, at, cx, wrap, |parser, cx| parser.gap(side, gap, cx)) {
            GapAction::Resume => {}
            GapAction::Resync => *of(&mut self.pending, side) = None,
            GapAction::StopSide => *of(&mut self.stopped, side) = true,
            _ => self.stopped = [true; 2],
        }
    }

    /// Tells the parser that `side` has sent everything.
    pub(crate) fn fin<M>(
        &mut self,
        side: FlowSide,
        cx: &mut Context<'_, M>,
        wrap: fn(P::Message) -> M,
    ) {
        if self.wants(side) {
            self.call(side, (cx.mark(0), 0), cx, wrap, |parser, cx| parser.fin(side, cx));
        }
    }

    /// Tells the parser that the connection is over.
    pub(crate) fn close<M>(
        &mut self,
        side: FlowSide,
        reason: EndReason,
        cx: &mut Context<'_, M>,
        wrap: fn(P::Message) -> M,
    ) {
        if !self.parser.is_poisoned() {
            let at = (cx.mark(0), 0);
            self.call(side, at, cx, wrap, |parser, cx| parser.close(side, reason, cx));
        }
    }

    /// Tells the parser that `side` was cut off. There is nothing to wrap.
    pub(crate) fn rst<M>(&mut self, side: FlowSide, _: fn(P::Message) -> M) {
        match side {
            FlowSide::Initiator => self.parser.rst_initiator(),
            FlowSide::Responder => self.parser.rst_responder(),
        }
    }

    /// Bytes on the heap, the reader's own included.
    pub(crate) fn buffered_bytes(&self) -> usize {
        size_of::<Self>() + self.parser.buffered_bytes()
    }

    /// Calls the parser with a context of its own.
    fn call<M, R>(
        &mut self,
        side: FlowSide,
        at: (Mark, usize),
        cx: &mut Context<'_, M>,
        wrap: impl Fn(P::Message) -> M,
        what: impl FnOnce(&mut P, &mut Context<'_, P::Message>) -> R,
    ) -> R {
        let Self { parser, pending, .. } = self;
        cx.with_inner(at, of(pending, side), wrap, |cx| what(parser, cx))
    }
}

impl Reader<HttpParser> {
    /// See [`HttpParser::feed_until_http`].
    pub(crate) fn feed_until_http<M>(
        &mut self,
        side: FlowSide,
        Piece { bytes, at }: Piece<'_>,
        cx: &mut Context<'_, M>,
        wrap: fn(HttpMessage) -> M,
    ) -> usize {
        if !self.wants(side) {
            return bytes.len();
        }
        of(&mut self.pending, side).get_or_insert(at);
        let at = (at, bytes.len());
        self.call(side, at, cx, wrap, |parser, cx| parser.feed_until_http(side, bytes, cx))
    }
}

impl<P> fmt::Debug for Reader<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}

/// What a pair has for a side.
pub(crate) fn of<T>([initiator, responder]: &mut [T; 2], side: FlowSide) -> &mut T {
    match side {
        FlowSide::Initiator => initiator,
        FlowSide::Responder => responder,
    }
}
