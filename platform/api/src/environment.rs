//! Where a stack runs: a cluster, namespaces, and how it follows its sources.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a stack runs, and how.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "seaway.dev",
    version = "v1alpha1",
    kind = "Environment",
    namespaced,
    status = "EnvironmentStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentSpec {
    /// The stack's name, in the same namespace. A copy has the stack of what it copies, and may leave this out.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stack: String,
    /// What the environment is for.
    #[serde(default)]
    pub class: Class,
    /// The environment that this one is a copy of: `NAMESPACE/NAME`, or a name in [`SHARED_NAMESPACE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// The components that a copy has; empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<String>,
    /// What a copy follows where nothing is pinned or overridden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub follow: Option<Follow>,
    /// From when on the environment is deleted with all that is in it (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// What `${overlay}` stands for; absent: the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlay: Option<String>,
    /// Where the objects go. A copy has none: its namespaces follow from its name.
    #[serde(default, skip_serializing_if = "Destination::is_empty")]
    pub destination: Destination,
    /// Exact commits and images; components without one follow their revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<Pin>,
    /// Deviations from the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// What happens on its own.
    #[serde(default)]
    pub sync: SyncPolicy,
    /// Nothing is applied while this is set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
}

impl EnvironmentSpec {
    /// Namespace and name of the environment that this one is a copy of.
    pub fn original(&self) -> Option<(&str, &str)> {
        let of = self.copy_of.as_deref()?;
        Some(of.split_once('/').unwrap_or((SHARED_NAMESPACE, of)))
    }
}

/// Where Stacks and shared Environments live.
pub const SHARED_NAMESPACE: &str = "seaway";

/// A person's environments live in the namespace of this prefix and the person's name.
const PERSONAL_PREFIX: &str = "seaway-";

/// The namespace of a person's environments.
pub fn personal_namespace(person: &str) -> String {
    format!("{PERSONAL_PREFIX}{person}")
}

/// Whose environments a namespace holds: `None` for one that is not a person's.
pub fn owner(namespace: &str) -> Option<&str> {
    namespace.strip_prefix(PERSONAL_PREFIX).filter(|person| !person.is_empty())
}

/// What a copy follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Follow {
    /// The releases of the environment that it is a copy of.
    #[default]
    Environment,
    /// The revisions that the stack names, which may be ahead of that.
    Revision,
}

impl Follow {
    /// As it stands in the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Revision => "revision",
        }
    }
}

/// What an environment is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Class {
    /// Serves users.
    Production,
    /// Stands before production.
    #[default]
    Staging,
    /// Shows one change.
    Preview,
    /// Belongs to one person.
    Personal,
}

impl Class {
    /// As it stands in the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
            Self::Preview => "preview",
            Self::Personal => "personal",
        }
    }
}

/// A cluster and namespaces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Destination {
    /// `local` is the cluster that holds the Environment.
    #[serde(default = "local")]
    pub cluster: String,
    /// For objects without a namespace.
    #[serde(default)]
    pub namespace: String,
    /// Further namespaces that objects may name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

fn local() -> String {
    "local".to_owned()
}

impl Default for Destination {
    fn default() -> Self {
        Self { cluster: local(), namespace: String::new(), namespaces: Vec::new() }
    }
}

impl Destination {
    /// Whether no namespace is named.
    pub fn is_empty(&self) -> bool {
        self.namespace.is_empty() && self.namespaces.is_empty()
    }

    /// Every namespace that objects may be in, the first being for those without one.
    pub fn all_namespaces(&self) -> impl Iterator<Item = &str> {
        let others = self.namespaces.iter().map(String::as_str).filter(|other| *other != self.namespace);
        std::iter::once(self.namespace.as_str()).chain(others)
    }

    /// Whether objects may be in this namespace.
    pub fn contains(&self, namespace: &str) -> bool {
        self.all_namespaces().any(|allowed| allowed == namespace)
    }
}

/// Exactly what a component runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The component.
    pub component: String,
    /// The full commit; absent: the revision is followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Images by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
}

/// An image that takes the place of another in what is rendered, as `images` of a kustomization.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Image {
    /// The image's name, without tag and digest.
    pub name: String,
    /// What the name becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_name: Option<String>,
    /// What the tag becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What the digest becomes (`sha256:…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}

/// A deviation of one component from the stack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Override {
    /// The component.
    pub component: String,
    /// Another repository, which the stack must allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// Another revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Parameters that replace the stack's, key by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
    /// Other images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    /// From when on it does not count any more (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it was handed back. Once what the environment runs without the override has that, the override ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
}

impl Override {
    /// Whether it counts at this time: what cannot be read as a time never ends.
    pub fn is_active(&self, now: jiff::Timestamp) -> bool {
        let expires = self.expires.as_deref().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        expires.is_none_or(|expires| expires > now)
    }
}

/// A branch that was pushed for others to merge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proposal {
    /// The branch.
    pub branch: String,
    /// The full commit that was proposed.
    pub commit: String,
    /// The page of the merge request, where a forge is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// What happens on its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SyncPolicy {
    /// New commits are applied.
    pub automated: bool,
    /// What left Git is deleted.
    pub prune: bool,
    /// Changes by others of rendered fields are reverted.
    pub self_heal: bool,
    /// An empty result may delete everything.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub allow_empty: bool,
    /// Take fields from other appliers.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub force_conflicts: bool,
    /// How long a wave may take to become healthy, in seconds; absent: 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave_timeout_seconds: Option<u32>,
}

impl Default for SyncPolicy {
    fn default() -> Self {
        Self {
            automated: true,
            prune: true,
            self_heal: true,
            allow_empty: false,
            force_conflicts: false,
            wave_timeout_seconds: None,
        }
    }
}

/// What an environment runs, and how well.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// The generation that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the release that was last applied as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// The commits of that release, shortened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `Synced`, `OutOfSync` or `Unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<String>,
    /// `Healthy`, `Suspended`, `Progressing`, `Missing`, `Degraded` or `Unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
    /// What a person should know first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Each component's commit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentStatus>,
    /// `Rendered`, `Synced`, `Healthy`, `Contained` (of copies), `Held`, `Suspended`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What a component runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentStatus {
    /// The component.
    pub name: String,
    /// Its repository.
    pub repo: String,
    /// The full commit.
    pub commit: String,
}
