/// Limits of a [`TlsParser`](crate::TlsParser).
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
    /// How far into each side's stream, in bytes, a TLS connection may begin; 0 (the default)
    /// takes it only at the start.
    ///
    /// With a limit, a side that does not begin with TLS is not given up at once. A ClientHello
    /// or ServerHello is then looked for at the start of every piece the parser is fed, which is
    /// where protocols that turn to TLS in midstream (STARTTLS, SOCKS, HTTP CONNECT) have it,
    /// since each side waits for the other's word before; and after a gap. What is found depends
    /// on how the stream was cut into segments.
    ///
    /// Rationale for a value: 16 KiB is beyond every greeting, capability list and proxy header;
    /// the search costs one comparison per piece.
    pub scan_for_hello: usize,
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

    /// Sets [`scan_for_hello`](Self::scan_for_hello).
    #[must_use]
    pub const fn with_scan_for_hello(mut self, bytes: usize) -> Self {
        self.scan_for_hello = bytes;
        self
    }
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self { max_buffer: 64 << 10, max_certificates: 1 << 20, scan_for_hello: 0 }
    }
}
