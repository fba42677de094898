use flow_core::FlowSide;
use flow_reassembly::ReassemblerFactory;
use flow_session::{CallbackFactory, CallbackReassembler, Parsed};

use crate::{HttpConfig, HttpHandler, HttpMessage, HttpParser};

/// Gives the HTTP messages of every TCP connection to a handler.
///
/// ```
/// use flow_reassembly::FlowDriver;
/// use flow_http::{HttpFactory, HttpHandler, HttpRequest};
///
/// struct Print;
///
/// impl HttpHandler for Print {
///     fn on_request(&self, request: &HttpRequest) {
///         println!("{} {}", request.method, request.path);
///     }
/// }
///
/// # use flow_core::{Extracted, FlowExtractor, PacketView};
/// # struct FiveTuple;
/// # impl FlowExtractor for FiveTuple {
/// #     type Key = u8;
/// #     fn extract(&self, _: PacketView<'_>) -> Option<Extracted<u8>> { None }
/// # }
/// let driver = FlowDriver::new(FiveTuple, HttpFactory::with_handler(Print));
/// ```
#[derive(Debug)]
pub struct HttpFactory<H>(CallbackFactory<HttpParser, H>);

impl<H: HttpHandler> HttpFactory<H> {
    /// With the default configuration.
    #[must_use]
    pub fn with_handler(handler: H) -> Self {
        Self::with_config(handler, HttpConfig::default())
    }

    /// With another configuration.
    #[must_use]
    pub fn with_config(handler: H, config: HttpConfig) -> Self {
        Self(CallbackFactory::new(HttpParser::with_config(config), handler, deliver))
    }
}

fn deliver<H: HttpHandler>(handler: &H, parsed: &Parsed<HttpMessage>) {
    match &parsed.message {
        HttpMessage::Request(request) => handler.on_request(request),
        HttpMessage::Response(response) => handler.on_response(response),
        HttpMessage::BodyData(data) => handler.on_body_data(data),
        HttpMessage::BodyEnd(end) => handler.on_body_end(end),
    }
}

impl<K, H: HttpHandler> ReassemblerFactory<K> for HttpFactory<H> {
    type Reassembler = CallbackReassembler<HttpParser, H>;

    fn new_reassembler(&mut self, key: &K, side: FlowSide) -> Self::Reassembler {
        self.0.new_reassembler(key, side)
    }
}
