use flow_core::{EndReason, FlowSide, Timestamp};
use flow_session::{Context, DatagramParser};

use crate::config::DnsConfig;
use crate::detect::{DnsService, is_dns_datagram};
use crate::message::{DnsDefect, DnsMessage};
use crate::transactions::Transactions;

/// Datagrams that are not DNS before a flow that never had a message of it is given up.
///
/// Rationale: one stray datagram may come first; what is not DNS shows it at once.
const MAX_STRANGE: u8 = 4;

/// Reads each datagram for itself and remembers nothing: every response's `elapsed` is `None`.
///
/// It takes what is DNS beyond doubt, on any port, and gives nothing for other datagrams; see
/// [`is_dns_datagram`]. [`DnsUdpTransactions`] knows the port, and matches responses with
/// queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct DnsUdpParser;

impl DatagramParser for DnsUdpParser {
    type Message = DnsMessage;

    fn parse(&mut self, payload: &[u8], _: FlowSide) -> Vec<DnsMessage> {
        decode(payload, DnsService::Unknown, Timestamp::default()).into_iter().collect()
    }

    fn datagram(&mut self, _: FlowSide, payload: &[u8], cx: &mut Context<'_, DnsMessage>) {
        if let Some(message) = decode(payload, DnsService::Unknown, cx.timestamp()) {
            if let Some(defect) = message.malformed() {
                cx.anomaly(0, defect.reason());
            }
            cx.emit_from(cx.mark(0), payload.len(), message);
        }
    }
}

/// Reads the datagrams of one flow and matches responses with queries.
///
/// A response's `elapsed` is set if its query was seen in the flow. A query that is sent again
/// waits on as the same. What has waited for longer than [`DnsConfig::query_timeout`] is reported
/// as [`DnsMessage::Unanswered`] with the flow's next message, or when the flow ends.
///
/// A flow that has several datagrams but no DNS is not wanted any more. Once there was a message,
/// others need not look like one in every respect, as if the flow's port were known.
#[derive(Clone, Debug)]
pub struct DnsUdpTransactions {
    service: DnsService,
    transactions: Transactions,
    /// Datagrams that were not DNS, [`IS_DNS`] once one was.
    strange: u8,
}

const IS_DNS: u8 = u8::MAX;

impl Default for DnsUdpTransactions {
    fn default() -> Self {
        Self::new(DnsConfig::default())
    }
}

impl DnsUdpTransactions {
    /// One for a flow of which nothing is known.
    #[must_use]
    pub fn new(config: DnsConfig) -> Self {
        Self { service: DnsService::Unknown, transactions: Transactions::new(config), strange: 0 }
    }

    /// The same for a flow whose ports are known.
    #[must_use]
    pub const fn with_service(mut self, service: DnsService) -> Self {
        self.service = service;
        self
    }

    /// Reads a datagram and gives out its message, behind what its coming made known. What is
    /// wrong with the message is given back.
    pub(crate) fn read(
        &mut self,
        side: FlowSide,
        payload: &[u8],
        now: Timestamp,
        mut emit: impl FnMut(DnsMessage),
    ) -> Option<DnsDefect> {
        let Some(mut message) = decode(payload, self.expected(), now) else {
            if self.strange < MAX_STRANGE {
                self.strange += 1;
            }
            return None;
        };
        self.strange = IS_DNS;
        if self.service.is_unicast() {
            self.transactions.sweep(now, |query| emit(DnsMessage::Unanswered(query)));
            self.transactions.track(side, &mut message);
        }
        let defect = message.malformed();
        emit(message);
        defect
    }

    /// What the next datagram is examined as: once there was a message, all are lenient.
    const fn expected(&self) -> DnsService {
        match (self.strange, self.service) {
            (IS_DNS, DnsService::Unknown) => DnsService::Dns,
            (_, service) => service,
        }
    }

    /// Takes out the queries that wait, when no response can come any more.
    pub(crate) fn unanswered(&mut self) -> impl Iterator<Item = DnsMessage> + use<> {
        self.transactions.drain().into_iter().map(DnsMessage::Unanswered)
    }
}

impl DatagramParser for DnsUdpTransactions {
    type Message = DnsMessage;

    fn parse(&mut self, payload: &[u8], side: FlowSide) -> Vec<DnsMessage> {
        let mut messages = Vec::new();
        self.read(side, payload, Timestamp::default(), |message| messages.push(message));
        messages
    }

    fn wants(&self) -> bool {
        self.strange != MAX_STRANGE
    }

    fn datagram(&mut self, side: FlowSide, payload: &[u8], cx: &mut Context<'_, DnsMessage>) {
        // Every message of a datagram, and what its coming made known, is of all of its bytes.
        let start = cx.mark(0);
        let now = cx.timestamp();
        let emit = |message| cx.emit_from(start, payload.len(), message);
        if let Some(defect) = self.read(side, payload, now, emit) {
            cx.anomaly(0, defect.reason());
        }
    }

    fn close(&mut self, _: EndReason, cx: &mut Context<'_, DnsMessage>) {
        cx.emit_all(self.unanswered());
    }
}

fn decode(payload: &[u8], service: DnsService, now: Timestamp) -> Option<DnsMessage> {
    is_dns_datagram(payload, service).then(|| DnsMessage::decode(payload, now)).flatten()
}
