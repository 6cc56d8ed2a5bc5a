//! What was written lately, in one file for all environments: it is flushed before a change is acknowledged, once for
//! all changes that wait at that moment. The environments' own files are not flushed one by one, which would cost a wait
//! for the disk each; after a power failure they are completed from here.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

/// From this size on, in bytes, a new file is begun.
const ROTATE: u64 = 8 << 20;
/// The file that is written to, and the one before it, which goes once everything that it tells is on the disk
/// elsewhere.
const RECENT: &str = "recent.log";
const OLDER: &str = "older.log";

/// How a flush ended: nothing before it has.
type Ended = Arc<OnceLock<Result<(), String>>>;

#[derive(Default)]
struct Waiting {
    text: Vec<u8>,
    ended: Ended,
}

struct Open {
    file: File,
    /// What was flushed well; what lies behind it counts for nothing.
    length: u64,
}

/// The log of one folder.
pub(super) struct Log {
    folder: PathBuf,
    waiting: Mutex<Waiting>,
    open: Mutex<Open>,
}

impl Log {
    /// Opens or makes it; with all lines that it has, oldest first. One that was not written to its end is left out:
    /// nobody was told that it is there.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Vec<String>)> {
        let mut lines = read(&folder.join(OLDER))?.0;
        let path = folder.join(RECENT);
        let (recent, length) = read(&path)?;
        lines.extend(recent);
        let file = File::options().create(true).write(true).truncate(false).open(&path)?;
        file.set_len(length)?;
        // A process before this one may have been killed between a file and the log, and made this one just now.
        nix::unistd::syncfs(File::open(folder)?)?;
        let log = Self {
            folder: folder.to_owned(),
            waiting: Mutex::default(),
            open: Mutex::new(Open { file, length }),
        };
        Ok((log, lines))
    }

    /// Writes a line, which ends with its only line break. It is on the disk when this returns.
    pub(super) fn write(&self, line: &[u8]) -> io::Result<()> {
        let ended = {
            let mut waiting = self.waiting.lock();
            waiting.text.extend_from_slice(line);
            waiting.ended.clone()
        };
        // Whoever comes first writes for all who wait by then.
        let mut open = self.open.lock();
        if ended.get().is_none() {
            let batch = std::mem::take(&mut *self.waiting.lock());
            let written = open.append(&batch.text).map_err(|error| error.to_string());
            let _ = batch.ended.set(written);
            if open.length > ROTATE {
                self.rotate(&mut open);
            }
        }
        drop(open);
        match ended.get() {
            Some(Ok(())) => Ok(()),
            Some(Err(message)) => Err(io::Error::other(message.clone())),
            // The one who takes a batch sets it before the lock is given on.
            None => Err(io::Error::other("a write was not made")),
        }
    }

    /// Begins a new file. The old one goes as soon as the disk has what it tells; until then no other is begun.
    fn rotate(&self, open: &mut Open) {
        let (recent, older) = (self.folder.join(RECENT), self.folder.join(OLDER));
        if older.exists() {
            return;
        }
        let begin = || -> io::Result<File> {
            std::fs::rename(&recent, &older)?;
            let file = File::create(&recent)?;
            File::open(&self.folder)?.sync_all()?;
            Ok(file)
        };
        match begin() {
            Ok(file) => *open = Open { file, length: 0 },
            Err(error) => {
                tracing::warn!(%error, "the log of records goes on in its old file");
                // What is open is the old file, under whichever name: it must be found after a start.
                if !recent.exists() {
                    let _ = std::fs::rename(&older, &recent);
                }
                return;
            }
        }
        let folder = self.folder.clone();
        std::thread::spawn(move || {
            if let Err(error) = forget(&folder) {
                tracing::warn!(%error, "the older log of records stays until the next start");
            }
        });
    }

    /// Deletes the older file of a process before this one, once the disk has what it tells.
    pub(super) fn tidy(&self) -> io::Result<()> {
        if self.folder.join(OLDER).exists() { forget(&self.folder) } else { Ok(()) }
    }
}

fn forget(folder: &Path) -> io::Result<()> {
    // The environments' files are many, and lie here.
    nix::unistd::syncfs(File::open(folder)?)?;
    std::fs::remove_file(folder.join(OLDER))
}

impl Open {
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::FileExt as _;
        let written = self.file.write_all_at(text, self.length).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.length += text.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Whoever reads it must not find what was refused.
                let _ = self.file.set_len(self.length);
                Err(error)
            }
        }
    }
}

/// The whole lines of a file, and how long they are.
fn read(path: &Path) -> io::Result<(Vec<String>, u64)> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let mut lines = Vec::new();
    let mut length = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        // Blocks that never reached the disk read as zeros.
        let Some(text) = line.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok()) else {
            break;
        };
        if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
            break;
        }
        lines.push(text.to_owned());
        length += line.len() as u64;
    }
    let rest = &bytes[usize::try_from(length).unwrap_or(bytes.len())..];
    if rest.contains(&b'\n') {
        tracing::warn!(file = %path.display(), bytes = rest.len(), "the log of records is damaged: its end is left out");
    }
    Ok((lines, length))
}

/// Writes a file as a whole: it is there as it was or as it is to be, and on the disk when this returns.
pub(super) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text)?;
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(number: usize) -> Vec<u8> {
        format!("{{\"number\":{number}}}\n").into_bytes()
    }

    #[test]
    fn what_many_write_at_once_is_all_there_after_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let log = &log;
                scope.spawn(move || (0..20).for_each(|i| log.write(&line(thread * 20 + i)).unwrap()));
            }
        });
        drop(log);
        let (_, mut lines) = Log::open(folder.path()).unwrap();
        let mut expected: Vec<String> = (0..160).map(|i| format!("{{\"number\":{i}}}")).collect();
        lines.sort();
        expected.sort();
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_line_that_was_not_written_to_its_end_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(folder.path()).unwrap();
        log.write(&line(1)).unwrap();
        drop(log);
        let path = folder.path().join(RECENT);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend(b"{\"number\":");
        std::fs::write(&path, &bytes).unwrap();
        let (log, lines) = Log::open(folder.path()).unwrap();
        assert_eq!(lines.len(), 1);
        log.write(&line(2)).unwrap();
        drop(log);
        assert_eq!(Log::open(folder.path()).unwrap().1, ["{\"number\":1}", "{\"number\":2}"]);
    }

    #[test]
    fn a_long_log_is_begun_anew_and_the_old_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let (log, _) = Log::open(folder.path()).unwrap();
        let long = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1 << 20));
        (0..8).for_each(|_| log.write(long.as_bytes()).unwrap());
        log.write(&line(1)).unwrap();
        assert!(std::fs::metadata(folder.path().join(RECENT)).unwrap().len() < 100);
        let begun = std::time::Instant::now();
        while folder.path().join(OLDER).exists() {
            assert!(begun.elapsed().as_secs() < 60, "the older log stays");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(Log::open(folder.path()).unwrap().1, ["{\"number\":1}"]);
    }
}
