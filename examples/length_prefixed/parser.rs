use std::fmt;

use flow::SessionParser;

/// `S` and two bytes of length, or `L` and four, in network order; then so much payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) marker: char,
    pub(crate) payload: Vec<u8>,
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begin = &self.payload[..self.payload.len().min(20)];
        write!(f, "{} {} bytes \"{}\"", self.marker, self.payload.len(), begin.escape_ascii())
    }
}

/// Reads frames of either side.
#[derive(Clone, Debug, Default)]
pub(crate) struct LengthPrefixed {
    /// What each side has sent of a frame that is not whole.
    begun: [Vec<u8>; 2],
    poison: Option<String>,
}

/// A longer frame is taken for nonsense: whoever announces it may not make us keep it.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

impl LengthPrefixed {
    fn read(&mut self, side: usize, bytes: &[u8]) -> Vec<Frame> {
        let (mut frames, mut at) = (Vec::new(), 0);
        let begun = &mut self.begun[side];
        begun.extend_from_slice(bytes);
        loop {
            match header(&begun[at..]) {
                Ok(Some((marker, header, len))) if begun.len() - at >= header + len => {
                    let payload = begun[at + header..at + header + len].to_vec();
                    frames.push(Frame { marker, payload });
                    at += header + len;
                }
                Ok(_) => break,
                Err(reason) => {
                    self.poison = Some(reason);
                    break;
                }
            }
        }
        begun.drain(..at);
        frames
    }
}

/// Marker, length of the header, length of the payload; nothing if the header is not whole.
fn header(bytes: &[u8]) -> Result<Option<(char, usize, usize)>, String> {
    let (marker, header, len) = match *bytes {
        [b'S', a, b, ..] => ('S', 3, usize::from(u16::from_be_bytes([a, b]))),
        [b'L', a, b, c, d, ..] => ('L', 5, u32::from_be_bytes([a, b, c, d]) as usize),
        [] | [b'S' | b'L', ..] => return Ok(None),
        [unknown, ..] => return Err(format!("unknown marker {unknown:#04x}")),
    };
    if len > MAX_PAYLOAD {
        return Err(format!("a payload of {len} bytes"));
    }
    Ok(Some((marker, header, len)))
}

impl SessionParser for LengthPrefixed {
    type Message = Frame;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.read(0, bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<Frame> {
        self.read(1, bytes)
    }

    fn is_poisoned(&self) -> bool {
        self.poison.is_some()
    }

    fn poison_reason(&self) -> Option<&str> {
        self.poison.as_deref()
    }

    fn buffered_bytes(&self) -> usize {
        self.begun.iter().map(Vec::capacity).sum()
    }
}
