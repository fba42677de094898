//! DNS over UDP, as a stream: what was asked, and what came back.
//!
//! ```console
//! $ cargo run -p flow-examples --example async_dns -- fixtures/dns_udp.pcap
//!  4097 www.example.com ?
//!  4097 NOERROR, 1 answers
//!       www.example.com 192.0.2.80
//!  4098 cdn.example.com ?
//!  4098 NOERROR, 2 answers
//!       cdn.example.com www.example.com
//!       www.example.com 2001:db8::80
//!  4099 nowhere.example.com ?
//!  4099 NXDOMAIN, 0 answers
//!  4100 slow.example.com ?
//!  4100 slow.example.com ?
//!  4100 NOERROR, 1 answers
//!       slow.example.com 192.0.2.80
//!  4101 silent.example.com ?
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::SessionEvent;
use flow::dns::{DnsMessage, DnsUdpParser};
use flow::extract::FiveTuple;
use flow::tokio::CaptureFile;
use futures_util::StreamExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: async_dns CAPTURE")?;
    let mut events = CaptureFile::open(path)?
        .flow_stream(FiveTuple::bidirectional())
        .datagram_stream(DnsUdpParser);
    while let Some(event) = events.next().await {
        let SessionEvent::Application { message, .. } = event? else { continue };
        match message {
            DnsMessage::Query(query) => {
                for question in &query.questions {
                    println!("{:5} {} ?", query.transaction_id, question.name);
                }
            }
            DnsMessage::Response(response) => {
                let (id, rcode) = (response.transaction_id, response.rcode);
                println!("{id:5} {rcode}, {} answers", response.answers.len());
                for answer in &response.answers {
                    println!("      {} {}", answer.name, answer.data);
                }
            }
            _ => {}
        }
    }
    Ok(())
}
