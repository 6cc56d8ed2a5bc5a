//! The commands, one file each.

pub(crate) mod env;
pub(crate) mod render;
pub(crate) mod up;
