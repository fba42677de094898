//! A binary protocol of one's own, through both faces of the engine: events in a loop, and a
//! handler. An unknown marker poisons the parser and ends its session.
//!
//! ```console
//! $ cargo run -p flow-examples --example length_prefixed -- fixtures/length_prefixed.pcap
//! Initiator sent S 5 bytes "hello"
//! Responder sent L 1500 bytes "0 packets and no byt"
//! Initiator sent L 3 bytes "one"
//! Initiator sent S 3 bytes "two"
//! Responder sent S 0 bytes ""
//! Initiator sent S 5 bytes "three"
//! Initiator sent S 2 bytes "ok"
//! tcp 10.0.0.1:47101 <-> 10.0.0.2:7100 makes no sense
//! handler: Initiator sent S 5 bytes "hello"
//! handler: Responder sent L 1500 bytes "0 packets and no byt"
//! handler: Initiator sent L 3 bytes "one"
//! handler: Initiator sent S 3 bytes "two"
//! handler: Responder sent S 0 bytes ""
//! handler: Initiator sent S 5 bytes "three"
//! handler: Initiator sent S 2 bytes "ok"
//! ```

#![allow(clippy::print_stdout)]

#[path = "length_prefixed/parser.rs"]
mod parser;

use flow::extract::FiveTuple;
use flow::pcap::PcapFlowSource;
use flow::{CallbackFactory, EndReason, FlowDriver, FlowSessionDriver, Parsed, SessionEvent};

use parser::{Frame, LengthPrefixed};

fn print((): &(), parsed: &Parsed<Frame>) {
    println!("handler: {:?} sent {}", parsed.side, parsed.message);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: length_prefixed CAPTURE")?;
    let five_tuple = FiveTuple::bidirectional();
    let mut driver = FlowSessionDriver::<_, LengthPrefixed>::new(five_tuple);
    for view in PcapFlowSource::open(&path)?.views() {
        for event in driver.track(view?.as_view()) {
            match event {
                SessionEvent::Application { side, message, .. } => {
                    println!("{side:?} sent {message}");
                }
                SessionEvent::Closed { key, reason: EndReason::ParseError, .. } => {
                    println!("{key} makes no sense");
                }
                _ => {}
            }
        }
    }
    let handler = CallbackFactory::new(LengthPrefixed::default(), (), print);
    let mut driver = FlowDriver::new(five_tuple, handler);
    for view in PcapFlowSource::open(&path)?.views() {
        driver.track(view?.as_view()).for_each(drop);
    }
    Ok(())
}
