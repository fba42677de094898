use std::net::Ipv4Addr;

use flow_core::Timestamp;

use crate::message::{
    DnsDefect, DnsFlags, DnsMessage, DnsQuery, DnsQuestion, DnsRcode, DnsRecord, DnsResponse,
};
use crate::name::{DnsName, Octets};
use crate::rdata::DnsRdata;
use crate::registry::rr;
use crate::small::SmallBytes;

/// Octets of the header.
pub(crate) const HEADER: usize = 12;

/// Room made for a section at first. Rationale: more than most have, and far below what a count
/// that lies could demand.
const SECTION_ROOM: usize = 16;

/// The fixed part that every message begins with (RFC 1035 4.1.1).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) id: u16,
    pub(crate) flags: DnsFlags,
    /// QDCOUNT, ANCOUNT, NSCOUNT, ARCOUNT.
    pub(crate) counts: [u16; 4],
}

impl Header {
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, d, e, f, g, h, i, j, k, l] = bytes.first_chunk::<HEADER>()?;
        let word = |high, low| u16::from_be_bytes([high, low]);
        Some(Self {
            id: word(a, b),
            flags: DnsFlags(word(c, d)),
            counts: [word(e, f), word(g, h), word(i, j), word(k, l)],
        })
    }
}

impl DnsMessage {
    /// Reads a message, as it is in a UDP datagram, or behind the length in a TCP stream.
    ///
    /// Gives `None` only where there is no whole header. What could be read of a message that is
    /// wrong is there, and `malformed` says what is wrong; record data that makes no sense is
    /// [`DnsRdata::Other`] and costs nothing else.
    #[must_use]
    pub fn decode(bytes: &[u8], timestamp: Timestamp) -> Option<Self> {
        let Header { id, flags, counts } = Header::read(bytes)?;
        let message = Octets::new(bytes);
        let mut walk = Walk { message, at: HEADER, defect: None, is_lost: false };
        let [questions, answers, authorities, additionals] = counts;
        let questions = walk.section(questions);
        let answers = walk.section(answers);
        let authorities = walk.section(authorities);
        let additionals = walk.section(additionals);
        let (transaction_id, opcode, malformed) = (id, flags.opcode(), walk.finish());
        Some(if flags.is_response() {
            Self::Response(DnsResponse {
                transaction_id,
                flags,
                opcode,
                rcode: extended_rcode(flags, &additionals),
                questions,
                answers,
                authorities,
                additionals,
                malformed,
                elapsed: None,
                timestamp,
            })
        } else {
            Self::Query(DnsQuery {
                transaction_id,
                flags,
                opcode,
                questions,
                answers,
                authorities,
                additionals,
                malformed,
                retransmission: false,
                timestamp,
            })
        })
    }
}

/// RFC 6891 6.1.3: the OPT record has the upper eight bits on top of its TTL.
fn extended_rcode(flags: DnsFlags, additionals: &[DnsRecord]) -> DnsRcode {
    let opt = additionals.iter().find(|record| record.rtype == rr::OPT);
    let upper = opt.map_or(0, |opt| u16::from(opt.ttl.to_be_bytes()[0]));
    DnsRcode(upper << 4 | flags.rcode().0)
}

/// A place in a message.
#[derive(Debug)]
struct Walk<'a> {
    message: Octets<'a>,
    at: usize,
    /// The first that was met.
    defect: Option<DnsDefect>,
    /// Nothing says where the next entry begins.
    is_lost: bool,
}

impl<'a> Walk<'a> {
    fn section<T: Entry>(&mut self, count: u16) -> Vec<T> {
        let count = if self.is_lost { 0 } else { usize::from(count) };
        let room = self.message.from(self.at).len() / T::LEAST;
        let mut entries = Vec::with_capacity(count.min(room).min(SECTION_ROOM));
        for _ in 0..count {
            if let Err(defect) = self.entry(&mut entries) {
                self.note(defect);
                self.is_lost = true;
                break;
            }
        }
        entries
    }

    #[inline]
    fn entry<T: Entry>(&mut self, entries: &mut Vec<T>) -> Result<(), DnsDefect> {
        if self.at == self.message.octets.len() {
            return Err(DnsDefect::BadCounts);
        }
        entries.push(T::BLANK);
        let read = entries.last_mut().map_or(Ok(()), |entry| entry.read(self));
        if read.is_err() {
            entries.pop();
        }
        read
    }

    /// What is wrong, now that all was read.
    fn finish(&self) -> Option<DnsDefect> {
        let trails = !self.is_lost && self.at < self.message.octets.len();
        self.defect.or(trails.then_some(DnsDefect::TrailingBytes))
    }

    fn note(&mut self, defect: DnsDefect) {
        self.defect = self.defect.or(Some(defect));
    }

    /// Reads a name, or passes over what is none if it is known at least where it ends.
    #[inline]
    fn name(&mut self, name: &mut DnsName) -> Result<(), DnsDefect> {
        self.at = match name.read(&self.message, self.at) {
            Ok(end) => end,
            Err(defect) => self.pass_over_name(defect)?,
        };
        Ok(())
    }

    #[cold]
    fn pass_over_name(&mut self, defect: DnsDefect) -> Result<usize, DnsDefect> {
        let end = self.message.end_of_name(self.at).ok_or(defect)?;
        self.note(defect);
        Ok(end)
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], DnsDefect> {
        let bytes = self.message.from(self.at).first_chunk::<N>().ok_or(DnsDefect::CutShort)?;
        self.at += N;
        Ok(bytes)
    }
}

/// What sections are made of.
///
/// PERF: entries are read where they stand in their section, as moving what was just written
/// stalls.
trait Entry {
    /// Octets that it has at least.
    const LEAST: usize;
    /// One to be read.
    const BLANK: Self;

    fn read(&mut self, walk: &mut Walk<'_>) -> Result<(), DnsDefect>;
}

impl Entry for DnsQuestion {
    const LEAST: usize = 5;
    const BLANK: Self = Self { name: DnsName::UNREADABLE, qtype: 0, qclass: 0 };

    #[inline]
    fn read(&mut self, walk: &mut Walk<'_>) -> Result<(), DnsDefect> {
        walk.name(&mut self.name)?;
        let [a, b, c, d] = *walk.take()?;
        (self.qtype, self.qclass) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        Ok(())
    }
}

impl Entry for DnsRecord {
    const LEAST: usize = 11;
    const BLANK: Self = Self {
        name: DnsName::UNREADABLE,
        rtype: 0,
        rclass: 0,
        ttl: 0,
        data: DnsRdata::A(Ipv4Addr::UNSPECIFIED),
        raw: None,
    };

    #[inline]
    fn read(&mut self, walk: &mut Walk<'_>) -> Result<(), DnsDefect> {
        walk.name(&mut self.name)?;
        let [a, b, c, d, e, f, g, h, i, j] = *walk.take()?;
        (self.rtype, self.rclass) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        self.ttl = u32::from_be_bytes([e, f, g, h]);
        let length = usize::from(u16::from_be_bytes([i, j]));
        let (start, rest) = (walk.at, walk.message.from(walk.at));
        let rdata = rest.get(..length).ok_or(DnsDefect::CutShort)?;
        walk.at += length;
        self.data = DnsRdata::read(&walk.message, start, rdata, self.rtype, self.rclass);
        if !self.data.holds(rdata) {
            self.raw = Some(SmallBytes::first_of(rest, length));
        }
        Ok(())
    }
}
