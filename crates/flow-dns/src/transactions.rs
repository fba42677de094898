use std::time::Duration;

use flow_core::{FlowSide, Timestamp};

use crate::config::DnsConfig;
use crate::correlator::{Correlator, DnsRecorded};
use crate::message::{DnsMessage, DnsOpcode, DnsPendingQuery, DnsQuery};

/// Queries that wait without a [`Correlator`].
///
/// Rationale: most flows have one query, and stub resolvers ask for A and AAAA at once from the
/// same port.
const FEW: usize = 2;

/// The queries of one flow that wait for their responses.
///
/// PERF: what does not wait takes no room. Most flows are idle until they time out, and a table of
/// a million of them costs what its entries take in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    waiting: Waiting,
    /// [`DnsConfig::query_timeout`] in nanoseconds.
    timeout: u64,
    /// [`DnsConfig::max_pending`].
    max_pending: u32,
}

/// Each query with the side that sent it.
#[derive(Clone, Debug)]
enum Waiting {
    Few(Few),
    Many(Box<Correlator<FlowSide>>),
}

type Few = [Option<Box<(FlowSide, DnsPendingQuery)>>; FEW];

impl Waiting {
    const NONE: Self = Self::Few([const { None }; FEW]);
}

impl Transactions {
    pub(crate) fn new(config: DnsConfig) -> Self {
        Self {
            waiting: Waiting::NONE,
            timeout: u64::try_from(config.query_timeout.as_nanos()).unwrap_or(u64::MAX),
            max_pending: u32::try_from(config.max_pending).unwrap_or(u32::MAX),
        }
    }

    fn config(&self) -> DnsConfig {
        DnsConfig {
            query_timeout: Duration::from_nanos(self.timeout),
            max_pending: self.max_pending as usize,
        }
    }

    /// Takes notice of a message that `side` sent. A response learns how long it took.
    pub(crate) fn track(&mut self, side: FlowSide, message: &mut DnsMessage) {
        match message {
            DnsMessage::Query(query) if expects_response(query) => {
                query.retransmission = self.record(side, query);
            }
            DnsMessage::Response(response) => {
                let asked = side.other();
                response.elapsed = match &mut self.waiting {
                    Waiting::Few(few) => few
                        .iter_mut()
                        .find_map(|slot| {
                            slot.take_if(|it| it.0 == asked && it.1.answered_by(response))
                        })
                        .map(|it| response.timestamp.saturating_sub(it.1.timestamp)),
                    Waiting::Many(many) => {
                        many.match_response(&asked, response).map(|answered| answered.elapsed)
                    }
                };
                self.shrink();
            }
            _ => {}
        }
    }

    /// Gives `unanswered` the queries that have waited for too long.
    pub(crate) fn sweep(&mut self, now: Timestamp, mut unanswered: impl FnMut(DnsPendingQuery)) {
        let timeout = Duration::from_nanos(self.timeout);
        match &mut self.waiting {
            Waiting::Few(few) => few
                .iter_mut()
                .filter_map(|slot| slot.take_if(|it| it.1.is_expired(now, timeout)))
                .for_each(|it| unanswered(it.1)),
            Waiting::Many(many) => many.sweep(now).for_each(|(_, query)| unanswered(query)),
        }
        self.shrink();
    }

    /// Takes out all queries.
    pub(crate) fn drain(&mut self) -> Vec<DnsPendingQuery> {
        match std::mem::replace(&mut self.waiting, Waiting::NONE) {
            Waiting::Few(few) => oldest_first(few).map(|it| it.1).collect(),
            Waiting::Many(mut many) => many.drain().map(|(_, query)| query).collect(),
        }
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        match &self.waiting {
            Waiting::Few(few) => {
                few.iter().flatten().count() * size_of::<(FlowSide, DnsPendingQuery)>()
            }
            Waiting::Many(many) => size_of::<Correlator<FlowSide>>() + many.buffered_bytes(),
        }
    }

    /// Lets a query wait; says whether it repeats one that does.
    fn record(&mut self, side: FlowSide, query: &DnsQuery) -> bool {
        let config = self.config();
        let few = match &mut self.waiting {
            Waiting::Many(many) => {
                return many.record_query(side, query) == DnsRecorded::Retransmission;
            }
            Waiting::Few(few) => few,
        };
        let repeated =
            few.iter_mut().flatten().find(|it| it.0 == side && it.1.is_repeated_by(query));
        if let Some(it) = repeated {
            it.1.retransmissions = it.1.retransmissions.saturating_add(1);
            return true;
        }
        let fits = few.iter().flatten().count() < config.max_pending;
        if let Some(slot) = few.iter_mut().find(|slot| slot.is_none()).filter(|_| fits) {
            *slot = Some(Box::new((side, DnsPendingQuery::of(query))));
        } else {
            let mut many = Box::new(Correlator::new(config));
            for (side, query) in oldest_first(std::mem::take(few)) {
                many.record(side, query);
            }
            many.record_query(side, query);
            self.waiting = Waiting::Many(many);
        }
        false
    }

    /// Gives the heap back once nothing waits.
    fn shrink(&mut self) {
        if matches!(&self.waiting, Waiting::Many(many) if many.pending_len() == 0) {
            self.waiting = Waiting::NONE;
        }
    }
}

fn oldest_first(mut few: Few) -> impl Iterator<Item = (FlowSide, DnsPendingQuery)> {
    few.sort_by_key(|slot| slot.as_ref().map(|it| it.1.timestamp));
    few.into_iter().flatten().map(|it| *it)
}

/// DSO messages under ID 0 are unidirectional (RFC 8490 5.4).
fn expects_response(query: &DnsQuery) -> bool {
    !(query.opcode == DnsOpcode::DSO && query.transaction_id == 0)
}
