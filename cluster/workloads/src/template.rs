//! Pods from templates, and names for templates by their content.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// Letters and digits that Kubernetes uses in generated names: no vowels, nothing that looks alike.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short name for content. `collisions` gives another one when the first is taken by other content.
///
/// The letters differ from those that the original controllers would choose; nothing depends on them.
pub(crate) fn hash(content: &impl Serialize, collisions: Option<i32>) -> String {
    // Serialising typed objects to memory cannot fail; an empty text would only make another name.
    let mut bytes = serde_json::to_vec(content).unwrap_or_default();
    bytes.extend(collisions.unwrap_or(0).to_be_bytes());
    let digest = Sha256::digest(&bytes);
    let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
    number
        .to_string()
        .bytes()
        .map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()]))
        .collect()
}

/// A pod as the template describes it, controlled by `owner`. The caller gives it a name.
pub(crate) fn pod(template: &PodTemplateSpec, namespace: &str, owner: OwnerReference) -> Pod {
    let shape = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            namespace: Some(namespace.to_owned()),
            labels: shape.labels,
            annotations: shape.annotations,
            finalizers: shape.finalizers,
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The prefix for generated pod names: the name when it fits, with a dash.
pub(crate) fn prefix(name: &str) -> String {
    // A name with 5 generated letters must stay below 63 to serve as a host name.
    let cut = name.char_indices().map(|(i, c)| i + c.len_utf8()).take_while(|end| *end <= 57).last();
    format!("{}-", &name[..cut.unwrap_or(0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_by_content_are_stable_and_differ_after_a_collision() {
        let template = PodTemplateSpec::default();
        assert_eq!(hash(&template, None), hash(&template, Some(0)));
        assert_ne!(hash(&template, None), hash(&template, Some(1)));
        assert!(hash(&template, None).bytes().all(|b| ALPHABET.contains(&b)));
    }

    #[test]
    fn long_names_leave_room_for_generated_letters() {
        assert_eq!(prefix("web"), "web-");
        assert_eq!(prefix(&"x".repeat(80)).len(), 58);
    }
}
