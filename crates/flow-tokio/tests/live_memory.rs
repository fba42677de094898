//! A consumer of live packets that sleeps: nothing is read ahead for it.
//!
//! By itself in a process, whose memory is looked at. Needs root and iproute2; where they are not, it
//! says so.

#![cfg(all(feature = "live", target_os = "linux"))]

#[path = "../../flow-live/tests/common/mod.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod common;

use std::net::UdpSocket;
use std::time::Duration;

use flow_core::FlowEvent;
use flow_extract::FiveTuple;
use flow_tokio::AsyncCapture;
use futures_util::StreamExt as _;

use self::common::{Host, INTERFACE, NOBODY, Wire};

/// Longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// After this long without anything, nothing more comes.
const QUIET: Duration = Duration::from_secs(1);

/// Sent while the consumer sleeps, of 1,000 bytes each.
const SENT: u64 = 100_000;

/// What memory may grow by meanwhile, a small part of what was sent.
const MOST_GROWTH: u64 = 4 << 20;

#[tokio::test]
async fn a_consumer_that_sleeps_costs_packets_and_no_memory() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut events = AsyncCapture::open(INTERFACE)
        .expect("open")
        .flow_stream(FiveTuple::bidirectional())
        .with_packet_events(true);
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    let send = |packets: u64| {
        for _ in 0..packets {
            socket.send_to(&[7; 1000], (NOBODY, 1000)).expect("send");
        }
    };
    send(1_000);
    let mut delivered = 0;
    while delivered < 500 {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("an event");
        delivered += u64::from(matches!(event, Some(Ok(FlowEvent::Packet { .. }))));
    }

    let before = resident_bytes();
    for _ in 0..10 {
        send(SENT / 10);
        // All the time in which something could be read ahead.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = resident_bytes();
    let stats = events.capture_stats();
    eprintln!("{before} bytes, then {after}; {stats:?}");
    assert!(after.saturating_sub(before) < MOST_GROWTH, "{before} bytes, then {after}");
    assert_eq!(stats.received, 1_000 + SENT);
    assert!(stats.dropped > SENT / 2, "100 MB do not fit into 16 MiB: {stats:?}");

    while let Ok(Some(event)) = tokio::time::timeout(QUIET, events.next()).await {
        delivered += u64::from(matches!(event.expect("event"), FlowEvent::Packet { .. }));
    }
    assert_eq!(delivered + stats.dropped, stats.received);
}

/// Bytes of this process that are in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    let kibibytes = line.trim().trim_end_matches("kB").trim();
    kibibytes.parse::<u64>().expect("a number") * 1024
}
