use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use crate::{
    ConnState, FlowSide, GapReason, ReassemblyStats, RejectReason, SegmentOddity, SkipReason,
    Timestamp,
};

/// What was counted of one flow.
///
/// Bytes are those of whole frames on the wire; payload bytes those above the transport header,
/// as the headers say, repeats included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowStats {
    /// Time of the first packet.
    pub started: Timestamp,
    /// Latest time of a packet.
    pub last_seen: Timestamp,
    /// Packets that the initiator sent.
    pub packets_initiator: u64,
    /// Packets that the responder sent.
    pub packets_responder: u64,
    /// Wire bytes that the initiator sent.
    pub bytes_initiator: u64,
    /// Wire bytes that the responder sent.
    pub bytes_responder: u64,
    /// Payload bytes that the initiator sent.
    pub payload_bytes_initiator: u64,
    /// Payload bytes that the responder sent.
    pub payload_bytes_responder: u64,
    /// Segments of the initiator that arrived out of order and could not be kept.
    pub reassembly_dropped_ooo_initiator: u64,
    /// Segments of the responder that arrived out of order and could not be kept.
    pub reassembly_dropped_ooo_responder: u64,
    /// Bytes of the initiator dropped because a buffer was full.
    pub reassembly_bytes_dropped_oversize_initiator: u64,
    /// Bytes of the responder dropped because a buffer was full.
    pub reassembly_bytes_dropped_oversize_responder: u64,
    /// Most bytes that the initiator's reassembler held at once.
    pub reassembler_high_watermark_initiator: u64,
    /// Most bytes that the responder's reassembler held at once.
    pub reassembler_high_watermark_responder: u64,
    /// How the connection began and finished.
    pub conn_state: ConnState,
    /// Details of the TCP streams.
    pub tcp: TcpStats,
}

impl FlowStats {
    /// Packets both ways.
    #[must_use]
    pub const fn total_packets(&self) -> u64 {
        self.packets_initiator.saturating_add(self.packets_responder)
    }

    /// Wire bytes both ways.
    #[must_use]
    pub const fn total_bytes(&self) -> u64 {
        self.bytes_initiator.saturating_add(self.bytes_responder)
    }

    /// Takes down what a reassembler says of its buffer.
    pub const fn set_reassembly(&mut self, side: FlowSide, stats: ReassemblyStats) {
        let (dropped_ooo, dropped_oversize, high_watermark) = match side {
            FlowSide::Initiator => (
                &mut self.reassembly_dropped_ooo_initiator,
                &mut self.reassembly_bytes_dropped_oversize_initiator,
                &mut self.reassembler_high_watermark_initiator,
            ),
            FlowSide::Responder => (
                &mut self.reassembly_dropped_ooo_responder,
                &mut self.reassembly_bytes_dropped_oversize_responder,
                &mut self.reassembler_high_watermark_responder,
            ),
        };
        *dropped_ooo = stats.dropped_ooo;
        *dropped_oversize = stats.bytes_dropped_oversize;
        *high_watermark = stats.high_watermark;
    }

    /// Packets, wire bytes and payload bytes that `side` sent.
    #[must_use]
    pub const fn sent_by(&self, side: FlowSide) -> Traffic {
        match side {
            FlowSide::Initiator => Traffic {
                packets: self.packets_initiator,
                bytes: self.bytes_initiator,
                payload_bytes: self.payload_bytes_initiator,
            },
            FlowSide::Responder => Traffic {
                packets: self.packets_responder,
                bytes: self.bytes_responder,
                payload_bytes: self.payload_bytes_responder,
            },
        }
    }
}

/// The three counters that every packet raises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes on the wire.
    pub bytes: u64,
    /// Bytes above the transport header, as the headers say.
    pub payload_bytes: u64,
}

/// What was counted of the two streams of a TCP connection; dereferences to [`TcpSides`].
///
/// It takes no room in the record of a flow that has no such streams, of which there may be very
/// many.
#[derive(Clone, Default)]
pub struct TcpStats(Option<Box<TcpSides>>);

/// The streams of a TCP connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSides {
    /// What the initiator sent.
    pub initiator: TcpSideStats,
    /// What the responder sent.
    pub responder: TcpSideStats,
}

impl TcpSides {
    /// What `side` sent.
    #[must_use]
    pub const fn side(&self, side: FlowSide) -> &TcpSideStats {
        match side {
            FlowSide::Initiator => &self.initiator,
            FlowSide::Responder => &self.responder,
        }
    }

    /// What `side` sent, to be counted.
    pub const fn side_mut(&mut self, side: FlowSide) -> &mut TcpSideStats {
        match side {
            FlowSide::Initiator => &mut self.initiator,
            FlowSide::Responder => &mut self.responder,
        }
    }
}

impl From<TcpSides> for TcpStats {
    fn from(sides: TcpSides) -> Self {
        Self(Some(Box::new(sides)))
    }
}

impl Deref for TcpStats {
    type Target = TcpSides;

    fn deref(&self) -> &TcpSides {
        static NOTHING: LazyLock<TcpSides> = LazyLock::new(TcpSides::default);
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl DerefMut for TcpStats {
    fn deref_mut(&mut self) -> &mut TcpSides {
        self.0.get_or_insert_default()
    }
}

impl PartialEq for TcpStats {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for TcpStats {}

impl fmt::Debug for TcpStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What was counted of one stream. Every counter saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TcpSideStats {
    /// Bytes handed on in order.
    pub delivered_bytes: u64,
    /// Segments with payload that had been delivered or queued before, in whole or in part.
    pub retransmitted_segments: u64,
    /// Payload bytes that had been delivered or queued before.
    pub retransmitted_bytes: u64,
    /// Segments that arrived before bytes which precede them.
    pub out_of_order_segments: u64,
    /// Queued bytes that arrived again with other contents.
    pub conflicting_bytes: u64,
    /// Segments with such bytes.
    pub conflicting_segments: u64,
    /// Queued bytes that arrived again, with the same contents or others; they count as
    /// retransmitted, too.
    pub overlap_bytes: u64,
    /// Retransmitted segments whose bytes the other side had acknowledged before.
    pub spurious_segments: u64,
    /// Repeated segments that were captured twice rather than sent twice: the last one sent, with
    /// its very timestamp (RFC 7323). Known only where both sides use timestamps and nothing in
    /// front of it is outstanding; for others there is [`Dedup`](crate::Dedup).
    pub duplicate_segments: u64,
    /// Segments with less than 4 bytes, of which some were new. Those of SYNs are not counted.
    pub tiny_segments: u64,
    /// Most bytes that a segment was ahead of those expected next.
    pub max_reorder_distance: u64,
    /// Holes given up, by [`GapReason`] in the order of [`GapReason::ALL`].
    pub gaps: [u64; GapReason::ALL.len()],
    /// Bytes of these holes.
    pub gap_bytes: [u64; GapReason::ALL.len()],
    /// Bytes that arrived after their hole, one of the last 16, had been given up.
    pub late_bytes: u64,
    /// Bytes from before the point at which a midstream pick-up began.
    pub before_start_bytes: u64,
    /// Bytes behind the FIN.
    pub beyond_fin_bytes: u64,
    /// Captured bytes of the stream that were not handed on, because their parser wanted no more of
    /// this side, or because the stream began anew elsewhere while they waited. Not counted any more
    /// once a parser that wants neither side was let go.
    pub undelivered_bytes: u64,
    /// Bytes that the other side did not take, or nobody knows that it did: data of a SYN, or of one
    /// of several, and window probes. They are not part of the stream, unless they were sent again.
    pub refused_bytes: u64,
    /// Payload bytes that the snap length cut off.
    pub truncated_bytes: u64,
    /// Urgent bytes that were taken out of the stream.
    pub urgent_bytes: u64,
    /// Keep-alive probes (RFC 9293 section 3.8.4). A single byte that is sent again looks the same.
    pub keep_alives: u64,
    /// Times that this side had no more room to receive.
    pub zero_windows: u64,
    /// Single bytes sent to find out whether the other side has room again (RFC 9293 section
    /// 3.8.6.1). They are part of the stream if they are acknowledged.
    pub window_probes: u64,
    /// Acknowledgments sent that acknowledge nothing new while something is outstanding (RFC 5681
    /// section 2). Those that only tell of another window look the same.
    pub duplicate_acks: u64,
    /// Segments of which the network card was to compute the checksum, as captures on the sending
    /// host have them. Counted where checksums are verified.
    pub offloaded_checksums: u64,
    /// The least time to live or hop limit of a segment; 0 if it is not known.
    pub min_ttl: u8,
    /// The highest one.
    pub max_ttl: u8,
    /// The shift of the windows that this side advertises (RFC 7323), if its SYN had one.
    pub window_scale: Option<u8>,
    /// SYNs with the same sequence number as one before.
    pub syn_retransmissions: u64,
    /// Times that the sender went on at a number that did not follow from what came before.
    pub resyncs: u64,
    /// Acknowledgments by the other side of bytes that the capture had not seen.
    pub acks_unseen: u64,
    /// Segments that a host would not have accepted, by [`RejectReason`] in the order of
    /// [`RejectReason::ALL`].
    pub rejected_segments: [u64; RejectReason::ALL.len()],
    /// Segments that counted, but were out of the ordinary, by [`SegmentOddity`] in the order of
    /// [`SegmentOddity::ALL`].
    pub odd_segments: [u64; SegmentOddity::ALL.len()],
}

impl TcpSideStats {
    /// Adds what somebody else counted.
    pub fn add(&mut self, other: &Self) {
        // PERF: field by field, as every stream that ends comes here: an iterator over references to
        // them takes five times as many instructions.
        macro_rules! add {
            ($($field:ident)*) => {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            };
        }
        add! {
            delivered_bytes retransmitted_segments retransmitted_bytes out_of_order_segments
            conflicting_bytes conflicting_segments overlap_bytes spurious_segments
            duplicate_segments tiny_segments zero_windows window_probes duplicate_acks
            offloaded_checksums late_bytes before_start_bytes refused_bytes beyond_fin_bytes undelivered_bytes
            truncated_bytes urgent_bytes keep_alives syn_retransmissions resyncs acks_unseen
        }
        add_each(&mut self.gaps, &other.gaps);
        add_each(&mut self.gap_bytes, &other.gap_bytes);
        add_each(&mut self.rejected_segments, &other.rejected_segments);
        add_each(&mut self.odd_segments, &other.odd_segments);
        self.max_reorder_distance = self.max_reorder_distance.max(other.max_reorder_distance);
        self.max_ttl = self.max_ttl.max(other.max_ttl);
        self.min_ttl = match (self.min_ttl, other.min_ttl) {
            (0, known) | (known, 0) => known,
            (mine, theirs) => mine.min(theirs),
        };
        self.window_scale = self.window_scale.or(other.window_scale);
    }

    /// Captured bytes of the stream, each counted once: handed on, taken out, or not wanted.
    #[must_use]
    pub const fn unique_bytes(&self) -> u64 {
        self.delivered_bytes
            .saturating_add(self.urgent_bytes)
            .saturating_add(self.undelivered_bytes)
    }

    /// Bytes of all holes given up.
    #[must_use]
    pub fn total_gap_bytes(&self) -> u64 {
        self.gap_bytes.iter().fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }
}

fn add_each<const N: usize>(to: &mut [u64; N], other: &[u64; N]) {
    to.iter_mut().zip(other).for_each(|(mine, theirs)| *mine = mine.saturating_add(*theirs));
}

/// What a tracker counted of all packets and flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackerStats {
    /// Packets the tracker was given.
    pub packets: u64,
    /// Flows that began.
    pub flows_started: u64,
    /// Flows that ended, for whatever reason.
    pub flows_ended: u64,
    /// Flows that ended to make room while they were alive.
    pub flows_evicted: u64,
    /// Most flows in the table at once.
    pub flows_peak: u64,
    /// Packets of a link type that the extractor does not know.
    pub skipped_unknown_link_type: u64,
    /// Packets whose headers are cut short.
    pub skipped_truncated: u64,
    /// Packets whose headers contradict themselves.
    pub skipped_malformed: u64,
    /// IP fragments but those that made a packet whole: a packet in fragments counts once, with
    /// the frame that completed it. What became of them is in [`DefragmentStats`].
    ///
    /// [`DefragmentStats`]: crate::DefragmentStats
    pub skipped_fragments: u64,
    /// Packets of protocols that have no flows.
    pub skipped_no_flow: u64,
    /// Packets that [`Dedup`](crate::Dedup) had seen before.
    pub skipped_duplicates: u64,
    /// Packets whose time was too far from that of those before to be believed.
    pub doubtful_timestamps: u64,
    /// ICMP errors that were counted with the flow they speak of.
    pub icmp_errors: u64,
    /// Segments that hosts would not have accepted, as in [`TcpSideStats::rejected_segments`].
    pub rejected_segments: [u64; RejectReason::ALL.len()],
    /// Segments out of the ordinary, as in [`TcpSideStats::odd_segments`].
    pub odd_segments: [u64; SegmentOddity::ALL.len()],
}

impl TrackerStats {
    /// Packets that belong to no flow.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped_unknown_link_type
            + self.skipped_truncated
            + self.skipped_malformed
            + self.skipped_fragments
            + self.skipped_no_flow
            + self.skipped_duplicates
    }

    /// Adds what somebody else counted: the engines of a [`FlowRouter`](crate::FlowRouter) and the
    /// router itself have counted together what one engine would have. Only of `flows_peak` that is
    /// not known: the sum is no less, as the engines may have had most flows at different times.
    pub fn add(&mut self, other: &Self) {
        macro_rules! add {
            ($($field:ident)*) => {
                $(self.$field = self.$field.saturating_add(other.$field);)*
            };
        }
        add! {
            packets flows_started flows_ended flows_evicted flows_peak skipped_unknown_link_type
            skipped_truncated skipped_malformed skipped_fragments skipped_no_flow
            skipped_duplicates doubtful_timestamps icmp_errors
        }
        add_each(&mut self.rejected_segments, &other.rejected_segments);
        add_each(&mut self.odd_segments, &other.odd_segments);
    }

    pub(crate) const fn skip(&mut self, reason: SkipReason) {
        match reason {
            SkipReason::UnknownLinkType(_) => self.skipped_unknown_link_type += 1,
            SkipReason::Truncated => self.skipped_truncated += 1,
            SkipReason::Malformed => self.skipped_malformed += 1,
            SkipReason::Fragment => self.skipped_fragments += 1,
            SkipReason::NoFlow => self.skipped_no_flow += 1,
        }
    }
}
