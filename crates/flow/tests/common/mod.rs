//! Packets that own their bytes, and what comes out of a session driver fed with them.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "each test file uses a part"
)]

pub(crate) mod corpus;
pub(crate) mod shards;

use flow::extract::FiveTupleKey;
use flow::{
    ChecksumPolicy, Context, EndReason, FlowExtractor, FlowSessionDriver, FlowSide, FlowStats,
    FlowTrackerConfig, Gap, GapAction, LinkType, PacketView, SessionEvent, SessionParser,
    Timestamp,
};

/// A packet that owns its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) frame: Vec<u8>,
    pub(crate) ts: Timestamp,
    pub(crate) link_type: LinkType,
    pub(crate) wire_len: u32,
}

impl Packet {
    pub(crate) fn view(&self) -> PacketView<'_> {
        PacketView::new(&self.frame, self.ts)
            .with_link_type(self.link_type)
            .with_wire_len(self.wire_len)
    }
}

/// Both streams of a connection as they were handed on; `None` for missing bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) bytes: [Vec<Option<u8>>; 2],
    pub(crate) gaps: [Vec<[u64; 2]>; 2],
    pub(crate) fins: [usize; 2],
    /// How far each stream has come.
    next: [u64; 2],
}

/// No capture here misses that many bytes of a stream at once, but garbage may look like it: such
/// a gap has no bytes.
const HUGE_GAP: u64 = 1 << 20;

impl SessionParser for Streams {
    type Message = Streams;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Streams> {
        self.bytes[0].extend(bytes.iter().copied().map(Some));
        self.next[0] += bytes.len() as u64;
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Streams> {
        self.bytes[1].extend(bytes.iter().copied().map(Some));
        self.next[1] += bytes.len() as u64;
        Vec::new()
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _: &mut Context<'_, Streams>) -> GapAction {
        let side = side.index();
        assert_eq!(gap.offset, self.next[side], "offsets are contiguous");
        self.next[side] += gap.len;
        let missing = if gap.len < HUGE_GAP { usize::try_from(gap.len).unwrap() } else { 0 };
        self.bytes[side].extend(std::iter::repeat_n(None, missing));
        self.gaps[side].push([gap.offset, gap.offset + gap.len]);
        GapAction::Resume
    }

    fn fin_initiator(&mut self) -> Vec<Streams> {
        self.fins[0] += 1;
        Vec::new()
    }

    fn fin_responder(&mut self) -> Vec<Streams> {
        self.fins[1] += 1;
        Vec::new()
    }

    fn close(&mut self, side: FlowSide, _: EndReason, cx: &mut Context<'_, Streams>) {
        if side == FlowSide::Responder {
            cx.emit(self.clone());
        }
    }
}

/// One connection.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) key: FiveTupleKey,
    pub(crate) streams: Streams,
    pub(crate) stats: FlowStats,
    pub(crate) reason: EndReason,
}

/// The connections of a capture, in the order of their ends, and how many flows there were.
/// Checksums are not looked at: they say nothing of packets made up here.
pub(crate) fn sessions_of<E>(extractor: E, packets: &[Packet]) -> (Vec<Session>, u64)
where
    E: FlowExtractor<Key = FiveTupleKey>,
{
    let mut config = FlowTrackerConfig::default();
    config.checksums = ChecksumPolicy::Never;
    let mut driver = FlowSessionDriver::<_, Streams>::new(extractor).with_config(config);
    let (mut sessions, mut last) = (Vec::new(), None);
    let mut take = |event| match event {
        SessionEvent::Application { message, .. } => last = Some(message),
        SessionEvent::Closed { key, reason, stats } => {
            let streams = last.take().unwrap_or_default();
            sessions.push(Session { key, streams, stats: *stats, reason });
        }
        _ => {}
    };
    packets.iter().for_each(|packet| driver.track(packet.view()).for_each(&mut take));
    driver.finish().for_each(&mut take);
    let flows = driver.tracker().stats().flows_started;
    (sessions, flows)
}

/// Payload bytes of `side` that were delivered or dropped under a name.
pub(crate) fn accounted(stats: &FlowStats, side: FlowSide) -> u64 {
    let stats = stats.tcp.side(side);
    stats.delivered_bytes
        + stats.retransmitted_bytes
        + stats.late_bytes
        + stats.before_start_bytes
        + stats.refused_bytes
        + stats.beyond_fin_bytes
        + stats.undelivered_bytes
        + stats.truncated_bytes
        + stats.keep_alives
}
