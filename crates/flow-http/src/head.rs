use bytes::Bytes;
use memchr::{memchr, memchr_iter};

use crate::framing::BodyFields;
use crate::headers::{Field, HttpHeaders};
use crate::oddity::Oddity;

/// Looks for the empty line that ends a head or a trailer section, piece by piece; no byte is
/// looked at twice.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SectionEnd {
    line: Line,
    lines: u32,
}

/// What the line has so far in which the last piece ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Nothing,
    Cr,
    Text,
}

impl SectionEnd {
    /// How many of the next `bytes` belong to the section, its empty line included; `None` if
    /// its end is not among them. The search begins at the start of a line.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut start = 0;
        for end in memchr_iter(b'\n', bytes) {
            let rest_of_line = bytes.get(start..end).unwrap_or_default();
            match (self.line, rest_of_line) {
                (Line::Nothing, b"" | b"\r") | (Line::Cr, b"") => return Some(end + 1),
                _ => self.line = Line::Nothing,
            }
            self.lines = self.lines.saturating_add(1);
            start = end + 1;
        }
        self.line = match (self.line, bytes.get(start..).unwrap_or_default()) {
            (line, b"") => line,
            (Line::Nothing, b"\r") => Line::Cr,
            _ => Line::Text,
        };
        None
    }

    /// Lines found before the empty one.
    pub(crate) fn lines(&self) -> usize {
        self.lines as usize
    }
}

/// The fields of a head or trailer section.
#[derive(Debug)]
pub(crate) struct Fields {
    fields: Vec<Field>,
    omitted: u32,
    folded: bool,
    /// A line was no header field; the fields are those before it.
    pub(crate) invalid: bool,
    /// What they say of the body.
    pub(crate) body: BodyFields,
}

impl Fields {
    /// Reads the fields of `text` from `start`, up to the empty line or the last whole line.
    /// `lines` is how many there are at most, `max` how many to keep.
    ///
    /// Of what the RFC forbids, it takes what recipients do: a bare LF, spaces before the colon
    /// or inside of a name, a line without a colon, folded lines. It stops at control characters
    /// and at bytes beyond ASCII in a name.
    pub(crate) fn parse(text: &[u8], start: usize, lines: usize, max: usize) -> Self {
        let fields = Vec::with_capacity(lines.min(max));
        let body = BodyFields::default();
        let mut out = Self { fields, omitted: 0, folded: false, invalid: false, body };
        let mut at = start;
        while let Some((end, folded)) = field_end(text, at, at > start) {
            out.folded |= folded;
            let line = text.get(at..end).unwrap_or_default();
            if matches!(line, b"\n" | b"\r\n") || !out.field(line, folded, at, max) {
                break;
            }
            at = end;
        }
        let bare_cr = |at| text.get(at + 1).is_some_and(|&next| next != b'\n');
        out.body.odd.add_if(memchr_iter(b'\r', text).any(bare_cr), Oddity::BareCr);
        out
    }

    /// The fields, with the text they are in.
    pub(crate) fn into_headers(self, text: Bytes) -> HttpHeaders {
        HttpHeaders::new(text, self.fields, self.omitted)
    }

    /// A copy of `text` in which the line ends inside of values are spaces.
    pub(crate) fn unfold(&self, text: &[u8]) -> Bytes {
        if !self.folded {
            return Bytes::copy_from_slice(text);
        }
        let mut copy = text.to_vec();
        for field in &self.fields {
            let (start, end) = field.value;
            for byte in copy.get_mut(start as usize..end as usize).unwrap_or_default() {
                if matches!(byte, b'\r' | b'\n') {
                    *byte = b' ';
                }
            }
        }
        Bytes::from(copy)
    }

    /// Takes a line in, unless it is invalid.
    fn field(&mut self, line: &[u8], folded: bool, at: usize, max: usize) -> bool {
        let colon = memchr(b':', line);
        let name = line.get(..colon.unwrap_or(line.len())).unwrap_or_default();
        let value = colon.and_then(|colon| line.get(colon + 1..)).unwrap_or_default();
        let name_start = at + name.len() - name.trim_ascii_start().len();
        let value_start = at + line.len() - value.trim_ascii_start().len();
        let (spaced, name, value) = (name, name.trim_ascii(), value.trim_ascii());
        if name.iter().any(|&byte| !(0x20..0x7f).contains(&byte) && byte != b'\t') {
            self.invalid = true;
            return false;
        }
        self.body.odd.add_if(colon.is_none(), Oddity::NoColon);
        self.body.note(name, value, spaced.len() != name.len(), folded);
        if self.fields.len() >= max {
            self.omitted = self.omitted.saturating_add(1);
        } else {
            let (name, value) = (span(name_start, name), span(value_start, value));
            self.fields.push(Field { name, value });
        }
        true
    }
}

/// Where the field that begins at `start` ends, behind the line end that no space follows, and
/// whether it is folded.
fn field_end(text: &[u8], start: usize, may_fold: bool) -> Option<(usize, bool)> {
    let mut end = line_end(text, start)?;
    // An empty line ends the section whatever follows it, and a line that begins with a space
    // cannot continue the start line.
    let line = text.get(start..end).unwrap_or_default();
    let continues = !matches!(line, b"\n" | b"\r\n") && (may_fold || !starts_blank(line));
    let mut folded = false;
    while continues && starts_blank(text.get(end..).unwrap_or_default()) {
        folded = true;
        end = line_end(text, end)?;
    }
    Some((end, folded))
}

fn line_end(text: &[u8], start: usize) -> Option<usize> {
    memchr(b'\n', text.get(start..)?).map(|end| start + end + 1)
}

fn starts_blank(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// A head is at most 4 GiB long, see `HttpParser::with_config`.
fn span(start: usize, bytes: &[u8]) -> (u32, u32) {
    let end = start.saturating_add(bytes.len());
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8], expected: &[(&str, &str)]) {
        let fields = Fields::parse(text, 0, 8, 8);
        let headers = {
            let copy = fields.unfold(text);
            fields.into_headers(copy)
        };
        let found: Vec<_> =
            headers.iter().map(|(name, value)| (name, str::from_utf8(value).unwrap())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn fields_are_kept_as_sent() {
        check(b"\r\n", &[]);
        check(
            b"Host: a\r\nX-a:b:c\nEmpty:\r\n\r\nmore: x\r\n",
            &[("Host", "a"), ("X-a", "b:c"), ("Empty", "")],
        );
        check(b"Space : a \t\r\nNo colon\r\n\r\n", &[("Space", "a"), ("No colon", "")]);
        check(b" First: a\r\nNext: b\r\n\r\n", &[("First", "a"), ("Next", "b")]);
    }

    #[test]
    fn folded_lines_are_joined_with_spaces() {
        check(
            b"A: b\r\nX: one\r\n two\n\tthree\r\n\r\n",
            &[("A", "b"), ("X", "one   two \tthree")],
        );
    }

    #[test]
    fn a_cut_line_is_left_out() {
        check(b"A: b\r\nHos", &[("A", "b")]);
    }

    #[test]
    fn names_are_ascii_without_controls() {
        assert!(Fields::parse(b"a\x00b: c\r\n\r\n", 0, 1, 1).invalid);
        assert!(Fields::parse(b"\xc3\xa9: c\r\n\r\n", 0, 1, 1).invalid);
    }

    #[test]
    fn fields_beyond_the_limit_are_counted() {
        let fields = Fields::parse(b"a: 1\r\nb: 2\r\nc: 3\r\n\r\n", 0, 3, 2);
        let headers = fields.into_headers(Bytes::new());
        assert_eq!((headers.len(), headers.omitted()), (2, 1));
    }

    #[test]
    fn the_end_is_found_in_any_segmentation() {
        for text in [
            &b"a: b\r\n\r\nrest"[..],
            b"\r\nrest",
            b"\nrest",
            b"a\n\nrest",
            b"a\r\n\nrest",
            b"a\n\r\nrest",
        ] {
            let expected = text.len() - 4;
            for cut in 0..=expected {
                let mut search = SectionEnd::default();
                let (head, tail) = text.split_at(cut);
                let found = search.find(head).or_else(|| search.find(tail).map(|end| end + cut));
                assert_eq!(
                    found,
                    Some(expected),
                    "{:?} cut at {cut}",
                    text.escape_ascii().to_string()
                );
            }
        }
        assert_eq!(SectionEnd::default().find(b"a\r\n\r b\r\n"), None);
    }
}
