//! A real interface: what is sent is captured, or dropped and counted.
//!
//! Needs root and iproute2; where they are not, each test says so.

#![cfg(all(feature = "libpcap", target_os = "linux"))]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::time::{Duration, SystemTime};

use flow_core::LinkType;
use flow_live::{Error, Fanout, LiveCapture, LiveConfig, interfaces};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use self::common::{Host, INTERFACE, NOBODY, Wire};

/// Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;

/// A frame as it was captured.
struct Frame {
    bytes: Vec<u8>,
    wire_len: u32,
    link_type: LinkType,
    at: SystemTime,
}

impl Frame {
    fn ports(&self) -> (u16, u16) {
        let port = |at: usize| u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        (port(34), port(36))
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[HEADERS..]
    }
}

/// Reads until nothing came for `quiet`.
fn drain(capture: &mut LiveCapture, quiet: Duration) -> Result<Vec<Frame>, Error> {
    let mut frames = Vec::new();
    while capture.wait(quiet)? {
        while let Some(view) = capture.next_view()? {
            frames.push(Frame {
                bytes: view.frame.to_vec(),
                wire_len: view.wire_len,
                link_type: view.link_type,
                at: view.timestamp.to_system_time(),
            });
        }
    }
    Ok(frames)
}

fn frames(capture: &mut LiveCapture) -> Vec<Frame> {
    drain(capture, Duration::from_millis(500)).expect("capture")
}

/// Counts packets until nothing came for a while.
fn count(capture: &mut LiveCapture) -> u64 {
    let mut packets = 0;
    while capture.wait(Duration::from_millis(500)).expect("wait") {
        while capture.next_view().expect("read").is_some() {
            packets += 1;
        }
    }
    packets
}

/// Sends a datagram from the calling thread's host to a port of nobody.
fn send(payload: &[u8], port: u16) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    socket.send_to(payload, (NOBODY, port)).expect("send");
}

fn payloads(frames: &[Frame]) -> Vec<&[u8]> {
    frames.iter().map(Frame::payload).collect()
}

#[test]
fn what_is_sent_is_captured() {
    #[expect(clippy::disallowed_methods, reason = "live packets have the time of day")]
    fn now() -> SystemTime {
        SystemTime::now()
    }
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture = LiveCapture::open(INTERFACE).expect("open");
    assert_eq!((capture.interface(), capture.link_type()), (INTERFACE, LinkType::ETHERNET));
    assert_eq!(capture.wait(Duration::from_millis(10)), Ok(false), "the wire is quiet");
    assert!(capture.next_view().expect("read").is_none());

    let before = now();
    send(b"first", 1000);
    send(&[7; 1400], 2000);
    let after = now();
    let frames = frames(&mut capture);

    assert_eq!(payloads(&frames), [&b"first"[..], &[7; 1400]]);
    for frame in &frames {
        assert_eq!(frame.bytes[..12], [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1]);
        assert_eq!(frame.wire_len as usize, frame.bytes.len());
        assert_eq!(frame.link_type, LinkType::ETHERNET);
        assert!(before <= frame.at && frame.at <= after, "{before:?} {:?} {after:?}", frame.at);
    }
    assert!(frames[0].at < frames[1].at, "timestamps tell packets of a microsecond apart");
    assert_eq!(frames[1].ports().1, 2000);
    let stats = capture.stats().expect("stats");
    assert_eq!((stats.received, stats.dropped, stats.dropped_by_interface), (2, 0, 0));
}

#[test]
fn an_immediate_capture_sees_the_same() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::B);
    let config = LiveConfig::default().with_immediate(true).with_promiscuous(false);
    let mut capture = LiveCapture::open_with(INTERFACE, &config).expect("open");
    send(b"at once", 1000);
    // No waiting: it is there when `send` returns.
    let view = capture.next_view().expect("read").expect("packet");
    assert_eq!(view.frame[HEADERS..], *b"at once");
}

#[test]
fn a_short_snap_length_keeps_the_wire_length() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let config = LiveConfig::default().with_snaplen(60);
    let mut capture = LiveCapture::open_with(INTERFACE, &config).expect("open");
    send(&[7; 1000], 1000);
    let frames = frames(&mut capture);
    assert_eq!((frames[0].bytes.len(), frames[0].wire_len as usize), (60, HEADERS + 1000));
}

#[test]
fn filters_are_exchanged_while_running() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let config = LiveConfig::default().with_filter("udp dst port 1000");
    let mut capture = LiveCapture::open_with(INTERFACE, &config).expect("open");
    send(b"wanted", 1000);
    send(b"unwanted", 2000);
    assert_eq!(payloads(&frames(&mut capture)), [b"wanted"]);

    // In the buffer under the old filter, and not read before the new one.
    send(b"late", 1000);
    capture.set_filter("udp dst port 2000").expect("filter");
    send(b"unwanted now", 1000);
    send(b"wanted now", 2000);
    assert_eq!(payloads(&frames(&mut capture)), [b"wanted now"]);

    let error = capture.set_filter("udp and and").expect_err("no filter").to_string();
    assert!(error.starts_with("wire0: filter \"udp and and\": "), "{error}");
    send(b"still wanted", 2000);
    assert_eq!(payloads(&frames(&mut capture)), [b"still wanted"]);
    let stats = capture.stats().expect("stats");
    assert_eq!((stats.received, stats.dropped), (4, 0), "the late one was received");
}

#[track_caller]
fn check_drops(config: &LiveConfig, packets: u64) {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture = LiveCapture::open_with(INTERFACE, config).expect("open");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    for _ in 0..packets {
        socket.send_to(&[7; 500], (NOBODY, 1000)).expect("send");
    }
    let before = capture.stats().expect("stats");
    let delivered = count(&mut capture);
    let stats = capture.stats().expect("stats");
    assert_eq!(stats, before, "reading changes no counter");
    assert_eq!(stats.received, packets);
    assert_eq!(delivered + stats.dropped, packets);
    assert!(0 < delivered && 0 < stats.dropped);

    // What was full takes packets again.
    send(b"again", 1000);
    assert_eq!(payloads(&frames(&mut capture)), [b"again"]);
}

#[test]
fn drops_are_counted_exactly() {
    check_drops(&LiveConfig::default().with_buffer_bytes(1 << 20), 20_000);
}

#[test]
fn drops_of_an_immediate_capture_are_counted_exactly() {
    check_drops(&LiveConfig::default().with_immediate(true).with_buffer_bytes(1 << 20), 1_000);
}

#[test]
fn the_default_buffer_holds_a_burst() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture = LiveCapture::open(INTERFACE).expect("open");
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    for _ in 0..10_000 {
        socket.send_to(&[7; 1400], (NOBODY, 1000)).expect("send");
    }
    assert_eq!(count(&mut capture), 10_000);
}

#[test]
fn a_removed_interface_ends_the_capture_behind_its_packets() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture = LiveCapture::open(INTERFACE).expect("open");
    send(b"last", 1000);
    wire.ip(Host::A, &format!("link del {INTERFACE}"));
    let removed = Error::Removed { interface: INTERFACE.to_owned() };
    let ended = Error::Ended { interface: INTERFACE.to_owned() };
    assert_eq!(removed.to_string(), "wire0: the interface was removed");

    let mut seen = Vec::new();
    let error = loop {
        assert!(capture.wait(Duration::from_secs(5)).expect("wait"));
        match capture.next_view() {
            Ok(Some(view)) => seen.push(view.frame[HEADERS..].to_vec()),
            Ok(None) => {}
            Err(error) => break error,
        }
    };
    assert_eq!((&seen[..], error), (&[b"last".to_vec()][..], removed));
    assert_eq!(capture.next_view().err(), Some(ended.clone()));
    assert_eq!(capture.next_view().err(), Some(ended.clone()));
    assert_eq!(capture.wait(Duration::ZERO), Err(ended));
    assert_eq!(capture.stats().expect("stats").received, 1);
}

#[test]
fn a_reader_that_waits_learns_that_the_interface_was_removed() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::B);
    let mut capture = LiveCapture::open(INTERFACE).expect("open");
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || drain(&mut capture, Duration::from_secs(30)).err());
        std::thread::sleep(Duration::from_millis(100));
        // The other end takes this one along.
        wire.ip(Host::A, &format!("link del {INTERFACE}"));
        let expected = Error::Removed { interface: INTERFACE.to_owned() };
        assert_eq!(reader.join().expect("reader"), Some(expected));
    });
}

#[test]
fn an_interface_that_is_down_comes_back() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture = LiveCapture::open(INTERFACE).expect("open");
    wire.ip(Host::A, &format!("link set {INTERFACE} down"));
    assert_eq!(payloads(&frames(&mut capture)), [&[]; 0]);
    wire.ip(Host::A, &format!("link set {INTERFACE} up"));
    wire.wait_until_up().expect("up");
    wire.ip(Host::A, &format!("neigh replace {NOBODY} lladdr 2:0:0:0:0:9 dev {INTERFACE}"));
    send(b"back", 1000);
    assert_eq!(payloads(&frames(&mut capture)), [b"back"]);
}

#[track_caller]
fn check_refusal(interface: &str, config: &LiveConfig, expected: &str) {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let error = LiveCapture::open_with(interface, config).expect_err("cannot be opened");
    let text = error.to_string();
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(error.interface(), interface);
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn an_unknown_interface_is_refused_with_those_there_are() {
    for name in ["wire1", "a-name-that-is-too-long-for-an-interface", "", "wire\0"] {
        let expected = format!("{name}: no such interface; there are wire0, ");
        check_refusal(name, &LiveConfig::default(), &expected);
    }
}

#[test]
fn a_bad_filter_is_refused() {
    let config = LiveConfig::default().with_filter("port\n");
    check_refusal(INTERFACE, &config, "wire0: filter \"port\\n\": ");
}

#[test]
fn without_the_capability_the_refusal_says_what_is_needed() {
    let mut sets = capabilities(None).expect("capabilities");
    sets.effective.remove(CapabilitySet::NET_RAW);
    set_capabilities(None, sets).expect("fewer capabilities");
    let error = LiveCapture::open("lo").expect_err("not permitted");
    assert_eq!(
        error.to_string(),
        "lo: capturing is not permitted: it needs root or, on Linux, CAP_NET_RAW"
    );
}

#[test]
fn interfaces_are_listed() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let names = interfaces().expect("interfaces");
    assert!(names.iter().any(|name| name == INTERFACE), "{names:?}");
}

#[test]
fn the_loopback_interface_shows_and_counts_a_packet_once() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture =
        LiveCapture::open_with("lo", &LiveConfig::default().with_filter("udp")).expect("open");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("socket");
    socket.send_to(b"to myself", socket.local_addr().expect("address")).expect("send");
    assert_eq!(payloads(&frames(&mut capture)), [b"to myself"]);
    assert_eq!(capture.stats().expect("stats").received, 1);
}

#[test]
fn all_interfaces_are_one_cooked_capture() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut capture = LiveCapture::open("any").expect("open");
    assert_eq!(capture.link_type(), LinkType::LINUX_SLL);
    send(b"cooked", 1000);
    let frames = frames(&mut capture);
    assert_eq!(frames[0].bytes[16 + 28..], *b"cooked");
}

#[test]
fn both_directions_of_a_flow_come_to_the_same_member_of_a_group() {
    const FLOWS: u16 = 64;
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let config = LiveConfig::default().with_filter("udp");
    let mut captures = LiveCapture::open_fanout(INTERFACE, &config, 3).expect("open");
    let groups: BTreeSet<_> =
        captures.iter().map(|capture| capture.fanout().expect("group").group()).collect();
    assert_eq!(groups.len(), 1);

    let bind = |host: Host, port| UdpSocket::bind((host.address(), port)).expect("socket");
    std::thread::scope(|scope| {
        let server = wire.spawn(scope, Host::B, || {
            let sockets: Vec<_> = (0..FLOWS).map(|n| bind(Host::B, 2000 + n)).collect();
            move || {
                for socket in &sockets {
                    let (_, client) = socket.recv_from(&mut [0; 16]).expect("receive");
                    socket.send_to(b"answer", client).expect("send");
                }
            }
        });
        let answer = server.join().expect("server");
        for n in 0..FLOWS {
            let socket = bind(Host::A, 1000 + n);
            socket.send_to(b"question", (Host::B.address(), 2000 + n)).expect("send");
        }
        answer();
    });

    let mut directions: BTreeMap<u16, Vec<(usize, bool)>> = BTreeMap::new();
    for (member, capture) in captures.iter_mut().enumerate() {
        for frame in frames(capture) {
            let (from, to) = frame.ports();
            let is_answer = from > to;
            let client = if is_answer { to } else { from };
            directions.entry(client).or_default().push((member, is_answer));
        }
    }
    assert_eq!(directions.len(), usize::from(FLOWS));
    let mut flows = [0; 3];
    for (client, packets) in directions {
        let member = packets[0].0;
        assert_eq!(packets, [(member, false), (member, true)], "port {client}");
        flows[member] += 1;
    }
    assert!(flows.iter().all(|flows| *flows > 0), "all take part: {flows:?}");
}

#[test]
fn a_group_is_found_by_its_number() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let config = LiveConfig::default().with_fanout(Fanout::new(7)).with_filter("udp");
    let mut members = [(); 2].map(|()| LiveCapture::open_with(INTERFACE, &config).expect("open"));
    for _ in 0..64 {
        send(b"to either", 1000);
    }
    let packets = members.each_mut().map(count);
    assert_eq!(packets[0] + packets[1], 64);
    assert!(packets[0] > 0 && packets[1] > 0, "{packets:?}");
}
