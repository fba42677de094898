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
    let extractor = Watched::new(common.five_tuple(), common, &skipped);
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
    output.heading(format_args!(
        "{:26} {:>6} {:>24}    {:24} {:5} message",
        "time", "flow", "initiator", "responder", "proto",
    ));
    output.columns(&COLUMNS);
    input::run(common, &skipped, &mut Log { sessions: Sessions::new(engine), output })
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
    sessions: Sessions<Watched<FiveTuple>, StreamAndDatagram<L7Parser, L7DatagramParser>>,
    output: Output,
}

type Event = SessionEvent<FiveTupleKey, ProtocolMessage<L7Message, L7Message>>;

impl Consumer for Log {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.sessions.track(view, |session, event| print(&mut self.output, session, &event));
        self.output.check()
    }

    fn filtered(&mut self) {
        self.sessions.pass_over();
    }

    fn finish(&mut self) -> io::Result<()> {
        self.sessions.finish(|session, event| print(&mut self.output, session, &event));
        self.output.flush()
    }
}

fn print(output: &mut Output, session: Option<Session>, event: &Event) {
    match event {
        SessionEvent::Application { side, message, ts, origin, .. } => {
            let Some(Session { ends, .. }) = session else { return };
            let (message, over_tcp) = match message {
                ProtocolMessage::Stream(message) => (message, true),
                ProtocolMessage::Datagram(message) => (message, false),
            };
            let sent = Sent { ts: *ts, origin, ends, side: *side, over_tcp };
            if let Some(entry) = Entry::new(&sent, message) {
                output.line(&entry);
            }
        }
        SessionEvent::Anomaly { kind, ts, .. } => {
            let flow = session.map(|session| (session.flow, session.ends));
            output.line(&AnomalyLine::new(*ts, flow, kind));
        }
        _ => {}
    }
}
