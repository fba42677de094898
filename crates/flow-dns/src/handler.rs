use crate::message::{DnsPendingQuery, DnsQuery, DnsResponse};

/// Callbacks for DNS messages. Every method has an empty body by default.
///
/// They take `&self`, since one handler serves every flow; what changes inside is an atomic or
/// behind a lock.
pub trait DnsHandler: Send + Sync + 'static {
    /// A query was seen.
    fn on_query(&self, query: &DnsQuery) {
        let _ = query;
    }

    /// A response was seen; its `elapsed` says whether its query was.
    fn on_response(&self, response: &DnsResponse) {
        let _ = response;
    }

    /// No response to `query` was seen in time.
    fn on_unanswered(&self, query: &DnsPendingQuery) {
        let _ = query;
    }
}
