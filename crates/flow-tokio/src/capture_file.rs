mod background;
mod follow;

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flow_core::{CaptureStats, FlowExtractor, Timestamp};
use flow_pcap::PcapFlowSource;
use tokio::time::{Instant, Sleep};

use self::background::Background;
use crate::{Error, FlowStream, OwnedPacket, PacketSource, Take, channel};

/// A capture file, as fast as it can be used, or at the speed at which it was captured.
///
/// A plain file is read in place, where the kernel has mapped it. Whatever has to be waited for or
/// unpacked (pipes, standard input, compressed files) is read by a thread of its own, a bounded
/// number of packets ahead.
///
/// Time is that of the packets: nothing depends on how fast they are read.
pub struct CaptureFile {
    reader: Reader,
    pace: Option<Pace>,
    is_live: bool,
    received: u64,
    is_over: bool,
}

enum Reader {
    Mapped(PcapFlowSource),
    Background(Background),
}

/// When packets are handed over in a replay.
struct Pace {
    speed: f64,
    /// The time of the first packet, and when that was handed over.
    start: Option<(Timestamp, Instant)>,
    /// The next packet, until its time has come.
    next: Option<OwnedPacket>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Longest pause in a replay.
///
/// Rationale: timers do not reach further than that, and nobody waits for longer. What follows a
/// damaged time comes at most this late.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

impl CaptureFile {
    /// Opens a capture: pcap or pcapng, plain or compressed, a file, a pipe or a device.
    ///
    /// What is no file is opened by the thread that reads it, and an error of that is the only item
    /// of the stream. As with [`from_reader`](Self::from_reader), the thread of a pipe outlives this
    /// source until somebody opens the pipe, or writes to it.
    ///
    /// # Errors
    ///
    /// It cannot be opened, or is a file that does not begin like a capture.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            let path = path.to_path_buf();
            let reader = Background::spawn(true, move || PcapFlowSource::open(path))?;
            return Ok(Self::new(Reader::Background(reader)));
        }
        let source = PcapFlowSource::open(path)?;
        Ok(Self::new(if source.is_mapped() {
            Reader::Mapped(source)
        } else {
            Reader::Background(Background::spawn(false, move || Ok(source))?)
        }))
    }

    /// Reads a capture from any reader, in a thread: standard input, a socket. Every packet can be
    /// had once the reader has given the whole of it.
    ///
    /// The thread outlives this source until the reader gives something.
    ///
    /// # Errors
    ///
    /// No thread can be started.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Result<Self, Error> {
        let reader = Background::spawn(true, move || PcapFlowSource::from_reader(reader))?;
        Ok(Self::new(Reader::Background(reader)))
    }

    /// Opens a capture that is still being written, and goes on as it grows, as `tail -f` does. It
    /// ends only by an error: when it becomes shorter, or is damaged.
    ///
    /// It counts as [live](PacketSource::is_live): when it does not grow, flows end by timer.
    ///
    /// # Errors
    ///
    /// It cannot be opened.
    pub fn follow(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (reader, stop) = follow::Growing::open(path.as_ref())?;
        let reader = Background::spawn(true, move || PcapFlowSource::from_reader(reader))?;
        let reader = Reader::Background(reader.with_stop(stop));
        Ok(Self { is_live: true, ..Self::new(reader) })
    }

    fn new(reader: Reader) -> Self {
        Self { reader, pace: None, is_live: false, received: 0, is_over: false }
    }

    /// See [`PacketSource::flow_stream`].
    #[must_use]
    pub fn flow_stream<E: FlowExtractor>(self, extractor: E) -> FlowStream<Self, E> {
        FlowStream::new(self, extractor)
    }

    /// Hands packets over at `speed` times the speed at which they were captured: 1 as it was, 10
    /// ten times as fast. Speeds that are not positive mean none, as by default.
    ///
    /// The clock decides only when a packet is handed over, and nothing about what is found in it. A
    /// packet waits for a day at most.
    #[must_use]
    pub fn with_speed(mut self, speed: f64) -> Self {
        let pace = Pace { speed, start: None, next: None, timer: None };
        self.pace = (speed.is_finite() && speed > 0.0).then_some(pace);
        self
    }
}

impl Reader {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        match self {
            Self::Background(background) => background.poll(cx, take),
            Self::Mapped(source) => loop {
                match source.next_view() {
                    Some(Ok(view)) if take(view.into()).is_continue() => {}
                    Some(Ok(_)) => return Poll::Ready(Some(Ok(()))),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                    None => return Poll::Ready(None),
                }
            },
        }
    }
}

impl Pace {
    fn poll(
        &mut self,
        reader: &mut Reader,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        loop {
            if self.next.is_none() {
                let next = &mut self.next;
                let polled = reader.poll(cx, &mut |packet| {
                    *next = Some(packet.view.into());
                    ControlFlow::Break(())
                });
                if self.next.is_none() {
                    return polled;
                }
            }
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            } else if let Some(due) = self.due() {
                self.timer = Some(Box::pin(tokio::time::sleep_until(due)));
                continue;
            }
            if let Some(packet) = self.next.take()
                && take(packet.as_view().into()).is_break()
            {
                return Poll::Ready(Some(Ok(())));
            }
        }
    }

    /// When the next packet is due, if that is in the future.
    fn due(&mut self) -> Option<Instant> {
        let ts = self.next.as_ref()?.timestamp;
        let now = Instant::now();
        let (first, begun) = *self.start.get_or_insert((ts, now));
        let after = ts.saturating_sub(first).as_secs_f64() / self.speed;
        let after = Duration::try_from_secs_f64(after).unwrap_or(Duration::MAX);
        let due = begun.checked_add(after).unwrap_or(now + LONGEST_PAUSE);
        (due > now).then(|| due.min(now + LONGEST_PAUSE))
    }
}

impl PacketSource for CaptureFile {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let Self { reader, pace, received, .. } = self;
        let take: &mut Take<'_> = &mut |packet| {
            *received += 1;
            take(packet)
        };
        let polled = match pace {
            Some(pace) => pace.poll(reader, cx, take),
            None => reader.poll(cx, take),
        };
        // Damage is the last that a capture has to say.
        self.is_over = matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_terminated(&self) -> bool {
        self.is_over
    }

    fn is_live(&self) -> bool {
        self.is_live
    }

    fn capture_stats(&mut self) -> CaptureStats {
        channel::received(self.received)
    }
}

impl fmt::Debug for CaptureFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureFile")
            .field("received", &self.received)
            .field("is_live", &self.is_live)
            .finish_non_exhaustive()
    }
}
