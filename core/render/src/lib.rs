//! A file tree and a request in, Kubernetes objects out.
//!
//! What it does: renders plain YAML ([`Kind::Plain`]) and kustomizations ([`Kind::Kustomize`]), the latter natively
//! and with the results of kustomize 5.6. Every object comes with the file and line that it is from, and with what made it
//! ([`Transformation`]) when that is asked for. [`Cache`] keeps results; [`validate`] holds them against schemas.
//!
//! Where it differs from kustomize 5.6, it is on purpose:
//! - a key such as `on` or `1` that a transformer adds is written in quotes; kustomize writes it without, and then cannot
//!   read its own text;
//! - what follows a document without a `---` line between is an error; kustomize drops it silently;
//! - a value that one replacement copies into an annotation and into another field stays what it is in the other field;
//!   kustomize makes a text of both;
//! - YAML is YAML 1.2 where yaml.v3 is a version behind: `\/` in quotes is a slash, U+0085 and U+2028 are no line breaks,
//!   keys in braces may go on in the next line; a byte order mark inside of a file is an error;
//! - where kustomize panics, there is an error or a result;
//! - `managedByLabel` says `kustomize-v5.6.0`, as the kustomize program does (inside of kubectl it says `(devel)`);
//! - sizes, depths and numbers have limits, and what exceeds one is an error that names the file.
//!
//! What it never does: touch the network, a clock or a process. A remote base that is not there yet is an answer
//! ([`Outcome::Needs`]), not a request. It runs no plugins.
//!
//! Start reading at [`render`]; inside, `accumulate` is the way of a kustomization from its file to its objects, and
//! `transformers` holds what happens to them on it.

mod accumulate;
mod build_metadata;
mod cache;
mod config;
mod error;
mod field_path;
mod fieldspec;
mod generators;
mod hash;
mod id;
mod json_patch;
mod kustomization;
mod loader;
mod merge2;
mod node;
mod objects;
mod output;
mod plain;
mod plugins;
mod refs;
mod remote;
mod request;
mod resmap;
mod resource;
mod schema;
mod selector;
mod trace;
mod transformers;
mod validate;
mod vars;

pub use cache::{Cache, Found, Shareable};
pub use error::{Error, Place};
pub use kustomization::Image;
pub use loader::LoadRestriction;
pub use output::Format;
pub use plain::PlainOptions;
pub use remote::{Remote, RemoteBase, Remotes};
pub use request::{Kind, Outcome, RenderRequest, Rendered, RenderedObject, detect, render, render_directory};
pub use resource::Origin;
pub use trace::{Stopwatch, Transformation};
pub use validate::{Finding, Validation, validate};
