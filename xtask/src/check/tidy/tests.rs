use super::*;

const LIBRARY: &str = "crates/flow-core/src/table.rs";

#[track_caller]
fn check_file(path: &str, text: &str, expected: &[&str]) {
    let found: Vec<_> = check(path, text.as_bytes()).iter().map(Finding::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn finished_work_passes() {
    check_file(LIBRARY, "fn f(x: Option<u8>) -> u8 {\n    x.unwrap_or_default()\n}\n", &[]);
}

#[test]
fn unfinished_work_is_found_everywhere() {
    for word in UNFINISHED {
        let found =
            check("examples/src/http.rs", format!("fn f() {{\n    {word}\n}}\n").as_bytes());
        let lines: Vec<_> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2], "{word}");
    }
}

#[test]
fn every_kind_of_panic_is_found() {
    for word in PANICS {
        let text = format!("fn f() {{\n    x{word}\n}}\n");
        let message =
            format!("{LIBRARY}:2: `{word}` without `// Infallible: why` on it or above it");
        check_file(LIBRARY, &text, &[&message]);
    }
}

#[test]
fn a_panic_with_its_reason_passes() {
    check_file(LIBRARY, "    // Infallible: four bytes.\n    x.unwrap()\n", &[]);
    check_file(LIBRARY, "    // Infallible: four bytes,\n    // always.\n    x.unwrap()\n", &[]);
    check_file(LIBRARY, "    x.unwrap() // Infallible: four bytes.\n", &[]);
    let found = check(LIBRARY, b"    // Infallible: four bytes.\n    f();\n    x.unwrap()\n");
    assert_eq!(found.len(), 1, "the reason belongs to another line");
}

#[test]
fn panics_in_tests_and_examples_pass() {
    check_file(LIBRARY, "/// ```\n/// f().unwrap();\n/// ```\nfn f() {}\n", &[]);
    check_file(
        LIBRARY,
        "#[cfg(test)]\nmod tests {\n    fn f() {\n        x.unwrap()\n    }\n}\n",
        &[],
    );
    check_file("crates/flow-core/src/table/tests.rs", "x.unwrap()\n", &[]);
    check_file("crates/flow-core/tests/table.rs", "x.unwrap()\n", &[]);
    check_file("examples/src/http.rs", "x.unwrap()\n", &[]);
}

#[test]
fn what_follows_a_test_module_is_no_test() {
    for tests in ["#[cfg(test)]\nmod tests;\n", "#[cfg(test)]\nmod tests {\n    fn f() {}\n}\n"] {
        let found = check(LIBRARY, format!("{tests}\nfn f() {{\n    x.unwrap()\n}}\n").as_bytes());
        assert_eq!(found.len(), 1, "{tests}");
    }
}

#[test]
fn clocks_are_found_below_tokio_only() {
    for clock in CLOCKS {
        let text = format!("fn f() {{\n    let now = {clock}();\n}}\n");
        assert_eq!(check(LIBRARY, text.as_bytes()).len(), 1, "{clock}");
        check_file("crates/flow-tokio/src/stream.rs", &text, &[]);
        check_file(LIBRARY, &format!("/// Not {clock}.\n"), &[]);
    }
}

#[test]
fn lengths_have_limits() {
    let lines = |n| "// a line\n".repeat(n);
    check_file(LIBRARY, &lines(700), &[]);
    check_file(LIBRARY, &lines(701), &[&format!("{LIBRARY}: 701 lines; 700 at most")]);
    let library = "crates/flow-core/src/lib.rs";
    check_file(library, &lines(150), &[]);
    check_file(library, &lines(151), &[&format!("{library}: 151 lines; 150 at most")]);
    let tests = "crates/flow-core/src/tests.rs";
    check_file(tests, &lines(1000), &[]);
    check_file(tests, &lines(1001), &[&format!("{tests}: 1001 lines; 1000 at most")]);
}

#[test]
fn large_files_are_found_whatever_they_hold() {
    let found = check("fixtures/large.pcap", &[0xff; 1_000_001]);
    assert_eq!(found, [Finding::new("fixtures/large.pcap", 0, "1000001 bytes; 1000000 at most")]);
    assert_eq!(check("fixtures/fits.pcap", &[0xff; 1_000_000]), []);
}

#[test]
fn paths_of_one_machine_are_found() {
    for folder in MACHINE_FOLDERS {
        for before in ["", "see ", "\"", "(", "=", "`"] {
            let text = format!("text\n{before}/{folder}/x\n");
            check_file("docs/a.md", &text, &["docs/a.md:2: path of one machine"]);
        }
        check_file("docs/a.md", &format!("crates/{folder}/x\n"), &[]);
    }
}
