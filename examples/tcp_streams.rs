//! TCP streams in order, with what is missing and what was odd about them.
//!
//! ```console
//! $ cargo run -p flow-examples --example tcp_streams -- fixtures/http_gap.pcap
//! Initiator 0: 67 bytes of packet 4
//! Responder 0: 167 bytes of packet 5
//! out_of_order_segment
//! Initiator 67: 67 bytes of packet 8
//! Initiator 134: end
//! Responder 167: 633 bytes missing, acked
//! Responder 800: 467 bytes of packet 6
//! Responder 1267: 80 bytes of packet 9
//! Responder 1347: end
//! out_of_order_segment
//! stream_gap
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::extract::{FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{FlowDriver, FlowEvent, FlowSide, Gap, OrderedReassembler, StreamSink};

/// Prints one side of a connection.
struct Print(FlowSide);

impl StreamSink for Print {
    fn data(&mut self, offset: u64, bytes: &[u8], packet: u64) {
        println!("{:?} {offset}: {} bytes of packet {packet}", self.0, bytes.len());
    }

    fn gap(&mut self, gap: Gap) {
        println!("{:?} {}: {} bytes missing, {}", self.0, gap.offset, gap.len, gap.reason);
    }

    fn end(&mut self, offset: u64) {
        println!("{:?} {offset}: end", self.0);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tcp_streams CAPTURE")?;
    let factory = |_: &FiveTupleKey, sender| OrderedReassembler::new(Print(sender));
    let mut driver = FlowDriver::new(FiveTuple::bidirectional(), factory)
        .with_emit_anomalies(true)
        .with_packet_events(false);
    for view in PcapFlowSource::open(path)?.views() {
        driver.track(view?.as_view()).for_each(|event| print(&event));
    }
    driver.finish().for_each(|event| print(&event));
    Ok(())
}

fn print(event: &FlowEvent<FiveTupleKey>) {
    if let FlowEvent::Anomaly { kind, .. } = event {
        println!("{kind}");
    }
}
