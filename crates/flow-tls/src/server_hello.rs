use bytes::Bytes;

use crate::extension::{
    ALPN, COOKIE, KEY_SHARE, PRE_SHARED_KEY, SUPPORTED_VERSIONS, cookie, protocols, read_extensions,
};
use crate::reader::{Reader, padded};
use crate::resumption::TlsResumption;
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
    /// The server's random; a shorter connection ID of SSL 2.0 is padded with zeros in front.
    pub random: [u8; 32],
    /// The session's name; in TLS 1.3 an echo of the client's.
    pub session_id: Bytes,
    /// Whether that is the session ID of the ClientHello, an empty one included; `None` if no
    /// ClientHello was seen before.
    pub session_id_echoed: Option<bool>,
    /// The chosen cipher suite; 0 in a hello in the SSL 2.0 form, which leaves that to the client.
    pub cipher_suite: u16,
    /// The cipher specs of a hello in the SSL 2.0 form: those offered that the server takes.
    pub ssl2_cipher_specs: Vec<[u8; 3]>,
    /// The chosen compression method.
    pub compression: u8,
    /// The types of all extensions, in the order sent.
    pub extension_types: Vec<u16>,
    /// The chosen protocol (RFC 7301); TLS 1.3 sends it encrypted.
    pub alpn: Option<Bytes>,
    /// The group of `key_share`: of the server's key, or, in a HelloRetryRequest, which the
    /// client is to use (RFC 8446 section 4.2.8). See [`group_name`](crate::group_name).
    pub key_share: Option<u16>,
    /// The index, from 0, of the chosen pre-shared key in the client's list.
    pub selected_psk: Option<u16>,
    /// The cookie of a HelloRetryRequest (RFC 8446 section 4.2.2).
    pub cookie: Option<Bytes>,
    /// This is a HelloRetryRequest (RFC 8446 section 4.1.4).
    pub hello_retry: bool,
    /// Whether this goes on with an earlier session; `None` if the ClientHello was not seen
    /// before, if the hello does not tell (a ticket taken up to TLS 1.2 without an echo), and in
    /// a HelloRetryRequest.
    pub resumption: Option<TlsResumption>,
}

impl TlsServerHello {
    /// The negotiated version.
    #[must_use]
    pub fn version(&self) -> TlsVersion {
        self.supported_version.unwrap_or(self.legacy_version)
    }

    /// From the body of a handshake message; `None` if it is cut short before the extensions. Puts
    /// what else is wrong into `violations`.
    pub(crate) fn parse(
        record_version: TlsVersion,
        body: &Bytes,
        violations: &mut Vec<&'static str>,
    ) -> Option<Self> {
        let mut reader = Reader::new(body);
        let mut hello = Self::new(record_version, TlsVersion::from_raw(reader.u16()?));
        hello.random = reader.array()?;
        hello.hello_retry = hello.random == HELLO_RETRY_REQUEST;
        // Drafts 18 to 21 of TLS 1.3 left session and compression out.
        let draft = matches!(hello.legacy_version, TlsVersion::Other(0x7f00..=0x7f15));
        hello.session_id = if draft { Bytes::new() } else { body.slice_ref(reader.vec8()?) };
        hello.cipher_suite = reader.u16()?;
        hello.compression = if draft { 0 } else { reader.u8()? };
        hello.extension_types = read_extensions(reader.rest(), violations, |kind, content| {
            hello.read_extension(kind, content, body)
        });
        Some(hello)
    }

    /// From an SSL 2.0 record with its header of two bytes, with the DER encoding of the
    /// certificate in it, which is not there if an earlier session goes on.
    pub(crate) fn parse_ssl2(record: &Bytes) -> Option<(Self, Option<Bytes>)> {
        const X509: u8 = 1;
        let mut reader = Reader::new(record.get(3..)?);
        let (hit, kind) = (reader.u8()? != 0, reader.u8()?);
        let mut hello = Self::new(TlsVersion::Ssl2, TlsVersion::from_raw(reader.u16()?));
        let (certificate, specs, connection) = (reader.u16()?, reader.u16()?, reader.u16()?);
        let certificate = reader.take(certificate.into())?;
        hello.ssl2_cipher_specs = reader.take(specs.into())?.as_chunks().0.to_vec();
        hello.random = padded(reader.take(connection.into())?);
        hello.resumption = Some(if hit { TlsResumption::SessionId } else { TlsResumption::Full });
        let shown = kind == X509 && !certificate.is_empty();
        Some((hello, shown.then(|| record.slice_ref(certificate))))
    }

    fn new(record_version: TlsVersion, legacy_version: TlsVersion) -> Self {
        Self {
            record_version,
            legacy_version,
            supported_version: None,
            random: [0; 32],
            session_id: Bytes::new(),
            session_id_echoed: None,
            cipher_suite: 0,
            ssl2_cipher_specs: Vec::new(),
            compression: 0,
            extension_types: Vec::new(),
            alpn: None,
            key_share: None,
            selected_psk: None,
            cookie: None,
            hello_retry: false,
            resumption: None,
        }
    }

    /// Takes what is of interest in an extension; says whether it is well formed, as far as that
    /// was looked at.
    fn read_extension(&mut self, kind: u16, content: &[u8], body: &Bytes) -> bool {
        let mut reader = Reader::new(content);
        match kind {
            ALPN => {
                let (names, proper) = protocols(content, body);
                self.alpn = names.into_iter().next();
                proper
            }
            SUPPORTED_VERSIONS => {
                self.supported_version = reader.u16().map(TlsVersion::from_raw);
                self.supported_version.is_some() && reader.is_empty()
            }
            KEY_SHARE => {
                self.key_share = reader.u16();
                let key = self.hello_retry || reader.vec16().is_some();
                self.key_share.is_some() && key && reader.is_empty()
            }
            PRE_SHARED_KEY => {
                self.selected_psk = reader.u16();
                self.selected_psk.is_some() && reader.is_empty()
            }
            COOKIE => {
                let proper;
                (self.cookie, proper) = cookie(content, body);
                proper
            }
            _ => true,
        }
    }
}

/// The SHA-256 of "HelloRetryRequest", which marks one in place of a random.
const HELLO_RETRY_REQUEST: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];
