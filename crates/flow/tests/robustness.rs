//! Damaged captures through everything: no panic, and events in the promised order.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use flow::dns::{DnsTcpParser, DnsUdpParser};
use flow::extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow::http::HttpParser;
use flow::pcap::PcapFlowSource;
use flow::tls::TlsParser;
use flow::{
    FlowEvent, FlowProtocolDriver, FlowTracker, FlowTrackerConfig, LinkType, PacketView,
    SessionEvent, SessionParser, Timestamp,
};
use proptest::prelude::*;

type Extractor = AutoDetectEncap<FiveTuple>;

/// A packet that owns its bytes, to be damaged.
#[derive(Clone, Debug)]
struct Packet {
    frame: Vec<u8>,
    ts: Timestamp,
    link_type: LinkType,
    wire_len: u32,
}

impl Packet {
    fn view(&self) -> PacketView<'_> {
        PacketView::new(&self.frame, self.ts)
            .with_link_type(self.link_type)
            .with_wire_len(self.wire_len)
    }
}

/// One thing that can happen to a capture.
#[derive(Clone, Debug)]
enum Damage {
    Flip { byte: u16, bit: u8 },
    Cut { to: u16 },
    Drop,
    Repeat,
    Swap { with: u8 },
    Time { nanos: u64 },
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<u16>(), 0u8..8).prop_map(|(byte, bit)| Damage::Flip { byte, bit }),
        2 => any::<u16>().prop_map(|to| Damage::Cut { to }),
        1 => Just(Damage::Drop),
        1 => Just(Damage::Repeat),
        2 => (1u8..6).prop_map(|with| Damage::Swap { with }),
        1 => any::<u64>().prop_map(|nanos| Damage::Time { nanos }),
    ]
}

fn apply(packets: &mut Vec<Packet>, at: usize, damage: &Damage) {
    let at = at % packets.len().max(1);
    let Some(packet) = packets.get_mut(at) else { return };
    match *damage {
        Damage::Flip { byte, bit } => {
            let len = packet.frame.len().max(1);
            if let Some(byte) = packet.frame.get_mut(usize::from(byte) % len) {
                *byte ^= 1 << bit;
            }
        }
        Damage::Cut { to } => packet.frame.truncate(usize::from(to) % (packet.frame.len() + 1)),
        Damage::Drop => drop(packets.remove(at)),
        Damage::Repeat => {
            let again = packet.clone();
            packets.push(again);
        }
        Damage::Swap { with } => {
            let other = (at + usize::from(with)) % packets.len();
            packets.swap(at, other);
        }
        Damage::Time { nanos } => packet.ts = Timestamp::from_nanos(nanos),
    }
}

/// The packets of every whole fixture.
fn captures() -> Vec<Vec<Packet>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut captures = Vec::new();
    for file in files.iter().filter(|file| !file.to_string_lossy().ends_with(".json")) {
        let Ok(mut source) = PcapFlowSource::open(file) else { continue };
        let packets: Vec<_> = source
            .views()
            .map_while(Result::ok)
            .map(|captured| {
                let view = captured.as_view();
                let PacketView { frame, timestamp: ts, link_type, wire_len } = view;
                Packet { frame: frame.to_vec(), ts, link_type, wire_len }
            })
            .collect();
        if !packets.is_empty() {
            captures.push(packets);
        }
    }
    assert!(captures.len() > 20, "the fixtures are there");
    captures
}

/// Checks that each flow has one beginning, one end, and nothing outside of them.
#[derive(Default)]
struct Order(HashMap<FiveTupleKey, bool>);

impl Order {
    fn begins(&mut self, key: FiveTupleKey) {
        assert!(!self.0.insert(key, true).unwrap_or(false), "{key} began twice");
    }

    fn goes_on(&self, key: FiveTupleKey) {
        assert_eq!(self.0.get(&key), Some(&true), "{key} is not there");
    }

    fn ends(&mut self, key: FiveTupleKey) {
        assert_eq!(self.0.insert(key, false), Some(true), "{key} ended twice, or never began");
    }

    fn is_over(&self) {
        assert!(self.0.values().all(|open| !open), "a flow without an end");
    }
}

fn track(packets: &[Packet], config: FlowTrackerConfig) {
    let mut tracker = FlowTracker::new(Extractor::new(FiveTuple::bidirectional()))
        .with_config(config)
        .with_emit_anomalies(true);
    let mut order = Order::default();
    let mut counted = 0;
    let mut take = |event: FlowEvent<FiveTupleKey>| match event {
        FlowEvent::Started { key, .. } => order.begins(key),
        FlowEvent::Ended { key, stats, .. } => {
            counted += stats.total_packets();
            order.ends(key);
        }
        FlowEvent::Anomaly { .. } => {}
        other => order.goes_on(*other.key().unwrap()),
    };
    packets.iter().for_each(|packet| tracker.track(packet.view()).for_each(&mut take));
    tracker.finish().for_each(&mut take);
    order.is_over();
    let stats = tracker.stats();
    assert_eq!(counted + stats.skipped(), packets.len() as u64, "every packet counts once");
    assert_eq!(stats.flows_started, stats.flows_ended);
}

fn parse<P: SessionParser + Default + Clone>(
    packets: &[Packet],
    config: FlowTrackerConfig,
) -> usize {
    let extractor = Extractor::new(FiveTuple::bidirectional());
    let mut driver = FlowProtocolDriver::<_, P, DnsUdpParser>::new(extractor)
        .with_config(config)
        .with_emit_anomalies(true);
    let mut order = Order::default();
    let mut messages = 0;
    let mut take = |event: SessionEvent<FiveTupleKey, _>| match event {
        SessionEvent::Started { key, .. } => order.begins(key),
        SessionEvent::Closed { key, .. } => order.ends(key),
        SessionEvent::Application { key, origin, .. } => {
            assert!(1 <= origin.first_packet && origin.first_packet <= origin.packet);
            assert!(origin.packet <= packets.len() as u64);
            messages += 1;
            order.goes_on(key);
        }
        SessionEvent::Anomaly { key: Some(key), .. } => order.goes_on(key),
        _ => {}
    };
    packets.iter().for_each(|packet| driver.track(packet.view()).for_each(&mut take));
    driver.finish().for_each(&mut take);
    order.is_over();
    messages
}

fn run(packets: &[Packet], config: &FlowTrackerConfig) -> usize {
    track(packets, config.clone());
    parse::<HttpParser>(packets, config.clone())
        + parse::<TlsParser>(packets, config.clone())
        + parse::<DnsTcpParser>(packets, config.clone())
}

#[test]
fn undamaged_captures_have_messages() {
    let found: usize =
        captures().iter().map(|packets| run(packets, &FlowTrackerConfig::default())).sum();
    assert!(found > 50, "{found} messages");
}

proptest! {
    #[test]
    fn damaged_captures(
        capture in any::<prop::sample::Index>(),
        damages in proptest::collection::vec((any::<u16>(), damage()), 1..30),
        max_flows in 1usize..5,
        max_buffer in proptest::option::of(0usize..3_000),
    ) {
        let captures = captures();
        let mut packets = capture.get(&captures).clone();
        for (at, damage) in &damages {
            apply(&mut packets, usize::from(*at), damage);
        }
        let mut config = FlowTrackerConfig::default();
        config.max_flows = max_flows;
        config.max_reassembler_buffer = max_buffer;
        run(&packets, &config);
    }
}
