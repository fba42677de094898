//! What the generator put into a capture.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::table::thousands;

/// Bytes of a capture's TCP streams.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Truth {
    /// Those that some packet has.
    captured: u64,
    /// Those that none has.
    lost: u64,
}

/// Where the truth about a capture stands.
pub(super) fn path(capture: &Path) -> PathBuf {
    PathBuf::from(format!("{}.truth.json", capture.display()))
}

impl Truth {
    /// What stands beside a capture, or why that cannot be known.
    pub(super) fn beside(capture: &Path) -> Result<Self, String> {
        let path = path(capture);
        let fail = |error: String| format!("{}: {error}", path.display());
        let text = fs::read_to_string(&path).map_err(|error| fail(error.to_string()))?;
        let truth = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
        Self::of(&truth).map_err(fail)
    }

    /// What a truth file says. The captures from which nothing was taken do not say so.
    pub(super) fn of(truth: &Value) -> Result<Self, String> {
        let sent = truth["tcp_stream_bytes"].as_u64().ok_or("no tcp_stream_bytes")?;
        let lost = truth["tcp_bytes_lost"].as_u64().unwrap_or(0);
        let captured = sent.checked_sub(lost).ok_or("more bytes lost than sent")?;
        Ok(Self { captured, lost })
    }

    /// Both beside what a program delivered and said to be missing.
    pub(super) fn compare(&self, program: &str, delivered: u64, missing: u64) -> String {
        let differences = match [(delivered, self.captured), (missing, self.lost)] {
            [(found, captured), (said, lost)] if found == captured && said == lost => {
                "the same".into()
            }
            both => format!("differs by {}", both.map(difference).join(" and ")),
        };
        format!(
            "truth: {} delivered + {} lost; {program}: {} + {}, {differences}",
            thousands(self.captured),
            thousands(self.lost),
            thousands(delivered),
            thousands(missing),
        )
    }
}

/// How much more or less was found than there is.
fn difference((found, there): (u64, u64)) -> String {
    let sign = match found.cmp(&there) {
        std::cmp::Ordering::Less => "-",
        std::cmp::Ordering::Equal => "",
        std::cmp::Ordering::Greater => "+",
    };
    format!("{sign}{}", thousands(found.abs_diff(there)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_lost_was_sent_and_not_captured() {
        let truth = json!({"tcp_stream_bytes": 1_000, "tcp_bytes_lost": 10});
        assert_eq!(Truth::of(&truth), Ok(Truth { captured: 990, lost: 10 }));
        assert_eq!(Truth::of(&json!({"tcp_stream_bytes": 5})), Ok(Truth { captured: 5, lost: 0 }));
        assert!(Truth::of(&json!({"packets": 5})).is_err());
        assert!(Truth::of(&json!({"tcp_stream_bytes": 5, "tcp_bytes_lost": 6})).is_err());
    }

    #[test]
    fn differences_are_shown() {
        let check = |delivered, missing, expected| {
            let said = Truth { captured: 5_000, lost: 100 }.compare("P", delivered, missing);
            assert_eq!(said, format!("truth: 5,000 delivered + 100 lost; P: {expected}"));
        };
        check(5_000, 100, "5,000 + 100, the same");
        check(3_999, 1_101, "3,999 + 1,101, differs by -1,001 and +1,001");
        check(5_000, 90, "5,000 + 90, differs by 0 and -10");
    }

    #[test]
    fn without_a_truth_file_it_says_which() {
        let reason = Truth::beside(Path::new("/nowhere/mix.pcap")).expect_err("is not there");
        assert!(reason.starts_with("/nowhere/mix.pcap.truth.json: "), "{reason}");
    }
}
