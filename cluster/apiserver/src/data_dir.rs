//! The data folder belongs to one process.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Error;

/// For this long a lock may outlive its holder: whatever a process starts shares its open files until it becomes
/// another program, which a busy machine delays, and one that was killed in between cannot take them back.
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes the folder, readable by its owner alone, and takes its lock, which ends with the file.
///
/// # Errors
/// [`Error::InUse`] when another process keeps it, [`Error::DataDir`] when the folder cannot be made or written.
pub async fn lock_data_dir(folder: &Path) -> Result<File, Error> {
    let unusable = |source| Error::DataDir { path: folder.into(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unusable)?;
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join("lock"))
        .map_err(unusable)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                sleep(Duration::from_millis(10)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: folder.into() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_lock_that_a_child_still_shares_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let held = lock_data_dir(folder.path()).await.unwrap();
        let shared = held.try_clone().unwrap();
        drop(held);
        let (_shared, taken) = tokio::join!(
            async {
                sleep(Duration::from_millis(50)).await;
                drop(shared);
            },
            lock_data_dir(folder.path())
        );
        taken.unwrap();
    }

    #[tokio::test]
    async fn a_folder_that_is_kept_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let _held = lock_data_dir(folder.path()).await.unwrap();
        assert!(matches!(lock_data_dir(folder.path()).await, Err(Error::InUse { .. })));
    }
}
