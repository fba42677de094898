use std::fmt;

/// An alert sent in clear (RFC 8446 section 6): a warning, the polite end, or why a handshake
/// failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TlsAlert {
    /// 1 warning, 2 fatal.
    pub level: u8,
    /// What is the matter, a number of the IANA registry "TLS Alerts".
    pub description: u8,
}

impl TlsAlert {
    /// Whether its sender sends nothing more: it is fatal (RFC 8446 section 6.2), or the polite
    /// end (section 6.1).
    pub(crate) const fn is_last(self) -> bool {
        self.level == 2 || self.description == 0
    }

    /// `warning` or `fatal`; a parser gives no others.
    #[must_use]
    pub const fn level_name(self) -> Option<&'static str> {
        match self.level {
            1 => Some("warning"),
            2 => Some("fatal"),
            _ => None,
        }
    }

    /// The registry's name, like `handshake_failure`, if the number has one.
    #[must_use]
    pub const fn description_name(self) -> Option<&'static str> {
        Some(match self.description {
            0 => "close_notify",
            10 => "unexpected_message",
            20 => "bad_record_mac",
            21 => "decryption_failed",
            22 => "record_overflow",
            30 => "decompression_failure",
            40 => "handshake_failure",
            41 => "no_certificate",
            42 => "bad_certificate",
            43 => "unsupported_certificate",
            44 => "certificate_revoked",
            45 => "certificate_expired",
            46 => "certificate_unknown",
            47 => "illegal_parameter",
            48 => "unknown_ca",
            49 => "access_denied",
            50 => "decode_error",
            51 => "decrypt_error",
            52 => "too_many_cids_requested",
            60 => "export_restriction",
            70 => "protocol_version",
            71 => "insufficient_security",
            80 => "internal_error",
            86 => "inappropriate_fallback",
            90 => "user_canceled",
            100 => "no_renegotiation",
            109 => "missing_extension",
            110 => "unsupported_extension",
            111 => "certificate_unobtainable",
            112 => "unrecognized_name",
            113 => "bad_certificate_status_response",
            114 => "bad_certificate_hash_value",
            115 => "unknown_psk_identity",
            116 => "certificate_required",
            120 => "no_application_protocol",
            121 => "ech_required",
            _ => return None,
        })
    }
}

/// Level and description, by name where there is one: `fatal handshake_failure`.
impl fmt::Display for TlsAlert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "level {}", self.level)?,
        }
        match self.description_name() {
            Some(name) => write!(f, " {name}"),
            None => write!(f, " {}", self.description),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |level, description, expected: &str| {
            assert_eq!(TlsAlert { level, description }.to_string(), expected);
        };
        check(1, 0, "warning close_notify");
        check(2, 40, "fatal handshake_failure");
        check(2, 255, "fatal 255");
        check(7, 112, "level 7 unrecognized_name");
    }
}
