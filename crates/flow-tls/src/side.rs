use crate::detect::DETECTION_LEN;
use crate::record::{ALERT, HANDSHAKE, HANDSHAKE_HEADER, Head, Partial, Record};

/// One direction of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub(crate) state: State,
    /// The first bytes of the stream, of a record header, or of an alert.
    pub(crate) head: Head<DETECTION_LEN>,
    /// The current record.
    pub(crate) record: Record,
    /// ClientHellos seen; a side with any is the client.
    pub(crate) hellos: u8,
    /// The client offered early data, and may send it before it has an answer.
    pub(crate) early_data: bool,
    /// The client has sent a ChangeCipherSpec that need not mean what it says: TLS 1.3 sends one
    /// before the second ClientHello to please middleboxes (RFC 8446 appendix D.4).
    pub(crate) after_ccs: bool,
    /// Records in a row that brought no handshake message further.
    pub(crate) idle_records: u8,
    /// Bytes of the records in clear, headers included.
    pub(crate) in_clear: u32,
    /// Bytes of the records with early data, headers included.
    pub(crate) early: u32,
    /// Bytes of a handshake message of no interest that are still to come.
    pub(crate) skip: usize,
    /// A message that waits for its rest.
    pub(crate) partial: Option<Box<Partial>>,
}

/// What a side waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// The first bytes, which tell whether this is TLS.
    #[default]
    Opening,
    /// The rest of an SSL 2.0 hello.
    Ssl2Hello,
    /// Records.
    Records,
    /// Nothing.
    Done,
}

impl Side {
    /// Nothing more is needed; what is held goes.
    pub(crate) fn stop(&mut self) {
        *self = Self { state: State::Done, hellos: self.hellos, ..Self::default() };
    }

    /// Keeps the beginning of a message that needs `want` bytes for the next step.
    pub(crate) fn keep(&mut self, bytes: &[u8], want: usize) {
        self.partial = Some(Box::new(Partial {
            start: self.record.start,
            record_version: self.record.version,
            bytes: bytes.to_vec(),
            want,
        }));
    }

    /// Gives up the handshake message that has begun, if one has.
    pub(crate) fn drop_message(&mut self) {
        self.skip = 0;
        self.partial = None;
    }

    /// Whether a handshake message has begun and not ended.
    pub(crate) fn is_amid_message(&self) -> bool {
        self.skip > 0 || self.partial.is_some()
    }

    /// Passes over `len` missing bytes if it is known what they were, all of them inside one
    /// record: data of no interest, the rest of an alert, or a part of one handshake message,
    /// which is lost alone.
    pub(crate) fn jump(&mut self, len: u64) -> bool {
        let inside = u16::try_from(len).ok().filter(|len| *len <= self.record.left);
        let Some(len) = inside.filter(|_| self.state == State::Records) else { return false };
        match self.record.kind {
            HANDSHAKE => {
                let missing = self.partial.as_ref().map_or(0, |partial| match partial.want {
                    HANDSHAKE_HEADER => 0,
                    want => want - partial.bytes.len(),
                });
                let skip = self.skip.max(missing);
                if usize::from(len) > skip {
                    return false;
                }
                self.skip = skip - usize::from(len);
                self.partial = None;
            }
            ALERT if len < self.record.left => return false,
            _ => self.head.clear(),
        }
        self.record.left -= len;
        true
    }

    /// Memory on the heap.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| size_of::<Partial>() + partial.bytes.capacity())
    }
}
