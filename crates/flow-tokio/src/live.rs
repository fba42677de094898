use std::fmt;
use std::task::{Context, Poll, ready};

use flow_core::{CaptureStats, FlowExtractor, LinkType};
use flow_live::{LiveCapture, LiveConfig};
use tokio::io::unix::AsyncFd;

use crate::{Error, FlowStream, PacketSource, Take};

/// A live interface.
///
/// Packets are lent from the ring that the kernel writes them to. While nobody takes what is found
/// in them, none is read; the ring fills, and what does not fit any more is
/// [counted](PacketSource::capture_stats) as dropped by the kernel. What is lost is never lost
/// silently.
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
    is_over: bool,
    /// The last that was counted, for when the interface is gone.
    stats: CaptureStats,
}

impl AsyncCapture {
    /// Opens an interface, in immediate mode, with the other defaults of [`LiveConfig`].
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
        let capture = AsyncFd::try_with_interest(capture, tokio::io::Interest::READABLE)
            .map_err(|error| error.into_parts().1)?;
        Ok(Self { capture, is_over: false, stats: CaptureStats::default() })
    }

    /// See [`PacketSource::flow_stream`].
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
        while !self.is_over {
            let mut ready = ready!(self.capture.poll_read_ready_mut(cx))?;
            loop {
                match ready.get_inner_mut().next_view() {
                    Ok(Some(view)) => {
                        if take(view.into()).is_break() {
                            return Poll::Ready(Some(Ok(())));
                        }
                    }
                    Ok(None) => break,
                    Err(error) => {
                        self.is_over = true;
                        return Poll::Ready(Some(Err(error.into())));
                    }
                }
            }
            ready.clear_ready();
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

impl fmt::Debug for AsyncCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncCapture").field("interface", &self.interface()).finish_non_exhaustive()
    }
}
