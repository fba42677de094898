use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use crate::message::DnsDefect;
use crate::small::{Builder, SmallBytes};

/// Octets of a name on the wire, length octets and final zero included (RFC 1035 2.3.4).
const MAX_NAME: usize = 255;

/// Compression pointers followed for one name. Rationale: a name has at most 127 labels, so a
/// longer chain has pointers that point at nothing but pointers.
const MAX_POINTERS: usize = 127;

/// Octets of names that pointers may lead to within one message, each pointer counted as two.
///
/// Rationale: four times the longest message. Ordinary names behind a single pointer do not count,
/// so this is the work that chains of pointers can cause, about a millisecond.
const MAX_POINTED: usize = 262_144;

/// Text up to this long is kept in the name itself.
const INLINE: usize = 38;

/// A domain name as text: labels as sent, upper and lower case kept, with dots between them and
/// none at the end; the root is `.`.
///
/// Labels may have any bytes (RFC 2181 11). A dot or backslash inside a label is preceded by a
/// backslash. A label of UTF-8, as multicast DNS has them (RFC 6762 16, RFC 6763 4.3), is shown as
/// it is, spaces included, but for characters that would not show; all other bytes but printable
/// ASCII are `\DDD` in decimal (RFC 1035 5.1, RFC 4343 2.1). So the text always says exactly what
/// was sent. It is empty if what was sent is no name: too long, or with pointers that loop or
/// point out of the message.
///
/// Comparison is exact; use [`str::eq_ignore_ascii_case`] for that of RFC 4343.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct DnsName(SmallBytes<INLINE>);

impl DnsName {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_slice()).unwrap_or_default()
    }

    /// Whether this is the root, `.`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.as_slice() == b"."
    }

    /// Whether what was sent is a name.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !self.0.as_slice().is_empty()
    }

    /// Stands for what is no name.
    pub(crate) const UNREADABLE: Self = Self(SmallBytes::EMPTY);

    const ROOT: Self = {
        let mut text = [0; INLINE];
        text[0] = b'.';
        Self(SmallBytes::Inline(1, text))
    };

    /// Whether both are the same without regard to case (RFC 4343).
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0.as_slice().eq_ignore_ascii_case(other.0.as_slice())
    }

    /// Reads the name at `at` of `message`, and gives back where it ends there.
    ///
    /// Pointers may point anywhere in the message, forward too, which RFC 1035 does not allow
    /// but some senders do; their number is bounded.
    ///
    /// PERF: in place, since moving a name that was just written stalls.
    #[inline]
    pub(crate) fn read(&mut self, message: &Octets<'_>, at: usize) -> Result<usize, DnsDefect> {
        match message.from(at) {
            [0, ..] => {
                *self = Self::ROOT;
                Ok(at + 1)
            }
            // The commonest name of all points to one that is not compressed itself.
            &[high @ 0xC0..=0xFF, low, ..] => {
                match self.read_plain(message.octets, pointer(high, low)) {
                    Some(_) => Ok(at + 2),
                    None => self.read_any(message, at),
                }
            }
            _ => self.read_plain(message.octets, at).map_or_else(|| self.read_any(message, at), Ok),
        }
    }

    /// Reads a name that is not compressed, has nothing to escape, and is short enough to be
    /// copied at once. `None` is for all other names, and for what is no name.
    ///
    /// PERF: takes a sixth off the time that reading a short message takes, and inlining another
    /// tenth.
    #[inline(always)]
    fn read_plain(&mut self, message: &[u8], at: usize) -> Option<usize> {
        let octets = message.get(at..)?;
        let first = usize::from(*octets.first()?);
        let window = octets.get(1..)?;
        let mut text = [0; INLINE];
        match window.first_chunk() {
            Some(whole) => text = *whole,
            None => text.get_mut(..window.len())?.copy_from_slice(window),
        }
        // Lengths of labels that are control characters cannot be mistaken for text: if nothing
        // but them is odd, the labels need no escapes.
        let (mut len, mut lengths) = (first, 0_u8);
        (1..=31).contains(&first).then_some(())?;
        loop {
            match *window.get(len)? {
                _ if len > INLINE => return None,
                0 => break,
                label @ 1..=31 => {
                    len += 1 + usize::from(label);
                    lengths += 1;
                }
                _ => return None,
            }
        }
        let len = u8::try_from(len).ok()?;
        // Both loops go over the whole array, so that they are a few vector instructions.
        let mut odd = 0;
        for (octet, at) in text.iter().zip(0_u8..) {
            odd += is_odd(*octet) & u8::from(at < len);
        }
        (odd == lengths).then_some(())?;
        for octet in &mut text {
            *octet = if *octet < b' ' { b'.' } else { *octet };
        }
        self.0 = SmallBytes::Inline(len, text);
        Some(at + usize::from(len) + 2)
    }

    fn read_any(&mut self, message: &Octets<'_>, at: usize) -> Result<usize, DnsDefect> {
        let mut text = Builder::new();
        let end = message.for_each_label(at, |label| {
            if !text.is_empty() {
                text.push(b".");
            }
            push_label(&mut text, label);
        })?;
        *self = if text.is_empty() { Self::ROOT } else { Self(text.finish()) };
        Ok(end)
    }
}

/// Where the two octets of a pointer point to.
const fn pointer(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high & 0x3F, low]) as usize
}

/// 1 if a byte of a label needs an escape, otherwise 0.
const fn is_odd(byte: u8) -> u8 {
    (!byte.is_ascii_graphic() | (byte == b'.') | (byte == b'\\')) as u8
}

/// A message, and how many octets its pointers may still lead to.
#[derive(Clone, Debug)]
pub(crate) struct Octets<'a> {
    pub(crate) octets: &'a [u8],
    pointed: Cell<usize>,
}

impl<'a> Octets<'a> {
    pub(crate) const fn new(octets: &'a [u8]) -> Self {
        Self { octets, pointed: Cell::new(MAX_POINTED) }
    }

    pub(crate) fn from(&self, at: usize) -> &'a [u8] {
        self.octets.get(at..).unwrap_or_default()
    }

    /// Counts octets that a pointer led to.
    fn point(&self, octets: usize) -> Result<(), DnsDefect> {
        self.pointed.set(self.pointed.get().checked_sub(octets).ok_or(DnsDefect::BadName)?);
        Ok(())
    }

    /// Calls `label` with each label of the name at `at`, the root's empty one left out. Gives
    /// back where the name ends there.
    pub(crate) fn for_each_label(
        &self,
        mut at: usize,
        mut label: impl FnMut(&[u8]),
    ) -> Result<usize, DnsDefect> {
        let (mut end, mut length, mut pointers) = (None, 1, 0);
        loop {
            // What a pointer leads to must be there; what simply goes on may have been cut.
            let beyond = if end.is_some() { DnsDefect::BadName } else { DnsDefect::CutShort };
            let octet = *self.octets.get(at).ok_or(beyond)?;
            match octet >> 6 {
                0b00 if octet == 0 => return Ok(end.unwrap_or(at + 1)),
                0b00 => {
                    let next = at + 1 + usize::from(octet);
                    length += next - at;
                    if length > MAX_NAME {
                        return Err(DnsDefect::BadName);
                    }
                    if end.is_some() {
                        self.point(next - at)?;
                    }
                    label(self.octets.get(at + 1..next).ok_or(beyond)?);
                    at = next;
                }
                0b11 => {
                    pointers += 1;
                    if pointers > MAX_POINTERS {
                        return Err(DnsDefect::BadName);
                    }
                    self.point(2)?;
                    end = end.or(Some(at + 2));
                    let low = *self.octets.get(at + 1).ok_or(beyond)?;
                    at = pointer(octet, low);
                }
                // 0b01 were the extended labels that RFC 6891 5 gave up, 0b10 is unassigned.
                _ => return Err(DnsDefect::BadName),
            }
        }
    }

    /// Where the name at `at` ends, which need not make sense beyond that: at its first pointer
    /// or at the root. `None` if nothing says where.
    pub(crate) fn end_of_name(&self, mut at: usize) -> Option<usize> {
        loop {
            let octet = *self.octets.get(at)?;
            match octet >> 6 {
                0b00 if octet == 0 => return Some(at + 1),
                0b00 => at += 1 + usize::from(octet),
                0b11 => return (at + 1 < self.octets.len()).then_some(at + 2),
                _ => return None,
            }
        }
    }
}

fn push_label(text: &mut Builder<INLINE>, label: &[u8]) {
    if label.iter().all(|&byte| is_odd(byte) == 0) {
        text.push(label);
        return;
    }
    let Ok(label) = std::str::from_utf8(label) else {
        return label.iter().for_each(|&byte| push_byte(text, byte));
    };
    for character in label.chars() {
        let mut bytes = [0; 4];
        let bytes = character.encode_utf8(&mut bytes).as_bytes();
        if character.is_ascii_graphic() || is_hidden(character) {
            bytes.iter().for_each(|&byte| push_byte(text, byte));
        } else {
            text.push(bytes);
        }
    }
}

fn push_byte(text: &mut Builder<INLINE>, byte: u8) {
    match byte {
        b'.' | b'\\' => text.push(&[b'\\', byte]),
        b'!'..=b'~' => text.push(&[byte]),
        _ => text.push(&decimal_escape(byte)),
    }
}

/// Characters that would not show, or make others show in another place.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// `\DDD`.
pub(crate) const fn decimal_escape(byte: u8) -> [u8; 4] {
    [b'\\', b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10]
}

impl Deref for DnsName {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for DnsName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for DnsName {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for DnsName {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for DnsName {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::DnsDefect::{BadName, CutShort};
    use super::*;

    #[track_caller]
    fn check(message: &[u8], at: usize, expected: Result<(&str, usize), DnsDefect>) {
        let mut name = DnsName::UNREADABLE;
        let read = name.read(&Octets::new(message), at);
        assert_eq!(read.map(|end| (name.as_str(), end)), expected);
    }

    #[test]
    fn plain() {
        check(b"\x03www\x07Example\x00rest", 0, Ok(("www.Example", 13)));
        check(b"\x00", 0, Ok((".", 1)));
        check(b"\x26abcdefghijklmnopqrstuvwxyz0123456789-_\x03com\x00", 0, {
            Ok(("abcdefghijklmnopqrstuvwxyz0123456789-_.com", 44))
        });
    }

    #[test]
    fn escapes() {
        check(b"\x05a.b\\c\x02 \xFF\x00", 0, Ok(("a\\.b\\\\c.\\032\\255", 10)));
        check(b"\x06caf\xC3\xA9 \x00", 0, Ok(("caf\u{e9} ", 8)));
        check(b"\x04a\x1B.b\x03\xE2\x80\xAE\x00", 0, Ok(("a\\027\\.b.\\226\\128\\174", 10)));
    }

    #[test]
    fn pointers() {
        check(b"\x03com\x00\x02ab\xC0\x00", 5, Ok(("ab.com", 10)));
        check(b"\xC0\x03.\x01a\x00", 0, Ok(("a", 2)));
        check(b"\xC0\x00", 0, Err(BadName));
        check(b"\x01a\xC0\x00", 0, Err(BadName));
        check(b"\xC0\x10", 0, Err(BadName));
        check(b"\xC0", 0, Err(CutShort));
    }

    #[test]
    fn as_many_pointers_as_labels() {
        let chain = |pointers: u8| {
            let mut message: Vec<u8> = (1..=pointers).flat_map(|i| [0xC0, i * 2]).collect();
            message.push(0);
            message
        };
        check(&chain(127), 0, Ok((".", 2)));
        let mut longer = b"\xC0\x02".to_vec();
        longer.extend((2..=127_u8).flat_map(|i| [0xC0, i * 2]));
        longer.extend(b"\xC1\x00\x00");
        check(&longer, 0, Err(BadName));
    }

    #[test]
    fn too_long_or_cut() {
        let label = [&[63][..], &[b'x'; 63]].concat();
        let longest = [&label.repeat(3)[..], &[61], &[b'x'; 61], &[0]].concat();
        assert_eq!(longest.len(), 255);
        let mut name = DnsName::UNREADABLE;
        assert_eq!(name.read(&Octets::new(&longest), 0), Ok(255));
        assert_eq!(name.len(), 253);
        check(&[&label.repeat(3)[..], &[62], &[b'x'; 62], &[0]].concat(), 0, Err(BadName));
        check(b"\x03ab", 0, Err(CutShort));
        check(b"\x03abc", 0, Err(CutShort));
        check(b"\x41a\x00", 0, Err(BadName));
        check(b"", 0, Err(CutShort));
        check(b"", 7, Err(CutShort));
    }
}
