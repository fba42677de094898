use super::FragmentAnomaly;
use super::coverage::{Coverage, Relation};
use crate::{Fragment, FragmentedPacket, Timestamp};

/// An IP packet of which fragments are missing, or that was dropped and is remembered.
///
/// Data lie in the order in which they came and are copied into theirs once, when nothing is
/// missing any more:
///
/// ```text
/// bytes   |== data at 16 ==|== header ==|== data at 0 ==|== data at 40 ==|
/// pieces  [16, 0]          first: [..]  [0, ..]         [40, ..]           by arrival
/// ```
///
/// Invariants: pieces do not overlap; none ends behind `total`, where that is known; `first` is
/// known if and only if a piece begins at 0; a dropped packet holds no data.
#[derive(Debug)]
pub(super) struct Partial {
    /// As [`key_of`] makes it.
    pub(super) key: FragmentedPacket,
    /// When its first fragment came.
    pub(super) begun: Timestamp,
    /// Orders packets by their first fragment.
    pub(super) number: u64,
    /// Why it was dropped.
    pub(super) dropped: Option<FragmentAnomaly>,
    /// Fragments it is made of.
    pub(super) fragments: u32,
    /// Whether its first fragment is [`FragmentAnomaly::Tiny`].
    pub(super) is_tiny: bool,
    first: Option<First>,
    /// Length of its data, as the last fragment says.
    total: Option<u32>,
    /// Largest end of a fragment.
    end: u32,
    /// Where the first data lie that a snap length cut off.
    cut_at: u32,
    store: Store,
}

/// The header of a packet and what is to be put into it.
#[derive(Clone, Copy, Debug)]
struct First {
    /// Where the header lies in [`Store::bytes`].
    at: usize,
    len: usize,
    protocol_at: usize,
    protocol: u8,
}

/// What was captured of a packet.
#[derive(Debug, Default)]
pub(super) struct Store {
    bytes: Vec<u8>,
    pieces: Vec<Piece>,
    coverage: Coverage,
}

/// Captured data of one fragment.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where they belong in those of the packet.
    offset: u32,
    /// Where they lie in [`Store::bytes`].
    at: u32,
    len: u32,
}

/// What became of a fragment that did not make its packet be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inserted {
    /// Kept.
    Held,
    /// Not kept, as it adds nothing.
    Duplicate,
    /// Kept, and nothing is missing any more.
    Complete,
}

/// Memory accounted for a packet besides its buffers, in bytes: its entry, its place in the index
/// and what the allocator adds to three buffers.
pub(super) const OVERHEAD: usize = 320;

/// Largest value of the length field of an IP header.
const MAX_LEN: u32 = 65_535;
const IPV4_HEADER: usize = 20;
const IPV4_HEADER_WITH_OPTIONS: usize = 60;
const IPV6_HEADER: usize = 40;
/// Extension headers count as payload, whose length has a field of 16 bits.
const IPV6_HEADER_WITH_EXTENSIONS: usize = IPV6_HEADER + MAX_LEN as usize;
const TCP: u8 = 6;
const TCP_HEADER: u32 = 20;

/// What tells packets apart. In IPv6 that is not the protocol: fragments may name different ones,
/// and the one with offset 0 counts (RFC 8200 section 4.5).
pub(super) fn key_of(packet: &FragmentedPacket) -> FragmentedPacket {
    let protocol = if is_ipv6(packet) { 0 } else { packet.protocol };
    FragmentedPacket { protocol, ..*packet }
}

pub(super) const fn is_ipv6(packet: &FragmentedPacket) -> bool {
    packet.source.is_ipv6()
}

impl Store {
    /// Memory taken, in bytes.
    pub(super) const fn charge(&self) -> usize {
        self.bytes.capacity() + self.pieces.capacity() * size_of::<Piece>() + self.coverage.charge()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.pieces.clear();
        self.coverage.clear();
    }
}

impl Partial {
    /// A packet of which nothing came yet, to be kept in `store`, which is empty.
    pub(super) fn new(key: FragmentedPacket, begun: Timestamp, number: u64, store: Store) -> Self {
        Self {
            key,
            begun,
            number,
            dropped: None,
            fragments: 0,
            is_tiny: false,
            first: None,
            total: None,
            end: 0,
            cut_at: u32::MAX,
            store,
        }
    }

    /// Memory accounted for it, in bytes.
    pub(super) const fn charge(&self) -> usize {
        OVERHEAD + self.store.charge()
    }

    /// Forgets the data, for a reason, and gives the memory back.
    pub(super) fn drop_data(&mut self, reason: FragmentAnomaly) -> Store {
        self.dropped = Some(reason);
        self.fragments = 0;
        self.first = None;
        std::mem::take(&mut self.store)
    }

    /// Gives the memory back.
    pub(super) fn into_store(self) -> Store {
        self.store
    }

    /// Adds a fragment. Those that are there are never changed by it; an error is the reason for
    /// which the packet is to be dropped.
    pub(super) fn insert(
        &mut self,
        fragment: &Fragment<'_>,
        max_fragments: u32,
    ) -> Result<Inserted, FragmentAnomaly> {
        let end = self.end_of(fragment)?;
        let (from, to) = (fragment.offset / 8, end.div_ceil(8));
        // The same of two fragments with the same data, of which one says that others follow.
        let agrees = fragment.more == (self.total != Some(end));
        let is_new = match self.store.coverage.relation(from, to) {
            Relation::Apart => true,
            Relation::Same if agrees => return Ok(Inserted::Duplicate),
            Relation::Same | Relation::Contained if !is_ipv6(&self.key) => {
                if agrees || fragment.more {
                    return Ok(Inserted::Duplicate);
                }
                false
            }
            _ => return Err(FragmentAnomaly::Overlap),
        };
        if self.fragments >= max_fragments {
            return Err(FragmentAnomaly::TooMany);
        }
        if is_new {
            self.store.coverage.add(from, to);
            self.keep(fragment);
        }
        self.fragments += 1;
        self.end = self.end.max(end);
        if !fragment.more {
            self.total = Some(end);
        }
        let units = self.total.map(|total| total.div_ceil(8));
        let complete = units == Some(self.store.coverage.covered());
        Ok(if complete { Inserted::Complete } else { Inserted::Held })
    }

    /// Where the data of the fragment end, if there can be such a fragment in this packet.
    fn end_of(&self, fragment: &Fragment<'_>) -> Result<u32, FragmentAnomaly> {
        let header_len = match fragment.offset {
            0 => Some(valid_header(fragment)?),
            _ => self.first.map(|first| first.len),
        };
        let aligned =
            fragment.offset.is_multiple_of(8) && (!fragment.more || fragment.len.is_multiple_of(8));
        if !aligned || fragment.len == 0 {
            return Err(FragmentAnomaly::Malformed);
        }
        let end = fragment.offset.saturating_add(fragment.len);
        if end.max(self.end) > max_data(is_ipv6(&self.key), header_len) {
            return Err(FragmentAnomaly::Oversize);
        }
        let fits = match self.total {
            Some(total) if fragment.more => end <= total,
            Some(total) => end == total,
            None => fragment.more || end >= self.end,
        };
        if fits { Ok(end) } else { Err(FragmentAnomaly::Conflict) }
    }

    /// Copies what was captured.
    #[allow(clippy::cast_possible_truncation, reason = "a packet has less than 128 KiB")]
    fn keep(&mut self, fragment: &Fragment<'_>) {
        let Store { bytes, pieces, .. } = &mut self.store;
        if fragment.offset == 0 {
            self.is_tiny = is_tiny(fragment);
            self.first = Some(First {
                at: bytes.len(),
                len: fragment.header.len(),
                protocol_at: fragment.protocol_at,
                protocol: fragment.packet.protocol,
            });
            bytes.extend_from_slice(fragment.header);
        }
        let data = captured(fragment);
        let (at, len) = (bytes.len() as u32, data.len() as u32);
        bytes.extend_from_slice(data);
        pieces.push(Piece { offset: fragment.offset, at, len });
        if len < fragment.len {
            self.cut_at = self.cut_at.min(fragment.offset + len);
        }
    }

    /// Writes a complete packet into `frame`, which is empty, as far as it was captured without a
    /// hole. Gives its length on the wire.
    pub(super) fn write(&self, frame: &mut Vec<u8>) -> u32 {
        let (Some(first), Some(total)) = (self.first, self.total) else { return 0 };
        let bytes = &self.store.bytes;
        let captured = total.min(self.cut_at) as usize;
        frame.reserve_exact(first.len + captured);
        frame.extend_from_slice(slice(bytes, first.at, first.len));
        frame.resize(first.len + captured, 0);
        for piece in &self.store.pieces {
            let from = slice(bytes, piece.at as usize, piece.len as usize);
            let to = first.len + piece.offset as usize;
            // What lies behind the first cut does not fit; no piece lies on both sides of it.
            if let Some(to) = frame.get_mut(to..to + from.len()) {
                to.copy_from_slice(from);
            }
        }
        finish(frame, first, total, is_ipv6(&self.key))
    }
}

/// Writes a fragment that is a packet by itself into `frame`, which is empty (RFC 6946). Gives its
/// length on the wire.
pub(super) fn write_atomic(
    fragment: &Fragment<'_>,
    frame: &mut Vec<u8>,
) -> Result<u32, FragmentAnomaly> {
    let (is_ipv6, len) = (is_ipv6(&fragment.packet), valid_header(fragment)?);
    if fragment.len > max_data(is_ipv6, Some(len)) {
        return Err(FragmentAnomaly::Oversize);
    }
    frame.extend_from_slice(fragment.header);
    frame.extend_from_slice(captured(fragment));
    let (protocol_at, protocol) = (fragment.protocol_at, fragment.packet.protocol);
    let first = First { at: 0, len, protocol_at, protocol };
    Ok(finish(frame, first, fragment.len, is_ipv6))
}

/// The length of the fragment's header, if it is one.
fn valid_header(fragment: &Fragment<'_>) -> Result<usize, FragmentAnomaly> {
    let len = fragment.header.len();
    let lengths = match is_ipv6(&fragment.packet) {
        true => IPV6_HEADER..=IPV6_HEADER_WITH_EXTENSIONS,
        false => IPV4_HEADER..=IPV4_HEADER_WITH_OPTIONS,
    };
    let valid = lengths.contains(&len) && fragment.protocol_at < len;
    if valid { Ok(len) } else { Err(FragmentAnomaly::Malformed) }
}

/// The most data that a packet with such a header has, or with any if none is given.
fn max_data(is_ipv6: bool, header_len: Option<usize>) -> u32 {
    let counted = match header_len {
        Some(len) if is_ipv6 => len.saturating_sub(IPV6_HEADER),
        Some(len) => len,
        None if is_ipv6 => 0,
        None => IPV4_HEADER,
    };
    MAX_LEN.saturating_sub(u32::try_from(counted).unwrap_or(MAX_LEN))
}

/// Whether the TCP header does not fit into the first fragment (RFC 1858 section 3).
fn is_tiny(fragment: &Fragment<'_>) -> bool {
    fragment.packet.protocol == TCP && fragment.len < TCP_HEADER
}

fn captured<'a>(fragment: &Fragment<'a>) -> &'a [u8] {
    slice(fragment.data, 0, fragment.data.len().min(fragment.len as usize))
}

/// `len` bytes from `at` on, none if they are not there.
fn slice(bytes: &[u8], at: usize, len: usize) -> &[u8] {
    bytes.get(at..at.saturating_add(len)).unwrap_or_default()
}

/// Makes the header that of a packet that was never fragmented. Gives the length of the packet.
fn finish(frame: &mut [u8], first: First, total: u32, is_ipv6: bool) -> u32 {
    let header = frame.get_mut(..first.len).unwrap_or_default();
    let len = header.len() + total as usize;
    let field = if is_ipv6 { len.saturating_sub(IPV6_HEADER) } else { len };
    let field = u16::try_from(field).unwrap_or(u16::MAX).to_be_bytes();
    if is_ipv6 {
        put(header, 4, &field);
        put(header, first.protocol_at, &[first.protocol]);
    } else {
        put(header, 2, &field);
        put(header, 6, &[0, 0]);
        put(header, 10, &[0, 0]);
        let checksum = checksum(header).to_be_bytes();
        put(header, 10, &checksum);
    }
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(field) = header.get_mut(at..at + bytes.len()) {
        field.copy_from_slice(bytes);
    }
}

/// RFC 1071.
#[allow(clippy::cast_possible_truncation, reason = "the sum is folded to 16 bits")]
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}
