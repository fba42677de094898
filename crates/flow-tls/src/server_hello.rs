use bytes::Bytes;

use crate::client_hello::{ALPN, SUPPORTED_VERSIONS, protocols};
use crate::reader::{Reader, extensions};
use crate::version::TlsVersion;

/// What a server chose (RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3), or, with
/// [`hello_retry`](Self::hello_retry), its wish for another ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsServerHello {
    /// The version in the header of the record in which the hello begins.
    pub record_version: TlsVersion,
    /// The hello's own version field: what was chosen, up to TLS 1.2.
    pub legacy_version: TlsVersion,
    /// The version of the extension `supported_versions`: what was chosen, from TLS 1.3 on.
    pub supported_version: Option<TlsVersion>,
    /// The server's random.
    pub random: [u8; 32],
    /// The session's name; in TLS 1.3 an echo of the client's.
    pub session_id: Bytes,
    /// The chosen cipher suite.
    pub cipher_suite: u16,
    /// The chosen compression method.
    pub compression: u8,
    /// The types of all extensions, in the order sent.
    pub extension_types: Vec<u16>,
    /// The chosen protocol (RFC 7301); TLS 1.3 sends it encrypted.
    pub alpn: Option<Bytes>,
    /// This is a HelloRetryRequest (RFC 8446 section 4.1.4).
    pub hello_retry: bool,
}

impl TlsServerHello {
    /// The negotiated version.
    #[must_use]
    pub fn version(&self) -> TlsVersion {
        self.supported_version.unwrap_or(self.legacy_version)
    }

    /// From the body of a handshake message; `None` if it is cut short before the extensions.
    pub(crate) fn parse(record_version: TlsVersion, body: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(body);
        let legacy_version = TlsVersion::from_raw(reader.u16()?);
        let random = reader.array()?;
        // Drafts 18 to 21 of TLS 1.3 left session and compression out.
        let draft = matches!(legacy_version, TlsVersion::Other(0x7f00..=0x7f15));
        let session_id = if draft { Bytes::new() } else { body.slice_ref(reader.vec8()?) };
        let cipher_suite = reader.u16()?;
        let compression = if draft { 0 } else { reader.u8()? };
        let mut hello = Self {
            record_version,
            legacy_version,
            supported_version: None,
            random,
            session_id,
            cipher_suite,
            compression,
            extension_types: Vec::new(),
            alpn: None,
            hello_retry: random == HELLO_RETRY_REQUEST,
        };
        for (kind, content) in extensions(&mut reader) {
            hello.extension_types.push(kind);
            match kind {
                ALPN => hello.alpn = protocols(content, body).into_iter().next(),
                SUPPORTED_VERSIONS => {
                    hello.supported_version = Reader::new(content).u16().map(TlsVersion::from_raw);
                }
                _ => {}
            }
        }
        Some(hello)
    }
}

/// The SHA-256 of "HelloRetryRequest", which marks one in place of a random.
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
