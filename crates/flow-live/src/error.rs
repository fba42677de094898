/// Why an interface cannot be captured, or not any more.
///
/// The text is one line that begins with the interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No interface has this name.
    #[error("{interface}: no such interface{}", list(known))]
    UnknownInterface {
        /// The name.
        interface: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// This process may not capture.
    #[error("{interface}: capturing is not permitted: it needs root or, on Linux, CAP_NET_RAW")]
    NotPermitted {
        /// The interface.
        interface: String,
    },
    /// It is there and cannot be captured, as it is down for example.
    #[error("{interface}: cannot be captured: {reason}")]
    Open {
        /// The interface.
        interface: String,
        /// The words of libpcap or of the operating system.
        reason: String,
    },
    /// The filter expression is not one, or not one for this link type.
    #[error("{interface}: filter {expression:?}: {reason}")]
    Filter {
        /// The interface.
        interface: String,
        /// The expression.
        expression: String,
        /// The words of libpcap.
        reason: String,
    },
    /// The captures of a group cannot be had: the system has no such thing, or others have made a
    /// different group of this number.
    #[error("{interface}: no fanout group: {reason}")]
    Fanout {
        /// The interface.
        interface: String,
        /// The words of the operating system.
        reason: String,
    },
    /// The interface was removed; all its packets have been read.
    #[error("{interface}: the interface was removed")]
    Removed {
        /// The interface.
        interface: String,
    },
    /// Reading failed.
    #[error("{interface}: cannot read: {reason}")]
    Read {
        /// The interface.
        interface: String,
        /// The words of libpcap or of the operating system.
        reason: String,
    },
    /// An error has ended this capture before, so that nothing comes any more.
    #[error("{interface}: the capture has ended")]
    Ended {
        /// The interface.
        interface: String,
    },
}

impl Error {
    /// The interface it is about.
    #[must_use]
    pub fn interface(&self) -> &str {
        match self {
            Self::UnknownInterface { interface, .. }
            | Self::NotPermitted { interface }
            | Self::Open { interface, .. }
            | Self::Filter { interface, .. }
            | Self::Fanout { interface, .. }
            | Self::Removed { interface }
            | Self::Read { interface, .. }
            | Self::Ended { interface } => interface,
        }
    }
}

/// What libpcap says, as one line.
pub(crate) fn words(error: &pcap::Error) -> String {
    let words = match error {
        pcap::Error::PcapError(words) => words.clone(),
        other => other.to_string(),
    };
    match words.trim() {
        "" => "libpcap gives no reason".to_owned(),
        words => words.replace(['\n', '\r'], " "),
    }
}

/// The names that fit into a line.
fn list(known: &[String]) -> String {
    const MOST: usize = 8;
    match known.len() {
        0 => String::new(),
        n if n > MOST => {
            let names = known.iter().take(MOST).map(String::as_str).collect::<Vec<_>>();
            format!("; there are {} and {} more", names.join(", "), n - MOST)
        }
        _ => format!("; there are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_unknown(known: usize, expected: &str) {
        let known = (0..known).map(|n| format!("eth{n}")).collect();
        let error = Error::UnknownInterface { interface: "wan".into(), known };
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn an_unknown_interface_is_named_with_those_there_are() {
        check_unknown(0, "wan: no such interface");
        check_unknown(2, "wan: no such interface; there are eth0, eth1");
        check_unknown(
            10,
            "wan: no such interface; there are eth0, eth1, eth2, eth3, eth4, eth5, eth6, eth7 \
             and 2 more",
        );
    }

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(words(&pcap::Error::PcapError("a\nb\n".into())), "a b");
        assert_eq!(words(&pcap::Error::PcapError(String::new())), "libpcap gives no reason");
    }
}
