//! An environment follows Git.
