use std::fmt;
use std::ops::ControlFlow;
use std::task::{Context, Poll};

use flow_core::CaptureStats;

use crate::{Error, OwnedPacket, PacketSource, SourcePacket, Take};

/// Several sources as one: the interfaces of a host, the two directions of a fibre, the files of
/// several machines.
///
/// Every packet says [which source](SourcePacket::source_index) it is from, by the order in which
/// they are given. Sources of different kinds are merged as `Box<dyn PacketSource>`.
///
/// If one of them is live, packets come in the order of their arrival, a few of each source in
/// turn. Otherwise they come in the order of their time, the first source first where that is the
/// same; one packet of each source is copied for that. In that order, every source that has not ended
/// must have a packet before one is handed over: for channels that are fed as packets happen, there
/// is [`by_arrival`](Self::by_arrival).
///
/// The end, or a fatal error, of one source does not end the others.
pub struct Merged<S> {
    sources: Vec<S>,
    by_arrival: bool,
    /// Sources that have said that they are over, whatever else they say.
    over: Vec<bool>,
    /// The next packet of each source, where they are put in the order of time.
    heads: Vec<Option<OwnedPacket>>,
    /// The source whose turn it is, and the packets that are left of it: `1..=PACKETS_PER_TURN`.
    turn: usize,
    left: usize,
}

/// Packets of a source in a row while others have some, too.
///
/// Rationale: few enough that none waits for long, enough that taking turns costs little.
const PACKETS_PER_TURN: usize = 32;

impl<S: PacketSource> Merged<S> {
    /// The packets of all `sources`.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = S>) -> Self {
        let mut merged = Self::by_arrival(sources);
        merged.by_arrival = merged.is_live();
        merged
    }

    /// The packets of all `sources` in the order of their arrival, even if none of them is live.
    #[must_use]
    pub fn by_arrival(sources: impl IntoIterator<Item = S>) -> Self {
        let sources: Vec<S> = sources.into_iter().collect();
        let (over, heads) = (vec![false; sources.len()], vec![None; sources.len()]);
        Self { sources, by_arrival: true, over, heads, turn: 0, left: PACKETS_PER_TURN }
    }

    /// The sources, by their index.
    #[must_use]
    pub fn sources(&self) -> &[S] {
        &self.sources
    }

    /// What was counted by a source since it was opened.
    pub fn capture_stats_of(&mut self, source_index: usize) -> Option<CaptureStats> {
        self.sources.get_mut(source_index).map(PacketSource::capture_stats)
    }

    fn poll_by_arrival(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        // Sources in a row that have nothing at the moment, each of which wakes the task.
        let mut idle = 0;
        while idle < self.sources.len() {
            let source_index = self.turn % self.sources.len();
            let Some(source) = self.sources.get_mut(source_index) else { break };
            let Some(is_over) = self.over.get_mut(source_index) else { break };
            let (mut left, mut enough, mut came) = (self.left, false, false);
            let polled = if *is_over || source.is_terminated() {
                Poll::Ready(None)
            } else {
                source.poll_packets(cx, &mut |packet| {
                    came = true;
                    left = left.saturating_sub(1);
                    enough = take(SourcePacket { source_index, ..packet }).is_break();
                    if enough || left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
            };
            *is_over = matches!(polled, Poll::Ready(None));
            let has_more = came && matches!(polled, Poll::Ready(Some(Ok(()))));
            (self.turn, self.left) = if has_more && left > 0 {
                (source_index, left)
            } else {
                (source_index + 1, PACKETS_PER_TURN)
            };
            match polled {
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                _ if enough => return Poll::Ready(Some(Ok(()))),
                // It says that it has more, and gave nothing: others are to run before it is asked again.
                Poll::Ready(Some(Ok(()))) if !came => return Poll::Ready(Some(Ok(()))),
                Poll::Ready(Some(Ok(()))) => idle = 0,
                Poll::Pending | Poll::Ready(None) => idle += 1,
            }
        }
        self.none_left()
    }

    fn poll_by_time(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        loop {
            let mut waits = false;
            let sources = self.sources.iter_mut().zip(&mut self.over);
            for ((source, is_over), head) in sources.zip(&mut self.heads) {
                if head.is_some() || *is_over || source.is_terminated() {
                    continue;
                }
                let polled = source.poll_packets(cx, &mut |packet| {
                    *head = Some(packet.view.into());
                    ControlFlow::Break(())
                });
                match polled {
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                    Poll::Pending => waits |= head.is_none(),
                    Poll::Ready(Some(Ok(()))) if head.is_none() => {
                        return Poll::Ready(Some(Ok(())));
                    }
                    Poll::Ready(Some(Ok(()))) => {}
                    Poll::Ready(None) => *is_over = true,
                }
            }
            // One that has none yet may have the earliest.
            if waits {
                return Poll::Pending;
            }
            let heads = self.heads.iter().enumerate();
            let times = heads.filter_map(|(i, head)| Some((head.as_ref()?.timestamp, i)));
            let Some((_, source_index)) = times.min() else { return self.none_left() };
            let head = self.heads.get_mut(source_index).and_then(Option::take);
            if let Some(packet) = head
                && take(SourcePacket { view: packet.as_view(), source_index }).is_break()
            {
                return Poll::Ready(Some(Ok(())));
            }
        }
    }

    fn none_left(&self) -> Poll<Option<Result<(), Error>>> {
        if self.is_terminated() { Poll::Ready(None) } else { Poll::Pending }
    }
}

impl<S: PacketSource> PacketSource for Merged<S> {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        if self.by_arrival { self.poll_by_arrival(cx, take) } else { self.poll_by_time(cx, take) }
    }

    fn is_terminated(&self) -> bool {
        let mut sources = self.sources.iter().zip(&self.over);
        sources.all(|(source, is_over)| *is_over || source.is_terminated())
            && self.heads.iter().all(Option::is_none)
    }

    fn is_live(&self) -> bool {
        self.sources.iter().any(PacketSource::is_live)
    }

    /// Those of all sources together.
    fn capture_stats(&mut self) -> CaptureStats {
        self.sources.iter_mut().map(PacketSource::capture_stats).fold(
            CaptureStats::default(),
            |mut sum, stats| {
                sum.received += stats.received;
                sum.dropped += stats.dropped;
                sum.dropped_by_interface += stats.dropped_by_interface;
                sum
            },
        )
    }
}

impl<S: fmt::Debug> fmt::Debug for Merged<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Merged").field(&self.sources).finish()
    }
}
