use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flow::FlowSide;

use super::Stream;
use crate::anomaly::side_name;
use crate::sessions::Session;

/// Files that are open at the same time.
///
/// Rationale: connections that are busy at the same time are few; systems allow a process 256 open
/// files or more.
const MAX_OPEN: usize = 64;

/// Bytes collected per open file before they are written.
const BUFFER: usize = 16 << 10;

/// A file for each stream, in one folder.
#[derive(Debug)]
pub(crate) struct Files {
    folder: PathBuf,
    /// At most [`MAX_OPEN`].
    open: HashMap<Stream, Open>,
    /// Uses so far.
    uses: u64,
}

#[derive(Debug)]
struct Open {
    path: PathBuf,
    writer: BufWriter<File>,
    /// The number of its last use.
    used: u64,
}

impl Files {
    /// Files in `folder`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// It is not there and cannot be made.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder).map_err(|error| named(folder, &error))?;
        let folder = folder.to_owned();
        Ok(Self { folder, open: HashMap::new(), uses: 0 })
    }

    /// Writes the next bytes of a stream to its file, which is made if these are the `first`.
    ///
    /// # Errors
    ///
    /// A file cannot be made or written.
    pub(crate) fn write(
        &mut self,
        session: Session,
        side: FlowSide,
        bytes: &[u8],
        first: bool,
    ) -> io::Result<()> {
        let stream = (session.flow, side);
        if !self.open.contains_key(&stream) {
            if self.open.len() >= MAX_OPEN {
                self.close_oldest()?;
            }
            let path = self.folder.join(name(session, side));
            let opened = if first { create(&path) } else { reopen(&path) };
            let file = opened.map_err(|error| named(&path, &error))?;
            let writer = BufWriter::with_capacity(BUFFER, file);
            self.open.insert(stream, Open { path, writer, used: 0 });
        }
        self.uses += 1;
        let Some(file) = self.open.get_mut(&stream) else { return Ok(()) };
        file.used = self.uses;
        file.writer.write_all(bytes).map_err(|error| named(&file.path, &error))
    }

    /// A stream with a file is over. Gives the path of the file.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(crate) fn close(&mut self, session: Session, side: FlowSide) -> io::Result<PathBuf> {
        match self.open.remove(&(session.flow, side)) {
            Some(file) => file.close(),
            None => Ok(self.folder.join(name(session, side))),
        }
    }

    fn close_oldest(&mut self) -> io::Result<()> {
        let oldest = self.open.iter().min_by_key(|(_, file)| file.used).map(|(stream, _)| *stream);
        match oldest.and_then(|stream| self.open.remove(&stream)) {
            Some(file) => file.close().map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Open {
    fn close(mut self) -> io::Result<PathBuf> {
        self.writer.flush().map_err(|error| named(&self.path, &error))?;
        Ok(self.path)
    }
}

/// Makes a file in place of what has its name. That may be a link to another place, which must not
/// be written to.
fn create(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn reopen(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).open(path)
}

/// The error with the path that it is about.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}

/// `10.0.0.1.40000-10.0.0.2.80.7.initiator`. A colon, which some systems do not take in a name, is
/// an underscore.
fn name(session: Session, side: FlowSide) -> String {
    let Session { flow, ends } = session;
    let port = |port: Option<u16>| port.map_or_else(String::new, |port| format!(".{port}"));
    let (sport, dport) = (port(ends.sport), port(ends.dport));
    let name = format!("{}{sport}-{}{dport}.{flow}.{}", ends.src, ends.dst, side_name(side));
    let safe = |c: char| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '_' };
    name.chars().map(safe).collect()
}
