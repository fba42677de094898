//! Conversations: nothing is lost, nothing hangs, and memory is bounded, however they are read.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flow_core::{EndReason, FlowSide, GapReason, Timestamp};
use flow_extract::{FiveTuple, FiveTupleKey};
use flow_tokio::{
    Conversation, ConversationConfig, Conversations, OwnedPacket, PacketSource, WhenFull,
};
use futures_util::{FutureExt as _, StreamExt as _};

use self::common::{ACK, Connection, Dice, Memory, config, run, run_on_threads};

/// Bytes of a segment.
const SEGMENT: usize = 1_000;

/// What each side of a connection says, by its port: the same byte again and again.
type Said = HashMap<(u16, FlowSide), Vec<u8>>;

/// Connections whose sides speak in turn, in a random order, and what they say.
fn traffic(connections: u16, segments: usize) -> (Vec<OwnedPacket>, Said) {
    let (mut dice, mut said) = (Dice(5), Said::new());
    let (mut packets, mut open) = (Vec::new(), Vec::new());
    let ts = Timestamp::new(1_000, 0);
    for port in 1..=connections {
        let (connection, handshake) = Connection::open(port + 1_000, ts);
        packets.extend(handshake);
        open.push((port, connection, segments));
    }
    while !open.is_empty() {
        let at = dice.below(open.len());
        let (port, connection, left) = &mut open[at];
        let side = dice.below(2);
        let byte = u8::try_from(dice.below(256)).unwrap();
        let payload = vec![byte; SEGMENT];
        packets.push(connection.send(side, ACK, &payload, ts));
        said.entry((*port, FlowSide::BOTH[side])).or_default().extend(payload);
        *left -= 1;
        if *left == 0 {
            packets.extend(connection.close(ts));
            open.swap_remove(at);
        }
    }
    (packets, said)
}

/// A small one, so that limits are met.
fn limits(when_full: WhenFull) -> ConversationConfig {
    let mut limits = ConversationConfig::default();
    limits.max_queued = 8 * SEGMENT;
    limits.when_full = when_full;
    limits
}

fn conversations(source: Memory, limits: ConversationConfig) -> Conversations<Memory, FiveTuple> {
    source.flow_stream(FiveTuple::bidirectional()).with_config(config()).conversations_with(limits)
}

fn port(key: &FiveTupleKey) -> u16 {
    key.a.port().max(key.b.port()) - 1_000
}

/// Reads a conversation to its end; gaps count as zeros of their length.
async fn read(mut conversation: Conversation<FiveTupleKey>, said: &mut Said) -> u64 {
    let port = port(conversation.key());
    while let Some((side, bytes)) = conversation.next().await {
        said.entry((port, side)).or_default().extend(bytes);
    }
    assert_eq!(conversation.end_reason(), Some(EndReason::Fin), "{port}");
    let missing: u64 =
        FlowSide::BOTH.into_iter().map(|side| conversation.missing_bytes(side)).sum();
    assert_eq!(missing, conversation.gaps().iter().map(|(_, gap)| gap.len).sum::<u64>());
    missing
}

#[test]
fn reading_one_after_the_other_loses_nothing() {
    let (packets, expected) = traffic(20, 200);
    for when_full in [WhenFull::Block, WhenFull::Spill] {
        let mut said = Said::new();
        run(async {
            let source = Memory::hesitant(packets.clone(), Dice(1));
            let mut conversations = conversations(source, limits(when_full));
            while let Some(conversation) = conversations.next().await {
                assert_eq!(read(conversation, &mut said).await, 0);
            }
            assert_eq!((conversations.passed_over(), conversations.active_flows()), (0, 0));
        });
        assert!(said == expected, "{when_full:?}");
    }
}

#[test]
fn what_is_dropped_shows_as_gaps() {
    let (packets, expected) = traffic(5, 200);
    let mut said = Said::new();
    let missing = run(async {
        let mut conversations = conversations(Memory::new(packets), limits(WhenFull::Drop));
        let mut missing = 0;
        while let Some(mut conversation) = conversations.next().await {
            let port = port(conversation.key());
            while let Some((side, bytes)) = conversation.next().await {
                said.entry((port, side)).or_default().extend(bytes);
            }
            assert!(conversation.gaps().iter().all(|(_, gap)| gap.reason == GapReason::Budget));
            for side in FlowSide::BOTH {
                let all = expected[&(port, side)].len() as u64;
                assert_eq!(conversation.offset(side), all);
                missing += conversation.missing_bytes(side);
            }
        }
        missing
    });
    let sum = |said: &Said| said.values().map(Vec::len).sum::<usize>() as u64;
    assert!(missing > 0);
    assert_eq!(sum(&said) + missing, sum(&expected));
}

#[test]
fn readers_of_their_own_hold_the_source_back() {
    let (packets, expected) = traffic(10, 300);
    let said = run_on_threads(async {
        let source = Memory::hesitant(packets, Dice(2));
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let mut readers = Vec::new();
        while let Some(conversation) = conversations.next().await {
            readers.push(tokio::spawn(async move {
                let (mut said, mut conversation) = (Said::new(), conversation);
                let port = port(conversation.key());
                let mut pieces = 0_u32;
                while let Some((side, bytes)) = conversation.next().await {
                    said.entry((port, side)).or_default().extend(bytes);
                    pieces += 1;
                    if pieces.is_multiple_of(16) {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                let missing = FlowSide::BOTH.map(|side| conversation.missing_bytes(side));
                (said, missing)
            }));
        }
        let mut said = Said::new();
        for reader in readers {
            let (part, missing) = reader.await.unwrap();
            assert_eq!(missing, [0, 0]);
            said.extend(part);
        }
        said
    });
    assert!(said == expected);
}

#[test]
fn a_reader_that_sleeps_stops_the_reading() {
    let (packets, expected) = traffic(1, 1_000);
    let all = packets.len();
    let source = Memory::new(packets);
    let count = source.read.clone();
    run(async {
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let mut conversation = conversations.next().await.unwrap();
        let first = conversation.next().await.unwrap();
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let read_ahead = count.load(Ordering::SeqCst);
        // Eight segments are the limit, one exceeds it; the rest is the handshake, and what came in
        // the poll that brought the first piece.
        assert!(read_ahead < 200, "{read_ahead} of {all}");
        let mut bytes = first.1.len();
        while let Some((_, more)) = conversation.next().await {
            bytes += more.len();
        }
        assert_eq!(bytes, expected.values().map(Vec::len).sum::<usize>());
    });
}

#[test]
fn conversations_may_be_kept_and_read_in_any_order() {
    let (packets, expected) = traffic(10, 100);
    let mut said = Said::new();
    run(async {
        let mut conversations = conversations(Memory::new(packets), limits(WhenFull::Block));
        let mut kept = Vec::new();
        while let Some(mut conversation) = conversations.next().await {
            // A reader that came once, and does not come again for long.
            let first = conversation.next().now_or_never();
            if let Some(Some((side, bytes))) = first {
                said.entry((port(conversation.key()), side)).or_default().extend(bytes);
            }
            kept.push(conversation);
        }
        while let Some(conversation) = kept.pop() {
            assert_eq!(read(conversation, &mut said).await, 0);
        }
    });
    assert!(said == expected);
}

#[test]
fn a_reader_that_waits_for_another_one_stops_nobody_for_ever() {
    let (packets, expected) = traffic(3, 300);
    let said = run(async {
        let mut conversations = conversations(Memory::new(packets), limits(WhenFull::Block));
        let mut first = conversations.next().await.unwrap();
        let begun = first.next().await.unwrap();
        let second = conversations.next().await.unwrap();
        // The first one's reader comes back when the second is read, which the first keeps waiting.
        let reader = tokio::spawn(async move {
            let mut said = Said::new();
            assert_eq!(read(second, &mut said).await, 0);
            said
        });
        let mut said = reader.await.unwrap();
        said.insert((port(first.key()), begun.0), begun.1.to_vec());
        assert_eq!(read(first, &mut said).await, 0);
        assert_eq!(read(conversations.next().await.unwrap(), &mut said).await, 0);
        said
    });
    assert!(said == expected);
}

#[test]
fn two_may_be_read_by_turns_in_a_task() {
    let (packets, expected) = traffic(2, 500);
    let mut said = Said::new();
    run(async {
        let source = Memory::hesitant(packets, Dice(8));
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let mut a = conversations.next().await.unwrap();
        let mut b = conversations.next().await.unwrap();
        let ports = [port(a.key()), port(b.key())];
        let mut over = [false; 2];
        while over != [true; 2] {
            let (which, item) = tokio::select! {
                item = a.next(), if !over[0] => (0, item),
                item = b.next(), if !over[1] => (1, item),
            };
            match item {
                Some((side, bytes)) => said.entry((ports[which], side)).or_default().extend(bytes),
                None => over[which] = true,
            }
        }
    });
    assert!(said == expected);
}

#[test]
fn many_may_be_read_at_once_in_a_task() {
    let (packets, expected) = traffic(30, 50);
    let pieces = Arc::new(AtomicUsize::new(0));
    run(conversations(Memory::hesitant(packets, Dice(4)), limits(WhenFull::Block))
        .for_each_concurrent(7, |mut conversation| {
            let pieces = Arc::clone(&pieces);
            async move {
                while let Some((_, bytes)) = conversation.next().await {
                    pieces.fetch_add(bytes.len(), Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            }
        }));
    let bytes = expected.values().map(Vec::len).sum::<usize>();
    assert_eq!(pieces.load(Ordering::SeqCst), bytes);
}

#[test]
fn one_that_is_dropped_stops_nobody() {
    let (packets, expected) = traffic(4, 100);
    let mut said = Said::new();
    run(async {
        let mut conversations = conversations(Memory::new(packets), limits(WhenFull::Block));
        let mut dropped = conversations.next().await.unwrap();
        let gone = port(dropped.key());
        dropped.next().await.unwrap();
        drop(dropped);
        while let Some(conversation) = conversations.next().await {
            read(conversation, &mut said).await;
        }
        said.extend(
            expected
                .iter()
                .filter(|((port, _), _)| *port == gone)
                .map(|(key, bytes)| (*key, bytes.clone())),
        );
    });
    assert!(said == expected);
}

#[test]
fn those_that_were_taken_outlive_the_stream() {
    let (packets, expected) = traffic(3, 100);
    let source = Memory::new(packets);
    let read_packets = source.read.clone();
    run(async {
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let conversation = conversations.next().await.unwrap();
        drop(conversations);
        let (mut said, port) = (Said::new(), port(conversation.key()));
        assert_eq!(read(conversation, &mut said).await, 0);
        assert!(said.iter().all(|(key, bytes)| key.0 == port && expected[key] == *bytes));
        assert_eq!(said.len(), 2);
    });
    let read_packets = read_packets.load(Ordering::SeqCst);
    assert!(read_packets > 100, "{read_packets}");
}

#[test]
fn nobody_reads_for_nobody() {
    let (packets, _) = traffic(3, 100);
    let source = Memory::live(packets);
    let weak = Arc::downgrade(&source.read);
    run(async {
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let conversation = conversations.next().await.unwrap();
        drop(conversations);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(weak.upgrade().is_some());
        drop(conversation);
        tokio::time::sleep(Duration::from_secs(1)).await;
        // The task that reads is gone, and its source with it.
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn finish_ends_every_conversation() {
    let (mut packets, _) = traffic(3, 10);
    packets.truncate(packets.len() - 12);
    run(async {
        let mut conversations = conversations(Memory::live(packets), limits(WhenFull::Spill));
        let mut kept = Vec::new();
        for _ in 0..3 {
            kept.push(conversations.next().await.unwrap());
        }
        conversations.finish();
        assert!(conversations.next().await.is_none());
        let mut reasons = Vec::new();
        for mut conversation in kept {
            while conversation.next().await.is_some() {}
            reasons.push(conversation.end_reason().unwrap());
        }
        assert!(reasons.contains(&EndReason::EndOfInput), "{reasons:?}");
    });
}

#[test]
fn too_many_are_passed_over() {
    let (packets, _) = traffic(50, 2);
    run(async {
        let mut limits = limits(WhenFull::Block);
        limits.max_waiting = 10;
        let mut conversations = conversations(Memory::new(packets), limits);
        let first = conversations.next().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(conversations.by_ref().count().await as u64 + conversations.passed_over(), 49);
        assert!(conversations.passed_over() > 0);
        drop(first);
    });
}

#[test]
fn all_of_them_together_have_a_limit() {
    let (packets, expected) = traffic(20, 100);
    let mut said = Said::new();
    run(async {
        let mut limits = limits(WhenFull::Block);
        limits.max_queued = 1 << 20;
        limits.max_queued_total = 16 * SEGMENT;
        let mut conversations = conversations(Memory::new(packets), limits);
        while let Some(conversation) = conversations.next().await {
            assert_eq!(read(conversation, &mut said).await, 0);
        }
    });
    assert!(said == expected);
}

#[test]
fn damage_is_told_of() {
    let mut bytes = std::fs::read(common::fixture("http_get.pcap")).unwrap();
    bytes.truncate(bytes.len() - 5);
    run_on_threads(async {
        let file = flow_tokio::CaptureFile::from_reader(std::io::Cursor::new(bytes)).unwrap();
        let mut conversations = file.flow_stream(FiveTuple::bidirectional()).conversations();
        while let Some(mut conversation) = conversations.next().await {
            while conversation.next().await.is_some() {}
            assert!(conversation.end_reason().is_some());
        }
        let errors = conversations.take_errors();
        assert_eq!(errors.len(), 1);
        assert!(errors[0].to_string().contains("cut short"), "{errors:?}");
    });
}

/// A connection whose sides say a byte in turn.
fn chat(turns: usize) -> Vec<OwnedPacket> {
    let ts = Timestamp::new(1_000, 0);
    let (mut connection, mut packets) = Connection::open(1_001, ts);
    packets.extend((0..turns).map(|turn| connection.send(turn % 2, ACK, b"x", ts)));
    packets.extend(connection.close(ts));
    packets
}

/// The pieces, the gaps and the missing bytes of a chat of which nothing is read until its end.
fn read_late(turns: usize, limits: ConversationConfig) -> (usize, usize, u64) {
    let mut pieces = 0;
    run(async {
        let mut conversations = conversations(Memory::new(chat(turns)), limits);
        let mut conversation = conversations.next().await.unwrap();
        assert!(conversations.next().await.is_none());
        while conversation.next().await.is_some() {
            pieces += 1;
        }
        let offsets = FlowSide::BOTH.map(|side| conversation.offset(side));
        assert_eq!(offsets.iter().sum::<u64>(), turns as u64);
        let missing = FlowSide::BOTH.map(|side| conversation.missing_bytes(side));
        (pieces, conversation.gaps().len(), missing.iter().sum())
    })
}

#[test]
fn what_is_dropped_takes_no_memory() {
    let mut limits = limits(WhenFull::Drop);
    limits.max_queued = 65 * 100;
    assert_eq!(read_late(2_000, limits), (100, 2, 1_900));
}

#[test]
fn what_is_spilled_takes_a_bounded_memory() {
    for when_full in [WhenFull::Block, WhenFull::Spill] {
        let mut limits = limits(when_full);
        limits.max_queued_total = 0;
        // A mebibyte is that many pieces.
        assert_eq!(read_late(20_000, limits), (16_384, 2, 3_616));
    }
}

#[test]
fn no_limit_is_too_small() {
    run(async {
        let begin = tokio::time::Instant::now();
        let mut limits = limits(WhenFull::Block);
        limits.max_queued = 0;
        let mut conversations = conversations(Memory::new(chat(10)), limits);
        let conversation = conversations.next().await.unwrap();
        assert_eq!(conversation.map(|(_, bytes)| bytes.len()).collect::<Vec<_>>().await, [1; 10]);
        assert_eq!(begin.elapsed(), Duration::ZERO, "had to run out of patience");
    });
}

#[test]
fn who_has_stopped_taking_is_not_waited_for() {
    let (packets, _) = traffic(1, 1_000);
    let source = Memory::new(packets);
    let count = source.read.clone();
    run(async {
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let mut conversation = conversations.next().await.unwrap();
        assert!(conversations.next().now_or_never().is_none());
        drop(conversations);
        conversation.next().await.unwrap();
        // Nobody else waits: the reader may take its time.
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        let read_ahead = count.load(Ordering::SeqCst);
        assert!(read_ahead < 200, "{read_ahead}");
    });
}

#[test]
fn one_that_was_read_needs_no_reading() {
    let (packets, _) = traffic(1, 10);
    let source = Memory::live(packets);
    let weak = Arc::downgrade(&source.read);
    run(async {
        let mut conversations = conversations(source, limits(WhenFull::Block));
        let mut conversation = conversations.next().await.unwrap();
        while conversation.next().await.is_some() {}
        drop(conversations);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(weak.upgrade().is_none());
        assert_eq!(conversation.end_reason(), Some(EndReason::Fin));
    });
}

#[test]
fn reading_ahead_lets_others_run() {
    let ts = Timestamp::new(1_000, 0);
    let source = Memory::new((0..20_000).map(|port| Connection::open(port, ts).1.remove(0)));
    let count = source.read.clone();
    run(async {
        let mut conversations = conversations(source, limits(WhenFull::Spill));
        assert!(conversations.next().now_or_never().is_none());
        tokio::task::yield_now().await;
        // Each packet is an event, so that nothing else ends a turn; the runtime gives this task one
        // after 61 of them.
        let read_ahead = count.load(Ordering::SeqCst);
        assert!((1..10_000).contains(&read_ahead), "{read_ahead}");
    });
}

#[test]
fn a_panic_is_told_of() {
    struct Panics(usize);
    impl flow_core::FlowExtractor for Panics {
        type Key = FiveTupleKey;
        fn extract(
            &self,
            view: flow_core::PacketView<'_>,
        ) -> Option<flow_core::Extracted<FiveTupleKey>> {
            assert!(view.frame.len() < self.0, "as is to be");
            FiveTuple::bidirectional().extract(view)
        }
    }
    run(async {
        let ts = Timestamp::new(1_000, 0);
        let (mut connection, mut packets) = Connection::open(1_001, ts);
        packets.push(connection.send(0, ACK, b"x", ts));
        packets.push(connection.send(0, ACK, &[0; 100], ts));
        let flows = Memory::new(packets).flow_stream(Panics(100)).with_config(config());
        let mut conversations = flows.conversations();
        let mut conversation = conversations.next().await.unwrap();
        assert_eq!(conversation.next().await.unwrap().1, "x");
        assert_eq!((conversation.next().await, conversation.end_reason()), (None, None));
        assert!(conversations.next().await.is_none());
        assert_eq!(conversations.take_errors().len(), 1);
        assert_eq!(conversations.tracker_stats().packets, 5);
    });
}
