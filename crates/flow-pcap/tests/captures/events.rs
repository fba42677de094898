use std::io::Cursor;

use flow_core::{
    EndReason, Extracted, FlowEvent, FlowExtractor, FlowTracker, FlowTrackerConfig, Orientation,
    PacketView,
};
use flow_pcap::PcapFlowSource;

use crate::build::{Order, Pcap};
use crate::read::TempFile;

/// The first byte of the frame is the flow.
struct FirstByte;

impl FlowExtractor for FirstByte {
    type Key = u8;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u8>> {
        Some(Extracted {
            key: *view.frame.first()?,
            orientation: Orientation::Forward,
            l4: None,
            tcp: None,
            payload: Default::default(),
            encapsulation: Default::default(),
        })
    }
}

fn short(event: &FlowEvent<u8>) -> String {
    match event {
        FlowEvent::Started { key, .. } => format!("started {}", *key as char),
        FlowEvent::Packet { key, len, .. } => format!("packet {} {len}", *key as char),
        FlowEvent::Ended { key, reason, .. } => format!("ended {} {reason}", *key as char),
        other => format!("{other:?}"),
    }
}

#[track_caller]
fn check(bytes: Vec<u8>, expected: &[&str]) {
    let source = PcapFlowSource::from_reader(Cursor::new(bytes)).unwrap();
    let events = source.with_extractor(FirstByte);
    let found: Vec<String> = events
        .map(|event| match event {
            Ok(event) => short(&event),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(found, expected);
}

const EVENTS: [&str; 7] = [
    "started a",
    "packet a 60",
    "started b",
    "packet b 2",
    "packet a 1",
    "ended a eof",
    "ended b eof",
];

fn two_flows() -> Pcap {
    Pcap::new(Order::Little, Pcap::MICROS)
        .record([1, 0, 1, 60], b"a")
        .record([2, 0, 2, 2], b"bb")
        .record([3, 0, 0, 60], b"")
        .record([4, 0, 1, 1], b"a")
}

#[test]
fn open_flows_end_with_the_capture() {
    check(two_flows().bytes, &EVENTS);
}

#[test]
fn damage_comes_after_the_ends() {
    let mut expected = EVENTS.to_vec();
    expected.push("offset 92: record header cut short: needs 16 bytes, 3 left");
    check([two_flows().bytes, vec![0; 3]].concat(), &expected);
}

/// Both loops as users write them, over a file that is opened in the head of the loop.
#[test]
fn loops_over_a_file() -> Result<(), flow_pcap::Error> {
    let file = TempFile::new(&two_flows().bytes);
    let path = &file.0;

    let mut tracker = FlowTracker::<_, ()>::new(FirstByte);
    let mut events = Vec::new();
    for view in PcapFlowSource::open(path)?.views() {
        for event in tracker.track(view?.as_view()) {
            events.push(short(&event));
        }
    }
    events.extend(tracker.finish().map(|event| short(&event)));
    assert_eq!(events, EVENTS);

    let mut events = Vec::new();
    for event in PcapFlowSource::open(path)?.with_extractor(FirstByte) {
        events.push(short(&event?));
    }
    assert_eq!(events, EVENTS);
    Ok(())
}

#[test]
fn tracker_of_the_callers_own() {
    let mut config = FlowTrackerConfig::default();
    config.max_flows = 1;
    let tracker = FlowTracker::<_, ()>::new(FirstByte).with_config(config);
    let source = PcapFlowSource::from_reader(Cursor::new(two_flows().bytes)).unwrap();
    let events: Vec<_> = source.with_tracker(tracker).map(Result::unwrap).collect();
    let evicted = |event: &FlowEvent<u8>| {
        matches!(event, FlowEvent::Ended { reason: EndReason::Evicted, .. })
    };
    assert_eq!(events.iter().filter(|event| evicted(event)).count(), 2);
}
