//! The messages in every capture of the folder `shared/corpus` beside the checkout: they do not
//! depend on how streams are cut into segments, nor on the order of these, and every face of the
//! engine gives the same. Skipped, loudly, where that folder is not.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use flow::dns::{
    DnsHandler, DnsMessage, DnsPendingQuery, DnsQuery, DnsResponse, DnsUdpObserver,
    DnsUdpTransactions,
};
use flow::extract::FiveTupleKey;
use flow::http::{HttpFactory, HttpHandler, HttpMessage, HttpParser, HttpRequest, HttpResponse};
use flow::l7::{L7Message, L7Parser};
use flow::tls::{
    TlsAlert, TlsCertificateChain, TlsClientHello, TlsFactory, TlsHandler, TlsMessage,
    TlsNewSessionTicket, TlsParser, TlsServerHello,
};
use flow::{
    ChecksumPolicy, Context, EndReason, FlowDatagramDriver, FlowDriver, FlowSessionDriver,
    FlowSide, FlowTrackerConfig, Gap, GapAction, Mark, ReassemblerFactory, SessionEvent,
    SessionParser, Timestamp,
};

use self::common::corpus::{Capture, Dice, captures, extractor, piece, stamp};
use self::common::{Packet, Session};

/// What was found in a stream: who sent it, where it stands, what it is.
type Found = (FlowSide, Range<u64>, String);

/// A message without its time.
fn text(message: &L7Message) -> String {
    match message {
        L7Message::Dns(DnsMessage::Query(query)) => format!(
            "{} {:?} {:?} {:?} {:?} {:?}",
            query.transaction_id,
            query.flags,
            query.questions,
            query.answers,
            query.authorities,
            query.additionals
        ),
        L7Message::Dns(DnsMessage::Response(response)) => format!(
            "{} {:?} {:?} {:?} {:?} {:?} {}",
            response.transaction_id,
            response.flags,
            response.questions,
            response.answers,
            response.authorities,
            response.additionals,
            response.elapsed.is_some()
        ),
        L7Message::Dns(DnsMessage::Unanswered(query)) => format!("{:?}", query.question),
        other => format!("{other:?}"),
    }
}

/// What the engine told a parser.
#[derive(Clone, Debug)]
enum Call {
    Feed(FlowSide, Vec<u8>),
    Gap(FlowSide, Gap),
    Fin(FlowSide),
    Rst(FlowSide),
    Close(FlowSide, EndReason),
}

/// Remembers every call.
#[derive(Clone, Debug, Default)]
struct Tape(Vec<Call>);

impl SessionParser for Tape {
    type Message = Vec<Call>;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Vec<Call>> {
        self.0.push(Call::Feed(FlowSide::Initiator, bytes.to_vec()));
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Vec<Call>> {
        self.0.push(Call::Feed(FlowSide::Responder, bytes.to_vec()));
        Vec::new()
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _: &mut Context<'_, Vec<Call>>) -> GapAction {
        self.0.push(Call::Gap(side, gap));
        GapAction::Resume
    }

    fn fin(&mut self, side: FlowSide, _: &mut Context<'_, Vec<Call>>) {
        self.0.push(Call::Fin(side));
    }

    fn rst_initiator(&mut self) {
        self.0.push(Call::Rst(FlowSide::Initiator));
    }

    fn rst_responder(&mut self) {
        self.0.push(Call::Rst(FlowSide::Responder));
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, Vec<Call>>) {
        self.0.push(Call::Close(side, reason));
        if side == FlowSide::Responder {
            cx.emit(std::mem::take(&mut self.0));
        }
    }
}

/// Parsers of which the calls are those of an engine.
struct Replay {
    parser: L7Parser,
    offsets: [u64; 2],
    unwanted: [bool; 2],
    found: Vec<Found>,
}

impl Replay {
    /// What is found if no piece is longer than `size` says each time.
    fn of(calls: &[Call], mut size: impl FnMut() -> usize) -> (Vec<Found>, bool) {
        let parser = L7Parser::default();
        let mut replay = Self { parser, offsets: [0; 2], unwanted: [false; 2], found: Vec::new() };
        for call in calls {
            match call {
                Call::Feed(side, bytes) => {
                    let mut rest = &bytes[..];
                    while !rest.is_empty() {
                        let (piece, after) = rest.split_at(size().clamp(1, rest.len()));
                        replay.call(*side, piece.len() as u64, |parser, cx| {
                            parser.feed(*side, piece, cx);
                        });
                        rest = after;
                    }
                }
                Call::Gap(side, gap) => replay.call(*side, gap.len, |parser, cx| {
                    parser.gap(*side, *gap, cx);
                }),
                Call::Fin(side) => replay.call(*side, 0, |parser, cx| parser.fin(*side, cx)),
                Call::Rst(FlowSide::Initiator) => replay.parser.rst_initiator(),
                Call::Rst(FlowSide::Responder) => replay.parser.rst_responder(),
                Call::Close(..) if replay.unwanted == [true; 2] => {}
                Call::Close(side, reason) => {
                    replay.unwanted = [false; 2];
                    replay.call(*side, 0, |parser, cx| parser.close(*side, *reason, cx));
                }
            }
        }
        (replay.found, replay.parser.is_poisoned())
    }

    fn call(
        &mut self,
        side: FlowSide,
        len: u64,
        call: impl FnOnce(&mut L7Parser, &mut Context<'_, L7Message>),
    ) {
        let (mut pending, mut out) = (None, Vec::new());
        let at = Mark { offset: self.offsets[side.index()], packet: 1 };
        self.offsets[side.index()] += len;
        if self.unwanted[side.index()] || self.parser.is_poisoned() {
            return;
        }
        let (now, len) = (Timestamp::default(), usize::try_from(len).unwrap());
        let mut cx = Context::new(now, 1, side, at, len, &mut pending, &mut out);
        call(&mut self.parser, &mut cx);
        for side in FlowSide::BOTH {
            self.unwanted[side.index()] |= !self.parser.wants(side);
        }
        self.found.extend(out.into_iter().map(|p| (p.side, p.range, text(&p.message))));
    }
}

/// The packets through a driver with this parser; checksums say nothing of packets made up here.
fn drive<P: SessionParser + Default + Clone>(
    packets: impl IntoIterator<Item = Packet>,
    mut take: impl FnMut(SessionEvent<FiveTupleKey, P::Message>),
) {
    let mut driver = FlowSessionDriver::<_, P>::new(extractor()).with_config(config());
    for packet in packets {
        driver.track(packet.view()).for_each(&mut take);
    }
    driver.finish().for_each(&mut take);
}

fn config() -> FlowTrackerConfig {
    let mut config = FlowTrackerConfig::default();
    config.checksums = ChecksumPolicy::Never;
    config
}

#[test]
fn pieces_of_streams_do_not_matter() {
    let Some(captures) = captures() else { return };
    let (mut wrong, mut streams, mut messages) = (Vec::new(), 0, 0);
    for capture in captures {
        drive::<Tape>(capture.packets, |event| {
            let SessionEvent::Application { key, message: calls, .. } = event else { return };
            let expected = Replay::of(&calls, || usize::MAX);
            streams += 1;
            messages += expected.0.len();
            let mut dice = Dice(0x5eed);
            for (what, found) in [
                ("byte by byte", Replay::of(&calls, || 1)),
                ("at random", Replay::of(&calls, || 1 + dice.below(40))),
                ("in halves of segments", Replay::of(&calls, || 730)),
            ] {
                if found != expected {
                    let name = &capture.name;
                    wrong.push(difference(&format!("{name} {key} {what}"), &expected.0, &found.0));
                }
            }
        });
    }
    println!("{streams} connections, {messages} messages");
    assert!(messages > 1_000, "{messages} messages");
    assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
}

/// The first that is not the same.
fn difference<T: PartialEq + Debug>(what: &str, expected: &[T], found: &[T]) -> String {
    let at = expected.iter().zip(found).position(|(a, b)| a != b);
    let at = at.unwrap_or(expected.len().min(found.len()));
    let [expected, found] = [expected, found].map(|list| {
        let shown: String = format!("{:?}", list.get(at)).chars().take(300).collect();
        format!("{shown} of {}", list.len())
    });
    format!("{what}: {expected} became {found}")
}

/// What each connection says, side by side.
type Said = HashMap<FiveTupleKey, [Vec<(Range<u64>, String)>; 2]>;

fn said(packets: impl IntoIterator<Item = Packet>) -> Said {
    let mut all = Said::new();
    drive::<L7Parser>(packets, |event| {
        if let SessionEvent::Application { key, side, message, origin, .. } = event {
            all.entry(key).or_default()[side.index()].push((origin.range, text(&message)));
        }
    });
    all
}

/// The messages of these connections are the same after `change`.
fn same_messages(
    what: &str,
    connections: fn(&Capture, &[Session]) -> Vec<Session>,
    change: impl Fn(&Capture) -> Vec<Packet>,
) {
    let Some(captures) = captures() else { return };
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for capture in captures.into_iter().map(Capture::stamped) {
        let connections = connections(&capture, &capture.sessions());
        if connections.is_empty() {
            continue;
        }
        let expected = said(capture.packets.iter().cloned());
        let mut packets = change(&capture);
        stamp(&mut packets);
        let found = said(packets);
        for key in connections.iter().map(|session| session.key) {
            let [expected, found] =
                [&expected, &found].map(|said| said.get(&key).cloned().unwrap_or_default());
            for (expected, found) in expected.iter().zip(&found) {
                compared += expected.len();
                if expected != found {
                    wrong.push(difference(&format!("{} {key}", capture.name), expected, found));
                }
            }
        }
    }
    println!("{what}: {compared} messages");
    assert!(compared > 300, "{compared} messages");
    assert!(wrong.is_empty(), "{what}, {}: {wrong:#?}", wrong.len());
}

/// Payload of each connection that is cut into bytes.
const MAX_BYTES: usize = 20_000;

#[test]
fn segments_of_a_byte() {
    same_messages("byte by byte", Capture::undisturbed, |capture| {
        cut(capture, MAX_BYTES, |_| 1, false)
    });
}

#[test]
fn segments_cut_and_swapped() {
    same_messages("cut and swapped", Capture::sound, |capture| {
        cut(capture, usize::MAX, |len| len / 3 + 1, true)
    });
}

/// The payload of segments, up to `max` of each connection, in pieces as long as `size` says; each
/// in reverse order if they are `swapped`.
fn cut(capture: &Capture, max: usize, size: impl Fn(usize) -> usize, swapped: bool) -> Vec<Packet> {
    let mut sent: HashMap<FiveTupleKey, usize> = HashMap::new();
    let mut packets = Vec::new();
    for (packet, segment) in capture.packets.iter().zip(&capture.decoded) {
        let data = segment.as_ref().filter(|segment| segment.is_plain_data());
        let pieces = data.and_then(|segment| {
            let sent = sent.entry(segment.key).or_default();
            *sent += segment.len;
            if *sent > max {
                return None;
            }
            let parts = (0..segment.len).step_by(size(segment.len));
            let end = |start: usize| segment.len.min(start + size(segment.len));
            parts.map(|start| piece(packet, segment, start..end(start))).collect::<Option<Vec<_>>>()
        });
        match pieces {
            Some(pieces) if swapped => packets.extend(pieces.into_iter().rev()),
            Some(pieces) => packets.extend(pieces),
            None => packets.push(packet.clone()),
        }
    }
    packets
}

/// Counts what a handler was told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<String, usize>>>);

impl Told {
    fn note(&self, message: &dyn Debug) {
        *self.0.lock().unwrap().entry(format!("{message:?}")).or_default() += 1;
    }

    fn take(&self) -> BTreeMap<String, usize> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl HttpHandler for Told {
    fn on_request(&self, request: &HttpRequest) {
        self.note(request);
    }

    fn on_response(&self, response: &HttpResponse) {
        self.note(response);
    }
}

impl TlsHandler for Told {
    fn on_client_hello(&self, hello: &TlsClientHello) {
        self.note(hello);
    }

    fn on_server_hello(&self, hello: &TlsServerHello) {
        self.note(hello);
    }

    fn on_certificate(&self, chain: &TlsCertificateChain) {
        self.note(chain);
    }

    fn on_alert(&self, alert: &TlsAlert) {
        self.note(alert);
    }

    fn on_new_session_ticket(&self, ticket: &TlsNewSessionTicket) {
        self.note(ticket);
    }
}

impl DnsHandler for Told {
    fn on_query(&self, query: &DnsQuery) {
        self.note(query);
    }

    fn on_response(&self, response: &DnsResponse) {
        self.note(response);
    }

    fn on_unanswered(&self, query: &DnsPendingQuery) {
        self.note(query);
    }
}

/// Runs a callback face, the handler of which is `told`.
fn call_back(capture: &Capture, factory: impl ReassemblerFactory<FiveTupleKey>) {
    let mut driver: FlowDriver<_, _, ()> =
        FlowDriver::new(extractor(), factory).with_config(config());
    capture.packets.iter().for_each(|packet| driver.track(packet.view()).for_each(drop));
    driver.finish().for_each(drop);
}

#[test]
fn callback_faces_give_the_same_messages() {
    let Some(captures) = captures() else { return };
    let (mut wrong, mut messages) = (Vec::new(), 0);
    for capture in captures {
        let (called, typed) = (Told::default(), Told::default());
        let mut compare = |what: &str| {
            let (called, typed) = (called.take(), typed.take());
            messages += typed.values().sum::<usize>();
            if called != typed {
                let [called, typed] =
                    [called, typed].map(|all| all.into_iter().collect::<Vec<_>>());
                wrong.push(difference(&format!("{} {what}", capture.name), &typed, &called));
            }
        };
        call_back(&capture, HttpFactory::with_handler(called.clone()));
        drive::<HttpParser>(capture.packets.clone(), |event| {
            if let SessionEvent::Application { message, .. } = event {
                match message {
                    HttpMessage::Request(request) => typed.note(&request),
                    HttpMessage::Response(response) => typed.note(&response),
                    other => typed.note(&other),
                }
            }
        });
        compare("http");
        call_back(&capture, TlsFactory::with_handler(called.clone()));
        drive::<TlsParser>(capture.packets.clone(), |event| {
            if let SessionEvent::Application { message, .. } = event {
                match message {
                    TlsMessage::ClientHello(hello) => typed.note(&hello),
                    TlsMessage::ServerHello(hello) => typed.note(&hello),
                    TlsMessage::Certificate(chain) => typed.note(&chain),
                    TlsMessage::Alert(alert) => typed.note(&alert),
                    TlsMessage::NewSessionTicket(ticket) => typed.note(&ticket),
                    other => typed.note(&other),
                }
            }
        });
        compare("tls");
        let observer = DnsUdpObserver::with_handler(called.clone());
        let mut driver = FlowDatagramDriver::with_parser(extractor(), observer);
        capture.packets.iter().for_each(|packet| driver.track(packet.view()).for_each(drop));
        driver.finish().for_each(drop);
        let mut driver = FlowDatagramDriver::<_, DnsUdpTransactions>::new(extractor());
        let mut take = |event| {
            if let SessionEvent::Application { message, .. } = event {
                DnsMessage::dispatch(&message, &typed);
            }
        };
        capture.packets.iter().for_each(|packet| driver.track(packet.view()).for_each(&mut take));
        driver.finish().for_each(&mut take);
        compare("dns");
    }
    println!("{messages} messages");
    assert!(messages > 1_000, "{messages} messages");
    assert!(wrong.is_empty(), "{}: {wrong:#?}", wrong.len());
}
