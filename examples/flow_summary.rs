//! A line for every flow of a capture, in the order in which they end.
//!
//! ```console
//! $ cargo run -p flow-examples --example flow_summary -- fixtures/tcp_port_reuse.pcap
//! tcp 10.0.0.1:45000 <-> 10.0.0.2:9000: 9 packets, 522 bytes, 4ms, fin, ShADdFaf
//! tcp 10.0.0.1:45000 <-> 10.0.0.2:9000: 9 packets, 524 bytes, 4ms, fin, ShADdFaf
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::FlowEvent;
use flow::extract::FiveTuple;
use flow::pcap::PcapFlowSource;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: flow_summary CAPTURE")?;
    for event in PcapFlowSource::open(path)?.with_extractor(FiveTuple::bidirectional()) {
        if let FlowEvent::Ended { key, reason, stats, history } = event? {
            let (packets, bytes) = (stats.total_packets(), stats.total_bytes());
            let duration = stats.last_seen.saturating_sub(stats.started);
            println!("{key}: {packets} packets, {bytes} bytes, {duration:?}, {reason}, {history}");
        }
    }
    Ok(())
}
