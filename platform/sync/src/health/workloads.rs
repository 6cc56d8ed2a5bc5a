//! Built-in kinds that run, or that something must be given to.

use seaway_object::identity::annotation;
use serde_json::Value;

use super::{Health, HealthStatus, condition, holds, is_unobserved, number, said, text};

pub(super) fn deployment(object: &Value) -> Health {
    if object.pointer("/spec/paused") == Some(&Value::Bool(true)) {
        return Health::new(HealthStatus::Suspended, "the rollout is paused");
    }
    if is_unobserved(object) {
        return Health::progressing("the new spec has not been observed yet");
    }
    if let Some(progressing) = condition(object, "Progressing")
        && text(progressing, "/reason") == "ProgressDeadlineExceeded"
    {
        return Health::degraded(said(progressing));
    }
    let count = |field: &str| number(object, &format!("/status/{field}")).unwrap_or_default();
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let (replicas, updated, available) =
        (count("replicas"), count("updatedReplicas"), count("availableReplicas"));
    if updated < wanted {
        Health::progressing(format!("{updated} of {wanted} replicas are updated"))
    } else if replicas > updated {
        Health::progressing(format!("{} old replicas are still there", replicas - updated))
    } else if available < updated {
        Health::progressing(format!("{available} of {updated} updated replicas are available"))
    } else {
        Health::healthy()
    }
}

pub(super) fn stateful_set(object: &Value) -> Health {
    if is_unobserved(object) {
        return Health::progressing("the new spec has not been observed yet");
    }
    let count = |field: &str| number(object, &format!("/status/{field}")).unwrap_or_default();
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let (ready, updated) = (count("readyReplicas"), count("updatedReplicas"));
    if ready < wanted {
        return Health::progressing(format!("{ready} of {wanted} replicas are ready"));
    }
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Health::healthy();
    }
    if let Some(partition) = number(object, "/spec/updateStrategy/rollingUpdate/partition").filter(|p| *p > 0)
    {
        let due = (wanted - partition).max(0);
        return if updated < due {
            Health::progressing(format!("{updated} of {due} replicas above the partition are updated"))
        } else {
            Health::healthy()
        };
    }
    if text(object, "/status/currentRevision") != text(object, "/status/updateRevision") {
        return Health::progressing(format!("{updated} of {wanted} replicas are updated"));
    }
    Health::healthy()
}

pub(super) fn daemon_set(object: &Value) -> Health {
    if is_unobserved(object) {
        return Health::progressing("the new spec has not been observed yet");
    }
    if text(object, "/spec/updateStrategy/type") == "OnDelete" {
        return Health::healthy();
    }
    let count = |field: &str| number(object, &format!("/status/{field}")).unwrap_or_default();
    let wanted = count("desiredNumberScheduled");
    let (updated, available) = (count("updatedNumberScheduled"), count("numberAvailable"));
    if updated < wanted {
        Health::progressing(format!("{updated} of {wanted} pods are updated"))
    } else if available < wanted {
        Health::progressing(format!("{available} of {wanted} pods are available"))
    } else {
        Health::healthy()
    }
}

pub(super) fn replica_set(object: &Value) -> Health {
    if is_unobserved(object) {
        return Health::progressing("the new spec has not been observed yet");
    }
    if holds(object, "ReplicaFailure") {
        return Health::degraded(condition(object, "ReplicaFailure").map(said).unwrap_or_default());
    }
    let wanted = number(object, "/spec/replicas").unwrap_or(1);
    let available = number(object, "/status/availableReplicas").unwrap_or_default();
    if available < wanted {
        return Health::progressing(format!("{available} of {wanted} replicas are available"));
    }
    Health::healthy()
}

pub(super) fn pod(object: &Value) -> Health {
    let phase = text(object, "/status/phase");
    let statuses = || {
        ["initContainerStatuses", "containerStatuses"]
            .into_iter()
            .filter_map(|field| object.pointer(&format!("/status/{field}"))?.as_array())
            .flatten()
    };
    for status in statuses() {
        let reason = text(status, "/state/waiting/reason");
        if reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff") {
            let message = text(status, "/state/waiting/message");
            return Health::degraded(format!("container {}: {reason}: {message}", text(status, "/name")));
        }
    }
    match phase {
        "Succeeded" => Health::healthy(),
        "Failed" => {
            let message = text(object, "/status/message");
            let failed = statuses().find_map(|status| {
                let code = number(status, "/state/terminated/exitCode").filter(|code| *code != 0)?;
                Some(format!("container {} ended with exit code {code}", text(status, "/name")))
            });
            Health::degraded(if message.is_empty() { failed.unwrap_or_default() } else { message.to_owned() })
        }
        "Running" if matches!(text(object, "/spec/restartPolicy"), "" | "Always") || runs_on(object) => {
            if holds(object, "Ready") {
                return Health::healthy();
            }
            Health::progressing(condition(object, "Ready").map(said).unwrap_or_default())
        }
        "" => Health::progressing("has not been scheduled yet"),
        other => Health::progressing(other.to_lowercase()),
    }
}

/// Argo CD's annotation for a pod that is meant to go on although it would not be restarted; hooks end.
fn runs_on(object: &Value) -> bool {
    annotation(object, "argocd.argoproj.io/ignore-restart-policy") == Some("true") && {
        let options = crate::options::ObjectOptions::of(object);
        !options.is_hook() && !options.only_at_end()
    }
}

pub(super) fn job(object: &Value) -> Health {
    if holds(object, "Failed") {
        return Health::degraded(condition(object, "Failed").map(said).unwrap_or_default());
    }
    if holds(object, "Complete") {
        return Health::healthy();
    }
    if holds(object, "Suspended") || object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::new(HealthStatus::Suspended, "the job is suspended");
    }
    let active = number(object, "/status/active").unwrap_or_default();
    let pods = if active == 1 { "pod is" } else { "pods are" };
    Health::progressing(format!("{active} {pods} running"))
}

/// Whether its last run went well is known only from its Jobs; itself it is well once it exists.
pub(super) fn cron_job(object: &Value) -> Health {
    if object.pointer("/spec/suspend") == Some(&Value::Bool(true)) {
        return Health::new(HealthStatus::Suspended, "the schedule is suspended");
    }
    Health::healthy()
}

pub(super) fn claim(object: &Value) -> Health {
    match text(object, "/status/phase") {
        "Bound" => Health::healthy(),
        "Lost" => Health::degraded("the volume is lost"),
        _ => Health::progressing("no volume is bound yet"),
    }
}

pub(super) fn service(object: &Value) -> Health {
    if text(object, "/spec/type") == "LoadBalancer" { load_balancer(object) } else { Health::healthy() }
}

pub(super) fn load_balancer(object: &Value) -> Health {
    let addresses = object.pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
    if addresses.is_some_and(|addresses| !addresses.is_empty()) {
        return Health::healthy();
    }
    Health::progressing("the load balancer has no address yet")
}
