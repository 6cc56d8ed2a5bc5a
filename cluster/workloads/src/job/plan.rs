//! The next step of a Job: a pure function of what is observed.
//!
//! A pod that ended is counted in two steps, so that no crash in between counts it twice or never: first its
//! id goes into the status, then it loses the finalizer that holds it; when it is seen without, the id
//! becomes a number.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::policy::{self, Indexes, Verdict, verdict};
use super::{INDEX, finished, indexes, is_held};
use crate::clock;
use crate::pods;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: i64 = 10;
const LAST_PAUSE: i64 = 600;
/// Ids that wait in the status at one time.
const MOST_UNCOUNTED: usize = 500;
/// Pods that are made in one step.
const BURST: usize = 500;

/// A pod to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum New {
    Any,
    /// For this completion index.
    Index(i32),
    /// For a completion index that has failed so often, when that is counted by index.
    Counted {
        index: i32,
        failures: i32,
    },
}

/// An event about the Job.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Happening {
    Normal(&'static str, String),
    Warning(&'static str, String),
}

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) status: JobStatus,
    pub(super) happenings: Vec<Happening>,
    /// Pods that are counted, or need not be: they lose the finalizer.
    pub(super) release: Vec<Arc<Pod>>,
    pub(super) delete: Vec<Arc<Pod>>,
    pub(super) create: Vec<New>,
    /// The Job ended long enough ago to be deleted.
    pub(super) expired: bool,
    pub(super) again: Option<Duration>,
}

pub(super) fn index_of(pod: &Pod) -> Option<i32> {
    let text = pod.annotations().get(INDEX).or_else(|| pod.labels().get(INDEX))?;
    text.parse().ok()
}

/// What is known when all ends are counted.
struct Counts {
    succeeded: i32,
    failed: i32,
    completed: BTreeSet<i32>,
    uncounted: UncountedTerminatedPods,
}

pub(super) fn plan(job: &Job, controlled: &[Arc<Pod>], now: Timestamp) -> Plan {
    let Some(spec) = &job.spec else { return Plan::default() };
    let before = job.status.clone().unwrap_or_default();
    let held: Vec<_> = controlled.iter().filter(|p| is_held(p)).cloned().collect();
    if let Some((_, since)) = finished::end(job) {
        let ttl = spec.ttl_seconds_after_finished.zip(since);
        let end = ttl.map(|(seconds, since)| clock::after(since, i64::from(seconds)));
        let expired = end.is_some_and(|end| end <= now) && job.metadata.deletion_timestamp.is_none();
        let again = end.filter(|end| *end > now).map(|end| clock::until(end, now));
        return Plan { status: before, release: held, expired, again, ..Plan::default() };
    }
    if job.metadata.deletion_timestamp.is_some() {
        return Plan { status: before, release: held, ..Plan::default() };
    }
    let counts = count(spec, &before, controlled);
    let mut step = Step { job, spec, now, plan: Plan { status: before, ..Plan::default() } };
    step.run(controlled, counts);
    step.plan
}

/// Adds up what has ended: what is in the status already, and what is seen now.
fn count(spec: &JobSpec, before: &JobStatus, controlled: &[Arc<Pod>]) -> Counts {
    let is_indexed = is_indexed(spec);
    let waiting_to_fail = spec.pod_replacement_policy.as_deref() == Some("Failed");
    let stored = before.uncounted_terminated_pods.clone().unwrap_or_default();
    let held: BTreeSet<String> = controlled.iter().filter(|p| is_held(p)).filter_map(|p| p.uid()).collect();
    let settle = |ids: Option<Vec<String>>| -> (Vec<String>, i32) {
        let ids = ids.unwrap_or_default();
        let total = ids.len();
        let still: Vec<String> = ids.into_iter().filter(|id| held.contains(id)).collect();
        let done = i32::try_from(total - still.len()).unwrap_or(i32::MAX);
        (still, done)
    };
    let (mut good, good_done) = settle(stored.succeeded);
    let (mut bad, bad_done) = settle(stored.failed);
    let completions = spec.completions.unwrap_or(0);
    let mut completed = indexes::parse(before.completed_indexes.as_deref().unwrap_or_default(), completions);
    for pod in controlled.iter().filter(|p| is_held(p)) {
        let uid = pod.uid().unwrap_or_default();
        let phase = pods::phase(pod);
        let failed = phase == "Failed" || (pods::is_terminating(pod) && !waiting_to_fail);
        if phase == "Succeeded" {
            match index_of(pod).filter(|_| is_indexed) {
                // An index is complete once, however many pods worked on it.
                Some(index) if (0..completions).contains(&index) => drop(completed.insert(index)),
                Some(_) => {}
                None if good.contains(&uid)
                    || bad.contains(&uid)
                    || good.len() + bad.len() >= MOST_UNCOUNTED => {}
                None => good.push(uid),
            }
        } else if failed
            && !bad.contains(&uid)
            && verdict(spec, pod) != Verdict::Ignore
            && good.len() + bad.len() < MOST_UNCOUNTED
        {
            bad.push(uid);
        }
    }
    let succeeded = if is_indexed {
        i32::try_from(completed.len()).unwrap_or(i32::MAX)
    } else {
        before.succeeded.unwrap_or(0) + good_done
    };
    let list = |ids: Vec<String>| (!ids.is_empty()).then_some(ids);
    Counts {
        succeeded,
        failed: before.failed.unwrap_or(0) + bad_done,
        completed,
        uncounted: UncountedTerminatedPods { succeeded: list(good), failed: list(bad) },
    }
}

fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

fn length(ids: &Option<Vec<String>>) -> i32 {
    ids.as_ref().map_or(0, |ids| i32::try_from(ids.len()).unwrap_or(i32::MAX))
}

struct Step<'a> {
    job: &'a Job,
    spec: &'a JobSpec,
    now: Timestamp,
    plan: Plan,
}

impl Step<'_> {
    fn run(&mut self, controlled: &[Arc<Pod>], counts: Counts) {
        let Counts { succeeded, failed, completed, uncounted } = counts;
        let indexed = is_indexed(self.spec);
        let all_good = succeeded + if indexed { 0 } else { length(&uncounted.succeeded) };
        let all_bad = failed + length(&uncounted.failed);
        let mut active: Vec<Arc<Pod>> = controlled.iter().filter(|p| pods::is_active(p)).cloned().collect();
        let terminating =
            controlled.iter().filter(|p| pods::is_terminating(p) && !pods::is_finished(p)).count();
        let counted = |pod: &Pod| {
            let uid = pod.uid().unwrap_or_default();
            let in_list = |ids: &Option<Vec<String>>| ids.iter().flatten().any(|id| *id == uid);
            (indexed && pods::phase(pod) == "Succeeded")
                || in_list(&uncounted.succeeded)
                || in_list(&uncounted.failed)
                || verdict(self.spec, pod) == Verdict::Ignore
        };
        let mut by_index = Indexes::new(self.spec, self.plan.status.failed_indexes.as_deref(), controlled);
        if let Some(by_index) = &mut by_index {
            by_index.failed.retain(|index| !completed.contains(index));
        }
        let failed_indexes = by_index.as_ref().map(|by_index| &by_index.failed);
        let failed_count = failed_indexes.map_or(0, |f| i32::try_from(f.len()).unwrap_or(i32::MAX));

        let suspended = self.spec.suspend == Some(true);
        self.suspend(suspended);
        if self.plan.status.start_time.is_none() && !suspended {
            self.plan.status.start_time = Some(clock::time(self.now));
        }
        let was_ending = self.target().is_some();
        if !was_ending {
            self.judge(controlled, &active, (all_good, all_bad, failed_count), &completed);
        }
        let is_over = self.target().is_some();
        let is_witness = |pod: &Pod| {
            let uid = pod.uid().unwrap_or_default();
            !is_over && by_index.as_ref().is_some_and(|by_index| by_index.witnesses.contains(&uid))
        };
        let countable = controlled.iter().filter(|p| is_held(p) && counted(p) && !is_witness(p));
        self.plan.release = countable.cloned().collect();
        let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let status = &mut self.plan.status;
        status.ready = Some(count(active.iter().filter(|p| pods::is_ready(p)).count()));
        status.terminating = Some(count(terminating));
        status.succeeded = pods::count(succeeded);
        status.failed = pods::count(failed);
        status.active = pods::count(count(active.len()));
        let text = indexes::format(&completed);
        status.completed_indexes = (indexed && !text.is_empty()).then_some(text);
        status.failed_indexes = failed_indexes.map(indexes::format);
        let pending = uncounted.succeeded.is_some() || uncounted.failed.is_some();
        status.uncounted_terminated_pods = Some(uncounted.clone());

        if let Some(target) = self.target() {
            // Whatever still runs has lost its purpose; each end is counted before the Job says it is over.
            let held = controlled.iter().any(|p| is_held(p) && !counted(p) && pods::is_finished(p));
            if active.is_empty() && terminating == 0 && !pending && !held {
                self.finish(target);
            }
            self.plan.delete = active;
            return;
        }
        if suspended {
            self.drop_pods(active);
            return;
        }
        let holds = self.spec.pod_replacement_policy.as_deref() == Some("Failed");
        let running = count(active.len()) + if holds { count(terminating) } else { 0 };
        let parallelism = self.spec.parallelism.unwrap_or(1);
        let wanted = match self.spec.completions {
            Some(completions) => parallelism.min(completions - all_good - failed_count).max(0),
            // A work queue: the first success says that there is no more work.
            None if all_good > 0 => running.min(parallelism),
            None => parallelism,
        };
        if running > wanted {
            active.sort_by_cached_key(|p| {
                (pods::is_ready(p), std::cmp::Reverse(pods::created(p)), p.name_any())
            });
            let surplus = usize::try_from(running - wanted).unwrap_or(0).min(active.len());
            active.truncate(surplus);
            self.drop_pods(active);
        } else if running < wanted {
            let missing = usize::try_from(wanted - running).unwrap_or(0).min(BURST);
            self.create(missing, controlled, &active, &completed, by_index.as_ref());
        }
    }

    /// Deletes pods without counting them as failures.
    fn drop_pods(&mut self, doomed: Vec<Arc<Pod>>) {
        self.plan.release.extend(doomed.iter().filter(|p| is_held(p)).cloned());
        self.plan.delete = doomed;
    }

    fn create(
        &mut self,
        missing: usize,
        controlled: &[Arc<Pod>],
        active: &[Arc<Pod>],
        completed: &BTreeSet<i32>,
        by_index: Option<&Indexes>,
    ) {
        if by_index.is_none()
            && let Some(until) = pause(controlled)
            && until > self.now
        {
            self.wake(until);
            return;
        }
        let Some(completions) = self.spec.completions.filter(|_| is_indexed(self.spec)) else {
            self.plan.create = vec![New::Any; missing];
            return;
        };
        let taken: BTreeSet<i32> = active.iter().filter_map(|p| index_of(p)).collect();
        let free = (0..completions).filter(|i| !completed.contains(i) && !taken.contains(i));
        let Some(by_index) = by_index else {
            self.plan.create = free.take(missing).map(New::Index).collect();
            return;
        };
        for index in free.filter(|index| !by_index.failed.contains(index)) {
            if self.plan.create.len() == missing {
                return;
            }
            let facts = by_index.known.get(&index);
            // Each index has a pause of its own.
            let until = facts.map(|facts| after_failures(facts.ended, facts.failures.max(1)));
            match until.filter(|until| *until > self.now) {
                Some(until) => self.wake(until),
                None => {
                    let failures = facts.map_or(0, |facts| facts.failures);
                    self.plan.create.push(New::Counted { index, failures });
                }
            }
        }
    }

    fn wake(&mut self, at: Timestamp) {
        let delay = clock::until(at, self.now);
        self.plan.again = Some(self.plan.again.map_or(delay, |d| d.min(delay)));
    }

    fn conditions(&mut self) -> &mut Vec<JobCondition> {
        self.plan.status.conditions.get_or_insert_default()
    }

    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let now = Some(clock::time(self.now));
        let conditions = self.conditions();
        conditions.retain(|c| c.type_ != kind);
        conditions.push(JobCondition {
            type_: kind.into(),
            status: status.into(),
            reason: Some(reason.into()),
            message: Some(message.into()),
            last_probe_time: now.clone(),
            last_transition_time: now,
        });
    }

    fn suspend(&mut self, suspended: bool) {
        let old = self.plan.status.conditions.iter().flatten().find(|c| c.type_ == "Suspended");
        match (suspended, old.map(|c| c.status == "True")) {
            (true, None | Some(false)) => {
                self.set("Suspended", "True", "JobSuspended", "Job suspended");
                self.plan.happenings.push(Happening::Normal("Suspended", "Job suspended".into()));
            }
            (false, Some(true)) => {
                self.set("Suspended", "False", "JobResumed", "Job resumed");
                self.plan.happenings.push(Happening::Normal("Resumed", "Job resumed".into()));
                // The deadline starts anew.
                self.plan.status.start_time = Some(clock::time(self.now));
            }
            _ => {}
        }
    }

    /// The end that was decided on and that waits for the last pods.
    fn target(&self) -> Option<JobCondition> {
        let conditions = self.plan.status.conditions.iter().flatten();
        conditions
            .filter(|c| c.status == "True")
            .find(|c| c.type_ == "FailureTarget" || c.type_ == "SuccessCriteriaMet")
            .cloned()
    }

    /// Decides whether the Job is over.
    fn judge(
        &mut self,
        controlled: &[Arc<Pod>],
        active: &[Arc<Pod>],
        (good, bad, failed_indexes): (i32, i32, i32),
        completed: &BTreeSet<i32>,
    ) {
        let hopeless = controlled.iter().find_map(|pod| match verdict(self.spec, pod) {
            Verdict::FailJob(message) => Some(message),
            _ => None,
        });
        if let Some(message) = hopeless {
            return self.set("FailureTarget", "True", "PodFailurePolicy", &message);
        }
        if let Some(rule) = policy::success(self.spec, completed) {
            let message = format!("Matched rules at index {rule}");
            return self.set("SuccessCriteriaMet", "True", "SuccessPolicy", &message);
        }
        if self.spec.max_failed_indexes.is_some_and(|most| failed_indexes > most) {
            let message = "Job has exceeded the specified maximal number of failed indexes";
            return self.set("FailureTarget", "True", "MaxFailedIndexesExceeded", message);
        }
        let limit = self.spec.backoff_limit.unwrap_or(6);
        if bad > limit || restarts_too_often(self.spec, active, limit) {
            let message = "Job has reached the specified backoff limit";
            return self.set("FailureTarget", "True", "BackoffLimitExceeded", message);
        }
        if let Some((seconds, start)) =
            self.spec.active_deadline_seconds.zip(self.plan.status.start_time.clone())
            && self.spec.suspend != Some(true)
        {
            let end = clock::after(start.0, seconds);
            if end <= self.now {
                let message = "Job was active longer than specified deadline";
                return self.set("FailureTarget", "True", "DeadlineExceeded", message);
            }
            self.wake(end);
        }
        if failed_indexes > 0 && self.spec.completions.is_some_and(|all| good + failed_indexes >= all) {
            return self.set("FailureTarget", "True", "FailedIndexes", "Job has failed indexes");
        }
        let complete = match self.spec.completions {
            Some(completions) => good >= completions,
            None => good > 0,
        };
        // What runs beyond need is dropped first, without counting as failed.
        if complete && active.is_empty() && self.spec.suspend != Some(true) {
            let message = "Reached expected number of succeeded pods";
            self.set("SuccessCriteriaMet", "True", "CompletionsReached", message);
        }
    }

    fn finish(&mut self, target: JobCondition) {
        let reason = target.reason.unwrap_or_default();
        let message = target.message.unwrap_or_default();
        if target.type_ == "FailureTarget" {
            self.set("Failed", "True", &reason, &message);
            const REASONS: [&str; 4] =
                ["DeadlineExceeded", "PodFailurePolicy", "MaxFailedIndexesExceeded", "FailedIndexes"];
            let event = REASONS.into_iter().find(|known| reason == *known).unwrap_or("BackoffLimitExceeded");
            self.plan.happenings.push(Happening::Warning(event, message));
        } else {
            self.set("Complete", "True", &reason, &message);
            self.plan.status.completion_time = Some(clock::time(self.now));
            self.plan.happenings.push(Happening::Normal("Completed", "Job completed".into()));
        }
        let ttl = self.spec.ttl_seconds_after_finished.map(|s| clock::after(self.now, i64::from(s)));
        self.plan.again = ttl.map(|end| clock::until(end, self.now));
        debug_assert!(!finished::is_finished(self.job));
    }
}

/// With `restartPolicy: OnFailure` it is the containers' restarts that count.
fn restarts_too_often(spec: &JobSpec, active: &[Arc<Pod>], limit: i32) -> bool {
    let policy = spec.template.spec.as_ref().and_then(|s| s.restart_policy.as_deref());
    if policy != Some("OnFailure") {
        return false;
    }
    let total: i32 = active
        .iter()
        .flat_map(|p| p.status.iter())
        .flat_map(|s| s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()))
        .map(|c| c.restart_count)
        .sum();
    if limit == 0 { total > 0 } else { total >= limit }
}

/// Until when no new pod is made, after failures without a success since.
fn pause(controlled: &[Arc<Pod>]) -> Option<Timestamp> {
    let of =
        |phase: &'static str| controlled.iter().filter(move |p| pods::phase(p) == phase).map(|p| ended(p));
    let success = of("Succeeded").max().unwrap_or(Timestamp::MIN);
    let failures: Vec<Timestamp> = of("Failed").filter(|at| *at > success).collect();
    let last = failures.iter().max()?;
    Some(after_failures(*last, i32::try_from(failures.len()).unwrap_or(i32::MAX)))
}

/// When it is tried again after so many failures, at least one, the last of them then.
fn after_failures(last: Timestamp, failures: i32) -> Timestamp {
    let doublings = failures.saturating_sub(1).clamp(0, 16);
    clock::after(last, (FIRST_PAUSE << doublings).min(LAST_PAUSE))
}

/// When a pod ended: when its last container did, or as near as can be told.
pub(super) fn ended(pod: &Pod) -> Timestamp {
    let statuses = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten());
    let containers = statuses.filter_map(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref());
    let ready = pods::condition(pod, "Ready").and_then(|c| c.last_transition_time.as_ref());
    containers.max_by_key(|t| t.0).or(ready).map_or_else(|| pods::created(pod), |t| t.0)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
