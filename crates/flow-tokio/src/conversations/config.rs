use std::time::Duration;

/// Limits of [`Conversations`](crate::Conversations), and what happens at them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConversationConfig {
    /// Bytes of a conversation that wait in memory to be read, and 64 for each piece of them. What a
    /// single packet completes may exceed it.
    ///
    /// Rationale: as much as a receive window mostly is.
    pub max_queued: usize,
    /// The same of all conversations together. Beyond it, bytes spill or are dropped, whatever
    /// [`when_full`](Self::when_full) says: blocking could be for ever. Pieces that spill still take
    /// 64 bytes each; beyond a quarter more than this, and a mebibyte at least, they are dropped, too.
    ///
    /// Rationale: as much as reassembly may hold by default.
    pub max_queued_total: usize,
    /// What happens with bytes for a conversation that is full.
    pub when_full: WhenFull,
    /// How long [`WhenFull::Block`] keeps a reader waiting for another one that does not come.
    ///
    /// Rationale: longer than anybody needs to write a megabyte somewhere; who comes later than that
    /// may itself be waiting for the reader that is kept waiting.
    pub patience: Duration,
    /// Bytes of all conversations together that may be in a temporary file; 0 for none. Beyond it,
    /// bytes are dropped, and show as a gap.
    ///
    /// Rationale: a large capture fits, and little is lost of a disk.
    pub max_spilled: u64,
    /// Conversations that nobody has taken yet. Beyond it, new ones are passed over and
    /// [counted](crate::Conversations::passed_over).
    ///
    /// Rationale: as many as there are flows in the table by default; each is some hundred bytes.
    pub max_waiting: usize,
}

/// What happens with bytes for a conversation that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WhenFull {
    /// No packet is read until the conversation is read from, so that everything waits for the
    /// slowest reader.
    ///
    /// That is not possible where it would be for ever: for a conversation that nobody has begun to
    /// read while a reader waits for another one, for one whose own task waits for another one, and for
    /// one that is not read from in [time](ConversationConfig::patience) while another is waited for.
    /// Its bytes spill until it is read from again.
    #[default]
    Block,
    /// They go to a temporary file.
    Spill,
    /// They are dropped, and show as a gap.
    Drop,
}

impl Default for ConversationConfig {
    fn default() -> Self {
        Self {
            max_queued: 1 << 20,
            max_queued_total: 256 << 20,
            when_full: WhenFull::default(),
            patience: Duration::from_secs(10),
            max_spilled: 4 << 30,
            max_waiting: 100_000,
        }
    }
}
