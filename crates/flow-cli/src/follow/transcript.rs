use std::io::{self, Write};

use flow::FlowSide;

use crate::output::EscapedBytes;

/// Writes the bytes of a connection as lines of text, each marked with the side that sent it.
///
/// A line ends at LF or CR LF, or because other bytes than its side's follow. However a stream is
/// cut into pieces, its lines are the same.
#[derive(Debug, Default)]
pub(crate) struct Transcript {
    /// Who sent the line that has begun.
    line: Option<FlowSide>,
    /// The end of that line, not written: a character that is not whole yet, or a CR behind which
    /// an LF may come. At most three bytes.
    rest: Vec<u8>,
}

/// The mark in front of what a side sent.
pub(crate) const fn mark(side: FlowSide) -> char {
    match side {
        FlowSide::Initiator => '>',
        FlowSide::Responder => '<',
    }
}

impl Transcript {
    /// Writes the next bytes of `side`.
    pub(crate) fn bytes(
        &mut self,
        side: FlowSide,
        bytes: &[u8],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if self.line.is_some_and(|other| other != side) {
            self.end_line(out)?;
        }
        let joined;
        let bytes = if self.rest.is_empty() {
            bytes
        } else {
            joined = [&self.rest, bytes].concat();
            self.rest.clear();
            &joined
        };
        let (whole, rest) = bytes.split_at(bytes.len() - unfinished(bytes));
        for line in whole.split_inclusive(|byte| *byte == b'\n') {
            self.begin_line(side, out)?;
            match line.strip_suffix(b"\n") {
                Some(line) => {
                    let line = line.strip_suffix(b"\r").unwrap_or(line);
                    writeln!(out, "{}", EscapedBytes(line))?;
                    self.line = None;
                }
                None => write!(out, "{}", EscapedBytes(line))?,
            }
        }
        if !rest.is_empty() {
            self.begin_line(side, out)?;
            self.rest.extend_from_slice(rest);
        }
        Ok(())
    }

    /// Ends the line that has begun, if one has.
    pub(crate) fn end_line(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.line.take().is_none() {
            return Ok(());
        }
        writeln!(out, "{}", EscapedBytes(&self.rest))?;
        self.rest.clear();
        Ok(())
    }

    fn begin_line(&mut self, side: FlowSide, out: &mut dyn Write) -> io::Result<()> {
        if self.line.replace(side).is_some() {
            return Ok(());
        }
        write!(out, "{} ", mark(side))
    }
}

/// How many bytes at the end mean something else if others come behind them.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    let begins_character = |len: &usize| {
        let end = bytes.len().checked_sub(*len).and_then(|at| bytes.get(at..));
        end.and_then(|end| std::str::from_utf8(end).err())
            .is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=3).find(begins_character).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: FlowSide = FlowSide::Initiator;
    const SERVER: FlowSide = FlowSide::Responder;

    fn transcript<'a>(pieces: impl IntoIterator<Item = (FlowSide, &'a [u8])>) -> String {
        let (mut transcript, mut out) = (Transcript::default(), Vec::new());
        for (side, bytes) in pieces {
            transcript.bytes(side, bytes, &mut out).unwrap();
            assert!(transcript.rest.len() <= 3);
        }
        transcript.end_line(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[track_caller]
    fn check(pieces: &[(FlowSide, &[u8])], expected: &str) {
        assert_eq!(transcript(pieces.iter().copied()), expected);
    }

    #[test]
    fn lines_are_marked() {
        check(&[], "");
        check(&[(CLIENT, b"GET /\r\n\r\n"), (SERVER, b"ok\n")], "> GET /\n> \n< ok\n");
        check(&[(CLIENT, b"a"), (CLIENT, b"b\nc"), (SERVER, b"d")], "> ab\n> c\n< d\n");
        check(&[(SERVER, b""), (SERVER, b"\n")], "< \n");
    }

    #[test]
    fn ends_of_lines_may_be_cut() {
        check(&[(CLIENT, b"a\r"), (CLIENT, b"\nb")], "> a\n> b\n");
        check(&[(CLIENT, b"a\r"), (CLIENT, b"b\r")], "> a\\x0db\\x0d\n");
        check(&[(CLIENT, b"\r"), (SERVER, b"\n")], "> \\x0d\n< \n");
        check(&[(CLIENT, b"\r"), (CLIENT, b"\r"), (CLIENT, b"\n")], "> \\x0d\n");
    }

    #[test]
    fn characters_may_be_cut() {
        check(&[(CLIENT, b"\xe4\xb8"), (CLIENT, b"\xad!")], "> \u{4e2d}!\n");
        check(&[(CLIENT, b"\xf0"), (CLIENT, b"\x9f"), (CLIENT, b"\n")], "> \\xf0\\x9f\n");
        check(&[(CLIENT, b"\xe4\xb8"), (SERVER, b"\xad")], "> \\xe4\\xb8\n< \\xad\n");
        check(&[(CLIENT, b"\x80\xff")], "> \\x80\\xff\n");
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            bytes in prop::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(0xe4), Just(0xb8), Just(0xad), any::<u8>()],
                1..60,
            ),
            len in 1..5_usize,
        ) {
            let whole = transcript([(CLIENT, bytes.as_slice())]);
            prop_assert_eq!(&transcript(bytes.chunks(len).map(|piece| (CLIENT, piece))), &whole);
            prop_assert!(whole.lines().all(|line| line.starts_with("> ")));
            prop_assert!(!whole.contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}
