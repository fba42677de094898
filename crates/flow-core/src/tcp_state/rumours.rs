/// What is kept of segments that were turned down until somebody vouches for them; few
/// connections have any.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rumours {
    /// Initial sequence numbers of SYNs and SYN-ACKs that contradict what is known, until the
    /// other side takes one up. An end that has some is flagged `CANDIDATE`.
    pub(super) candidates: [Candidates; 2],
    /// Where an end would go on if a segment out of any window were to be believed. Valid with
    /// `STRAY`, as the next one is.
    pub(super) stray: [u32; 2],
    /// Where that segment began.
    pub(super) stray_from: [u32; 2],
    /// Where FINs were that have data behind them.
    pub(super) fin: [Option<u32>; 2],
}

/// The latest few initial sequence numbers that an end claimed.
///
/// Rationale: a client that tries again with a new port's worth of luck changes its number once or
/// twice; whoever sends more of them is guessing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Candidates {
    isn: [u32; 4],
    /// Bytes of data that came with each.
    data: [u16; 4],
    len: u8,
}

impl Candidates {
    pub(super) fn contains(&self, isn: u32) -> bool {
        self.isn.iter().take(self.len.into()).any(|&known| known == isn)
    }

    /// The one that `ack` acknowledges, and no more than its data (RFC 7413).
    pub(super) fn acknowledged_by(&self, ack: u32) -> Option<u32> {
        let mut known = self.isn.iter().zip(self.data).take(self.len.into());
        known.find_map(|(&isn, data)| {
            (ack.wrapping_sub(isn.wrapping_add(1)) <= data.into()).then_some(isn)
        })
    }

    pub(super) fn add(&mut self, isn: u32, data: u32) {
        if self.contains(isn) {
            return;
        }
        if usize::from(self.len) == self.isn.len() {
            self.isn.rotate_left(1);
            self.data.rotate_left(1);
            self.len -= 1;
        }
        let at = usize::from(self.len);
        if let (Some(free), Some(len)) = (self.isn.get_mut(at), self.data.get_mut(at)) {
            (*free, *len) = (isn, u16::try_from(data).unwrap_or(u16::MAX));
            self.len += 1;
        }
    }
}
