//! Sources and packets of tests.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses some of it"
)]

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use flow_core::{CaptureStats, ChecksumPolicy, FlowTrackerConfig, Timestamp};
use flow_tokio::{Error, OwnedPacket, PacketSource, Take};

/// A capture of the folder `fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "..", "fixtures", name].iter().collect()
}

/// The captures of the folder `fixtures`, but for damaged ones.
pub fn fixtures() -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(fixture(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pcap"))
        .filter(|path| {
            let source = flow_pcap::PcapFlowSource::open(path);
            source.is_ok_and(|mut source| source.views().all(|view| view.is_ok()))
        })
        .collect();
    files.sort();
    assert!(files.len() > 10);
    files
}

/// The packets of a capture.
pub fn packets(path: &PathBuf) -> Vec<OwnedPacket> {
    let mut source = flow_pcap::PcapFlowSource::open(path).unwrap();
    source.views().map(|view| view.unwrap().as_view().into()).collect()
}

/// Checksums say nothing of packets that are made up.
pub fn config() -> FlowTrackerConfig {
    let mut config = FlowTrackerConfig::default();
    config.checksums = ChecksumPolicy::Never;
    config
}

/// Runs a future on one thread. Time passes at once when all tasks wait; a test that hangs fails.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let day = Duration::from_secs(1_000_000);
        tokio::time::timeout(day, future).await.expect("hangs")
    })
}

/// The same on threads, at the speed of the clock.
pub fn run_on_threads<T>(future: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    runtime.unwrap().block_on(async {
        tokio::time::timeout(Duration::from_secs(60), future).await.expect("hangs")
    })
}

/// A UDP datagram.
pub fn udp(ports: [u16; 2], payload: &[u8], ts: Timestamp) -> OwnedPacket {
    let len = u16::try_from(8 + payload.len()).unwrap();
    let mut datagram = Vec::new();
    datagram.extend(ports.map(u16::to_be_bytes).as_flattened());
    datagram.extend(len.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    ipv4(17, [10, 0, 0, 1], [10, 0, 0, 2], &datagram, ts)
}

/// Flags of a TCP segment.
pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

/// The two ends of a TCP connection, which send segments in turn.
pub struct Connection {
    port: u16,
    next: [u32; 2],
}

impl Connection {
    /// The connection from this port, with the segments of its handshake.
    pub fn open(port: u16, ts: Timestamp) -> (Self, Vec<OwnedPacket>) {
        let mut connection = Self { port, next: [100, 5_000] };
        let segments = vec![
            connection.send(0, SYN, b"", ts),
            connection.send(1, SYN | ACK, b"", ts),
            connection.send(0, ACK, b"", ts),
        ];
        (connection, segments)
    }

    /// The next segment of a side: 0 is the client.
    pub fn send(&mut self, side: usize, flags: u8, payload: &[u8], ts: Timestamp) -> OwnedPacket {
        let ports = if side == 0 { [self.port, 80] } else { [80, self.port] };
        let mut segment = Vec::new();
        segment.extend(ports.map(u16::to_be_bytes).as_flattened());
        segment.extend(self.next[side].to_be_bytes());
        let acked = if flags & ACK == 0 { 0 } else { self.next[1 - side] };
        segment.extend(acked.to_be_bytes());
        segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        segment.extend(payload);
        let taken = payload.len() + usize::from(flags & (SYN | FIN) != 0);
        self.next[side] = self.next[side].wrapping_add(u32::try_from(taken).unwrap());
        let hosts = [[10, 0, 0, 1], [10, 0, 0, 2]];
        ipv4(6, hosts[side], hosts[1 - side], &segment, ts)
    }

    /// Both sides say goodbye.
    pub fn close(&mut self, ts: Timestamp) -> Vec<OwnedPacket> {
        vec![
            self.send(0, FIN | ACK, b"", ts),
            self.send(1, FIN | ACK, b"", ts),
            self.send(0, ACK, b"", ts),
        ]
    }
}

fn ipv4(protocol: u8, from: [u8; 4], to: [u8; 4], payload: &[u8], ts: Timestamp) -> OwnedPacket {
    let len = u16::try_from(20 + payload.len()).unwrap();
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0];
    frame.extend(len.to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    frame.extend(from);
    frame.extend(to);
    frame.extend(payload);
    OwnedPacket::new(frame, ts)
}

/// Packets of memory, with a count of those that were read.
pub struct Memory {
    pub packets: std::collections::VecDeque<OwnedPacket>,
    pub read: Arc<AtomicUsize>,
    /// Says it has nothing before each packet whose turn this says it is, and wakes at once.
    pub hesitates: Box<dyn FnMut() -> bool + Send>,
    /// Never ends: waits for packets that do not come.
    pub is_live: bool,
}

impl Memory {
    pub fn new(packets: impl IntoIterator<Item = OwnedPacket>) -> Self {
        Self {
            packets: packets.into_iter().collect(),
            read: Arc::default(),
            hesitates: Box::new(|| false),
            is_live: false,
        }
    }

    /// One that has nothing for the moment again and again.
    pub fn hesitant(packets: impl IntoIterator<Item = OwnedPacket>, mut dice: Dice) -> Self {
        Self { hesitates: Box::new(move || dice.below(3) == 0), ..Self::new(packets) }
    }

    pub fn live(packets: impl IntoIterator<Item = OwnedPacket>) -> Self {
        Self { is_live: true, ..Self::new(packets) }
    }
}

impl PacketSource for Memory {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        while !self.packets.is_empty() {
            if (self.hesitates)() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let Some(packet) = self.packets.pop_front() else { break };
            self.read.fetch_add(1, Ordering::SeqCst);
            if take(packet.as_view().into()) == ControlFlow::Break(()) {
                return Poll::Ready(Some(Ok(())));
            }
        }
        if self.is_live { Poll::Pending } else { Poll::Ready(None) }
    }

    fn is_terminated(&self) -> bool {
        !self.is_live && self.packets.is_empty()
    }

    fn is_live(&self) -> bool {
        self.is_live
    }

    fn capture_stats(&mut self) -> CaptureStats {
        CaptureStats::default()
    }
}

/// Numbers that look random (xorshift64).
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}
