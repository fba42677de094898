//! What a single segment means for its connection.

use super::rumours::Candidates;
use super::{
    ACKED, ANEW, ASSUMED_WINDOW, CANDIDATE, CONFIRMED, End, FIN, LEAST_WINDOW, Notes, OLDEST,
    OPENED, Oddities, Outcome, RESET, Resync, SCALE_BITS, SCALED, SENT, SIGNED, STRAY, STRAY_SPAN,
    SYN, SYN_INFERRED, TIMESTAMPS, Tcp, Verdict, ZERO_WINDOW,
};
use crate::flow::Details;
use crate::{FlowSide, FlowState, RejectReason, SegmentOddity, TcpFlags, TcpInfo, seq_before};

/// A segment in front of the connection that it claims to be of.
pub(super) struct Judge<'a> {
    pub(super) tcp: &'a mut Tcp,
    pub(super) details: &'a mut Option<Box<Details>>,
    pub(super) state: FlowState,
    pub(super) side: FlowSide,
    pub(super) info: &'a TcpInfo,
    pub(super) len: u32,
}

impl Judge<'_> {
    fn mine(&self) -> End {
        *self.tcp.end(self.side)
    }

    fn peer(&self) -> End {
        *self.tcp.end(self.side.other())
    }

    pub(super) fn syn(&mut self) -> Outcome {
        let (mine, peer) = (self.mine(), self.peer());
        let odd = Oddities::of(SegmentOddity::SynData, self.len > 0);
        if mine.has(SYN) && mine.isn == self.info.seq {
            self.open_again();
            let known = !mine.has(SYN_INFERRED);
            let notes = Notes::SYN_RETRANSMISSION.when(known);
            return Outcome { notes, odd, ..Outcome::accept(self.state) };
        }
        match self.state {
            FlowState::Active => {
                self.open();
                Outcome::accept(FlowState::SynSent).with(odd)
            }
            // A new attempt before any answer: the SYN-ACK will say which one it was.
            FlowState::SynSent if mine.has(SYN) => {
                self.consider(mine.isn);
                *self.tcp.end_mut(self.side) = End { flags: CANDIDATE, ..End::default() };
                self.open();
                Outcome::accept(self.state).with(odd)
            }
            // Simultaneous open (RFC 9293 section 3.5), or a SYN captured behind its SYN-ACK.
            FlowState::SynSent | FlowState::SynReceived if peer.has(SYN) && !mine.has(SENT) => {
                self.open();
                Outcome::accept(FlowState::SynReceived).with(odd)
            }
            // Captured behind its data.
            state if self.was_overtaken() => {
                self.open();
                Outcome::accept(state).with(odd)
            }
            // Whoever has finished and sends a SYN has begun a new connection.
            state if state.is_terminal() || mine.has(FIN) => self.reuse(),
            // RFC 5961 section 4: a host answers with a challenge ACK and goes on. Should the
            // other side answer with a SYN-ACK, it is a new connection after all.
            state => {
                self.consider(self.info.seq);
                Outcome::reject(RejectReason::SynInEstablished, state)
            }
        }
    }

    pub(super) fn syn_ack(&mut self) -> Outcome {
        let (mine, peer, state) = (self.mine(), self.peer(), self.state);
        let odd = Oddities::of(SegmentOddity::SynData, self.len > 0);
        if mine.has(SYN) && mine.isn == self.info.seq {
            self.open_again();
            // After a SYN of its own without ACK this is the second half of a simultaneous open.
            let notes = self.acknowledge().and(Notes::SYN_RETRANSMISSION.when(mine.has(ACKED)));
            return Outcome { notes, odd, ..Outcome::accept(state) };
        }
        let acks_syn = peer.has(SYN) && peer.has_sent_all_of(self.info.ack);
        let taken = self.taken_up_candidate();
        let chosen = taken.is_some();
        match state {
            // The first packet captured: the SYN is known from what it acknowledges.
            FlowState::Active => {
                self.open();
                self.peer_began_at(self.info.ack.wrapping_sub(1), SYN | SENT | SYN_INFERRED);
                let notes = self.acknowledge();
                let flip = Oddities::of(SegmentOddity::RoleFlip, true);
                Outcome { notes, ..Outcome::accept(FlowState::SynReceived) }.with(odd).with(flip)
            }
            // A forged reset in front of the SYN-ACK is refuted by it.
            FlowState::SynSent | FlowState::SynReceived | FlowState::Reset
                if !mine.has(SYN)
                    && (acks_syn || chosen)
                    && (state != FlowState::Reset || self.reset_was_handshake()) =>
            {
                if let (Some(isn), false) = (taken, acks_syn) {
                    self.peer_began_at(isn, 0);
                }
                self.settle(self.side.other());
                self.tcp.ends.iter_mut().for_each(|end| end.flags &= !RESET);
                self.open();
                let notes = self.acknowledge();
                Outcome { notes, ..Outcome::accept(FlowState::SynReceived) }.with(odd)
            }
            FlowState::SynSent if !mine.has(SYN) => Outcome::reject(RejectReason::BadAck, state),
            _ if acks_syn && self.was_overtaken() => {
                self.open();
                let notes = self.acknowledge();
                Outcome { notes, ..Outcome::accept(state) }.with(odd)
            }
            // Nothing that this side sent before was acknowledged: it was made up.
            _ if acks_syn && !mine.has(SYN) && !peer.has(ACKED) && !state.is_terminal() => {
                *self.tcp.end_mut(self.side) = End { flags: ANEW, ..End::default() };
                self.open();
                let notes = self.acknowledge();
                Outcome { notes, ..Outcome::accept(FlowState::SynReceived) }.with(odd)
            }
            // A second SYN-ACK with another number: the client's ACK will say which one it was.
            FlowState::SynReceived => {
                self.consider(self.info.seq);
                Outcome::reject(RejectReason::SynInEstablished, state)
            }
            _ if state.is_terminal() || chosen || mine.has(FIN) => self.reuse(),
            _ => {
                self.consider(self.info.seq);
                Outcome::reject(RejectReason::SynInEstablished, state)
            }
        }
    }

    /// A new connection of the same endpoints. A host would not have taken it up yet if its
    /// sequence numbers and timestamps are none that the old one has not had (RFC 6191).
    fn reuse(&self) -> Outcome {
        let mine = self.mine();
        let is_later =
            self.info.options.timestamps.is_some_and(|(value, _)| {
                mine.has(TIMESTAMPS) && seq_before(mine.ts_recent, value)
            });
        let is_newer = is_later || (mine.has(SENT) && !seq_before(self.info.seq, mine.next));
        let odd = Oddities::of(SegmentOddity::PrematureReuse, mine.has(SENT) && !is_newer);
        Outcome::reuse(self.state).with(odd)
    }

    /// A reset counts with the exact sequence number only (RFC 9293 section 3.10.7.4, RFC 5961
    /// section 3), which is what the other side expects next, or anything up to what the sender
    /// was seen to have sent: the capture may have missed an ACK.
    pub(super) fn rst(&mut self) -> Outcome {
        let (mine, peer, info, state) = (self.mine(), self.peer(), self.info, self.state);
        let odd = Oddities::of(SegmentOddity::ResetPayload, self.len > 0);
        if state.is_terminal() {
            return Outcome::accept(state).with(odd);
        }
        if mine.is_unexpectedly_signed(info) {
            return Outcome::reject(RejectReason::Md5Unexpected, state);
        }
        if state == FlowState::SynSent && !mine.has(SYN) {
            // RFC 9293 section 3.10.7.3; whoever saw the SYN echoes its timestamp, too.
            if info.options.signed && !peer.has(SIGNED) {
                return Outcome::reject(RejectReason::Md5Unexpected, state);
            }
            let acks_syn = info.flags.contains(TcpFlags::ACK) && peer.has_sent_all_of(info.ack);
            let echoes = match info.options.timestamps {
                Some((_, echo)) if peer.has(TIMESTAMPS) => echo == 0 || echo == peer.ts_recent,
                _ => true,
            };
            if !(peer.has(SYN) && acks_syn && echoes) {
                return Outcome::reject(RejectReason::RstInSynSent, state);
            }
        } else {
            let expected = peer.has(ACKED).then_some(peer.acked);
            let sent = mine.has(SENT).then_some(mine.next);
            let exact = match (expected, sent) {
                (None, None) => true,
                (Some(only), None) | (None, Some(only)) => info.seq == only,
                (Some(x), Some(y)) => {
                    let (low, high) = if seq_before(y, x) { (y, x) } else { (x, y) };
                    !seq_before(info.seq, low) && !seq_before(high, info.seq)
                }
            };
            if !exact {
                return Outcome::reject(RejectReason::RstBadSeq, state);
            }
        }
        let half_open =
            matches!(state, FlowState::Active | FlowState::SynSent | FlowState::SynReceived);
        let end = self.tcp.end_mut(self.side);
        end.flags = (end.flags & !OPENED) | RESET | if half_open { 0 } else { OPENED };
        Outcome::accept(FlowState::Reset).with(odd)
    }

    fn reset_was_handshake(&self) -> bool {
        FlowSide::BOTH.into_iter().any(|side| {
            self.tcp.end(side).has(RESET)
                && matches!(
                    self.tcp.before_reset(side),
                    FlowState::SynSent | FlowState::SynReceived
                )
        })
    }

    /// The sender of a reset that goes on has never sent it: the reset was forged.
    pub(super) fn after_reset(&mut self) -> Outcome {
        let forged = self.mine().has(RESET);
        self.state = if forged { self.tcp.before_reset(self.side) } else { FlowState::Established };
        let outcome = self.ack();
        if forged && outcome.verdict == Verdict::Accept && !outcome.reuse {
            self.tcp.end_mut(self.side).flags &= !RESET;
            let odd = Oddities::of(SegmentOddity::ResetIgnoredBySender, true);
            return outcome.with(odd);
        }
        Outcome { state: FlowState::Reset, ..outcome }
    }

    pub(super) fn ack(&mut self) -> Outcome {
        let (info, len, state) = (self.info, self.len, self.state);
        if self.begins_candidate() {
            return Outcome::reuse(state);
        }
        let peer = self.peer();
        if state == FlowState::SynSent
            && peer.has(SYN)
            && !self.mine().has(SYN)
            && !peer.has_sent_all_of(info.ack)
        {
            // RFC 9293 section 3.10.7.3: it acknowledges something else than the SYN.
            return Outcome::reject(RejectReason::BadAck, state);
        }
        if state == FlowState::SynSent && !self.mine().has(SENT) {
            // A host would drop it (RFC 9293 section 3.10.7.3). If it was the capture that missed
            // the SYN-ACK, the initiator's acknowledgment will vouch for data.
            if info.flags.contains(TcpFlags::FIN) {
                return Outcome::reject(RejectReason::RstInSynSent, state);
            }
            if len > 0 {
                return Outcome::reject(RejectReason::OutOfWindow, state);
            }
        }
        let resync = match self.refuse() {
            Ok(resync) => resync,
            Err(reason) => return Outcome::reject(reason, state),
        };
        let counts = len > 0 || info.flags.contains(TcpFlags::FIN);
        if counts && self.is_wild_between_known_sides() && self.taken_up_candidate().is_none() {
            return Outcome::reject(RejectReason::BadAck, state);
        }
        self.settle_candidate();
        if !self.mine().has(SENT) {
            self.check_early_ack();
        }
        let notes = self.repeats().and(self.acknowledge());
        let peer = self.peer();
        let mine = self.tcp.end_mut(self.side);
        let end = info.seq.wrapping_add(len);
        if info.flags.contains(TcpFlags::FIN) {
            if mine.finishes_at(end, &peer) {
                mine.fin = end;
                mine.flags |= FIN;
            } else if !mine.has(FIN) {
                let rumours = &mut self.details.get_or_insert_default().rumours;
                rumours.fin[self.side.index()] = Some(end);
                rumours.stray[self.side.index()] = end;
                mine.flags |= STRAY;
            }
        }
        let after_fin = len > 0 && mine.has(FIN) && seq_before(mine.fin, end);
        if mine.has(SENT) && info.seq == mine.next {
            mine.flags |= CONFIRMED;
        }
        mine.advance(info, len, &peer);
        let state = match state {
            FlowState::Closed | FlowState::Aborted => state,
            _ => self.tcp.closing().unwrap_or(FlowState::Established),
        };
        let odd = Oddities::of(SegmentOddity::DataAfterFin, after_fin);
        Outcome { resync, notes, odd, ..Outcome::accept(state) }
    }

    /// What the segment repeats, or tries out.
    fn repeats(&self) -> Notes {
        let (mine, peer, info, len) = (self.mine(), self.peer(), self.info, self.len);
        let end = info.seq.wrapping_add(len);
        let repeated = len > 0 && mine.has(SENT) && !seq_before(mine.next, end);
        // Its sender would have let a round trip pass before it repeated what it sent last.
        let same_tick = mine.has(TIMESTAMPS)
            && info.options.timestamps.is_some_and(|(value, _)| value == mine.ts_recent);
        let probe = len == 1 && peer.has(ZERO_WINDOW) && peer.has(ACKED) && info.seq == peer.acked;
        let outstanding = peer.has(SENT) && seq_before(info.ack, peer.next);
        let acks_again = len == 0
            && !info.flags.contains(TcpFlags::FIN)
            && mine.has(ACKED)
            && info.ack == mine.acked
            && info.window != 0
            && !mine.has(ZERO_WINDOW);
        Notes::RETRANSMISSION
            .when(repeated)
            .and(Notes::DUPLICATE.when(repeated && end == mine.next && same_tick))
            .and(Notes::WINDOW_PROBE.when(probe))
            .and(Notes::DUPLICATE_ACK.when(acks_again && outstanding))
    }

    /// Takes down a number that its sender may have begun a connection with.
    fn consider(&mut self, isn: u32) {
        let len = match isn == self.info.seq {
            true => self.len,
            false => self.mine().next.wrapping_sub(isn).saturating_sub(1),
        };
        let rumours = &mut self.details.get_or_insert_default().rumours;
        rumours.candidates[self.side.index()].add(isn, len);
        self.tcp.end_mut(self.side).flags |= CANDIDATE;
    }

    /// Forgets the candidates of a side.
    fn settle(&mut self, side: FlowSide) {
        let end = self.tcp.end_mut(side);
        if end.has(CANDIDATE) {
            end.flags &= !CANDIDATE;
            let rumours = &mut self.details.get_or_insert_default().rumours;
            rumours.candidates[side.index()] = Candidates::default();
        }
    }

    fn is_candidate(&self, side: FlowSide, isn: u32) -> bool {
        let rumours = self.details.as_ref().map(|details| &details.rumours);
        self.tcp.end(side).has(CANDIDATE)
            && rumours.is_some_and(|rumours| rumours.candidates[side.index()].contains(isn))
    }

    /// The SYN or SYN-ACK that was turned down and that the segment acknowledges, with or without
    /// its data.
    fn taken_up_candidate(&self) -> Option<u32> {
        let side = self.side.other();
        let rumours = self.details.as_ref().map(|details| &details.rumours);
        let rumours = rumours.filter(|_| self.tcp.end(side).has(CANDIDATE))?;
        rumours.candidates[side.index()].acknowledged_by(self.info.ack)
    }

    /// Whether the segment continues a SYN or SYN-ACK that was turned down, in a capture of one
    /// direction only: there, nobody else could show that it was taken up.
    fn begins_candidate(&self) -> bool {
        !self.peer().has(ACKED)
            && self.info.seq != self.mine().next
            && self.is_candidate(self.side, self.info.seq.wrapping_sub(1))
    }

    /// What this side makes of a second SYN or SYN-ACK that the other sent, by this ACK.
    fn settle_candidate(&mut self) {
        let (side, state) = (self.side.other(), self.state);
        if !self.tcp.end(side).has(CANDIDATE) {
            return;
        }
        let taken = self.taken_up_candidate();
        let takes_it = taken.is_some();
        if let (Some(isn), FlowState::SynReceived) = (taken, state) {
            self.peer_began_at(isn, 0);
        }
        if state != FlowState::SynSent && (!takes_it || state == FlowState::SynReceived) {
            // Anything else is a challenge ACK (RFC 5961 section 4.2): it goes on as before.
            self.settle(side);
        }
    }

    /// A FIN with data behind it, which only this side can tell from made-up data, counts once it
    /// is what was acknowledged last.
    fn settle_fin(&mut self) {
        let side = self.side.other();
        let rumours = self.details.as_ref().map(|details| &details.rumours);
        let fin = rumours.and_then(|rumours| rumours.fin[side.index()]);
        let peer = self.tcp.end_mut(side);
        if let Some(fin) = fin
            && peer.has(STRAY)
            && !peer.has(FIN)
            && self.info.ack == fin.wrapping_add(1)
        {
            peer.fin = fin;
            peer.flags |= FIN;
        }
    }

    /// The other side's initial sequence number is `isn`, as this segment shows.
    fn peer_began_at(&mut self, isn: u32, flags: u16) {
        let peer = self.tcp.end_mut(self.side.other());
        peer.isn = isn;
        peer.next = isn.wrapping_add(1);
        peer.flags |= flags;
    }

    /// Why a host would drop this segment, which has the ACK flag and neither SYN nor RST; if it
    /// would not, how it goes on from what came before.
    fn refuse(&mut self) -> Result<Option<Resync>, RejectReason> {
        let (mine, peer, info, len) = (self.mine(), self.peer(), self.info, self.len);
        if mine.is_unexpectedly_signed(info) {
            return Err(RejectReason::Md5Unexpected);
        }
        let negotiated = mine.has(TIMESTAMPS) && (peer.has(TIMESTAMPS) || !peer.has(SYN));
        let is_fin = info.flags.contains(TcpFlags::FIN);
        let end = info.seq.wrapping_add(len).wrapping_add(u32::from(is_fin));
        if let (true, Some((now, _)), true) = (negotiated, info.options.timestamps, end != info.seq)
        {
            // One tick of tolerance: Linux has it too. What was received before may come late.
            let is_new = !peer.has(ACKED)
                || seq_before(peer.acked, end)
                || (mine.has(SENT) && seq_before(mine.next, end));
            if is_new && seq_before(now, mine.ts_recent.wrapping_sub(1)) {
                return Err(RejectReason::PawsOld);
            }
        }
        if !mine.has(SENT) {
            return Ok(None);
        }
        // What the other side acknowledges was sent, whether captured or not.
        let expected = match peer.has(ACKED) && seq_before(mine.next, peer.acked) {
            true => peer.acked,
            false => mine.next,
        };
        let ahead = info.seq.wrapping_sub(expected);
        let behind = expected.wrapping_sub(info.seq);
        let window = if peer.window == 0 { ASSUMED_WINDOW } else { peer.window.max(LEAST_WINDOW) };
        let end = self.tcp.end_mut(self.side);
        let oldest = if mine.is_confirmed(&peer) { OLDEST } else { LEAST_WINDOW };
        if behind <= oldest || ahead <= window {
            let anew = len > 0 && mine.has(ANEW);
            end.flags &= if anew { !ANEW } else { !0 };
            return Ok(anew.then_some(Resync::Anew));
        }
        // Where the other side is, this one must be, too. If that was never heard, a second segment
        // vouches for the first.
        let is_vouched_for = match peer.has(ACKED) {
            true => near(info.seq, peer.acked) && !near(mine.next, peer.acked),
            // Not by being captured twice.
            false => self.stray(self.side).is_some_and(|stray| {
                let is_same = self.stray_from() == info.seq && stray == info.seq.wrapping_add(len);
                near(info.seq, stray) && !is_same
            }),
        };
        let end = self.tcp.end_mut(self.side);
        if is_vouched_for {
            end.flags &= !(STRAY | ANEW);
            end.next = info.seq;
            let resync = if mine.is_confirmed(&peer) { Resync::AfterGap } else { Resync::Anew };
            return Ok(Some(resync));
        }
        end.flags |= STRAY;
        let rumours = &mut self.details.get_or_insert_default().rumours;
        rumours.stray[self.side.index()] = info.seq.wrapping_add(len);
        rumours.stray_from[self.side.index()] = info.seq;
        Err(if is_fin { RejectReason::FinBadSeq } else { RejectReason::OutOfWindow })
    }

    /// Where `side` would go on if a segment out of its window were to be believed.
    fn stray(&self, side: FlowSide) -> Option<u32> {
        let rumours = self.details.as_ref().map(|details| &details.rumours);
        rumours.filter(|_| self.tcp.end(side).has(STRAY)).map(|known| known.stray[side.index()])
    }

    fn stray_from(&self) -> u32 {
        let rumours = self.details.as_ref().map(|details| &details.rumours);
        rumours.map_or(0, |known| known.stray_from[self.side.index()])
    }

    /// Takes down a repeated SYN or SYN-ACK. In a connection that is open a host answers it with a
    /// challenge ACK, and learns nothing from it (RFC 5961 section 4).
    fn open_again(&mut self) {
        let mine = self.mine();
        let opening = matches!(self.state, FlowState::SynSent | FlowState::SynReceived);
        if opening || mine.has(SYN_INFERRED) {
            self.open();
        }
    }

    /// Whether a SYN with this number was captured behind data that follows it.
    fn was_overtaken(&self) -> bool {
        let mine = self.mine();
        let first = self.info.seq.wrapping_add(1).wrapping_add(self.len);
        !mine.has(SYN)
            && mine.has(SENT)
            && matches!(self.state, FlowState::SynSent | FlowState::Established)
            && mine.next.wrapping_sub(self.info.seq) <= STRAY_SPAN
            && !(self.peer().has(ACKED) && seq_before(self.peer().acked, first))
    }

    /// Takes down a SYN or SYN-ACK.
    fn open(&mut self) {
        let info = self.info;
        let end = self.tcp.end_mut(self.side);
        end.isn = info.seq;
        end.flags = (end.flags | SYN) & !SYN_INFERRED;
        let past = info.seq.wrapping_add(1).wrapping_add(self.len);
        if !end.has(SENT) || seq_before(end.next, past) {
            end.next = past;
        }
        end.flags |= SENT;
        if let Some(scale) = info.options.window_scale {
            end.scale = end.scale >> SCALE_BITS << SCALE_BITS | scale.min(14);
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
        if end.ttl == 0 {
            end.ttl = info.ttl;
        }
    }

    /// This is the first segment of its sender. What the other side has acknowledged before was
    /// nothing that could be checked; if it does not fit, one of the two is wrong, and neither can
    /// hold the other off.
    fn check_early_ack(&mut self) {
        let seq = self.info.seq;
        let peer = self.tcp.end_mut(self.side.other());
        let window = peer.window.max(ASSUMED_WINDOW);
        let (ahead, behind) = (peer.acked.wrapping_sub(seq), seq.wrapping_sub(peer.acked));
        if peer.has(ACKED) && ahead > window && behind > window {
            peer.flags &= !ACKED;
        }
    }

    /// Whether it acknowledges more than the window that its sender gave: such a number must not
    /// stick. One that a segment of the other side vouches for is no such number.
    fn acks_beyond_window(&self) -> bool {
        let (mine, peer, ack) = (self.mine(), self.peer(), self.info.ack);
        let window = mine.window.max(mine.scaled(self.info, &peer)).max(ASSUMED_WINDOW);
        peer.has(SENT)
            && seq_before(peer.next, ack)
            && ack.wrapping_sub(peer.next) > window
            && !self.stray(self.side.other()).is_some_and(|stray| near(ack, stray))
    }

    /// The same between two sides that were both heard from their SYNs on: a host would drop the
    /// segment (RFC 9293 section 3.10.7.4).
    fn is_wild_between_known_sides(&self) -> bool {
        let is_known = |end: End| end.has(SYN) && !end.has(SYN_INFERRED);
        is_known(self.mine()) && is_known(self.peer()) && self.acks_beyond_window()
    }

    /// Takes down what the segment acknowledges and the window it advertises.
    fn acknowledge(&mut self) -> Notes {
        let (peer, info, wild) = (self.peer(), self.info, self.acks_beyond_window());
        let mine = self.tcp.end_mut(self.side);
        let is_latest = !mine.has(ACKED) || !seq_before(info.ack, mine.acked);
        let closes = is_latest && info.window == 0 && !mine.has(ZERO_WINDOW);
        if is_latest {
            let closed = if info.window == 0 { ZERO_WINDOW } else { 0 };
            mine.flags = (mine.flags & !ZERO_WINDOW) | closed;
        }
        mine.window = mine.window.max(mine.scaled(info, &peer));
        let unseen = match peer.has(SENT) {
            true => seq_before(peer.next, info.ack),
            false => mine.has(ACKED) && seq_before(mine.acked, info.ack),
        };
        let notes = Notes::ACK_UNSEEN.when(unseen).and(Notes::ZERO_WINDOW.when(closes));
        if wild || (mine.has(ACKED) && !seq_before(mine.acked, info.ack)) {
            return notes;
        }
        let is_confirmed = peer.is_confirmed(mine);
        mine.acked = info.ack;
        mine.flags |= ACKED;
        self.settle_fin();
        if peer.has(SENT) && unseen && !near(peer.next, info.ack) {
            // It vouches for a segment that was turned down.
            let end = self.tcp.end_mut(self.side.other());
            end.flags = (end.flags & !STRAY) | if is_confirmed { 0 } else { ANEW };
        }
        notes
    }
}

/// Whether two sequence numbers are close enough to vouch for each other.
pub(super) fn near(a: u32, b: u32) -> bool {
    a.wrapping_sub(b) <= STRAY_SPAN || b.wrapping_sub(a) <= STRAY_SPAN
}
