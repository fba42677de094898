use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use flow::Timestamp;
use flow::live::{Error, LiveCapture, LiveConfig};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::args::{Common, Live};
use crate::clock;
use crate::input::{Consumer, Read, losses};

/// The name of an interface.
#[derive(Clone, Debug)]
pub(crate) struct Interface(String);

impl Interface {
    /// Takes any name; whether there is such an interface is found out later.
    #[expect(clippy::unnecessary_wraps, reason = "what takes arguments wants it")]
    pub(crate) fn parse(name: &str) -> Result<Self, Infallible> {
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

/// How long nothing may come before idle flows are looked for, and how long it takes at most until
/// somebody who wants to stop is heard.
///
/// Rationale: the sweep interval of the flow table.
const INTERVAL: Duration = Duration::from_secs(1);

/// Packets between two looks at whether to stop, while they come without a pause.
const CHECK_INTERVAL: u64 = 1 << 10;

/// Hands the packets of an interface to `consumer`, until a signal or a limit says that it is
/// enough, or the interface is gone.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn read(
    interface: &Interface,
    common: &Common,
    consumer: &mut impl Consumer,
) -> io::Result<Read> {
    let stop = Stop::new(&common.live)?;
    let mut capture = match LiveCapture::open_with(interface.name(), &config(common)) {
        Ok(capture) => capture,
        Err(error) => {
            return Ok(Read { matching: 0, complaint: Some(error.to_string()), is_whole: false });
        }
    };
    consumer.progress(interface.name(), 0, None);
    let mut packets = 0;
    let error = follow(&mut capture, &stop, &mut packets, consumer)?;
    let stats = capture.stats().ok();
    if let Some(stats) = stats {
        consumer.capture_stats(stats);
    }
    let complaint = match &error {
        Some(error) => Some(error.to_string()),
        None => stats.and_then(|stats| losses(interface.name(), stats)),
    };
    Ok(Read { matching: packets, complaint, is_whole: error.is_none() })
}

fn config(common: &Common) -> LiveConfig {
    let Live { snaplen, buffer_size, promiscuous, .. } = common.live;
    let mut config = LiveConfig::default();
    config.snaplen = snaplen.unwrap_or(config.snaplen);
    config.buffer_bytes = buffer_size.unwrap_or(config.buffer_bytes);
    config.promiscuous = promiscuous;
    config.filter = common.filter.as_ref().map(|filter| filter.expression().to_owned());
    config
}

/// When it is enough.
struct Stop {
    is_asked: Arc<AtomicBool>,
    packets: u64,
    deadline: Option<Instant>,
}

impl Stop {
    fn new(live: &Live) -> io::Result<Self> {
        let is_asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the second signal finds the flag that the first one set, and ends the
            // process.
            signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_asked))?;
            signal_hook::flag::register(signal, Arc::clone(&is_asked))?;
        }
        let packets = live.packets.unwrap_or(u64::MAX);
        let deadline = live.duration.and_then(|duration| clock::now().checked_add(duration));
        Ok(Self { is_asked, packets, deadline })
    }

    fn is_now(&self) -> bool {
        let is_asked = self.is_asked.load(Ordering::Relaxed);
        is_asked || self.deadline.is_some_and(|deadline| clock::now() >= deadline)
    }

    /// How long one may wait for packets.
    fn rest(&self) -> Duration {
        let rest = self.deadline.map(|deadline| deadline.saturating_duration_since(clock::now()));
        rest.map_or(INTERVAL, |rest| rest.min(INTERVAL))
    }
}

/// Reads what comes; gives the error that ended it, if one did.
fn follow(
    capture: &mut LiveCapture,
    stop: &Stop,
    packets: &mut u64,
    consumer: &mut impl Consumer,
) -> io::Result<Option<Error>> {
    // The time of the last packet, and the instant at which it was the last.
    let mut last: Option<(Timestamp, Instant)> = None;
    let mut looked = clock::now();
    while *packets < stop.packets && !stop.is_now() {
        let most = (stop.packets - *packets).min(CHECK_INTERVAL);
        let Taken { count, newest, end } = take(capture, most, consumer)?;
        *packets += count;
        let now = clock::now();
        last = newest.map(|ts| (ts, now)).or(last);
        if now.duration_since(looked) >= INTERVAL {
            looked = now;
            if let Some((ts, came)) = last {
                consumer.idle(ts.saturating_add(now.duration_since(came)))?;
            }
            if let Ok(stats) = capture.stats() {
                consumer.capture_stats(stats);
            }
        }
        let waited = match end {
            Some(Ok(())) => {
                consumer.flush()?;
                capture.wait(stop.rest()).map(drop)
            }
            Some(Err(error)) => Err(error),
            None => continue,
        };
        if let Err(error) = waited {
            return Ok(Some(error));
        }
    }
    finish(capture, stop, packets, consumer)
}

/// How long the kernel may take to show a packet that it has counted: a tenth of a second, as a
/// rule.
const LAST_WAIT: Duration = Duration::from_millis(250);

/// Reads what came before it was enough.
fn finish(
    capture: &mut LiveCapture,
    stop: &Stop,
    packets: &mut u64,
    consumer: &mut impl Consumer,
) -> io::Result<Option<Error>> {
    let Ok(stats) = capture.stats() else { return Ok(None) };
    let all = stats.received.saturating_sub(stats.dropped).min(stop.packets);
    while *packets < all {
        let Taken { count, end, .. } = take(capture, all - *packets, consumer)?;
        *packets += count;
        match end {
            Some(Err(error)) => return Ok(Some(error)),
            Some(Ok(())) if !capture.wait(LAST_WAIT).unwrap_or(false) => break,
            _ => {}
        }
    }
    Ok(None)
}

/// Some packets that were there.
struct Taken {
    count: u64,
    /// The time of the last one.
    newest: Option<Timestamp>,
    /// Whether there were no more of them, or why.
    end: Option<Result<(), Error>>,
}

/// Takes the packets that are there, so many of them at most.
fn take(capture: &mut LiveCapture, most: u64, consumer: &mut impl Consumer) -> io::Result<Taken> {
    let mut taken = Taken { count: 0, newest: None, end: None };
    while taken.count < most {
        match capture.next_view() {
            Ok(Some(view)) => {
                taken.count += 1;
                taken.newest = Some(view.timestamp);
                consumer.packet(view)?;
            }
            Ok(None) => {
                taken.end = Some(Ok(()));
                break;
            }
            Err(error) => {
                taken.end = Some(Err(error));
                break;
            }
        }
    }
    Ok(taken)
}
