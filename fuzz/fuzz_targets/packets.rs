//! A capture of any frames through everything: no panic, and every packet and byte is accounted for.
//!
//! The input is a capture: the first byte chooses the link type, then each frame has two bytes of
//! length (little endian), one byte for the time since the frame before in units of 20 ms, and its
//! bytes.

#![no_main]

use flow::extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow::http::HttpParser;
use flow::{FlowSessionDriver, FlowTrackerConfig, LinkType, PacketView, SessionEvent, Timestamp};
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;

const LINK_TYPES: [LinkType; 4] =
    [LinkType::ETHERNET, LinkType::RAW, LinkType::LINUX_SLL2, LinkType::NULL];

fuzz_target!(|data: &[u8]| {
    if let Some((&link, frames)) = data.split_first() {
        replay(LINK_TYPES[usize::from(link) % LINK_TYPES.len()], frames);
    }
});

fn replay(link: LinkType, mut rest: &[u8]) {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = 16;
    config.max_reassembler_buffer = Some(4_096);
    let extractor = AutoDetectEncap::new(FiveTuple::bidirectional());
    let mut driver = FlowSessionDriver::<_, HttpParser>::new(extractor)
        .with_config(config)
        .with_emit_anomalies(true);
    let (mut open, mut packets, mut millis) = (Order::default(), 0, 0);
    while let [a, b, since, bytes @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*a, *b])).min(bytes.len());
        let (frame, behind) = bytes.split_at(len);
        rest = behind;
        millis += 20 * u64::from(*since);
        packets += 1;
        let ts = Timestamp::from_nanos(1_700_000_000_000_000_000 + millis * 1_000_000);
        let view = PacketView::new(frame, ts).with_link_type(link);
        driver.track(view).for_each(|event| open.take(&event));
    }
    driver.finish().for_each(|event| open.take(&event));
    assert!(open.0.values().all(|open| !open), "a session without an end");
    let stats = driver.tracker().stats();
    assert_eq!(stats.packets, packets);
    assert_eq!(stats.flows_started, stats.flows_ended);
}

/// Each session has one beginning, one end, and nothing outside of them.
#[derive(Default)]
struct Order(HashMap<FiveTupleKey, bool>);

impl Order {
    fn take<M>(&mut self, event: &SessionEvent<FiveTupleKey, M>) {
        let Some(&key) = event.key() else { return };
        match event {
            SessionEvent::Started { .. } => {
                assert_ne!(self.0.insert(key, true), Some(true), "{key} began twice");
            }
            SessionEvent::Closed { .. } => {
                assert_eq!(self.0.insert(key, false), Some(true), "{key} ended twice");
            }
            _ => assert_eq!(self.0.get(&key), Some(&true), "{key} is not there"),
        }
    }
}
