use crate::reader::u24;
use crate::record::{
    ALERT, APPLICATION_DATA, CERTIFICATE, CHANGE_CIPHER_SPEC, CLIENT_HELLO, HANDSHAKE, MAX_RECORD,
    RECORD_HEADER, SERVER_HELLO,
};

/// Whether a stream is TLS, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Detection {
    /// It is.
    Yes,
    /// It is not, whatever follows.
    No,
    /// It may be; [`DETECTION_LEN`] bytes always suffice to tell.
    NeedMore,
}

/// The number of bytes after which [`detect`] never says [`Detection::NeedMore`].
pub const DETECTION_LEN: usize = 11;

/// Whether `prefix`, the first bytes of either side's stream, is the beginning of TLS: a record
/// of any kind with plausible lengths (a connection may be joined in its middle), or a hello in
/// the SSL 2.0 form.
///
/// Costs a few comparisons and no allocation; most other protocols are told apart by their first
/// byte. The answer for a longer prefix never contradicts a `Yes` or `No` for a shorter one.
///
/// ```
/// use flow_tls::{Detection, detect};
///
/// assert_eq!(detect(b"GET / HTTP/1.1\r\n"), Detection::No);
/// assert_eq!(detect(b"\x16\x03\x01"), Detection::NeedMore);
/// assert_eq!(detect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), Detection::Yes);
/// ```
#[must_use]
pub fn detect(prefix: &[u8]) -> Detection {
    match opening(prefix) {
        Some(Some(_)) => Detection::Yes,
        Some(None) => Detection::No,
        None => Detection::NeedMore,
    }
}

/// How a side's stream opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    Records,
    Ssl2Hello,
}

/// How the stream opens that begins with `prefix`: `Some(None)` if not with TLS, `None` if that
/// takes more bytes to tell.
pub(crate) fn opening(prefix: &[u8]) -> Option<Option<Opening>> {
    if *prefix.first()? >= 0x80 {
        return ssl2(prefix);
    }
    Some(record(prefix)?.then_some(Opening::Records))
}

fn record(prefix: &[u8]) -> Option<bool> {
    let kind = *prefix.first()?;
    if !matches!(kind, CHANGE_CIPHER_SPEC..=APPLICATION_DATA)
        || *prefix.get(1)? != 3
        || *prefix.get(2)? > 4
    {
        return Some(false);
    }
    let len = u16::from_be_bytes([*prefix.get(3)?, *prefix.get(4)?]);
    match kind {
        CHANGE_CIPHER_SPEC => Some(len == 1),
        ALERT => Some((2..=MAX_RECORD).contains(&len)),
        HANDSHAKE if (1..=MAX_RECORD).contains(&len) => {
            handshake(len, prefix.get(RECORD_HEADER..)?)
        }
        _ => Some((1..=MAX_RECORD).contains(&len)),
    }
}

/// Judges the first bytes of a handshake record by no more of them than the record holds.
fn handshake(record_len: u16, fragment: &[u8]) -> Option<bool> {
    let kind = *fragment.first()?;
    if !matches!(kind, 0 | CLIENT_HELLO | SERVER_HELLO | 4 | CERTIFICATE..=16 | 20..=24) {
        return Some(false);
    }
    if !matches!(kind, CLIENT_HELLO | SERVER_HELLO) || record_len < 6 {
        return Some(true);
    }
    let len = u24([*fragment.get(1)?, *fragment.get(2)?, *fragment.get(3)?]);
    // From version and random alone to more than all length fields of a hello can add up to.
    if !(34..1 << 18).contains(&len) {
        return Some(false);
    }
    // TLS 1.3 drafts had 0x7fXX in ServerHellos.
    let major = *fragment.get(4)?;
    Some(major == 3 || kind == SERVER_HELLO && major == 0x7f)
}

/// The hellos of SSL 2.0, all of whose lengths must agree.
fn ssl2(prefix: &[u8]) -> Option<Option<Opening>> {
    let field = |at: usize| Some(u16::from_be_bytes([*prefix.get(at)?, *prefix.get(at + 1)?]));
    let len = u32::from(field(0)? & 0x7fff);
    let kind = *prefix.get(2)?;
    match kind {
        1 => {
            let version = field(3)?;
            if !matches!(version, 2 | 0x0300..=0x0304) {
                return Some(None);
            }
            let (specs, session, challenge) = (field(5)?, field(7)?, field(9)?);
            let consistent = len
                == 9 + u32::from(specs) + u32::from(session) + u32::from(challenge)
                && specs > 0
                && specs % 3 == 0
                && matches!(session, 0 | 16 | 32)
                && (16..=32).contains(&challenge);
            Some(consistent.then_some(Opening::Ssl2Hello))
        }
        // Whether the session was found, the type of the certificate, and the version.
        4 => {
            if *prefix.get(3)? > 1 || *prefix.get(4)? > 1 || field(5)? != 2 {
                return Some(None);
            }
            let (certificate, specs) = (field(7)?, field(9)?);
            let least = 11 + u32::from(certificate) + u32::from(specs);
            let consistent = (least..=least + 32).contains(&len) && specs % 3 == 0;
            Some(consistent.then_some(Opening::Ssl2Hello))
        }
        _ => Some(None),
    }
}
