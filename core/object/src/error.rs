//! What can be wrong with a text of objects or with a selector.

use crate::yaml::Position;

/// An error of this crate. Those about a text carry the [`Position`]; the caller knows the file's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not YAML or JSON.
    #[error("{position}: not valid {format}: {message}")]
    Syntax {
        /// `YAML` or `JSON`.
        format: &'static str,
        /// What the parser says.
        message: String,
        /// Where.
        position: Position,
    },
    /// The text costs more than the limits allow.
    #[error("{position}: more than {limit} {what}: split the file, or expand its aliases")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much is allowed.
        limit: usize,
        /// Where the limit was passed.
        position: Position,
    },
    /// An alias inside the node that it names.
    #[error("{position}: the anchor contains itself")]
    RecursiveAlias {
        /// Where the alias is.
        position: Position,
    },
    /// A scalar does not fit its tag, or cannot be expressed in JSON.
    #[error("{position}: {message}")]
    Scalar {
        /// What does not fit.
        message: String,
        /// Where.
        position: Position,
    },
    /// A key that cannot be a key of an object.
    #[error("{position}: invalid map key: {message}")]
    Key {
        /// Why.
        message: String,
        /// Where.
        position: Position,
    },
    /// The same key twice in one map.
    #[error("{position}: mapping key {key:?} already defined at line {first}: remove one of the two", first = first.line)]
    DuplicateKey {
        /// The key.
        key: String,
        /// The first place.
        first: Position,
        /// The second place.
        position: Position,
    },
    /// `<<` with something that is not a map or a list of maps.
    #[error("{position}: map merge requires map or sequence of maps as the value")]
    Merge {
        /// Where the value is.
        position: Position,
    },
    /// A document that is not an object with apiVersion and kind.
    #[error("{position}: {message}")]
    NotAnObject {
        /// What is missing.
        message: String,
        /// Where the document starts.
        position: Position,
    },
    /// An object without type or name.
    #[error("{message}")]
    Identity {
        /// What is missing.
        message: String,
    },
    /// A malformed label or field selector.
    #[error("{message}")]
    Selector {
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// Where in the text; `None` if the error is not about a text.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax { position, .. }
            | Self::TooLarge { position, .. }
            | Self::RecursiveAlias { position }
            | Self::Scalar { position, .. }
            | Self::Key { position, .. }
            | Self::DuplicateKey { position, .. }
            | Self::Merge { position }
            | Self::NotAnObject { position, .. } => Some(*position),
            Self::Identity { .. } | Self::Selector { .. } => None,
        }
    }
}
