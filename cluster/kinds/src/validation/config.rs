//! Namespaces, ConfigMaps and Secrets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::formats::{config_key, qualified_name};
use super::{IMMUTABLE, push_all};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, entries, is_true, items, same, text};

/// All values of a ConfigMap or Secret together.
const SIZE_MAX: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";
/// Values of Secrets never appear in an error.
const REDACTED: &str = "<secret contents redacted>";

/// Checks the finalizers of a Namespace's spec.
pub(super) fn validate_namespace(errors: &mut Vec<FieldError>, namespace: &Value) {
    let path = Path::new("spec.finalizers");
    for finalizer in items(namespace, "spec.finalizers").iter().filter_map(Value::as_str) {
        push_all(errors, &path, finalizer, qualified_name(finalizer));
        if !finalizer.contains('/') && !matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion") {
            errors.push(FieldError::invalid(
                &path,
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

/// Checks the labels that say what pods the Namespace admits (KEP-2579). Wrong ones that are there already stay.
pub(super) fn validate_pod_security(errors: &mut Vec<FieldError>, namespace: &Value, old: Option<&Value>) {
    let found = pod_security_problems(namespace);
    if !old.is_some_and(|old| pod_security_problems(old) == found) {
        errors.extend(found);
    }
}

fn pod_security_problems(namespace: &Value) -> Vec<FieldError> {
    const LEVELS: [&str; 3] = ["privileged", "baseline", "restricted"];
    let label = |name: &str| {
        at(namespace, "metadata.labels").and_then(|labels| labels.get(name)).and_then(Value::as_str)
    };
    let is_version = |version: &str| {
        version == "latest"
            || version.strip_prefix("v1.").is_some_and(|minor| {
                minor.bytes().all(|b| b.is_ascii_digit())
                    && (minor == "0" || !minor.starts_with(['0', '.']))
                    && !minor.is_empty()
            })
    };
    let mut errors = Vec::new();
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("pod-security.kubernetes.io/{mode}");
        if let Some(level) = label(&key).filter(|level| !LEVELS.contains(level)) {
            let path = Path::new("metadata.labels").key(&key);
            errors.push(FieldError::invalid(&path, level, format!("must be one of {}", LEVELS.join(", "))));
        }
        let key = format!("{key}-version");
        if let Some(version) = label(&key).filter(|version| !is_version(version)) {
            let path = Path::new("metadata.labels").key(&key);
            errors.push(FieldError::invalid(&path, version, "must be \"latest\" or \"v1.x\""));
        }
    }
    errors
}

/// How many bytes a value in Base64 stands for.
fn decoded_size(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// Checks keys and size of a ConfigMap.
pub(super) fn validate_config_map(errors: &mut Vec<FieldError>, map: &Value) {
    let mut size = 0;
    for (key, value) in entries(map, "data") {
        let path = Path::new("data").key(key);
        push_all(errors, &path, key, config_key(key));
        if at(map, "binaryData").is_some_and(|binary| binary.get(key).is_some()) {
            errors.push(FieldError::invalid(&path, key.as_str(), "duplicate of key present in binaryData"));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in entries(map, "binaryData") {
        push_all(errors, &Path::new("binaryData").key(key), key, config_key(key));
        size += decoded_size(value);
    }
    if size > SIZE_MAX {
        // The real server names the object itself by an empty path, which prints so.
        errors.push(FieldError::too_long(&Path::new("[]"), SIZE_MAX));
    }
}

/// An immutable ConfigMap stays immutable, with its data.
pub(super) fn validate_config_map_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    validate_frozen(errors, new, old, &["data", "binaryData"]);
}

fn validate_frozen(errors: &mut Vec<FieldError>, new: &Value, old: &Value, fields: &[&str]) {
    if !is_true(old, "immutable") {
        return;
    }
    if !is_true(new, "immutable") {
        errors.push(FieldError::forbidden(&Path::new("immutable"), FROZEN));
    }
    for field in fields {
        if !same(at(new, field), at(old, field)) {
            errors.push(FieldError::forbidden(&Path::new(field), FROZEN));
        }
    }
}

/// Checks keys and size of a Secret, and what its type requires.
pub(super) fn validate_secret(errors: &mut Vec<FieldError>, secret: &Value) {
    let path = Path::new("data");
    let mut size = 0;
    for (key, value) in entries(secret, "data") {
        push_all(errors, &path.key(key), key, config_key(key));
        size += decoded_size(value);
    }
    if size > SIZE_MAX {
        errors.push(FieldError::too_long(&path, SIZE_MAX));
    }
    let value = |key: &str| at(secret, "data").and_then(|data| data.get(key));
    let mut require = |keys: &[&str]| {
        for key in keys {
            errors.push(FieldError::required(&path.key(key), ""));
        }
    };
    match text(secret, "type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            let named = at(secret, "metadata.annotations")
                .and_then(|annotations| annotations.get(NAME))
                .is_some_and(|name| name != "");
            if !named {
                errors.push(FieldError::required(&Path::new("metadata.annotations").key(NAME), ""));
            }
        }
        "kubernetes.io/dockercfg" => validate_json(errors, secret, ".dockercfg"),
        "kubernetes.io/dockerconfigjson" => validate_json(errors, secret, ".dockerconfigjson"),
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            require(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").is_none_or(|value| value == "") => {
            require(&["ssh-privatekey"]);
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if value(key).is_none() {
                    require(&[key]);
                }
            }
        }
        _ => {}
    }
}

/// The value of `key` must be there and be a JSON structure.
fn validate_json(errors: &mut Vec<FieldError>, secret: &Value, key: &str) {
    let path = Path::new("data").key(key);
    let Some(value) = at(secret, "data").and_then(|data| data.get(key)) else {
        errors.push(FieldError::required(&path, ""));
        return;
    };
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default());
    let parsed =
        bytes.ok().and_then(|bytes| serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes).ok());
    if parsed.is_none() {
        // The parser's own words could quote the value.
        errors.push(FieldError::invalid(&path, REDACTED, "must be a JSON object"));
    }
}

/// A Secret keeps its type; an immutable one keeps its data.
pub(super) fn validate_secret_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let (given, known) = (text(new, "type"), text(old, "type"));
    if given != known {
        errors.push(FieldError::invalid(&Path::new("type"), given, IMMUTABLE));
    }
    validate_frozen(errors, new, old, &["data"]);
}
