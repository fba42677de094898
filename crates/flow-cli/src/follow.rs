mod fields;
mod files;
mod selection;
mod stream;
mod transcript;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::process::ExitCode;

use flow::extract::{FiveTuple, FiveTupleKey};
use flow::{
    EndReason, FlowSessionDriver, FlowSide, Gap, PacketView, SessionEvent, StreamOnly, Timestamp,
};

use self::fields::{Chunk, Content, File};
use self::files::Files;
use self::selection::Selection;
use self::stream::{Piece, Sides};
use self::transcript::Transcript;
use crate::anomaly::{AnomalyLine, side_name};
use crate::args::{Buffer, Common, FollowOptions, Format};
use crate::gaps::{GapField, Gaps};
use crate::input::{self, Consumer, Skipped, Watched};
use crate::output::Output;
use crate::sessions::{Session, Sessions};

/// `flow follow`: what both sides of TCP flows sent, in the order of delivery.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(
    common: &Common,
    buffer: &Buffer,
    options: &FollowOptions,
    mut output: Output,
) -> io::Result<ExitCode> {
    let mode = Mode::new(common, options)?;
    match mode {
        Mode::Lines => output.columns(&Chunk::COLUMNS),
        Mode::Files(_) => {
            let [bytes, missing, end] = ["bytes", "missing", "end"];
            output.heading(format_args!("{bytes:>12} {missing:>12} {end:9} file"));
            output.columns(&File::COLUMNS);
        }
        Mode::Text(_) | Mode::Hex | Mode::Raw => {}
    }
    let skipped = Skipped::default();
    let extractor = Watched::new(common.five_tuple(), common, &skipped);
    let selection = Selection::new(&options.flow);
    let (begun, taken, sides) = (selection.clone(), selection.clone(), options.side);
    let driver = FlowSessionDriver::with_state(
        extractor,
        move |key: &FiveTupleKey| Sides::new(|side| sides.has(side) && taken.takes(key)),
        move |key: &FiveTupleKey| begun.begin(key),
    )
    .with_config(buffer.limit(common.tracker_config()))
    .with_emit_anomalies(common.anomalies);
    let printer = Printer {
        output,
        mode,
        selection,
        current: None,
        unseen: options.flow.iter().copied().collect(),
        delivered: HashMap::new(),
        notes: Vec::new(),
    };
    let mut streams = Streams { sessions: Sessions::new(driver), printer };
    let code = input::run(common, &skipped, &mut streams)?;
    input::complain(&streams.printer.notes);
    let lacks = streams.printer.selection.lacks();
    input::complain(&lacks);
    Ok(if lacks.is_empty() { code } else { ExitCode::FAILURE })
}

struct Streams {
    sessions: Sessions<Watched<FiveTuple>, StreamOnly<Sides>>,
    printer: Printer,
}

impl Consumer for Streams {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.sessions.track(view, |session, event| self.printer.handle(session, &event));
        self.printer.output.check()
    }

    fn filtered(&mut self) {
        self.sessions.pass_over();
    }

    fn idle(&mut self, now: Timestamp) -> io::Result<()> {
        self.sessions.sweep(now, |session, event| self.printer.handle(session, &event));
        self.printer.output.check()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.printer.output.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sessions.finish(|session, event| self.printer.handle(session, &event));
        self.printer.end_line();
        self.printer.output.flush()
    }
}

/// What becomes of the bytes.
enum Mode {
    /// Lines of text, marked with their side.
    Text(Transcript),
    /// A hex dump.
    Hex,
    /// The bytes alone.
    Raw,
    /// A line for programs per piece.
    Lines,
    /// A file per stream.
    Files(Files),
}

impl Mode {
    fn new(common: &Common, options: &FollowOptions) -> io::Result<Self> {
        Ok(match (&options.output, common.format) {
            (Some(folder), _) => Self::Files(Files::new(folder)?),
            (None, _) if options.raw => Self::Raw,
            (None, _) if options.hex => Self::Hex,
            (None, Format::Text) => Self::Text(Transcript::default()),
            (None, Format::Json | Format::Csv) => Self::Lines,
        })
    }
}

/// The number of a flow and one of its sides.
type Stream = (u64, FlowSide);

/// What a stream delivered so far.
#[derive(Debug, Default)]
struct Delivered {
    bytes: u64,
    gaps: Gaps,
    /// Its FIN was reached.
    ended: bool,
}

struct Printer {
    output: Output,
    mode: Mode,
    selection: Selection,
    /// The flow whose heading was printed last.
    current: Option<u64>,
    /// Flows that were asked for and have no heading yet.
    unseen: BTreeSet<u64>,
    /// Streams that are not over and delivered something, if their end is told of.
    delivered: HashMap<Stream, Delivered>,
    /// For standard error, at the end: no more than the gaps that one stream lists.
    notes: Vec<String>,
}

impl Printer {
    fn handle(&mut self, session: Option<Session>, event: &SessionEvent<FiveTupleKey, Piece>) {
        match (event, session) {
            (SessionEvent::Application { side, message, ts, origin, .. }, Some(session)) => {
                let chunk = |content| Chunk::new(session, *side, *ts, origin, content);
                match message {
                    Piece::Bytes(bytes) => {
                        self.bytes(session, *side, bytes, &chunk(Content::Bytes(bytes)));
                    }
                    Piece::Gap(gap) => self.gap(session, *side, *gap, &chunk(Content::Gap(*gap))),
                    Piece::Fin => {
                        let delivered = self.delivered.get_mut(&(session.flow, *side));
                        delivered.into_iter().for_each(|delivered| delivered.ended = true);
                    }
                }
            }
            (SessionEvent::Closed { reason, .. }, Some(session)) => self.closed(session, *reason),
            (SessionEvent::Anomaly { kind, ts, .. }, session)
                if session.is_none_or(|session| self.selection.has(session.flow)) =>
            {
                self.end_line();
                let flow = session.map(|session| (session.flow, session.ends));
                self.output.line(&AnomalyLine::new(*ts, flow, kind));
            }
            _ => {}
        }
    }

    fn bytes(&mut self, session: Session, side: FlowSide, bytes: &[u8], chunk: &Chunk<'_>) {
        self.heading(session);
        match &mut self.mode {
            Mode::Text(transcript) => {
                self.output.text(|out| transcript.bytes(side, bytes, out));
            }
            Mode::Hex | Mode::Lines => self.output.line(chunk),
            Mode::Raw => self.output.text(|out| out.write_all(bytes)),
            Mode::Files(_) => self.write_file(session, side, bytes, None),
        }
    }

    fn gap(&mut self, session: Session, side: FlowSide, gap: Gap, chunk: &Chunk<'_>) {
        self.heading(session);
        self.end_line();
        match self.mode {
            Mode::Text(_) | Mode::Hex | Mode::Lines => self.output.line(chunk),
            // The end of the stream tells of all of them.
            Mode::Raw => self.delivered.entry((session.flow, side)).or_default().gaps.push(gap),
            // A stream of which everything is missing has an empty file.
            Mode::Files(_) => self.write_file(session, side, &[], Some(gap)),
        }
    }

    fn write_file(&mut self, session: Session, side: FlowSide, bytes: &[u8], gap: Option<Gap>) {
        let Mode::Files(files) = &mut self.mode else { return };
        let stream = (session.flow, side);
        let first = !self.delivered.contains_key(&stream);
        let delivered = self.delivered.entry(stream).or_default();
        delivered.bytes = delivered.bytes.saturating_add(bytes.len() as u64);
        gap.into_iter().for_each(|gap| delivered.gaps.push(gap));
        let written = files.write(session, side, bytes, first);
        self.output.keep(written);
    }

    fn closed(&mut self, session: Session, reason: EndReason) {
        // Who asked for a flow sees that it was there, even if nothing was sent.
        if self.unseen.contains(&session.flow) {
            self.heading(session);
        }
        for side in FlowSide::BOTH {
            let Some(delivered) = self.delivered.remove(&(session.flow, side)) else { continue };
            match &mut self.mode {
                Mode::Text(_) | Mode::Hex | Mode::Lines => {}
                Mode::Raw => note(&mut self.notes, session, side, &delivered.gaps),
                Mode::Files(files) => match files.close(session, side) {
                    Ok(path) => {
                        let file = File::new(session, side, &delivered, reason, &path);
                        self.output.line(&file);
                    }
                    Err(error) => self.output.keep(Err(error)),
                },
            }
        }
    }

    /// Says whose bytes follow, in a transcript, if that has not been said.
    fn heading(&mut self, Session { flow, ends }: Session) {
        if !matches!(self.mode, Mode::Text(_) | Mode::Hex) || self.current == Some(flow) {
            return;
        }
        self.end_line();
        self.unseen.remove(&flow);
        let space = if self.current.replace(flow).is_some() { "\n" } else { "" };
        let (source, destination) = (ends.source(), ends.destination());
        self.output.heading(format_args!("{space}flow {flow} {source} -> {destination}"));
    }

    /// Ends the line of a transcript that has not ended.
    fn end_line(&mut self) {
        if let Mode::Text(transcript) = &mut self.mode {
            self.output.text(|out| transcript.end_line(out));
        }
    }
}

/// Notes what is missing from a stream of which nothing but the bytes is written.
fn note(notes: &mut Vec<String>, session: Session, side: FlowSide, gaps: &Gaps) {
    let stream = format!("flow {} {}", session.flow, side_name(side));
    notes.extend(gaps.listed().iter().map(|GapField { offset, bytes, reason }| {
        format!("{stream}: offset {offset}: {bytes} bytes missing: {reason}")
    }));
    if gaps.omitted() > 0 {
        notes.push(format!("{stream}: {} more gaps", gaps.omitted()));
    }
}
