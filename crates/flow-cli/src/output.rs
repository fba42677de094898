use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::Duration;

use flow::Timestamp;
use serde::{Serialize, Serializer};

use crate::args::Format;

/// Where lines go.
///
/// The first error is kept and ends the run: a closed pipe has nobody who would read on.
pub(crate) struct Output {
    sink: Sink,
    error: Option<io::Error>,
}

enum Sink {
    Text(Lines),
    Json(Lines),
    Csv(Box<Rows>),
}

type Lines = BufWriter<Box<dyn Write>>;

/// Bytes collected before they are written.
const BUFFER: usize = 64 << 10;

/// A line, as every format shows it.
pub(crate) trait Line: Serialize {
    /// Writes it for people, without the line's end.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Writes its fields in the order of the columns, for tables.
    fn row(&self, row: &mut Rows) -> io::Result<()>;
}

impl Output {
    pub(crate) fn new(out: Box<dyn Write>, format: Format) -> Self {
        let sink = match format {
            Format::Text => Sink::Text(BufWriter::with_capacity(BUFFER, out)),
            Format::Json => Sink::Json(BufWriter::with_capacity(BUFFER, out)),
            Format::Csv => Sink::Csv(Box::new(Rows::new(out))),
        };
        Self { sink, error: None }
    }

    /// Writes the names of the columns, if this is for people.
    pub(crate) fn heading(&mut self, columns: fmt::Arguments<'_>) {
        self.text(|out| writeln!(out, "{columns}"));
    }

    /// Writes what `write` writes, if this is for people.
    pub(crate) fn text(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        self.attempt(|sink| match sink {
            Sink::Text(out) => write(out),
            Sink::Json(_) | Sink::Csv(_) => Ok(()),
        });
    }

    /// Writes the names of the columns, if this is a table.
    pub(crate) fn columns(&mut self, columns: &[&str]) {
        self.attempt(|sink| match sink {
            Sink::Text(_) | Sink::Json(_) => Ok(()),
            Sink::Csv(rows) => {
                columns.iter().try_for_each(|column| rows.field(column))?;
                rows.end()
            }
        });
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &impl Line) {
        self.attempt(|sink| match sink {
            Sink::Text(out) => {
                line.text(out)?;
                out.write_all(b"\n")
            }
            Sink::Json(out) => {
                serde_json::to_writer(&mut *out, line)?;
                out.write_all(b"\n")
            }
            Sink::Csv(rows) => {
                line.row(rows)?;
                rows.end()
            }
        });
    }

    /// Whether everything so far could be written.
    ///
    /// # Errors
    ///
    /// The first that writing gave.
    #[inline]
    pub(crate) fn check(&mut self) -> io::Result<()> {
        match self.error {
            None => Ok(()),
            Some(_) => self.error.take().map_or(Ok(()), Err),
        }
    }

    /// Hands on what was collected.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.check()?;
        match &mut self.sink {
            Sink::Text(out) | Sink::Json(out) => out.flush(),
            Sink::Csv(rows) => rows.writer.flush(),
        }
    }

    /// Keeps the error of something else that was written, as one of its own.
    pub(crate) fn keep(&mut self, written: io::Result<()>) {
        self.attempt(|_| written);
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Sink) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = write(&mut self.sink).err();
        }
    }
}

/// A table in the format of RFC 4180, but for its line ends, which are those of other text.
pub(crate) struct Rows {
    writer: csv::Writer<Box<dyn Write>>,
    /// Fields of the row that has not ended.
    fields: usize,
    /// The bytes of a field, kept for their memory.
    field: Vec<u8>,
}

impl Rows {
    fn new(out: Box<dyn Write>) -> Self {
        let writer = csv::WriterBuilder::new().buffer_capacity(BUFFER).from_writer(out);
        Self { writer, fields: 0, field: Vec::new() }
    }

    /// Writes a field.
    pub(crate) fn field(&mut self, value: impl fmt::Display) -> io::Result<()> {
        self.written(|out| write!(out, "{value}"))
    }

    /// Writes a field, an empty one if there is no value.
    pub(crate) fn optional(&mut self, value: Option<impl fmt::Display>) -> io::Result<()> {
        match value {
            Some(value) => self.field(value),
            None => self.field(""),
        }
    }

    /// Writes the field that `write` writes.
    pub(crate) fn written(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.field.clear();
        write(&mut self.field)?;
        self.fields += 1;
        self.writer.write_field(&self.field).map_err(io_error)
    }

    /// Ends the row, if it has a field.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.fields) == 0 {
            return Ok(());
        }
        self.writer.write_record(None::<&[u8]>).map_err(io_error)
    }
}

/// The error of the writer below, whose kind says whether the pipe was closed.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// A value that is printed, and serialised as the text that it prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Shown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Bytes in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hex<'a>(pub(crate) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Text from the wire, made safe for a terminal: what is not printable, and what changes the
/// direction of writing, is shown by its number; a backslash is doubled.
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                ' '..='~' => f.write_char(c)?,
                '\0'..='\u{9f}' => write!(f, "\\x{:02x}", u32::from(c))?,
                _ if is_invisible(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                _ => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Bytes from the wire, made safe for a terminal: UTF-8 that [`Escaped`] would keep is kept, every
/// other byte is shown by its number, so that they can be told from what is shown.
pub(crate) struct EscapedBytes<'a>(pub(crate) &'a [u8]);

impl fmt::Display for EscapedBytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for part in chunk.valid().split_inclusive(is_escaped) {
                let last = part.char_indices().next_back().filter(|(_, c)| is_escaped(*c));
                let (kept, escaped) = part.split_at(last.map_or(part.len(), |(at, _)| at));
                f.write_str(kept)?;
                match escaped {
                    "\\" => f.write_str("\\\\")?,
                    _ => escaped.bytes().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?,
                }
            }
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

/// Whether a character of a text is not shown as it is.
fn is_escaped(c: char) -> bool {
    matches!(c, '\\' | '\0'..='\x1f' | '\x7f'..='\u{9f}') || is_invisible(c)
}

/// Format characters and line ends beyond Latin 1 (Unicode general categories Cf, Zl, Zp).
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// A time for people, to the microsecond: `2013-03-07 21:42:06.869344`.
pub(crate) fn moment(ts: Timestamp) -> String {
    let text = ts.to_string();
    text.get(..26).unwrap_or(&text).replace('T', " ")
}

/// A duration for people, with three digits or so: `12.5 ms`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{micros} us"),
        1_000..1_000_000 => format!("{:.1} ms", duration.as_secs_f64() * 1e3),
        1_000_000..600_000_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min", duration.as_secs() / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let check = |text: &str, expected: &str| assert_eq!(Escaped(text).to_string(), expected);
        check("GET /a b", "GET /a b");
        check("\x1b[2J\r\n\t", r"\x1b[2J\x0d\x0a\x09");
        check("\u{9b}31m\u{7f}", r"\x9b31m\x7f");
        check("caf\u{e9} \u{4e2d}", "caf\u{e9} \u{4e2d}");
        check("a\u{202e}b\u{feff}", r"a\u{202e}b\u{feff}");
        check(r"\x1b", r"\\x1b");
    }

    #[test]
    fn escapes_of_bytes() {
        let check =
            |bytes: &[u8], expected: &str| assert_eq!(EscapedBytes(bytes).to_string(), expected);
        check(b"GET /a b", "GET /a b");
        check(b"\x1b[2J\r\n\t\x7f\0", r"\x1b[2J\x0d\x0a\x09\x7f\x00");
        check("caf\u{e9} \u{4e2d}".as_bytes(), "caf\u{e9} \u{4e2d}");
        check("\u{9b}31m\u{202e}".as_bytes(), r"\xc2\x9b31m\xe2\x80\xae");
        check(b"caf\xe9 \xe4\xb8", r"caf\xe9 \xe4\xb8");
        check(br"\x1b", r"\\x1b");
    }

    #[test]
    fn durations() {
        let check = |micros, expected: &str| {
            assert_eq!(duration(Duration::from_micros(micros)), expected);
        };
        check(0, "0 us");
        check(999, "999 us");
        check(12_500, "12.5 ms");
        check(4_000_000, "4.0 s");
        check(7_200_000_000, "120 min");
    }
}
