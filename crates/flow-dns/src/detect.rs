use crate::message::{DnsFlags, DnsOpcode};
use crate::name::Octets;
use crate::registry::{known_class, known_type, rr};
use crate::wire::{HEADER, Header};

/// Questions that a message may have without a doubt. Rationale: mDNS queries have a few dozen
/// at most, all others one.
const MAX_QUESTIONS: u16 = 64;

/// Records that fit into a message of 65,535 octets, at 11 each.
const MAX_RECORDS: u32 = 5_957;

/// What the ports say about a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DnsService {
    /// Nothing: what is taken for DNS must look like it in every respect.
    #[default]
    Unknown,
    /// Port 53.
    Dns,
    /// Multicast DNS (RFC 6762), port 5353: responses are not matched with queries, since they
    /// go to everybody.
    Mdns,
    /// Link-local multicast name resolution (RFC 4795), port 5355: as with mDNS, a response is
    /// not in the flow of its query.
    Llmnr,
}

impl DnsService {
    /// By the ports of the two ends, in any order.
    #[must_use]
    pub const fn from_ports(a: u16, b: u16) -> Self {
        match (a, b) {
            (53, _) | (_, 53) => Self::Dns,
            (5353, _) | (_, 5353) => Self::Mdns,
            (5355, _) | (_, 5355) => Self::Llmnr,
            _ => Self::Unknown,
        }
    }

    /// Whether a response comes in the flow of its query.
    pub(crate) const fn is_unicast(self) -> bool {
        matches!(self, Self::Unknown | Self::Dns)
    }
}

/// Whether bytes are DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DnsDetection {
    /// They are.
    Dns,
    /// They are something else.
    NotDns,
    /// They may be; more of them will tell.
    NeedMore,
}

/// Whether the payload of a UDP datagram is a DNS message.
///
/// With [`DnsService::Unknown`] the opcode must be one in use, the counts must fit the length,
/// all questions, or the first record if there is none, must have valid names, types in the IANA
/// registry and a class in use, the first record behind questions must fit the length, and a message
/// without records must end with its questions; other protocols and random bytes do not get that
/// far. With a known service the header must make sense.
///
/// Looks at some tens of bytes, most other traffic is sorted out by its first 12.
#[must_use]
pub fn is_dns_datagram(payload: &[u8], service: DnsService) -> bool {
    examine(payload, payload.len(), service) == DnsDetection::Dns
}

/// Whether one side of a TCP stream that begins with `prefix` is DNS: a message behind a length
/// of 16 bits (RFC 1035 4.2.2), which is examined as [`is_dns_datagram`] does.
///
/// More of the stream never changes an answer other than [`DnsDetection::NeedMore`].
#[must_use]
pub fn detect_dns_stream(prefix: &[u8], service: DnsService) -> DnsDetection {
    let Some((&length, body)) = prefix.split_first_chunk::<2>() else {
        return DnsDetection::NeedMore;
    };
    let length = usize::from(u16::from_be_bytes(length));
    examine(body.get(..length).unwrap_or(body), length, service)
}

/// Examines as much as there is, `body`, of a message of `length` octets.
fn examine(body: &[u8], length: usize, service: DnsService) -> DnsDetection {
    if length < HEADER {
        return DnsDetection::NotDns;
    }
    let Some(header) = Header::read(body) else {
        // The flags alone tell most text.
        let flags = body.get(2..4).and_then(|flags| flags.first_chunk());
        return match flags.map(|flags| DnsFlags(u16::from_be_bytes(*flags))) {
            Some(flags) if service == DnsService::Unknown && !are_strict_flags(flags) => {
                DnsDetection::NotDns
            }
            _ => DnsDetection::NeedMore,
        };
    };
    let plausible = match service {
        DnsService::Unknown => is_strict_header(&header, length),
        _ => is_lax_header(&header, length),
    };
    match (plausible, service) {
        (false, _) => DnsDetection::NotDns,
        (true, DnsService::Unknown) => Entries { body, length, at: HEADER }.examine(&header),
        (true, _) => DnsDetection::Dns,
    }
}

fn is_lax_header(header: &Header, length: usize) -> bool {
    let [questions, records @ ..] = header.counts;
    let records: u32 = records.into_iter().map(u32::from).sum();
    let nothing_counted = questions == 0 && records == 0;
    header.flags.opcode().name().is_some()
        && (questions <= MAX_QUESTIONS || HEADER + 5 * usize::from(questions) <= length)
        && records <= MAX_RECORDS
        && (nothing_counted == (length == HEADER) || header.flags.opcode() == DnsOpcode::DSO)
}

fn is_strict_header(header: &Header, length: usize) -> bool {
    let (flags, [questions, answers, authorities, additionals]) = (header.flags, header.counts);
    let records = usize::from(answers) + usize::from(authorities) + usize::from(additionals);
    let least = HEADER + 5 * usize::from(questions) + 11 * records;
    are_strict_flags(flags)
        && questions <= MAX_QUESTIONS
        && (questions > 0 || records > 0)
        && least <= length
}

fn are_strict_flags(flags: DnsFlags) -> bool {
    flags.opcode().name().is_some()
        && flags.opcode() != DnsOpcode::DSO
        && !flags.z()
        && (flags.is_response() || flags.rcode().0 == 0)
        && flags.rcode().name().is_some()
}

/// The questions and records of a message that may not be there to its end.
struct Entries<'a> {
    body: &'a [u8],
    length: usize,
    at: usize,
}

impl Entries<'_> {
    fn examine(mut self, header: &Header) -> DnsDetection {
        let [questions, records @ ..] = header.counts;
        let has_records = records != [0; 3];
        let read = (0..questions)
            .try_for_each(|_| self.question())
            .and_then(|()| if has_records { self.record(questions > 0) } else { self.end() });
        read.err().unwrap_or(DnsDetection::Dns)
    }

    fn end(&self) -> Result<(), DnsDetection> {
        if self.at == self.length { Ok(()) } else { Err(DnsDetection::NotDns) }
    }

    fn question(&mut self) -> Result<(), DnsDetection> {
        let name_at = self.at;
        self.name()?;
        let name = self.body.get(name_at..self.at).unwrap_or_default();
        let [a, b, c, d] = self.take()?;
        let (qtype, qclass) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let plausible = known_type(qtype).is_some() && is_class(qclass) && !is_netbios(name, qtype);
        if plausible { Ok(()) } else { Err(DnsDetection::NotDns) }
    }

    /// Behind questions that are plausible, a record that fits is one: some clients send what is in
    /// no registry, such as type 0 for padding.
    fn record(&mut self, behind_questions: bool) -> Result<(), DnsDetection> {
        let name_at = self.at;
        self.name()?;
        let name = self.body.get(name_at..self.at).unwrap_or_default();
        let [a, b, c, d, _, _, _, _, i, j] = self.take()?;
        let (rtype, rclass) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let rdata = usize::from(u16::from_be_bytes([i, j]));
        let registered = known_type(rtype).is_some() && (rtype == rr::OPT || is_class(rclass));
        let plausible = (behind_questions || registered)
            && !is_netbios(name, rtype)
            && self.at + rdata <= self.length;
        if plausible { Ok(()) } else { Err(DnsDetection::NotDns) }
    }

    /// Steps over a name. It may end in a pointer backwards.
    fn name(&mut self) -> Result<(), DnsDetection> {
        let begin = self.at;
        loop {
            let octet = self.take::<1>()?[0];
            match octet {
                0 => return Ok(()),
                1..=63 => self.at += usize::from(octet),
                0xC0.. => {
                    let target = usize::from(octet & 0x3F) << 8 | usize::from(self.take::<1>()?[0]);
                    // Only what was read already counts, so that the answer is the same
                    // however much is there behind it.
                    let before = self.body.get(..self.at).unwrap_or_default();
                    let backwards = (HEADER..begin).contains(&target)
                        && Octets::new(before).for_each_label(target, |_| {}).is_ok();
                    return if backwards { Ok(()) } else { Err(DnsDetection::NotDns) };
                }
                _ => return Err(DnsDetection::NotDns),
            }
            if self.at - begin > 254 {
                return Err(DnsDetection::NotDns);
            }
        }
    }

    /// The next octets; without them, whether there can be more.
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DnsDetection> {
        if self.at + N > self.length {
            return Err(DnsDetection::NotDns);
        }
        let rest = self.body.get(self.at..).unwrap_or_default();
        let octets = rest.first_chunk::<N>().ok_or(DnsDetection::NeedMore)?;
        self.at += N;
        Ok(*octets)
    }
}

/// The class without the top bit of mDNS.
fn is_class(class: u16) -> bool {
    known_class(class & 0x7FFF).is_some()
}

/// NetBIOS name service (RFC 1002 4.2) is like DNS but for its names, the first label of which is 16
/// bytes in 32 letters, and types of its own that collide with later ones: NIMLOC, which never came
/// into use, and SRV, which begins with an underscore (RFC 2782).
fn is_netbios(name: &[u8], qtype: u16) -> bool {
    matches!(qtype, 32 | 33) && matches!(name, [32, first, ..] if *first != b'_')
}
