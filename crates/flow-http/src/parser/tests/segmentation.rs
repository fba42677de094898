use super::*;

/// What happens on a connection.
#[derive(Clone, Debug)]
enum Step {
    Send(FlowSide, Vec<u8>),
    Lose(FlowSide, u64),
    Fin(FlowSide),
}

/// Plays a connection as an engine does, every send cut into pieces of the given sizes; gives all
/// that is to be the same however it is cut.
fn play(steps: &[Step], config: &HttpConfig, cuts: &[usize]) -> (Vec<Found>, [bool; 2], String) {
    let mut connection = Connection::new();
    connection.parser = HttpParser::with_config(config.clone());
    let mut sizes = cuts.iter().copied().cycle();
    for step in steps {
        let (Step::Send(side, _) | Step::Lose(side, _) | Step::Fin(side)) = step;
        match step {
            Step::Send(side, bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let size = sizes.next().unwrap_or(1).clamp(1, rest.len());
                    let (piece, more) = rest.split_at(size);
                    connection = if connection.parser.wants(*side) {
                        connection.send(*side, piece)
                    } else {
                        connection.offsets[side.index()] += piece.len() as u64;
                        connection
                    };
                    rest = more;
                }
            }
            Step::Lose(..) | Step::Fin(_) if !connection.parser.wants(*side) => {}
            Step::Lose(side, len) => {
                let gap = Gap {
                    offset: connection.offsets[side.index()],
                    len: *len,
                    reason: GapReason::Acked,
                };
                let bytes = usize::try_from(*len).expect("a small gap");
                connection.call(*side, bytes, |parser, cx| parser.gap(*side, gap, cx));
            }
            Step::Fin(side) => connection = connection.fin(*side),
        }
    }
    let wants = FlowSide::BOTH.map(|side| connection.parser.wants(side));
    let poison = connection.parser.poison_reason().unwrap_or_default().to_owned();
    let found = connection.close(EndReason::EndOfInput).found.into_iter();
    (found.map(|parsed| (parsed.side, parsed.range, parsed.message)).collect(), wants, poison)
}

type Found = (FlowSide, std::ops::Range<u64>, HttpMessage);

/// Bodies put together again, as their pieces depend on how the stream was cut.
fn joined(found: Vec<Found>) -> Vec<Found> {
    let mut out: Vec<Found> = Vec::new();
    for (side, mut range, message) in found {
        if let HttpMessage::Response(response) = &message
            && response.version == HttpVersion::HTTP_09
            && !response.body_complete
            && response.body_len == 0
        {
            // It has no head; where it is put out depends on the piece that makes that plain.
            range.end = range.start;
        }
        let last = out.iter_mut().rev().find(|(other, ..)| *other == side);
        match (last, message) {
            (Some((_, before, HttpMessage::BodyData(data))), HttpMessage::BodyData(more))
                if data.offset + data.data.len() as u64 == more.offset =>
            {
                data.data = [&data.data[..], &more.data[..]].concat().into();
                before.end = range.end;
            }
            (_, message) => out.push((side, range, message)),
        }
    }
    out
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let side = || any::<bool>().prop_map(|client| if client { C } else { S });
    let step = prop_oneof![
        4 => exchange().prop_map(|(request, response)| vec![
            Step::Send(C, request.into_bytes()),
            Step::Send(S, response.into_bytes()),
        ]),
        4 => (side(), piece()).prop_map(|(side, bytes)| vec![Step::Send(side, bytes)]),
        2 => (side(), line()).prop_map(|(side, bytes)| vec![Step::Send(side, bytes)]),
        2 => (side(), 1..40u64).prop_map(|(side, len)| vec![Step::Lose(side, len)]),
        1 => side().prop_map(|side| vec![Step::Fin(side)]),
    ];
    let steps = proptest::collection::vec(step, 0..12).prop_map(|steps| steps.concat());
    // Joined midstream: without the first bytes of each side.
    (steps, [0..60usize, 0..60usize], any::<bool>()).prop_map(|(mut steps, mut late, joined)| {
        for step in steps.iter_mut().filter(|_| joined) {
            let Step::Send(side, bytes) = step else { break };
            let missed = &mut late[side.index()];
            let len = bytes.len().min(*missed);
            bytes.drain(..len);
            *missed -= len;
        }
        steps
    })
}

/// Text of which start lines are made, in any order.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "GET",
        "POST",
        "XGET",
        " ",
        " ",
        "/",
        "/x",
        "HTTP/1.1",
        "HTTP/1.1",
        "HTTP/1.",
        "200",
        "OK",
        "\r",
        "\r\n",
        "\n",
        "\n",
        "a=b",
        ": c",
        "\0",
        "*",
        "\t",
        "H",
        "HTTP/1.1 200 OK\r\n",
        "\u{e9}",
        "GET / HTTP/1.1\r\n",
        "GET /old\r\n",
    ]);
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

fn configs() -> impl Strategy<Value = HttpConfig> {
    (any::<bool>(), 0..3u8).prop_map(|(small, body)| {
        let mut config = HttpConfig::default();
        if small {
            (config.max_buffer, config.max_search, config.max_headers) = (50, 60, 3);
            (config.max_trailers, config.max_chunk_line, config.max_unknown) = (20, 10, 90);
        }
        config.body = match body {
            0 => BodyPolicy::Collect { max: 30 },
            1 => BodyPolicy::Skip,
            _ => BodyPolicy::Stream,
        };
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn pieces_change_nothing(
        steps in steps(),
        config in configs(),
        cuts in proptest::collection::vec(1..40usize, 1..20),
    ) {
        let (whole, whole_wants, whole_poison) = play(&steps, &config, &[usize::MAX]);
        let whole = joined(whole);
        for cuts in [&cuts[..], &[1]] {
            let (cut, wants, poison) = play(&steps, &config, cuts);
            prop_assert_eq!(&joined(cut), &whole);
            prop_assert_eq!(wants, whole_wants);
            prop_assert_eq!(&poison, &whole_poison);
        }
    }
}
