//! A reassembler of one's own: the segments of TCP streams as they were captured, which is not
//! always as they were sent.
//!
//! ```console
//! $ cargo run -p flow-examples --example tcp_segments -- fixtures/http_reordered.pcap
//! Initiator 1000031 45 bytes, in turn
//! Initiator 1000001 30 bytes, late
//! Responder 2000001 300 bytes, in turn
//! Responder 2000701 400 bytes, early
//! Responder 2000301 400 bytes, late
//! Responder 2000301 400 bytes, late
//! Responder 2001601 467 bytes, early
//! Responder 2000701 900 bytes, late
//! Responder 2000001 700 bytes, late
//! Initiator ended: fin
//! Responder ended: fin
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::extract::{FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{EndReason, FlowDriver, FlowSide, Reassembler, seq_before};

/// Tells segments that come late from those that come in their turn.
struct Turns {
    sender: FlowSide,
    next: Option<u32>,
}

impl Reassembler for Turns {
    fn segment(&mut self, seq: u32, payload: &[u8]) {
        let end = u32::try_from(payload.len()).map_or(seq, |len| seq.wrapping_add(len));
        let turn = match self.next {
            Some(next) if seq_before(next, seq) => "early",
            Some(next) if seq_before(seq, next) => "late",
            _ => "in turn",
        };
        println!("{:?} {seq} {} bytes, {turn}", self.sender, payload.len());
        self.next = self.next.filter(|&next| seq_before(end, next)).or(Some(end));
    }

    fn finish(&mut self, reason: EndReason) {
        println!("{:?} ended: {reason}", self.sender);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tcp_segments CAPTURE")?;
    let factory = |_: &FiveTupleKey, sender| Turns { sender, next: None };
    let mut driver = FlowDriver::new(FiveTuple::bidirectional(), factory);
    for view in PcapFlowSource::open(path)?.views() {
        driver.track(view?.as_view()).for_each(drop);
    }
    driver.finish().for_each(drop);
    Ok(())
}
