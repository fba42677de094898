use std::time::Duration;

/// Limits of matching queries with responses. All times are packet time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsConfig {
    /// A query without a response for this long is unanswered.
    ///
    /// Rationale: stub resolvers give up after 5 to 30 s; a recursive one may take that long for
    /// its own retries.
    pub query_timeout: Duration,
    /// Queries that may wait at once, per [`Correlator`](crate::Correlator) and so per flow; at
    /// this many, a new one pushes out the oldest.
    ///
    /// Rationale: the busiest resolvers have some thousands open between two hosts; at about 150
    /// bytes each it makes 1.5 MB.
    pub max_pending: usize,
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self { query_timeout: Duration::from_secs(30), max_pending: 10_000 }
    }
}

impl DnsConfig {
    /// Another [`query_timeout`](Self::query_timeout).
    #[must_use]
    pub const fn with_query_timeout(mut self, timeout: Duration) -> Self {
        self.query_timeout = timeout;
        self
    }

    /// Another [`max_pending`](Self::max_pending).
    #[must_use]
    pub const fn with_max_pending(mut self, queries: usize) -> Self {
        self.max_pending = queries;
        self
    }
}
