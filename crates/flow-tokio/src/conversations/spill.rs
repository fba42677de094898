//! Bytes that wait on a disk: queues that share the blocks of one temporary file.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};

/// The file, which is made when the first byte comes.
#[derive(Debug)]
pub(crate) struct SpillFile {
    file: Option<File>,
    /// Blocks that are in no queue any more.
    free: Vec<u64>,
    /// Blocks of the file.
    blocks: u64,
    max_blocks: u64,
}

/// A queue of bytes. Invariant: unless `blocks` is empty, `read` lies in the first of them and `write`
/// in the last, or at its end.
#[derive(Debug, Default)]
pub(crate) struct SpillQueue {
    blocks: VecDeque<u64>,
    read: usize,
    write: usize,
}

/// Bytes of a block.
///
/// Rationale: large enough that the disk is written in long runs, small against what a conversation
/// spills at all.
const BLOCK: usize = 64 << 10;

impl SpillFile {
    pub(crate) fn new(max_bytes: u64) -> Self {
        Self { file: None, free: Vec::new(), blocks: 0, max_blocks: max_bytes / BLOCK as u64 }
    }

    /// Whether so many bytes more have room, whatever queue they are for.
    fn has_room(&self, bytes: usize) -> bool {
        let unused = self.max_blocks - self.blocks + self.free.len() as u64;
        (bytes.div_ceil(BLOCK) as u64) <= unused
    }

    fn take_block(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.blocks += 1;
            self.blocks - 1
        })
    }

    /// The file at a place of a block.
    fn at(&mut self, block: u64, offset: usize) -> io::Result<&mut File> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.seek(SeekFrom::Start(block * BLOCK as u64 + offset as u64))?;
        Ok(file)
    }
}

impl SpillQueue {
    /// Appends bytes. Says whether they had room; if not, nothing was appended.
    ///
    /// # Errors
    ///
    /// The file cannot be written; nothing was appended.
    pub(crate) fn push(&mut self, file: &mut SpillFile, mut bytes: &[u8]) -> io::Result<bool> {
        if !file.has_room(bytes.len()) {
            return Ok(false);
        }
        let (before, write) = (self.blocks.len(), self.write);
        while !bytes.is_empty() {
            if self.blocks.is_empty() || self.write == BLOCK {
                self.blocks.push_back(file.take_block());
                self.write = 0;
            }
            let Some(&block) = self.blocks.back() else { break };
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - self.write));
            if let Err(error) = file.at(block, self.write).and_then(|file| file.write_all(now)) {
                file.free.extend(self.blocks.drain(before..));
                self.write = write;
                return Err(error);
            }
            self.write += now.len();
            bytes = later;
        }
        Ok(true)
    }

    /// Takes the first bytes; there must be so many.
    ///
    /// # Errors
    ///
    /// The file cannot be read. The bytes are gone all the same.
    pub(crate) fn pop(&mut self, file: &mut SpillFile, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut rest = &mut bytes[..];
        let mut failed = None;
        while !rest.is_empty() {
            let Some(&block) = self.blocks.front() else { break };
            let len = rest.len().min(BLOCK - self.read);
            let (now, later) = std::mem::take(&mut rest).split_at_mut(len);
            if let Err(error) = file.at(block, self.read).and_then(|file| file.read_exact(now)) {
                failed = Some(error);
            }
            self.read += now.len();
            rest = later;
            if self.read == BLOCK {
                file.free.extend(self.blocks.pop_front());
                self.read = 0;
            }
        }
        if self.blocks.len() == 1 && self.read == self.write {
            self.clear(file);
        }
        failed.map_or(Ok(bytes), Err)
    }

    /// Gives everything up.
    pub(crate) fn clear(&mut self, file: &mut SpillFile) {
        file.free.extend(self.blocks.drain(..));
        (self.read, self.write) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_share_a_file_and_its_limit() {
        let mut file = SpillFile::new(4 * BLOCK as u64);
        let (mut a, mut b) = (SpillQueue::default(), SpillQueue::default());
        for round in 0..50_u8 {
            assert!(a.push(&mut file, &vec![round; BLOCK + 7]).unwrap());
            assert!(b.push(&mut file, &[round, 1, 2]).unwrap());
            assert!(!b.push(&mut file, &vec![0; 2 * BLOCK]).unwrap());
            assert_eq!(a.pop(&mut file, 7).unwrap(), [round; 7]);
            assert_eq!(b.pop(&mut file, 2).unwrap(), [round, 1]);
            assert_eq!(a.pop(&mut file, BLOCK).unwrap(), vec![round; BLOCK]);
            assert_eq!(b.pop(&mut file, 1).unwrap(), [2]);
            assert_eq!(file.free.len() as u64, file.blocks, "round {round}");
        }
        assert!(file.blocks <= 4);
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut file = SpillFile::new(1 << 20);
        let (mut queue, mut expected) = (SpillQueue::default(), VecDeque::new());
        let mut size = 1;
        for i in 0..200_u8 {
            size = size * 7919 % 20_011;
            let bytes: Vec<u8> = (0..size).map(|at| u8::try_from(at % 251).unwrap() ^ i).collect();
            assert!(queue.push(&mut file, &bytes).unwrap());
            expected.extend(bytes);
            let len = expected.len().min(size / 2 + 9_000);
            let popped = queue.pop(&mut file, len).unwrap();
            assert_eq!(popped, expected.drain(..len).collect::<Vec<u8>>());
        }
        queue.clear(&mut file);
        assert_eq!(file.free.len() as u64, file.blocks);
    }
}
