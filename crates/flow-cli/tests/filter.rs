//! `--filter`, in builds that have it and in those that do not.
#![allow(clippy::unwrap_used, reason = "code of tests")]

mod common;

use common::{fixture, flow};

#[cfg(not(feature = "filter"))]
#[test]
fn build_without_filters_says_so() {
    let output = flow(&["conv", "--filter", "tcp", &fixture("dns_udp.pcap")]);
    assert_eq!((output.stdout.as_str(), output.code), ("", 2));
    assert!(output.stderr.contains("--features filter"), "{}", output.stderr);
}

#[cfg(feature = "filter")]
mod built_in {
    use super::{fixture, flow};
    use crate::common::json;

    #[test]
    fn filtered_packets_are_counted_apart() {
        for expression in ["udp", "tcp", "udp src port 53", "less 70", "not ip"] {
            let file = fixture("interfaces.pcapng");
            let output = flow(&["stats", "--format", "json", "--filter", expression, &file]);
            let stats = &json(&output.stdout)[0];
            let number = |name: &str| stats[name].as_u64().unwrap();
            assert_eq!(number("packets") + number("filtered"), 12, "{expression}");
            assert_eq!(stats["accounted"]["sum"], stats["packets"], "{expression}");
            assert_eq!(stats["accounted"]["skipped"], 0, "{expression}");
        }
    }

    #[test]
    fn packets_keep_their_numbers() {
        let file = fixture("dns_udp.pcap");
        let all = json(&flow(&["log", "--format", "json", &file]).stdout);
        let output = flow(&["log", "--format", "json", "--filter", "udp dst port 53", &file]);
        let queries = json(&output.stdout);
        let expected: Vec<_> = all.iter().filter(|line| line["type"] == "query").collect();
        assert!(queries.len() > 3 && queries.len() < all.len());
        for (query, expected) in queries.iter().zip(expected) {
            assert_eq!((&query["frame"], &query["ts"]), (&expected["frame"], &expected["ts"]));
        }
    }

    /// Raw IP and Ethernet in one capture: each has a program of its own.
    #[test]
    fn every_link_type_has_its_program() {
        let conv = |expression: &str| {
            let file = fixture("interfaces.pcapng");
            let output = flow(&["conv", "--format", "json", "--filter", expression, &file]);
            assert_eq!((output.stderr.as_str(), output.code), ("", 0));
            let lines = json(&output.stdout);
            lines.iter().map(|line| line["proto"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(conv("tcp"), ["tcp"]);
        assert_eq!(conv("udp port 53"), ["udp"]);
    }

    #[test]
    fn wrong_expression_is_a_wrong_argument() {
        for expression in ["tcp portt 80", "host 300.1.1.1", "(", "\u{1}"] {
            let output = flow(&["log", "--filter", expression, "no/such/file.pcap"]);
            assert_eq!((output.stdout.as_str(), output.code), ("", 2), "{expression}");
            assert!(output.stderr.contains("--filter"), "{}", output.stderr);
        }
    }

    /// What a packet does not have cannot be asked for.
    #[test]
    fn expression_that_does_not_fit() {
        let file = fixture("raw_ip.pcap");
        let output = flow(&["conv", "--filter", "ether host 00:00:5e:00:53:01", &file]);
        assert_eq!(output.code, 1);
        let start = format!("flow: {file}: packet 1: the filter does not fit link type RAW: ");
        assert!(output.stderr.starts_with(&start), "{}", output.stderr);
    }
}
