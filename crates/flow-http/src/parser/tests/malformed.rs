use super::*;

/// A request of this line, with a header and its answer.
fn check(line: &str, expected: &str, version: (HttpVersion, &str)) {
    for step in [1, 100] {
        let connection = Connection::new()
            .send_by(step, C, format!("{line}\nHost: h\n\n"))
            .send(S, "HTTP/1.0 400 Bad\r\nContent-Length: 0\r\n\r\n")
            .check(&[expected, &format!("400 to {expected}")]);
        let HttpMessage::Request(request) = &connection.found[0].message else { panic!() };
        assert_eq!((request.version, &*request.version_text), version);
        assert_eq!(request.headers.get_str("host"), Some("h"));
        assert!(request.malformed_start_line);
    }
}

#[test]
fn requests_with_a_broken_version_are_requests() {
    let unknown = HttpVersion::HTTP_10;
    check("GET / HTTP/1.", "GET /", (unknown, "HTTP/1."));
    check("GET /HTTP/1.1", "GET /HTTP/1.1", (unknown, ""));
    check("OPTIONS HTTP/1.1", "OPTIONS HTTP/1.1", (unknown, ""));
    check("OPTIONS  HTTP/1.1", "OPTIONS ", (HttpVersion::HTTP_11, "HTTP/1.1"));
    check("POST / HTTP/2.0", "POST /", (HttpVersion { major: 2, minor: 0 }, "HTTP/2.0"));
}

#[test]
fn the_version_is_kept_as_sent() {
    for (line, version, text) in [
        ("GET / HTTP/1.1", HttpVersion::HTTP_11, "HTTP/1.1"),
        ("GET /  HTTP/1.0 ", HttpVersion::HTTP_10, "HTTP/1.0"),
        ("GET /", HttpVersion::HTTP_09, ""),
    ] {
        let connection = Connection::new().send(C, format!("{line}\r\n\r\n"));
        let HttpMessage::Request(request) = &connection.found[0].message else { panic!() };
        assert_eq!((request.version, &*request.version_text), (version, text));
        assert!(!request.malformed_start_line);
    }
}

#[test]
fn other_text_protocols_are_none() {
    for greeting in [
        "OPTIONS sip:bob@example.com SIP/2.0\r\nTo: bob\r\n\r\n",
        "OPTIONS rtsp://host/ RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        "OPTIONS icap://host/x ICAP/1.0\r\nHost: h\r\n\r\n",
        "CONNECT\naccept-version:1.2\nhost:h\n\n\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET key\r\n",
        "POST\r\n",
    ] {
        let connection = Connection::new().send(C, greeting).send(S, "-ERR no\r\n").check(&[]);
        assert!(connection.parser.is_not_http());
    }
}
