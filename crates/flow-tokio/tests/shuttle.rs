//! The wake-ups between the pump and the readers of conversations, in many of the orders in which
//! threads can run: nobody sleeps for ever, and nothing is lost.

#![allow(clippy::field_reassign_with_default, clippy::unwrap_used, dead_code, unreachable_pub)]

/// What the hub is synchronised with here.
mod sync {
    pub(super) use shuttle::sync::{Arc, Mutex, MutexGuard};
    pub(super) use std::sync::PoisonError;
}
#[path = "../src/conversations/config.rs"]
mod config;
#[path = "../src/conversations/hub.rs"]
mod hub;
#[path = "../src/conversations/spill.rs"]
mod spill;

use std::future::poll_fn;
use std::task::Poll;

use flow_core::{EndReason, FlowSide};
use shuttle::future::{block_on, spawn};

use self::config::{ConversationConfig, WhenFull};
use self::hub::{Hub, Piece, Pushed, Ready};
use self::sync::Arc;

/// Orders that are tried of each test.
const ORDERS: usize = 2_000;

const SIDE: FlowSide = FlowSide::Initiator;

fn config(when_full: WhenFull) -> ConversationConfig {
    let mut config = ConversationConfig::default();
    // One piece is too much already.
    config.max_queued = 1;
    config.when_full = when_full;
    config
}

/// Brings `pieces` of one byte to each of some conversations, in turn, then ends them.
async fn pump(hub: Arc<Hub<usize>>, conversations: usize, pieces: u8) {
    let mut ids = Vec::new();
    for round in 0..pieces {
        for key in 0..conversations {
            // A task that always finds a way never gives the others a turn.
            shuttle::future::yield_now().await;
            if poll_fn(|cx| hub.poll_ready(cx)).await == Ready::Gone {
                return;
            }
            if round == 0 {
                ids.push(hub.open(key));
            }
            if let Some(id) = ids[key]
                && hub.push(id, SIDE, &[round]) == Pushed::Unwanted
            {
                ids[key] = None;
            }
        }
    }
    ids.iter().flatten().for_each(|id| hub.end(*id, EndReason::Fin));
    hub.shut();
}

async fn accept(hub: &Hub<usize>) -> Option<(usize, u64)> {
    poll_fn(|cx| hub.poll_accept(cx)).await
}

/// What is read of a conversation to its end.
async fn read(hub: &Hub<usize>, id: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        match poll_fn(|cx| hub.poll_next(id, cx)).await {
            Piece::Bytes(_, more) => bytes.extend(more),
            Piece::Gap(_, gap) => panic!("{gap:?}"),
            Piece::End(reason) => {
                assert_eq!(reason, Some(EndReason::Fin));
                hub.leave(id);
                return bytes;
            }
        }
    }
}

#[test]
fn read_inline() {
    for when_full in [WhenFull::Block, WhenFull::Spill] {
        shuttle::check_random(
            move || {
                let hub = Hub::new(config(when_full));
                let pump = spawn(pump(Arc::clone(&hub), 2, 3));
                block_on(async {
                    let mut seen = 0;
                    while let Some((_, id)) = accept(&hub).await {
                        assert_eq!(read(&hub, id).await, [0, 1, 2]);
                        seen += 1;
                    }
                    assert_eq!(seen, 2);
                    pump.await.unwrap();
                });
            },
            ORDERS,
        );
    }
}

#[test]
fn read_by_tasks() {
    shuttle::check_random(
        || {
            let hub = Hub::new(config(WhenFull::Block));
            let pump = spawn(pump(Arc::clone(&hub), 2, 3));
            block_on(async {
                let mut readers = Vec::new();
                while let Some((_, id)) = accept(&hub).await {
                    let hub = Arc::clone(&hub);
                    readers.push(spawn(async move { read(&hub, id).await }));
                }
                assert_eq!(readers.len(), 2);
                for reader in readers {
                    assert_eq!(reader.await.unwrap(), [0, 1, 2]);
                }
                pump.await.unwrap();
            });
        },
        ORDERS,
    );
}

#[test]
fn one_that_came_once_is_not_waited_for() {
    shuttle::check_random(
        || {
            let hub = Hub::new(config(WhenFull::Block));
            let pump = spawn(pump(Arc::clone(&hub), 2, 3));
            block_on(async {
                let (_, first) = accept(&hub).await.unwrap();
                let piece = poll_fn(|cx| hub.poll_next(first, cx)).await;
                assert!(matches!(piece, Piece::Bytes(..)));
                let (_, second) = accept(&hub).await.unwrap();
                assert_eq!(read(&hub, second).await, [0, 1, 2]);
                assert_eq!(read(&hub, first).await, [1, 2]);
                pump.await.unwrap();
            });
        },
        ORDERS,
    );
}

#[test]
fn those_that_leave_wake_the_pump() {
    shuttle::check_random(
        || {
            let hub = Hub::new(config(WhenFull::Block));
            let pump = spawn(pump(Arc::clone(&hub), 2, 3));
            block_on(async {
                let (_, id) = accept(&hub).await.unwrap();
                let _ = poll_fn(|cx| Poll::Ready(hub.poll_next(id, cx))).await;
                hub.close();
                hub.leave(id);
                // It has nobody to read for, or has read everything.
                pump.await.unwrap();
            });
        },
        ORDERS,
    );
}
