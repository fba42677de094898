//! Engines in threads: the events of one, in the order of packets; what is read ahead; how it ends.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc as blocking;
use std::task::{Context, Poll, Waker};

use flow_core::{
    CaptureStats, Dedup, EndReason, FlowEvent, FlowRouter, FlowTracker, RoutedPacket, Tick,
    Timestamp, TrackerStats,
};
use flow_extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow_l7::{L7DatagramParser, L7Parser};
use flow_session::{FlowProtocolDriver, FlowSessionDriver, SessionEvent};
use flow_tokio::{
    CaptureFile, Error, Events, FanOut, FanOutConfig, OwnedPacket, PacketSource, Shard, Take,
};
use futures_util::stream::FusedStream as _;
use futures_util::{FutureExt as _, Stream, StreamExt as _};

use self::common::{Dice, Memory, fixture, fixtures, packets, run_on_threads, udp};

type Extractor = AutoDetectEncap<FiveTuple>;
type Protocols = FlowProtocolDriver<Extractor, L7Parser, L7DatagramParser>;

fn extractor() -> Extractor {
    AutoDetectEncap::new(FiveTuple::bidirectional().with_icmp_errors(true))
}

fn engine(_: usize) -> Protocols {
    Protocols::new(extractor()).with_emit_anomalies(true)
}

/// Rounds of a few packets.
fn small(rounds: usize) -> FanOutConfig {
    let mut config = FanOutConfig::default();
    config.round_packets = 3;
    config.rounds = rounds;
    config
}

/// Events with their flow, as text.
fn described<M: std::fmt::Debug>(event: &SessionEvent<FiveTupleKey, M>) -> [String; 2] {
    [format!("{:?}", event.key()), format!("{event:?}")]
}

/// All items, with futures that are dropped whenever they are not ready.
async fn all<T>(mut stream: impl Stream<Item = Result<T, Error>> + Unpin) -> Vec<T> {
    let mut items = Vec::new();
    loop {
        match stream.next().now_or_never() {
            Some(Some(item)) => items.push(item.unwrap()),
            Some(None) => return items,
            None => tokio::task::yield_now().await,
        }
    }
}

/// The events of each flow in their order: what a tick brings about comes shard by shard.
fn by_flow(events: impl IntoIterator<Item = [String; 2]>) -> BTreeMap<String, Vec<String>> {
    let mut flows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for [key, event] in events {
        flows.entry(key).or_default().push(event);
    }
    flows
}

/// Events come in the order of packets: the numbers of those that brought messages never go back.
fn in_order<M>(events: &[SessionEvent<FiveTupleKey, M>]) -> bool {
    let number = |event: &SessionEvent<_, M>| match event {
        SessionEvent::Application { origin, .. } => Some(origin.packet),
        _ => None,
    };
    events.iter().filter_map(number).is_sorted()
}

/// What engines in threads say of a capture is what one says; gives how much that is. `setups` are
/// numbers of shards, and of rounds under way.
fn check(file: &Path, setups: &[(usize, usize)]) -> usize {
    let packets = packets(&file.to_path_buf());
    let (mut alone, mut dedup) = (engine(0), Dedup::loopback());
    let mut expected: Vec<_> = Vec::new();
    for packet in &packets {
        if dedup.keep(packet.as_view()) {
            expected.extend(alone.track(packet.as_view()));
        } else {
            alone.pass_over();
        }
    }
    expected.extend(alone.finish());
    assert!(in_order(&expected));
    let by_flow_expected = by_flow(expected.iter().map(described));
    for &(shards, rounds) in setups {
        let source = Memory::hesitant(packets.clone(), Dice(7 + shards as u64));
        let router = FlowRouter::new(extractor(), shards).with_dedup(Dedup::loopback());
        let mut stream = FanOut::new(source, router, engine).unwrap().with_config(small(rounds));
        let found = run_on_threads(all(&mut stream));
        assert!(stream.is_terminated());
        assert!(in_order(&found), "{file:?}");
        assert_eq!(by_flow(found.iter().map(described)), by_flow_expected, "{file:?} {shards}");
        let mut stats = stream.tracker_stats();
        stats.flows_peak = alone.tracker().stats().flows_peak;
        assert_eq!(&stats, alone.tracker().stats(), "{file:?}");
    }
    expected.len()
}

#[test]
fn events_are_those_of_one_engine() {
    let setups = [(1, 1), (2, 3), (3, 1), (5, 2), (8, 3)];
    let events: usize = fixtures().iter().map(|file| check(file, &setups)).sum();
    assert!(events > 150, "{events}");
}

#[test]
fn in_the_corpus_too() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/pcaps");
    let Ok(files) = std::fs::read_dir(folder) else {
        println!("SKIPPED: no shared/corpus beside the checkout");
        return;
    };
    let is_whole = |file: &PathBuf| {
        let source = flow_pcap::PcapFlowSource::open(file);
        source.is_ok_and(|mut source| source.views().all(|view| view.is_ok()))
    };
    let mut files: Vec<_> = files.map(|entry| entry.unwrap().path()).collect();
    files.retain(is_whole);
    files.sort();
    let setup = |at: usize| (2 + at % 7, 1 + at / 7 % 3);
    let checked = files.iter().enumerate().map(|(at, file)| check(file, &[setup(at)]));
    let events: usize = checked.sum();
    println!("{events} events of {} captures", files.len());
    assert!(events > 1_000);
}

/// However the threads run.
#[test]
fn the_order_is_the_same_each_time() {
    let file = fixture("http_get.pcap");
    let order = || {
        let router = FlowRouter::new(extractor(), 4).with_seed(3);
        let stream = FanOut::new(CaptureFile::open(&file).unwrap(), router, engine).unwrap();
        let events = run_on_threads(all(stream.with_config(small(2))));
        events.iter().map(described).collect::<Vec<_>>()
    };
    let first = order();
    (0..20).for_each(|_| assert_eq!(order(), first));
}

fn datagrams(count: u16) -> Vec<OwnedPacket> {
    (0..count).map(|port| udp([1_000 + port, 9], b"x", Timestamp::new(1, 0))).collect()
}

fn tracker(_: usize) -> FlowTracker<FiveTuple> {
    FlowTracker::new(FiveTuple::bidirectional())
}

#[test]
fn reads_as_far_ahead_as_its_rounds() {
    let source = Memory::new(datagrams(1_000));
    let read = source.read.clone();
    let router = FlowRouter::new(FiveTuple::bidirectional(), 2);
    let mut stream = FanOut::new(source, router, tracker).unwrap().with_config(small(3));
    run_on_threads(async {
        for taken in 0..200 {
            stream.next().await.unwrap().unwrap();
            tokio::task::yield_now().await;
            // Each packet begins a flow: two events. The round that this one is of, and two more.
            let round = taken / (2 * 6);
            let packets = read.load(Ordering::SeqCst);
            assert!(packets <= (round + 3) * 6, "{packets} after {taken} events");
        }
    });
    assert!(read.load(Ordering::SeqCst) >= 100);
}

/// What tells when it is gone.
struct Watched {
    tracker: FlowTracker<FiveTuple>,
    /// The packet in which it panics.
    poison: u64,
    _gone: blocking::Sender<()>,
}

impl Shard for Watched {
    type Key = FiveTupleKey;
    type Event = FlowEvent<FiveTupleKey>;

    fn track_routed(
        &mut self,
        packet: &RoutedPacket<FiveTupleKey>,
        frame: &[u8],
        events: &mut Events<Self::Event>,
    ) {
        assert_ne!(packet.number(), self.poison, "poisoned by {}", packet.number());
        events.extend(self.tracker.track_routed(packet, frame));
    }

    fn track_quoted(
        &mut self,
        _: &RoutedPacket<FiveTupleKey>,
        _: &[u8],
        _: &mut Events<Self::Event>,
    ) -> bool {
        false
    }

    fn advance(&mut self, tick: &Tick, events: &mut Events<Self::Event>) {
        events.extend(self.tracker.advance(tick));
    }

    fn finish_at(&mut self, tick: &Tick, events: &mut Events<Self::Event>) {
        events.extend(self.tracker.finish_at(tick));
    }

    fn stats(&self) -> &TrackerStats {
        self.tracker.stats()
    }
}

/// A stream, and what fails to receive when all of its threads have ended.
fn watched(
    packets: Vec<OwnedPacket>,
    poison: u64,
) -> (FanOut<Memory, FiveTuple, Watched>, blocking::Receiver<()>) {
    let (gone, all_gone) = blocking::channel();
    let router = FlowRouter::new(FiveTuple::bidirectional(), 4);
    let shard = |number| Watched { tracker: tracker(number), poison, _gone: gone.clone() };
    let stream = FanOut::new(Memory::new(packets), router, shard).unwrap();
    (stream.with_config(small(3)), all_gone)
}

#[test]
fn threads_end_with_the_stream() {
    let (mut stream, all_gone) = watched(datagrams(500), 0);
    run_on_threads(async { stream.next().await.unwrap().unwrap() });
    assert_eq!(all_gone.try_recv(), Err(blocking::TryRecvError::Empty));
    drop(stream);
    assert!(all_gone.recv().is_err());
    // Nobody has ever asked for anything.
    let (stream, all_gone) = watched(datagrams(500), 0);
    drop(stream);
    assert!(all_gone.recv().is_err());
}

#[test]
fn a_panic_is_an_error_and_the_last_item() {
    let (mut stream, all_gone) = watched(datagrams(500), 200);
    let items = run_on_threads(async {
        let mut items = Vec::new();
        while let Some(item) = stream.next().await {
            items.push(item);
        }
        items
    });
    let (last, events) = items.split_last().unwrap();
    assert!(events.iter().all(Result::is_ok));
    // Two events a packet, of the rounds in front of its own.
    assert!(events.len() >= 2 * (199 - 12), "{}", events.len());
    let Err(Error::Panicked { message, .. }) = last else { panic!("{last:?}") };
    assert!(message.contains("poisoned by 200"), "{message}");
    assert!(stream.is_terminated());
    assert!(all_gone.recv().is_err());
}

/// Fails in the middle, then at the end.
struct Failing {
    inner: Memory,
    fails_at: usize,
}

impl PacketSource for Failing {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        if self.inner.packets.len() <= self.fails_at {
            self.fails_at = 0;
            return Poll::Ready(Some(Err(std::io::Error::other("broken").into())));
        }
        let mut one = |packet: flow_tokio::SourcePacket<'_>| {
            let _ = take(packet);
            std::ops::ControlFlow::Break(())
        };
        self.inner.poll_packets(cx, &mut one)
    }

    fn is_terminated(&self) -> bool {
        self.inner.packets.is_empty()
    }

    fn capture_stats(&mut self) -> CaptureStats {
        self.inner.capture_stats()
    }
}

#[test]
fn errors_come_in_their_place() {
    let source = Failing { inner: Memory::new(datagrams(20)), fails_at: 8 };
    let router = FlowRouter::new(FiveTuple::bidirectional(), 3);
    let mut stream = FanOut::new(source, router, tracker).unwrap();
    let items = run_on_threads(async {
        let mut items = String::new();
        while let Some(item) = stream.next().await {
            items.push(match item {
                Ok(FlowEvent::Started { .. }) => 's',
                Ok(FlowEvent::Packet { .. }) => 'p',
                Ok(FlowEvent::Ended { reason: EndReason::EndOfInput, .. }) => 'e',
                Ok(event) => panic!("{event:?}"),
                Err(_) => '!',
            });
        }
        items
    });
    let expected = ["sp".repeat(12), "!".into(), "sp".repeat(8), "e".repeat(20), "!".into()];
    assert_eq!(items, expected.concat());
}

/// Idle flows of a source that is silent end by timer; the rest when somebody says so.
#[test]
fn a_live_source_that_is_silent() {
    let router = FlowRouter::new(FiveTuple::bidirectional(), 2);
    let mut config = flow_core::FlowTrackerConfig::default();
    config.idle_timeout_udp = std::time::Duration::from_millis(20);
    config.sweep_interval = std::time::Duration::from_millis(5);
    let router = router.with_config(&config);
    let shard = |number| tracker(number).with_config(config.clone());
    let mut stream = FanOut::new(Memory::live(datagrams(7)), router, shard).unwrap();
    let mut reasons = Vec::new();
    run_on_threads(async {
        while reasons.len() < 7 {
            if let FlowEvent::Ended { reason, .. } = stream.next().await.unwrap().unwrap() {
                reasons.push(reason);
            }
        }
        assert!(reasons.iter().all(|&reason| reason == EndReason::IdleTimeout), "{reasons:?}");
        let mut cx = Context::from_waker(Waker::noop());
        assert!(stream.poll_next_unpin(&mut cx).is_pending());
        stream.finish();
        assert!(stream.next().await.is_none());
    });
}

/// Sessions that only one shard has are numbered among the flows of all.
#[test]
fn a_session_driver_alone_fits_too() {
    let router = FlowRouter::new(FiveTuple::bidirectional(), 3);
    let file = CaptureFile::open(fixture("http_pipelined_chunked.pcap")).unwrap();
    let shard = |_| FlowSessionDriver::<_, flow_http::HttpParser>::new(FiveTuple::bidirectional());
    let stream = FanOut::new(file, router, shard).unwrap();
    let events = run_on_threads(all(stream));
    assert!(events.iter().any(|event| matches!(event, SessionEvent::Application { .. })));
}
