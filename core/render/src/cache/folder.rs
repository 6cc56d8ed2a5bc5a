//! The second level: a folder with a subfolder per request, and in it a file per set of answers.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use seaway_source::Digest;

use super::{Kept, Key, VARIANTS};

/// The format of the files. Another one is another subfolder.
const FORMAT: &str = "v1";
/// A larger result is not kept, in bytes.
const MAX_FILE: u64 = 64 << 20;

#[derive(Debug, Clone)]
pub(super) struct Folder {
    root: PathBuf,
    max_bytes: u64,
    written: Arc<AtomicU64>,
}

impl Folder {
    pub(super) fn open(folder: &Path, max_bytes: u64) -> std::io::Result<Self> {
        let root = folder.join(FORMAT);
        make(&root)?;
        let folder = Self { root, max_bytes, written: Arc::default() };
        folder.make_room();
        Ok(folder)
    }

    /// What is kept of a request, newest first. Reads each when it is asked for.
    pub(super) fn read(&self, key: &Key) -> impl Iterator<Item = Kept> + use<> {
        let mut files: Vec<(SystemTime, PathBuf)> = entries(&self.root.join(hex::encode(key)))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_by(|a, b| b.cmp(a));
        files.into_iter().take(VARIANTS).filter_map(|(_, path)| {
            let kept = read_file(&path);
            if kept.is_none() {
                let _ = fs::remove_file(&path);
            }
            kept
        })
    }

    /// Keep a result. A failure is none of the caller's business: it has its result.
    pub(super) fn write(&self, key: &Key, kept: &Kept) {
        let Ok(body) = serde_json::to_vec(kept) else { return };
        let size = body.len() as u64;
        if size > MAX_FILE || size > self.max_bytes / 4 {
            return;
        }
        let folder = self.root.join(hex::encode(key));
        let name = hex::encode(kept.inputs().digest().as_bytes());
        let _ = put(&folder, &name, &body);
        let written = self.written.fetch_add(size, Ordering::Relaxed) + size;
        if written > self.max_bytes / 8 {
            self.written.store(0, Ordering::Relaxed);
            self.make_room();
        }
    }

    /// Remove the oldest files while there are too many bytes.
    fn make_room(&self) {
        let mut files = Vec::new();
        for folder in entries(&self.root) {
            for file in entries(&folder.path()) {
                if let Ok(metadata) = file.metadata() {
                    let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                    files.push((modified, metadata.len(), file.path()));
                }
            }
        }
        let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
        if total <= self.max_bytes {
            return;
        }
        files.sort();
        for (_, size, path) in files {
            if total <= self.max_bytes / 4 * 3 {
                break;
            }
            if fs::remove_file(&path).is_ok() {
                total -= size;
            }
            // Goes when it is empty.
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}

fn make(folder: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten()
}

/// The digest of the body, a line break, the body.
fn put(folder: &Path, name: &str, body: &[u8]) -> std::io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    make(folder)?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let unfinished = folder.join(format!(".{}-{number}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    let written = file
        .write_all(format!("{}\n", Digest::of(body)).as_bytes())
        .and_then(|()| file.write_all(body))
        .and_then(|()| fs::rename(&unfinished, folder.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn read_file(path: &Path) -> Option<Kept> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(MAX_FILE + 128).read_to_end(&mut content).ok()?;
    let end = content.iter().position(|&byte| byte == b'\n')?;
    let (digest, body) = (&content[..end], &content[end + 1..]);
    if digest != Digest::of(body).to_string().as_bytes() {
        return None;
    }
    serde_json::from_slice(body).ok()
}
