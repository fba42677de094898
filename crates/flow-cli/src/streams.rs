use std::io::{self, Write};
use std::process::ExitCode;

use flow::extract::FiveTuple;
use flow::{
    Context, EndReason, FlowSessionDriver, FlowSide, FlowStats, Gap, GapAction, PacketView,
    SessionEvent, SessionParser, StreamOnly, Timestamp,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::anomaly::{AnomalyLine, side_name};
use crate::args::{Buffer, Common};
use crate::gaps::Gaps;
use crate::input::{self, Consumer, Skipped, Watched};
use crate::key::Ends;
use crate::output::{Hex, Line, Output, Rows, Shown};
use crate::sessions::{Session, Sessions};

/// `flow streams`: one line per side of each TCP flow.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(common: &Common, buffer: &Buffer, mut output: Output) -> io::Result<ExitCode> {
    let skipped = Skipped::default();
    let extractor = Watched::new(common.five_tuple(), common, &skipped);
    let driver = FlowSessionDriver::with_parser(extractor, Hasher::default())
        .with_config(buffer.limit(common.tracker_config()))
        .with_emit_anomalies(common.anomalies);
    output.heading(format_args!(
        "{:>6} {:>24}    {:24} {:>12} {:>12} {:>12} {:9} sha256",
        "flow", "sender", "receiver", "bytes", "missing", "repeated", "end",
    ));
    output.columns(&COLUMNS);
    let printer = Printer { output, digests: Default::default() };
    input::run(common, &skipped, &mut Streams { sessions: Sessions::new(driver), printer })
}

/// The columns of the table. Of the gaps of a side it has their number and their bytes.
const COLUMNS: [&str; 15] = [
    "flow",
    "side",
    "src",
    "sport",
    "dst",
    "dport",
    "bytes",
    "sha256",
    "gaps",
    "gap_bytes",
    "retransmitted_bytes",
    "out_of_order_segments",
    "overlap_conflicts",
    "late_bytes",
    "end",
];

struct Streams {
    sessions: Sessions<Watched<FiveTuple>, StreamOnly<Hasher>>,
    printer: Printer,
}

impl Consumer for Streams {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.sessions.track(view, |session, event| self.printer.handle(session, event));
        self.printer.output.check()
    }

    fn idle(&mut self, now: Timestamp) -> io::Result<()> {
        self.sessions.sweep(now, |session, event| self.printer.handle(session, event));
        self.printer.output.check()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.printer.output.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sessions.finish(|session, event| self.printer.handle(session, event));
        self.printer.output.flush()
    }
}

struct Printer {
    output: Output,
    /// Of the flow that is being closed: they come right before its end.
    digests: [Digest; 2],
}

impl Printer {
    fn handle<K>(&mut self, session: Option<Session>, event: SessionEvent<K, Digest>) {
        match event {
            SessionEvent::Application { side, message, .. } => {
                self.digests[side.index()] = message;
            }
            SessionEvent::Closed { reason, stats, .. } => {
                let digests = std::mem::take(&mut self.digests);
                for (side, digest) in FlowSide::BOTH.into_iter().zip(&digests) {
                    if let Some(session) = session {
                        self.output.line(&Stream::new(session, side, digest, reason, &stats));
                    }
                }
            }
            SessionEvent::Anomaly { kind, ts, .. } => {
                let flow = session.map(|session| (session.flow, session.ends));
                self.output.line(&AnomalyLine::new(ts, flow, &kind));
            }
            _ => {}
        }
    }
}

/// Digests both sides of a connection.
#[derive(Clone, Debug, Default)]
struct Hasher {
    sides: [Side; 2],
}

#[derive(Clone, Debug, Default)]
struct Side {
    sha256: Sha256,
    bytes: u64,
    gaps: Gaps,
    ended: bool,
}

/// What a side delivered; as default, nothing.
#[derive(Debug)]
struct Digest {
    bytes: u64,
    sha256: [u8; 32],
    gaps: Gaps,
    /// Its FIN was reached.
    ended: bool,
}

impl Default for Digest {
    fn default() -> Self {
        Side::default().digest()
    }
}

impl Side {
    fn digest(self) -> Digest {
        let Self { sha256, bytes, gaps, ended } = self;
        Digest { bytes, sha256: sha256.finalize().into(), gaps, ended }
    }
}

impl SessionParser for Hasher {
    type Message = Digest;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Digest> {
        self.push(FlowSide::Initiator, bytes);
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Digest> {
        self.push(FlowSide::Responder, bytes);
        Vec::new()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], _cx: &mut Context<'_, Digest>) {
        self.push(side, bytes);
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _cx: &mut Context<'_, Digest>) -> GapAction {
        self.sides[side.index()].gaps.push(gap);
        GapAction::Resume
    }

    fn fin(&mut self, side: FlowSide, _cx: &mut Context<'_, Digest>) {
        self.sides[side.index()].ended = true;
    }

    fn close(&mut self, side: FlowSide, _reason: EndReason, cx: &mut Context<'_, Digest>) {
        cx.emit(std::mem::take(&mut self.sides[side.index()]).digest());
    }

    fn buffered_bytes(&self) -> usize {
        self.sides.iter().map(|side| side.gaps.buffered_bytes()).sum()
    }
}

impl Hasher {
    fn push(&mut self, side: FlowSide, bytes: &[u8]) {
        let side = &mut self.sides[side.index()];
        side.bytes = side.bytes.saturating_add(bytes.len() as u64);
        side.sha256.update(bytes);
    }
}

/// A line of `flow streams`.
#[derive(Serialize)]
struct Stream<'a> {
    flow: u64,
    side: &'static str,
    #[serde(flatten)]
    ends: Ends,
    bytes: u64,
    sha256: Shown<Hex<'a>>,
    #[serde(flatten)]
    gaps: &'a Gaps,
    retransmitted_bytes: u64,
    out_of_order_segments: u64,
    overlap_conflicts: u64,
    late_bytes: u64,
    end: Shown<EndReason>,
    /// Bytes of all gaps.
    #[serde(skip)]
    missing: u64,
}

impl<'a> Stream<'a> {
    fn new(
        session: Session,
        side: FlowSide,
        digest: &'a Digest,
        reason: EndReason,
        stats: &FlowStats,
    ) -> Self {
        let counted = stats.tcp.side(side);
        Self {
            flow: session.flow,
            side: side_name(side),
            ends: match side {
                FlowSide::Initiator => session.ends,
                FlowSide::Responder => session.ends.reversed(),
            },
            bytes: digest.bytes,
            sha256: Shown(Hex(&digest.sha256)),
            gaps: &digest.gaps,
            retransmitted_bytes: counted.retransmitted_bytes,
            out_of_order_segments: counted.out_of_order_segments,
            overlap_conflicts: counted.conflicting_segments,
            late_bytes: counted.late_bytes,
            end: Shown(if digest.ended { EndReason::Fin } else { reason }),
            missing: counted.total_gap_bytes(),
        }
    }
}

impl Line for Stream<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(
            out,
            "{:>6} {:>24} -> {:24} {:>12} {:>12} {:>12} {:9} {}",
            self.flow,
            self.ends.source(),
            self.ends.destination(),
            self.bytes,
            self.missing,
            self.retransmitted_bytes,
            self.end.to_string(),
            self.sha256,
        )
    }

    fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.flow)?;
        row.field(self.side)?;
        self.ends.row(row)?;
        row.field(self.bytes)?;
        row.field(self.sha256)?;
        row.field(self.gaps.count())?;
        row.field(self.missing)?;
        row.field(self.retransmitted_bytes)?;
        row.field(self.out_of_order_segments)?;
        row.field(self.overlap_conflicts)?;
        row.field(self.late_bytes)?;
        row.field(self.end)
    }
}
