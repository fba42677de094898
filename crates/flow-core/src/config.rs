use std::time::Duration;

use crate::Timestamp;

/// Limits and timeouts of a flow tracker. All times are packet time.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FlowTrackerConfig {
    /// A TCP flow ends after this long without a packet.
    ///
    /// Rationale: the five minutes that Zeek, Suricata and most middleboxes give an established
    /// connection.
    pub idle_timeout_tcp: Duration,
    /// A TCP flow that never got beyond its SYN ends after this long without a packet.
    ///
    /// Rationale: outlasts the first retransmissions of a SYN (1, 3, 7, 15 s) without letting a
    /// scan fill the table.
    pub idle_timeout_syn: Duration,
    /// A TCP flow of which both sides have finished, but not acknowledged it, ends after this long
    /// without a packet.
    ///
    /// Rationale: Linux keeps FIN-WAIT-2 for 60 s.
    pub idle_timeout_closing: Duration,
    /// A UDP flow ends after this long without a packet.
    pub idle_timeout_udp: Duration,
    /// Any other flow ends after this long without a packet.
    pub idle_timeout_other: Duration,
    /// After a close, stragglers are absorbed for this long before the flow's record is
    /// complete; [`Duration::ZERO`] ends it at once.
    ///
    /// Rationale: covers the retransmission of a last ACK or FIN, without holding the key for
    /// long.
    pub close_linger: Duration,
    /// The same after a reset, at most `close_linger`.
    ///
    /// Rationale: long enough for a sender that never got the reset to show it by going on.
    pub reset_linger: Duration,
    /// Flows in the table; at this many, a new one evicts another.
    ///
    /// Rationale: at 256 bytes a flow, 25 MiB. A flow with VLAN tags or in a tunnel takes half as
    /// much again, and one whose segments are rejected or odd a kilobyte; were all like that, 120
    /// MiB. Once the table was full, the order of eviction takes another 48 bytes a flow.
    pub max_flows: usize,
    /// Flows the table has room for from the start.
    pub initial_capacity: usize,
    /// Timeouts are looked at this often, and are exact to this; a millisecond at least.
    pub sweep_interval: Duration,
    /// Whether [`track`](crate::FlowTracker::track) looks at timeouts by itself as packet time
    /// passes.
    pub auto_sweep: bool,
    /// Flows that go on are reported this often, counted from their first packet, unless there was
    /// none since; never if `None`. Exact to `sweep_interval`.
    pub update_interval: Option<Duration>,
    /// TCP segments with a lower time to live are rejected; 0 takes all.
    ///
    /// Rationale: whoever knows how far the hosts are can keep out what will never reach them;
    /// nobody else should guess.
    pub min_ttl: u8,
    /// Whether TCP segments with a bad checksum are rejected. Verified are those with payload, and
    /// those that begin or end a connection, if they were captured whole and somebody reads
    /// payloads ([`FlowSink::READS_PAYLOAD`]), as reassembly and sessions do. A tracker by itself
    /// verifies nothing but, with [`ChecksumPolicy::Always`], what begins or ends a connection: it
    /// would have to read every payload to learn what a checksum is worth.
    ///
    /// [`FlowSink::READS_PAYLOAD`]: crate::FlowSink::READS_PAYLOAD
    pub checksums: ChecksumPolicy,
    /// Out-of-order and undelivered bytes that one stream may hold; `None` for the reassembler's
    /// own limit.
    pub max_reassembler_buffer: Option<usize>,
    /// What happens at that limit.
    pub overflow_policy: OverflowPolicy,
    /// Out-of-order bytes that all streams may hold together, 64 for each queued segment included.
    /// Beyond it, the streams that have waited longest give up their holes until a quarter is free.
    ///
    /// Rationale: 256 MiB are room for some hundred full receive windows at once, which honest
    /// traffic does not come to, and little beside the memory of a machine that watches so many.
    pub max_reassembly_total: usize,
    /// What becomes of urgent bytes.
    pub urgent: UrgentPolicy,
    /// Limits and timeouts of the IP packets that are put together from fragments.
    pub defragment: DefragmentConfig,
}

impl FlowTrackerConfig {
    /// The number of the tick, of [`sweep_interval`](Self::sweep_interval), in which a time lies:
    /// anomalies of a kind are reported once in it.
    #[must_use]
    pub fn tick(&self, ts: Timestamp) -> u64 {
        let interval = u64::try_from(self.sweep_interval.as_nanos()).unwrap_or(u64::MAX);
        ts.as_nanos() / interval.max(1_000_000)
    }
}

impl Default for FlowTrackerConfig {
    fn default() -> Self {
        Self {
            idle_timeout_tcp: Duration::from_secs(300),
            idle_timeout_syn: Duration::from_secs(30),
            idle_timeout_closing: Duration::from_secs(60),
            idle_timeout_udp: Duration::from_secs(60),
            idle_timeout_other: Duration::from_secs(30),
            close_linger: Duration::from_secs(5),
            reset_linger: Duration::from_secs(2),
            max_flows: 100_000,
            initial_capacity: 1_024,
            sweep_interval: Duration::from_secs(1),
            auto_sweep: true,
            update_interval: None,
            min_ttl: 0,
            checksums: ChecksumPolicy::default(),
            max_reassembler_buffer: None,
            overflow_policy: OverflowPolicy::default(),
            max_reassembly_total: 256 << 20,
            urgent: UrgentPolicy::default(),
            defragment: DefragmentConfig::default(),
        }
    }
}

/// Limits and timeouts of a [`Defragmenter`](crate::Defragmenter). All times are packet time.
///
/// A packet that is dropped at `max_packets` or `max_bytes` is the one of which the first fragment
/// came the longest ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DefragmentConfig {
    /// An IPv4 packet that is not whole this long after its first fragment came is dropped.
    ///
    /// Rationale: what Linux waits; RFC 791 section 3.2 suggests 15 s, RFC 1122 section 3.3.2 60 s
    /// to 120 s.
    pub timeout_ipv4: Duration,
    /// The same for IPv6.
    ///
    /// Rationale: RFC 8200 section 4.5.
    pub timeout_ipv6: Duration,
    /// Packets at once, those included that were dropped and are remembered until their timeout;
    /// with 0 none is put together but those in a single fragment.
    ///
    /// Rationale: incomplete packets are few, as the fragments of one mostly come in a row;
    /// this many leave 4 KiB of `max_bytes` for each.
    pub max_packets: usize,
    /// Memory for the fragments of all packets at once, in bytes: the capacity of the buffers and
    /// a fixed charge for each packet.
    ///
    /// Rationale: four times what Linux keeps per network namespace; the largest packet there is
    /// fits a hundred times.
    pub max_bytes: usize,
    /// Fragments of one packet, duplicates not counted; a packet with more is dropped.
    ///
    /// Rationale: a packet of 65,535 bytes in pieces of 8, the smallest that there are, has fewer,
    /// so that nothing a host would accept is refused. A fragment costs the same however many
    /// there are, and the memory for all of them is charged.
    pub max_fragments: u32,
}

impl Default for DefragmentConfig {
    fn default() -> Self {
        Self {
            timeout_ipv4: Duration::from_secs(30),
            timeout_ipv6: Duration::from_secs(60),
            max_packets: 4_096,
            max_bytes: 16 << 20,
            max_fragments: 8_192,
        }
    }
}

/// What is made of TCP checksums.
///
/// A host drops a segment whose checksum is wrong, so such a segment can show an observer what the
/// host never gets. But captures are full of good segments with bad checksums: on the host that
/// sends them the network card makes the checksum, on one that receives them it merges segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChecksumPolicy {
    /// A bad checksum is held against a segment of a direction whose checksums have been good: at
    /// least three of them, and four for each bad one. Otherwise it is reported and counts.
    #[default]
    Auto,
    /// Every segment with a bad checksum is rejected, but for those that the network card was to
    /// complete, or has merged.
    Always,
    /// Nothing is verified.
    Never,
}

/// What becomes of the byte that a TCP segment marks as urgent.
///
/// The receiving application decides (`SO_OOBINLINE`), and who watches cannot know what it did: the
/// segment is reported as [`SegmentOddity::UrgentData`](crate::SegmentOddity::UrgentData).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UrgentPolicy {
    /// It stays in the stream, as RFC 6093 recommends.
    #[default]
    Inline,
    /// It is taken out of the stream, as Linux does by default: the byte in front of the one that
    /// the urgent pointer points to, or the segment's first if the pointer is 0. Stream offsets
    /// count it.
    Remove,
}

/// What happens when a stream's buffer is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OverflowPolicy {
    /// The oldest bytes make room: a hole in front of queued data is given up, undrained data is
    /// dropped from its beginning.
    #[default]
    SlidingWindow,
    /// The flow ends with [`EndReason::BufferOverflow`](crate::EndReason::BufferOverflow).
    DropFlow,
}
