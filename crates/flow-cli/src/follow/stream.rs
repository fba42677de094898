use flow::{Context, FlowSide, Gap, GapAction, SessionParser};

/// Hands on what the sides of a connection send, piece by piece as it is delivered.
///
/// A piece is a copy, and lives until the events of its packet are handled.
#[derive(Debug)]
pub(crate) struct Sides {
    followed: [bool; 2],
}

/// A piece of a stream.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Vec<u8>),
    Gap(Gap),
    /// The FIN: all before it was handed on.
    Fin,
}

impl Sides {
    /// For a connection of which the sides are followed that `follows` says.
    pub(crate) fn new(follows: impl Fn(FlowSide) -> bool) -> Self {
        Self { followed: FlowSide::BOTH.map(follows) }
    }
}

impl SessionParser for Sides {
    type Message = Piece;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Piece> {
        vec![Piece::Bytes(bytes.to_vec())]
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Piece> {
        vec![Piece::Bytes(bytes.to_vec())]
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, Piece>) {
        if self.wants(side) {
            cx.emit_from(cx.mark(0), bytes.len(), Piece::Bytes(bytes.to_vec()));
        }
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, Piece>) -> GapAction {
        if self.wants(side) {
            cx.emit_from(cx.mark(0), 0, Piece::Gap(gap));
        }
        GapAction::Resume
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, Piece>) {
        if self.wants(side) {
            cx.emit_from(cx.mark(0), 0, Piece::Fin);
        }
    }

    fn wants(&self, side: FlowSide) -> bool {
        let [initiator, responder] = self.followed;
        match side {
            FlowSide::Initiator => initiator,
            FlowSide::Responder => responder,
        }
    }
}
