use bytes::Bytes;

use crate::client_hello::TlsClientHello;
use crate::extension::TlsSessionTicket;
use crate::server_hello::TlsServerHello;

/// Whether a server's hello goes on with an earlier session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsResumption {
    /// It does not: this is a full handshake.
    Full,
    /// By the session ID that the client sent and the server echoes (RFC 5246 section 7.4.1.3),
    /// or by the SSL 2.0 server's word.
    SessionId,
    /// By the client's ticket: the server echoes a session ID that the client made up for just
    /// that (RFC 5077 section 3.4).
    Ticket,
    /// By a pre-shared key of the client's offer (RFC 8446 section 4.2.11), nearly always that of
    /// an earlier session; one agreed on elsewhere looks the same.
    Psk,
}

/// What a ClientHello offers to resume, as far as the server's answer needs it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    /// The session ID, of which the first `session_id_len` bytes are meant.
    session_id: [u8; 32],
    session_id_len: u8,
    ticket: bool,
    psks: u16,
}

impl Offer {
    /// `None` if its session ID is longer than TLS allows, so that nothing can be told.
    pub(crate) fn of(hello: &TlsClientHello) -> Option<Self> {
        let mut session_id = [0; 32];
        session_id.get_mut(..hello.session_id.len())?.copy_from_slice(&hello.session_id);
        Some(Self {
            session_id,
            session_id_len: u8::try_from(hello.session_id.len()).ok()?,
            ticket: matches!(hello.session_ticket, Some(TlsSessionTicket::Offered(_))),
            psks: hello.psk_identities,
        })
    }

    /// Whether `session_id` is the one offered.
    pub(crate) fn is_echoed(&self, session_id: &Bytes) -> bool {
        self.session_id.get(..self.session_id_len.into()) == Some(session_id)
    }

    /// Whether there is an identity with this index.
    pub(crate) const fn has_psk(&self, index: u16) -> bool {
        index < self.psks
    }

    /// How `hello`, the answer, goes on; `None` if that does not show.
    pub(crate) fn answered(&self, hello: &TlsServerHello) -> Option<TlsResumption> {
        if hello.version().hides_handshake() {
            let psk = hello.selected_psk.is_some();
            return Some(if psk { TlsResumption::Psk } else { TlsResumption::Full });
        }
        match (self.session_id_len, self.ticket) {
            // A client that offers a ticket need not make up a session ID, and then only the
            // messages after the hello tell.
            (0, true) => None,
            (1.., ticket) if self.is_echoed(&hello.session_id) => {
                Some(if ticket { TlsResumption::Ticket } else { TlsResumption::SessionId })
            }
            _ => Some(TlsResumption::Full),
        }
    }
}
