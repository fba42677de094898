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
    /// From the body of a handshake message; `None` if a length in it lies.
    pub(crate) fn parse(body: &Bytes) -> Option<Self> {
        let mut list = Reader::new(Reader::new(body).vec24()?);
        let mut certificates = Vec::new();
        while !list.is_empty() {
            certificates.push(TlsCertificate { der: body.slice_ref(list.vec24()?) });
        }
        Some(Self { certificates })
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
