//! One summary of an environment, into its status and into what is shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource as _;
use kube::api::{Patch, PatchParams};
use kube::core::Request;
use seaway_api::environment::{ComponentStatus, Environment, EnvironmentStatus};
use seaway_object::ObjectId;
use serde_json::json;

use crate::cluster::cache::Cache;
use crate::copies::Naming;
use crate::error::Error;
use crate::health::{Health, HealthRules, HealthStatus};
use crate::plan::{Action, Plan};
use crate::release::Release;
use crate::steps::Steps;
use crate::view::{Deployed, ObjectView, SyncStatus};

/// More warnings are counted and not named.
const MAX_WARNINGS: usize = 10;

/// What is known of an environment after a look.
#[derive(Debug, Clone, Default)]
pub(crate) struct Summary {
    pub(crate) release: Option<Release>,
    pub(crate) sync: SyncStatus,
    pub(crate) health: Health,
    /// By which its objects are judged.
    pub(crate) rules: Arc<HealthRules>,
    /// Without what Git says of each object.
    pub(crate) plan: Plan,
    /// What Git says of each object, as JSON: far smaller than its value.
    pub(crate) wanted: HashMap<ObjectId, Box<str>>,
    pub(crate) objects: Vec<ObjectView>,
    /// Why Git cannot be followed: reason and message.
    pub(crate) broken: Option<(String, String)>,
    /// Why the last sync failed: reason and message.
    pub(crate) failed: Option<(String, String)>,
    /// What should be changed in Git, though it works.
    pub(crate) warnings: Vec<String>,
    /// Overrides whose branch does not merge with what is upstream, by component.
    pub(crate) conflicts: BTreeMap<String, String>,
    /// What ends soon, and when.
    pub(crate) expiring: Option<String>,
    /// Why a repository does not answer now, though what was known of it runs.
    pub(crate) unreachable: Option<String>,
    pub(crate) held: Option<String>,
    /// Why what Git says is not begun again by itself: a person cancelled it.
    pub(crate) cancelled: Option<String>,
    /// Who brought what runs.
    pub(crate) deployed: Option<Deployed>,
    pub(crate) suspended: bool,
    /// What became of the objects of what this is a copy of.
    pub(crate) naming: Option<Arc<Naming>>,
    /// Whether this is a copy whose namespaces are made.
    pub(crate) enclosed: bool,
    /// Why the network of a copy is not bounded.
    pub(crate) open: Option<String>,
    /// What goes on.
    pub(crate) running: Option<String>,
    /// What the end of the environment waits for: reason and message.
    pub(crate) ending: Option<(String, String)>,
    /// The steps of the sync that goes on.
    pub(crate) steps: Steps,
}

impl Summary {
    /// The objects of a plan with their state, and the state of all together.
    pub(crate) fn observe(&mut self, mut plan: Plan, cache: &Cache) {
        let mut wanted = HashMap::with_capacity(plan.objects.len());
        for planned in &mut plan.objects {
            let id = planned.object.id();
            let text = match planned.value.take() {
                Some(value) => Some(value.to_string().into()),
                None => self.wanted.remove(&id),
            };
            wanted.extend(text.map(|text| (id, text)));
        }
        self.wanted = wanted;
        let mut worst = Health::healthy();
        let mut objects = Vec::with_capacity(plan.objects.len());
        // What runs at the end alone is not there before.
        for planned in plan.objects.iter().filter(|planned| !planned.options.only_at_end()) {
            let id = planned.object.id();
            let found = match cache.get(&id) {
                Some(live) => self.rules.health(&live),
                None => Health::new(HealthStatus::Missing, "is not there"),
            };
            let counts = matches!(
                planned.action,
                Action::Create | Action::Change | Action::Unchanged | Action::Conflict
            );
            if counts && !planned.options.ignore_health && found.status > worst.status {
                worst = Health::new(found.status, format!("{id}: {}", found.message));
            }
            let sync = match planned.action {
                Action::Unchanged | Action::Hook => SyncStatus::Synced,
                _ => SyncStatus::OutOfSync,
            };
            let message = if planned.message.is_empty() { found.message } else { planned.message.clone() };
            objects.push(ObjectView { object: planned.object.clone(), sync, health: found.status, message });
        }
        self.sync = if plan.is_in_sync() { SyncStatus::Synced } else { SyncStatus::OutOfSync };
        self.health = worst;
        self.objects = objects;
        self.plan = plan;
    }

    /// What a person should know first.
    pub(crate) fn message(&self) -> String {
        let first = [&self.ending, &self.broken, &self.failed]
            .into_iter()
            .flatten()
            .map(|(_, message)| message.clone())
            .next();
        first
            .or_else(|| self.plan.blocked.clone())
            .or_else(|| self.problem())
            .or_else(|| self.running.clone())
            .or_else(|| self.cancelled.clone())
            .or_else(|| self.held.clone())
            .or_else(|| self.conflicts.values().next().cloned())
            .or_else(|| self.unreachable.clone())
            .or_else(|| (!self.health.message.is_empty()).then(|| self.health.message.clone()))
            .or_else(|| self.drift())
            .or_else(|| self.held_back())
            .or_else(|| self.expiring.clone())
            .unwrap_or_default()
    }

    /// The first object that stands in the way.
    pub(crate) fn problem(&self) -> Option<String> {
        problem(&self.plan)
    }

    /// The first object that is not as Git says and waits for somebody.
    fn held_back(&self) -> Option<String> {
        let first = self.plan.out_of_sync().find(|object| object.held_back)?;
        Some(format!("{}: {}", first.object.id(), first.message))
    }

    /// Who changed what.
    fn drift(&self) -> Option<String> {
        let drifted = self.plan.objects.iter().flat_map(|object| {
            object.fields.iter().filter(|field| field.drift).map(move |field| (object, field))
        });
        let (object, field) = drifted.into_iter().next()?;
        let by = field.owner.as_ref().map(|owner| {
            let at = owner.time.as_deref().map(|time| format!(" at {time}")).unwrap_or_default();
            format!(" by {}{at}", owner.manager)
        });
        Some(format!("{} {} was changed{}", object.object.id(), field.path, by.unwrap_or_default()))
    }

    /// As it stands in the Environment; conditions keep their times while they stay as they are.
    pub(crate) fn status(&self, environment: &Environment, now: Timestamp) -> EnvironmentStatus {
        let generation = environment.metadata.generation;
        let before =
            environment.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let condition = |name: &str, holds: Option<bool>, reason: &str, message: &str| {
            let status = holds.map_or("Unknown", |holds| if holds { "True" } else { "False" });
            let same = before.iter().find(|c| c.type_ == name && c.status == status);
            Condition {
                type_: name.to_owned(),
                status: status.to_owned(),
                reason: reason.to_owned(),
                // Some servers take an empty text for none.
                message: if message.is_empty() { said(name, status) } else { message }.to_owned(),
                observed_generation: generation,
                last_transition_time: same.map_or(Time(now), |c| c.last_transition_time.clone()),
            }
        };
        let mut conditions = vec![match &self.broken {
            Some((reason, message)) => condition("Rendered", Some(false), reason, message),
            None => condition("Rendered", Some(true), "Rendered", &few(&self.warnings)),
        }];
        let why = self.plan.blocked.clone().or_else(|| self.problem()).or_else(|| self.drift());
        let why = why.or_else(|| self.held_back()).unwrap_or_default();
        conditions.push(match (&self.failed, self.sync) {
            (Some((reason, message)), _) => condition("Synced", Some(false), reason, message),
            (None, SyncStatus::Synced) => condition("Synced", Some(true), "Synced", ""),
            (None, SyncStatus::OutOfSync) => match &self.cancelled {
                Some(cancelled) => condition("Synced", Some(false), "Cancelled", cancelled),
                None => condition("Synced", Some(false), "OutOfSync", &why),
            },
            (None, SyncStatus::Unknown) => condition("Synced", None, "Unknown", &self.message()),
        });
        let healthy = match self.health.status {
            HealthStatus::Healthy => Some(true),
            HealthStatus::Unknown => None,
            _ => Some(false),
        };
        conditions.push(condition("Healthy", healthy, self.health.status.as_str(), &self.health.message));
        if self.enclosed {
            conditions.push(match &self.open {
                None => condition("Contained", Some(true), "Contained", ""),
                Some(open) => condition("Contained", Some(false), "NetworkOpen", open),
            });
        }
        if let Some((reason, message)) = &self.ending {
            conditions.push(condition("Ending", Some(true), reason, message));
        }
        if let Some(expiring) = &self.expiring {
            conditions.push(condition("Expiring", Some(true), "EndsSoon", expiring));
        }
        if !self.conflicts.is_empty() {
            let why: Vec<&str> = self.conflicts.values().map(String::as_str).collect();
            conditions.push(condition("OverridesMerge", Some(false), "Conflict", &why.join("; ")));
        }
        if let Some(unreachable) = &self.unreachable {
            conditions.push(condition("Following", Some(false), "SourceUnavailable", unreachable));
        }
        if let Some(held) = &self.held {
            conditions.push(condition("Held", Some(true), "Held", held));
        }
        if self.suspended {
            conditions.push(condition(
                "Suspended",
                Some(true),
                "Suspended",
                "nothing is applied until it is resumed",
            ));
        }
        EnvironmentStatus {
            observed_generation: generation,
            release: self.release.as_ref().map(Release::name),
            revision: self.release.as_ref().map(Release::revision),
            sync: Some(self.sync.as_str().to_owned()),
            health: Some(self.health.status.as_str().to_owned()),
            message: Some(self.message()).filter(|message| !message.is_empty()),
            components: self
                .release
                .iter()
                .flat_map(|release| &release.components)
                .map(|part| ComponentStatus {
                    name: part.name.clone(),
                    repo: part.repo.clone(),
                    commit: part.commit.clone(),
                })
                .collect(),
            conditions,
        }
    }
}

/// Warnings in a text that people still read.
fn few(warnings: &[String]) -> String {
    let mut text = warnings.iter().take(MAX_WARNINGS).map(String::as_str).collect::<Vec<_>>().join("; ");
    if warnings.len() > MAX_WARNINGS {
        text.push_str(&format!("; and {} more", warnings.len() - MAX_WARNINGS));
    }
    text
}

/// What a condition says when there is nothing in particular to say.
fn said(condition: &str, status: &str) -> &'static str {
    match (condition, status) {
        ("Rendered", "True") => "what is in Git could be rendered",
        ("Synced", "True") => "the cluster is as Git says",
        ("Synced", "False") => "the cluster is not as Git says",
        ("Contained", "True") => "it can reach only what its stack lists",
        ("Healthy", "True") => "everything is healthy",
        ("Healthy", "False") => "not everything is healthy",
        _ => "nothing is known yet",
    }
}

/// The first object of a plan that stands in the way.
pub(crate) fn problem(plan: &Plan) -> Option<String> {
    let stands = |action: Action| action.is_blocking() || action == Action::Conflict;
    let first = plan.objects.iter().find(|object| stands(object.action))?;
    let place = first.origin.as_ref().map(|origin| format!(" ({}:{})", origin.file, origin.line));
    Some(format!("{}{}: {}", first.object.id(), place.unwrap_or_default(), first.message))
}

/// An answer of which only is known that there is one.
struct Unread;

impl<'de> serde::Deserialize<'de> for Unread {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// Writes a status, unless it stands there already.
pub(crate) async fn write(
    client: &kube::Client,
    environment: &Environment,
    status: EnvironmentStatus,
) -> Result<bool, Error> {
    if environment.status.as_ref() == Some(&status) {
        return Ok(false);
    }
    let namespace = environment.metadata.namespace.as_deref().unwrap_or_default();
    let name = environment.metadata.name.as_deref().unwrap_or_default();
    let mut value = serde_json::to_value(&status).unwrap_or_default();
    // A merge patch keeps what it does not name.
    for field in ["release", "revision", "message", "components"] {
        if value.get(field).is_none() {
            value[field] = serde_json::Value::Null;
        }
    }
    let patch = Patch::Merge(json!({"status": value}));
    let path = Environment::url_path(&(), Some(namespace));
    let request = Request::new(path).patch_subresource("status", name, &PatchParams::default(), &patch);
    let request = request.map_err(|error| {
        Error::cluster(format!("status of {namespace}/{name}"), kube::Error::BuildRequest(error))
    })?;
    // The watch tells what has become of it: the answer need not be read twice.
    match client.request::<Unread>(request).await {
        Ok(_) => Ok(true),
        // Deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
        Err(error) => Err(Error::cluster(format!("status of {namespace}/{name}"), error)),
    }
}
