//! The requests and responses of a capture, as their connections carried them.
//!
//! ```console
//! $ cargo run -p flow-examples --example http_log -- fixtures/http_get.pcap
//! 2026-01-01T00:00:00.002000000Z GET www.example.com /hello.txt
//! 2026-01-01T00:00:00.002500000Z 200 /hello.txt 13 bytes
//! 2026-01-01T00:00:00.003500000Z GET www.example.com /hello.txt
//! 2026-01-01T00:00:00.004000000Z 304 /hello.txt 0 bytes
//! 2026-01-01T00:00:00.005000000Z HEAD www.example.com /large.bin
//! 2026-01-01T00:00:00.005500000Z 200 /large.bin 0 bytes
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::extract::FiveTuple;
use flow::http::{HttpMessage, HttpParser};
use flow::pcap::PcapFlowSource;
use flow::{FlowSessionDriver, SessionEvent};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: http_log CAPTURE")?;
    let mut driver = FlowSessionDriver::<_, HttpParser>::new(FiveTuple::bidirectional());
    for view in PcapFlowSource::open(path)?.views() {
        driver.track(view?.as_view()).for_each(print);
    }
    // What the end of the capture cut off comes out only now.
    driver.finish().for_each(print);
    Ok(())
}

fn print<K>(event: SessionEvent<K, HttpMessage>) {
    let SessionEvent::Application { message, ts, .. } = event else { return };
    match message {
        HttpMessage::Request(request) => {
            let host = request.headers.get_str("host").unwrap_or("-");
            println!("{ts} {} {host} {}", request.method, request.path);
        }
        HttpMessage::Response(response) => {
            let uri = response.request_uri.as_deref().unwrap_or("-");
            let (status, length) = (response.status, response.body_len);
            println!("{ts} {status} {uri} {length} bytes");
        }
        _ => {}
    }
}
