use std::collections::HashMap;
use std::io::{self, Write};
use std::process::ExitCode;

use flow::extract::{CommunityId, IpPair, MacPair};
use flow::{
    AnomalyKind, ConnState, Encapsulation, EndReason, Flow, FlowExtractor, FlowSide, FlowSink,
    FlowState, FlowStats, FlowTracker, L4Proto, PacketView, Timestamp, Traffic,
};
use serde::{Serialize, Serializer};

use crate::anomaly::AnomalyLine;
use crate::args::{Common, Extractor};
use crate::input::{self, Consumer, Skipped, Watched};
use crate::key::{Ends, FlowKey};
use crate::output::{Line, Output, Rows, Shown, duration, moment};

/// `flow conv`: one line per flow, at its end.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(common: &Common, seed: Option<u16>, output: Output) -> io::Result<ExitCode> {
    match common.extractor {
        Extractor::FiveTuple => run_with(common.five_tuple(), common, seed, output),
        Extractor::IpPair => run_with(IpPair, common, seed, output),
        Extractor::MacPair => run_with(MacPair, common, seed, output),
    }
}

fn run_with<E: FlowExtractor<Key: FlowKey>>(
    extractor: E,
    common: &Common,
    seed: Option<u16>,
    mut output: Output,
) -> io::Result<ExitCode> {
    let skipped = Skipped::default();
    let tracker = FlowTracker::new(Watched::new(extractor, common, &skipped));
    let tracker = tracker.with_config(common.tracker_config());
    output.heading(format_args!(
        "{:>6} {:6} {:>24}    {:24} {:26} {:>9} {:>15} {:>21} {:17} {:6} history",
        "flow",
        "proto",
        "initiator",
        "responder",
        "start",
        "lasted",
        "packets",
        "bytes",
        "state",
        "conn",
    ));
    output.columns(COLUMNS.get(..COLUMNS.len() - usize::from(seed.is_none())).unwrap_or(&COLUMNS));
    let ids = seed.map(|seed| Ids { seed, of_messages: HashMap::new() });
    let sink = Sink { output, anomalies: common.anomalies, ids };
    input::run(common, &skipped, &mut Conversations { tracker, sink })
}

/// The columns of the table; the last one on request.
const COLUMNS: [&str; 20] = [
    "flow",
    "proto",
    "src",
    "sport",
    "dst",
    "dport",
    "start",
    "end",
    "fwd_packets",
    "fwd_bytes",
    "fwd_payload_bytes",
    "rev_packets",
    "rev_bytes",
    "rev_payload_bytes",
    "state",
    "reason",
    "conn_state",
    "history",
    "encap",
    "community_id",
];

struct Conversations<E: FlowExtractor> {
    tracker: FlowTracker<E>,
    sink: Sink,
}

impl<E: FlowExtractor<Key: FlowKey>> Consumer for Conversations<E> {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        let flows = self.tracker.stats().flows_started;
        self.tracker.track_with(view, &mut self.sink);
        if let Some(ids) = &mut self.sink.ids
            && self.tracker.stats().flows_started > flows
        {
            // The first packet of a flow, whose number is that of flows before it.
            ids.note(flows, view, self.tracker.extractor());
        }
        self.sink.output.check()
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
        self.sink.output.flush()
    }
}

/// Prints flows from their entries in the table, as they leave it.
struct Sink {
    output: Output,
    anomalies: bool,
    ids: Option<Ids>,
}

/// The Community IDs of flows.
struct Ids {
    seed: u16,
    /// Of flows in the table whose key does not tell, by their number.
    of_messages: HashMap<u64, CommunityId>,
}

impl Ids {
    /// Takes down the ID of a flow that has begun with this packet, if its key does not tell.
    fn note<E>(&mut self, flow: u64, view: PacketView<'_>, extractor: &E)
    where
        E: FlowExtractor<Key: FlowKey>,
    {
        let Some(found) = extractor.extract(view) else { return };
        if found.key.community_id(self.seed).is_none()
            && let Some(id) = E::Key::community_id_of(view, &found, self.seed)
        {
            self.of_messages.insert(flow, id);
        }
    }

    /// The ID of a flow that has ended.
    fn take(&mut self, flow: u64, key: &impl FlowKey) -> Option<CommunityId> {
        key.community_id(self.seed).or_else(|| self.of_messages.remove(&flow))
    }
}

impl<K: FlowKey, S> FlowSink<K, S> for Sink {
    fn anomaly(&mut self, flow: Option<&mut Flow<K, S>>, kind: AnomalyKind, ts: Timestamp) {
        if self.anomalies {
            let flow = flow.map(|flow| (flow.id(), flow.key().ends(flow.initiator())));
            self.output.line(&AnomalyLine::new(ts, flow, &kind));
        }
    }

    fn ended(&mut self, flow: &mut Flow<K, S>, reason: EndReason, _ts: Timestamp) {
        let (stats, history) = (flow.stats(), flow.history());
        let id = self.ids.as_mut().map(|ids| ids.take(flow.id(), flow.key()));
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
            conn_state: Shown(stats.conn_state),
            history: history.as_str(),
            encap: Layers(flow.encapsulation()),
            community_id: id.map(|id| id.map(Shown)),
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
    conn_state: Shown<ConnState>,
    history: &'a str,
    encap: Layers,
    /// On request; of those that are asked for, some flows have none.
    #[serde(skip_serializing_if = "lacks_id")]
    community_id: Option<Option<Shown<CommunityId>>>,
}

fn lacks_id(id: &Option<Option<Shown<CommunityId>>>) -> bool {
    id.flatten().is_none()
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
            "{:>6} {:6} {:>24} -> {:24} {} {:>9} {:>15} {:>21} {:17} {:6} {}",
            self.flow,
            proto,
            self.ends.source(),
            self.ends.destination(),
            moment(self.start.0),
            lasted,
            both(self.fwd.packets, self.rev.packets),
            both(self.fwd.bytes, self.rev.bytes),
            format!("{} {}", self.state, self.reason),
            self.conn_state,
            self.history,
        )?;
        self.encap.0.layers().try_for_each(|layer| write!(out, " {layer}"))?;
        self.community_id.flatten().map_or(Ok(()), |id| write!(out, " {id}"))
    }

    fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.flow)?;
        row.optional(self.proto)?;
        self.ends.row(row)?;
        row.field(self.start)?;
        row.field(self.end)?;
        for Direction { packets, bytes, payload_bytes } in [&self.fwd, &self.rev] {
            row.field(packets)?;
            row.field(bytes)?;
            row.field(payload_bytes)?;
        }
        row.field(self.state)?;
        row.field(self.reason)?;
        row.field(self.conn_state)?;
        row.field(self.history)?;
        row.written(|out| {
            for (i, layer) in self.encap.0.layers().enumerate() {
                write!(out, "{}{layer}", if i == 0 { "" } else { " " })?;
            }
            Ok(())
        })?;
        self.community_id.map_or(Ok(()), |id| row.optional(id))
    }
}
