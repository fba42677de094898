//! What the user of `flow top` has chosen, and what keys do: what is shown of a [`Model`], and in
//! which order.

use std::cmp::Ordering;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Message, Model, Row};

/// What the user has chosen.
#[derive(Clone, Debug, Default)]
pub(super) struct Ui {
    pub(super) sort: Sort,
    pub(super) is_reversed: bool,
    /// What rows and messages must contain, in lower case.
    pub(super) filter: String,
    pub(super) mode: Mode,
    pub(super) pane: Pane,
    pub(super) is_paused: bool,
    pub(super) is_zoomed: bool,
    pub(super) hides_ended: bool,
    pub(super) wants_to_quit: bool,
    pub(super) flows: Scroll,
    /// The number of the last message shown; none if it is the latest.
    pub(super) last_message: Option<u64>,
    /// Lines of the pane with the focus, as it was drawn last.
    pub(super) page: usize,
    /// Rows that there are, as they were drawn last.
    pub(super) row_count: usize,
    /// The flow under the cursor, as it was drawn last.
    pub(super) current: Option<u64>,
    /// Characters of the longest end of a flow that was drawn.
    pub(super) longest_end: usize,
    /// The oldest and the latest message there is, as they were drawn last.
    pub(super) message_numbers: (u64, u64),
}

/// A place in a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    pub(super) cursor: usize,
    /// The first row shown.
    pub(super) offset: usize,
}

impl Scroll {
    /// Moves the place into a list of `count` rows, of which `shown` are shown.
    pub(super) fn clamp(&mut self, count: usize, shown: usize) {
        self.cursor = self.cursor.min(count.saturating_sub(1));
        let first = (self.cursor + 1).saturating_sub(shown.max(1));
        self.offset = self.offset.clamp(first, self.cursor.max(first));
        self.offset = self.offset.min(count.saturating_sub(shown)).max(first);
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Table,
    /// The filter is being typed.
    Filter,
    Help,
    /// Everything about the flow of this number.
    Details(u64),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Flows,
    Messages,
}

/// What flows are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Rate,
    Bytes,
    Sent,
    Received,
    Packets,
    Lasted,
    Started,
    Proto,
    Initiator,
    Responder,
    State,
    Application,
}

impl Sort {
    /// Each with its key and its name, in the order in which they follow each other.
    pub(super) const ALL: [(Self, char, &'static str); 12] = [
        (Self::Rate, 't', "rate"),
        (Self::Bytes, 'b', "bytes of both"),
        (Self::Sent, 'u', "bytes of the initiator"),
        (Self::Received, 'd', "bytes of the responder"),
        (Self::Packets, 'n', "packets"),
        (Self::Lasted, 'l', "lasted"),
        (Self::Started, 'f', "flow, the latest first"),
        (Self::Proto, 'y', "proto"),
        (Self::Initiator, 'i', "initiator"),
        (Self::Responder, 'o', "responder"),
        (Self::State, 'x', "state"),
        (Self::Application, 'a', "application"),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(sort, ..)| *sort == self).map_or("", |(_, _, name)| name)
    }

    /// The one that is so many places behind this one.
    fn behind(self, places: usize) -> Self {
        let at = Self::ALL.iter().position(|(sort, ..)| *sort == self).unwrap_or_default();
        Self::ALL.iter().cycle().nth(at + places).map_or(self, |(sort, ..)| *sort)
    }

    /// Which of two flows comes first: the larger number, the lesser name.
    fn order(self, model: &Model, a: &Row, b: &Row) -> Ordering {
        let text = |a: &Row, b: &Row| match self {
            Self::Proto => a.proto().cmp(&b.proto()),
            Self::State => a.state.to_string().cmp(&b.state.to_string()),
            _ => a
                .application
                .is_empty()
                .cmp(&b.application.is_empty())
                .then_with(|| a.application.cmp(&b.application)),
        };
        match self {
            Self::Rate => model.rate_of(b).total_cmp(&model.rate_of(a)),
            Self::Bytes => b.bytes().cmp(&a.bytes()),
            Self::Sent => b.sent[0].bytes.cmp(&a.sent[0].bytes),
            Self::Received => b.sent[1].bytes.cmp(&a.sent[1].bytes),
            Self::Packets => b.packets().cmp(&a.packets()),
            Self::Lasted => b.lasted().cmp(&a.lasted()),
            Self::Started => b.flow.cmp(&a.flow),
            Self::Initiator => a.ends.cmp_source(&b.ends),
            Self::Responder => a.ends.cmp_destination(&b.ends),
            Self::Proto | Self::State | Self::Application => text(a, b),
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    Sort(Sort),
    NextSort,
    PreviousSort,
    Reverse,
    EditFilter,
    ClearFilter,
    Type(char),
    Erase,
    Accept,
    Pause,
    SwitchPane,
    Zoom,
    ToggleEnded,
    Details,
    Help,
    Close,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// What a key does in a mode.
pub(super) fn action(mode: Mode, key: KeyEvent) -> Option<Action> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match (mode, key.code) {
        (_, KeyCode::Char('c')) if control => Some(Action::Quit),
        (Mode::Filter, code) => match code {
            KeyCode::Enter => Some(Action::Accept),
            KeyCode::Esc => Some(Action::ClearFilter),
            KeyCode::Backspace => Some(Action::Erase),
            KeyCode::Char('u') if control => Some(Action::ClearFilter),
            KeyCode::Char(c) if !control => Some(Action::Type(c)),
            _ => None,
        },
        (
            Mode::Help | Mode::Details(_),
            KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q' | '?'),
        ) => Some(Action::Close),
        (Mode::Help, _) => Some(Action::Close),
        (_, KeyCode::Char(_)) if control => None,
        (_, code) => on_table(code),
    }
}

fn on_table(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Char('q') => Action::Quit,
        KeyCode::Char('s' | '>') | KeyCode::Right => Action::NextSort,
        KeyCode::Char('S' | '<') | KeyCode::Left => Action::PreviousSort,
        KeyCode::Char('r') => Action::Reverse,
        KeyCode::Char('/') => Action::EditFilter,
        KeyCode::Esc => Action::ClearFilter,
        KeyCode::Char('p' | ' ') => Action::Pause,
        KeyCode::Tab | KeyCode::BackTab => Action::SwitchPane,
        KeyCode::Char('z') => Action::Zoom,
        KeyCode::Char('e') => Action::ToggleEnded,
        KeyCode::Enter => Action::Details,
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Action::Help,
        KeyCode::Up | KeyCode::Char('k') => Action::Up,
        KeyCode::Down | KeyCode::Char('j') => Action::Down,
        KeyCode::PageUp => Action::PageUp,
        KeyCode::PageDown => Action::PageDown,
        KeyCode::Home | KeyCode::Char('g') => Action::First,
        KeyCode::End | KeyCode::Char('G') => Action::Last,
        KeyCode::Char(letter) => {
            let (sort, ..) = Sort::ALL.iter().find(|(_, key, _)| *key == letter)?;
            Action::Sort(*sort)
        }
        _ => return None,
    })
}

impl Ui {
    /// Does what a key says.
    pub(super) fn key(&mut self, key: KeyEvent) {
        if let Some(action) = action(self.mode, key) {
            self.apply(action);
        }
    }

    pub(super) fn apply(&mut self, action: Action) {
        let step = |by: usize| by.max(1);
        match action {
            Action::Quit => self.wants_to_quit = true,
            Action::Sort(sort) if sort == self.sort => self.is_reversed = !self.is_reversed,
            Action::Sort(sort) => self.sort_by(sort),
            Action::NextSort => self.sort_by(self.sort.behind(1)),
            Action::PreviousSort => self.sort_by(self.sort.behind(Sort::ALL.len() - 1)),
            Action::Reverse => self.is_reversed = !self.is_reversed,
            Action::EditFilter => self.mode = Mode::Filter,
            Action::ClearFilter => (self.mode, self.filter) = (Mode::Table, String::new()),
            Action::Type(c) => self.filter.extend(c.to_lowercase()),
            Action::Erase => drop(self.filter.pop()),
            Action::Accept | Action::Close => self.mode = Mode::Table,
            Action::Pause => self.is_paused = !self.is_paused,
            Action::SwitchPane => {
                self.pane = match self.pane {
                    Pane::Flows => Pane::Messages,
                    Pane::Messages => Pane::Flows,
                };
            }
            Action::Zoom => self.is_zoomed = !self.is_zoomed,
            Action::ToggleEnded => self.hides_ended = !self.hides_ended,
            Action::Details => self.mode = self.current.map_or(self.mode, Mode::Details),
            Action::Help => self.mode = Mode::Help,
            Action::Up => self.scroll(-1, 1),
            Action::Down => self.scroll(1, 1),
            Action::PageUp => self.scroll(-1, step(self.page)),
            Action::PageDown => self.scroll(1, step(self.page)),
            Action::First => self.scroll(-1, usize::MAX),
            Action::Last => self.scroll(1, usize::MAX),
        }
    }

    fn sort_by(&mut self, sort: Sort) {
        (self.sort, self.is_reversed) = (sort, false);
    }

    /// Moves by so many lines.
    fn scroll(&mut self, direction: i8, lines: usize) {
        let back = direction < 0;
        match self.pane {
            Pane::Flows => {
                let cursor = &mut self.flows.cursor;
                let last = self.row_count.saturating_sub(1);
                *cursor =
                    if back { cursor.saturating_sub(lines) } else { cursor.saturating_add(lines) };
                *cursor = (*cursor).min(last);
            }
            Pane::Messages => {
                let (oldest, latest) = self.message_numbers;
                let (at, lines) = (self.last_message.unwrap_or(latest), lines as u64);
                let to = if back { at.saturating_sub(lines) } else { at.saturating_add(lines) };
                // The oldest one stands in the first line, not in the last.
                let first = oldest.saturating_add(self.page.saturating_sub(1) as u64);
                self.last_message = Some(to.max(first)).filter(|&to| to < latest);
            }
        }
    }

    /// The flows to show, and how many there are in all: as many as there is room for, from the
    /// place of the cursor, which is moved into the list.
    pub(super) fn rows<'a>(&mut self, model: &'a Model, room: usize) -> (Vec<&'a Row>, usize) {
        let mut text = String::new();
        let mut rows: Vec<_> = model
            .rows()
            .filter(|row| row.is_open() || !self.hides_ended || model.is_finished)
            .filter(|row| self.filter.is_empty() || self.matches_row(row, &mut text))
            .collect();
        let count = rows.len();
        self.flows.clamp(count, room);
        let Scroll { offset, cursor } = self.flows;
        // Only those in front of what is shown need to be found, not their order.
        let compare = |a: &&Row, b: &&Row| {
            let order = self.sort.order(model, a, b);
            let order = if self.is_reversed { order.reverse() } else { order };
            order.then(a.flow.cmp(&b.flow))
        };
        let end = offset.saturating_add(room).min(count);
        if end < count {
            rows.select_nth_unstable_by(end, compare);
            rows.truncate(end);
        }
        if offset > 0 && offset < rows.len() {
            rows.select_nth_unstable_by(offset, compare);
        }
        let mut shown = rows.split_off(offset.min(rows.len()));
        shown.sort_unstable_by(compare);
        (self.row_count, self.current) =
            (count, shown.get(cursor.saturating_sub(offset)).map(|row| row.flow));
        (shown, count)
    }

    /// The messages to show, oldest first, as many as there is room for.
    pub(super) fn messages<'a>(&mut self, model: &'a Model, room: usize) -> Vec<&'a Message> {
        let oldest = model.messages.front().map_or(0, |message| message.number);
        self.message_numbers = (oldest, model.totals.messages.saturating_sub(1));
        // What is scrolled to may have been forgotten.
        self.last_message = self.last_message.map(|last| last.max(oldest));
        let last = self.last_message.unwrap_or(u64::MAX);
        let upto = model.messages.iter().rev().skip_while(|message| message.number > last);
        let matching = upto.filter(|message| self.matches_message(message));
        let mut shown: Vec<_> = matching.take(room).collect();
        shown.reverse();
        shown
    }

    fn matches_row(&self, row: &Row, text: &mut String) -> bool {
        use std::fmt::Write as _;
        text.clear();
        let (source, destination) = (row.ends.source(), row.ends.destination());
        // Infallible: a string takes whatever is written.
        let _ = write!(
            text,
            "{} {} {source} {destination} {} {}",
            row.flow,
            row.proto(),
            row.state,
            row.application
        );
        text.to_lowercase().contains(&self.filter)
    }

    fn matches_message(&self, message: &Message) -> bool {
        self.filter.is_empty() || message.words().to_lowercase().contains(&self.filter)
    }
}
