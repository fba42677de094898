use flow_core::{FlowSide, Timestamp};

use crate::config::DnsConfig;
use crate::correlator::Correlator;
use crate::message::{DnsMessage, DnsOpcode, DnsPendingQuery, DnsQuery};

/// Queries that wait in the parser itself.
///
/// Rationale: most flows have one query, and stub resolvers ask for A and AAAA at once from the
/// same port.
const INLINE: usize = 2;

/// The queries of one flow that wait for their responses, without the heap while they are few.
#[derive(Clone, Debug)]
pub(crate) struct Transactions {
    config: DnsConfig,
    waiting: Waiting,
}

/// Each query with the side that sent it.
#[derive(Clone, Debug)]
enum Waiting {
    Few([Option<(FlowSide, DnsPendingQuery)>; INLINE]),
    Many(Box<Correlator<FlowSide>>),
}

impl Transactions {
    pub(crate) const fn new(config: DnsConfig) -> Self {
        Self { config, waiting: Waiting::Few([const { None }; INLINE]) }
    }

    /// Takes notice of a message that `side` sent. A response learns how long it took.
    pub(crate) fn track(&mut self, side: FlowSide, message: &mut DnsMessage) {
        match message {
            DnsMessage::Query(query) if expects_response(query) => {
                self.record(side, DnsPendingQuery::of(query));
            }
            DnsMessage::Response(response) => {
                let asked = side.other();
                response.elapsed = match &mut self.waiting {
                    Waiting::Few(few) => few
                        .iter_mut()
                        .find_map(|slot| {
                            slot.take_if(|(s, query)| *s == asked && query.answered_by(response))
                        })
                        .map(|(_, query)| response.timestamp.saturating_sub(query.timestamp)),
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
        match &mut self.waiting {
            Waiting::Few(few) => few
                .iter_mut()
                .filter_map(|slot| slot.take_if(|(_, query)| query.is_expired(now, &self.config)))
                .for_each(|(_, query)| unanswered(query)),
            Waiting::Many(many) => many.sweep(now).for_each(|(_, query)| unanswered(query)),
        }
        self.shrink();
    }

    /// Takes out all queries.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (FlowSide, DnsPendingQuery)> + use<> {
        let waiting = std::mem::replace(&mut self.waiting, Self::new(self.config).waiting);
        let (few, many) = match waiting {
            Waiting::Few(few) => (Some(few), None),
            Waiting::Many(many) => (None, Some(many)),
        };
        let many = many.map(|mut many| many.drain().collect::<Vec<_>>());
        few.into_iter().flatten().flatten().chain(many.into_iter().flatten())
    }

    pub(crate) fn buffered_bytes(&self) -> usize {
        match &self.waiting {
            Waiting::Few(_) => 0,
            Waiting::Many(many) => size_of::<Correlator<FlowSide>>() + many.buffered_bytes(),
        }
    }

    fn record(&mut self, side: FlowSide, query: DnsPendingQuery) {
        let few = match &mut self.waiting {
            Waiting::Many(many) => {
                many.record(side, query);
                return;
            }
            Waiting::Few(few) => few,
        };
        let repeated = few
            .iter_mut()
            .flatten()
            .find(|(s, waiting)| *s == side && waiting.is_repeated_by(&query));
        if let Some((_, waiting)) = repeated {
            waiting.retransmissions = waiting.retransmissions.saturating_add(1);
        } else if let Some(slot) = few.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some((side, query));
        } else {
            let mut many = Box::new(Correlator::new(self.config));
            for (side, query) in few.iter_mut().filter_map(Option::take) {
                many.record(side, query);
            }
            many.record(side, query);
            self.waiting = Waiting::Many(many);
        }
    }

    /// Gives the heap back once nothing waits.
    fn shrink(&mut self) {
        if matches!(&self.waiting, Waiting::Many(many) if many.pending_len() == 0) {
            self.waiting = Self::new(self.config).waiting;
        }
    }
}

/// DSO messages under ID 0 are unidirectional (RFC 8490 5.4).
fn expects_response(query: &DnsQuery) -> bool {
    !(query.opcode == DnsOpcode::DSO && query.transaction_id == 0)
}
