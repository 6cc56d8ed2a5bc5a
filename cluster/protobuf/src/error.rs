//! What can be wrong with a body.

use crate::{MAX_BYTES, MEDIA_TYPE};

/// Why a body could not be read. No error shows a value of the object: it may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is longer than [`MAX_BYTES`].
    #[error("the request body has {bytes} bytes; at most {MAX_BYTES} are read")]
    TooLarge {
        /// The body's length.
        bytes: usize,
    },
    /// The body does not begin with `k8s` and a zero byte.
    #[error("the request body is not in the form {MEDIA_TYPE}: it does not begin with \"k8s\\0\"")]
    NoEnvelope,
    /// The envelope says no apiVersion or no kind.
    #[error("the envelope of the request body says no apiVersion and kind; set both on the object")]
    NoType,
    /// The object inside the envelope is encoded in a way that is not known.
    #[error("the object is encoded as \"{0}\", which is not supported; send it as application/json")]
    Encoding(String),
    /// The kind is not known, or has no protobuf form.
    #[error("{api_version}, Kind={kind} cannot be read as protobuf; send it as application/json")]
    UnknownKind {
        /// The envelope's apiVersion.
        api_version: String,
        /// The envelope's kind.
        kind: String,
    },
    /// A field is malformed.
    #[error("{}{problem}", if .path.is_empty() { String::new() } else { format!("{}: ", .path) })]
    Field {
        /// The field's path in the JSON form: `spec.template.spec.containers[0].image`.
        path: String,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with one field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The body ends inside a field.
    #[error("the protobuf message ends in the middle of a field")]
    Truncated,
    /// A variable-length number has more than ten bytes.
    #[error("a protobuf number does not fit into 64 bits")]
    Varint,
    /// A field number is 0, or too large.
    #[error("a protobuf field has an impossible number")]
    FieldNumber,
    /// The wire type is none that exists, or not the one of the field's type.
    #[error("the protobuf field has wire type {0}, which does not fit its type")]
    WireType(u8),
    /// A text is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// Embedded JSON cannot be parsed.
    #[error("the embedded JSON is malformed")]
    Json,
    /// A number that JSON does not have: infinite, or none.
    #[error("the number has no JSON form")]
    Number,
    /// A time outside the years 0 to 9999.
    #[error("the time is outside the years 0 to 9999")]
    Time,
    /// Messages inside messages, without end.
    #[error("messages are nested too deeply")]
    Depth,
    /// More values than an object of the API has.
    #[error("the object has too many values")]
    TooManyValues,
}

/// A problem and the way to it, innermost first: built while the decoder returns.
#[derive(Debug)]
pub(crate) enum Fault {
    Field(Problem, Vec<String>),
    /// An envelope inside an object (RawExtension) is wrong in itself.
    Envelope(Error),
}

impl Fault {
    /// Says in which field the problem is.
    pub(crate) fn inside(mut self, segment: impl FnOnce() -> String) -> Fault {
        if let Fault::Field(_, path) = &mut self {
            path.push(segment());
        }
        self
    }
}

impl From<Problem> for Fault {
    fn from(problem: Problem) -> Fault {
        Fault::Field(problem, Vec::new())
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Envelope(error) => error,
            Fault::Field(problem, segments) => {
                let mut path = String::new();
                for segment in segments.iter().rev().filter(|segment| !segment.is_empty()) {
                    if !path.is_empty() && !segment.starts_with('[') {
                        path.push('.');
                    }
                    path.push_str(segment);
                }
                Error::Field { path, problem }
            }
        }
    }
}
