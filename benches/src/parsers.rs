use std::hint::black_box;

use flow::{Context, DatagramParser, FlowSide, FlowSink, SessionParser};

/// Wants to know nothing of what a tracker finds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl<K, S> FlowSink<K, S> for Deaf {}

/// Takes every byte of a stream and finds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Idle;

impl SessionParser for Idle {
    type Message = ();

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed(&mut self, _: FlowSide, bytes: &[u8], _: &mut Context<'_, ()>) {
        black_box(bytes);
    }
}

/// Takes every datagram and finds nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdleDatagrams;

impl DatagramParser for IdleDatagrams {
    type Message = ();

    fn parse(&mut self, payload: &[u8], _: FlowSide) -> Vec<()> {
        black_box(payload);
        Vec::new()
    }
}
