//! The shop's images: one layer with its program, and for each version a configuration.

use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// Name of the images, without a tag. Names below `localhost` (RFC 6761) are nobody else's: no registry is ever asked
/// for them.
pub const NAME: &str = "demo.localhost/shop";

const LAYER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/layer.tar.gz"));
const DIFF_ID: &str = env!("SHOP_DIFF_ID");
const ARCHITECTURE: &str = env!("SHOP_ARCHITECTURE");
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// As in the layer: distroless images' user `nonroot`.
const USER: &str = "65532:65532";

/// A version of the shop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Version {
    /// Its tag.
    pub tag: &'static str,
    /// The accent colour of its page.
    pub colour: &'static str,
    /// How its page looks: `list` or `cards`.
    pub layout: &'static str,
    /// Share of requests that it fails.
    pub error_rate: f64,
}

/// What there is to deploy. The last one is broken: its pods are well, a third of its users are not.
pub const VERSIONS: [Version; 4] = [
    Version { tag: "1.0", colour: "steelblue", layout: "list", error_rate: 0.0 },
    Version { tag: "1.1", colour: "teal", layout: "list", error_rate: 0.0 },
    Version { tag: "2.0", colour: "rebeccapurple", layout: "cards", error_rate: 0.0 },
    Version { tag: "2.1", colour: "crimson", layout: "cards", error_rate: 0.3 },
];

/// Writes the images into an OCI image layout folder, unless they are there. Whether anything was written.
///
/// A reader beside it sees either the old images or the new ones: content comes first, the index last. After a kill the
/// next call goes on.
pub fn write(folder: &Path) -> Result<bool> {
    let layer = descriptor(GZIP, LAYER);
    let mut blobs = vec![(digest(LAYER), LAYER.to_vec())];
    let mut manifests = Vec::new();
    for version in VERSIONS {
        let config = config(&version).to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config), "layers": [layer],
        });
        let manifest = manifest.to_string().into_bytes();
        let mut entry = descriptor(MANIFEST, &manifest);
        entry["platform"] = json!({"architecture": ARCHITECTURE, "os": "linux"});
        entry["annotations"] = json!({
            "org.opencontainers.image.ref.name": version.tag,
            "io.containerd.image.name": format!("{NAME}:{}", version.tag),
        });
        manifests.push(entry);
        blobs.extend([config, manifest].map(|blob| (digest(&blob), blob)));
    }
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests,
    });
    let content = folder.join("blobs/sha256");
    std::fs::create_dir_all(&content).map_err(Error::io("make", &content))?;
    let mut written = false;
    for (digest, blob) in &blobs {
        written |= write_file(&content.join(digest), blob)?;
    }
    written |= write_file(&folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    written |= write_file(&folder.join("index.json"), index.to_string().as_bytes())?;
    // What an earlier program left: nothing names it any more.
    for entry in std::fs::read_dir(&content).map_err(Error::io("read", &content))?.flatten() {
        let name = entry.file_name();
        if !blobs.iter().any(|(digest, _)| name == digest.as_str()) {
            let path = entry.path();
            std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(written)
}

fn config(version: &Version) -> Value {
    let mut env = vec![
        format!("SHOP_VERSION={}", version.tag),
        format!("SHOP_COLOUR={}", version.colour),
        format!("SHOP_LAYOUT={}", version.layout),
    ];
    if version.error_rate > 0.0 {
        env.push(format!("SHOP_ERROR_RATE={}", version.error_rate));
    }
    json!({
        "architecture": ARCHITECTURE, "os": "linux", "created": "1970-01-01T00:00:00Z",
        "config": {
            "User": USER, "Env": env, "Entrypoint": ["/shop"], "Cmd": ["web"], "WorkingDir": "/",
            "ExposedPorts": {"8080/tcp": {}},
            "Labels": {
                "org.opencontainers.image.title": "shop",
                "org.opencontainers.image.version": version.tag,
                "org.opencontainers.image.licenses": "Apache-2.0",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
        "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "seaway"}],
    })
}

fn descriptor(media_type: &str, blob: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": format!("sha256:{}", digest(blob)), "size": blob.len()})
}

fn digest(blob: &[u8]) -> String {
    hex::encode(Sha256::digest(blob))
}

/// Writes a file as a whole, unless it is there. Whether it was written.
fn write_file(path: &Path, content: &[u8]) -> Result<bool> {
    use std::io::Write;
    if std::fs::read(path).is_ok_and(|present| present == content) {
        return Ok(false);
    }
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(content)?;
        // The name must not be on disk before the content is.
        file.sync_all()?;
        std::fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        let _ = std::fs::remove_file(&temporary);
        Error::io("write", path)(error)
    })?;
    Ok(true)
}
