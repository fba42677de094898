//! One way to read for all tests: every way there is, which must agree.

use std::fs;
use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use flow_core::PacketView;
use flow_pcap::{Error, PcapConfig, PcapFlowSource};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) nanos: u64,
    pub(crate) link_type: u16,
    pub(crate) wire_len: u32,
    pub(crate) frame: Vec<u8>,
}

pub(crate) fn packet(nanos: u64, link_type: u16, wire_len: u32, frame: &[u8]) -> Packet {
    Packet { nanos, link_type, wire_len, frame: frame.to_vec() }
}

impl From<PacketView<'_>> for Packet {
    fn from(view: PacketView<'_>) -> Self {
        packet(view.timestamp.as_nanos(), view.link_type.0, view.wire_len, view.frame)
    }
}

/// What a capture gives: its packets, and the error it ends with, in words and without the name.
pub(crate) type Outcome = (Vec<Packet>, Option<String>);

/// Reads `bytes` in every way and checks that the outcome is the same.
#[track_caller]
pub(crate) fn read(bytes: &[u8]) -> Outcome {
    read_with(bytes, &PcapConfig::default())
}

#[track_caller]
pub(crate) fn read_with(bytes: &[u8], config: &PcapConfig) -> Outcome {
    let [first, others @ ..] = ways(bytes, config);
    for (way, other) in ["views of a reader", "byte by byte", "mapped", "views"].iter().zip(others)
    {
        assert_eq!(other, first, "{way}");
    }
    first
}

/// The outcomes of all ways to read, which may differ only where compressed data is damaged: how
/// much a decompressor gives before it notices depends on the pieces it is fed.
pub(crate) fn ways(bytes: &[u8], config: &PcapConfig) -> [Outcome; 5] {
    let memory = || PcapFlowSource::from_reader(Cursor::new(bytes.to_vec()));
    let slow = PcapFlowSource::from_reader(OneByte(Cursor::new(bytes.to_vec())));
    let file = TempFile::new(bytes);
    let open = || PcapFlowSource::open(&file.0);
    [
        lend(memory(), config),
        iterate(memory(), config),
        lend(slow, config),
        lend(open(), config),
        iterate(open(), config),
    ]
}

#[track_caller]
pub(crate) fn check(bytes: &[u8], expected: &[Packet]) {
    assert_eq!(read(bytes), (expected.to_vec(), None));
}

#[track_caller]
pub(crate) fn check_damaged(bytes: &[u8], expected: &[Packet], error: &str) {
    assert_eq!(read(bytes), (expected.to_vec(), Some(error.to_owned())));
}

/// By `next_view`, which must stay at its end.
fn lend(source: Result<PcapFlowSource, Error>, config: &PcapConfig) -> Outcome {
    let mut source = match source {
        Ok(source) => source.with_config(config.clone()),
        Err(error) => return (Vec::new(), Some(words(&error))),
    };
    let mut packets = Vec::new();
    let mut error = None;
    while let Some(view) = source.next_view() {
        assert!(error.is_none(), "something after the error");
        match view {
            Ok(view) => packets.push(Packet::from(view)),
            Err(problem) => error = Some(words(&problem)),
        }
    }
    assert!(source.next_view().is_none() && source.views().next().is_none());
    assert_eq!(source.packets(), packets.len() as u64);
    (packets, error)
}

/// By `views`, whose items are all kept.
fn iterate(source: Result<PcapFlowSource, Error>, config: &PcapConfig) -> Outcome {
    let mut source = match source {
        Ok(source) => source.with_config(config.clone()),
        Err(error) => return (Vec::new(), Some(words(&error))),
    };
    let (views, errors): (Vec<_>, Vec<_>) = source.views().partition(Result::is_ok);
    assert!(errors.len() < 2, "more than one error");
    let packets = views.iter().flatten().map(|view| Packet::from(view.as_view())).collect();
    (packets, errors.into_iter().find_map(Result::err).map(|error| words(&error)))
}

/// The error's text without the file's name, of which it must be one line.
fn words(error: &Error) -> String {
    let text = error.to_string();
    assert!(!text.contains('\n'));
    match error.path() {
        Some(path) => text.strip_prefix(&format!("{}: ", path.display())).unwrap().to_owned(),
        None => text,
    }
}

/// Gives one byte per call.
pub(crate) struct OneByte<R>(pub(crate) R);

impl<R: Read> Read for OneByte<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let len = buf.len().min(1);
        self.0.read(&mut buf[..len])
    }
}

pub(crate) struct TempFile(pub(crate) PathBuf);

impl TempFile {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("flow-pcap-test-{}-{number}.pcap", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
