/// What counts as damage when a capture is read.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PcapConfig {
    /// Captured bytes of a packet, at most. Where the capture's own snap length is more, that
    /// counts, up to [`max_block_bytes`](Self::max_block_bytes).
    ///
    /// Rationale: 262,144 is the snap length that capturing programs use for "all of it"
    /// (libpcap's `MAXIMUM_SNAPLEN`) and where libpcap and Wireshark draw the line.
    pub max_packet_bytes: u32,
    /// Bytes of a pcapng block that has to be held as a whole, at most; longer ones are damage if
    /// they are needed, and skipped if not.
    ///
    /// Rationale: 16 MiB is Wireshark's limit; a packet with several comments stays far below.
    pub max_block_bytes: u32,
    /// Interfaces of a pcapng section, at most.
    ///
    /// Rationale: the oldest packet block counts them with 16 bits; an interface takes 32 bytes
    /// of memory here, so that a section of nothing but descriptions stays at 2 MiB.
    pub max_interfaces: usize,
}

impl Default for PcapConfig {
    fn default() -> Self {
        Self { max_packet_bytes: 262_144, max_block_bytes: 16 << 20, max_interfaces: 65_536 }
    }
}

impl PcapConfig {
    /// Packets up to this length, given the snap length that the capture declares.
    pub(crate) fn packet_limit(&self, snaplen: u32) -> u32 {
        self.max_packet_bytes.max(snaplen.min(self.max_block_bytes))
    }
}
