//! CronJob: Jobs at given times.

mod plan;
mod schedule;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::batch::v1::CronJob;
use kube::ResourceExt;

use crate::cache::Key;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::dependents;
use crate::error::Error;
use crate::owners;
use crate::queue::Queue;
use crate::writer::Writer;

use plan::{Note, plan};

pub(crate) struct CronJobs {
    writer: Writer,
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.cron_jobs.observe(move |_, after| {
        if let Some(cron_job) = after {
            wake.add(Key::of(cron_job));
        }
    });
    let wake = queue.clone();
    cluster.jobs.observe(move |before, after| {
        if let Some(owner) = after.or(before).and_then(dependents::owner_key::<CronJob, _>) {
            wake.add(owner);
        }
    });
    let controller = CronJobs { writer: Writer::new(cluster, CronJobs::NAME) };
    controller::run(cluster, tasks, &queue, controller, 2);
}

impl Reconcile for CronJobs {
    const NAME: &'static str = "cronjob-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let Some(cron_job) = cluster.cron_jobs.get(key) else { return Ok(None) };
        let jobs = cluster.jobs.list(&key.namespace);
        let jobs: Vec<_> = jobs.into_iter().filter(|j| owners::controls(&*cron_job, &**j)).collect();
        let mut plan = plan(&cron_job, &jobs, cluster.clock.now());
        for job in &plan.delete {
            self.writer.delete(&**job).await?;
            self.writer.event(&*cron_job, "SuccessfulDelete", format!("Deleted job {}", job.name_any()));
        }
        if let Some(job) = &plan.create {
            match self.writer.create(&**job).await {
                Ok(made) => {
                    let name = made.name_any();
                    self.writer.event(&*cron_job, "SuccessfulCreate", format!("Created job {name}"));
                    plan.status.active.get_or_insert_default().push(plan::reference(&made));
                }
                // Made before a restart: the time has been served.
                Err(error) if error.is_already_exists() => {}
                Err(error) => {
                    if !error.is_namespace_terminating() {
                        let message = format!("Error creating job: {}", error.sentence());
                        self.writer.warning(&*cron_job, "FailedCreate", message);
                    }
                    return Err(error);
                }
            }
        }
        if cron_job.status.as_ref() != Some(&plan.status) {
            let next = CronJob { status: Some(plan.status), ..(*cron_job).clone() };
            self.writer.replace_status(&next).await?;
        }
        for note in plan.notes {
            match note {
                Note::Normal(reason, message) => self.writer.event(&*cron_job, reason, message),
                Note::Warning(reason, message) => self.writer.warning(&*cron_job, reason, message),
            }
        }
        Ok(plan.again)
    }
}
