//! A parser in a box is a parser, so that an engine can run ones that are chosen at run time.

use flow_core::{EndReason, FlowSide, Gap};

use crate::{Context, DatagramParser, GapAction, SessionParser};

impl<P: SessionParser + ?Sized> SessionParser for Box<P> {
    type Message = P::Message;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<P::Message> {
        (**self).feed_initiator(bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<P::Message> {
        (**self).feed_responder(bytes)
    }

    fn fin_initiator(&mut self) -> Vec<P::Message> {
        (**self).fin_initiator()
    }

    fn fin_responder(&mut self) -> Vec<P::Message> {
        (**self).fin_responder()
    }

    fn rst_initiator(&mut self) {
        (**self).rst_initiator();
    }

    fn rst_responder(&mut self) {
        (**self).rst_responder();
    }

    fn is_poisoned(&self) -> bool {
        (**self).is_poisoned()
    }

    fn poison_reason(&self) -> Option<&str> {
        (**self).poison_reason()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, P::Message>) {
        (**self).feed(side, bytes, cx);
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, P::Message>) -> GapAction {
        (**self).gap(side, gap, cx)
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, P::Message>) {
        (**self).fin(side, cx);
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, P::Message>) {
        (**self).close(side, reason, cx);
    }

    fn wants(&self, side: FlowSide) -> bool {
        (**self).wants(side)
    }

    fn buffered_bytes(&self) -> usize {
        (**self).buffered_bytes()
    }
}

impl<P: DatagramParser + ?Sized> DatagramParser for Box<P> {
    type Message = P::Message;

    fn parse(&mut self, payload: &[u8], side: FlowSide) -> Vec<P::Message> {
        (**self).parse(payload, side)
    }

    fn is_poisoned(&self) -> bool {
        (**self).is_poisoned()
    }

    fn poison_reason(&self) -> Option<&str> {
        (**self).poison_reason()
    }

    fn datagram(&mut self, side: FlowSide, payload: &[u8], cx: &mut Context<'_, P::Message>) {
        (**self).datagram(side, payload, cx);
    }

    fn wants(&self) -> bool {
        (**self).wants()
    }

    fn close(&mut self, reason: EndReason, cx: &mut Context<'_, P::Message>) {
        (**self).close(reason, cx);
    }
}
