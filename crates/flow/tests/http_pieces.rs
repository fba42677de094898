//! Every HTTP stream of the fixtures, cut into smaller pieces than it was captured in: the messages
//! are the same.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use flow::extract::{AutoDetectEncap, FiveTuple};
use flow::http::{HttpMessage, HttpParser};
use flow::pcap::PcapFlowSource;
use flow::{
    Context, EndReason, FlowSessionDriver, FlowSide, Gap, GapAction, Mark, Parsed, SessionEvent,
    SessionParser,
};

/// Feeds the parser in pieces of at most `step` bytes.
#[derive(Clone)]
struct Cut {
    parser: HttpParser,
    step: usize,
    pending: [Option<Mark>; 2],
}

impl SessionParser for Cut {
    type Message = HttpMessage;

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<HttpMessage> {
        self.parser.feed_initiator(bytes)
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<HttpMessage> {
        self.parser.feed_responder(bytes)
    }

    fn is_poisoned(&self) -> bool {
        self.parser.is_poisoned()
    }

    fn poison_reason(&self) -> Option<&str> {
        self.parser.poison_reason()
    }

    fn feed(&mut self, side: FlowSide, bytes: &[u8], cx: &mut Context<'_, HttpMessage>) {
        let mut out = Vec::new();
        for (i, piece) in bytes.chunks(self.step).enumerate() {
            if !self.parser.wants(side) {
                break;
            }
            let (at, pending) = (cx.mark(i * self.step), &mut self.pending[side.index()]);
            let (ts, packet) = (cx.timestamp(), cx.packet());
            let mut inner = Context::new(ts, packet, side, at, piece.len(), pending, &mut out);
            self.parser.feed(side, piece, &mut inner);
        }
        for Parsed { message, first_packet, range, .. } in out {
            let end = usize::try_from(range.end.saturating_sub(cx.offset())).unwrap();
            cx.emit_from(Mark { offset: range.start, packet: first_packet }, end, message);
        }
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, cx: &mut Context<'_, HttpMessage>) -> GapAction {
        self.parser.gap(side, gap, cx)
    }

    fn fin(&mut self, side: FlowSide, cx: &mut Context<'_, HttpMessage>) {
        self.parser.fin(side, cx);
    }

    fn close(&mut self, side: FlowSide, reason: EndReason, cx: &mut Context<'_, HttpMessage>) {
        self.parser.close(side, reason, cx);
    }

    fn wants(&self, side: FlowSide) -> bool {
        self.parser.wants(side)
    }
}

/// All messages and errors of a capture, in order.
fn found(capture: &Path, step: usize) -> Vec<String> {
    let parser = Cut { parser: HttpParser::default(), step, pending: [None; 2] };
    let extractor = AutoDetectEncap::new(FiveTuple::bidirectional());
    let mut driver = FlowSessionDriver::with_parser(extractor, move |_: &_| parser.clone());
    let mut found = Vec::new();
    let mut note = |event: SessionEvent<_, HttpMessage>| match event {
        SessionEvent::Application { side, message, origin, .. } => {
            found.push(format!("{} {side:?} {:?} {message:?}", origin.flow, origin.range));
        }
        SessionEvent::Closed { reason, .. } => found.push(format!("closed: {reason:?}")),
        _ => {}
    };
    // Of a capture that is damaged, what comes before that.
    let Ok(mut source) = PcapFlowSource::open(capture) else { return found };
    let mut views = source.views();
    while let Some(Ok(view)) = views.next() {
        driver.track(view.as_view()).for_each(&mut note);
    }
    driver.finish().for_each(&mut note);
    found
}

#[test]
fn pieces_change_nothing() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.collect();
    let captures = files.iter().filter(|file| file.to_string_lossy().contains(".pcap"));
    let mut messages = 0;
    for capture in captures {
        let whole = found(capture, usize::MAX);
        messages += whole.iter().filter(|line| !line.starts_with("closed")).count();
        for step in [1, 7] {
            assert_eq!(found(capture, step), whole, "{} by {step}", capture.display());
        }
    }
    assert!(messages > 20, "{messages}");
}
