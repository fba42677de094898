use memchr::memchr;

use crate::HttpVersion;

/// What bytes at the beginning of a stream, or of a line, can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detection {
    /// An HTTP/1.x request, or one of HTTP/0.9.
    Request,
    /// An HTTP/1.x response.
    Response,
    /// There is no telling yet.
    NeedMore,
    /// Neither.
    No,
}

/// Whether `prefix`, the first bytes that a side sent, begins an HTTP message.
///
/// Other text protocols begin alike (`OPTIONS rtsp://host/ RTSP/1.0`), so a request is only told
/// by its whole start line, a response by `HTTP/1.1 200`. Most other protocols are out after a
/// byte or a line. Empty lines before the message are allowed (RFC 9112 section 2.2).
///
/// ```
/// use flow_http::{Detection, looks_like_http};
///
/// assert_eq!(looks_like_http(b"GET /index.html HTTP/1.1\r\nHo"), Detection::Request);
/// assert_eq!(looks_like_http(b"GET /index.h"), Detection::NeedMore);
/// assert_eq!(looks_like_http(b"\x16\x03\x01\x02\x00\x01"), Detection::No);
/// ```
#[must_use]
pub fn looks_like_http(prefix: &[u8]) -> Detection {
    let line = prefix.get(leading_blank(prefix)..).unwrap_or_default();
    if let Some(status) = line.get(..STATUS_LEN)
        && status_prefix(status)
    {
        return Detection::Response;
    }
    match memchr(b'\n', line) {
        Some(end) => match StartLine::parse(line.get(..end).unwrap_or_default()) {
            Some(StartLine::Request { .. }) => Detection::Request,
            Some(StartLine::Response { .. }) => Detection::Response,
            None => Detection::No,
        },
        None if may_begin(line) => Detection::NeedMore,
        None => Detection::No,
    }
}

/// A start line taken apart (RFC 9112 sections 3 and 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartLine<'a> {
    /// The target begins `target_at` bytes into the line.
    Request { method: &'a [u8], target: &'a [u8], target_at: usize, version: HttpVersion },
    /// The reason begins [`REASON_AT`] bytes into the line.
    Response { version: HttpVersion, status: u16, reason: &'a [u8] },
}

impl<'a> StartLine<'a> {
    /// Takes a line apart that has lost its LF.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"HTTP/") { Self::response(line) } else { Self::request(line) }
    }

    /// Whether it is a request without a version.
    pub(crate) fn is_http09(&self) -> bool {
        matches!(self, Self::Request { version: HttpVersion::HTTP_09, .. })
    }

    fn response(line: &'a [u8]) -> Option<Self> {
        let (status, rest) = line.split_at_checked(STATUS_LEN)?;
        if !status_prefix(status) {
            return None;
        }
        let (b"" | [b' ', ..]) = rest else { return None };
        let reason = rest.get(1..).unwrap_or_default();
        let minor = status.get(7).map_or(0, |digit| digit.wrapping_sub(b'0'));
        let code = str::from_utf8(status.get(9..)?).ok()?.parse().ok()?;
        Some(Self::Response { version: HttpVersion { major: 1, minor }, status: code, reason })
    }

    fn request(line: &'a [u8]) -> Option<Self> {
        // The end is looked at first: it tells nearly every line that is none.
        let trimmed = line.trim_ascii_end();
        let (line, version) = match trimmed.split_last_chunk() {
            Some((rest, [b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'])) => {
                (rest, HttpVersion { major: 1, minor: minor.wrapping_sub(b'0') })
            }
            _ if trimmed.starts_with(b"GET /") => (trimmed, HttpVersion::HTTP_09),
            _ => return None,
        };
        let (method, rest) = line.split_at_checked(method_len(line)?)?;
        // Spaces inside of a target are not allowed, but sent and understood.
        let target = rest.trim_ascii();
        let simple = version == HttpVersion::HTTP_09;
        if target.is_empty() || has_control(line) || simple && target.contains(&b' ') {
            return None;
        }
        let target_at = line.len() - rest.trim_ascii_start().len();
        Some(Self::Request { method, target, target_at, version })
    }
}

/// Whether a line of which this is the beginning, without its end, may be a start line.
pub(crate) fn may_begin(prefix: &[u8]) -> bool {
    if prefix.iter().zip(b"HTTP/1.").all(|(a, b)| a == b) {
        return match prefix.get(..STATUS_LEN) {
            Some(status) => status_prefix(status),
            None => prefix
                .iter()
                .zip(b"HTTP/1.1 100")
                .skip(7)
                .all(|(a, b)| if b.is_ascii_digit() { a.is_ascii_digit() } else { a == b }),
        };
    }
    match method_len(prefix) {
        Some(_) => may_go_on(prefix),
        None => prefix.len() <= MAX_METHOD && prefix.iter().all(|&byte| is_token(byte)),
    }
}

/// Whether bytes behind a method, but before the end of the line, may belong to a start line.
pub(crate) fn may_go_on(bytes: &[u8]) -> bool {
    // The CR may be that of the line's end.
    !has_control(bytes.strip_suffix(b"\r").unwrap_or(bytes))
}

/// How many CRs and LFs these bytes begin with.
pub(crate) fn leading_blank(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_token(byte: u8) -> bool {
    matches!(byte,
        b'0'..=b'9' | b'A'..=b'Z' | b'^'..=b'z' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.'
        | b'|' | b'~')
}

/// Length of `HTTP/1.1 200`.
const STATUS_LEN: usize = 12;

/// Bytes of the longest method; the longest one registered has 17.
pub(crate) const MAX_METHOD: usize = 64;

/// Where a reason begins, if there is one.
pub(crate) const REASON_AT: usize = STATUS_LEN + 1;

/// `prefix` is [`STATUS_LEN`] bytes of a status line.
fn status_prefix(prefix: &[u8]) -> bool {
    matches!(prefix, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', code @ ..]
        if minor.is_ascii_digit() && code.iter().all(u8::is_ascii_digit) && code.first() != Some(&b'0'))
}

/// Length of the token before the first space.
fn method_len(line: &[u8]) -> Option<usize> {
    let end = line.iter().take(MAX_METHOD + 1).position(|&byte| !is_token(byte))?;
    (end > 0 && line.get(end) == Some(&b' ')).then_some(end)
}

/// Control characters other than the tab. It looks at all bytes, so that the compiler can take
/// many at a time.
fn has_control(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(false, |found, &byte| found | ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &[u8], expected: Detection) {
        assert_eq!(looks_like_http(prefix), expected, "{:?}", prefix.escape_ascii().to_string());
    }

    #[test]
    fn messages_are_recognised() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "\r\n\r\nGET / HTTP/1.0\n",
            "PROPFIND * HTTP/1.1\r\n",
            "x!y http://host/a b HTTP/1.1\r\n",
            "CONNECT host:443 HTTP/1.1\r\n",
            "GET /only\r\n",
            "GET /caf\u{e9}  HTTP/1.7 \r\n",
        ] {
            check(line.as_bytes(), Detection::Request);
        }
        for line in ["HTTP/1.1 200 OK\r\n", "HTTP/1.0 404", "HTTP/1.1 200\n", "\r\nHTTP/1.1 100 C"]
        {
            check(line.as_bytes(), Detection::Response);
        }
    }

    #[test]
    fn every_prefix_of_a_start_line_needs_more() {
        for line in ["GET /a HTTP/1.1\r\n", "\r\nHTTP/1.1 200"] {
            for end in 0..line.len() {
                check(&line.as_bytes()[..end], Detection::NeedMore);
            }
        }
    }

    #[test]
    fn other_protocols_are_not() {
        for prefix in [
            &b"\x16\x03\x01\x00\xa5\x01"[..],
            b"SSH-2.0-OpenSSH_9.6 Ubuntu\r\n",
            b"220 mail.example ESMTP\r\n",
            b"EHLO client.example\r\n",
            b"OPTIONS rtsp://host/ RTSP/1.0\r\n",
            b"INVITE sip:bob@example.com SIP/2.0\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"HTTP/2 200\r\n",
            b"HTTP/1.1 2x0 OK\r\n",
            b"GET HTTP/1.1\r\n",
            b" / HTTP/1.1\r\n",
            b"GET /\x00 HTTP/1.1\r\n",
            b"GET /a\x01",
            b"GE\x01",
            &[b'A'; MAX_METHOD + 1],
            b"HTTP/1.x",
        ] {
            check(prefix, Detection::No);
        }
        assert_eq!(StartLine::parse(b"HTTP/1.1 2000 OK"), None);
    }
}
