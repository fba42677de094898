//! Streams of events: the same as without them, however they are polled; when they read, wait, end.

#![allow(clippy::unwrap_used)]

mod common;

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use flow_core::{Dedup, EndReason, FlowEvent, FlowTracker, Timestamp};
use flow_extract::{AutoDetectEncap, FiveTuple};
use flow_l7::{L7DatagramParser, L7Parser};
use flow_session::{FlowProtocolDriver, SessionEvent};
use flow_tokio::{CaptureFile, MAX_PACKETS_PER_POLL, OwnedPacket, PacketSource, StreamSource};
use futures_util::stream::FusedStream as _;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use tokio::sync::mpsc;

use self::common::{Connection, Dice, Memory, fixtures, packets, run, run_on_threads, udp};

fn extractor() -> AutoDetectEncap<FiveTuple> {
    AutoDetectEncap::new(FiveTuple::bidirectional())
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::new(seconds, 0)
}

/// All items, each as text.
async fn texts<T: std::fmt::Debug>(
    mut stream: impl Stream<Item = Result<T, flow_tokio::Error>> + Unpin,
) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(item) = stream.next().await {
        texts.push(format!("{:?}", item.unwrap()));
    }
    texts
}

/// The same with futures that are dropped whenever they are not ready.
async fn texts_impatiently<T: std::fmt::Debug>(
    mut stream: impl Stream<Item = Result<T, flow_tokio::Error>> + Unpin,
) -> Vec<String> {
    let mut texts = Vec::new();
    loop {
        match stream.next().now_or_never() {
            Some(Some(item)) => texts.push(format!("{:?}", item.unwrap())),
            Some(None) => return texts,
            None => tokio::task::yield_now().await,
        }
    }
}

#[test]
fn flow_events_are_those_of_the_tracker() {
    for path in fixtures() {
        let mut tracker = FlowTracker::new(extractor());
        let mut expected: Vec<String> = Vec::new();
        for packet in packets(&path) {
            expected.extend(tracker.track(packet.as_view()).map(|event| format!("{event:?}")));
        }
        expected.extend(tracker.finish().map(|event| format!("{event:?}")));

        let file = CaptureFile::open(&path).unwrap().flow_stream(extractor());
        assert_eq!(run(texts(file)), expected, "{path:?}");
        let hesitant = Memory::hesitant(packets(&path), Dice(7)).flow_stream(extractor());
        assert_eq!(run(texts_impatiently(hesitant)), expected, "{path:?}");
        // Read by a thread.
        let reader = std::fs::File::open(&path).unwrap();
        let file = CaptureFile::from_reader(reader).unwrap().flow_stream(extractor());
        assert_eq!(run_on_threads(texts_impatiently(file)), expected, "{path:?}");
    }
}

#[test]
fn messages_are_those_of_the_driver() {
    let mut messages = 0;
    for path in fixtures() {
        let (tcp, udp) = (<L7Parser>::default(), <L7DatagramParser>::default());
        let mut driver = FlowProtocolDriver::with_parsers(extractor(), tcp, udp)
            .with_emit_anomalies(true)
            .with_dedup(Dedup::loopback());
        let mut expected: Vec<String> = Vec::new();
        for packet in packets(&path) {
            expected.extend(driver.track(packet.as_view()).map(|event| format!("{event:?}")));
        }
        expected.extend(driver.finish().map(|event| format!("{event:?}")));
        messages += expected.iter().filter(|event| event.starts_with("Application")).count();

        // Configured before and after the parsers are known.
        let stream = Memory::hesitant(packets(&path), Dice(11))
            .flow_stream(extractor())
            .with_emit_anomalies(true)
            .with_dedup(Dedup::loopback())
            .protocol_stream(<L7Parser>::default(), <L7DatagramParser>::default());
        assert_eq!(run(texts(stream)), expected, "{path:?}");
        let stream = CaptureFile::open(&path)
            .unwrap()
            .flow_stream(extractor())
            .protocol_stream(<L7Parser>::default(), <L7DatagramParser>::default())
            .with_emit_anomalies(true)
            .with_dedup(Dedup::loopback());
        assert_eq!(run(texts_impatiently(stream)), expected, "{path:?}");
    }
    assert!(messages > 30, "{messages}");
}

#[test]
fn channels_and_streams_are_sources() {
    let path = common::fixture("http_get.pcap");
    let expected = run(texts(CaptureFile::open(&path).unwrap().flow_stream(extractor())));
    let of_stream = StreamSource::new(futures_util::stream::iter(packets(&path)));
    assert_eq!(run(texts(of_stream.flow_stream(extractor()))), expected);
    let of_channel = run(async {
        let (sender, receiver) = mpsc::channel(2);
        let feeder = tokio::spawn(async move {
            for packet in packets(&path) {
                sender.send(packet).await.unwrap();
            }
        });
        let events = texts(receiver.flow_stream(extractor())).await;
        feeder.await.unwrap();
        events
    });
    assert_eq!(of_channel, expected);
}

#[test]
fn an_error_of_a_stream_does_not_end_it() {
    let packet = |ts| Ok(udp([1, 2], b"x", at(ts)));
    let items = vec![packet(1), Err("lost the cable"), packet(2)];
    let mut events = StreamSource::new(futures_util::stream::iter(items))
        .flow_stream(extractor())
        .with_packet_events(false);
    run(async {
        assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
        assert_eq!(events.next().await.unwrap().unwrap_err().to_string(), "lost the cable");
        let Some(Ok(FlowEvent::Ended { stats, .. })) = events.next().await else { panic!() };
        assert_eq!(stats.packets_initiator, 2);
        assert!(events.next().await.is_none() && events.is_terminated());
    });
}

#[test]
fn damage_is_the_last_item() {
    let mut bytes = std::fs::read(common::fixture("http_get.pcap")).unwrap();
    bytes.truncate(bytes.len() - 5);
    let file = CaptureFile::from_reader(std::io::Cursor::new(bytes)).unwrap();
    let items: Vec<_> = run_on_threads(file.flow_stream(extractor()).collect());
    let (last, events) = items.split_last().unwrap();
    assert!(last.as_ref().unwrap_err().to_string().contains("cut short"), "{last:?}");
    assert!(matches!(events.last(), Some(Ok(FlowEvent::Ended { .. }))));
    assert!(events.iter().all(Result::is_ok));
}

#[test]
fn nothing_is_read_while_events_wait() {
    let source = Memory::new((0..10).map(|i| udp([i, 53], b"x", at(1))));
    let read = source.read.clone();
    let mut events = source.flow_stream(extractor());
    run(async {
        // Each packet begins a flow: two events.
        for packet in 1..=10 {
            assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
            assert_eq!(read.load(Ordering::SeqCst), packet);
            assert!(matches!(events.next().await, Some(Ok(FlowEvent::Packet { .. }))));
            assert_eq!(read.load(Ordering::SeqCst), packet);
        }
    });
}

#[test]
fn a_poll_has_a_bound() {
    let source = Memory::new((0..1_000).map(|_| udp([1, 2], b"x", at(1))));
    let read = source.read.clone();
    let events = source.flow_stream(extractor()).with_packet_events(false);
    let mut events = pin!(events.skip(1));
    let mut cx = Context::from_waker(Waker::noop());
    for poll in 1..=3 {
        assert!(matches!(events.as_mut().poll_next(&mut cx), Poll::Pending));
        // The first packet is the event that was skipped.
        assert_eq!(read.load(Ordering::SeqCst), poll * MAX_PACKETS_PER_POLL + 1);
    }
}

#[test]
fn a_silent_live_source_ends_flows_by_timer() {
    run(async {
        let packets = [udp([1, 2], b"x", at(1_000)), udp([1, 2], b"x", at(1_010))];
        let mut events = Memory::live(packets).flow_stream(extractor()).with_packet_events(false);
        let begin = tokio::time::Instant::now();
        assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
        let Some(Ok(FlowEvent::Ended { reason, stats, .. })) = events.next().await else {
            panic!()
        };
        assert_eq!((reason, stats.last_seen), (EndReason::IdleTimeout, at(1_010)));
        let waited = begin.elapsed();
        assert!((60..=63).contains(&waited.as_secs()), "{waited:?}");
        assert_eq!((events.active_flows(), events.source_index()), (0, None));
        // With no flow there is nothing to wait for.
        let forever = tokio::time::timeout(Duration::from_secs(9_999), events.next());
        assert!(forever.await.is_err());
    });
}

#[test]
fn a_damaged_time_ends_nothing_when_it_is_silent() {
    run(async {
        let packets = [udp([1, 2], b"x", at(1_000)), udp([1, 2], b"x", at(u32::MAX))];
        let mut events = Memory::live(packets).flow_stream(extractor()).with_packet_events(false);
        let begin = tokio::time::Instant::now();
        assert_eq!(events.by_ref().take(2).count().await, 2);
        let waited = begin.elapsed();
        assert!((60..200).contains(&waited.as_secs()), "{waited:?}");
    });
}

#[test]
fn a_replay_never_looks_at_the_clock() {
    run(async {
        let (sender, receiver) = mpsc::channel(2);
        let mut events = receiver.flow_stream(extractor()).with_packet_events(false);
        sender.send(udp([1, 2], b"x", at(1_000))).await.unwrap();
        assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
        let hours = tokio::time::timeout(Duration::from_secs(9_999), events.next());
        assert!(hours.await.is_err());
        sender.send(udp([1, 2], b"x", at(1_001))).await.unwrap();
        drop(sender);
        let Some(Ok(FlowEvent::Ended { reason, stats, .. })) = events.next().await else {
            panic!()
        };
        assert_eq!((reason, stats.packets_initiator), (EndReason::EndOfInput, 2));
    });
}

#[test]
fn a_channel_that_is_fed_live_says_so() {
    run(async {
        let (sender, receiver) = mpsc::channel(2);
        let mut events = receiver.flow_stream(extractor()).with_idle_timer(true);
        sender.send(udp([1, 2], b"x", at(1_000))).await.unwrap();
        let ended = events.by_ref().skip(2).next().await;
        assert!(matches!(ended, Some(Ok(FlowEvent::Ended { reason: EndReason::IdleTimeout, .. }))));
    });
}

#[test]
fn finish_ends_every_flow() {
    run(async {
        let packets = (0..5).map(|i| udp([i, 53], b"x", at(1)));
        let mut events = Memory::live(packets).flow_stream(extractor()).with_packet_events(false);
        assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
        events.finish();
        // What was read before counts; nothing more is read.
        let rest: Vec<_> = events.by_ref().map(Result::unwrap).collect().await;
        assert!(matches!(&rest[..], [FlowEvent::Ended { .. }]), "{rest:?}");
        assert_eq!(events.source().packets.len(), 4);
        assert!(events.is_terminated());
    });
}

#[test]
fn state_and_timeouts_are_the_users() {
    let stream = Memory::new([udp([7, 53], b"x", at(1)), udp([8, 53], b"x", at(20))])
        .flow_stream(extractor())
        .with_idle_timeout_fn(|_, _| Some(Duration::from_secs(5)))
        .with_state(|key: &flow_extract::FiveTupleKey| key.a.port().min(key.b.port()));
    let mut events = stream.datagram_stream(<L7DatagramParser>::default());
    run(async {
        let Some(Ok(SessionEvent::Started { key, .. })) = events.next().await else { panic!() };
        assert_eq!(events.tracker().get(&key).unwrap().user.user, 7);
        assert_eq!(events.snapshot_flow_stats().count(), 1);
        let Some(Ok(SessionEvent::Closed { reason, .. })) = events.next().await else { panic!() };
        assert_eq!(reason, EndReason::IdleTimeout);
        assert_eq!(events.by_ref().count().await, 2);
        assert_eq!(events.tracker_stats().packets, 2);
    });
}

#[test]
fn what_is_configured_first_holds_for_sessions_too() {
    let packets = || [udp([7, 53], b"x", at(10)), udp([8, 53], b"x", at(5))];
    let last = |monotonic| {
        let flows = Memory::new(packets()).flow_stream(extractor());
        let flows = flows.with_monotonic_timestamps(monotonic).with_state(|_| ());
        let events = flows.datagram_stream(<L7DatagramParser>::default());
        let started = |text: &String| text.starts_with("Started");
        run(texts(events)).into_iter().rfind(started).unwrap()
    };
    assert!(last(true).contains(&format!("{:?}", at(10))), "{}", last(true));
    assert!(last(false).contains(&format!("{:?}", at(5))), "{}", last(false));
}

#[test]
fn sources_count_what_they_read() {
    let path = common::fixture("http_get.pcap");
    let all = packets(&path).len() as u64;
    let mut file = CaptureFile::open(&path).unwrap().flow_stream(extractor());
    let items = futures_util::stream::iter(packets(&path));
    let mut stream = StreamSource::new(items).flow_stream(extractor());
    run(async {
        assert!(file.by_ref().count().await > 0 && stream.by_ref().count().await > 0);
    });
    assert_eq!([file.capture_stats().received, stream.capture_stats().received], [all; 2]);
}

#[test]
fn a_future_that_is_dropped_loses_nothing() {
    let (mut connection, mut packets) = Connection::open(1_000, at(1));
    packets.extend((0..200).map(|_| connection.send(0, common::ACK, b"0123456789", at(1))));
    packets.extend(connection.close(at(2)));
    let expected = run(texts(Memory::new(packets.clone()).flow_stream(extractor())));
    let (events, dropped) = run_dropping(packets);
    assert_eq!(events, expected);
    assert!(dropped > 10, "{dropped}");
}

/// The events, and how many futures were dropped while they waited.
fn run_dropping(packets: Vec<OwnedPacket>) -> (Vec<String>, usize) {
    let mut dice = Dice(99);
    let mut stream = Memory::hesitant(packets, Dice(3)).flow_stream(extractor());
    run(async {
        let (mut events, mut dropped) = (Vec::new(), 0);
        loop {
            let delay = Duration::from_nanos(dice.below(3) as u64);
            tokio::select! {
                biased;
                item = stream.next() => match item {
                    Some(item) => events.push(format!("{:?}", item.unwrap())),
                    None => return (events, dropped),
                },
                () = tokio::time::sleep(delay) => dropped += 1,
            }
        }
    })
}

#[test]
fn one_wrong_time_before_a_silence_ends_no_flow() {
    for wrong in [at(1), at(u32::MAX)] {
        run(async {
            let packets = [udp([1, 2], b"x", at(1_000_000_000)), udp([3, 4], b"x", wrong)];
            let mut events =
                Memory::live(packets).flow_stream(extractor()).with_packet_events(false);
            let begin = tokio::time::Instant::now();
            assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
            assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
            let Some(Ok(FlowEvent::Ended { stats, .. })) = events.next().await else { panic!() };
            assert_eq!(stats.started, at(1_000_000_000));
            let waited = begin.elapsed();
            assert!((60..=63).contains(&waited.as_secs()), "{waited:?} after {wrong:?}");
        });
    }
}

#[test]
fn every_sweep_interval_will_do() {
    for interval in [Duration::ZERO, Duration::MAX] {
        run(async {
            let mut config = common::config();
            config.sweep_interval = interval;
            let mut events = Memory::live([udp([1, 2], b"x", at(1_000))])
                .flow_stream(extractor())
                .with_config(config)
                .with_packet_events(false);
            assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
            let turns = std::cell::Cell::new(0);
            let mut polls = pin!(futures_util::future::poll_fn(|cx| {
                turns.set(turns.get() + 1);
                events.poll_next_unpin(cx)
            }));
            let soon = tokio::time::timeout(Duration::from_millis(100), polls.as_mut()).await;
            assert!(soon.is_err());
            assert!(turns.get() < 200, "{} turns in 100 ms", turns.get());
        });
    }
}

#[test]
fn state_leaves_the_rest_as_it_was() {
    let packets = [udp([7, 53], b"x", at(1)), udp([7, 53], b"x", at(1))];
    let events = Memory::new(packets)
        .flow_stream(extractor())
        .with_packet_events(false)
        .with_state(|_: &flow_extract::FiveTupleKey| 7);
    assert_eq!(run(events.count()), 2);
}

/// Everything can be handed to another task, and moved while it is used.
#[test]
fn streams_can_be_sent() {
    fn check<T: Send + Unpin>(_: T) {}
    let flows = || Memory::new([]).flow_stream(extractor());
    check(flows());
    check(flows().with_source_index());
    check(flows().protocol_stream(<L7Parser>::default(), <L7DatagramParser>::default()));
    let mut conversations = flows().conversations();
    check(async { conversations.next().await.is_none() }.boxed());
    check(conversations);
    let path = common::fixture("http_get.pcap");
    check(flow_tokio::Merged::new([CaptureFile::open(&path).unwrap()]));
    check(flow_tokio::Tap::new(CaptureFile::open(path).unwrap(), Vec::new()));
    check(None::<flow_tokio::Conversation<flow_extract::FiveTupleKey>>);
}

#[test]
fn a_file_that_is_read_lets_others_run() {
    run(async {
        let mut events = Memory::new((0..1_000).map(|port| udp([port, 53], b"x", at(1))))
            .flow_stream(extractor());
        let other = tokio::spawn(async {});
        let mut before = 0;
        while !other.is_finished() {
            assert!(events.next().await.is_some(), "the other had no turn");
            before += 1;
        }
        assert!(before < 1_000, "{before}");
    });
}
