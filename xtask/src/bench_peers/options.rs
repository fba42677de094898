use std::path::PathBuf;

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Options {
    /// Rounds.
    pub(super) runs: u32,
    /// Captures to use in place of generated ones.
    pub(super) captures: Vec<PathBuf>,
    /// Whether captures that are there already are written anew.
    pub(super) generate: bool,
}

pub(super) const USAGE: &str = "\
usage: cargo xtask bench-peers [--runs N] [--capture FILE...] [--generate]

  --runs N            rounds, each of which runs every program once; 5 otherwise
  --capture FILE...   use mix.pcap, http.pcap, bulk.pcap, tiny.pcap or dns.pcap from elsewhere;
                      what needs another one is left out
  --generate          write the captures anew, even if they are there";

impl Options {
    pub(super) fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Self { runs: 5, captures: Vec::new(), generate: false };
        let mut words = arguments.iter().copied().peekable();
        while let Some(word) = words.next() {
            match word {
                "--runs" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    let number = number.filter(|&number| number > 0);
                    options.runs = number.ok_or(format!("--runs wants a number\n\n{USAGE}"))?;
                }
                "--capture" => {
                    let before = options.captures.len();
                    while let Some(file) = words.next_if(|word| !word.starts_with("--")) {
                        options.captures.push(file.into());
                    }
                    if options.captures.len() == before {
                        return Err(format!("--capture wants a file\n\n{USAGE}"));
                    }
                }
                "--generate" => options.generate = true,
                _ => return Err(format!("unknown argument: {word}\n\n{USAGE}")),
            }
        }
        if options.generate && !options.captures.is_empty() {
            return Err(format!("--generate and --capture exclude each other\n\n{USAGE}"));
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(arguments: &str, expected: Option<(u32, &[&str], bool)>) {
        let words: Vec<_> = arguments.split_whitespace().collect();
        let expected = expected.map(|(runs, captures, generate)| Options {
            runs,
            captures: captures.iter().map(PathBuf::from).collect(),
            generate,
        });
        assert_eq!(Options::parse(&words).ok(), expected);
    }

    #[test]
    fn arguments() {
        check("", Some((5, &[], false)));
        check("--runs 3 --generate", Some((3, &[], true)));
        check("--capture a.pcap b.pcap --runs 1", Some((1, &["a.pcap", "b.pcap"], false)));
        check("--capture a.pcap --capture b.pcap", Some((5, &["a.pcap", "b.pcap"], false)));
    }

    #[test]
    fn wrong_arguments() {
        check("--runs", None);
        check("--runs 0", None);
        check("--runs many", None);
        check("--capture", None);
        check("--capture --generate", None);
        check("--capture a.pcap --generate", None);
        check("a.pcap", None);
    }
}
