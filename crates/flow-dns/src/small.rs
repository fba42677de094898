use std::fmt;
use std::hash::{Hash, Hasher};

/// Bytes that stand in the value itself up to `N` of them, and on the heap beyond.
///
/// Nearly all names and most record data are short, so that a message needs no allocation for
/// each of them.
#[derive(Clone)]
pub(crate) enum SmallBytes<const N: usize> {
    /// Invariant: the length is at most `N`. What is behind it has no meaning.
    Inline(u8, [u8; N]),
    Heap(Box<[u8]>),
}

impl<const N: usize> SmallBytes<N> {
    pub(crate) const EMPTY: Self = Self::Inline(0, [0; N]);

    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut inline = [0; N];
        match (inline.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(room), Ok(len)) => {
                room.copy_from_slice(bytes);
                Self::Inline(len, inline)
            }
            _ => Self::Heap(bytes.into()),
        }
    }

    /// The first `len` of `bytes`, as many as there are.
    ///
    /// PERF: copying the whole array is a few instructions, copying some bytes is a call.
    #[inline]
    pub(crate) fn first_of(bytes: &[u8], len: usize) -> Self {
        match (bytes.first_chunk(), u8::try_from(len)) {
            (Some(whole), Ok(short)) if len <= N => Self::Inline(short, *whole),
            _ => Self::new(bytes.get(..len).unwrap_or(bytes)),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Heap(bytes) => bytes,
        }
    }
}

impl<const N: usize> PartialEq for SmallBytes<N> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<const N: usize> Eq for SmallBytes<N> {}

impl<const N: usize> Hash for SmallBytes<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<const N: usize> fmt::Debug for SmallBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_slice().fmt(f)
    }
}

/// Collects bytes for a [`SmallBytes`], without the heap until they do not fit.
pub(crate) struct Builder<const N: usize> {
    len: usize,
    inline: [u8; N],
    /// Everything, once `inline` was too short.
    heap: Vec<u8>,
}

impl<const N: usize> Builder<N> {
    pub(crate) fn new() -> Self {
        Self { len: 0, inline: [0; N], heap: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.inline.get_mut(self.len..end) {
            Some(room) => room.copy_from_slice(bytes),
            None => {
                if self.heap.is_empty() {
                    self.heap.extend_from_slice(self.inline.get(..self.len).unwrap_or_default());
                }
                self.heap.extend_from_slice(bytes);
            }
        }
        self.len = end;
    }

    pub(crate) fn finish(self) -> SmallBytes<N> {
        match u8::try_from(self.len) {
            Ok(len) if self.len <= N => SmallBytes::Inline(len, self.inline),
            _ => SmallBytes::Heap(self.heap.into_boxed_slice()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_and_heap_hold_the_same() {
        let bytes: Vec<u8> = (0..100).collect();
        for len in 0..bytes.len() {
            let expected = &bytes[..len];
            let small = SmallBytes::<8>::new(expected);
            assert_eq!(small.as_slice(), expected);
            assert_eq!(matches!(small, SmallBytes::Inline(..)), len <= 8);
            assert_eq!(SmallBytes::<8>::first_of(&bytes, len), small);
            assert_eq!(SmallBytes::<8>::first_of(expected, len), small);
            for piece in 1..=len.max(1) {
                let mut builder = Builder::<8>::new();
                expected.chunks(piece).for_each(|chunk| builder.push(chunk));
                assert_eq!(builder.finish(), small);
            }
        }
    }
}
