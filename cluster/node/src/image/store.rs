//! The images of a node on disk.
//!
//! Below the folder: `references/` which digest a reference meant last, `documents/` manifests and configurations by
//! digest, `layers/` unpacked layers by diff id, `tmp/` what is being made. Everything is made in `tmp/` and renamed,
//! so that a crash leaves either the whole thing or nothing; `tmp/` is emptied at the start. Compressed layers are not
//! kept.

use super::credentials::Credentials;
use super::layer::unpack_checked;
use super::layout::LayoutFolder;
use super::manifest::{ConfigDocument, Descriptor, Document, architecture};
use super::progress::Progress;
use super::reference::{Reference, check_digest};
use super::registry::{Client, RegistryOptions, Repository};
use super::remove::remove_tree;
use super::writer::digest as digest_of;
use super::{Image, Limits};
use crate::error::{Error, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Largest manifest or configuration.
const MAX_DOCUMENT: u64 = 4 * 1024 * 1024;

/// When an image is fetched, as a container's `imagePullPolicy` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Ask the registry each time; what is here already is not fetched again.
    Always,
    /// Only when it is not here.
    IfNotPresent,
    /// Never ask a registry; a layout folder is no registry.
    Never,
}

/// Where images come from and go to.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The store's own folder; made when missing.
    pub folder: PathBuf,
    /// Layout folders, asked in order before any registry.
    pub layouts: Vec<LayoutFolder>,
    /// Registries that need more than their name.
    pub registries: Vec<RegistryOptions>,
    /// What images may hold.
    pub limits: Limits,
    /// A registry that sends nothing for so long is given up.
    pub stall: Duration,
}

impl StoreOptions {
    /// A store in a folder, with the defaults for the rest.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            layouts: Vec::new(),
            registries: Vec::new(),
            limits: Limits::default(),
            stall: Duration::from_secs(30),
        }
    }
}

/// The images of a node.
#[derive(Debug)]
pub struct ImageStore {
    options: StoreOptions,
    client: Client,
    owners: bool,
    /// One fetch at a time for each layer and document.
    busy: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Collection waits for fetches and keeps new ones out.
    collecting: tokio::sync::RwLock<()>,
}

/// What a collection freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// References forgotten.
    pub references: usize,
    /// Layers removed.
    pub layers: usize,
}

#[derive(Serialize, Deserialize)]
struct Record {
    version: u32,
    reference: String,
    digest: String,
}

enum Source {
    Layout(LayoutFolder),
    Registry(Repository),
}

impl ImageStore {
    /// Opens a store and empties its `tmp/`.
    pub fn open(options: StoreOptions) -> Result<Self> {
        let tmp = options.folder.join("tmp");
        remove_tree(&tmp)?;
        for name in ["tmp", "references", "documents", "layers"] {
            let folder = options.folder.join(name);
            std::fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        }
        let client = Client::new(options.registries.clone(), options.stall);
        Ok(Self {
            options,
            client,
            owners: nix::unistd::geteuid().is_root(),
            busy: Mutex::default(),
            collecting: tokio::sync::RwLock::new(()),
        })
    }

    /// The image if nothing needs to be fetched or unpacked for it.
    pub fn present(&self, reference: &str) -> Result<Option<Image>> {
        let parsed = Reference::parse(reference)?;
        let digest = match self.in_layouts(&parsed)? {
            Some((layout, descriptor)) => self.platform_digest(&layout, &descriptor)?,
            None => match self.record(&parsed)? {
                Some(record) => record.digest,
                None => return Ok(None),
            },
        };
        self.image(reference, &parsed, &digest)
    }

    /// Whether a layout folder has the image.
    pub fn in_layout(&self, reference: &str) -> Result<bool> {
        Ok(self.in_layouts(&Reference::parse(reference)?)?.is_some())
    }

    /// The image, fetched and unpacked as the policy says.
    pub async fn ensure(
        &self,
        reference: &str,
        policy: PullPolicy,
        credentials: &Credentials,
        progress: &Progress,
    ) -> Result<Image> {
        if policy != PullPolicy::Always
            && let Some(image) = self.present(reference)?
        {
            return Ok(image);
        }
        if policy == PullPolicy::Never && !self.in_layout(reference)? {
            return Err(Error::NeverPull { reference: reference.to_owned() });
        }
        self.pull(reference, credentials, progress).await
    }

    /// Asks layout folders, mirrors and the registry, and brings what is missing.
    pub async fn pull(
        &self,
        reference: &str,
        credentials: &Credentials,
        progress: &Progress,
    ) -> Result<Image> {
        let _open = self.collecting.read().await;
        let parsed = Reference::parse(reference)?;
        if let Some((layout, descriptor)) = self.in_layouts(&parsed)? {
            let source = Source::Layout(layout);
            return self.bring((reference, &parsed), &source, &descriptor.digest, progress).await;
        }
        let mut last = None;
        for repository in self.client.repositories(&parsed, credentials) {
            let version = parsed.version().to_owned();
            match self.bring((reference, &parsed), &Source::Registry(repository), &version, progress).await {
                Ok(image) => return Ok(image),
                Err(e) => last = Some(e),
            }
        }
        Err(last.unwrap_or_else(|| Error::ImageNotFound {
            reference: reference.to_owned(),
            problem: "no registry to ask".to_owned(),
        }))
    }

    /// Forgets images that are not in use (by digest), and removes the layers that no image needs any more. What is in
    /// use is asked once nothing is being fetched any more, so that it counts what was fetched just now.
    pub async fn collect(&self, in_use: impl FnOnce() -> Result<HashSet<String>>) -> Result<Collected> {
        let _closed = self.collecting.write().await;
        let in_use = &in_use()?;
        let mut collected = Collected::default();
        let (mut documents, mut layers) = (HashSet::new(), HashSet::new());
        for digest in in_use {
            self.needs(digest, &mut documents, &mut layers)?;
        }
        for path in list(&self.options.folder.join("references"))? {
            let record: Option<Record> =
                std::fs::read(&path).ok().and_then(|b| serde_json::from_slice(&b).ok());
            if record.is_none_or(|r| !in_use.contains(&r.digest)) {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
                collected.references += 1;
            }
        }
        for path in list(&self.options.folder.join("documents"))? {
            if path.file_name().and_then(|n| n.to_str()).is_none_or(|n| !documents.contains(n)) {
                std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        for path in list(&self.options.folder.join("layers"))? {
            if !layers.contains(&path) {
                // Out of sight first: a half-removed layer must not look like a layer.
                let doomed = self.temporary();
                std::fs::rename(&path, &doomed).map_err(Error::io("remove", &path))?;
                remove_tree(&doomed)?;
                collected.layers += 1;
            }
        }
        Ok(collected)
    }

    fn needs(
        &self,
        digest: &str,
        documents: &mut HashSet<String>,
        layers: &mut HashSet<PathBuf>,
    ) -> Result<()> {
        let Some(manifest) = self.document(digest)? else { return Ok(()) };
        documents.extend(check_digest(digest).map(str::to_owned));
        let Some(config) = parse::<Document>(digest, &manifest)?.config else { return Ok(()) };
        documents.extend(check_digest(&config.digest).map(str::to_owned));
        if let Some(bytes) = self.document(&config.digest)? {
            let config: ConfigDocument = parse(&config.digest, &bytes)?;
            layers.extend(config.rootfs.diff_ids.iter().filter_map(|id| self.layer_path(id).ok()));
        }
        Ok(())
    }

    fn in_layouts(&self, reference: &Reference) -> Result<Option<(LayoutFolder, Descriptor)>> {
        for layout in &self.options.layouts {
            if let Some(descriptor) = layout.find(reference)? {
                return Ok(Some((layout.clone(), descriptor)));
            }
        }
        Ok(None)
    }

    /// Follows indexes of a layout folder to the manifest of this platform.
    fn platform_digest(&self, layout: &LayoutFolder, descriptor: &Descriptor) -> Result<String> {
        let mut digest = descriptor.digest.clone();
        for _ in 0..3 {
            let bytes = read_layout_document(layout, &digest)?;
            match parse::<Document>(&digest, &bytes)?.manifests {
                None => return Ok(digest),
                Some(manifests) => digest = for_platform(&manifests, &digest)?.digest.clone(),
            }
        }
        Err(Error::Blob { digest, problem: "indexes are nested too deep".to_owned() })
    }

    async fn bring(
        &self,
        (reference, parsed): (&str, &Reference),
        source: &Source,
        version: &str,
        progress: &Progress,
    ) -> Result<Image> {
        let mut version = version.to_owned();
        let mut nested = 0;
        let (digest, manifest) = loop {
            let (digest, bytes) = self.fetch_manifest(source, &version).await?;
            let document: Document = parse(&digest, &bytes)?;
            match document.manifests {
                Some(manifests) => version = for_platform(&manifests, reference)?.digest.clone(),
                None => {
                    self.keep_document(&digest, &bytes)?;
                    break (digest, document);
                }
            }
            nested += 1;
            if nested > 3 {
                return Err(Error::Blob { digest, problem: "indexes are nested too deep".to_owned() });
            }
        };
        let config = manifest.config.ok_or_else(|| Error::Blob {
            digest: digest.clone(),
            problem: "is neither an index nor a manifest of schema 2".to_owned(),
        })?;
        let config_bytes = self.fetch_document(source, &config).await?;
        let document: ConfigDocument = parse(&config.digest, &config_bytes)?;
        self.check_config(&config.digest, &document, manifest.layers.len())?;
        progress.begin(manifest.layers.iter().fold(0, |sum, layer| layer.size.saturating_add(sum)));
        let mut before = 0u64;
        for (layer, diff_id) in manifest.layers.iter().zip(&document.rootfs.diff_ids) {
            self.layer(source, layer, diff_id, progress).await?;
            // Whoever brought it, and however its bytes came.
            before = before.saturating_add(layer.size);
            progress.reach(before);
        }
        let record = Record { version: 1, reference: parsed.to_string(), digest: digest.clone() };
        let json = serde_json::to_vec(&record).unwrap_or_default();
        self.keep(&self.record_path(parsed), &json)?;
        self.image(reference, parsed, &digest)?.ok_or(Error::Blob { digest, problem: "vanished".to_owned() })
    }

    fn check_config(&self, digest: &str, config: &ConfigDocument, layers: usize) -> Result<()> {
        let fail = |problem: String| Err(Error::Blob { digest: digest.to_owned(), problem });
        if config.rootfs.diff_ids.len() != layers {
            return fail(format!("names {} layers, the manifest {layers}", config.rootfs.diff_ids.len()));
        }
        if layers > self.options.limits.layers {
            return fail(format!("has {layers} layers, more than {}", self.options.limits.layers));
        }
        let here = architecture();
        if (!config.os.is_empty() && config.os != "linux")
            || (!config.architecture.is_empty() && config.architecture != here)
        {
            return fail(format!(
                "is for {}/{}, this machine is linux/{here}",
                config.os, config.architecture
            ));
        }
        Ok(())
    }

    /// A manifest or index by tag or digest, checked when a digest was asked for.
    async fn fetch_manifest(&self, source: &Source, version: &str) -> Result<(String, Vec<u8>)> {
        let bytes = match source {
            Source::Layout(layout) => read_layout_document(layout, version)?,
            Source::Registry(repository) => self.client.manifest(repository, version).await?.to_vec(),
        };
        let digest = digest_of(&bytes);
        if version.starts_with("sha256:") && version != digest {
            return Err(Error::Blob {
                digest: version.to_owned(),
                problem: format!("the content is {digest}"),
            });
        }
        Ok((digest, bytes))
    }

    async fn fetch_document(&self, source: &Source, descriptor: &Descriptor) -> Result<Vec<u8>> {
        if let Some(bytes) = self.document(&descriptor.digest)? {
            return Ok(bytes);
        }
        let fail = |problem: String| Error::Blob { digest: descriptor.digest.clone(), problem };
        check_digest(&descriptor.digest).map_err(fail)?;
        let bytes = match source {
            Source::Layout(layout) => read_layout_document(layout, &descriptor.digest)?,
            Source::Registry(repository) => {
                let mut blob = self.client.blob(repository, &descriptor.digest).await?;
                let mut bytes = Vec::new();
                while let Some(chunk) = blob.chunk().await? {
                    bytes.extend_from_slice(&chunk);
                    if bytes.len() as u64 > MAX_DOCUMENT {
                        return Err(fail("is larger than 4 MiB".to_owned()));
                    }
                }
                bytes
            }
        };
        let found = digest_of(&bytes);
        if found != descriptor.digest {
            return Err(fail(format!("the content is {found}")));
        }
        self.keep_document(&descriptor.digest, &bytes)?;
        Ok(bytes)
    }

    async fn layer(
        &self,
        source: &Source,
        descriptor: &Descriptor,
        diff_id: &str,
        progress: &Progress,
    ) -> Result<()> {
        let target = self.layer_path(diff_id)?;
        let lock = self.busy.lock().entry(diff_id.to_owned()).or_default().clone();
        let _alone = lock.lock().await;
        if target.exists() {
            return Ok(());
        }
        let fail = |problem: String| Error::Blob { digest: descriptor.digest.clone(), problem };
        check_digest(&descriptor.digest).map_err(fail)?;
        if descriptor.size > self.options.limits.blob_bytes {
            return Err(fail(format!("is larger than {} bytes", self.options.limits.blob_bytes)));
        }
        let scratch = Scratch(self.temporary());
        let file = match source {
            Source::Layout(layout) => layout
                .open_blob(&descriptor.digest)?
                .ok_or_else(|| fail(format!("is missing in {}", layout.path.display())))?,
            Source::Registry(repository) => {
                self.download(repository, descriptor, &scratch.0, progress).await?
            }
        };
        let unpacked = Scratch(self.temporary());
        std::fs::create_dir(&unpacked.0).map_err(Error::io("make", &unpacked.0))?;
        let (descriptor, diff_id) = (descriptor.clone(), diff_id.to_owned());
        let (owners, limits) = (self.owners, self.options.limits);
        let folder = unpacked.0.clone();
        let task = tokio::task::spawn_blocking(move || {
            unpack_checked(file, &descriptor, &diff_id, &folder, owners, &limits)
        });
        task.await.map_err(|e| fail(format!("unpacking ended: {e}")))??;
        std::fs::rename(&unpacked.0, &target).map_err(Error::io("make", &target))?;
        Ok(())
    }

    async fn download(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        path: &Path,
        progress: &Progress,
    ) -> Result<File> {
        let mut blob = self.client.blob(repository, &descriptor.digest).await?;
        let mut file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.as_mut().map_err(|e| Error::io("create", path)(std::io::Error::from(e.kind())))?;
        let mut received = 0u64;
        while let Some(chunk) = blob.chunk().await? {
            received += chunk.len() as u64;
            progress.add(chunk.len() as u64);
            if received > descriptor.size {
                let problem = format!("the registry sends more than the {} bytes announced", descriptor.size);
                return Err(Error::Blob { digest: descriptor.digest.clone(), problem });
            }
            file.write_all(&chunk).map_err(Error::io("write", path))?;
        }
        File::open(path).map_err(Error::io("open", path))
    }

    fn image(&self, reference: &str, parsed: &Reference, digest: &str) -> Result<Option<Image>> {
        let Some(bytes) = self.document(digest)? else { return Ok(None) };
        let manifest: Document = parse(digest, &bytes)?;
        let Some(config) = manifest.config else { return Ok(None) };
        let Some(bytes) = self.document(&config.digest)? else { return Ok(None) };
        let document: ConfigDocument = parse(&config.digest, &bytes)?;
        let mut layers = Vec::new();
        for diff_id in &document.rootfs.diff_ids {
            let path = self.layer_path(diff_id)?;
            if !path.exists() {
                return Ok(None);
            }
            layers.push(path);
        }
        Ok(Some(Image {
            reference: reference.to_owned(),
            digest: digest.to_owned(),
            id: format!("{}@{digest}", parsed.name()),
            config: document.config.unwrap_or_default(),
            layers,
            size: manifest.layers.iter().map(|l| l.size).sum(),
        }))
    }

    fn record(&self, reference: &Reference) -> Result<Option<Record>> {
        let path = self.record_path(reference);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path)(e)),
        }
    }

    fn record_path(&self, reference: &Reference) -> PathBuf {
        let name = hex::encode(Sha256::digest(reference.to_string().as_bytes()));
        self.options.folder.join("references").join(name)
    }

    /// A layer's folder. Half of the hash is enough to be unique and lets 110 layers fit in a page of mount options.
    fn layer_path(&self, diff_id: &str) -> Result<PathBuf> {
        let fail = |problem| Error::Blob { digest: diff_id.chars().take(100).collect(), problem };
        let hex = check_digest(diff_id).map_err(fail)?;
        Ok(self.options.folder.join("layers").join(&hex[..32]))
    }

    fn document(&self, digest: &str) -> Result<Option<Vec<u8>>> {
        let Ok(hex) = check_digest(digest) else { return Ok(None) };
        let path = self.options.folder.join("documents").join(hex);
        match std::fs::read(&path) {
            Ok(bytes) if digest_of(&bytes) == digest => Ok(Some(bytes)),
            Ok(_) => Ok(None), // Damaged: fetched again.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("read", &path)(e)),
        }
    }

    fn keep_document(&self, digest: &str, bytes: &[u8]) -> Result<()> {
        let hex =
            check_digest(digest).map_err(|problem| Error::Blob { digest: digest.to_owned(), problem })?;
        self.keep(&self.options.folder.join("documents").join(hex), bytes)
    }

    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = Scratch(self.temporary());
        let mut file = File::create_new(&temporary.0).map_err(Error::io("create", &temporary.0))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io("write", &temporary.0))?;
        std::fs::rename(&temporary.0, path).map_err(Error::io("write", path))
    }

    fn temporary(&self) -> PathBuf {
        self.options.folder.join("tmp").join(uuid::Uuid::new_v4().simple().to_string())
    }
}

/// Removed when dropped, unless it was renamed away.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.is_dir() {
            let _ = remove_tree(&self.0);
        } else {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io("list", folder))?;
    Ok(entries.flatten().map(|e| e.path()).collect())
}

fn parse<T: serde::de::DeserializeOwned>(digest: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes)
        .map_err(|e| Error::Blob { digest: digest.to_owned(), problem: format!("cannot be read: {e}") })
}

fn for_platform<'a>(manifests: &'a [Descriptor], of: &str) -> Result<&'a Descriptor> {
    Document::for_platform(manifests).ok_or_else(|| Error::ImageNotFound {
        reference: of.to_owned(),
        problem: format!("has no variant for linux/{}", architecture()),
    })
}

fn read_layout_document(layout: &LayoutFolder, digest: &str) -> Result<Vec<u8>> {
    let fail = |problem: String| Error::Blob { digest: digest.to_owned(), problem };
    let file =
        layout.open_blob(digest)?.ok_or_else(|| fail(format!("is missing in {}", layout.path.display())))?;
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes).map_err(|e| fail(e.to_string()))?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(fail("is larger than 4 MiB".to_owned()));
    }
    let found = digest_of(&bytes);
    if found != digest {
        return Err(fail(format!("the content is {found}")));
    }
    Ok(bytes)
}
