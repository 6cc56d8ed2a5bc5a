//! How large a value may be.

use serde_json::Value;

use crate::Error;

/// Names of people, objects, environments, releases, revisions, in bytes.
const MAX_NAME: usize = 1024;
/// Reasons and messages of people and programs, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// JSON values, in bytes.
const MAX_JSON: usize = 4 << 20;

/// A text that must be there.
pub(crate) fn name(field: &'static str, text: &str) -> Result<(), Error> {
    if text.is_empty() { Err(Error::Empty { field }) } else { optional_name(field, text) }
}

/// A text that may be empty.
pub(crate) fn optional_name(field: &'static str, text: &str) -> Result<(), Error> {
    below(field, text.len(), MAX_NAME)
}

pub(crate) fn text(field: &'static str, text: &str) -> Result<(), Error> {
    below(field, text.len(), MAX_TEXT)
}

pub(crate) fn json(field: &'static str, value: &Value) -> Result<String, Error> {
    let text = value.to_string();
    below(field, text.len(), MAX_JSON)?;
    Ok(text)
}

pub(crate) fn below(field: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { field, size, limit }) } else { Ok(()) }
}
