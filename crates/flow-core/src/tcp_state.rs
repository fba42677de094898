use crate::{FlowSide, FlowState, RejectReason, TcpFlags, TcpInfo, seq_before};

/// Both ends of a TCP connection as an observer between them knows them.
///
/// Decides which segments a host would accept (RFC 9293 section 3.10, RFC 5961, RFC 7323) and
/// what they do to the connection's state. Only accepted segments move anything.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tcp {
    ends: [End; 2],
    /// A SYN or SYN-ACK that contradicts what is known, until the other side takes it up.
    candidate: Option<Candidate>,
    /// The state to go back to if the sender of a reset goes on as if nothing had happened.
    before_reset: Option<(FlowSide, FlowState)>,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    side: FlowSide,
    isn: u32,
}

/// One end. Sequence numbers are those of the segments it sends.
#[derive(Clone, Copy, Debug, Default)]
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
    /// Where it would go on if a segment out of any window were to be believed; valid with
    /// `STRAY`.
    stray: u32,
    wscale: u8,
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

/// The window scale assumed where the handshake was not captured.
///
/// Rationale: 7 is what Linux uses by default, 8 what Windows and macOS reach.
const ASSUMED_SCALE: u8 = 8;

/// The window assumed of an end that was never heard of.
const ASSUMED_WINDOW: u32 = 1 << 20;

/// How far segments may lie apart to vouch for each other.
const STRAY_SPAN: u32 = 1 << 20;

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
    pub(crate) note: Note,
}

/// What happened besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Note {
    None,
    SynRetransmission,
    AckUnseen,
    /// The sender goes on at a number that does not follow from what came before.
    Resync,
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

fn accept(state: FlowState) -> Outcome {
    Outcome { verdict: Verdict::Accept, state, reuse: false, note: Note::None }
}

fn reject(reason: RejectReason, state: FlowState) -> Outcome {
    Outcome { verdict: Verdict::Reject(reason), state, reuse: false, note: Note::None }
}

fn reuse(state: FlowState) -> Outcome {
    Outcome { verdict: Verdict::Accept, state, reuse: true, note: Note::None }
}

impl Tcp {
    /// The sequence number of the first stream byte that `side` sends, if its SYN is known.
    pub(crate) fn stream_start(&self, side: FlowSide) -> Option<u32> {
        let end = self.end(side);
        end.has(SYN).then(|| end.isn.wrapping_add(1))
    }

    /// Whether the SYN of a side was captured, or is known from its SYN-ACK.
    pub(crate) fn has_handshake(&self) -> bool {
        self.ends.iter().any(|end| end.has(SYN))
    }

    /// The highest acknowledgment that `side` sent.
    pub(crate) fn acked(&self, side: FlowSide) -> Option<u32> {
        let end = self.end(side);
        end.has(ACKED).then_some(end.acked)
    }

    /// The sequence number of the FIN that `side` sent.
    pub(crate) fn fin(&self, side: FlowSide) -> Option<u32> {
        let end = self.end(side);
        end.has(FIN).then_some(end.fin)
    }

    /// Judges a segment of `len` payload bytes that `side` sent while the connection was in
    /// `state`, which is [`FlowState::Active`] before the first accepted segment.
    pub(crate) fn segment(
        &mut self,
        state: FlowState,
        side: FlowSide,
        info: &TcpInfo,
        len: u32,
    ) -> Outcome {
        match (Kind::of(info.flags), state) {
            (Kind::Bad, _) => reject(RejectReason::BadFlags, state),
            (Kind::NoAck, _) => reject(RejectReason::NoAck, state),
            (Kind::Ack, FlowState::Reset) => self.after_reset(side, info, len),
            (Kind::Ack, _) => self.ack(state, side, info, len),
            (Kind::Rst, _) => self.rst(state, side, info),
            (Kind::Syn, _) => self.syn(state, side, info, len),
            (Kind::SynAck, _) => self.syn_ack(state, side, info, len),
        }
    }

    fn syn(&mut self, state: FlowState, side: FlowSide, info: &TcpInfo, len: u32) -> Outcome {
        let (mine, peer) = (*self.end(side), *self.end(side.other()));
        if mine.has(SYN) && mine.isn == info.seq {
            let known = !mine.has(SYN_INFERRED);
            self.open(side, info, len);
            let note = if known { Note::SynRetransmission } else { Note::None };
            return Outcome { note, ..accept(state) };
        }
        match state {
            FlowState::Active => {
                self.open(side, info, len);
                accept(FlowState::SynSent)
            }
            // A new attempt before any answer: the SYN-ACK will say which one it was.
            FlowState::SynSent if mine.has(SYN) => {
                self.candidate = Some(Candidate { side, isn: mine.isn });
                *self.end_mut(side) = End::default();
                self.open(side, info, len);
                accept(state)
            }
            // Simultaneous open (RFC 9293 section 3.5), or a SYN captured behind its SYN-ACK.
            FlowState::SynSent | FlowState::SynReceived if peer.has(SYN) && !mine.has(SENT) => {
                self.open(side, info, len);
                accept(FlowState::SynReceived)
            }
            // Whoever has finished and sends a SYN has begun a new connection.
            _ if state.is_terminal() || mine.has(FIN) => reuse(state),
            // RFC 5961 section 4: a host answers with a challenge ACK and goes on. Should the
            // other side answer with a SYN-ACK, it is a new connection after all.
            _ => {
                self.candidate = Some(Candidate { side, isn: info.seq });
                reject(RejectReason::SynInEstablished, state)
            }
        }
    }

    fn syn_ack(&mut self, state: FlowState, side: FlowSide, info: &TcpInfo, len: u32) -> Outcome {
        let (mine, peer) = (*self.end(side), *self.end(side.other()));
        let chosen = self
            .candidate
            .filter(|c| c.side != side && c.isn.wrapping_add(1) == info.ack)
            .map(|c| c.isn);
        if mine.has(SYN) && mine.isn == info.seq {
            self.open(side, info, len);
            self.end_mut(side).acknowledge(info, &peer);
            // After a SYN of its own without ACK this is the second half of a simultaneous open.
            let note = if mine.has(ACKED) { Note::SynRetransmission } else { Note::None };
            return Outcome { note, ..accept(state) };
        }
        let acks_syn = peer.has(SYN) && peer.has_sent_all_of(info.ack);
        match state {
            // The first packet captured: the SYN is known from what it acknowledges.
            FlowState::Active => {
                self.open(side, info, len);
                let peer = self.end_mut(side.other());
                peer.isn = info.ack.wrapping_sub(1);
                peer.next = info.ack;
                peer.flags |= SYN | SENT | SYN_INFERRED;
                let peer = *peer;
                self.end_mut(side).acknowledge(info, &peer);
                accept(FlowState::SynReceived)
            }
            // A forged reset in front of the SYN-ACK is refuted by it.
            FlowState::SynSent | FlowState::SynReceived | FlowState::Reset
                if !mine.has(SYN)
                    && (acks_syn || chosen.is_some())
                    && (state != FlowState::Reset || self.reset_was_handshake()) =>
            {
                if let (Some(isn), false) = (chosen, acks_syn) {
                    let peer = self.end_mut(side.other());
                    peer.isn = isn;
                    peer.next = info.ack;
                }
                self.candidate = None;
                self.before_reset = None;
                self.open(side, info, len);
                let peer = *self.end(side.other());
                self.end_mut(side).acknowledge(info, &peer);
                accept(FlowState::SynReceived)
            }
            FlowState::SynSent if !mine.has(SYN) => reject(RejectReason::BadAck, state),
            // A second SYN-ACK with another number: the client's ACK will say which one it was.
            FlowState::SynReceived => {
                self.candidate = Some(Candidate { side, isn: info.seq });
                reject(RejectReason::SynInEstablished, state)
            }
            _ if state.is_terminal() || chosen.is_some() || mine.has(FIN) => reuse(state),
            _ => {
                self.candidate = Some(Candidate { side, isn: info.seq });
                reject(RejectReason::SynInEstablished, state)
            }
        }
    }

    /// A reset counts with the exact sequence number only (RFC 9293 section 3.10.7.4, RFC 5961
    /// section 3), which is what the other side expects next, or anything up to what the sender
    /// was seen to have sent: the capture may have missed an ACK.
    fn rst(&mut self, state: FlowState, side: FlowSide, info: &TcpInfo) -> Outcome {
        let (mine, peer) = (*self.end(side), *self.end(side.other()));
        let acks_syn =
            info.flags.contains(TcpFlags::ACK) && peer.has(SYN) && peer.has_sent_all_of(info.ack);
        let exact = match state {
            _ if state.is_terminal() => return accept(state),
            FlowState::SynSent if !mine.has(SYN) => {
                // RFC 9293 section 3.10.7.3.
                if !acks_syn {
                    return reject(RejectReason::RstInSynSent, state);
                }
                true
            }
            _ => {
                let expected = peer.has(ACKED).then_some(peer.acked);
                let sent = mine.has(SENT).then_some(mine.next);
                match (expected, sent) {
                    (None, None) => true,
                    (Some(only), None) | (None, Some(only)) => info.seq == only,
                    (Some(x), Some(y)) => {
                        let (low, high) = if seq_before(y, x) { (y, x) } else { (x, y) };
                        !seq_before(info.seq, low) && !seq_before(high, info.seq)
                    }
                }
            }
        };
        if !exact {
            return reject(RejectReason::RstBadSeq, state);
        }
        self.before_reset = Some((side, state));
        accept(FlowState::Reset)
    }

    fn reset_was_handshake(&self) -> bool {
        matches!(self.before_reset, Some((_, FlowState::SynSent | FlowState::SynReceived)))
    }

    /// The sender of a reset that goes on has never sent it: the reset was forged.
    fn after_reset(&mut self, side: FlowSide, info: &TcpInfo, len: u32) -> Outcome {
        match self.before_reset {
            Some((sender, before)) if sender == side => {
                let outcome = self.ack(before, side, info, len);
                if outcome.verdict == Verdict::Accept {
                    self.before_reset = None;
                    outcome
                } else {
                    Outcome { state: FlowState::Reset, ..outcome }
                }
            }
            _ => {
                let outcome = self.ack(FlowState::Established, side, info, len);
                Outcome { state: FlowState::Reset, ..outcome }
            }
        }
    }

    fn ack(&mut self, state: FlowState, side: FlowSide, info: &TcpInfo, len: u32) -> Outcome {
        let peer_side = side.other();
        if self.begins_candidate(side, info) {
            return reuse(state);
        }
        let peer = *self.end(peer_side);
        if state == FlowState::SynSent
            && peer.has(SYN)
            && !self.end(side).has(SYN)
            && !peer.has_sent_all_of(info.ack)
        {
            // RFC 9293 section 3.10.7.3: it acknowledges something else than the SYN.
            return reject(RejectReason::BadAck, state);
        }
        let resync = match self.refuse(side, info, len) {
            Ok(resync) => resync,
            Err(reason) => return reject(reason, state),
        };
        self.settle_candidate(state, peer_side, info);
        let peer = *self.end(peer_side);
        let mine = self.end_mut(side);
        let unseen = mine.acknowledge(info, &peer);
        let end = info.seq.wrapping_add(len);
        if info.flags.contains(TcpFlags::FIN)
            && !mine.has(FIN)
            && !(mine.has(SENT) && seq_before(end, mine.next))
        {
            mine.fin = end;
            mine.flags |= FIN;
        }
        mine.advance(info, len, &peer);
        let state = match state {
            FlowState::Closed | FlowState::Aborted => state,
            _ => self.closing().unwrap_or(FlowState::Established),
        };
        let note = match (resync, unseen) {
            (true, _) => Note::Resync,
            (false, true) => Note::AckUnseen,
            (false, false) => Note::None,
        };
        Outcome { note, ..accept(state) }
    }

    /// Whether the segment continues a SYN or SYN-ACK that was turned down, in a capture of one
    /// direction only: there, nobody else could show that it was taken up.
    fn begins_candidate(&self, side: FlowSide, info: &TcpInfo) -> bool {
        let one_sided = !self.end(side.other()).has(ACKED);
        self.candidate.is_some_and(|candidate| {
            one_sided && candidate.side == side && candidate.isn.wrapping_add(1) == info.seq
        })
    }

    /// What the other side makes of a second SYN or SYN-ACK that `side` sent, by this ACK.
    fn settle_candidate(&mut self, state: FlowState, side: FlowSide, info: &TcpInfo) {
        let Some(candidate) = self.candidate.filter(|candidate| candidate.side == side) else {
            return;
        };
        let takes_it = candidate.isn.wrapping_add(1) == info.ack;
        if takes_it && state == FlowState::SynReceived {
            let end = self.end_mut(side);
            (end.isn, end.next) = (candidate.isn, info.ack);
        }
        if state != FlowState::SynSent && (!takes_it || state == FlowState::SynReceived) {
            // Anything else is a challenge ACK (RFC 5961 section 4.2): it goes on as before.
            self.candidate = None;
        }
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

    /// Why a host would drop this segment, which has the ACK flag and neither SYN nor RST; if it
    /// would not, whether the segment begins anew at another number.
    fn refuse(&mut self, side: FlowSide, info: &TcpInfo, len: u32) -> Result<bool, RejectReason> {
        let peer = *self.end(side.other());
        let mine = self.end_mut(side);
        if mine.has(SYN) && !mine.has(SYN_INFERRED) && info.options.signed && !mine.has(SIGNED) {
            return Err(RejectReason::Md5Unexpected);
        }
        let negotiated = mine.has(TIMESTAMPS) && (peer.has(TIMESTAMPS) || !peer.has(SYN));
        if let (true, Some((now, _)), true) = (negotiated, info.options.timestamps, len > 0) {
            // One tick of tolerance: Linux has it too.
            let is_new = !peer.has(ACKED) || !seq_before(info.seq, peer.acked);
            if is_new && seq_before(now, mine.ts_recent.wrapping_sub(1)) {
                return Err(RejectReason::PawsOld);
            }
        }
        if !mine.has(SENT) {
            return Ok(false);
        }
        // What the other side acknowledges was sent, whether captured or not.
        let expected = match peer.has(ACKED) && seq_before(mine.next, peer.acked) {
            true => peer.acked,
            false => mine.next,
        };
        let ahead = info.seq.wrapping_sub(expected);
        let behind = expected.wrapping_sub(info.seq);
        let window = if peer.window == 0 { ASSUMED_WINDOW } else { peer.window };
        // Old data is never dangerous; no window is larger than 2^30.
        if behind <= 1 << 30 || ahead <= window {
            return Ok(false);
        }
        // A second segment vouches for the first only where the other side, whose acknowledgment
        // would, was never heard.
        let vouched = mine.has(STRAY) && near(info.seq, mine.stray) && !peer.has(ACKED);
        if vouched {
            mine.flags &= !STRAY;
            mine.next = info.seq;
            return Ok(true);
        }
        mine.stray = info.seq.wrapping_add(len);
        mine.flags |= STRAY;
        Err(RejectReason::OutOfWindow)
    }

    /// Takes down a SYN or SYN-ACK that `side` sent.
    fn open(&mut self, side: FlowSide, info: &TcpInfo, len: u32) {
        let end = self.end_mut(side);
        end.isn = info.seq;
        end.flags = (end.flags | SYN) & !SYN_INFERRED;
        let past = info.seq.wrapping_add(1).wrapping_add(len);
        if !end.has(SENT) || seq_before(end.next, past) {
            end.next = past;
        }
        end.flags |= SENT;
        if let Some(scale) = info.options.window_scale {
            end.wscale = scale.min(14);
            end.flags |= SCALED;
        }
        // The window of a SYN is never scaled (RFC 7323 section 2.2).
        end.window = end.window.max(u32::from(info.window));
        if let Some((value, _)) = info.options.timestamps {
            end.ts_recent = value;
            end.flags |= TIMESTAMPS;
        }
        if info.options.signed {
            end.flags |= SIGNED;
        }
    }

    fn end(&self, side: FlowSide) -> &End {
        &self.ends[side.index()]
    }

    fn end_mut(&mut self, side: FlowSide) -> &mut End {
        &mut self.ends[side.index()]
    }
}

/// Whether two sequence numbers are close enough to vouch for each other.
fn near(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) <= STRAY_SPAN || b.wrapping_sub(a) <= STRAY_SPAN
}

impl End {
    fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// Whether `ack` acknowledges its SYN and nothing that was not sent.
    fn has_sent_all_of(&self, ack: u32) -> bool {
        !seq_before(ack, self.isn.wrapping_add(1)) && !seq_before(self.next, ack)
    }

    fn has_acked(&self, seq: u32) -> bool {
        self.has(ACKED) && seq_before(seq, self.acked)
    }

    /// Takes down what the segment acknowledges and the window it advertises. Says whether it
    /// acknowledges something that the capture has not seen.
    fn acknowledge(&mut self, info: &TcpInfo, peer: &Self) -> bool {
        let scale = match (self.has(SYN), self.has(SCALED) && peer.has(SCALED)) {
            _ if info.flags.contains(TcpFlags::SYN) => 0,
            (_, true) => self.wscale,
            (true, false) if peer.has(SYN) && !peer.has(SYN_INFERRED) => 0,
            _ => ASSUMED_SCALE,
        };
        self.window = self.window.max(u32::from(info.window) << scale);
        let unseen = peer.has(SENT) && seq_before(peer.next, info.ack);
        // Nobody acknowledges more than the window it gave; a wild number must not stick.
        let wild = unseen
            && info.ack.wrapping_sub(peer.next) > self.window.max(ASSUMED_WINDOW)
            && !(peer.has(STRAY) && near(info.ack, peer.stray));
        if !wild && (!self.has(ACKED) || seq_before(self.acked, info.ack)) {
            self.acked = info.ack;
            self.flags |= ACKED;
        }
        unseen
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
