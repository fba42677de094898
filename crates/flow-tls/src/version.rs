use std::fmt;

/// A protocol version as it stands in records, hellos and `supported_versions`.
///
/// [`from_raw`](Self::from_raw) gives every number exactly one value, so versions can be
/// compared with `==`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// SSL 2.0, `0x0002`.
    Ssl2,
    /// SSL 3.0 (RFC 6101), `0x0300`.
    Ssl3,
    /// TLS 1.0 (RFC 2246), `0x0301`.
    Tls1_0,
    /// TLS 1.1 (RFC 4346), `0x0302`.
    Tls1_1,
    /// TLS 1.2 (RFC 5246), `0x0303`.
    Tls1_2,
    /// TLS 1.3 (RFC 8446), `0x0304`.
    Tls1_3,
    /// Any other number: drafts (`0x7fXX`), GREASE (RFC 8701), nonsense.
    Other(u16),
}

impl TlsVersion {
    /// The version with this number.
    #[must_use]
    pub const fn from_raw(raw: u16) -> Self {
        match raw {
            0x0002 => Self::Ssl2,
            0x0300 => Self::Ssl3,
            0x0301 => Self::Tls1_0,
            0x0302 => Self::Tls1_1,
            0x0303 => Self::Tls1_2,
            0x0304 => Self::Tls1_3,
            other => Self::Other(other),
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn to_raw(self) -> u16 {
        match self {
            Self::Ssl2 => 0x0002,
            Self::Ssl3 => 0x0300,
            Self::Tls1_0 => 0x0301,
            Self::Tls1_1 => 0x0302,
            Self::Tls1_2 => 0x0303,
            Self::Tls1_3 => 0x0304,
            Self::Other(raw) => raw,
        }
    }

    /// Whether a handshake of this version is encrypted from the ServerHello on: TLS 1.3 and its
    /// drafts.
    pub(crate) const fn hides_handshake(self) -> bool {
        matches!(self, Self::Tls1_3 | Self::Other(0x7f00..=0x7fff))
    }
}

/// The usual name, `TLS 1.2`, or the number, `0x8a8a`.
impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssl2 => "SSL 2.0",
            Self::Ssl3 => "SSL 3.0",
            Self::Tls1_0 => "TLS 1.0",
            Self::Tls1_1 => "TLS 1.1",
            Self::Tls1_2 => "TLS 1.2",
            Self::Tls1_3 => "TLS 1.3",
            Self::Other(raw) => return write!(f, "{raw:#06x}"),
        })
    }
}

/// Whether `value` is one of the sixteen that RFC 8701 reserves for clients that want to see
/// unknown values ignored: `0x0a0a`, `0x1a1a` … `0xfafa`.
#[must_use]
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// Whether RFC 8701 reserves this name of a protocol.
pub(crate) fn is_grease_name(name: &[u8]) -> bool {
    name.try_into().is_ok_and(|pair| is_grease(u16::from_be_bytes(pair)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        for raw in 0..=u16::MAX {
            assert_eq!(TlsVersion::from_raw(raw).to_raw(), raw);
        }
    }

    #[test]
    fn names() {
        let check = |raw, expected: &str| {
            assert_eq!(TlsVersion::from_raw(raw).to_string(), expected);
        };
        check(0x0002, "SSL 2.0");
        check(0x0300, "SSL 3.0");
        check(0x0301, "TLS 1.0");
        check(0x0304, "TLS 1.3");
        check(0x0a0a, "0x0a0a");
    }

    #[test]
    fn sixteen_grease_values() {
        let found: Vec<_> = (0..=u16::MAX).filter(|&value| is_grease(value)).collect();
        assert_eq!(found.len(), 16);
        assert!(found.contains(&0x0a0a) && found.contains(&0xfafa) && !found.contains(&0x0a1a));
    }
}
