use flow_core::FlowSide;
use flow_reassembly::ReassemblerFactory;
use flow_session::{CallbackFactory, CallbackReassembler, Parsed};

use crate::{TlsConfig, TlsHandler, TlsMessage, TlsParser};

/// Gives the TLS messages of every TCP connection to a handler.
///
/// ```
/// use flow_reassembly::FlowDriver;
/// use flow_tls::{TlsClientHello, TlsFactory, TlsHandler};
///
/// struct Print;
///
/// impl TlsHandler for Print {
///     fn on_client_hello(&self, hello: &TlsClientHello) {
///         println!("{:?}", hello.sni);
///     }
/// }
///
/// # use flow_core::{Extracted, FlowExtractor, PacketView};
/// # struct FiveTuple;
/// # impl FlowExtractor for FiveTuple {
/// #     type Key = u8;
/// #     fn extract(&self, _: PacketView<'_>) -> Option<Extracted<u8>> { None }
/// # }
/// let driver = FlowDriver::new(FiveTuple, TlsFactory::with_handler(Print));
/// ```
#[derive(Debug)]
pub struct TlsFactory<H>(CallbackFactory<TlsParser, H>);

impl<H: TlsHandler> TlsFactory<H> {
    /// With the default configuration.
    #[must_use]
    pub fn with_handler(handler: H) -> Self {
        Self::with_config(handler, TlsConfig::default())
    }

    /// With another configuration.
    #[must_use]
    pub fn with_config(handler: H, config: TlsConfig) -> Self {
        Self(CallbackFactory::new(TlsParser::with_config(config), handler, deliver))
    }
}

fn deliver<H: TlsHandler>(handler: &H, parsed: &Parsed<TlsMessage>) {
    match &parsed.message {
        TlsMessage::ClientHello(hello) => handler.on_client_hello(hello),
        TlsMessage::ServerHello(hello) => handler.on_server_hello(hello),
        TlsMessage::Certificate(chain) => handler.on_certificate(chain),
        TlsMessage::NewSessionTicket(ticket) => handler.on_new_session_ticket(ticket),
        TlsMessage::Alert(alert) => handler.on_alert(alert),
        #[cfg(feature = "fingerprint")]
        TlsMessage::Fingerprint(fingerprint) => handler.on_fingerprint(fingerprint),
    }
}

impl<K, H: TlsHandler> ReassemblerFactory<K> for TlsFactory<H> {
    type Reassembler = CallbackReassembler<TlsParser, H>;

    fn new_reassembler(&mut self, key: &K, side: FlowSide) -> Self::Reassembler {
        self.0.new_reassembler(key, side)
    }
}
