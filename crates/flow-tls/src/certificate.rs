use bytes::Bytes;

use crate::reader::Reader;

/// The certificates of one side, its own first (RFC 5246 section 7.4.2). Empty when a client was
/// asked for one and has none.
///
/// Seen up to TLS 1.2: TLS 1.3 encrypts them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsCertificateChain {
    /// The certificates, in the order sent.
    pub certificates: Vec<TlsCertificate>,
}

impl TlsCertificateChain {
    /// From the body of a handshake message; `None` if a length in it lies, or if there are more
    /// certificates than any chain has.
    pub(crate) fn parse(body: &Bytes) -> Option<Self> {
        let mut list = Reader::new(Reader::new(body).vec24()?);
        let mut certificates = Vec::new();
        while !list.is_empty() {
            if certificates.len() == MAX_CHAIN {
                return None;
            }
            certificates.push(TlsCertificate { der: body.slice_ref(list.vec24()?) });
        }
        Some(Self { certificates })
    }

    /// The certificate of an SSL 2.0 server.
    pub(crate) fn of_one(der: Bytes) -> Self {
        Self { certificates: vec![TlsCertificate { der }] }
    }
}

/// One certificate, as sent. Its fields are decoded on request only.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsCertificate {
    /// The DER encoding.
    pub der: Bytes,
}

impl TlsCertificate {
    /// The SHA-256 of the DER encoding, which names a certificate.
    #[cfg(feature = "fingerprint")]
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        use sha2::Digest as _;
        sha2::Sha256::digest(&self.der).into()
    }

    /// The fields of the X.509 certificate (RFC 5280); `None` if it is malformed.
    #[cfg(feature = "certificates")]
    #[must_use]
    pub fn details(&self) -> Option<crate::CertificateDetails> {
        crate::CertificateDetails::parse(&self.der)
    }
}

/// Certificates in a chain.
///
/// Rationale: more than ten are unheard of, and a million empty ones would take ten times the
/// space of their message.
const MAX_CHAIN: usize = 1024;
