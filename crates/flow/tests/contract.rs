//! The forms in which users write against this crate compile, infer, and do what they say.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use flow::dns::{
    DnsHandler, DnsMessage, DnsPendingQuery, DnsQuery, DnsRdata, DnsResponse, DnsTcpParser,
    DnsUdpObserver, DnsUdpParser, DnsUdpTransactions,
};
use flow::extract::{FiveTuple, FiveTupleKey};
use flow::http::{HttpFactory, HttpHandler, HttpMessage, HttpParser, HttpRequest, HttpResponse};
use flow::pcap::PcapFlowSource;
use flow::tls::{TlsMessage, TlsParser};
use flow::{
    BufferedReassemblerFactory, EndReason, FlowDatagramDriver, FlowDriver, FlowEvent,
    FlowProtocolDriver, FlowSessionDriver, FlowSide, FlowTracker, OverflowPolicy, PacketView,
    ProtocolMessage, SessionEvent, SessionParser, Timestamp,
};

type Outcome = Result<(), Box<dyn Error>>;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "fixtures", name].iter().collect()
}

#[derive(Default, Clone)]
struct MyParser;

impl SessionParser for MyParser {
    type Message = usize;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<usize> {
        vec![bytes.len()]
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<usize> {
        Vec::new()
    }
}

#[test]
fn the_smallest_parser_works() -> Outcome {
    let path = fixture("line_protocol.pcap");
    let mut driver = FlowSessionDriver::<_, MyParser>::new(FiveTuple::bidirectional());
    let (mut bytes, mut closed) = (0, 0);
    for view in PcapFlowSource::open(path)?.views() {
        for ev in driver.track(view?.as_view()) {
            match ev {
                SessionEvent::Application { side, message, .. } => {
                    assert_eq!(side, FlowSide::Initiator);
                    bytes += message;
                }
                SessionEvent::Closed { reason, .. } => {
                    assert_eq!(reason, EndReason::Fin);
                    closed += 1;
                }
                _ => {}
            }
        }
    }
    assert_eq!((bytes, closed), (35, 1));
    Ok(())
}

#[test]
fn a_closure_makes_parsers() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&made);
    let factory = move |key: &FiveTupleKey| {
        counter.fetch_add(usize::from(key.either_port(7777)), Ordering::Relaxed);
        MyParser
    };
    let mut driver = FlowSessionDriver::with_parser(FiveTuple::bidirectional(), factory);
    let mut source = PcapFlowSource::open(fixture("line_protocol.pcap")).expect("a fixture");
    while let Some(Ok(view)) = source.next_view() {
        driver.track(view).for_each(drop);
    }
    assert_eq!(made.load(Ordering::Relaxed), 1);
}

#[test]
fn a_tracker_takes_any_bytes() {
    let mut tracker = FlowTracker::<_, ()>::new(FiveTuple::bidirectional());
    let view = PacketView::new(b"not a frame", Timestamp::new(1, 0));
    assert_eq!(tracker.track(view).count(), 0);
}

#[test]
fn a_capture_gives_flow_events() -> Outcome {
    let path = fixture("tcp_port_reuse.pcap");
    let (mut started, mut ended) = (0, 0);
    for evt in PcapFlowSource::open(path)?.with_extractor(FiveTuple::bidirectional()) {
        match evt? {
            FlowEvent::Started { key, .. } => {
                assert!(key.either_port(9000));
                started += 1;
            }
            FlowEvent::Ended { .. } => ended += 1,
            _ => {}
        }
    }
    assert_eq!((started, ended), (2, 2));
    Ok(())
}

#[test]
fn the_state_of_a_driver_is_inferred() -> Outcome {
    let mut driver = FlowDriver::new(
        FiveTuple::bidirectional(),
        BufferedReassemblerFactory::default()
            .with_max_buffer(1_000_000)
            .with_overflow_policy(OverflowPolicy::DropFlow),
    )
    .with_emit_anomalies(true);
    for view in PcapFlowSource::open(fixture("http_reordered.pcap"))?.views() {
        driver.track(view?.as_view()).for_each(drop);
    }
    let mut flows = 0;
    for ev in driver.finish() {
        let FlowEvent::Ended { stats, .. } = ev else { continue };
        assert_eq!(stats.reassembly_dropped_ooo_initiator, 0);
        assert_eq!(stats.reassembly_dropped_ooo_responder, 0);
        assert!(stats.tcp.responder.out_of_order_segments > 0);
        flows += 1;
    }
    assert_eq!(flows, 1);
    Ok(())
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn push(&self, line: String) {
        self.0.lock().expect("no test thread panicked").push(line);
    }
}

impl HttpHandler for Lines {
    fn on_request(&self, request: &HttpRequest) {
        self.push(format!("{} {}", request.method, request.path));
    }

    fn on_response(&self, response: &HttpResponse) {
        self.push(format!("{}", response.status));
    }
}

#[test]
fn handler_and_parser_give_the_same_messages() -> Outcome {
    let handler = Lines::default();
    let mut d: FlowDriver<FiveTuple, _, ()> =
        FlowDriver::new(FiveTuple::bidirectional(), HttpFactory::with_handler(handler.clone()));
    let mut driver = FlowSessionDriver::<_, HttpParser>::new(FiveTuple::bidirectional());
    let typed = Lines::default();
    for view in PcapFlowSource::open(fixture("http_get.pcap"))?.views() {
        let view = view?;
        d.track(view.as_view()).for_each(drop);
        for evt in driver.track(view.as_view()) {
            if let SessionEvent::Application { message: HttpMessage::Request(req), .. } = evt {
                typed.push(format!("{} {}", req.method, req.path));
            } else if let SessionEvent::Application { message: HttpMessage::Response(r), .. } = evt
            {
                typed.push(format!("{}", r.status));
            }
        }
    }
    let called = handler.0.lock().expect("no test thread panicked");
    assert_eq!(called[..2], ["GET /hello.txt", "200"]);
    assert_eq!(*called, *typed.0.lock().expect("no test thread panicked"));
    Ok(())
}

#[test]
fn dns_over_udp() -> Outcome {
    let mut driver = FlowDatagramDriver::<_, DnsUdpParser>::new(FiveTuple::bidirectional());
    let mut ids = Vec::new();
    for view in PcapFlowSource::open(fixture("dns_udp.pcap"))?.views() {
        for evt in driver.track(view?.as_view()) {
            let SessionEvent::Application { message, .. } = evt else { continue };
            ids.push(match message {
                DnsMessage::Query(q) => q.transaction_id,
                DnsMessage::Response(r) => r.transaction_id,
                _ => continue,
            });
        }
    }
    assert_eq!(ids, [4097, 4097, 4098, 4098, 4099, 4099, 4100, 4100, 4100, 4101]);
    Ok(())
}

#[test]
fn dns_over_both_on_one_table() -> Outcome {
    let mut driver = FlowProtocolDriver::with_parsers(
        FiveTuple::bidirectional(),
        DnsTcpParser::default(),
        DnsUdpParser,
    );
    let mut addresses = Vec::new();
    for view in PcapFlowSource::open(fixture("dns_tcp.pcap"))?.views() {
        for evt in driver.track(view?.as_view()) {
            if let SessionEvent::Application {
                message: ProtocolMessage::Stream(DnsMessage::Response(response)),
                ..
            } = evt
            {
                addresses.extend(response.answers.into_iter().filter_map(
                    |answer| match answer.data {
                        DnsRdata::A(address) => Some(IpAddr::from(address)),
                        _ => None,
                    },
                ));
            }
        }
    }
    assert_eq!(addresses, [Ipv4Addr::new(192, 0, 2, 80)]);
    Ok(())
}

#[test]
fn tls_names() -> Outcome {
    let mut driver = FlowSessionDriver::<_, TlsParser>::new(FiveTuple::bidirectional());
    let mut names = Vec::new();
    for view in PcapFlowSource::open(fixture("tls13_hrr.pcap"))?.views() {
        for evt in driver.track(view?.as_view()) {
            if let SessionEvent::Application { message: TlsMessage::ClientHello(hello), .. } = evt {
                names.extend(hello.sni);
            }
        }
    }
    assert_eq!(names, ["www.example.com", "www.example.com"]);
    Ok(())
}

/// What a handler is told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<DnsMessage>>>);

impl DnsHandler for Told {
    fn on_query(&self, query: &DnsQuery) {
        self.0.lock().expect("no panic").push(DnsMessage::Query(query.clone()));
    }

    fn on_response(&self, response: &DnsResponse) {
        self.0.lock().expect("no panic").push(DnsMessage::Response(response.clone()));
    }

    fn on_unanswered(&self, query: &DnsPendingQuery) {
        self.0.lock().expect("no panic").push(DnsMessage::Unanswered(query.clone()));
    }
}

#[test]
fn dns_observer_tells_what_the_driver_gives() -> Outcome {
    let path = fixture("dns_udp.pcap");
    let handler = Told::default();
    let observer = DnsUdpObserver::with_handler(handler.clone());
    let mut driver = FlowDatagramDriver::with_parser(FiveTuple::bidirectional(), observer);
    for view in PcapFlowSource::open(&path)?.views() {
        driver.track(view?.as_view()).for_each(drop);
    }
    driver.finish().for_each(drop);

    let mut expected = Vec::new();
    let mut collect = |event| {
        if let SessionEvent::Application { message, .. } = event {
            expected.push(message);
        }
    };
    let extractor = FiveTuple::bidirectional();
    let mut driver = FlowDatagramDriver::<_, DnsUdpTransactions>::new(extractor);
    for view in PcapFlowSource::open(&path)?.views() {
        driver.track(view?.as_view()).for_each(&mut collect);
    }
    driver.finish().for_each(&mut collect);
    assert!(!expected.is_empty());
    assert_eq!(*handler.0.lock().expect("no panic"), expected);
    Ok(())
}
