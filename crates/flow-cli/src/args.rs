use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use flow::extract::FiveTuple;
use flow::{FlowSide, FlowTrackerConfig, OverflowPolicy};

use crate::filter::Filter;
use crate::live::Interface;

/// Flows, TCP streams and HTTP, TLS, DNS messages of captures.
///
/// A FILE is a capture: pcap or pcapng, plain or compressed (gzip, zstd, lz4), `-` for standard
/// input. Several files are read one after the other as one source. `-i IFACE` captures a live
/// interface in place of files. Times are UTC. The source is always the side that opened the flow,
/// the destination the one that answered.
///
/// With `--format json` each line is an object, with `--format csv` a row of a table below the
/// names of its columns, which are those of the JSON fields.
///
/// Exit status: 0 done; 1 an input could not be read to its end (everything before it has been
/// printed); 2 wrong arguments, or no terminal for `flow top`.
#[derive(Debug, Parser)]
#[command(name = "flow", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One line per flow, at its end
    ///
    /// `conn_state` (in the text `conn`) and `history` are in the letters of Zeek's conn.log.
    ///
    /// In a table, the packets, bytes and payload bytes of both directions are `fwd_packets`,
    /// `rev_packets` and so on, and the layers of `encap` are separated by spaces.
    Conv {
        #[command(flatten)]
        common: Common,
        /// Print the Community ID of five-tuples, made with SEED [default: 0]
        ///
        /// For ICMP, whose IDs depend on type and code, it is that of the flow's first message.
        #[arg(
            long,
            value_name = "SEED",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "0"
        )]
        community_id: Option<u16>,
    },
    /// One line per side of each TCP flow: what reassembly delivered
    ///
    /// Of the gaps of a side, the first 1,000 are listed; `gaps_omitted` counts the others. A table
    /// has their number and their bytes, `gaps` and `gap_bytes`.
    Streams {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        buffer: Buffer,
    },
    /// The bytes of TCP flows, of both sides in the order of delivery
    ///
    /// A flow has a heading with its number and its ends, initiator first. What the initiator sent
    /// is marked `>`, what the responder sent `<`. The text has a line for each line, ended by LF
    /// or CR LF, and shows every byte that cannot be printed by its number, `\x00`, and a
    /// backslash doubled. What is missing is marked `>!` or `<!`: `[100 bytes missing: acked]`.
    ///
    /// In JSON and tables each line is a piece of a stream of type `bytes` or `gap`, with its
    /// `offset` and `len`, its bytes in Base64 as `data`, the packet that delivered it as `frame`,
    /// and the one that it came in as `first_frame`.
    ///
    /// Exit status 1 also if a flow that was asked for is not there or not TCP.
    Follow {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        buffer: Buffer,
        #[command(flatten)]
        options: FollowOptions,
    },
    /// One line per HTTP, TLS, DNS message, on any port, in the order in which they complete
    ///
    /// A table has what all messages have in common, and a `summary` in the words of the text.
    Log {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        buffer: Buffer,
    },
    /// The busiest flows and the latest messages, on a terminal
    ///
    /// Files are read as fast as possible, and what was in them stays on the screen; with `-i` it is
    /// what happens on an interface. The rates are
    /// those of the last seconds of packet time, and averages of the whole capture once all of it
    /// was read. Press `?` for the keys.
    Top {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        buffer: Buffer,
        #[command(flatten)]
        options: TopOptions,
    },
    /// Totals: packets, link types, flows, anomalies; what was skipped and why
    ///
    /// All numbers are those of packets that match the filter, but for `filtered`, which counts the
    /// others. Every packet is in one flow or skipped for one reason: `accounted` has the sum. A
    /// table has a row per number, with the path to it in the JSON object as its name.
    Stats {
        #[command(flatten)]
        common: Common,
    },
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// Captures to read, `-` for standard input; if there is no `--interface`
    #[arg(
        required_unless_present = "interface",
        conflicts_with = "interface",
        value_name = "FILE"
    )]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// What makes packets one flow; streams and messages are those of five-tuples
    #[arg(long, value_enum, default_value_t)]
    pub(crate) extractor: Extractor,
    /// Look only at packets that match, in the syntax of tcpdump
    ///
    /// The expression is about the outermost packet. Other packets keep their numbers.
    #[arg(long, value_name = "EXPR", value_parser = Filter::parse)]
    pub(crate) filter: Option<Filter>,
    /// Do not look into tunnels: flows are those of the outermost IP packet
    #[arg(long)]
    pub(crate) no_decap: bool,
    /// Count an ICMP error with the flow of the packet that it quotes, if that flow is there
    ///
    /// Without it, or for other extractors than five-tuples, it is a packet of the ICMP flow between
    /// the router and the host.
    #[arg(long)]
    icmp_errors: bool,
    /// Print what is out of the ordinary too
    #[arg(long)]
    pub(crate) anomalies: bool,
    #[command(flatten)]
    pub(crate) live: Live,
    #[command(flatten)]
    limits: Limits,
}

/// Packets of an interface, in place of files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Live capture")]
pub(crate) struct Live {
    /// Capture what passes on IFACE, until Ctrl-C; `any` is all of them
    ///
    /// Needs the right to capture, which root has. A filter is run by the kernel, and packets have
    /// the numbers in which they matched. What the kernel had to drop is said at the end, on
    /// standard error. A second Ctrl-C ends it without the flows that are open.
    #[arg(short, long, value_name = "IFACE", value_parser = Interface::parse)]
    pub(crate) interface: Option<Interface>,
    /// Bytes of a packet that are captured [default: all]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) snaplen: Option<u32>,
    /// The kernel's memory for packets that were not read yet [default: 16 MiB]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) buffer_size: Option<u32>,
    /// Capture also what is not addressed to this host
    #[arg(long)]
    pub(crate) promiscuous: bool,
    /// Stop after N packets
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) packets: Option<u64>,
    /// Stop after SECS
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,
}

/// Limits of the flow table. All times are packet time.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Flows in the table; at this many, a new one evicts the least recently seen [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_flows: Option<u32>,
    /// End every flow after SECS without a packet [default: by protocol, see below]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    idle_timeout: Option<Duration>,
    /// The same for TCP alone [default: 300]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    idle_timeout_tcp: Option<Duration>,
    /// The same for UDP alone [default: 60]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    idle_timeout_udp: Option<Duration>,
    /// The same for any other protocol [default: 30]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    idle_timeout_other: Option<Duration>,
    /// The same for TCP connections whose handshake is not complete [default: 30]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    idle_timeout_syn: Option<Duration>,
    /// The same for TCP connections that only the last acknowledgment is missing from [default: 60]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    idle_timeout_closing: Option<Duration>,
    /// Absorb stragglers of a closed TCP connection for SECS [default: 5]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    close_linger: Option<Duration>,
    /// The same after a reset; not longer than after a close [default: 2]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    reset_linger: Option<Duration>,
    /// Drop a packet in fragments that is not whole after SECS [default: 30 for IPv4, 60 for IPv6]
    #[arg(long, value_name = "SECS", value_parser = seconds, allow_negative_numbers = true)]
    fragment_timeout: Option<Duration>,
    /// Memory for packets in fragments, in bytes [default: 16 MiB]
    #[arg(long, value_name = "BYTES")]
    max_fragment_bytes: Option<usize>,
    /// Reject TCP segments with a lower time to live than N [default: take all]
    #[arg(long, value_name = "N")]
    min_ttl: Option<u8>,
}

/// Memory of a TCP flow.
#[derive(Debug, Args)]
pub(crate) struct Buffer {
    /// Bytes that the streams of a flow and what reads them may hold [default: 1 MiB a stream]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    max_buffer: Option<usize>,
    /// What happens when they hold more
    #[arg(long, value_enum, default_value_t, help_heading = "Limits")]
    on_overflow: OnOverflow,
}

/// Which streams are followed, and how they are shown.
#[derive(Debug, Args)]
pub(crate) struct FollowOptions {
    /// The flow of this number, as `flow conv` and `flow streams` print it; several with commas or
    /// by repeating it [default: all]
    #[arg(long, value_name = "N", value_delimiter = ',')]
    pub(crate) flow: Vec<u64>,
    /// Whose bytes to show
    #[arg(long, value_enum, default_value_t)]
    pub(crate) side: Followed,
    /// Print a hex dump, with the offsets in the stream of each side
    #[arg(long, conflicts_with_all = ["raw", "output"])]
    pub(crate) hex: bool,
    /// Print the bytes of one stream and nothing else; what is missing is told on standard error
    #[arg(long, conflicts_with = "output")]
    pub(crate) raw: bool,
    /// Write the bytes of each stream to a file in DIR, and print one line per file
    ///
    /// DIR is made if it is not there. The names are those of the flow's ends, its number and the
    /// side: `10.0.0.1.40000-10.0.0.2.80.7.initiator`. Files of these names are replaced.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
}

/// How `flow top` reads.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopOptions {
    /// Read at the speed at which it was captured, times X [default: as fast as possible]
    #[arg(
        long,
        value_name = "X",
        value_parser = speed,
        allow_negative_numbers = true,
        conflicts_with = "interface"
    )]
    pub(crate) speed: Option<f64>,
}

/// Sides of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Followed {
    /// Both sides
    #[default]
    Both,
    /// The side that opened the flow
    Initiator,
    /// The side that answered
    Responder,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum OnOverflow {
    /// What is missing in front of them is given up
    #[default]
    Skip,
    /// The flow ends
    EndFlow,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people
    #[default]
    Text,
    /// One JSON object per line for programs
    Json,
    /// One row per line for spreadsheets
    Csv,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Extractor {
    /// Protocol, addresses and ports
    #[default]
    FiveTuple,
    /// IP addresses
    IpPair,
    /// MAC addresses
    MacPair,
}

impl Cli {
    /// The arguments of this process. Ends it with status 2 if they are wrong, 0 if they ask for
    /// help.
    pub(crate) fn of_process() -> Self {
        let cli = Self::parse();
        if let Some(message) = cli.command.contradiction() {
            Self::command().error(ErrorKind::ArgumentConflict, message).exit();
        }
        cli
    }
}

impl Command {
    /// What is wrong with arguments each of which is right.
    fn contradiction(&self) -> Option<&'static str> {
        let (common, has_streams) = match self {
            Self::Streams { common, .. }
            | Self::Follow { common, .. }
            | Self::Log { common, .. }
            | Self::Top { common, .. } => (common, true),
            Self::Conv { common, .. } | Self::Stats { common } => (common, false),
        };
        if common.live.lacks_interface() {
            return Some(
                "`--snaplen`, `--buffer-size`, `--promiscuous`, `--packets` and `--duration` are \
                 for an interface: they need `--interface`",
            );
        }
        if has_streams && common.extractor != Extractor::FiveTuple {
            return Some(
                "streams and messages are those of one connection: they need \
                 `--extractor five-tuple`",
            );
        }
        let rows_differ =
            matches!(self, Self::Conv { .. } | Self::Streams { .. } | Self::Follow { .. });
        if rows_differ && common.anomalies && common.format == Format::Csv {
            return Some(
                "anomalies have other columns than the table: `--anomalies` needs another \
                 `--format` than csv here",
            );
        }
        match self {
            Self::Follow { common, options, .. } => options.contradiction(common),
            Self::Top { common, .. } if common.format != Format::Text => {
                Some("`flow top` is for people: it has no other `--format` than text")
            }
            _ => None,
        }
    }
}

impl Live {
    /// Whether there is something about an interface, and no interface.
    fn lacks_interface(&self) -> bool {
        let Self { interface, snaplen, buffer_size, promiscuous, packets, duration } = self;
        let is_wanted = snaplen.is_some()
            || buffer_size.is_some()
            || *promiscuous
            || packets.is_some()
            || duration.is_some();
        is_wanted && interface.is_none()
    }
}

impl FollowOptions {
    fn contradiction(&self, common: &Common) -> Option<&'static str> {
        if (self.hex || self.raw) && common.format != Format::Text {
            return Some(
                "`--hex` and `--raw` are formats themselves: they do not go with another `--format`",
            );
        }
        if self.raw && (self.flow.len() != 1 || self.side == Followed::Both) {
            return Some(
                "`--raw` is for the bytes of one stream: it needs `--flow` with one number, and \
                 `--side initiator` or `--side responder`",
            );
        }
        if self.raw && common.anomalies {
            return Some(
                "`--raw` prints bytes and nothing else: it does not go with `--anomalies`",
            );
        }
        None
    }
}

impl Followed {
    /// Whether `side` is one of them.
    pub(crate) fn has(self, side: FlowSide) -> bool {
        match self {
            Self::Both => true,
            Self::Initiator => side == FlowSide::Initiator,
            Self::Responder => side == FlowSide::Responder,
        }
    }
}

impl Common {
    /// The extractor of [`Extractor::FiveTuple`].
    pub(crate) fn five_tuple(&self) -> FiveTuple {
        FiveTuple::bidirectional().with_icmp_errors(self.icmp_errors)
    }

    /// The configuration of the flow table.
    pub(crate) fn tracker_config(&self) -> FlowTrackerConfig {
        let limits = &self.limits;
        let mut config = FlowTrackerConfig::default();
        if let Some(flows) = limits.max_flows {
            config.max_flows = usize::try_from(flows).unwrap_or(usize::MAX);
        }
        let specific = [
            (&mut config.idle_timeout_tcp, limits.idle_timeout_tcp),
            (&mut config.idle_timeout_udp, limits.idle_timeout_udp),
            (&mut config.idle_timeout_other, limits.idle_timeout_other),
        ];
        for (timeout, own) in specific {
            *timeout = own.or(limits.idle_timeout).unwrap_or(*timeout);
        }
        // A connection that is not open yet, or not any more, must not outlive one that is.
        let shorter = [
            (&mut config.idle_timeout_syn, limits.idle_timeout_syn),
            (&mut config.idle_timeout_closing, limits.idle_timeout_closing),
        ];
        for (timeout, own) in shorter {
            *timeout = own.unwrap_or((*timeout).min(config.idle_timeout_tcp));
        }
        config.close_linger = limits.close_linger.unwrap_or(config.close_linger);
        config.reset_linger = limits.reset_linger.unwrap_or(config.reset_linger);
        config.min_ttl = limits.min_ttl.unwrap_or(config.min_ttl);
        let defragment = &mut config.defragment;
        defragment.max_bytes = limits.max_fragment_bytes.unwrap_or(defragment.max_bytes);
        for timeout in [&mut defragment.timeout_ipv4, &mut defragment.timeout_ipv6] {
            *timeout = limits.fragment_timeout.unwrap_or(*timeout);
        }
        config
    }
}

impl Buffer {
    /// The configuration with this limit.
    pub(crate) fn limit(&self, mut config: FlowTrackerConfig) -> FlowTrackerConfig {
        config.max_reassembler_buffer = self.max_buffer.or(config.max_reassembler_buffer);
        config.overflow_policy = match self.on_overflow {
            OnOverflow::Skip => OverflowPolicy::SlidingWindow,
            OnOverflow::EndFlow => OverflowPolicy::DropFlow,
        };
        config
    }
}

/// How many times as fast.
fn speed(text: &str) -> Result<f64, &'static str> {
    let speed = text.parse().map_err(|_| "not a number, such as 1 or 0.5")?;
    if speed > 0.0 && f64::is_finite(speed) { Ok(speed) } else { Err("time goes on") }
}

/// A number of seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds, such as 30 or 0.5")?;
    if seconds < 0.0 {
        return Err("time does not go back");
    }
    // Also for what is not a number and for infinity.
    Duration::try_from_secs_f64(seconds).map_err(|_| "more seconds than can be counted")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declaration_is_consistent() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(options: &[&str], expected: [u64; 5]) {
        let arguments = ["flow", "conv", "-"].iter().chain(options);
        let Command::Conv { common, .. } = Cli::parse_from(arguments).command else { panic!() };
        let config = common.tracker_config();
        let timeouts = [
            config.idle_timeout_tcp,
            config.idle_timeout_udp,
            config.idle_timeout_other,
            config.idle_timeout_syn,
            config.idle_timeout_closing,
        ];
        assert_eq!(timeouts.map(|timeout| timeout.as_secs()), expected);
    }

    #[test]
    fn timeouts() {
        check(&[], [300, 60, 30, 30, 60]);
        check(&["--idle-timeout", "10"], [10, 10, 10, 10, 10]);
        check(&["--idle-timeout", "90", "--idle-timeout-udp", "5"], [90, 5, 90, 30, 60]);
        check(&["--idle-timeout", "10", "--idle-timeout-syn", "20"], [10, 10, 10, 20, 10]);
        check(&["--idle-timeout-closing", "1.5"], [300, 60, 30, 30, 1]);
    }

    #[test]
    fn seconds_of_all_kinds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", "soon", "NaN", "inf", "1e300", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
