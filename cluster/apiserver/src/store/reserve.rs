//! Room on the disk that is kept for deletions: when the disk is full, they are what makes room.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

/// Bytes that are kept: as much as SQLite's log grows to before it begins anew (a thousand pages).
pub(super) const SIZE: u64 = 4 << 20;

/// A file that is given up when a deletion needs the room.
pub(super) struct Reserve {
    path: PathBuf,
    /// One after the other.
    turn: Mutex<()>,
}

impl Reserve {
    /// Beside a database.
    pub(super) fn beside(database: &Path) -> Self {
        Self { path: database.with_file_name("reserve"), turn: Mutex::new(()) }
    }

    /// Takes the room unless it is taken; whether it is.
    pub(super) fn keep(&self) -> bool {
        let _turn = self.turn.lock();
        if std::fs::metadata(&self.path).is_ok_and(|file| file.len() == SIZE) {
            return true;
        }
        let write = || {
            let _ = std::fs::remove_file(&self.path);
            let mut file =
                std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
            // Random: what compresses takes no room on some file systems.
            let mut part = vec![0; 1 << 20];
            for _ in 0..SIZE >> 20 {
                rand::fill(part.as_mut_slice());
                file.write_all(&part)?;
            }
            file.sync_data()
        };
        let kept = write();
        if kept.is_err() {
            let _ = std::fs::remove_file(&self.path);
        }
        kept.is_ok()
    }

    /// Gives the room back; whether there was any.
    pub(super) fn release(&self) -> bool {
        let _turn = self.turn.lock();
        std::fs::remove_file(&self.path).is_ok()
    }
}
