//! OCI image layout folders: `oci-layout`, `index.json`, `blobs/sha256/…`.

use super::manifest::{Descriptor, Document};
use super::reference::{Reference, check_digest};
use crate::error::{Error, Result};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const MAX_INDEX: u64 = 8 * 1024 * 1024;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// What containerd and `docker save` write besides: the full reference, where [`REF_NAME`] holds the tag alone.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// A folder with images, looked at before any registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutFolder {
    /// The folder that holds `oci-layout`.
    pub path: PathBuf,
    /// The repository that entries named by a tag alone belong to, such as `registry.example.com/shop`. Without it
    /// they belong to every repository whose last part is the folder's name.
    pub repository: Option<String>,
}

impl LayoutFolder {
    /// A folder whose tag-only entries belong to repositories of its name.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), repository: None }
    }

    /// The manifest or index that a reference means here. The index is read anew each time: a folder may change.
    pub(crate) fn find(&self, reference: &Reference) -> Result<Option<Descriptor>> {
        let index = self.index()?;
        let Some(manifests) = index.manifests else { return Ok(None) };
        if let Some(digest) = &reference.digest {
            if let Some(found) = manifests.iter().find(|m| &m.digest == digest) {
                return Ok(Some(found.clone()));
            }
            // A manifest below a nested index is no entry of its own, but its blob is here.
            let Ok(meta) = std::fs::metadata(self.blob_path(digest)?) else { return Ok(None) };
            let (digest, size) = (digest.clone(), meta.len());
            return Ok(Some(Descriptor {
                media_type: String::new(),
                digest,
                size,
                platform: None,
                annotations: Default::default(),
            }));
        }
        Ok(manifests.into_iter().find(|m| self.names(m, reference)))
    }

    fn names(&self, entry: &Descriptor, reference: &Reference) -> bool {
        let same = |name: &str| Reference::parse(name).is_ok_and(|r| r == *reference);
        if entry.annotations.get(CONTAINERD_NAME).is_some_and(|name| same(name)) {
            return true;
        }
        let Some(name) = entry.annotations.get(REF_NAME) else { return false };
        if Some(name) != reference.tag.as_ref() {
            return same(name);
        }
        match &self.repository {
            Some(repository) => Reference::parse(repository).is_ok_and(|r| r.name() == reference.name()),
            None => self.path.file_name().is_some_and(|folder| {
                reference.repository.rsplit('/').next().is_some_and(|last| folder == last)
            }),
        }
    }

    fn index(&self) -> Result<Document> {
        let marker = self.path.join("oci-layout");
        if let Err(e) = std::fs::metadata(&marker) {
            return Err(Error::io("read", &marker)(e));
        }
        let path = self.path.join("index.json");
        let size = std::fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        if size > MAX_INDEX {
            return Err(Error::io("read", &path)(std::io::Error::other("larger than 8 MiB")));
        }
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        serde_json::from_slice(&bytes).map_err(|e| Error::io("read", &path)(e.into()))
    }

    /// Opens a blob for reading. The caller checks size and digest.
    pub(crate) fn open_blob(&self, digest: &str) -> Result<Option<File>> {
        let path = self.blob_path(digest)?;
        // Neither a link out of the folder nor a pipe that never ends.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        match std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => match file.metadata() {
                Ok(meta) if meta.is_file() => Ok(Some(file)),
                _ => Err(Error::Blob { digest: digest.to_owned(), problem: "is not a file".to_owned() }),
            },
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("open", &path)(e)),
        }
    }

    fn blob_path(&self, digest: &str) -> Result<PathBuf> {
        let hex = check_digest(digest)
            .map_err(|problem| Error::Blob { digest: digest.chars().take(100).collect(), problem })?;
        Ok(Path::new(&self.path).join("blobs/sha256").join(hex))
    }
}
