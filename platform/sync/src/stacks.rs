//! What stands in the status of Stacks: whether the spec can be used, whether the repositories of its components can be
//! read, and which environments use it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::{Api, Patch, PatchParams};
use seaway_api::stack::{Stack, StackStatus};
use seaway_api::validate_stack;
use seaway_git::RepositoryUrl;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::shared::Shared;
use crate::sources::Followed;
use crate::view::EnvironmentKey;

/// Several changes within this time are one.
const SETTLE: Duration = Duration::from_millis(500);
/// Repositories that no environment follows are asked this often.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// More environments are counted and not named.
const MAX_NAMED: usize = 100;

/// Repositories that no environment follows.
#[derive(Default)]
struct Asked {
    answers: BTreeMap<Followed, (Instant, Result<(), String>)>,
    /// Those that have not answered yet: nobody waits for them but their own stacks.
    asking: BTreeSet<Followed>,
    tasks: JoinSet<(Followed, Result<(), String>)>,
}

impl Asked {
    fn note(&mut self, followed: Followed, answer: Result<(), String>) {
        self.asking.remove(&followed);
        self.answers.insert(followed, (Instant::now(), answer));
    }
}

/// Keeps the status of all Stacks until Seaway stops.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let mut asked = Asked::default();
    loop {
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = shared.stacks_news.notified() => {}
            () = shared.sources.news.notified() => {}
            Some(Ok((followed, answer))) = asked.tasks.join_next() => asked.note(followed, answer),
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
        tokio::select! {
            () = shared.stopping.cancelled() => return,
            () = tokio::time::sleep(SETTLE) => {}
        }
        while let Some(Ok((followed, answer))) = asked.tasks.try_join_next() {
            asked.note(followed, answer);
        }
        let stacks: Vec<Stack> = shared.stacks.lock().values().cloned().collect();
        let users = users(&shared);
        asked.answers.retain(|_, (when, _)| when.elapsed() < ASK_AGAIN);
        for stack in stacks {
            let key = name(&stack);
            let users = users.get(&key).cloned().unwrap_or_default();
            // Its repositories are being asked.
            let Some(status) = status(&shared, &stack, users, &mut asked) else { continue };
            if stack.status.as_ref() == Some(&status) {
                continue;
            }
            let api: Api<Stack> = Api::namespaced(shared.client.clone(), &key.0);
            let patch = Patch::Merge(json!({"status": status}));
            match api.patch_status(&key.1, &PatchParams::default(), &patch).await {
                Ok(written) => {
                    if let Some(known) = shared.stacks.lock().get_mut(&key) {
                        known.status = written.status;
                    }
                }
                // Deleted meanwhile.
                Err(kube::Error::Api(refused)) if refused.code == 404 => {}
                Err(error) => {
                    tracing::warn!(stack = key.1, %error, "the status of a Stack could not be written");
                }
            }
        }
    }
}

fn name(stack: &Stack) -> (String, String) {
    let metadata = &stack.metadata;
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

/// The environments of each stack: those of its namespace by name, copies of them with theirs.
fn users(shared: &Shared) -> BTreeMap<(String, String), Vec<String>> {
    let environments = shared.environments.lock();
    let mut users: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for (key, known) in environments.iter() {
        let spec = &known.environment.spec;
        let original = EnvironmentKey::of_original(spec);
        let (namespace, stack, shown) = match &original {
            None => (&key.namespace, &spec.stack, key.name.clone()),
            Some(original) => match environments.get(original) {
                Some(original_known) => {
                    (&original.namespace, &original_known.environment.spec.stack, key.to_string())
                }
                None => continue,
            },
        };
        users.entry((namespace.clone(), stack.clone())).or_default().push(shown);
    }
    users
}

/// `None` until it is known.
fn status(shared: &Shared, stack: &Stack, users: Vec<String>, asked: &mut Asked) -> Option<StackStatus> {
    let errors = validate_stack(&stack.spec);
    let valid: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let mut unreadable = Vec::new();
    if valid.is_empty() {
        let components = stack.spec.components.iter();
        // All are asked before one is waited for.
        let answers: Vec<_> =
            components.map(|component| (component, readable(shared, component, asked))).collect();
        for (component, answer) in answers {
            if let Err(reason) = answer? {
                unreadable.push(format!("component {}: {reason}", component.name));
            }
        }
    }
    let before = stack.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let now = Timestamp::now();
    let condition = |kind: &str, holds: Option<bool>, reason: &str, message: &str| {
        let status = holds.map_or("Unknown", |holds| if holds { "True" } else { "False" });
        let same = before.iter().find(|one| one.type_ == kind && one.status == status);
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: stack.metadata.generation,
            last_transition_time: same.map_or(Time(now), |one| one.last_transition_time.clone()),
        }
    };
    let (wrong, broken) = (valid.join("; "), unreadable.join("; "));
    let accepted = match valid.is_empty() {
        true => condition("Accepted", Some(true), "Accepted", "the spec can be used"),
        false => condition("Accepted", Some(false), "InvalidSpec", &wrong),
    };
    let repositories = match (valid.is_empty(), unreadable.is_empty()) {
        (false, _) => {
            condition("RepositoriesReadable", None, "InvalidSpec", "the spec is wrong: none was asked")
        }
        (true, true) => {
            let message = "the revision of every component can be read";
            condition("RepositoriesReadable", Some(true), "Readable", message)
        }
        (true, false) => condition("RepositoriesReadable", Some(false), "SourceUnavailable", &broken),
    };
    let ready = match (valid.is_empty(), unreadable.is_empty()) {
        (true, true) => condition("Ready", Some(true), "Ready", "environments can use it"),
        (false, _) => condition("Ready", Some(false), "InvalidSpec", &wrong),
        (true, false) => condition("Ready", Some(false), "SourceUnavailable", &broken),
    };
    let count = i64::try_from(users.len()).unwrap_or(i64::MAX);
    Some(StackStatus {
        observed_generation: stack.metadata.generation,
        environments: users.into_iter().take(MAX_NAMED).collect(),
        environment_count: Some(count),
        conditions: vec![ready, accepted, repositories],
    })
}

/// Whether the revision of a component can be read; `None` until that is known.
fn readable(
    shared: &Shared,
    component: &seaway_api::stack::Component,
    asked: &mut Asked,
) -> Option<Result<(), String>> {
    let text = |error: seaway_git::Error| error.to_string();
    let source = &component.source;
    let parsed = source.repo.parse().and_then(|repository: RepositoryUrl| {
        Ok((repository, source.revision.as_deref().unwrap_or_default().parse()?))
    });
    let followed: Followed = match parsed {
        Ok(followed) => followed,
        Err(error) => return Some(Err(text(error))),
    };
    // What environments follow is asked for them.
    if let Some(known) = shared.sources.readable(&followed) {
        asked.answers.remove(&followed);
        return Some(known.map_err(text));
    }
    if let Some((_, known)) = asked.answers.get(&followed) {
        return Some(known.clone());
    }
    if asked.asking.insert(followed.clone()) {
        let mirrors = shared.sources.mirrors.clone();
        asked.tasks.spawn(async move {
            let answer = mirrors.ls_remote(&followed.0, &followed.1).await.map(drop).map_err(text);
            (followed, answer)
        });
    }
    None
}
