//! What changes objects: one module for each field of a kustomization that does.

pub(crate) mod images;
pub(crate) mod names;
pub(crate) mod namespace;
pub(crate) mod patches;
pub(crate) mod replacements;
pub(crate) mod replicas;
pub(crate) mod sort;
pub(crate) mod texts;
pub(crate) mod value;
