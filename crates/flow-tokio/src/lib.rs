//! Passive network flows and sessions as streams, with backpressure down to the capture ring.
//!
//! The engine is that of the layers below; this crate feeds it from sources that have to be waited
//! for, and hands out what it finds as [`Stream`](futures_core::Stream)s.
//!
//! ```
//! use flow_extract::FiveTuple;
//! use flow_http::{HttpMessage, HttpParser};
//! use flow_session::SessionEvent;
//! use flow_tokio::CaptureFile;
//! use futures_util::StreamExt as _;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/http_get.pcap");
//! // Live: AsyncCapture::open("eth0")?
//! let mut events = CaptureFile::open(path)?
//!     .flow_stream(FiveTuple::bidirectional())
//!     .session_stream(HttpParser::default());
//! # let mut found = 0;
//! while let Some(event) = events.next().await {
//!     if let SessionEvent::Application { message: HttpMessage::Request(request), .. } = event? {
//!         println!("{} {}", request.method, request.path);
//! #         found += 1;
//!     }
//! }
//! # assert_eq!(found, 3);
//! # Ok(())
//! # }
//! ```
//!
//! # Sources
//!
//! | | packets come from |
//! |---|---|
//! | `AsyncCapture` (feature `live`) | a live interface |
//! | [`CaptureFile`] | a capture: as fast as can be, at its own speed, or while it is being written |
//! | [`StreamSource`] | any stream of [`OwnedPacket`]s |
//! | `tokio::sync::mpsc::Receiver<OwnedPacket>` | a channel |
//! | [`Merged`] | several of them; every event can say [which](EventStream::source_index) |
//! | [`Tap`] | another source, while what passes is written to a file |
//!
//! Whatever else there is implements [`PacketSource`], which lends packets without a copy.
//!
//! # Backpressure
//!
//! Nothing is read from a source while there is an event that has not been taken. A consumer that is
//! slow makes no queue grow here: live packets wait in the ring of the kernel, and those that do not
//! fit into it are [counted](EventStream::capture_stats). These are all the queues:
//!
//! | queue | bound |
//! |---|---|
//! | events of an [`EventStream`] | those of one packet |
//! | batches of a [`CaptureFile`] that is read by a thread | two, of 128 KiB each and a packet |
//! | the next packets of [`Merged`] files, of a paced replay | one of each |
//! | bytes of [`Conversations`] | [`ConversationConfig`] |
//! | packets and events of a [`FanOut`] | [`FanOutConfig`] |
//!
//! Conversations are the exception to the rule that nothing is read ahead: whoever reads one of them
//! must not wait for the readers of the others. How far, and what happens then, is theirs to say. So
//! is a [`FanOut`], whose engines would have nothing to do while events are taken.
//!
//! # Several cores
//!
//! A [`FanOut`] gives the packets of a source to several engines in threads of their own, and merges
//! their events: those of one engine, in the order of the packets.
//!
//! # Time
//!
//! The clock of the engine is packet time. Where a source is live and has been silent, a timer tells
//! the engine how much time has passed since the last packet, so that idle flows end. A replay never
//! looks at any clock, but for the pauses between packets if it is asked to make them.

mod channel;
mod clock;
mod conversations;
mod error;
mod event_stream;
mod fan_out;
mod flow_stream;
mod merged;
mod session_stream;
mod source;

#[cfg(feature = "live")]
mod live;

#[cfg(feature = "pcap")]
mod capture_file;
#[cfg(feature = "pcap")]
mod tap;

pub use self::channel::{IntoPacket, StreamSource};
pub use self::conversations::{Conversation, ConversationConfig, Conversations, WhenFull};
pub use self::error::Error;
pub use self::event_stream::{Drive, EventStream, MAX_PACKETS_PER_POLL, Sourced};
pub use self::fan_out::{Events, FanOut, FanOutConfig, Shard};
pub use self::flow_stream::{FlowStream, Flows};
pub use self::merged::Merged;
pub use self::session_stream::{SessionStream, Sessions};
pub use self::source::{OwnedPacket, PacketSource, SourcePacket, Take};

#[cfg(feature = "live")]
pub use self::live::AsyncCapture;

#[cfg(feature = "pcap")]
pub use self::capture_file::CaptureFile;
#[cfg(feature = "pcap")]
pub use self::tap::Tap;
