//! The packet path allocates nothing once a flow is in the table.

#![allow(clippy::unwrap_used)]

mod wire;

use flow_core::{FlowRouter, FlowTracker};
use std::fmt::Write;
use wire::{Frame, Wire, frames};

fn long_flow() -> Vec<Frame> {
    let mut script = String::from("> S -1\n< SA -1 0\n> A 0 0\n");
    for at in (0..4_000_000).step_by(1_000) {
        writeln!(script, "> PA {at} 0 x=1000\n< A 0 {}", at + 1_000).unwrap();
    }
    frames(&script, [u32::MAX - 2_000_000, 5_000])
}

/// A router on its way changes nothing about that.
#[test]
fn nothing_per_packet_that_is_routed() {
    let frames = long_flow();
    let mut shards = [(); 2].map(|()| FlowTracker::new(Wire));
    let mut router = FlowRouter::new(Wire, shards.len());
    let mut events = 0;
    let mut handle = |frame: &Frame| {
        let routed = router.route(frame.view());
        if let Some(tick) = &routed.tick {
            shards.iter_mut().for_each(|shard| shard.advance(tick).for_each(drop));
        }
        let shard = &mut shards[routed.shard.unwrap()];
        events += shard.track_routed(&routed.packet, routed.frame).count();
    };
    let (warm_up, steady) = frames.split_at(100);
    warm_up.iter().for_each(&mut handle);
    let counted = allocation_counter::measure(|| steady.iter().for_each(&mut handle));
    assert_eq!(counted.count_total, 0);
    assert!(events > frames.len());
}

#[test]
fn nothing_per_packet_of_a_long_flow() {
    let frames = long_flow();
    let mut tracker = FlowTracker::new(Wire);
    let (warm_up, steady) = frames.split_at(100);
    warm_up.iter().for_each(|frame| tracker.track(frame.view()).for_each(drop));
    let mut events = 0;
    let counted = allocation_counter::measure(|| {
        for frame in steady {
            events += tracker.track(frame.view()).count();
        }
    });
    assert_eq!(events, steady.len(), "one Packet event each");
    assert_eq!(counted.count_total, 0);
}
