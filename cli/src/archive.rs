//! A data folder as one file: a gzipped tar archive, whose last entry says what must be in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tar::{Archive, Builder, EntryType, Header};

/// The format of the archive.
const FORMAT: u32 = 1;
/// The last entry.
const MANIFEST: &str = "seaway-backup.json";
/// A larger one is none of ours, in bytes.
const LARGEST_MANIFEST: u64 = 256 << 20;

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// The release that made it.
    pub(crate) version: String,
    pub(crate) time: Timestamp,
    /// Files by their paths below the data folder.
    pub(crate) files: BTreeMap<String, FileEntry>,
    /// Symbolic links, with what they say.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) links: BTreeMap<String, String>,
    /// Folders, with their permissions.
    pub(crate) folders: BTreeMap<String, u32>,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileEntry {
    pub(crate) size: u64,
    pub(crate) mode: u32,
    /// In hexadecimal digits.
    pub(crate) sha256: String,
}

/// Why an archive is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{place}: {source}")]
    Io { place: String, source: io::Error },
    #[error("{0} is damaged: take another backup")]
    Damaged(String),
    #[error("it was made by release {version}: restore it with that release or a newer one")]
    Newer { version: String },
}

fn at(place: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
    let place = place.as_ref().display().to_string();
    move |source| Error::Io { place, source }
}

/// Writes an archive. It appears whole or not at all, and for its owner alone: it holds keys.
pub(crate) struct Writer {
    path: PathBuf,
    temporary: PathBuf,
    tar: Builder<GzEncoder<BufWriter<File>>>,
    manifest: Manifest,
}

impl Writer {
    pub(crate) fn create(path: &Path, time: Timestamp) -> Result<Self, Error> {
        let temporary = path.with_added_extension("new");
        let _ = std::fs::remove_file(&temporary);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&temporary);
        let file = file.map_err(at(&temporary))?;
        let tar = Builder::new(GzEncoder::new(BufWriter::new(file), Compression::fast()));
        let manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            time,
            files: BTreeMap::new(),
            links: BTreeMap::new(),
            folders: BTreeMap::new(),
        };
        Ok(Self { path: path.to_owned(), temporary, tar, manifest })
    }

    /// Adds a file under a name. One that grows meanwhile is cut, one that shrinks is an error.
    pub(crate) fn file(&mut self, name: &str, from: &Path) -> Result<(), Error> {
        let file = match File::open(from) {
            Ok(file) => file,
            // Gone since the folder was listed: as if it had been a moment before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(from)(error)),
        };
        let metadata = file.metadata().map_err(at(from))?;
        let (size, mode) = (metadata.len(), metadata.mode() & 0o7777);
        let mut header = header(EntryType::Regular, size, mode);
        let mut content =
            Hashed { inner: BufReader::new(file).take(size), hash: Sha256::new(), read: 0, broken: false };
        self.tar.append_data(&mut header, name, &mut content).map_err(at(from))?;
        if content.read != size {
            return Err(at(from)(io::Error::other("it became shorter while it was read: try again")));
        }
        let sha256 = hex(&content.hash.finalize());
        self.manifest.files.insert(name.to_owned(), FileEntry { size, mode, sha256 });
        Ok(())
    }

    /// Adds a folder with all that is in it.
    pub(crate) fn folder(&mut self, name: &str, from: &Path) -> Result<(), Error> {
        let metadata = match std::fs::symlink_metadata(from) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(at(from)(error)),
        };
        self.manifest.folders.insert(name.to_owned(), metadata.mode() & 0o7777);
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(from).map_err(at(from))? {
            entries.push(entry.map_err(at(from))?.path());
        }
        entries.sort();
        for path in entries {
            let Some(part) = path.file_name().and_then(|part| part.to_str()) else {
                return Err(at(&path)(io::Error::other("its name is no text")));
            };
            let name = format!("{name}/{part}");
            let kind = match std::fs::symlink_metadata(&path) {
                Ok(metadata) => metadata.file_type(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(at(&path)(error)),
            };
            if kind.is_dir() {
                self.folder(&name, &path)?;
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).map_err(at(&path))?;
                self.manifest.links.insert(name, target.to_string_lossy().into_owned());
            } else if kind.is_file() {
                self.file(&name, &path)?;
            }
            // Sockets and pipes are their processes'.
        }
        Ok(())
    }

    /// Ends it, on disk.
    pub(crate) fn finish(mut self) -> Result<Manifest, Error> {
        let text = serde_json::to_vec(&self.manifest).map_err(|error| at(&self.path)(error.into()))?;
        let mut header = header(EntryType::Regular, text.len() as u64, 0o600);
        let done = self
            .tar
            .append_data(&mut header, MANIFEST, text.as_slice())
            .and_then(|()| self.tar.into_inner())
            .and_then(GzEncoder::finish)
            .and_then(|buffer| buffer.into_inner().map_err(io::IntoInnerError::into_error))
            .and_then(|file| file.sync_all());
        done.map_err(at(&self.temporary))?;
        std::fs::rename(&self.temporary, &self.path).map_err(at(&self.path))?;
        Ok(self.manifest)
    }
}

fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header
}

struct Hashed<R> {
    inner: R,
    hash: Sha256,
    read: u64,
    /// It could not be read on.
    broken: bool,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer).inspect_err(|_| self.broken = true)?;
        self.hash.update(&buffer[..count]);
        self.read += count as u64;
        Ok(count)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the whole archive, and says what is in it if every byte is as it was written.
pub(crate) fn check(path: &Path) -> Result<Manifest, Error> {
    read(path, |_, content| io::copy(content, &mut io::sink()).map(drop))
}

/// Writes the files of an archive that [`check`] has read into a new folder.
pub(crate) fn extract(path: &Path, folder: &Path, manifest: &Manifest) -> Result<(), Error> {
    let private = |path: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    private(folder).map_err(at(folder))?;
    for name in manifest.folders.keys() {
        let path = folder.join(name);
        private(&path).map_err(at(&path))?;
    }
    let again = read(path, |name, content| {
        let place = folder.join(name);
        if let Some(parent) = place.parent() {
            private(parent)?;
        }
        let mode = manifest.files.get(name).map_or(0o600, |file| file.mode);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&place)?;
        io::copy(content, &mut file)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.sync_all()
    })?;
    if again != *manifest {
        return Err(Error::Damaged(path.display().to_string()));
    }
    for (name, target) in &manifest.links {
        let place = folder.join(name);
        std::os::unix::fs::symlink(target, &place).map_err(at(&place))?;
    }
    // The innermost first: one may not be writable any more.
    for (name, mode) in manifest.folders.iter().rev() {
        let place = folder.join(name);
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(*mode)).map_err(at(&place))?;
    }
    File::open(folder).and_then(|file| file.sync_all()).map_err(at(folder))
}

/// Reads every entry, and then the manifest, which has the last word.
fn read(path: &Path, mut each: impl FnMut(&str, &mut dyn Read) -> io::Result<()>) -> Result<Manifest, Error> {
    let damaged = || Error::Damaged(path.display().to_string());
    let broken = |_: io::Error| damaged();
    let file = File::open(path).map_err(at(path))?;
    let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)));
    let mut found: BTreeMap<String, (u64, String)> = BTreeMap::new();
    let mut last: Option<Vec<u8>> = None;
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let name = entry.path().ok().and_then(|path| path.to_str().map(str::to_owned)).ok_or_else(damaged)?;
        // After the manifest there is nothing.
        if last.is_some() || entry.header().entry_type() != EntryType::Regular || !is_below(&name) {
            return Err(damaged());
        }
        if name == MANIFEST {
            let mut text = Vec::new();
            entry.by_ref().take(LARGEST_MANIFEST).read_to_end(&mut text).map_err(broken)?;
            last = Some(text);
            continue;
        }
        let mut content = Hashed { inner: &mut entry, hash: Sha256::new(), read: 0, broken: false };
        if let Err(error) = each(&name, &mut content) {
            // A damaged stream, or a disk that takes no more.
            return Err(if content.broken { damaged() } else { at(&name)(error) });
        }
        if found.insert(name, (content.read, hex(&content.hash.finalize()))).is_some() {
            return Err(damaged());
        }
    }
    // The end of the stream has a checksum of its own: before it nothing is believed.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(broken)?;
    let text = last.ok_or_else(damaged)?;
    let manifest = understood(&text).map_err(|newer| newer.unwrap_or_else(damaged))?;
    let same = manifest.files.len() == found.len()
        && manifest.files.iter().all(|(name, file)| {
            found.get(name).is_some_and(|(size, sha256)| *size == file.size && *sha256 == file.sha256)
        });
    let others = manifest.folders.keys().chain(manifest.links.keys());
    if !same || !others.into_iter().all(|name| is_below(name)) {
        return Err(damaged());
    }
    Ok(manifest)
}

/// `Err(None)`: it is none.
fn understood(text: &[u8]) -> Result<Manifest, Option<Error>> {
    #[derive(Deserialize)]
    struct Version {
        format: u32,
        version: String,
    }
    let version: Version = serde_json::from_slice(text).map_err(|_| None)?;
    if version.format > FORMAT || number(&version.version) > number(env!("CARGO_PKG_VERSION")) {
        return Err(Some(Error::Newer { version: version.version }));
    }
    serde_json::from_slice(text).map_err(|_| None)
}

/// `1.2.3` in the order of releases.
fn number(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// Whether a name stays below the folder.
fn is_below(name: &str) -> bool {
    !name.is_empty() && Path::new(name).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn archive(folder: &Path) -> PathBuf {
        let from = folder.join("from");
        std::fs::create_dir_all(from.join("sub")).unwrap();
        std::fs::write(from.join("a"), "one").unwrap();
        std::fs::write(from.join("sub/b"), vec![7; 100_000]).unwrap();
        std::fs::set_permissions(from.join("sub/b"), std::fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("b", from.join("sub/c")).unwrap();
        let path = folder.join("backup");
        let mut writer = Writer::create(&path, Timestamp::UNIX_EPOCH).unwrap();
        writer.file("a", &from.join("a")).unwrap();
        writer.folder("sub", &from.join("sub")).unwrap();
        writer.file("gone", &from.join("gone")).unwrap();
        writer.finish().unwrap();
        path
    }

    #[test]
    fn what_is_written_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path());
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let manifest = check(&path).unwrap();
        let to = folder.path().join("to");
        extract(&path, &to, &manifest).unwrap();
        assert_eq!(std::fs::read(to.join("a")).unwrap(), b"one");
        assert_eq!(std::fs::read(to.join("sub/c")).unwrap(), vec![7; 100_000]);
        assert_eq!(std::fs::metadata(to.join("sub/b")).unwrap().mode() & 0o777, 0o640);
        assert!(!to.join("gone").exists() && !to.join(MANIFEST).exists());
    }

    #[test]
    fn a_damaged_archive_is_refused_wherever_the_damage_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = archive(folder.path());
        let (good, manifest) = (std::fs::read(&path).unwrap(), check(&path).unwrap());
        let (mut refused, mut tried) = (0, 0);
        for position in (0..good.len()).step_by(good.len().div_ceil(60)) {
            let mut bad = good.clone();
            bad[position] ^= 0x55;
            std::fs::write(&path, &bad).unwrap();
            tried += 1;
            match check(&path) {
                Err(Error::Damaged(_)) => refused += 1,
                // Some bits mean nothing: the time in the header, and what fills the last byte.
                Ok(same) => assert_eq!(same, manifest, "byte {position}"),
                Err(other) => panic!("byte {position}: {other}"),
            }
            std::fs::write(&path, &good[..position]).unwrap();
            assert!(matches!(check(&path), Err(Error::Damaged(_))), "the first {position} bytes");
        }
        assert!(refused + 5 > tried, "{refused} of {tried}");
    }

    #[test]
    fn a_newer_one_is_told_from_a_damaged_one() {
        let newer = |format: u32, version: &str| {
            understood(format!(r#"{{"format": {format}, "version": "{version}"}}"#).as_bytes()).unwrap_err()
        };
        assert!(matches!(newer(2, "0.1.0"), Some(Error::Newer { .. })));
        assert!(matches!(newer(1, "99.0.0"), Some(Error::Newer { .. })));
        assert!(newer(1, "0.0.1").is_none(), "it lacks the rest");
        assert!(number("0.10.0") > number("0.9.9-rc.1"));
    }

    #[test]
    fn no_entry_leaves_the_folder() {
        for bad in ["", "/a", "../a", "a/../../b", "a/.."] {
            assert!(!is_below(bad), "{bad}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("evil");
        let mut tar = Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::fast()));
        let mut header = header(EntryType::Regular, 1, 0o600);
        // `append_data` would refuse such a path itself.
        header.as_old_mut().name[..5].copy_from_slice(b"../ab");
        header.set_cksum();
        tar.append(&header, &b"x"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap();
        assert!(matches!(check(&path), Err(Error::Damaged(_))));
    }
}
