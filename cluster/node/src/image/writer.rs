//! Writes images into an OCI layout folder: for images made on this machine, such as the demo's and the tests'.

use super::manifest::{Descriptor, Document, ImageConfig, MEDIA_MANIFEST, Platform, architecture};
use crate::error::{Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// An OCI image layout folder that images are added to.
#[derive(Debug)]
pub struct LayoutWriter {
    folder: PathBuf,
    entries: Vec<Descriptor>,
}

impl LayoutWriter {
    /// Makes the folder with an empty index.
    pub fn create(folder: impl Into<PathBuf>) -> Result<Self> {
        let writer = Self { folder: folder.into(), entries: Vec::new() };
        let blobs = writer.folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).map_err(Error::io("make", &blobs))?;
        write(&writer.folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        writer.index()?;
        Ok(writer)
    }

    /// Adds an image of uncompressed tar layers, the lowest first; they are stored as gzip. Returns its digest.
    pub fn add(&mut self, ref_name: &str, config: &ImageConfig, layers: &[Vec<u8>]) -> Result<String> {
        let mut descriptors = Vec::new();
        let mut diff_ids = Vec::new();
        for layer in layers {
            diff_ids.push(digest(layer));
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            let compressed = gzip.write_all(layer).and_then(|()| gzip.finish());
            let compressed = compressed.map_err(Error::io("compress a layer for", &self.folder))?;
            descriptors.push(self.blob("application/vnd.oci.image.layer.v1.tar+gzip", &compressed)?);
        }
        let config = serde_json::json!({
            "architecture": architecture(), "os": "linux", "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())?;
        let manifest = serde_json::json!({
            "schemaVersion": 2, "mediaType": MEDIA_MANIFEST[0], "config": config, "layers": descriptors,
        });
        let mut manifest = self.blob(MEDIA_MANIFEST[0], manifest.to_string().as_bytes())?;
        let digest = manifest.digest.clone();
        manifest.platform =
            Some(Platform { architecture: architecture().to_owned(), os: "linux".to_owned() });
        manifest.annotations =
            BTreeMap::from([("org.opencontainers.image.ref.name".to_owned(), ref_name.to_owned())]);
        self.entries.retain(|e| e.annotations != manifest.annotations);
        self.entries.push(manifest);
        self.index()?;
        Ok(digest)
    }

    fn index(&self) -> Result<()> {
        let index = Document { manifests: Some(self.entries.clone()), config: None, layers: Vec::new() };
        let mut json = serde_json::to_value(&index).unwrap_or_default();
        json["schemaVersion"] = 2.into();
        if let Some(fields) = json.as_object_mut() {
            fields.retain(|key, _| key == "schemaVersion" || key == "manifests");
        }
        write(&self.folder.join("index.json"), json.to_string().as_bytes())
    }

    fn blob(&self, media_type: &str, content: &[u8]) -> Result<Descriptor> {
        let digest = digest(content);
        write(&self.folder.join("blobs/sha256").join(digest.trim_start_matches("sha256:")), content)?;
        Ok(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size: content.len() as u64,
            platform: None,
            annotations: BTreeMap::new(),
        })
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    let temporary = path.with_extension("tmp");
    std::fs::write(&temporary, content).map_err(Error::io("write", &temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::io("write", path))
}

/// `sha256:` and the hash in hexadecimal.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}
