//! The status of a PodDisruptionBudget: a pure function of what is observed.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use crate::amount::{Round, resolve};
use crate::clock;
use crate::pods;

const KIND: &str = "DisruptionAllowed";
/// How long an eviction counts whose pod does not go, as kube-controller-manager has it.
const GRANTED_FOR: jiff::SignedDuration = jiff::SignedDuration::from_mins(2);

/// A pod, and the controller whose size counts for it.
pub(super) type Scaled = (Option<(String, i32)>, Arc<Pod>);

/// Plans for a budget and the pods that it selects.
pub(super) fn plan(
    budget: &PodDisruptionBudget,
    selected: &[Scaled],
    now: Timestamp,
) -> PodDisruptionBudgetStatus {
    let spec = budget.spec.clone().unwrap_or_default();
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    // An eviction counts from when it was granted, though its pod goes a little later.
    let granted = budget.status.as_ref().and_then(|s| s.disrupted_pods.clone()).unwrap_or_default();
    let there = |name: &str| selected.iter().any(|(_, p)| p.name_any() == name && !pods::is_terminating(p));
    let disrupted: BTreeMap<_, _> = granted
        .into_iter()
        .filter(|(name, since)| now.duration_since(since.0) < GRANTED_FOR && there(name))
        .collect();
    let stays = |p: &Pod| !pods::is_terminating(p) && !disrupted.contains_key(&p.name_any());
    let healthy = selected.iter().filter(|(_, p)| pods::is_ready(p) && stays(p)).count();
    let healthy = count(healthy);
    // A share, or what may be missing, is measured against what the controllers ask for.
    let by_number = matches!(spec.min_available, Some(IntOrString::Int(_)));
    let stray = selected.iter().find(|(scale, p)| scale.is_none() && pods::is_active(p));
    let (expected, desired, trouble) = if by_number {
        (count(selected.len()), resolve(spec.min_available.as_ref(), 0, Round::Up), None)
    } else {
        let scales: BTreeMap<&String, i32> =
            selected.iter().filter_map(|(scale, _)| scale.as_ref().map(|(uid, n)| (uid, *n))).collect();
        let expected: i32 = scales.values().sum();
        let desired = match (&spec.min_available, &spec.max_unavailable) {
            (Some(least), _) => resolve(Some(least), expected, Round::Up),
            (None, Some(most)) => expected - resolve(Some(most), expected, Round::Up),
            (None, None) => 0,
        };
        let trouble = stray.map(|(_, pod)| format!("found no controllers for pod \"{}\"", pod.name_any()));
        (expected, desired.max(0), trouble)
    };
    let allowed = match trouble {
        None if expected > 0 => (healthy - desired).max(0),
        _ => 0,
    };
    let (status, reason) = match (&trouble, allowed) {
        (Some(_), _) => ("False", "SyncFailed"),
        (None, 0) => ("False", "InsufficientPods"),
        (None, _) => ("True", "SufficientPods"),
    };
    let before = budget.status.as_ref();
    let mut conditions = before.and_then(|s| s.conditions.clone()).unwrap_or_default();
    let old = conditions.iter().find(|c| c.type_ == KIND);
    let since = old.filter(|c| c.status == status).map(|c| c.last_transition_time.clone());
    let condition = Condition {
        type_: KIND.into(),
        status: status.into(),
        reason: reason.into(),
        message: trouble.unwrap_or_default(),
        observed_generation: budget.metadata.generation,
        last_transition_time: since.unwrap_or_else(|| clock::time(now)),
    };
    conditions.retain(|c| c.type_ != KIND);
    conditions.push(condition);
    PodDisruptionBudgetStatus {
        observed_generation: budget.metadata.generation,
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        disrupted_pods: (!disrupted.is_empty()).then_some(disrupted),
        conditions: Some(conditions),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(spec: Value, ready: usize, broken: usize, scale: Option<i32>) -> PodDisruptionBudgetStatus {
        let budget = json!({"metadata": {"name": "web", "generation": 2}, "spec": spec});
        let budget = serde_json::from_value(budget).unwrap();
        let pod = |n: usize| {
            let ready = if n < ready { "True" } else { "False" };
            let pod = json!({"metadata": {"name": format!("p{n}")},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
            (scale.map(|n| ("set".to_owned(), n)), Arc::new(serde_json::from_value(pod).unwrap()))
        };
        let pods: Vec<_> = (0..ready + broken).map(pod).collect();
        plan(&budget, &pods, Timestamp::UNIX_EPOCH)
    }

    fn facts(status: &PodDisruptionBudgetStatus) -> (i32, i32, i32, i32, &str) {
        let condition = &status.conditions.as_ref().unwrap()[0];
        (
            status.expected_pods.unwrap(),
            status.current_healthy.unwrap(),
            status.desired_healthy.unwrap(),
            status.disruptions_allowed.unwrap(),
            condition.reason.as_str(),
        )
    }

    #[test]
    fn budgets_are_numbers_or_shares_of_what_stays_or_goes() {
        let of = |spec: Value, ready, broken| status(spec, ready, broken, Some(4));
        assert_eq!(facts(&of(json!({"minAvailable": 2}), 3, 0)), (3, 3, 2, 1, "SufficientPods"));
        assert_eq!(facts(&of(json!({"minAvailable": "75%"}), 3, 1)), (4, 3, 3, 0, "InsufficientPods"));
        assert_eq!(facts(&of(json!({"maxUnavailable": 1}), 4, 0)), (4, 4, 3, 1, "SufficientPods"));
        assert_eq!(facts(&of(json!({"maxUnavailable": "30%"}), 4, 0)), (4, 4, 2, 2, "SufficientPods"));
        assert_eq!(facts(&of(json!({"maxUnavailable": 9}), 1, 0)), (4, 1, 0, 1, "SufficientPods"));
        assert_eq!(facts(&of(json!({"maxUnavailable": 1}), 0, 0)), (0, 0, 0, 0, "InsufficientPods"));
    }

    #[test]
    fn an_eviction_that_was_granted_counts_until_its_pod_goes() {
        let budget = |since: &str| {
            serde_json::from_value::<PodDisruptionBudget>(
                json!({"metadata": {"name": "web", "generation": 2},
                "spec": {"minAvailable": 2}, "status": {"disruptedPods": {"p0": since}, "currentHealthy": 3,
                    "desiredHealthy": 2, "disruptionsAllowed": 0, "expectedPods": 3}}),
            )
            .unwrap()
        };
        let pods: Vec<Scaled> = (0..3)
            .map(|n| {
                let pod = json!({"metadata": {"name": format!("p{n}")},
                    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}});
                (Some(("set".to_owned(), 3)), Arc::new(serde_json::from_value(pod).unwrap()))
            })
            .collect();
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let fresh = plan(&budget("2026-01-01T00:04:00Z"), &pods, now);
        assert_eq!((fresh.current_healthy, fresh.disruptions_allowed), (Some(2), Some(0)));
        assert!(fresh.disrupted_pods.unwrap().contains_key("p0"));
        let stale = plan(&budget("2026-01-01T00:01:00Z"), &pods, now);
        assert_eq!((stale.disruptions_allowed, stale.disrupted_pods), (Some(1), None));
    }

    #[test]
    fn pods_without_a_controller_cannot_be_measured() {
        let status = status(json!({"maxUnavailable": 1}), 1, 0, None);
        assert_eq!(facts(&status).3, 0);
        let condition = &status.conditions.unwrap()[0];
        assert_eq!(condition.reason, "SyncFailed");
        assert_eq!(condition.message, "found no controllers for pod \"p0\"");
    }
}
