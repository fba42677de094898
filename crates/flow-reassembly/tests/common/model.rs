//! The obviously right model: one optional byte per stream offset. The fuzz targets use it too.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::time::Duration;

use flow_core::{Gap, Timestamp};
use flow_reassembly::{OverlapPolicy, Segment, StreamConfig, StreamReassembler, StreamSink};

pub(crate) const POLICIES: [OverlapPolicy; 5] = [
    OverlapPolicy::First,
    OverlapPolicy::Last,
    OverlapPolicy::BSD,
    OverlapPolicy::LINUX,
    OverlapPolicy::OLD_LINUX,
];

/// What came out, `None` for missing bytes.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) bytes: Vec<Option<u8>>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) missing: u64,
    pub(crate) ends: usize,
}

impl StreamSink for Collected {
    fn data(&mut self, offset: u64, bytes: &[u8], _packet: u64) {
        assert_eq!(offset, self.bytes.len() as u64, "offsets are contiguous");
        assert!(!bytes.is_empty() && self.ends == 0);
        self.bytes.extend(bytes.iter().copied().map(Some));
    }

    fn gap(&mut self, gap: Gap) {
        assert_eq!(gap.offset, self.bytes.len() as u64, "offsets are contiguous");
        assert!(gap.len > 0 && self.ends == 0);
        self.bytes.resize(self.bytes.len() + usize::try_from(gap.len).unwrap(), None);
        self.gaps.push(gap);
        self.missing += gap.len;
    }

    fn end(&mut self, offset: u64) {
        assert_eq!(offset, self.bytes.len() as u64);
        self.ends += 1;
    }
}

/// Which bytes of the stream a segment has, and what it has in their place.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub(crate) offset: usize,
    pub(crate) bytes: Vec<u8>,
}

/// What a reassembler is told.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Data(Piece),
    Ack(usize),
    Fin(usize),
}

/// The reassembler with what it hands on.
pub(crate) struct Run {
    pub(crate) stream: StreamReassembler,
    pub(crate) out: Collected,
    pub(crate) config: StreamConfig,
    isn: u32,
    /// Payload bytes of all segments.
    sent: u64,
}

impl Run {
    /// An acknowledged hole is given up at once.
    pub(crate) fn new(policy: OverlapPolicy, isn: u32) -> Self {
        let mut config = StreamConfig::default();
        config.ack_grace = Duration::ZERO;
        config.reorder_segments = 0;
        let stream = StreamReassembler::new().with_overlap_policy(policy);
        Self { stream, out: Collected::default(), config, isn, sent: 0 }
    }

    pub(crate) fn call(&mut self, call: &Call) {
        let (config, ts) = (&self.config, Timestamp::new(1, 0));
        let seq = |at: usize| self.isn.wrapping_add(1).wrapping_add(u32::try_from(at).unwrap());
        match call {
            Call::Data(Piece { offset, bytes }) => {
                self.sent += bytes.len() as u64;
                let start = Some(seq(0));
                let segment = Segment { start, ts, ..Segment::plain(seq(*offset), bytes) };
                self.stream.segment(&segment, config, &mut self.out);
            }
            Call::Ack(upto) => {
                self.stream.progress(Some(seq(*upto)), ts, config, &mut self.out);
            }
            Call::Fin(at) => {
                let start = Some(seq(0));
                let segment = Segment { start, ts, fin: true, ..Segment::plain(seq(*at), &[]) };
                self.stream.segment(&segment, config, &mut self.out);
            }
        }
        self.check();
    }

    pub(crate) fn finish(&mut self) {
        self.stream.finish(&mut self.out);
        self.check();
        assert_eq!(accounted(&self.stream), self.sent, "every byte is in one counter");
    }

    /// What was handed on and what was given up is all there is in front of the offset.
    fn check(&self) {
        let (missing, stats) = (self.out.missing, self.stream.stats());
        assert_eq!(self.stream.offset(), self.out.bytes.len() as u64);
        assert_eq!(stats.total_gap_bytes(), missing);
        assert_eq!(stats.delivered_bytes + missing, self.stream.offset());
        assert_eq!(stats.gaps.iter().sum::<u64>(), self.out.gaps.len() as u64);
        assert_eq!(self.stream.is_ended(), self.out.ends == 1);
        assert!(self.out.ends <= 1);
    }
}

/// Payload bytes that were delivered or dropped under a name.
pub(crate) fn accounted(stream: &StreamReassembler) -> u64 {
    let stats = stream.stats();
    stats.delivered_bytes
        + stats.retransmitted_bytes
        + stats.late_bytes
        + stats.before_start_bytes
        + stats.refused_bytes
        + stats.beyond_fin_bytes
        + stats.undelivered_bytes
        + stats.truncated_bytes
        + stats.keep_alives
}

/// A byte that waits, and where the segment that it is part of begins.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    byte: u8,
    start: usize,
}

/// One optional byte per stream offset: what was handed on, then what waits.
#[derive(Debug)]
pub(crate) struct Model {
    policy: OverlapPolicy,
    pub(crate) bytes: Vec<Option<u8>>,
    waiting: BTreeMap<usize, Waiting>,
    fin: Option<usize>,
    pub(crate) ends: usize,
    pub(crate) conflicting: u64,
}

impl Model {
    pub(crate) fn new(policy: OverlapPolicy) -> Self {
        let (bytes, waiting) = (Vec::new(), BTreeMap::new());
        Self { policy, bytes, waiting, fin: None, ends: 0, conflicting: 0 }
    }

    pub(crate) fn call(&mut self, call: &Call) {
        match call {
            Call::Data(piece) => self.data(piece),
            Call::Ack(upto) => self.give_up(|first| first <= *upto),
            // The first, unless one comes later that is in order.
            Call::Fin(at)
                if self.fin.is_none_or(|fin| *at < fin && *at == self.bytes.len())
                    && *at >= self.bytes.len() =>
            {
                self.fin = Some(*at);
                self.waiting.retain(|offset, _| offset < at);
            }
            Call::Fin(_) => {}
        }
        self.check_end();
    }

    pub(crate) fn finish(&mut self) {
        self.give_up(|_| true);
        if let Some(fin) = self.fin {
            self.bytes.resize(fin, None);
        }
        self.check_end();
    }

    /// Runs of bytes that wait.
    pub(crate) fn runs(&self) -> usize {
        let offsets = self.waiting.keys();
        offsets.filter(|&&at| at == 0 || !self.waiting.contains_key(&(at - 1))).count()
    }

    /// Bytes that wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The hole in front of the FIN was acknowledged, and nothing waits behind it. Whether it is
    /// given up then or in the end is not for the model to say.
    pub(crate) fn may_end(&self, call: &Call) -> bool {
        let fin = self.fin.unwrap_or(usize::MAX);
        self.waiting.is_empty() && matches!(call, Call::Ack(upto) if *upto >= fin)
    }

    /// The stream was handed on up to `offset`, for reasons that the model does not know.
    pub(crate) fn skip_to(&mut self, offset: usize) {
        while self.bytes.len() < offset {
            let byte = self.waiting.remove(&self.bytes.len());
            self.bytes.push(byte.map(|there| there.byte));
        }
        self.check_end();
    }

    /// What was handed on never changes, nor is there anything behind the FIN.
    fn data(&mut self, Piece { offset, bytes }: &Piece) {
        let from = self.bytes.len().max(*offset);
        let to = (offset + bytes.len()).min(self.fin.unwrap_or(usize::MAX));
        if from >= to {
            return;
        }
        let there = |at| self.waiting.get(&at).map(|there: &Waiting| there.byte);
        let differs = |at: &usize| there(*at).is_some_and(|byte| byte != bytes[at - offset]);
        self.conflicting += (from..to).filter(differs).count() as u64;
        let begin = self.begins_at(from, to);
        for at in begin..to {
            let new = Waiting { byte: bytes[at - offset], start: begin };
            if self.policy == OverlapPolicy::First {
                self.waiting.entry(at).or_insert(new);
            } else {
                self.waiting.insert(at, new);
            }
        }
        self.drain();
    }

    /// Where segment `from..to` begins once the one that begins before it has had its way. What
    /// it covers of segments behind it is cut off from them.
    fn begins_at(&mut self, from: usize, to: usize) -> usize {
        let OverlapPolicy::StartBefore { tie_longer, tie_equal } = self.policy else { return from };
        let mut begin = from;
        if let Some(Waiting { start, .. }) = self.waiting.get(&from).copied() {
            let end = self.end_of(start, from);
            let new_wins = start == from && ((to > end && tie_longer) || (to == end && tie_equal));
            if !new_wins {
                begin = end.min(to);
            }
        }
        if let Some(Waiting { start, .. }) = self.waiting.get(&to).copied()
            && (begin..to).contains(&start)
        {
            for at in to..self.end_of(start, to) {
                self.waiting.get_mut(&at).unwrap().start = to;
            }
        }
        begin
    }

    /// The end of the segment that begins at `start` and has offset `at`.
    fn end_of(&self, start: usize, at: usize) -> usize {
        let is_of_it = |at: &usize| self.waiting.get(at).is_some_and(|there| there.start == start);
        (at..).find(|at| !is_of_it(at)).unwrap()
    }

    fn drain(&mut self) {
        while let Some(there) = self.waiting.remove(&self.bytes.len()) {
            self.bytes.push(Some(there.byte));
        }
    }

    /// Gives up the holes in front of waiting bytes as long as `can` says so of their end.
    fn give_up(&mut self, can: impl Fn(usize) -> bool) {
        while let Some(&first) = self.waiting.keys().next().filter(|&&first| can(first)) {
            self.bytes.resize(first, None);
            self.drain();
        }
    }

    fn check_end(&mut self) {
        if self.fin == Some(self.bytes.len()) {
            self.ends = 1;
        }
    }
}
