//! The reassembly vectors and scenarios of the folder `shared/reassembly` beside the checkout,
//! through whole packets. Skipped, loudly, where that folder is not.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::path::{Path, PathBuf};

use flow::extract::{FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{
    AnomalyKind, Context, EndReason, FlowEvent, FlowSessionDriver, FlowSide, FlowTracker, Gap,
    GapAction, OverlapPolicy, SessionEvent, SessionParser,
};
use serde_json::Value;

/// Both streams of a connection as delivered; NUL bytes stand for missing ones.
#[derive(Clone, Debug, Default)]
struct Streams {
    bytes: [Vec<u8>; 2],
    gaps: [Vec<[u64; 2]>; 2],
}

impl SessionParser for Streams {
    type Message = Streams;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Streams> {
        self.bytes[0].extend_from_slice(bytes);
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Streams> {
        self.bytes[1].extend_from_slice(bytes);
        Vec::new()
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _: &mut Context<'_, Streams>) -> GapAction {
        let side = side.index();
        let end = gap.offset + gap.len;
        self.bytes[side].resize(usize::try_from(end).unwrap(), 0);
        self.gaps[side].push([gap.offset, end]);
        GapAction::Resume
    }

    fn close(&mut self, side: FlowSide, _: EndReason, cx: &mut Context<'_, Streams>) {
        if side == FlowSide::Responder {
            cx.emit(self.clone());
        }
    }
}

/// The streams of every connection of a capture, one after the other.
fn streams_of(capture: &Path, policy: OverlapPolicy) -> Streams {
    let mut driver = FlowSessionDriver::<_, Streams>::new(FiveTuple::bidirectional())
        .with_overlap_policy(move |_, _| policy);
    let mut all = Streams::default();
    let mut take = |event: SessionEvent<FiveTupleKey, Streams>| {
        if let SessionEvent::Application { message, .. } = event {
            for (all, one) in all.bytes.iter_mut().zip(&message.bytes) {
                all.extend_from_slice(one);
            }
            for (all, one) in all.gaps.iter_mut().zip(&message.gaps) {
                all.extend_from_slice(one);
            }
        }
    };
    for view in PcapFlowSource::open(capture).unwrap().views() {
        driver.track(view.unwrap().as_view()).for_each(&mut take);
    }
    driver.finish().for_each(&mut take);
    all
}

fn folder() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reassembly");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no shared/reassembly beside the checkout");
    None
}

fn vectors(folder: &Path, kind: &str) -> Vec<Value> {
    let file = fs::read_to_string(folder.join("vectors.json")).unwrap();
    let all: Value = serde_json::from_str(&file).unwrap();
    all[kind].as_array().unwrap().clone()
}

/// Strings of the file are Latin-1: one character is one byte.
fn bytes(value: &Value) -> Vec<u8> {
    value.as_str().unwrap().chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn overlap_vectors() {
    let Some(folder) = folder() else { return };
    let vectors = vectors(&folder, "tcp_vectors");
    for (name, policy) in [
        ("first", OverlapPolicy::First),
        ("last", OverlapPolicy::Last),
        ("bsd", OverlapPolicy::BSD),
        ("linux", OverlapPolicy::LINUX),
        ("old_linux", OverlapPolicy::OLD_LINUX),
    ] {
        let mut wrong = Vec::new();
        for vector in &vectors {
            let id = vector["id"].as_str().unwrap();
            let got = streams_of(&folder.join("pcaps").join(format!("{id}.pcap")), policy);
            if got.bytes[0] != bytes(&vector["expected"][name]) {
                wrong.push(format!("{id}: {}", String::from_utf8_lossy(&got.bytes[0])));
            }
        }
        println!("{} of {} vectors under {name}", vectors.len() - wrong.len(), vectors.len());
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn scenarios() {
    let Some(folder) = folder() else { return };
    let scenarios = vectors(&folder, "scenarios");
    let mut wrong = Vec::new();
    for scenario in &scenarios {
        let (id, expected) = (scenario["id"].as_str().unwrap(), &scenario["expected"]);
        let got =
            streams_of(&folder.join(scenario["pcap"].as_str().unwrap()), OverlapPolicy::First);
        let also = expected["also_acceptable_c2s"].as_array().unwrap();
        let client = [&expected["c2s"]].into_iter().chain(also).map(bytes);
        let gaps: Vec<[u64; 2]> = serde_json::from_value(expected["gaps_c2s"].clone()).unwrap();
        if !client.into_iter().any(|client| client == got.bytes[0])
            || got.bytes[1] != bytes(&expected["s2c"])
            || got.gaps[0] != gaps
        {
            wrong.push(format!("{id}: {got:?}"));
        }
    }
    println!("{} of {} scenarios", scenarios.len() - wrong.len(), scenarios.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The number of a packet, from 1, who sent it, and the name of what is wrong with it.
type Anomaly<Name> = (usize, FlowSide, Name);

/// What the tracker finds odd or rejects in the scenarios that are about it.
const ANOMALIES: [(&str, &[Anomaly<&str>]); 12] = [
    ("15_rst_oow", &[(6, FlowSide::Initiator, "rst_bad_seq")]),
    (
        "17_rst_exact_injected",
        &[
            (6, FlowSide::Initiator, "ttl_anomaly"),
            (7, FlowSide::Initiator, "rst_ignored_by_sender"),
        ],
    ),
    ("19_data_after_fin", &[(7, FlowSide::Initiator, "data_after_fin")]),
    ("25_ttl", &[(4, FlowSide::Initiator, "ttl_anomaly")]),
    // The second connection's numbers lie behind those of the first.
    ("26_reuse_after_close", &[]),
    ("28_spurious_syn", &[(6, FlowSide::Initiator, "syn_in_established")]),
    ("36_simopen", &[]),
    ("38_synack_first", &[(1, FlowSide::Responder, "role_flip")]),
    ("39_rst_data", &[(6, FlowSide::Responder, "rst_payload")]),
    ("40_noack_data", &[(6, FlowSide::Initiator, "data_no_ack")]),
    ("42_paws", &[(6, FlowSide::Initiator, "paws_old")]),
    ("43_md5", &[(6, FlowSide::Initiator, "md5_unexpected")]),
];

/// Every anomaly of a capture.
fn anomalies_of(capture: &Path) -> Vec<Anomaly<String>> {
    let mut tracker = FlowTracker::new(FiveTuple::bidirectional()).with_emit_anomalies(true);
    let mut found = Vec::new();
    let mut take = |packet, event| {
        let FlowEvent::Anomaly { kind, .. } = event else { return };
        let (AnomalyKind::RejectedSegment { side, .. } | AnomalyKind::OddSegment { side, .. }) =
            kind
        else {
            panic!("{kind:?} is none of the tracker's own");
        };
        found.push((packet, side, kind.to_string()));
    };
    for (packet, view) in (1..).zip(PcapFlowSource::open(capture).unwrap().views()) {
        tracker.track(view.unwrap().as_view()).for_each(|event| take(packet, event));
    }
    tracker.finish().for_each(|event| take(0, event));
    found
}

#[test]
fn anomalies() {
    let Some(folder) = folder() else { return };
    let scenarios = vectors(&folder, "scenarios");
    let mut wrong = Vec::new();
    for (id, expected) in ANOMALIES {
        let scenario = scenarios.iter().find(|scenario| scenario["id"] == id).unwrap();
        let found = anomalies_of(&folder.join(scenario["pcap"].as_str().unwrap()));
        let found: Vec<_> = found.iter().map(|(at, side, name)| (*at, *side, &**name)).collect();
        if found != expected {
            wrong.push(format!("{id}: {found:?}"));
        }
    }
    println!("{} of {} scenarios", ANOMALIES.len() - wrong.len(), ANOMALIES.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}
