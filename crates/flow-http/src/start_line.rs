use memchr::{memchr, memrchr};

use crate::{HttpVersion, methods};

/// What bytes at the beginning of a stream, or of a line, can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detection {
    /// An HTTP/1.x request, one of HTTP/0.9, or one whose version is malformed.
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
/// by its whole start line, which may be malformed behind a registered method if it names HTTP; a
/// response is told by `HTTP/1.1 200`. Most other protocols are out after a byte or a line. Empty
/// lines before the message are allowed (RFC 9112 section 2.2).
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
    if begins_status(line) {
        return Detection::Response;
    }
    match memchr(b'\n', line) {
        Some(end) => match StartLine::parse(line.get(..end).unwrap_or_default()) {
            Some(StartLine::Request(_)) => Detection::Request,
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
    /// A request line.
    Request(RequestLine<'a>),
    /// A status line. The reason begins [`REASON_AT`] bytes into it.
    Response { version: HttpVersion, status: u16, reason: &'a [u8] },
}

/// A request line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a [u8],
    pub(crate) target: &'a [u8],
    /// Where in the line the target begins.
    pub(crate) target_at: usize,
    pub(crate) version: HttpVersion,
    /// The version as sent; empty if there is none.
    pub(crate) version_text: &'a [u8],
    /// Where in the line the version begins.
    pub(crate) version_at: usize,
    /// The target or the version is not there or is none.
    pub(crate) malformed: bool,
}

impl<'a> StartLine<'a> {
    /// Takes a line apart that has lost its LF.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let line = trim_cr(line);
        Self::parse_strictly(line)
            .or_else(|| Some(Self::Request(RequestLine::malformed(line)?)))
            .or_else(|| Some(Self::Request(RequestLine::simple(line)?)))
    }

    /// The same for a line that has lost its line end, if its version is one of HTTP/1.x.
    pub(crate) fn parse_strictly(line: &'a [u8]) -> Option<Self> {
        if line.starts_with(b"HTTP/") {
            Self::response(line)
        } else {
            Some(Self::Request(RequestLine::regular(line)?))
        }
    }

    /// Whether it is a request of HTTP/0.9.
    pub(crate) fn is_http09(&self) -> bool {
        matches!(self, Self::Request(line) if line.version == HttpVersion::HTTP_09)
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
}

impl<'a> RequestLine<'a> {
    /// Method, target and a version of HTTP/1.x. Spaces inside of a target are not allowed, but
    /// sent and understood.
    fn regular(line: &'a [u8]) -> Option<Self> {
        // The end is looked at first: it tells nearly every line that is none.
        let line = trim_blank_end(line);
        let (before, version_text) = split_version(line)?;
        let minor = version_text.last()?.wrapping_sub(b'0');
        let version = HttpVersion { major: 1, minor };
        let line = Self::with_target(line, method_len(before)?, version_text, version)?;
        (!line.target.is_empty()).then_some(line)
    }

    /// What begins with a registered method and speaks of HTTP, but has another version, none, or
    /// no target: `GET / HTTP/1.`, `GET /HTTP/1.1`, `OPTIONS HTTP/1.1`. A line that is nothing but
    /// a method is none of these, as other protocols begin so (STOMP, NNTP).
    ///
    /// A version that cannot be read, or is not there though a head follows, is taken for
    /// HTTP/1.0, which promises least.
    fn malformed(line: &'a [u8]) -> Option<Self> {
        let line = trim_blank_end(line);
        let method_len = method_len(line)?;
        if !methods::is_registered(line.get(..method_len)?) {
            return None;
        }
        let last_space = memrchr(b' ', line)?;
        let last = line.get(last_space + 1..)?;
        let names_http = last.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"HTTP/"));
        let version_text = if names_http && last_space > method_len {
            last
        } else if names_http || ends_in_version(last) {
            &[]
        } else {
            return None;
        };
        let version = match version_text {
            [_, _, _, _, _, major @ b'1'..=b'9', b'.', minor @ b'0'..=b'9'] => {
                HttpVersion { major: major.wrapping_sub(b'0'), minor: minor.wrapping_sub(b'0') }
            }
            _ => HttpVersion::HTTP_10,
        };
        let line = Self::with_target(line, method_len, version_text, version)?;
        Some(Self { malformed: true, ..line })
    }

    /// HTTP/0.9 (RFC 1945 section 5).
    fn simple(line: &'a [u8]) -> Option<Self> {
        let line = trim_blank_end(line);
        let request = Self::with_target(line, 3, &[], HttpVersion::HTTP_09)?;
        let valid = line.starts_with(b"GET /") && !request.target.contains(&b' ');
        valid.then_some(request)
    }

    /// With what is between the method and the version, which `line` ends with.
    fn with_target(
        line: &'a [u8],
        method_len: usize,
        version_text: &'a [u8],
        version: HttpVersion,
    ) -> Option<Self> {
        let version_at = line.len() - version_text.len();
        let (method, rest) = line.get(..version_at)?.split_at_checked(method_len)?;
        let target_at = version_at - rest.trim_ascii_start().len();
        let target = rest.trim_ascii();
        let malformed = false;
        (!has_control(line)).then_some(Self {
            method,
            target,
            target_at,
            version,
            version_text,
            version_at,
            malformed,
        })
    }
}

/// Splits the version of HTTP/1.x, and the space before it, off a line that ends with them.
pub(crate) fn split_version(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, version) = line.split_at_checked(line.len().checked_sub(8)?)?;
    ends_in_version(version).then_some((before.strip_suffix(b" ")?, version))
}

fn ends_in_version(text: &[u8]) -> bool {
    matches!(text, [.., b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'..=b'9'])
}

fn trim_cr(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_suffix(b"\r") {
        line = rest;
    }
    line
}

fn trim_blank_end(mut line: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = line {
        line = rest;
    }
    line
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

/// Whether bytes behind a method, but before the end of the line, may belong to a request line.
pub(crate) fn may_go_on(bytes: &[u8]) -> bool {
    // CRs may be those of the line's end.
    !has_control(trim_cr(bytes))
}

/// Whether a line that begins so can only be a status line.
pub(crate) fn begins_status(prefix: &[u8]) -> bool {
    prefix.get(..STATUS_LEN).is_some_and(status_prefix)
}

/// How many CRs and LFs these bytes begin with.
pub(crate) fn leading_blank(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count()
}

/// A character of a token (RFC 9110 section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
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
    bytes.iter().fold(false, |found, &byte| found | is_control(byte))
}

/// Whether it is a control character other than the tab.
pub(crate) fn is_control(byte: u8) -> bool {
    ((byte < 0x20) & (byte != b'\t')) | (byte == 0x7f)
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
            "GET / HTTP/1.\n",
            "GET HTTP/1.1\r\n",
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
            b"OPTIONS icap://host/service ICAP/1.0\r\n",
            b"OPTIONS sip:bob@example.com SIP/2.0\r\n",
            b"UPDATE sip:bob@example.com SIP/2.0\r\n",
            b"GET key\r\n",
            b"get key\r\n",
            b"CONNECT\naccept-version:1.2\nhost:h\n\n\0",
            b"CONNECT {\"verbose\":false,\"lang\":\"HTTP/1.1\"}\r\n",
            b"POST\r\n",
            b"HEAD <45223423@example.com>\r\n",
            b"SEARCH UNSEEN\r\n",
            b"UPDATE t SET a = 1\r\n",
            b"XGET HTTP/1.1\r\n",
            b"XGET / HTTP/1.\r\n",
            b"GET/ HTTP/1.1\r\n",
            b"GET / HTTP/1.1 x\r\n",
            b"GET / HTTP/1.1\r \n",
            b"GET / HTTP/1.1\x0c\r\n",
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

    #[test]
    fn malformed_request_lines() {
        let check = |line: &[u8], expected: (&str, &str, &str, HttpVersion)| {
            let Some(StartLine::Request(found)) = StartLine::parse(line) else {
                panic!("{line:?}")
            };
            let text = |bytes| str::from_utf8(bytes).unwrap();
            let parts = (text(found.method), text(found.target), text(found.version_text));
            assert_eq!((parts.0, parts.1, parts.2, found.version), expected);
            assert!(found.malformed);
            assert!(line[found.target_at..].starts_with(found.target));
            assert!(line[found.version_at..].starts_with(found.version_text));
        };
        let unknown = HttpVersion::HTTP_10;
        check(b"GET / HTTP/1.", ("GET", "/", "HTTP/1.", unknown));
        check(b"GET / HTTP/1.\r\r", ("GET", "/", "HTTP/1.", unknown));
        check(b"GET /a b  http/1.1 ", ("GET", "/a b", "http/1.1", HttpVersion::HTTP_11));
        check(b"POST /x HTTP/2.0", ("POST", "/x", "HTTP/2.0", HttpVersion { major: 2, minor: 0 }));
        check(b"GET /x HTTP/0.9", ("GET", "/x", "HTTP/0.9", unknown));
        check(b"PUT /x HTTP/1.10", ("PUT", "/x", "HTTP/1.10", unknown));
        check(b"GET /HTTP/1.1", ("GET", "/HTTP/1.1", "", unknown));
        check(b"OPTIONS HTTP/1.1", ("OPTIONS", "HTTP/1.1", "", unknown));
        check(b"OPTIONS  HTTP/1.1", ("OPTIONS", "", "HTTP/1.1", HttpVersion::HTTP_11));
    }
}
