use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use clap::Parser as _;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use flow::extract::FiveTuple;
use flow::{
    EndReason, Flow, FlowSide, FlowSink, FlowState, FlowTracker, LinkType, PacketView, Timestamp,
    Traffic,
};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::feed::{Reader, Shared};
use super::model::{Model, State};
use super::ui::{Action, Mode, Pane, Scroll, Sort, Ui, action};
use super::view::{Phase, Status, draw};
use crate::args::{Buffer, Cli, Command, Common, TopOptions};
use crate::input::{self, Consumer, Skipped, Watched};
use crate::log;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}

/// The arguments of `flow top` for these fixtures.
fn arguments(names: &[&str], options: &[&str]) -> (Common, Buffer, TopOptions) {
    let files = names.iter().map(|name| fixtures().join(name).to_str().unwrap().to_owned());
    let options = options.iter().map(|option| (*option).to_owned());
    let arguments = ["flow", "top"].map(str::to_owned).into_iter().chain(options).chain(files);
    match Cli::parse_from(arguments).command {
        Command::Top { common, buffer, options } => (common, buffer, options),
        _ => panic!(),
    }
}

/// What is known of these fixtures, read to the end.
fn read(names: &[&str], options: &[&str]) -> Model {
    let (common, buffer, options) = arguments(names, options);
    let skipped = Skipped::default();
    let shared = Arc::new(Shared::new(log::sessions(&common, &buffer, &skipped)));
    let mut reader = Reader::new(Arc::clone(&shared), options.speed, false);
    input::read_all(&common, &skipped, &mut reader).unwrap();
    shared.look().model.clone()
}

/// The numbers of the flows in the order in which they are shown.
fn order(model: &Model, ui: &mut Ui) -> Vec<u64> {
    ui.rows(model, usize::MAX).0.iter().map(|row| row.flow).collect()
}

/// Flows as a tracker alone counts them.
struct Reference {
    tracker: FlowTracker<Watched<FiveTuple>>,
    flows: Flows,
}

#[derive(Default)]
struct Flows(BTreeMap<u64, [Traffic; 2]>);

impl<K, S> FlowSink<K, S> for Flows {
    fn ended(&mut self, flow: &mut Flow<K, S>, _: EndReason, _: Timestamp) {
        let stats = flow.stats();
        self.0.insert(flow.id(), FlowSide::BOTH.map(|side| stats.sent_by(side)));
    }
}

impl Consumer for Reference {
    fn packet(&mut self, view: PacketView<'_>) -> io::Result<()> {
        self.tracker.track_with(view, &mut self.flows);
        Ok(())
    }

    fn idle(&mut self, _: Timestamp) -> io::Result<()> {
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.tracker.finish_with(&mut self.flows);
        Ok(())
    }
}

#[test]
fn flows_are_those_of_conv() {
    let files = std::fs::read_dir(fixtures()).unwrap();
    let names = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut compared = 0;
    for name in names.filter(|name| !name.ends_with(".json")) {
        let (common, ..) = arguments(&[&name], &[]);
        let skipped = Skipped::default();
        let extractor = Watched::new(common.five_tuple(), &common, &skipped);
        let tracker = FlowTracker::new(extractor).with_config(common.tracker_config());
        let mut reference = Reference { tracker, flows: Flows::default() };
        input::read_all(&common, &skipped, &mut reference).unwrap();
        let model = read(&[&name], &[]);
        let found: BTreeMap<_, _> = model.rows().map(|row| (row.flow, row.sent)).collect();
        assert_eq!(found, reference.flows.0, "{name}");
        assert_eq!((model.totals.flows, model.totals.open), (found.len() as u64, 0), "{name}");
        assert_eq!(model.totals.packets, reference.tracker.stats().packets, "{name}");
        compared += found.len();
    }
    assert!(compared > 50);
}

#[test]
fn flows_have_the_names_of_what_they_are_about() {
    let check = |name, expected: &[&str]| {
        let model = read(&[name], &[]);
        let mut rows: Vec<_> = model.rows().collect();
        rows.sort_by_key(|row| row.flow);
        let names: Vec<_> = rows.iter().map(|row| row.application.as_str()).collect();
        assert_eq!(names, expected);
    };
    check("http_get.pcap", &["http www.example.com"]);
    check("tls12_handshake.pcap", &["tls www.example.com"]);
    check("icmp_echo.pcap", &[""]);
    let of_dns = ["www", "cdn", "nowhere", "slow", "silent"];
    let of_dns = of_dns.map(|host| format!("dns {host}.example.com"));
    check("dns_udp.pcap", &of_dns.each_ref().map(String::as_str));
}

#[test]
fn states_of_flows() {
    let check = |name, expected: &[EndReason]| {
        let model = read(&[name], &[]);
        let mut rows: Vec<_> = model.rows().collect();
        rows.sort_by_key(|row| row.flow);
        let ended = expected.iter().map(|reason| State::Ended(*reason)).collect::<Vec<_>>();
        assert_eq!(rows.iter().map(|row| row.state).collect::<Vec<_>>(), ended);
    };
    check("http_get.pcap", &[EndReason::Fin]);
    check("tcp_rst.pcap", &[EndReason::Rst]);
    check("icmp_echo.pcap", &[EndReason::EndOfInput]);
}

/// An IPv4 packet of this protocol.
fn ipv4(proto: u8, payload: &[u8]) -> Vec<u8> {
    let len = u8::try_from(20 + payload.len()).unwrap();
    let header = [0x45, 0, 0, len, 0, 0, 0, 0, 64, proto, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    [&header, payload].concat()
}

/// Of protocols without messages, too, and though many flows come and go between two looks.
#[test]
fn flows_end_when_their_time_is_over() {
    let (common, buffer, _) = arguments(&BOTH, &[]);
    let shared = Shared::new(log::sessions(&common, &buffer, &Skipped::default()));
    let (echo, datagram) = ([8, 0, 0, 0, 0, 7, 0, 1], [0, 9, 0, 9, 0, 8, 0, 0]);
    for (proto, payload, secs) in
        [(1, echo, 0), (1, echo, 1), (17, datagram, 2), (17, datagram, 500)]
    {
        let packet = ipv4(proto, &payload);
        let view = PacketView::new(&packet, Timestamp::new(1_000_000 + secs, 0));
        shared.feed().packet(view.with_link_type(LinkType::RAW));
    }
    let mut feed = shared.look();
    feed.look();
    let mut rows: Vec<_> =
        feed.model.rows().map(|row| (row.flow, row.packets(), row.state)).collect();
    rows.sort_by_key(|row| row.0);
    let (timeout, open) = (State::Ended(EndReason::IdleTimeout), State::Open(FlowState::Active));
    assert_eq!(rows, [(0, 2, timeout), (1, 1, timeout), (2, 1, open)]);
    assert_eq!((feed.model.totals.flows, feed.model.totals.open), (3, 1));
    assert_eq!(feed.model.lasted().as_secs(), 500);
}

#[test]
fn anomalies_stand_between_messages() {
    let check = |options: &[&str], expected: &[&str]| {
        let model = read(&["http_gap.pcap"], options);
        let anomalies = model.messages.iter().filter(|message| message.proto == "!");
        let kinds: Vec<_> =
            anomalies.filter_map(|message| message.text.split(',').next()).collect();
        assert_eq!(kinds, expected);
    };
    check(&[], &[]);
    let out_of_order = "out_of_order_segment by the responder";
    let expected = [out_of_order, out_of_order, "stream_gap by the responder"];
    check(&["--anomalies"], &expected);
}

/// Six flows: five of DNS, one of HTTP.
const BOTH: [&str; 2] = ["dns_udp.pcap", "http_get.pcap"];

#[track_caller]
fn check_order(actions: &[Action], expected: &[u64]) {
    let (model, mut ui) = (read(&BOTH, &[]), Ui::default());
    actions.iter().for_each(|action| ui.apply(*action));
    assert_eq!(order(&model, &mut ui), expected);
}

#[test]
fn orders() {
    check_order(&[], &[5, 2, 1, 0, 4, 3]);
    check_order(&[Action::Reverse], &[3, 4, 0, 1, 2, 5]);
    check_order(&[Action::Sort(Sort::Rate)], &[3, 4, 0, 1, 2, 5]);
    check_order(&[Action::Sort(Sort::Started)], &[5, 4, 3, 2, 1, 0]);
    check_order(&[Action::Sort(Sort::Sent)], &[5, 3, 2, 4, 0, 1]);
    check_order(&[Action::Sort(Sort::Packets)], &[5, 3, 0, 1, 2, 4]);
    check_order(&[Action::Sort(Sort::Proto)], &[5, 0, 1, 2, 3, 4]);
    check_order(&[Action::Sort(Sort::Initiator)], &[5, 0, 1, 2, 3, 4]);
    check_order(&[Action::Sort(Sort::Application)], &[1, 2, 4, 3, 0, 5]);
    // The next of all is the first again.
    check_order(&[Action::NextSort; 12], &[5, 2, 1, 0, 4, 3]);
    check_order(&[Action::NextSort, Action::PreviousSort], &[5, 2, 1, 0, 4, 3]);
}

/// However few rows are shown, they are the ones that a whole sort has there.
#[test]
fn parts_of_the_list() {
    let model = read(&BOTH, &[]);
    for (sort, ..) in Sort::ALL {
        let mut ui = Ui { sort, ..Ui::default() };
        let all = order(&model, &mut ui);
        for room in 1..8 {
            for cursor in 0..8 {
                ui.flows.cursor = cursor;
                let (rows, count) = ui.rows(&model, room);
                let shown: Vec<_> = rows.iter().map(|row| row.flow).collect();
                let Scroll { cursor, offset } = ui.flows;
                assert_eq!(count, 6);
                assert_eq!(shown, all[offset..(offset + room).min(6)]);
                assert_eq!(ui.current, Some(all[cursor]));
                assert!(cursor >= offset && cursor < offset + room);
            }
        }
    }
}

#[test]
fn filters() {
    let model = read(&BOTH, &[]);
    let check = |filter: &str, flows: &[u64], messages: usize| {
        let mut ui = Ui { sort: Sort::Started, is_reversed: true, ..Ui::default() };
        ui.apply(Action::EditFilter);
        filter.chars().for_each(|c| ui.apply(Action::Type(c)));
        ui.apply(Action::Accept);
        assert_eq!(order(&model, &mut ui), flows, "{filter}");
        assert_eq!(ui.messages(&model, 100).len(), messages, "{filter}");
    };
    check("", &[0, 1, 2, 3, 4, 5], 16);
    check("udp", &[0, 1, 2, 3, 4], 0);
    check("10.0.0.2:80", &[5], 6);
    check("NOWHERE", &[2], 2);
    check("www.example.com", &[0, 5], 6);
    check("no such thing", &[], 0);
}

#[test]
fn scrolling() {
    let check = |cursor, offset, count, shown, expected: (usize, usize)| {
        let mut scroll = Scroll { cursor, offset };
        scroll.clamp(count, shown);
        assert_eq!((scroll.cursor, scroll.offset), expected);
    };
    check(0, 0, 0, 10, (0, 0));
    check(5, 0, 100, 10, (5, 0));
    check(10, 0, 100, 10, (10, 1));
    check(5, 8, 100, 10, (5, 5));
    check(99, 0, 100, 10, (99, 90));
    check(200, 150, 100, 10, (99, 90));
    check(3, 2, 4, 10, (3, 0));
    check(3, 2, 4, 0, (3, 3));
}

#[test]
fn messages_scroll_back_and_stay() {
    let model = read(&BOTH, &[]);
    let mut ui = Ui { pane: Pane::Messages, ..Ui::default() };
    let mut check = |actions: &[Action], expected: &[u64]| {
        ui.page = 3;
        actions.iter().for_each(|action| ui.apply(*action));
        let shown = ui.messages(&model, 3);
        assert_eq!(shown.iter().map(|message| message.number).collect::<Vec<_>>(), expected);
    };
    check(&[], &[13, 14, 15]);
    check(&[Action::Up], &[12, 13, 14]);
    check(&[Action::PageUp], &[9, 10, 11]);
    check(&[Action::First], &[0, 1, 2]);
    check(&[Action::Down, Action::Down], &[2, 3, 4]);
    check(&[Action::Last], &[13, 14, 15]);
    check(&[Action::Down], &[13, 14, 15]);
}

#[track_caller]
fn check_key(mode: Mode, keys: &[KeyCode], expected: Option<Action>) {
    for key in keys {
        assert_eq!(action(mode, KeyEvent::from(*key)), expected, "{key:?}");
    }
}

#[test]
fn keys() {
    use KeyCode::{Backspace, Char, Down, End, Enter, Esc, F, Home, PageDown, PageUp, Tab, Up};
    let table: [(&[KeyCode], Action); 20] = [
        (&[Char('q')], Action::Quit),
        (&[Char('s'), Char('>'), KeyCode::Right], Action::NextSort),
        (&[Char('S'), Char('<'), KeyCode::Left], Action::PreviousSort),
        (&[Char('r')], Action::Reverse),
        (&[Char('/')], Action::EditFilter),
        (&[Esc], Action::ClearFilter),
        (&[Char('p'), Char(' ')], Action::Pause),
        (&[Tab], Action::SwitchPane),
        (&[Char('z')], Action::Zoom),
        (&[Char('e')], Action::ToggleEnded),
        (&[Enter], Action::Details),
        (&[Char('?'), Char('h'), F(1)], Action::Help),
        (&[Up, Char('k')], Action::Up),
        (&[Down, Char('j')], Action::Down),
        (&[PageUp], Action::PageUp),
        (&[PageDown], Action::PageDown),
        (&[Home, Char('g')], Action::First),
        (&[End, Char('G')], Action::Last),
        (&[Char('t')], Action::Sort(Sort::Rate)),
        (&[Char('a')], Action::Sort(Sort::Application)),
    ];
    for (keys, expected) in table {
        check_key(Mode::Table, keys, Some(expected));
    }
    check_key(Mode::Table, &[Char('#'), F(2)], None);
    check_key(Mode::Filter, &[Char('q')], Some(Action::Type('q')));
    check_key(Mode::Filter, &[Enter], Some(Action::Accept));
    check_key(Mode::Filter, &[Esc], Some(Action::ClearFilter));
    check_key(Mode::Filter, &[Backspace], Some(Action::Erase));
    check_key(Mode::Filter, &[Up, Tab], None);
    check_key(Mode::Help, &[Esc, Char('q'), Char('x'), Up], Some(Action::Close));
    check_key(Mode::Details(1), &[Esc, Enter, Char('q')], Some(Action::Close));
    check_key(Mode::Details(1), &[Char('p')], Some(Action::Pause));
    let control_c = KeyEvent::new(Char('c'), KeyModifiers::CONTROL);
    for mode in [Mode::Table, Mode::Filter, Mode::Help, Mode::Details(1)] {
        assert_eq!(action(mode, control_c), Some(Action::Quit));
    }
}

/// No key means two things.
#[test]
fn sort_keys_are_free() {
    for (sort, key, _) in Sort::ALL {
        check_key(Mode::Table, &[KeyCode::Char(key)], Some(Action::Sort(sort)));
    }
}

#[test]
fn replay_shows_the_same() {
    let (fast, paced) = (read(&BOTH, &[]), read(&BOTH, &["--speed", "1e9"]));
    let counts = |model: &Model| {
        let rows = model.rows().map(|row| (row.flow, row.sent)).collect::<BTreeMap<_, _>>();
        (model.totals.packets, model.totals.messages, rows)
    };
    assert_eq!(counts(&paced), counts(&fast));
}

#[test]
fn reader_ends_when_nobody_looks_and_waits_while_paused() {
    let (common, buffer, _) = arguments(&BOTH, &[]);
    let skipped = Skipped::default();
    let shared = Arc::new(Shared::new(log::sessions(&common, &buffer, &skipped)));
    shared.is_paused.store(true, Ordering::Relaxed);
    let mut reader = Reader::new(Arc::clone(&shared), None, false);
    let (paused, of_thread) = (common.clone(), skipped.clone());
    let thread = std::thread::spawn(move || input::read_all(&paused, &of_thread, &mut reader));
    shared.is_over.store(true, Ordering::Relaxed);
    assert!(thread.join().unwrap().is_err());
    assert_eq!(shared.look().model.totals.packets, 0);
    // What comes by itself is read on.
    shared.is_over.store(false, Ordering::Relaxed);
    let mut live = Reader::new(Arc::clone(&shared), None, true);
    input::read_all(&common, &skipped, &mut live).unwrap();
    assert!(shared.look().model.is_finished);
}

/// What stands on a screen of this size.
fn screen(model: &Model, ui: &mut Ui, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let phase = if model.is_finished { Phase::Finished } else { Phase::Reading(0) };
    let status = Status { source: "\x1b[2Jcapture.pcap".to_owned(), phase, complaint: None };
    terminal.draw(|frame| draw(frame, model, ui, &status)).unwrap();
    let cells = &terminal.backend().buffer().content;
    let lines = cells.chunks(usize::from(width).max(1)).map(|line| {
        let line: String = line.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned() + "\n"
    });
    lines.collect()
}

#[test]
fn table_and_messages() {
    let model = read(&BOTH, &[]);
    assert_eq!(screen(&model, &mut Ui::default(), (124, 16)), TABLE);
}

#[test]
fn narrow_screen() {
    let mut ui = Ui { sort: Sort::Sent, is_reversed: true, filter: "udp".into(), ..Ui::default() };
    assert_eq!(screen(&read(&BOTH, &[]), &mut ui, (80, 12)), NARROW);
}

#[test]
fn details_of_a_flow() {
    let (model, mut ui) = (read(&BOTH, &[]), Ui::default());
    screen(&model, &mut ui, (80, 24));
    ui.apply(Action::Details);
    assert_eq!(screen(&model, &mut ui, (80, 24)), DETAILS);
}

#[test]
fn help_has_all_keys() {
    let mut ui = Ui { mode: Mode::Help, ..Ui::default() };
    let screen = screen(&Model::default(), &mut ui, (80, 24));
    for (_, key, name) in Sort::ALL {
        assert!(screen.contains(&format!("{key}  {name}")), "{name}");
    }
    assert!(screen.contains("Ctrl-C") && screen.contains("this help"));
}

/// No size makes a panic.
#[test]
fn all_sizes() {
    let model = read(&BOTH, &[]);
    for mode in [Mode::Table, Mode::Filter, Mode::Help, Mode::Details(0), Mode::Details(99)] {
        for is_zoomed in [false, true] {
            for size in (0..30).map(|i| (i * 7, 30 - i)).chain([(0, 0), (1, 1), (500, 3)]) {
                let mut ui = Ui { mode, is_zoomed, pane: Pane::Messages, ..Ui::default() };
                screen(&model, &mut ui, size);
            }
        }
    }
}

const TABLE: &str = r#"flow top \x1b[2Jcapture.pcap  finished                                                     2026-01-01 00:00:00.008000 +4.0 s
26 packets  2.26 kB  6 packets/s  4.47 kbit/s  6 flows, 0 open  16 messages
 6 flows by rate ───────────────────────────────────────────────────────────────────────────────────────────────────────────
  flow proto  initiator             responder             state        packets bytes > < bytes avg bps   lasted application
     5 tcp    10.0.0.1:40000        10.0.0.2:80           fin               16     790     521   10.5k   7.5 ms http www.exa
     2 udp    10.0.0.1:50003        10.0.0.53:53          eof                2      79     157   1.89k  12.5 ms dns nowhere.
     1 udp    10.0.0.1:50002        10.0.0.53:53          eof                2      75     147   1.78k  12.5 ms dns cdn.exam
     0 udp    10.0.0.1:50001        10.0.0.53:53          eof                2      75      91   1.33k  12.5 ms dns www.exam
     4 udp    10.0.0.1:50005        10.0.0.53:53          eof                1      78       0     624     0 us dns silent.e
     3 udp    10.0.0.1:50004        10.0.0.53:53          eof                3     152      92     488    4.0 s dns slow.exa
 messages ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────
2026-01-01 00:00:00.003500      5        10.0.0.1:40000 -> 10.0.0.2:80           http  GET www.example.com/hello.txt
2026-01-01 00:00:00.004000      5        10.0.0.1:40000 <- 10.0.0.2:80           http  304 Not Modified 0 bytes
2026-01-01 00:00:00.005000      5        10.0.0.1:40000 -> 10.0.0.2:80           http  HEAD www.example.com/large.bin
2026-01-01 00:00:00.005500      5        10.0.0.1:40000 <- 10.0.0.2:80           http  200 OK 0 bytes
q quit  ? help  p pause  / filter  s sort  r reverse  Enter details  Tab pane
"#;

const NARROW: &str = r#"flow top \x1b[2Jcapture.pcap  finished         2026-01-01 00:00:00.008000 +4.0 s
26 packets  2.26 kB  6 packets/s  4.47 kbit/s  6 flows, 0 open  16 messages
 5 flows by bytes of the initiator, reversed, with "udp" ───────────────────────
initiator             responder             bytes > < bytes avg bps application
10.0.0.1:50001        10.0.0.53:53               75      91   1.33k dns www.exam
10.0.0.1:50002        10.0.0.53:53               75     147   1.78k dns cdn.exam
10.0.0.1:50005        10.0.0.53:53               78       0     624 dns silent.e
 messages ──────────────────────────────────────────────────────────────────────



q quit  ? help  p pause  / filter  s sort  r reverse  Enter details  Tab pane
"#;

const DETAILS: &str = r#"flow top \x1b[2Jcapture.pcap  finished         2026-01-01 00:00:00.008000 +4.0 s
┌ flow 5 ──────────────────────────────────────────────────────────────────────┐
│ initiator     10.0.0.1:40000                                                 │
│               10 packets, 790 bytes, 246 of payload                          │
│ responder     10.0.0.2:80                                                    │
│               6 packets, 521 bytes, 179 of payload                           │
│ protocol      tcp                                                            │
│ state         ended, fin                                                     │
│ first packet  2026-01-01 00:00:00.000500                                     │
│ last packet   2026-01-01 00:00:00.008000                                     │
│ lasted        7.5 ms                                                         │
│ rate          10.5 kbit/s                                                    │
│ application   http www.example.com                                           │
│                                                                              │
│00:00:00.002000      5 -> http  GET www.example.com/hello.txt                 │
│00:00:00.002500      5 <- http  200 OK text/plain 13 bytes                    │
│00:00:00.003500      5 -> http  GET www.example.com/hello.txt                 │
│00:00:00.004000      5 <- http  304 Not Modified 0 bytes                      │
│00:00:00.005000      5 -> http  HEAD www.example.com/large.bin                │
│00:00:00.005500      5 <- http  200 OK 0 bytes                                │
└ Esc closes ──────────────────────────────────────────────────────────────────┘
00:00:00.005000      5 -> http  HEAD www.example.com/large.bin
00:00:00.005500      5 <- http  200 OK 0 bytes
q quit  ? help  p pause  / filter  s sort  r reverse  Enter details  Tab pane
"#;
