use crate::HttpVersion;
use crate::chunked::Chunked;
use crate::oddity::{Oddities, Oddity};

/// Where the body of a message ends (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes remain.
    Length(u64),
    /// Where its last chunk says.
    Chunked(Chunked),
    /// Where the stream ends.
    UntilClose,
}

/// What the fields of a head say of the body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BodyFields {
    length: ContentLength,
    coding: TransferCoding,
    ambiguous: bool,
    /// There is an Upgrade field.
    pub(crate) upgrade: bool,
    /// What is odd about the head.
    pub(crate) odd: Oddities,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ContentLength {
    #[default]
    Absent,
    Is(u64),
    Invalid,
}

/// The last transfer coding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TransferCoding {
    #[default]
    Absent,
    Chunked,
    Other,
}

impl BodyFields {
    /// Takes notice of a field. `spaced` says that there were spaces around its name, `folded` that
    /// it is spread over several lines (RFC 9112 section 5.2); either makes some recipients overlook
    /// it.
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8], spaced: bool, folded: bool) {
        // The lengths of the names keep nearly all fields away from the comparisons.
        let lengths = match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => return self.upgrade = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => true,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => false,
            _ => return,
        };
        self.ambiguous |= spaced | folded;
        self.odd.add_if(spaced, Oddity::SpacedFramingField);
        self.odd.add_if(folded, Oddity::FoldedFramingField);
        for part in value.split(|&byte| byte == b',') {
            if lengths {
                self.note_length(part);
            } else {
                self.note_coding(part);
            }
        }
    }

    /// The framing of a request's body, `None` if it has no body, and whether another recipient
    /// may see another.
    pub(crate) fn of_request(&mut self, version: HttpVersion) -> (Option<Framing>, bool) {
        let (framing, ambiguous) = self.framing(version);
        self.odd.add_if(self.coding == TransferCoding::Other, Oddity::UnknownCoding);
        match framing {
            // A server cannot tell where such a body ends, and answers 400: go on with the next.
            Some(Framing::UntilClose) | None => match self.length {
                ContentLength::Is(length @ 1..) => (Some(Framing::Length(length)), ambiguous),
                _ => (None, ambiguous),
            },
            known => (known, ambiguous),
        }
    }

    /// The same for a response that may have a body.
    pub(crate) fn of_response(&mut self, version: HttpVersion) -> (Option<Framing>, bool) {
        let nothing = self.length == ContentLength::Absent && self.coding == TransferCoding::Absent;
        if nothing { (Some(Framing::UntilClose), self.ambiguous) } else { self.framing(version) }
    }

    fn framing(&mut self, version: HttpVersion) -> (Option<Framing>, bool) {
        let coded = self.coding != TransferCoding::Absent;
        self.odd.add_if(coded && self.length != ContentLength::Absent, Oddity::BothLengths);
        self.odd.add_if(coded && version < HttpVersion::HTTP_11, Oddity::ChunkedInHttp10);
        match (self.coding, self.length) {
            // Transfer-Encoding overrides Content-Length; HTTP/1.0 does not know it.
            (TransferCoding::Chunked, length) => {
                let odd = length != ContentLength::Absent || version < HttpVersion::HTTP_11;
                (Some(Framing::Chunked(Chunked::default())), self.ambiguous | odd)
            }
            (TransferCoding::Other, _) => (Some(Framing::UntilClose), true),
            (TransferCoding::Absent, ContentLength::Is(0) | ContentLength::Absent) => {
                (None, self.ambiguous)
            }
            (TransferCoding::Absent, ContentLength::Is(length)) => {
                (Some(Framing::Length(length)), self.ambiguous)
            }
            (TransferCoding::Absent, ContentLength::Invalid) => (Some(Framing::UntilClose), true),
        }
    }

    fn note_length(&mut self, part: &[u8]) {
        match (self.length, decimal(part.trim_ascii())) {
            (ContentLength::Absent, Some(length)) => self.length = ContentLength::Is(length),
            (ContentLength::Is(before), Some(length)) if before == length => {}
            (before, length) => {
                let oddity =
                    if length.is_some() { Oddity::LengthsDiffer } else { Oddity::InvalidLength };
                self.odd.add(oddity);
                if before == ContentLength::Absent {
                    self.length = ContentLength::Invalid;
                } else {
                    // The first value counts, as most recipients that do not refuse have it.
                    self.ambiguous = true;
                }
            }
        }
    }

    fn note_coding(&mut self, part: &[u8]) {
        let coding = part.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if coding.is_empty() {
            return;
        }
        let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
        if self.coding == TransferCoding::Chunked {
            self.ambiguous = true;
            self.odd.add(if is_chunked { Oddity::ChunkedTwice } else { Oddity::ChunkedNotLast });
        }
        if is_chunked {
            self.coding = TransferCoding::Chunked;
        } else if !coding.eq_ignore_ascii_case(b"identity") {
            // RFC 2616 had `identity` for no coding at all, and some still send it.
            self.coding = TransferCoding::Other;
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: Option<Framing> = Some(Framing::Chunked(Chunked::START));

    fn fields(lines: &[(&str, &str)]) -> BodyFields {
        let mut fields = BodyFields::default();
        for (name, value) in lines {
            let bare = name.trim();
            fields.note(bare.as_bytes(), value.as_bytes(), bare != *name, value.contains('\n'));
        }
        fields
    }

    fn check(
        lines: &[(&str, &str)],
        request: (Option<Framing>, bool),
        response: (Option<Framing>, bool),
    ) {
        assert_eq!(fields(lines).of_request(HttpVersion::HTTP_11), request, "{lines:?}");
        assert_eq!(fields(lines).of_response(HttpVersion::HTTP_11), response, "{lines:?}");
    }

    fn both(lines: &[(&str, &str)], expected: (Option<Framing>, bool)) {
        check(lines, expected, expected);
    }

    #[test]
    fn plain_framings() {
        check(&[], (None, false), (Some(Framing::UntilClose), false));
        both(&[("Content-Length", "5")], (Some(Framing::Length(5)), false));
        both(&[("content-length", "0")], (None, false));
        both(&[("Transfer-Encoding", "chunked")], (CHUNKED, false));
        both(&[("Transfer-Encoding", "gzip, Chunked")], (CHUNKED, false));
        both(
            &[("Transfer-Encoding", "identity"), ("Content-Length", "5")],
            (Some(Framing::Length(5)), false),
        );
        both(
            &[("Content-Length", "5, 5"), ("Content-Length", "5")],
            (Some(Framing::Length(5)), false),
        );
    }

    #[test]
    fn transfer_encoding_wins_over_content_length() {
        both(&[("Content-Length", "50"), ("Transfer-Encoding", "chunked")], (CHUNKED, true));
    }

    #[test]
    fn contradictions_are_ambiguous() {
        both(&[("Content-Length", "5"), ("Content-Length", "6")], (Some(Framing::Length(5)), true));
        both(&[("Transfer-Encoding ", "chunked")], (CHUNKED, true));
        both(&[("Transfer-Encoding", "\r\n chunked")], (CHUNKED, true));
        let close = (Some(Framing::UntilClose), true);
        for length in ["", "-1", "+5", "0x10", "5 5", "99999999999999999999"] {
            check(&[("Content-Length", length)], (None, true), close);
        }
        check(&[("Transfer-Encoding", "chunked, xyz")], (None, true), close);
        check(
            &[("Transfer-Encoding", "xchunked"), ("Content-Length", "5")],
            (Some(Framing::Length(5)), true),
            close,
        );
        assert_eq!(
            fields(&[("Transfer-Encoding", "chunked")]).of_request(HttpVersion::HTTP_10),
            (CHUNKED, true)
        );
    }
}
