//! Pods on this machine: images, sandboxes, their network and names.
pub mod error;
pub mod image;
pub use error::{Error, Result};
