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
        let questions = walk.section(questions, 5, Walk::question);
        let answers = walk.section(answers, 11, Walk::record);
        let authorities = walk.section(authorities, 11, Walk::record);
        let additionals = walk.section(additionals, 11, Walk::record);
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
    /// Reads `count` entries of `least` octets at least.
    fn section<T>(
        &mut self,
        count: u16,
        least: usize,
        entry: impl Fn(&mut Self) -> Result<T, DnsDefect>,
    ) -> Vec<T> {
        let count = if self.is_lost { 0 } else { usize::from(count) };
        let room = self.message.from(self.at).len() / least;
        let mut entries = Vec::with_capacity(count.min(room).min(SECTION_ROOM));
        for _ in 0..count {
            let begin = self.at;
            match entry(self) {
                Ok(entry) => entries.push(entry),
                Err(defect) => {
                    let is_over = begin == self.message.octets.len();
                    let defect = if is_over { DnsDefect::BadCounts } else { defect };
                    self.defect = self.defect.or(Some(defect));
                    self.is_lost = true;
                    break;
                }
            }
        }
        entries
    }

    /// What is wrong, now that all was read.
    fn finish(&self) -> Option<DnsDefect> {
        let trails = !self.is_lost && self.at < self.message.octets.len();
        self.defect.or(trails.then_some(DnsDefect::TrailingBytes))
    }

    #[inline]
    fn question(&mut self) -> Result<DnsQuestion, DnsDefect> {
        let name = self.name()?;
        let [a, b, c, d] = *self.take()?;
        Ok(DnsQuestion {
            name,
            qtype: u16::from_be_bytes([a, b]),
            qclass: u16::from_be_bytes([c, d]),
        })
    }

    #[inline]
    fn record(&mut self) -> Result<DnsRecord, DnsDefect> {
        let name = self.name()?;
        let [a, b, c, d, e, f, g, h, i, j] = *self.take()?;
        let (rtype, rclass) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let start = self.at;
        let end = start + usize::from(u16::from_be_bytes([i, j]));
        let rdata = self.message.octets.get(start..end).ok_or(DnsDefect::CutShort)?;
        self.at = end;
        let data = DnsRdata::read(&self.message, start, rdata, rtype, rclass);
        let raw = (!data.holds(rdata)).then(|| SmallBytes::new(rdata));
        let ttl = u32::from_be_bytes([e, f, g, h]);
        Ok(DnsRecord { name, rtype, rclass, ttl, data, raw })
    }

    /// A name, or what stands for one if it is known at least where it ends.
    #[inline]
    fn name(&mut self) -> Result<DnsName, DnsDefect> {
        match DnsName::read(&self.message, self.at) {
            Ok((name, end)) => {
                self.at = end;
                Ok(name)
            }
            Err(defect) => self.pass_over_name(defect),
        }
    }

    #[cold]
    fn pass_over_name(&mut self, defect: DnsDefect) -> Result<DnsName, DnsDefect> {
        self.at = self.message.end_of_name(self.at).ok_or(defect)?;
        self.defect = self.defect.or(Some(defect));
        Ok(DnsName::unreadable())
    }

    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], DnsDefect> {
        let bytes = self.message.from(self.at).first_chunk::<N>().ok_or(DnsDefect::CutShort)?;
        self.at += N;
        Ok(bytes)
    }
}
