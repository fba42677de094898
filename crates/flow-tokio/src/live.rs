use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flow_core::{CaptureStats, FlowExtractor, LinkType};
use flow_live::{LiveCapture, LiveConfig};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep};

use crate::{Error, FlowStream, PacketSource, Take};

/// A live interface.
///
/// Packets are read from the ring that the kernel writes them to. While nobody takes what is found
/// in them, none is read; the ring fills, and what does not fit any more is
/// [counted](PacketSource::capture_stats) as dropped by the kernel. What is lost is never lost
/// silently.
///
/// If the interface is removed, what was captured comes first, then an error. As its removal may
/// wake nobody, a silent one is looked at every second; this needs a tokio runtime with its clock
/// enabled.
///
/// ```no_run
/// use flow_extract::FiveTuple;
/// use flow_http::{HttpMessage, HttpParser};
/// use flow_session::SessionEvent;
/// use flow_tokio::AsyncCapture;
/// use futures_util::StreamExt as _;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let mut events = AsyncCapture::open("eth0")?
///     .flow_stream(FiveTuple::bidirectional())
///     .session_stream(HttpParser::default());
/// while let Some(event) = events.next().await {
///     if let SessionEvent::Application { message: HttpMessage::Request(request), .. } = event? {
///         println!("{} {}", request.method, request.path);
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct AsyncCapture {
    capture: AsyncFd<LiveCapture>,
    /// When to look at a silent interface.
    look: Option<Pin<Box<Sleep>>>,
    is_over: bool,
    /// The last that was counted, for when the interface is gone.
    stats: CaptureStats,
}

/// How often a silent interface is looked at.
const LOOK: Duration = Duration::from_secs(1);

impl AsyncCapture {
    /// Opens an interface with the defaults of [`LiveConfig`].
    ///
    /// # Errors
    ///
    /// There is no such interface, it may not be captured from, or this is not called in a tokio
    /// runtime with its I/O driver on.
    pub fn open(interface: &str) -> Result<Self, Error> {
        Self::open_with(interface, &LiveConfig::default())
    }

    /// The same with a configuration: snap length, buffer, promiscuous mode, filter.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), and a filter that makes no sense.
    pub fn open_with(interface: &str, config: &LiveConfig) -> Result<Self, Error> {
        Self::new(LiveCapture::open_with(interface, config)?)
    }

    /// The same interface `count` times: the kernel gives each packet to one of them, all packets of
    /// a flow to the same. Each is an independent source, for a task on a core of its own.
    ///
    /// # Errors
    ///
    /// Those of [`open_with`](Self::open_with), and systems other than Linux.
    pub fn open_fanout(
        interface: &str,
        config: &LiveConfig,
        count: usize,
    ) -> Result<Vec<Self>, Error> {
        LiveCapture::open_fanout(interface, config, count)?.into_iter().map(Self::new).collect()
    }

    /// A capture that is open already.
    ///
    /// # Errors
    ///
    /// This is not called in a tokio runtime with its I/O driver on.
    pub fn new(capture: LiveCapture) -> Result<Self, Error> {
        let _runtime = tokio::runtime::Handle::try_current().map_err(std::io::Error::other)?;
        #[allow(
            deprecated,
            reason = "what replaces it is unsafe, for types whose descriptor may change"
        )]
        let capture = AsyncFd::try_with_interest(capture, tokio::io::Interest::READABLE)
            .map_err(|error| error.into_parts().1)?;
        Ok(Self { capture, look: None, is_over: false, stats: CaptureStats::default() })
    }

    /// See [`PacketSource::flow_stream`].
    #[must_use]
    pub fn flow_stream<E: FlowExtractor>(self, extractor: E) -> FlowStream<Self, E> {
        FlowStream::new(self, extractor)
    }

    /// Replaces the filter while packets flow.
    ///
    /// # Errors
    ///
    /// The expression makes no sense; the filter is the one from before then.
    pub fn set_filter(&mut self, expression: &str) -> Result<(), Error> {
        Ok(self.capture.get_mut().set_filter(expression)?)
    }

    /// What frames begin with.
    #[must_use]
    pub fn link_type(&self) -> LinkType {
        self.capture.get_ref().link_type()
    }

    /// The name of the interface.
    #[must_use]
    pub fn interface(&self) -> &str {
        self.capture.get_ref().interface()
    }
}

impl PacketSource for AsyncCapture {
    fn poll_packets(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut Take<'_>,
    ) -> Poll<Option<Result<(), Error>>> {
        let Self { capture, look, is_over, .. } = self;
        while !*is_over {
            let handed_over = match capture.poll_read_ready_mut(cx) {
                // The runtime is gone, and does not come back.
                Poll::Ready(Err(error)) => Err(error.into()),
                Poll::Ready(Ok(mut ready)) => {
                    let handed_over = hand_over(ready.get_inner_mut(), take);
                    if matches!(handed_over, Ok(ControlFlow::Continue(()))) {
                        ready.clear_ready();
                    }
                    handed_over
                }
                Poll::Pending => {
                    let timer = look.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOOK)));
                    ready!(timer.as_mut().poll(cx));
                    timer.as_mut().reset(Instant::now() + LOOK);
                    hand_over(capture.get_mut(), take)
                }
            };
            match handed_over {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(())) => return Poll::Ready(Some(Ok(()))),
                Err(error) => {
                    *is_over = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_terminated(&self) -> bool {
        self.is_over
    }

    fn is_live(&self) -> bool {
        true
    }

    fn capture_stats(&mut self) -> CaptureStats {
        if let Ok(stats) = self.capture.get_mut().stats() {
            self.stats = stats;
        }
        self.stats
    }
}

/// Hands over what is there, until `take` breaks off.
fn hand_over(capture: &mut LiveCapture, take: &mut Take<'_>) -> Result<ControlFlow<()>, Error> {
    while let Some(view) = capture.next_view()? {
        if take(view.into()).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

impl fmt::Debug for AsyncCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncCapture").field("interface", &self.interface()).finish_non_exhaustive()
    }
}
