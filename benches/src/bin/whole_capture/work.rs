//! The ways through the packets.

use std::hint::black_box;
use std::sync::Arc;

use flow::dns::DnsMessage;
use flow::extract::{FiveTuple, FiveTupleKey};
use flow::http::{BodyPolicy, HttpConfig, HttpMessage, HttpParser};
use flow::l7::{L7Config, L7DatagramParser, L7Message, L7Parser};
use flow::tls::TlsMessage;
use flow::{
    FlowDriver, FlowEvent, FlowExtractor, FlowProtocolDriver, FlowSessionDriver, FlowSide,
    FlowTracker, FlowTrackerConfig, Gap, OrderedReassembler, PacketView, ParserSet, PoisonPolicy,
    ProtocolMessage, ReassemblerFactory, SessionEngine, SessionEvent, StreamSink,
};
use flow_benches::{Deaf, Idle};
use serde_json::{Value, json};

use crate::measure::{Packets, Work};

/// Looks at no packet.
#[derive(Default)]
pub(crate) struct Iterate(u64);

impl Work for Iterate {
    #[inline]
    fn packet(&mut self, view: PacketView<'_>) {
        self.0 += black_box(view).frame.len() as u64;
    }

    fn finish(&mut self) -> Value {
        json!({"bytes": self.0})
    }
}

/// Finds the flow of each packet, and nothing more.
pub(crate) struct Extract<E> {
    extractor: E,
    extracted: u64,
}

impl<E: FlowExtractor> Extract<E> {
    pub(crate) fn new(extractor: E) -> Self {
        Self { extractor, extracted: 0 }
    }
}

impl<E: FlowExtractor> Work for Extract<E> {
    #[inline]
    fn packet(&mut self, view: PacketView<'_>) {
        self.extracted += u64::from(black_box(self.extractor.extract(view)).is_some());
    }

    fn finish(&mut self) -> Value {
        json!({"extracted": self.extracted})
    }
}

/// Reads every event of the tracker.
pub(crate) struct Track {
    tracker: FlowTracker<FiveTuple>,
    started: u64,
    ended: u64,
    packets: u64,
}

impl Track {
    pub(crate) fn new(config: FlowTrackerConfig) -> Self {
        let tracker = FlowTracker::new(FiveTuple::bidirectional()).with_config(config);
        Self { tracker, started: 0, ended: 0, packets: 0 }
    }
}

impl Work for Track {
    #[inline]
    fn packet(&mut self, view: PacketView<'_>) {
        for event in self.tracker.track(view) {
            match event {
                FlowEvent::Started { .. } => self.started += 1,
                FlowEvent::Ended { .. } => self.ended += 1,
                FlowEvent::Packet { .. } => self.packets += 1,
                _ => {}
            }
        }
    }

    fn finish(&mut self) -> Value {
        let ended = |event: &FlowEvent<_>| matches!(event, FlowEvent::Ended { .. });
        self.ended += self.tracker.finish().filter(ended).count() as u64;
        json!({"started": self.started, "ended": self.ended, "packet_events": self.packets})
    }
}

/// Tracks without an event.
pub(crate) struct Quiet(FlowTracker<FiveTuple>);

impl Quiet {
    pub(crate) fn new(config: FlowTrackerConfig) -> Self {
        Self(FlowTracker::new(FiveTuple::bidirectional()).with_config(config))
    }
}

impl Work for Quiet {
    #[inline]
    fn packet(&mut self, view: PacketView<'_>) {
        self.0.track_with(view, &mut Deaf);
    }

    fn finish(&mut self) -> Value {
        self.0.finish_with(&mut Deaf);
        json!({"started": self.0.stats().flows_started, "ended": self.0.stats().flows_ended})
    }
}

/// Tracks without an event, as many packets at a time as a network card's ring may have.
pub(crate) struct Batch(Quiet);

impl Batch {
    pub(crate) fn new(config: FlowTrackerConfig) -> Self {
        Self(Quiet::new(config))
    }
}

impl Work for Batch {
    fn packet(&mut self, view: PacketView<'_>) {
        self.0.packet(view);
    }

    fn packets(&mut self, mut packets: Packets<'_>) {
        const BATCH: usize = 64;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.clear();
            batch.extend(packets.by_ref().take(BATCH));
            if batch.is_empty() {
                return;
            }
            self.0.0.track_batch_with(&batch, &mut Deaf);
        }
    }

    fn finish(&mut self) -> Value {
        self.0.finish()
    }
}

/// Runs parsers, and hands every message to `take`.
pub(crate) struct Drive<T: ParserSet, F, C> {
    driver: SessionEngine<FiveTuple, T>,
    take: F,
    found: C,
    started: u64,
    ended: u64,
}

impl<T: ParserSet, F: Fn(&mut C, T::Message), C: Found> Drive<T, F, C> {
    fn new(driver: SessionEngine<FiveTuple, T>, found: C, take: F) -> Self {
        Self { driver, take, found, started: 0, ended: 0 }
    }
}

impl<T: ParserSet, F: Fn(&mut C, T::Message), C: Found> Work for Drive<T, F, C> {
    #[inline]
    fn packet(&mut self, view: PacketView<'_>) {
        let Self { driver, take, found, started, ended } = self;
        driver.track(view).for_each(|event| count(event, take, found, started, ended));
    }

    fn finish(&mut self) -> Value {
        let Self { driver, take, found, started, ended } = self;
        driver.finish().for_each(|event| count(event, take, found, started, ended));
        let mut counts = found.counts();
        counts["started"] = (*started).into();
        counts["ended"] = (*ended).into();
        counts
    }
}

#[inline]
fn count<M, C>(
    event: SessionEvent<FiveTupleKey, M>,
    take: &impl Fn(&mut C, M),
    found: &mut C,
    started: &mut u64,
    ended: &mut u64,
) {
    match event {
        SessionEvent::Started { .. } => *started += 1,
        SessionEvent::Application { message, .. } => take(found, message),
        SessionEvent::Closed { .. } => *ended += 1,
        _ => {}
    }
}

/// What parsers found, as it is printed.
pub(crate) trait Found {
    fn counts(&self) -> Value;
}

impl Found for () {
    fn counts(&self) -> Value {
        json!({})
    }
}

/// A parser that does nothing.
pub(crate) fn idle(config: FlowTrackerConfig) -> impl Work {
    let driver = FlowSessionDriver::<_, Idle>::new(FiveTuple::bidirectional());
    Drive::new(driver.with_config(config), (), |(), ()| {})
}

/// Looks at the bytes of a stream, in order.
struct Look;

impl StreamSink for Look {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        black_box(bytes);
    }

    fn gap(&mut self, gap: Gap) {
        black_box(gap);
    }

    fn end(&mut self, _offset: u64) {}
}

/// Puts all TCP streams in order.
pub(crate) struct Reassemble<F: ReassemblerFactory<FiveTupleKey>> {
    driver: FlowDriver<FiveTuple, F>,
    started: u64,
    ended: u64,
    delivered: u64,
    missing: u64,
}

pub(crate) fn reassemble(config: FlowTrackerConfig) -> impl Work {
    let factory = |_: &FiveTupleKey, _: FlowSide| OrderedReassembler::new(Look);
    let driver = FlowDriver::new(FiveTuple::bidirectional(), factory).with_config(config);
    let driver = driver.with_packet_events(false);
    Reassemble { driver, started: 0, ended: 0, delivered: 0, missing: 0 }
}

impl<F: ReassemblerFactory<FiveTupleKey>> Work for Reassemble<F> {
    #[inline]
    fn packet(&mut self, view: PacketView<'_>) {
        let Self { driver, started, ended, delivered, missing } = self;
        driver.track(view).for_each(|event| add(&event, [started, ended, delivered, missing]));
    }

    fn finish(&mut self) -> Value {
        let Self { driver, started, ended, delivered, missing } = self;
        driver.finish().for_each(|event| add(&event, [started, ended, delivered, missing]));
        json!({
            "started": self.started,
            "ended": self.ended,
            "stream_bytes": self.delivered,
            "missing_bytes": self.missing,
        })
    }
}

#[inline]
fn add(event: &FlowEvent<FiveTupleKey>, [started, ended, delivered, missing]: [&mut u64; 4]) {
    match event {
        FlowEvent::Started { .. } => *started += 1,
        FlowEvent::Ended { stats, .. } => {
            *ended += 1;
            for side in FlowSide::BOTH {
                *delivered += stats.tcp.side(side).delivered_bytes;
                *missing += stats.tcp.side(side).total_gap_bytes();
            }
        }
        _ => {}
    }
}

/// Messages by kind.
#[derive(Debug, Default)]
struct Messages {
    http: [u64; 2],
    http_body_bytes: u64,
    tls_hellos: [u64; 2],
    dns: [u64; 2],
    dns_answers: u64,
}

impl Messages {
    fn http(&mut self, message: &HttpMessage) {
        let (kind, body) = match message {
            HttpMessage::Request(request) => (0, request.body_len),
            HttpMessage::Response(response) => (1, response.body_len),
            _ => return,
        };
        self.http[kind] += 1;
        self.http_body_bytes += body;
    }

    fn dns(&mut self, message: &DnsMessage) {
        match message {
            DnsMessage::Query(_) => self.dns[0] += 1,
            DnsMessage::Response(response) => {
                self.dns[1] += 1;
                self.dns_answers += response.answers.len() as u64;
            }
            _ => {}
        }
    }

    fn any(&mut self, message: &L7Message) {
        match message {
            L7Message::Http(message) => self.http(message),
            L7Message::Tls(TlsMessage::ClientHello(_)) => self.tls_hellos[0] += 1,
            L7Message::Tls(TlsMessage::ServerHello(_)) => self.tls_hellos[1] += 1,
            L7Message::Dns(message) => self.dns(message),
            _ => {}
        }
    }
}

impl Found for Messages {
    fn counts(&self) -> Value {
        json!({
            "http_requests": self.http[0],
            "http_responses": self.http[1],
            "http_body_bytes": self.http_body_bytes,
            "client_hellos": self.tls_hellos[0],
            "server_hellos": self.tls_hellos[1],
            "dns_queries": self.dns[0],
            "dns_responses": self.dns[1],
            "dns_answers": self.dns_answers,
        })
    }
}

/// What the HTTP parser does with bodies.
fn http_config(body: BodyPolicy) -> HttpConfig {
    let mut config = HttpConfig::default();
    config.body = body;
    config
}

pub(crate) fn http(config: FlowTrackerConfig, body: BodyPolicy) -> impl Work {
    let parser = HttpParser::with_config(http_config(body));
    let driver = FlowSessionDriver::with_parser(FiveTuple::bidirectional(), parser);
    Drive::new(
        driver.with_config(config),
        Messages::default(),
        |found: &mut Messages, message: HttpMessage| found.http(&message),
    )
}

/// HTTP, TLS and DNS on any port, over TCP and UDP.
pub(crate) fn all(config: FlowTrackerConfig, body: BodyPolicy) -> impl Work {
    let protocols = Arc::new(L7Config::default().with_http(http_config(body)));
    let datagrams = L7DatagramParser::new(Arc::clone(&protocols));
    let streams: L7Parser = L7Parser::new(protocols);
    let driver = FlowProtocolDriver::with_parsers(FiveTuple::bidirectional(), streams, datagrams)
        .with_config(config)
        .with_poison_policy(PoisonPolicy::EndSession);
    Drive::new(driver, Messages::default(), |found: &mut Messages, message| match message {
        ProtocolMessage::Stream(message) | ProtocolMessage::Datagram(message) => {
            found.any(&message);
        }
    })
}
