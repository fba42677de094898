use bytes::Bytes;

use crate::extension::{
    ALPN, COMPRESS_CERTIFICATE, COOKIE, DELEGATED_CREDENTIAL, EARLY_DATA, ENCRYPTED_CLIENT_HELLO,
    ENCRYPTED_SERVER_NAME, EXTENDED_MASTER_SECRET, KEY_SHARE, POINT_FORMATS, PRE_SHARED_KEY,
    PSK_KEY_EXCHANGE_MODES, RECORD_SIZE_LIMIT, SERVER_NAME, SESSION_TICKET, SIGNATURE_ALGORITHMS,
    SUPPORTED_GROUPS, SUPPORTED_VERSIONS, TlsEch, TlsKeyShare, TlsSessionTicket, byte_list, cookie,
    host_name, key_shares, protocols, psk_identities, read_extensions, short_u16_list, u16_list,
};
use crate::reader::{Reader, padded, u16s};
use crate::version::{TlsVersion, is_grease, is_grease_name};

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
    /// `key_share` (RFC 8446 section 4.2.8): the keys themselves are left out.
    pub key_shares: Vec<TlsKeyShare>,
    /// The number of identities in `pre_shared_key` (RFC 8446 section 4.2.11); 0 without it.
    pub psk_identities: u16,
    /// `psk_key_exchange_modes` (RFC 8446 section 4.2.9), one byte each.
    pub psk_key_exchange_modes: Bytes,
    /// `session_ticket` (RFC 5077).
    pub session_ticket: Option<TlsSessionTicket>,
    /// `early_data` (RFC 8446 section 4.2.10): application data may come before an answer.
    pub early_data: bool,
    /// `encrypted_client_hello` (RFC 9849), real or not.
    pub ech: Option<TlsEch>,
    /// `encrypted_server_name` is there, by which drafts before ECH hid the server's name.
    pub esni: bool,
    /// `cookie` (RFC 8446 section 4.2.2), by which a HelloRetryRequest is answered.
    pub cookie: Option<Bytes>,
    /// The algorithms of `compress_certificate` (RFC 8879).
    pub compress_certificate: Vec<u16>,
    /// `record_size_limit` (RFC 8449).
    pub record_size_limit: Option<u16>,
    /// The signature algorithms of `delegated_credential` (RFC 9345).
    pub delegated_credentials: Vec<u16>,
    /// `extended_master_secret` is there (RFC 7627).
    pub extended_master_secret: bool,
}

impl TlsClientHello {
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
        hello.session_id = body.slice_ref(reader.vec8()?);
        hello.cipher_suites = u16s(reader.vec16()?);
        hello.compression = body.slice_ref(reader.vec8()?);
        hello.extension_types = read_extensions(reader.rest(), violations, |kind, content| {
            hello.read_extension(kind, content, body)
        });
        Some(hello)
    }

    /// From an SSL 2.0 record with its header of two bytes (RFC 5246 appendix E.2).
    pub(crate) fn parse_ssl2(record: &Bytes) -> Option<Self> {
        let mut reader = Reader::new(record.get(3..)?);
        let mut hello = Self::new(TlsVersion::Ssl2, TlsVersion::from_raw(reader.u16()?));
        let (specs, session, challenge) = (reader.u16()?, reader.u16()?, reader.u16()?);
        hello.ssl2_cipher_specs = reader.take(specs.into())?.as_chunks().0.to_vec();
        hello.session_id = record.slice_ref(reader.take(session.into())?);
        hello.random = padded(reader.take(challenge.into())?);
        hello.cipher_suites = hello
            .ssl2_cipher_specs
            .iter()
            .filter_map(|&[kind, high, low]| (kind == 0).then_some(u16::from_be_bytes([high, low])))
            .collect();
        Some(hello)
    }

    /// Whether any value anywhere is one that RFC 8701 reserves: see
    /// [`is_grease`](crate::is_grease).
    #[must_use]
    pub fn has_grease(&self) -> bool {
        let versions = self.supported_versions.iter().map(|version| version.to_raw());
        let shares = self.key_shares.iter().map(|share| share.group);
        let lists = [
            &self.cipher_suites,
            &self.extension_types,
            &self.supported_groups,
            &self.signature_algorithms,
            &self.delegated_credentials,
        ];
        lists.into_iter().flatten().copied().chain(versions).chain(shares).any(is_grease)
            || self.alpn.iter().any(|name| is_grease_name(name))
            || self.psk_key_exchange_modes.iter().any(|mode| mode % 0x1f == 0x0b)
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
            key_shares: Vec::new(),
            psk_identities: 0,
            psk_key_exchange_modes: Bytes::new(),
            session_ticket: None,
            early_data: false,
            ech: None,
            esni: false,
            cookie: None,
            compress_certificate: Vec::new(),
            record_size_limit: None,
            delegated_credentials: Vec::new(),
            extended_master_secret: false,
        }
    }

    /// Takes what is of interest in an extension; says whether it is well formed, as far as that
    /// was looked at.
    fn read_extension(&mut self, kind: u16, content: &[u8], body: &Bytes) -> bool {
        let proper;
        match kind {
            SERVER_NAME => {
                self.sni = host_name(content);
                return self.sni.is_some();
            }
            SUPPORTED_GROUPS => (self.supported_groups, proper) = u16_list(content),
            SIGNATURE_ALGORITHMS => (self.signature_algorithms, proper) = u16_list(content),
            DELEGATED_CREDENTIAL => (self.delegated_credentials, proper) = u16_list(content),
            COMPRESS_CERTIFICATE => (self.compress_certificate, proper) = short_u16_list(content),
            SUPPORTED_VERSIONS => {
                let (raw, whole) = short_u16_list(content);
                self.supported_versions = raw.into_iter().map(TlsVersion::from_raw).collect();
                return whole;
            }
            POINT_FORMATS => (self.point_formats, proper) = byte_list(content, body),
            PSK_KEY_EXCHANGE_MODES => {
                (self.psk_key_exchange_modes, proper) = byte_list(content, body);
            }
            ALPN => (self.alpn, proper) = protocols(content, body),
            KEY_SHARE => (self.key_shares, proper) = key_shares(content),
            PRE_SHARED_KEY => (self.psk_identities, proper) = psk_identities(content),
            COOKIE => (self.cookie, proper) = cookie(content, body),
            RECORD_SIZE_LIMIT => {
                self.record_size_limit = content.try_into().ok().map(u16::from_be_bytes);
                return self.record_size_limit.is_some();
            }
            ENCRYPTED_CLIENT_HELLO => {
                self.ech = TlsEch::parse(content);
                return self.ech.is_some();
            }
            SESSION_TICKET => {
                self.session_ticket = Some(match content {
                    [] => TlsSessionTicket::Asked,
                    ticket => TlsSessionTicket::Offered(body.slice_ref(ticket)),
                });
                return true;
            }
            EARLY_DATA => {
                self.early_data = true;
                return content.is_empty();
            }
            EXTENDED_MASTER_SECRET => {
                self.extended_master_secret = true;
                return content.is_empty();
            }
            ENCRYPTED_SERVER_NAME => {
                self.esni = true;
                return true;
            }
            _ => return true,
        }
        proper
    }
}
