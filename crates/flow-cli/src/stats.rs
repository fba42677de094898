mod report;
mod totals;

use std::io;
use std::process::ExitCode;

use flow::extract::{IpPair, MacPair};
use flow::{
    AnomalyKind, EndReason, Flow, FlowExtractor, FlowSink, FlowTracker, PacketView, Timestamp,
};

use self::totals::Totals;
use crate::anomaly::AnomalyLine;
use crate::args::{Common, Extractor, Format};
use crate::input::{self, Consumer, Skipped, Watched};
use crate::key::FlowKey;
use crate::output::Output;

/// `flow stats`: totals.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(common: &Common, output: Output) -> io::Result<ExitCode> {
    match common.extractor {
        Extractor::FiveTuple => run_with(common.five_tuple(), common, output),
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
    output.columns(&["name", "value"]);
    // The rows of a table are totals.
    let anomalies = common.anomalies && common.format != Format::Csv;
    let sink = Sink { totals: Totals::default(), output, anomalies };
    input::run(common, &skipped, &mut Stats { tracker, sink, skipped: skipped.clone() })
}

struct Stats<E: FlowExtractor> {
    tracker: FlowTracker<E>,
    sink: Sink,
    skipped: Skipped,
}

impl<E: FlowExtractor<Key: FlowKey>> Consumer for Stats<E> {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.sink.totals.packet(view);
        self.tracker.track_with(view, &mut self.sink);
        self.sink.output.check()
    }

    fn filtered(&mut self) {
        self.sink.totals.filtered += 1;
    }

    fn idle(&mut self, now: Timestamp) -> io::Result<()> {
        self.tracker.sweep_with(now, &mut self.sink);
        self.sink.output.check()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.output.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tracker.finish_with(&mut self.sink);
        let report = self.sink.totals.report(self.tracker.stats(), &self.skipped.by_link_type());
        self.sink.output.line(&report);
        self.sink.output.flush()
    }
}

struct Sink {
    totals: Totals,
    output: Output,
    /// Whether each of them is printed; they are counted in any case.
    anomalies: bool,
}

impl<K: FlowKey, S> FlowSink<K, S> for Sink {
    fn anomaly(&mut self, flow: Option<&mut Flow<K, S>>, kind: AnomalyKind, ts: Timestamp) {
        self.totals.anomalies.add(&kind, 1);
        if self.anomalies {
            let flow = flow.map(|flow| (flow.id(), flow.key().ends(flow.initiator())));
            self.output.line(&AnomalyLine::new(ts, flow, &kind));
        }
    }

    fn ended(&mut self, flow: &mut Flow<K, S>, reason: EndReason, _ts: Timestamp) {
        let source = flow.key().ends(flow.initiator()).src.0;
        self.totals.flow(source, flow.l4(), flow.state(), reason, &flow.stats());
    }
}
