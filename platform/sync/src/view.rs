//! What is shown of environments: stable camelCase shapes for the command line, the HTTP API and the page.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::api::ObjectMeta;
use seaway_api::environment::{EnvironmentSpec, Override};
use seaway_environments::Class;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::health::HealthStatus;
use crate::plan::{Action, FieldChange, ObjectRef, Plan};
use crate::release::Release;
use crate::steps::Step;

/// Which environment: the namespace and name of its `Environment`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnvironmentKey {
    /// Namespace of the `Environment`.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl EnvironmentKey {
    /// From namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// That of an `Environment`.
    pub(crate) fn of(metadata: &ObjectMeta) -> Self {
        Self::new(metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
    }

    /// That of the environment which this is the spec of a copy of.
    pub(crate) fn of_original(spec: &EnvironmentSpec) -> Option<Self> {
        spec.original().map(|(namespace, name)| Self::new(namespace, name))
    }
}

impl std::fmt::Display for EnvironmentKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Whether what runs is what Git says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncStatus {
    /// It is.
    Synced,
    /// It is not.
    OutOfSync,
    /// Nobody can tell: Git cannot be read, or what is in it cannot be rendered.
    #[default]
    Unknown,
}

impl SyncStatus {
    /// As it is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Synced => "Synced",
            Self::OutOfSync => "OutOfSync",
            Self::Unknown => "Unknown",
        }
    }
}

/// A line of the list of environments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentView {
    /// Name.
    pub name: String,
    /// Namespace of the `Environment`.
    pub namespace: String,
    /// `production`, `staging`, `preview` or `personal`.
    pub class: String,
    /// The stack.
    pub stack: String,
    /// What was last applied as a whole.
    pub release: Option<String>,
    /// Its commits, shortened.
    pub revision: Option<String>,
    /// Whether what runs is what Git says.
    pub sync: SyncStatus,
    /// How well it runs.
    pub health: HealthStatus,
    /// What a person should know first.
    pub message: String,
    /// What it is a copy of, as `NAMESPACE/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_of: Option<String>,
    /// The person whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// From when on it is deleted (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Who brought what runs, and when; absent: nothing was deployed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Deployed>,
}

/// Who brought what runs, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Deployed {
    /// When that was done.
    pub time: Timestamp,
    /// Who asked: a person, or `seaway`, which follows Git.
    pub actor: String,
    /// Who wrote the newest commit that came, as the commit says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// The first line of that commit's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// A page elsewhere about an environment, such as a dashboard: a link of its stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkView {
    /// What is there.
    pub name: String,
    /// The component that it is about; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// Http or https.
    pub url: String,
}

/// One object of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectView {
    /// Which.
    pub object: ObjectRef,
    /// Whether it is as Git says.
    pub sync: SyncStatus,
    /// How well it does.
    pub health: HealthStatus,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Everything about one environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentDetail {
    /// As in the list.
    #[serde(flatten)]
    pub summary: EnvironmentView,
    /// What was last applied, in full.
    pub current: Option<Release>,
    /// Whether somebody has suspended it.
    pub suspended: bool,
    /// Releases that are not deployed again.
    pub holds: Vec<Hold>,
    /// What differs today: the plan of the next sync.
    pub plan: Plan,
    /// Every object with its state.
    pub objects: Vec<ObjectView>,
    /// The last sync.
    pub last_sync: Option<SyncRecord>,
    /// What it is called, when it is a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyView>,
    /// Deviations from the stack.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<OverrideView>,
    /// The stack's links, filled in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkView>,
}

/// What a copy is called, and what it has of what it copies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyView {
    /// What it is a copy of, as `NAMESPACE/NAME`.
    pub of: String,
    /// What it follows: `environment` or `revision`.
    pub follow: String,
    /// Its components.
    pub components: Vec<String>,
    /// Each namespace of what it copies, with its own.
    pub namespaces: BTreeMap<String, String>,
    /// Each host of what it copies, with its own.
    pub hosts: BTreeMap<String, String>,
    /// What it does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutView>,
    /// Each service of a component that it shares, as `NAMESPACE/NAME`, with the host that it leads to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub shared: BTreeMap<String, String>,
    /// What does not bound it, though it should.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An object that a copy does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOutView {
    /// Which, as it is called in what is copied.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// A deviation of one component, and its state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideView {
    /// As it stands in the spec.
    #[serde(flatten)]
    pub spec: Override,
    /// Whether it counts: its time is not over.
    pub active: bool,
    /// The commit that runs because of it, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Why its branch runs without what has come upstream since, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict: Option<String>,
}

/// How far an environment is from another one. Fields are counted: a list that merges as a whole is one, and so is an
/// object that one side does not have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FidelityView {
    /// Which, on the right.
    pub environment: EnvironmentKey,
    /// What it is compared with, on the left.
    pub against: EnvironmentKey,
    /// What the left runs.
    pub left_release: String,
    /// What the right runs.
    pub right_release: String,
    /// All fields of both sides.
    pub total: usize,
    /// Those that are equal.
    pub identical: usize,
    /// Those that differ for a declared reason.
    pub declared: usize,
    /// Those that differ, and nobody has said why.
    pub undeclared: usize,
    /// Which part of all fields is identical.
    pub score: f64,
    /// The fields that differ. Secret values are hashes.
    pub differences: Vec<FidelityDifference>,
    /// What somebody has changed in the cluster, past Git.
    pub drift: DriftView,
}

/// A field in which two environments differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FidelityDifference {
    /// The object, as it is called on the right, or on the left where the right has none.
    pub object: ObjectRef,
    /// The field, as Kubernetes prints it; empty for the whole object.
    pub path: String,
    /// Why they differ.
    pub class: Class,
    /// Which rule, override or stand-in; empty where nobody has said why.
    pub rule: String,
    /// The value on the left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<Value>,
    /// The value on the right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub right: Option<Value>,
}

/// Drift of each side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftView {
    /// Of the left.
    pub left: Vec<DriftedField>,
    /// Of the right.
    pub right: Vec<DriftedField>,
}

/// A field that somebody has changed in the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DriftedField {
    /// The object.
    pub object: ObjectRef,
    /// The field, its values, and who changed it.
    #[serde(flatten)]
    pub field: FieldChange,
}

/// A release that is not deployed again until a person lifts it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hold {
    /// The release.
    pub release: String,
    /// Digest of its objects: the same content under another name is held as well.
    pub content: String,
    /// What runs in its place; absent: the last good one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instead: Option<String>,
    /// Who asked.
    pub actor: String,
    /// Since when.
    pub time: Timestamp,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// How a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is going on, or the process ended in the middle of it.
    Running,
    /// Everything was applied and is healthy.
    Succeeded,
    /// Something was refused or did not become healthy in time.
    Failed,
    /// Something newer took its place.
    Superseded,
    /// A person cancelled it.
    Cancelled,
}

/// Why a sync began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trigger {
    /// A new commit, or a new spec.
    Release,
    /// A change in the cluster.
    Drift,
    /// A person.
    Person,
    /// A person who went back to an older release.
    Rollback,
    /// The one before failed.
    Retry,
}

/// A commit that a sync brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitView {
    /// The component.
    pub component: String,
    /// The full commit.
    pub commit: String,
    /// Who wrote it, as the commit says.
    pub author: String,
    /// Their mail address, as the commit says.
    pub email: String,
    /// When it was written.
    pub time: Timestamp,
    /// The first line of the message.
    pub subject: String,
}

/// What a sync did to an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectOutcome {
    /// Which.
    pub object: ObjectRef,
    /// What was done.
    pub action: Action,
    /// The fields that were changed; values are not kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// Who had changed them in the cluster, when that was the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reverted_from: Vec<String>,
    /// How long the request took, in milliseconds.
    pub milliseconds: u64,
    /// What the API said, if it refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How long a wave took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveTiming {
    /// The component.
    pub component: String,
    /// The phase.
    pub phase: crate::options::Phase,
    /// The wave.
    pub wave: i32,
    /// From its first request to its health, in milliseconds.
    pub milliseconds: u64,
    /// What was waited for last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_for: Option<String>,
}

/// One sync, as the history shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncRecord {
    /// Rising within an environment.
    pub id: u64,
    /// The release.
    pub release: String,
    /// Its commits, shortened.
    pub revision: String,
    /// Digest of its objects.
    pub content: String,
    /// The release in full: enough to render it again.
    pub definition: Release,
    /// Who asked: a person, or `seaway`.
    pub actor: String,
    /// Why it began.
    pub trigger: Trigger,
    /// Whether only chosen objects were applied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// How often it was begun.
    pub attempts: u32,
    /// When.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// How.
    pub outcome: Outcome,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// What it brought.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<CommitView>,
    /// What it did; what was as it should be is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<ObjectOutcome>,
    /// How long its waves took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<WaveTiming>,
    /// Its steps. The history leaves them out: the timeline of the sync has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl SyncRecord {
    /// Without its steps.
    pub(crate) fn without_steps(mut self) -> Self {
        self.steps.clear();
        self
    }
}

/// One sync with its steps, while it goes on and afterwards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// Its id.
    pub sync: u64,
    /// The release.
    pub release: String,
    /// Its commits, shortened.
    pub revision: String,
    /// Who asked.
    pub actor: String,
    /// Why it began.
    pub trigger: Trigger,
    /// How it ended.
    pub outcome: Outcome,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long the last one that went well took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_milliseconds: Option<i64>,
    /// What it brought.
    pub commits: Vec<CommitView>,
    /// What was done, in the order in which it began.
    pub steps: Vec<Step>,
}

/// What is going on in an environment right now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Which.
    pub environment: EnvironmentKey,
    /// When.
    pub time: Timestamp,
    /// The sync, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<u64>,
    /// What, for a person: `web: wave 0: waits for Deployment.apps shop/web: 1 of 2 replicas are updated`.
    pub message: String,
    /// How the sync ended, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}
