//! Names, tags and digests of images, as registries take them.

use crate::environment::Image;

/// What no registry takes for an image: the field and the problem (OCI distribution specification, "Pulling manifests").
pub(crate) fn problem(image: &Image) -> Option<(&'static str, String)> {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let is_name = |name: &str| {
        let part = |part: &str| !part.is_empty() && part.chars().all(|c| word(c) || c == ':');
        !name.is_empty() && name.split('/').all(part)
    };
    let is_tag =
        |tag: &str| !tag.starts_with(['.', '-']) && (1..=128).contains(&tag.len()) && tag.chars().all(word);
    let is_digest = |digest: &str| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())
        })
    };
    if !is_name(&image.name) {
        return Some(("name", format!("{:?} is not the name of an image", image.name)));
    }
    if let Some(name) = image.new_name.as_deref().filter(|name| !is_name(name)) {
        return Some(("newName", format!("{name:?} is not the name of an image")));
    }
    if let Some(tag) = image.tag.as_deref().filter(|tag| !is_tag(tag)) {
        return Some(("tag", format!("{tag:?} is not a tag: at most 128 letters, digits, _, . and -")));
    }
    let digest = image.digest.as_deref().filter(|digest| !is_digest(digest))?;
    Some(("digest", format!("{digest:?} is not a digest: such as sha256: and 64 hexadecimal digits")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn field(image: Value) -> Option<&'static str> {
        let image: Image = serde_json::from_value(image).unwrap_or_default();
        problem(&image).map(|(field, _)| field)
    }

    #[test]
    fn what_no_registry_takes_is_named_by_its_field() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in [
            json!({"name": "web", "tag": "1.0"}),
            json!({"name": "localhost:5000/shop/web", "newName": "registry.example.com/web", "tag": "_x-1"}),
            json!({"name": "web", "digest": digest}),
        ] {
            assert_eq!(field(good.clone()), None, "{good}");
        }
        for (image, wrong) in [
            (json!({"name": ""}), "name"),
            (json!({"name": "we b"}), "name"),
            (json!({"name": "web", "newName": "a//b"}), "newName"),
            (json!({"name": "web", "tag": "1 2"}), "tag"),
            (json!({"name": "web", "tag": "-x"}), "tag"),
            (json!({"name": "web", "tag": ""}), "tag"),
            (json!({"name": "web", "tag": "a".repeat(129)}), "tag"),
            (json!({"name": "web", "digest": "sha256:short"}), "digest"),
            (json!({"name": "web", "digest": "0a".repeat(32)}), "digest"),
        ] {
            assert_eq!(field(image.clone()), Some(wrong), "{image}");
        }
    }
}
