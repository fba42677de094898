//! The captures of the folder `shared/corpus` beside the checkout, and packets made from theirs.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use flow::extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow::pcap::PcapFlowSource;
use flow::{
    FlowExtractor, FlowSide, Orientation, PacketView, RejectReason, SkipReason, TcpFlags, TcpInfo,
    Timestamp,
};

use super::{Packet, Session, sessions_of};

/// In these captures, copies of bytes contradict each other, so that order decides what comes out.
pub(crate) const CONTRADICTORY: [&str; 2] =
    ["derived__tcp__overlap_conflict.pcap", "zeek__tcp__qi_internet_SYNACK_curl_jsonip.pcap"];

/// Of each capture, so many bytes of TCP payload are used, and so many packets.
pub(crate) const MAX_PAYLOAD: usize = 400_000;
pub(crate) const MAX_PACKETS: usize = 10_000;

pub(crate) fn extractor() -> AutoDetectEncap<FiveTuple> {
    AutoDetectEncap::new(FiveTuple::bidirectional())
}

/// A TCP segment in a capture.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    pub(crate) key: FiveTupleKey,
    pub(crate) from: Orientation,
    pub(crate) tcp: TcpInfo,
    /// Where in the frame the payload is, as far as captured.
    pub(crate) payload: Range<usize>,
    /// Its length on the wire.
    pub(crate) len: usize,
}

impl Decoded {
    pub(crate) fn of(packet: &Packet) -> Option<Self> {
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
    pub(crate) fn is_plain_data(&self) -> bool {
        let control = TcpFlags::SYN | TcpFlags::RST | TcpFlags::FIN | TcpFlags::URG;
        self.len > 0 && self.len == self.payload.len() && !self.tcp.flags.intersects(control)
    }

    /// Its captured bytes by their sequence numbers, as distances from `base`.
    pub(crate) fn covers(&self, base: u32) -> Range<i64> {
        let syn = u32::from(self.tcp.flags.contains(TcpFlags::SYN));
        let start = self.tcp.seq.wrapping_add(syn).wrapping_sub(base).cast_signed();
        i64::from(start)..i64::from(start) + i64::try_from(self.payload.len()).unwrap()
    }
}

pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) packets: Vec<Packet>,
    pub(crate) decoded: Vec<Option<Decoded>>,
    /// Which packets each connection has.
    pub(crate) of: HashMap<FiveTupleKey, Vec<usize>>,
}

impl Capture {
    /// The packets of a file that can be read.
    pub(crate) fn open(file: &Path) -> Self {
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
    pub(crate) fn stamped(mut self) -> Self {
        stamp(&mut self.packets);
        self
    }

    pub(crate) fn has_fragments(&self) -> bool {
        let is_fragment = |packet: &Packet| {
            extractor().extract(packet.view()).is_none()
                && extractor().skip_reason(packet.view()) == SkipReason::Fragment
        };
        self.packets.iter().any(is_fragment)
    }

    pub(crate) fn sessions(&self) -> Vec<Session> {
        sessions_of(extractor(), &self.packets).0
    }

    /// Segments of a connection, with the number of their packet.
    pub(crate) fn segments(&self, key: FiveTupleKey) -> impl Iterator<Item = (usize, &Decoded)> {
        let packets = self.of.get(&key).into_iter().flatten();
        packets.filter_map(|&at| Some((at, self.decoded[at].as_ref()?)))
    }

    /// The same of one direction.
    pub(crate) fn sent_by(&self, key: FiveTupleKey, side: FlowSide) -> Vec<(usize, &Decoded)> {
        let Some(initiator) = self.initiator(key) else { return Vec::new() };
        let from = if side == FlowSide::Initiator { initiator } else { initiator.reversed() };
        self.segments(key).filter(|(_, segment)| segment.from == from).collect()
    }

    /// The first packet's sender, or its receiver if that is a SYN-ACK.
    pub(crate) fn initiator(&self, key: FiveTupleKey) -> Option<Orientation> {
        let (_, first) = self.segments(key).next()?;
        let is_answer = first.tcp.flags.contains(TcpFlags::SYN | TcpFlags::ACK);
        Some(if is_answer { first.from.reversed() } else { first.from })
    }

    /// Undisturbed connections of which the whole handshake was captured.
    pub(crate) fn sound(&self, sessions: &[Session]) -> Vec<Session> {
        let has_syns = |session: &Session| {
            let all = self.segments(session.key).map(|(_, segment)| segment);
            let syns = all.filter(|segment| segment.tcp.flags.contains(TcpFlags::SYN));
            syns.map(|segment| (segment.from, segment.tcp.seq)).collect::<HashSet<_>>().len() == 2
        };
        let mut undisturbed = self.undisturbed(sessions);
        undisturbed.retain(has_syns);
        undisturbed
    }

    /// Connections, one of each key, of which nothing is missing, contradictory or refused.
    pub(crate) fn undisturbed(&self, sessions: &[Session]) -> Vec<Session> {
        if CONTRADICTORY.contains(&&*self.name) {
            return Vec::new();
        }
        let mut times: HashMap<FiveTupleKey, usize> = HashMap::new();
        sessions.iter().for_each(|session| *times.entry(session.key).or_default() += 1);
        let is_undisturbed = |session: &&Session| {
            times[&session.key] == 1
                && FlowSide::BOTH.into_iter().all(|side| {
                    let stats = session.stats.tcp.side(side);
                    stats.total_gap_bytes() == 0
                        && stats.conflicting_bytes == 0
                        && stats.acks_unseen == 0
                        && stats.beyond_fin_bytes == 0
                        && stats.rejected_segments == [0; RejectReason::ALL.len()]
                })
        };
        sessions.iter().filter(is_undisturbed).cloned().collect()
    }
}

pub(crate) fn stamp(packets: &mut [Packet]) {
    for (at, packet) in (0..).zip(packets) {
        packet.ts = Timestamp::new(1_700_000_000, at * 10_000);
    }
}

/// The files of the corpus, if it is there.
pub(crate) fn files() -> Option<Vec<PathBuf>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/pcaps");
    if !folder.is_dir() {
        println!("SKIPPED: no shared/corpus beside the checkout");
        return None;
    }
    let files = fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    Some(files)
}

pub(crate) fn captures() -> Option<Vec<Capture>> {
    Some(files()?.iter().map(|file| Capture::open(file)).collect())
}

/// Numbers that look random and are the same every time.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// Two packets with half of the payload each, if the headers are plain enough.
pub(crate) fn cut_in_two(packet: &Packet, segment: &Decoded) -> Option<[Packet; 2]> {
    let cut = segment.len / 2;
    let [front, back] = [0..cut, cut..segment.len];
    let pieces = [piece(packet, segment, front)?, piece(packet, segment, back)?];
    (segment.len >= 4).then_some(pieces)
}

/// The packet with a part of its payload, if the headers are plain enough. Lengths of outer layers
/// stay: what is behind the inner packet counts as padding.
pub(crate) fn piece(packet: &Packet, segment: &Decoded, part: Range<usize>) -> Option<Packet> {
    let kept = TcpFlags::SYN | TcpFlags::RST | TcpFlags::URG;
    let Range { start, end } = segment.payload;
    if segment.len != end - start || segment.tcp.flags.intersects(kept) {
        return None;
    }
    let tcp = tcp_header(&packet.frame, segment)?;
    let mut piece = packet.clone();
    set_length(&mut piece.frame, tcp, start - tcp + part.len(), end - tcp)?;
    piece.frame.copy_within(start + part.start..start + part.end, start);
    let seq = segment.tcp.seq.wrapping_add(u32::try_from(part.start).unwrap());
    piece.frame[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
    if part.end < segment.len {
        piece.frame[tcp + 13] &= !1;
    }
    Some(piece)
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
