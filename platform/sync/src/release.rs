//! The name of what an environment runs: a hash of everything that decides it.

use std::collections::BTreeMap;

use seaway_api::StackSpec;
use seaway_api::environment::Image;
use seaway_api::stack::RenderKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::desired::digest;

/// What one component runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseComponent {
    /// The component.
    pub name: String,
    /// Its repository.
    pub repo: String,
    /// The full commit.
    pub commit: String,
    /// The directory.
    pub path: String,
    /// How it was rendered; absent: as detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render: Option<RenderKind>,
    /// What it was rendered with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// Images that took the place of others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// Remote bases: repository and reference, with the commit each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remotes: BTreeMap<String, String>,
}

/// Everything that decides what runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The stack's name.
    pub stack: String,
    /// The hash of the stack's spec.
    pub spec: String,
    /// The components, by name.
    pub components: Vec<ReleaseComponent>,
    /// Each image as it stands in the objects, with its digest; `None`: it is known by its tag only.
    pub images: BTreeMap<String, Option<String>>,
}

impl Release {
    /// From what was rendered.
    pub fn new<'a>(
        stack: &str,
        spec: &StackSpec,
        mut components: Vec<ReleaseComponent>,
        objects: impl IntoIterator<Item = &'a Value>,
    ) -> Self {
        components.sort_by(|a, b| a.name.cmp(&b.name));
        let mut images = BTreeMap::new();
        objects.into_iter().for_each(|object| collect_images(object, &mut images));
        // Where people look at it, and how it is judged, decides nothing of what runs.
        let spec = StackSpec { links: Vec::new(), health_check_exprs: Vec::new(), ..spec.clone() };
        let spec = serde_json::to_value(spec).unwrap_or_default();
        Self { stack: stack.to_owned(), spec: digest(&spec), components, images }
    }

    /// What a component runs.
    pub fn component(&self, name: &str) -> Option<&ReleaseComponent> {
        self.components.iter().find(|component| component.name == name)
    }

    /// The name: the stack's and the first 12 digits of the hash.
    pub fn name(&self) -> String {
        let content = json!({
            "spec": self.spec,
            "components": self.components,
            "images": self.images,
        });
        format!("{}-{}", self.stack, &digest(&content)[..12])
    }

    /// The commits for people: one shortened commit when all components have the same, `name@commit` otherwise.
    pub fn revision(&self) -> String {
        let short = |commit: &str| commit.chars().take(8).collect::<String>();
        let mut commits: Vec<&str> = self.components.iter().map(|c| c.commit.as_str()).collect();
        commits.dedup();
        match commits.as_slice() {
            [] => String::new(),
            [one] => short(one),
            _ => {
                let all = self.components.iter().map(|c| format!("{}@{}", c.name, short(&c.commit)));
                all.collect::<Vec<_>>().join(" ")
            }
        }
    }
}

/// Images of containers, wherever a pod template stands.
fn collect_images(value: &Value, images: &mut BTreeMap<String, Option<String>>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if matches!(key.as_str(), "containers" | "initContainers" | "ephemeralContainers") {
                    let found = value.as_array().into_iter().flatten().filter_map(|c| c["image"].as_str());
                    for image in found {
                        let digest = image.split_once('@').map(|(_, digest)| digest.to_owned());
                        images.insert(image.to_owned(), digest);
                    }
                }
                collect_images(value, images);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect_images(item, images)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(commit: &str, image: &str) -> Release {
        let component = |name: &str| ReleaseComponent {
            name: name.into(),
            repo: "https://git/a".into(),
            commit: commit.into(),
            path: "a".into(),
            ..ReleaseComponent::default()
        };
        let pod =
            json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"image": image}]}}}});
        Release::new("shop", &StackSpec::default(), vec![component("b"), component("a")], [&pod])
    }

    #[test]
    fn the_same_content_has_the_same_name_and_other_content_another() {
        let name = release("c1", "x:1").name();
        assert_eq!(name, release("c1", "x:1").name());
        assert!(name.starts_with("shop-") && name.len() == "shop-".len() + 12, "{name}");
        assert_ne!(name, release("c2", "x:1").name());
        assert_ne!(name, release("c1", "x:2").name());
    }

    #[test]
    fn links_and_health_rules_make_no_other_release() {
        let link = seaway_api::Link { name: "Logs".into(), url: "https://logs.example.com".into() };
        let rule = seaway_api::HealthCheckExpr::default();
        let spec = StackSpec { links: vec![link], health_check_exprs: vec![rule], ..StackSpec::default() };
        let linked = Release::new("shop", &spec, Vec::new(), []);
        assert_eq!(linked.name(), Release::new("shop", &StackSpec::default(), Vec::new(), []).name());
    }

    #[test]
    fn images_are_recorded_with_their_digest_or_as_unpinned() {
        let images = release("c", "x@sha256:abc").images;
        assert_eq!(images["x@sha256:abc"].as_deref(), Some("sha256:abc"));
        assert_eq!(release("c", "x:1").images["x:1"], None);
    }

    #[test]
    fn one_commit_is_printed_once() {
        assert_eq!(release("0123456789abcdef", "x").revision(), "01234567");
        let mut two = release("0123456789abcdef", "x");
        two.components[1].commit = "fedcba9876543210".into();
        assert_eq!(two.revision(), "a@01234567 b@fedcba98");
    }
}
