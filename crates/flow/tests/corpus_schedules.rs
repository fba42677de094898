//! Every capture of the folder `shared/corpus` beside the checkout, replayed with packets sent
//! twice, cut in two, out of order and missing: the streams are those of the plain replay. Skipped,
//! loudly, where that folder is not.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use flow::extract::FiveTupleKey;
use flow::{FlowSide, Orientation, SegmentOddity, TcpFlags};

use self::common::corpus::{Capture, Decoded, Dice, captures, cut_in_two, extractor, stamp};
use self::common::{Packet, Session, accounted, sessions_of};

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
