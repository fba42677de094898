/// Reads big-endian fields off the front of a slice that shrinks with every read.
///
/// A read that does not fit gives `None` and leaves the slice as it was; nothing can panic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.array().map(u24)
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    /// A vector whose length is in the byte before it.
    pub(crate) fn vec8(&mut self) -> Option<&'a [u8]> {
        let mut after = *self;
        let len = after.u8()?;
        let vec = after.take(len.into())?;
        *self = after;
        Some(vec)
    }

    /// A vector whose length is in the two bytes before it.
    pub(crate) fn vec16(&mut self) -> Option<&'a [u8]> {
        let mut after = *self;
        let len = after.u16()?;
        let vec = after.take(len.into())?;
        *self = after;
        Some(vec)
    }

    /// A number and such a vector, as extensions and key shares are.
    pub(crate) fn u16_vec16(&mut self) -> Option<(u16, &'a [u8])> {
        let mut after = *self;
        let pair = (after.u16()?, after.vec16()?);
        *self = after;
        Some(pair)
    }

    /// A vector whose length is in the three bytes before it.
    pub(crate) fn vec24(&mut self) -> Option<&'a [u8]> {
        let mut after = *self;
        let len = after.u24()?;
        let vec = after.take(len)?;
        *self = after;
        Some(vec)
    }
}

/// A 24-bit number, the length field of handshake messages and certificates.
pub(crate) fn u24([high, middle, low]: [u8; 3]) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// The 16-bit numbers in `bytes`; an odd byte at the end is left out.
pub(crate) fn u16s(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|pair| u16::from_be_bytes(*pair)).collect()
}

/// The last bytes of a random of 32, the others of which are zero.
pub(crate) fn padded(bytes: &[u8]) -> [u8; 32] {
    let mut random = [0; 32];
    for (to, from) in random.iter_mut().rev().zip(bytes.iter().rev()) {
        *to = *from;
    }
    random
}
