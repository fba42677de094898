use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use flow_core::Timestamp;

use crate::handler::DnsHandler;
use crate::name::DnsName;
use crate::rdata::DnsRdata;
use crate::registry::{self, opcode_name, rcode_name};
use crate::small::SmallBytes;

/// A DNS message, or the news that one never came.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsMessage {
    /// A message with QR 0: a query, and also an UPDATE, a NOTIFY and so on.
    Query(DnsQuery),
    /// A message with QR 1.
    Response(DnsResponse),
    /// A query to which no response was seen in time.
    Unanswered(DnsPendingQuery),
}

impl DnsMessage {
    /// What is wrong with the message.
    #[must_use]
    pub const fn malformed(&self) -> Option<DnsDefect> {
        match self {
            Self::Query(query) => query.malformed,
            Self::Response(response) => response.malformed,
            Self::Unanswered(_) => None,
        }
    }

    pub(crate) const fn set_malformed(&mut self, defect: DnsDefect) {
        match self {
            Self::Query(query) => query.malformed = Some(defect),
            Self::Response(response) => response.malformed = Some(defect),
            Self::Unanswered(_) => {}
        }
    }

    /// Calls the method of `handler` that is for this kind of message.
    pub fn dispatch<H: DnsHandler + ?Sized>(&self, handler: &H) {
        match self {
            Self::Query(query) => handler.on_query(query),
            Self::Response(response) => handler.on_response(response),
            Self::Unanswered(query) => handler.on_unanswered(query),
        }
    }
}

/// A message with QR 0.
///
/// The sections of an UPDATE (RFC 2136 2) are zone, prerequisite, update and additional, in this
/// order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsQuery {
    /// ID of the header.
    pub transaction_id: u16,
    /// The second word of the header.
    pub flags: DnsFlags,
    /// What is asked for.
    pub opcode: DnsOpcode,
    /// Question section.
    pub questions: Vec<DnsQuestion>,
    /// Answer section: known answers in mDNS, the new serial in a NOTIFY.
    pub answers: Vec<DnsRecord>,
    /// Authority section: the records to be in mDNS probes, what to change in an UPDATE.
    pub authorities: Vec<DnsRecord>,
    /// Additional section: EDNS, signatures.
    pub additionals: Vec<DnsRecord>,
    /// What is wrong with the message, the first if it is several things.
    pub malformed: Option<DnsDefect>,
    /// Whether it repeats one that still waits for its response, as far as queries are matched
    /// with responses.
    pub retransmission: bool,
    /// When it was seen.
    pub timestamp: Timestamp,
}

/// A message with QR 1.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsResponse {
    /// ID of the header.
    pub transaction_id: u16,
    /// The second word of the header.
    pub flags: DnsFlags,
    /// What was asked for.
    pub opcode: DnsOpcode,
    /// The result, with the upper bits from EDNS (RFC 6891 6.1.3) if there are.
    pub rcode: DnsRcode,
    /// Question section.
    pub questions: Vec<DnsQuestion>,
    /// Answer section.
    pub answers: Vec<DnsRecord>,
    /// Authority section.
    pub authorities: Vec<DnsRecord>,
    /// Additional section.
    pub additionals: Vec<DnsRecord>,
    /// What is wrong with the message, the first if it is several things.
    pub malformed: Option<DnsDefect>,
    /// Time since the query it answers was first seen; `None` if that was not seen, or nobody
    /// looked.
    pub elapsed: Option<Duration>,
    /// When it was seen.
    pub timestamp: Timestamp,
}

/// What is wrong with a message as a whole. All that is in its sections is as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DnsDefect {
    /// It ends within an entry of a section, or so much of it was captured.
    CutShort,
    /// It ends with an entry, but its counts promise more.
    BadCounts,
    /// A name is none: it is too long, loops, or points out of the message. Its entry is there
    /// with an [unreadable](DnsName::is_readable) name, unless nothing tells where the name ends.
    BadName,
    /// Something follows behind all that its counts promise.
    TrailingBytes,
}

impl DnsDefect {
    /// As an anomaly: `bad name`.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::CutShort => "message cut short",
            Self::BadCounts => "counts beyond the message",
            Self::BadName => "bad name",
            Self::TrailingBytes => "bytes behind the message",
        }
    }
}

/// The name in lower case: `cut_short`, `bad_counts`, `bad_name`, `trailing_bytes`.
impl fmt::Display for DnsDefect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CutShort => "cut_short",
            Self::BadCounts => "bad_counts",
            Self::BadName => "bad_name",
            Self::TrailingBytes => "trailing_bytes",
        })
    }
}

/// An entry of the question section.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct DnsQuestion {
    /// QNAME.
    pub name: DnsName,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS as sent. In mDNS the top bit is not part of it, see
    /// [`wants_unicast`](Self::wants_unicast).
    pub qclass: u16,
}

/// Top bit of a class in mDNS (RFC 6762 18.12, 18.13).
const MDNS_TOP_BIT: u16 = 0x8000;

impl DnsQuestion {
    /// The name of the type: `AAAA`, `TYPE65535`.
    #[must_use]
    pub fn type_name(&self) -> Cow<'static, str> {
        registry::type_name(self.qtype)
    }

    /// The class without the bit that mDNS puts on top.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.qclass & !MDNS_TOP_BIT
    }

    /// In mDNS: whether the answer should come by unicast ("QU", RFC 6762 5.4).
    #[must_use]
    pub const fn wants_unicast(&self) -> bool {
        self.qclass & MDNS_TOP_BIT != 0
    }

    /// Whether both ask the same; names are compared without regard to case (RFC 4343), as
    /// servers need not echo it.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.qtype == other.qtype && self.qclass == other.qclass && self.name.is_same(&other.name)
    }
}

/// A resource record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsRecord {
    /// Owner.
    pub name: DnsName,
    /// TYPE.
    pub rtype: u16,
    /// CLASS as sent. In mDNS the top bit is not part of it, see
    /// [`cache_flush`](Self::cache_flush); in an OPT record it is the UDP payload size.
    pub rclass: u16,
    /// TTL in seconds; in an OPT record extended rcode, version and flags (RFC 6891 6.1.3).
    pub ttl: u32,
    /// What the record says.
    pub data: DnsRdata,
    /// The data as sent, where `data` does not have it.
    pub(crate) raw: Option<SmallBytes<22>>,
}

impl DnsRecord {
    /// RDATA as sent. Names in it may be compressed, and then mean nothing outside of the
    /// message.
    #[must_use]
    pub fn rdata(&self) -> &[u8] {
        match (&self.raw, &self.data) {
            (Some(raw), _) => raw.as_slice(),
            (None, DnsRdata::TXT(text)) => text.as_bytes(),
            (None, DnsRdata::Other(other)) => other.as_bytes(),
            (None, _) => &[],
        }
    }

    /// The name of the type: `AAAA`, `TYPE65535`.
    #[must_use]
    pub fn type_name(&self) -> Cow<'static, str> {
        registry::type_name(self.rtype)
    }

    /// The class without the bit that mDNS puts on top.
    #[must_use]
    pub const fn class(&self) -> u16 {
        self.rclass & !MDNS_TOP_BIT
    }

    /// In mDNS: whether older records of this name and type are obsolete (RFC 6762 10.2).
    #[must_use]
    pub const fn cache_flush(&self) -> bool {
        self.rclass & MDNS_TOP_BIT != 0
    }
}

/// The second word of the header: QR, opcode, flags, and the lower four bits of the rcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DnsFlags(pub u16);

impl DnsFlags {
    const fn has(self, bit: u16) -> bool {
        self.0 & bit != 0
    }

    /// QR: this is a response.
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.has(0x8000)
    }

    /// OPCODE.
    #[must_use]
    pub const fn opcode(self) -> DnsOpcode {
        DnsOpcode((self.0 >> 11 & 0xF) as u8)
    }

    /// AA: the answer is authoritative.
    #[must_use]
    pub const fn aa(self) -> bool {
        self.has(0x0400)
    }

    /// TC: the sender truncated the message; in an mDNS query, more known answers follow.
    #[must_use]
    pub const fn tc(self) -> bool {
        self.has(0x0200)
    }

    /// RD: recursion is desired.
    #[must_use]
    pub const fn rd(self) -> bool {
        self.has(0x0100)
    }

    /// RA: recursion is available.
    #[must_use]
    pub const fn ra(self) -> bool {
        self.has(0x0080)
    }

    /// Z: the bit that must be zero.
    #[must_use]
    pub const fn z(self) -> bool {
        self.has(0x0040)
    }

    /// AD: the data is authentic (RFC 4035 3.2.3).
    #[must_use]
    pub const fn ad(self) -> bool {
        self.has(0x0020)
    }

    /// CD: checking is disabled (RFC 4035 3.2.2).
    #[must_use]
    pub const fn cd(self) -> bool {
        self.has(0x0010)
    }

    /// RCODE, without the bits that EDNS adds.
    #[must_use]
    pub const fn rcode(self) -> DnsRcode {
        DnsRcode(self.0 & 0xF)
    }

    /// Which of `aa`, `tc`, `rd`, `ra`, `ad` and `cd` are set, in this order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        [
            ("aa", self.aa()),
            ("tc", self.tc()),
            ("rd", self.rd()),
            ("ra", self.ra()),
            ("ad", self.ad()),
            ("cd", self.cd()),
        ]
        .into_iter()
        .filter_map(|(name, set)| set.then_some(name))
    }
}

/// The names of the flags that are set: `rd ra`.
impl fmt::Display for DnsFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            f.write_str(if i == 0 { "" } else { " " })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}

/// The kind of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DnsOpcode(pub u8);

impl DnsOpcode {
    /// An ordinary query.
    pub const QUERY: Self = Self(0);
    /// An inverse query (RFC 1035 6.4, given up by RFC 3425).
    pub const IQUERY: Self = Self(1);
    /// A request for the server's status.
    pub const STATUS: Self = Self(2);
    /// A primary server tells that a zone has changed (RFC 1996).
    pub const NOTIFY: Self = Self(4);
    /// A dynamic update (RFC 2136).
    pub const UPDATE: Self = Self(5);
    /// A stateful operation (RFC 8490).
    pub const DSO: Self = Self(6);

    /// Its mnemonic, if it is assigned.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        opcode_name(self.0)
    }
}

/// The mnemonic, or `OPCODE` and the number.
impl fmt::Display for DnsOpcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "OPCODE{}", self.0),
        }
    }
}

/// The result of a query: 4 bits of the header, 12 with EDNS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DnsRcode(pub u16);

impl DnsRcode {
    /// No error.
    pub const NOERROR: Self = Self(0);
    /// The server could not read the query.
    pub const FORMERR: Self = Self(1);
    /// The server failed.
    pub const SERVFAIL: Self = Self(2);
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(3);
    /// The server does not know this kind of query.
    pub const NOTIMP: Self = Self(4);
    /// The server will not answer.
    pub const REFUSED: Self = Self(5);

    /// Its mnemonic, if it is assigned.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        rcode_name(self.0)
    }
}

/// The mnemonic, or `RCODE` and the number.
impl fmt::Display for DnsRcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => write!(f, "RCODE{}", self.0),
        }
    }
}

/// What is remembered of a query that waits, or waited in vain, for its response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DnsPendingQuery {
    /// ID of the header.
    pub transaction_id: u16,
    /// What was asked for.
    pub opcode: DnsOpcode,
    /// The first question, in practice the only one (RFC 9619).
    pub question: Option<DnsQuestion>,
    /// How often it was sent again.
    pub retransmissions: u32,
    /// When it was first seen.
    pub timestamp: Timestamp,
}
