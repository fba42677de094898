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
    out: BufWriter<Box<dyn Write>>,
    format: Format,
    error: Option<io::Error>,
}

/// Bytes collected before they are written.
const BUFFER: usize = 64 << 10;

/// A line, as both formats show it.
pub(crate) trait Line: Serialize {
    /// Writes it for people, without the line's end.
    fn text(&self, out: &mut dyn Write) -> io::Result<()>;
}

impl Output {
    pub(crate) fn new(out: Box<dyn Write>, format: Format) -> Self {
        Self { out: BufWriter::with_capacity(BUFFER, out), format, error: None }
    }

    /// Writes the names of the columns, if this is for people.
    pub(crate) fn heading(&mut self, columns: fmt::Arguments<'_>) {
        if self.format == Format::Text {
            self.keep(|out| writeln!(out, "{columns}"));
        }
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &impl Line) {
        let format = self.format;
        self.keep(|out| {
            match format {
                Format::Json => serde_json::to_writer(&mut *out, line)?,
                Format::Text => line.text(out)?,
            }
            out.write_all(b"\n")
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
        self.out.flush()
    }

    fn keep(&mut self, write: impl FnOnce(&mut BufWriter<Box<dyn Write>>) -> io::Result<()>) {
        if self.error.is_none() {
            self.error = write(&mut self.out).err();
        }
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
