//! Numbers of the record and handshake layers (RFC 8446 sections 4 and 5.1), and small buffers.

use flow_session::Mark;

pub(crate) const CHANGE_CIPHER_SPEC: u8 = 20;
pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;
pub(crate) const HEARTBEAT: u8 = 24;

pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
pub(crate) const NEW_SESSION_TICKET: u8 = 4;
pub(crate) const CERTIFICATE: u8 = 11;

/// Type, version, length.
pub(crate) const RECORD_HEADER: usize = 5;

/// The longest encrypted record: 2^14 bytes and 2048 for compression, MAC and padding (RFC 5246
/// section 6.2.3).
pub(crate) const MAX_RECORD: u16 = MAX_CLEAR_RECORD + 2048;

/// The longest record in clear (RFC 8446 section 5.1); nothing is won by being strict.
pub(crate) const MAX_CLEAR_RECORD: u16 = 1 << 14;

/// Type and length.
pub(crate) const HANDSHAKE_HEADER: usize = 4;

/// Type and length with header, from the first bytes of a handshake message.
pub(crate) fn handshake_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, len @ ..] = *bytes.first_chunk::<HANDSHAKE_HEADER>()?;
    Some((kind, crate::reader::u24(len) + HANDSHAKE_HEADER))
}

/// Up to `N` bytes of something whose length is not known before they are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head<const N: usize> {
    bytes: [u8; N],
    len: u8,
}

impl<const N: usize> Head<N> {
    /// Takes bytes from `from` until `want` are held, and says how many it took.
    pub(crate) fn fill(&mut self, from: &[u8], want: usize) -> usize {
        let free = self.bytes.get_mut(self.len.into()..want).unwrap_or_default();
        let taken = free.len().min(from.len());
        for (to, from) in free.iter_mut().zip(from) {
            *to = *from;
        }
        self.len = self.len.saturating_add(u8::try_from(taken).unwrap_or(u8::MAX));
        taken
    }

    pub(crate) fn len(&self) -> usize {
        self.len.into()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len()).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}

impl<const N: usize> Default for Head<N> {
    fn default() -> Self {
        Self { bytes: [0; N], len: 0 }
    }
}

/// Where a record began, and what its header says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) start: Mark,
    pub(crate) kind: u8,
    pub(crate) version: u16,
    /// Length of its fragment.
    pub(crate) len: u16,
    /// How much of that is still to come: `left <= len <= MAX_RECORD`.
    pub(crate) left: u16,
}

impl Default for Record {
    fn default() -> Self {
        Self { start: Mark { offset: 0, packet: 0 }, kind: 0, version: 0, len: 0, left: 0 }
    }
}

/// A message of which only the beginning has come.
#[derive(Clone, Debug)]
pub(crate) struct Partial {
    /// The first byte of the record in which it begins.
    pub(crate) start: Mark,
    /// The version in that record's header.
    pub(crate) record_version: u16,
    /// What has come, at most `want` bytes.
    pub(crate) bytes: Vec<u8>,
    /// Bytes it needs: those of its header until that is there, then all.
    pub(crate) want: usize,
}

impl Partial {
    /// Takes what it needs from the front of `bytes`, and says how much that was.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> usize {
        let missing = self.want.saturating_sub(self.bytes.len());
        let taken = bytes.get(..missing).unwrap_or(bytes);
        self.bytes.extend_from_slice(taken);
        taken.len()
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.bytes.len() >= self.want
    }
}
