use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A file that has no end, as it is still being written.
pub(super) struct Growing {
    file: File,
    stop: Arc<AtomicBool>,
}

/// Pause between two looks at whether the file has grown.
///
/// Rationale: shorter than anybody notices, and ten looks a second cost nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Growing {
    /// Opens it, with what ends it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Arc<AtomicBool>)> {
        let stop = Arc::new(AtomicBool::new(false));
        Ok((Self { file: File::open(path)?, stop: Arc::clone(&stop) }, stop))
    }
}

impl Read for Growing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.file.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.stop.load(Ordering::Relaxed) {
                return Ok(read);
            }
            if self.file.stream_position()? > self.file.metadata()?.len() {
                return Err(io::Error::other("the file has become shorter"));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}
