//! What a packet of a capture costs in processor time, and what is found in it.
//!
//! Usage: `whole_capture CAPTURE`. Prints a JSON line for each of five modes, from extraction
//! alone to flows, streams, HTTP, TLS and DNS together: packets, nanoseconds of processor time
//! per packet, and what was found. The file is mapped and every byte of it touched beforehand,
//! so that reading it is not measured.

#![allow(clippy::print_stdout)]

mod any_protocol;

use std::error::Error;
use std::hint::black_box;

use flow::dns::{DnsMessage, DnsUdpTransactions};
use flow::extract::{FiveTuple, FiveTupleKey};
use flow::http::{HttpMessage, HttpParser};
use flow::pcap::{CapturedPacket, PcapFlowSource};
use flow::tls::TlsMessage;
use flow::{
    Context, EndReason, Flow, FlowExtractor, FlowProtocolDriver, FlowSessionDriver, FlowSide,
    FlowSink, FlowTracker, Gap, GapAction, ParserSet, PoisonPolicy, ProtocolMessage, SessionEngine,
    SessionEvent, SessionParser,
};
use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};

use crate::any_protocol::{AnyMessage, AnyProtocol};

/// A way through the packets, and what it found.
type Mode = fn(&[CapturedPacket<'_>]) -> Value;

const MODES: [(&str, Mode); 5] = [
    ("extract", extract),
    ("track", track),
    ("reassemble", reassemble),
    ("http", http),
    ("all", all),
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: whole_capture CAPTURE")?;
    let mut source = PcapFlowSource::open(path)?;
    let packets = source.views().collect::<Result<Vec<_>, _>>()?;
    black_box(packets.iter().map(touch).fold(0, u64::wrapping_add));
    for (mode, run) in MODES {
        let before = processor_nanos();
        let found = run(&packets);
        let nanos = processor_nanos() - before;
        let per_packet = nanos as f64 / packets.len() as f64;
        let count = packets.len();
        println!(
            "{}",
            json!({"mode": mode, "packets": count, "ns_per_packet": per_packet, "found": found})
        );
    }
    Ok(())
}

fn touch(packet: &CapturedPacket<'_>) -> u64 {
    packet.as_view().frame.iter().map(|&byte| u64::from(byte)).sum()
}

/// Processor time that this process has taken, in nanoseconds.
fn processor_nanos() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn extract(packets: &[CapturedPacket<'_>]) -> Value {
    let extractor = FiveTuple::bidirectional();
    let found = packets.iter().filter(|packet| extractor.extract(packet.as_view()).is_some());
    json!({"with_flow": found.count()})
}

fn track(packets: &[CapturedPacket<'_>]) -> Value {
    #[derive(Default)]
    struct Flows(u64);

    impl<K, S> FlowSink<K, S> for Flows {
        fn ended(&mut self, _: &mut Flow<K, S>, _: EndReason, _: flow::Timestamp) {
            self.0 += 1;
        }
    }

    let (mut tracker, mut flows) = (FlowTracker::new(FiveTuple::bidirectional()), Flows(0));
    packets.iter().for_each(|packet| tracker.track_with(packet.as_view(), &mut flows));
    tracker.finish_with(&mut flows);
    json!({"flows": flows.0})
}

/// Counts the bytes of both streams.
#[derive(Clone, Debug, Default)]
struct ByteCount {
    delivered: u64,
    missing: u64,
}

impl SessionParser for ByteCount {
    type Message = Self;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Self> {
        self.delivered += bytes.len() as u64;
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Self> {
        self.feed_initiator(bytes)
    }

    fn gap(&mut self, _: FlowSide, gap: Gap, _: &mut Context<'_, Self>) -> GapAction {
        self.missing += gap.len;
        GapAction::Resume
    }

    fn close(&mut self, side: FlowSide, _: EndReason, cx: &mut Context<'_, Self>) {
        if side == FlowSide::Responder {
            cx.emit(self.clone());
        }
    }
}

fn reassemble(packets: &[CapturedPacket<'_>]) -> Value {
    let driver = FlowSessionDriver::<_, ByteCount>::new(FiveTuple::bidirectional());
    let mut sum = ByteCount::default();
    let sessions = drive(driver, packets, |count| {
        sum.delivered += count.delivered;
        sum.missing += count.missing;
    });
    json!({"tcp_flows": sessions, "delivered_bytes": sum.delivered, "missing_bytes": sum.missing})
}

/// Messages by kind.
#[derive(Debug, Default)]
struct Messages {
    http: [u64; 2],
    tls_client_hellos: u64,
    tls_server_hellos: u64,
    dns: [u64; 2],
}

impl Messages {
    fn http(&mut self, message: &HttpMessage) {
        self.http[usize::from(matches!(message, HttpMessage::Response(_)))] += 1;
    }

    fn dns(&mut self, message: &DnsMessage) {
        match message {
            DnsMessage::Query(_) => self.dns[0] += 1,
            DnsMessage::Response(_) => self.dns[1] += 1,
            _ => {}
        }
    }

    fn any(&mut self, message: &AnyMessage) {
        match message {
            AnyMessage::Http(message) => self.http(message),
            AnyMessage::Tls(TlsMessage::ClientHello(_)) => self.tls_client_hellos += 1,
            AnyMessage::Tls(TlsMessage::ServerHello(_)) => self.tls_server_hellos += 1,
            AnyMessage::Tls(_) => {}
            AnyMessage::Dns(message) => self.dns(message),
        }
    }
}

fn http(packets: &[CapturedPacket<'_>]) -> Value {
    let driver = FlowSessionDriver::<_, HttpParser>::new(FiveTuple::bidirectional());
    let mut messages = Messages::default();
    let sessions = drive(driver, packets, |message| messages.http(&message));
    let [requests, responses] = messages.http;
    json!({"tcp_flows": sessions, "http_requests": requests, "http_responses": responses})
}

fn all(packets: &[CapturedPacket<'_>]) -> Value {
    type Driver = FlowProtocolDriver<FiveTuple, AnyProtocol, DnsUdpTransactions>;
    let mut messages = Messages::default();
    let driver =
        Driver::new(FiveTuple::bidirectional()).with_poison_policy(PoisonPolicy::EndSession);
    let sessions = drive(driver, packets, |message| match message {
        ProtocolMessage::Stream(message) => messages.any(&message),
        ProtocolMessage::Datagram(message) => messages.dns(&message),
    });
    json!({
        "sessions": sessions,
        "http_requests": messages.http[0],
        "http_responses": messages.http[1],
        "tls_client_hellos": messages.tls_client_hellos,
        "tls_server_hellos": messages.tls_server_hellos,
        "dns_queries": messages.dns[0],
        "dns_responses": messages.dns[1],
    })
}

/// Hands every message to `take`; the number of sessions.
fn drive<T: ParserSet>(
    mut driver: SessionEngine<FiveTuple, T>,
    packets: &[CapturedPacket<'_>],
    mut take: impl FnMut(T::Message),
) -> u64 {
    let mut closed = 0;
    let mut handle = |event: SessionEvent<FiveTupleKey, T::Message>| match event {
        SessionEvent::Application { message, .. } => take(message),
        SessionEvent::Closed { .. } => closed += 1,
        _ => {}
    };
    for packet in packets {
        driver.track(packet.as_view()).for_each(&mut handle);
    }
    driver.finish().for_each(&mut handle);
    closed
}
