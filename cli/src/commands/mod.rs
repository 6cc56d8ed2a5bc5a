//! The commands, one file each.

pub(crate) mod account;
pub(crate) mod env;
pub(crate) mod login;
mod question;
pub(crate) mod render;
pub(crate) mod up;
