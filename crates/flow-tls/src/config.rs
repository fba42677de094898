/// Limits and options of a [`TlsParser`](crate::TlsParser).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The longest hello, in bytes with its header; a longer one poisons the parser. Memory is
    /// held for one that is incomplete only, per side, and at most twice what has come of it.
    ///
    /// Rationale: 64 KiB. A hello's extensions, its largest part by far, have a length field of
    /// 16 bits; hellos in use, post-quantum key shares included, stay below 4 KiB.
    pub max_buffer: usize,
    /// The longest Certificate message, in bytes with its header; a longer one poisons the
    /// parser. Memory is held as for a hello.
    ///
    /// Rationale: 1 MiB. The length field allows 16 MiB; chains in use stay below 20 KiB, the
    /// common libraries refuse more than 100 KiB unless told otherwise, and some servers have
    /// been seen to send several hundred.
    pub max_certificates: usize,
    /// The longest NewSessionTicket message, in bytes with its header; a longer one is passed
    /// over. Memory is held as for a hello.
    ///
    /// Rationale: 16 KiB. The length field allows 64 KiB; a ticket holds the state of a session
    /// (RFC 5077 section 4), at most with the client's certificate in it.
    pub max_ticket: usize,
    /// Bytes that a side may send in clear, record headers included and early data not; more
    /// poison the parser. It bounds work, not memory.
    ///
    /// Rationale: 4 MiB. It is four times the longest message that is taken, and a handshake has
    /// one or two that are long at all; more comes only of messages without end, or of records
    /// that are little more than their headers.
    pub max_handshake: usize,
    /// Whether each hello is followed by its fingerprints, as a
    /// [`TlsMessage::Fingerprint`](crate::TlsMessage::Fingerprint). Off by default.
    #[cfg(feature = "fingerprint")]
    pub fingerprints: bool,
}

impl TlsConfig {
    /// Sets [`max_buffer`](Self::max_buffer).
    #[must_use]
    pub const fn with_max_buffer(mut self, bytes: usize) -> Self {
        self.max_buffer = bytes;
        self
    }

    /// Sets [`max_certificates`](Self::max_certificates).
    #[must_use]
    pub const fn with_max_certificates(mut self, bytes: usize) -> Self {
        self.max_certificates = bytes;
        self
    }

    /// Sets [`max_ticket`](Self::max_ticket).
    #[must_use]
    pub const fn with_max_ticket(mut self, bytes: usize) -> Self {
        self.max_ticket = bytes;
        self
    }

    /// Sets [`max_handshake`](Self::max_handshake).
    #[must_use]
    pub const fn with_max_handshake(mut self, bytes: usize) -> Self {
        self.max_handshake = bytes;
        self
    }

    /// Sets [`fingerprints`](Self::fingerprints).
    #[cfg(feature = "fingerprint")]
    #[must_use]
    pub const fn with_fingerprints(mut self, yes: bool) -> Self {
        self.fingerprints = yes;
        self
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            max_buffer: 64 << 10,
            max_certificates: 1 << 20,
            max_ticket: 16 << 10,
            max_handshake: 4 << 20,
            #[cfg(feature = "fingerprint")]
            fingerprints: false,
        }
    }
}
