//! Any schedule of TCP segments of two sides through the tracker and both drivers: the streams agree,
//! bytes and gaps are contiguous, and every byte is accounted for.
//!
//! The input is a schedule: eight bytes of initial sequence numbers, then segments of nine bytes:
//! who sends it and whether its numbers are far away, flags, the sequence number, the
//! acknowledgment (two bytes each, little endian, from the initial ones), the window, the length of
//! its payload, and the time since the one before in units of 4 ms.

#![no_main]

use std::sync::{Arc, Mutex};

use flow::{
    Context, EndReason, Extracted, FlowDriver, FlowEvent, FlowExtractor, FlowSessionDriver, FlowSide,
    Gap, GapAction, L4Proto, OrderedReassembler, Orientation, PacketView, Payload, SessionEvent,
    SessionParser, StreamSink, TcpFlags, TcpInfo, Timestamp,
};
use libfuzzer_sys::fuzz_target;

const SEGMENT: usize = 9;

fuzz_target!(|data: &[u8]| {
    let Some((isn, segments)) = data.split_first_chunk::<8>() else { return };
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| isn[at + i]));
    replay([word(0), word(4)], segments);
});

/// A frame is a segment of the schedule in front of its payload, and the initial numbers behind it.
#[derive(Clone, Copy)]
struct Schedule([u32; 2]);

impl FlowExtractor for Schedule {
    type Key = u8;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u8>> {
        let &[how, flags, s0, s1, a0, a1, window, _, _] = view.frame.first_chunk::<SEGMENT>()?;
        let responder = how & 1 != 0;
        let [mine, theirs] = if responder { [self.0[1], self.0[0]] } else { self.0 };
        let far = if how & 0x1e == 0x1e { 0x4000_0000 } else { 0 };
        let tcp = TcpInfo {
            flags: TcpFlags::from_bits_retain(flags),
            seq: mine.wrapping_add(u16::from_le_bytes([s0, s1]).into()).wrapping_add(far),
            ack: theirs.wrapping_add(u16::from_le_bytes([a0, a1]).into()),
            window: u16::from(window) << 8,
            ..TcpInfo::default()
        };
        let len = u32::try_from(view.frame.len() - SEGMENT).ok()?;
        Some(Extracted {
            key: 0,
            orientation: if responder { Orientation::Reverse } else { Orientation::Forward },
            l4: Some(L4Proto::Tcp),
            tcp: Some(tcp),
            payload: Payload { offset: SEGMENT as u32, captured: len, len },
            encapsulation: flow::Encapsulation::default(),
        })
    }
}

fn replay(isn: [u32; 2], segments: &[u8]) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let all = Arc::clone(&seen);
    let factory = move |_: &u8, side| {
        let mut all = all.lock().unwrap();
        let at = all.len();
        all.push(Streams { side: Some(side), ..Streams::default() });
        OrderedReassembler::new(Kept(Arc::clone(&seen), at))
    };
    let mut flows = FlowDriver::new(Schedule(isn), factory).with_emit_anomalies(true);
    let mut sessions = FlowSessionDriver::<_, Both>::new(Schedule(isn)).with_emit_anomalies(true);
    let (mut open, mut millis) = (0i32, 0);
    let mut count = |event: FlowEvent<u8>| match event {
        FlowEvent::Started { .. } => open += 1,
        FlowEvent::Ended { stats, .. } => {
            open -= 1;
            for side in FlowSide::BOTH {
                let tcp = stats.tcp.side(side);
                assert!(tcp.unique_bytes() <= stats.sent_by(side).payload_bytes);
            }
        }
        _ => assert!(open > 0),
    };
    for chunk in segments.chunks_exact(SEGMENT).take(400) {
        millis += 4 * u64::from(chunk[8]);
        let payload = (0..chunk[7] % 64).map(|at| chunk[2].wrapping_add(at));
        let frame: Vec<u8> = chunk.iter().copied().chain(payload).collect();
        let ts = Timestamp::from_nanos(1_700_000_000_000_000_000 + millis * 1_000_000);
        let view = PacketView::new(&frame, ts);
        flows.track(view).for_each(&mut count);
        sessions.track(view).for_each(check);
    }
    flows.finish().for_each(&mut count);
    sessions.finish().for_each(check);
    assert_eq!(open, 0);
}

/// What a sink saw of a stream.
#[derive(Default)]
struct Streams {
    side: Option<FlowSide>,
    next: u64,
    ended: bool,
}

struct Kept(Arc<Mutex<Vec<Streams>>>, usize);

impl Kept {
    fn step(&self, offset: u64, len: u64) {
        let stream = &mut self.0.lock().unwrap()[self.1];
        assert!(offset == stream.next && !stream.ended && stream.side.is_some());
        stream.next += len;
    }
}

impl StreamSink for Kept {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert!(!bytes.is_empty());
        self.step(offset, bytes.len() as u64);
    }

    fn gap(&mut self, gap: Gap) {
        assert!(gap.len > 0 && gap.len <= 1 << 31);
        self.step(gap.offset, gap.len);
    }

    fn end(&mut self, offset: u64) {
        self.step(offset, 0);
        self.0.lock().unwrap()[self.1].ended = true;
    }
}

/// Follows both streams of a session.
#[derive(Clone, Debug, Default)]
struct Both {
    next: [u64; 2],
    ended: [bool; 2],
}

impl Both {
    fn step(&mut self, side: FlowSide, offset: u64, len: u64) {
        let at = side.index();
        assert!(self.next[at] == offset && !self.ended[at]);
        self.next[at] += len;
    }
}

impl SessionParser for Both {
    type Message = ();

    fn feed_initiator(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<()> {
        Vec::new()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, ()>) {
        self.step(side, cx.offset(), bytes.len() as u64);
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _: &mut Context<'_, ()>) -> GapAction {
        self.step(side, gap.offset, gap.len);
        GapAction::Resume
    }

    fn fin_initiator(&mut self) -> Vec<()> {
        self.ended[0] = true;
        Vec::new()
    }

    fn fin_responder(&mut self) -> Vec<()> {
        self.ended[1] = true;
        Vec::new()
    }
}

fn check(event: SessionEvent<u8, ()>) {
    if let SessionEvent::Closed { reason, .. } = event {
        assert_ne!(reason, EndReason::ParseError);
    }
}
