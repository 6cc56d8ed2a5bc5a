//! What the state machine asks for, done; and what is done on the way to a container's end.

use super::{EVICTED, Input, Worker};
use crate::image::remove_tree;
use crate::kubelet::prepare::create_sandbox;
use crate::kubelet::pull::pull;
use crate::kubelet::run::ContainerRun;
use crate::kubelet::state::{Action, Ending};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::LifecycleHandler;
use std::time::Duration;

impl Worker {
    /// Ends a container that is to be started again.
    pub(super) fn stop(&mut self, index: usize, grace: Option<u64>, message: String) {
        let default = self.pod.spec.as_ref().and_then(|s| s.termination_grace_period_seconds);
        self.state.set_grace(default.and_then(|g| u64::try_from(g).ok()).unwrap_or(30));
        if let Some(Action::Stop(index, grace)) = self.state.stop(index, grace) {
            self.event(Some(index), false, "Killing", message);
            self.stop_process(index, grace);
        }
    }

    pub(super) async fn perform(&mut self, action: Action) {
        match action {
            Action::PrepareVolumes => {
                let (shared, pod, folder, facts) =
                    (self.shared.clone(), self.pod.clone(), self.folders.volumes(), self.facts());
                let inputs = self.inputs.clone();
                self.tasks.spawn(async move {
                    let result = shared.volumes.prepare(&pod, &folder, facts, false).await;
                    let _ = inputs.send(Input::Volumes(result));
                });
            }
            Action::CreateSandbox => {
                let create = create_sandbox(
                    self.shared.clone(),
                    self.pod.clone(),
                    self.key.clone(),
                    self.folders.clone(),
                    self.volumes.memory.clone(),
                );
                let inputs = self.inputs.clone();
                self.tasks.spawn(async move {
                    let _ = inputs.send(Input::Sandbox(create.await));
                });
            }
            Action::Pull(index) => self.pull(index),
            Action::Start(index) => self.start(index),
            Action::Stop(index, grace) => {
                let name = self.state.containers[index].name.clone();
                self.event(Some(index), false, "Killing", format!("Stopping container {name}"));
                self.stop_process(index, grace);
            }
            Action::EndSandbox => {
                if let Some(sandbox) = self.sandbox.clone() {
                    self.tasks.spawn(async move { sandbox.end().await });
                } else {
                    self.state.sandbox_ended(Timestamp::now());
                }
            }
            Action::Remove => self.remove().await,
        }
    }

    fn pull(&mut self, index: usize) {
        let Some(container) = self.container(index).cloned() else { return };
        let (shared, pod, inputs) = (self.shared.clone(), self.pod.clone(), self.inputs.clone());
        self.tasks.spawn(async move {
            let result = pull(&shared, &pod, &container).await;
            let _ = inputs.send(Input::Image(index, result));
        });
    }

    fn start(&mut self, index: usize) {
        let now = Timestamp::now();
        if self.images.get(&index).is_some_and(|image| image.layers.iter().any(|layer| !layer.exists())) {
            self.images.remove(&index);
            self.state.image_lost(index);
            return;
        }
        let (Some(container), Some(sandbox), Some(image)) =
            (self.container(index).cloned(), self.sandbox.clone(), self.images.get(&index).cloned())
        else {
            self.state.refused(index, "CreateContainerError", "the pod's sandbox has ended".to_owned(), now);
            return;
        };
        let run = ContainerRun {
            shared: self.shared.clone(),
            pod: self.pod.clone(),
            key: self.key.clone(),
            folders: self.folders.clone(),
            volumes: self.volumes.clone(),
            facts: self.facts(),
            container,
            image,
            sandbox,
            run: self.state.containers[index].restarts,
            processes_of: self.target(index),
        };
        let inputs = self.inputs.clone();
        self.tasks.spawn(async move { run.run(index, inputs).await });
    }

    /// The container whose processes an ephemeral one sees (`kubectl debug --target`).
    fn target(&self, index: usize) -> Option<String> {
        let name = &self.container(index)?.name;
        let mut ephemeral = self.pod.spec.as_ref()?.ephemeral_containers.iter().flatten();
        ephemeral.find(|c| c.name == *name)?.target_container_name.clone().filter(|name| !name.is_empty())
    }

    pub(super) fn start_probes(&mut self, index: usize, run: i32) {
        let (Some(container), Some(running), Some(sandbox)) =
            (self.container(index).cloned(), self.running.get(&index), self.sandbox.as_ref())
        else {
            return;
        };
        let process = running.process.clone();
        let probes = crate::kubelet::run::probes(
            self.shared.clone(),
            self.pod.clone(),
            self.key.clone(),
            container,
            sandbox.clone(),
            process,
            (index, run, self.inputs.clone()),
        );
        let handle = self.tasks.spawn(probes);
        if let Some(running) = self.running.get_mut(&index) {
            running.probes = Some(handle);
        }
    }

    pub(super) fn hook(
        &self,
        index: usize,
        hook: LifecycleHandler,
    ) -> Option<impl Future<Output = Result<(), String>> + Send + use<>> {
        let (container, running, sandbox) =
            (self.container(index)?.clone(), self.running.get(&index)?, self.sandbox.clone()?);
        let process = running.process.clone();
        let (shared, key) = (self.shared.clone(), self.key.clone());
        Some(
            async move { crate::kubelet::run::hook(&shared, &key, &container, &sandbox, &process, &hook).await },
        )
    }

    /// Hook, signal, patience, kill.
    pub(super) fn stop_process(&mut self, index: usize, grace: u64) {
        let Some(running) = self.running.get_mut(&index) else { return };
        if let Some(probes) = running.probes.take() {
            probes.abort();
        }
        let process = running.process.clone();
        let signal = self.images.get(&index).and_then(|i| i.config.stop_signal.as_deref()).map_or(
            libc::SIGTERM,
            |name| {
                let named = name.parse::<nix::sys::signal::Signal>().map(|s| s as i32);
                named.ok().or_else(|| name.parse().ok()).unwrap_or(libc::SIGTERM)
            },
        );
        let lifecycle = self.container(index).and_then(|c| c.lifecycle.as_ref());
        let pre_stop = lifecycle.and_then(|l| l.pre_stop.clone());
        let hook = pre_stop.and_then(|hook| self.hook(index, hook));
        let (shared, pod) = (self.shared.clone(), self.pod.clone());
        let name = self.state.containers[index].name.clone();
        self.tasks.spawn(async move {
            let deadline = tokio::time::Instant::now() + Duration::from_secs(grace);
            if let Some(hook) = hook.filter(|_| grace > 0) {
                match tokio::time::timeout_at(deadline, hook).await {
                    Ok(Ok(())) => {}
                    Ok(Err(problem)) => {
                        let message = format!("PreStopHook failed: {problem}");
                        shared.events.pod(&pod, Some(&name), true, "FailedPreStopHook", message);
                    }
                    Err(_) => {
                        let message = format!("PreStopHook did not end within {grace} s");
                        shared.events.pod(&pod, Some(&name), true, "FailedPreStopHook", message);
                    }
                }
            }
            if grace > 0 {
                process.signal(signal);
                // A hook that took all the time leaves a little for the program, as the kubelet does.
                let deadline = deadline.max(tokio::time::Instant::now() + Duration::from_secs(2.min(grace)));
                if tokio::time::timeout_at(deadline, process.wait()).await.is_ok() {
                    return;
                }
            }
            process.signal(libc::SIGKILL);
        });
    }

    /// What an evicted pod has written is the reason for its end: it does not stay until the pod is deleted.
    pub(super) fn make_room(&mut self) {
        let is_evicted =
            matches!(&self.state.ending, Some(Ending::Failed { reason, .. }) if reason == EVICTED);
        if is_evicted {
            let volumes = self.folders.volumes();
            self.tasks.spawn_blocking(move || {
                if let Err(e) = remove_tree(&volumes) {
                    tracing::warn!(error = %e, "an evicted pod's volumes could not be removed");
                }
            });
        }
    }

    pub(super) fn refresh_volumes(&mut self) {
        if self.sandbox.is_none() || self.state.ending.is_some() {
            return;
        }
        let (shared, pod, folder, facts) =
            (self.shared.clone(), self.pod.clone(), self.folders.volumes(), self.facts());
        self.tasks.spawn(async move {
            if let Err(e) = shared.volumes.prepare(&pod, &folder, facts, true).await {
                shared.events.pod(&pod, None, true, "FailedMount", format!("MountVolume.SetUp failed: {e}"));
            }
        });
    }
}
