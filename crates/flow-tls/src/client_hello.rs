use bytes::Bytes;

use crate::reader::{Reader, extensions, u16s};
use crate::version::TlsVersion;

/// What a client offers (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2).
///
/// Lists are in the order sent and include GREASE values (RFC 8701; see
/// [`is_grease`](crate::is_grease)). An extension whose content is malformed stands in
/// [`extension_types`](Self::extension_types), and its field is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsClientHello {
    /// The version in the header of the record in which the hello begins;
    /// [`TlsVersion::Ssl2`] for a hello in the SSL 2.0 form.
    pub record_version: TlsVersion,
    /// The hello's own version field: the highest version offered up to TLS 1.2, and
    /// [`TlsVersion::Tls1_2`] where newer ones are offered in `supported_versions`.
    pub legacy_version: TlsVersion,
    /// The client's random; a shorter SSL 2.0 challenge is padded with zeros in front.
    pub random: [u8; 32],
    /// The session to resume, or any bytes for the sake of middleboxes; 32 at most in proper TLS.
    pub session_id: Bytes,
    /// The cipher suites.
    pub cipher_suites: Vec<u16>,
    /// All cipher specs of a hello in the SSL 2.0 form, three bytes each. Those that begin with
    /// a zero are the later versions' suites and stand in `cipher_suites` too.
    pub ssl2_cipher_specs: Vec<[u8; 3]>,
    /// The compression methods.
    pub compression: Bytes,
    /// The types of all extensions.
    pub extension_types: Vec<u16>,
    /// The host name of `server_name` (RFC 6066), bytes that are no UTF-8 replaced by U+FFFD.
    pub sni: Option<String>,
    /// The protocols of `application_layer_protocol_negotiation` (RFC 7301).
    pub alpn: Vec<Bytes>,
    /// `supported_versions` (RFC 8446 section 4.2.1).
    pub supported_versions: Vec<TlsVersion>,
    /// `supported_groups`, once called elliptic curves.
    pub supported_groups: Vec<u16>,
    /// `ec_point_formats` (RFC 8422).
    pub point_formats: Bytes,
    /// `signature_algorithms`.
    pub signature_algorithms: Vec<u16>,
}

impl TlsClientHello {
    /// From the body of a handshake message; `None` if it is cut short before the extensions.
    pub(crate) fn parse(record_version: TlsVersion, body: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(body);
        let mut hello = Self::new(record_version, TlsVersion::from_raw(reader.u16()?));
        hello.random = reader.array()?;
        hello.session_id = body.slice_ref(reader.vec8()?);
        hello.cipher_suites = u16s(reader.vec16()?);
        hello.compression = body.slice_ref(reader.vec8()?);
        for (kind, content) in extensions(&mut reader) {
            hello.extension_types.push(kind);
            hello.read_extension(kind, content, body);
        }
        Some(hello)
    }

    /// From an SSL 2.0 record with its header of two bytes (RFC 5246 appendix E.2).
    pub(crate) fn parse_ssl2(record: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(record.get(3..)?);
        let mut hello = Self::new(TlsVersion::Ssl2, TlsVersion::from_raw(reader.u16()?));
        let (specs, session, challenge) = (reader.u16()?, reader.u16()?, reader.u16()?);
        hello.ssl2_cipher_specs = reader.take(specs.into())?.as_chunks().0.to_vec();
        hello.session_id = record.slice_ref(reader.take(session.into())?);
        let challenge = reader.take(challenge.into())?;
        for (to, from) in hello.random.iter_mut().rev().zip(challenge.iter().rev()) {
            *to = *from;
        }
        hello.cipher_suites = hello
            .ssl2_cipher_specs
            .iter()
            .filter_map(|&[kind, high, low]| (kind == 0).then_some(u16::from_be_bytes([high, low])))
            .collect();
        Some(hello)
    }

    /// Whether the client may send application data before it has an answer.
    pub(crate) fn offers_early_data(&self) -> bool {
        self.extension_types.contains(&EARLY_DATA)
    }

    fn new(record_version: TlsVersion, legacy_version: TlsVersion) -> Self {
        Self {
            record_version,
            legacy_version,
            random: [0; 32],
            session_id: Bytes::new(),
            cipher_suites: Vec::new(),
            ssl2_cipher_specs: Vec::new(),
            compression: Bytes::new(),
            extension_types: Vec::new(),
            sni: None,
            alpn: Vec::new(),
            supported_versions: Vec::new(),
            supported_groups: Vec::new(),
            point_formats: Bytes::new(),
            signature_algorithms: Vec::new(),
        }
    }

    fn read_extension(&mut self, kind: u16, content: &[u8], body: &Bytes) {
        let mut reader = Reader::new(content);
        match kind {
            SERVER_NAME => self.sni = host_name(content),
            SUPPORTED_GROUPS => {
                self.supported_groups = reader.vec16().map(u16s).unwrap_or_default();
            }
            POINT_FORMATS => {
                self.point_formats =
                    reader.vec8().map(|formats| body.slice_ref(formats)).unwrap_or_default();
            }
            SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = reader.vec16().map(u16s).unwrap_or_default();
            }
            ALPN => self.alpn = protocols(content, body),
            SUPPORTED_VERSIONS => {
                let raw = reader.vec8().map(u16s).unwrap_or_default();
                self.supported_versions = raw.into_iter().map(TlsVersion::from_raw).collect();
            }
            _ => {}
        }
    }
}

/// The first host name of a `server_name` extension.
fn host_name(content: &[u8]) -> Option<String> {
    const HOST_NAME: u8 = 0;
    let mut names = Reader::new(Reader::new(content).vec16()?);
    loop {
        let (kind, name) = (names.u8()?, names.vec16()?);
        if kind == HOST_NAME {
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
}

/// The protocol names of an ALPN extension, up to the first that is cut short.
pub(crate) fn protocols(content: &[u8], body: &Bytes) -> Vec<Bytes> {
    let mut names = Reader::new(Reader::new(content).vec16().unwrap_or_default());
    std::iter::from_fn(|| names.vec8().map(|name| body.slice_ref(name))).collect()
}

pub(crate) const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
const EARLY_DATA: u16 = 42;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
