//! What the engine does with the packets of a flow.

use std::time::Duration;

use flow_core::{
    AnomalyKind, EndReason, Flow, FlowSide, FlowSink, FlowState, Gap, IcmpError, L4Proto,
    OverflowPolicy, TcpSideStats, Timestamp, TrackedPacket, seq_before,
};
use flow_reassembly::{LastWord, Segment, StreamReassembler, StreamSink};

use super::{DatagramSession, PoisonPolicy, SessionState, Sink, Slot};
use crate::notes::Notes;
use crate::session::{Moment, Session, count_streams, moment_of, parse_error};
use crate::{
    Context, DatagramParser, Mark, Origin, Parsed, ParserSet, SessionEvent, SessionParser,
};

/// Reads no stream.
struct Nobody;

impl StreamSink for Nobody {
    fn data(&mut self, _offset: u64, _bytes: &[u8], _packet: u64) {}

    fn gap(&mut self, _gap: Gap) {}

    fn end(&mut self, _offset: u64) {}
}

impl<K: Clone, T: ParserSet, S> FlowSink<K, SessionState<T, S>> for Sink<K, T> {
    const READS_PAYLOAD: bool = true;

    fn reads_payload(&self, flow: &Flow<K, SessionState<T, S>>, side: FlowSide) -> bool {
        let [initiator, responder] = flow.user.unread;
        !(if side == FlowSide::Initiator { initiator } else { responder })
    }

    fn started(&mut self, flow: &mut Flow<K, SessionState<T, S>>, _side: FlowSide) {
        if T::covers(flow.l4()) {
            let (key, ts) = (flow.key().clone(), flow.started());
            self.events.push(SessionEvent::Started { key, ts });
        } else {
            flow.user.slot = Slot::Done;
            flow.user.unread = [true; 2];
            flow.user.closed = true;
        }
    }

    fn packet(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        self.last = moment_of(packet);
        match flow.user.slot {
            // Nothing comes after the end, not even of a flow that ended without payload.
            _ if flow.user.closed => return None,
            Slot::Done => {}
            Slot::Idle if packet.payload_len == 0 && packet.tcp.is_some() => {}
            // All it could do is to release what waits: the session need not be looked for.
            Slot::Stream(_) if !flow.user.waits && packet.is_usual && packet.payload_len == 0 => {
                return None;
            }
            _ if flow.l4() == Some(L4Proto::Tcp) => return self.stream_packet(flow, packet),
            _ => return self.datagram_packet(flow, packet),
        }
        self.close_if_over(flow);
        None
    }

    fn established(&mut self, flow: &mut Flow<K, SessionState<T, S>>, ts: Timestamp) {
        if flow.has_whole_handshake() {
            let took = ts.saturating_sub(flow.started()).as_micros();
            flow.user.round_trip = u32::try_from(took).unwrap_or(u32::MAX);
        }
    }

    fn state_change(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        _from: FlowState,
        _to: FlowState,
        _ts: Timestamp,
    ) {
        self.close_if_over(flow);
    }

    fn icmp_error(
        &mut self,
        _flow: &mut Flow<K, SessionState<T, S>>,
        _side: FlowSide,
        _error: IcmpError,
        number: u64,
        ts: Timestamp,
    ) {
        self.last = Moment { ts, packet: number };
    }

    fn anomaly(
        &mut self,
        flow: Option<&mut Flow<K, SessionState<T, S>>>,
        kind: AnomalyKind,
        ts: Timestamp,
    ) {
        let over = flow.as_ref().is_some_and(|flow| flow.user.closed);
        if self.emit_anomalies && !over {
            let key = flow.map(|flow| flow.key().clone());
            self.events.push(SessionEvent::Anomaly { key, kind, ts });
        }
    }

    fn ended(&mut self, flow: &mut Flow<K, SessionState<T, S>>, reason: EndReason, _ts: Timestamp) {
        self.close(flow, reason, self.last);
    }
}

impl<K: Clone, T: ParserSet> Sink<K, T> {
    /// Something comes that a router has sent; the packet before it may have been another engine's.
    pub(super) fn begin(&mut self, (packet, ts): (u64, Timestamp)) {
        self.events.clear();
        self.last = Moment { ts, packet };
    }

    /// A packet of a TCP flow that has a parser, or has payload and gets one now.
    fn stream_packet<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        if let Slot::Stream(session) = &mut flow.user.slot
            && !flow.user.waits
            && session.in_order(packet, &mut self.stream_out)
        {
            flow.user.unread = session.unwanted();
            let has_limit = self.limits.max_reassembler_buffer.is_some();
            if session.is_plain() && self.stream_out.is_empty() && !has_limit {
                return None;
            }
            return self.settle(flow, packet, 0);
        }
        let segment = Segment::of(flow, packet);
        let mut own_fin = None;
        if segment.is_some() && matches!(flow.user.slot, Slot::Idle) {
            own_fin = self.begin_session(flow, packet)?;
        }
        let Slot::Stream(session) = &mut flow.user.slot else { return None };
        let out = &mut self.stream_out;
        let queued = if flow.user.waits { session.queued_bytes() } else { 0 };
        if let Some(segment) = &segment {
            session.segment(packet.side, segment, &self.config, out);
            if let Some(fin) = own_fin {
                session.segment(packet.side, &fin, &self.config, out);
            }
        }
        self.settle(flow, packet, queued)
    }

    /// Gives a TCP flow its parser. What this segment's sender finished before, and what can only
    /// be told to the parser after the segment, is given back.
    #[cold]
    fn begin_session<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<Option<Segment<'static>>> {
        let parser = (self.new_stream)(flow.key())?;
        let mut session = Box::new(Session::new(parser));
        if let Some(choose) = &mut self.overlap {
            session.set_overlap_policies(FlowSide::BOTH.map(|side| choose(flow.key(), side)));
        }
        // Either side may have finished before the first payload came.
        let mut own_fin = None;
        let seq = packet.tcp.map_or(0, |info| info.seq);
        let is_known = |fin: &Segment<'_>| fin.start.is_some() || !seq_before(seq, fin.seq);
        for side in FlowSide::BOTH {
            match Segment::fin_of(flow, packet, side) {
                // Nothing but the payload says where its stream begins.
                Some(fin) if side == packet.side && !is_known(&fin) => own_fin = Some(fin),
                Some(fin) => session.segment(side, &fin, &self.config, &mut self.stream_out),
                None => {}
            }
        }
        flow.user.slot = Slot::Stream(session);
        Some(own_fin)
    }

    /// Looks at all that a packet may have done to a session whose streams held `queued` bytes
    /// before.
    fn settle<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
        queued: usize,
    ) -> Option<EndReason> {
        let acked = FlowSide::BOTH.map(|side| flow.acked(side.other()));
        let moment = moment_of(packet);
        let round_trip = Duration::from_micros(flow.user.round_trip.into());
        let config = &self.config.with_round_trip(round_trip);
        let Slot::Stream(session) = &mut flow.user.slot else { return None };
        for (side, acked) in FlowSide::BOTH.into_iter().zip(acked) {
            session.progress(side, acked, moment, config, &mut self.stream_out);
        }
        self.queued = self.queued + session.queued_bytes() - queued;
        flow.user.waits = session.is_waiting();
        flow.user.unread = session.unwanted();
        let (over, unwanted) = (session.is_ended(), session.is_unwanted());
        let poison = parse_error(session.poison());
        // A stream that slides gives up its oldest hole by itself; a parser cannot.
        let (memory, policy) = (self.limits.max_reassembler_buffer, self.limits.overflow_policy);
        let drops_flow = policy == OverflowPolicy::DropFlow && session.has_overflowed();
        let is_full = |limit| session.parser().buffered_bytes() > limit;
        let overflow = (drops_flow || memory.is_some_and(is_full)).then(|| {
            let bytes = session.buffered_bytes() as u64;
            AnomalyKind::BufferOverflow { side: packet.side, bytes, policy }
        });
        if session.has_news() {
            self.report(flow, Some(self.limits.tick(packet.ts)), packet.ts);
        }
        self.flush(flow, moment);
        if let Some((kind, reason)) = poison
            .map(|kind| (kind, EndReason::ParseError))
            .or(overflow.map(|kind| (kind, EndReason::BufferOverflow)))
        {
            return self.give_up(flow, kind, reason, moment);
        }
        if over {
            self.close(flow, EndReason::Fin, moment);
        } else if unwanted {
            self.drop_session(flow);
        }
        None
    }

    fn datagram_packet<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        packet: &TrackedPacket<'_>,
    ) -> Option<EndReason> {
        if let Slot::Idle = flow.user.slot {
            let (parser, notes) = ((self.new_datagram)(flow.key())?, Notes::default());
            flow.user.slot = Slot::Datagram(DatagramSession { parser, notes });
        }
        let moment = moment_of(packet);
        let Slot::Datagram(session) = &mut flow.user.slot else { return None };
        let DatagramSession { parser, notes } = session;
        let at = Mark { offset: 0, packet: packet.number };
        let (side, len) = (packet.side, packet.payload.len());
        let mut pending = Some(at);
        let out = &mut self.datagram_out;
        let cx = Context::new(packet.ts, packet.number, side, at, len, &mut pending, out);
        // What is wrong with a datagram of which only a part was captured is nobody's fault.
        let mut cx = if packet.is_whole() { cx.with_notes(notes) } else { cx };
        parser.datagram(side, packet.payload, &mut cx);
        let poisoned = parser.is_poisoned();
        let poison =
            parse_error(poisoned.then(|| (side, parser.poison_reason().unwrap_or("poisoned"))));
        let (unwanted, has_news) = (!parser.wants(), notes.are_fresh());
        if has_news {
            self.report(flow, Some(self.limits.tick(packet.ts)), packet.ts);
        }
        self.flush(flow, moment);
        if poison.is_none() && unwanted {
            self.drop_session(flow);
        }
        self.give_up(flow, poison?, EndReason::ParseError, moment)
    }

    /// Ends the session because of its parser, and the flow with it if the policy says so.
    fn give_up<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        kind: AnomalyKind,
        reason: EndReason,
        moment: Moment,
    ) -> Option<EndReason> {
        self.report(flow, None, moment.ts);
        if self.emit_anomalies {
            let (key, ts) = (Some(flow.key().clone()), moment.ts);
            self.events.push(SessionEvent::Anomaly { key, kind, ts });
        }
        if let Slot::Stream(session) = &mut flow.user.slot {
            if reason == EndReason::ParseError {
                session.reset();
            } else {
                // Its parser is whole, and has the last word.
                self.queued -= session.queued_bytes();
                session.close(reason, moment, &mut self.stream_out);
                self.queued += session.queued_bytes();
            }
        }
        self.flush(flow, moment);
        self.drop_session(flow);
        self.push_closed(flow, reason);
        (self.poison == PoisonPolicy::EndFlow).then_some(reason)
    }

    /// Gives up the holes of a flow for the sake of others.
    pub(super) fn relieve<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
    ) -> Option<EndReason> {
        let moment = self.last;
        let Slot::Stream(session) = &mut flow.user.slot else { return None };
        let queued = session.queued_bytes();
        session.give_up_holes(moment, &mut self.stream_out);
        self.queued = self.queued + session.queued_bytes() - queued;
        let poison = parse_error(session.poison());
        self.report(flow, Some(self.limits.tick(moment.ts)), moment.ts);
        self.flush(flow, moment);
        self.give_up(flow, poison?, EndReason::ParseError, moment)
    }

    /// Without a parser, the session is over when the tracker says that the connection is.
    fn close_if_over<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>) {
        // Payload that was overtaken by all that closed the connection is still on its way.
        let has_payload = |side| {
            flow.fin(side).zip(flow.stream_start(side)).is_some_and(|(fin, start)| fin != start)
        };
        let is_over = match flow.user.slot {
            Slot::Done => true,
            Slot::Idle => !FlowSide::BOTH.into_iter().any(has_payload),
            Slot::Stream(_) | Slot::Datagram(_) => false,
        };
        if flow.state() == FlowState::Closed && is_over {
            self.push_closed(flow, EndReason::Fin);
        }
    }

    fn close<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        reason: EndReason,
        moment: Moment,
    ) {
        let mut poison = None;
        let words = FlowSide::BOTH.map(|side| LastWord::of(flow, side));
        if matches!(flow.user.slot, Slot::Idle) && flow.l4() == Some(L4Proto::Tcp) {
            self.count_unseen(flow, words);
        }
        match &mut flow.user.slot {
            Slot::Stream(session) => {
                self.queued -= session.queued_bytes();
                session.last_words(words, moment, &self.config, &mut self.stream_out);
                session.close(reason, moment, &mut self.stream_out);
                self.queued += session.queued_bytes();
                poison = parse_error(session.poison());
            }
            Slot::Datagram(session) => {
                let at = Mark { offset: 0, packet: moment.packet };
                let (ts, packet, side) = (moment.ts, moment.packet, FlowSide::Initiator);
                let (mut pending, out) = (None, &mut self.datagram_out);
                let cx = Context::new(ts, packet, side, at, 0, &mut pending, out);
                session.parser.close(reason, &mut cx.with_notes(&mut session.notes));
            }
            Slot::Idle | Slot::Done => {}
        }
        self.flush(flow, moment);
        if let Some(kind) = poison {
            self.give_up(flow, kind, EndReason::ParseError, moment);
        } else {
            self.drop_session(flow);
            self.push_closed(flow, reason);
        }
    }

    /// Counts what was acknowledged of streams of which nothing was captured.
    fn count_unseen<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>, words: [LastWord; 2]) {
        for (side, word) in FlowSide::BOTH.into_iter().zip(words) {
            let mut stream = StreamReassembler::new();
            stream.last_word(word, &self.config, &mut Nobody);
            stream.finish(&mut Nobody);
            if stream.stats() != TcpSideStats::default() {
                flow.tcp_stats_mut(side).add(&stream.stats());
                flow.note(side, b'G');
            }
        }
    }

    /// Lets go of the parser, keeping what its streams counted, and reports what was odd in them.
    fn drop_session<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>) {
        self.report(flow, None, self.last.ts);
        flow.user.unread = [true; 2];
        let Slot::Stream(session) = std::mem::replace(&mut flow.user.slot, Slot::Done) else {
            return;
        };
        self.queued -= session.queued_bytes();
        count_streams(flow, &session);
    }

    /// Tells of what was out of the ordinary in what a flow carries, if anything was.
    fn report<S>(
        &mut self,
        flow: &mut Flow<K, SessionState<T, S>>,
        tick: Option<u64>,
        ts: Timestamp,
    ) {
        let mut kinds = Vec::new();
        match &mut flow.user.slot {
            Slot::Stream(session) if tick.is_none() || session.has_news() => {
                session.report(tick, |kind| kinds.push(kind));
            }
            Slot::Datagram(session) => {
                for side in FlowSide::BOTH {
                    session.notes.report(side, tick, |kind| kinds.push(kind));
                }
            }
            _ => {}
        }
        for kind in kinds {
            if let AnomalyKind::StreamGap { side, .. } = kind {
                flow.note(side, b'G');
            }
            if self.emit_anomalies {
                let key = Some(flow.key().clone());
                self.events.push(SessionEvent::Anomaly { key, kind, ts });
            }
        }
    }

    fn push_closed<S>(&mut self, flow: &mut Flow<K, SessionState<T, S>>, reason: EndReason) {
        if std::mem::replace(&mut flow.user.closed, true) {
            return;
        }
        let (key, stats) = (flow.key().clone(), Box::new(flow.stats()));
        self.events.push(SessionEvent::Closed { key, reason, stats });
    }

    /// Turns what the parsers put out into events.
    fn flush<S>(&mut self, flow: &Flow<K, SessionState<T, S>>, moment: Moment) {
        let Self { stream_out, datagram_out, events, .. } = self;
        for parsed in stream_out.drain(..) {
            events.push(application(flow, moment, parsed, T::stream_message));
        }
        for parsed in datagram_out.drain(..) {
            events.push(application(flow, moment, parsed, T::datagram_message));
        }
    }
}

#[inline]
fn application<K: Clone, S, M, N>(
    flow: &Flow<K, S>,
    Moment { ts, packet }: Moment,
    parsed: Parsed<M>,
    wrap: fn(M) -> N,
) -> SessionEvent<K, N> {
    let Parsed { side, message, first_packet, range } = parsed;
    let origin = Origin { flow: flow.id(), first_packet, packet, range };
    let (key, message) = (flow.key().clone(), wrap(message));
    SessionEvent::Application { key, side, message, ts, origin }
}
