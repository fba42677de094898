use crate::alert::TlsAlert;
use crate::certificate::TlsCertificateChain;
use crate::client_hello::TlsClientHello;
use crate::server_hello::TlsServerHello;
use crate::ticket::TlsNewSessionTicket;

/// What a [`TlsParser`](crate::TlsParser) finds.
///
/// Its place in the stream begins with the record in which the message begins, and ends with the
/// message; so messages that share a record overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsMessage {
    /// A client offers; twice after a HelloRetryRequest.
    ClientHello(Box<TlsClientHello>),
    /// A server chooses, or asks for another ClientHello.
    ServerHello(Box<TlsServerHello>),
    /// The certificates of the server or the client, up to TLS 1.2.
    Certificate(TlsCertificateChain),
    /// A ticket for the next session, up to TLS 1.2.
    NewSessionTicket(Box<TlsNewSessionTicket>),
    /// An alert in clear.
    Alert(TlsAlert),
    /// The fingerprints of the hello right before it, if
    /// [`TlsConfig::fingerprints`](crate::TlsConfig::fingerprints) asks for them.
    #[cfg(feature = "fingerprint")]
    Fingerprint(Box<crate::TlsFingerprint>),
}

/// Callbacks for what is found in TLS connections. Each does nothing unless overridden.
pub trait TlsHandler: Send + Sync + 'static {
    /// A client offered.
    fn on_client_hello(&self, hello: &TlsClientHello) {
        let _ = hello;
    }

    /// A server chose, or asked for another ClientHello.
    fn on_server_hello(&self, hello: &TlsServerHello) {
        let _ = hello;
    }

    /// One side showed its certificates.
    fn on_certificate(&self, chain: &TlsCertificateChain) {
        let _ = chain;
    }

    /// The server gave a ticket for the next session.
    fn on_new_session_ticket(&self, ticket: &TlsNewSessionTicket) {
        let _ = ticket;
    }

    /// One side sent an alert in clear.
    fn on_alert(&self, alert: &TlsAlert) {
        let _ = alert;
    }

    /// The fingerprints of the hello that was just given, if
    /// [`TlsConfig::fingerprints`](crate::TlsConfig::fingerprints) asks for them.
    #[cfg(feature = "fingerprint")]
    fn on_fingerprint(&self, fingerprint: &crate::TlsFingerprint) {
        let _ = fingerprint;
    }
}
