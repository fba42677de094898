//! The parser as the driver runs it: what is told before the end, however that comes, and once.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "../../flow-core/tests/wire/mod.rs"]
mod wire;

use common::{ANSWER, CLIENT, CONNECT, CONNECTED, HELLO, REQUEST, SERVER, Said, name};
use flow_core::{AnomalyKind, FlowSide};
use flow_l7::L7Parser;
use flow_session::{FlowSessionDriver, PoisonPolicy, SessionEvent};
use wire::{Wire, frames};

/// What is told of a conversation, which `last` ends, in the order in which it comes.
fn told(said: &[Said<'_>], last: &str, policy: PoisonPolicy) -> Vec<String> {
    let mut driver = FlowSessionDriver::<_, L7Parser<()>>::new(Wire)
        .with_emit_anomalies(true)
        .with_poison_policy(policy);
    let (mut told, mut sent) = (Vec::new(), [0; 2]);
    let mut note = |event| match event {
        SessionEvent::Started { .. } => told.push("started".to_owned()),
        SessionEvent::Application { message, .. } => told.push(name::<()>(&message)),
        SessionEvent::Anomaly { kind, .. } => told.push(match kind {
            AnomalyKind::ProtocolViolation { reason, .. } => reason.to_owned(),
            AnomalyKind::SessionParseError { .. } => "parse error".to_owned(),
            other => format!("{other:?}"),
        }),
        SessionEvent::Closed { reason, .. } => told.push(reason.to_string()),
        _ => {}
    };
    let lines = |line: &str| frames(line, [7, 9]);
    for frame in lines("> S -1\n< SA -1 0\n> A 0 0\n") {
        driver.track(frame.view()).for_each(&mut note);
    }
    for (side, bytes) in said {
        let mine = sent[side.index()];
        let line = match *side {
            FlowSide::Initiator => format!("> PA {mine} {}", sent[1]),
            FlowSide::Responder => format!("< PA {mine} {}", sent[0]),
        };
        sent[side.index()] += bytes.len();
        for mut frame in lines(&line) {
            frame.bytes.extend_from_slice(bytes);
            driver.track(frame.view()).for_each(&mut note);
        }
    }
    let last = last.replace('C', &sent[0].to_string()).replace('D', &sent[1].to_string());
    for frame in lines(&last) {
        driver.track(frame.view()).for_each(&mut note);
    }
    driver.finish().for_each(&mut note);
    told
}

#[test]
fn what_is_left_comes_before_the_end() {
    let cut = &REQUEST[..REQUEST.len() - 2];
    let said: [Said<'_>; 2] = [(CLIENT, CONNECT), (SERVER, CONNECTED)];
    for (last, end) in [("", "eof"), ("> RA C D", "rst"), ("> FA C D\n< FA D C\n> A C D", "fin")] {
        let inside = [&said[..], &[(CLIENT, cut)]].concat();
        let ended = told(&inside, last, PoisonPolicy::EndFlow);
        let count = |word: &str| ended.iter().filter(|told| *told == word).count();
        assert_eq!(&ended[..4], ["started", "CONNECT", "200", "GET"], "{last}: {ended:?}");
        assert_eq!(count("started"), 1);
        let ends = ended.iter().filter(|told| ["eof", "rst", "fin"].contains(&&***told)).count();
        assert_eq!((ends, &**ended.last().unwrap()), (1, end), "{ended:?}");
    }
}

#[test]
fn a_parser_that_lost_its_way_ends_once() {
    let noise = b"\0\0\0\0\r\n";
    let said: [Said<'_>; 6] = [
        (CLIENT, REQUEST),
        (SERVER, ANSWER),
        (CLIENT, noise),
        (SERVER, noise),
        (CLIENT, HELLO),
        (SERVER, ANSWER),
    ];
    let told = told(&said, "", PoisonPolicy::EndSession);
    // Each side is told of: the server may still have answered what the client cannot be read to ask.
    let violations = ["expected a start line"; 2];
    let expected = [&["started", "GET", "204"], &violations[..], &["parse error", "parse_error"]];
    assert_eq!(told, expected.concat());
}
