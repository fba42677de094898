use super::*;

fn streaming() -> Connection {
    Connection::with(|config| config.body = BodyPolicy::Stream)
}

/// Checks what was found, with where it stands in the stream.
fn check(connection: &Connection, expected: &[(&str, u64, u64)]) {
    let found: Vec<_> = connection
        .found
        .iter()
        .map(|found| (describe(&found.message), found.range.start, found.range.end))
        .collect();
    let found: Vec<_> = found.iter().map(|(text, start, end)| (&**text, *start, *end)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_message_comes_before_its_body() {
    let connection = streaming()
        .send(C, GET)
        .send(S, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        .send(S, "abc")
        .send(S, format!("de{OK}"));
    check(
        &connection,
        &[
            ("GET /a", 0, 28),
            ("200 to GET /a, part", 0, 38),
            ("0 \"abc\"", 38, 41),
            ("3 \"de\"", 41, 43),
            ("end 5", 38, 43),
            ("200, part", 43, 81),
            ("0 \"ok\"", 81, 83),
            ("end 2", 81, 83),
        ],
    );
}

#[test]
fn messages_without_a_body_have_no_end() {
    let none = "HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    streaming().send(C, GET).send(S, none).check(&["GET /a", "204 to GET /a", "200"]);
    streaming()
        .send(C, "HEAD / HTTP/1.1\r\n\r\n")
        .send(S, OK.trim_end_matches("ok"))
        .check(&["HEAD /", "200 to HEAD /"]);
}

#[test]
fn empty_bodies_have_an_end() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n";
    let connection = streaming().send(C, GET).send(S, chunked);
    let connection = connection.check(&["GET /a", "200 to GET /a, part", "end 0"]);
    let HttpMessage::BodyEnd(end) = &connection.found[2].message else { panic!() };
    assert_eq!(end.trailers.get_str("a"), Some("b"));
    streaming().send(C, GET).send(S, "HTTP/1.0 200 OK\r\n\r\n").fin(S).check(&[
        "GET /a",
        "200 to GET /a, part",
        "end 0",
    ]);
}

#[test]
fn bodies_that_break_off_have_an_end() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab";
    let expected = ["GET /a", "200 to GET /a, part", "0 \"ab\"", "end 2, part"];
    let open = || streaming().send(C, GET).send(S, head);
    open().send(S, "!").check(&expected);
    open().close(EndReason::Rst).check(&expected);
    open().lose(S, 9, GapAction::Resync).check(&expected);
}

#[test]
fn gaps_show_in_the_offset() {
    streaming()
        .send(C, GET)
        .send(S, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        .lose(S, 5, GapAction::Resume)
        .send(S, "g")
        .check(&["GET /a", "200 to GET /a, part", "0 \"abc\"", "8 \"g\"", "end 4, part"]);
}

#[test]
fn an_answer_of_http09_is_streamed_too() {
    for step in [1, 9] {
        let connection = streaming().send(C, "GET /\r\n").send_by(step, S, "\r\nHTTP!").fin(S);
        let (mut body, mut end) = (Vec::new(), 0);
        for found in &connection.found {
            match &found.message {
                HttpMessage::BodyData(data) => body.extend_from_slice(&data.data),
                HttpMessage::BodyEnd(_) => end += 1,
                _ => {}
            }
        }
        assert_eq!((&body[..], end), (&b"\r\nHTTP!"[..], 1));
    }
}

#[test]
fn skipped_bodies_are_counted() {
    let skip = || Connection::with(|config| config.body = BodyPolicy::Skip);
    for step in [1, 100] {
        let connection =
            skip().send(C, GET).send_by(step, S, OK).check(&["GET /a", "200 to GET /a"]);
        let HttpMessage::Response(response) = &connection.found[1].message else { panic!() };
        assert_eq!((response.body_len, response.body_complete), (2, true));
    }
    let mut connection =
        skip().send(C, GET).send(S, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n");
    let before = connection.parser.buffered_bytes();
    for _ in 0..9 {
        connection = connection.send(S, [b'x'; 9_999]);
        assert_eq!(connection.parser.buffered_bytes(), before);
    }
}
