//! HTTP, TLS and DNS on any port, here through a SOCKS proxy, and what an encoded body says.
//!
//! ```console
//! $ cargo run -p flow-examples --example any_protocol -- fixtures/http_socks_gzip.pcap
//! tcp 10.0.0.1:40010 <-> 10.0.0.9:1080: HTTP asks for /page.txt
//! tcp 10.0.0.1:40010 <-> 10.0.0.9:1080: HTTP 200, 2000 bytes decoded
//! ```

#![allow(clippy::print_stdout)]

use flow::extract::FiveTuple;
use flow::http::HttpMessage;
use flow::l7::{L7DatagramParser, L7Message, L7Parser};
use flow::pcap::PcapFlowSource;
use flow::tls::TlsMessage;
use flow::{FlowProtocolDriver, ProtocolMessage, SessionEvent};

/// No more of a body than this is decoded, however small it came.
const MAX_BODY: usize = 1 << 20;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: any_protocol CAPTURE")?;
    let extractor = FiveTuple::bidirectional();
    let mut driver = FlowProtocolDriver::<_, L7Parser, L7DatagramParser>::new(extractor);
    for view in PcapFlowSource::open(path)?.views() {
        for event in driver.track(view?.as_view()) {
            let SessionEvent::Application { key, message, .. } = event else { continue };
            let (ProtocolMessage::Stream(message) | ProtocolMessage::Datagram(message)) = message;
            println!("{key}: {}", describe(&message));
        }
    }
    Ok(())
}

fn describe(message: &L7Message) -> String {
    match message {
        L7Message::Http(HttpMessage::Request(request)) => format!("HTTP asks for {}", request.path),
        L7Message::Http(HttpMessage::Response(response)) => match response.decoded_body(MAX_BODY) {
            Ok(body) => format!("HTTP {}, {} bytes decoded", response.status, body.bytes.len()),
            Err(error) => format!("HTTP {}: {error}", response.status),
        },
        L7Message::Tls(TlsMessage::ClientHello(hello)) => format!("TLS with {:?}", hello.sni),
        other => format!("{other:?}"),
    }
}
