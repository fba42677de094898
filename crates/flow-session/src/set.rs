use std::convert::Infallible;
use std::fmt::Debug;
use std::marker::PhantomData;

use flow_core::{FlowSide, L4Proto};

use crate::{DatagramParser, SessionParser};

/// Which parsers an engine runs: one for TCP, one for UDP, or both.
///
/// Implemented by [`StreamOnly`], [`DatagramOnly`] and [`StreamAndDatagram`]; there is no need
/// for others.
pub trait ParserSet: Send + 'static {
    /// The parser of TCP flows.
    type Stream: SessionParser;
    /// The parser of UDP flows.
    type Datagram: DatagramParser;
    /// What they find.
    type Message: Send + Debug + 'static;

    /// Whether flows of this protocol are sessions.
    fn covers(l4: Option<L4Proto>) -> bool;
    /// A message of the TCP parser.
    fn stream_message(message: <Self::Stream as SessionParser>::Message) -> Self::Message;
    /// A message of the UDP parser.
    fn datagram_message(message: <Self::Datagram as DatagramParser>::Message) -> Self::Message;
}

/// A parser for TCP alone.
#[derive(Debug)]
pub struct StreamOnly<P>(PhantomData<fn() -> P>);

/// A parser for UDP alone.
#[derive(Debug)]
pub struct DatagramOnly<D>(PhantomData<fn() -> D>);

/// A parser for TCP and one for UDP.
#[derive(Debug)]
pub struct StreamAndDatagram<P, D>(PhantomData<fn() -> (P, D)>);

/// A message of either parser of a [`StreamAndDatagram`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolMessage<T, U> {
    /// From a TCP flow.
    Stream(T),
    /// From a UDP flow.
    Datagram(U),
}

impl<P: SessionParser> ParserSet for StreamOnly<P> {
    type Stream = P;
    type Datagram = NoParser;
    type Message = P::Message;

    fn covers(l4: Option<L4Proto>) -> bool {
        l4 == Some(L4Proto::Tcp)
    }

    fn stream_message(message: P::Message) -> P::Message {
        message
    }

    fn datagram_message(message: Infallible) -> P::Message {
        match message {}
    }
}

impl<D: DatagramParser> ParserSet for DatagramOnly<D> {
    type Stream = NoParser;
    type Datagram = D;
    type Message = D::Message;

    fn covers(l4: Option<L4Proto>) -> bool {
        l4 == Some(L4Proto::Udp)
    }

    fn stream_message(message: Infallible) -> D::Message {
        match message {}
    }

    fn datagram_message(message: D::Message) -> D::Message {
        message
    }
}

impl<P: SessionParser, D: DatagramParser> ParserSet for StreamAndDatagram<P, D> {
    type Stream = P;
    type Datagram = D;
    type Message = ProtocolMessage<P::Message, D::Message>;

    fn covers(l4: Option<L4Proto>) -> bool {
        matches!(l4, Some(L4Proto::Tcp | L4Proto::Udp))
    }

    fn stream_message(message: P::Message) -> Self::Message {
        ProtocolMessage::Stream(message)
    }

    fn datagram_message(message: D::Message) -> Self::Message {
        ProtocolMessage::Datagram(message)
    }
}

/// Stands where a set has no parser; never made.
#[derive(Clone, Copy, Debug)]
pub enum NoParser {}

impl SessionParser for NoParser {
    type Message = Infallible;

    fn feed_initiator(&mut self, _bytes: &[u8]) -> Vec<Infallible> {
        match *self {}
    }

    fn feed_responder(&mut self, _bytes: &[u8]) -> Vec<Infallible> {
        match *self {}
    }
}

impl DatagramParser for NoParser {
    type Message = Infallible;

    fn parse(&mut self, _payload: &[u8], _side: FlowSide) -> Vec<Infallible> {
        match *self {}
    }
}
