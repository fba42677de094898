use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use crate::methods;
use crate::start_line::{self, StartLine, is_control};

/// Looks for start lines where none is expected: behind a gap, in a connection joined midstream.
///
/// What it finds depends on the bytes alone, not on how they are cut into pieces. A message begins
/// - with a line that is a start line as a whole;
/// - inside of a line, with the last status line there, as a body without a line end may come right
///   before it;
/// - inside of a line that ends like a request line, with a registered method right before the
///   target.
///
/// Of a line only what follows the last control character counts, and of that the last bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    /// What is kept of the line that is not whole, or the next byte, is the beginning of a line.
    line_start: bool,
}

/// Where a start line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    /// In these bytes of the piece; nothing is kept.
    Here(Range<usize>),
    /// It is what is kept now, with this many bytes of the piece at its end.
    Kept(usize),
}

impl Search {
    /// The next byte is the beginning of a line.
    pub(crate) const AT_LINE: Self = Self { line_start: true };
    /// The next byte is inside of a line.
    pub(crate) const INSIDE: Self = Self { line_start: false };

    /// The same behind a line of which `kept` has the beginning.
    pub(crate) fn behind(kept: &mut Vec<u8>, max: usize) -> Self {
        let mut search = Self::AT_LINE;
        let line = std::mem::take(kept);
        search.keep(kept, &line, max);
        search
    }

    /// Looks through a piece up to the first start line, of `max` bytes at most. What is kept of an
    /// unfinished line stays in `kept`: at most twice as much.
    pub(crate) fn advance(&mut self, kept: &mut Vec<u8>, bytes: &[u8], max: usize) -> Option<Hit> {
        let mut from = 0;
        if !kept.is_empty() || !self.line_start {
            let Some(end) = memchr(b'\n', bytes) else {
                self.keep(kept, bytes, max);
                return None;
            };
            from = end + 1;
            let rest = bytes.get(..from).unwrap_or_default();
            if kept.is_empty() || rest.len() >= max {
                if let Some(start) = start_in(rest, false, max) {
                    *kept = Vec::new();
                    return Some(Hit::Here(start..from));
                }
            } else {
                kept.extend_from_slice(rest);
                if let Some(start) = start_in(kept, self.line_start, max) {
                    kept.drain(..start);
                    return Some(Hit::Kept(from));
                }
            }
            *kept = Vec::new();
        }
        self.lines(kept, bytes, from, max)
    }

    /// The same from the beginning of a line on.
    fn lines(
        &mut self,
        kept: &mut Vec<u8>,
        bytes: &[u8],
        mut from: usize,
        max: usize,
    ) -> Option<Hit> {
        self.line_start = true;
        loop {
            let rest = bytes.get(from..).unwrap_or_default();
            // Every start line has this in it, so all lines without are passed over at once.
            let Some(at) = memmem::find(rest, STATUS) else {
                let unfinished = memrchr(b'\n', rest).map_or(0, |end| end + 1);
                self.keep(kept, rest.get(unfinished..).unwrap_or_default(), max);
                return None;
            };
            let (before, behind) = rest.split_at(at);
            let start = memrchr(b'\n', before).map_or(0, |end| end + 1);
            let Some(end) = memchr(b'\n', behind) else {
                self.keep(kept, rest.get(start..).unwrap_or_default(), max);
                return None;
            };
            let line = rest.get(start..at + end + 1).unwrap_or_default();
            if let Some(inside) = start_in(line, true, max) {
                return Some(Hit::Here(from + start + inside..from + at + end + 1));
            }
            from += at + end + 1;
        }
    }

    /// Keeps what may still become a start line of a line that goes on behind `bytes`.
    fn keep(&mut self, kept: &mut Vec<u8>, bytes: &[u8], max: usize) {
        if bytes.is_empty() {
            return;
        }
        if kept.last() == Some(&b'\r') && bytes.first() != Some(&b'\r') {
            self.cut(kept);
        }
        // A CR at the end may be that of the line's end.
        let trailing = bytes.iter().rev().take_while(|&&byte| byte == b'\r').count();
        let text = bytes.get(..bytes.len() - trailing).unwrap_or_default();
        let mut bytes = bytes;
        if let Some(control) = text.iter().rposition(|&byte| is_control(byte)) {
            self.cut(kept);
            bytes = bytes.get(control + 1..).unwrap_or_default();
        }
        if let Some(over) = bytes.len().checked_sub(max).filter(|&over| over > 0) {
            self.cut(kept);
            bytes = bytes.get(over..).unwrap_or_default();
        }
        // Later bytes cannot tell that the first ones are none of a start line.
        let undecided = kept.len() <= start_line::MAX_METHOD;
        if kept.is_empty() {
            if !self.line_start || !start_line::may_begin(bytes) {
                self.line_start = false;
                bytes = bytes.get(candidate(bytes)..).unwrap_or_default();
            }
            if bytes.is_empty() {
                return;
            }
        }
        let fresh = kept.is_empty();
        kept.extend_from_slice(bytes);
        if undecided && !fresh && (!self.line_start || !start_line::may_begin(kept)) {
            self.line_start = false;
            kept.drain(..candidate(kept));
        }
        if kept.len() > max.saturating_mul(2) {
            self.line_start = false;
            kept.drain(..kept.len() - max);
        }
    }

    fn cut(&mut self, kept: &mut Vec<u8>) {
        *kept = Vec::new();
        self.line_start = false;
    }
}

/// Where in unfinished text a status line or a registered method may begin first.
fn candidate(text: &[u8]) -> usize {
    let method = memchr_iter(b' ', text)
        .find_map(|space| Some(space - methods::suffix_len(text.get(..space)?)?));
    let near_end = text.len().saturating_sub(methods::LONGEST);
    let partial = (near_end..text.len()).find(|&at| {
        let rest = text.get(at..).unwrap_or_default();
        STATUS.starts_with(rest) || methods::may_become(rest)
    });
    let found = [memmem::find(text, STATUS), method, partial];
    found.into_iter().flatten().min().unwrap_or(text.len())
}

/// Where a start line begins in the last `max` bytes of a line, which has its LF.
fn start_in(line: &[u8], mut line_start: bool, max: usize) -> Option<usize> {
    let mut from = line.len().saturating_sub(max);
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    let end = text.len() - text.iter().rev().take_while(|&&byte| byte == b'\r').count();
    let mut text = text.get(from..end)?;
    line_start &= from == 0;
    if let Some(control) = text.iter().rposition(|&byte| is_control(byte)) {
        line_start = false;
        from += control + 1;
        text = text.get(control + 1..)?;
    }
    if line_start && whole_line(text) {
        return Some(0);
    }
    let inside = status_line_in(text).or_else(|| request_line_in(text))?;
    Some(from + inside)
}

/// Whether the line is one start line from its beginning on.
fn whole_line(text: &[u8]) -> bool {
    match StartLine::parse_strictly(text) {
        None => false,
        Some(StartLine::Response { .. }) => true,
        // The end of a body makes another method of the one behind it: look at it more closely.
        Some(StartLine::Request(line)) => {
            let name = |&byte: &u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
            line.method.iter().all(name) || request_line_in(text).is_none()
        }
    }
}

fn status_line_in(text: &[u8]) -> Option<usize> {
    memmem::rfind_iter(text, STATUS).find(|&at| {
        let status = StartLine::parse_strictly(text.get(at..).unwrap_or_default());
        matches!(status, Some(StartLine::Response { .. }))
    })
}

fn request_line_in(text: &[u8]) -> Option<usize> {
    let (line, _) = start_line::split_version(text)?;
    let line = line.trim_ascii_end();
    let (before, target) = line.split_at_checked(memrchr(b' ', line)? + 1)?;
    let before = before.trim_ascii_end();
    let start = before.len() - methods::suffix_len(before)?;
    let plausible = matches!(target, b"*" | [b'/', ..])
        || memmem::find(target, b"://").is_some()
        || before.ends_with(b"CONNECT") && target.contains(&b':');
    plausible.then_some(start)
}

/// What every status line begins with, and every request line has near its end.
const STATUS: &[u8] = b"HTTP/1.";
