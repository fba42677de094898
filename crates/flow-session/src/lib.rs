//! Typed messages from flows: parsers of TCP streams and of datagrams, on one engine.
//!
//! A [`SessionParser`] turns the two byte streams of a TCP connection into messages, a
//! [`DatagramParser`] the datagrams of a UDP flow. [`FlowSessionDriver`], [`FlowDatagramDriver`]
//! and, for both on one flow table, [`FlowProtocolDriver`] run them over packets and give
//! [`SessionEvent`]s. `flow-http`, `flow-tls` and `flow-dns` have parsers; this is one:
//!
//! ```
//! use flow_session::SessionParser;
//!
//! /// Numbers of one byte, from whichever side.
//! #[derive(Default, Clone)]
//! struct Numbers;
//!
//! impl SessionParser for Numbers {
//!     type Message = u8;
//!
//!     fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<u8> {
//!         bytes.to_vec()
//!     }
//!
//!     fn feed_responder(&mut self, bytes: &[u8]) -> Vec<u8> {
//!         bytes.to_vec()
//!     }
//! }
//!
//! # use flow_core::{Extracted, FlowExtractor, PacketView, Timestamp};
//! # struct FiveTuple;
//! # impl FlowExtractor for FiveTuple {
//! #     type Key = u8;
//! #     fn extract(&self, _: PacketView<'_>) -> Option<Extracted<u8>> { None }
//! # }
//! # let views = [PacketView::new(&[], Timestamp::new(0, 0))];
//! use flow_session::{FlowSessionDriver, SessionEvent};
//!
//! let mut driver = FlowSessionDriver::<_, Numbers>::new(FiveTuple);
//! for view in views {
//!     for event in driver.track(view) {
//!         if let SessionEvent::Application { side, message, .. } = event {
//!             println!("{side:?} said {message}");
//!         }
//!     }
//! }
//! ```
//!
//! # One engine
//!
//! [`SessionEngine`] extracts a packet once, looks its flow up once and touches one entry,
//! whatever parsers are attached. A parser gets bytes as slices of the frame. It says when it has
//! had enough ([`SessionParser::wants`]), how to go on after missing bytes
//! ([`SessionParser::gap`]), and when it is at its wits' end ([`SessionParser::is_poisoned`],
//! [`PoisonPolicy`]). Every message tells which packets and which bytes of the stream it came
//! from ([`Origin`]).
//!
//! [`CallbackFactory`] is the same in the shape of a reassembler: the messages go to a function.

#![warn(clippy::indexing_slicing)]

mod boxed;
mod callback;
mod engine;
mod event;
mod factory;
mod notes;
mod numbers;
mod parser;
mod session;
mod set;

pub use self::callback::{CallbackFactory, CallbackReassembler};
pub use self::engine::{
    FlowDatagramDriver, FlowProtocolDriver, FlowSessionDriver, PoisonPolicy, SessionEngine,
    SessionState,
};
pub use self::event::{Origin, SessionEvent};
pub use self::factory::{
    ByClone, ByClosure, ByHandler, DatagramParserFactory, SessionParserFactory,
};
pub use self::numbers::FlowNumbers;
pub use self::parser::{Context, DatagramParser, GapAction, Mark, Parsed, SessionParser};
pub use self::session::{Moment, Session};
pub use self::set::{
    DatagramOnly, NoParser, ParserSet, ProtocolMessage, StreamAndDatagram, StreamOnly,
};
