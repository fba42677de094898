//! A small service: counts what a source shows, answers whoever asks for the counters over HTTP, and
//! when it is interrupted gives every flow its end before it goes.
//!
//! ```console
//! $ cargo run -p flow-examples --example service -- fixtures/http_get.pcap
//! flow_flows_closed_total 1
//! flow_flows_started_total 1
//! flow_messages_total 6
//! flow_packets_total 16
//! flow_packets_dropped_total 0
//! ```
//!
//! With the feature `live` it watches an interface: `service eth0 localhost:9184`.

#![allow(clippy::print_stdout)]

#[path = "service/metrics.rs"]
mod metrics;

use std::error::Error;
use std::time::Duration;

use flow::extract::{AutoDetectEncap, FiveTuple};
use flow::l7::{L7DatagramParser, L7Parser};
use flow::tokio::{CaptureFile, PacketSource};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let source = open(&arguments.next().ok_or("usage: service CAPTURE|INTERFACE [ADDRESS]")?)?;
    let metrics = metrics::Metrics::default();
    if let Some(address) = arguments.next() {
        tokio::spawn(metrics.clone().serve(address));
    }
    let mut events = source
        .flow_stream(AutoDetectEncap::new(FiveTuple::bidirectional()))
        .protocol_stream(<L7Parser>::default(), <L7DatagramParser>::default());
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => metrics.count(&event?),
                None => break,
            },
            _ = second.tick() => metrics.set("packets_dropped", events.capture_stats().dropped),
            _ = tokio::signal::ctrl_c() => events.finish(),
        }
    }
    metrics.set("packets", events.tracker_stats().packets);
    metrics.set("packets_dropped", events.capture_stats().dropped);
    print!("{}", metrics.text());
    Ok(())
}

fn open(name: &str) -> Result<Box<dyn PacketSource>, flow::tokio::Error> {
    #[cfg(feature = "live")]
    if !std::path::Path::new(name).exists() {
        return Ok(Box::new(flow::tokio::AsyncCapture::open(name)?));
    }
    Ok(Box::new(CaptureFile::open(name)?))
}
