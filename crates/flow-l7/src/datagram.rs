use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::sync::Arc;

use flow_core::{EndReason, FlowSide};
use flow_dns::{DnsMessage, DnsService, DnsUdpTransactions};
use flow_session::{Context, DatagramParser, Mark};

use crate::{L7Config, L7Detection, L7Message};

/// Reads the messages of a UDP flow, whatever its port: those of the user's protocols, and DNS.
///
/// A flow that turns out to be none of them is [not wanted](DatagramParser::wants) any more. A
/// clone is a fresh parser with the same configuration.
pub struct L7DatagramParser<C = Infallible> {
    config: Arc<L7Config<C>>,
    service: DnsService,
    dns: DnsUdpTransactions,
    /// The user's protocol that it is.
    custom: Option<Box<dyn DatagramParser<Message = C>>>,
}

impl<C: Send + Debug + 'static> L7DatagramParser<C> {
    /// One for a flow of which nothing is known.
    #[must_use]
    pub fn new(config: Arc<L7Config<C>>) -> Self {
        let dns = DnsUdpTransactions::new(config.dns);
        Self { config, service: DnsService::Unknown, dns, custom: None }
    }

    /// The same for a flow between these ports, in any order. On those of DNS, mDNS and LLMNR, what
    /// is taken for it need not look like it in every respect.
    #[must_use]
    pub fn with_ports(mut self, a: u16, b: u16) -> Self {
        self.service = DnsService::from_ports(a, b);
        self.dns = self.dns.with_service(self.service);
        self
    }

    /// Asks the user's protocols.
    fn find_custom(&mut self, side: FlowSide, payload: &[u8]) {
        if self.custom.is_none() {
            let mut protocols = self.config.datagrams.iter();
            let found = protocols.find(|p| (p.detect)(side, payload) == L7Detection::Yes);
            self.custom = found.map(|protocol| (protocol.new_parser)());
        }
    }

    /// Calls the DNS parser with a context of its own.
    fn with_dns(
        &mut self,
        len: usize,
        cx: &mut Context<'_, L7Message<C>>,
        call: impl FnOnce(&mut DnsUdpTransactions, &mut Context<'_, DnsMessage>),
    ) {
        let at: (Mark, usize) = (cx.mark(0), len);
        cx.with_inner(at, &mut None, L7Message::Dns, |cx| call(&mut self.dns, cx));
    }
}

impl<C: Send + Debug + 'static> DatagramParser for L7DatagramParser<C> {
    type Message = L7Message<C>;

    fn parse(&mut self, payload: &[u8], side: FlowSide) -> Vec<L7Message<C>> {
        self.find_custom(side, payload);
        match &mut self.custom {
            Some(custom) => {
                custom.parse(payload, side).into_iter().map(L7Message::Custom).collect()
            }
            None => self.dns.parse(payload, side).into_iter().map(L7Message::Dns).collect(),
        }
    }

    fn is_poisoned(&self) -> bool {
        self.custom.as_ref().is_some_and(DatagramParser::is_poisoned)
    }

    fn poison_reason(&self) -> Option<&str> {
        self.custom.as_ref()?.poison_reason()
    }

    fn datagram(&mut self, side: FlowSide, payload: &[u8], cx: &mut Context<'_, L7Message<C>>) {
        self.find_custom(side, payload);
        match &mut self.custom {
            Some(custom) => {
                let at = cx.mark(0);
                cx.with_inner((at, payload.len()), &mut Some(at), L7Message::Custom, |cx| {
                    custom.datagram(side, payload, cx);
                });
            }
            None => self.with_dns(payload.len(), cx, |dns, cx| dns.datagram(side, payload, cx)),
        }
    }

    fn wants(&self) -> bool {
        self.custom.as_ref().map_or_else(|| self.dns.wants(), DatagramParser::wants)
    }

    fn close(&mut self, reason: EndReason, cx: &mut Context<'_, L7Message<C>>) {
        if let Some(custom) = &mut self.custom {
            let at = (cx.mark(0), 0);
            cx.with_inner(at, &mut None, L7Message::Custom, |cx| custom.close(reason, cx));
        }
        self.with_dns(0, cx, |dns, cx| dns.close(reason, cx));
    }
}

impl<C: Send + Debug + 'static> Default for L7DatagramParser<C> {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl<C: Send + Debug + 'static> Clone for L7DatagramParser<C> {
    fn clone(&self) -> Self {
        let Self { config, service, .. } = self;
        let dns = DnsUdpTransactions::new(config.dns).with_service(*service);
        Self { config: Arc::clone(config), service: *service, dns, custom: None }
    }
}

impl<C> fmt::Debug for L7DatagramParser<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, dns, .. } = self;
        f.debug_struct("L7DatagramParser")
            .field("service", service)
            .field("dns", dns)
            .finish_non_exhaustive()
    }
}
