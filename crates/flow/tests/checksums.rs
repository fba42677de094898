//! TCP checksums of real frames, and what is made of bad ones.

#![allow(clippy::unwrap_used)]

use flow::extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{
    ChecksumPolicy, Context, FlowExtractor, FlowSessionDriver, FlowSide, FlowTrackerConfig, Gap,
    GapAction, PacketView, SessionEvent, SessionParser, TcpChecksum, Timestamp,
};

fn frames(fixture: &str) -> Vec<Vec<u8>> {
    let path = format!("{}/../../fixtures/{fixture}", env!("CARGO_MANIFEST_DIR"));
    let mut source = PcapFlowSource::open(path).unwrap();
    source.views().map(|view| view.unwrap().as_view().frame.to_vec()).collect()
}

fn checksum(frame: &[u8]) -> Option<TcpChecksum> {
    let extractor = AutoDetectEncap::new(FiveTuple::bidirectional());
    let view = PacketView::new(frame, Timestamp::default());
    extractor.tcp_checksum(view, &extractor.extract(view)?)
}

#[test]
fn fixtures_have_good_ones() {
    for (fixture, segments) in
        [("http_get.pcap", 15), ("vxlan_http.pcap", 1), ("ipv6_ext_headers.pcap", 1)]
    {
        let found: Vec<_> = frames(fixture).iter().filter_map(|frame| checksum(frame)).collect();
        assert!(found.len() >= segments, "{fixture}: {} segments", found.len());
        assert!(found.iter().all(|&found| found == TcpChecksum::Good), "{fixture}: {found:?}");
    }
    assert!(frames("dns_udp.pcap").iter().all(|frame| checksum(frame).is_none()));
}

/// Where the TCP header begins in a frame of `http_get.pcap`.
const TCP: usize = 34;

#[test]
fn damaged_cut_and_offloaded() {
    let mut frame = frames("http_get.pcap").into_iter().find(|frame| frame.len() > 100).unwrap();
    assert_eq!(checksum(&frame), Some(TcpChecksum::Good));
    assert_eq!(checksum(&frame[..frame.len() - 1]), None);
    *frame.last_mut().unwrap() ^= 1;
    assert_eq!(checksum(&frame), Some(TcpChecksum::Bad));
    let mut merged = frame.clone();
    merged.resize(3_000, 0);
    merged[16..18].copy_from_slice(&2_986_u16.to_be_bytes());
    assert_eq!(checksum(&merged), Some(TcpChecksum::Offloaded));
    let len = u32::try_from(frame.len() - TCP).unwrap();
    let words =
        frame[26..34].chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum = words.sum::<u32>() + 6 + len;
    let folded = u16::try_from((sum >> 16) + (sum & 0xffff)).unwrap();
    frame[TCP + 16..TCP + 18].copy_from_slice(&folded.to_be_bytes());
    assert_eq!(checksum(&frame), Some(TcpChecksum::Offloaded));
}

#[derive(Clone, Default)]
struct Bytes;

impl SessionParser for Bytes {
    type Message = Vec<u8>;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        vec![bytes.to_vec()]
    }

    fn feed_responder(&mut self, _: &[u8]) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn gap(&mut self, _: FlowSide, _: Gap, _: &mut Context<'_, Vec<u8>>) -> GapAction {
        GapAction::Resume
    }
}

/// The initiator's bytes and the anomalies when segments of one byte come with these checksums.
fn observe(policy: ChecksumPolicy, good: &str) -> (String, Vec<String>) {
    let opening = frames("http_get.pcap");
    let [syn, syn_ack, ack, data] = [0, 1, 2, 3].map(|at| opening[at].clone());
    let mut all = vec![syn, syn_ack, ack];
    for (at, (letter, is_good)) in ('a'..).zip(good.chars().map(|c| c == '+')).enumerate() {
        all.push(segment(&data, u32::try_from(at).unwrap(), letter as u8, is_good));
    }
    let mut config = FlowTrackerConfig::default();
    config.checksums = policy;
    let mut driver = FlowSessionDriver::<_, Bytes>::new(FiveTuple::bidirectional())
        .with_config(config)
        .with_emit_anomalies(true);
    let (mut bytes, mut anomalies) = (Vec::new(), Vec::new());
    let mut take = |event: SessionEvent<FiveTupleKey, Vec<u8>>| match event {
        SessionEvent::Application { message, side: FlowSide::Initiator, .. } => {
            bytes.extend_from_slice(&message);
        }
        SessionEvent::Anomaly { kind, .. } => anomalies.push(kind.to_string()),
        _ => {}
    };
    for (at, frame) in all.iter().enumerate() {
        // More than a tick apart, so that each anomaly is reported.
        let ts = Timestamp::new(u32::try_from(2 * at).unwrap() + 1_000, 0);
        driver.track(PacketView::new(frame, ts)).for_each(&mut take);
    }
    driver.finish().for_each(&mut take);
    (String::from_utf8(bytes).unwrap(), anomalies)
}

/// The first data segment of the capture, cut to one byte at an offset of the stream.
fn segment(data: &[u8], offset: u32, letter: u8, is_good: bool) -> Vec<u8> {
    let header = usize::from(data[TCP + 12] >> 4) * 4;
    let mut frame = data[..TCP + header].to_vec();
    frame.push(letter);
    let total = u16::try_from(frame.len() - 14).unwrap();
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    let seq = u32::from_be_bytes(data[TCP + 4..TCP + 8].try_into().unwrap()) + offset;
    frame[TCP + 4..TCP + 8].copy_from_slice(&seq.to_be_bytes());
    // The one of all checksums that is good.
    let found = (0..=u16::MAX).find(|sum| {
        frame[TCP + 16..TCP + 18].copy_from_slice(&sum.to_be_bytes());
        checksum(&frame) == Some(TcpChecksum::Good)
    });
    frame[TCP + 17] ^= u8::from(!is_good);
    assert!(found.is_some());
    frame
}

#[test]
fn auto_rejects_a_bad_one_among_good_ones() {
    let (bytes, anomalies) = observe(ChecksumPolicy::Auto, "+++++-+");
    // The hole is where the rejected byte was.
    assert_eq!(bytes, "abcdeg");
    assert_eq!(anomalies[0], "bad_checksum");
}

#[test]
fn auto_takes_bad_ones_where_none_are_good() {
    let (bytes, anomalies) = observe(ChecksumPolicy::Auto, "-------");
    assert_eq!(bytes, "abcdefg");
    assert!(anomalies.iter().all(|kind| kind == "bad_checksum_accepted"), "{anomalies:?}");
    assert_eq!(anomalies.len(), 7);
}

#[test]
fn always_and_never_are_what_they_say() {
    assert_eq!(observe(ChecksumPolicy::Always, "--+-+").0, "ce");
    assert_eq!(observe(ChecksumPolicy::Never, "+++++-+"), ("abcdefg".into(), Vec::new()));
}
