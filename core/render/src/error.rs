//! Why something cannot be rendered.

use std::fmt;

use crate::remote::Remote;

/// Why something cannot be rendered. Every one names the file, and the line and field where there are any.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{named_by}: {cause}")]
    Source {
        /// The file (and field) that names the path.
        named_by: Place,
        /// What is wrong with the path. It is part of the message.
        cause: seaway_source::Error,
    },
    /// A file is not YAML or JSON.
    #[error("{file}: {cause}")]
    Syntax {
        /// The file.
        file: String,
        /// What and where. It is part of the message.
        cause: seaway_object::Error,
    },
    /// A directory that should be a kustomization is none, or is several.
    #[error("{directory}: {problem}")]
    NoKustomization {
        /// The directory.
        directory: String,
        /// What was looked for.
        problem: String,
    },
    /// A kustomization, or a file that configures one, asks for something that cannot be done.
    #[error("{place}: {problem}")]
    Invalid {
        /// Where it asks.
        place: Place,
        /// What is wrong and what to do.
        problem: String,
    },
    /// Something that this renderer does not do.
    #[error("{place}: {what} is not supported: {instead}")]
    Unsupported {
        /// Where it is asked for.
        place: Place,
        /// What.
        what: String,
        /// What to do.
        instead: String,
    },
    /// The request does not fit what it asks to be rendered.
    #[error("{0}")]
    Request(String),
}

/// A place in a file: file, line, field, as far as they are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as a path from the tree's root; a file of a remote base is prefixed with its repository.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
    /// The field (`patches[0].target`), or empty.
    pub field: String,
}

impl Place {
    /// A whole file.
    pub fn file(file: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, field: String::new() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        Ok(())
    }
}

/// Why a step of rendering stops.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It cannot be done.
    Error(Box<Error>),
    /// Something must be fetched first.
    Needs(Remote),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(Box::new(error))
    }
}

/// What a transformer complains about; the caller knows where it was asked for.
#[derive(Debug)]
pub(crate) struct Problem(pub(crate) String);

impl Problem {
    pub(crate) fn at(self, place: Place) -> Error {
        Error::Invalid { place, problem: self.0 }
    }
}

impl<T: fmt::Display> From<T> for Problem {
    fn from(text: T) -> Self {
        Self(text.to_string())
    }
}
