//! DNS over TCP, several messages on a connection, each with the time it took to be answered.
//!
//! ```console
//! $ cargo run -p flow-examples --example async_dns_tcp -- fixtures/dns_tcp.pcap
//! www.example.com: 1 answers after Some(1ms)
//! www.example.com: 1 answers after Some(1.5ms)
//! the connection ended: fin
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::SessionEvent;
use flow::dns::{DnsMessage, DnsTcpParser};
use flow::extract::FiveTuple;
use flow::tokio::CaptureFile;
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: async_dns_tcp CAPTURE")?;
    let mut events = CaptureFile::open(path)?
        .flow_stream(FiveTuple::bidirectional())
        .session_stream(DnsTcpParser::default());
    while let Some(event) = events.next().await {
        match event? {
            SessionEvent::Application { message: DnsMessage::Response(response), .. } => {
                let name = response.questions.first().map_or("-", |question| &question.name);
                let answers = response.answers.len();
                println!("{name}: {answers} answers after {:?}", response.elapsed);
            }
            SessionEvent::Application { message: DnsMessage::Unanswered(query), .. } => {
                let name = query.question.as_ref().map_or("-", |question| &question.name);
                println!("{name}: no answer");
            }
            SessionEvent::Closed { reason, .. } => println!("the connection ended: {reason}"),
            _ => {}
        }
    }
    Ok(())
}
