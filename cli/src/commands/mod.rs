//! The commands, one file each.

pub(crate) mod render;
pub(crate) mod up;
