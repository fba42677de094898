use std::fmt::{Display, LowerHex, Write as _};

use md5::Digest as _;

use crate::client_hello::TlsClientHello;
use crate::extension::{ALPN, SERVER_NAME};
use crate::message::TlsMessage;
use crate::server_hello::TlsServerHello;
use crate::version::{TlsVersion, is_grease, is_grease_name};

/// The fingerprints of a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsFingerprint {
    /// Of a ClientHello.
    Client {
        /// [`TlsClientHello::ja3`].
        ja3: String,
        /// [`TlsClientHello::ja4`].
        ja4: String,
    },
    /// Of a ServerHello.
    Server {
        /// [`TlsServerHello::ja3s`].
        ja3s: String,
    },
}

impl TlsFingerprint {
    /// Those of a message; `None` if it is no hello.
    pub(crate) fn of(message: &TlsMessage) -> Option<Self> {
        match message {
            TlsMessage::ClientHello(hello) => {
                Some(Self::Client { ja3: hello.ja3(), ja4: hello.ja4() })
            }
            TlsMessage::ServerHello(hello) => Some(Self::Server { ja3s: hello.ja3s() }),
            _ => None,
        }
    }
}

impl TlsClientHello {
    /// The text that JA3 hashes: version, cipher suites, extensions, groups and point formats, as
    /// decimal numbers in the order sent, without GREASE.
    #[must_use]
    pub fn ja3_string(&self) -> String {
        format!(
            "{},{},{},{},{}",
            self.legacy_version.to_raw(),
            dashed(without_grease(&self.cipher_suites)),
            dashed(without_grease(&self.extension_types)),
            dashed(without_grease(&self.supported_groups)),
            dashed(&self.point_formats),
        )
    }

    /// JA3: the MD5 of [`ja3_string`](Self::ja3_string) as 32 hexadecimal digits.
    #[must_use]
    pub fn ja3(&self) -> String {
        md5_hex(&self.ja3_string())
    }

    /// JA4 of a client over TCP, by FoxIO's specification: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
    ///
    /// Readable facts, then truncated hashes of the sorted cipher suites, and of the sorted
    /// extensions with the signature algorithms as sent. GREASE is left out everywhere.
    #[must_use]
    pub fn ja4(&self) -> String {
        let mut suites: Vec<u16> = without_grease(&self.cipher_suites).collect();
        let mut extensions: Vec<u16> = without_grease(&self.extension_types).collect();
        let mut text = format!(
            "t{}{}{:02}{:02}{}_",
            ja4_version(self),
            if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' },
            suites.len().min(99),
            extensions.len().min(99),
            ja4_alpn(self.alpn.iter().find(|name| !is_grease_name(name)).map_or(&[], |name| name)),
        );
        suites.sort_unstable();
        text += &sha256_12(&joined_hex(suites));
        text.push('_');

        // The name and the protocols say where the client goes, not what it is.
        extensions.retain(|&kind| kind != SERVER_NAME && kind != ALPN);
        extensions.sort_unstable();
        let mut hashed = joined_hex(extensions);
        let algorithms = joined_hex(without_grease(&self.signature_algorithms));
        if !hashed.is_empty() && !algorithms.is_empty() {
            hashed.push('_');
            hashed += &algorithms;
        }
        text + &sha256_12(&hashed)
    }
}

impl TlsServerHello {
    /// The text that JA3S hashes: version, cipher suite and extensions, as decimal numbers in the
    /// order sent.
    #[must_use]
    pub fn ja3s_string(&self) -> String {
        format!(
            "{},{},{}",
            self.legacy_version.to_raw(),
            self.cipher_suite,
            dashed(&self.extension_types)
        )
    }

    /// JA3S: the MD5 of [`ja3s_string`](Self::ja3s_string) as 32 hexadecimal digits.
    #[must_use]
    pub fn ja3s(&self) -> String {
        md5_hex(&self.ja3s_string())
    }
}

/// The highest version offered, in two characters. Those of DTLS are in the same table, even if
/// nobody offers them over TCP.
fn ja4_version(hello: &TlsClientHello) -> &'static str {
    let offered = hello.supported_versions.iter().map(|version| version.to_raw());
    let highest = offered.filter(|&raw| !is_grease(raw)).max();
    match highest.map_or(hello.legacy_version, TlsVersion::from_raw) {
        TlsVersion::Tls1_3 => "13",
        TlsVersion::Tls1_2 => "12",
        TlsVersion::Tls1_1 => "11",
        TlsVersion::Tls1_0 => "10",
        TlsVersion::Ssl3 => "s3",
        TlsVersion::Ssl2 => "s2",
        TlsVersion::Other(0xfeff) => "d1",
        TlsVersion::Other(0xfefd) => "d2",
        TlsVersion::Other(0xfefc) => "d3",
        TlsVersion::Other(_) => "00",
    }
}

/// The first and the last character of a protocol name; of its hexadecimal digits if either is no
/// ASCII letter or digit.
fn ja4_alpn(name: &[u8]) -> String {
    match (name.first(), name.last()) {
        (Some(&first), Some(&last))
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() =>
        {
            [first, last].map(char::from).iter().collect()
        }
        (Some(first), Some(last)) => format!("{:x}{:x}", first >> 4, last & 0xf),
        _ => "00".to_owned(),
    }
}

fn without_grease(values: &[u16]) -> impl Iterator<Item = u16> {
    values.iter().copied().filter(|&value| !is_grease(value))
}

fn dashed(values: impl IntoIterator<Item: Display>) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push('-');
        }
        let _ = write!(text, "{value}");
    }
    text
}

fn joined_hex(values: impl IntoIterator<Item = u16>) -> String {
    let mut text = String::new();
    for value in values {
        if !text.is_empty() {
            text.push(',');
        }
        let _ = write!(text, "{value:04x}");
    }
    text
}

fn md5_hex(text: &str) -> String {
    hex(&md5::Md5::digest(text))
}

/// The first twelve hexadecimal digits of the SHA-256; zeros for an empty text.
fn sha256_12(text: &str) -> String {
    if text.is_empty() {
        return "0".repeat(12);
    }
    let mut digits = hex(&sha2::Sha256::digest(text));
    digits.truncate(12);
    digits
}

fn hex(bytes: &[impl LowerHex]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
