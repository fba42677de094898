//! Streams give what the drivers give, over every capture of the folder `shared/corpus` beside the
//! checkout: polled at random, cancelled at random, and as conversations that are read one after the
//! other. Skipped, loudly, where that folder is not.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;

use std::fmt::{self, Debug, Write as _};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use flow::extract::{AutoDetectEncap, FiveTuple, FiveTupleKey};
use flow::l7::{L7DatagramParser, L7Parser};
use flow::pcap::PcapFlowSource;
use flow::tokio::{CaptureFile, Error, PacketSource, Take};
use flow::{
    CaptureStats, Context, EndReason, FlowProtocolDriver, FlowSessionDriver, FlowSide, FlowTracker,
    Gap, GapAction, SessionParser,
};
use futures_util::{FutureExt as _, Stream, StreamExt as _};

use self::common::corpus::{Dice, extractor, files};

/// A text of any length as a number (FNV-1a).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest(u64);

impl Digest {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn of(value: &impl Debug) -> Self {
        let mut digest = Self::new();
        write!(digest, "{value:?}").unwrap();
        digest
    }
}

impl fmt::Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

/// A capture that has nothing for the moment again and again, and hands over in batches of any size.
struct Hesitant {
    file: CaptureFile,
    dice: Dice,
}

impl PacketSource for Hesitant {
    fn poll_packets(
        &mut self,
        cx: &mut std::task::Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        if self.dice.below(3) == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut left = 1 + self.dice.below(50);
        let polled = self.file.poll_packets(cx, &mut |packet| {
            left -= 1;
            let taken = take(packet);
            if left == 0 { ControlFlow::Break(()) } else { taken }
        });
        if left == 0 && matches!(polled, Poll::Ready(Some(Ok(())))) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        polled
    }

    fn is_terminated(&self) -> bool {
        self.file.is_terminated()
    }

    fn capture_stats(&mut self) -> CaptureStats {
        self.file.capture_stats()
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(300), future).await.expect("hangs")
    })
}

/// The items, each as a digest, by futures that are dropped at random while they wait; damage of the
/// capture is left out.
async fn digests<T: Debug>(
    mut stream: impl Stream<Item = Result<T, Error>> + Unpin,
    mut dice: Dice,
) -> Vec<Digest> {
    let mut digests = Vec::new();
    loop {
        let item = if dice.below(2) == 0 {
            stream.next().await
        } else {
            match stream.next().now_or_never() {
                Some(item) => item,
                None => {
                    tokio::task::yield_now().await;
                    continue;
                }
            }
        };
        match item {
            Some(Ok(event)) => digests.push(Digest::of(&event)),
            Some(Err(_)) => {}
            None => return digests,
        }
    }
}

fn parsers() -> (L7Parser, L7DatagramParser) {
    (L7Parser::default(), L7DatagramParser::default())
}

#[test]
fn streams_are_the_drivers() {
    let Some(files) = files() else { return };
    let (mut events, mut messages) = (0, 0);
    for (seed, path) in (1..).zip(files) {
        let Ok(mut source) = PcapFlowSource::open(&path) else { continue };
        let (tcp, udp) = parsers();
        let mut tracker = FlowTracker::new(extractor()).with_emit_anomalies(true);
        let mut driver =
            FlowProtocolDriver::with_parsers(extractor(), tcp, udp).with_emit_anomalies(true);
        let (mut of_flows, mut of_sessions) = (Vec::new(), Vec::new());
        for view in source.views().map_while(Result::ok) {
            of_flows.extend(tracker.track(view.as_view()).map(|event| Digest::of(&event)));
            of_sessions.extend(driver.track(view.as_view()).map(|event| {
                messages += usize::from(matches!(event, flow::SessionEvent::Application { .. }));
                Digest::of(&event)
            }));
        }
        of_flows.extend(tracker.finish().map(|event| Digest::of(&event)));
        of_sessions.extend(driver.finish().map(|event| {
            messages += usize::from(matches!(event, flow::SessionEvent::Application { .. }));
            Digest::of(&event)
        }));
        events += of_flows.len() + of_sessions.len();

        let open = || Hesitant { file: CaptureFile::open(&path).unwrap(), dice: Dice(seed) };
        let flows = open().flow_stream(extractor()).with_emit_anomalies(true);
        assert!(run(digests(flows, Dice(seed + 7))) == of_flows, "{path:?}");
        let (tcp, udp) = parsers();
        let sessions =
            open().flow_stream(extractor()).with_emit_anomalies(true).protocol_stream(tcp, udp);
        assert!(run(digests(sessions, Dice(seed + 9))) == of_sessions, "{path:?}");
    }
    println!("{events} events, {messages} of them messages");
    assert!(messages > 3_000, "{messages}");
}

/// What was said in a connection.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    key: FiveTupleKey,
    sides: [Digest; 2],
    missing: [u64; 2],
    end: Option<EndReason>,
}

impl Said {
    fn new(key: FiveTupleKey) -> Self {
        Self { key, sides: [Digest::new(); 2], missing: [0; 2], end: None }
    }
}

/// Puts down what the engine says of a connection.
struct Tape {
    all: Arc<Mutex<Vec<Said>>>,
    key: FiveTupleKey,
    mine: Option<usize>,
}

impl Tape {
    fn said(&mut self, change: impl FnOnce(&mut Said)) {
        let mut all = self.all.lock().unwrap();
        let mine = *self.mine.get_or_insert_with(|| {
            all.push(Said::new(self.key));
            all.len() - 1
        });
        change(&mut all[mine]);
    }
}

impl SessionParser for Tape {
    type Message = ();

    fn feed_initiator(&mut self, bytes: &[u8]) -> Vec<()> {
        self.said(|said| said.sides[0].add(bytes));
        Vec::new()
    }

    fn feed_responder(&mut self, bytes: &[u8]) -> Vec<()> {
        self.said(|said| said.sides[1].add(bytes));
        Vec::new()
    }

    fn gap(&mut self, side: FlowSide, gap: Gap, _: &mut Context<'_, ()>) -> GapAction {
        self.said(|said| said.missing[side.index()] += gap.len);
        GapAction::Resume
    }

    fn close(&mut self, _: FlowSide, reason: EndReason, _: &mut Context<'_, ()>) {
        if self.mine.is_some() {
            self.said(|said| said.end = Some(reason));
        }
    }
}

#[test]
fn conversations_are_read_inline_to_their_end() {
    let Some(files) = files() else { return };
    let mut conversations = 0;
    for path in files {
        let Ok(mut source) = PcapFlowSource::open(&path) else { continue };
        let expected: Arc<Mutex<Vec<Said>>> = Arc::default();
        let all = Arc::clone(&expected);
        let mut driver = FlowSessionDriver::with_parser(extractor(), move |key: &FiveTupleKey| {
            Tape { all: Arc::clone(&all), key: *key, mine: None }
        });
        for view in source.views().map_while(Result::ok) {
            driver.track(view.as_view()).for_each(drop);
        }
        driver.finish().for_each(drop);
        let expected = expected.lock().unwrap().clone();

        let file = CaptureFile::open(&path).unwrap();
        let mut limits = flow::tokio::ConversationConfig::default();
        // So small that most of it has to wait somewhere else.
        limits.max_queued = 10_000;
        let found = run(read_all(file, limits));
        assert!(found == expected, "{path:?}: {found:?} in place of {expected:?}");
        conversations += found.len();
    }
    println!("{conversations} conversations");
    assert!(conversations > 700, "{conversations}");
}

async fn read_all(file: CaptureFile, limits: flow::tokio::ConversationConfig) -> Vec<Said> {
    let flows = file.flow_stream(AutoDetectEncap::new(FiveTuple::bidirectional()));
    let mut conversations = flows.conversations_with(limits);
    let mut found = Vec::new();
    while let Some(mut conversation) = conversations.next().await {
        let mut said = Said::new(*conversation.key());
        while let Some((side, bytes)) = conversation.next().await {
            said.sides[side.index()].add(&bytes);
        }
        said.missing = FlowSide::BOTH.map(|side| conversation.missing_bytes(side));
        said.end = conversation.end_reason();
        found.push(said);
    }
    found
}
