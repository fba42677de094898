use super::*;

/// Sends `bytes` over and over, up to `len` bytes in all, and says how much was ever kept.
fn flood(
    mut connection: Connection,
    side: FlowSide,
    bytes: &[u8],
    len: usize,
) -> (Connection, usize) {
    let (mut sent, mut most) = (0, 0);
    while sent < len {
        if !connection.parser.wants(side) {
            break;
        }
        connection = connection.send(side, bytes);
        connection.found.clear();
        sent += bytes.len();
        most = most.max(connection.parser.buffered_bytes());
    }
    (connection, most)
}

/// What a `Vec` that grows may hold beyond what is in it.
const SLACK: usize = 2;

#[test]
fn heads_without_end() {
    let max = HttpConfig::default().max_buffer;
    for line in [&b"A: b\r\n"[..], b"x", b" y\r\n", b"\xff\r\n"] {
        let start = Connection::new().send(C, "GET / HTTP/1.1\r\n");
        let (connection, most) = flood(start, C, &line.repeat(500), 4 * max);
        assert!(most <= SLACK * max, "{most}");
        connection
            .fin(S)
            .check_poison(Some(&format!("head is too long (at byte {max} of the initiator)")));
    }
}

#[test]
fn more_headers_than_are_kept() {
    for count in [64, 65] {
        let lines = "A: b\r\n".repeat(count);
        let connection = Connection::new().send(C, format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        let headers = connection.found[0].message.headers().expect("headers");
        assert_eq!((headers.len(), headers.omitted() as usize), (64, count - 64));
    }
}

#[test]
fn start_lines() {
    for step in [1, 7, usize::MAX] {
        let small = || Connection::with(|config| config.max_buffer = 64);
        let line = |len: usize| format!("GET /{} HTTP/1.1\r\n", "x".repeat(len - 16));
        let path = format!("GET /{}, part, cut", "x".repeat(48));
        small().send_by(step, C, line(64)).send_by(step, C, "\r\n").check(&[&path]);
        small().send_by(step, C, line(65)).send_by(step, C, "\r\n").check(&[]);
    }
}

#[test]
fn searches_while_nothing_is_known_to_be_http() {
    for (junk, found) in [(83, &["200 \"ok\", after gap"][..]), (84, &[])] {
        for step in [1, 7, usize::MAX] {
            Connection::with(|config| config.max_search = 100)
                .send_by(step, S, [0xff; 99].split_at(junk).0)
                .send_by(step, S, OK)
                .check(found);
        }
    }
}

#[test]
fn sides_of_which_nothing_is_known() {
    for (junk, wanted) in [(200, true), (201, false)] {
        for step in [1, 7, usize::MAX] {
            let set =
                |config: &mut HttpConfig| (config.max_search, config.max_unknown) = (100, 200);
            let connection = Connection::with(set).send_by(step, S, [0xff; 201].split_at(junk).0);
            let found = if wanted {
                &["GET /a", "200 to GET /a \"ok\", after gap"][..]
            } else {
                &["GET /a"]
            };
            connection.check_wants(true, wanted).send(C, GET).send_by(step, S, OK).check(found);
        }
    }
}

#[test]
fn start_lines_without_end() {
    let max = HttpConfig::default().max_buffer;
    let (connection, most) = flood(Connection::new().send(C, "GET /"), C, &[b'x'; 999], 4 * max);
    assert!((max / 2..=SLACK * max).contains(&most), "{most}");
    // Too long for a start line: what follows is searched, and little of that is kept.
    assert!(connection.parser.buffered_bytes() <= 4 * 8 * 1024);
}

#[test]
fn chunk_size_lines() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let max = HttpConfig::default().max_chunk_line;
    for (len, reason) in [(max, None), (max + 1, Some("chunk-size line is too long"))] {
        for step in [1, 7, usize::MAX] {
            let line = format!("{head}1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(len - 3));
            let connection = Connection::new().send(C, GET).send_by(step, S, line);
            let reason = reason
                .map(|reason| format!("{reason} (at byte {} of the responder)", head.len() + max));
            connection.check_poison(reason.as_deref());
        }
    }
    let (connection, most) = flood(
        Connection::new().send(C, GET).send(S, head).send(S, "1;"),
        S,
        &[b'x'; 999],
        10 * max,
    );
    assert!(most <= 4 * 1024, "{most}");
    assert!(connection.parser.is_poisoned());
}

#[test]
fn trailers_without_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    let max = HttpConfig::default().max_trailers;
    let start = Connection::new().send(C, GET).send(S, head);
    let (connection, most) = flood(start, S, &b"A: b\r\n".repeat(99), 4 * max);
    assert!(most <= SLACK * max + 4 * 1024, "{most}");
    connection.check_poison(Some(&format!(
        "trailer section is too long (at byte {} of the responder)",
        head.len() + max
    )));
}

#[test]
fn requests_without_answers() {
    let max = HttpConfig::default().max_pending_requests;
    let pipelined = GET.repeat(1_000);
    let (connection, most) =
        flood(Connection::new(), C, pipelined.as_bytes(), 1_000 * pipelined.len());
    assert!(most <= 256 * 1024, "{most}");
    let mut connection = connection.send(S, OK.repeat(max + 1));
    let last = connection.found.split_off(max - 1);
    let asked = |parsed: &Parsed<HttpMessage>| match &parsed.message {
        HttpMessage::Response(response) => response.request_method.is_some(),
        _ => panic!("a response"),
    };
    assert_eq!(last.iter().map(asked).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn tiny_chunks() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let chunks = "1\r\nx\r\n".repeat(1_000);
    let mut connection = Connection::new().send(C, GET).send(S, head);
    for _ in 0..1_000 {
        connection = connection.send(S, &chunks);
        assert!(connection.parser.buffered_bytes() <= 3 << 20);
    }
    let connection = connection.send(S, "0\r\n\r\n");
    let HttpMessage::Response(response) = &connection.found[1].message else { panic!() };
    assert_eq!(
        (response.body_len, response.body.len(), response.body_complete),
        (1_000_000, 1_000_000, true)
    );
}
