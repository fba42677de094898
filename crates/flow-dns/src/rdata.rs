use std::fmt::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::{DnsName, Octets};
use crate::presentation::{self, write_quoted};
use crate::registry::rr;
use crate::small::SmallBytes;

/// Class CH, in which an A record is something else (RFC 1035 3.3, Chaosnet addresses).
const CHAOS: u16 = 3;

/// What a record says.
///
/// `Display` is the presentation format, that of zone files, with names without the final dot;
/// what has none is written as RFC 3597 5 says, `\# 4 C0000201`, and no data as nothing. The
/// options of an OPT record, for which there is no format, are `COOKIE=0102030405060708 PADDING=12`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(clippy::upper_case_acronyms, reason = "the mnemonics of the types")]
pub enum DnsRdata {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address (RFC 3596).
    AAAA(Ipv6Addr),
    /// The name that the owner is an alias of.
    CNAME(DnsName),
    /// A name server of the zone.
    NS(DnsName),
    /// Where the owner points to.
    PTR(DnsName),
    /// Where the names below the owner are (RFC 6672).
    DNAME(DnsName),
    /// A mail exchange.
    MX {
        /// The lowest is tried first.
        preference: u16,
        /// The host.
        exchange: DnsName,
    },
    /// Texts.
    TXT(DnsText),
    /// Start of a zone of authority.
    SOA(Box<DnsSoa>),
    /// Where a service is (RFC 2782).
    SRV {
        /// The lowest is tried first.
        priority: u16,
        /// Share among those of the same priority.
        weight: u16,
        /// Port of the service.
        port: u16,
        /// The host.
        target: DnsName,
    },
    /// Any other type, and data that is not what its type demands.
    Other(DnsOpaque),
}

impl DnsRdata {
    /// Reads the data `rdata`, which begins at `start` of `message`.
    #[inline]
    pub(crate) fn read(
        message: &Octets<'_>,
        start: usize,
        rdata: &[u8],
        rtype: u16,
        rclass: u16,
    ) -> Self {
        let reader = Rdata { message, start, bytes: rdata };
        reader.known(rtype, rclass).unwrap_or_else(|| {
            let bytes = match presentation::expand(message, start, rdata, rtype) {
                Some(expanded) => SmallBytes::new(&expanded),
                None => SmallBytes::first_of(message.from(start), rdata.len()),
            };
            Self::Other(DnsOpaque { rtype, bytes })
        })
    }

    /// Whether the data as sent can be had from this.
    pub(crate) fn holds(&self, rdata: &[u8]) -> bool {
        match self {
            Self::TXT(_) => true,
            Self::Other(other) => other.as_bytes() == rdata,
            _ => false,
        }
    }
}

impl fmt::Display for DnsRdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::A(address) => address.fmt(f),
            Self::AAAA(address) => address.fmt(f),
            Self::CNAME(name) | Self::NS(name) | Self::PTR(name) | Self::DNAME(name) => name.fmt(f),
            Self::MX { preference, exchange } => write!(f, "{preference} {exchange}"),
            Self::TXT(text) => text.fmt(f),
            Self::SOA(soa) => soa.fmt(f),
            Self::SRV { priority, weight, port, target } => {
                write!(f, "{priority} {weight} {port} {target}")
            }
            Self::Other(other) => other.fmt(f),
        }
    }
}

/// The data of a record within its message, which names in it may point to.
struct Rdata<'a> {
    message: &'a Octets<'a>,
    start: usize,
    bytes: &'a [u8],
}

impl Rdata<'_> {
    /// `None` if the type is not one of these, or the data does not fit it exactly.
    fn known(&self, rtype: u16, rclass: u16) -> Option<DnsRdata> {
        Some(match rtype {
            rr::A if rclass != CHAOS => DnsRdata::A(<[u8; 4]>::try_from(self.bytes).ok()?.into()),
            rr::AAAA => DnsRdata::AAAA(<[u8; 16]>::try_from(self.bytes).ok()?.into()),
            rr::CNAME => DnsRdata::CNAME(self.last_name(0)?),
            rr::NS => DnsRdata::NS(self.last_name(0)?),
            rr::PTR => DnsRdata::PTR(self.last_name(0)?),
            rr::DNAME => DnsRdata::DNAME(self.last_name(0)?),
            rr::MX => {
                let preference = u16::from_be_bytes(*self.bytes.first_chunk()?);
                DnsRdata::MX { preference, exchange: self.last_name(2)? }
            }
            rr::TXT => DnsRdata::TXT(DnsText::read(self.bytes)?),
            rr::SOA => DnsRdata::SOA(Box::new(self.soa()?)),
            rr::SRV => {
                let &[a, b, c, d, e, f] = self.bytes.first_chunk()?;
                DnsRdata::SRV {
                    priority: u16::from_be_bytes([a, b]),
                    weight: u16::from_be_bytes([c, d]),
                    port: u16::from_be_bytes([e, f]),
                    target: self.last_name(6)?,
                }
            }
            _ => return None,
        })
    }

    /// The name at `at` of the data, which ends with it.
    fn last_name(&self, at: usize) -> Option<DnsName> {
        let mut name = DnsName::UNREADABLE;
        let end = name.read(self.message, self.start + at).ok()?;
        (end == self.start + self.bytes.len()).then_some(name)
    }

    fn soa(&self) -> Option<DnsSoa> {
        let (mut mname, mut rname) = (DnsName::UNREADABLE, DnsName::UNREADABLE);
        let end = mname.read(self.message, self.start).ok()?;
        let end = rname.read(self.message, end).ok()?;
        let numbers = self.bytes.get(end.checked_sub(self.start)?..)?;
        let (words, []) = numbers.as_chunks::<4>() else { return None };
        let &[serial, refresh, retry, expire, minimum] = words else { return None };
        Some(DnsSoa {
            mname,
            rname,
            serial: u32::from_be_bytes(serial),
            refresh: u32::from_be_bytes(refresh),
            retry: u32::from_be_bytes(retry),
            expire: u32::from_be_bytes(expire),
            minimum: u32::from_be_bytes(minimum),
        })
    }
}

/// Start of a zone of authority (RFC 1035 3.3.13). Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsSoa {
    /// The primary server.
    pub mname: DnsName,
    /// The mailbox of who is responsible, its `@` as a dot.
    pub rname: DnsName,
    /// Version of the zone.
    pub serial: u32,
    /// A secondary asks for a new version this often.
    pub refresh: u32,
    /// It asks again after this if that failed.
    pub retry: u32,
    /// It stops to answer after this if that went on failing.
    pub expire: u32,
    /// How long a negative answer may be kept (RFC 2308).
    pub minimum: u32,
}

impl fmt::Display for DnsSoa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mname, rname, serial, refresh, retry, expire, minimum } = self;
        write!(f, "{mname} {rname} {serial} {refresh} {retry} {expire} {minimum}")
    }
}

/// The character strings of a TXT record: any bytes, 255 at most in each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsText(SmallBytes<38>);

impl DnsText {
    /// `None` if the last string is cut.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        while let Some((&len, after)) = rest.split_first() {
            rest = after.get(usize::from(len)..)?;
        }
        Some(Self(SmallBytes::new(bytes)))
    }

    /// The strings.
    pub fn strings(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || {
            let (&len, after) = rest.split_first()?;
            let (string, after) = after.split_at_checked(usize::from(len))?;
            rest = after;
            Some(string)
        })
    }

    /// The data as sent: each string behind its length.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Each string in quotes: `"v=spf1 -all" "two"`.
impl fmt::Display for DnsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, string) in self.strings().enumerate() {
            if i > 0 {
                f.write_char(' ')?;
            }
            write_quoted(f, string)?;
        }
        Ok(())
    }
}

/// Data of a type without a variant of its own, its names decompressed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DnsOpaque {
    rtype: u16,
    bytes: SmallBytes<38>,
}

impl DnsOpaque {
    /// The type.
    #[must_use]
    pub const fn rtype(&self) -> u16 {
        self.rtype
    }

    /// The data. Names in it are not compressed, where the type is known to have names.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_slice()
    }
}

/// The presentation format, made when asked for; nothing for no data, as many records of an
/// UPDATE have it.
impl fmt::Display for DnsOpaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match presentation::text(self.rtype, self.as_bytes()) {
            _ if self.as_bytes().is_empty() => Ok(()),
            Some(text) => f.write_str(&text),
            None => presentation::write_unknown(f, self.as_bytes()),
        }
    }
}
