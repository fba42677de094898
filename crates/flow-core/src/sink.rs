use crate::{
    AnomalyKind, EndReason, Flow, FlowEvent, FlowSide, FlowState, IcmpError, Resync, TcpInfo,
    Timestamp, Verdict,
};

/// What a tracker reports to the layer above while it handles a packet.
///
/// [`FlowTracker::track`](crate::FlowTracker::track) turns these calls into [`FlowEvent`]s.
/// Reassembly and sessions implement the trait themselves: they get the flow's entry in place,
/// without a second lookup and without an event being made that nobody reads.
///
/// Calls for one flow come in the order `started`, then for each packet `packet`, `established`
/// and `state_change` as they apply, then `ended`.
pub trait FlowSink<K, S> {
    /// Whether it looks at payloads. If not, checksums are not verified
    /// ([`checksums`](crate::FlowTrackerConfig::checksums)).
    const READS_PAYLOAD: bool = false;

    /// Whether it still looks at what `side` of this flow sends, if it looks at any payload.
    fn reads_payload(&self, flow: &Flow<K, S>, side: FlowSide) -> bool {
        let _ = (flow, side);
        Self::READS_PAYLOAD
    }

    /// A flow has begun with a packet of `side`.
    fn started(&mut self, flow: &mut Flow<K, S>, side: FlowSide) {
        let _ = (flow, side);
    }

    /// A packet of the flow, already counted and judged. An end reason as the answer ends the
    /// flow at once.
    fn packet(&mut self, flow: &mut Flow<K, S>, packet: &TrackedPacket<'_>) -> Option<EndReason> {
        let _ = (flow, packet);
        None
    }

    /// The TCP handshake is complete.
    fn established(&mut self, flow: &mut Flow<K, S>, ts: Timestamp) {
        let _ = (flow, ts);
    }

    /// The TCP state is `to` now.
    fn state_change(
        &mut self,
        flow: &mut Flow<K, S>,
        from: FlowState,
        to: FlowState,
        ts: Timestamp,
    ) {
        let _ = (flow, from, to, ts);
    }

    /// The flow goes on, and [`update_interval`](crate::FlowTrackerConfig::update_interval) has
    /// passed once more.
    fn update(&mut self, flow: &mut Flow<K, S>, ts: Timestamp) {
        let _ = (flow, ts);
    }

    /// An ICMP error, the packet of this `number`, quotes a packet of the flow that `side` sent. It
    /// is counted as a packet of the other side, and has no payload.
    fn icmp_error(
        &mut self,
        flow: &mut Flow<K, S>,
        side: FlowSide,
        error: IcmpError,
        number: u64,
        ts: Timestamp,
    ) {
        let _ = (flow, side, error, number, ts);
    }

    /// Something out of the ordinary.
    fn anomaly(&mut self, flow: Option<&mut Flow<K, S>>, kind: AnomalyKind, ts: Timestamp) {
        let _ = (flow, kind, ts);
    }

    /// The flow's record is complete; the entry is gone after this call.
    fn ended(&mut self, flow: &mut Flow<K, S>, reason: EndReason, ts: Timestamp) {
        let _ = (flow, reason, ts);
    }
}

/// A packet as the tracker understood it.
#[derive(Clone, Copy, Debug)]
pub struct TrackedPacket<'a> {
    /// Its number, counted from 1 over all packets the tracker was given.
    pub number: u64,
    /// Its time.
    pub ts: Timestamp,
    /// Who sent it.
    pub side: FlowSide,
    /// Its bytes on the wire.
    pub wire_len: u32,
    /// Its transport payload as far as captured.
    pub payload: &'a [u8],
    /// The length of its transport payload as the headers say.
    pub payload_len: u32,
    /// Its TCP header.
    pub tcp: Option<&'a TcpInfo>,
    /// Whether a host would accept it; always accepted if it is not TCP.
    pub verdict: Verdict,
    /// Its sender goes on at a sequence number that does not follow from what was seen before.
    pub resync: Option<Resync>,
    /// It is a byte sent to find out whether the other side, which had none, has room again (RFC
    /// 9293 section 3.8.6.1).
    pub window_probe: bool,
    /// It is what nearly all packets are: not of TCP or, of an established connection, accepted, and
    /// with nothing but its data and an acknowledgment to tell. Others may be so, too.
    pub is_usual: bool,
}

impl TrackedPacket<'_> {
    /// Whether all of its payload was captured.
    #[must_use]
    #[inline]
    pub const fn is_whole(&self) -> bool {
        self.payload.len() == self.payload_len as usize
    }
}

/// Collects events: the sink behind [`FlowTracker::track`](crate::FlowTracker::track).
#[derive(Debug)]
pub struct EventQueue<K> {
    events: Vec<FlowEvent<K>>,
    emit_anomalies: bool,
    leave_out_packets: bool,
}

impl<K> Default for EventQueue<K> {
    fn default() -> Self {
        Self { events: Vec::new(), emit_anomalies: false, leave_out_packets: false }
    }
}

impl<K> EventQueue<K> {
    /// Whether anomalies are collected too; they are not by default.
    #[must_use]
    pub fn with_emit_anomalies(mut self, emit: bool) -> Self {
        self.emit_anomalies = emit;
        self
    }

    /// Whether [`FlowEvent::Packet`]s are collected; they are by default.
    #[must_use]
    pub fn with_packets(mut self, packets: bool) -> Self {
        self.leave_out_packets = !packets;
        self
    }

    /// Drops the events.
    #[inline]
    pub fn clear(&mut self) {
        self.events.clear();
    }

    /// Takes the events out, oldest first.
    pub fn drain(&mut self) -> std::vec::Drain<'_, FlowEvent<K>> {
        self.events.drain(..)
    }
}

impl<K: Clone, S> FlowSink<K, S> for EventQueue<K> {
    fn started(&mut self, flow: &mut Flow<K, S>, side: FlowSide) {
        let (key, ts, l4) = (flow.key.clone(), flow.started, flow.l4);
        self.events.push(FlowEvent::Started { key, side, ts, l4 });
    }

    #[inline]
    fn packet(&mut self, flow: &mut Flow<K, S>, packet: &TrackedPacket<'_>) -> Option<EndReason> {
        if !self.leave_out_packets {
            let (side, ts) = (packet.side, packet.ts);
            let len = packet.wire_len as usize;
            self.events.push(FlowEvent::Packet { key: flow.key.clone(), side, len, ts });
        }
        None
    }

    fn established(&mut self, flow: &mut Flow<K, S>, ts: Timestamp) {
        self.events.push(FlowEvent::Established { key: flow.key.clone(), ts });
    }

    fn state_change(
        &mut self,
        flow: &mut Flow<K, S>,
        from: FlowState,
        to: FlowState,
        ts: Timestamp,
    ) {
        self.events.push(FlowEvent::StateChange { key: flow.key.clone(), from, to, ts });
    }

    fn update(&mut self, flow: &mut Flow<K, S>, ts: Timestamp) {
        let (key, stats) = (flow.key.clone(), Box::new(flow.stats()));
        self.events.push(FlowEvent::Update { key, stats, ts });
    }

    fn icmp_error(
        &mut self,
        flow: &mut Flow<K, S>,
        side: FlowSide,
        error: IcmpError,
        _number: u64,
        ts: Timestamp,
    ) {
        self.events.push(FlowEvent::IcmpError { key: flow.key.clone(), side, error, ts });
    }

    fn anomaly(&mut self, flow: Option<&mut Flow<K, S>>, kind: AnomalyKind, ts: Timestamp) {
        if self.emit_anomalies {
            let key = flow.map(|flow| flow.key.clone());
            self.events.push(FlowEvent::Anomaly { key, kind, ts });
        }
    }

    fn ended(&mut self, flow: &mut Flow<K, S>, reason: EndReason, _ts: Timestamp) {
        let (key, stats, history) = (flow.key.clone(), Box::new(flow.stats()), flow.history());
        self.events.push(FlowEvent::Ended { key, reason, stats, history });
    }
}
