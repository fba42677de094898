use std::fmt;

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{ASN1Time, FromDer as _, X509Certificate};

/// What a certificate says of itself (RFC 5280). Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateDetails {
    /// Who it is for, as text: `C=US, O=Example, CN=www.example.com`.
    pub subject: String,
    /// Who signed it, as text.
    pub issuer: String,
    /// The first moment of its validity.
    pub not_before: CertificateTime,
    /// The last moment of its validity.
    pub not_after: CertificateTime,
    /// The serial number in hexadecimal, two digits a byte, without leading zero bytes.
    pub serial: String,
    /// The DNS names of `subjectAltName`, in order.
    pub dns_names: Vec<String>,
}

impl CertificateDetails {
    /// From DER; `None` if it is malformed. Bytes behind the certificate are let pass.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_before: CertificateTime(validity.not_before),
            not_after: CertificateTime(validity.not_after),
            serial: hex(without_zeros(certificate.raw_serial())),
            dns_names: dns_names(&certificate),
        })
    }
}

/// A moment in a certificate, to the second: from year 1 to year 9999, which is more than
/// [`Timestamp`](flow_core::Timestamp) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateTime(ASN1Time);

impl CertificateTime {
    /// Seconds since the Unix epoch; negative before 1970.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.timestamp()
    }
}

/// RFC 3339 in UTC: `2013-03-07T21:42:06Z`.
impl fmt::Display for CertificateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0.to_datetime();
        let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
        let (hour, minute, second) = time.to_hms();
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

fn dns_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for extension in certificate.extensions() {
        let ParsedExtension::SubjectAlternativeName(alternative) = extension.parsed_extension()
        else {
            continue;
        };
        for name in &alternative.general_names {
            if let GeneralName::DNSName(name) = name {
                names.push((*name).to_owned());
            }
        }
    }
    names
}

/// DER puts a zero byte before a number whose first bit is set.
fn without_zeros(mut number: &[u8]) -> &[u8] {
    while let [0, rest @ ..] = number
        && !rest.is_empty()
    {
        number = rest;
    }
    number
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
