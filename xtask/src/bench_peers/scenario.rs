use std::fmt;

/// One thing to do, and the programs that do it.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Name of the capture, without extension.
    pub(super) capture: &'static str,
    /// Flows that a table may hold.
    pub(super) max_flows: u32,
    programs: &'static [Program],
}

/// A program in one of its modes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) mode: &'static str,
    /// The mode of ours that does what this peer does.
    beside: Option<&'static str>,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.mode)
    }
}

impl Scenario {
    pub(super) fn programs(&self) -> impl Iterator<Item = &'static Program> {
        self.programs.iter()
    }

    /// What a peer is compared with; `None` for ours.
    pub(super) fn counterpart(&self, peer: &Program) -> Option<&'static Program> {
        let mode = peer.beside?;
        self.programs.iter().find(|program| program.beside.is_none() && program.mode == mode)
    }
}

/// The binary of `flow-benches`.
pub(super) const OURS: &str = "whole_capture";

/// Binaries of the peers' workspace.
pub(super) const PEERS: &[&str] = &["floor", "fs22", "fs03", "lens"];

const fn ours(mode: &'static str) -> Program {
    Program { name: OURS, mode, beside: None }
}

/// A peer in a mode, and the mode of ours that does the same.
const fn peer(name: &'static str, mode: &'static str, beside: &'static str) -> Program {
    Program { name, mode, beside: Some(beside) }
}

/// What the peers' own default allows.
const FLOWS: u32 = 100_000;

/// Room for the flows of `tiny` and `dns`, so that nobody evicts.
const MANY_FLOWS: u32 = 2_000_000;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "the loop alone, on mix",
        capture: "mix",
        max_flows: FLOWS,
        programs: &[ours("iterate"), peer("floor", "iterate", "iterate")],
    },
    Scenario {
        name: "extract, on mix",
        capture: "mix",
        max_flows: FLOWS,
        programs: &[
            ours("extract"),
            ours("auto"),
            peer("floor", "etherparse", "extract"),
            peer("fs22", "extract", "extract"),
        ],
    },
    Scenario {
        name: "track, on mix",
        capture: "mix",
        max_flows: FLOWS,
        programs: &[
            ours("track"),
            ours("quiet"),
            ours("batch"),
            peer("fs22", "track", "track"),
            peer("fs22", "track-quiet", "quiet"),
        ],
    },
    Scenario {
        name: "track a million flows, on tiny",
        capture: "tiny",
        max_flows: MANY_FLOWS,
        programs: &[
            ours("track"),
            ours("quiet"),
            ours("batch"),
            peer("fs22", "track", "track"),
            peer("fs22", "track-quiet", "batch"),
        ],
    },
    Scenario {
        name: "reassemble, on mix",
        capture: "mix",
        max_flows: FLOWS,
        programs: &[
            ours("idle"),
            ours("reassemble"),
            ours("unverified"),
            peer("lens", "reassemble", "reassemble"),
            peer("fs22", "reassemble", "reassemble"),
            peer("fs22", "reassemble-ooo", "reassemble"),
        ],
    },
    Scenario {
        name: "reassemble, on bulk",
        capture: "bulk",
        max_flows: FLOWS,
        programs: &[
            ours("idle"),
            ours("reassemble"),
            ours("unverified"),
            peer("lens", "reassemble", "reassemble"),
            peer("fs22", "reassemble", "reassemble"),
        ],
    },
    Scenario {
        name: "HTTP, on http",
        capture: "http",
        max_flows: FLOWS,
        programs: &[
            ours("http"),
            ours("http-kept"),
            peer("lens", "parse", "http"),
            peer("fs22", "http", "http-kept"),
        ],
    },
    Scenario {
        name: "HTTP, TLS and DNS, on mix",
        capture: "mix",
        max_flows: FLOWS,
        programs: &[
            ours("all"),
            ours("all-kept"),
            peer("lens", "parse", "all"),
            peer("fs22", "all", "all-kept"),
        ],
    },
    Scenario {
        name: "DNS, on dns",
        capture: "dns",
        max_flows: MANY_FLOWS,
        programs: &[
            ours("all"),
            peer("lens", "parse", "all"),
            peer("fs03", "dns", "all"),
            peer("fs22", "dns", "all"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_is_built_and_has_a_counterpart() {
        for scenario in SCENARIOS {
            let peers: Vec<_> = scenario.programs().filter(|it| it.beside.is_some()).collect();
            assert!(!peers.is_empty(), "{}", scenario.name);
            for peer in peers {
                assert!(PEERS.contains(&peer.name), "{peer}");
                assert!(scenario.counterpart(peer).is_some(), "{}: {peer}", scenario.name);
            }
        }
    }

    #[test]
    fn ours_has_no_counterpart() {
        let ours = SCENARIOS[0].programs().next().expect("ours");
        assert_eq!(ours.name, OURS);
        assert_eq!(SCENARIOS[0].counterpart(ours), None);
    }
}
