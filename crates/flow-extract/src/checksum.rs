//! The checksum of TCP (RFC 9293 section 3.1, RFC 1071).

use flow_core::{PacketView, TcpChecksum};

use crate::bytes::u16_at;
use crate::ip::{self, Addresses, TCP};
use crate::link::{self, IPV4};
use crate::plain::{self, PlainLink};

/// Where the checksum is in a TCP header.
const FIELD: usize = 16;

/// The longest segment that an Ethernet frame of ordinary size has room for, above IPv4.
const LONGEST_IN_A_FRAME: usize = 1_480;

/// What the checksum of the packet's segment says, if all of it is there.
pub(crate) fn tcp(view: PacketView<'_>) -> Option<TcpChecksum> {
    let plain = plain::link(view.frame, view.link_type)
        .and_then(|link| Segment::in_plain_packet(view.frame, &link));
    let segment = plain.or_else(|| Segment::in_any_packet(view))?;
    let field = u16_at(segment.bytes, FIELD)?;
    let len = u64::try_from(segment.bytes.len()).unwrap_or(u64::MAX);
    let pseudo = segment.addresses + swapped(len >> 16) + swapped(len) + swapped(u64::from(TCP));
    Some(if folded(pseudo + sum(segment.bytes)) == u16::MAX {
        TcpChecksum::Good
    } else if u16::from_be_bytes(folded(pseudo).to_ne_bytes()) == field
        || segment.bytes.len() > LONGEST_IN_A_FRAME
    {
        TcpChecksum::Offloaded
    } else {
        TcpChecksum::Bad
    })
}

/// A TCP segment, and the sum of the addresses that it goes between.
struct Segment<'a> {
    bytes: &'a [u8],
    addresses: u64,
}

impl<'a> Segment<'a> {
    /// Directly above IP without options or extension headers.
    #[inline]
    fn in_plain_packet(frame: &'a [u8], link: &PlainLink) -> Option<Self> {
        let packet = frame.get(link.offset..)?;
        let (header, addresses, len) = if link.ethertype == IPV4 {
            let header = packet.first_chunk::<20>()?;
            let whole = u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0;
            if header[0] != 0x45 || header[9] != TCP || !whole {
                return None;
            }
            (20, sum(&header[12..20]), u16_at(header, 2)?.checked_sub(20)?)
        } else {
            let header = packet.first_chunk::<40>()?;
            if header[0] >> 4 != 6 || header[6] != TCP {
                return None;
            }
            (40, sum(&header[8..40]), u16_at(header, 4)?)
        };
        let bytes = packet.get(header..header + usize::from(len)).filter(|_| len > 0)?;
        Some(Self { bytes, addresses })
    }

    fn in_any_packet(view: PacketView<'a>) -> Option<Self> {
        let network = link::network(view.frame, view.link_type).ok()?;
        let ip = ip::header(view.frame, network.offset, network.ethertype).ok()?;
        let payload = ip.payload;
        if ip.protocol != TCP || ip.fragment || payload.captured < payload.len {
            return None;
        }
        let start = payload.offset as usize;
        let bytes = view.frame.get(start..start + payload.len as usize)?;
        let addresses = match ip.addresses {
            Addresses::V4(from, to) => sum(&from.to_be_bytes()) + sum(&to.to_be_bytes()),
            Addresses::V6(from, to) => sum(&from.to_be_bytes()) + sum(&to.to_be_bytes()),
        };
        Some(Self { bytes, addresses })
    }
}

/// The sum of the 16-bit words of `bytes`, of which a last odd one counts as a word's first, in the
/// byte order of this machine: that makes no difference but to the order of the sum's own bytes
/// (RFC 1071 section 2). Not folded: it has room for more than any packet is long.
#[inline]
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let last = match bytes.last_chunk() {
        // A few bytes, copied one by one, take as long as a hundred in words: what is in front of
        // them is shifted out instead. Not by 64 at once, if there are none.
        Some(&end) => (u64::from_le_bytes(end) >> 8) >> (56 - 8 * rest.len()),
        None => rest.iter().rev().fold(0, |word, &byte| (word << 8) | u64::from(byte)),
    };
    let last = last.to_le();
    // Compilers take four words at once, at three instructions a pair. `all` runs over, but what
    // the high halves leave of it, the sum of the low ones, does not.
    let (mut all, mut high) = (last, last >> 32);
    for &word in words {
        let word = u64::from_ne_bytes(word);
        all = all.wrapping_add(word);
        high += word >> 32;
    }
    all.wrapping_sub(high << 32) + high
}

/// The low 16 bits of a number as they are in a packet.
fn swapped(number: u64) -> u64 {
    let [.., a, b] = number.to_be_bytes();
    u64::from(u16::from_ne_bytes([a, b]))
}

/// The 16 bits that a sum is worth.
#[allow(clippy::cast_possible_truncation, reason = "what is above was added")]
fn folded(mut sum: u64) -> u16 {
    while sum > u64::from(u16::MAX) {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(bytes: &[u8]) -> u16 {
        u16::from_be_bytes(folded(sum(bytes)).to_ne_bytes())
    }

    /// Word by word, each carry added at once.
    fn model(bytes: &[u8]) -> u16 {
        bytes.chunks(2).fold(0, |sum: u16, word| {
            let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
            let (sum, carry) = sum.overflowing_add(word);
            sum + u16::from(carry)
        })
    }

    /// The example of RFC 1071 section 3.
    #[test]
    fn sum_of_rfc_1071() {
        assert_eq!(value(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(value(&[0x00, 0x01, 0xf2]), 0xf201);
        assert_eq!(value(&[0xff; 70_000]), 0xffff);
    }

    #[test]
    fn every_length_and_alignment() {
        let bytes: Vec<u8> = (0..=255).chain((0..=255).rev()).map(|byte: u8| byte ^ 0xa5).collect();
        for from in 0..16 {
            for to in from..bytes.len() {
                assert_eq!(value(&bytes[from..to]), model(&bytes[from..to]), "{from}..{to}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..3_000), from in 0_usize..64) {
            let bytes = bytes.get(from..).unwrap_or_default();
            prop_assert_eq!(value(bytes), model(bytes));
        }

        /// Most carries.
        #[test]
        fn large_words(bytes in proptest::collection::vec(0xfd_u8.., 0..3_000)) {
            prop_assert_eq!(value(&bytes), model(&bytes));
        }
    }
}
