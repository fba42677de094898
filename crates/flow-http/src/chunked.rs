use memchr::memchr;

use crate::oddity::{Oddities, Oddity};

/// Where a chunked body stands (RFC 9112 section 7.1), up to its trailer section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    /// In a chunk-size line, of which `len` bytes have been read, `digits` of them digits; `cr` if
    /// the last one was a CR.
    Size { size: u64, digits: usize, len: usize, behind_size: bool, cr: bool },
    /// This many bytes of a chunk remain.
    Data(u64),
    /// In the line end behind a chunk; `true` once its CR is there.
    DataEnd(bool),
    /// Behind the last chunk.
    Trailers,
}

/// What the next bytes of a chunked body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// This many bytes of framing.
    Framing(usize),
    /// This many bytes of the body.
    Data(usize),
}

impl Chunked {
    /// At the beginning of the first chunk.
    pub(crate) const START: Self =
        Self::Size { size: 0, digits: 0, len: 0, behind_size: false, cr: false };

    /// Reads on. There is at least one byte, and at least one is taken, but none in
    /// [`Chunked::Trailers`]. An error comes with the index of the byte that is wrong.
    pub(crate) fn advance(
        &mut self,
        bytes: &[u8],
        max_line: usize,
        odd: &mut Oddities,
    ) -> Result<Piece, Invalid> {
        match self {
            Self::Size { .. } => self.size_line(bytes, max_line, odd),
            Self::Data(left) => {
                let taken = take(left, bytes.len());
                if *left == 0 {
                    *self = Self::DataEnd(false);
                }
                Ok(Piece::Data(taken))
            }
            Self::DataEnd(cr) => match bytes.first() {
                Some(b'\r') if !*cr => {
                    *cr = true;
                    Ok(Piece::Framing(1))
                }
                Some(b'\n') => {
                    odd.add_if(!*cr, Oddity::BareLfInChunks);
                    *self = Self::START;
                    Ok(Piece::Framing(1))
                }
                _ => Err(("chunk is longer than its size", 0)),
            },
            Self::Trailers => Ok(Piece::Framing(0)),
        }
    }

    /// Steps over `missing` bytes of the body; `false` if the chunk is shorter than that, so
    /// that its framing is missing too.
    pub(crate) fn skip(&mut self, missing: u64) -> bool {
        let Self::Data(left) = self else { return false };
        let Some(rest) = left.checked_sub(missing) else { return false };
        *self = if rest == 0 { Self::DataEnd(false) } else { Self::Data(rest) };
        true
    }

    fn size_line(
        &mut self,
        bytes: &[u8],
        max_line: usize,
        odd: &mut Oddities,
    ) -> Result<Piece, Invalid> {
        let Self::Size { size, digits, len, behind_size, cr } = self else {
            return Ok(Piece::Framing(0));
        };
        let end = memchr(b'\n', bytes);
        let line = bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default();
        let room = max_line.saturating_sub(*len);
        for (at, &byte) in line.iter().enumerate().take(room) {
            if *behind_size {
                break;
            }
            match char::from(byte).to_digit(16) {
                Some(digit) => {
                    let shifted = size.checked_mul(16).ok_or(("chunk size is out of range", at))?;
                    *size = shifted | u64::from(digit);
                    *digits += 1;
                }
                // Spaces and extensions, of which nothing matters.
                None if matches!(byte, b';' | b' ' | b'\t' | b'\r') && *digits > 0 => {
                    *behind_size = true;
                    if matches!(byte, b' ' | b'\t') {
                        // What is odd is told of the last byte taken.
                        odd.add(Oddity::PaddedChunkSize);
                        *len += at + 1;
                        return Ok(Piece::Framing(at + 1));
                    }
                }
                None => return Err((NO_NUMBER, at)),
            }
        }
        if line.len() > room {
            return Err(("chunk-size line is too long", room));
        }
        *len += line.len();
        *cr = line.last().map_or(*cr, |&last| last == b'\r');
        let Some(end) = end else { return Ok(Piece::Framing(line.len())) };
        if *digits == 0 {
            return Err((NO_NUMBER, end));
        }
        odd.add_if(!*cr, Oddity::BareLfInChunks);
        *self = if *size == 0 { Self::Trailers } else { Self::Data(*size) };
        Ok(Piece::Framing(end + 1))
    }
}

/// What is wrong, and how many bytes before that are well-formed.
pub(crate) type Invalid = (&'static str, usize);

const NO_NUMBER: &str = "chunk size is not a number";

impl Default for Chunked {
    fn default() -> Self {
        Self::START
    }
}

/// Takes as much of `left` as `available` allows, and says how much that was.
pub(crate) fn take(left: &mut u64, available: usize) -> usize {
    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(available);
    *left -= taken as u64;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `bytes` in pieces of `step` bytes, up to the trailer section.
    fn decode(bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), &'static str> {
        let (mut chunked, mut body, mut at) = (Chunked::START, Vec::new(), 0);
        while at < bytes.len() && chunked != Chunked::Trailers {
            let piece = &bytes[at..bytes.len().min(at + step)];
            at += match chunked
                .advance(piece, 20, &mut Oddities::default())
                .map_err(|(reason, _)| reason)?
            {
                Piece::Framing(len) => len,
                Piece::Data(len) => {
                    body.extend_from_slice(&piece[..len]);
                    len
                }
            };
        }
        Ok((body, at))
    }

    fn check(bytes: &str, expected: Result<(&str, usize), &'static str>) {
        for step in 1..=bytes.len() {
            let expected = expected.map(|(body, taken)| (body.as_bytes().to_vec(), taken));
            assert_eq!(decode(bytes.as_bytes(), step), expected, "{bytes:?} by {step}");
        }
    }

    #[test]
    fn chunks_are_joined() {
        check("5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nrest", Ok(("hello world", 28)));
        check("0005 \nhello\n000\n", Ok(("hello", 16)));
        check("A\r\n0123456789\r\n0;x\r\n", Ok(("0123456789", 20)));
    }

    #[test]
    fn sizes_are_checked() {
        check("10000000000000000\r\n", Err("chunk size is out of range"));
        check("\r\n", Err("chunk size is not a number"));
        check("-1\r\n", Err("chunk size is not a number"));
        check("0x5\r\n", Err("chunk size is not a number"));
        check("1\r\nab\r\n", Err("chunk is longer than its size"));
        check("1;345678901234567890", Ok(("", 20)));
        check("1;3456789012345678901\r\n", Err("chunk-size line is too long"));
    }

    #[test]
    fn gaps_inside_of_a_chunk_are_stepped_over() {
        let mut chunked = Chunked::Data(10);
        assert!(chunked.skip(4));
        assert_eq!(chunked, Chunked::Data(6));
        assert!(!chunked.skip(7));
        assert!(chunked.skip(6));
        assert_eq!(chunked, Chunked::DataEnd(false));
        assert!(!chunked.skip(1));
    }
}
