use std::fmt;

use crate::FlowSide;

/// What happened in a flow, in the letters of the `history` field of Zeek's `conn.log`.
///
/// `S` SYN, `H` SYN-ACK, `A` pure ACK, `D` payload, `F` FIN, `R` reset, `T` payload that had been
/// sent before, `W` zero window, `Q` SYN together with FIN or reset, `I` FIN together with reset,
/// `G` gap; upper case from the initiator, lower case from the responder. `^` says that the sides
/// were told by a SYN-ACK without its SYN. A letter is noted at its first occurrence only, so the
/// string is bounded by the alphabet.
///
/// Gaps are noted by the layers that find them, with [`Flow::note`](crate::Flow::note).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct HistoryString {
    len: u8,
    letters: [u8; CAPACITY],
}

impl HistoryString {
    /// The letters so far.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let letters = self.letters.get(..usize::from(self.len)).unwrap_or_default();
        std::str::from_utf8(letters).unwrap_or_default()
    }
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

/// The letters that a side can have; a letter's place is its number.
const ALPHABET: [u8; 12] = *b"SHADFRTWQIG^";

/// Every letter of both sides.
const CAPACITY: usize = 2 * ALPHABET.len();

/// Bits that a letter takes: four for its number, one for its side.
const BITS: u32 = 5;
const PER_WORD: u32 = u32::BITS / BITS;

/// A [`HistoryString`] as a flow's entry holds it, in 20 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct History {
    /// The letters of the initiator in the low half, those of the responder in the high one. As
    /// many bits are set as there are letters.
    seen: u32,
    /// The letters in their order.
    order: [u32; 4],
}

impl History {
    /// See [`Flow::touch`](crate::flow::Flow::touch).
    #[inline]
    pub(crate) fn touch(&self) -> u32 {
        self.seen
    }

    /// Notes that `side` did what `letter` (upper case) stands for. Other letters are ignored.
    #[inline]
    pub(crate) fn note(&mut self, side: FlowSide, letter: u8) {
        let Some(number) = number_of(letter) else { return };
        let code = number + 16 * u32::from(side == FlowSide::Responder);
        if self.seen & 1 << code == 0 {
            self.add(code);
        }
    }

    /// Notes payload, or a pure ACK.
    #[inline]
    pub(crate) fn note_data_or_ack(&mut self, side: FlowSide, is_data: bool) {
        // `D` stands behind `A` in the alphabet, so that this needs no branch.
        let code = 2 + u32::from(is_data) + 16 * u32::from(side == FlowSide::Responder);
        if self.seen & 1 << code == 0 {
            self.add(code);
        }
    }

    #[cold]
    fn add(&mut self, code: u32) {
        let at = self.seen.count_ones();
        self.seen |= 1 << code;
        if let Some(word) = self.order.get_mut((at / PER_WORD) as usize) {
            *word |= code << (at % PER_WORD * BITS);
        }
    }

    /// What one side did, the other is found to have done.
    pub(crate) fn swap_sides(&mut self) {
        for at in 0..self.seen.count_ones() {
            if let Some(word) = self.order.get_mut((at / PER_WORD) as usize) {
                *word ^= 16 << (at % PER_WORD * BITS);
            }
        }
        self.seen = self.seen.rotate_left(16);
    }

    /// The letters so far.
    pub(crate) fn to_letters(self) -> HistoryString {
        let mut string = HistoryString::default();
        for (at, place) in (0..self.seen.count_ones()).zip(&mut string.letters) {
            let word = self.order.get((at / PER_WORD) as usize).copied().unwrap_or_default();
            let code = (word >> (at % PER_WORD * BITS)) as usize;
            let letter = ALPHABET.get(code & 15).copied().unwrap_or_default();
            *place = if code & 16 == 0 { letter } else { letter.to_ascii_lowercase() };
            string.len += 1;
        }
        string
    }
}

/// A letter's number; with a constant letter, a constant.
#[inline]
const fn number_of(letter: u8) -> Option<u32> {
    Some(match letter {
        b'S' => 0,
        b'H' => 1,
        b'A' => 2,
        b'D' => 3,
        b'F' => 4,
        b'R' => 5,
        b'T' => 6,
        b'W' => 7,
        b'Q' => 8,
        b'I' => 9,
        b'G' => 10,
        b'^' => 11,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_occurrences_in_order() {
        let mut history = History::default();
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
        assert_eq!(history.to_letters().as_str(), "ShADd");
    }

    #[test]
    fn sides_swap() {
        let mut history = History::default();
        history.note(FlowSide::Initiator, b'H');
        history.note(FlowSide::Responder, b'A');
        history.swap_sides();
        history.note(FlowSide::Responder, b'H');
        history.note(FlowSide::Initiator, b'D');
        assert_eq!(history.to_letters().as_str(), "hAD");
    }

    #[test]
    fn every_letter_of_both_sides_fits() {
        let mut history = History::default();
        for letter in 0..=u8::MAX {
            history.note(FlowSide::Responder, letter);
            history.note(FlowSide::Initiator, letter);
        }
        assert_eq!(history.to_letters().as_str(), "aAdDfFgGhHiIqQrRsStTwW^^");
    }
}
