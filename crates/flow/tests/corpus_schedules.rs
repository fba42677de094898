//! Every capture of the folder `shared/corpus` beside the checkout, replayed with packets sent
//! twice, cut in two, out of order and missing: the streams are those of the plain replay. Skipped,
//! loudly, where that folder is not.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use flow::extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{
    FlowExtractor, FlowSide, Orientation, PacketView, RejectReason, SegmentOddity, SkipReason,
    TcpFlags, TcpInfo, Timestamp,
};

use self::common::{Packet, Session, accounted, sessions_of};

/// In these captures, copies of bytes contradict each other, so that order decides what comes out.
const CONTRADICTORY: [&str; 2] =
    ["derived__tcp__overlap_conflict.pcap", "zeek__tcp__qi_internet_SYNACK_curl_jsonip.pcap"];

/// Of each capture, so many bytes of TCP payload are used, and so many packets.
const MAX_PAYLOAD: usize = 400_000;
const MAX_PACKETS: usize = 10_000;

fn extractor() -> AutoDetectEncap<FiveTuple> {
    AutoDetectEncap::new(FiveTuple::bidirectional())
}

/// A TCP segment in a capture.
#[derive(Clone, Debug)]
struct Decoded {
    key: FiveTupleKey,
    from: Orientation,
    tcp: TcpInfo,
    /// Where in the frame the payload is, as far as captured.
    payload: Range<usize>,
    /// Its length on the wire.
    len: usize,
}

impl Decoded {
    fn of(packet: &Packet) -> Option<Self> {
        let found = extractor().extract(packet.view())?;
        let at = found.payload.offset as usize;
        Some(Self {
            key: found.key,
            from: found.orientation,
            tcp: found.tcp?,
            payload: at..at + found.payload.captured as usize,
            len: found.payload.len as usize,
        })
    }

    /// Data and nothing else: it may come at any time within the window.
    fn is_plain_data(&self) -> bool {
        let control = TcpFlags::SYN | TcpFlags::RST | TcpFlags::FIN | TcpFlags::URG;
        self.len > 0 && self.len == self.payload.len() && !self.tcp.flags.intersects(control)
    }

    /// Its captured bytes by their sequence numbers, as distances from `base`.
    fn covers(&self, base: u32) -> Range<i64> {
        let syn = u32::from(self.tcp.flags.contains(TcpFlags::SYN));
        let start = self.tcp.seq.wrapping_add(syn).wrapping_sub(base).cast_signed();
        i64::from(start)..i64::from(start) + i64::try_from(self.payload.len()).unwrap()
    }
}

struct Capture {
    name: String,
    packets: Vec<Packet>,
    decoded: Vec<Option<Decoded>>,
    /// Which packets each connection has.
    of: HashMap<FiveTupleKey, Vec<usize>>,
}

impl Capture {
    /// The packets of a file that can be read.
    fn open(file: &Path) -> Self {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (mut packets, mut decoded, mut payload) = (Vec::new(), Vec::new(), 0);
        let mut of: HashMap<FiveTupleKey, Vec<usize>> = HashMap::new();
        let Ok(mut source) = PcapFlowSource::open(file) else {
            return Self { name, packets, decoded, of };
        };
        for captured in source.views().map_while(Result::ok) {
            let PacketView { frame, timestamp: ts, link_type, wire_len } = captured.as_view();
            let packet = Packet { frame: frame.to_vec(), ts, link_type, wire_len };
            let segment = Decoded::of(&packet);
            payload += segment.as_ref().map_or(0, |segment| segment.payload.len());
            if payload > MAX_PAYLOAD || packets.len() == MAX_PACKETS {
                break;
            }
            if let Some(segment) = &segment {
                of.entry(segment.key).or_default().push(packets.len());
            }
            packets.push(packet);
            decoded.push(segment);
        }
        Self { name, packets, decoded, of }
    }

    /// The same packets, ten microseconds apart: what is moved stays close in time.
    fn stamped(mut self) -> Self {
        stamp(&mut self.packets);
        self
    }

    fn has_fragments(&self) -> bool {
        let is_fragment = |packet: &Packet| {
            extractor().extract(packet.view()).is_none()
                && extractor().skip_reason(packet.view()) == SkipReason::Fragment
        };
        self.packets.iter().any(is_fragment)
    }

    fn sessions(&self) -> Vec<Session> {
        sessions_of(extractor(), &self.packets).0
    }

    /// Segments of a connection, with the number of their packet.
    fn segments(&self, key: FiveTupleKey) -> impl Iterator<Item = (usize, &Decoded)> {
        let packets = self.of.get(&key).into_iter().flatten();
        packets.filter_map(|&at| Some((at, self.decoded[at].as_ref()?)))
    }

    /// The same of one direction.
    fn sent_by(&self, key: FiveTupleKey, side: FlowSide) -> Vec<(usize, &Decoded)> {
        let Some(initiator) = self.initiator(key) else { return Vec::new() };
        let from = if side == FlowSide::Initiator { initiator } else { initiator.reversed() };
        self.segments(key).filter(|(_, segment)| segment.from == from).collect()
    }

    /// The first packet's sender, or its receiver if that is a SYN-ACK.
    fn initiator(&self, key: FiveTupleKey) -> Option<Orientation> {
        let (_, first) = self.segments(key).next()?;
        let is_answer = first.tcp.flags.contains(TcpFlags::SYN | TcpFlags::ACK);
        Some(if is_answer { first.from.reversed() } else { first.from })
    }

    /// Connections, one of each key, of which the whole handshake was captured and nothing is
    /// missing, contradictory or refused.
    fn sound(&self, sessions: &[Session]) -> Vec<Session> {
        if CONTRADICTORY.contains(&&*self.name) {
            return Vec::new();
        }
        let mut times: HashMap<FiveTupleKey, usize> = HashMap::new();
        sessions.iter().for_each(|session| *times.entry(session.key).or_default() += 1);
        let has_syns = |key| {
            let all = self.segments(key).map(|(_, segment)| segment);
            let syns = all.filter(|segment| segment.tcp.flags.contains(TcpFlags::SYN));
            syns.map(|segment| (segment.from, segment.tcp.seq)).collect::<HashSet<_>>().len() == 2
        };
        let is_sound = |session: &&Session| {
            times[&session.key] == 1
                && has_syns(session.key)
                && FlowSide::BOTH.into_iter().all(|side| {
                    let stats = session.stats.tcp.side(side);
                    stats.total_gap_bytes() == 0
                        && stats.conflicting_bytes == 0
                        && stats.acks_unseen == 0
                        && stats.beyond_fin_bytes == 0
                        && stats.rejected_segments == [0; RejectReason::ALL.len()]
                })
        };
        sessions.iter().filter(is_sound).cloned().collect()
    }
}

fn stamp(packets: &mut [Packet]) {
    for (at, packet) in (0..).zip(packets) {
        packet.ts = Timestamp::new(1_700_000_000, at * 10_000);
    }
}

fn captures() -> Option<Vec<Capture>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/pcaps");
    if !folder.is_dir() {
        println!("SKIPPED: no shared/corpus beside the checkout");
        return None;
    }
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files.iter().map(|file| Capture::open(file)).collect())
}

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Replays each capture as it is and as `change` makes it, and compares the sound connections.
fn same_streams(what: &str, change: impl Fn(&Capture) -> Vec<Packet>) {
    let Some(captures) = captures() else { return };
    let (mut wrong, mut compared, mut changed) = (Vec::new(), 0, 0);
    for capture in captures.into_iter().map(Capture::stamped) {
        let expected = capture.sound(&capture.sessions());
        if expected.is_empty() {
            continue;
        }
        let mut packets = change(&capture);
        changed += packets.len().abs_diff(capture.packets.len());
        stamp(&mut packets);
        let (found, _) = sessions_of(extractor(), &packets);
        for one in &expected {
            let found: Vec<_> = found.iter().filter(|session| session.key == one.key).collect();
            compared += 1;
            if found.len() != 1 || found[0].streams != one.streams {
                let found: Vec<_> = found.iter().map(|session| summary(session)).collect();
                wrong.push(format!(
                    "{} {}: {} became {found:?}",
                    capture.name,
                    one.key,
                    summary(one)
                ));
            }
        }
    }
    println!("{what}: {compared} connections, {changed} packets more");
    assert!(compared > 100, "{compared} connections");
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
}

fn summary(session: &Session) -> String {
    let lens = session.streams.bytes.each_ref().map(Vec::len);
    format!(
        "{lens:?} bytes, gaps {:?}, fins {:?}, {:?}",
        session.streams.gaps, session.streams.fins, session.reason
    )
}

#[test]
fn every_packet_twice() {
    same_streams("twice in a row", |capture| {
        capture.packets.iter().flat_map(|packet| [packet.clone(), packet.clone()]).collect()
    });
}

/// A mirror port that shows packets again after a few others.
#[test]
fn data_again_later() {
    same_streams("data again later", |capture| {
        let mut order: Vec<(usize, usize)> = Vec::new();
        for (at, segment) in capture.decoded.iter().enumerate() {
            order.push((at, at));
            if segment.as_ref().is_some_and(Decoded::is_plain_data) {
                order.push((at + 3, at));
            }
        }
        order.sort_unstable();
        order.iter().map(|&(_, at)| capture.packets[at].clone()).collect()
    });
}

#[test]
fn segments_cut_in_two() {
    same_streams("cut in two", |capture| {
        let cut = |(packet, segment): (&Packet, &Option<Decoded>)| {
            segment
                .as_ref()
                .and_then(|segment| cut_in_two(packet, segment))
                .map_or_else(|| vec![packet.clone()], Vec::from)
        };
        capture.packets.iter().zip(&capture.decoded).flat_map(cut).collect()
    });
}

#[test]
fn segments_cut_in_two_and_swapped() {
    same_streams("cut in two and swapped", |capture| {
        let cut = |(packet, segment): (&Packet, &Option<Decoded>)| {
            let plain = segment.as_ref().filter(|segment| segment.is_plain_data());
            plain
                .and_then(|segment| cut_in_two(packet, segment))
                .map_or_else(|| vec![packet.clone()], |[front, back]| vec![back, front])
        };
        capture.packets.iter().zip(&capture.decoded).flat_map(cut).collect()
    });
}

/// Runs of data in one direction, not interrupted by data of the other, are shuffled in groups of
/// five. ACKs stay where they are, so that many of them come in front of what they acknowledge.
#[test]
fn data_out_of_order() {
    same_streams("out of order", |capture| {
        let mut dice = Dice(0x5eed);
        let mut runs: HashMap<FiveTupleKey, (Orientation, Vec<usize>)> = HashMap::new();
        let mut groups = Vec::new();
        for (at, segment) in capture.decoded.iter().enumerate() {
            let Some(segment) = segment.as_ref().filter(|segment| !is_pure_ack(segment)) else {
                continue;
            };
            let run = runs.entry(segment.key).or_insert((segment.from, Vec::new()));
            if run.0 != segment.from || run.1.len() == 5 || !segment.is_plain_data() {
                groups.push(std::mem::replace(run, (segment.from, Vec::new())).1);
            }
            if segment.is_plain_data() {
                run.1.push(at);
            }
        }
        groups.extend(runs.into_values().map(|(_, group)| group));
        let mut packets = capture.packets.clone();
        for group in groups {
            for last in (1..group.len()).rev() {
                packets.swap(group[last], group[dice.below(last + 1)]);
            }
        }
        packets
    });
}

fn is_pure_ack(segment: &Decoded) -> bool {
    let control = TcpFlags::SYN | TcpFlags::RST | TcpFlags::FIN;
    segment.len == 0 && !segment.tcp.flags.intersects(control)
}

/// Two packets with half of the payload each, if the headers are plain enough. Lengths of outer
/// layers stay: what is behind the inner packet counts as padding.
fn cut_in_two(packet: &Packet, segment: &Decoded) -> Option<[Packet; 2]> {
    let kept = TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG;
    let Range { start, end } = segment.payload;
    if segment.len != end - start || segment.len < 4 || segment.tcp.flags.intersects(kept) {
        return None;
    }
    let tcp = tcp_header(&packet.frame, segment)?;
    let cut = segment.len / 2;
    let (mut front, mut back) = (packet.clone(), packet.clone());
    set_length(&mut front.frame, tcp, start - tcp + cut, end - tcp)?;
    set_length(&mut back.frame, tcp, end - tcp - cut, end - tcp)?;
    front.frame[tcp + 13] &= !1;
    back.frame.copy_within(start + cut..end, start);
    let seq = segment.tcp.seq.wrapping_add(u32::try_from(cut).unwrap());
    back.frame[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
    Some([front, back])
}

/// Where the TCP header of the segment begins.
fn tcp_header(frame: &[u8], segment: &Decoded) -> Option<usize> {
    let end = segment.payload.start;
    (20..=60).step_by(4).filter_map(|len: usize| Some((end.checked_sub(len)?, len))).find_map(
        |(at, len)| {
            let is_it = usize::from(frame[at + 12] >> 4) * 4 == len
                && frame[at + 4..at + 8] == segment.tcp.seq.to_be_bytes()
                && frame[at + 8..at + 12] == segment.tcp.ack.to_be_bytes();
            is_it.then_some(at)
        },
    )
}

/// Changes the length of the TCP segment at `tcp` in the IP header in front of it.
fn set_length(frame: &mut [u8], tcp: usize, new: usize, old: usize) -> Option<()> {
    let (at, value) = (20..=60)
        .step_by(4)
        .filter_map(|len: usize| Some((tcp.checked_sub(len)?, len)))
        .find_map(|(ip, len)| {
            let says = |at: usize| usize::from(u16::from_be_bytes([frame[at], frame[at + 1]]));
            let is_v4 = usize::from(frame[ip]) == 0x40 + len / 4 && says(ip + 2) == len + old;
            let is_v6 = len == 40 && frame[ip] >> 4 == 6 && says(ip + 4) == old;
            let v4 = is_v4.then_some((ip + 2, len + new));
            v4.or(is_v6.then_some((ip + 4, new)))
        })?;
    frame[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap().to_be_bytes());
    Some(())
}

/// A packet left out, and which bytes of which stream came in no other.
struct Punched {
    key: FiveTupleKey,
    side: FlowSide,
    hole: Range<usize>,
    again: bool,
}

/// Chooses a packet with data of each direction of each sound connection; more data follows, so
/// that somebody can know that something is missing.
fn punch(capture: &Capture, sound: &[Session], dice: &mut Dice) -> (HashSet<usize>, Vec<Punched>) {
    let (mut gone, mut punched) = (HashSet::new(), Vec::new());
    for key in sound.iter().map(|session| session.key) {
        for side in FlowSide::BOTH {
            let sent = capture.sent_by(key, side);
            let is_syn =
                |(_, segment): &&(usize, &Decoded)| segment.tcp.flags.contains(TcpFlags::SYN);
            let Some((_, syn)) = sent.iter().find(is_syn) else { continue };
            let base = syn.tcp.seq.wrapping_add(1);
            let data = sent.iter().filter(|(_, segment)| segment.len > 0);
            let all: Vec<(usize, Range<i64>)> =
                data.map(|&(at, segment)| (at, segment.covers(base))).collect();
            let end = all.iter().map(|(_, range)| range.end).max().unwrap_or(0);
            let can = |(at, range): &&(usize, Range<i64>)| {
                let plain = capture.decoded[*at].as_ref().is_some_and(Decoded::is_plain_data);
                plain && range.start >= 0 && range.end < end
            };
            let candidates: Vec<_> = all.iter().filter(can).collect();
            if candidates.is_empty() {
                continue;
            }
            let (at, hole) = candidates[dice.below(candidates.len())];
            let others = || all.iter().filter(|(other, _)| other != at).map(|(_, range)| range);
            let again = others().any(|other| other.start < hole.end && hole.start < other.end);
            gone.insert(*at);
            let hole = usize::try_from(hole.start).unwrap()..usize::try_from(hole.end).unwrap();
            punched.push(Punched { key, side, hole, again });
        }
    }
    (gone, punched)
}

#[test]
fn packets_left_out() {
    let Some(captures) = captures() else { return };
    let mut dice = Dice(0xdead);
    let (mut wrong, mut compared, mut filled) = (Vec::new(), 0, 0);
    for capture in captures.into_iter().map(Capture::stamped) {
        let sound = capture.sound(&capture.sessions());
        for _ in 0..4 {
            let (gone, punched) = punch(&capture, &sound, &mut dice);
            if gone.is_empty() {
                break;
            }
            let kept = (0..).zip(&capture.packets).filter(|(at, _)| !gone.contains(at));
            let packets: Vec<Packet> = kept.map(|(_, packet)| packet.clone()).collect();
            let (found, _) = sessions_of(extractor(), &packets);
            for Punched { key, side, hole, again } in punched {
                compared += 1;
                filled += usize::from(again);
                let expected = sound.iter().find(|session| session.key == key).unwrap();
                let mut bytes = expected.streams.bytes[side.index()].clone();
                bytes[hole.clone()].fill(None);
                let found: Vec<_> = found.iter().filter(|session| session.key == key).collect();
                let is_right = found.len() == 1 && {
                    let found = &found[0].streams.bytes[side.index()];
                    let truth = &expected.streams.bytes[side.index()];
                    // What came again may have come after its hole was given up.
                    let may = |at: usize| again && hole.contains(&at) && found[at] == truth[at];
                    found.len() == bytes.len()
                        && (0..bytes.len()).all(|at| found[at] == bytes[at] || may(at))
                };
                if !is_right {
                    let found: Vec<_> = found.iter().map(|session| summary(session)).collect();
                    wrong.push(format!(
                        "{} {key} {side:?} without {hole:?}: {} became {found:?}",
                        capture.name,
                        summary(expected)
                    ));
                }
            }
        }
    }
    println!("{compared} packets left out, {filled} of them in part sent again");
    assert!(compared > 100, "{compared} packets");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every payload byte of every connection was delivered or dropped under a name; what was
/// delivered and what was dropped is what was captured, each byte counted once.
#[test]
fn bytes_are_conserved() {
    let Some(captures) = captures() else { return };
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for capture in captures {
        let whole = !capture.has_fragments();
        let sessions = capture.sessions();
        for session in &sessions {
            let times = sessions.iter().filter(|other| other.key == session.key).count();
            for side in FlowSide::BOTH {
                let unique =
                    (whole && times == 1).then(|| unique_bytes(&capture, session.key, side));
                if let Some(what) = conserves(session, side, unique.flatten()) {
                    wrong.push(format!("{} {} {side:?}: {what}", capture.name, session.key));
                }
                compared += 1;
            }
        }
    }
    println!("{compared} streams");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What does not add up, if anything. No counter has the bytes of rejected segments and of resets.
fn conserves(session: &Session, side: FlowSide, unique: Option<u64>) -> Option<String> {
    let stats = session.stats.tcp.side(side);
    let payload = session.stats.sent_by(side).payload_bytes;
    let (sum, delivered) = (accounted(&session.stats, side), stats.delivered_bytes);
    let resets = SegmentOddity::ALL.iter().position(|&odd| odd == SegmentOddity::ResetPayload);
    let uncounted = stats.rejected_segments.iter().sum::<u64>() + stats.odd_segments[resets?];
    let sum_is_right = if uncounted == 0 { sum == payload } else { sum <= payload };
    let dropped = stats.late_bytes
        + stats.before_start_bytes
        + stats.refused_bytes
        + stats.beyond_fin_bytes
        + stats.undelivered_bytes;
    let unique_is_right = unique.is_none_or(|unique| {
        delivered <= unique && (uncounted > 0 || unique <= delivered + dropped)
    });
    (!(sum_is_right && unique_is_right))
        .then(|| format!("payload {payload}, unique {unique:?}, accounted {sum}: {stats:?}"))
}

/// Bytes of the sequence space of `side` that were captured at least once.
fn unique_bytes(capture: &Capture, key: FiveTupleKey, side: FlowSide) -> Option<u64> {
    let sent = capture.sent_by(key, side);
    // Counted from the segment before, as streams may be longer than the circle of numbers.
    let (mut base, mut at) = (sent.first()?.1.tcp.seq, 0);
    let data = sent.iter().filter(|(_, segment)| !segment.tcp.flags.contains(TcpFlags::RST));
    let mut ranges: Vec<Range<i64>> = data
        .map(|(_, segment)| {
            let Range { start, end } = segment.covers(base);
            let range = at + start..at + end;
            at += i64::from(segment.tcp.seq.wrapping_sub(base).cast_signed());
            base = segment.tcp.seq;
            range
        })
        .collect();
    ranges.sort_unstable_by_key(|range| range.start);
    let (mut unique, mut upto) = (0, i64::MIN);
    for Range { start, end } in ranges {
        unique += (end - start.max(upto)).max(0);
        upto = upto.max(end);
    }
    u64::try_from(unique).ok()
}
