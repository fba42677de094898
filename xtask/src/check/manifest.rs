//! Rules for `Cargo.toml` files.

use super::Finding;

/// Checks one file, given the workspace's own manifest; others than manifests pass.
pub(super) fn check(path: &str, bytes: &[u8], workspace: &str) -> Vec<Finding> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    match path {
        "Cargo.toml" => reasons(path, text),
        _ if path.ends_with("/Cargo.toml") => fields(path, text, workspace),
        _ => Vec::new(),
    }
}

/// Every version that the workspace picks says why the crate is there.
fn reasons(path: &str, text: &str) -> Vec<Finding> {
    section(text, "[workspace.dependencies]")
        .filter(|(_, line)| {
            let is_entry = line.contains(" = ") && !line.starts_with([' ', '#']);
            is_entry && !line.contains("path = ") && !line.contains(" # ")
        })
        .map(|(number, _)| Finding::new(path, number, "say why, in a comment behind it"))
        .collect()
}

/// What a crate's manifest must have.
fn fields(path: &str, text: &str, workspace: &str) -> Vec<Finding> {
    let has = |header: &str, start: &str| section(text, header).any(|(_, l)| l.starts_with(start));
    let lints = has("[lints]", "workspace = true") || repeats_lints(text, workspace);
    let rules = [
        (has("[package]", "description = "), "no description"),
        (has("[package]", "license"), "no license"),
        (lints, "the lints are neither those of the workspace nor a copy of them"),
    ];
    let broken = rules.into_iter().filter(|(kept, _)| !kept);
    broken.map(|(_, message)| Finding::new(path, 0, message)).collect()
}

/// Whether a manifest has every lint of the workspace. A crate that needs unsafe code for a
/// measured reason must repeat them, because a forbidden lint cannot be allowed for one function:
/// in its copy `unsafe_code` is denied.
fn repeats_lints(text: &str, workspace: &str) -> bool {
    ["rust", "clippy"].iter().all(|tool| {
        let copy = format!("[lints.{tool}]");
        let original = format!("[workspace.lints.{tool}]");
        let mut lints = section(workspace, &original).filter(|(_, line)| line.contains(" = "));
        lints.all(|(_, lint)| {
            let lint = lint.replace("unsafe_code = \"forbid\"", "unsafe_code = \"deny\"");
            section(text, &copy).any(|(_, line)| line == lint)
        })
    })
}

/// The lines of a section with their numbers.
fn section<'a>(text: &'a str, header: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let inside = numbered.skip_while(move |(_, line)| line.trim_end() != header).skip(1);
    inside.take_while(|(_, line)| !line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n\n\
                             [workspace.lints.clippy]\ntodo = \"warn\"\n";

    #[track_caller]
    fn check_manifest(path: &str, text: &str, expected: &[&str]) {
        let found = check(path, text.as_bytes(), WORKSPACE);
        assert_eq!(found.iter().map(Finding::to_string).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        check_manifest(
            "Cargo.toml",
            "[workspace.dependencies]\n\
             # Ours.\n\
             flow = { path = \"crates/flow\" }\n\
             bytes = \"1\"   # cheap shared byte strings\n\
             clap = \"4\"\n\
             \n\
             [profile.release]\n\
             lto = \"thin\"\n",
            &["Cargo.toml:5: say why, in a comment behind it"],
        );
    }

    #[test]
    fn a_bare_manifest_lacks_three_things() {
        check_manifest(
            "crates/flow/Cargo.toml",
            "[package]\nname = \"flow\"\n\n[lints.rust]\nunsafe_code = \"forbid\"\n",
            &[
                "crates/flow/Cargo.toml: no description",
                "crates/flow/Cargo.toml: no license",
                "crates/flow/Cargo.toml: the lints are neither those of the workspace nor a copy of \
                 them",
            ],
        );
    }

    const PACKAGE: &str = "[package]\ndescription = \"d\"\nlicense.workspace = true\n";

    #[test]
    fn a_full_manifest_passes() {
        let text = format!("{PACKAGE}\n[lints]\nworkspace = true\n");
        check_manifest("crates/flow/Cargo.toml", &text, &[]);
    }

    #[test]
    fn lints_may_be_repeated_to_deny_unsafe_code_but_not_left_out() {
        let rust = format!("{PACKAGE}\n[lints.rust]\nunsafe_code = \"deny\"\n");
        let copy = format!("{rust}\n[lints.clippy]\ntodo = \"warn\"\nmore = \"warn\"\n");
        check_manifest("crates/flow/Cargo.toml", &copy, &[]);
        assert_eq!(check("crates/flow/Cargo.toml", rust.as_bytes(), WORKSPACE).len(), 1);
    }
}
