//! Typed messages from flows.

#![warn(clippy::indexing_slicing)]

mod callback;
mod engine;
mod event;
mod factory;
mod parser;
mod session;
mod set;

pub use self::callback::{CallbackFactory, CallbackReassembler};
pub use self::engine::{
    FlowDatagramDriver, FlowProtocolDriver, FlowSessionDriver, PoisonPolicy, SessionEngine,
    SessionState,
};
pub use self::event::{Origin, SessionEvent};
pub use self::factory::{ByClone, ByClosure, DatagramParserFactory, SessionParserFactory};
pub use self::parser::{Context, DatagramParser, GapAction, Mark, Parsed, SessionParser};
pub use self::session::{Moment, Session, SessionOutput};
pub use self::set::{
    DatagramOnly, NoParser, ParserSet, ProtocolMessage, StreamAndDatagram, StreamOnly,
};
