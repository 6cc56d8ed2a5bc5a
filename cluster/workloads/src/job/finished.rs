//! How a Job ended, by its conditions.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition};

pub(crate) fn condition<'a>(job: &'a Job, kind: &str) -> Option<&'a JobCondition> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|c| c.type_ == kind && c.status == "True")
}

/// `Complete` or `Failed`, and since when.
pub(crate) fn end(job: &Job) -> Option<(&'static str, Option<Timestamp>)> {
    ["Complete", "Failed"].into_iter().find_map(|kind| {
        let found = condition(job, kind)?;
        Some((kind, found.last_transition_time.as_ref().map(|t| t.0)))
    })
}

pub(crate) fn is_finished(job: &Job) -> bool {
    end(job).is_some()
}
