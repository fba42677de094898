mod fields;
mod text;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use flow::extract::{FiveTuple, FiveTupleKey};
use flow::http::{BodyPolicy, HttpConfig};
use flow::l7::{L7Config, L7DatagramParser, L7Message, L7Parser};
use flow::{
    FlowProtocolDriver, PacketView, PoisonPolicy, ProtocolMessage, SessionEvent, StreamAndDatagram,
    Timestamp,
};

use self::fields::{Entry, Sent};
use crate::anomaly::AnomalyLine;
use crate::args::{Buffer, Common, Format};
use crate::input::{self, Consumer, Skipped, Watched};
use crate::output::Output;
use crate::sessions::{Session, Sessions};

/// `flow log`: one line per message.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(common: &Common, buffer: &Buffer, mut output: Output) -> io::Result<ExitCode> {
    let skipped = Skipped::default();
    let sessions = sessions(common, buffer, &skipped);
    output.heading(format_args!(
        "{:26} {:>6} {:>24}    {:24} {:5} message",
        "time", "flow", "initiator", "responder", "proto",
    ));
    output.columns(&COLUMNS);
    input::run(common, &skipped, &mut Log { sessions, output })
}

/// An engine that finds the messages of all flows.
pub(crate) fn sessions(common: &Common, buffer: &Buffer, skipped: &Skipped) -> MessageSessions {
    let extractor = Watched::new(common.five_tuple(), common, skipped);
    let mut config = HttpConfig::default();
    // Bodies are not printed; their digests are for programs.
    config.body = BodyPolicy::Skip;
    config.digest_bodies = common.format == Format::Json;
    let streams = L7Parser::new(Arc::new(L7Config::default().with_http(config)));
    let engine = FlowProtocolDriver::with_parsers(
        extractor,
        move |key: &FiveTupleKey| streams.clone().with_ports(key.a.port(), key.b.port()),
        |key: &FiveTupleKey| L7DatagramParser::default().with_ports(key.a.port(), key.b.port()),
    )
    .with_config(buffer.limit(common.tracker_config()))
    .with_emit_anomalies(common.anomalies)
    .with_poison_policy(PoisonPolicy::EndSession);
    Sessions::new(engine)
}

/// The columns of the table: what all lines have in common, and what the text says.
const COLUMNS: [&str; 12] = [
    "ts",
    "frame",
    "first_frame",
    "flow",
    "src",
    "sport",
    "dst",
    "dport",
    "side",
    "proto",
    "type",
    "summary",
];

struct Log {
    sessions: MessageSessions,
    output: Output,
}

/// Flows whose messages are looked for.
pub(crate) type MessageSessions =
    Sessions<Watched<FiveTuple>, StreamAndDatagram<L7Parser, L7DatagramParser>>;

/// What happens to them.
pub(crate) type Event = SessionEvent<FiveTupleKey, ProtocolMessage<L7Message, L7Message>>;

impl Consumer for Log {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.sessions.track(view, |session, event| print(&mut self.output, session, &event));
        self.output.check()
    }

    fn filtered(&mut self) {
        self.sessions.pass_over();
    }

    fn idle(&mut self, now: Timestamp) -> io::Result<()> {
        self.sessions.sweep(now, |session, event| print(&mut self.output, session, &event));
        self.output.check()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sessions.finish(|session, event| print(&mut self.output, session, &event));
        self.output.flush()
    }
}

fn print(output: &mut Output, session: Option<Session>, event: &Event) {
    if let Some(entry) = entry(session, event) {
        output.line(&entry);
    }
    if let SessionEvent::Anomaly { kind, ts, .. } = event {
        let flow = session.map(|session| (session.flow, session.ends));
        output.line(&AnomalyLine::new(*ts, flow, kind));
    }
}

/// The line of a message, if the event is one that has a line.
fn entry(session: Option<Session>, event: &Event) -> Option<Entry<'_>> {
    let SessionEvent::Application { side, message, ts, origin, .. } = event else { return None };
    let (message, over_tcp) = match message {
        ProtocolMessage::Stream(message) => (message, true),
        ProtocolMessage::Datagram(message) => (message, false),
    };
    let sent = Sent { ts: *ts, origin, ends: session?.ends, side: *side, over_tcp };
    Entry::new(&sent, message)
}

/// A message in the words of the text.
#[derive(Clone, Debug)]
pub(crate) struct Note {
    pub(crate) proto: &'static str,
    /// Safe for a terminal.
    pub(crate) summary: String,
    /// What the initiator wants to talk to, or know of: the host of a request, the server name of
    /// a handshake, the name in a question. As it was sent, and not empty.
    pub(crate) subject: Option<String>,
}

/// The message that an event is, if it is one that has a line.
pub(crate) fn note(session: Option<Session>, event: &Event) -> Option<Note> {
    let entry = entry(session, event)?;
    let summary = String::from_utf8_lossy(&entry.to_summary()).into_owned();
    let subject = entry.subject().filter(|subject| !subject.is_empty()).map(str::to_owned);
    Some(Note { proto: entry.proto, summary, subject })
}
