//! A wire made of text: TCP connections as the tables of RFC 9293 write them.
//!
//! One line is one packet: direction, flags, sequence number, acknowledgment, payload. Numbers
//! are relative to the first stream byte, so a SYN is at -1.
//!
//! ```text
//! > S -1          < SA -1 0        > PA 0 0 hello
//! ```
//!
//! Words with an equals sign set a field (`win=512`, `scale=7`, `tsval=10`, `tsecr=9`, `ttl=64`, `len=100` for a
//! payload cut by the snap length, `flow=2`, `udp`, `md5`), and `+2500` in front lets that many
//! milliseconds pass; otherwise packets are a millisecond apart.

#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test binary uses a part of it"
)]

use flow_core::{
    Encapsulation, Extracted, FlowExtractor, L4Proto, Orientation, PacketView, Payload, TcpFlags,
    TcpInfo, TcpOptions, Timestamp,
};

/// A packet in the form that [`Wire`] reads.
pub struct Frame {
    pub bytes: Vec<u8>,
    pub ts: Timestamp,
}

impl Frame {
    pub fn view(&self) -> PacketView<'_> {
        let len = u32::from_le_bytes(self.bytes[20..24].try_into().unwrap());
        let frame_len = u32::try_from(self.bytes.len()).unwrap();
        PacketView::new(&self.bytes, self.ts).with_wire_len(frame_len.max(len + 32))
    }
}

/// Reads frames of this module.
#[derive(Clone, Copy, Default)]
pub struct Wire;

const HEADER: usize = 32;

impl FlowExtractor for Wire {
    type Key = u32;

    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<u32>> {
        let header = view.frame.first_chunk::<HEADER>()?;
        let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let is_tcp = header[5] == 6;
        let options = TcpOptions {
            timestamps: (header[7] & 1 != 0).then(|| (word(24), u32::from(header[30]))),
            window_scale: (header[7] & 2 != 0).then_some(header[28]),
            signed: header[7] & 4 != 0,
        };
        let tcp = is_tcp.then(|| TcpInfo {
            flags: TcpFlags::from_bits_retain(header[6]),
            seq: word(8),
            ack: word(12),
            window: u16::from_le_bytes([header[16], header[17]]),
            urgent: u16::from(header[31]),
            ttl: header[29],
            header_len: 0,
            options,
        });
        let captured = u32::try_from(view.frame.len() - HEADER).unwrap();
        Some(Extracted {
            key: word(0),
            orientation: if header[4] == 0 { Orientation::Forward } else { Orientation::Reverse },
            l4: Some(L4Proto::from_number(header[5])),
            tcp,
            payload: Payload { offset: 32, captured, len: word(20).max(captured) },
            encapsulation: Encapsulation::default(),
        })
    }
}

/// The frames of a script, with the initial sequence numbers of `>` and `<`.
pub fn frames(script: &str, isn: [u32; 2]) -> Vec<Frame> {
    let mut millis = 1_000_000u64;
    script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| frame(line, isn, &mut millis))
        .collect()
}

fn frame(line: &str, isn: [u32; 2], millis: &mut u64) -> Frame {
    let mut words = line.split_whitespace().peekable();
    let pause = words.next_if(|word| word.starts_with('+'));
    *millis += pause.map_or(1, |pause| pause[1..].parse().unwrap());
    let from_client = words.next().unwrap() == ">";
    let [mine, peer] = if from_client { isn } else { [isn[1], isn[0]] };
    let mut header = [0u8; HEADER];
    header[4] = u8::from(!from_client);
    header[5] = 6;
    header[16..18].copy_from_slice(&65_535u16.to_le_bytes());
    let (mut numbers, mut payload, mut len, mut flagged) = (Vec::new(), Vec::new(), 0u32, false);
    for word in words {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        match (name, value.parse::<u32>()) {
            ("flow", Ok(value)) => header[0..4].copy_from_slice(&value.to_le_bytes()),
            ("win", Ok(value)) => header[16..18].copy_from_slice(&value.to_le_bytes()[..2]),
            ("len", Ok(value)) => len = value,
            ("scale", Ok(value)) => {
                header[7] |= 2;
                header[28] = u8::try_from(value).unwrap();
            }
            ("tsval", Ok(value)) => {
                header[7] |= 1;
                header[24..28].copy_from_slice(&value.to_le_bytes());
            }
            ("tsecr", Ok(value)) => {
                header[7] |= 1;
                header[30] = u8::try_from(value).unwrap();
            }
            ("urg", Ok(value)) => header[31] = u8::try_from(value).unwrap(),
            ("ttl", Ok(value)) => header[29] = u8::try_from(value).unwrap(),
            ("md5", _) => header[7] |= 4,
            ("udp", _) => header[5] = 17,
            ("x", Ok(count)) => payload = vec![b'x'; count as usize],
            _ if flagged && numbers.len() < 2 && word.parse::<i64>().is_ok() => {
                numbers.push(word.parse::<i64>().unwrap());
            }
            _ if !flagged => {
                flagged = true;
                header[6] = flags(word);
            }
            _ => payload.extend_from_slice(word.as_bytes()),
        }
    }
    let number = |base: u32, at: usize| {
        let relative = numbers.get(at).copied().unwrap_or(0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        base.wrapping_add(1).wrapping_add(relative as u32)
    };
    header[8..12].copy_from_slice(&number(mine, 0).to_le_bytes());
    header[12..16].copy_from_slice(&number(peer, 1).to_le_bytes());
    header[20..24].copy_from_slice(&len.to_le_bytes());
    Frame {
        bytes: [header.as_slice(), &payload].concat(),
        ts: Timestamp::from_nanos(*millis * 1_000_000),
    }
}

fn flags(letters: &str) -> u8 {
    letters
        .chars()
        .map(|letter| match letter {
            'S' => TcpFlags::SYN,
            'A' => TcpFlags::ACK,
            'P' => TcpFlags::PSH,
            'F' => TcpFlags::FIN,
            'R' => TcpFlags::RST,
            'U' => TcpFlags::URG,
            _ => TcpFlags::empty(),
        })
        .fold(TcpFlags::empty(), |all, flag| all | flag)
        .bits()
}
