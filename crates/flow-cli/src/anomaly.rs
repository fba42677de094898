use std::io::{self, Write};

use flow::{AnomalyKind, FlowSide, Timestamp};
use serde::Serialize;

use crate::key::Ends;
use crate::output::{Escaped, Line, Rows, Shown, moment};

/// A line about something out of the ordinary.
#[derive(Debug, Serialize)]
pub(crate) struct AnomalyLine<'a> {
    ts: Shown<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow: Option<u64>,
    #[serde(flatten)]
    ends: Option<Ends>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    r#type: &'static str,
    kind: Shown<&'a AnomalyKind>,
    #[serde(flatten)]
    details: Details<'a>,
}

/// The fields of all kinds.
#[derive(Debug, Default, Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evicted_in_tick: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    evicted_total: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Reason<'a> {
    Gap(Shown<flow::GapReason>),
    Words(&'a str),
}

impl<'a> AnomalyLine<'a> {
    /// The line of an anomaly, in the flow of this number and these ends if it concerns one.
    pub(crate) fn new(ts: Timestamp, flow: Option<(u64, Ends)>, kind: &'a AnomalyKind) -> Self {
        let (side, details) = details(kind);
        Self {
            ts: Shown(ts),
            flow: flow.map(|(id, _)| id),
            ends: flow.map(|(_, ends)| ends),
            side: side.map(side_name),
            r#type: "anomaly",
            kind: Shown(kind),
            details,
        }
    }
}

/// The name of a side in the output.
pub(crate) const fn side_name(side: FlowSide) -> &'static str {
    match side {
        FlowSide::Initiator => "initiator",
        FlowSide::Responder => "responder",
    }
}

fn details(kind: &AnomalyKind) -> (Option<FlowSide>, Details<'_>) {
    let mut details = Details::default();
    let side = match kind {
        AnomalyKind::BufferOverflow { side, bytes, .. }
        | AnomalyKind::BudgetFlush { side, bytes }
        | AnomalyKind::OverlapConflict { side, bytes } => {
            details.bytes = Some(*bytes);
            Some(*side)
        }
        AnomalyKind::OutOfOrderSegment { side, count } => {
            details.count = Some(*count);
            Some(*side)
        }
        AnomalyKind::FlowTableEvictionPressure { evicted_in_tick, evicted_total } => {
            details.evicted_in_tick = Some(*evicted_in_tick);
            details.evicted_total = Some(*evicted_total);
            None
        }
        AnomalyKind::SessionParseError { side, reason } => {
            details.reason = Some(Reason::Words(reason));
            Some(*side)
        }
        AnomalyKind::ProtocolViolation { side, offset, reason, count } => {
            details.offset = Some(*offset);
            details.count = Some(*count);
            details.reason = Some(Reason::Words(reason));
            Some(*side)
        }
        AnomalyKind::StreamGap { side, offset, bytes, count, reason } => {
            details.offset = Some(*offset);
            details.bytes = Some(*bytes);
            details.count = Some(*count);
            details.reason = Some(Reason::Gap(Shown(*reason)));
            Some(*side)
        }
        AnomalyKind::RejectedSegment { side, .. } | AnomalyKind::OddSegment { side, .. } => {
            Some(*side)
        }
        // What is wrong is in the name, as for any kind that is not known here.
        _ => None,
    };
    (side, details)
}

impl Line for AnomalyLine<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{} anomaly {}", moment(self.ts.0), self.kind)?;
        if let (Some(id), Some(ends)) = (self.flow, self.ends) {
            write!(out, " in flow {id} {} -> {}", ends.source(), ends.destination())?;
        }
        if let Some(side) = self.side {
            write!(out, " by the {side}")?;
        }
        self.details.text(out)
    }

    /// As a row of `flow log`: a packet is not known, the summary is that of the text.
    fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.ts)?;
        row.field("")?;
        row.field("")?;
        row.optional(self.flow)?;
        match &self.ends {
            Some(ends) => ends.row(row)?,
            None => Ends::COLUMNS.iter().try_for_each(|_| row.field(""))?,
        }
        row.optional(self.side)?;
        row.field("")?;
        row.field(self.r#type)?;
        row.written(|out| {
            write!(out, "{}", self.kind)?;
            self.details.text(out)
        })
    }
}

impl AnomalyLine<'_> {
    /// What the text says of it besides time and flow.
    pub(crate) fn to_summary(&self) -> Vec<u8> {
        let side = self.side.map(|side| format!(" by the {side}")).unwrap_or_default();
        let mut words = format!("{}{side}", self.kind).into_bytes();
        // Infallible: memory takes whatever is written.
        let _ = self.details.text(&mut words);
        words
    }
}

impl Details<'_> {
    /// What is known, each behind a comma.
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { offset, bytes, count, reason, evicted_in_tick, evicted_total } = self;
        let numbers = [
            ("offset", offset),
            ("bytes", bytes),
            ("count", count),
            ("evicted", evicted_in_tick),
            ("evicted in total", evicted_total),
        ];
        for (name, number) in numbers {
            if let Some(number) = number {
                write!(out, ", {name} {number}")?;
            }
        }
        match reason {
            None => Ok(()),
            Some(Reason::Gap(reason)) => write!(out, ", {reason}"),
            Some(Reason::Words(words)) => write!(out, ", {}", Escaped(words)),
        }
    }
}
