//! What a Job's policies make of pods that ended: `podFailurePolicy`, `backoffLimitPerIndex` and `successPolicy`
//! (KEP-3329, KEP-3850, KEP-3998).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{
    JobSpec, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::indexes;
use super::plan::{ended, index_of};
use crate::pods;

/// How often pods of an index have failed before this one.
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";

/// What is done about a pod that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Count,
    /// Another takes its place as if it had not been.
    Ignore,
    /// Its index is not tried again.
    FailIndex,
    /// The Job has failed, for this reason.
    FailJob(String),
}

/// The action of the first rule that matches a pod; a pod that has not failed counts.
pub(super) fn verdict(spec: &JobSpec, pod: &Pod) -> Verdict {
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules).enumerate();
    if pods::phase(pod) != "Failed" {
        return Verdict::Count;
    }
    for (number, rule) in rules {
        let by_code = rule.on_exit_codes.as_ref().and_then(|codes| exit_code(codes, pod));
        let by_condition = || rule.on_pod_conditions.iter().flatten().find(|pattern| has(pod, pattern));
        let place = format!("pod {}/{}", pod.namespace().unwrap_or_default(), pod.name_any());
        let why = match by_code {
            Some((container, code)) => {
                format!("Container {container} for {place} failed with exit code {code}")
            }
            None => match by_condition() {
                Some(pattern) => {
                    format!("{} has condition {}", place.replacen("pod", "Pod", 1), pattern.type_)
                }
                None => continue,
            },
        };
        return match rule.action.as_str() {
            "FailJob" => Verdict::FailJob(format!("{why} matching FailJob rule at index {number}")),
            "FailIndex" => Verdict::FailIndex,
            "Ignore" => Verdict::Ignore,
            _ => Verdict::Count,
        };
    }
    Verdict::Count
}

/// The first container whose exit code is meant. Success is never meant.
fn exit_code(codes: &PodFailurePolicyOnExitCodesRequirement, pod: &Pod) -> Option<(String, i32)> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let ends = all.filter(|c| codes.container_name.as_ref().is_none_or(|name| *name == c.name));
    let ends = ends.filter_map(|c| Some((c.name.clone(), c.state.as_ref()?.terminated.as_ref()?.exit_code)));
    let is_meant = |code: i32| (codes.operator == "In") == codes.values.contains(&code);
    ends.filter(|(_, code)| *code != 0).find(|(_, code)| is_meant(*code))
}

fn has(pod: &Pod, pattern: &PodFailurePolicyOnPodConditionsPattern) -> bool {
    let wanted = pattern.status.as_deref().unwrap_or("True");
    pods::condition(pod, &pattern.type_).is_some_and(|condition| condition.status == wanted)
}

/// How an index has fared, as its pods tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// Failures that count.
    pub(super) failures: i32,
    /// When the last pod ended.
    pub(super) ended: Timestamp,
}

/// What the failed pods of each index tell, when failures are counted by index.
pub(super) struct Indexes {
    pub(super) known: BTreeMap<i32, Index>,
    /// Not tried again.
    pub(super) failed: BTreeSet<i32>,
    /// Ids of the pods that tell how often their index failed. They stay until a successor carries the number on.
    pub(super) witnesses: BTreeSet<String>,
}

impl Indexes {
    /// `None` when failures count for the whole Job. `before` are those that failed already.
    pub(super) fn new(spec: &JobSpec, before: Option<&str>, controlled: &[Arc<Pod>]) -> Option<Self> {
        let limit = spec.backoff_limit_per_index?;
        let completions = spec.completions.unwrap_or(0);
        let mut failed = indexes::parse(before.unwrap_or_default(), completions);
        let mut known: BTreeMap<i32, (Index, String)> = BTreeMap::new();
        let mut carried = BTreeSet::new();
        let waits = spec.pod_replacement_policy.as_deref() == Some("Failed");
        for pod in controlled {
            let Some(index) = index_of(pod) else { continue };
            if pods::is_active(pod) || pods::phase(pod) == "Succeeded" {
                carried.insert(index);
                continue;
            }
            if pods::phase(pod) != "Failed" && waits {
                continue;
            }
            let before = pod.annotations().get(FAILURES).and_then(|n| n.parse::<i32>().ok()).unwrap_or(0);
            let verdict = verdict(spec, pod);
            let failures = before.saturating_add(i32::from(verdict != Verdict::Ignore));
            if verdict == Verdict::FailIndex || failures > limit {
                failed.insert(index);
            }
            let this = (Index { failures, ended: ended(pod) }, pod.uid().unwrap_or_default());
            let most = known.entry(index).or_insert_with(|| this.clone());
            if (this.0.failures, this.0.ended) > (most.0.failures, most.0.ended) {
                *most = this;
            }
        }
        let waiting = known.iter().filter(|(index, _)| !carried.contains(index) && !failed.contains(index));
        let witnesses = waiting.map(|(_, (_, uid))| uid.clone()).collect();
        let known = known.into_iter().map(|(index, (facts, _))| (index, facts)).collect();
        Some(Self { known, failed, witnesses })
    }
}

/// Which rule of the success policy is met by the indexes that succeeded.
pub(super) fn success(spec: &JobSpec, succeeded: &BTreeSet<i32>) -> Option<usize> {
    let completions = spec.completions.unwrap_or(0);
    let rules = &spec.success_policy.as_ref()?.rules;
    rules.iter().position(|rule| {
        let wanted = rule.succeeded_indexes.as_deref().map(|text| indexes::parse(text, completions));
        let met = wanted.as_ref().map_or(succeeded.len(), |wanted| wanted.intersection(succeeded).count());
        let needed = match (rule.succeeded_count, &wanted) {
            (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(wanted)) => wanted.len(),
            (None, None) => return false,
        };
        met >= needed
    })
}
