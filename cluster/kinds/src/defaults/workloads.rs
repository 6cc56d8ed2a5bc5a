//! The kinds that make pods.

use serde_json::{Value, json};

use super::{omit_zero, pod, storage};
use crate::fields::{at, at_mut, count, fill, fill_absent, integer, items_mut, set, structure, text};

pub(super) fn default_deployment(deployment: &mut Value) {
    let Some(spec) = structure(deployment, "spec") else {
        return;
    };
    fill_absent(spec, "replicas", 1);
    fill_absent(spec, "revisionHistoryLimit", 10);
    fill_absent(spec, "progressDeadlineSeconds", 600);
    omit_zero(spec, &["minReadySeconds", "paused"]);
    if let Some(strategy) = structure(spec, "strategy") {
        fill(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = structure(strategy, "rollingUpdate")
        {
            fill_absent(rolling, "maxUnavailable", "25%");
            fill_absent(rolling, "maxSurge", "25%");
        }
    }
    pod::default_template(spec);
    structure(deployment, "status");
}

pub(super) fn default_replica_set(set: &mut Value) {
    let Some(spec) = structure(set, "spec") else {
        return;
    };
    fill_absent(spec, "replicas", 1);
    omit_zero(spec, &["minReadySeconds"]);
    pod::default_template(spec);
    if let Some(status) = structure(set, "status") {
        fill_absent(status, "replicas", 0);
    }
}

pub(super) fn default_stateful_set(set: &mut Value) {
    let Some(spec) = structure(set, "spec") else {
        return;
    };
    fill(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = structure(spec, "updateStrategy") {
        if text(strategy, "type").is_empty() {
            crate::fields::set(strategy, "type", "RollingUpdate");
            structure(strategy, "rollingUpdate");
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = at_mut(strategy, "rollingUpdate")
        {
            fill_absent(rolling, "partition", 0);
        }
    }
    if let Some(retention) = structure(spec, "persistentVolumeClaimRetentionPolicy") {
        fill(retention, "whenDeleted", "Retain");
        fill(retention, "whenScaled", "Retain");
    }
    fill_absent(spec, "replicas", 1);
    fill_absent(spec, "revisionHistoryLimit", 10);
    omit_zero(spec, &["minReadySeconds"]);
    pod::default_template(spec);
    for claim in items_mut(spec, "volumeClaimTemplates") {
        fill(claim, "apiVersion", "v1");
        fill(claim, "kind", "PersistentVolumeClaim");
        storage::default_claim(claim);
    }
    if let Some(status) = structure(set, "status") {
        fill_absent(status, "replicas", 0);
        fill_absent(status, "availableReplicas", 0);
    }
}

pub(super) fn default_daemon_set(set: &mut Value) {
    let Some(spec) = structure(set, "spec") else {
        return;
    };
    if let Some(strategy) = structure(spec, "updateStrategy") {
        fill(strategy, "type", "RollingUpdate");
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = structure(strategy, "rollingUpdate")
        {
            fill_absent(rolling, "maxUnavailable", 1);
            fill_absent(rolling, "maxSurge", 0);
        }
    }
    fill_absent(spec, "revisionHistoryLimit", 10);
    omit_zero(spec, &["minReadySeconds"]);
    pod::default_template(spec);
    if let Some(status) = structure(set, "status") {
        for number in
            ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"]
        {
            fill_absent(status, number, 0);
        }
    }
}

pub(super) fn default_replication_controller(controller: &mut Value) {
    let labels = at(controller, "spec.template.metadata.labels").cloned();
    let Some(spec) = structure(controller, "spec") else {
        return;
    };
    fill_absent(spec, "replicas", 1);
    omit_zero(spec, &["minReadySeconds"]);
    if at(spec, "template").is_some() {
        pod::default_template(spec);
    }
    if let Some(labels) = labels {
        if count(spec, "selector") == 0 {
            set(spec, "selector", labels.clone());
        }
        inherit_labels(controller, labels);
    }
    if let Some(status) = structure(controller, "status") {
        fill_absent(status, "replicas", 0);
    }
}

pub(super) fn default_job(job: &mut Value) {
    let labels = at(job, "spec.template.metadata.labels").cloned();
    let Some(spec) = structure(job, "spec") else {
        return;
    };
    if integer(spec, "completions").is_none() && integer(spec, "parallelism").is_none() {
        fill_absent(spec, "completions", 1);
    }
    fill_absent(spec, "parallelism", 1);
    let backoff = match at(spec, "backoffLimitPerIndex") {
        Some(_) => i32::MAX,
        None => 6,
    };
    fill_absent(spec, "backoffLimit", backoff);
    fill_absent(spec, "completionMode", "NonIndexed");
    fill_absent(spec, "suspend", false);
    fill_absent(spec, "manualSelector", false);
    let replacement = match at(spec, "podFailurePolicy") {
        Some(_) => "Failed",
        None => "TerminatingOrFailed",
    };
    fill_absent(spec, "podReplacementPolicy", replacement);
    default_failure_policy(spec);
    pod::default_template(spec);
    if let Some(labels) = labels {
        inherit_labels(job, labels);
    }
    structure(job, "status");
}

pub(super) fn default_cron_job(cron_job: &mut Value) {
    let Some(spec) = structure(cron_job, "spec") else {
        return;
    };
    fill(spec, "concurrencyPolicy", "Allow");
    fill_absent(spec, "suspend", false);
    fill_absent(spec, "successfulJobsHistoryLimit", 3);
    fill_absent(spec, "failedJobsHistoryLimit", 1);
    if let Some(template) = structure(spec, "jobTemplate") {
        structure(template, "metadata");
        if let Some(job) = structure(template, "spec") {
            default_failure_policy(job);
            pod::default_template(job);
        }
    }
    structure(cron_job, "status");
}

fn default_failure_policy(job: &mut Value) {
    for rule in items_mut(job, "podFailurePolicy.rules") {
        for condition in items_mut(rule, "onPodConditions") {
            fill(condition, "status", "True");
        }
    }
}

/// An object without labels takes those of its pods.
fn inherit_labels(object: &mut Value, labels: Value) {
    let empty = json!({});
    if labels != empty
        && count(object, "metadata.labels") == 0
        && let Some(metadata) = structure(object, "metadata")
    {
        set(metadata, "labels", labels);
    }
}
