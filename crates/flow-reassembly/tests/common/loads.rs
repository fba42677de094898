//! Segments that cost a reassembler more than others: floods of tiny ones, and what covers them.
//! The benches use them too.

#![allow(dead_code, reason = "each user takes a part")]

/// Which bytes of a stream a segment has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// The segments of a stream as they come.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    make: fn(u32) -> Vec<At>,
}

impl Load {
    /// At least `count` segments, and no more than it takes to finish what was begun.
    pub(crate) fn segments(&self, count: u32) -> Vec<At> {
        (self.make)(count)
    }
}

/// The longest segment there is: what a network card puts together of several.
pub(crate) const LONGEST: u32 = 65_535;
/// Payload of a full segment.
const FULL: u32 = 1_448;
/// Payload of a full segment without options.
const PLAIN: u32 = 1_460;

pub(crate) const LOADS: &[Load] = &[
    Load { name: "one_percent_late", make: one_percent_late },
    Load { name: "one_byte_in_order", make: one_byte_in_order },
    Load { name: "one_byte_forward", make: one_byte_forward },
    Load { name: "one_byte_every_second", make: one_byte_every_second },
    Load { name: "one_byte_reverse", make: one_byte_reverse },
    Load { name: "one_byte_reverse_in_blocks", make: one_byte_reverse_in_blocks },
    Load { name: "one_byte_random", make: one_byte_random },
    Load { name: "one_byte_random_nearby", make: one_byte_random_nearby },
    Load { name: "full_over_alternating", make: full_over_alternating },
    Load { name: "longest_over_alternating", make: longest_over_alternating },
    Load { name: "grow_and_bridge", make: grow_and_bridge },
    Load { name: "full_again_over_crumbs", make: full_again_over_crumbs },
    Load { name: "shave_the_longest", make: shave_the_longest },
];

const fn byte(offset: u32) -> At {
    At { offset, len: 1 }
}

/// Of a hundred full segments one is lost, and comes again thirty segments later.
fn one_percent_late(count: u32) -> Vec<At> {
    let number = |place: u32| match place % 100 {
        50..80 => place + 1,
        80 => place - 30,
        _ => place,
    };
    let whole = count.next_multiple_of(100);
    (0..whole).map(|place| At { offset: number(place) * FULL, len: FULL }).collect()
}

fn one_byte_in_order(count: u32) -> Vec<At> {
    (0..count).map(byte).collect()
}

/// All but the first byte in order, then the first.
fn one_byte_forward(count: u32) -> Vec<At> {
    (1..count).chain([0]).map(byte).collect()
}

/// No two that touch.
fn one_byte_every_second(count: u32) -> Vec<At> {
    (0..count).map(|number| byte(2 * number + 1)).collect()
}

/// The last byte first.
fn one_byte_reverse(count: u32) -> Vec<At> {
    (0..count).rev().map(byte).collect()
}

/// The same a thousand bytes at a time, so that every byte has to be queued.
fn one_byte_reverse_in_blocks(count: u32) -> Vec<At> {
    rounds(count, 1_000, |base, out| out.extend((base..base + 1_000).rev().map(byte)))
}

/// Any byte of the whole stream each time.
fn one_byte_random(count: u32) -> Vec<At> {
    let mut all: Vec<_> = (0..count).collect();
    all.sort_by_key(|&number| scatter(number));
    all.into_iter().map(byte).collect()
}

/// Any byte of the next few thousand each time, so that every one has to be queued.
fn one_byte_random_nearby(count: u32) -> Vec<At> {
    let mut all: Vec<_> = (0..count).collect();
    all.sort_by_key(|&number| number + scatter(number) % 4_096);
    all.into_iter().map(byte).collect()
}

/// Full segments that fill a thousand holes of a byte each.
fn full_over_alternating(count: u32) -> Vec<At> {
    rounds(count, 1 + 2 * PLAIN, |base, out| {
        out.extend((0..1_000).map(|number| byte(base + 2 + 2 * number)));
        out.extend([1, 1 + PLAIN].map(|from| At { offset: base + from, len: PLAIN }));
        out.push(byte(base));
    })
}

/// The same in one go.
fn longest_over_alternating(count: u32) -> Vec<At> {
    rounds(count, 1 + LONGEST, |base, out| {
        out.extend((0..900).map(|number| byte(base + 2 + 2 * number)));
        out.extend([At { offset: base + 1, len: LONGEST }, byte(base)]);
    })
}

/// A run of bytes that grows, each time by one that joins another one to it.
fn grow_and_bridge(count: u32) -> Vec<At> {
    rounds(count, 2_001, |base, out| {
        out.extend((1..2_001).step_by(2).flat_map(|at| [base + at + 1, base + at]).map(byte));
        out.push(byte(base));
    })
}

/// A full segment, again and again, over bytes that came one by one.
fn full_again_over_crumbs(count: u32) -> Vec<At> {
    rounds(count, 2_001, |base, out| {
        out.extend((2..2_001).step_by(2).chain((1..2_001).step_by(2)).map(|at| byte(base + at)));
        out.extend([At { offset: base + 1, len: PLAIN }; 8_000]);
        out.push(byte(base));
    })
}

/// Short segments that each begin in front of the rest of a long one, and take its first byte
/// where the earlier beginning wins.
fn shave_the_longest(count: u32) -> Vec<At> {
    rounds(count, LONGEST + 2, |base, out| {
        out.push(At { offset: base + 2, len: LONGEST });
        out.extend((1..1_001).map(|at| At { offset: base + at, len: 2 }));
        out.push(byte(base));
    })
}

/// Does something again and again, each time `len` bytes further on, until it is enough.
fn rounds(count: u32, len: u32, round: impl Fn(u32, &mut Vec<At>)) -> Vec<At> {
    let (mut out, mut base) = (Vec::new(), 0);
    while out.len() < count as usize {
        round(base, &mut out);
        base += len;
    }
    out
}

/// A number that has nothing to do with the next one's: the finalizer of MurmurHash3, which gives
/// no two numbers the same.
const fn scatter(number: u32) -> u32 {
    let number = (number ^ (number >> 16)).wrapping_mul(0x85eb_ca6b);
    let number = (number ^ (number >> 13)).wrapping_mul(0xc2b2_ae35);
    number ^ (number >> 16)
}
