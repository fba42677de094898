//! What `flow top` knows: flows with their rates, the latest messages, totals.
//!
//! Time is that of the packets. Nothing here reads a clock or knows of a terminal.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use flow::extract::FiveTupleKey;
use flow::{
    CaptureStats, EndReason, Flow, FlowSide, FlowState, FlowStats, L4Proto, PacketView,
    SessionEvent, Timestamp, Traffic,
};

use crate::anomaly::AnomalyLine;
use crate::key::{Ends, FlowKey as _};
use crate::log::{self, Event};
use crate::output::{Escaped, Shown};
use crate::sessions::Session;

/// Flows that are kept after their end; beyond it the smallest ones go.
///
/// Rationale: more than anybody scrolls through, in a few megabytes.
pub(super) const ENDED_KEPT: usize = 10_000;

/// Messages that are kept.
///
/// Rationale: more than anybody scrolls through, in two megabytes at most.
pub(super) const MESSAGES_KEPT: usize = 1_000;

/// Characters of a message that are kept; a terminal shows a few hundred.
const MESSAGE_CHARS: usize = 500;

/// Characters of the name of an application that are kept.
const APPLICATION_CHARS: usize = 100;

/// Rows of flows that may have left the table unnoticed, before that is looked into.
const UNNOTICED: usize = 1_024;

/// A longer time between two packets is more likely that of a wrong clock.
pub(super) const LONGEST_GAP: Duration = Duration::from_secs(24 * 3600);

/// How fast a rate forgets: after this time a third is left.
const RATE_MEMORY: Duration = Duration::from_secs(2);

/// What was seen until now.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) totals: Totals,
    /// Flows in the table, and those that have left it since it was last looked through.
    rows: HashMap<u64, Row>,
    /// Flows that have left it.
    ended: Vec<Row>,
    pub(super) messages: VecDeque<Message>,
    /// Time of the first packet.
    pub(super) began: Option<Timestamp>,
    /// The present: time of the last packet, or later if nothing comes.
    pub(super) now: Timestamp,
    /// Looks at the table.
    looks: u64,
    /// The latest time that is not further from that of the packet in front of it than packets are.
    latest: Timestamp,
    /// The time to which the rates belong.
    rated: Option<Timestamp>,
    /// There are no more packets.
    pub(super) is_finished: bool,
    /// What the source of a live capture counted.
    pub(super) capture: Option<CaptureStats>,
}

/// Numbers of the whole capture.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// Flows that have begun.
    pub(super) flows: u64,
    /// Of them, those that have not ended.
    pub(super) open: u64,
    pub(super) messages: u64,
    pub(super) packet_rate: Meter,
    pub(super) byte_rate: Meter,
}

/// How fast a counter grows, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Meter {
    pub(super) rate: f64,
    /// The counter when it was last looked at.
    seen: u64,
}

impl Meter {
    /// The counter stands at `count`, `gap` after it was last looked at.
    fn tick(&mut self, count: u64, gap: Gap) {
        let new = count.saturating_sub(self.seen) as f64;
        self.rate = self.rate * gap.kept + new / gap.seconds * (1.0 - gap.kept);
        self.seen = count;
    }
}

/// Time between two looks at counters.
#[derive(Clone, Copy)]
struct Gap {
    seconds: f64,
    /// How much of a rate is left of it.
    kept: f64,
}

impl Gap {
    /// `None` if no time has passed.
    fn new(gap: Duration) -> Option<Self> {
        let seconds = gap.as_secs_f64();
        let kept = (-seconds / RATE_MEMORY.as_secs_f64()).exp();
        (!gap.is_zero()).then_some(Self { seconds, kept })
    }
}

/// A flow.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// Its number.
    pub(super) flow: u64,
    pub(super) proto: Option<L4Proto>,
    pub(super) ends: Ends,
    pub(super) state: State,
    /// What the initiator sent, and what the responder did.
    pub(super) sent: [Traffic; 2],
    pub(super) started: Timestamp,
    pub(super) last_seen: Timestamp,
    /// What it is about, safe for a terminal: `http www.example.com`. Empty if that is not known.
    pub(super) application: String,
    /// Bytes of both directions.
    meter: Meter,
    /// The look at the table in which it was last there.
    looks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open(FlowState),
    Ended(EndReason),
}

/// A message, or something out of the ordinary.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// Its number, counted from 0.
    pub(super) number: u64,
    pub(super) ts: Timestamp,
    pub(super) flow: Option<Session>,
    pub(super) side: FlowSide,
    pub(super) proto: &'static str,
    /// Safe for a terminal.
    pub(super) text: String,
}

impl Model {
    /// Counts a packet.
    #[inline]
    pub(super) fn packet(&mut self, view: PacketView<'_>) {
        self.totals.packets += 1;
        self.totals.bytes += u64::from(view.wire_len);
        let ts = view.timestamp;
        if self.began.is_none() {
            (self.began, self.rated) = (Some(ts), Some(ts));
            (self.now, self.latest) = (ts, ts);
        }
        if ts > self.latest && ts.saturating_sub(self.now) < LONGEST_GAP {
            self.latest = ts;
        }
        self.now = ts;
    }

    /// No packet has come until `now`.
    pub(super) fn idle(&mut self, now: Timestamp) {
        self.now = now;
        self.latest = self.latest.max(now);
    }

    /// Takes down what happened to a flow.
    pub(super) fn event(&mut self, session: Option<Session>, event: &Event) {
        match event {
            SessionEvent::Started { key, ts } => {
                let Some(Session { flow, ends }) = session else { return };
                self.begin(Row::new(flow, Some(key.proto), ends, *ts));
            }
            SessionEvent::Application { side, ts, .. } => {
                self.message(session, event, *side, *ts);
            }
            SessionEvent::Closed { reason, stats, .. } => {
                if let Some(session) = session {
                    self.close(session.flow, *reason, stats);
                }
            }
            SessionEvent::Anomaly { kind, ts, .. } => {
                let words = AnomalyLine::new(*ts, None, kind).to_summary();
                let text = String::from_utf8_lossy(&words).into_owned();
                self.push(session, *ts, FlowSide::Initiator, "!", text);
            }
            _ => {}
        }
    }

    /// Takes down how a flow in the table stands.
    pub(super) fn update<S>(&mut self, flow: &Flow<FiveTupleKey, S>) {
        let ends = flow.key().ends(flow.initiator());
        if !self.rows.contains_key(&flow.id()) && !is_reported(flow.l4()) {
            self.begin(Row::new(flow.id(), flow.l4(), ends, flow.started()));
        }
        let Some(row) = self.rows.get_mut(&flow.id()) else { return };
        row.looks = self.looks;
        row.ends = ends;
        row.count(&flow.stats());
        if let State::Open(state) = &mut row.state {
            *state = flow.state();
        }
    }

    /// Looks through the table: takes down how its flows stand, how fast they grow, and which have
    /// left it.
    pub(super) fn look<'a, S: 'a>(
        &mut self,
        flows: impl Iterator<Item = &'a Flow<FiveTupleKey, S>>,
    ) {
        self.looks += 1;
        for flow in flows {
            self.update(flow);
        }
        let looks = self.looks;
        for (_, mut row) in self.rows.extract_if(|_, row| row.looks != looks) {
            // Of a protocol without messages nobody tells, and but for a full table it is time
            // alone that ends such a flow.
            self.totals.open -= u64::from(row.is_open());
            row.end(EndReason::IdleTimeout);
            self.ended.push(row);
        }
        self.forget();
        self.rate();
    }

    /// Whether many flows may have left a table, of which this many are still there, unnoticed.
    #[inline]
    pub(super) fn must_look(&self, in_table: usize) -> bool {
        self.rows.len() > 2 * in_table + UNNOTICED
    }

    /// There are no more packets, and every flow has ended.
    pub(super) fn finish(&mut self) {
        self.is_finished = true;
        for (_, mut row) in self.rows.drain() {
            row.end(EndReason::EndOfInput);
            self.ended.push(row);
        }
        self.totals.open = 0;
        self.forget();
    }

    /// The flows that are known.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().chain(&self.ended)
    }

    /// The flow of this number, if it is still known.
    pub(super) fn row(&self, flow: u64) -> Option<&Row> {
        self.rows.get(&flow).or_else(|| self.ended.iter().find(|row| row.flow == flow))
    }

    /// Bytes per second of a flow: of late, or in all its time once there are no more packets.
    pub(super) fn rate_of(&self, row: &Row) -> f64 {
        if self.is_finished { average(row.bytes(), row.lasted()) } else { row.meter.rate }
    }

    /// Packets and bytes per second, in the same way.
    pub(super) fn rates(&self) -> (f64, f64) {
        let totals = &self.totals;
        if self.is_finished {
            let lasted = self.lasted();
            return (average(totals.packets, lasted), average(totals.bytes, lasted));
        }
        (totals.packet_rate.rate, totals.byte_rate.rate)
    }

    /// Time since the first packet.
    pub(super) fn lasted(&self) -> Duration {
        self.began.map_or(Duration::ZERO, |began| self.latest.saturating_sub(began))
    }

    fn begin(&mut self, row: Row) {
        self.totals.flows += 1;
        self.totals.open += 1;
        self.rows.insert(row.flow, row);
    }

    /// A flow has ended. One that closed in order stays in the table for a while, where what
    /// straggles is counted.
    fn close(&mut self, flow: u64, reason: EndReason, stats: &FlowStats) {
        let Some(row) = self.rows.get_mut(&flow) else { return };
        self.totals.open -= u64::from(row.is_open());
        row.end(reason);
        row.count(stats);
        let stays = matches!(reason, EndReason::Fin | EndReason::Rst | EndReason::ParseError);
        if !stays && let Some(row) = self.rows.remove(&flow) {
            self.ended.push(row);
            self.forget();
        }
    }

    /// Forgets the smallest of the ended flows, if there are too many: seldom, and many at a time.
    fn forget(&mut self) {
        if self.ended.len() >= 2 * ENDED_KEPT {
            let by_bytes = |row: &Row| std::cmp::Reverse((row.bytes(), row.flow));
            self.ended.select_nth_unstable_by_key(ENDED_KEPT, by_bytes);
            self.ended.truncate(ENDED_KEPT);
        }
    }

    /// Looks at how fast everything grows.
    fn rate(&mut self) {
        let gap = self.rated.map_or(Duration::ZERO, |rated| self.now.saturating_sub(rated));
        self.rated = self.began.map(|_| self.now);
        let Some(gap) = Gap::new(gap) else { return };
        for row in self.rows.values_mut().chain(&mut self.ended) {
            row.meter.tick(row.bytes(), gap);
        }
        self.totals.packet_rate.tick(self.totals.packets, gap);
        self.totals.byte_rate.tick(self.totals.bytes, gap);
    }

    fn message(&mut self, session: Option<Session>, event: &Event, side: FlowSide, ts: Timestamp) {
        let Some(note) = log::note(session, event) else { return };
        let row = session.and_then(|session| self.rows.get_mut(&session.flow));
        if let (Some(row), Some(subject)) = (row, note.subject) {
            let application = format!("{} {}", note.proto, Escaped(&subject));
            row.application = cut(application, APPLICATION_CHARS);
        }
        self.push(session, ts, side, note.proto, note.summary);
    }

    fn push(
        &mut self,
        flow: Option<Session>,
        ts: Timestamp,
        side: FlowSide,
        proto: &'static str,
        text: String,
    ) {
        if self.messages.len() >= MESSAGES_KEPT {
            self.messages.pop_front();
        }
        let (number, text) = (self.totals.messages, cut(text, MESSAGE_CHARS));
        self.messages.push_back(Message { number, ts, flow, side, proto, text });
        self.totals.messages += 1;
    }
}

impl Message {
    /// All of it but its time, as one text.
    pub(super) fn words(&self) -> String {
        let Self { proto, text, .. } = self;
        match self.flow {
            None => format!("{proto} {text}"),
            Some(Session { flow, ends }) => {
                let arrow = if self.side == FlowSide::Initiator { "->" } else { "<-" };
                let (source, destination) = (ends.source(), ends.destination());
                format!("{flow:>6} {source:>21} {arrow} {destination:21} {proto:5} {text}")
            }
        }
    }
}

impl Row {
    fn new(flow: u64, proto: Option<L4Proto>, ends: Ends, started: Timestamp) -> Self {
        Self {
            flow,
            proto,
            ends,
            state: State::Open(FlowState::Active),
            sent: [Traffic::default(); 2],
            started,
            last_seen: started,
            application: String::new(),
            meter: Meter::default(),
            looks: 0,
        }
    }

    fn count(&mut self, stats: &FlowStats) {
        self.sent = FlowSide::BOTH.map(|side| stats.sent_by(side));
        (self.started, self.last_seen) = (stats.started, stats.last_seen);
    }

    fn end(&mut self, reason: EndReason) {
        if let State::Open(_) = self.state {
            self.state = State::Ended(reason);
        }
    }

    pub(super) fn packets(&self) -> u64 {
        self.sent.iter().map(|sent| sent.packets).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.bytes).sum()
    }

    pub(super) fn lasted(&self) -> Duration {
        self.last_seen.saturating_sub(self.started)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open(_))
    }

    pub(super) fn proto(&self) -> String {
        self.proto.map(|proto| Shown(proto).to_string()).unwrap_or_default()
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open(state) => state.fmt(f),
            Self::Ended(reason) => reason.fmt(f),
        }
    }
}

/// Whether the engine reports what happens to flows of this protocol.
pub(super) fn is_reported(proto: Option<L4Proto>) -> bool {
    matches!(proto, Some(L4Proto::Tcp | L4Proto::Udp))
}

/// Per second, where less than a second counts as one.
fn average(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1.0)
}

/// The beginning of a text.
fn cut(mut text: String, chars: usize) -> String {
    if let Some((at, _)) = text.char_indices().nth(chars) {
        text.truncate(at);
    }
    text.shrink_to_fit();
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Address;

    fn row(flow: u64, bytes: u64) -> Row {
        let ip = Shown(Address::Ip([192, 0, 2, 1].into()));
        let ends = Ends { src: ip, sport: None, dst: ip, dport: None };
        let mut row = Row::new(flow, Some(L4Proto::Udp), ends, Timestamp::default());
        row.sent[0].bytes = bytes;
        row
    }

    #[track_caller]
    fn check_rate(counts: &[(u64, u64)], expected: f64) {
        let (mut meter, mut before) = (Meter::default(), 0);
        for &(millis, count) in counts {
            meter.tick(count, Gap::new(Duration::from_millis(millis - before)).unwrap());
            before = millis;
        }
        assert!((meter.rate - expected).abs() < 0.5, "{}", meter.rate);
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let steady = |upto: u64| (1..=upto).map(|i| (i * 250, i * 250)).collect::<Vec<_>>();
        check_rate(&steady(80), 1_000.0);
        // A third of it is left after two seconds.
        check_rate(&[steady(80), vec![(22_000, 20_000)]].concat(), 367.9);
        check_rate(&[steady(80), vec![(60_000, 20_000)]].concat(), 0.0);
        // A long time between two looks counts as a whole.
        check_rate(&[(1_000_000, 5_000_000)], 5_000.0);
        // A burst in no time is no great rate.
        check_rate(&[(1, 1_000)], 499.9);
        assert!(Gap::new(Duration::ZERO).is_none());
    }

    #[test]
    fn smallest_of_the_ended_flows_are_forgotten() {
        let mut model = Model::default();
        let count = 2 * ENDED_KEPT as u64 + 10;
        for flow in 0..count {
            model.begin(row(flow, 0));
            let mut stats = FlowStats::default();
            stats.bytes_initiator = flow % 1_000;
            model.close(flow, EndReason::IdleTimeout, &stats);
        }
        assert_eq!((model.totals.flows, model.totals.open), (count, 0));
        assert_eq!(model.rows().count(), ENDED_KEPT + 10);
        // Of each size there are as many.
        let large = model.rows().filter(|row| row.bytes() >= 500);
        assert!(large.count() >= ENDED_KEPT);
    }

    #[test]
    fn flows_that_left_unnoticed_are_looked_for() {
        let mut model = Model::default();
        (0..UNNOTICED as u64 + 200).for_each(|flow| model.begin(row(flow, 0)));
        assert!(!model.must_look(100));
        assert!(model.must_look(99));
        model.look(std::iter::empty::<&Flow<FiveTupleKey, ()>>());
        assert!(!model.must_look(0));
        assert_eq!((model.totals.open, model.rows().count()), (0, UNNOTICED + 200));
    }

    #[test]
    fn oldest_messages_are_forgotten() {
        let mut model = Model::default();
        for number in 0..MESSAGES_KEPT + 10 {
            let text = format!("{number} {}", "x".repeat(2 * MESSAGE_CHARS));
            model.push(None, Timestamp::default(), FlowSide::Initiator, "dns", text);
        }
        assert_eq!((model.messages.len(), model.totals.messages), (MESSAGES_KEPT, 1_010));
        assert!(model.messages[0].text.starts_with("10 "));
        assert_eq!(model.messages[0].text.chars().count(), MESSAGE_CHARS);
    }

    #[test]
    fn wrong_clocks_do_not_lengthen_the_capture() {
        let mut model = Model::default();
        let mut check = |secs, expected| {
            model.packet(PacketView::new(&[], Timestamp::new(secs, 0)));
            assert_eq!(model.lasted().as_secs(), expected);
        };
        check(1_000_000, 0);
        check(1_000_010, 10);
        check(4_000_000_000, 10);
        check(1_000_020, 20);
        check(5, 20);
        check(1_000_015, 20);
        check(2_000_000, 20);
        check(2_000_001, 1_000_001);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let check = |text: &str, chars, expected| assert_eq!(cut(text.to_owned(), chars), expected);
        check("abc", 3, "abc");
        check("abcd", 3, "abc");
        check("\u{e9}\u{4e2d}\u{1f980}", 2, "\u{e9}\u{4e2d}");
    }
}
