//! Urgent bytes that are taken out of the stream.

use super::{StreamReassembler, URGENT};
use crate::StreamSink;

/// Urgent bytes that may wait at once; hosts know one.
const MAX_URGENT: usize = 16;

impl StreamReassembler {
    /// The byte at this offset is to be taken out when it is its turn.
    pub(super) fn mark_urgent(&mut self, offset: i64) {
        let Some(offset) = u64::try_from(offset).ok().filter(|&at| at >= self.next) else { return };
        let rare = self.rare.get_or_insert_default();
        if let Err(at) = rare.urgent.binary_search(&offset)
            && rare.urgent.len() < MAX_URGENT
        {
            rare.urgent.insert(at, offset);
            self.flags |= URGENT;
        }
    }

    #[cold]
    pub(super) fn deliver_around_urgent(
        &mut self,
        bytes: &[u8],
        packet: u64,
        sink: &mut impl StreamSink,
    ) {
        let (mut rest, end) = (bytes, self.next + bytes.len() as u64);
        while let Some(rare) = &mut self.rare
            && let Some(&urgent) = rare.urgent.first().filter(|&&urgent| urgent < end)
        {
            rare.urgent.remove(0);
            let Some(before) = urgent.checked_sub(self.next) else { continue };
            let (plain, from) = rest.split_at(usize::try_from(before).unwrap_or(0).min(rest.len()));
            self.hand_on(plain, packet, sink);
            if let Some((&byte, behind)) = from.split_first() {
                sink.urgent(self.next, byte, packet);
                self.rare.get_or_insert_default().stats.urgent_bytes += 1;
                self.step(1);
                rest = behind;
            }
        }
        self.hand_on(rest, packet, sink);
        if self.rare.as_ref().is_none_or(|rare| rare.urgent.is_empty()) {
            self.flags &= !URGENT;
        }
    }
}
