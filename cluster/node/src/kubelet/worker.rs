//! One pod's worker: does what the state machine asks, tells it what happened, and writes the pod's status.

mod perform;

use super::container::{PodFolders, unsupported, why_host_users};
use super::environment::PodFacts;
use super::host_ports;
use super::probe::ProbeKind;
use super::report::API_RETRY;
use super::run::Outcome;
use super::shared::{PodKey, Shared};
use super::state::{Ended, PodState, Run, ephemeral_containers};
use super::status::REJECTED;
use super::volumes::PodVolumes;
use crate::error::{Error, Result};
use crate::image::{Image, remove_tree};
use crate::sandbox::{Process, Sandbox};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod, PodStatus};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Content of the API in volumes is looked at again so often.
const REFRESH: Duration = Duration::from_secs(60);

/// Why a pod is ended that used too much of the disk.
const EVICTED: &str = "Evicted";

fn containers(pod: &Pod) -> Vec<Container> {
    let spec = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
    spec.cloned().chain(ephemeral_containers(pod)).collect()
}

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Input {
    /// The pod as the API has it now.
    Pod(Arc<Pod>),
    /// The API does not have it any more.
    Gone,
    Volumes(Result<PodVolumes, Error>),
    Sandbox(Result<Sandbox, Error>),
    SandboxEnded(u64),
    Image(usize, Result<Image, Error>),
    Started(usize, i32, String, Process),
    NotStarted(usize, Error),
    HookDone(usize, i32, Result<(), String>),
    Probed(usize, i32, ProbeKind, bool),
    Exited(usize, i32, Outcome),
    /// It uses more of the disk than it may, as the message says.
    Evict(String),
}

pub(crate) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) pod: Arc<Pod>,
    /// All of its containers, in the order of the state's.
    containers: Vec<Container>,
    pub(super) key: PodKey,
    pub(super) folders: PodFolders,
    pub(super) state: PodState,
    inputs: mpsc::UnboundedSender<Input>,
    /// Everything that was started for the pod; ends with the worker.
    tasks: JoinSet<()>,
    volumes: PodVolumes,
    sandbox: Option<Sandbox>,
    /// Sandboxes so far: tells an old one's end from the current one's.
    generation: u64,
    images: HashMap<usize, Image>,
    pub(super) running: HashMap<usize, Running>,
    pub(super) written: Option<PodStatus>,
    pub(super) gone: bool,
    /// It was over before this worker; its status is not ours to change.
    pub(super) was_over: bool,
    pub(super) removed: bool,
}

pub(super) struct Running {
    process: Process,
    run: i32,
    probes: Option<tokio::task::AbortHandle>,
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(probes) = &self.probes {
            probes.abort();
        }
    }
}

impl Worker {
    /// Starts a worker for a pod; what it is told comes from both ends of `inputs`.
    pub(crate) fn spawn(
        shared: Arc<Shared>,
        pod: Arc<Pod>,
        key: PodKey,
        (inputs, queue): (mpsc::UnboundedSender<Input>, mpsc::UnboundedReceiver<Input>),
    ) {
        let tasks = shared.tasks.clone();
        let worker = async move {
            let now = Timestamp::now();
            let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
            let was_over = matches!(phase, Some("Succeeded" | "Failed"));
            let mut state = PodState::new(&pod, shared.options.backoff(), now);
            if let Some(problem) = unsupported(&pod) {
                if !was_over {
                    shared.events.pod(&pod, None, true, REJECTED, problem.clone());
                }
                state.fail(REJECTED, problem);
            }
            let worker = Self {
                folders: PodFolders { root: shared.pods_folder().join(&key.uid) },
                shared,
                containers: containers(&pod),
                pod,
                key,
                state,
                inputs,
                tasks: JoinSet::new(),
                volumes: PodVolumes::default(),
                sandbox: None,
                generation: 0,
                images: HashMap::new(),
                running: HashMap::new(),
                written: None,
                gone: false,
                was_over,
                removed: false,
            };
            worker.run(queue).await;
        };
        tasks.lock().spawn(worker);
    }

    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Input>) {
        // What an earlier life of the node left: containers are made anew, volumes stay.
        if let Err(e) = remove_tree(&self.folders.root.join("containers")) {
            tracing::warn!(error = %e, "an old container's folder could not be removed");
        }
        self.take_deletion();
        let mut refresh = tokio::time::Instant::now() + REFRESH;
        loop {
            let now = Timestamp::now();
            for action in self.state.step(now) {
                self.perform(action).await;
            }
            if self.removed {
                break;
            }
            let written = self.write_status(now).await;
            let mut wake = refresh;
            if let Some(at) = self.state.wake_at() {
                let wait = Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO);
                wake = wake.min(tokio::time::Instant::now() + wait.max(Duration::from_millis(5)));
            }
            if !written {
                wake = wake.min(tokio::time::Instant::now() + API_RETRY);
            }
            tokio::select! {
                input = queue.recv() => {
                    let Some(input) = input else { break };
                    self.take(input);
                    while let Ok(input) = queue.try_recv() {
                        self.take(input);
                    }
                }
                () = tokio::time::sleep_until(wake) => {}
            }
            while self.tasks.try_join_next().is_some() {}
            if tokio::time::Instant::now() >= refresh {
                refresh = tokio::time::Instant::now() + REFRESH;
                self.refresh_volumes();
            }
        }
        self.shared.forget(&self.key);
    }

    fn container(&self, index: usize) -> Option<&Container> {
        self.containers.get(index)
    }

    fn facts(&self) -> PodFacts {
        PodFacts { host: self.shared.address, address: self.state.address }
    }

    fn event(&self, index: Option<usize>, warning: bool, reason: &str, message: String) {
        let container = index.and_then(|i| self.container(i)).map(|c| c.name.as_str());
        self.shared.events.pod(&self.pod, container, warning, reason, message);
    }

    fn take_deletion(&mut self) {
        if self.pod.metadata.deletion_timestamp.is_none() {
            return;
        }
        let grace =
            self.pod.metadata.deletion_grace_period_seconds.and_then(|g| u64::try_from(g).ok()).unwrap_or(30);
        self.state.delete(grace);
        // Asked again with less patience.
        for (index, running) in &self.running {
            if matches!(self.state.containers[*index].run, Run::Running { stopping: true, .. }) {
                let process = running.process.clone();
                self.shared.tasks.lock().spawn(async move {
                    tokio::time::sleep(Duration::from_secs(grace)).await;
                    process.signal(libc::SIGKILL);
                });
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = Timestamp::now();
        match input {
            Input::Pod(pod) => {
                let grace = |p: &Pod| {
                    (p.metadata.deletion_timestamp.clone(), p.metadata.deletion_grace_period_seconds)
                };
                let changed = grace(&pod) != grace(&self.pod);
                self.pod = pod;
                self.containers = containers(&self.pod);
                self.state.add_ephemeral(&self.pod, now);
                if changed {
                    self.take_deletion();
                }
            }
            Input::Gone => {
                self.gone = true;
                self.state.delete(1);
            }
            Input::Volumes(Ok(volumes)) => {
                self.volumes = volumes;
                self.state.volumes(Ok(()), now);
            }
            Input::Volumes(Err(e)) => {
                let message = format!("MountVolume.SetUp failed: {e}");
                self.event(None, true, "FailedMount", message.clone());
                self.state.volumes(Err(message), now);
            }
            Input::Sandbox(Ok(sandbox)) => {
                self.generation += 1;
                let (generation, inputs, ended) = (self.generation, self.inputs.clone(), sandbox.clone());
                self.tasks.spawn(async move {
                    ended.ended().await;
                    let _ = inputs.send(Input::SandboxEnded(generation));
                });
                if let (false, Some(why)) = (sandbox.has_own_users(), why_host_users(&self.pod)) {
                    let message = format!("The pod's users are the host's: {why}.");
                    self.event(None, true, "HostUsers", message);
                }
                self.tasks.spawn(host_ports::serve(self.shared.clone(), self.pod.clone(), sandbox.clone()));
                self.state.sandbox(Ok(sandbox.address()), now);
                self.shared.settle(&self.key, Some(sandbox.clone()));
                self.sandbox = Some(sandbox);
            }
            Input::Sandbox(Err(e)) => {
                let message = format!("Failed to create pod sandbox: {e}");
                self.event(None, true, "FailedCreatePodSandBox", message.clone());
                self.state.sandbox(Err(message), now);
            }
            Input::SandboxEnded(generation) if generation == self.generation && self.sandbox.is_some() => {
                self.sandbox = None;
                self.shared.settle(&self.key, None);
                self.running.clear();
                if self.state.ending.is_none() && !self.state.is_over() {
                    self.event(
                        None,
                        false,
                        "SandboxChanged",
                        "Pod sandbox changed, it will be killed and re-created.".to_owned(),
                    );
                }
                self.state.sandbox_ended(now);
                self.make_room();
            }
            Input::SandboxEnded(_) => {}
            Input::Image(index, result) => self.take_image(index, result, now),
            Input::Started(index, run, id, process) => self.take_started(index, run, id, process, now),
            Input::NotStarted(index, error) => self.take_not_started(index, error, now),
            Input::Evict(message) => {
                if self.state.ending.is_none() && !self.state.is_over() {
                    self.event(None, true, EVICTED, message.clone());
                    self.state.fail(EVICTED, message);
                    self.state.set_grace(0);
                }
            }
            Input::HookDone(index, run, result) => self.take_hook(index, run, result),
            Input::Probed(index, run, kind, passed) => self.take_probe(index, run, kind, passed),
            Input::Exited(index, run, outcome) => {
                if self.running.get(&index).is_some_and(|r| r.run == run) {
                    self.running.remove(&index);
                    self.take_exit(index, outcome, now);
                }
            }
        }
    }

    fn take_image(&mut self, index: usize, result: Result<Image, Error>, now: Timestamp) {
        match result {
            Ok(image) => {
                self.state.image(index, Ok(image.id.clone()), now);
                self.images.insert(index, image);
            }
            Err(e) => {
                let name = self.state.containers[index].image_name.clone();
                let reason = match &e {
                    Error::Reference { .. } => "InvalidImageName",
                    Error::NeverPull { .. } => "ErrImageNeverPull",
                    _ => "ErrImagePull",
                };
                let message = match &e {
                    Error::Reference { .. } => format!("Failed to apply default image tag \"{name}\": {e}"),
                    _ => e.to_string(),
                };
                if reason == "ErrImagePull" {
                    self.event(Some(index), true, "Failed", format!("Failed to pull image \"{name}\": {e}"));
                    self.event(Some(index), true, "Failed", format!("Error: {reason}"));
                    self.event(Some(index), false, "BackOff", format!("Back-off pulling image \"{name}\""));
                } else if reason == "InvalidImageName" {
                    self.event(Some(index), true, "InspectFailed", message.clone());
                } else {
                    self.event(Some(index), true, "ErrImageNeverPull", message.clone());
                }
                let shown = if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason };
                self.event(Some(index), true, "Failed", format!("Error: {shown}"));
                self.state.image(index, Err((reason, message)), now);
            }
        }
    }

    fn take_started(&mut self, index: usize, run: i32, id: String, process: Process, now: Timestamp) {
        let name = self.state.containers[index].name.clone();
        self.event(Some(index), false, "Created", format!("Container created: {name}"));
        self.event(Some(index), false, "Started", format!("Container started: {name}"));
        self.state.started(index, id, now);
        self.running.insert(index, Running { process, run, probes: None });
        let hook =
            self.container(index).and_then(|c| c.lifecycle.as_ref()).and_then(|l| l.post_start.clone());
        match hook {
            None => self.start_probes(index, run),
            Some(hook) => {
                self.state.containers[index].has_started = false;
                self.state.containers[index].is_ready = false;
                if let (Some(hook), inputs) = (self.hook(index, hook), self.inputs.clone()) {
                    self.tasks.spawn(async move {
                        let _ = inputs.send(Input::HookDone(index, run, hook.await));
                    });
                }
            }
        }
    }

    fn take_hook(&mut self, index: usize, run: i32, result: Result<(), String>) {
        if self.running.get(&index).is_none_or(|r| r.run != run) {
            return;
        }
        match result {
            Ok(()) => {
                if self.container(index).is_some_and(|c| c.startup_probe.is_none()) {
                    self.state.probe_started(index);
                }
                self.start_probes(index, run);
            }
            Err(problem) => {
                self.event(
                    Some(index),
                    true,
                    "FailedPostStartHook",
                    format!("PostStartHook failed: {problem}"),
                );
                self.stop(index, None, "FailedPostStartHook".to_owned());
            }
        }
    }

    fn take_probe(&mut self, index: usize, run: i32, kind: ProbeKind, passed: bool) {
        if self.running.get(&index).is_none_or(|r| r.run != run) {
            return;
        }
        match (kind, passed) {
            (ProbeKind::Startup, true) => self.state.probe_started(index),
            (ProbeKind::Readiness, ready) => self.state.probe_ready(index, ready),
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                let name = self.state.containers[index].name.clone();
                let probe = self.container(index).and_then(|c| match kind {
                    ProbeKind::Startup => c.startup_probe.as_ref(),
                    _ => c.liveness_probe.as_ref(),
                });
                let grace = probe
                    .and_then(|p| p.termination_grace_period_seconds)
                    .and_then(|g| u64::try_from(g).ok());
                let kind = kind.name().to_lowercase();
                self.stop(index, grace, format!("Container {name} failed {kind} probe, will be restarted"));
            }
        }
    }

    fn take_not_started(&mut self, index: usize, error: Error, now: Timestamp) {
        match error {
            Error::Start { problem, .. } => {
                let message = format!("failed to start container: {problem}");
                self.event(Some(index), true, "Failed", format!("Error: {message}"));
                let how = Ended {
                    code: 128,
                    signal: None,
                    reason: "StartError".to_owned(),
                    message: Some(message),
                    started: now,
                    finished: now,
                    container_id: String::new(),
                };
                self.ended(index, how, now);
            }
            error => {
                self.event(Some(index), true, "Failed", format!("Error: {error}"));
                self.state.refused(index, "CreateContainerConfigError", error.to_string(), now);
            }
        }
    }

    fn take_exit(&mut self, index: usize, outcome: Outcome, now: Timestamp) {
        let reason = match (outcome.out_of_memory, outcome.exit.code) {
            (true, code) if code != 0 => "OOMKilled",
            (_, 0) => "Completed",
            _ => "Error",
        };
        let how = Ended {
            code: outcome.exit.code,
            signal: None,
            reason: reason.to_owned(),
            message: outcome.message,
            started: now,
            finished: now,
            container_id: String::new(),
        };
        self.ended(index, how, now);
    }

    fn ended(&mut self, index: usize, how: Ended, now: Timestamp) {
        self.state.exited(index, how, now);
        if let Run::Ended { retry: Some(retry), .. } = &self.state.containers[index].run
            && *retry > now
        {
            let metadata = &self.pod.metadata;
            let message = format!(
                "Back-off restarting failed container {} in pod {}_{}({})",
                self.state.containers[index].name,
                metadata.name.as_deref().unwrap_or_default(),
                metadata.namespace.as_deref().unwrap_or_default(),
                self.key.uid
            );
            self.event(Some(index), true, "BackOff", message);
        }
    }
}
