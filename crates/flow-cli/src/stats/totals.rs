use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::ops::AddAssign;

use flow::{
    EndReason, FlowState, FlowStats, L4Proto, LinkType, PacketView, RejectReason, SegmentOddity,
    TcpSideStats, Timestamp, TrackerStats,
};

use super::report::{Report, Traffic, Value};
use crate::key::Address;

/// What is counted of all packets and flows.
#[derive(Debug, Default)]
pub(super) struct Totals {
    packets: u64,
    bytes: u64,
    captured_bytes: u64,
    /// The earliest and the latest time of a packet.
    span: Option<(Timestamp, Timestamp)>,
    link_types: BTreeMap<u16, u64>,
    /// Packets that did not match the filter.
    pub(super) filtered: u64,
    /// Reports of them: what repeats itself within a moment is reported once.
    pub(super) anomalies: Tally<u64>,
    /// Of all flows.
    flows: Traffic,
    by_protocol: Tally<Traffic>,
    by_ip_version: Tally<Traffic>,
    by_reason: Tally<u64>,
    by_state: Tally<u64>,
    tcp: TcpSideStats,
}

impl Totals {
    /// Counts a packet, whatever becomes of it.
    pub(super) fn packet(&mut self, view: PacketView<'_>) {
        let PacketView { frame, timestamp, link_type, wire_len, .. } = view;
        self.packets += 1;
        self.bytes += u64::from(wire_len);
        self.captured_bytes += frame.len() as u64;
        let (first, last) = self.span.get_or_insert((timestamp, timestamp));
        *first = timestamp.min(*first);
        *last = timestamp.max(*last);
        *self.link_types.entry(link_type.0).or_default() += 1;
    }

    /// Counts a flow that has ended.
    pub(super) fn flow(
        &mut self,
        source: Address,
        l4: Option<L4Proto>,
        state: FlowState,
        reason: EndReason,
        stats: &FlowStats,
    ) {
        let traffic =
            Traffic { flows: 1, packets: stats.total_packets(), bytes: stats.total_bytes() };
        self.flows += traffic;
        // Flows of a pair of hosts have no protocol, those of MAC addresses no version either.
        if let Some(l4) = l4 {
            self.by_protocol.add(l4, traffic);
        }
        match source {
            Address::Ip(IpAddr::V4(_)) => self.by_ip_version.add("ipv4", traffic),
            Address::Ip(IpAddr::V6(_)) => self.by_ip_version.add("ipv6", traffic),
            Address::Mac(_) => {}
        }
        self.by_reason.add(reason, 1);
        if l4 == Some(L4Proto::Tcp) {
            self.by_state.add(state, 1);
        }
        self.tcp.add(&stats.tcp.initiator);
        self.tcp.add(&stats.tcp.responder);
    }

    /// Everything, with what the tracker counted, and the link types that it did not know.
    pub(super) fn report(&self, tracker: &TrackerStats, unknown: &BTreeMap<u16, u64>) -> Report {
        let mut report = Report::default()
            .number("packets", self.packets)
            .number("bytes", self.bytes)
            .number("captured_bytes", self.captured_bytes);
        if let Some((first, last)) = self.span {
            report = report.with("first", Value::Moment(first)).with("last", Value::Moment(last));
        }
        let skipped = tracker.skipped();
        let accounted = Report::default()
            .number("in_flows", self.flows.packets)
            .number("skipped", skipped)
            .number("sum", self.flows.packets + skipped);
        let flows = Report::default()
            .number("started", tracker.flows_started)
            .number("evicted", tracker.flows_evicted)
            .number("peak", tracker.flows_peak)
            .number("icmp_errors", tracker.icmp_errors)
            .group("by_protocol", self.by_protocol.report(Value::Traffic))
            .group("by_ip_version", self.by_ip_version.report(Value::Traffic))
            .group("by_reason", self.by_reason.report(Value::Number))
            .group("by_state", self.by_state.report(Value::Number));
        report
            .number("doubtful_timestamps", tracker.doubtful_timestamps)
            .number("filtered", self.filtered)
            .group("accounted", accounted)
            .group("skipped", reasons(tracker, unknown))
            .group("link_types", link_types(&self.link_types))
            .group("flows", flows)
            .group("tcp", tcp(&self.tcp, tracker))
            .group("anomalies", self.anomalies.report(Value::Number))
    }
}

/// Packets that have no flow, by the reason why.
fn reasons(tracker: &TrackerStats, unknown: &BTreeMap<u16, u64>) -> Report {
    let known = [
        ("unknown_link_type", tracker.skipped_unknown_link_type),
        ("truncated", tracker.skipped_truncated),
        ("malformed", tracker.skipped_malformed),
        ("fragments", tracker.skipped_fragments),
        ("no_flow", tracker.skipped_no_flow),
        ("duplicates", tracker.skipped_duplicates),
    ];
    let report = known.iter().fold(Report::default(), |report, &(name, n)| report.number(name, n));
    let other = tracker.skipped().saturating_sub(known.iter().map(|(_, packets)| packets).sum());
    let report = if other == 0 { report } else { report.number("other", other) };
    report.group("unknown_link_types", link_types(unknown))
}

fn link_types(packets: &BTreeMap<u16, u64>) -> Report {
    packets.iter().fold(Report::default(), |report, (&number, &packets)| {
        report.with(LinkType(number).to_string(), Value::Number(packets))
    })
}

/// What the tracker by itself finds out about TCP.
fn tcp(stats: &TcpSideStats, tracker: &TrackerStats) -> Report {
    let rejected = RejectReason::ALL.iter().zip(tracker.rejected_segments);
    let odd = SegmentOddity::ALL.iter().zip(tracker.odd_segments);
    Report::default()
        .number("syn_retransmissions", stats.syn_retransmissions)
        .number("resyncs", stats.resyncs)
        .number("acks_unseen", stats.acks_unseen)
        .group("rejected_segments", seen(rejected))
        .group("odd_segments", seen(odd))
}

/// The numbers that are not zero.
fn seen(numbers: impl Iterator<Item = (impl fmt::Display, u64)>) -> Report {
    numbers.filter(|(_, number)| *number > 0).fold(Report::default(), |report, (name, number)| {
        report.with(name.to_string(), Value::Number(number))
    })
}

/// Sums by a name. There are as many as the names have values: few.
#[derive(Debug, Default)]
pub(super) struct Tally<T> {
    sums: BTreeMap<String, T>,
    /// The name that is looked for, kept for its memory.
    name: String,
}

impl<T: AddAssign + Copy> Tally<T> {
    pub(super) fn add(&mut self, name: impl fmt::Display, value: T) {
        self.name.clear();
        // Writing to a string does not fail.
        let _ = write!(self.name, "{name}");
        match self.sums.get_mut(&self.name) {
            Some(sum) => *sum += value,
            None => {
                self.sums.insert(self.name.clone(), value);
            }
        }
    }

    fn report(&self, value: impl Fn(T) -> Value) -> Report {
        self.sums
            .iter()
            .fold(Report::default(), |report, (name, &sum)| report.with(name.clone(), value(sum)))
    }
}
