//! DNS messages over UDP and TCP, queries matched with responses.
//!
//! [`DnsMessage::decode`] reads one message. Around it are the parsers that the engine of
//! `flow-session` feeds:
//!
//! - [`DnsUdpParser`] reads each datagram for itself,
//! - [`DnsUdpTransactions`] reads the datagrams of one flow, sets the time that each response took
//!   and reports queries without one,
//! - [`DnsUdpObserver`] does so, too, and gives the messages to a [`DnsHandler`],
//! - [`DnsTcpParser`] does the same for a TCP connection.
//!
//! Where queries and responses are not in one flow, a [`Correlator`] matches them under a scope
//! that the caller chooses. [`is_dns_datagram`] and [`detect_dns_stream`] recognise DNS on any
//! port.
//!
//! ```
//! use flow_core::Timestamp;
//! use flow_dns::{DnsMessage, DnsRdata};
//!
//! let bytes = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0\
//!     \x03www\x07example\x03net\0\0\x01\0\x01\
//!     \xC0\x0C\0\x01\0\x01\0\0\x0E\x10\0\x04\xC0\0\x02\x01";
//! let Some(DnsMessage::Response(response)) = DnsMessage::decode(bytes, Timestamp::default()) else {
//!     panic!("a response");
//! };
//! assert_eq!(response.transaction_id, 0x1234);
//! assert_eq!(response.rcode.to_string(), "NOERROR");
//! assert_eq!(response.flags.to_string(), "rd ra");
//! let [answer] = &response.answers[..] else { panic!("one answer") };
//! assert_eq!(answer.name, "www.example.net");
//! assert_eq!(answer.type_name(), "A");
//! assert_eq!(answer.data, DnsRdata::A([192, 0, 2, 1].into()));
//! assert_eq!(answer.data.to_string(), "192.0.2.1");
//! ```
//!
//! # What broken messages lose
//!
//! One bad record loses nothing but itself. Record data is delimited by its length, so data that
//! makes no sense is [`DnsRdata::Other`]. A name that loops, is too long or points out of the
//! message ends somewhere all the same, so its entry is there with a name that is
//! [not readable](DnsName::is_readable). Only what follows the end of the message, or a label of
//! an unassigned type, is lost. Every record has its data [as sent](DnsRecord::rdata).
//!
//! A message that is wrong says so ([`DnsDefect`]), and is an anomaly (`ProtocolViolation`) with
//! one of these words: `bad name`, `message cut short`, `counts beyond the message`,
//! `bytes behind the message`. What the capture itself lacks is none.
//!
//! Compression pointers are followed in any direction, at most 127 for a name, in the data of
//! every type that is known to have names. Names that nothing but long chains of pointers lead to
//! are not read any more where a message has very many of them.
//!
//! # Cost
//!
//! Short names and data stand in the message itself; a message needs one allocation for each
//! section that is not empty. The common types are decoded at once, the others when they are
//! displayed.

#![warn(clippy::indexing_slicing)]

mod addresses;
mod config;
mod correlator;
mod detect;
mod edns;
mod handler;
mod loc;
mod message;
mod name;
mod observer;
mod presentation;
mod rdata;
mod registry;
mod small;
mod svcb;
mod tcp;
mod transactions;
mod udp;
mod wire;

pub use self::config::DnsConfig;
pub use self::correlator::{Correlator, DnsAnswered, DnsRecorded};
pub use self::detect::{DnsDetection, DnsService, detect_dns_stream, is_dns_datagram};
pub use self::handler::DnsHandler;
pub use self::message::{
    DnsDefect, DnsFlags, DnsMessage, DnsOpcode, DnsPendingQuery, DnsQuery, DnsQuestion, DnsRcode,
    DnsRecord, DnsResponse,
};
pub use self::name::DnsName;
pub use self::observer::{DnsUdpObserved, DnsUdpObserver};
pub use self::rdata::{DnsOpaque, DnsRdata, DnsSoa, DnsText};
pub use self::registry::{class_name, type_name};
pub use self::tcp::DnsTcpParser;
pub use self::udp::{DnsUdpParser, DnsUdpTransactions};
