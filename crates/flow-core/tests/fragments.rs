//! What the defragmenter makes of fragments: overlaps, contradictions, limits, and an obviously
//! right model beside it.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_possible_truncation)]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use flow_core::{
    DefragmentConfig, DefragmentStats, Defragmented, Defragmenter, EncapKind, EncapLayer,
    Encapsulation, Fragment, FragmentAnomaly, FragmentedPacket, LinkType, Timestamp, WholePacket,
};
use proptest::prelude::*;

const IPV4: [u8; 20] = [0x45, 0, 0, 0, 0, 0, 0x20, 0, 64, 17, 1, 2, 192, 0, 2, 1, 192, 0, 2, 2];
const IPV6: [u8; 40] = {
    let mut header = [0; 40];
    (header[0], header[6], header[7]) = (0x60, 44, 64);
    (header[23], header[39]) = (1, 2);
    header
};

fn packet(is_ipv6: bool, id: u32) -> FragmentedPacket {
    let address = |last: u8| -> IpAddr {
        match is_ipv6 {
            true => Ipv6Addr::from([0, 0, 0, 0, 0, 0, 0, u16::from(last)]).into(),
            false => Ipv4Addr::new(192, 0, 2, last).into(),
        }
    };
    let (source, destination) = (address(1), address(2));
    let encapsulation = Encapsulation::default();
    FragmentedPacket { source, destination, id, protocol: 17, encapsulation }
}

/// A fragment that was captured whole.
fn part(packet: FragmentedPacket, offset: u32, more: bool, data: &[u8]) -> Fragment<'_> {
    let is_ipv6 = packet.source.is_ipv6();
    let header: &'static [u8] = if is_ipv6 { &IPV6 } else { &IPV4 };
    let (protocol_at, len) = (if is_ipv6 { 6 } else { 9 }, data.len() as u32);
    Fragment { packet, header, protocol_at, offset, more, data, len }
}

const START: Timestamp = Timestamp::new(1_000, 0);

fn after(secs: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(secs))
}

fn config(change: impl FnOnce(&mut DefragmentConfig)) -> DefragmentConfig {
    let mut config = DefragmentConfig::default();
    change(&mut config);
    config
}

/// A defragmenter that checks its own books after every fragment.
#[derive(Default)]
struct Harness {
    inner: Defragmenter,
}

impl Harness {
    fn new(config: DefragmentConfig) -> Self {
        Self { inner: Defragmenter::new(config) }
    }

    fn insert(&mut self, fragment: &Fragment<'_>, now: Timestamp) -> Defragmented {
        let outcome = self.inner.insert(fragment, now);
        self.check();
        outcome
    }

    fn sweep(&mut self, now: Timestamp) {
        self.inner.sweep(now);
        self.check();
    }

    fn check(&self) {
        let (stats, config) = (self.inner.stats(), self.inner.config());
        let dropped: u64 = stats.dropped_fragments.iter().sum();
        assert_eq!(
            stats.fragments,
            stats.packet_fragments + stats.fragments_held + stats.duplicates + dropped,
            "{stats:?}"
        );
        let packets = stats.packets_held + stats.packets_remembered;
        assert!(packets <= config.max_packets as u64, "{stats:?}");
        assert!(stats.bytes_held <= config.max_bytes as u64, "{stats:?}");
        assert!(stats.bytes_held <= stats.bytes_held_peak, "{stats:?}");
        assert!(stats.bytes_held_peak <= config.max_bytes as u64, "{stats:?}");
        assert!(stats.fragments_held >= stats.packets_held, "{stats:?}");
        assert_eq!(packets == 0, stats.bytes_held == 0, "{stats:?}");
    }

    fn stats(&self) -> &DefragmentStats {
        self.inner.stats()
    }

    fn dropped(&self, reason: FragmentAnomaly) -> u64 {
        self.stats().dropped_fragments[reason as usize]
    }

    fn anomalies(&self, anomaly: FragmentAnomaly) -> u64 {
        self.stats().anomalies[anomaly as usize]
    }
}

fn whole(outcome: Defragmented) -> WholePacket {
    match outcome {
        Defragmented::Whole(whole) => whole,
        other => panic!("not whole: {other:?}"),
    }
}

/// Outcomes in short: `h`eld, `d`uplicate, `w`hole, the name of a reason, `x` once dropped.
fn short(outcome: &Defragmented) -> String {
    match outcome {
        Defragmented::Held => "h".into(),
        Defragmented::Duplicate => "d".into(),
        Defragmented::Whole(_) => "w".into(),
        Defragmented::Dropped(reason) => reason.to_string(),
        Defragmented::AlreadyDropped(_) => "x".into(),
        other => format!("{other:?}"),
    }
}

/// Offset, length, `more`.
type Extent = (u32, usize, bool);

#[track_caller]
fn check_extents(is_ipv6: bool, extents: &[Extent], expected: &str) {
    let mut harness = Harness::default();
    let outcomes = extents.iter().map(|&(offset, len, more)| {
        let data = vec![0; len];
        short(&harness.insert(&part(packet(is_ipv6, 1), offset, more, &data), START))
    });
    assert_eq!(outcomes.collect::<Vec<_>>().join(" "), expected);
}

#[track_caller]
fn check_both(extents: &[Extent], expected: &str) {
    check_extents(false, extents, expected);
    check_extents(true, extents, expected);
}

// Overlaps.

/// A letter is 8 bytes. Gives what was put together, in the same notation.
fn put_together(is_ipv6: bool, fragments: &[(u32, &str)]) -> Option<String> {
    let end = |&(unit, text): &(u32, &str)| unit as usize + text.len();
    let last = fragments.iter().map(end).max()?;
    let mut harness = Harness::default();
    let mut text = None;
    for fragment in fragments {
        let data: Vec<u8> = fragment.1.bytes().flat_map(|letter| [letter; 8]).collect();
        let new = part(packet(is_ipv6, 1), fragment.0 * 8, end(fragment) < last, &data);
        if let Defragmented::Whole(whole) = harness.insert(&new, START) {
            let units = whole.frame[new.header.len()..].chunks(8);
            text = Some(units.map(|unit| char::from(unit[0])).collect());
        }
    }
    if text.is_none() {
        assert_eq!(harness.anomalies(FragmentAnomaly::Overlap), 1);
        assert_eq!(harness.dropped(FragmentAnomaly::Overlap), fragments.len() as u64);
    }
    text
}

/// The relations of a new fragment `B` to a stored one `A`: the name, the offset of `B`, `B`, what
/// comes of it in IPv4, whether the same does in IPv6.
const RELATIONS: [(&str, u32, &str, Option<&str>, bool); 13] = [
    ("begins before, ends inside", 2, "BBBBB", None, true),
    ("begins inside, ends after", 7, "BBBBB", None, true),
    ("same start, ends before", 4, "BBB", Some("h...AAAAAA....."), false),
    ("same start, ends after", 4, "BBBBBBBB", None, true),
    ("inside", 6, "BB", Some("h...AAAAAA....."), false),
    ("around", 2, "BBBBBBBBBB", None, true),
    ("begins inside, same end", 7, "BBB", Some("h...AAAAAA....."), false),
    ("begins before, same end", 2, "BBBBBBBB", None, true),
    ("the same", 4, "BBBBBB", Some("h...AAAAAA....."), true),
    ("begins at the end", 10, "BBB", Some("h...AAAAAABBB.."), true),
    ("ends at the start", 1, "BBB", Some("hBBBAAAAAA....."), true),
    ("before", 1, "BB", Some("hBB.AAAAAA....."), true),
    ("after", 11, "BB", Some("h...AAAAAA.BB.."), true),
];

#[test]
fn e1_overlap_relations() {
    for (name, unit, new, ipv4, same_in_ipv6) in RELATIONS {
        let mut fragments = vec![(0, "h"), (4, "AAAAAA"), (unit, new)];
        let covered = |at: u32| {
            let covers =
                |&(unit, text): &(u32, &str)| (unit..unit + text.len() as u32).contains(&at);
            fragments.iter().any(covers)
        };
        let missing: Vec<u32> = (0..15).filter(|&at| !covered(at)).collect();
        fragments.extend(missing.into_iter().map(|unit| (unit, ".")));
        assert_eq!(put_together(false, &fragments).as_deref(), ipv4, "{name}");
        let ipv6 = ipv4.filter(|_| same_in_ipv6);
        assert_eq!(put_together(true, &fragments).as_deref(), ipv6, "{name}");
    }
}

/// What stands behind `name` in JSON without white space: a string, or `None` for null.
fn field<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) = json.split_once(&format!("\"{name}\":")).unwrap();
    value.strip_prefix('"').map(|value| value.split_once('"').unwrap().0)
}

/// The fragment vectors of the folder `shared/reassembly` beside the checkout. Skipped, loudly,
/// where that folder is not.
#[test]
fn e1_overlap_vectors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reassembly");
    let Ok(json) = std::fs::read_to_string(folder.join("vectors.json")) else {
        println!("SKIPPED: no shared/reassembly beside the checkout");
        return;
    };
    let json: String = json.chars().filter(|letter| !letter.is_ascii_whitespace()).collect();
    let (_, vectors) = json.split_once("\"ip_fragment_vectors\":[").unwrap();
    let vectors: Vec<_> = vectors.split("\"id\":\"ipfrag-").skip(1).collect();
    assert_eq!(vectors.len(), 13);
    for vector in &vectors {
        let (_, list) = vector.split_once("\"fragments\":[[").unwrap();
        let (list, _) = list.split_once("]]").unwrap();
        let fragments: Vec<_> = list
            .split("],[")
            .map(|pair| pair.split_once(',').unwrap())
            .map(|(unit, text)| (unit.parse().unwrap(), text.trim_matches('"')))
            .collect();
        let ipv4 = put_together(false, &fragments);
        assert_eq!(ipv4.as_deref(), field(vector, "linux_6_18_ipv4"), "{vector}");
        let ipv6 = put_together(true, &fragments);
        assert_eq!(ipv6.as_deref(), field(vector, "drop_unless_exact_duplicate"), "{vector}");
    }
    println!("{} vectors", vectors.len());
}

#[test]
fn e1_contained_in_several() {
    let stored = [(0, 8, true), (8, 8, true), (16, 8, true)];
    let with = |last| [stored.as_slice(), &[last, (24, 5, false)]].concat();
    check_extents(false, &with((0, 24, true)), "h h h d w");
    check_extents(false, &with((8, 16, true)), "h h h d w");
    check_extents(true, &with((8, 16, true)), "h h h frag_overlap x");
    check_extents(true, &with((8, 8, true)), "h h h d w");
}

#[test]
fn e1_nothing_comes_of_a_dropped_packet_until_its_timeout() {
    let mut harness = Harness::default();
    let at = |offset, more| part(packet(true, 1), offset, more, &[0; 16]);
    assert_eq!(harness.insert(&at(0, true), START), Defragmented::Held);
    let overlap = FragmentAnomaly::Overlap;
    assert_eq!(harness.insert(&at(8, true), after(1)), Defragmented::Dropped(overlap));
    for (offset, more) in [(0, true), (16, false), (8, true)] {
        let outcome = harness.insert(&at(offset, more), after(59));
        assert_eq!(outcome, Defragmented::AlreadyDropped(overlap));
    }
    assert_eq!(harness.stats().packets_remembered, 1);
    assert_eq!(harness.insert(&at(0, true), after(60)), Defragmented::Held);
    assert_eq!(whole(harness.insert(&at(16, false), after(60))).fragments, 2);
    assert_eq!(harness.dropped(overlap), 5);
    assert_eq!(harness.anomalies(overlap), 1);
    assert_eq!(harness.stats().packets_remembered, 0);
}

// Tiny, contradicting and impossible fragments.

#[test]
fn e2_tiny_first_fragment() {
    #[track_caller]
    fn check(protocol: u8, len: usize, expected: Option<FragmentAnomaly>) {
        let mut harness = Harness::default();
        let packet = FragmentedPacket { protocol, ..packet(false, 1) };
        let outcome = harness.insert(&part(packet, len as u32, false, &[0; 9]), START);
        assert_eq!(outcome, Defragmented::Held);
        let whole = whole(harness.insert(&part(packet, 0, true, &vec![0; len]), START));
        assert_eq!(whole.anomaly, expected);
        assert_eq!(harness.anomalies(FragmentAnomaly::Tiny), u64::from(expected.is_some()));
        assert_eq!(harness.dropped(FragmentAnomaly::Tiny), 0);
    }
    check(6, 8, Some(FragmentAnomaly::Tiny));
    check(6, 16, Some(FragmentAnomaly::Tiny));
    check(6, 24, None);
    check(17, 8, None);
}

#[test]
fn e3_conflicting_ends() {
    check_both(&[(8, 8, false), (16, 8, false), (0, 8, true)], "h frag_conflict x");
    check_both(&[(16, 8, false), (8, 8, false)], "h frag_conflict");
    check_both(&[(16, 8, false), (16, 16, true)], "h frag_conflict");
    check_both(&[(16, 5, false), (16, 8, true)], "h frag_conflict");
    check_both(&[(16, 8, true), (8, 8, false)], "h frag_conflict");
    check_both(&[(16, 8, false), (64, 8, true)], "h frag_conflict");
    check_both(&[(16, 5, false), (16, 5, false), (16, 6, false)], "h d frag_conflict");
}

#[test]
fn e3_the_same_data_as_last_and_as_not_last() {
    check_extents(false, &[(0, 8, true), (8, 8, true), (8, 8, false)], "h h w");
    check_extents(false, &[(8, 8, false), (8, 8, true), (0, 8, true)], "h d w");
    check_extents(true, &[(0, 8, true), (8, 8, true), (8, 8, false)], "h h frag_overlap");
    check_extents(true, &[(8, 8, false), (8, 8, true), (0, 8, true)], "h frag_overlap x");
}

#[test]
fn e3_malformed() {
    check_both(&[(0, 8, true), (8, 12, true), (16, 8, false)], "h frag_malformed x");
    check_both(&[(8, 0, true), (0, 8, true)], "frag_malformed x");
    check_both(&[(8, 0, false), (0, 8, true)], "frag_malformed x");
    check_both(&[(0, 0, true)], "frag_malformed");
    check_both(&[(12, 8, true)], "frag_malformed");
}

#[test]
fn e3_a_header_that_is_none() {
    for is_ipv6 in [false, true] {
        for more in [false, true] {
            let good = part(packet(is_ipv6, 1), 0, more, &[0; 8]);
            let short = Fragment { header: &good.header[1..], ..good };
            let outside = Fragment { protocol_at: good.header.len(), ..good };
            for fragment in [short, outside] {
                let outcome = Harness::default().insert(&fragment, START);
                assert_eq!(outcome, Defragmented::Dropped(FragmentAnomaly::Malformed));
            }
        }
    }
}

#[test]
fn e3_ping_of_death() {
    check_both(&[(0, 8, true), (65_528, 1_000, false)], "h frag_oversize");
    check_both(&[(65_528, 8, true), (0, 8, true)], "frag_oversize x");
    check_both(&[(u32::MAX - 7, 8, false)], "frag_oversize");
    // The header counts in IPv4 only.
    check_extents(false, &[(0, 65_512, true), (65_512, 3, false)], "h w");
    check_extents(false, &[(0, 65_512, true), (65_512, 4, false)], "h frag_oversize");
    check_extents(true, &[(0, 65_528, true), (65_528, 7, false)], "h w");
    check_extents(true, &[(0, 65_528, true), (65_528, 8, false)], "h frag_oversize");
}

#[test]
fn e3_oversize_for_a_header_that_comes_late() {
    let (data, end) = (vec![0; 65_504], [0; 10]);
    let header = [IPV4.as_slice(), &[1; 8]].concat();
    for (len, expected) in [(3, "w"), (4, "frag_oversize")] {
        let mut harness = Harness::default();
        let last = part(packet(false, 1), 65_504, false, &end[..len]);
        assert_eq!(harness.insert(&last, START), Defragmented::Held);
        let first = Fragment { header: &header, ..part(packet(false, 1), 0, true, &data) };
        assert_eq!(short(&harness.insert(&first, START)), expected);
    }
}

// What a packet is made into.

#[test]
fn ipv4_header_with_options() {
    let mut header = IPV4.to_vec();
    header.extend([0x94, 4, 0, 0]); // router alert
    header[0] = 0x46;
    let mut harness = Harness::default();
    let second = part(packet(false, 1), 8, false, b"the end");
    assert_eq!(harness.insert(&second, START), Defragmented::Held);
    let first = Fragment { header: &header, ..part(packet(false, 1), 0, true, b"8 bytes ") };
    let whole = whole(harness.insert(&first, START));

    header[2..4].copy_from_slice(&39_u16.to_be_bytes());
    header[6..8].copy_from_slice(&[0, 0]);
    header[10..12].copy_from_slice(&[0x61, 0xbe]);
    assert_eq!(whole.frame, [header.as_slice(), b"8 bytes the end"].concat());
    assert_eq!((whole.link_type, whole.len, whole.fragments), (LinkType::IPV4, 39, 2));
    let view = whole.view(START);
    assert_eq!((view.frame, view.wire_len), (whole.frame.as_slice(), 39));
    assert_eq!((view.link_type, view.timestamp), (LinkType::IPV4, START));
}

#[test]
fn ipv6_header_with_extensions() {
    let mut header = IPV6.to_vec();
    header[6] = 0;
    header.extend([44, 0, 1, 4, 0, 0, 0, 0]); // hop-by-hop options in front of the fragment header
    let mut harness = Harness::default();
    let first = part(packet(true, 1), 0, true, b"8 bytes ");
    let first = Fragment { header: &header, protocol_at: 40, ..first };
    assert_eq!(harness.insert(&first, START), Defragmented::Held);
    let whole = whole(harness.insert(&part(packet(true, 1), 8, false, b"the end"), START));

    header[4..6].copy_from_slice(&23_u16.to_be_bytes());
    header[40] = 17;
    assert_eq!(whole.frame, [header.as_slice(), b"8 bytes the end"].concat());
    assert_eq!((whole.link_type, whole.len, whole.fragments), (LinkType::IPV6, 63, 2));
}

#[test]
fn what_tells_packets_apart() {
    #[track_caller]
    fn check(is_ipv6: bool, change: impl Fn(&mut FragmentedPacket), expected: &str) {
        let mut harness = Harness::default();
        let mut other = packet(is_ipv6, 1);
        change(&mut other);
        let mut insert = |packet, offset, more| {
            short(&harness.insert(&part(packet, offset, more, &[0; 8]), START))
        };
        assert_eq!(insert(packet(is_ipv6, 1), 0, true), "h");
        assert_eq!(insert(other, 8, false), expected);
    }
    let mut vlan = Encapsulation::default();
    vlan.push(EncapLayer { kind: EncapKind::Vlan, id: 5 });
    for is_ipv6 in [false, true] {
        check(is_ipv6, |_| (), "w");
        check(is_ipv6, |packet| packet.id = 2, "h");
        check(is_ipv6, |packet| packet.encapsulation = vlan, "h");
        check(is_ipv6, |packet| packet.source = packet.destination, "h");
        check(is_ipv6, |packet| packet.destination = packet.source, "h");
    }
    check(false, |packet| packet.protocol = 6, "h");
    check(true, |packet| packet.protocol = 6, "w");
}

/// RFC 8200 section 4.5: of different protocols, that of the fragment with offset 0 counts.
#[test]
fn ipv6_protocol_of_the_first_fragment() {
    let mut harness = Harness::default();
    let other = FragmentedPacket { protocol: 6, ..packet(true, 1) };
    assert_eq!(harness.insert(&part(other, 8, false, &[0; 8]), START), Defragmented::Held);
    let whole = whole(harness.insert(&part(packet(true, 1), 0, true, &[0; 8]), START));
    assert_eq!(whole.frame[6], 17);
}

#[test]
fn encapsulation_is_handed_on() {
    let mut vlan = Encapsulation::default();
    vlan.push(EncapLayer { kind: EncapKind::Vlan, id: 5 });
    let packet = FragmentedPacket { encapsulation: vlan, ..packet(false, 1) };
    let mut harness = Harness::default();
    assert_eq!(harness.insert(&part(packet, 0, true, &[0; 8]), START), Defragmented::Held);
    let whole = whole(harness.insert(&part(packet, 8, false, &[0; 8]), START));
    assert_eq!(whole.encapsulation, vlan);
}

/// RFC 6946: not mixed with other fragments.
#[test]
fn a_packet_in_one_fragment() {
    for is_ipv6 in [false, true] {
        let mut harness = Harness::default();
        let at = |offset, more, data| part(packet(is_ipv6, 1), offset, more, data);
        assert_eq!(harness.insert(&at(0, true, b"8 bytes "), START), Defragmented::Held);
        let atomic = whole(harness.insert(&at(0, false, b"all"), START));
        assert!(atomic.frame.ends_with(b"all"));
        assert_eq!((atomic.len as usize, atomic.fragments), (atomic.frame.len(), 1));
        let whole = whole(harness.insert(&at(8, false, b"the end"), START));
        assert!(whole.frame.ends_with(b"8 bytes the end"));
    }
}

/// Fragments in this order, each with the bytes of it that were captured, of the packet
/// `abcdefghABCDEFGHxyz`.
#[track_caller]
fn check_snap_length(fragments: &[(u32, usize)], expected: &[u8]) {
    let mut harness = Harness::default();
    let mut last = None;
    for &(offset, captured) in fragments {
        let (more, data) = match offset {
            0 => (true, b"abcdefgh".as_slice()),
            8 => (true, b"ABCDEFGH".as_slice()),
            _ => (false, b"xyz".as_slice()),
        };
        let all = part(packet(false, 1), offset, more, data);
        last = Some(harness.insert(&Fragment { data: &data[..captured], ..all }, START));
    }
    let whole = whole(last.unwrap());
    assert_eq!(&whole.frame[20..], expected);
    assert_eq!(whole.len, 20 + 19);
    assert_eq!(whole.frame[2..4], 39_u16.to_be_bytes());
}

#[test]
fn cut_off_by_the_snap_length() {
    check_snap_length(&[(0, 8), (8, 8), (16, 3)], b"abcdefghABCDEFGHxyz");
    check_snap_length(&[(0, 8), (8, 8), (16, 1)], b"abcdefghABCDEFGHx");
    check_snap_length(&[(16, 3), (8, 3), (0, 8)], b"abcdefghABC");
    check_snap_length(&[(0, 3), (16, 3), (8, 8)], b"abc");
    check_snap_length(&[(8, 0), (0, 5), (16, 0)], b"abcde");
    check_snap_length(&[(16, 0), (8, 0), (0, 0)], b"");
}

// Time and limits.

#[track_caller]
fn check_timeout(is_ipv6: bool, secs: u64, expected: &str) {
    let mut harness = Harness::default();
    let at = |offset, more| part(packet(is_ipv6, 1), offset, more, &[0; 8]);
    assert_eq!(harness.insert(&at(0, true), START), Defragmented::Held);
    // A later fragment does not make it live longer.
    assert_eq!(harness.insert(&at(16, false), after(secs / 2)), Defragmented::Held);
    harness.sweep(after(secs));
    let timed_out = expected == "h";
    assert_eq!(harness.stats().packets_held, u64::from(!timed_out));
    assert_eq!(harness.dropped(FragmentAnomaly::Timeout), if timed_out { 2 } else { 0 });
    assert_eq!(harness.anomalies(FragmentAnomaly::Timeout), u64::from(timed_out));
    assert_eq!(short(&harness.insert(&at(8, true), after(secs))), expected);
}

#[test]
fn e4_timeouts() {
    check_timeout(false, 29, "w");
    check_timeout(false, 30, "h");
    check_timeout(true, 59, "w");
    check_timeout(true, 60, "h");
}

#[test]
fn e4_timeout_without_a_sweep() {
    let mut harness = Harness::default();
    let at = |offset, more| part(packet(false, 1), offset, more, &[0; 8]);
    assert_eq!(harness.insert(&at(0, true), START), Defragmented::Held);
    assert_eq!(harness.insert(&at(8, false), after(30)), Defragmented::Held);
    assert_eq!(harness.dropped(FragmentAnomaly::Timeout), 1);
}

#[test]
fn time_that_goes_back_is_the_latest_there_was() {
    let mut harness = Harness::default();
    let first = |id| part(packet(false, id), 0, true, &[0; 8]);
    harness.sweep(after(100));
    assert_eq!(harness.insert(&first(1), Timestamp::default()), Defragmented::Held);
    assert_eq!(harness.insert(&first(2), after(99)), Defragmented::Held);
    harness.sweep(START);
    assert_eq!(harness.stats().packets_held, 2);
    harness.sweep(after(129));
    assert_eq!(harness.stats().packets_held, 2);
    harness.sweep(after(130));
    assert_eq!(harness.stats().packets_held, 0);
}

#[test]
fn e4_packets_at_once() {
    let mut harness = Harness::new(config(|config| config.max_packets = 3));
    let first = |id| part(packet(id % 2 == 0, id), 0, true, &[0; 8]);
    let last = |id| part(packet(id % 2 == 0, id), 8, false, &[0; 8]);
    for id in 1..=5 {
        assert_eq!(harness.insert(&first(id), START), Defragmented::Held);
    }
    assert_eq!(harness.stats().packets_held, 3);
    assert_eq!(harness.dropped(FragmentAnomaly::Evicted), 2);
    assert_eq!(harness.anomalies(FragmentAnomaly::Evicted), 2);
    for id in 3..=5 {
        assert_eq!(short(&harness.insert(&last(id), START)), "w", "{id} is one of the latest");
    }
    assert_eq!(harness.insert(&last(1), START), Defragmented::Held, "1 was evicted");
}

#[test]
fn e4_what_is_remembered_counts_as_a_packet() {
    let mut harness = Harness::new(config(|config| config.max_packets = 3));
    for id in 0..100 {
        let malformed = part(packet(false, id), 8, true, &[0; 5]);
        assert_eq!(short(&harness.insert(&malformed, START)), "frag_malformed");
    }
    assert_eq!(harness.stats().packets_remembered, 3);
    assert_eq!(harness.dropped(FragmentAnomaly::Malformed), 100);
    assert_eq!(harness.dropped(FragmentAnomaly::Evicted), 0, "they had been dropped before");
    assert_eq!(harness.anomalies(FragmentAnomaly::Evicted), 0, "they had been dropped before");
    assert_eq!(harness.anomalies(FragmentAnomaly::Malformed), 100);
}

#[test]
fn e4_bytes_in_total() {
    let mut harness = Harness::default();
    let max_bytes = harness.inner.config().max_bytes as u64;
    let data = vec![0; 60_000];
    let count = 1_000;
    for id in 0..count {
        let outcome = harness.insert(&part(packet(false, id), 0, true, &data), START);
        assert_eq!(outcome, Defragmented::Held);
    }
    let stats = *harness.stats();
    assert!(stats.packets_held * 60_000 <= max_bytes);
    assert!(stats.bytes_held + 70_000 > max_bytes, "one more would not have fitted: {stats:?}");
    assert_eq!(harness.dropped(FragmentAnomaly::Evicted) + stats.packets_held, u64::from(count));
    let newest = part(packet(false, count - 1), 60_000, false, &[0; 8]);
    assert_eq!(short(&harness.insert(&newest, START)), "w");
}

/// Tiny fragments pay for what it takes to keep them.
#[test]
fn e4_bytes_of_tiny_fragments() {
    let mut harness = Harness::new(config(|config| config.max_packets = usize::MAX));
    for id in 0..200_000 {
        let outcome = harness.insert(&part(packet(true, id), 8, true, &[0; 8]), START);
        assert_eq!(outcome, Defragmented::Held);
    }
    assert!(harness.stats().packets_held < 16 * 1_024 * 1_024 / 300);
    assert!(harness.dropped(FragmentAnomaly::Evicted) > 0);
}

#[test]
fn e4_a_packet_that_alone_exceeds_a_limit() {
    let zero = config(|config| config.max_packets = 0);
    let small = config(|config| config.max_bytes = 1_000);
    for config in [zero, small] {
        let mut harness = Harness::new(config);
        let outcome = harness.insert(&part(packet(false, 1), 0, true, &[0; 1_000]), START);
        assert_eq!(outcome, Defragmented::Dropped(FragmentAnomaly::Evicted));
        assert_eq!(harness.stats().bytes_held, 0);
        let atomic = part(packet(false, 1), 0, false, &[0; 1_000]);
        assert_eq!(short(&harness.insert(&atomic, START)), "w");
    }
}

#[test]
fn fragments_of_one_packet() {
    let mut harness = Harness::new(config(|config| config.max_fragments = 3));
    let at = |offset, more| part(packet(false, 1), offset, more, &[0; 8]);
    for offset in [0, 8, 16, 16, 8] {
        let outcome = harness.insert(&at(offset, true), START);
        assert!(matches!(outcome, Defragmented::Held | Defragmented::Duplicate));
    }
    assert_eq!(short(&harness.insert(&at(24, false), START)), "frag_too_many");
    assert_eq!(harness.dropped(FragmentAnomaly::TooMany), 4);
}

#[test]
fn limits_hold_at_once_when_they_change() {
    let mut harness = Harness::default();
    for id in 0..100 {
        let outcome = harness.insert(&part(packet(false, id), 0, true, &[0; 8]), START);
        assert_eq!(outcome, Defragmented::Held);
    }
    harness.inner.set_config(config(|config| config.max_packets = 10));
    harness.check();
    assert_eq!(harness.stats().packets_held, 10);
    harness.inner.set_config(config(|config| config.timeout_ipv4 = Duration::ZERO));
    harness.check();
    assert_eq!(harness.stats().packets_held, 0);
}

/// The most fragments that a packet can have, in orders that are bad for lists.
#[test]
fn a_packet_in_8_byte_pieces() {
    let data: Vec<u8> = (0..65_515_u32).map(|at| (at * 7 / 3) as u8).collect();
    let pieces: Vec<(u32, &[u8])> = (0..).step_by(8).zip(data.chunks(8)).collect();
    let backwards = pieces.iter().rev().copied().collect();
    let (even, odd): (Vec<_>, Vec<_>) =
        pieces.iter().partition(|(offset, _)| offset.is_multiple_of(16));
    for order in [pieces.clone(), backwards, [even, odd].concat()] {
        let mut harness = Harness::default();
        let mut last = Defragmented::Held;
        for (offset, piece) in order {
            assert_eq!(last, Defragmented::Held);
            let more = offset + 8 < data.len() as u32;
            last = harness.insert(&part(packet(false, 1), offset, more, piece), START);
        }
        let whole = whole(last);
        assert_eq!(whole.frame[20..], data);
        assert_eq!(whole.fragments, 8_190);
        assert_eq!(harness.stats().bytes_held, 0);
    }
}

#[test]
fn buffers_are_used_again() {
    let data = [7; 1_480];
    let mut defragmenter = Defragmenter::default();
    let mut exchange = |id| {
        for (offset, more) in [(0, true), (2_960, false), (1_480, true)] {
            let fragment = part(packet(id % 2 == 0, id), offset, more, &data);
            if let Defragmented::Whole(whole) = defragmenter.insert(&fragment, START) {
                assert!(whole.frame.ends_with(&[7; 3 * 1_480]));
                defragmenter.reclaim(whole);
            }
        }
    };
    (0..100).for_each(&mut exchange);
    let counted = allocation_counter::measure(|| (100..10_000).for_each(&mut exchange));
    assert_eq!(counted.count_total, 0);
    assert_eq!(defragmenter.stats().packets, 10_000);
}

// Any fragments.

/// One packet, a byte at a time.
#[derive(Default)]
struct Model {
    bytes: Vec<Option<u8>>,
    extents: BTreeSet<(usize, usize, bool)>,
    dropped: Option<FragmentAnomaly>,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Held,
    Duplicate,
    Dropped(FragmentAnomaly),
    AlreadyDropped(FragmentAnomaly),
    Whole(Vec<u8>),
}

impl Model {
    fn insert(&mut self, is_ipv6: bool, offset: usize, more: bool, data: &[u8]) -> Expected {
        if offset == 0 && !more {
            return Expected::Whole(data.to_vec());
        }
        if let Some(reason) = self.dropped {
            return Expected::AlreadyDropped(reason);
        }
        let judged = self.judge(is_ipv6, offset, more, data);
        if let Expected::Dropped(reason) = judged {
            self.dropped = Some(reason);
        }
        if let Some(whole) = self.whole() {
            *self = Self::default();
            return Expected::Whole(whole);
        }
        judged
    }

    fn judge(&mut self, is_ipv6: bool, offset: usize, more: bool, data: &[u8]) -> Expected {
        let end = offset + data.len();
        if data.is_empty() || more && !data.len().is_multiple_of(8) {
            return Expected::Dropped(FragmentAnomaly::Malformed);
        }
        let mut all = self.extents.clone();
        all.insert((offset, end, more));
        let ends: BTreeSet<_> = all.iter().filter(|(_, _, more)| !more).map(|e| e.1).collect();
        let behind = |end: &usize| all.iter().any(|extent| extent.1 > *end);
        if ends.len() > 1 || ends.iter().any(behind) {
            return Expected::Dropped(FragmentAnomaly::Conflict);
        }
        self.bytes.resize(self.bytes.len().max(end), None);
        let there = self.bytes[offset..end].iter().flatten().count();
        let is_known_end = self.extents.iter().any(|(_, _, more)| !more);
        let judged = if there == 0 {
            Expected::Held
        } else if self.extents.contains(&(offset, end, more)) {
            return Expected::Duplicate;
        } else if there < data.len() || is_ipv6 {
            return Expected::Dropped(FragmentAnomaly::Overlap);
        } else if more || is_known_end {
            return Expected::Duplicate;
        } else {
            Expected::Held
        };
        self.extents.insert((offset, end, more));
        for (at, &byte) in (offset..).zip(data) {
            self.bytes[at].get_or_insert(byte);
        }
        judged
    }

    fn whole(&self) -> Option<Vec<u8>> {
        self.extents.iter().find(|(_, _, more)| !more)?;
        self.bytes.iter().copied().collect()
    }
}

/// Offset in units, data, `more`.
fn any_part() -> impl Strategy<Value = (usize, Vec<u8>, bool)> {
    let len = prop_oneof![9 => (0..6_usize).prop_map(|units| units * 8), 1 => 0..40_usize];
    let data = len.prop_flat_map(|len| prop::collection::vec(any::<u8>(), len));
    (0..12_usize, data, prop::bool::weighted(0.8))
}

/// Offset, data, `more`.
type Owned = (u32, Vec<u8>, bool);

/// A packet of at most three kilobytes, and its pieces, some of them twice, in any order.
fn shuffled() -> impl Strategy<Value = (Vec<u8>, Vec<Owned>)> {
    let data = prop::collection::vec(any::<u8>(), 9..3_000);
    let cuts = prop::collection::btree_set(1..375_usize, 1..40);
    (data, cuts, prop::collection::vec(1..3_usize, 41)).prop_flat_map(|(data, cuts, copies)| {
        let inner = cuts.into_iter().map(|unit| unit * 8).filter(|&at| at < data.len());
        let mut bounds: Vec<usize> = [0].into_iter().chain(inner).collect();
        if bounds.len() == 1 {
            bounds.push(8);
        }
        bounds.push(data.len());
        let pieces = bounds.windows(2).zip(copies).flat_map(|(bound, copies)| {
            let piece = (bound[0] as u32, data[bound[0]..bound[1]].to_vec(), bound[1] < data.len());
            vec![piece; copies]
        });
        let pieces: Vec<_> = pieces.collect();
        (Just(data), Just(pieces).prop_shuffle())
    })
}

/// Anything that the types can hold, mostly close to what is sensible.
#[derive(Clone, Debug)]
struct Wild {
    id: u32,
    is_ipv6: bool,
    header: usize,
    protocol_at: usize,
    offset: u32,
    more: bool,
    captured: usize,
    len: u32,
    now: u32,
}

fn wild() -> impl Strategy<Value = Wild> {
    let offset = prop_oneof![
        8 => (0..20_u32).prop_map(|unit| unit * 8),
        1 => 65_000..66_000_u32,
        1 => any::<u32>(),
    ];
    let len = prop_oneof![
        8 => (0..5_u32).prop_map(|unit| unit * 8),
        1 => 0..70_000_u32,
        1 => any::<u32>(),
    ];
    let header = prop_oneof![8 => Just(40_usize), 1 => 0..70_usize, 1 => Just(70_000_usize)];
    let protocol_at = prop_oneof![9 => 0..20_usize, 1 => any::<usize>()];
    let captured = prop_oneof![8 => 0..40_usize, 1 => Just(70_000_usize)];
    (0..6_u32, any::<bool>(), header, protocol_at, offset, any::<bool>(), captured, len, 0..100_u32)
        .prop_map(|(id, is_ipv6, header, protocol_at, offset, more, captured, len, now)| Wild {
            id,
            is_ipv6,
            header,
            protocol_at,
            offset,
            more,
            captured,
            len,
            now,
        })
}

fn run_wild(
    all: &[Wild],
    config: DefragmentConfig,
    bytes: &[u8],
) -> (Vec<Defragmented>, DefragmentStats) {
    let mut harness = Harness::new(config);
    let mut outcomes = Vec::new();
    for wild in all {
        let fragment = Fragment {
            packet: packet(wild.is_ipv6, wild.id),
            header: &bytes[..wild.header],
            protocol_at: wild.protocol_at,
            offset: wild.offset,
            more: wild.more,
            data: &bytes[..wild.captured],
            len: wild.len,
        };
        let outcome = harness.insert(&fragment, Timestamp::new(wild.now, 0));
        if let Defragmented::Whole(whole) = &outcome {
            assert!(whole.frame.len() <= whole.len as usize);
            assert!(whole.len <= 65_535 + 40);
            harness.inner.reclaim(whole.clone());
        }
        outcomes.push(outcome);
    }
    let stats = *harness.stats();
    harness.sweep(Timestamp::MAX);
    assert_eq!(harness.stats().fragments_held, 0);
    (outcomes, stats)
}

proptest! {
    #[test]
    fn behaves_like_the_model(
        is_ipv6 in any::<bool>(),
        parts in prop::collection::vec(any_part(), 1..30),
    ) {
        let (mut harness, mut model) = (Harness::default(), Model::default());
        for (unit, data, more) in parts {
            let fragment = part(packet(is_ipv6, 1), unit as u32 * 8, more, &data);
            let got = match harness.insert(&fragment, START) {
                Defragmented::Held => Expected::Held,
                Defragmented::Duplicate => Expected::Duplicate,
                Defragmented::Dropped(reason) => Expected::Dropped(reason),
                Defragmented::AlreadyDropped(reason) => Expected::AlreadyDropped(reason),
                Defragmented::Whole(whole) => {
                    let data = whole.frame[fragment.header.len()..].to_vec();
                    prop_assert_eq!(whole.len as usize, whole.frame.len());
                    harness.inner.reclaim(whole);
                    Expected::Whole(data)
                }
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(got, model.insert(is_ipv6, unit * 8, more, &data));
        }
    }

    #[test]
    fn any_order_and_copies_give_the_packet(
        (data, pieces) in shuffled(),
        is_ipv6 in any::<bool>(),
    ) {
        let mut harness = Harness::default();
        let distinct: BTreeSet<u32> = pieces.iter().map(|piece| piece.0).collect();
        let outcomes = pieces.iter().map(|(offset, piece, more)| {
            harness.insert(&part(packet(is_ipv6, 1), *offset, *more, piece), START)
        });
        let first = outcomes
            .filter_map(|outcome| match outcome {
                Defragmented::Whole(whole) => Some(whole),
                Defragmented::Held | Defragmented::Duplicate => None,
                other => panic!("{other:?}"),
            })
            .next();
        let whole = first.unwrap();
        let header = if is_ipv6 { 40 } else { 20 };
        prop_assert_eq!(&whole.frame[header..], data.as_slice());
        prop_assert_eq!(whole.fragments as usize, distinct.len());
        prop_assert_eq!(harness.stats().fragments_held, 0);
    }

    #[test]
    fn anything_keeps_to_the_limits_and_is_repeatable(
        all in prop::collection::vec(wild(), 1..60),
        max_packets in 0..8_usize,
        max_bytes in prop_oneof![0..5_000_usize, Just(100_000), Just(16 << 20)],
        max_fragments in 0..6_u32,
    ) {
        let bytes = vec![0x45; 70_000];
        let config = config(|config| {
            config.max_packets = max_packets;
            config.max_bytes = max_bytes;
            config.max_fragments = max_fragments;
        });
        let first = run_wild(&all, config, &bytes);
        prop_assert_eq!(first, run_wild(&all, config, &bytes));
    }
}
