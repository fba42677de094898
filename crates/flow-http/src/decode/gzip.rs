use flate2::{Crc, Decompress};

use super::DecodeErrorKind;
use super::codec::{Step, inflate};

/// `gzip` (RFC 1952), member by member.
pub(super) struct Gzip {
    state: State,
    /// Flags of the member's header whose parts are still to come.
    flags: u8,
    inflate: Decompress,
    crc: Crc,
    members: u64,
}

/// What of a member comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The fixed part of the header, of which this much has been read.
    Header(u8),
    /// The length of the extra field: its first byte once that is known.
    ExtraLength(Option<u8>),
    Extra(u16),
    /// Name or comment, up to a zero.
    Text,
    /// The header's checksum, of which this much has been read.
    HeaderCrc(u8),
    Data,
    /// Checksum and length of the data, of which this much has been read.
    Trailer {
        len: u8,
        bytes: [u8; 8],
    },
    /// Behind the last member.
    End,
}

const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

impl Default for Gzip {
    fn default() -> Self {
        Self {
            state: State::Header(0),
            flags: 0,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            members: 0,
        }
    }
}

impl Gzip {
    pub(super) fn is_done(&self) -> bool {
        self.state == State::End || self.members > 0 && self.state == State::Header(0)
    }

    pub(super) fn step(&mut self, input: &[u8], output: &mut [u8]) -> Step {
        let mut read = 0;
        while self.state != State::Data {
            if self.state == State::End {
                return Step::read(input.len());
            }
            let Some(&byte) = input.get(read) else { return Step::read(read) };
            if let Err(kind) = self.byte(byte) {
                return Step { failed: Some(kind), ..Step::read(read) };
            }
            read += 1;
        }
        let input = input.get(read..).unwrap_or_default();
        let (step, done) = inflate(&mut self.inflate, input, output);
        self.crc.update(output.get(..step.written).unwrap_or_default());
        if done {
            self.state = State::Trailer { len: 0, bytes: [0; 8] };
        }
        Step { read: read + step.read, ..step }
    }

    /// Takes a byte of a header or a trailer.
    fn byte(&mut self, byte: u8) -> Result<(), DecodeErrorKind> {
        match &mut self.state {
            State::Header(at) => {
                let known = match *at {
                    0 => byte == 0x1f,
                    1 => byte == 0x8b,
                    2 => byte == 8,
                    _ => true,
                };
                match (known, self.members) {
                    (true, _) if *at == 9 => self.next_part(),
                    (true, _) => {
                        if *at == 3 {
                            self.flags = byte;
                        }
                        *at += 1;
                    }
                    (false, 0) => return Err(DecodeErrorKind::Invalid),
                    // Padding behind the last member is common.
                    (false, _) => self.state = State::End,
                }
            }
            State::ExtraLength(low) => match *low {
                None => *low = Some(byte),
                Some(low) => self.state = State::Extra(u16::from_le_bytes([low, byte])),
            },
            State::Extra(left) => *left = left.saturating_sub(1),
            State::Text => {
                if byte == 0 {
                    self.next_part();
                }
            }
            State::HeaderCrc(1) => self.next_part(),
            State::HeaderCrc(len) => *len += 1,
            State::Trailer { len, bytes } => {
                if let Some(slot) = bytes.get_mut(usize::from(*len)) {
                    *slot = byte;
                }
                *len += 1;
                if *len == 8 {
                    let [a, b, c, d, e, f, g, h] = *bytes;
                    return self.end_member(
                        u32::from_le_bytes([a, b, c, d]),
                        u32::from_le_bytes([e, f, g, h]),
                    );
                }
            }
            State::Data | State::End => {}
        }
        if self.state == State::Extra(0) {
            self.next_part();
        }
        Ok(())
    }

    /// Goes on with the next part of the header that the flags announce.
    fn next_part(&mut self) {
        let part =
            [EXTRA, NAME, COMMENT, HEADER_CRC].into_iter().find(|part| self.flags & part != 0);
        self.state = match part {
            Some(EXTRA) => State::ExtraLength(None),
            Some(HEADER_CRC) => State::HeaderCrc(0),
            Some(_) => State::Text,
            None => State::Data,
        };
        self.flags &= !part.unwrap_or(0);
    }

    fn end_member(&mut self, crc: u32, len: u32) -> Result<(), DecodeErrorKind> {
        if (crc, len) != (self.crc.sum(), self.crc.amount()) {
            return Err(DecodeErrorKind::Checksum);
        }
        self.members = self.members.saturating_add(1);
        self.state = State::Header(0);
        self.inflate.reset(false);
        self.crc.reset();
        Ok(())
    }
}
