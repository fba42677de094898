use flow::{FlowSide, PacketView, TcpFlags, Timestamp};

/// Payload of a full TCP segment with timestamps in an Ethernet frame.
pub const MSS: u16 = 1448;

/// A frame as it was captured.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// The frame as if captured this many microseconds after the beginning.
    #[must_use]
    pub fn view(&self, micros: u64) -> PacketView<'_> {
        PacketView::new(&self.bytes, Timestamp::from_nanos((BEGINNING + micros) * 1_000))
    }
}

/// What the packets of a flow travel in.
#[derive(Clone, Copy, Debug)]
pub enum Network {
    /// IPv4 in Ethernet.
    Ipv4,
    /// IPv4 in Ethernet with an 802.1Q tag.
    Tagged,
    /// IPv6 in Ethernet.
    Ipv6,
}

impl Network {
    /// The number of one flow among those that travel in this.
    #[must_use]
    pub const fn flow(self, index: u32) -> u32 {
        let (tens, kind) = match self {
            Self::Ipv6 => (index, 0),
            Self::Tagged => (index, 1),
            Self::Ipv4 => (index / 8, 2 + index % 8),
        };
        tens.wrapping_mul(10).wrapping_add(kind)
    }

    const fn of(flow: u32) -> Self {
        match flow % 10 {
            0 => Self::Ipv6,
            1 => Self::Tagged,
            _ => Self::Ipv4,
        }
    }
}

/// A segment that `side` of connection number `flow` sends.
#[must_use]
pub fn tcp(
    flow: u32,
    side: FlowSide,
    [seq, ack]: [u32; 2],
    flags: TcpFlags,
    payload: &[u8],
) -> Frame {
    const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 1];
    let mut bytes = headers(flow, side, TCP, 20 + TIMESTAMPS.len() + payload.len());
    bytes.extend(ports(flow, side, 80).into_iter().flat_map(u16::to_be_bytes));
    bytes.extend([seq, ack].into_iter().flat_map(u32::to_be_bytes));
    bytes.extend([0x80, flags.bits(), 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(TIMESTAMPS);
    bytes.extend_from_slice(payload);
    let start = bytes.len() - 20 - TIMESTAMPS.len() - payload.len();
    let addresses = if matches!(Network::of(flow), Network::Ipv6) { 32 } else { 8 };
    let checksum = tcp_checksum(bytes.get(start - addresses..).unwrap_or_default(), addresses);
    if let Some(field) = bytes.get_mut(start + 16..start + 18) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    Frame { bytes }
}

/// RFC 9293 section 3.1: over the addresses and the segment behind them, whose field is 0.
fn tcp_checksum(bytes: &[u8], addresses: usize) -> u16 {
    let word = |pair: &[u8]| {
        let (high, low) = (pair.first().copied(), pair.get(1).copied());
        u32::from(u16::from_be_bytes([high.unwrap_or_default(), low.unwrap_or_default()]))
    };
    let rest = u32::from(low_half(bytes.len() - addresses)) + u32::from(TCP);
    let mut sum = rest + bytes.chunks(2).map(word).sum::<u32>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !low_half(sum as usize)
}

/// The first segment of a connection.
#[must_use]
pub fn syn(flow: u32) -> Frame {
    tcp(flow, FlowSide::Initiator, [0, 0], TcpFlags::SYN, &[])
}

/// A datagram that `side` of flow number `flow` sends.
#[must_use]
pub fn udp(flow: u32, side: FlowSide, payload: &[u8]) -> Frame {
    let length = 8 + payload.len();
    let mut bytes = headers(flow, side, UDP, length);
    let [from, to] = ports(flow, side, 9_000);
    bytes.extend([from, to, low_half(length), 0].into_iter().flat_map(u16::to_be_bytes));
    bytes.extend_from_slice(payload);
    Frame { bytes }
}

/// Packets of 1,000 flows: six in ten are full segments, three acknowledgments, one a datagram.
#[must_use]
pub fn mix(packets: u32) -> Vec<Frame> {
    let packet = |number: u32| {
        // A multiplicative hash scatters neighbours over the flows.
        let flow = (number.wrapping_mul(2_654_435_761) >> 16) % 1_000;
        let seq = [number * u32::from(MSS), number];
        match number % 10 {
            0..6 => tcp(flow, FlowSide::Responder, seq, TcpFlags::ACK, &[0; MSS as usize]),
            6..9 => tcp(flow, FlowSide::Initiator, seq, TcpFlags::ACK, &[]),
            _ => udp(flow, FlowSide::Initiator, &[0; 64]),
        }
    };
    (0..packets).map(packet).collect()
}

/// Packet `number` of connections that come and go, so many at once: each has ten packets, from
/// its handshake to its FINs, the next one takes its place, and neighbours are at different
/// points of theirs.
#[must_use]
pub fn conversations(number: u64, at_once: u32) -> Frame {
    const REQUEST: &[u8] = &[b'q'; 100];
    const RESPONSE: &[u8] = &[b'r'; 400];
    let place = number % u64::from(at_once);
    let turn = number / u64::from(at_once) + place % 10;
    let flow = (turn / 10) * u64::from(at_once) + place;
    let flow = u32::try_from(flow % u64::from(u32::MAX)).unwrap_or_default();
    let (client, server) = (FlowSide::Initiator, FlowSide::Responder);
    let (ack, fin) = (TcpFlags::ACK, TcpFlags::FIN | TcpFlags::ACK);
    match turn % 10 {
        0 => syn(flow),
        1 => tcp(flow, server, [0, 1], TcpFlags::SYN | TcpFlags::ACK, &[]),
        2 => tcp(flow, client, [1, 1], ack, &[]),
        3 => tcp(flow, client, [1, 1], ack, REQUEST),
        4 => tcp(flow, server, [1, 101], ack, RESPONSE),
        5 => tcp(flow, client, [101, 401], ack, REQUEST),
        6 => tcp(flow, server, [401, 201], ack, RESPONSE),
        7 => tcp(flow, client, [201, 801], fin, &[]),
        8 => tcp(flow, server, [801, 202], fin, &[]),
        _ => tcp(flow, client, [202, 802], ack, &[]),
    }
}

/// One HTTP connection: its handshake, then so many requests, each answered with a kilobyte.
#[must_use]
pub fn http_keep_alive(requests: u32) -> Vec<Frame> {
    const REQUEST: &[u8] = b"GET /item HTTP/1.1\r\nHost: www.example.com\r\n\
        User-Agent: bench/1.0\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n";
    let mut response = b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/plain\r\n\
        Content-Length: 1024\r\nCache-Control: no-cache\r\n\r\n"
        .to_vec();
    response.resize(response.len() + 1024, b'.');
    let lengths = [REQUEST.len(), response.len()].map(|length| u32::from(low_half(length)));

    let (client, server) = (FlowSide::Initiator, FlowSide::Responder);
    let mut frames = vec![
        tcp(0, client, [0, 0], TcpFlags::SYN, &[]),
        tcp(0, server, [0, 1], TcpFlags::SYN | TcpFlags::ACK, &[]),
        tcp(0, client, [1, 1], TcpFlags::ACK, &[]),
    ];
    for number in 0..requests {
        let [sent, got] = lengths.map(|length| 1 + number * length);
        frames.push(tcp(0, client, [sent, got], TcpFlags::ACK, REQUEST));
        frames.push(tcp(0, server, [got, sent + lengths[0]], TcpFlags::ACK, &response));
    }
    frames
}

/// Everything below the transport header.
fn headers(flow: u32, side: FlowSide, proto: u8, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2];
    let network = Network::of(flow);
    if matches!(network, Network::Tagged) {
        bytes.extend([0x81, 0x00, 0x00, 0x0a]);
    }
    // Hosts 10.0.0.0 and up, or 2001:db8::a00:0 and up, in front of one server.
    let mut addresses = [0x0a00_0000 + (flow >> 8), 0xc000_0201];
    if side == FlowSide::Responder {
        addresses.reverse();
    }
    if matches!(network, Network::Ipv6) {
        bytes.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        bytes.extend(low_half(payload).to_be_bytes());
        bytes.extend([proto, 64]);
        let v6 = |low: u32| (0x2001_0db8_u128 << 96 | u128::from(low)).to_be_bytes();
        bytes.extend(addresses.into_iter().flat_map(v6));
    } else {
        bytes.extend([0x08, 0x00, 0x45, 0]);
        bytes.extend(low_half(20 + payload).to_be_bytes());
        bytes.extend([0, 0, 0x40, 0, 64, proto, 0, 0]);
        bytes.extend(addresses.into_iter().flat_map(u32::to_be_bytes));
    }
    bytes
}

fn ports(flow: u32, side: FlowSide, server: u16) -> [u16; 2] {
    let client = 0xc000 + low_half(flow as usize % 256);
    if side == FlowSide::Initiator { [client, server] } else { [server, client] }
}

/// Lengths and ports that fit by construction.
fn low_half(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// 2026-01-01T00:00:00Z in microseconds.
const BEGINNING: u64 = 1_767_225_600_000_000;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use flow::extract::FiveTuple;
    use flow::http::HttpParser;
    use flow::{
        EndReason, FlowEvent, FlowExtractor, FlowSessionDriver, FlowTracker, SessionEvent,
        TcpChecksum,
    };

    use super::*;

    #[test]
    fn conversations_begin_and_end() {
        let mut tracker = FlowTracker::new(FiveTuple::bidirectional());
        let mut reasons = Vec::new();
        for number in 0..10_000 {
            for event in tracker.track(conversations(number, 100).view(number)) {
                assert!(!matches!(event, FlowEvent::Ended { .. }), "lingers for seconds");
            }
        }
        for event in tracker.finish() {
            if let FlowEvent::Ended { reason, .. } = event {
                reasons.push(reason);
            }
        }
        // A tenth of those at the beginning are whole, and so are a tenth of those at the end.
        assert_eq!(reasons.len(), 1_090);
        let whole = reasons.iter().filter(|reason| **reason == EndReason::Fin).count();
        assert!(whole >= 910, "{whole}");
    }

    #[test]
    fn checksums_are_good() {
        let five_tuple = FiveTuple::bidirectional();
        for network in [Network::Ipv4, Network::Tagged, Network::Ipv6] {
            for payload in [&b""[..], b"odd"] {
                let frame =
                    tcp(network.flow(7), FlowSide::Initiator, [1, 1], TcpFlags::ACK, payload);
                let view = frame.view(0);
                let extracted = five_tuple.extract(view);
                let found = extracted.and_then(|found| five_tuple.tcp_checksum(view, &found));
                assert_eq!(found, Some(TcpChecksum::Good), "{network:?}");
            }
        }
    }

    #[test]
    fn a_network_has_flows_of_its_own() {
        let key = |network: Network, index| {
            let extracted = FiveTuple::bidirectional().extract(syn(network.flow(index)).view(0));
            extracted.expect("a flow").key
        };
        let mut keys = HashSet::new();
        for index in 0..1_000 {
            assert!(key(Network::Ipv6, index).a.ip().is_ipv6());
            for network in [Network::Ipv4, Network::Tagged] {
                assert!(key(network, index).a.ip().is_ipv4());
            }
            for network in [Network::Ipv4, Network::Tagged, Network::Ipv6] {
                assert!(keys.insert(key(network, index)), "{network:?} {index}");
            }
        }
    }

    #[test]
    fn every_request_is_answered() {
        let mut driver = FlowSessionDriver::<_, HttpParser>::new(FiveTuple::bidirectional());
        let mut messages = 0;
        for (frame, at) in http_keep_alive(10).iter().zip(0..) {
            let events = driver.track(frame.view(at));
            messages += events.filter(|e| matches!(e, SessionEvent::Application { .. })).count();
        }
        assert_eq!(messages, 20);
    }
}
