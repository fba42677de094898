//! Contents of extensions that have a type of their own.

use bytes::Bytes;

use crate::reader::{Reader, u16s};
use crate::violation::{DUPLICATE_EXTENSION, EXTENSION_BLOCK, MALFORMED_EXTENSION};

pub(crate) const SERVER_NAME: u16 = 0;
pub(crate) const SUPPORTED_GROUPS: u16 = 10;
pub(crate) const POINT_FORMATS: u16 = 11;
pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
pub(crate) const ALPN: u16 = 16;
pub(crate) const EXTENDED_MASTER_SECRET: u16 = 23;
pub(crate) const COMPRESS_CERTIFICATE: u16 = 27;
pub(crate) const RECORD_SIZE_LIMIT: u16 = 28;
pub(crate) const DELEGATED_CREDENTIAL: u16 = 34;
pub(crate) const SESSION_TICKET: u16 = 35;
pub(crate) const PRE_SHARED_KEY: u16 = 41;
pub(crate) const EARLY_DATA: u16 = 42;
pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
pub(crate) const COOKIE: u16 = 44;
pub(crate) const PSK_KEY_EXCHANGE_MODES: u16 = 45;
pub(crate) const KEY_SHARE: u16 = 51;
pub(crate) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
pub(crate) const ENCRYPTED_SERVER_NAME: u16 = 0xffce;

/// A public key that a client offers for the key exchange (RFC 8446 section 4.2.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TlsKeyShare {
    /// Its group: see [`group_name`](crate::group_name).
    pub group: u16,
    /// The length of the key, in bytes.
    pub len: u16,
}

/// What a client says of session tickets (RFC 5077 section 3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsSessionTicket {
    /// It would like one.
    Asked,
    /// It has this one, and would like to resume its session.
    Offered(Bytes),
}

/// An Encrypted Client Hello (RFC 9849 section 5).
///
/// A client that knows no key of its server sends random bytes in the same form, so that those
/// who do are not conspicuous (GREASE ECH, section 6.2). The two cannot be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsEch {
    /// The hello around an encrypted one, as it travels.
    Outer {
        /// The key derivation function, a number of the IANA registry "HPKE KDF Identifiers".
        kdf: u16,
        /// The encryption, a number of the IANA registry "HPKE AEAD Identifiers".
        aead: u16,
        /// Which of the server's keys.
        config_id: u8,
        /// The length of the encapsulated key, in bytes; 0 in a second ClientHello.
        enc_len: u16,
        /// The length of the encrypted hello, in bytes.
        payload_len: u16,
    },
    /// The mark of a hello that was encrypted; seen where a server hands it on in clear.
    Inner,
}

impl TlsEch {
    pub(crate) fn parse(content: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(content);
        let ech = match reader.u8()? {
            0 => Self::Outer {
                kdf: reader.u16()?,
                aead: reader.u16()?,
                config_id: reader.u8()?,
                enc_len: vec16_len(&mut reader)?,
                payload_len: vec16_len(&mut reader)?,
            },
            1 => Self::Inner,
            _ => return None,
        };
        reader.is_empty().then_some(ech)
    }
}

/// Reads the extensions in `block`, which is what a hello has behind its other fields, up to the
/// first that is cut short; gives their types. `read` takes type and content, and says whether
/// that is well formed. The block's own length is not relied on where it says more than there is.
pub(crate) fn read_extensions<'a>(
    block: &'a [u8],
    violations: &mut Vec<&'static str>,
    mut read: impl FnMut(u16, &'a [u8]) -> bool,
) -> Vec<u16> {
    let mut reader = Reader::new(block);
    let len = reader.u16().map(usize::from);
    let rest = reader.rest();
    let mut list = Reader::new(rest.get(..len.unwrap_or(0)).unwrap_or(rest));
    let (mut types, mut proper) = (Vec::new(), true);
    while let Some((kind, content)) = list.u16_vec16() {
        types.push(kind);
        proper &= read(kind, content);
    }
    let fits = block.is_empty() || len == Some(rest.len());
    if !(fits && list.is_empty()) {
        violations.push(EXTENSION_BLOCK);
    }
    if has_duplicates(&types) {
        violations.push(DUPLICATE_EXTENSION);
    }
    if !proper {
        violations.push(MALFORMED_EXTENSION);
    }
    types
}

/// Whether `values` has any value twice.
fn has_duplicates(values: &[u16]) -> bool {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    !sorted.is_sorted_by(|a, b| a < b)
}

/// The key shares of a ClientHello, up to the first that is cut short; and whether none is.
pub(crate) fn key_shares(content: &[u8]) -> (Vec<TlsKeyShare>, bool) {
    let (mut list, framed) = whole_vec16(content);
    let shares = std::iter::from_fn(|| {
        let (group, key) = list.u16_vec16()?;
        Some(TlsKeyShare { group, len: u16::try_from(key.len()).ok()? })
    });
    let shares = shares.collect();
    (shares, framed && list.is_empty())
}

/// The number of identities in a client's `pre_shared_key`, up to the first that is cut short;
/// and whether none is.
pub(crate) fn psk_identities(content: &[u8]) -> (u16, bool) {
    const AGE: usize = 4;
    let mut reader = Reader::new(content);
    let mut list = Reader::new(reader.vec16().unwrap_or_default());
    let binders = reader.vec16().is_some() && reader.is_empty();
    let mut count = 0_u16;
    while let Some(identity) = list.vec16()
        && !identity.is_empty()
        && list.take(AGE).is_some()
    {
        count = count.saturating_add(1);
    }
    (count, binders && list.is_empty() && count > 0)
}

/// The protocol names of an ALPN extension, up to the first that is cut short and to a limit; and
/// whether none is.
pub(crate) fn protocols(content: &[u8], body: &Bytes) -> (Vec<Bytes>, bool) {
    let (mut list, framed) = whole_vec16(content);
    let names = std::iter::from_fn(|| list.vec8().map(|name| body.slice_ref(name)));
    let names: Vec<Bytes> = names.take(MAX_PROTOCOLS).collect();
    let proper = names.iter().all(|name| !name.is_empty());
    (names, framed && proper && list.is_empty())
}

/// The first host name of a `server_name` extension.
pub(crate) fn host_name(content: &[u8]) -> Option<String> {
    const HOST_NAME: u8 = 0;
    let mut names = Reader::new(Reader::new(content).vec16()?);
    loop {
        let (kind, name) = (names.u8()?, names.vec16()?);
        if kind == HOST_NAME {
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
}

/// The 16-bit numbers of an extension that has nothing else; and whether it has nothing else.
pub(crate) fn u16_list(content: &[u8]) -> (Vec<u16>, bool) {
    let (list, framed) = whole_vec16(content);
    (u16s(list.rest()), framed && list.rest().len() % 2 == 0)
}

/// The same with a length of one byte.
pub(crate) fn short_u16_list(content: &[u8]) -> (Vec<u16>, bool) {
    let (list, framed) = whole_vec8(content);
    (u16s(list), framed && list.len() % 2 == 0)
}

/// The same for bytes.
pub(crate) fn byte_list(content: &[u8], body: &Bytes) -> (Bytes, bool) {
    let (list, framed) = whole_vec8(content);
    (body.slice_ref(list), framed)
}

/// The cookie of a `cookie` extension; and whether that has nothing else.
pub(crate) fn cookie(content: &[u8], body: &Bytes) -> (Option<Bytes>, bool) {
    let (cookie, framed) = whole_vec16(content);
    (framed.then(|| body.slice_ref(cookie.rest())), framed)
}

/// What is in a vector that should be all of `content`; and whether it is.
fn whole_vec16(content: &[u8]) -> (Reader<'_>, bool) {
    let mut reader = Reader::new(content);
    let list = reader.vec16();
    (Reader::new(list.unwrap_or_default()), list.is_some() && reader.is_empty())
}

/// The same for a vector whose length is one byte.
fn whole_vec8(content: &[u8]) -> (&[u8], bool) {
    let mut reader = Reader::new(content);
    let list = reader.vec8();
    (list.unwrap_or_default(), list.is_some() && reader.is_empty())
}

/// Passes over a vector, and says how long it is.
fn vec16_len(reader: &mut Reader<'_>) -> Option<u16> {
    u16::try_from(reader.vec16()?.len()).ok()
}

/// Protocol names that are kept of one hello.
///
/// Rationale: clients offer a handful; names of one byte would take twenty times their space.
const MAX_PROTOCOLS: usize = 256;
