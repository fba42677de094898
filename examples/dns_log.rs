//! DNS over UDP and TCP: queries, the answers and how long they took, and what had no answer.
//!
//! ```console
//! $ cargo run -p flow-examples --example dns_log -- fixtures/dns_udp.pcap
//! www.example.com A?
//! www.example.com A = NOERROR ["192.0.2.80"] after Some(12.5ms)
//! cdn.example.com AAAA?
//! cdn.example.com AAAA = NOERROR ["www.example.com", "2001:db8::80"] after Some(12.5ms)
//! nowhere.example.com A?
//! nowhere.example.com A = NXDOMAIN [] after Some(12.5ms)
//! slow.example.com A?
//! slow.example.com A?
//! slow.example.com A = NOERROR ["192.0.2.80"] after Some(4.001s)
//! silent.example.com A?
//! silent.example.com A: no answer
//! ```

#![allow(clippy::print_stdout)]

use std::error::Error;

use flow::dns::{DnsMessage, DnsQuestion, DnsTcpParser, DnsUdpTransactions};
use flow::extract::FiveTuple;
use flow::pcap::PcapFlowSource;
use flow::{FlowProtocolDriver, ProtocolMessage, SessionEvent};

type Driver = FlowProtocolDriver<FiveTuple, DnsTcpParser, DnsUdpTransactions>;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: dns_log CAPTURE")?;
    let mut driver = Driver::new(FiveTuple::bidirectional());
    for view in PcapFlowSource::open(path)?.views() {
        driver.track(view?.as_view()).for_each(print);
    }
    driver.finish().for_each(print);
    Ok(())
}

fn print<K>(event: SessionEvent<K, ProtocolMessage<DnsMessage, DnsMessage>>) {
    let SessionEvent::Application { message, .. } = event else { return };
    let (ProtocolMessage::Stream(message) | ProtocolMessage::Datagram(message)) = message;
    match message {
        DnsMessage::Query(query) => println!("{}?", asked(query.questions.first())),
        DnsMessage::Response(response) => {
            let answers: Vec<_> = response.answers.iter().map(|a| a.data.to_string()).collect();
            let (question, rcode) = (asked(response.questions.first()), response.rcode);
            println!("{question} = {rcode} {answers:?} after {:?}", response.elapsed);
        }
        DnsMessage::Unanswered(query) => println!("{}: no answer", asked(query.question.as_ref())),
        _ => {}
    }
}

fn asked(question: Option<&DnsQuestion>) -> String {
    question.map_or_else(|| "-".into(), |q| format!("{} {}", q.name, q.type_name()))
}
