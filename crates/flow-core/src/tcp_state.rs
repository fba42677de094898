mod judge;
mod rumours;

use std::hint::select_unpredictable;

use self::judge::{Judge, near};
pub(crate) use self::rumours::Rumours;
use crate::flow::Details;
use crate::{FlowSide, FlowState, RejectReason, SegmentOddity, TcpFlags, TcpInfo, seq_before};

/// Both ends of a TCP connection as an observer between them knows them.
///
/// Decides which segments a host would accept (RFC 9293 section 3.10, RFC 5961, RFC 7323) and
/// what they do to the connection's state. Only accepted segments move anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tcp {
    ends: [End; 2],
}

/// One end. Sequence numbers are those of the segments it sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct End {
    /// Initial sequence number; valid with `SYN`.
    isn: u32,
    /// One more than the highest sequence number it sent; valid with `SENT`.
    next: u32,
    /// The highest acknowledgment it sent: what it has received; valid with `ACKED`.
    acked: u32,
    /// The sequence number of its FIN; valid with `FIN`.
    fin: u32,
    /// The timestamp that its next segment must not be older than; valid with `TIMESTAMPS`.
    ts_recent: u32,
    /// The largest receive window it advertised, scaled.
    window: u32,
    /// The shift of its windows in the low [`SCALE_BITS`]; above, good checksums of its segments,
    /// counted up to [`MANY_GOOD`].
    scale: u8,
    /// Time to live of its first packet; 0 if it is not known.
    ttl: u8,
    flags: u16,
}

const SYN: u16 = 1;
const SENT: u16 = 1 << 1;
const ACKED: u16 = 1 << 2;
const FIN: u16 = 1 << 3;
const TIMESTAMPS: u16 = 1 << 4;
const SIGNED: u16 = 1 << 5;
const STRAY: u16 = 1 << 6;
const SCALED: u16 = 1 << 7;
/// Its SYN is known from the other side's SYN-ACK only.
const SYN_INFERRED: u16 = 1 << 8;
/// There are [`Candidates`] of it.
const CANDIDATE: u16 = 1 << 9;
/// It sent the reset that the connection is in, or was brought out of by the other side.
const RESET: u16 = 1 << 10;
/// Data could flow: the connection was established when it sent its reset.
const OPENED: u16 = 1 << 11;
/// See [`Tcp::opens`].
const REPORTED: u16 = 1 << 12;

/// The last window it advertised has no room.
const ZERO_WINDOW: u16 = 1 << 13;
/// More than one segment speaks for the numbers that it sends.
const CONFIRMED: u16 = 1 << 14;
/// The numbers it began with were wrong: its next data is where its stream begins.
const ANEW: u16 = 1 << 15;

/// Bits that a window's shift takes.
const SCALE_BITS: u32 = 4;

/// As many good checksums as are counted.
const MANY_GOOD: u8 = 7;

/// The window scale assumed where the handshake was not captured.
///
/// Rationale: 7 is what Linux uses by default, 8 what Windows and macOS reach.
const ASSUMED_SCALE: u8 = 8;

/// The window assumed of an end that was never heard of.
const ASSUMED_WINDOW: u32 = 1 << 20;

/// The least that an end is taken to have room for: its windows may be known from its SYN alone, or
/// the capture may have missed the segment that made one larger.
const LEAST_WINDOW: u32 = u16::MAX as u32;

/// How far behind what was sent last a segment may be.
///
/// Rationale: a sender repeats what was not acknowledged, a window at most; captures delay copies.
const OLDEST: u32 = 1 << 24;

/// How far segments may lie apart to vouch for each other.
const STRAY_SPAN: u32 = 1 << 20;

/// How far the time to live of a direction wanders when its route changes.
///
/// Rationale: more hops than load balancers and detours make a difference of, fewer than lie
/// between a host and somebody on its way who makes up segments for it.
const TTL_SPAN: u8 = 5;

/// A time to live that runs out a few hops from here.
const LOW_TTL: u8 = 5;

/// What a host would do with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Accept,
    /// It is dropped.
    Reject(RejectReason),
}

/// What a segment did to the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) state: FlowState,
    /// The segment belongs to a new connection of the same endpoints; nothing was changed.
    pub(crate) reuse: bool,
    pub(crate) resync: Option<Resync>,
    pub(crate) notes: Notes,
    pub(crate) odd: Oddities,
}

/// A sender goes on at a number that does not follow from what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resync {
    /// What lies between, if it lies ahead, was sent and not captured.
    AfterGap,
    /// Nothing but one segment spoke for the numbers before, which were wrong: nothing is missing.
    Anew,
}

/// What happened besides: a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes(u8);

impl Notes {
    pub(crate) const SYN_RETRANSMISSION: Self = Self(1);
    pub(crate) const RETRANSMISSION: Self = Self(1 << 1);
    pub(crate) const ACK_UNSEEN: Self = Self(1 << 2);
    /// A repeated segment whose timestamp says that it was not sent again, but captured again.
    pub(crate) const DUPLICATE: Self = Self(1 << 3);
    /// RFC 5681 section 2.
    pub(crate) const DUPLICATE_ACK: Self = Self(1 << 4);
    /// The first of the windows that have no room.
    pub(crate) const ZERO_WINDOW: Self = Self(1 << 5);
    /// RFC 9293 section 3.8.6.1.
    pub(crate) const WINDOW_PROBE: Self = Self(1 << 6);
    /// Those that are counted here; what is retransmitted is counted where streams are put in order.
    pub(crate) const COUNTED: Self = Self(!Self::RETRANSMISSION.0);

    pub(crate) fn contains(self, note: Self) -> bool {
        self.0 & note.0 != 0
    }

    fn when(self, holds: bool) -> Self {
        Self(if holds { self.0 } else { 0 })
    }

    fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A set of [`SegmentOddity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Oddities(u16);

impl Oddities {
    pub(crate) fn of(oddity: SegmentOddity, holds: bool) -> Self {
        Self(u16::from(holds) << oddity as u16)
    }

    pub(crate) fn contains(self, oddity: SegmentOddity) -> bool {
        self.0 & 1 << oddity as u16 != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = SegmentOddity> {
        SegmentOddity::ALL.into_iter().filter(move |&oddity| self.contains(oddity))
    }
}

/// What kind of segment it is, by its flags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Syn,
    SynAck,
    Rst,
    Ack,
    NoAck,
    Bad,
}

impl Kind {
    fn of(flags: TcpFlags) -> Self {
        let [syn, ack, fin, rst] = [TcpFlags::SYN, TcpFlags::ACK, TcpFlags::FIN, TcpFlags::RST]
            .map(|flag| flags.contains(flag));
        match (syn, rst, fin, ack) {
            (true, true, ..) | (true, _, true, _) => Self::Bad,
            (true, _, _, false) => Self::Syn,
            (true, _, _, true) => Self::SynAck,
            (_, true, ..) => Self::Rst,
            (_, _, _, true) => Self::Ack,
            (_, _, _, false) => Self::NoAck,
        }
    }
}

impl Outcome {
    pub(crate) fn accept(state: FlowState) -> Self {
        let (verdict, odd) = (Verdict::Accept, Oddities::default());
        let notes = Notes::default();
        Self { verdict, state, reuse: false, resync: None, notes, odd }
    }

    pub(crate) fn reject(reason: RejectReason, state: FlowState) -> Self {
        Self { verdict: Verdict::Reject(reason), ..Self::accept(state) }
    }

    fn reuse(state: FlowState) -> Self {
        Self { reuse: true, ..Self::accept(state) }
    }

    pub(crate) fn with(self, odd: Oddities) -> Self {
        Self { odd: Oddities(self.odd.0 | odd.0), ..self }
    }
}

impl Tcp {
    /// See [`Flow::touch`](crate::flow::Flow::touch).
    #[inline]
    pub(crate) fn touch(&self) -> u32 {
        self.ends[1].isn
    }

    /// The sequence number of the first stream byte that `side` sends, if its SYN is known.
    pub(crate) fn stream_start(&self, side: FlowSide) -> Option<u32> {
        let end = self.end(side);
        end.has(SYN).then(|| end.isn.wrapping_add(1))
    }

    /// Whether the SYN of a side was captured, or is known from its SYN-ACK.
    pub(crate) fn has_handshake(&self) -> bool {
        self.ends.iter().any(|end| end.has(SYN))
    }

    /// Whether no segment of `side` counted so far.
    pub(crate) fn has_heard_nothing_of(&self, side: FlowSide) -> bool {
        let end = self.end(side);
        !end.has(SENT) || end.has(SYN_INFERRED)
    }

    /// The largest receive window that `side` is known to have advertised; without the shift, if
    /// that is not known.
    pub(crate) fn known_window(&self, side: FlowSide) -> u32 {
        let (end, peer) = (self.end(side), self.end(side.other()));
        let captured = |end: &End| end.has(SYN) && !end.has(SYN_INFERRED);
        let is_known = end.flags & peer.flags & SCALED != 0 || (captured(end) && captured(peer));
        if is_known { end.window } else { end.window >> ASSUMED_SCALE }
    }

    /// Whether the SYNs of both sides were captured.
    pub(crate) fn has_whole_handshake(&self) -> bool {
        self.ends.iter().all(|end| end.has(SYN) && !end.has(SYN_INFERRED))
    }

    /// The highest acknowledgment that `side` sent.
    pub(crate) fn acked(&self, side: FlowSide) -> Option<u32> {
        let end = self.end(side);
        end.has(ACKED).then_some(end.acked)
    }

    /// The time to live of the first packet of `side`, and the shift of its windows.
    pub(crate) fn ttl_and_scale(&self, side: FlowSide) -> (u8, Option<u8>) {
        let end = self.end(side);
        (end.ttl, end.has(SCALED).then_some(end.shift()))
    }

    /// The sequence number of the FIN that `side` sent.
    pub(crate) fn fin(&self, side: FlowSide) -> Option<u32> {
        let end = self.end(side);
        end.has(FIN).then_some(end.fin)
    }

    /// What is known of each end, as far as the state of the connection depends on it.
    pub(crate) fn endings(&self) -> [Ending; 2] {
        self.ends.map(|end| Ending {
            syn: end.has(SYN) && !end.has(SYN_INFERRED),
            sent: end.has(SENT) && !(end.has(SYN_INFERRED) && end.next == end.isn.wrapping_add(1)),
            fin: end.has(FIN),
            reset: end.has(RESET),
        })
    }

    /// A segment that `side` sent has a good checksum.
    #[inline]
    pub(crate) fn note_good_checksum(&mut self, side: FlowSide) {
        let end = self.end_mut(side);
        end.scale += u8::from(end.scale >> SCALE_BITS < MANY_GOOD) << SCALE_BITS;
    }

    /// Whether a bad checksum says something about a segment of `side`, which has sent as many
    /// `bad` ones before: its checksums have been good else.
    pub(crate) fn has_good_checksums(&self, side: FlowSide, bad: u32) -> bool {
        let good = u32::from(self.end(side).scale >> SCALE_BITS);
        good >= 3 && 4 * bad.min(good) <= good
    }

    /// Whether this is asked for the first time; the answer is kept where there is room for it.
    pub(crate) fn opens(&mut self) -> bool {
        let end = self.end_mut(FlowSide::Initiator);
        let first = !end.has(REPORTED);
        end.flags |= REPORTED;
        first
    }

    /// Takes a segment of `len` payload bytes that continues an established connection just as
    /// nearly every segment does, and says whether it was one: in order, acknowledging what was
    /// seen, with the options of those before it. Whatever else is for [`segment`](Self::segment),
    /// which would do the same with this one.
    #[inline(always)]
    pub(crate) fn continues(&mut self, side: FlowSide, info: &TcpInfo, len: u32) -> bool {
        const NONE: u16 = FIN | STRAY | CANDIDATE | RESET | ZERO_WINDOW | ANEW;
        const BOTH: u16 = SENT | ACKED;
        let peer = *self.end(side.other());
        let mine = self.end_mut(side);
        let control = TcpFlags::SYN | TcpFlags::FIN | TcpFlags::RST | TcpFlags::URG | TcpFlags::ACK;
        let (value, has_value) = match info.options.timestamps {
            Some((value, _)) => (value, mine.has(TIMESTAMPS)),
            None => (mine.ts_recent, false),
        };
        // One branch that is nearly always taken, instead of several; which side sends, and what,
        // is as good as random from packet to packet.
        let usual = (info.flags & control == TcpFlags::ACK)
            & ((mine.flags | peer.flags) & NONE == 0)
            & (mine.flags & peer.flags & BOTH == BOTH)
            & (info.seq == mine.next)
            // Forward, and to nothing that the capture has not seen, on either side.
            & (info.ack.wrapping_sub(mine.acked) <= peer.next.wrapping_sub(mine.acked))
            & !seq_before(peer.next, mine.acked)
            & !seq_before(mine.next, peer.acked)
            // It acknowledges something new, unless there is nothing left to acknowledge.
            & ((len > 0) | (info.ack != mine.acked) | (info.ack == peer.next))
            & (info.window != 0)
            & (info.ttl == mine.ttl)
            & !info.options.signed
            & !(has_value & seq_before(value, mine.ts_recent));
        if !usual {
            return false;
        }
        // RFC 7323 section 4.3: only what is next in line moves the timestamp.
        let moves = has_value & !seq_before(peer.acked, info.seq);
        mine.ts_recent = select_unpredictable(moves, value, mine.ts_recent);
        mine.window = mine.window.max(mine.scaled(info, &peer));
        mine.acked = info.ack;
        mine.next = info.seq.wrapping_add(len);
        mine.flags |= CONFIRMED;
        true
    }

    /// Judges a segment of `len` payload bytes that `side` sent while the connection was in
    /// `state`, which is [`FlowState::Active`] before the first accepted segment.
    pub(crate) fn segment(
        &mut self,
        details: &mut Option<Box<Details>>,
        state: FlowState,
        side: FlowSide,
        info: &TcpInfo,
        len: u32,
    ) -> Outcome {
        let odd = self.time_to_live(details, side, info, len);
        let mut judge = Judge { tcp: self, details, state, side, info, len };
        let outcome = match (Kind::of(info.flags), state) {
            (Kind::Bad, _) => Outcome::reject(RejectReason::BadFlags, state),
            (Kind::NoAck, _) => Outcome::reject(RejectReason::NoAck, state),
            (Kind::Ack, FlowState::Reset) => judge.after_reset(),
            (Kind::Ack, _) => judge.ack(),
            (Kind::Rst, _) => judge.rst(),
            (Kind::Syn, _) => judge.syn(),
            (Kind::SynAck, _) => judge.syn_ack(),
        };
        let urgent =
            len > 0 && info.flags.contains(TcpFlags::URG) && outcome.verdict == Verdict::Accept;
        outcome.with(odd).with(Oddities::of(SegmentOddity::UrgentData, urgent))
    }

    /// Segments that matter come from as far away as the others of their direction, or somebody
    /// else sent them.
    fn time_to_live(
        &mut self,
        details: &mut Option<Box<Details>>,
        side: FlowSide,
        info: &TcpInfo,
        len: u32,
    ) -> Oddities {
        let end = self.end_mut(side);
        if end.ttl == 0 {
            end.ttl = info.ttl;
        }
        if end.ttl != info.ttl && info.ttl != 0 {
            let (least, most) = &mut details.get_or_insert_default().ttl[side.index()];
            *least = if *least == 0 { info.ttl } else { info.ttl.min(*least) };
            *most = info.ttl.max(*most);
        }
        let matters = len > 0 || info.flags.intersects(TcpFlags::RST | TcpFlags::FIN);
        let is_odd =
            info.ttl.abs_diff(end.ttl) > TTL_SPAN || (info.ttl < LOW_TTL && end.ttl >= LOW_TTL);
        Oddities::of(SegmentOddity::TimeToLive, matters && info.ttl != 0 && is_odd)
    }

    /// The state that the FINs seen make, if any was seen.
    fn closing(&self) -> Option<FlowState> {
        let [a, b] = &self.ends;
        match (a.has(FIN), b.has(FIN)) {
            (false, false) => None,
            (true, true) if b.has_acked(a.fin) && a.has_acked(b.fin) => Some(FlowState::Closed),
            (true, true) => Some(FlowState::ClosingTcp),
            _ => Some(FlowState::FinWait),
        }
    }

    /// The state that the sender of a reset left, as far as the rules of a state depend on it.
    fn before_reset(&self, side: FlowSide) -> FlowState {
        let [a, b] = &self.ends;
        match (a.has(SYN), b.has(SYN)) {
            _ if self.end(side).has(OPENED) => FlowState::Established,
            (true, true) => FlowState::SynReceived,
            (false, false) => FlowState::Active,
            _ => FlowState::SynSent,
        }
    }

    fn end(&self, side: FlowSide) -> &End {
        &self.ends[side.index()]
    }

    fn end_mut(&mut self, side: FlowSide) -> &mut End {
        &mut self.ends[side.index()]
    }
}

/// What is known of how an end began and finished.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    /// Its SYN or SYN-ACK was captured.
    pub(crate) syn: bool,
    /// Anything of it was captured.
    pub(crate) sent: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
}

impl End {
    #[inline(always)]
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The shift of its windows (RFC 7323).
    #[inline(always)]
    fn shift(&self) -> u8 {
        self.scale & ((1 << SCALE_BITS) - 1)
    }

    /// Whether `ack` acknowledges its SYN and nothing that was not sent.
    fn has_sent_all_of(&self, ack: u32) -> bool {
        !seq_before(ack, self.isn.wrapping_add(1)) && !seq_before(self.next, ack)
    }

    fn has_acked(&self, seq: u32) -> bool {
        self.has(ACKED) && seq_before(seq, self.acked)
    }

    /// Whether more than the one segment that the tracker heard first, which may have been damaged
    /// or forged, speaks for the numbers it sends.
    fn is_confirmed(&self, peer: &Self) -> bool {
        self.flags & (SYN | CONFIRMED) != 0 || (peer.has(ACKED) && near(peer.acked, self.next))
    }

    /// Whether the segment has a signature option that the handshake did not have.
    fn is_unexpectedly_signed(&self, info: &TcpInfo) -> bool {
        self.has(SYN) && !self.has(SYN_INFERRED) && info.options.signed && !self.has(SIGNED)
    }

    /// The receive window that the segment advertises, in bytes.
    #[inline(always)]
    fn scaled(&self, info: &TcpInfo, peer: &Self) -> u32 {
        let scale = match (self.has(SYN), self.flags & peer.flags & SCALED != 0) {
            _ if info.flags.contains(TcpFlags::SYN) => 0,
            (_, true) => self.shift(),
            (true, false) if peer.has(SYN) && !peer.has(SYN_INFERRED) => 0,
            _ => ASSUMED_SCALE,
        };
        u32::from(info.window) << scale
    }

    /// Whether a FIN at `end` is the one that the stream ends with: the first that is no older
    /// than what was sent, or one in front of it that the other side has not acknowledged past. A
    /// forged FIN further on would keep the connection open otherwise.
    fn finishes_at(&self, end: u32, peer: &Self) -> bool {
        if self.has(FIN) {
            return seq_before(end, self.fin) && !(peer.has(ACKED) && seq_before(end, peer.acked));
        }
        !(self.has(SENT) && seq_before(end, self.next))
    }

    /// Takes down the sequence space that the segment fills.
    fn advance(&mut self, info: &TcpInfo, len: u32, peer: &Self) {
        let fin = u32::from(info.flags.contains(TcpFlags::FIN));
        let past = info.seq.wrapping_add(len).wrapping_add(fin);
        // RFC 7323 section 4.3: only what is next in line moves the timestamp.
        let in_line = match peer.has(ACKED) {
            true => !seq_before(peer.acked, info.seq),
            false => !self.has(SENT) || !seq_before(self.next, info.seq),
        };
        if let (true, Some((value, _))) = (in_line && self.has(TIMESTAMPS), info.options.timestamps)
            && seq_before(self.ts_recent, value)
        {
            self.ts_recent = value;
        }
        if !self.has(SENT) || seq_before(self.next, past) {
            self.next = past;
            self.flags |= SENT;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::TcpOptions;

    /// A segment, by how far it is from what would come next.
    #[derive(Clone, Debug)]
    struct Step {
        side: FlowSide,
        flags: TcpFlags,
        seq: i32,
        ack: i32,
        len: u32,
        ttl: u8,
        timestamp: Option<i8>,
        signed: bool,
    }

    fn step() -> impl Strategy<Value = Step> {
        let usual = TcpFlags::ACK;
        let flags = select(vec![
            usual,
            usual,
            usual,
            usual | TcpFlags::PSH,
            usual | TcpFlags::FIN,
            usual | TcpFlags::SYN,
            usual | TcpFlags::RST,
            TcpFlags::SYN,
            TcpFlags::RST,
            TcpFlags::empty(),
        ]);
        let off = || select(vec![0, 0, 0, 0, 0, -100, 100, -1, 1, 70_000, 1_600_000_000]);
        let rest = (off(), off(), select(vec![0, 0, 1, 100]), select(vec![64, 64, 64, 40]));
        let options = (prop::option::of(-2..5_i8), prop::bool::weighted(0.05));
        (select(FlowSide::BOTH.to_vec()), flags, rest, options).prop_map(
            |(side, flags, (seq, ack, len, ttl), (timestamp, signed))| Step {
                side,
                flags,
                seq,
                ack,
                len,
                ttl,
                timestamp,
                signed,
            },
        )
    }

    fn info(step: &Step, next: [u32; 2], clock: u32) -> TcpInfo {
        let [mine, theirs] = [step.side, step.side.other()].map(|side| next[side.index()]);
        TcpInfo {
            flags: step.flags,
            seq: mine.wrapping_add_signed(step.seq),
            ack: theirs.wrapping_add_signed(step.ack),
            window: 1_000,
            urgent: 0,
            ttl: step.ttl,
            header_len: 20,
            options: TcpOptions {
                timestamps: step.timestamp.map(|by| (clock.wrapping_add_signed(by.into()), 0)),
                window_scale: None,
                signed: step.signed,
            },
        }
    }

    proptest! {
        #[test]
        fn the_short_way_leads_to_the_same(
            handshake in any::<bool>(),
            steps in prop::collection::vec(step(), 0..60),
        ) {
            let plain = |side, flags| Step {
                side, flags, seq: 0, ack: 0, len: 0, ttl: 64, timestamp: Some(0), signed: false,
            };
            let opening = [
                plain(FlowSide::Initiator, TcpFlags::SYN),
                plain(FlowSide::Responder, TcpFlags::SYN | TcpFlags::ACK),
                plain(FlowSide::Initiator, TcpFlags::ACK),
            ];
            let opening = if handshake { opening.to_vec() } else { Vec::new() };
            let (mut short, mut long) = (Tcp::default(), Tcp::default());
            let [mut short_details, mut long_details] = [None, None];
            let (mut state, mut next) = (FlowState::Active, [u32::MAX - 150, 5_000]);
            for (clock, step) in (100..).zip(opening.iter().chain(&steps)) {
                let (side, info) = (step.side, info(step, next, clock));
                let expected = long.segment(&mut long_details, state, side, &info, step.len);
                if state == FlowState::Established && short.continues(side, &info, step.len) {
                    prop_assert_eq!(expected, Outcome::accept(state), "{:?}", step);
                } else {
                    let outcome = short.segment(&mut short_details, state, side, &info, step.len);
                    prop_assert_eq!(outcome, expected);
                }
                prop_assert_eq!(short, long, "{:?}", step);
                let control = TcpFlags::SYN | TcpFlags::FIN;
                if expected.verdict == Verdict::Accept && step.seq == 0 {
                    let taken = step.len + u32::from(step.flags.intersects(control));
                    next[side.index()] = next[side.index()].wrapping_add(taken);
                }
                state = expected.state;
            }
        }
    }
}
