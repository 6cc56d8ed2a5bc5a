//! One rejected field, as `field.Error` of k8s.io/apimachinery tells it.
//!
//! The texts are part of the API: `kubectl` prints them, people search for them, and programs read
//! the reason of each cause. So [`FieldError`] keeps kind, path, value and detail apart and prints
//! them the way Kubernetes does.

use std::fmt;

use serde_json::Value;

/// Why a field was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The value refers to something that does not exist in the object.
    NotFound,
    /// A field that must be present is absent or empty.
    Required,
    /// The value occurs twice where it must be unique.
    Duplicate,
    /// The value does not satisfy the field's rules.
    Invalid,
    /// As [`ErrorKind::Invalid`], of a structure as a whole, which is not shown.
    InvalidWhole,
    /// The value is not one of a fixed set.
    NotSupported,
    /// The field may not be set here at all.
    Forbidden,
    /// The value has too many bytes.
    TooLong,
    /// The list has too many items.
    TooMany,
    /// The check itself failed.
    InternalError,
    /// The value has the wrong type.
    TypeInvalid,
}

impl ErrorKind {
    /// The words that open the message.
    fn text(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "Not found",
            ErrorKind::Required => "Required value",
            ErrorKind::Duplicate => "Duplicate value",
            ErrorKind::Invalid | ErrorKind::InvalidWhole | ErrorKind::TypeInvalid => "Invalid value",
            ErrorKind::NotSupported => "Unsupported value",
            ErrorKind::Forbidden => "Forbidden",
            ErrorKind::TooLong => "Too long",
            ErrorKind::TooMany => "Too many",
            ErrorKind::InternalError => "Internal error",
        }
    }

    /// The `reason` of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            ErrorKind::NotFound => "FieldValueNotFound",
            ErrorKind::Required => "FieldValueRequired",
            ErrorKind::Duplicate => "FieldValueDuplicate",
            ErrorKind::Invalid | ErrorKind::InvalidWhole => "FieldValueInvalid",
            ErrorKind::NotSupported => "FieldValueNotSupported",
            ErrorKind::Forbidden => "FieldValueForbidden",
            ErrorKind::TooLong => "FieldValueTooLong",
            ErrorKind::TooMany => "FieldValueTooMany",
            ErrorKind::InternalError => "InternalError",
            ErrorKind::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One rejected field of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    /// Why it was rejected.
    pub kind: ErrorKind,
    /// The path of the field, such as `spec.containers[0].name`.
    pub field: String,
    /// The value that was found; not printed for kinds that do not show it.
    pub bad_value: Value,
    /// What would be right; may be empty.
    pub detail: String,
}

impl FieldError {
    fn new(kind: ErrorKind, path: &Path, bad_value: impl Into<Value>, detail: impl Into<String>) -> Self {
        FieldError { kind, field: path.to_string(), bad_value: bad_value.into(), detail: detail.into() }
    }

    /// The value does not satisfy the field's rules.
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, path, value, detail)
    }

    /// The structure as a whole does not satisfy the rules; the error does not show it.
    pub fn invalid_whole(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidWhole, path, Value::Null, detail)
    }

    /// The field must be present.
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Required, path, "", detail)
    }

    /// The value occurs twice.
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::Duplicate, path, value, "")
    }

    /// The value names nothing that exists.
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorKind::NotFound, path, value, "")
    }

    /// The field may not be set here.
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, path, "", detail)
    }

    /// The value is not one of `supported`; they are listed in the order given.
    pub fn not_supported(path: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let detail = if supported.is_empty() {
            String::new()
        } else {
            let quoted: Vec<String> = supported.iter().map(|one| quote(one)).collect();
            format!("supported values: {}", quoted.join(", "))
        };
        Self::new(ErrorKind::NotSupported, path, value, detail)
    }

    /// The value has more than `limit` bytes. The value itself is not kept.
    pub fn too_long(path: &Path, limit: usize) -> Self {
        let detail = format!("may not be more than {limit} bytes");
        Self::new(ErrorKind::TooLong, path, "", detail)
    }

    /// The list has `found` items and may have `limit`.
    pub fn too_many(path: &Path, found: usize, limit: usize) -> Self {
        let detail = format!("must have at most {limit} items");
        Self::new(ErrorKind::TooMany, path, found, detail)
    }

    /// The `reason` of the cause in a `Status`, such as `FieldValueInvalid`.
    pub fn reason(&self) -> &'static str {
        self.kind.reason()
    }

    /// The message without the field's path: the `message` of the cause in a `Status`.
    pub fn body(&self) -> String {
        let mut text = self.kind.text().to_owned();
        let shows_value = !matches!(
            self.kind,
            ErrorKind::Required
                | ErrorKind::InvalidWhole
                | ErrorKind::Forbidden
                | ErrorKind::TooLong
                | ErrorKind::InternalError
        );
        if shows_value {
            text.push_str(": ");
            match &self.bad_value {
                Value::Null => text.push_str("\"null\""),
                Value::String(value) => text.push_str(&quote(value)),
                // Numbers, booleans and structures print as JSON.
                value => text.push_str(&value.to_string()),
            }
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

impl std::error::Error for FieldError {}

/// The text of several errors as Kubernetes joins them: one alone as it is, more in brackets, each
/// text once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut texts: Vec<String> = Vec::with_capacity(errors.len());
    for error in errors {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    match texts.len() {
        1 => texts.remove(0),
        _ => format!("[{}]", texts.join(", ")),
    }
}

/// The path of a field: `spec.containers[0].name`, `metadata.labels[app]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// A path of one or more dotted names.
    pub fn new(name: &str) -> Self {
        Path(name.to_owned())
    }

    /// The empty path: the object itself.
    pub fn root() -> Self {
        Path(String::new())
    }

    /// The field `name` of the structure at this path; `name` may be dotted.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Path(name.to_owned()) } else { Path(format!("{}.{name}", self.0)) }
    }

    /// The item at `index` of the list at this path.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Path(format!("{}[{index}]", self.0))
    }

    /// The entry `key` of the map at this path.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Path(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("<nil>") } else { f.write_str(&self.0) }
    }
}

/// `text` in double quotes with the escapes of Go's `%q`.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                quoted.push_str(&format!("\\x{:02x}", c as u32));
            }
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn each_kind_prints_as_kubernetes_prints_it() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        let cases = [
            (
                FieldError::invalid(&Path::new("spec.replicas"), -1, "must be greater than or equal to 0"),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "FieldValueInvalid",
            ),
            (
                FieldError::invalid_whole(&Path::new("spec.rules").index(0), "one of both is required"),
                "spec.rules[0]: Invalid value: one of both is required",
                "FieldValueInvalid",
            ),
            (
                FieldError::required(&Path::new("metadata.name"), "name or generateName is required"),
                "metadata.name: Required value: name or generateName is required",
                "FieldValueRequired",
            ),
            (
                FieldError::not_supported(&Path::new("spec.type"), "x", &["A", "B"]),
                "spec.type: Unsupported value: \"x\": supported values: \"A\", \"B\"",
                "FieldValueNotSupported",
            ),
            (
                FieldError::duplicate(&path, "a\"b\n"),
                "spec.containers[0].name: Duplicate value: \"a\\\"b\\n\"",
                "FieldValueDuplicate",
            ),
            (
                FieldError::not_found(&path, "data"),
                "spec.containers[0].name: Not found: \"data\"",
                "FieldValueNotFound",
            ),
            (
                FieldError::forbidden(&path, "may not be set"),
                "spec.containers[0].name: Forbidden: may not be set",
                "FieldValueForbidden",
            ),
            (
                FieldError::too_long(&Path::new("metadata.annotations"), 262_144),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
                "FieldValueTooLong",
            ),
            (
                FieldError::too_many(&path, 3, 2),
                "spec.containers[0].name: Too many: 3: must have at most 2 items",
                "FieldValueTooMany",
            ),
            (
                FieldError::invalid(&path, json!({"app": "a"}), "field is immutable"),
                "spec.containers[0].name: Invalid value: {\"app\":\"a\"}: field is immutable",
                "FieldValueInvalid",
            ),
            (
                FieldError::invalid(&path, Value::Null, "bad"),
                "spec.containers[0].name: Invalid value: \"null\": bad",
                "FieldValueInvalid",
            ),
        ];
        for (error, text, reason) in cases {
            assert_eq!(error.to_string(), text);
            assert_eq!(error.reason(), reason);
        }
    }

    #[test]
    fn several_errors_join_in_brackets_and_repeat_no_text() {
        let one = FieldError::required(&Path::new("a"), "");
        let two = FieldError::required(&Path::new("b"), "");
        assert_eq!(aggregate(std::slice::from_ref(&one)), "a: Required value");
        assert_eq!(aggregate(&[one.clone(), two, one]), "[a: Required value, b: Required value]");
    }

    #[test]
    fn map_keys_stand_in_brackets() {
        let path = Path::new("metadata").child("labels").key("app/x");
        assert_eq!(path.to_string(), "metadata.labels[app/x]");
    }
}
