//! What is wrong with messages, as the engine tells it.

mod common;

use common::{QUESTION, message, query, response};
use flow_core::{
    AnomalyKind, Encapsulation, Extracted, FlowExtractor, L4Proto, Orientation, PacketView,
    Payload, Timestamp,
};
use flow_dns::{DnsHandler, DnsUdpObserver, DnsUdpTransactions};
use flow_session::{DatagramOnly, DatagramParser, FlowDatagramDriver, SessionEngine, SessionEvent};

/// Takes every frame for a datagram of the same flow.
struct OneFlow;

impl FlowExtractor for OneFlow {
    type Key = ();

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<()>> {
        let captured = u32::try_from(view.frame.len()).ok()?;
        Some(Extracted {
            key: (),
            orientation: Orientation::Forward,
            l4: Some(L4Proto::Udp),
            tcp: None,
            payload: Payload { offset: 0, captured, len: view.wire_len },
            encapsulation: Encapsulation::default(),
        })
    }
}

fn reasons<D: DatagramParser>(
    driver: SessionEngine<OneFlow, DatagramOnly<D>>,
    (payload, wire_len): (&[u8], usize),
) -> Vec<&'static str> {
    let mut driver = driver.with_emit_anomalies(true);
    let view = PacketView::new(payload, Timestamp::new(1, 0));
    let view = view.with_wire_len(u32::try_from(wire_len).expect("short"));
    let events = driver.track(view).collect::<Vec<_>>();
    events
        .into_iter()
        .filter_map(|event| match event {
            SessionEvent::Anomaly {
                kind: AnomalyKind::ProtocolViolation { reason, .. }, ..
            } => Some(reason),
            _ => None,
        })
        .collect()
}

struct Deaf;

impl DnsHandler for Deaf {}

#[test]
fn defects_are_anomalies() {
    #[track_caller]
    fn check(payload: &[u8], wire_len: usize, expected: &[&str]) {
        let driver = FlowDatagramDriver::<_, DnsUdpTransactions>::new(OneFlow);
        assert_eq!(reasons(driver, (payload, wire_len)), expected);
        let driver = FlowDatagramDriver::with_parser(OneFlow, DnsUdpObserver::with_handler(Deaf));
        assert_eq!(reasons(driver, (payload, wire_len)), expected);
    }
    let check_whole = |payload: &[u8], expected: &[&str]| check(payload, payload.len(), expected);
    check_whole(&response(1), &[]);
    check_whole(&[&response(1)[..], b"\0"].concat(), &["bytes behind the message"]);
    let record = b"\xC0\x0C\0\x01\0\x01\0\0\0\0\0\0";
    let two = message(1, 0x8180, [1, 2, 0, 0], &[QUESTION, record, &record[..10], b"\0\x05a"]);
    check_whole(&two, &["message cut short"]);
    let looping = b"\xC0\x2D\0\x01\0\x01\0\0\0\0\0\0";
    let bad = message(1, 0x8180, [1, 2, 0, 0], &[QUESTION, record, looping]);
    check_whole(&bad, &["bad name"]);
    let long = [record, &record[..10], b"\0\x0B", &[0; 11]].concat();
    check_whole(
        &message(1, 0x8180, [1, 3, 0, 0], &[QUESTION, &long]),
        &["counts beyond the message"],
    );
    // What was not captured is nobody's fault.
    check(&two, two.len() + 4, &[]);
    check_whole(&query(1), &[]);
}
