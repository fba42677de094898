//! The terminal: keys in, pictures out.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyEventKind};
use ratatui::DefaultTerminal;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::feed::{Feed, Reader, Shared};
use super::model::Model;
use super::ui::Ui;
use super::view::{self, Phase, Status};
use crate::args::{Buffer, Common, TopOptions};
use crate::clock;
use crate::input::{self, Skipped, complain};
use crate::log;

/// How often the flow table is looked through and the picture is drawn anew, at most.
const REDRAW: Duration = Duration::from_millis(250);

/// How many times longer it is read than drawn: a large table is looked through less often.
const READING_SHARE: u32 = 5;

/// `flow top`: the busiest flows and the latest messages, on a terminal.
///
/// # Errors
///
/// The signals cannot be taken.
pub(crate) fn run(common: &Common, buffer: &Buffer, options: &TopOptions) -> io::Result<ExitCode> {
    if !io::stdout().is_terminal() {
        let words = "`flow top` needs a terminal, which standard output is not; `flow conv` and \
                     `flow log` print lines";
        complain(&[words.to_owned()]);
        return Ok(ExitCode::from(2));
    }
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&is_stopped))?;
    }
    let skipped = Skipped::default();
    let shared = Arc::new(Shared::new(log::sessions(common, buffer, &skipped)));
    let mut screen = match Screen::open() {
        Ok(screen) => screen,
        Err(error) => return Ok(unusable(&error)),
    };
    let mut top = Top {
        reader: Some(read(common, options, &skipped, &shared)),
        shared,
        is_stopped,
        speed: options.speed,
        is_live: common.live.interface.is_some(),
        frozen: None,
        ui: Ui::default(),
    };
    let shown = top.show(&mut screen.terminal);
    top.shared.is_over.store(true, Ordering::Relaxed);
    drop(screen);
    if let Err(error) = shown {
        return Ok(unusable(&error));
    }
    let mut feed = top.shared.look();
    // What has not been read to its end is nobody's concern any more.
    let outcome = feed.outcome.take().transpose()?;
    let complaints = match &outcome {
        Some(outcome) => outcome.complaints.clone(),
        None => {
            let losses = feed.model.capture.and_then(|stats| input::losses(&feed.source.0, stats));
            losses.into_iter().collect()
        }
    };
    complain(&complaints);
    Ok(outcome.map_or(ExitCode::SUCCESS, |outcome| outcome.code()))
}

/// Says that there is no terminal that could be written to and read from.
fn unusable(error: &io::Error) -> ExitCode {
    complain(&[format!("the terminal cannot be used: {error}")]);
    ExitCode::FAILURE
}

/// Begins to read.
fn read(
    common: &Common,
    options: &TopOptions,
    skipped: &Skipped,
    shared: &Arc<Shared>,
) -> JoinHandle<()> {
    let (common, skipped, shared) = (common.clone(), skipped.clone(), Arc::clone(shared));
    let is_live = common.live.interface.is_some();
    let mut reader = Reader::new(Arc::clone(&shared), options.speed, is_live);
    thread::spawn(move || {
        let outcome = input::read_all(&common, &skipped, &mut reader);
        shared.feed().outcome = Some(outcome);
    })
}

/// The terminal in the state in which it can be drawn on. It is as before when this is gone, after
/// a panic too.
struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    fn open() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                // It may have come half the way.
                let _ = ratatui::try_restore();
                Err(error)
            }
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing else can be done about it.
        let _ = ratatui::try_restore();
        let _ = self.terminal.show_cursor();
    }
}

struct Top {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
    is_stopped: Arc<AtomicBool>,
    speed: Option<f64>,
    is_live: bool,
    /// What is shown while packets come that do not wait.
    frozen: Option<Model>,
    ui: Ui,
}

impl Top {
    /// Draws and takes keys until the user has seen enough.
    fn show(&mut self, terminal: &mut DefaultTerminal) -> io::Result<()> {
        let (mut looked, mut interval) = (None::<Instant>, REDRAW);
        while !self.ui.wants_to_quit && !self.is_stopped.load(Ordering::Relaxed) {
            let is_due = looked.is_none_or(|looked| looked.elapsed() >= interval);
            if is_due {
                self.check_reader();
                let began = clock::now();
                self.draw(terminal, true)?;
                interval = REDRAW.max(began.elapsed() * READING_SHARE);
                looked = Some(began);
            } else {
                self.draw(terminal, false)?;
            }
            let rest = looked.map_or(interval, |looked| interval.saturating_sub(looked.elapsed()));
            if event::poll(rest)? {
                self.keys()?;
            }
        }
        Ok(())
    }

    /// Takes the keys that were pressed.
    fn keys(&mut self) -> io::Result<()> {
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                self.ui.key(key);
            }
        }
        self.shared.is_paused.store(self.ui.is_paused, Ordering::Relaxed);
        if !self.ui.is_paused {
            self.frozen = None;
        } else if self.is_live && self.frozen.is_none() {
            self.frozen = Some(self.shared.look().model.clone());
        }
        Ok(())
    }

    fn draw(&mut self, terminal: &mut DefaultTerminal, looks: bool) -> io::Result<()> {
        let mut feed = self.shared.look();
        if looks {
            feed.look();
        }
        let status = self.status(&feed);
        let (frozen, ui) = (&self.frozen, &mut self.ui);
        let model = frozen.as_ref().unwrap_or(&feed.model);
        terminal.draw(|frame| view::draw(frame, model, ui, &status))?;
        Ok(())
    }

    fn status(&self, feed: &Feed) -> Status {
        let (source, read, total) = &feed.source;
        let phase = match self.speed {
            _ if feed.model.is_finished => Phase::Finished,
            _ if self.is_live => Phase::Live,
            Some(speed) => Phase::Replaying(speed),
            None => view::percent(*read, *total),
        };
        let complaint = match &feed.outcome {
            Some(Ok(outcome)) => outcome.complaints.first().cloned(),
            Some(Err(error)) => Some(error.to_string()),
            None => None,
        };
        Status { source: source.clone(), phase, complaint }
    }

    /// Hands on the panic of the reader, whose message has been printed.
    fn check_reader(&mut self) {
        if self.reader.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(reader) = self.reader.take()
            && let Err(panic) = reader.join()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
