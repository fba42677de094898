use std::sync::Arc;
use std::time::Duration;

use flow_core::{
    AnomalyKind, EndReason, FlowSide, FlowTrackerConfig, ReassemblyStats, TcpSideStats, Timestamp,
};

use crate::{LastWord, Segment, Standing, StreamConfig};

/// Takes the segments of one direction of a TCP connection.
///
/// The smallest implementation has only [`segment`](Self::segment), which gets the payload of
/// every accepted segment in the order of capture: not sorted, repeats included. To get ordered
/// bytes, build on [`StreamReassembler`](crate::StreamReassembler), or use
/// [`BufferedReassembler`](crate::BufferedReassembler).
///
/// [`FlowDriver`](crate::FlowDriver) calls [`handle`](Self::handle) for every segment,
/// [`progress`](Self::progress) for every packet of the flow, and [`finish`](Self::finish) once.
///
/// ```
/// use flow_core::{FlowExtractor, FlowSide};
/// use flow_reassembly::{FlowDriver, Reassembler};
///
/// /// Counts segments that begin where one began before.
/// #[derive(Default)]
/// struct Repeats {
///     starts: std::collections::BTreeSet<u32>,
///     repeats: u64,
/// }
///
/// impl Reassembler for Repeats {
///     fn segment(&mut self, seq: u32, _payload: &[u8]) {
///         self.repeats += u64::from(!self.starts.insert(seq));
///     }
/// }
///
/// fn watch<E: FlowExtractor>(extractor: E) {
///     let driver = FlowDriver::new(extractor, |_key: &E::Key, _sender: FlowSide| {
///         Repeats::default()
///     });
///     // …
/// #   drop(driver);
/// }
///
/// let mut repeats = Repeats::default();
/// repeats.segment(1_000, b"Hello");
/// repeats.segment(1_005, b"world");
/// repeats.segment(1_000, b"Hello");
/// assert_eq!(repeats.repeats, 1);
/// ```
pub trait Reassembler: Send + 'static {
    /// Payload with the sequence number of its first byte.
    fn segment(&mut self, seq: u32, payload: &[u8]);

    /// The configuration of the tracker, and the limits of a stream that it comes to; called once,
    /// before anything else. What the reassembler's maker has set goes before them.
    fn configure(&mut self, config: &FlowTrackerConfig, limits: &Arc<StreamConfig>) {
        let _ = (config, limits);
    }

    /// The connection is established; its handshake, captured from the start, took as long as this.
    fn established(&mut self, round_trip: Duration) {
        let _ = round_trip;
    }

    /// A segment with all that is known of it. The default hands payload to
    /// [`segment`](Self::segment) and a FIN to [`fin`](Self::fin), but of segments outside of any
    /// window, [`Standing::Stray`], nothing.
    fn handle(&mut self, segment: &Segment<'_>) {
        if segment.standing == Standing::Stray {
            return;
        }
        if !segment.payload.is_empty() {
            self.segment(segment.seq.wrapping_add(u32::from(segment.syn)), segment.payload);
        }
        if segment.fin {
            self.fin();
        }
    }

    /// Payload that nothing is to be said of but its sequence number and the number of its packet.
    /// Whether it was just what comes next and was taken; else it comes again as a segment. Asked
    /// only while nothing waits ([`is_waiting`](Self::is_waiting)).
    fn in_order(&mut self, seq: u32, payload: &[u8], packet: u64) -> bool {
        let _ = (seq, payload, packet);
        false
    }

    /// Whether [`progress`](Self::progress) has anything to look at.
    fn is_waiting(&self) -> bool {
        true
    }

    /// A packet of the flow was handled; `acked` is the highest acknowledgment of this stream by
    /// the other side so far.
    fn progress(&mut self, acked: Option<u32>, ts: Timestamp) {
        let _ = (acked, ts);
    }

    /// The sender has finished.
    fn fin(&mut self) {}

    /// The connection was reset.
    fn rst(&mut self) {}

    /// Called right before [`finish`](Self::finish), with what is known of the stream's end.
    fn last_word(&mut self, word: LastWord) {
        let _ = word;
    }

    /// The flow is over: the last call, but for those that ask for something.
    fn finish(&mut self, reason: EndReason) {
        let _ = reason;
    }

    /// The bytes make no sense to the reassembler any more; the flow ends with
    /// [`EndReason::ParseError`](flow_core::EndReason::ParseError).
    fn is_poisoned(&self) -> bool {
        false
    }

    /// Why, if [`is_poisoned`](Self::is_poisoned).
    fn poison_reason(&self) -> Option<&str> {
        None
    }

    /// A buffer overflowed and the flow should not go on; it ends with
    /// [`EndReason::BufferOverflow`](flow_core::EndReason::BufferOverflow).
    fn is_overflowed(&self) -> bool {
        false
    }

    /// Memory taken by bytes that wait for others in front of them, which
    /// [`give_up_holes`](Self::give_up_holes) would free.
    fn queued_bytes(&self) -> usize {
        0
    }

    /// Since when such bytes have waited.
    fn waiting_since(&self) -> Option<Timestamp> {
        None
    }

    /// The memory for such bytes is wanted elsewhere
    /// ([`max_reassembly_total`](FlowTrackerConfig::max_reassembly_total)).
    fn give_up_holes(&mut self) {}

    /// Whether something holds bytes for somebody to take. If so, it can still be reached between
    /// the end of its flow and the next call of the driver
    /// ([`FlowDriver::ended`](crate::FlowDriver::ended)).
    fn has_output(&self) -> bool {
        false
    }

    /// Whether something happened since the last [`report`](Self::report).
    fn has_news(&self) -> bool {
        false
    }

    /// Reports what was out of the ordinary in what `side` sent, at most one anomaly of a kind in a
    /// tick; without a `tick`, all that is left. Called after packets, and before the flow's end.
    fn report(&mut self, side: FlowSide, tick: Option<u64>, tell: &mut dyn FnMut(AnomalyKind)) {
        let _ = (side, tick, tell);
    }

    /// What was counted of the buffer.
    fn buffer_stats(&self) -> ReassemblyStats {
        ReassemblyStats::default()
    }

    /// What was counted of the stream.
    fn stream_stats(&self) -> Option<TcpSideStats> {
        None
    }
}

/// Makes the reassemblers of a flow: first the initiator's, right after it the responder's.
pub trait ReassemblerFactory<K>: Send + 'static {
    /// What it makes.
    type Reassembler: Reassembler;

    /// A reassembler for what `side` of the flow `key` sends.
    fn new_reassembler(&mut self, key: &K, side: FlowSide) -> Self::Reassembler;
}

/// A closure is a factory of what it makes.
impl<K, R, F> ReassemblerFactory<K> for F
where
    R: Reassembler,
    F: FnMut(&K, FlowSide) -> R + Send + 'static,
{
    type Reassembler = R;

    fn new_reassembler(&mut self, key: &K, side: FlowSide) -> R {
        self(key, side)
    }
}
