//! IPv4 and IPv6 up to the transport layer.

use etherparse::{IpAuthHeaderSlice, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice, ip_number};
use flow_core::{Payload, SkipReason};

use crate::bytes::{array_at, saturate, span, u32_at};
use crate::link::{IPV4, IPV6};

pub(crate) const TCP: u8 = ip_number::TCP.0;
pub(crate) const UDP: u8 = ip_number::UDP.0;
pub(crate) const ICMP: u8 = ip_number::ICMP.0;
pub(crate) const ICMPV6: u8 = ip_number::IPV6_ICMP.0;
pub(crate) const SCTP: u8 = ip_number::SCTP.0;
pub(crate) const IPV4_IN_IP: u8 = ip_number::IPV4.0;
pub(crate) const IPV6_IN_IP: u8 = ip_number::IPV6.0;
const HOP_BY_HOP: u8 = ip_number::IPV6_HEADER_HOP_BY_HOP.0;
const ROUTING: u8 = ip_number::IPV6_ROUTE_HEADER.0;
const FRAGMENT: u8 = ip_number::IPV6_FRAGMENTATION_HEADER.0;
const AUTH: u8 = ip_number::AUTHENTICATION_HEADER.0;
const DESTINATION: u8 = ip_number::IPV6_DESTINATION_OPTIONS.0;
const MOBILITY: u8 = ip_number::MOBILITY_HEADER.0;
const SHIM6: u8 = ip_number::SHIM6.0;

/// Extension headers that are looked through.
///
/// Rationale: RFC 8200 section 4.1 recommends at most one of each of six kinds, and destination
/// options twice; each one costs a loop turn.
const MAX_EXTENSION_HEADERS: usize = 16;

/// Source and destination of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Addresses {
    V4(u32, u32),
    V6(u128, u128),
}

/// An IP header with its extension headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) addresses: Addresses,
    /// Time to live, or hop limit.
    pub(crate) ttl: u8,
    /// The first protocol number that is not that of an extension header.
    pub(crate) protocol: u8,
    /// The payload is part of a larger one. No header above IP may be read in it, not even in
    /// the first fragment, as a later one may overlap it.
    pub(crate) fragment: bool,
    /// What `protocol` begins with.
    pub(crate) payload: Payload,
}

/// Reads the IP header at `offset`, version 4 or 6 as `ethertype` says, with its extensions.
pub(crate) fn header(frame: &[u8], offset: usize, ethertype: u16) -> Result<Ip, SkipReason> {
    walk(frame, offset, ethertype).map(|(ip, _)| ip)
}

/// [`header`], and where in the frame the number stands that names the last header stepped over.
fn walk(frame: &[u8], offset: usize, ethertype: u16) -> Result<(Ip, usize), SkipReason> {
    let ip = fixed_header(frame, offset, ethertype)?;
    let named_at = offset + if ethertype == IPV4 { V4_PROTOCOL } else { V6_NEXT_HEADER };
    if ip.is_final() {
        return Ok((ip, named_at));
    }
    through_extensions(frame, with_jumbo_length(frame, ip), named_at)
}

/// Where the protocol's number is in an IPv4 header.
const V4_PROTOCOL: usize = 9;
/// Where the next header's number is in an IPv6 header.
const V6_NEXT_HEADER: usize = 6;

/// An IP header that says that its payload is part of a larger one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FragmentHeader {
    /// The last header in front of the fragment; the payload is the fragment's data.
    pub(crate) ip: Ip,
    /// Where the unfragmented packet's headers end: those that every fragment repeats.
    pub(crate) headers_end: usize,
    /// Where in the frame the number stands that is the data's in the unfragmented packet.
    pub(crate) protocol_at: usize,
    pub(crate) id: u32,
    /// In bytes.
    pub(crate) offset: u32,
    pub(crate) more: bool,
}

/// The header of the fragment at `offset`; `None` if the packet there is whole.
pub(crate) fn fragment_header(
    frame: &[u8],
    offset: usize,
    ethertype: u16,
) -> Option<FragmentHeader> {
    let (ip, protocol_at) = walk(frame, offset, ethertype).ok()?;
    if !ip.fragment {
        return None;
    }
    let data_at = ip.payload.offset as usize;
    let (headers_end, id, place, more) = match ip.addresses {
        Addresses::V4(..) => {
            let &[i0, i1, f0, f1] = array_at(frame, offset + 4)?;
            let fields = u16::from_be_bytes([f0, f1]);
            let id = u32::from(u16::from_be_bytes([i0, i1]));
            (data_at, id, (fields & 0x1fff) << 3, fields & 0x2000 != 0)
        }
        Addresses::V6(..) => {
            let headers_end = data_at.checked_sub(8)?;
            let &[_, _, f0, f1, i0, i1, i2, i3] = array_at(frame, headers_end)?;
            let fields = u16::from_be_bytes([f0, f1]);
            let id = u32::from_be_bytes([i0, i1, i2, i3]);
            (headers_end, id, fields & 0xfff8, fields & 1 != 0)
        }
    };
    Some(FragmentHeader { ip, headers_end, protocol_at, id, offset: place.into(), more })
}

/// The header of a packet that an ICMP error quotes, from the packet's first byte on. That of a
/// first fragment counts, as ports follow it; no other's.
pub(crate) fn quoted_header(packet: &[u8], ethertype: u16) -> Option<Ip> {
    let mut ip = header(packet, 0, ethertype).ok()?;
    if ip.fragment {
        let fragment = fragment_header(packet, 0, ethertype)?;
        if fragment.offset != 0 {
            return None;
        }
        ip.fragment = false;
        // The headers above may go on in the next fragment.
        ip.payload.len = ip.payload.len.max(u16::MAX.into());
        (ip, _) = through_extensions(packet, ip, fragment.protocol_at).ok()?;
    }
    (!ip.fragment).then_some(ip)
}

/// The flow label of the packet at `offset` (RFC 6437); `None` for IPv4.
pub(crate) fn flow_label(frame: &[u8], offset: usize, ethertype: u16) -> Option<u32> {
    if ethertype != IPV6 {
        return None;
    }
    let first = u32_at(frame, offset)?;
    (first >> 28 == 6).then_some(first & 0x000f_ffff)
}

/// The part of the header that is always there. Unless it [`is_final`](Ip::is_final), protocol
/// and payload are those of an extension header.
#[inline(always)]
fn fixed_header(frame: &[u8], offset: usize, ethertype: u16) -> Result<Ip, SkipReason> {
    if ethertype == IPV4 { v4(frame, offset) } else { v6(frame, offset) }
}

impl Ip {
    /// Whether no extension header and no extended length follows.
    #[inline(always)]
    fn is_final(&self) -> bool {
        match self.addresses {
            Addresses::V4(..) => self.protocol != AUTH || self.fragment,
            Addresses::V6(..) => {
                matches!(self.protocol, TCP | UDP | ICMPV6) && self.payload.len != 0
            }
        }
    }
}

#[inline(always)]
fn v4(frame: &[u8], offset: usize) -> Result<Ip, SkipReason> {
    let &[
        version_len,
        _,
        t0,
        t1,
        _,
        _,
        f0,
        f1,
        ttl,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = array_at(frame, offset).ok_or(SkipReason::Truncated)?;
    let header_len = usize::from(version_len & 0x0f) * 4;
    let total_len = match u16::from_be_bytes([t0, t1]) {
        // The network card cuts the packet later (TSO) and fills in the length then.
        0 => frame.len() - offset,
        len => usize::from(len),
    };
    if version_len >> 4 != 4 || header_len < 20 || total_len < header_len {
        return Err(SkipReason::Malformed);
    }
    Ok(Ip {
        addresses: Addresses::V4(
            u32::from_be_bytes([s0, s1, s2, s3]),
            u32::from_be_bytes([d0, d1, d2, d3]),
        ),
        ttl,
        protocol,
        // More fragments, or an offset.
        fragment: u16::from_be_bytes([f0, f1]) & 0x3fff != 0,
        payload: span(frame, offset + header_len, total_len - header_len),
    })
}

#[inline(always)]
fn v6(frame: &[u8], offset: usize) -> Result<Ip, SkipReason> {
    let header: &[u8; 40] = array_at(frame, offset).ok_or(SkipReason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(SkipReason::Malformed);
    }
    let address = |at| array_at(header, at).copied().map_or(0, u128::from_be_bytes);
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    Ok(Ip {
        addresses: Addresses::V6(address(8), address(24)),
        ttl: header[7],
        protocol: header[6],
        fragment: false,
        payload: span(frame, offset + 40, len),
    })
}

/// A payload length of zero stands for a jumbogram (RFC 2675), or for a packet that the network
/// card will cut, or for nothing after the header.
fn with_jumbo_length(frame: &[u8], ip: Ip) -> Ip {
    if ip.payload.len != 0 || matches!(ip.addresses, Addresses::V4(..)) {
        return ip;
    }
    let start = ip.payload.offset as usize;
    let rest = frame.get(start..).unwrap_or_default();
    let jumbo = if ip.protocol == HOP_BY_HOP { jumbo_option(rest) } else { None };
    let len = jumbo.map_or(rest.len(), |len| len as usize);
    Ip { payload: span(frame, start, len), ..ip }
}

/// The jumbo payload option in a hop-by-hop header.
fn jumbo_option(header: &[u8]) -> Option<u32> {
    const PAD1: u8 = 0;
    const JUMBO: u8 = 0xc2;
    let options = header.get(2..(usize::from(*header.get(1)?) + 1) * 8)?;
    let mut at = 0;
    loop {
        match *options.get(at)? {
            PAD1 => at += 1,
            JUMBO if options.get(at + 1) == Some(&4) => return u32_at(options, at + 2),
            _ => at += 2 + usize::from(*options.get(at + 1)?),
        }
    }
}

/// Steps over IPv6 extension headers and AH up to a transport protocol or a fragment. Beside the
/// result stands where in the frame the last header stepped over was named; the first is named at
/// `named_at`.
#[inline(never)]
fn through_extensions(
    frame: &[u8],
    mut ip: Ip,
    mut named_at: usize,
) -> Result<(Ip, usize), SkipReason> {
    for _ in 0..MAX_EXTENSION_HEADERS {
        let rest = ip.payload.of(frame);
        let (next, len) = match ip.protocol {
            HOP_BY_HOP | ROUTING | DESTINATION | MOBILITY | SHIM6 => {
                let header = Ipv6RawExtHeaderSlice::from_slice(rest).map_err(|_| cut(&ip))?;
                (header.next_header(), header.slice().len())
            }
            AUTH => {
                let header = IpAuthHeaderSlice::from_slice(rest).map_err(|_| cut(&ip))?;
                (header.next_header(), header.slice().len())
            }
            FRAGMENT => {
                let header = Ipv6FragmentHeaderSlice::from_slice(rest).map_err(|_| cut(&ip))?;
                ip.fragment = header.is_fragmenting_payload();
                (header.next_header(), header.slice().len())
            }
            _ => return Ok((ip, named_at)),
        };
        let at = ip.payload.offset as usize;
        ip.protocol = next.0;
        let len = saturate(len);
        ip.payload.offset += len;
        ip.payload.captured -= len;
        ip.payload.len -= len;
        if ip.fragment {
            return Ok((ip, named_at));
        }
        named_at = at;
    }
    Err(SkipReason::Malformed)
}

/// Why a header is not there: the capture cut it off, or the packet never had room for it.
fn cut(ip: &Ip) -> SkipReason {
    if ip.payload.captured < ip.payload.len { SkipReason::Truncated } else { SkipReason::Malformed }
}
