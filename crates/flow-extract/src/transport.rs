//! Ports, the TCP header, and where the payload begins.

use flow_core::{L4Proto, Payload, SkipReason, TcpFlags, TcpInfo, TcpOptions};

use crate::bytes::{array_at, span, u16_at};
use crate::ip::{self, Ip};

/// A transport header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transport {
    pub(crate) proto: L4Proto,
    /// 0 where there are none.
    pub(crate) source_port: u16,
    /// 0 where there are none.
    pub(crate) destination_port: u16,
    pub(crate) tcp: Option<TcpInfo>,
    pub(crate) payload: Payload,
}

/// Reads the header above IP. `ip` must not be a fragment.
pub(crate) fn header(frame: &[u8], ip: &Ip) -> Result<Transport, SkipReason> {
    whole_header(frame, ip).map_or_else(|| cut_header(frame, ip), Ok)
}

/// The transport header, if its fixed part is there and in order.
fn whole_header(frame: &[u8], ip: &Ip) -> Option<Transport> {
    match ip.protocol {
        ip::TCP => tcp(frame, ip),
        ip::UDP => udp(frame, ip.payload),
        ip::SCTP => {
            let (source_port, destination_port) = ports(frame, ip.payload)?;
            let payload = after_header(frame, ip.payload, 12);
            Some(Transport {
                proto: L4Proto::Sctp,
                source_port,
                destination_port,
                tcp: None,
                payload,
            })
        }
        ip::ICMP | ip::ICMPV6 => Some(portless(ip.protocol, after_header(frame, ip.payload, 8))),
        protocol => Some(portless(protocol, ip.payload)),
    }
}

/// Why [`whole_header`] found none, or as much of a header as identifies the flow.
#[cold]
fn cut_header(frame: &[u8], ip: &Ip) -> Result<Transport, SkipReason> {
    let needed = match ip.protocol {
        ip::TCP => 20,
        ip::UDP => 8,
        _ => 4,
    };
    if ip.payload.len < needed || ip.payload.captured >= needed {
        return Err(SkipReason::Malformed);
    }
    match ip.protocol {
        ip::TCP => cut_tcp(frame, ip.payload),
        _ => Err(SkipReason::Truncated),
    }
}

#[inline(always)]
fn portless(protocol: u8, payload: Payload) -> Transport {
    let proto = L4Proto::from_number(protocol);
    Transport { proto, source_port: 0, destination_port: 0, tcp: None, payload }
}

#[inline(always)]
fn tcp(frame: &[u8], ip: &Ip) -> Option<Transport> {
    let segment = ip.payload;
    let captured = segment.of(frame);
    let &[sp0, sp1, dp0, dp1, s0, s1, s2, s3, a0, a1, a2, a3, offset, flags, w0, w1, _, _, u0, u1] =
        captured.first_chunk::<20>()?;
    let header_len = usize::from(offset >> 4) * 4;
    if header_len < 20 || header_len > segment.len as usize {
        return None;
    }
    let options = captured.get(20..header_len).or_else(|| captured.get(20..)).unwrap_or_default();
    Some(Transport {
        proto: L4Proto::Tcp,
        source_port: u16::from_be_bytes([sp0, sp1]),
        destination_port: u16::from_be_bytes([dp0, dp1]),
        tcp: Some(TcpInfo {
            flags: TcpFlags::from_bits_retain(flags),
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            window: u16::from_be_bytes([w0, w1]),
            urgent: u16::from_be_bytes([u0, u1]),
            ttl: ip.ttl,
            header_len: offset >> 4 << 2,
            options: tcp_options(options),
        }),
        payload: after_header(frame, segment, header_len),
    })
}

/// A TCP header that the capture cut short belongs to its flow if the ports are there. Without
/// sequence number and flags there is no [`TcpInfo`]; without the data offset the payload's
/// length is unknown and none is claimed.
fn cut_tcp(frame: &[u8], segment: Payload) -> Result<Transport, SkipReason> {
    let (source_port, destination_port) = ports(frame, segment).ok_or(SkipReason::Truncated)?;
    let offset = segment.of(frame).get(12);
    let header_len = offset.map_or(usize::MAX, |byte| usize::from(byte >> 4) * 4);
    if header_len < 20 {
        return Err(SkipReason::Malformed);
    }
    let payload = after_header(frame, segment, header_len);
    Ok(Transport { proto: L4Proto::Tcp, source_port, destination_port, tcp: None, payload })
}

#[inline(always)]
fn udp(frame: &[u8], datagram: Payload) -> Option<Transport> {
    let (source_port, destination_port) = ports(frame, datagram)?;
    let len = match u16_at(datagram.of(frame), 4) {
        // A jumbogram (RFC 2675), a datagram that the network card will cut, or a header that
        // the capture cut off: the IP header decides.
        None | Some(0) => datagram.len,
        Some(len) => u32::from(len).min(datagram.len),
    };
    if len < 8 {
        return None;
    }
    let datagram = Payload { captured: datagram.captured.min(len), len, ..datagram };
    let payload = after_header(frame, datagram, 8);
    Some(Transport { proto: L4Proto::Udp, source_port, destination_port, tcp: None, payload })
}

#[inline(always)]
fn ports(frame: &[u8], segment: Payload) -> Option<(u16, u16)> {
    let &[s0, s1, d0, d1] = array_at(segment.of(frame), 0)?;
    Some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1])))
}

/// What follows a header of `header_len` bytes in `segment`; nothing if it is no longer than that.
#[inline(always)]
fn after_header(frame: &[u8], segment: Payload, header_len: usize) -> Payload {
    let offset = (segment.offset as usize).saturating_add(header_len);
    span(frame, offset, (segment.len as usize).saturating_sub(header_len))
}

/// The options that count, from as much of the list as there is.
#[inline(always)]
pub(crate) fn tcp_options(options: &[u8]) -> TcpOptions {
    // Nearly every segment of a modern connection carries the timestamps alone, aligned as
    // RFC 7323 appendix A shows.
    let (timestamps, others) = match options {
        [] => (0, 0),
        &[1, 1, 8, 10, a, b, c, d, e, f, g, h] => {
            (u64::from_be_bytes([a, b, c, d, e, f, g, h]), HAS_TIMESTAMPS)
        }
        list => tcp_option_list(list),
    };
    let [.., shift] = others.to_be_bytes();
    let [a, b, c, d, e, f, g, h] = timestamps.to_be_bytes();
    let timestamps = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
    TcpOptions {
        timestamps: (others & HAS_TIMESTAMPS != 0).then_some(timestamps),
        window_scale: (others & HAS_WINDOW_SCALE != 0).then_some(shift),
        signed: others & IS_SIGNED != 0,
    }
}

const HAS_TIMESTAMPS: u32 = 1 << 8;
const HAS_WINDOW_SCALE: u32 = 1 << 9;
const IS_SIGNED: u32 = 1 << 10;

/// The timestamps, and which options were found with the window scale shift in the lowest byte.
///
/// Two numbers come back in registers; a [`TcpOptions`] would come through memory and be copied
/// from there, which costs more than reading the options.
#[inline(never)]
fn tcp_option_list(mut rest: &[u8]) -> (u64, u32) {
    const END: u8 = 0;
    const NOP: u8 = 1;
    const WINDOW_SCALE: u8 = 3;
    const TIMESTAMPS: u8 = 8;
    const MD5: u8 = 19;
    const AUTHENTICATION: u8 = 29;

    let (mut timestamps, mut found) = (0, 0);
    loop {
        let len = match *rest {
            [] | [END, ..] => break,
            [NOP, ..] => 1,
            [WINDOW_SCALE, 3, shift, ..] => {
                found = found & !0xff | HAS_WINDOW_SCALE | u32::from(shift);
                3
            }
            [TIMESTAMPS, 10, a, b, c, d, e, f, g, h, ..] => {
                found |= HAS_TIMESTAMPS;
                timestamps = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                10
            }
            [kind, len, ..] if len >= 2 => {
                if matches!(kind, MD5 | AUTHENTICATION) {
                    found |= IS_SIGNED;
                }
                usize::from(len)
            }
            // A length that includes less than itself ends what can be read.
            _ => break,
        };
        rest = rest.get(len..).unwrap_or_default();
    }
    (timestamps, found)
}
