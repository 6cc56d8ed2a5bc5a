#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;

fn cron_job(spec: Value) -> CronJob {
    let mut object = json!({
        "metadata": {"name": "report", "namespace": "shop", "uid": "c", "creationTimestamp": "2026-01-01T00:30:00Z"},
        "spec": {"schedule": "0 * * * *", "jobTemplate": {
            "metadata": {"labels": {"app": "report"}},
            "spec": {"template": {"spec": {"containers": []}}}}},
    });
    for (field, value) in spec.as_object().unwrap() {
        object["spec"][field] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn job(name: &str, end: Option<&str>) -> Arc<Job> {
    let conditions = match end {
        Some(kind) => json!([{"type": kind, "status": "True"}]),
        None => json!([]),
    };
    Arc::new(
        serde_json::from_value(json!({"metadata": {"name": name, "uid": name,
        "creationTimestamp": format!("2026-01-01T0{}:00:00Z", name.len() % 10)},
        "status": {"conditions": conditions}}))
        .unwrap(),
    )
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_job_is_made_when_its_time_has_come() {
    let cron_job = cron_job(json!({"timeZone": "Europe/Berlin"}));
    let early = plan(&cron_job, &[], at("2026-01-01T00:59:00Z"));
    assert!(early.create.is_none());
    assert_eq!(early.again.unwrap().as_secs(), 60);
    let plan = plan(&cron_job, &[], at("2026-01-01T01:00:05Z"));
    let job = plan.create.unwrap();
    assert_eq!(job.name_any(), format!("report-{}", at("2026-01-01T01:00:00Z").as_second() / 60));
    assert_eq!(job.annotations()[SCHEDULED_AT], "2026-01-01T02:00:00+01:00");
    assert_eq!(job.labels()["app"], "report");
    assert_eq!(job.owner_references()[0].uid, "c");
    assert_eq!(plan.status.last_schedule_time.unwrap().0, at("2026-01-01T01:00:00Z"));
    assert_eq!(plan.again.unwrap().as_secs(), 3595);
}

#[test]
fn a_time_is_served_once_and_only_the_last_missed_one_is_made_up_for() {
    let mut cron_job = cron_job(json!({}));
    let first = plan(&cron_job, &[], at("2026-01-01T05:10:00Z"));
    assert_eq!(first.status.last_schedule_time.as_ref().unwrap().0, at("2026-01-01T05:00:00Z"));
    cron_job.status = Some(first.status);
    assert!(plan(&cron_job, &[], at("2026-01-01T05:59:00Z")).create.is_none());
    // Also when the status was not written, but the Job was.
    cron_job.status = None;
    let made = job(&first.create.unwrap().name_any(), Some("Complete"));
    let again = plan(&cron_job, &[made], at("2026-01-01T05:10:00Z"));
    assert!(again.create.is_none() && again.status.last_schedule_time.is_some());
}

#[test]
fn what_was_missed_too_long_ago_is_left_out() {
    let cron_job = cron_job(json!({"startingDeadlineSeconds": 300}));
    assert!(plan(&cron_job, &[], at("2026-01-01T05:04:00Z")).create.is_some());
    assert!(plan(&cron_job, &[], at("2026-01-01T05:06:00Z")).create.is_none());
}

#[test]
fn concurrency_is_allowed_forbidden_or_ended() {
    let running = job("running", None);
    let of = |policy: &str| {
        plan(
            &cron_job(json!({"concurrencyPolicy": policy})),
            std::slice::from_ref(&running),
            at("2026-01-01T01:00:00Z"),
        )
    };
    let allow = of("Allow");
    assert!(allow.create.is_some() && allow.delete.is_empty());
    assert_eq!(allow.status.active.unwrap().len(), 1);
    let forbid = of("Forbid");
    assert!(forbid.create.is_none() && forbid.status.last_schedule_time.is_none());
    assert!(matches!(forbid.notes[..], [Note::Normal("JobAlreadyActive", _)]));
    let replace = of("Replace");
    assert!(replace.create.is_some() && replace.status.active.is_none());
    assert_eq!(replace.delete[0].name_any(), "running");
}

#[test]
fn a_suspended_one_makes_nothing() {
    let plan = plan(&cron_job(json!({"suspend": true})), &[], at("2026-01-01T05:00:00Z"));
    assert!(plan.create.is_none() && plan.again.is_none());
}

#[test]
fn so_many_finished_jobs_are_kept() {
    let jobs = [
        job("a", Some("Complete")),
        job("bb", Some("Complete")),
        job("ccc", Some("Complete")),
        job("dddd", Some("Failed")),
        job("eeeee", Some("Failed")),
        job("ffffff", None),
    ];
    let limits = json!({"successfulJobsHistoryLimit": 2, "failedJobsHistoryLimit": 0, "suspend": true});
    let plan = plan(&cron_job(limits), &jobs, at("2026-01-01T00:31:00Z"));
    let names: Vec<_> = plan.delete.iter().map(|j| j.name_any()).collect();
    assert_eq!(names, ["a", "eeeee", "dddd"]);
}

#[test]
fn ends_are_noticed_once() {
    let mut cron_job = cron_job(json!({"suspend": true}));
    cron_job.status = Some(CronJobStatus {
        active: Some(vec![reference(&job("a", None)), reference(&job("gone", None))]),
        ..CronJobStatus::default()
    });
    let plan = plan(&cron_job, &[job("a", Some("Complete"))], at("2026-01-01T00:31:00Z"));
    assert_eq!(
        plan.notes,
        [
            Note::Normal("SawCompletedJob", "Saw completed job: a, condition: Complete".into()),
            Note::Normal("MissingJob", "Active job went missing: gone".into()),
        ]
    );
    assert_eq!(plan.status.active, None);
}
