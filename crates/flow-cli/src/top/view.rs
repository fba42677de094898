//! Draws a [`Model`] as a [`Ui`] wants it.

use flow::{FlowSide, Timestamp};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Margin, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row as TableRow, Table};

use super::model::{Message, Model, Row, State};
use super::ui::{Mode, Pane, Sort, Ui};
use crate::output::{Escaped, duration, moment};

/// What the reading is at.
#[derive(Clone, Debug, Default)]
pub(super) struct Status {
    /// The file or interface.
    pub(super) source: String,
    pub(super) phase: Phase,
    /// What went wrong.
    pub(super) complaint: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Phase {
    /// As fast as possible; how much is done, in percent.
    #[default]
    Starting,
    Reading(u8),
    /// At the speed of the capture, times this.
    Replaying(f64),
    /// What passes on an interface.
    Live,
    Finished,
}

/// Lines above the table.
const HEADER: u16 = 2;

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, ui: &mut Ui, status: &Status) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(HEADER), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    header(frame, head, model, ui, status);
    let panes = match (ui.is_zoomed, ui.pane) {
        (true, Pane::Flows) => [Constraint::Fill(1), Constraint::Length(0)],
        (true, Pane::Messages) => [Constraint::Length(0), Constraint::Fill(1)],
        (false, _) => [Constraint::Fill(3), Constraint::Fill(2)],
    };
    let [upper, lower] = Layout::vertical(panes).areas(body);
    flows(frame, upper, model, ui);
    messages(frame, lower, model, ui);
    footer(frame, foot, ui, status);
    match ui.mode {
        Mode::Help => help(frame),
        Mode::Details(flow) => details(frame, model, flow),
        Mode::Table | Mode::Filter => {}
    }
}

fn header(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &Ui, status: &Status) {
    let phase = match status.phase {
        Phase::Starting => "reading".to_owned(),
        Phase::Reading(percent) => format!("reading {percent} %"),
        Phase::Replaying(speed) => format!("replaying x{speed}"),
        Phase::Live => "live".to_owned(),
        Phase::Finished => "finished".to_owned(),
    };
    let mut first = vec![
        Span::from("flow top ").bold(),
        Span::from(Escaped(&status.source).to_string()),
        Span::from("  "),
        Span::from(phase).green(),
    ];
    if ui.is_paused && status.phase != Phase::Finished {
        first.push(Span::from("  PAUSED").yellow().bold());
    }
    let first = Line::from(first);
    let row = Rect { height: area.height.min(1), ..area };
    let time = format!(" {} +{}", moment(model.now), duration(model.lasted()));
    if model.began.is_some() && first.width() + time.len() <= usize::from(area.width) {
        frame.render_widget(Line::from(time).alignment(Alignment::Right), row);
    }
    frame.render_widget(first, row);
    let second = Rect { y: area.y.saturating_add(1), height: area.height.min(1), ..area };
    frame.render_widget(Line::from(totals(model)), second.intersection(area));
}

fn totals(model: &Model) -> Vec<Span<'static>> {
    let totals = &model.totals;
    let (packets, bytes) = model.rates();
    let mut spans = vec![
        Span::from(format!(
            "{} packets  {}  ",
            totals.packets,
            with_unit(totals.bytes as f64, "B")
        )),
        Span::from(format!("{} packets/s  {}", scaled(packets), with_unit(bytes * 8.0, "bit/s")))
            .bold(),
        Span::from(format!(
            "  {} flows, {} open  {} messages",
            totals.flows, totals.open, totals.messages
        )),
    ];
    if let Some(capture) = model.capture {
        let dropped = capture.dropped.saturating_add(capture.dropped_by_interface);
        let span = Span::from(format!("  {dropped} dropped"));
        spans.push(if dropped > 0 { span.red().bold() } else { span });
    }
    spans
}

/// A column of the table of flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Column {
    title: &'static str,
    sort: Sort,
    width: u16,
    is_number: bool,
    /// Columns of a lower rank are the first to go where there is no room.
    rank: u8,
}

const fn column(title: &'static str, sort: Sort, width: u16, is_number: bool, rank: u8) -> Column {
    Column { title, sort, width, is_number, rank }
}

const COLUMNS: [Column; 11] = [
    column("flow", Sort::Started, 6, true, 2),
    column("proto", Sort::Proto, 6, false, 5),
    column("initiator", Sort::Initiator, SHORTEST_END, false, HIGHEST_RANK),
    column("responder", Sort::Responder, SHORTEST_END, false, HIGHEST_RANK),
    column("state", Sort::State, 12, false, 3),
    column("packets", Sort::Packets, 7, true, 4),
    column("bytes >", Sort::Sent, 7, true, 7),
    column("< bytes", Sort::Received, 7, true, 7),
    column("bit/s", Sort::Rate, 7, true, 8),
    column("lasted", Sort::Lasted, 8, true, 1),
    column("application", Sort::Application, 12, false, 6),
];

/// The rank of columns that are always there.
const HIGHEST_RANK: u8 = 9;

/// The width of an end of a flow: an IPv4 address with a port.
const SHORTEST_END: u16 = 21;

/// The columns that there is room for, with their widths, given that of the longest end of a flow.
fn columns(width: u16, longest_end: usize) -> Vec<Column> {
    let mut columns = COLUMNS.to_vec();
    let taken = |columns: &[Column]| columns.iter().map(|column| column.width + 1).sum::<u16>() - 1;
    for rank in 1..HIGHEST_RANK {
        if taken(&columns) > width {
            columns.retain(|column| column.rank != rank);
        }
    }
    // What is left over goes to long addresses, at most two thirds of it, and to the application.
    let spare = width.saturating_sub(taken(&columns)) / 3;
    let end = u16::try_from(longest_end).unwrap_or(u16::MAX);
    let end = end.clamp(SHORTEST_END, SHORTEST_END + spare);
    for column in &mut columns {
        if matches!(column.sort, Sort::Initiator | Sort::Responder) {
            column.width = end;
        }
    }
    let rest = width.saturating_sub(taken(&columns));
    if let Some(last) = columns.last_mut().filter(|column| column.sort == Sort::Application) {
        last.width += rest;
    }
    columns
}

fn flows(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &mut Ui) {
    // The line above it and the titles.
    let room = usize::from(area.height.saturating_sub(2));
    let (rows, count) = ui.rows(model, room);
    if ui.pane == Pane::Flows {
        ui.page = room;
    }
    for Row { ends, .. } in &rows {
        let ends = [ends.source().to_string(), ends.destination().to_string()];
        // It only grows, so that columns do not move to and fro.
        ui.longest_end = ends.iter().map(String::len).fold(ui.longest_end, usize::max);
    }
    let columns = columns(area.width, ui.longest_end);
    let titles = columns.iter().map(|column| {
        let is_average = column.sort == Sort::Rate && model.is_finished;
        let name = if is_average { "avg bps" } else { column.title };
        let style = Style::new().bold();
        let style = if column.sort == ui.sort { style.underlined() } else { style };
        aligned(name.to_owned(), column).style(style)
    });
    let table = rows.iter().enumerate().map(|(at, row)| {
        let mut style = style_of(row);
        if at + ui.flows.offset == ui.flows.cursor {
            style = style.add_modifier(Modifier::REVERSED);
        }
        let cells = columns.iter().map(|column| aligned(text_of(column.sort, row, model), column));
        TableRow::new(cells.collect::<Vec<_>>()).style(style)
    });
    let widths = columns.iter().map(|column| Constraint::Length(column.width));
    let table = Table::new(table, widths)
        .header(TableRow::new(titles))
        .column_spacing(1)
        .block(pane(title(count, model, ui), ui.pane == Pane::Flows));
    frame.render_widget(table, area);
}

/// What is listed, and in which order.
fn title(count: usize, model: &Model, ui: &Ui) -> String {
    let mut title = format!(" {count} flows by {}", ui.sort.name());
    if ui.is_reversed {
        title += ", reversed";
    }
    if ui.hides_ended && !model.is_finished {
        title += ", open ones";
    }
    if !ui.filter.is_empty() {
        title += &format!(", with \"{}\"", Escaped(&ui.filter));
    }
    title.push(' ');
    title
}

fn pane(title: String, has_focus: bool) -> Block<'static> {
    let style = if has_focus { Style::new().cyan().bold() } else { Style::new() };
    Block::new().borders(Borders::TOP).title(Span::styled(title, style))
}

fn aligned(text: String, column: &Column) -> Cell<'static> {
    let alignment = if column.is_number { Alignment::Right } else { Alignment::Left };
    Cell::from(Text::from(text).alignment(alignment))
}

fn style_of(row: &Row) -> Style {
    match row.state {
        State::Ended(_) => Style::new().add_modifier(Modifier::DIM),
        State::Open(_) => Style::new(),
    }
}

fn text_of(column: Sort, row: &Row, model: &Model) -> String {
    match column {
        Sort::Started => row.flow.to_string(),
        Sort::Proto => row.proto(),
        Sort::Initiator => row.ends.source().to_string(),
        Sort::Responder => row.ends.destination().to_string(),
        Sort::State => row.state.to_string(),
        Sort::Packets => scaled(row.packets() as f64),
        Sort::Bytes => scaled(row.bytes() as f64),
        Sort::Sent => scaled(row.sent[0].bytes as f64),
        Sort::Received => scaled(row.sent[1].bytes as f64),
        Sort::Rate => scaled(model.rate_of(row) * 8.0),
        Sort::Lasted => duration(row.lasted()),
        Sort::Application => row.application.clone(),
    }
}

fn messages(frame: &mut Frame<'_>, area: Rect, model: &Model, ui: &mut Ui) {
    let room = usize::from(area.height.saturating_sub(1));
    let shown = ui.messages(model, room);
    let lines: Vec<_> = shown.into_iter().map(|message| line_of(message, area.width)).collect();
    if ui.pane == Pane::Messages {
        ui.page = room;
    }
    let scrolled = if ui.last_message.is_some() { ", scrolled back" } else { "" };
    let title = format!(" messages{scrolled} ");
    let block = pane(title, ui.pane == Pane::Messages);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// Terminals from this width on show the whole line of `flow log`.
const WIDE: u16 = 120;

fn line_of(message: &Message, width: u16) -> Line<'static> {
    let color = match message.proto {
        "http" => Color::Green,
        "tls" => Color::Magenta,
        "dns" => Color::Blue,
        _ => Color::Yellow,
    };
    if width >= WIDE {
        return Line::from(vec![
            Span::from(format!("{} ", moment(message.ts))).dim(),
            Span::from(message.words()),
        ]);
    }
    let arrow = if message.side == FlowSide::Initiator { "->" } else { "<-" };
    let flow = message.flow.map(|session| session.flow.to_string()).unwrap_or_default();
    Line::from(vec![
        Span::from(format!("{} ", time_of_day(message.ts))).dim(),
        Span::from(format!("{flow:>6} {arrow} ")),
        Span::from(format!("{:5} ", message.proto)).fg(color),
        Span::from(message.text.clone()),
    ])
}

fn time_of_day(ts: Timestamp) -> String {
    moment(ts).split_once(' ').map(|(_, time)| time.to_owned()).unwrap_or_default()
}

fn footer(frame: &mut Frame<'_>, area: Rect, ui: &Ui, status: &Status) {
    let line = match (ui.mode, &status.complaint) {
        (Mode::Filter, _) => Line::from(vec![
            Span::from("/").bold(),
            Span::from(Escaped(&ui.filter).to_string()),
            Span::from("_").slow_blink(),
            Span::from("   Enter keep  Esc clear").dim(),
        ]),
        (_, Some(complaint)) => Line::from(Escaped(complaint).to_string()).red(),
        _ => Line::from(HINTS).dim(),
    };
    frame.render_widget(line, area);
}

const HINTS: &str = "q quit  ? help  p pause  / filter  s sort  r reverse  Enter details  Tab pane";

/// What keys do, besides those that sort.
const KEYS: [(&str, &str); 13] = [
    ("q Ctrl-C", "quit"),
    ("p Space", "pause"),
    ("/", "show what contains a text; Esc: all"),
    ("s S, < >", "sort by the next, previous column"),
    ("r", "reverse the order"),
    ("e", "hide flows that have ended"),
    ("Enter", "everything about the flow"),
    ("Tab", "go to the other pane"),
    ("z", "show one pane alone"),
    ("Up Down j k", "move"),
    ("PgUp PgDn", "move by a page"),
    ("Home End g G", "go to the first, the last"),
    ("?", "this help"),
];

fn help(frame: &mut Frame<'_>) {
    let keys = KEYS.iter().map(|(key, what)| format!(" {key:12}  {what}"));
    let sorts = Sort::ALL.iter().map(|(_, key, name)| format!(" {key}  {name}"));
    let sorts: Vec<_> = std::iter::once(" sort by".to_owned()).chain(sorts).collect();
    let mut lines: Vec<_> = keys.collect();
    lines.resize(lines.len().max(sorts.len()), String::new());
    let both = lines.iter().zip(sorts.iter().map(String::as_str).chain(std::iter::repeat("")));
    let lines = both.map(|(key, sort)| Line::from(format!("{key:48}{sort}"))).collect();
    popup(frame, " keys ", lines);
}

fn details(frame: &mut Frame<'_>, model: &Model, flow: u64) {
    let mut lines = Vec::new();
    match model.row(flow) {
        None => lines.push(Line::from(" It is not known any more.")),
        Some(row) => {
            let [sent, received] = row.sent;
            let side = |sent: flow::Traffic| {
                let flow::Traffic { packets, bytes, payload_bytes } = sent;
                format!("{packets} packets, {bytes} bytes, {payload_bytes} of payload")
            };
            let state = match row.state {
                State::Open(state) => format!("open, {state}"),
                State::Ended(reason) => format!("ended, {reason}"),
            };
            let fields = [
                ("initiator", row.ends.source().to_string()),
                ("", side(sent)),
                ("responder", row.ends.destination().to_string()),
                ("", side(received)),
                ("protocol", row.proto()),
                ("state", state),
                ("first packet", moment(row.started)),
                ("last packet", moment(row.last_seen)),
                ("lasted", duration(row.lasted())),
                ("rate", with_unit(model.rate_of(row) * 8.0, "bit/s")),
                ("application", row.application.clone()),
            ];
            let line = |(name, value)| Line::from(format!(" {name:13} {value}"));
            lines.extend(fields.map(line));
        }
    }
    lines.push(Line::default());
    let of_flow = |message: &&Message| message.flow.is_some_and(|session| session.flow == flow);
    let room = usize::from(frame.area().height).saturating_sub(lines.len() + 4);
    let mut latest: Vec<_> =
        model.messages.iter().rev().filter(of_flow).take(room).map(|m| line_of(m, 0)).collect();
    latest.reverse();
    lines.extend(latest);
    popup(frame, &format!(" flow {flow} "), lines);
}

/// A box over everything else.
fn popup(frame: &mut Frame<'_>, title: &str, lines: Vec<Line<'static>>) {
    let area = frame.area().inner(Margin::new(0, 1));
    let wanted = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let area = Rect { height: area.height.min(wanted), ..area };
    let block = Block::bordered().title(title.to_owned()).title_bottom(" Esc closes ");
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

/// A number with three digits or so, and the letter of its thousands: `12.5M`.
fn scaled(number: f64) -> String {
    let (digits, letter) = digits(number);
    format!("{digits}{letter}")
}

/// The same in front of a unit: `12.5 Mbit/s`.
fn with_unit(number: f64, unit: &str) -> String {
    let (digits, letter) = digits(number);
    format!("{digits} {letter}{unit}")
}

fn digits(number: f64) -> (String, &'static str) {
    const LETTERS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut number, mut letters) = (number, LETTERS.iter());
    let mut letter = letters.next();
    while number >= 999.5
        && let Some(next) = letters.next()
    {
        (number, letter) = (number / 1_000.0, Some(next));
    }
    let letter = letter.copied().unwrap_or_default();
    let places = match number {
        _ if letter.is_empty() => 0,
        0.0..9.995 => 2,
        9.995..99.95 => 1,
        _ => 0,
    };
    (format!("{number:.places$}"), letter)
}

/// Part of the file that was read, in percent.
pub(super) fn percent(read: u64, total: Option<u64>) -> Phase {
    match total {
        Some(total @ 1..) => {
            let percent = u128::from(read) * 100 / u128::from(total);
            Phase::Reading(u8::try_from(percent).unwrap_or(100).min(100))
        }
        _ => Phase::Starting,
    }
}
