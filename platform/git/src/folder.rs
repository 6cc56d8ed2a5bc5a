//! A mirror on disk.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::{Error, RepositoryUrl};

/// The readable part of a folder's name is cut here, in characters.
const MAX_NAME: usize = 60;
/// How often a lock that another process holds is tried.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// Where a mirror lies: a bare repository, and beside it the file that is locked while `git` writes.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) repository: PathBuf,
    lock: PathBuf,
}

impl Folder {
    pub(crate) fn of(url: &RepositoryUrl, root: &Path) -> Self {
        let readable: String = format!("{}{}", url.host(), url.path())
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '.' { c.to_ascii_lowercase() } else { '-' })
            .collect();
        let readable: String = readable.trim_matches(['-', '.']).chars().take(MAX_NAME).collect();
        let hash = hex::encode(&Sha256::digest(url.to_string())[..8]);
        let name = format!("{readable}-{hash}");
        Self { repository: root.join(format!("{name}.git")), lock: root.join(format!("{name}.lock")) }
    }

    /// Waits until no other process writes. Given up with the file; `git` holds it too while it runs.
    pub(crate) async fn lock(&self, url: &RepositoryUrl, limit: Duration) -> Result<File, Error> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&self.lock)
            .map_err(|error| Error::io(&self.lock, error))?;
        let deadline = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(LOCK_INTERVAL).await,
                Err(TryLockError::WouldBlock) => return Err(Error::TimedOut { url: url.clone(), limit }),
                Err(TryLockError::Error(error)) => return Err(Error::io(&self.lock, error)),
            }
        }
    }

    pub(crate) fn exists(&self) -> bool {
        self.repository.join("HEAD").is_file()
    }

    /// Where a mirror is made before it is moved to its place.
    pub(crate) fn unfinished(&self) -> PathBuf {
        self.repository.with_extension("new")
    }

    /// Remove what a `git` that was killed leaves behind. Only under the lock: then no lock file has an owner.
    pub(crate) fn clean(&self) -> Result<(), Error> {
        remove(&self.unfinished())?;
        if self.repository.is_dir() { clean(&self.repository) } else { Ok(()) }
    }

    pub(crate) fn remove(&self) -> Result<(), Error> {
        remove(&self.repository)
    }

    /// How many packs there are.
    pub(crate) fn packs(&self) -> usize {
        let Ok(packs) = self.repository.join("objects/pack").read_dir() else { return 0 };
        packs.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "pack")).count()
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(folder, error)),
        _ => Ok(()),
    }
}

fn clean(folder: &Path) -> Result<(), Error> {
    for entry in folder.read_dir().map_err(|error| Error::io(folder, error))?.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            clean(&path)?;
        } else if name.ends_with(".lock") || name.starts_with("tmp_") || name == "gc.pid" {
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(&path, error)),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The bytes in all files below a folder. Files that disappear meanwhile do not count.
pub(crate) fn size(folder: &Path) -> u64 {
    let Ok(entries) = folder.read_dir() else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => size(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}
