//! The demo: a small shop as images, and a deployment repository that says how it runs.
//!
//! [`images::write`] makes an OCI image layout folder with several versions of the shop, whose program is carried in
//! this library; [`Repository::open`] makes a Git repository with its manifests, and a clone for the person to work
//! in. Both are made once and without any network. It never talks to a cluster and never changes what a person did.
//!
//! Start reading at [`images::VERSIONS`] for what there is to deploy, and in the folder `content` for how.

mod error;
mod git;
pub mod images;
mod repository;

pub use error::{Error, Result};
pub use repository::Repository;
