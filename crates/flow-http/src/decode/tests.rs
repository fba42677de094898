use std::io::Write;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::*;
use crate::{HttpMessage, HttpParser};
use flow_session::SessionParser;

const CODINGS: [&str; 5] = ["gzip", "deflate", "raw", "br", "zstd"];

/// Encodes with `coding`, where `raw` is `deflate` without the format of zlib.
fn encode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    fn written<W: Write>(mut to: W, bytes: &[u8], end: impl FnOnce(W) -> Vec<u8>) -> Vec<u8> {
        to.write_all(bytes).unwrap();
        end(to)
    }
    let level = Compression::default();
    match coding {
        "gzip" => written(GzEncoder::new(vec![], level), bytes, |to| to.finish().unwrap()),
        "deflate" => written(ZlibEncoder::new(vec![], level), bytes, |to| to.finish().unwrap()),
        "raw" => written(DeflateEncoder::new(vec![], level), bytes, |to| to.finish().unwrap()),
        "br" => written(
            brotli::CompressorWriter::new(vec![], 4096, 9, 22),
            bytes,
            brotli::CompressorWriter::into_inner,
        ),
        "zstd" => zstd::encode_all(bytes, 3).unwrap(),
        other => panic!("{other}"),
    }
}

/// A response with a body of these codings.
fn response(codings: &str, body: &[u8]) -> HttpResponse {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {}\r\nContent-Length: {}\r\n\r\n",
        codings.replace("raw", "deflate"),
        body.len(),
    );
    let bytes = [head.as_bytes(), body].concat();
    match HttpParser::default().feed_responder(&bytes).pop() {
        Some(HttpMessage::Response(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn check(codings: &str, body: &[u8], expected: Result<(&[u8], bool), DecodeErrorKind>) {
    let decoded = response(codings, body).decoded_body(1 << 20);
    let decoded = decoded.as_ref().map(|body| (&body.bytes[..], body.complete));
    assert_eq!(decoded.map_err(|error| error.kind), expected, "{codings}");
}

/// Text that has something to compress.
fn text(len: usize) -> Vec<u8> {
    (0..).flat_map(|i: usize| format!("line {} ", i * i % 1_000).into_bytes()).take(len).collect()
}

#[test]
fn bodies_are_decoded() {
    for len in [0, 1, 100, 300_000] {
        let text = text(len);
        for coding in CODINGS {
            check(coding, &encode(coding, &text), Ok((&text, true)));
        }
    }
    check("identity, ", b"as is", Ok((b"as is", true)));
    check("X-GZIP", &encode("gzip", b"abc"), Ok((b"abc", true)));
    check("gzip", b"", Ok((b"", true)));
}

#[test]
fn several_codings_are_taken_off_from_the_last_on() {
    let text = text(50_000);
    for first in CODINGS {
        for second in CODINGS {
            let body = encode(second, &encode(first, &text));
            check(&format!("{first}, {second}"), &body, Ok((&text, true)));
        }
    }
    let five = (0..5).fold(text.clone(), |body, _| encode("gzip", &body));
    check("gzip, gzip, gzip, gzip, gzip", &five, Ok((&text, true)));
    let six = "gzip, gzip, gzip, gzip, gzip, gzip";
    check(six, &five, Err(DecodeErrorKind::TooManyCodings));
    check("gzip, compress", &five, Err(DecodeErrorKind::UnknownCoding));
}

#[test]
fn members_and_frames_follow_each_other() {
    for coding in ["gzip", "zstd"] {
        let body = [encode(coding, b"one "), encode(coding, b"two")].concat();
        check(coding, &body, Ok((b"one two", true)));
    }
    let padded = [&encode("gzip", b"one")[..], &[0; 9]].concat();
    check("gzip", &padded, Ok((b"one", true)));
}

#[test]
fn gzip_headers_have_optional_parts() {
    let plain = encode("gzip", b"abc");
    let mut body = vec![0x1f, 0x8b, 8, 0x1f, 0, 0, 0, 0, 0, 3];
    body.extend(b"\x03\0xyzname\0comment\0cc");
    body.extend(&plain[10..]);
    check("gzip", &body, Ok((b"abc", true)));
    body[10] = 0;
    body.drain(12..15);
    check("gzip", &body, Ok((b"abc", true)));
}

#[test]
fn a_truncated_body_gives_what_there_is() {
    let text = text(3_000);
    for coding in CODINGS {
        let body = encode(coding, &text);
        let mut longest = 0;
        for len in 1..body.len() {
            let decoded = response(coding, &body[..len]).decoded_body(1 << 20).unwrap();
            assert!(text.starts_with(&decoded.bytes), "{coding} cut at {len}");
            assert!(!decoded.complete, "{coding} cut at {len}");
            longest = longest.max(decoded.bytes.len());
        }
        assert!(longest > 0 || coding == "zstd", "{coding}");
    }
}

#[test]
fn broken_bodies_are_told() {
    for coding in CODINGS {
        check(coding, &[0xff; 100], Err(DecodeErrorKind::Invalid));
    }
    let mut body = encode("gzip", b"abc");
    let crc = body.len() - 8;
    body[crc] ^= 1;
    let error = response("gzip", &body).decoded_body(9).unwrap_err();
    let expected = DecodeError {
        kind: DecodeErrorKind::Checksum,
        coding: Some(ContentCoding::Gzip),
        offset: body.len() as u64 - 1,
        decoded: Bytes::from_static(b"abc"),
    };
    assert_eq!(error, expected);
    assert_eq!(
        error.to_string(),
        format!("checksum of the decoded body is wrong (gzip, at byte {})", body.len() - 1)
    );
}

#[test]
fn what_comes_before_the_broken_part_is_kept() {
    let word = |i: u32| format!("{:x} ", i.wrapping_mul(2_654_435_761) >> 12).into_bytes();
    let text: Vec<_> = (0..60_000).flat_map(word).collect();
    // The others have no checksum here, and may take other bytes for theirs.
    for coding in ["gzip", "deflate"] {
        let mut body = encode(coding, &text);
        let middle = body.len() / 2;
        body[middle..middle + 500].fill(0xa5);
        let error = response(coding, &body).decoded_body(1 << 20).expect_err(coding);
        assert!(error.decoded.len() >= 100_000, "{coding}: {}", error.decoded.len());
        assert!(text.starts_with(&error.decoded[..100_000]), "{coding}");
    }
}

#[test]
fn bombs_are_stopped_at_the_limit() {
    let zeros = vec![0; 20 << 20];
    for coding in CODINGS {
        let bomb = encode(coding, &zeros);
        for (codings, bomb) in
            [(coding.to_owned(), bomb.clone()), (format!("{coding}, gzip"), encode("gzip", &bomb))]
        {
            let error = response(&codings, &bomb).decoded_body(1_000_000).unwrap_err();
            assert_eq!(error.kind, DecodeErrorKind::OutputLimit, "{codings}");
            assert_eq!(error.decoded.len(), 1_000_000, "{codings}");
            let whole = response(&codings, &bomb).decoded_body(zeros.len()).unwrap();
            assert_eq!((whole.bytes.len(), whole.complete), (zeros.len(), true), "{codings}");
        }
    }
}

#[test]
fn windows_are_bounded() {
    let mut encoder = zstd::Encoder::new(vec![], 1).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&[0; 99]).unwrap();
    let body = encoder.finish().unwrap();
    check("zstd", &body, Err(DecodeErrorKind::WindowTooLarge));
}

#[test]
fn nothing_is_decoded_behind_an_error() {
    let headers = response("gzip", b"").headers;
    let mut decoder = ContentDecoder::new(&headers, 100).unwrap();
    assert_eq!(decoder.decode(b"no").unwrap_err().kind, DecodeErrorKind::Invalid);
    assert_eq!(decoder.decode(b"more").unwrap_err().kind, DecodeErrorKind::Failed);
    assert!(!decoder.is_complete());
}

proptest! {
    #[test]
    fn pieces_change_nothing(
        text in proptest::collection::vec(0..4u8, 0..3_000),
        coding in prop::sample::select(CODINGS.to_vec()),
        steps in proptest::collection::vec(1..50usize, 1..9),
    ) {
        let body = encode(coding, &text);
        let headers = response(coding, b"").headers;
        let mut decoder = ContentDecoder::new(&headers, text.len()).unwrap();
        let (mut decoded, mut rest, mut steps) = (vec![], &body[..], steps.iter().cycle());
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(*steps.next().unwrap()));
            decoded.extend(decoder.decode(piece).unwrap());
            rest = more;
        }
        prop_assert_eq!(decoded, text);
        prop_assert!(decoder.is_complete());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec((0..300usize, any::<u8>()), 0..4),
        coding in prop::sample::select(CODINGS.to_vec()),
        encoded in any::<bool>(),
    ) {
        let mut body = if encoded { encode(coding, &bytes) } else { bytes };
        for (at, value) in flips {
            if let Some(byte) = body.get_mut(at) {
                *byte ^= value;
            }
        }
        match response(coding, &body).decoded_body(1_000) {
            Ok(decoded) => prop_assert!(decoded.bytes.len() <= 1_000),
            Err(error) => prop_assert!(error.decoded.len() <= 1_000),
        }
    }
}
