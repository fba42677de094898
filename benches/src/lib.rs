//! What the benches share: frames, and what time and memory they are measured in.
//!
//! Frames are made without a random number: the same on every run and machine. They look like what
//! a server's interface sees: TCP with the timestamp option that every host sends, one flow in ten
//! over IPv6, another one in ten in a VLAN. Checksums are zero, since nothing here looks at them.
//!
//! ```
//! use flow::FlowExtractor;
//! use flow::extract::FiveTuple;
//!
//! let mix = flow_benches::mix(1_000);
//! let found = mix.iter().filter_map(|frame| FiveTuple::bidirectional().extract(frame.view(0)));
//! assert_eq!(found.count(), 1_000);
//! ```

mod burst;
mod meter;
mod parsers;
mod traffic;

pub use self::burst::{Order, in_bursts};
pub use self::meter::{Stopwatch, anonymous_kib, each_in_its_own_process, processor_time};
pub use self::parsers::{Deaf, Idle, IdleDatagrams};
pub use self::traffic::{Frame, MSS, Network, conversations, http_keep_alive, mix, syn, tcp, udp};
