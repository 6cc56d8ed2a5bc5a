//! Private files for the time of one use.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Error;

/// The folder below the mirrors' root.
const SECRETS: &str = "secrets";

/// Files that only `git` and `ssh` of one use may read. The folder is locked while it is in use, so that those of a
/// process that was killed are told from those of a living one.
pub(crate) struct Files {
    pub(crate) folder: PathBuf,
    _lock: File,
}

impl Files {
    pub(crate) fn new(root: &Path) -> Result<Self, Error> {
        let folder = root.join(SECRETS).join(hex::encode(rand::random::<[u8; 8]>()));
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| Error::io(&folder, error))?;
        let lock = File::create(folder.join("lock")).map_err(|error| Error::io(&folder, error))?;
        lock.lock().map_err(|error| Error::io(&folder, error))?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, Error> {
        let path = self.folder.join(name);
        let file = File::options().create_new(true).write(true).mode(0o600).open(&path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, content))
            .map_err(|error| Error::io(&path, error))?;
        Ok(path)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, folder = %self.folder.display(), "private files could not be removed");
        }
    }
}

/// Remove the private files of processes that were killed.
pub(crate) fn remove_forgotten_files(root: &Path) {
    let Ok(folders) = root.join(SECRETS).read_dir() else { return };
    for folder in folders.flatten().map(|entry| entry.path()) {
        let in_use = File::open(folder.join("lock")).is_ok_and(|lock| lock.try_lock().is_err());
        if !in_use {
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}
