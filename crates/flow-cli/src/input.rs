use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use flow::extract::AutoDetectEncap;
use flow::pcap::PcapFlowSource;
use flow::{Extracted, FlowExtractor, PacketView, SkipReason};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::args::Common;
use crate::output::Escaped;

/// What reads the packets of a command.
pub(crate) trait Consumer {
    /// The next packet.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()>;

    /// There are no more packets.
    ///
    /// # Errors
    ///
    /// The output cannot be written.
    fn finish(&mut self) -> io::Result<()>;
}

/// Hands the packets of all files to `consumer`, then says on standard error what could not be
/// read.
///
/// # Errors
///
/// The output cannot be written.
pub(crate) fn run(
    files: &[PathBuf],
    skipped: &Skipped,
    consumer: &mut impl Consumer,
) -> io::Result<ExitCode> {
    let mut complaints = Vec::new();
    let mut failed = false;
    let bar = progress_bar();
    for file in files {
        let unknown = skipped.total();
        let Read { packets, complaint, is_whole } = read(file, consumer, &bar)?;
        failed |= !is_whole;
        complaints.extend(complaint);
        if packets > 0 && skipped.total() - unknown == packets {
            failed = true;
            complaints.push(format!("{}: no packet of a known link type", name(file)));
        }
    }
    bar.finish_and_clear();
    consumer.finish()?;
    complaints.extend(skipped.warnings());
    let mut stderr = io::stderr().lock();
    for complaint in complaints {
        // Nobody is left to be told if this fails.
        let _ = writeln!(stderr, "flow: {}", Escaped(&complaint));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Packets between two looks at how far the reading is.
const PROGRESS_INTERVAL: u64 = 1 << 14;

/// What came of reading a file.
struct Read {
    packets: u64,
    complaint: Option<String>,
    /// Whether it was read to its end.
    is_whole: bool,
}

/// Reads one file.
fn read(file: &Path, consumer: &mut impl Consumer, bar: &ProgressBar) -> io::Result<Read> {
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
    let mut source = match opened {
        Ok(source) => source,
        Err(error) => {
            return Ok(Read { packets: 0, complaint: Some(complaint(error)), is_whole: false });
        }
    };
    bar.set_length(source.total_bytes().unwrap_or(0));
    bar.set_message(Escaped(&name(file)).to_string());
    let mut packets = 0;
    while let Some(view) = source.next_view() {
        match view {
            Ok(view) => consumer.packet(view)?,
            Err(error) => {
                return Ok(Read { packets, complaint: Some(complaint(error)), is_whole: false });
            }
        }
        packets += 1;
        if packets.is_multiple_of(PROGRESS_INTERVAL) {
            bar.set_position(source.bytes_read());
        }
    }
    // Nothing is wrong with it, but who looks for packets should know that there are none.
    let complaint =
        (packets == 0).then(|| format!("{}: offset {}: no packets", name(file), source.offset()));
    Ok(Read { packets, complaint, is_whole: true })
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
}
