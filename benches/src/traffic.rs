use flow::{FlowSide, PacketView, TcpFlags, Timestamp};

/// Payload of a full TCP segment with timestamps in an Ethernet frame.
pub const MSS: u16 = 1448;

/// A frame whose sequence number can be changed.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    /// Where the TCP sequence number stands.
    seq: usize,
}

impl Frame {
    /// The frame as if captured this many microseconds after the beginning.
    #[must_use]
    pub fn view(&self, micros: u64) -> PacketView<'_> {
        PacketView::new(&self.bytes, Timestamp::from_nanos((BEGINNING + micros) * 1_000))
    }

    fn set_seq(&mut self, seq: u32) {
        self.bytes[self.seq..self.seq + 4].copy_from_slice(&seq.to_be_bytes());
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
    let ports = ports(flow, side, 80);
    let at = bytes.len() + 4;
    bytes.extend(ports.into_iter().flat_map(u16::to_be_bytes));
    bytes.extend([seq, ack].into_iter().flat_map(u32::to_be_bytes));
    bytes.extend([0x80, flags.bits(), 0xff, 0xff, 0, 0, 0, 0]);
    bytes.extend(TIMESTAMPS);
    bytes.extend_from_slice(payload);
    Frame { bytes, seq: at }
}

/// A datagram that `side` of flow number `flow` sends.
#[must_use]
pub fn udp(flow: u32, side: FlowSide, payload: &[u8]) -> Frame {
    let length = 8 + payload.len();
    let mut bytes = headers(flow, side, UDP, length);
    let [from, to] = ports(flow, side, 9_000);
    bytes.extend([from, to, low_half(length), 0].into_iter().flat_map(u16::to_be_bytes));
    bytes.extend_from_slice(payload);
    Frame { bytes, seq: 0 }
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

/// Connections that take turns, each sending its next segment, without end.
#[derive(Debug)]
pub struct RoundRobin {
    frames: Vec<Frame>,
    len: u32,
    turn: usize,
    seq: u32,
    micros: u64,
}

impl RoundRobin {
    /// So many connections, whose segments have `len` bytes of payload.
    #[must_use]
    pub fn new(flows: u32, len: u16) -> Self {
        let payload = vec![b'.'; len.into()];
        let frame = |flow| tcp(flow, FlowSide::Initiator, [0, 1], TcpFlags::ACK, &payload);
        let frames = (0..flows).map(frame).collect();
        Self { frames, len: len.into(), turn: 0, seq: 0, micros: 0 }
    }

    /// The next packet, a microsecond after the one before.
    pub fn next_view(&mut self) -> PacketView<'_> {
        if self.turn == self.frames.len() {
            self.turn = 0;
            self.seq = self.seq.wrapping_add(self.len);
        }
        let frame = &mut self.frames[self.turn];
        frame.set_seq(self.seq);
        self.turn += 1;
        self.micros += 1;
        frame.view(self.micros)
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
    let kind = flow % 10;
    if kind == 1 {
        bytes.extend([0x81, 0x00, 0x00, 0x0a]);
    }
    // Hosts 10.0.0.0 and up, or 2001:db8::a00:0 and up, in front of one server.
    let mut addresses = [0x0a00_0000 + (flow >> 8), 0xc000_0201];
    if side == FlowSide::Responder {
        addresses.reverse();
    }
    if kind == 0 {
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
    use flow::extract::FiveTuple;
    use flow::http::HttpParser;
    use flow::{FlowSessionDriver, FlowTracker, SessionEvent};

    use super::*;

    #[test]
    fn round_robin_is_one_flow_a_connection() {
        let mut packets = RoundRobin::new(1_000, 100);
        let mut tracker = FlowTracker::new(FiveTuple::bidirectional());
        for _ in 0..3_000 {
            tracker.track(packets.next_view()).for_each(drop);
        }
        assert_eq!(tracker.flow_count(), 1_000);
        assert!(tracker.flows().all(|flow| flow.stats().payload_bytes_initiator == 300));
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
