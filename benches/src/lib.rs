//! Frames for the benches, made without a random number: the same on every run and machine.
//!
//! They look like what a server's interface sees: TCP with the timestamp option that every host
//! sends, one flow in ten over IPv6, another one in ten in a VLAN. Checksums are zero, since
//! nothing here looks at them.
//!
//! ```
//! use flow::FlowExtractor;
//! use flow::extract::FiveTuple;
//!
//! let mix = flow_benches::mix(1_000);
//! let found = mix.iter().filter_map(|frame| FiveTuple::bidirectional().extract(frame.view(0)));
//! assert_eq!(found.count(), 1_000);
//! ```

mod traffic;

pub use self::traffic::{Frame, MSS, RoundRobin, http_keep_alive, mix, tcp, udp};
