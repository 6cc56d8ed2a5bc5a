//! What runs: components, what they may touch, and the path to production.

use std::collections::BTreeMap;

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::health_check::HealthCheckExpr;
use crate::links::Link;

/// What a stack is made of.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "seaway.dev",
    version = "v1alpha1",
    kind = "Stack",
    namespaced,
    status = "StackStatus",
    schema = "disabled",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct StackSpec {
    /// The parts, each from one place in a repository.
    #[serde(default)]
    pub components: Vec<Component>,
    /// What the components may touch; absent: their own repositories and no cluster-scoped kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Allow>,
    /// The environments on the way to production, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<PathStep>,
    /// What stays in production, each with its stand-in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub production_only: Vec<ProductionOnly>,
    /// What a copy may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopyPolicy>,
    /// Fields that others may write: neither drift nor overwritten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore: Vec<IgnoreRule>,
    /// How objects of kinds of its own are judged, in CEL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub health_check_exprs: Vec<HealthCheckExpr>,
    /// Pages elsewhere about each environment, such as dashboards and logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
}

/// A part of a stack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Unique in the stack.
    pub name: String,
    /// Where its manifests are.
    pub source: Source,
    /// How they become objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub render: Option<Render>,
    /// Components that must be applied and healthy before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// Whether a copy of an environment gets its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<Copies>,
}

/// A place in a Git repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// What `git clone` takes.
    pub repo: String,
    /// Directory from the repository's root; `${overlay}` stands for the environment's overlay.
    #[serde(default)]
    pub path: String,
    /// Branch, tag or commit; absent: the repository's default branch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

/// How files become objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Render {
    /// Absent: detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<RenderKind>,
    /// For scripts and charts; an error elsewhere.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, Value>,
}

/// A way of rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RenderKind {
    /// Files of objects.
    Plain,
    /// A kustomization.
    Kustomize,
    /// A TypeScript program.
    Script,
    /// A Helm chart.
    Helm,
}

/// What a copy of an environment does with a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Copies {
    /// The copy runs its own.
    Copied,
    /// The copy uses that of the environment that [`CopyPolicy::shared_from`] names.
    Shared,
}

/// Which rendered objects are meant: all that is given must hold. In names, `*` stands for any text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// API group; absent: any, empty: the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace in the environment that is copied; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Component; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
}

impl Target {
    /// Whether an object of this component is meant, `namespace` being that in the environment that is copied.
    pub fn matches(
        &self,
        component: &str,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| matches_pattern(wanted, found))
        };
        is(&self.group, group)
            && is(&self.kind, kind)
            && is(&self.name, name)
            && is(&self.namespace, namespace.unwrap_or_default())
            && is(&self.component, component)
    }

    /// Whether it would mean every object.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Something that stays in production, and what a copy has in its place.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductionOnly {
    /// Unique in the list; fidelity names it.
    pub name: String,
    /// The objects; with `host` or `file`, where those are looked for.
    #[serde(default, skip_serializing_if = "Target::is_empty")]
    pub target: Target,
    /// A host outside the cluster, in values of ConfigMaps and in variables and arguments of containers; `*` stands for
    /// any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// A file of a component's repository, from its root: a copy reads something else in its place. `*` stands for any
    /// text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What a copy has instead.
    pub stand_in: StandIn,
}

/// What takes the place of something that stays in production: exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandIn {
    /// A Secret of the same name with other values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretStandIn>,
    /// A volume of the same name and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<VolumeStandIn>,
    /// A volume of the same name and size that a program fills before anything else uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<Program>,
    /// A Service of the same name, behind which another program answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<MockService>,
    /// Another host, with or without a port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What a file holds. It lies in Git, so it is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// The same as in production: a copy may use it. Not for Secrets.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep: bool,
    /// Nothing: the copy goes without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub omit: bool,
}

/// A program in an image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Program {
    /// The image.
    pub image: String,
    /// What is run; empty: what the image says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
}

/// A program that answers in place of a service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MockService {
    /// The program.
    #[serde(flatten)]
    pub program: Program,
    /// The port at which it answers.
    pub port: u16,
}

/// The values of a Secret that stands in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStandIn {
    /// Values as texts, by key: they lie in Git, so they are no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// Keys that get a password of their own in each copy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generate: Vec<String>,
}

/// What a volume that stands in holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum VolumeStandIn {
    /// Nothing.
    Empty,
}

/// What a copy of an environment may change, and where copies answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyPolicy {
    /// What differs on purpose, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<CopyRule>,
    /// Copies answer at `*.NAME.DOMAIN`; absent: the installation's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The environment, beside the one that is copied, whose shared components copies use; absent: that one itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_from: Option<String>,
    /// Which Pod Security Standard holds in the namespaces of copies.
    #[serde(default)]
    pub pod_security: PodSecurity,
    /// How many copies there may be of one environment.
    #[serde(default, skip_serializing_if = "Most::is_empty")]
    pub most: Most,
    /// How much each namespace of a copy may ask for: `hard` of a ResourceQuota, such as `{requests.cpu: "2"}`; absent:
    /// what Seaway thinks is enough.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub quota: BTreeMap<String, String>,
    /// How much one pod or container may ask for, and has where it asks for nothing: `limits` of a LimitRange; absent:
    /// what a quota needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Value>,
    /// Where the pods of a copy may connect to, besides the copy itself and the cluster's names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Egress>,
    /// The listener of each copy, where the cluster has an implementation of Gateway API; absent: routes stay attached to
    /// what they name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<CopyGateway>,
}

/// How many copies there may be of one environment, by class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Most {
    /// Of each person; absent: as many as the quota of the person's namespace lets be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal: Option<u32>,
    /// Of class `preview`, in all; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preview: Option<u32>,
}

impl Most {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A place that pods of a copy may connect to: exactly one of `cidr` and `namespace`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Egress {
    /// Unique in the list.
    pub name: String,
    /// Addresses: `192.0.2.0/24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<String>,
    /// Addresses within `cidr` that are not meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// All pods of a namespace of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Only these ports; absent: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<EgressPort>,
}

/// A port that may be connected to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EgressPort {
    /// The port.
    pub port: u16,
    /// `TCP` (when absent), `UDP` or `SCTP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// The Gateway that each copy gets for itself: it accepts the hosts of the copy, and routes of its namespaces alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyGateway {
    /// The GatewayClass.
    pub class: String,
    /// Where its proxies run, which must reach the pods of copies; empty: in the copy's own namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The Secret, as `NAMESPACE/NAME`, with a certificate for `*.NAME.DOMAIN` of every copy; absent: plain http.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// A Pod Security Standard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodSecurity {
    /// Hardened pods alone.
    #[default]
    Restricted,
    /// No known escalation of privileges.
    Baseline,
}

impl PodSecurity {
    /// As a namespace's label has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Baseline => "baseline",
        }
    }
}

/// A difference that every copy has on purpose: exactly one of patch, replicas, resources and hosts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyRule {
    /// Unique in the list; fidelity names it.
    pub name: String,
    /// The objects.
    #[serde(default)]
    pub target: Target,
    /// A strategic merge patch or a JSON patch (RFC 6902), as YAML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
    /// How many replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// `resources` of every container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// Fields in whose texts hosts and service names become those of the copy: JSON pointers (RFC 6901) in which `*`
    /// stands for any key or element.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

/// What the components may touch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// URLs; `*` stands for any text. Absent: the components' own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// Cluster-scoped kinds as `Kind` (core group) or `Kind.group`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster_kinds: Vec<String>,
}

/// A step on the way to production.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PathStep {
    /// The environment's name.
    pub environment: String,
    /// What must hold before a release enters it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Value>,
}

/// Fields that are left to others.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IgnoreRule {
    /// API group; absent: any, empty: the core group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Kind; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Namespace; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Fields as JSON pointers (RFC 6901).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub json_pointers: Vec<String>,
    /// Fields as path expressions of jq, see [`crate::JqPath`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jq_path_expressions: Vec<String>,
    /// Every field that one of these field managers owns.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field_managers: Vec<String>,
}

/// What Seaway says about a stack.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StackStatus {
    /// The generation that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The environments that use it, a hundred at the most: by name those of its namespace, copies as NAMESPACE/NAME.
    #[serde(default)]
    pub environments: Vec<String>,
    /// How many use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_count: Option<i64>,
    /// `Ready`: whether environments can use it; `Accepted`: whether the spec is valid; `RepositoriesReadable`: whether
    /// the revision of every component can be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>,
}

impl StackSpec {
    /// Whether a component may come from this repository.
    pub fn allows_repository(&self, url: &str) -> bool {
        match self.allow.as_ref().and_then(|allow| allow.repositories.as_ref()) {
            Some(patterns) => patterns.iter().any(|pattern| matches_pattern(pattern, url)),
            None => self.components.iter().any(|component| component.source.repo == url),
        }
    }

    /// The component of this name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        self.components.iter().find(|component| component.name == name)
    }

    /// What stays in production of the files of a component, each with what a copy reads in its place.
    pub fn files_of<'a>(&'a self, component: &'a str) -> impl Iterator<Item = &'a ProductionOnly> {
        let concerns = move |kept: &&ProductionOnly| {
            let of = kept.target.component.as_deref();
            kept.file.is_some() && of.is_none_or(|pattern| matches_pattern(pattern, component))
        };
        self.production_only.iter().filter(concerns)
    }

    /// The cluster-scoped kinds that the components may hold.
    pub fn cluster_kinds(&self) -> &[String] {
        self.allow.as_ref().map(|allow| allow.cluster_kinds.as_slice()).unwrap_or_default()
    }
}

/// `*` stands for any text, also none. A URL that climbs (`..`) matches only itself: it could leave what is meant.
pub fn matches_pattern(pattern: &str, text: &str) -> bool {
    if pattern == text {
        return true;
    }
    if text.split('/').any(|part| part == "..") {
        return false;
    }
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_allowed_by_pattern_or_by_being_a_components_own() {
        let component = |repo: &str| Component {
            name: "a".into(),
            source: Source { repo: repo.into(), ..Source::default() },
            ..Component::default()
        };
        let mut spec = StackSpec { components: vec![component("https://git/a")], ..StackSpec::default() };
        assert!(spec.allows_repository("https://git/a"));
        assert!(!spec.allows_repository("https://git/b"));
        let allow = Allow { repositories: Some(vec!["https://git/team/*".into()]), ..Allow::default() };
        spec.allow = Some(allow);
        assert!(spec.allows_repository("https://git/team/x.git"));
        assert!(!spec.allows_repository("https://git/a"), "a list replaces the default");
        assert!(!spec.allows_repository("https://git/team/../other"));
        assert!(!spec.allows_repository("https://git.evil/team/x"));
    }

    #[test]
    fn stars_match_any_text() {
        for (pattern, text, expected) in [
            ("*", "anything", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*c", "acd", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXc", false),
            ("abc", "abcd", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(matches_pattern(pattern, text), expected, "{pattern} {text}");
        }
    }
}
