//! Captures built byte by byte, read from memory, from a slow pipe and from a mapped file.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod build;
mod compressed;
mod damage;
mod events;
mod pcap;
mod pcapng;
mod proptests;
mod read;
mod writer;
