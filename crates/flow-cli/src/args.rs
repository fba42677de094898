use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use flow::FlowTrackerConfig;

/// Flows, TCP streams and HTTP, TLS, DNS messages of captures.
///
/// A FILE is a capture: pcap or pcapng, plain or compressed (gzip, zstd, lz4), `-` for standard
/// input. Several files are read one after the other as one source. Times are UTC. The source is
/// always the side that opened the flow, the destination the one that answered.
///
/// Exit status: 0 done; 1 an input could not be read to its end (everything before it has been
/// printed); 2 wrong arguments.
#[derive(Debug, Parser)]
#[command(name = "flow", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One line per flow, at its end
    Conv {
        /// What makes packets one flow
        #[arg(long, value_enum, default_value_t)]
        extractor: Extractor,
        #[command(flatten)]
        common: Common,
    },
    /// One line per side of each TCP flow: what reassembly delivered
    ///
    /// Of the gaps of a side, the first 1,000 are listed; `gaps_omitted` counts the others.
    Streams {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        buffer: Buffer,
    },
    /// One line per HTTP, TLS, DNS message, on any port, in the order in which they complete
    Log {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        buffer: Buffer,
    },
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Captures to read, `-` for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    /// Do not look into tunnels: flows are those of the outermost IP packet
    #[arg(long)]
    pub(crate) no_decap: bool,
    /// Print what is out of the ordinary too
    #[arg(long)]
    pub(crate) anomalies: bool,
    #[command(flatten)]
    limits: Limits,
}

/// Limits of the flow table. All times are packet time.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Flows in the table; at this many, a new one evicts the least recently seen [default: 100000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_flows: Option<u32>,
    /// End every flow after SECS without a packet [default: by protocol, see below]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    idle_timeout: Option<Duration>,
    /// The same for TCP alone [default: 300]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    idle_timeout_tcp: Option<Duration>,
    /// The same for UDP alone [default: 60]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    idle_timeout_udp: Option<Duration>,
    /// The same for any other protocol [default: 30]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    idle_timeout_other: Option<Duration>,
    /// Absorb stragglers of a closed TCP connection for SECS [default: 5]
    #[arg(long, value_name = "SECS", value_parser = seconds)]
    close_linger: Option<Duration>,
}

/// Memory of a TCP flow.
#[derive(Debug, Args)]
pub(crate) struct Buffer {
    /// Bytes that the streams of a flow and what reads them may hold [default: 1 MiB a stream]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    max_buffer: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns for people
    #[default]
    Text,
    /// One JSON object per line for programs
    Json,
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

impl Common {
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
        config.idle_timeout_syn = config.idle_timeout_syn.min(config.idle_timeout_tcp);
        config.idle_timeout_closing = config.idle_timeout_closing.min(config.idle_timeout_tcp);
        config.close_linger = limits.close_linger.unwrap_or(config.close_linger);
        config
    }
}

impl Buffer {
    /// The configuration with this limit.
    pub(crate) fn limit(&self, mut config: FlowTrackerConfig) -> FlowTrackerConfig {
        config.max_reassembler_buffer = self.max_buffer.or(config.max_reassembler_buffer);
        config
    }
}

/// A number of seconds, with or without a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

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
    }
}
