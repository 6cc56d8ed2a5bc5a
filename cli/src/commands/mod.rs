//! The commands, one file each.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod bootstrap;
pub(crate) mod env;
pub(crate) mod health;
pub(crate) mod install;
pub(crate) mod kube_token;
pub(crate) mod login;
mod question;
pub(crate) mod render;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod up;
