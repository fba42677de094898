//! Where bytes wait between the pump, which reads packets, and the readers of conversations.
//!
//! ```text
//! pump ── open, push, end ──▶ mailboxes ── poll_next ──▶ readers
//!  ▲                              │
//!  └── poll_ready: a mailbox is full, and its reader will come
//! ```
//!
//! Who waits is woken by who changes what it waits for: readers by bytes and ends, the pump by room.
//! While a mailbox is full, the pump waits, unless that could be for ever: for a reader that has not
//! come yet while another one waits for what the pump would bring, or for a reader whose task is seen
//! to wait for another conversation ([`Attention`] finds out about those), or for one that does not
//! come in time.

use std::collections::{HashMap, HashSet, VecDeque};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use flow_core::{EndReason, FlowSide, Gap, GapReason};

use super::config::{ConversationConfig, WhenFull};
use super::spill::{SpillFile, SpillQueue};
use super::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the pump and the readers share.
#[derive(Debug)]
pub(crate) struct Hub<K> {
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    config: ConversationConfig,
    boxes: HashMap<u64, Mailbox>,
    next_id: u64,
    /// Conversations that nobody has taken yet.
    fresh: VecDeque<(K, u64)>,
    /// Of who takes them.
    accept: Attention,
    /// Nobody takes any more.
    is_closed: bool,
    passed_over: u64,
    /// Memory that all mailboxes take.
    queued: usize,
    spill: SpillFile,
    /// Mailboxes that are full, if the pump is to wait for them.
    full: usize,
    /// Those of them whose readers are expected. They are as few as the readers that are at work,
    /// however many conversations nobody reads.
    expected: HashSet<u64>,
    /// Readers that wait, who takes conversations included.
    waiting: usize,
    /// The pump, if it waits.
    pump: Option<Waker>,
    /// The pump is gone.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Mailbox {
    items: VecDeque<Item>,
    /// Memory that the items take.
    queued: usize,
    spilled: SpillQueue,
    /// Items of which the bytes are in the file. Invariant: those are the last ones but for gaps.
    spilled_items: usize,
    /// Offset behind the last byte that was pushed, of each side, and behind the last that was read.
    pushed: [u64; 2],
    popped: [u64; 2],
    end: Option<EndReason>,
    reader: Attention,
    /// It is one of those that are [`full`](State::full).
    is_counted: bool,
}

#[derive(Debug)]
enum Item {
    Bytes(FlowSide, Bytes),
    Spilled(FlowSide, usize),
    Gap(FlowSide, Gap),
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Bytes that a side sent.
    Bytes(FlowSide, Bytes),
    /// Bytes that are missing.
    Gap(FlowSide, Gap),
    /// Nothing comes any more; `None` if the pump gave up.
    End(Option<EndReason>),
}

/// What the pump is to do about bytes that it has pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Go on.
    Kept,
    /// Look whether it may go on.
    Full,
    /// Nobody wants more of this conversation.
    Unwanted,
}

/// Whether the pump may read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Yes,
    /// Nobody is left to read for.
    Gone,
}

/// Memory that is accounted for an item besides its bytes, so that tiny ones cannot cheat.
const OVERHEAD: usize = 64;

/// Bytes that are read from the file at once.
const SPILLED_PIECE: usize = 64 << 10;

/// Memory for what is in the file, however small the limit of what is not.
///
/// Rationale: tells of a gigabyte in the file, if pieces are as long as they may be.
const MIN_REMEMBERED: usize = 1 << 20;

/// Items that an empty queue has memory for.
///
/// Rationale: a reader that keeps up does not allocate again and again, and one that once did not
/// leaves little behind.
const KEPT_ITEMS: usize = 64;

/// Turns after which a reader is not expected any more.
const MISSED: u8 = 2;

/// How a reader behaves, as far as its polls tell.
///
/// A reader is expected to come for what there is if it has been polled before. It is not, when its task
/// is seen to wait elsewhere instead: when that was polled twice without this one having been. Once is
/// not enough, as a task may poll several readers in turn.
#[derive(Debug, Default)]
struct Attention {
    /// The task that polled it last.
    task: Option<Waker>,
    /// It waits for something to come.
    waits: bool,
    /// How often its task waited elsewhere since the pump waits for it.
    missed: u8,
}

impl Attention {
    fn polled(&mut self, cx: &Context<'_>, waiting: &mut usize) {
        *waiting -= usize::from(std::mem::take(&mut self.waits));
        self.missed = 0;
        if !self.is_of(cx) {
            self.task = Some(cx.waker().clone());
        }
    }

    fn is_of(&self, cx: &Context<'_>) -> bool {
        self.task.as_ref().is_some_and(|task| task.will_wake(cx.waker()))
    }

    fn is_expected(&self) -> bool {
        self.task.is_some() && self.missed < MISSED
    }

    /// Something has come: whom to wake.
    fn notify(&mut self, waiting: &mut usize) -> Option<Waker> {
        *waiting -= usize::from(self.waits);
        std::mem::take(&mut self.waits).then(|| self.task.clone()).flatten()
    }

    fn wait(&mut self, waiting: &mut usize) {
        *waiting += usize::from(!std::mem::replace(&mut self.waits, true));
    }
}

/// Wakes when dropped: what is woken may run at once, so the lock must be released before.
#[derive(Default)]
struct Wake([Option<Waker>; 2]);

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }
}

impl<K> Hub<K> {
    pub(crate) fn new(config: ConversationConfig) -> Arc<Self> {
        let spill = SpillFile::new(config.max_spilled);
        let state = State {
            config,
            boxes: HashMap::new(),
            next_id: 0,
            fresh: VecDeque::new(),
            accept: Attention::default(),
            is_closed: false,
            passed_over: 0,
            queued: 0,
            spill,
            full: 0,
            expected: HashSet::new(),
            waiting: 0,
            pump: None,
            is_over: false,
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Conversations that nobody has taken yet and that were passed over.
    pub(crate) fn passed_over(&self) -> u64 {
        self.lock().passed_over
    }

    // What the pump calls.

    /// A new conversation; `None` if it is not wanted.
    pub(crate) fn open(&self, key: K) -> Option<u64> {
        let mut wake = Wake::default();
        let mut state = self.lock();
        if state.is_closed {
            return None;
        }
        if state.fresh.len() >= state.config.max_waiting {
            state.passed_over += 1;
            return None;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.boxes.insert(id, Mailbox::default());
        state.fresh.push_back((key, id));
        let State { accept, waiting, .. } = &mut *state;
        wake.0[0] = accept.notify(waiting);
        drop(state);
        Some(id)
    }

    /// The next bytes of a conversation.
    pub(crate) fn push(&self, id: u64, side: FlowSide, bytes: &[u8]) -> Pushed {
        let mut wake = Wake::default();
        let mut state = self.lock();
        let State { config, boxes, queued, spill, full, expected, waiting, .. } = &mut *state;
        let Some(mailbox) = boxes.get_mut(&id) else { return Pushed::Unwanted };
        let blocks = config.when_full == WhenFull::Block;
        // Where the pump is about to wait, what it has read has room.
        let waits = blocks && mailbox.reader.is_expected();
        let has_room = mailbox.spilled_items == 0
            && *queued < config.max_queued_total
            && (waits || mailbox.queued < config.max_queued);
        if has_room {
            *queued += mailbox.keep(side, bytes);
        } else {
            let spills = config.when_full != WhenFull::Drop && config.remembers(*queued);
            *queued += mailbox.overflow(side, bytes, spills.then_some(spill));
        }
        wake.0[0] = mailbox.reader.notify(waiting);
        let pushed = if blocks && mailbox.is_full(config) {
            if !std::mem::replace(&mut mailbox.is_counted, true) {
                *full += 1;
                if mailbox.reader.is_expected() {
                    expected.insert(id);
                }
                // Its task may be waiting somewhere else, and has to be seen there.
                wake.0[1] = mailbox.reader.task.clone();
            }
            Pushed::Full
        } else {
            Pushed::Kept
        };
        drop(state);
        pushed
    }

    /// Bytes of a conversation that are missing.
    pub(crate) fn push_gap(&self, id: u64, side: FlowSide, gap: Gap) {
        let mut wake = Wake::default();
        let mut state = self.lock();
        let State { config, boxes, queued, waiting, .. } = &mut *state;
        let Some(mailbox) = boxes.get_mut(&id) else { return };
        let drops = config.when_full == WhenFull::Drop && mailbox.is_full(config);
        // One that cannot be remembered by itself is part of what nobody read in time.
        let reason =
            if drops || !config.remembers(*queued) { GapReason::Budget } else { gap.reason };
        *queued += mailbox.miss(side, gap.len, reason);
        wake.0[0] = mailbox.reader.notify(waiting);
        drop(state);
    }

    /// The end of a conversation.
    pub(crate) fn end(&self, id: u64, reason: EndReason) {
        let mut wake = Wake::default();
        let mut state = self.lock();
        let State { boxes, waiting, .. } = &mut *state;
        if let Some(mailbox) = boxes.get_mut(&id) {
            mailbox.end = Some(reason);
            wake.0[0] = mailbox.reader.notify(waiting);
        }
        drop(state);
    }

    /// Ready when nobody has to be waited for.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<Ready> {
        let mut state = self.lock();
        state.pump = None;
        if state.is_gone() {
            return Poll::Ready(Ready::Gone);
        }
        if state.may_read() {
            return Poll::Ready(Ready::Yes);
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when nobody is left to read for.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.is_gone() {
            return Poll::Ready(());
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether somebody waits for what the pump would bring.
    pub(crate) fn is_awaited(&self) -> bool {
        self.lock().waiting > 0
    }

    /// The pump has waited for long enough, while somebody else waited for it.
    pub(crate) fn expect_nobody(&self) {
        let mut state = self.lock();
        let State { boxes, expected, .. } = &mut *state;
        for id in expected.drain() {
            if let Some(mailbox) = boxes.get_mut(&id) {
                mailbox.reader.missed = MISSED;
            }
        }
    }

    /// Makes the pump look around.
    pub(crate) fn wake_pump(&self) {
        let pump = self.lock().pump.take();
        pump.into_iter().for_each(Waker::wake);
    }

    /// The pump has read everything, or is gone.
    pub(crate) fn shut(&self) {
        let wakers: Vec<Waker> = {
            let mut state = self.lock();
            state.is_over = true;
            let State { boxes, accept, waiting, .. } = &mut *state;
            let readers = boxes.values_mut().map(|mailbox| &mut mailbox.reader).chain([accept]);
            readers.filter_map(|reader| reader.notify(waiting)).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    // What the readers call.

    /// The next conversation.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<(K, u64)>> {
        let mut wake = Wake::default();
        let mut state = self.lock();
        let State { accept, waiting, .. } = &mut *state;
        accept.polled(cx, waiting);
        if let Some(fresh) = state.fresh.pop_front() {
            return Poll::Ready(Some(fresh));
        }
        if state.is_over {
            return Poll::Ready(None);
        }
        let State { accept, waiting, .. } = &mut *state;
        accept.wait(waiting);
        wake.0 = state.wait(cx);
        drop(state);
        Poll::Pending
    }

    /// The next piece of a conversation.
    pub(crate) fn poll_next(&self, id: u64, cx: &mut Context<'_>) -> Poll<Piece> {
        let mut wake = Wake::default();
        let mut state = self.lock();
        let State { config, boxes, queued, spill, is_over, full, expected, waiting, pump, .. } =
            &mut *state;
        let Some(mailbox) = boxes.get_mut(&id) else { return Poll::Ready(Piece::End(None)) };
        mailbox.reader.polled(cx, waiting);
        if let Some((piece, freed)) = mailbox.pop(spill) {
            *queued -= freed;
            if mailbox.is_counted && mailbox.is_full(config) {
                expected.insert(id);
            } else if std::mem::take(&mut mailbox.is_counted) {
                *full -= 1;
                expected.remove(&id);
                wake.0[0] = pump.take();
            }
            drop(state);
            return Poll::Ready(piece);
        }
        if mailbox.end.is_some() || *is_over {
            return Poll::Ready(Piece::End(mailbox.end));
        }
        mailbox.reader.wait(waiting);
        wake.0 = state.wait(cx);
        drop(state);
        Poll::Pending
    }

    /// Nobody reads this conversation any more.
    pub(crate) fn leave(&self, id: u64) {
        let mut wake = Wake::default();
        let mut state = self.lock();
        state.remove(id);
        wake.0[0] = state.pump.take();
        drop(state);
    }

    /// Nobody takes conversations any more.
    pub(crate) fn close(&self) {
        let mut wake = Wake::default();
        let mut state = self.lock();
        state.is_closed = true;
        // Who took them may have been waiting, and does not any more.
        let State { accept, waiting, .. } = &mut *state;
        drop(accept.notify(waiting));
        for (_, id) in std::mem::take(&mut state.fresh) {
            state.remove(id);
        }
        wake.0[0] = state.pump.take();
        drop(state);
    }
}

impl<K> State<K> {
    fn is_gone(&self) -> bool {
        self.is_closed && self.boxes.is_empty()
    }

    fn remove(&mut self, id: u64) {
        if let Some(mut mailbox) = self.boxes.remove(&id) {
            self.waiting -= usize::from(mailbox.reader.waits);
            self.queued -= mailbox.queued;
            self.full -= usize::from(mailbox.is_counted);
            self.expected.remove(&id);
            mailbox.spilled.clear(&mut self.spill);
        }
    }

    /// Whether the pump may read on: whether waiting for who has not read what there is could be for
    /// ever.
    fn may_read(&self) -> bool {
        self.full == 0 || self.waiting > 0 && self.expected.is_empty()
    }

    /// A task waits for something to come. Whom to wake: itself, to be seen once more, if it is the
    /// reader of a full mailbox; the pump, which may wait in vain now.
    fn wait(&mut self, cx: &Context<'_>) -> [Option<Waker>; 2] {
        let Self { boxes, expected, .. } = self;
        let mut again = None;
        expected.retain(|id| {
            let Some(mailbox) = boxes.get_mut(id) else { return false };
            if !mailbox.reader.is_of(cx) {
                return true;
            }
            mailbox.reader.missed += 1;
            let is_expected = mailbox.reader.is_expected();
            if is_expected {
                again = Some(cx.waker().clone());
            }
            is_expected
        });
        [again, if self.full == 0 { None } else { self.pump.take() }]
    }
}

impl ConversationConfig {
    /// Whether an item may be remembered of which the bytes are elsewhere, or nowhere.
    fn remembers(&self, queued: usize) -> bool {
        let more = (self.max_queued_total / 4).max(MIN_REMEMBERED);
        queued < self.max_queued_total.saturating_add(more)
    }
}

impl Mailbox {
    /// Keeps bytes in memory; gives what that takes.
    fn keep(&mut self, side: FlowSide, bytes: &[u8]) -> usize {
        self.pushed[side.index()] += bytes.len() as u64;
        self.items.push_back(Item::Bytes(side, Bytes::copy_from_slice(bytes)));
        self.charge(bytes.len() + OVERHEAD)
    }

    fn is_full(&self, config: &ConversationConfig) -> bool {
        // Nobody can make room where there is nothing to read.
        !self.items.is_empty() && self.queued >= config.max_queued || self.spilled_items > 0
    }

    fn charge(&mut self, bytes: usize) -> usize {
        self.queued += bytes;
        bytes
    }

    /// Puts bytes into the file, or drops them; gives the memory that takes.
    fn overflow(&mut self, side: FlowSide, bytes: &[u8], file: Option<&mut SpillFile>) -> usize {
        let is_written =
            file.is_some_and(|file| self.spilled.push(file, bytes).unwrap_or_default());
        if !is_written {
            return self.miss(side, bytes.len() as u64, GapReason::Budget);
        }
        self.pushed[side.index()] += bytes.len() as u64;
        if let Some(Item::Spilled(last, len)) = self.items.back_mut()
            && *last == side
            && *len + bytes.len() <= SPILLED_PIECE
        {
            *len += bytes.len();
            return 0;
        }
        self.items.push_back(Item::Spilled(side, bytes.len()));
        self.spilled_items += 1;
        self.charge(OVERHEAD)
    }

    /// Takes down that bytes are missing; gives the memory that takes.
    fn miss(&mut self, side: FlowSide, len: u64, reason: GapReason) -> usize {
        let offset = self.pushed[side.index()];
        self.pushed[side.index()] += len;
        // Sides that speak in turn must not make an item of every turn.
        if reason == GapReason::Budget {
            for item in self.items.iter_mut().rev().take(2) {
                match item {
                    Item::Gap(last, gap) if *last == side && gap.reason == reason => {
                        gap.len += len;
                        return 0;
                    }
                    Item::Gap(last, _) if *last != side => {}
                    _ => break,
                }
            }
        }
        self.items.push_back(Item::Gap(side, Gap { offset, len, reason }));
        self.charge(OVERHEAD)
    }

    /// Takes the first item, with the memory that it took.
    fn pop(&mut self, file: &mut SpillFile) -> Option<(Piece, usize)> {
        let (piece, len, freed) = match self.items.pop_front()? {
            Item::Gap(side, gap) => (Piece::Gap(side, gap), gap.len, OVERHEAD),
            Item::Bytes(side, bytes) => {
                let len = bytes.len();
                (Piece::Bytes(side, bytes), len as u64, len + OVERHEAD)
            }
            Item::Spilled(side, len) => {
                self.spilled_items -= 1;
                (self.unspill(side, len, file), len as u64, OVERHEAD)
            }
        };
        let (Piece::Gap(side, _) | Piece::Bytes(side, _)) = piece else { return None };
        self.popped[side.index()] += len;
        self.queued -= freed;
        if self.items.is_empty() && self.items.capacity() > KEPT_ITEMS {
            self.items = VecDeque::new();
        }
        Some((piece, freed))
    }

    fn unspill(&mut self, side: FlowSide, len: usize, file: &mut SpillFile) -> Piece {
        let offset = self.popped[side.index()];
        match self.spilled.pop(file, len) {
            Ok(bytes) => Piece::Bytes(side, bytes.into()),
            Err(_) => Piece::Gap(side, Gap { offset, len: len as u64, reason: GapReason::Budget }),
        }
    }
}
