use flow_core::{AnomalyKind, FlowSide};

/// What the parser of a flow found to be against the rules of its protocol, until it is reported.
///
/// As with streams, the first of a kind is reported at once, and what follows in the same tick
/// with the next of a later one, or when the flow is over.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// One for each side and reason: at most [`MAX_NOTES`].
    list: Vec<Note>,
    /// Something was noted of a side since it was reported last.
    fresh: [bool; 2],
}

#[derive(Debug)]
struct Note {
    side: FlowSide,
    reason: &'static str,
    /// Stream offset of the first that was not reported.
    offset: u64,
    /// Not reported yet.
    count: u64,
    /// The tick of the last report.
    tick: Option<u64>,
}

/// Kinds of notes kept of a flow; others are dropped.
///
/// Rationale: reasons are part of the parser's text, and more than a few dozen no parser has.
const MAX_NOTES: usize = 128;

impl Notes {
    pub(crate) fn add(&mut self, side: FlowSide, offset: u64, reason: &'static str) {
        let full = self.list.len() >= MAX_NOTES;
        let same = |note: &&mut Note| note.side == side && note.reason == reason;
        match self.list.iter_mut().find(same) {
            Some(note) => {
                if note.count == 0 {
                    note.offset = offset;
                }
                note.count = note.count.saturating_add(1);
            }
            None if full => return,
            None => self.list.push(Note { side, reason, offset, count: 1, tick: None }),
        }
        self.set_fresh(side, true);
    }

    pub(crate) fn are_fresh(&self) -> bool {
        self.fresh != [false, false]
    }

    /// Tells what is due of what was noted of `of`: all of it without a `tick`.
    pub(crate) fn report(
        &mut self,
        of: FlowSide,
        tick: Option<u64>,
        mut tell: impl FnMut(AnomalyKind),
    ) {
        self.set_fresh(of, false);
        for note in self.list.iter_mut().filter(|note| note.side == of) {
            if note.count > 0 && (tick.is_none() || note.tick != tick) {
                let Note { side, reason, offset, .. } = *note;
                let count = std::mem::take(&mut note.count);
                note.tick = tick;
                tell(AnomalyKind::ProtocolViolation { side, offset, reason, count });
            }
        }
    }

    fn set_fresh(&mut self, side: FlowSide, fresh: bool) {
        let [initiator, responder] = &mut self.fresh;
        match side {
            FlowSide::Initiator => *initiator = fresh,
            FlowSide::Responder => *responder = fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(notes: &mut Notes, tick: Option<u64>, expected: &[(u64, &str, u64)]) {
        let mut told = Vec::new();
        for side in FlowSide::BOTH {
            notes.report(side, tick, |kind| {
                if let AnomalyKind::ProtocolViolation { offset, reason, count, .. } = kind {
                    told.push((offset, reason, count));
                }
            });
        }
        assert_eq!(told, expected);
    }

    #[test]
    fn a_kind_is_told_once_per_tick() {
        let mut notes = Notes::default();
        notes.add(FlowSide::Initiator, 10, "one");
        notes.add(FlowSide::Initiator, 20, "one");
        notes.add(FlowSide::Responder, 5, "one");
        check(&mut notes, Some(1), &[(10, "one", 2), (5, "one", 1)]);
        notes.add(FlowSide::Initiator, 30, "one");
        notes.add(FlowSide::Initiator, 40, "two");
        check(&mut notes, Some(1), &[(40, "two", 1)]);
        notes.add(FlowSide::Initiator, 50, "one");
        check(&mut notes, Some(2), &[(30, "one", 2)]);
        notes.add(FlowSide::Initiator, 60, "one");
        check(&mut notes, None, &[(60, "one", 1)]);
        check(&mut notes, None, &[]);
    }
}
