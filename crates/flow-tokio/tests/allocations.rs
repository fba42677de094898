//! What a packet costs in allocations on its way through a stream: nothing, once flows are known.

#![allow(clippy::unwrap_used)]

mod common;

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use flow_core::{FlowSide, Timestamp};
use flow_extract::FiveTuple;
use flow_session::SessionParser;
use flow_tokio::{OwnedPacket, PacketSource};
use futures_util::Stream;

use self::common::{ACK, Connection, Memory, config};

/// Takes every byte and finds nothing.
#[derive(Clone, Default)]
struct Idle;

impl SessionParser for Idle {
    type Message = ();

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }
}

/// Polls until a source that does not end has nothing left; gives the items.
fn drain(mut stream: impl Stream + Unpin, wanted: usize, read: impl Fn() -> usize) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut items = 0;
    while read() < wanted {
        while let Poll::Ready(Some(_)) = Pin::new(&mut stream).poll_next(&mut cx) {
            items += 1;
        }
    }
    items
}

/// The packets of a connection: its beginning, and many segments of either side.
fn packets() -> (Vec<OwnedPacket>, usize) {
    let ts = Timestamp::new(1, 0);
    let (mut connection, mut packets) = Connection::open(1_000, ts);
    for side in FlowSide::BOTH {
        packets.push(connection.send(side.index(), ACK, b"first", ts));
    }
    let begin = packets.len();
    packets.extend((0..2_000).map(|i| connection.send(i % 2, ACK, &[7; 1_000], ts)));
    (packets, begin)
}

#[test]
fn packets_without_messages_allocate_nothing() {
    let (packets, begin) = packets();
    let all = packets.len();
    let source = Memory { is_live: true, ..Memory::new(packets) };
    let read = source.read.clone();
    let read = || read.load(std::sync::atomic::Ordering::SeqCst);
    let stream = source.flow_stream(FiveTuple::bidirectional()).with_config(config());
    // The time is that of packets: nobody asks the clock of a runtime.
    let mut stream = stream.session_stream(Idle).with_idle_timer(false);
    drain(&mut stream, begin, read);
    let count = allocation_counter::measure(|| _ = drain(&mut stream, all, read));
    assert_eq!(count.count_total, 0);
    assert_eq!(stream.tracker_stats().packets, all as u64);
}

#[test]
fn an_event_for_every_packet_allocates_nothing() {
    let (packets, begin) = packets();
    let all = packets.len();
    let source = Memory { is_live: true, ..Memory::new(packets) };
    let read = source.read.clone();
    let read = || read.load(std::sync::atomic::Ordering::SeqCst);
    let stream = source.flow_stream(FiveTuple::bidirectional()).with_config(config());
    let mut stream = stream.with_idle_timer(false);
    drain(&mut stream, begin, read);
    let before = read();
    let mut items = 0;
    let count = allocation_counter::measure(|| items = drain(&mut stream, all, read));
    assert_eq!((count.count_total, items >= all - before), (0, true));
}
