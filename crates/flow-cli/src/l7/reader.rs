use flow::{Context, EndReason, FlowSide, Gap, GapAction, Mark, Parsed, SessionParser};

use super::L7Message;

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
#[derive(Debug)]
pub(crate) struct Reader<P> {
    pub(crate) parser: P,
    pending: [Option<Mark>; 2],
    /// Sides of which a gap took the sense.
    stopped: [bool; 2],
}

impl<P: SessionParser> Reader<P> {
    pub(crate) fn boxed(parser: P) -> Box<Self> {
        Box::new(Self { parser, pending: [None; 2], stopped: [false; 2] })
    }

    /// Whether the parser has a use for more of `side`.
    pub(crate) fn wants(&self, side: FlowSide) -> bool {
        !self.stopped[side.index()] && self.parser.wants(side) && !self.parser.is_poisoned()
    }

    /// Feeds the parser; says whether that completed a message.
    pub(crate) fn feed(
        &mut self,
        side: FlowSide,
        piece: Piece<'_>,
        cx: &mut Context<'_, L7Message>,
        wrap: fn(P::Message) -> L7Message,
    ) -> bool {
        if !self.wants(side) {
            return false;
        }
        self.pending[side.index()].get_or_insert(piece.at);
        let Piece { bytes, at } = piece;
        self.call(side, at, bytes.len(), cx, wrap, |parser, cx| parser.feed(side, bytes, cx))
    }

    /// Tells the parser of a gap.
    pub(crate) fn gap(
        this: &mut Option<Box<Self>>,
        side: FlowSide,
        gap: Gap,
        cx: &mut Context<'_, L7Message>,
        wrap: fn(P::Message) -> L7Message,
    ) {
        let Some(this) = this.as_mut().filter(|this| this.wants(side)) else { return };
        let (at, mut action) = (cx.mark(0), GapAction::Resume);
        this.call(side, at, 0, cx, wrap, |parser, cx| action = parser.gap(side, gap, cx));
        match action {
            GapAction::Resume => {}
            GapAction::Resync => this.pending[side.index()] = None,
            GapAction::StopSide => this.stopped[side.index()] = true,
            _ => this.stopped = [true; 2],
        }
    }

    /// Tells the parser that `side` has sent everything.
    pub(crate) fn fin(
        this: &mut Option<Box<Self>>,
        side: FlowSide,
        cx: &mut Context<'_, L7Message>,
        wrap: fn(P::Message) -> L7Message,
    ) {
        if let Some(this) = this.as_mut().filter(|this| this.wants(side)) {
            this.call(side, cx.mark(0), 0, cx, wrap, |parser, cx| parser.fin(side, cx));
        }
    }

    /// Tells the parser that the connection is over.
    pub(crate) fn close(
        this: &mut Option<Box<Self>>,
        side: FlowSide,
        reason: EndReason,
        cx: &mut Context<'_, L7Message>,
        wrap: fn(P::Message) -> L7Message,
    ) {
        if let Some(this) = this.as_mut().filter(|this| !this.parser.is_poisoned()) {
            let close = |parser: &mut P, cx: &mut Context<'_, P::Message>| {
                parser.close(side, reason, cx);
            };
            this.call(side, cx.mark(0), 0, cx, wrap, close);
        }
    }

    /// Tells the parser that `side` was cut off.
    pub(crate) fn rst(this: &mut Option<Box<Self>>, side: FlowSide) {
        match (this, side) {
            (None, _) => {}
            (Some(this), FlowSide::Initiator) => this.parser.rst_initiator(),
            (Some(this), FlowSide::Responder) => this.parser.rst_responder(),
        }
    }

    /// Drops the parser if it has a use for neither side; gives the reason if it lost its way.
    pub(crate) fn drop_if_done(this: &mut Option<Box<Self>>) -> Option<String> {
        if FlowSide::BOTH.iter().any(|&side| this.as_ref().is_some_and(|this| this.wants(side))) {
            return None;
        }
        let parser = this.take()?.parser;
        parser.is_poisoned().then(|| parser.poison_reason().unwrap_or("poisoned").to_owned())
    }

    /// Bytes that the parser holds, itself included.
    pub(crate) fn buffered_bytes(this: Option<&Self>) -> usize {
        this.map_or(0, |this| size_of::<Self>() + this.parser.buffered_bytes())
    }

    /// Calls the parser with a context of its own and hands its messages on; says whether there
    /// were any.
    fn call(
        &mut self,
        side: FlowSide,
        at: Mark,
        len: usize,
        cx: &mut Context<'_, L7Message>,
        wrap: fn(P::Message) -> L7Message,
        what: impl FnOnce(&mut P, &mut Context<'_, P::Message>),
    ) -> bool {
        let mut out = Vec::new();
        let pending = &mut self.pending[side.index()];
        let (ts, packet) = (cx.timestamp(), cx.packet());
        what(&mut self.parser, &mut Context::new(ts, packet, side, at, len, pending, &mut out));
        let found = !out.is_empty();
        for Parsed { message, first_packet, range, .. } in out {
            let start = Mark { offset: range.start, packet: first_packet };
            let end = range.end.saturating_sub(cx.offset());
            cx.emit_from(start, usize::try_from(end).unwrap_or(usize::MAX), wrap(message));
        }
        found
    }
}
