//! Typed messages from flows.

mod parser;

pub use self::parser::{
    Context, DatagramParser, GapAction, Mark, Parsed, SessionParser,
};
