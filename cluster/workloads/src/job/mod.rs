//! Job: pods that end, counted exactly once.

pub(crate) mod finished;
mod indexes;
mod plan;
mod policy;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod};
use kube::ResourceExt;
use serde_json::json;

use crate::cache::Key;
use crate::cluster::Cluster;
use crate::controller::{self, Reconcile, Tasks};
use crate::dependents;
use crate::error::Error;
use crate::owners;
use crate::queue::Queue;
use crate::template;
use crate::writer::Writer;

use plan::{Happening, New, plan};

/// Holds a pod until its end has been counted.
pub(crate) const FINALIZER: &str = "batch.kubernetes.io/job-tracking";
const INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// Jobs that name another controller are left to it.
const OURSELVES: &str = "kubernetes.io/job-controller";

pub(crate) struct Jobs {
    writer: Writer,
}

pub(crate) fn start(cluster: &Arc<Cluster>, tasks: &mut Tasks) {
    let queue = Arc::new(Queue::default());
    let wake = queue.clone();
    cluster.jobs.observe(move |before, after| {
        // Also when it is gone: its pods are held by us.
        if let Some(job) = after.or(before) {
            wake.add(Key::of(job));
        }
    });
    dependents::wake_owners::<Job, Pod>(cluster, &queue, |job| {
        job.spec.as_ref().and_then(|s| s.selector.as_ref())
    });
    let controller = Jobs { writer: Writer::new(cluster, Jobs::NAME) };
    controller::run(cluster, tasks, &queue, controller, 4);
}

impl Reconcile for Jobs {
    const NAME: &'static str = "job-controller";

    async fn reconcile(&self, key: &Key) -> Result<Option<Duration>, Error> {
        let cluster = &self.writer.cluster;
        let all = cluster.pods.list(&key.namespace);
        let job = cluster.jobs.get(key);
        // Pods of a Job that is gone, or was another one of the same name, are counted by nobody.
        let uid = job.as_ref().and_then(|j| j.uid());
        let strays = all.iter().filter(|p| {
            is_held(p)
                && dependents::owner_key::<Job, Pod>(p).as_ref() == Some(key)
                && owners::controller_of(&***p).map(|r| &r.uid) != uid.as_ref()
        });
        for stray in strays {
            self.release(stray).await?;
        }
        let Some(job) = job else { return Ok(None) };
        let Some(spec) = &job.spec else { return Ok(None) };
        if spec.managed_by.as_deref().is_some_and(|name| name != OURSELVES) {
            return Ok(None);
        }
        let selector = owners::selector(spec.selector.as_ref());
        let pods = if finished::is_finished(&job) || job.metadata.deletion_timestamp.is_some() {
            all.into_iter().filter(|p| owners::controls(&*job, &**p)).collect()
        } else {
            owners::settle(&self.writer, &*job, owners::claim(&*job, &selector, all)).await?
        };
        let plan = plan(&job, &pods, cluster.clock.now());
        if plan.expired {
            self.writer.delete(&*job).await?;
            return Ok(None);
        }
        // The count is stored before the counted pods are let go.
        if job.status.as_ref() != Some(&plan.status) {
            let next = Job { status: Some(plan.status), ..(*job).clone() };
            self.writer.replace_status(&next).await?;
        }
        for happening in plan.happenings {
            match happening {
                Happening::Normal(reason, message) => self.writer.event(&*job, reason, message),
                Happening::Warning(reason, message) => self.writer.warning(&*job, reason, message),
            }
        }
        for pod in &plan.release {
            self.release(pod).await?;
        }
        for pod in &plan.delete {
            self.writer.delete(&**pod).await?;
            self.writer.event(&*job, "SuccessfulDelete", format!("Deleted pod: {}", pod.name_any()));
        }
        self.create(&job, &plan.create).await?;
        Ok(plan.again)
    }
}

pub(crate) fn is_held(pod: &Pod) -> bool {
    pod.finalizers().iter().any(|f| f == FINALIZER)
}

impl Jobs {
    /// Takes our finalizer off.
    async fn release(&self, pod: &Arc<Pod>) -> Result<(), Error> {
        if !is_held(pod) {
            return Ok(());
        }
        let rest: Vec<_> = pod.finalizers().iter().filter(|f| *f != FINALIZER).collect();
        match self.writer.patch(&**pod, json!({"metadata": {"finalizers": rest}})).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    async fn create(&self, job: &Arc<Job>, new: &[New]) -> Result<(), Error> {
        // Growing batches: when the API refuses, it refuses few.
        let (mut rest, mut size) = (new, 1);
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            let made =
                join_all(batch.iter().map(async |new| self.writer.create(&pod(job, *new)).await)).await;
            for result in made {
                match result {
                    Ok(pod) => self.writer.event(
                        &**job,
                        "SuccessfulCreate",
                        format!("Created pod: {}", pod.name_any()),
                    ),
                    Err(error) => {
                        if !error.is_namespace_terminating() {
                            let message = format!("Error creating: {}", error.sentence());
                            self.writer.warning(&**job, "FailedCreate", message);
                        }
                        return Err(error);
                    }
                }
            }
            (rest, size) = (later, size * 2);
        }
        Ok(())
    }
}

fn pod(job: &Job, new: New) -> Pod {
    let name = job.name_any();
    let shape = job.spec.as_ref().map(|s| s.template.clone()).unwrap_or_default();
    let namespace = job.namespace().unwrap_or_default();
    let mut pod = template::pod(&shape, &namespace, owners::controller_ref(job));
    pod.metadata.finalizers.get_or_insert_default().push(FINALIZER.into());
    match new {
        New::Any => pod.metadata.generate_name = Some(template::prefix(&name)),
        New::Index(index) | New::Counted { index, .. } => {
            pod.metadata.generate_name = Some(template::prefix(&format!("{name}-{index}")));
            let text = index.to_string();
            pod.metadata.annotations.get_or_insert_default().insert(INDEX.into(), text.clone());
            pod.metadata.labels.get_or_insert_default().insert(INDEX.into(), text);
            if let New::Counted { failures, .. } = new {
                let annotations = pod.metadata.annotations.get_or_insert_default();
                annotations.insert(policy::FAILURES.into(), failures.to_string());
            }
            if let Some(spec) = &mut pod.spec {
                spec.hostname = Some(format!("{name}-{index}"));
                let containers = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
                for container in containers {
                    tell_index(container.env.get_or_insert_default());
                }
            }
        }
    }
    pod
}

/// The variable by which a container learns its index.
fn tell_index(environment: &mut Vec<EnvVar>) {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    if environment.iter().any(|v| v.name == NAME) {
        return;
    }
    let field = ObjectFieldSelector {
        field_path: format!("metadata.labels['{INDEX}']"),
        ..ObjectFieldSelector::default()
    };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    environment.push(EnvVar { name: NAME.into(), value: None, value_from: Some(source) });
}
