use std::fmt;

use crate::FlowSide;

/// What happened in a flow, in the letters of the `history` field of Zeek's `conn.log`.
///
/// `S` SYN, `H` SYN-ACK, `A` pure ACK, `D` payload, `F` FIN, `R` reset, `W` zero window, `Q` flags
/// that do not go together; upper case from the initiator, lower case from the responder. The
/// alphabet also has `T` retransmitted payload, `I` inconsistent packet, `G` gap and `^` sides
/// swapped, which the tracker does not note by itself. A letter is noted at its first occurrence only, so the string is bounded by
/// the alphabet.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HistoryString {
    seen: [u16; 2],
    len: u8,
    letters: [u8; Self::CAPACITY],
}

/// Letters a side can have.
const LETTERS: usize = 12;

impl HistoryString {
    /// Every letter of both sides.
    const CAPACITY: usize = 2 * LETTERS;

    /// The letters so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(letters).unwrap_or_default()
    }

    /// Notes that `side` did what `letter` (upper case) stands for. Other letters are ignored.
    #[inline]
    pub fn note(&mut self, side: FlowSide, letter: u8) {
        let Some(bit) = bit_of(letter) else { return };
        let seen = &mut self.seen[side.index()];
        if *seen & bit != 0 {
            return;
        }
        *seen |= bit;
        let cased = match side {
            FlowSide::Initiator => letter,
            FlowSide::Responder => letter.to_ascii_lowercase(),
        };
        if let Some(free) = self.letters.get_mut(usize::from(self.len)) {
            *free = cased;
            self.len += 1;
        }
    }
}

/// The letter's place in `seen`; with a constant letter, a constant.
#[inline]
const fn bit_of(letter: u8) -> Option<u16> {
    Some(match letter {
        b'S' => 1,
        b'H' => 1 << 1,
        b'A' => 1 << 2,
        b'D' => 1 << 3,
        b'F' => 1 << 4,
        b'R' => 1 << 5,
        b'T' => 1 << 6,
        b'W' => 1 << 7,
        b'Q' => 1 << 8,
        b'I' => 1 << 9,
        b'G' => 1 << 10,
        b'^' => 1 << 11,
        _ => return None,
    })
}

impl fmt::Display for HistoryString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for HistoryString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_occurrences_in_order() {
        let mut history = HistoryString::default();
        for (side, letter) in [
            (FlowSide::Initiator, b'S'),
            (FlowSide::Responder, b'H'),
            (FlowSide::Initiator, b'A'),
            (FlowSide::Initiator, b'D'),
            (FlowSide::Initiator, b'D'),
            (FlowSide::Responder, b'D'),
            (FlowSide::Responder, b'?'),
        ] {
            history.note(side, letter);
        }
        assert_eq!(history.as_str(), "ShADd");
    }

    #[test]
    fn bounded_by_the_alphabet() {
        let mut history = HistoryString::default();
        for letter in 0..=u8::MAX {
            history.note(FlowSide::Initiator, letter);
            history.note(FlowSide::Responder, letter);
        }
        assert_eq!(history.as_str().len(), HistoryString::CAPACITY);
    }
}
