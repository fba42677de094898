use bytes::Bytes;

use crate::reader::Reader;

/// A ticket with which the client may resume the session (RFC 5077 section 3.3).
///
/// Seen up to TLS 1.2: TLS 1.3 encrypts its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsNewSessionTicket {
    /// For how long the server means to take it, in seconds; 0 leaves that open.
    pub lifetime_hint: u32,
    /// The ticket, of which only its server can make sense; empty if it gives none after all.
    pub ticket: Bytes,
}

impl TlsNewSessionTicket {
    /// From the body of a handshake message; `None` if its length lies.
    pub(crate) fn parse(body: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(body);
        let lifetime_hint = u32::from_be_bytes(reader.array()?);
        let ticket = body.slice_ref(reader.vec16()?);
        reader.is_empty().then_some(Self { lifetime_hint, ticket })
    }
}
