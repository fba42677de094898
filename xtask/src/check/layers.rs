//! Which crate may use which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{Finding, output};

/// What each crate may use of ours, the layers from below. A crate that is not here may not exist;
/// [`ANY`] stands for every crate in a line above it.
const ALLOWED: &[(&str, &[&str])] = &[
    ("flow-core", &[]),
    ("flow-extract", &["flow-core"]),
    ("flow-reassembly", &["flow-core"]),
    ("flow-session", &["flow-core", "flow-reassembly"]),
    ("flow-http", &["flow-core", "flow-reassembly", "flow-session"]),
    ("flow-tls", &["flow-core", "flow-reassembly", "flow-session"]),
    ("flow-dns", &["flow-core", "flow-reassembly", "flow-session"]),
    ("flow-l7", &["flow-core", "flow-dns", "flow-http", "flow-session", "flow-tls"]),
    ("flow-pcap", &["flow-core"]),
    ("flow-live", &["flow-core"]),
    ("flow-tokio", &[ANY]),
    ("flow", &[ANY]),
    ("flow-cli", &[ANY]),
    ("flow-examples", &[ANY]),
    ("flow-benches", &[ANY]),
    // The expectations of the fixtures must not come from the code that they test.
    ("xtask", &[]),
];

const ANY: &str = "*";

/// The first crate in [`ALLOWED`] that may wait for anything.
const ASYNC_BEGINS: &str = "flow-tokio";

/// Packages that run futures or bring an event loop.
const RUNTIMES: &[&str] =
    &["async-executor", "async-io", "async-std", "glommio", "mio", "monoio", "smol", "tokio"];

/// Checks the workspace at `root`.
///
/// The edges are taken from the manifests as they stand, without resolving them: an edge that
/// makes a cycle, which cargo refuses to resolve, is named all the same, and so is an optional one.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let declared = metadata(root, &["--no-deps"])
        .map_err(|error| format!("Cargo.toml: cargo cannot read the workspace: {error}"))?;
    let mut findings = edges(&declared);
    match metadata(root, &["--all-features", "--locked"]) {
        Ok(resolved) => findings.extend(runtimes(&resolved)),
        Err(error) => {
            let error = error.lines().next().unwrap_or_default();
            let message = format!("cargo cannot resolve the workspace: {error}");
            findings.push(Finding::new("Cargo.toml", 0, message));
        }
    }
    Ok(findings)
}

fn metadata(root: &Path, arguments: &[&str]) -> Result<Value, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1"]).args(arguments).current_dir(root);
    serde_json::from_str(&output(&mut command)?).map_err(|error| error.to_string())
}

/// Edges between crates of the workspace that the table does not have.
fn edges(metadata: &Value) -> Vec<Finding> {
    let names: BTreeSet<_> = list(metadata, "packages").filter_map(name).collect();
    let mut findings = Vec::new();
    for package in list(metadata, "packages") {
        let Some(from) = name(package) else { continue };
        let manifest = format!("{}/Cargo.toml", folder(from));
        let Some(allowed) = allowed(from) else {
            let message = format!("{from} has no place in the layers (xtask/src/check/layers.rs)");
            findings.push(Finding::new(&manifest, 0, message));
            continue;
        };
        let ours = list(package, "dependencies").filter(|dependency| binds(dependency));
        for to in ours.filter_map(name).filter(|to| names.contains(to)) {
            if !allowed.contains(to) {
                let may = match &allowed.iter().copied().collect::<Vec<_>>()[..] {
                    [] => "nothing of ours".to_owned(),
                    some => some.join(", "),
                };
                let message = format!("{from} may not use {to}; it may use {may}");
                findings.push(Finding::new(&manifest, 0, message));
            }
        }
    }
    findings
}

/// Whether a dependency is more than one of tests.
fn binds(dependency: &Value) -> bool {
    dependency["kind"].as_str() != Some("dev")
}

fn allowed(from: &str) -> Option<BTreeSet<&'static str>> {
    let at = ALLOWED.iter().position(|(name, _)| *name == from)?;
    let above = ALLOWED[..at].iter().map(|(name, _)| *name);
    match ALLOWED[at].1 {
        [ANY] => Some(above.collect()),
        some => Some(some.iter().copied().collect()),
    }
}

fn folder(package: &str) -> String {
    match package {
        "flow-examples" => "examples".into(),
        "flow-benches" => "benches".into(),
        "xtask" => "xtask".into(),
        _ => format!("crates/{package}"),
    }
}

/// Runtimes that a crate below `flow-tokio` pulls in, by whatever way.
fn runtimes(metadata: &Value) -> Vec<Finding> {
    let packages = list(metadata, "packages");
    let names: BTreeMap<_, _> =
        packages.filter_map(|package| Some((package["id"].as_str()?, name(package)?))).collect();
    let uses: BTreeMap<_, BTreeSet<_>> = list(&metadata["resolve"], "nodes")
        .filter_map(|node| {
            let normal = list(node, "deps")
                .filter(|dep| list(dep, "dep_kinds").any(|kind| kind["kind"].is_null()));
            Some((node["id"].as_str()?, normal.filter_map(|dep| dep["pkg"].as_str()).collect()))
        })
        .collect();
    let sync = ALLOWED.iter().map(|(name, _)| *name).take_while(|name| *name != ASYNC_BEGINS);
    let mut findings = Vec::new();
    for from in sync {
        let Some(id) = members(metadata).find(|id| names.get(id) == Some(&from)) else { continue };
        if let Some(path) = way_to_runtime(id, &uses, &names) {
            let message = format!("{from} pulls in a runtime: {}", path.join(" -> "));
            findings.push(Finding::new(&format!("{}/Cargo.toml", folder(from)), 0, message));
        }
    }
    findings
}

/// The names from `start` to a runtime, if there is a way.
fn way_to_runtime<'a>(
    start: &'a str,
    uses: &BTreeMap<&'a str, BTreeSet<&'a str>>,
    names: &BTreeMap<&'a str, &'a str>,
) -> Option<Vec<&'a str>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::from([start]);
    while let Some(way) = ways.pop() {
        let last = way.last()?;
        for &next in uses.get(last).into_iter().flatten() {
            if seen.insert(next) {
                let way = [&way[..], &[next]].concat();
                if names.get(next).is_some_and(|name| RUNTIMES.contains(name)) {
                    return Some(way.iter().filter_map(|id| names.get(id).copied()).collect());
                }
                ways.push(way);
            }
        }
    }
    None
}

fn members(metadata: &Value) -> impl Iterator<Item = &str> {
    list(metadata, "workspace_members").filter_map(Value::as_str)
}

fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value[field].as_array().into_iter().flatten()
}

fn name(value: &Value) -> Option<&str> {
    value["name"].as_str()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Name and kind.
    type Dependency = (&'static str, Option<&'static str>);

    /// Metadata of packages with their dependencies.
    fn packages(packages: &[(&str, &[Dependency])]) -> Value {
        let packages: Vec<_> = packages
            .iter()
            .map(|(name, uses)| {
                let uses = uses.iter().map(|(name, kind)| json!({ "name": name, "kind": kind }));
                json!({ "name": name, "dependencies": uses.collect::<Vec<_>>() })
            })
            .collect();
        json!({ "packages": packages })
    }

    #[track_caller]
    fn check_edges(given: &[(&str, &[Dependency])], expected: &[&str]) {
        let found: Vec<_> = edges(&packages(given)).iter().map(Finding::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn downward_edges_are_allowed() {
        check_edges(
            &[
                ("flow-core", &[("hashbrown", None)]),
                ("flow-extract", &[("flow-core", None)]),
                ("flow-cli", &[("flow-core", None), ("flow-extract", None)]),
            ],
            &[],
        );
    }

    #[test]
    fn an_upward_edge_is_named_with_what_is_allowed() {
        check_edges(
            &[
                ("flow-core", &[("flow-http", None)]),
                ("flow-http", &[("flow-core", None)]),
                ("flow-reassembly", &[("flow-http", Some("build"))]),
            ],
            &[
                "crates/flow-core/Cargo.toml: \
                 flow-core may not use flow-http; it may use nothing of ours",
                "crates/flow-reassembly/Cargo.toml: \
                 flow-reassembly may not use flow-http; it may use flow-core",
            ],
        );
    }

    #[test]
    fn a_sideways_edge_is_an_upward_one() {
        check_edges(
            &[("flow-tls", &[("flow-http", None)]), ("flow-http", &[])],
            &["crates/flow-tls/Cargo.toml: \
               flow-tls may not use flow-http; it may use flow-core, flow-reassembly, flow-session"],
        );
    }

    #[test]
    fn tests_may_use_anything() {
        check_edges(&[("flow-core", &[("flow-pcap", Some("dev"))]), ("flow-pcap", &[])], &[]);
    }

    #[test]
    fn a_crate_without_a_place_is_named() {
        check_edges(
            &[("flow-surprise", &[])],
            &["crates/flow-surprise/Cargo.toml: \
               flow-surprise has no place in the layers (xtask/src/check/layers.rs)"],
        );
    }

    #[test]
    fn a_runtime_behind_a_third_party_crate_is_found() {
        let node = |id: &str, uses: &[Dependency]| {
            let deps =
                uses.iter().map(|(id, kind)| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] }));
            json!({ "id": id, "deps": deps.collect::<Vec<_>>() })
        };
        let package = |name: &str| json!({ "id": name, "name": name });
        let packages = ["flow-core", "flow-extract", "flow-tokio", "net", "tokio"].map(package);
        let metadata = json!({
            "packages": packages,
            "workspace_members": ["flow-core", "flow-extract", "flow-tokio"],
            "resolve": { "nodes": [
                node("flow-core", &[("tokio", Some("dev"))]),
                node("flow-extract", &[("flow-core", None), ("net", None)]),
                node("flow-tokio", &[("tokio", None)]),
                node("net", &[("tokio", None)]),
            ] },
        });
        let found: Vec<_> = runtimes(&metadata).iter().map(Finding::to_string).collect();
        let expected = "crates/flow-extract/Cargo.toml: \
                        flow-extract pulls in a runtime: flow-extract -> net -> tokio";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn this_workspace_keeps_its_layers() {
        assert_eq!(check(&crate::root()).expect("metadata"), []);
    }
}
