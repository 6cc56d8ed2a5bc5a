//! The hooks of an environment's end as they are kept until then, and how far an end has come: pure.
//!
//! Whoever ends it may be killed between any two of these: a hook's object is made with a mark that says for which end,
//! phase and attempt it runs; that it was made is written down, with its uid; then how it went; then it is deleted, if its
//! policy says so. One that was made and not written down is found by its mark. One that was written down is not made
//! again, whatever has become of its object, unless a person asks.

use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use seaway_api::HealthCheckExpr;
use seaway_api::environment::Environment;
use seaway_object::order::install_rank;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::desired::Origin;
use crate::health::{HealthRules, HealthStatus};
use crate::hooks::END_RUN;
use crate::options::{EndPhase, ObjectOptions};
use crate::plan::{Action, ObjectRef, Plan};

/// On an Environment: it ends without the hooks of its end.
pub const SKIP: &str = "seaway.dev/skip-end-hooks";
/// On an Environment: another value than before lets hooks of its end run again that failed.
pub(crate) const RETRY: &str = "seaway.dev/retry-end-hooks";
/// Longer reasons are cut, in bytes.
const MAX_REASON: usize = 1000;

/// A hook of the end, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EndHook {
    pub(crate) object: ObjectRef,
    pub(crate) component: String,
    pub(crate) origin: Origin,
    /// What is sent.
    pub(crate) value: Value,
    /// The stack's health rules of its kind: the stack may be gone at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) health: Vec<HealthCheckExpr>,
}

impl EndHook {
    /// What its annotations ask for.
    pub(crate) fn options(&self) -> ObjectOptions {
        ObjectOptions::of(&self.value)
    }
}

/// The hooks of the end that a plan holds, with the health rules of their kinds.
pub(crate) fn hooks_of(plan: &Plan, rules: &[HealthCheckExpr]) -> Vec<EndHook> {
    let rules_of = |object: &ObjectRef| {
        let is_of = |rule: &&HealthCheckExpr| {
            let group = rule.api_version.split_once('/').map_or("", |(group, _)| group);
            group == object.group && rule.kind.as_ref().is_none_or(|kind| *kind == object.kind)
        };
        rules.iter().filter(is_of).cloned().collect()
    };
    let hooks = plan.objects.iter().filter(|planned| {
        planned.action == Action::Hook && !planned.options.at_end.is_empty() && !planned.options.skip
    });
    hooks
        .filter_map(|planned| {
            Some(EndHook {
                object: planned.object.clone(),
                component: planned.component.clone(),
                origin: planned.origin.clone().unwrap_or_default(),
                value: planned.value.clone()?,
                health: rules_of(&planned.object),
            })
        })
        .collect()
}

/// The hooks of a phase in waves, the first one first, and within a wave in the order in which they are made.
pub(crate) fn waves(hooks: &[EndHook], phase: EndPhase) -> Vec<Vec<(EndHook, ObjectOptions)>> {
    let mut of_phase: Vec<_> = hooks
        .iter()
        .map(|hook| (hook.clone(), hook.options()))
        .filter(|(_, options)| options.at_end.contains(&phase))
        .collect();
    of_phase.sort_by_cached_key(|(hook, options)| {
        (options.wave, install_rank(&hook.object.kind), hook.object.id())
    });
    of_phase.chunk_by(|(_, a), (_, b)| a.wave == b.wave).map(<[_]>::to_vec).collect()
}

/// How far an end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Stage {
    /// The hooks before the deletion run.
    Before,
    /// What was applied is deleted.
    Deletion,
    /// The hooks after it run.
    After,
}

/// The end of one Environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct End {
    /// The uid of the Environment: another one of its name has another end.
    pub(crate) environment: String,
    /// What it said last of hooks that are to run again.
    pub(crate) retry: Option<String>,
    pub(crate) stage: Stage,
    /// Hooks that were made, or are to be made again.
    pub(crate) runs: Vec<Run>,
}

/// One hook in one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Run {
    pub(crate) phase: EndPhase,
    pub(crate) object: ObjectRef,
    /// From 1.
    pub(crate) attempt: u32,
    /// Its object, once there is one.
    pub(crate) made: Option<Made>,
    pub(crate) outcome: Outcome,
}

/// The object of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    pub(crate) uid: String,
    /// When: its deadline counts from here.
    pub(crate) time: Timestamp,
}

/// How a hook went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Outcome {
    Open,
    Succeeded,
    /// Why not.
    Failed(String),
}

impl End {
    /// The end of an Environment begins.
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            environment: uid(environment).to_owned(),
            retry: environment.annotations().get(RETRY).cloned(),
            stage: Stage::Before,
            runs: Vec::new(),
        }
    }

    /// What is known of a hook in a phase.
    pub(crate) fn run(&self, phase: EndPhase, object: &ObjectRef) -> Run {
        let known = self.runs.iter().find(|run| run.phase == phase && run.object == *object);
        known.cloned().unwrap_or_else(|| Run {
            phase,
            object: object.clone(),
            attempt: 1,
            made: None,
            outcome: Outcome::Open,
        })
    }

    /// What has become of a hook, unless it runs again by now.
    pub(crate) fn note(&mut self, run: Run) {
        let same = |known: &&mut Run| known.phase == run.phase && known.object == run.object;
        match self.runs.iter_mut().find(same) {
            Some(known) if known.attempt == run.attempt => *known = run,
            Some(_) => {}
            None => self.runs.push(run),
        }
    }

    /// Hooks that failed run again. Whether there are any.
    pub(crate) fn again(&mut self) -> bool {
        let mut any = false;
        for run in self.runs.iter_mut().filter(|run| matches!(run.outcome, Outcome::Failed(_))) {
            (run.attempt, run.made, run.outcome) = (run.attempt.saturating_add(1), None, Outcome::Open);
            any = true;
        }
        any
    }
}

impl Run {
    /// What is written onto the hook's object.
    pub(crate) fn mark(&self, environment: &Environment) -> String {
        format!("{}{}/{}", marks(environment), self.phase.as_str(), self.attempt)
    }
}

/// How the marks of all hooks of one end begin.
pub(crate) fn marks(environment: &Environment) -> String {
    format!("{END_RUN}{}/", uid(environment))
}

pub(crate) fn uid(environment: &Environment) -> &str {
    environment.metadata.uid.as_deref().unwrap_or_default()
}

/// Whether an Environment ends without hooks.
pub(crate) fn skips(environment: &Environment) -> bool {
    environment.annotations().get(SKIP).is_some_and(|word| word == "true")
}

/// What an Environment says of the hooks of its end.
pub(crate) fn asks(environment: &Environment) -> (bool, Option<&String>) {
    (skips(environment), environment.annotations().get(RETRY))
}

/// How a hook does.
#[derive(Debug, PartialEq)]
pub(crate) enum Standing {
    Succeeded,
    Failed(String),
    /// What it waits for, and for how long it may.
    Open(String, Duration),
}

/// How a hook does whose object is there. One that is being deleted may have ended before.
pub(crate) fn standing(
    rules: &HealthRules,
    live: &Value,
    made: &Made,
    now: Timestamp,
    deadline: Duration,
) -> Standing {
    let mut found = live.clone();
    let deleted = found
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .is_some_and(|metadata| metadata.remove("deletionTimestamp").is_some());
    let health = rules.health(&found);
    match health.status {
        status if status.is_settled() => return Standing::Succeeded,
        HealthStatus::Degraded => return Standing::Failed(shortened(format!("failed: {}", health.message))),
        _ => {}
    }
    let message = if deleted { "is being deleted".to_owned() } else { health.message };
    let passed = Duration::try_from(now.duration_since(made.time)).unwrap_or_default();
    match deadline.checked_sub(passed).filter(|left| !left.is_zero()) {
        Some(left) => Standing::Open(message, left),
        None => Standing::Failed(shortened(format!("is not done after {} s: {message}", deadline.as_secs()))),
    }
}

fn shortened(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_REASON));
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hook(kind: &str, name: &str, phases: &str, wave: &str) -> EndHook {
        let value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "shop",
            "annotations": {"argocd.argoproj.io/hook": phases, "argocd.argoproj.io/sync-wave": wave}}});
        let kind = seaway_object::GroupVersionKind::of(&value).unwrap();
        let object = ObjectRef::new(&kind, &seaway_object::ObjectId::of(&value).unwrap());
        EndHook { object, component: "web".to_owned(), origin: Origin::default(), value, health: Vec::new() }
    }

    #[test]
    fn waves_go_forward_and_what_others_need_is_made_first() {
        let hooks = [
            hook("Pod", "b", "PreDelete", "0"),
            hook("ConfigMap", "z", "PreDelete,PostDelete", "0"),
            hook("Pod", "a", "PreDelete", "-1"),
            hook("Pod", "c", "PostDelete", "0"),
        ];
        let names = |phase| {
            let waves = waves(&hooks, phase);
            let of = |wave: Vec<(EndHook, ObjectOptions)>| {
                wave.into_iter().map(|(hook, _)| hook.object.name).collect::<Vec<_>>()
            };
            waves.into_iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(names(EndPhase::BeforeDelete), [vec!["a"], vec!["z", "b"]]);
        assert_eq!(names(EndPhase::AfterDelete), [vec!["z", "c"]]);
    }

    #[test]
    fn only_what_failed_runs_again_and_late_news_of_an_earlier_attempt_change_nothing() {
        let environment: Environment = serde_json::from_value(json!({"apiVersion": "seaway.dev/v1alpha1",
            "kind": "Environment", "metadata": {"name": "staging", "uid": "u-1"},
            "spec": {"stack": "shop", "destination": {"namespace": "shop"}}}))
        .unwrap();
        let mut end = End::new(&environment);
        let [good, bad] = ["good", "bad"].map(|name| hook("Pod", name, "PreDelete", "0").object);
        let made = Some(Made { uid: "x".to_owned(), time: Timestamp::UNIX_EPOCH });
        let run = |end: &End, object: &ObjectRef, outcome: Outcome| Run {
            made: made.clone(),
            outcome,
            ..end.run(EndPhase::BeforeDelete, object)
        };
        end.note(run(&end, &good, Outcome::Succeeded));
        assert!(!end.again());
        let failed = run(&end, &bad, Outcome::Failed("failed".to_owned()));
        assert_eq!(failed.mark(&environment), "end-u-1/before-delete/1");
        end.note(failed.clone());
        assert!(end.again() && !end.again());
        end.note(failed);
        let again = end.run(EndPhase::BeforeDelete, &bad);
        assert_eq!((again.attempt, &again.made, &again.outcome), (2, &None, &Outcome::Open));
        assert_eq!(again.mark(&environment), "end-u-1/before-delete/2");
        assert_eq!(end.run(EndPhase::BeforeDelete, &good).outcome, Outcome::Succeeded);
        // The other phase is another run.
        assert_eq!(end.run(EndPhase::AfterDelete, &good).made, None);
        let text = serde_json::to_string(&end).unwrap();
        assert_eq!(serde_json::from_str::<End>(&text).unwrap(), end);
    }

    #[test]
    fn a_hook_stands_as_it_says_until_its_time_is_over() {
        let made = Made { uid: "x".to_owned(), time: Timestamp::UNIX_EPOCH };
        let after = |seconds: i64| Timestamp::from_second(seconds).unwrap();
        let job = |condition: &str| {
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"},
                "status": {"conditions": [{"type": condition, "status": "True", "message": "why"}]}})
        };
        let of = |live: &Value, seconds| {
            standing(&HealthRules::default(), live, &made, after(seconds), Duration::from_secs(60))
        };
        assert_eq!(of(&job("Complete"), 100), Standing::Succeeded);
        assert!(matches!(of(&job("Failed"), 1), Standing::Failed(why) if why == "failed: why"));
        assert!(matches!(of(&job("Other"), 1), Standing::Open(_, left) if left == Duration::from_secs(59)));
        let late = of(&job("Other"), 60);
        assert!(
            matches!(&late, Standing::Failed(why) if why.starts_with("is not done after 60 s: ")),
            "{late:?}"
        );
        // Of other kinds the stack knows when they are done.
        let backup = json!({"apiVersion": "example.com/v1", "kind": "Backup", "metadata": {"name": "b"}});
        assert_eq!(of(&backup, 1), Standing::Succeeded);
        let rule = HealthCheckExpr {
            api_version: "example.com/v1".to_owned(),
            kind: Some("Backup".to_owned()),
            current: "has(self.status) && status.phase == 'Done'".to_owned(),
            ..HealthCheckExpr::default()
        };
        let rules = HealthRules::compile(std::slice::from_ref(&rule)).unwrap();
        let waits = standing(&rules, &backup, &made, after(1), Duration::from_secs(60));
        assert!(matches!(waits, Standing::Open(..)), "{waits:?}");
        // Its time to live is over, or somebody deletes it.
        let deleted = |condition: &str| {
            let mut job = job(condition);
            job["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
            job
        };
        assert_eq!(of(&deleted("Complete"), 1), Standing::Succeeded);
        assert!(matches!(of(&deleted("Other"), 1), Standing::Open(why, _) if why == "is being deleted"));
    }
}
