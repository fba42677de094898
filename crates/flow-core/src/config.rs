use std::time::Duration;

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
    /// Rationale: 256 bytes a flow make 25 MiB.
    pub max_flows: usize,
    /// Flows the table has room for from the start.
    pub initial_capacity: usize,
    /// Timeouts are looked at this often, and are exact to this; a millisecond at least.
    pub sweep_interval: Duration,
    /// Whether [`track`](crate::FlowTracker::track) looks at timeouts by itself as packet time
    /// passes.
    pub auto_sweep: bool,
    /// Out-of-order and undelivered bytes that one stream may hold; `None` for the reassembler's
    /// own limit.
    pub max_reassembler_buffer: Option<usize>,
    /// What happens at that limit.
    pub overflow_policy: OverflowPolicy,
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
            max_reassembler_buffer: None,
            overflow_policy: OverflowPolicy::default(),
        }
    }
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
