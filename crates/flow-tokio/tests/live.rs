//! Real clients and servers, observed on the wire between them.
//!
//! Needs root, iproute2 and the programs that a test names; where they are not, it says so.

#![cfg(all(feature = "live", feature = "pcap", target_os = "linux"))]
#![expect(clippy::print_stderr, reason = "what was seen, for whoever reads the gate's log")]

#[path = "../../flow-live/tests/common/mod.rs"]
mod common;
mod programs;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use flow_core::{CaptureStats, FlowEvent, FlowSide};
use flow_dns::{DnsMessage, DnsTcpParser, DnsUdpTransactions};
use flow_extract::{FiveTuple, FiveTupleKey};
use flow_http::{HttpMessage, HttpParser};
use flow_live::LiveConfig;
use flow_session::{ProtocolMessage, SessionEvent};
use flow_tls::{TlsMessage, TlsParser, TlsVersion};
use flow_tokio::{AsyncCapture, Error, FlowStream};
use futures_util::{Stream, StreamExt as _};

use self::common::{Host, INTERFACE, NOBODY, Wire};
use self::programs::{Folder, Program, command, have, run, wait_for};

/// Longest wait for what has to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// After this long without anything, nothing more comes.
const QUIET: Duration = Duration::from_secs(1);

type Message<M> = (FiveTupleKey, FlowSide, M);

/// Collects messages until one connection was closed, or as many messages came.
async fn messages<M: Debug>(
    events: &mut (impl Stream<Item = Result<SessionEvent<FiveTupleKey, M>, Error>> + Unpin),
    most: Option<usize>,
) -> Vec<Message<M>> {
    let mut found = Vec::new();
    while most.is_none_or(|most| found.len() < most) {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        match event.unwrap_or_else(|_| panic!("no more came after {found:?}")) {
            Some(Ok(SessionEvent::Application { key, side, message, .. })) => {
                found.push((key, side, message));
            }
            Some(Ok(SessionEvent::Closed { .. })) if most.is_none() => break,
            Some(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    found
}

/// Runs a client to its end while the test goes on.
fn client(command: Command) -> tokio::task::JoinHandle<String> {
    tokio::task::spawn_blocking(move || run(command))
}

const NGINX: &[u8] = b"
    daemon off; master_process off; pid nginx.pid; error_log stderr crit; user root;
    events {}
    http {
        access_log off; client_body_temp_path body; proxy_temp_path proxy;
        fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
        client_max_body_size 2m;
        server {
            listen 10.77.0.2:80; root .; default_type text/plain;
            location = /upload { return 201 taken; }
        }
    }";

#[tokio::test]
async fn http_of_curl_and_nginx() {
    let Some(wire) = Wire::try_new() else { return };
    if !have(&["curl", "nginx"]) {
        return;
    }
    let folder = Folder::new();
    let large: Vec<u8> =
        (0..1_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    folder.write("small.txt", b"hello\n");
    folder.write("large.bin", &large);
    folder.write("nginx.conf", NGINX);
    let mut nginx = command(&wire, Host::B, "nginx");
    nginx.arg("-p").arg(folder.path()).arg("-c").arg(folder.path().join("nginx.conf"));
    let _nginx = Program::start(nginx);
    wait_for(&wire, 80);

    wire.enter(Host::A);
    let mut events = AsyncCapture::open(INTERFACE)
        .expect("open")
        .flow_stream(FiveTuple::bidirectional())
        .session_stream(HttpParser::default());
    let mut curl = command(&wire, Host::A, "curl");
    let at = |path: &str| format!("http://10.77.0.2{path}");
    curl.args(["--silent", "--output", "/dev/null", &at("/small.txt?a=1")]);
    curl.args(["--output", "/dev/null", &at("/large.bin")]);
    curl.args(["--next", "--silent", "--head", "--output", "/dev/null", &at("/small.txt")]);
    curl.args(["--next", "--silent", "--data-binary"]);
    curl.arg(format!("@{}", folder.path().join("large.bin").display())).arg(at("/upload"));
    curl.args(["--next", "--silent", "--output", "/dev/null", &at("/missing")]);
    let curl = client(curl);
    let found = messages(&mut events, None).await;
    assert_eq!(curl.await.expect("curl"), "taken");

    let flows: BTreeSet<_> = found.iter().map(|(key, ..)| key.to_string()).collect();
    assert_eq!(flows.len(), 1, "one connection: {flows:?}");
    check_http(&found, &large);
    assert_eq!(events.capture_stats().dropped, 0);
}

fn check_http(found: &[Message<HttpMessage>], large: &[u8]) {
    let (mut requests, mut responses) = (Vec::new(), Vec::new());
    for (_, side, message) in found {
        match message {
            HttpMessage::Request(request) => {
                assert_eq!(*side, FlowSide::Initiator);
                assert!(request.head_complete && request.body_complete);
                assert_eq!(request.headers.get("host"), Some(&b"10.77.0.2"[..]));
                requests.push((&*request.method, &*request.path, &request.body[..]));
            }
            HttpMessage::Response(response) => {
                assert_eq!(*side, FlowSide::Responder);
                assert!(response.head_complete && response.body_complete);
                responses.push((response.status, &response.body[..]));
            }
            other => panic!("{other:?}"),
        }
    }
    let shown: Vec<_> =
        requests.iter().map(|(method, path, body)| (method, path, body.len())).collect();
    eprintln!("{shown:?}");
    let shown: Vec<_> = responses.iter().map(|(status, body)| (status, body.len())).collect();
    eprintln!("{shown:?}");
    // Not `assert_eq`, which would show the bodies.
    assert!(
        requests
            == [
                ("GET", "/small.txt?a=1", &b""[..]),
                ("GET", "/large.bin", b""),
                ("HEAD", "/small.txt", b""),
                ("POST", "/upload", large),
                ("GET", "/missing", b""),
            ],
        "the requests are those that were sent"
    );
    let (status, page) = responses.pop().expect("responses");
    assert!(status == 404 && page.starts_with(b"<html>"));
    assert!(
        responses == [(200, &b"hello\n"[..]), (200, large), (200, b""), (201, b"taken")],
        "the responses are those that were sent"
    );
}

/// Name, type, whether over TCP, response code, answers.
type Lookup = (&'static str, &'static str, bool, &'static str, &'static [&'static str]);

const LOOKUPS: &[Lookup] = &[
    ("www.flow.test", "A", false, "NOERROR", &["www.flow.test 192.0.2.7"]),
    ("www.flow.test", "AAAA", false, "NOERROR", &["www.flow.test 2001:db8::7"]),
    ("flow.test", "TXT", false, "NOERROR", &["flow.test \"passive\" \"network monitoring\""]),
    ("flow.test", "MX", true, "NOERROR", &["flow.test 10 www.flow.test"]),
    (
        "alias.flow.test",
        "A",
        true,
        "NOERROR",
        &["alias.flow.test www.flow.test", "www.flow.test 192.0.2.7"],
    ),
    ("nobody.flow.test", "A", false, "NXDOMAIN", &[]),
];

#[tokio::test]
async fn dns_of_dig_and_dnsmasq() {
    let Some(wire) = Wire::try_new() else { return };
    if !have(&["dig", "dnsmasq"]) {
        return;
    }
    let mut dnsmasq = command(&wire, Host::B, "dnsmasq");
    dnsmasq.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    dnsmasq.args(["--user=root", "--pid-file=", "--listen-address=10.77.0.2", "--bind-interfaces"]);
    dnsmasq.args(["--local=/test/", "--host-record=www.flow.test,192.0.2.7,2001:db8::7"]);
    dnsmasq.args(["--txt-record=flow.test,passive,network monitoring"]);
    dnsmasq.args(["--cname=alias.flow.test,www.flow.test", "--mx-host=flow.test,www.flow.test,10"]);
    let _dnsmasq = Program::start(dnsmasq);
    wait_for(&wire, 53);

    wire.enter(Host::A);
    let mut events = AsyncCapture::open(INTERFACE)
        .expect("open")
        .flow_stream(FiveTuple::bidirectional())
        .protocol_stream(DnsTcpParser::default(), DnsUdpTransactions::default());
    for lookup in LOOKUPS {
        let (name, kind, tcp, ..) = *lookup;
        let mut dig = command(&wire, Host::A, "dig");
        dig.args(["@10.77.0.2", name, kind, "+tries=1", "+short"]);
        dig.args(tcp.then_some("+tcp"));
        let dig = client(dig);
        let found = messages(&mut events, Some(2)).await;
        dig.await.expect("dig");
        check_lookup(lookup, &found);
    }
    assert_eq!(events.capture_stats().dropped, 0);
}

fn check_lookup(lookup: &Lookup, found: &[Message<ProtocolMessage<DnsMessage, DnsMessage>>]) {
    let &(name, kind, tcp, rcode, answers) = lookup;
    let [(_, FlowSide::Initiator, query), (_, FlowSide::Responder, response)] = found else {
        panic!("{found:?}")
    };
    let of = |message| match message {
        ProtocolMessage::Stream(message) if tcp => message,
        ProtocolMessage::Datagram(message) if !tcp => message,
        other => panic!("of the other transport: {other:?}"),
    };
    let (DnsMessage::Query(query), DnsMessage::Response(response)) =
        (of(query.clone()), of(response.clone()))
    else {
        panic!("{found:?}")
    };
    let [question] = &query.questions[..] else { panic!("{query:?}") };
    assert_eq!(question.name.as_str(), name);
    assert_eq!(query.questions, response.questions);
    assert_eq!(query.transaction_id, response.transaction_id);
    assert!(response.elapsed.is_some(), "the response was matched with its query");
    let records: Vec<_> =
        response.answers.iter().map(|record| format!("{} {}", record.name, record.data)).collect();
    eprintln!("{name} {kind}: {} {records:?}", response.rcode);
    assert_eq!((response.rcode.to_string().as_str(), &records[..]), (rcode, &owned(answers)[..]));
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[tokio::test]
async fn tls_of_openssl() {
    let Some(wire) = Wire::try_new() else { return };
    if !have(&["openssl"]) {
        return;
    }
    let folder = Folder::new();
    let mut certificate = Command::new("openssl");
    certificate.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    certificate.args(["-nodes", "-subj", "/CN=www.flow.test", "-keyout", "key", "-out", "cert"]);
    certificate.current_dir(folder.path());
    run(certificate);
    let mut server = command(&wire, Host::B, "openssl");
    server.args(["s_server", "-accept", "10.77.0.2:4433", "-key", "key", "-cert", "cert"]);
    server.args(["-alpn", "http/1.1", "-quiet"]).current_dir(folder.path());
    let _server = Program::start(server);
    wait_for(&wire, 4433);

    wire.enter(Host::A);
    let mut events = AsyncCapture::open(INTERFACE)
        .expect("open")
        .flow_stream(FiveTuple::bidirectional())
        .session_stream(TlsParser::default());
    // Suites of RFC 5289 and RFC 8446.
    for (version, option, suite, name) in [
        (TlsVersion::Tls1_2, ["-tls1_2", "-cipher"], 0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        (TlsVersion::Tls1_3, ["-tls1_3", "-ciphersuites"], 0x1301, "TLS_AES_128_GCM_SHA256"),
    ] {
        let mut openssl = command(&wire, Host::A, "openssl");
        openssl.args(["s_client", "-connect", "10.77.0.2:4433", "-servername", "www.flow.test"]);
        openssl.args(["-alpn", "h2,http/1.1"]).args(option).arg(name);
        let openssl = client(openssl);
        let found = messages(&mut events, None).await;
        assert!(openssl.await.expect("openssl").contains(name));
        check_tls(version, suite, &found);
    }
}

fn check_tls(version: TlsVersion, suite: u16, found: &[Message<TlsMessage>]) {
    let messages: Vec<_> = found.iter().map(|(.., message)| message).collect();
    let [TlsMessage::ClientHello(client), TlsMessage::ServerHello(server), rest @ ..] =
        &messages[..]
    else {
        panic!("{messages:?}")
    };
    eprintln!("{:?} {:?} {:#06x} {:?}", client.sni, client.alpn, server.cipher_suite, server.alpn);
    assert_eq!(client.sni.as_deref(), Some("www.flow.test"));
    assert_eq!(client.alpn, [&b"h2"[..], b"http/1.1"]);
    assert!(client.cipher_suites.contains(&suite));
    assert_eq!(server.cipher_suite, suite);
    assert_eq!(server.supported_version.unwrap_or(server.legacy_version), version);
    // TLS 1.3 hides which protocol was chosen, and the certificates.
    let is_clear = version != TlsVersion::Tls1_3;
    assert_eq!(server.alpn.as_deref(), is_clear.then_some(&b"http/1.1"[..]));
    let chains = rest.iter().filter(|message| matches!(message, TlsMessage::Certificate(_)));
    assert_eq!(chains.count(), usize::from(is_clear));
}

type Packets = FlowStream<AsyncCapture, FiveTuple>;

/// A capture of the interface, with an event per packet.
fn packets(config: &LiveConfig) -> Packets {
    AsyncCapture::open_with(INTERFACE, config)
        .expect("open")
        .flow_stream(FiveTuple::bidirectional())
        .with_packet_events(true)
}

/// Counts the packets that come until the wire is quiet.
async fn count(events: &mut Packets) -> u64 {
    let mut packets = 0;
    while let Ok(Some(event)) = tokio::time::timeout(QUIET, events.next()).await {
        packets += u64::from(matches!(event.expect("event"), FlowEvent::Packet { .. }));
    }
    packets
}

const REPLAYED: u64 = 100_000;

/// Replays a capture that is read while it is sent, or afterwards.
async fn replay(buffer_bytes: u32, read_late: bool) -> Option<CaptureStats> {
    let wire = Wire::try_new()?;
    if !have(&["tcpreplay"]) {
        return None;
    }
    let folder = Folder::new();
    folder.write("replay.pcap", &programs::capture(REPLAYED));
    wire.enter(Host::A);
    let mut events = packets(&LiveConfig::default().with_buffer_bytes(buffer_bytes));
    let mut tcpreplay = command(&wire, Host::A, "tcpreplay");
    tcpreplay.args(["--topspeed", "--intf1", INTERFACE]).arg(folder.path().join("replay.pcap"));
    let mut tcpreplay = client(tcpreplay);
    let delivered = if read_late {
        (&mut tcpreplay).await.expect("tcpreplay");
        count(&mut events).await
    } else {
        let delivered = count(&mut events).await;
        tcpreplay.await.expect("tcpreplay");
        delivered + count(&mut events).await
    };
    let stats = events.capture_stats();
    eprintln!("{delivered} delivered, {stats:?}");
    assert_eq!(delivered, events.tracker_stats().packets);
    assert_eq!(stats.received, REPLAYED);
    assert_eq!(delivered + stats.dropped, REPLAYED);
    Some(stats)
}

#[tokio::test]
async fn a_replay_is_delivered_to_a_reader_that_keeps_up() {
    // With room for all of it, as nobody knows how busy this machine is.
    if let Some(stats) = replay(64 << 20, false).await {
        assert_eq!(stats.dropped, 0);
    }
}

#[tokio::test]
async fn a_replay_into_a_tiny_buffer_is_delivered_or_counted() {
    if let Some(stats) = replay(1 << 20, true).await {
        assert!((1..REPLAYED).contains(&stats.dropped));
    }
}

#[tokio::test]
async fn a_filter_is_exchanged_while_events_are_awaited() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut events = packets(&LiveConfig::default().with_filter("udp dst port 1000"));
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    let send = || {
        for port in [1000, 2000, 2000] {
            socket.send_to(b"datagram", (NOBODY, port)).expect("send");
        }
    };
    send();
    let first = count(&mut events).await;
    events.source_mut().set_filter("udp dst port 2000").expect("filter");
    send();
    assert_eq!((first, count(&mut events).await), (1, 2));
}

#[tokio::test]
async fn a_removed_interface_ends_the_stream_with_an_error() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let mut events = packets(&LiveConfig::default());
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    socket.send_to(b"last", (NOBODY, 1000)).expect("send");
    wire.ip(Host::A, &format!("link del {INTERFACE}"));
    let mut seen = Vec::new();
    let error = loop {
        match tokio::time::timeout(PATIENCE, events.next()).await.expect("an event") {
            Some(Ok(event)) => seen.push(event),
            Some(Err(error)) => break error,
            None => panic!("ended without an error: {seen:?}"),
        }
    };
    assert_eq!(error.to_string(), "wire0: the interface was removed");
    assert_eq!(events.tracker_stats().packets, 1);
    assert!(matches!(seen.last(), Some(FlowEvent::Ended { .. })), "flows end before: {seen:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn members_of_a_group_share_the_flows() {
    let Some(wire) = Wire::try_new() else { return };
    wire.enter(Host::A);
    let captures = AsyncCapture::open_fanout(INTERFACE, &LiveConfig::default(), 2).expect("open");
    // All at once, so that each has a port of its own.
    let sockets = [(); 64].map(|()| UdpSocket::bind("0.0.0.0:0").expect("socket"));
    for socket in sockets.iter().cycle().take(3 * sockets.len()) {
        socket.send_to(b"datagram", (NOBODY, 1000)).expect("send");
    }
    let mut flows = Vec::new();
    for capture in captures {
        let mut events = capture.flow_stream(FiveTuple::bidirectional()).with_packet_events(true);
        assert_eq!(count(&mut events).await, 3 * events.active_flows() as u64);
        flows.push(events.active_flows());
    }
    assert!(flows.iter().all(|&flows| flows > 0), "{flows:?}");
    assert_eq!(flows.iter().sum::<usize>(), sockets.len());
}
