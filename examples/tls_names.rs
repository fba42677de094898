//! What TLS clients ask for: the server's name, the protocols inside, the client's fingerprint.
//!
//! ```console
//! $ cargo run -p flow-examples --example tls_names -- fixtures/tls12_handshake.pcap
//! tcp 10.0.0.1:44300 <-> 10.0.0.3:443: www.example.com ["h2", "http/1.1"] t12d0506h2_2b6815ae769a_7417d88d13f3
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::extract::FiveTuple;
use flow::pcap::PcapFlowSource;
use flow::tls::{TlsMessage, TlsParser};
use flow::{FlowSessionDriver, SessionEvent};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: tls_names CAPTURE")?;
    let mut driver = FlowSessionDriver::<_, TlsParser>::new(FiveTuple::bidirectional());
    for view in PcapFlowSource::open(path)?.views() {
        for event in driver.track(view?.as_view()) {
            let SessionEvent::Application { key, message, .. } = event else { continue };
            let TlsMessage::ClientHello(hello) = message else { continue };
            let name = hello.sni.as_deref().unwrap_or("-");
            let alpn: Vec<_> =
                hello.alpn.iter().map(|name| String::from_utf8_lossy(name)).collect();
            println!("{key}: {name} {alpn:?} {}", hello.ja4());
        }
    }
    Ok(())
}
