//! What most packets are: TCP or UDP with whole headers, directly above IP, below Ethernet with at
//! most two VLAN tags or no link layer.
//!
//! The general way, [`link::network`], [`ip::header`] and [`transport::header`], does the same and
//! more; what this one does not take, it leaves to that one. What sets it apart is that nothing is
//! handed over in memory: all functions are inlined, or are out of line and return registers. A
//! struct that is stored by fields and copied in wider pieces right after makes the processor wait
//! for each piece, which is most of the general way's time.
//!
//! [`link::network`]: crate::link::network
//! [`ip::header`]: crate::ip::header
//! [`transport::header`]: crate::transport::header

use flow_core::{
    EncapKind, EncapLayer, Encapsulation, L4Proto, LinkType, Payload, TcpFlags, TcpInfo, TcpOptions,
};

use crate::Endpoint;
use crate::bytes::{array_at, saturate, u16_at};
use crate::ip::{TCP, UDP};
use crate::link::{ETHERNET_HEADER, IPV4, IPV6};
use crate::transport::{Transport, tcp_options};

/// Where IP begins.
#[derive(Clone, Copy)]
pub(crate) struct PlainLink {
    pub(crate) ethertype: u16,
    pub(crate) offset: usize,
    /// VLAN tags.
    pub(crate) tags: Encapsulation,
}

/// Addresses, ports and payload.
#[derive(Clone, Copy)]
pub(crate) struct PlainPacket {
    pub(crate) source: Endpoint,
    pub(crate) destination: Endpoint,
    pub(crate) proto: L4Proto,
    pub(crate) tcp: Option<TcpInfo>,
    pub(crate) payload: Payload,
}

/// The link layer, if it is one of these and IP follows.
#[inline(always)]
pub(crate) fn link(frame: &[u8], link_type: LinkType) -> Option<PlainLink> {
    let tags = Encapsulation::default();
    match link_type {
        LinkType::ETHERNET => {}
        LinkType::IPV4 => return Some(PlainLink { ethertype: IPV4, offset: 0, tags }),
        LinkType::IPV6 => return Some(PlainLink { ethertype: IPV6, offset: 0, tags }),
        _ => return None,
    }
    let mut link = PlainLink { ethertype: u16_at(frame, 12)?, offset: ETHERNET_HEADER, tags };
    if is_tag(link.ethertype) {
        link = after_tag(frame, link)?;
        if is_tag(link.ethertype) {
            link = after_tag(frame, link)?;
        }
    }
    matches!(link.ethertype, IPV4 | IPV6).then_some(link)
}

#[inline(always)]
fn after_tag(frame: &[u8], mut link: PlainLink) -> Option<PlainLink> {
    let &[hi, lo, next_hi, next_lo] = array_at(frame, link.offset)?;
    let id = u32::from(u16::from_be_bytes([hi, lo]) & 0x0fff);
    link.tags.push(EncapLayer { kind: EncapKind::Vlan, id });
    link.ethertype = u16::from_be_bytes([next_hi, next_lo]);
    link.offset += 4;
    Some(link)
}

#[inline(always)]
fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100)
}

/// The packet that begins at `offset` with an IPv6 header, or with an IPv4 one.
#[inline(always)]
pub(crate) fn packet<const V6: bool>(frame: &[u8], offset: usize) -> Option<PlainPacket> {
    // As much as an IPv6 header has; IPv4 with a TCP header is no shorter.
    let header: &[u8; 40] = array_at(frame, offset)?;
    let word = |at| array_at(header, at).copied().map_or(0, u64::from_be_bytes);
    let half = |at| array_at(header, at).copied().map_or(0, u16::from_be_bytes);

    let segment = if V6 {
        if header[0] >> 4 != 6 {
            return None;
        }
        Segment { frame, at: offset + 40, len: half(4).into(), ttl: header[7] }
    } else {
        // More fragments, or an offset.
        let fragment = half(6) & 0x3fff;
        if header[0] != 0x45 || fragment != 0 {
            return None;
        }
        // What is less than nothing becomes a length that no packet has.
        let len = u32::from(half(2)).wrapping_sub(20);
        Segment { frame, at: offset + 20, len, ttl: header[8] }
    };
    let l4 = segment.transport(if V6 { header[6] } else { header[9] })?;
    let (source, destination) = if V6 {
        (
            Endpoint::v6_halves([word(8), word(16)], l4.source_port),
            Endpoint::v6_halves([word(24), word(32)], l4.destination_port),
        )
    } else {
        let quad = |at| array_at(header, at).copied().map_or(0, u32::from_be_bytes);
        (Endpoint::v4(quad(12), l4.source_port), Endpoint::v4(quad(16), l4.destination_port))
    };
    let Transport { proto, tcp, payload, .. } = l4;
    Some(PlainPacket { source, destination, proto, tcp, payload })
}

/// What follows the IP header.
struct Segment<'a> {
    frame: &'a [u8],
    at: usize,
    /// What the IP header says.
    len: u32,
    ttl: u8,
}

impl Segment<'_> {
    #[inline(always)]
    fn transport(&self, protocol: u8) -> Option<Transport> {
        let &[s0, s1, d0, d1, l0, l1, _, _] = array_at(self.frame, self.at)?;
        if !(8..=0xffff).contains(&self.len) {
            return None;
        }
        let (proto, tcp, header_len, len) = match protocol {
            TCP => {
                let (info, header_len) = self.tcp()?;
                (L4Proto::Tcp, Some(info), header_len, self.len)
            }
            UDP => match u16::from_be_bytes([l0, l1]) {
                len @ 8.. => (L4Proto::Udp, None, 8, self.len.min(u32::from(len))),
                _ => return None,
            },
            _ => return None,
        };
        // The header is within the frame and within `len`.
        let offset = saturate(self.at + header_len as usize);
        let len = len - header_len;
        let captured = len.min(saturate(self.frame.len()).saturating_sub(offset));
        Some(Transport {
            proto,
            source_port: u16::from_be_bytes([s0, s1]),
            destination_port: u16::from_be_bytes([d0, d1]),
            tcp,
            payload: Payload { offset, captured, len },
        })
    }

    /// The header and its length.
    #[inline(always)]
    fn tcp(&self) -> Option<(TcpInfo, u32)> {
        let &[_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, u0, u1] =
            array_at(self.frame, self.at)?;
        let header_len = u32::from(offset >> 4) * 4;
        let end = self.at + header_len as usize;
        if header_len < 20 || header_len > self.len || end > self.frame.len() {
            return None;
        }
        // Nearly every segment of a modern connection has the timestamps alone, aligned as
        // RFC 7323 appendix A shows, or no options. The last 12 bytes of the header are there
        // whichever it is.
        let &[k0, k1, k2, k3, v0, v1, v2, v3, e0, e1, e2, e3] =
            array_at(self.frame, end.wrapping_sub(12))?;
        let has_timestamps =
            (header_len == 32) & (u32::from_be_bytes([k0, k1, k2, k3]) == 0x0101_080a);
        let timestamps =
            (u32::from_be_bytes([v0, v1, v2, v3]), u32::from_be_bytes([e0, e1, e2, e3]));
        let mut options = TcpOptions {
            timestamps: has_timestamps.then_some(timestamps),
            ..TcpOptions::default()
        };
        if !has_timestamps & (header_len != 20) {
            options = tcp_options(self.frame.get(self.at + 20..end)?);
        }
        let info = TcpInfo {
            flags: TcpFlags::from_bits_retain(flags),
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            window: u16::from_be_bytes([w0, w1]),
            urgent: u16::from_be_bytes([u0, u1]),
            ttl: self.ttl,
            header_len: offset >> 4 << 2,
            options,
        };
        Some((info, header_len))
    }
}
