use std::io::{self, Write};
use std::process::ExitCode;

use flow::extract::{FiveTuple, IpPair, MacPair};
use flow::{
    AnomalyKind, Encapsulation, EndReason, Flow, FlowExtractor, FlowSide, FlowSink, FlowState,
    FlowStats, FlowTracker, L4Proto, PacketView, Timestamp, Traffic,
};
use serde::{Serialize, Serializer};

use crate::anomaly::AnomalyLine;
use crate::args::{Common, Extractor};
use crate::input::{self, Consumer, Skipped, Watched};
use crate::key::{Ends, FlowKey};
use crate::output::{Line, Output, Shown, duration, moment};

/// `flow conv`: one line per flow, at its end.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(common: &Common, extractor: Extractor, output: Output) -> io::Result<ExitCode> {
    match extractor {
        Extractor::FiveTuple => run_with(FiveTuple::bidirectional(), common, output),
        Extractor::IpPair => run_with(IpPair, common, output),
        Extractor::MacPair => run_with(MacPair, common, output),
    }
}

fn run_with<E: FlowExtractor<Key: FlowKey>>(
    extractor: E,
    common: &Common,
    mut output: Output,
) -> io::Result<ExitCode> {
    let skipped = Skipped::default();
    let tracker = FlowTracker::new(Watched::new(extractor, common, &skipped));
    let tracker = tracker.with_config(common.tracker_config());
    output.heading(format_args!(
        "{:>6} {:6} {:>24}    {:24} {:26} {:>9} {:>15} {:>21} {:17} history",
        "flow", "proto", "initiator", "responder", "start", "lasted", "packets", "bytes", "state",
    ));
    let sink = Sink { output, anomalies: common.anomalies };
    input::run(&common.files, &skipped, &mut Conversations { tracker, sink })
}

struct Conversations<E: FlowExtractor> {
    tracker: FlowTracker<E>,
    sink: Sink,
}

impl<E: FlowExtractor<Key: FlowKey>> Consumer for Conversations<E> {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.tracker.track_with(view, &mut self.sink);
        self.sink.output.check()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tracker.finish_with(&mut self.sink);
        self.sink.output.flush()
    }
}

/// Prints flows from their entries in the table, as they leave it.
struct Sink {
    output: Output,
    anomalies: bool,
}

impl<K: FlowKey, S> FlowSink<K, S> for Sink {
    fn anomaly(&mut self, flow: Option<&mut Flow<K, S>>, kind: AnomalyKind, ts: Timestamp) {
        if self.anomalies {
            let flow = flow.map(|flow| (flow.id(), flow.key().ends(flow.initiator())));
            self.output.line(&AnomalyLine::new(ts, flow, &kind));
        }
    }

    fn ended(&mut self, flow: &mut Flow<K, S>, reason: EndReason, _ts: Timestamp) {
        let stats = flow.stats();
        self.output.line(&Conversation {
            flow: flow.id(),
            proto: flow.l4().map(Shown),
            ends: flow.key().ends(flow.initiator()),
            start: Shown(stats.started),
            end: Shown(stats.last_seen),
            fwd: Direction::of(&stats, FlowSide::Initiator),
            rev: Direction::of(&stats, FlowSide::Responder),
            state: Shown(flow.state()),
            reason: Shown(reason),
            history: flow.history().as_str(),
            encap: Layers(flow.encapsulation()),
        });
    }
}

/// A line of `flow conv`.
#[derive(Serialize)]
struct Conversation<'a> {
    flow: u64,
    /// Absent where a flow is all that two hosts exchange.
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<Shown<L4Proto>>,
    #[serde(flatten)]
    ends: Ends,
    start: Shown<Timestamp>,
    end: Shown<Timestamp>,
    fwd: Direction,
    rev: Direction,
    state: Shown<FlowState>,
    reason: Shown<EndReason>,
    history: &'a str,
    encap: Layers,
}

#[derive(Serialize)]
struct Direction {
    packets: u64,
    bytes: u64,
    payload_bytes: u64,
}

impl Direction {
    fn of(stats: &FlowStats, side: FlowSide) -> Self {
        let Traffic { packets, bytes, payload_bytes } = stats.sent_by(side);
        Self { packets, bytes, payload_bytes }
    }
}

struct Layers(Encapsulation);

impl Serialize for Layers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.layers().map(Shown))
    }
}

impl Line for Conversation<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let proto = self.proto.map(|proto| proto.to_string()).unwrap_or_default();
        let lasted = duration(self.end.0.saturating_sub(self.start.0));
        let both = |forward: u64, reverse: u64| format!("{forward} / {reverse}");
        write!(
            out,
            "{:>6} {:6} {:>24} -> {:24} {} {:>9} {:>15} {:>21} {:17} {}",
            self.flow,
            proto,
            self.ends.source(),
            self.ends.destination(),
            moment(self.start.0),
            lasted,
            both(self.fwd.packets, self.rev.packets),
            both(self.fwd.bytes, self.rev.bytes),
            format!("{} {}", self.state, self.reason),
            self.history,
        )?;
        self.encap.0.layers().try_for_each(|layer| write!(out, " {layer}"))
    }
}
