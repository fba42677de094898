use std::ops::Range;

use flow::PacketView;

use crate::{Frame, Stopwatch};

/// Packets of a burst. Frames of a hundred bytes stay in the second-level cache, as they would in
/// a network card's ring, and reading the clock costs a packet nothing.
const BURST: u64 = 1_024;

/// Which flow sends the next packet.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// One after the other, round and round.
    Sequential,
    /// Any, each time.
    Random,
}

impl Order {
    /// The flow, of so many, that sends packet `number`.
    #[must_use]
    pub fn flow(self, number: u64, flows: u32) -> u32 {
        let scattered = match self {
            Self::Sequential => number,
            Self::Random => scatter(number),
        };
        u32::try_from(scattered % u64::from(flows)).unwrap_or_default()
    }
}

/// A number that has nothing to do with the next one's: the finalizer of MurmurHash3.
const fn scatter(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

/// Hands packets to `act`, burst by burst, with only `act` on the clock.
///
/// Packet `number` is what `frame` makes of it, captured `number` times `micros` after the
/// beginning.
pub fn in_bursts(
    numbers: Range<u64>,
    micros: u64,
    mut frame: impl FnMut(u64) -> Frame,
    mut act: impl FnMut(&[PacketView<'_>]),
) -> Stopwatch {
    let mut clock = Stopwatch::default();
    let mut frames = Vec::new();
    let mut first = numbers.start;
    while first < numbers.end {
        let next = numbers.end.min(first + BURST);
        frames.clear();
        frames.extend((first..next).map(&mut frame));
        let numbered = frames.iter().zip(first..);
        let views: Vec<_> = numbered.map(|(frame, number)| frame.view(number * micros)).collect();
        clock.time(|| act(&views));
        first = next;
    }
    clock
}

#[cfg(test)]
mod tests {
    use flow::extract::FiveTuple;
    use flow::{FlowSide, FlowTracker, TcpFlags};

    use super::*;
    use crate::{Deaf, tcp};

    #[track_caller]
    fn check(order: Order, packets: u64, expected: usize) {
        let mut tracker = FlowTracker::new(FiveTuple::bidirectional());
        let frame = |number| {
            let flow = order.flow(number, 1_000);
            tcp(flow, FlowSide::Initiator, [1, 1], TcpFlags::ACK, &[])
        };
        in_bursts(0..packets, 1, frame, |views| {
            views.iter().for_each(|view| tracker.track_with(*view, &mut Deaf));
        });
        assert_eq!(tracker.flow_count(), expected);
        assert_eq!(tracker.stats().packets, packets);
    }

    #[test]
    fn flows_take_turns() {
        check(Order::Sequential, 500, 500);
        check(Order::Sequential, 3_000, 1_000);
    }

    #[test]
    fn any_flow_comes_in_time() {
        check(Order::Random, 20_000, 1_000);
    }
}
