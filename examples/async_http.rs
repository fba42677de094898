//! HTTP requests with the time that their answers took, as a stream.
//!
//! ```console
//! $ cargo run -p flow-examples --example async_http -- fixtures/http_get.pcap
//! GET /hello.txt 200 500µs
//! GET /hello.txt 304 500µs
//! HEAD /large.bin 200 500µs
//! ```
//!
//! With the feature `live`, `AsyncCapture::open("eth0")?` in place of the file watches an interface.

#![allow(clippy::print_stdout)]

use std::collections::{HashMap, VecDeque};
use std::error::Error;

use flow::SessionEvent;
use flow::extract::FiveTuple;
use flow::http::{HttpMessage, HttpParser};
use flow::tokio::CaptureFile;
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: async_http CAPTURE")?;
    let mut events = CaptureFile::open(path)?
        .flow_stream(FiveTuple::bidirectional())
        .session_stream(HttpParser::default());
    // The requests of each connection that have no answer yet.
    let mut asked: HashMap<_, VecDeque<_>> = HashMap::new();
    while let Some(event) = events.next().await {
        match event? {
            SessionEvent::Application {
                key, message: HttpMessage::Request(request), ts, ..
            } => {
                asked.entry(key).or_default().push_back((request, ts));
            }
            SessionEvent::Application {
                key, message: HttpMessage::Response(response), ts, ..
            } => {
                let Some((request, then)) = asked.get_mut(&key).and_then(VecDeque::pop_front)
                else {
                    continue;
                };
                let took = ts.saturating_sub(then);
                println!("{} {} {} {took:?}", request.method, request.path, response.status);
            }
            SessionEvent::Closed { key, .. } => _ = asked.remove(&key),
            _ => {}
        }
    }
    Ok(())
}
