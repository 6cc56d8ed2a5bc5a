//! Pods on this machine: images, sandboxes, their network and names.
pub mod error;
mod helper;
pub mod image;
pub mod sandbox;
pub use error::{Error, Result};
pub use helper::helper_main;
