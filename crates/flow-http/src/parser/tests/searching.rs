use super::*;

/// What comes behind a gap in what the server sent, in pieces of one byte, of three, and whole.
fn check(bytes: impl AsRef<[u8]>, expected: &[&str]) {
    let bytes = bytes.as_ref();
    for step in [1, 3, bytes.len()] {
        Connection::new()
            .lose(S, 9, GapAction::Resync)
            .send_by(step, S, bytes)
            .close(EndReason::EndOfInput)
            .check(expected);
    }
}

#[test]
fn start_lines_are_found_at_the_beginning_of_lines() {
    check(OK, &["200 \"ok\", after gap"]);
    check(format!("x\n{OK}"), &["200 \"ok\", after gap"]);
    check(format!("\r\n\r\n{GET}"), &["GET /a, after gap"]);
    check("x\r\nCCM_POST /b HTTP/1.1\r\n\r\n", &["CCM_POST /b, after gap"]);
    check("HTTP/1.1 200 OK", &[]);
}

#[test]
fn status_lines_are_found_inside_of_lines() {
    check(format!("{{\"a\":1}}{OK}"), &["200 \"ok\", after gap"]);
    check(format!("\u{ff}\0\x01 x{OK}"), &["200 \"ok\", after gap"]);
    check(format!("HTTP/1.1 HTTP/HTTP/1.1 20{OK}"), &["200 \"ok\", after gap"]);
}

#[test]
fn request_lines_are_found_inside_of_lines() {
    for (before, method) in [("a=b&c=d", "POST"), ("{}", "UNLINK"), ("\0\x01", "GET")] {
        let request = format!("{before}{method} /x HTTP/1.1\r\n\r\n");
        check(request, &[&format!("{method} /x, after gap")]);
    }
    check("abcPOST /x HTTP/1.1\r\n\r\n", &["POST /x, after gap"]);
    check("}CONNECT h:1 HTTP/1.1\r\n\r\n", &["CONNECT h:1, after gap"]);
    check("}FETCH /x HTTP/1.1\r\n\r\n", &[]);
    check("}GET x HTTP/1.1\r\n\r\n", &[]);
}

#[test]
fn a_message_is_of_the_packet_that_begins_with_it() {
    let connection = Connection::new().lose(S, 9, GapAction::Resync).send(S, "HTTP/1.1 10");
    let connection = connection.send(S, OK).check(&["200 \"ok\", after gap"]);
    let found = &connection.found[0];
    assert_eq!((found.range.start, found.first_packet), (20, 3));
}

#[test]
fn quoted_start_lines_are_passed_over() {
    let quoted = "GET / HTTP/1.1\nis a request,\nHTTP/1.1 200 OK\nand this its answer\n";
    check(format!("{quoted}{OK}"), &["200 \"ok\", after gap"]);
    check(format!("GET / HTTP/1.1\n{OK}"), &["200 \"ok\", after gap"]);
    check(format!("GET / HTTP/1.1\nA: b\n\0: c\n\n{OK}"), &["200 \"ok\", after gap"]);
}

#[test]
fn malformed_lines_and_those_of_http09_are_not_searched_for() {
    check("GET / HTTP/1.\r\n\r\n", &[]);
    check("GET /\r\n", &[]);
}

#[test]
fn a_line_that_fills_the_limit_stands_by_itself() {
    let line = "\0".repeat(28) + "CONNECT h:1 HTTP/1.1\r\n";
    for step in [1, line.len()] {
        let connection = Connection::with(|config| config.max_buffer = line.len())
            .send(C, "GET")
            .send_by(step, C, &line)
            .send(C, "\r\n")
            .check(&["CONNECT h:1, after gap"]);
        assert_eq!(connection.found[0].range, 31..55);
    }
}

#[test]
fn lines_are_searched_up_to_their_limit() {
    let line = |len: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(len - 16));
    let max = 8 * 1024;
    for (len, expected) in [(max, &["GET"][..]), (max + 1, &[])] {
        for step in [1, 1_000, usize::MAX] {
            let connection = Connection::new()
                .lose(C, 9, GapAction::Resync)
                .send_by(step, C, line(len))
                .send_by(step, C, "\r\n");
            let methods: Vec<_> = connection
                .found
                .iter()
                .map(|found| match &found.message {
                    HttpMessage::Request(request) => request.method.as_str(),
                    _ => panic!("a request"),
                })
                .collect();
            assert_eq!(methods, expected);
        }
    }
}

#[test]
fn a_line_without_end_costs_little() {
    let mut connection = Connection::new().send(C, GET).lose(S, 9, GapAction::Resync);
    for piece in [[b'x'; 1_400], [b' '; 1_400], [0xff; 1_400]].into_iter().cycle().take(5_000) {
        connection = connection.send(S, piece);
        assert!(connection.parser.side(S).buffered_bytes() <= 4 * 8 * 1024);
    }
    connection.send(S, OK).check(&["GET /a", "200 to GET /a \"ok\", after gap"]);
}

#[test]
fn the_packet_of_a_message_that_was_found_is_exact() {
    let connection = Connection::new()
        .lose(S, 9, GapAction::Resync)
        .send(S, "some text")
        .send(S, "}HTTP/1.1 2")
        .send(S, "04 No\r\n\r\n")
        .check(&["204, after gap"]);
    assert_eq!((connection.found[0].first_packet, connection.found[0].range.start), (3, 19));
}
