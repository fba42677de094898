use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use flow_core::{EndReason, FlowSide, Timestamp};
use flow_session::{ByHandler, Context, DatagramParser, DatagramParserFactory};

use crate::config::DnsConfig;
use crate::handler::DnsHandler;
use crate::message::DnsMessage;
use crate::udp::DnsUdpTransactions;

/// Gives the DNS messages of every UDP flow to a handler.
///
/// They are those of [`DnsUdpTransactions`]; the driver gives out no messages beside. No lock is
/// held while the handler is called.
///
/// ```
/// use flow_dns::{DnsHandler, DnsQuery, DnsUdpObserver};
/// use flow_session::FlowDatagramDriver;
///
/// struct Print;
///
/// impl DnsHandler for Print {
///     fn on_query(&self, query: &DnsQuery) {
///         for question in &query.questions {
///             println!("{} {}", question.name, question.type_name());
///         }
///     }
/// }
///
/// # use flow_core::{Extracted, FlowExtractor, PacketView};
/// # struct FiveTuple;
/// # impl FlowExtractor for FiveTuple {
/// #     type Key = u8;
/// #     fn extract(&self, _: PacketView<'_>) -> Option<Extracted<u8>> { None }
/// # }
/// let driver = FlowDatagramDriver::with_parser(FiveTuple, DnsUdpObserver::with_handler(Print));
/// ```
pub struct DnsUdpObserver<H> {
    handler: Arc<H>,
    config: DnsConfig,
}

impl<H: DnsHandler> DnsUdpObserver<H> {
    /// With the default configuration.
    #[must_use]
    pub fn with_handler(handler: H) -> Self {
        Self::with_config(handler, DnsConfig::default())
    }

    /// With another configuration.
    #[must_use]
    pub fn with_config(handler: H, config: DnsConfig) -> Self {
        Self { handler: Arc::new(handler), config }
    }
}

impl<K, H: DnsHandler> DatagramParserFactory<K, ByHandler> for DnsUdpObserver<H> {
    type Parser = DnsUdpObserved<H>;

    fn new_parser(&mut self, _key: &K) -> DnsUdpObserved<H> {
        let parser = DnsUdpTransactions::new(self.config);
        DnsUdpObserved { parser, handler: Arc::clone(&self.handler) }
    }
}

/// A flow whose messages go to the handler of a [`DnsUdpObserver`].
pub struct DnsUdpObserved<H> {
    parser: DnsUdpTransactions,
    handler: Arc<H>,
}

impl<H: DnsHandler> DatagramParser for DnsUdpObserved<H> {
    type Message = Infallible;

    fn parse(&mut self, payload: &[u8], side: FlowSide) -> Vec<Infallible> {
        self.parser.read(side, payload, Timestamp::default(), dispatch_to(&*self.handler));
        Vec::new()
    }

    fn datagram(&mut self, side: FlowSide, payload: &[u8], cx: &mut Context<'_, Infallible>) {
        let emit = dispatch_to(&*self.handler);
        if let Some(defect) = self.parser.read(side, payload, cx.timestamp(), emit) {
            cx.anomaly(0, defect.reason());
        }
    }

    fn wants(&self) -> bool {
        self.parser.wants()
    }

    fn close(&mut self, _: EndReason, _: &mut Context<'_, Infallible>) {
        self.parser.unanswered().for_each(dispatch_to(&*self.handler));
    }
}

fn dispatch_to<H: DnsHandler>(handler: &H) -> impl FnMut(DnsMessage) + '_ {
    |message| message.dispatch(handler)
}

impl<H> fmt::Debug for DnsUdpObserver<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsUdpObserver").field("config", &self.config).finish_non_exhaustive()
    }
}

impl<H> fmt::Debug for DnsUdpObserved<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DnsUdpObserved").field("parser", &self.parser).finish_non_exhaustive()
    }
}
