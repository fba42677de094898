use std::time::Duration;

use flow_core::{
    Flow, FlowSide, FlowTrackerConfig, Gap, RejectReason, Resync, TcpFlags, Timestamp,
    TrackedPacket, UrgentPolicy, Verdict,
};

/// Limits of one reassembled stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Bytes of memory that out-of-order data of one stream may take, 64 for each queued segment
    /// included. Beyond it the oldest hole is given up.
    ///
    /// Rationale: what a sender may have under way while it repeats a lost segment is a receive
    /// window, which grows to megabytes on fast paths only; [`max_segments`](Self::max_segments)
    /// of full size fit.
    pub max_buffer: usize,
    /// Segments that may be queued. Beyond it the oldest hole is given up.
    ///
    /// Rationale: inserting into a sorted queue of this length costs less than a microsecond;
    /// the length is what bounds the work a flood of tiny segments can cause.
    pub max_segments: usize,
    /// A hole is given up this long after the data behind it arrived, in packet time.
    ///
    /// Rationale: longer than the retransmission timer of a host that has seen a few losses
    /// (RFC 6298: 1 s at first, doubled each time).
    pub hole_timeout: Duration,
    /// A hole whose bytes were acknowledged is given up after this time at the earliest, or after
    /// [two round trips](Self::with_round_trip) if that is less.
    ///
    /// Rationale: where a capture shows acknowledgments before what they acknowledge, as those that
    /// are put together from two taps do, it is by a round trip at most.
    pub ack_grace: Duration,
    /// A hole whose bytes were acknowledged is not given up for `ack_grace` alone before more than
    /// this many segments of the sender have overtaken it.
    ///
    /// Rationale: the threshold at which TCP itself takes reordering for loss (RFC 5681 section
    /// 3.2).
    pub reorder_segments: u32,
    /// A hole whose bytes were acknowledged and that fewer segments have overtaken is given up
    /// after this time.
    ///
    /// Rationale: the last segment before a pause may be captured with the first one after it.
    pub pause: Duration,
    /// Which bytes win where segments overlap, in streams that have no policy of their own.
    pub overlap: OverlapPolicy,
    /// What becomes of urgent bytes.
    pub urgent: UrgentPolicy,
}

impl StreamConfig {
    /// The default, with the buffer limit of a tracker's configuration if that has one.
    #[must_use]
    pub fn of(config: &FlowTrackerConfig) -> Self {
        let mut stream = Self::default();
        stream.max_buffer = config.max_reassembler_buffer.unwrap_or(stream.max_buffer);
        stream.urgent = config.urgent;
        stream
    }

    /// The same for a connection whose handshake took as long as this: two round trips and 10 ms are
    /// long enough for bytes that were captured behind their acknowledgment, if `ack_grace` is not
    /// shorter.
    #[must_use]
    pub fn with_round_trip(&self, round_trip: Duration) -> Self {
        let grace = round_trip.saturating_mul(2).saturating_add(Duration::from_millis(10));
        Self { ack_grace: self.ack_grace.min(grace), ..self.clone() }
    }
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            max_buffer: 2 << 20,
            max_segments: 1024,
            hole_timeout: Duration::from_secs(10),
            ack_grace: Duration::from_millis(250),
            reorder_segments: 3,
            pause: Duration::from_secs(30),
            overlap: OverlapPolicy::First,
            urgent: UrgentPolicy::Inline,
        }
    }
}

/// Which bytes a stream has where segments overlap and disagree, as far as none of them was handed
/// on: what was handed on never changes.
///
/// Hosts differ in this, and an observer that differs from the host it watches can be shown another
/// stream than the host gets (Ptacek and Newsham, 1998; Novak and Sturges, 2007). Whatever the
/// policy, bytes that disagree are counted
/// ([`conflicting_bytes`](flow_core::TcpSideStats::conflicting_bytes)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverlapPolicy {
    /// Those that came first, as Windows since Vista has it: nothing that comes late takes the place
    /// of a byte.
    #[default]
    First,
    /// Those that came last.
    Last,
    /// Those of the segment that begins earlier in the stream. Of two that begin alike, those of
    /// the first to come, but for these exceptions.
    StartBefore {
        /// The longer one, if that comes second.
        tie_longer: bool,
        /// The second one, if both are of one length.
        tie_equal: bool,
    },
}

impl OverlapPolicy {
    /// FreeBSD, macOS, and Windows before Vista.
    pub const BSD: Self = Self::StartBefore { tie_longer: false, tie_equal: false };
    /// Linux.
    pub const LINUX: Self = Self::StartBefore { tie_longer: true, tie_equal: false };
    /// Linux 2.2 and before.
    pub const OLD_LINUX: Self = Self::StartBefore { tie_longer: true, tie_equal: true };
}

/// How a segment stands to those that its sender sent before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Standing {
    /// It lies where it may.
    #[default]
    Usual,
    /// It is a byte sent to find out whether the other side has room again (RFC 9293 section
    /// 3.8.6.1): part of the stream if it is acknowledged, and garbage else.
    WindowProbe,
    /// It lies outside of any window: a host would not take it, unless the capture missed all that
    /// leads there. The other side's acknowledgment can tell.
    Stray,
    /// It does not follow from what came before, and counts all the same.
    Resync(Resync),
}

/// The last that is known of a stream's sequence numbers, for what its own segments did not show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastWord {
    /// The sequence number of the stream's first byte, if its SYN is known.
    pub start: Option<u32>,
    /// The highest acknowledgment of the stream by the other side.
    pub acked: Option<u32>,
    /// The largest receive window, in bytes, that the other side is known to have advertised: more
    /// than that, or than 65,535, is not believed to be missing for its acknowledgment alone.
    pub window: u32,
}

impl LastWord {
    /// What the tracker knows of the stream that `side` of a flow sends.
    #[must_use]
    pub fn of<K, S>(flow: &Flow<K, S>, side: FlowSide) -> Self {
        let receiver = side.other();
        Self {
            start: flow.stream_start(side),
            acked: flow.acked(receiver),
            window: flow.receive_window(receiver),
        }
    }
}

/// A TCP segment of one side, accepted by the tracker unless its [`standing`](Self::standing) is
/// [`Standing::Stray`].
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Sequence number as in the header: of the SYN if there is one, else of the first byte.
    pub seq: u32,
    /// The payload as far as captured.
    pub payload: &'a [u8],
    /// Length of the payload on the wire.
    pub len: u32,
    /// It opens the stream.
    pub syn: bool,
    /// It ends the stream.
    pub fin: bool,
    /// The urgent pointer, if there is one.
    pub urgent: Option<u16>,
    /// How it stands to what came before.
    pub standing: Standing,
    /// The sequence number of the stream's first byte, if its SYN is known.
    pub start: Option<u32>,
    /// The highest acknowledgment of this stream by the other side so far.
    pub acked: Option<u32>,
    /// Number of the packet, counted from 1.
    pub packet: u64,
    /// Time of the packet.
    pub ts: Timestamp,
}

impl<'a> Segment<'a> {
    /// A segment of which only its bytes are known.
    #[must_use]
    pub fn plain(seq: u32, payload: &'a [u8]) -> Self {
        Self {
            seq,
            payload,
            len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            syn: false,
            fin: false,
            urgent: None,
            standing: Standing::Usual,
            start: None,
            acked: None,
            packet: 0,
            ts: Timestamp::default(),
        }
    }

    /// The segment that a packet of a TCP flow is; `None` if it adds nothing to a stream or a
    /// host would not take it, whoever speaks for it. The payload of a reset is not part of the
    /// stream.
    #[must_use]
    #[inline]
    pub fn of<K, S>(flow: &Flow<K, S>, packet: &TrackedPacket<'a>) -> Option<Self> {
        let info = packet.tcp?;
        let fin = info.flags.contains(TcpFlags::FIN);
        if (packet.payload_len == 0 && !fin) || info.flags.contains(TcpFlags::RST) {
            return None;
        }
        let standing = match (packet.verdict, packet.resync) {
            (Verdict::Accept, None) if packet.window_probe => Standing::WindowProbe,
            (Verdict::Accept, None) => Standing::Usual,
            (Verdict::Accept, Some(resync)) => Standing::Resync(resync),
            (Verdict::Reject(RejectReason::OutOfWindow | RejectReason::FinBadSeq), _) => {
                Standing::Stray
            }
            // Its number may turn out to be the one that the connection began with.
            (Verdict::Reject(RejectReason::SynInEstablished), _) => Standing::Stray,
            (Verdict::Reject(_), _) => return None,
        };
        Some(Self {
            seq: info.seq,
            payload: packet.payload,
            len: packet.payload_len,
            syn: info.flags.contains(TcpFlags::SYN),
            fin,
            urgent: info.flags.contains(TcpFlags::URG).then_some(info.urgent),
            standing,
            start: flow.stream_start(packet.side),
            acked: flow.acked(packet.side.other()),
            packet: packet.number,
            ts: packet.ts,
        })
    }

    /// The FIN that `side` sent some time before this packet, by itself.
    #[must_use]
    pub fn fin_of<K, S>(
        flow: &Flow<K, S>,
        packet: &TrackedPacket<'_>,
        side: FlowSide,
    ) -> Option<Self> {
        let fin = flow.fin(side)?;
        Some(Self {
            fin: true,
            start: flow.stream_start(side),
            acked: flow.acked(side.other()),
            packet: packet.number,
            ts: packet.ts,
            ..Self::plain(fin, &[])
        })
    }
}

/// Where the ordered stream goes.
pub trait StreamSink {
    /// The next bytes. `packet` is the packet they came in, which may be an earlier one than the
    /// one that made them deliverable.
    fn data(&mut self, offset: u64, bytes: &[u8], packet: u64);
    /// The next bytes are missing.
    fn gap(&mut self, gap: Gap);
    /// The next byte was urgent, and is taken out of the stream
    /// ([`UrgentPolicy::Remove`](flow_core::UrgentPolicy::Remove)).
    fn urgent(&mut self, offset: u64, byte: u8, packet: u64) {
        let _ = (offset, byte, packet);
    }
    /// The stream is complete up to its FIN at `offset`. Called once.
    fn end(&mut self, offset: u64);
}
