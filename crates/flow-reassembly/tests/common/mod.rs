//! The model, and what is done to it.

#![allow(dead_code, reason = "each test file uses a part")]

pub(crate) mod model;

use proptest::prelude::*;

pub(crate) use self::model::*;

/// Any call sequence in a stream of about `len` bytes.
pub(crate) fn calls(max: usize, len: usize) -> impl Strategy<Value = Vec<Call>> {
    let call = prop_oneof![
        20 => piece(len, 1).prop_map(Call::Data),
        2 => (0..len).prop_map(Call::Ack),
        1 => (len / 2..len + 40).prop_map(Call::Fin),
    ];
    proptest::collection::vec(call, 1..max)
}

/// A segment of at least `min` bytes.
pub(crate) fn piece(len: usize, min: usize) -> impl Strategy<Value = Piece> {
    (0..len, proptest::collection::vec(any::<u8>(), min..40))
        .prop_map(|(offset, bytes)| Piece { offset, bytes })
}
