//! Container images: found in OCI layout folders or registries, checked, and unpacked for overlayfs.
//!
//! [`ImageStore`] is the entry. A reference is looked up in the layout folders first, then asked of its registry's
//! mirrors and the registry. Every blob is checked against its digest and every layer against its diff id before
//! anything of it can be seen; a layer is unpacked once, however many images share it.

mod credentials;
mod layer;
mod layout;
mod manifest;
mod progress;
mod reference;
mod registry;
mod remove;
mod store;
mod unpack;
mod writer;
mod zstd;

pub use credentials::{Credentials, Login};
pub use layout::LayoutFolder;
pub use manifest::ImageConfig;
pub(crate) use manifest::architecture;
pub use progress::Progress;
pub use reference::Reference;
pub use registry::RegistryOptions;
pub(crate) use remove::remove_tree;
pub use store::{Collected, ImageStore, PullPolicy, StoreOptions};
pub use writer::LayoutWriter;

use std::path::PathBuf;

/// An image that is here and unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The reference that was asked for.
    pub reference: String,
    /// Digest of its manifest, `sha256:…`.
    pub digest: String,
    /// Registry, repository and digest: what a pod's status shows as `imageID`.
    pub id: String,
    /// What it says about running it.
    pub config: ImageConfig,
    /// Its unpacked layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// Compressed size of its layers in bytes.
    pub size: u64,
}

/// What one layer may hold at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Layers of an image. Overlayfs' options must fit in one page.
    pub layers: usize,
    /// Files, folders and links of a layer.
    pub entries: u64,
    /// Uncompressed bytes of a layer.
    pub layer_bytes: u64,
    /// Compressed bytes of a layer.
    pub blob_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { layers: 110, entries: 1_000_000, layer_bytes: 32 << 30, blob_bytes: 16 << 30 }
    }
}
