//! What was measured, as a table.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::scenario::{Program, Scenario};
use super::truth::Truth;

/// The runs of one scenario.
pub(super) struct Measured {
    pub(super) scenario: &'static Scenario,
    truth: Result<Truth, String>,
    runs: BTreeMap<&'static Program, Runs>,
}

/// The runs of one program.
#[derive(Default)]
struct Runs {
    name: String,
    /// Processor time per packet in nanoseconds, by round.
    cost: BTreeMap<u32, f64>,
    /// Resident memory growth at its peak.
    memory_kib: u64,
    counts: Value,
}

impl Measured {
    /// Nothing yet. `truth` is what the capture holds, or why that is not known.
    pub(super) fn new(scenario: &'static Scenario, truth: Result<Truth, String>) -> Self {
        Self { scenario, truth, runs: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Takes the line that a program printed.
    pub(super) fn add(&mut self, program: &'static Program, round: u32, line: &Value) {
        let runs = self.runs.entry(program).or_default();
        runs.name = line["peer"].as_str().unwrap_or(program.name).to_owned();
        runs.cost.extend(line["cpu_ns_per_packet"].as_f64().map(|cost| (round, cost)));
        runs.memory_kib = runs.memory_kib.max(line["memory_kib"].as_u64().unwrap_or(0));
        runs.counts = line["counts"].clone();
    }

    fn rows(&self, out: &mut String) {
        for program in self.scenario.programs() {
            let Some(runs) = self.runs.get(program) else { continue };
            let Some(cost) = median(runs.cost.values().copied()) else { continue };
            let least = runs.cost.values().copied().fold(f64::INFINITY, f64::min);
            let most = runs.cost.values().copied().fold(0.0, f64::max);
            let ours = self.scenario.counterpart(program).and_then(|ours| self.runs.get(ours));
            let ratio = ours
                .and_then(|ours| Some(format!("{:.2} ({})", ratio(ours, runs)?, ours.name)))
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "| {} | {} | {cost:.1} ({least:.1}–{most:.1}) | {:.2} | {} | {ratio} | {} |",
                self.scenario.name,
                runs.name,
                1e3 / cost,
                runs.memory_kib.div_ceil(1024),
                found(&runs.counts),
            );
        }
    }

    /// What was delivered of the streams and what was said to be missing, beside the truth.
    fn streams(&self, out: &mut String) {
        for runs in self.scenario.programs().filter_map(|program| self.runs.get(program)) {
            let count = |name| runs.counts[name].as_u64();
            let (Some(delivered), Some(missing)) = (count("stream_bytes"), count("missing_bytes"))
            else {
                continue;
            };
            let compared = match &self.truth {
                Ok(truth) => truth.compare(&runs.name, delivered, missing),
                Err(reason) => format!("not compared with the truth: {reason}"),
            };
            let _ = writeln!(out, "{}: {compared}", self.scenario.name);
        }
    }
}

/// The whole table, and below it how true the streams are.
pub(super) fn render(all: &[Measured]) -> String {
    let mut out = String::from(
        "\n| scenario | program | ns/packet (least–most) | Mpps | MiB | ours / peer | found |\n\
         |---|---|---|---|---|---|---|\n",
    );
    all.iter().for_each(|measured| measured.rows(&mut out));
    let mut streams = String::new();
    all.iter().for_each(|measured| measured.streams(&mut streams));
    if !streams.is_empty() {
        out.push('\n');
        out.push_str(&streams);
    }
    out
}

/// Ours to the peer's, round by round, because the machine changes between rounds.
fn ratio(ours: &Runs, peer: &Runs) -> Option<f64> {
    let both = ours.cost.iter().filter_map(|(round, ours)| Some(ours / peer.cost.get(round)?));
    median(both)
}

fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<_> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    let upper = *numbers.get(middle)?;
    let lower = if numbers.len().is_multiple_of(2) { numbers.get(middle - 1) } else { None };
    Some(lower.map_or(upper, |lower| f64::midpoint(*lower, upper)))
}

/// What was found, without what was not looked for.
fn found(counts: &Value) -> String {
    let Some(counts) = counts.as_object() else { return String::new() };
    let said = |(name, count): (&String, &Value)| {
        let count = count.as_u64().filter(|&count| count > 0 && name != "sum")?;
        Some(format!("{} {}", name.replace('_', " "), thousands(count)))
    };
    counts.iter().filter_map(said).collect::<Vec<_>>().join(", ")
}

pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::scenario::SCENARIOS;
    use super::*;

    fn measured(scenario: &'static Scenario) -> Measured {
        Measured::new(scenario, Err("no such file".into()))
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(median([].into_iter()), None);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([7, 999, 1_000, 1_234_567].map(thousands), ["7", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let mut measured = measured(&SCENARIOS[0]);
        let programs: Vec<_> = measured.scenario.programs().collect();
        // The machine is slower each time; ours takes half as long throughout.
        for (round, cost) in [(1, 10.0), (2, 20.0), (3, 40.0)] {
            let line = |peer, cost| {
                json!({
                    "peer": peer, "cpu_ns_per_packet": cost, "memory_kib": 2_048,
                    "counts": {"dns_queries": 1_500, "http_requests": 0, "sum": 9},
                })
            };
            measured.add(programs[0], round, &line("flow iterate", cost));
            measured.add(programs[1], round, &line("floor iterate", 2.0 * cost));
        }
        let table = render(&[measured]);
        let rows: Vec<_> = table.lines().skip(3).collect();
        let scenario = SCENARIOS[0].name;
        assert_eq!(
            rows,
            [
                format!(
                    "| {scenario} | flow iterate | 20.0 (10.0–40.0) | 50.00 | 2 |  | dns queries 1,500 |"
                ),
                format!(
                    "| {scenario} | floor iterate | 40.0 (20.0–80.0) | 25.00 | 2 | 0.50 (flow iterate) | dns queries 1,500 |"
                ),
            ]
        );
    }

    #[test]
    fn a_peer_that_failed_has_no_row() {
        let mut measured = measured(&SCENARIOS[0]);
        assert!(measured.is_empty());
        let ours = measured.scenario.programs().next().expect("ours");
        measured.add(ours, 1, &json!({"cpu_ns_per_packet": 1.0, "counts": {}}));
        assert_eq!(render(&[measured]).lines().count(), 4);
    }

    #[test]
    fn streams_stand_beside_the_truth() {
        let find = |scenario: &&Scenario| scenario.name == "reassemble, on bulk";
        let scenario = SCENARIOS.iter().find(find).expect("it is there");
        let check = |truth, expected: &str| {
            let mut measured = Measured::new(scenario, truth);
            for program in scenario.programs() {
                // Only ours says what is missing.
                let counts = match program.mode {
                    "reassemble" if scenario.counterpart(program).is_none() => {
                        json!({"stream_bytes": 1_000, "missing_bytes": 0})
                    }
                    _ => json!({"stream_bytes": 900}),
                };
                let line = json!({"peer": "P", "cpu_ns_per_packet": 1.0, "counts": counts});
                measured.add(program, 1, &line);
            }
            let table = render(&[measured]);
            assert_eq!(table.lines().count(), 3 + scenario.programs().count() + 2);
            assert_eq!(table.lines().last(), Some(expected));
        };
        check(
            Truth::of(&json!({"tcp_stream_bytes": 1_000})),
            "reassemble, on bulk: truth: 1,000 delivered + 0 lost; P: 1,000 + 0, the same",
        );
        check(
            Err("no such file".into()),
            "reassemble, on bulk: not compared with the truth: no such file",
        );
    }
}
