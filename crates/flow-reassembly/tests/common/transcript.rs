//! What becomes of a connection's streams, through the tracker and the driver, as text.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part")]

use std::sync::{Arc, Mutex};

use flow_core::{
    EndReason, FlowEvent, FlowExtractor, FlowSide, FlowStats, Gap, TcpSideStats, Timestamp,
};
use flow_reassembly::{
    FlowDriver, LastWord, Reassembler, ReassemblerFactory, Segment, StreamConfig,
    StreamReassembler, StreamSink,
};

use crate::wire::{Wire, frames};

/// Writes down a stream: its bytes, `[n reason]` for gaps, `.` for its end.
pub(crate) struct Transcript {
    stream: StreamReassembler,
    config: StreamConfig,
    text: Text,
}

/// What the sides of all flows have sent, a `|` between two flows.
#[derive(Clone, Default)]
struct Text(Arc<Mutex<[String; 2]>>, usize);

impl Text {
    fn push(&self, text: &str) {
        self.0.lock().unwrap()[self.1].push_str(text);
    }
}

impl StreamSink for Text {
    fn data(&mut self, _offset: u64, bytes: &[u8], _packet: u64) {
        self.push(std::str::from_utf8(bytes).unwrap());
    }

    fn gap(&mut self, gap: Gap) {
        self.push(&format!("[{} {}]", gap.len, gap.reason));
    }

    fn end(&mut self, _offset: u64) {
        self.push(".");
    }
}

impl Reassembler for Transcript {
    fn segment(&mut self, _seq: u32, _payload: &[u8]) {}

    fn handle(&mut self, segment: &Segment<'_>) {
        self.stream.segment(segment, &self.config, &mut self.text);
    }

    fn in_order(&mut self, seq: u32, payload: &[u8], packet: u64) -> bool {
        self.stream.in_order(seq, payload, packet, &mut self.text)
    }

    fn is_waiting(&self) -> bool {
        self.stream.is_waiting()
    }

    fn progress(&mut self, acked: Option<u32>, ts: Timestamp) {
        if self.stream.is_waiting() {
            self.stream.progress(acked, ts, &self.config, &mut self.text);
        }
    }

    fn last_word(&mut self, word: LastWord) {
        self.stream.last_word(word, &self.config, &mut self.text);
    }

    fn finish(&mut self, _reason: EndReason) {
        self.stream.finish(&mut self.text);
    }

    fn stream_stats(&self) -> Option<TcpSideStats> {
        Some(self.stream.stats())
    }
}

/// Makes transcripts of all flows into one text.
struct Factory {
    text: Text,
    config: StreamConfig,
    flows: usize,
}

impl<K> ReassemblerFactory<K> for Factory {
    type Reassembler = Transcript;

    fn new_reassembler(&mut self, _key: &K, side: FlowSide) -> Transcript {
        let text = Text(self.text.0.clone(), side.index());
        if side == FlowSide::Initiator {
            self.flows += 1;
        }
        if self.flows > 1 {
            text.push("|");
        }
        Transcript { stream: StreamReassembler::new(), config: self.config.clone(), text }
    }
}

/// The streams of both sides and what was counted of the last flow to end.
pub(crate) fn run_with(
    config: StreamConfig,
    script: &str,
    isn: [u32; 2],
) -> ([String; 2], Box<FlowStats>) {
    run_extracted(Wire, config, script, isn)
}

/// The same with frames read by something else than [`Wire`].
pub(crate) fn run_extracted<E: FlowExtractor>(
    extractor: E,
    config: StreamConfig,
    script: &str,
    isn: [u32; 2],
) -> ([String; 2], Box<FlowStats>) {
    let text = Text::default();
    let factory = Factory { text: text.clone(), config, flows: 0 };
    let mut driver = FlowDriver::new(extractor, factory);
    let mut last = None;
    let mut take = |event| {
        if let FlowEvent::Ended { stats, .. } = event {
            last = Some(stats);
        }
    };
    for frame in frames(script, isn) {
        driver.track(frame.view()).for_each(&mut take);
    }
    driver.finish().for_each(&mut take);
    (text.0.lock().unwrap().clone(), last.unwrap())
}

pub(crate) const HANDSHAKE: &str = "> S -1\n< SA -1 0\n> A 0 0\n";

/// The same connection with the hosts in each other's place.
pub(crate) fn swapped(script: &str) -> String {
    let turned = |word: &str| match word {
        ">" => "<".to_owned(),
        "<" => ">".to_owned(),
        other => other.to_owned(),
    };
    let line = |line: &str| line.split(' ').map(turned).collect::<Vec<_>>().join(" ");
    script.lines().map(str::trim).map(line).collect::<Vec<_>>().join("\n")
}

/// The streams of a script, whose client is the one who begins, in whatever place of the key.
#[track_caller]
pub(crate) fn check_raw(script: &str, client: &str, server: &str) -> Box<FlowStats> {
    check_with(&StreamConfig::default(), script, client, server)
}

/// The same with another configuration.
#[track_caller]
pub(crate) fn check_with(
    config: &StreamConfig,
    script: &str,
    client: &str,
    server: &str,
) -> Box<FlowStats> {
    // The numbers must not matter, least of all where they wrap.
    for isn in [[1_000, 5_000], [u32::MAX, 0], [u32::MAX - 7, u32::MAX - 3], [0x7fff_fffa, 9]] {
        for script in [script, &swapped(script)] {
            let (streams, _) = run_with(config.clone(), script, isn);
            assert_eq!(streams, [client, server], "initial sequence numbers {isn:?}, {script}");
        }
    }
    run_with(config.clone(), script, [1_000, 5_000]).1
}

/// The streams of a script behind a handshake.
#[track_caller]
pub(crate) fn check(script: &str, client: &str, server: &str) -> Box<FlowStats> {
    check_raw(&format!("{HANDSHAKE}{script}"), client, server)
}

/// What was counted of the client behind a handshake.
#[track_caller]
pub(crate) fn client(script: &str, stream: &str) -> TcpSideStats {
    check(script, stream, "").tcp.initiator
}

/// The same, but the SYN-ACK was not captured, nor is anything else of the server.
#[track_caller]
pub(crate) fn alone(script: &str, stream: &str) -> TcpSideStats {
    check_raw(&format!("> S -1\n> A 0 0\n{script}"), stream, "").tcp.initiator
}

/// The server has no room for more than these five bytes.
pub(crate) const FULL: &str = "> PA 0 0 AAAAA\n< A 0 5 win=0\n";

/// What was counted of a client that fills the server's window first.
#[track_caller]
pub(crate) fn probed(script: &str, stream: &str) -> TcpSideStats {
    client(&format!("{FULL}{script}"), stream)
}
