use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use flow::extract::AutoDetectEncap;
use flow::pcap::PcapFlowSource;
use flow::{
    CaptureStats, Extracted, FlowExtractor, Fragment, PacketView, Quoted, SkipReason, TcpChecksum,
    Timestamp,
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Common;
use crate::filter::Filter;
use crate::live;
use crate::output::Escaped;

/// What reads the packets of a command.
#[cfg_attr(not(feature = "live"), expect(dead_code, reason = "files do not keep anybody waiting"))]
pub(crate) trait Consumer {
    /// The next packet.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()>;

    /// The next packet does not match the filter.
    fn filtered(&mut self) {}

    /// So many bytes of this source have been read, of a total that may be known.
    fn progress(&mut self, source: &str, read: u64, total: Option<u64>) {
        let _ = (source, read, total);
    }

    /// No packet has come for a while, and it is `now`.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn idle(&mut self, now: Timestamp) -> io::Result<()>;

    /// Nothing more is there for the moment: what was said so far may be looked at.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn flush(&mut self) -> io::Result<()>;

    /// What a live capture counted so far.
    fn capture_stats(&mut self, stats: CaptureStats) {
        let _ = stats;
    }

    /// There are no more packets.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn finish(&mut self) -> io::Result<()>;
}

/// Hands the packets of the source that match the filter to `consumer`, then says on standard error
/// what could not be read.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(
    common: &Common,
    skipped: &Skipped,
    consumer: &mut impl Consumer,
) -> io::Result<ExitCode> {
    let outcome = read_all(common, skipped, consumer)?;
    complain(&outcome.complaints);
    Ok(outcome.code())
}

/// What came of reading everything.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// What is to be said about it.
    pub(crate) complaints: Vec<String>,
    /// Something could not be read.
    failed: bool,
}

impl Outcome {
    /// Takes down what came of a source of this name, of whose packets so many were of unknown link
    /// types.
    fn add(&mut self, name: &str, read: Read, unknown: u64) {
        let Read { matching, complaint, is_whole } = read;
        self.failed |= !is_whole;
        self.complaints.extend(complaint);
        if matching > 0 && unknown == matching {
            self.failed = true;
            self.complaints.push(format!("{name}: no packet of a known link type"));
        }
    }

    pub(crate) fn code(&self) -> ExitCode {
        if self.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// Hands the packets of the source that match the filter to `consumer`.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn read_all(
    common: &Common,
    skipped: &Skipped,
    consumer: &mut impl Consumer,
) -> io::Result<Outcome> {
    let mut outcome = Outcome { complaints: Vec::new(), failed: false };
    if let Some(interface) = &common.live.interface {
        let read = live::read(interface, common, consumer)?;
        outcome.add(interface.name(), read, skipped.total());
    } else {
        let mut filter = common.filter.clone();
        let bar = progress_bar();
        for file in &common.files {
            let unknown = skipped.total();
            let read = read(file, &mut filter, consumer, &bar)?;
            outcome.add(&name(file), read, skipped.total() - unknown);
        }
        bar.finish_and_clear();
    }
    consumer.finish()?;
    outcome.complaints.extend(skipped.warnings());
    Ok(outcome)
}

/// What a live capture lost, in words, if anything was.
pub(crate) fn losses(interface: &str, stats: CaptureStats) -> Option<String> {
    let CaptureStats { received, dropped, dropped_by_interface, .. } = stats;
    (dropped > 0 || dropped_by_interface > 0).then(|| {
        format!(
            "{interface}: {received} packets received, {dropped} dropped by the kernel, \
             {dropped_by_interface} by the interface"
        )
    })
}

/// Says these things on standard error.
pub(crate) fn complain(complaints: &[String]) {
    let mut stderr = io::stderr().lock();
    for complaint in complaints {
        // Nobody is left to be told if this fails.
        let _ = writeln!(stderr, "flow: {}", Escaped(complaint));
    }
}

/// Packets between two looks at how far the reading is.
const PROGRESS_INTERVAL: u64 = 1 << 14;

/// What came of reading a source.
pub(crate) struct Read {
    /// Packets that matched the filter.
    pub(crate) matching: u64,
    pub(crate) complaint: Option<String>,
    /// Whether it was read to its end.
    pub(crate) is_whole: bool,
}

/// Reads one file.
fn read(
    file: &Path,
    filter: &mut Option<Filter>,
    consumer: &mut impl Consumer,
    bar: &ProgressBar,
) -> io::Result<Read> {
    let opened = if is_stdin(file) {
        PcapFlowSource::from_reader(io::stdin())
    } else {
        PcapFlowSource::open(file)
    };
    // The source names the file itself, if it knows it.
    let complaint = |error: flow::pcap::Error| match error.path() {
        Some(_) => error.to_string(),
        None => format!("{}: {error}", name(file)),
    };
    let broken =
        |matching, complaint| Ok(Read { matching, complaint: Some(complaint), is_whole: false });
    let mut source = match opened {
        Ok(source) => source,
        Err(error) => return broken(0, complaint(error)),
    };
    bar.set_length(source.total_bytes().unwrap_or(0));
    bar.set_message(Escaped(&name(file)).to_string());
    consumer.progress(&name(file), 0, source.total_bytes());
    let (mut packets, mut matching) = (0_u64, 0);
    while let Some(view) = source.next_view() {
        let view = match view {
            Ok(view) => view,
            Err(error) => return broken(matching, complaint(error)),
        };
        packets += 1;
        match filter.as_mut().map_or(Ok(true), |filter| filter.matches(view)) {
            Ok(true) => {
                matching += 1;
                consumer.packet(view)?;
            }
            Ok(false) => consumer.filtered(),
            Err(error) => {
                return broken(matching, format!("{}: packet {packets}: {error}", name(file)));
            }
        }
        if packets.is_multiple_of(PROGRESS_INTERVAL) {
            bar.set_position(source.bytes_read());
            consumer.progress(&name(file), source.bytes_read(), source.total_bytes());
        }
    }
    // Nothing is wrong with it, but who looks for packets should know that there are none.
    let complaint =
        (packets == 0).then(|| format!("{}: offset {}: no packets", name(file), source.offset()));
    Ok(Read { matching, complaint, is_whole: true })
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// A bar on the terminal, unless the lines go there.
fn progress_bar() -> ProgressBar {
    if !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Packets left out because of their link type, counted by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Skipped(Arc<Mutex<BTreeMap<u16, u64>>>);

impl Skipped {
    fn count(&self, link_type: u16) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(link_type).or_default() += 1;
    }

    fn total(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    /// The link types with their packets.
    pub(crate) fn by_link_type(&self) -> BTreeMap<u16, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn warnings(&self) -> Vec<String> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let warning = |(link_type, packets): (&u16, &u64)| {
            let s = if *packets == 1 { "" } else { "s" };
            format!("unknown link type {link_type}: {packets} packet{s} skipped")
        };
        counts.iter().map(warning).collect()
    }
}

/// The extractor of a command: looks into tunnels unless told otherwise, and accounts for packets
/// of unknown link types.
pub(crate) struct Watched<E> {
    inner: AutoDetectEncap<E>,
    skipped: Skipped,
}

impl<E> Watched<E> {
    pub(crate) fn new(extractor: E, common: &Common, skipped: &Skipped) -> Self {
        let inner = AutoDetectEncap::new(extractor);
        let inner = if common.no_decap { inner.with_max_depth(0) } else { inner };
        Self { inner, skipped: skipped.clone() }
    }
}

impl<E: FlowExtractor> FlowExtractor for Watched<E> {
    type Key = E::Key;

    #[inline]
    fn extract(&self, view: PacketView<'_>) -> Option<Extracted<E::Key>> {
        self.inner.extract(view)
    }

    // Asked for skipped packets only, so that counting here costs the others nothing.
    fn skip_reason(&self, view: PacketView<'_>) -> SkipReason {
        let reason = self.inner.skip_reason(view);
        if let SkipReason::UnknownLinkType(link_type) = reason {
            self.skipped.count(link_type.0);
        }
        reason
    }

    fn fragment<'a>(&self, view: PacketView<'a>) -> Option<Fragment<'a>> {
        self.inner.fragment(view)
    }

    fn tcp_checksum(
        &self,
        view: PacketView<'_>,
        extracted: &Extracted<E::Key>,
    ) -> Option<TcpChecksum> {
        self.inner.tcp_checksum(view, extracted)
    }

    fn quoted(&self, view: PacketView<'_>) -> Option<Quoted<E::Key>> {
        self.inner.quoted(view)
    }
}
