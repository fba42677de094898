//! Any schedule of segments, acknowledgments and FINs through one stream, compared with the model of
//! the property tests after every call.
//!
//! The input is a schedule: a byte for the overlap policy, four of the initial sequence number, then
//! calls of four bytes: what it is, its offset (little endian), and the length of its payload, which
//! follows if it is data.

#![no_main]

#[path = "../../crates/flow-reassembly/tests/common/model.rs"]
mod model;

use libfuzzer_sys::fuzz_target;

use self::model::{Call, Model, POLICIES, Piece, Run};

/// Streams longer than this are slow to compare, and find nothing more.
const MAX_OFFSET: u16 = 4_095;

/// Calls enough for a crowded queue.
const MAX_CALLS: usize = 400;

fuzz_target!(|data: &[u8]| {
    if let [policy, a, b, c, d, calls @ ..] = data {
        let policy = POLICIES[usize::from(*policy) % POLICIES.len()];
        let isn = u32::from_le_bytes([*a, *b, *c, *d]);
        let (mut run, mut model) = (Run::new(policy, isn), Model::new(policy));
        let mut same = 0;
        for call in decode(calls) {
            run.call(&call);
            model.call(&call);
            if model.may_end(&call) {
                model.skip_to(run.out.bytes.len());
            }
            same = compare(&run, &model, same);
        }
        run.finish();
        model.finish();
        compare(&run, &model, 0);
    }
});

/// What came since `same` bytes were compared.
fn compare(run: &Run, model: &Model, same: usize) -> usize {
    assert_eq!(run.out.bytes[same..], model.bytes[same..]);
    assert_eq!(run.out.ends, model.ends);
    assert_eq!(run.stream.stats().conflicting_bytes, model.conflicting);
    model.bytes.len()
}

fn decode(mut rest: &[u8]) -> Vec<Call> {
    let mut calls = Vec::new();
    while let ([kind, a, b, len, bytes @ ..], true) = (rest, calls.len() < MAX_CALLS) {
        let offset = usize::from(u16::from_le_bytes([*a, *b]) & MAX_OFFSET);
        rest = bytes;
        calls.push(match kind {
            0..0xe0 => {
                let (payload, behind) = bytes.split_at(usize::from(*len).min(bytes.len()));
                rest = behind;
                Call::Data(Piece { offset, bytes: payload.to_vec() })
            }
            0xe0..0xf8 => Call::Ack(offset),
            _ => Call::Fin(offset),
        });
    }
    calls
}
