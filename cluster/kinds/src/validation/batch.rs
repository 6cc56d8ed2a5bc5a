//! Jobs and CronJobs.

use serde_json::Value;

use super::labels::{selects, validate_selector};
use super::workloads::mismatch;
use super::{cron, immutable, job_policies, nonnegative, one_of, pod};
use crate::field_error::{FieldError, Path};
use crate::fields::{at, at_mut, integer, is_true, remove, same, text};

const UID_LABELS: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];
const NAME_LABELS: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];

/// Checks a Job's spec.
pub(super) fn validate_job(errors: &mut Vec<FieldError>, job: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = job.get("spec").unwrap_or(&empty);
    validate_job_spec(errors, spec, &path);
    match at(spec, "selector") {
        None => {
            errors.push(FieldError::required(&path.child("selector"), ""));
            // No selector selects nothing.
            errors.push(mismatch(at(spec, "template.metadata.labels"), &path));
        }
        Some(selector) => {
            let before = errors.len();
            validate_selector(errors, selector, &path.child("selector"));
            let labels = at(spec, "template.metadata.labels");
            if errors.len() == before && !selects(selector, labels) {
                errors.push(mismatch(labels, &path));
            }
        }
    }
}

/// What holds for the spec of a Job and of a CronJob's template.
fn validate_job_spec(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    for field in [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        nonnegative(errors, spec, field, path);
    }
    if at(spec, "maxFailedIndexes").is_some() && at(spec, "backoffLimitPerIndex").is_none() {
        errors.push(FieldError::required(
            &path.child("backoffLimitPerIndex"),
            "when maxFailedIndexes is specified",
        ));
    }
    job_policies::validate_managed_by(errors, spec, path);
    let mode = text(spec, "completionMode");
    if !matches!(mode, "" | "NonIndexed" | "Indexed") {
        errors.push(FieldError::not_supported(
            &path.child("completionMode"),
            mode,
            &["NonIndexed", "Indexed"],
        ));
    }
    if mode == "Indexed" {
        validate_indexed(errors, spec, path);
    } else {
        for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
            if let Some(value) = at(spec, field) {
                errors.push(FieldError::invalid(
                    &path.child(field),
                    value.clone(),
                    "requires indexed completion mode",
                ));
            }
        }
    }
    job_policies::validate_failure_policy(errors, spec, path);
    job_policies::validate_success_policy(errors, spec, path);
    job_policies::validate_replacement(errors, spec, path);
    pod::validate_template(errors, spec, &path.child("template"));
    let restart_path = path.child("template.spec.restartPolicy");
    let restart = text(spec, "template.spec.restartPolicy");
    match restart {
        "" | "Always" => {
            errors.push(FieldError::required(&restart_path, "valid values: \"OnFailure\", \"Never\""))
        }
        "OnFailure" if at(spec, "podFailurePolicy").is_some() => errors.push(FieldError::invalid(
            &restart_path,
            restart,
            "only \"Never\" is supported when podFailurePolicy is specified",
        )),
        "OnFailure" | "Never" => {}
        _ => errors.push(FieldError::not_supported(&restart_path, restart, &["OnFailure", "Never"])),
    }
}

fn validate_indexed(errors: &mut Vec<FieldError>, spec: &Value, path: &Path) {
    const PARALLELISM: i64 = 100_000;
    if integer(spec, "completions").is_none() {
        errors.push(FieldError::required(&path.child("completions"), "when completion mode is Indexed"));
    }
    if let Some(parallelism) = integer(spec, "parallelism")
        && parallelism > PARALLELISM
    {
        errors.push(FieldError::invalid(
            &path.child("parallelism"),
            parallelism,
            format!("must be less than or equal to {PARALLELISM} when completion mode is Indexed"),
        ));
    }
    job_policies::validate_indexes(errors, spec, path);
}

/// The labels and the selector that the server made must still be those of this very Job.
pub(super) fn validate_generated_selector(errors: &mut Vec<FieldError>, job: &Value) {
    let selector = at(job, "spec.selector");
    let (false, Some(selector)) = (is_true(job, "spec.manualSelector"), selector) else {
        return;
    };
    let uid = text(job, "metadata.uid");
    let name = text(job, "metadata.name");
    if uid.is_empty() {
        errors.push(FieldError::required(&Path::new("metadata.uid"), ""));
    }
    let labels = at(job, "spec.template.metadata.labels");
    let path = Path::new("spec.template.metadata.labels");
    let expected =
        UID_LABELS.map(|label| (label, uid)).into_iter().chain(NAME_LABELS.map(|label| (label, name)));
    let mut made = serde_json::Map::new();
    for (label, value) in expected {
        made.insert(label.to_owned(), Value::from(value));
        match labels.and_then(|labels| labels.get(label)) {
            None => errors.push(FieldError::required(&path.key(label), format!("must be '{value}'"))),
            Some(found) if found != value => errors.push(FieldError::invalid(
                &path.key(label),
                labels.cloned().unwrap_or_default(),
                format!("must be '{value}'"),
            )),
            Some(_) => {}
        }
    }
    if !selects(selector, Some(&Value::Object(made))) {
        errors.push(FieldError::invalid(
            &Path::new("spec.selector"),
            selector.clone(),
            "`selector` not auto-generated",
        ));
    }
}

/// What a Job may not change once it is there.
pub(super) fn validate_job_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let completions = integer(new, "spec.completions");
    if text(new, "spec.completionMode") != "Indexed" {
        immutable(errors, new, old, "spec.completions");
    } else if let Some(completions) = completions
        && Some(completions) != integer(old, "spec.completions")
        && Some(completions) != integer(new, "spec.parallelism")
    {
        errors.push(FieldError::invalid(
            &Path::new("spec.completions"),
            completions,
            "can only be modified in tandem with spec.parallelism",
        ));
    }
    immutable(errors, new, old, "spec.selector");
    validate_template_update(errors, new, old);
    for field in [
        "spec.completionMode",
        "spec.podFailurePolicy",
        "spec.backoffLimitPerIndex",
        "spec.managedBy",
        "spec.successPolicy",
    ] {
        immutable(errors, new, old, field);
    }
}

/// While a Job is suspended and has never run, it may still be told where its pods go.
fn validate_template_update(errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
    let waiting = is_true(old, "spec.suspend") && at(old, "status.startTime").is_none();
    let fixed = |job: &Value| {
        let mut template = at(job, "spec.template").cloned().unwrap_or_default();
        if waiting {
            if let Some(metadata) = at_mut(&mut template, "metadata") {
                remove(metadata, "annotations");
                remove(metadata, "labels");
            }
            if let Some(spec) = at_mut(&mut template, "spec") {
                for field in ["nodeSelector", "tolerations", "schedulingGates"] {
                    remove(spec, field);
                }
                if let Some(affinity) = at_mut(spec, "affinity") {
                    remove(affinity, "nodeAffinity");
                }
            }
        }
        template
    };
    if !same(Some(&fixed(new)), Some(&fixed(old))) {
        errors.push(FieldError::invalid(
            &Path::new("spec.template"),
            at(new, "spec.template").cloned().unwrap_or_default(),
            super::IMMUTABLE,
        ));
    }
}

/// Checks a CronJob's time zone. One that it has already stays, should the database lose it.
pub(super) fn validate_time_zone(errors: &mut Vec<FieldError>, cron_job: &Value, old: Option<&Value>) {
    const FIELD: &str = "spec.timeZone";
    let known = old.and_then(|old| at(old, FIELD));
    if let Some(Value::String(zone)) = at(cron_job, FIELD).filter(|zone| Some(*zone) != known) {
        job_policies::validate_time_zone(errors, zone, &Path::new(FIELD));
    }
}

/// Checks a CronJob's spec.
pub(super) fn validate_cron_job(errors: &mut Vec<FieldError>, cron_job: &Value) {
    let path = Path::new("spec");
    let empty = Value::Null;
    let spec = cron_job.get("spec").unwrap_or(&empty);
    let schedule = text(spec, "schedule");
    let schedule_path = path.child("schedule");
    if schedule.is_empty() {
        errors.push(FieldError::required(&schedule_path, ""));
    } else {
        if let Err(error) = cron::check(without_time_zone(schedule)) {
            errors.push(FieldError::invalid(&schedule_path, schedule, error));
        }
        if schedule.contains("TZ") {
            errors.push(FieldError::invalid(
                &schedule_path,
                schedule,
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead",
            ));
        }
    }
    nonnegative(errors, spec, "startingDeadlineSeconds", &path);
    one_of(
        errors,
        &path.child("concurrencyPolicy"),
        text(spec, "concurrencyPolicy"),
        &["Allow", "Forbid", "Replace"],
    );
    let job = at(spec, "jobTemplate.spec").unwrap_or(&empty);
    let job_path = path.child("jobTemplate.spec");
    validate_job_spec(errors, job, &job_path);
    if let Some(selector) = at(job, "selector") {
        errors.push(FieldError::invalid(
            &job_path.child("selector"),
            selector.clone(),
            "`selector` will be auto-generated",
        ));
    }
    if is_true(job, "manualSelector") {
        errors.push(FieldError::not_supported(&job_path.child("manualSelector"), true, &["nil", "false"]));
    }
    nonnegative(errors, spec, "successfulJobsHistoryLimit", &path);
    nonnegative(errors, spec, "failedJobsHistoryLimit", &path);
}

fn without_time_zone(schedule: &str) -> &str {
    match schedule.split_once(' ') {
        Some((zone, rest)) if zone.starts_with("TZ=") || zone.starts_with("CRON_TZ=") => rest,
        _ => schedule,
    }
}

/// The names of a CronJob's Jobs are longer by eleven characters.
pub(super) fn validate_cron_job_name(errors: &mut Vec<FieldError>, cron_job: &Value) {
    let name = text(cron_job, "metadata.name");
    if name.len() > 52 {
        errors.push(FieldError::invalid(
            &Path::new("metadata.name"),
            name,
            "must be no more than 52 characters",
        ));
    }
}
