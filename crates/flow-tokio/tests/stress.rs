//! Conversations that are read in every way at once, on threads: nothing hangs, and every byte is read
//! or missing.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use flow_core::{FlowSide, Timestamp};
use flow_extract::{FiveTuple, FiveTupleKey};
use flow_tokio::{Conversation, ConversationConfig, OwnedPacket, PacketSource, WhenFull};
use futures_util::StreamExt as _;

use self::common::{ACK, Connection, Dice, Memory, config, run_on_threads};

/// Bytes that the sides of a connection say, by its port.
type Said = HashMap<u16, [u64; 2]>;

/// Each byte of a stream follows from its offset.
fn byte(offset: u64) -> u8 {
    u8::try_from(offset * 31 % 251).unwrap()
}

fn traffic(dice: &mut Dice) -> (Vec<OwnedPacket>, Said) {
    let ts = Timestamp::new(1_000, 0);
    let (mut packets, mut open, mut said) = (Vec::new(), Vec::new(), Said::new());
    for port in 1_000..1_000 + u16::try_from(1 + dice.below(30)).unwrap() {
        let (connection, handshake) = Connection::open(port, ts);
        packets.extend(handshake);
        said.insert(port, [0; 2]);
        open.push((port, connection, 1 + dice.below(60)));
    }
    while !open.is_empty() {
        let at = dice.below(open.len());
        let (port, connection, left) = &mut open[at];
        let side = dice.below(2);
        let sent = &mut said.get_mut(port).unwrap()[side];
        let longest = [3, 1_400][dice.below(2)];
        let len = 1 + dice.below(longest) as u64;
        let payload: Vec<u8> = (*sent..*sent + len).map(byte).collect();
        *sent += len;
        packets.push(connection.send(side, ACK, &payload, ts));
        *left -= 1;
        if *left == 0 {
            packets.extend(connection.close(ts));
            open.swap_remove(at);
        }
    }
    (packets, said)
}

fn limits(dice: &mut Dice) -> ConversationConfig {
    let mut limits = ConversationConfig::default();
    limits.when_full = [WhenFull::Block, WhenFull::Spill, WhenFull::Drop][dice.below(3)];
    limits.max_queued = [0, 1, 3_000, 100_000][dice.below(4)];
    limits.max_queued_total = [0, 10_000, 1 << 20][dice.below(3)];
    limits.max_spilled = [0, 200_000, 1 << 30][dice.below(3)];
    limits.max_waiting = [2, 1_000][dice.below(2)];
    limits.patience = Duration::from_millis([0, 1, 5][dice.below(3)]);
    limits
}

/// Reads on, with pauses, and maybe not to the end; says whether it was.
async fn read(conversation: &mut Conversation<FiveTupleKey>, dice: &mut Dice) -> bool {
    let rarely = 1 + dice.below(200);
    loop {
        match dice.below(rarely) {
            1 => tokio::time::sleep(Duration::from_micros(dice.below(1_500) as u64)).await,
            2 => tokio::task::yield_now().await,
            3 if rarely > 150 => return false,
            _ => {}
        }
        let item = if dice.below(5) == 0 {
            let patience = Duration::from_micros(dice.below(500) as u64);
            match tokio::time::timeout(patience, conversation.next()).await {
                Ok(item) => item,
                Err(_) => continue,
            }
        } else {
            conversation.next().await
        };
        let Some((side, bytes)) = item else { return true };
        let begin = conversation.offset(side) - bytes.len() as u64;
        assert!(bytes.iter().zip(begin..).all(|(is, at)| *is == byte(at)), "at {begin}");
    }
}

/// That all that was sent was read or is missing.
fn check(conversation: &Conversation<FiveTupleKey>, said: &Said) {
    let port = conversation.key().a.port().max(conversation.key().b.port());
    let offsets = FlowSide::BOTH.map(|side| conversation.offset(side));
    assert_eq!(offsets, said[&port], "{port}");
    assert!(conversation.end_reason().is_some());
}

async fn round(mut dice: Dice) -> (usize, u64) {
    let (packets, said) = traffic(&mut dice);
    let (limits, mut ended) = (limits(&mut dice), 0_usize);
    let source = Memory::hesitant(packets, Dice(dice.0));
    let flows = source.flow_stream(FiveTuple::bidirectional()).with_config(config());
    let mut conversations = flows.conversations_with(limits);
    let (mut readers, mut kept, mut seen) = (Vec::new(), Vec::new(), 0);
    while let Some(mut conversation) = conversations.next().await {
        seen += 1;
        match dice.below(8) {
            0 => drop(conversation),
            1 => kept.push(conversation),
            2 => {
                read(&mut conversation, &mut dice).await;
                kept.push(conversation);
            }
            3 if dice.below(20) == 0 => conversations.finish(),
            // Two by turns in this task.
            4 if !kept.is_empty() => {
                let other = kept.last_mut().unwrap();
                let (mut ours, mut theirs) = (Dice(dice.0 + 1), Dice(dice.0 + 2));
                tokio::select! {
                    _ = read(&mut conversation, &mut ours) => {}
                    _ = read(other, &mut theirs) => {}
                }
                kept.push(conversation);
            }
            _ => {
                let (said, mut dice) = (said.clone(), Dice(dice.0 + 3));
                readers.push(tokio::spawn(async move {
                    let is_over = read(&mut conversation, &mut dice).await;
                    if is_over && conversation.end_reason().is_some() {
                        return Some((conversation, said));
                    }
                    None
                }));
            }
        }
    }
    for mut conversation in kept {
        while !read(&mut conversation, &mut dice).await {}
        readers.push(tokio::spawn({
            let said = said.clone();
            async move { Some((conversation, said)) }
        }));
    }
    for reader in readers {
        if let Some((conversation, said)) = reader.await.unwrap() {
            // One that was cut short by `finish` has not said everything.
            if conversation.end_reason() == Some(flow_core::EndReason::Fin) {
                check(&conversation, &said);
            }
            ended += 1;
        }
    }
    assert!(seen + conversations.passed_over() <= said.len() as u64);
    (ended, seen)
}

#[test]
fn every_byte_is_accounted_for() {
    let rounds: u64 = std::env::var("STRESS_ROUNDS").map_or(60, |rounds| rounds.parse().unwrap());
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut ended, mut seen) = (0, 0);
    for number in 0..rounds {
        dice.below(2);
        let dice = Dice(dice.0);
        let counts = run_on_threads(async move {
            let round = tokio::spawn(round(dice));
            let round = tokio::time::timeout(Duration::from_secs(20), round).await;
            round.unwrap_or_else(|_| panic!("round {number} hangs")).unwrap()
        });
        ended += counts.0;
        seen += counts.1;
    }
    assert!(ended > 0 && seen >= ended as u64, "{ended} of {seen}");
}
