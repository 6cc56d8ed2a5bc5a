//! The next step of a CronJob: a pure function of what is observed.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

use super::schedule::Schedule;
use crate::clock;
use crate::job::finished;
use crate::owners;

/// The time for which a Job was made.
const SCHEDULED_AT: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// An event about the CronJob.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Note {
    Normal(&'static str, String),
    Warning(&'static str, String),
}

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) create: Option<Box<Job>>,
    pub(super) delete: Vec<Arc<Job>>,
    /// Without the Job that is made.
    pub(super) status: CronJobStatus,
    pub(super) notes: Vec<Note>,
    pub(super) again: Option<Duration>,
}

pub(super) fn reference(job: &Job) -> ObjectReference {
    ObjectReference {
        api_version: Some("batch/v1".into()),
        kind: Some("Job".into()),
        namespace: job.namespace(),
        name: Some(job.name_any()),
        uid: job.uid(),
        resource_version: job.resource_version(),
        field_path: None,
    }
}

fn created(job: &Job) -> Option<Timestamp> {
    job.metadata.creation_timestamp.as_ref().map(|t| t.0)
}

pub(super) fn plan(cron_job: &CronJob, jobs: &[Arc<Job>], now: Timestamp) -> Plan {
    let spec = &cron_job.spec;
    let before = cron_job.status.clone().unwrap_or_default();
    let mut plan = Plan { create: None, delete: Vec::new(), status: before, notes: Vec::new(), again: None };
    let active: Vec<&Arc<Job>> = jobs.iter().filter(|j| !finished::is_finished(j)).collect();
    note_ends(&mut plan, jobs);
    keep_active(&mut plan.status, &active);
    plan.delete = outdated(cron_job, jobs);
    if cron_job.metadata.deletion_timestamp.is_some() || spec.suspend == Some(true) {
        return plan;
    }
    let Some(schedule) = Schedule::parse(&spec.schedule) else {
        let message = format!("unparseable schedule: {}", spec.schedule);
        plan.notes.push(Note::Warning("UnparseableSchedule", message));
        return plan;
    };
    let zone = match spec.time_zone.as_deref().map(TimeZone::get) {
        None => TimeZone::UTC,
        Some(Ok(zone)) => zone,
        Some(Err(_)) => {
            let name = spec.time_zone.as_deref().unwrap_or_default();
            plan.notes.push(Note::Warning("UnknownTimeZone", format!("invalid timeZone: {name}")));
            return plan;
        }
    };
    plan.again = schedule.next(now, &zone).map(|t| clock::until(t, now) + Duration::from_millis(100));
    let last = plan.status.last_schedule_time.as_ref().or(cron_job.metadata.creation_timestamp.as_ref());
    let mut after = last.map_or(now, |t| t.0);
    if let Some(deadline) = spec.starting_deadline_seconds {
        // What was missed longer ago is not made up for.
        after = after.max(clock::after(now, deadline.saturating_neg()));
    }
    let (due, many) = schedule.last_between(after, now, &zone);
    if many {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        plan.notes.push(Note::Warning("TooManyMissedTimes", message.into()));
    }
    let Some(due) = due else { return plan };
    let name = format!("{}-{}", cron_job.name_any(), due.as_second() / 60);
    if jobs.iter().any(|j| j.name_any() == name) {
        plan.status.last_schedule_time = Some(clock::time(due));
        return plan;
    }
    match spec.concurrency_policy.as_deref() {
        Some("Forbid") if !active.is_empty() => {
            let message =
                "Not starting job because prior execution is running and concurrency policy is Forbid";
            plan.notes.push(Note::Normal("JobAlreadyActive", message.into()));
            return plan;
        }
        Some("Replace") => {
            plan.delete.extend(active.into_iter().cloned());
            plan.status.active = None;
        }
        _ => {}
    }
    plan.status.last_schedule_time = Some(clock::time(due));
    plan.create = Some(Box::new(job(cron_job, name, due, &zone)));
    plan
}

/// Says which Jobs have ended since the last look.
fn note_ends(plan: &mut Plan, jobs: &[Arc<Job>]) {
    let known = plan.status.active.clone().unwrap_or_default();
    for entry in &known {
        let name = entry.name.clone().unwrap_or_default();
        match jobs.iter().find(|j| j.uid() == entry.uid) {
            None => {
                let message = format!("Active job went missing: {name}");
                plan.notes.push(Note::Normal("MissingJob", message));
            }
            Some(job) => {
                if let Some((end, _)) = finished::end(job) {
                    let message = format!("Saw completed job: {name}, condition: {end}");
                    plan.notes.push(Note::Normal("SawCompletedJob", message));
                }
            }
        }
    }
    let done = jobs.iter().filter_map(|j| j.status.as_ref()?.completion_time.clone());
    let latest = done.chain(plan.status.last_successful_time.clone()).max_by_key(|t| t.0);
    plan.status.last_successful_time = latest;
}

/// The list of active Jobs, in which those that are known keep their place and their entry.
fn keep_active(status: &mut CronJobStatus, active: &[&Arc<Job>]) {
    let mut list = status.active.take().unwrap_or_default();
    list.retain(|entry| active.iter().any(|j| j.uid() == entry.uid));
    for job in active {
        if !list.iter().any(|entry| entry.uid == job.uid()) {
            list.push(reference(job));
        }
    }
    status.active = (!list.is_empty()).then_some(list);
}

/// Finished Jobs beyond the limits of the history.
fn outdated(cron_job: &CronJob, jobs: &[Arc<Job>]) -> Vec<Arc<Job>> {
    let spec = &cron_job.spec;
    let mut outdated = Vec::new();
    for (kind, limit) in [
        ("Complete", spec.successful_jobs_history_limit.unwrap_or(3)),
        ("Failed", spec.failed_jobs_history_limit.unwrap_or(1)),
    ] {
        let ended = |j: &&Arc<Job>| finished::end(j).is_some_and(|(end, _)| end == kind);
        let mut ended: Vec<_> = jobs.iter().filter(ended).cloned().collect();
        ended.sort_by_cached_key(|j| Reverse((created(j), j.name_any())));
        outdated.extend(ended.into_iter().skip(usize::try_from(limit).unwrap_or(0)));
    }
    outdated.retain(|j| j.metadata.deletion_timestamp.is_none());
    outdated
}

fn job(cron_job: &CronJob, name: String, due: Timestamp, zone: &TimeZone) -> Job {
    let template = cron_job.spec.job_template.clone();
    let shape = template.metadata.unwrap_or_default();
    let mut annotations = shape.annotations.unwrap_or_default();
    let at = due.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
    let at = at.strip_suffix("+00:00").map(|text| format!("{text}Z")).unwrap_or(at);
    annotations.insert(SCHEDULED_AT.into(), at);
    Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: cron_job.namespace(),
            labels: shape.labels,
            annotations: Some(annotations),
            owner_references: Some(vec![owners::controller_ref(cron_job)]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
