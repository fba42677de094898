//! TCP streams, taken from buffers whenever a packet has brought something.
//!
//! ```console
//! $ cargo run -p flow-examples --example tcp_buffers -- fixtures/tcp_seq_wrap.pcap
//! Initiator 100 bytes
//! Initiator 300 bytes
//! Responder 200 bytes
//! Responder 400 bytes
//! tcp 10.0.0.1:45000 <-> 10.0.0.2:9000 goes on after 14 packets
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::extract::{FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{BufferedReassemblerFactory, FlowDriver, FlowEvent, FlowSide, OverflowPolicy};

type Driver = FlowDriver<FiveTuple, BufferedReassemblerFactory>;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tcp_buffers CAPTURE")?;
    let factory = BufferedReassemblerFactory::default()
        .with_max_buffer(1_000_000)
        .with_overflow_policy(OverflowPolicy::DropFlow);
    let mut driver: Driver = FlowDriver::new(FiveTuple::bidirectional(), factory);
    for view in PcapFlowSource::open(path)?.views() {
        let events: Vec<_> = driver.track(view?.as_view()).collect();
        events.iter().for_each(|event| take(&mut driver, event));
    }
    for (key, stats) in driver.snapshot_flow_stats() {
        println!("{key} goes on after {} packets", stats.total_packets());
    }
    let events: Vec<_> = driver.finish().collect();
    events.iter().for_each(|event| take(&mut driver, event));
    Ok(())
}

/// What a flow's last packets brought can still be taken when it has ended.
fn take(driver: &mut Driver, event: &FlowEvent<FiveTupleKey>) {
    let (FlowEvent::Packet { key, .. } | FlowEvent::Ended { key, .. }) = event else { return };
    for side in FlowSide::BOTH {
        let bytes = driver.drain_buffer(key, side);
        if !bytes.is_empty() {
            println!("{side:?} {} bytes", bytes.len());
        }
    }
}
