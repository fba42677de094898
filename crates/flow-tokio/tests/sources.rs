//! Sources made of others, and files in other ways than from their beginning to their end.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{self, BufWriter, Write};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use flow_core::{CaptureStats, EndReason, FlowEvent, LinkType, PacketView, Timestamp};
use flow_extract::FiveTuple;
use flow_pcap::{PcapFlowSource, PcapWriter};
use flow_tokio::{CaptureFile, Error, FlowStream, Merged, OwnedPacket, PacketSource, Take, Tap};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use self::common::{Memory, run, run_on_threads, udp};

fn at(seconds: u32) -> Timestamp {
    Timestamp::new(seconds, 0)
}

/// The sources and the seconds of all packets.
async fn order<S: PacketSource>(events: FlowStream<S, FiveTuple>) -> Vec<(usize, u64)> {
    let packets = events.with_source_index().filter_map(async |item| match item.unwrap() {
        (from, FlowEvent::Packet { ts, .. }) => {
            Some((from.unwrap(), ts.as_nanos() / 1_000_000_000))
        }
        _ => None,
    });
    packets.collect().await
}

fn extractor() -> FiveTuple {
    FiveTuple::bidirectional()
}

#[test]
fn files_are_merged_by_time() {
    let files = [[1, 4, 4, 9], [2, 3, 4, 5]]
        .map(|times| Memory::new(times.map(|time| udp([1, 2], b"x", at(time)))));
    let merged = Merged::new(files);
    let expected = [(0, 1), (1, 2), (1, 3), (0, 4), (0, 4), (1, 4), (1, 5), (0, 9)];
    assert_eq!(run(order(merged.flow_stream(extractor()))), expected);
}

#[test]
fn live_interfaces_take_turns() {
    let busy = (0..200).map(|_| udp([1, 2], b"x", at(1)));
    let quiet = (0..3).map(|_| udp([1, 2], b"x", at(1)));
    let merged = Merged::new([Memory::live(busy), Memory::live(quiet)]);
    let mut events = merged.flow_stream(extractor());
    run(async {
        let mut from = Vec::new();
        while from.len() < 203 {
            if let FlowEvent::Packet { .. } = events.next().await.unwrap().unwrap() {
                from.push(events.source_index().unwrap());
            }
        }
        // The quiet one is heard long before the busy one has nothing left.
        assert_eq!(from.iter().position(|&index| index == 1), Some(32));
        assert_eq!(from.iter().filter(|&&index| index == 1).count(), 3);
        // Each wakes the task when it has more; none is over.
        assert!(tokio::time::timeout(Duration::from_secs(1), events.next()).await.is_err());
    });
}

#[test]
fn sources_of_different_kinds_are_merged() {
    let file = CaptureFile::open(common::fixture("http_get.pcap")).unwrap();
    let sources: [Box<dyn PacketSource>; 3] =
        [Box::new(file), Box::new(Memory::new([])), Box::new(Merged::<Memory>::new([]))];
    let packets = common::packets(&common::fixture("http_get.pcap")).len();
    let events = run(order(Merged::new(sources).flow_stream(extractor())));
    assert_eq!(events.len(), packets);
    assert!(events.iter().all(|(from, _)| *from == 0));
}

/// A file in memory that others can look into, and that is full at some time.
#[derive(Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    size: Option<usize>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut file = self.bytes.lock().unwrap();
        if self.size.is_some_and(|size| file.len() + bytes.len() > size) {
            return Err(io::Error::other("disk full"));
        }
        file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_tap_writes_what_passes() {
    let path = common::fixture("http_get.pcap");
    let disk = Disk::default();
    let tap = Tap::new(CaptureFile::open(&path).unwrap(), BufWriter::new(disk.clone()));
    let items = run(tap.flow_stream(extractor()).count());
    assert_eq!(items, run(CaptureFile::open(&path).unwrap().flow_stream(extractor()).count()));
    let written = io::Cursor::new(disk.bytes.lock().unwrap().clone());
    let mut written = PcapFlowSource::from_reader(written).unwrap();
    let written: Vec<OwnedPacket> =
        written.views().map(|view| view.unwrap().as_view().into()).collect();
    assert_eq!(written, common::packets(&path));
}

#[test]
fn a_tap_that_cannot_write_stops_nothing() {
    let packets = || (0..10).map(|_| udp([1, 2], b"0123456789", at(1)));
    let tap = Tap::new(Memory::new(packets()), Disk { size: Some(200), ..Disk::default() });
    let items: Vec<_> = run(tap.flow_stream(extractor()).collect());
    let errors: Vec<_> = items.iter().filter_map(|item| item.as_ref().err()).collect();
    assert!(matches!(errors[..], [Error::Tap(_)]), "{errors:?}");
    let Some(Ok(FlowEvent::Ended { stats, .. })) = items.last() else { panic!() };
    assert_eq!(stats.packets_initiator, 10);
}

#[test]
fn a_tap_leaves_out_what_a_file_cannot_hold() {
    let odd = udp([1, 2], b"x", at(2)).with_link_type(LinkType::LOOP);
    let packets = [udp([1, 2], b"x", at(1)), odd.clone(), odd, udp([1, 2], b"x", at(3))];
    let mut events = Tap::new(Memory::new(packets), Disk::default()).flow_stream(extractor());
    let errors = run(events.by_ref().filter(|item| std::future::ready(item.is_err())).count());
    assert_eq!((errors, events.source().written(), events.source().left_out()), (1, 2, 2));
}

#[test]
fn a_replay_keeps_the_pace() {
    run(async {
        let mut capture = Vec::new();
        let mut writer = PcapWriter::new(&mut capture, LinkType::ETHERNET, true).unwrap();
        for second in [100, 101, 101, 110] {
            writer.write(&udp([1, 2], b"x", at(second)).as_view()).unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), capture).unwrap();
        let source = CaptureFile::open(file.path()).unwrap().with_speed(2.0);
        let mut events = source.flow_stream(extractor());
        let (begin, mut at) = (Instant::now(), Vec::new());
        while let Some(event) = events.next().await {
            match event.unwrap() {
                FlowEvent::Packet { .. } => at.push(begin.elapsed().as_millis()),
                FlowEvent::Ended { reason, .. } => assert_eq!(reason, EndReason::EndOfInput),
                _ => {}
            }
        }
        for (at, expected) in at.into_iter().zip([0, 500, 500, 5_000]) {
            assert!((expected..expected + 5).contains(&at), "{at} ms in place of {expected}");
        }
    });
}

#[test]
fn a_growing_file_is_followed() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut writer = PcapWriter::new(file.reopen().unwrap(), LinkType::ETHERNET, true).unwrap();
    let mut record = Vec::new();
    PcapWriter::new(&mut record, LinkType::ETHERNET, true).unwrap();
    let header = record.len();
    let write = |into: &mut Vec<u8>, view: PacketView<'_>| {
        let mut writer = PcapWriter::new(into, LinkType::ETHERNET, true).unwrap();
        writer.write(&view).unwrap();
    };
    run_on_threads(async {
        writer.write(&udp([1, 2], b"x", at(1)).as_view()).unwrap();
        let mut packets =
            CaptureFile::follow(file.path()).unwrap().flow_stream(extractor()).filter(|event| {
                std::future::ready(matches!(event, Err(_) | Ok(FlowEvent::Packet { .. })))
            });
        assert!(packets.next().await.unwrap().is_ok());
        // Half a record is waited for.
        let mut bytes = Vec::new();
        write(&mut bytes, udp([1, 2], b"y", at(2)).as_view());
        let mut appended = std::fs::OpenOptions::new().append(true).open(file.path()).unwrap();
        appended.write_all(&bytes[header..header + 20]).unwrap();
        let pause = Duration::from_millis(300);
        assert!(tokio::time::timeout(pause, packets.next()).await.is_err());
        appended.write_all(&bytes[header + 20..]).unwrap();
        assert!(packets.next().await.unwrap().is_ok());
        // A file that is begun anew is another one.
        file.as_file().set_len(30).unwrap();
        assert!(packets.next().await.unwrap().unwrap_err().to_string().contains("shorter"));
        assert!(packets.next().await.is_none());
    });
}

/// A capture of packets of these seconds.
fn capture(seconds: impl IntoIterator<Item = u32>) -> Vec<u8> {
    let mut capture = Vec::new();
    let mut writer = PcapWriter::new(&mut capture, LinkType::ETHERNET, true).unwrap();
    for second in seconds {
        writer.write(&udp([1, 2], b"x", at(second)).as_view()).unwrap();
    }
    capture
}

/// Gives some bytes, then what `then` does.
struct Pipe<F> {
    bytes: io::Cursor<Vec<u8>>,
    then: F,
}

impl<F: FnMut() -> usize> io::Read for Pipe<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.bytes.read(buffer)? {
            0 => Ok((self.then)()),
            read => Ok(read),
        }
    }
}

#[test]
fn no_packet_of_a_pipe_waits_for_the_next() {
    let (writer, hold) = std::sync::mpsc::channel::<()>();
    let (says_empty, is_empty) = std::sync::mpsc::channel();
    let then = move || {
        let _ = says_empty.send(());
        let _ = hold.recv();
        0
    };
    let pipe = Pipe { bytes: io::Cursor::new(capture([1, 2, 3])), then };
    let mut events = CaptureFile::from_reader(pipe)
        .unwrap()
        .flow_stream(extractor())
        .filter(|event| std::future::ready(matches!(event, Ok(FlowEvent::Packet { .. }))));
    // All were read before anybody came for the first.
    is_empty.recv().unwrap();
    run_on_threads(async {
        for _ in 0..3 {
            let packet = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
            assert!(packet.unwrap().is_some());
        }
        drop(writer);
        assert!(events.next().await.is_none());
    });
}

#[test]
fn a_reader_that_panics_is_no_end() {
    let pipe = Pipe { bytes: io::Cursor::new(capture([1])), then: || panic!("as is to be") };
    let events = CaptureFile::from_reader(pipe).unwrap().flow_stream(extractor());
    let items: Vec<_> = run_on_threads(events.collect());
    let Some(Err(error)) = items.last() else { panic!("{items:?}") };
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(items.len(), 4);
}

#[test]
fn a_long_capture_goes_through_a_thread_whole() {
    let seconds = |from| from..from + 3_000;
    for (take, expected) in [(usize::MAX, 3_000), (700, 700)] {
        let pipe = io::Cursor::new(capture(seconds(1)));
        let events = CaptureFile::from_reader(pipe).unwrap().flow_stream(extractor());
        let packets = events
            .filter(|event| std::future::ready(matches!(event, Ok(FlowEvent::Packet { .. }))));
        assert_eq!(run_on_threads(packets.take(take).count()), expected);
    }
}

/// A source that keeps to the letter of its contract, and not to more: it never says beforehand that
/// it has ended, and sometimes wants to be called again though nothing came.
struct Odd(Vec<Option<OwnedPacket>>);

impl PacketSource for Odd {
    fn poll_packets(
        &mut self,
        _: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        match self.0.pop() {
            None => Poll::Ready(None),
            Some(None) => Poll::Ready(Some(Ok(()))),
            Some(Some(packet)) => {
                let _ = take(packet.as_view().into());
                Poll::Ready(Some(Ok(())))
            }
        }
    }

    fn is_terminated(&self) -> bool {
        false
    }

    fn capture_stats(&mut self) -> CaptureStats {
        CaptureStats::default()
    }
}

#[test]
fn sources_that_say_little_are_merged() {
    let sources = || {
        let packet = |time| Some(udp([1, 2], b"x", at(time)));
        [Odd(vec![None, packet(4), None, None, packet(1)]), Odd(vec![packet(3), packet(2), None])]
    };
    for merged in [Merged::new(sources()), Merged::by_arrival(sources())] {
        let mut times: Vec<_> = run(order(merged.flow_stream(extractor())));
        times.sort_unstable();
        assert_eq!(times, [(0, 1), (0, 4), (1, 2), (1, 3)]);
    }
    let in_order = run(order(Merged::new(sources()).flow_stream(extractor())));
    assert!(in_order.is_sorted_by_key(|(_, time)| *time), "{in_order:?}");
}

#[test]
fn a_silent_channel_keeps_nobody_waiting_by_arrival() {
    run(async {
        let (busy, packets) = tokio::sync::mpsc::channel(2);
        let (_silent, nothing) = tokio::sync::mpsc::channel(2);
        let mut events = Merged::by_arrival([packets, nothing]).flow_stream(extractor());
        busy.send(udp([1, 2], b"x", at(1))).await.unwrap();
        assert!(matches!(events.next().await, Some(Ok(FlowEvent::Started { .. }))));
    });
}

#[test]
fn a_tap_can_be_flushed_after_the_last_word() {
    let disk = Disk::default();
    let tap = Tap::new(Memory::live([udp([1, 2], b"x", at(1))]), BufWriter::new(disk.clone()));
    let mut events = tap.flow_stream(extractor());
    run(async {
        assert!(events.next().await.is_some());
        events.finish();
        assert_eq!(events.by_ref().count().await, 2);
    });
    assert!(disk.bytes.lock().unwrap().is_empty());
    events.source_mut().flush().unwrap();
    assert_eq!(disk.bytes.lock().unwrap().len(), capture([1]).len());
}
