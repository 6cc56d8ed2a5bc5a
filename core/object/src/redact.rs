//! Takes the values out of Secrets before anybody sees them: diffs, logs, events, pages.
//!
//! What remains of a value is its key, its length and a keyed hash: two redacted objects differ exactly where the
//! originals do, and without the key nobody can guess a short password by hashing candidates.

use std::fmt;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::identity::kind;
use crate::yaml::decode_base64;

const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// The key of the hashes: random, one per installation, given by the caller. It cannot be printed.
#[derive(Clone)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// From 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// HMAC-SHA-256 (RFC 2104) of a value: without the key nobody can tell what it is of, or make one.
    pub fn digest(&self, value: &[u8]) -> [u8; 32] {
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(self.0).for_each(|(block, key)| *block ^= key);
            block
        };
        let inner = Sha256::new().chain_update(pad(0x36)).chain_update(value).finalize();
        let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
        outer.into()
    }

    /// The first 8 bytes in hexadecimal: enough to tell values apart.
    fn hash(&self, value: &[u8]) -> String {
        self.digest(value).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    fn describe(&self, value: &[u8]) -> Value {
        let unit = if value.len() == 1 { "byte" } else { "bytes" };
        Value::String(format!("<redacted: {} {unit}, hash {}>", value.len(), self.hash(value)))
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey(…)")
    }
}

/// Is it an object whose values must not be shown? Every kind named `Secret` counts, of whatever group, and lists that
/// hold one.
pub fn is_secret(object: &Value) -> bool {
    kind(object) == "Secret"
        || items_kind(object) == Some("Secret")
        || object.get("items").and_then(Value::as_array).is_some_and(|items| items.iter().any(is_secret))
}

/// Replace the values of Secrets in `object`: `data`, `stringData` and the copy of both that `kubectl apply` leaves in
/// an annotation. The same bytes in `data` and `stringData` get the same hash. Other objects stay as they are.
pub fn redact(object: &mut Value, key: &HashKey) {
    if kind(object) == "Secret" {
        redact_secret(object, key);
        return;
    }
    let of_secrets = items_kind(object) == Some("Secret");
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        for item in items {
            // Items of a typed list need not repeat their kind.
            if of_secrets { redact_secret(item, key) } else { redact(item, key) }
        }
    }
}

fn items_kind(list: &Value) -> Option<&str> {
    kind(list).strip_suffix("List")
}

fn redact_secret(secret: &mut Value, key: &HashKey) {
    for (field, encoded) in [("data", true), ("stringData", false)] {
        match secret.get_mut(field) {
            None | Some(Value::Null) => {}
            Some(Value::Object(values)) => {
                values.values_mut().for_each(|value| redact_value(value, encoded, key));
            }
            // Not a valid Secret, but perhaps a secret.
            Some(value) => redact_value(value, false, key),
        }
    }
    if let Some(annotation) = secret
        .get_mut("metadata")
        .and_then(|m| m.get_mut("annotations"))
        .and_then(|a| a.get_mut(LAST_APPLIED))
    {
        redact_value(annotation, false, key);
    }
}

fn redact_value(value: &mut Value, encoded: bool, key: &HashKey) {
    *value = match &*value {
        Value::Null => return,
        Value::String(text) => match decode_base64(text).filter(|_| encoded) {
            Some(bytes) => key.describe(&bytes),
            None => key.describe(text.as_bytes()),
        },
        other => key.describe(other.to_string().as_bytes()),
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn redacted(mut object: Value) -> Value {
        redact(&mut object, &HashKey::new([7; 32]));
        object
    }

    /// RFC 4231, test case 2 has a short key; this one is computed with a full block of known input.
    #[test]
    fn the_hash_is_hmac_sha_256() {
        // printf '' | openssl dgst -sha256 -mac HMAC -macopt hexkey:00…00 (32 bytes)
        assert_eq!(HashKey::new([0; 32]).hash(b""), "b613679a0814d9ec");
    }

    #[test]
    fn no_value_of_a_secret_remains_anywhere() {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "db", "annotations": {LAST_APPLIED: "{\"stringData\":{\"p\":\"hunter2\"}}"}},
            "data": {"p": "aHVudGVyMg==", "broken": "hunter2!"}, "stringData": {"q": "hunter2", "n": 12}
        });
        for object in [
            secret.clone(),
            json!({"kind": "List", "items": [secret]}),
            json!({"kind": "SecretList", "items": [{"data": {"p": "aHVudGVyMg=="}}]}),
            json!({"kind": "Secret", "data": "hunter2"}),
            json!({"kind": "Secret", "data": ["hunter2"]}),
        ] {
            assert!(is_secret(&object));
            let text = redacted(object).to_string();
            assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
            assert!(text.contains("<redacted: "), "{text}");
        }
    }

    #[test]
    fn equal_values_stay_equal_and_different_ones_different() {
        let secret = redacted(json!({"kind": "Secret",
            "data": {"a": "aHVudGVyMg==", "b": "aHVudGVyMw=="}, "stringData": {"a": "hunter2"}}));
        assert_eq!(secret["data"]["a"], secret["stringData"]["a"]);
        assert_ne!(secret["data"]["a"], secret["data"]["b"]);
        assert!(secret["data"]["a"].as_str().unwrap().starts_with("<redacted: 7 bytes, hash "));
    }

    #[test]
    fn other_objects_are_left_alone() {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"}});
        assert_eq!(redacted(config.clone()), config);
        assert!(!is_secret(&config));
    }
}
