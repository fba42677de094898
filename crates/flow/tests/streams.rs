//! Whole connections over a bad network and in front of a bad capture: what comes out of the
//! session driver is what both hosts exchanged, with gaps exactly where nothing was captured.

#![allow(clippy::unwrap_used)]

mod common;

use flow::extract::FiveTuple;
use flow::{FlowSide, LinkType, Timestamp};
use proptest::prelude::*;

use self::common::{Packet, Session, Streams, accounted, sessions_of};

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is captured and received.
    Fine,
    /// It is received, but not captured.
    Missed,
    /// It is lost in front of the capture, and sent again so many segments later.
    Lost(usize),
    /// It is captured and received, and sent again so many segments later for nothing.
    Again(usize),
}

/// A segment of `len` bytes that a side sends. If it is sent again, then with up to `more` bytes
/// before and behind it, and in two packets, cut at `cut`.
#[derive(Clone, Debug)]
struct Step {
    side: usize,
    len: usize,
    fate: Fate,
    more: usize,
    cut: usize,
}

fn step(missed: u32) -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        12 => Just(Fate::Fine),
        missed => Just(Fate::Missed),
        2 => (1usize..8).prop_map(Fate::Lost),
        2 => (1usize..8).prop_map(Fate::Again),
    ];
    (0usize..2, 1usize..200, fate, 0usize..100, 0usize..300)
        .prop_map(|(side, len, fate, more, cut)| Step { side, len, fate, more, cut })
}

/// How the capture shows the packets behind the handshake: shifted by so many, and a second time
/// if so, after as many more.
#[derive(Clone, Debug)]
struct Shown {
    shift: usize,
    again: Option<usize>,
}

/// Packets may overtake up to six others.
fn shown() -> impl Strategy<Value = Vec<Shown>> {
    let again = prop::option::weighted(0.1, 0usize..6);
    let one = (0usize..6, again).prop_map(|(shift, again)| Shown { shift, again });
    proptest::collection::vec(one, 1..60)
}

/// The byte that `side` has at an offset.
fn truth(side: usize, offset: usize) -> u8 {
    u8::try_from((offset * 31 + side * 128 + offset / 97) % 256).unwrap()
}

/// A segment on the wire, by stream offsets.
#[derive(Clone, Copy, Debug)]
struct Wire {
    side: usize,
    /// `None` for the SYN.
    offset: Option<usize>,
    len: usize,
    fin: bool,
    /// What was received of the other side: `None` before its SYN was, one more behind its FIN.
    ack: Option<usize>,
}

/// What can be said of a byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Captured {
    #[default]
    Never,
    /// When its hole may have been given up already.
    Late,
    InTime,
}

/// Two hosts with a capture between them.
#[derive(Default)]
struct Network {
    /// What was captured.
    wire: Vec<Wire>,
    sent: [usize; 2],
    /// Which bytes each side sent and the other received, and which were captured.
    received: [Vec<bool>; 2],
    captured: [Vec<Captured>; 2],
    /// What was received in order.
    ack: [usize; 2],
}

impl Network {
    fn connect() -> Self {
        let mut network = Self::default();
        let syn = |side, ack| Wire { side, offset: None, len: 0, fin: false, ack };
        network.wire.extend([syn(0, None), syn(1, Some(0))]);
        network.acknowledge(1);
        network
    }

    /// The receiver of what `side` sends acknowledges it.
    fn acknowledge(&mut self, side: usize) {
        let (offset, ack) = (Some(self.sent[1 - side]), Some(self.ack[side]));
        self.wire.push(Wire { side: 1 - side, offset, len: 0, fin: false, ack });
    }

    /// A segment gets through, and past the capture if it is not missed.
    fn data(&mut self, side: usize, from: usize, to: usize, missed: bool) {
        let ack = Some(self.ack[1 - side]);
        if !missed {
            self.wire.push(Wire { side, offset: Some(from), len: to - from, fin: false, ack });
        }
        for at in from..to {
            let captured = match (missed, self.received[side][at]) {
                (true, _) => continue,
                (false, true) => Captured::Late,
                (false, false) => Captured::InTime,
            };
            self.captured[side][at] = match self.captured[side][at] {
                Captured::InTime => Captured::InTime,
                _ => captured,
            };
        }
        self.received[side][from..to].fill(true);
        self.ack[side] = self.received[side].iter().take_while(|&&received| received).count();
        self.acknowledge(side);
    }

    fn send(&mut self, steps: &[Step]) {
        let mut later: Vec<(usize, usize, usize, &Step)> = Vec::new();
        for (now, step) in steps.iter().enumerate() {
            let side = step.side;
            let (from, to) = (self.sent[side], self.sent[side] + step.len);
            self.sent[side] = to;
            self.received[side].resize(to, false);
            self.captured[side].resize(to, Captured::Never);
            match step.fate {
                Fate::Fine => self.data(side, from, to, false),
                Fate::Missed => self.data(side, from, to, true),
                Fate::Lost(after) => later.push((now + after, from, to, step)),
                Fate::Again(after) => {
                    self.data(side, from, to, false);
                    later.push((now + after, from, to, step));
                }
            }
            let due = later.extract_if(.., |(when, ..)| *when <= now).collect::<Vec<_>>();
            due.iter().for_each(|&(_, from, to, step)| self.send_again(from, to, step));
        }
        later.iter().for_each(|&(_, from, to, step)| self.send_again(from, to, step));
    }

    fn send_again(&mut self, from: usize, to: usize, step: &Step) {
        let from = from.saturating_sub(step.more);
        let to = (to + step.more).min(self.sent[step.side]);
        let cut = (from + step.cut).min(to);
        for (from, to) in [(from, cut), (cut, to)] {
            if from < to {
                self.data(step.side, from, to, false);
            }
        }
    }

    /// Both sides finish, the initiator first.
    fn close(&mut self) {
        for side in 0..2 {
            let (offset, ack) = (Some(self.sent[side]), Some(self.ack[1 - side]));
            self.wire.push(Wire { side, offset, len: 0, fin: true, ack });
            self.ack[side] += 1;
        }
        // The second FIN acknowledges the first: only the last ACK is missing.
        self.sent[0] += 1;
        self.acknowledge(1);
        self.sent[0] -= 1;
    }
}

/// Runs the connection, and shows its packets as the capture has them, a millisecond apart.
fn capture(steps: &[Step], shown: &[Shown], isn: [u32; 2]) -> (Network, Vec<Packet>) {
    let mut network = Network::connect();
    network.send(steps);
    network.close();
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (at, shown) in (0..network.wire.len()).zip(shown.iter().cycle()) {
        let shift = if at < 3 { 0 } else { shown.shift };
        order.push((at + shift, at));
        order.extend(shown.again.map(|again| (at.max(3) + shift + again, at)));
    }
    order.sort_unstable();
    let packet = |(number, &(_, at)): (u32, &(usize, usize))| Packet {
        frame: frame(&network.wire[at], isn),
        ts: Timestamp::new(1_000, number * 1_000_000),
        link_type: LinkType::ETHERNET,
        wire_len: u32::try_from(54 + network.wire[at].len).unwrap(),
    };
    let packets = (0..).zip(&order).map(packet).collect();
    (network, packets)
}

/// Ethernet, IPv4 and TCP from 10.0.0.1:40000 to 10.0.0.2:80 or back.
fn frame(wire: &Wire, isn: [u32; 2]) -> Vec<u8> {
    let Wire { side, offset, len, fin, ack } = *wire;
    let number = |side: usize, offset: usize| {
        isn[side].wrapping_add(1).wrapping_add(u32::try_from(offset).unwrap())
    };
    let seq = offset.map_or(isn[side], |offset| number(side, offset));
    let flags = u8::from(fin) | u8::from(offset.is_none()) << 1 | u8::from(ack.is_some()) << 4;
    let ends: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80)];
    let (from, to) = (ends[side], ends[1 - side]);
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend(u16::try_from(40 + len).unwrap().to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(from.0.into_iter().chain(to.0));
    frame.extend(from.1.to_be_bytes().into_iter().chain(to.1.to_be_bytes()));
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.map_or(0, |ack| number(1 - side, ack)).to_be_bytes());
    frame.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let offset = offset.unwrap_or_default();
    frame.extend((offset..offset + len).map(|at| truth(side, at)));
    frame
}

fn run(packets: &[Packet]) -> Session {
    let (mut sessions, flows) = sessions_of(FiveTuple::bidirectional(), packets);
    assert_eq!((sessions.len(), flows), (1, 1), "one connection is one flow");
    sessions.remove(0)
}

/// What was captured in time is there, what never was is a gap, and nothing is made up.
fn check(network: &Network, session: &Session) {
    let captured = |side: usize| network.captured[side].iter().any(|&c| c != Captured::Never);
    if !captured(0) && !captured(1) {
        // Without payload there is no parser.
        assert_eq!(session.streams, Streams::default());
        return;
    }
    assert_eq!(session.streams.fins, [1, 1]);
    for side in FlowSide::BOTH {
        let (index, stats) = (side.index(), session.stats.tcp.side(side));
        let (bytes, captured) = (&session.streams.bytes[index], &network.captured[index]);
        assert_eq!(bytes.len(), captured.len(), "{side:?}");
        for (at, (&byte, &captured)) in bytes.iter().zip(captured).enumerate() {
            let truth = Some(truth(index, at));
            let is_right = match captured {
                Captured::Never => byte.is_none(),
                Captured::Late => byte.is_none() || byte == truth,
                Captured::InTime => byte == truth,
            };
            assert!(is_right, "{side:?} at {at}: {byte:?}, captured {captured:?}");
        }
        let missing = bytes.iter().filter(|byte| byte.is_none()).count() as u64;
        let gaps: u64 = session.streams.gaps[index].iter().map(|[from, to]| to - from).sum();
        assert_eq!((missing, missing), (gaps, stats.total_gap_bytes()), "{side:?}");
        assert_eq!(stats.delivered_bytes + missing, bytes.len() as u64, "{side:?}");
        assert_eq!(stats.conflicting_bytes, 0, "{side:?}");
        assert_eq!(stats.rejected_segments, [0; 12], "{side:?}");
        let payload = session.stats.sent_by(side).payload_bytes;
        assert_eq!(accounted(&session.stats, side), payload, "{side:?}");
    }
}

proptest! {
    /// Lost and sent again, sent twice, cut anew, overtaken, captured twice: all of it is there.
    #[test]
    fn nothing_is_missing(
        steps in proptest::collection::vec(step(0), 0..40),
        shown in shown(),
        isn in any::<[u32; 2]>(),
    ) {
        let (network, packets) = capture(&steps, &shown, isn);
        let session = run(&packets);
        check(&network, &session);
        prop_assert!(session.streams.gaps.iter().all(Vec::is_empty));
    }

    /// The same, and the capture misses some of it.
    #[test]
    fn gaps_are_where_nothing_was_captured(
        steps in proptest::collection::vec(step(3), 0..40),
        shown in shown(),
        isn in any::<[u32; 2]>(),
    ) {
        let (network, packets) = capture(&steps, &shown, isn);
        check(&network, &run(&packets));
    }

    /// Sequence numbers that wrap within the connection change nothing, nor do any others.
    #[test]
    fn any_sequence_numbers(
        steps in proptest::collection::vec(step(2), 1..40),
        shown in shown(),
        isn in any::<[u32; 2]>(),
        before_wrap in [0u32..3_000, 0u32..3_000],
    ) {
        let (network, packets) = capture(&steps, &shown, [1_000, 2_000]);
        let expected = run(&packets);
        check(&network, &expected);
        for isn in [isn, before_wrap.map(|before| u32::MAX - before), [u32::MAX; 2]] {
            let session = run(&capture(&steps, &shown, isn).1);
            prop_assert_eq!(&session.streams, &expected.streams);
            prop_assert_eq!(&session.stats, &expected.stats);
        }
    }
}
