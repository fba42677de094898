use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use flow::{EndReason, FlowSide, Gap, GapReason, Origin, Timestamp};
use serde::Serialize;

use super::Delivered;
use super::transcript::mark;
use crate::anomaly::side_name;
use crate::gaps::Gaps;
use crate::key::Ends;
use crate::output::{Line, Rows, Shown};
use crate::sessions::Session;

/// Bytes in a row of a hex dump.
const ROW: usize = 16;

/// A line of `flow follow`: a piece of a stream. For people it is a hex dump.
#[derive(Serialize)]
pub(crate) struct Chunk<'a> {
    ts: Shown<Timestamp>,
    frame: u64,
    first_frame: u64,
    flow: u64,
    #[serde(flatten)]
    ends: Ends,
    side: &'static str,
    r#type: &'static str,
    offset: u64,
    len: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Shown<GapReason>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Shown<Base64<'a>>>,
    #[serde(skip)]
    mark: char,
}

/// What a piece of a stream is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Content<'a> {
    Bytes(&'a [u8]),
    Gap(Gap),
}

impl<'a> Chunk<'a> {
    /// The columns of the table.
    pub(crate) const COLUMNS: [&'static str; 14] = [
        "ts",
        "frame",
        "first_frame",
        "flow",
        "src",
        "sport",
        "dst",
        "dport",
        "side",
        "type",
        "offset",
        "len",
        "reason",
        "data",
    ];

    pub(crate) fn new(
        session: Session,
        side: FlowSide,
        ts: Timestamp,
        origin: &Origin,
        content: Content<'a>,
    ) -> Self {
        let (r#type, offset, len) = match content {
            Content::Bytes(bytes) => ("bytes", origin.range.start, bytes.len() as u64),
            Content::Gap(gap) => ("gap", gap.offset, gap.len),
        };
        let (reason, data) = match content {
            Content::Bytes(bytes) => (None, Some(Shown(Base64(bytes)))),
            Content::Gap(gap) => (Some(Shown(gap.reason)), None),
        };
        Self {
            ts: Shown(ts),
            frame: origin.packet,
            first_frame: origin.first_packet,
            flow: session.flow,
            ends: session.ends,
            side: side_name(side),
            r#type,
            offset,
            len,
            reason,
            data,
            mark: mark(side),
        }
    }
}

impl Line for Chunk<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        if let Some(reason) = self.reason {
            // What a side sent never has this mark.
            return write!(out, "{}! [{} bytes missing: {reason}]", self.mark, self.len);
        }
        let bytes = self.data.map_or(&[][..], |data| data.0.0);
        let offsets = (self.offset..).step_by(ROW);
        let mut line = Vec::with_capacity(80);
        for (i, (offset, row)) in offsets.zip(bytes.chunks(ROW)).enumerate() {
            let end = if i == 0 { "" } else { "\n" };
            write!(out, "{end}{} {offset:08x} ", self.mark)?;
            line.clear();
            hex_row(row, &mut line);
            out.write_all(&line)?;
        }
        Ok(())
    }

    fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.ts)?;
        row.field(self.frame)?;
        row.field(self.first_frame)?;
        row.field(self.flow)?;
        self.ends.row(row)?;
        row.field(self.side)?;
        row.field(self.r#type)?;
        row.field(self.offset)?;
        row.field(self.len)?;
        row.optional(self.reason)?;
        row.optional(self.data)
    }
}

/// Bytes in Base64 with padding (RFC 4648 Section 4).
#[derive(Clone, Copy, Debug)]
struct Base64<'a>(&'a [u8]);

impl fmt::Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(self.0, &STANDARD).fmt(f)
    }
}

/// Puts out up to [`ROW`] bytes by their numbers, in two groups, and as ASCII. Dumps are long, and
/// formatting each byte would take most of their time.
fn hex_row(row: &[u8], out: &mut Vec<u8>) {
    for i in 0..ROW {
        if i % 8 == 0 {
            out.push(b' ');
        }
        match row.get(i) {
            Some(byte) => out.extend([digit(byte >> 4), digit(byte & 0xf), b' ']),
            None => out.extend(b"   "),
        }
    }
    out.extend(b" |");
    out.extend(row.iter().map(|byte| if matches!(byte, b' '..=b'~') { *byte } else { b'.' }));
    out.push(b'|');
}

const fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

/// A line of the index of `flow follow --output`: a file.
#[derive(Serialize)]
pub(crate) struct File<'a> {
    flow: u64,
    side: &'static str,
    #[serde(flatten)]
    ends: Ends,
    bytes: u64,
    #[serde(flatten)]
    gaps: &'a Gaps,
    end: Shown<EndReason>,
    file: Shown<std::path::Display<'a>>,
}

impl<'a> File<'a> {
    /// The columns of the table. Of the gaps of a stream it has their number and their bytes.
    pub(crate) const COLUMNS: [&'static str; 11] = [
        "flow",
        "side",
        "src",
        "sport",
        "dst",
        "dport",
        "bytes",
        "gaps",
        "gap_bytes",
        "end",
        "file",
    ];

    pub(crate) fn new(
        session: Session,
        side: FlowSide,
        delivered: &'a Delivered,
        reason: EndReason,
        file: &'a Path,
    ) -> Self {
        Self {
            flow: session.flow,
            side: side_name(side),
            ends: session.ends,
            bytes: delivered.bytes,
            gaps: &delivered.gaps,
            end: Shown(if delivered.ended { EndReason::Fin } else { reason }),
            file: Shown(file.display()),
        }
    }
}

impl Line for File<'_> {
    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let (missing, end) = (self.gaps.bytes(), self.end.to_string());
        write!(out, "{:>12} {missing:>12} {end:9} {}", self.bytes, self.file)
    }

    fn row(&self, row: &mut Rows) -> io::Result<()> {
        row.field(self.flow)?;
        row.field(self.side)?;
        self.ends.row(row)?;
        row.field(self.bytes)?;
        row.field(self.gaps.count())?;
        row.field(self.gaps.bytes())?;
        row.field(self.end)?;
        row.field(&self.file)
    }
}
