//! What a pod needs next: the pod's life as a state machine without effects.
//!
//! The worker tells it what happened ([`PodState`]'s methods), asks [`PodState::step`] what to do, and does that. Time
//! comes in as an argument. What Kubernetes shows of the state is made in [`super::status`].

mod container;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Container, Pod};
use std::time::Duration;

/// How long to wait before trying again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackOff {
    /// After the first failure that is waited for.
    pub(crate) first: Duration,
    /// At most.
    pub(crate) longest: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { first: Duration::from_secs(10), longest: Duration::from_secs(300) }
    }
}

impl BackOff {
    fn next(self, current: Duration) -> Duration {
        if current.is_zero() { self.first } else { (current * 2).min(self.longest) }
    }
}

/// What the worker is asked to do. It reports the outcome of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Make the volumes' folders; then [`PodState::volumes`].
    PrepareVolumes,
    /// Make the pod's namespaces; then [`PodState::sandbox`].
    CreateSandbox,
    /// Fetch a container's image; then [`PodState::image`].
    Pull(usize),
    /// Start a container; then [`PodState::started`], later [`PodState::exited`].
    Start(usize),
    /// End a running container, with this many seconds for it to do so itself.
    Stop(usize, u64),
    /// End the pod's namespaces; then [`PodState::sandbox_ended`].
    EndSandbox,
    /// All is over and the API wants the pod gone.
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// Declared among the init containers, runs beside the others (`restartPolicy: Always`).
    Sidecar,
    Main,
    /// Added to a pod that runs, by somebody who looks at it. It counts for nothing.
    Ephemeral,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageState {
    Needed,
    Pulling,
    Ready {
        id: String,
    },
    /// Kubernetes' reason, such as `ErrImagePull`.
    Failed {
        reason: &'static str,
        message: String,
        at: Timestamp,
        retry: Timestamp,
    },
}

/// How a container's last run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, …
    pub(crate) reason: String,
    pub(crate) message: Option<String>,
    pub(crate) started: Timestamp,
    pub(crate) finished: Timestamp,
    pub(crate) container_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Waiting,
    Starting,
    /// The start failed for a reason of configuration; tried again.
    Refused {
        reason: &'static str,
        message: String,
        retry: Timestamp,
    },
    Running {
        since: Timestamp,
        container_id: String,
        stopping: bool,
    },
    /// Ended, perhaps to be started again at `retry`.
    Ended {
        how: Ended,
        retry: Option<Timestamp>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct ContainerState {
    pub(crate) name: String,
    pub(crate) image_name: String,
    pub(crate) kind: Kind,
    pub(crate) image: ImageState,
    pub(crate) run: Run,
    pub(crate) restarts: i32,
    pub(crate) last: Option<Ended>,
    /// Startup probe passed (or there is none), start hook done.
    pub(crate) has_started: bool,
    pub(crate) is_ready: bool,
    has_startup_probe: bool,
    has_readiness_probe: bool,
    /// Wait before the next restart.
    delay: Duration,
    pull_delay: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Needed,
    Busy,
    Done,
    Failed { message: String, retry: Timestamp },
}

/// Why a pod is being ended before its containers ended by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The API wants it gone.
    Deleted,
    /// `activeDeadlineSeconds` are over, or the node cannot run such a pod.
    Failed { reason: String, message: String },
}

/// A pod's life so far.
#[derive(Clone, Debug)]
pub(crate) struct PodState {
    pub(crate) containers: Vec<ContainerState>,
    pub(crate) volumes: Step,
    pub(crate) sandbox: Step,
    pub(crate) address: Option<std::net::Ipv4Addr>,
    pub(crate) started: Timestamp,
    pub(crate) ending: Option<Ending>,
    grace: u64,
    deadline: Option<Timestamp>,
    restart_policy: RestartPolicy,
    backoff: BackOff,
    removed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

impl PodState {
    /// A pod as the node first sees it. When its status says that it ran before, that was in an earlier life of the
    /// node: its processes are gone, and what is started again counts as restarted.
    pub(crate) fn new(pod: &Pod, backoff: BackOff, now: Timestamp) -> Self {
        let spec = pod.spec.clone().unwrap_or_default();
        let status = pod.status.clone().unwrap_or_default();
        let restart_policy = match spec.restart_policy.as_deref() {
            Some("Never") => RestartPolicy::Never,
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        };
        let before = |name: &str| {
            let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
            let all = all.chain(status.ephemeral_container_statuses.iter().flatten());
            all.clone().find(|s| s.name == name)
        };
        let init = spec.init_containers.iter().flatten().map(|c| {
            let sidecar = c.restart_policy.as_deref() == Some("Always");
            (c, if sidecar { Kind::Sidecar } else { Kind::Init })
        });
        let containers = init.chain(spec.containers.iter().map(|c| (c, Kind::Main)));
        let ephemeral: Vec<Container> = ephemeral_containers(pod).collect();
        let containers = containers.chain(ephemeral.iter().map(|c| (c, Kind::Ephemeral)));
        let started = status.start_time.as_ref().map_or(now, |t| t.0);
        let deadline = spec.active_deadline_seconds.map(|s| started + SignedDuration::from_secs(s));
        let mut state = Self {
            containers: containers
                .map(|(c, kind)| ContainerState::new(c, kind, before(&c.name), now))
                .collect(),
            volumes: Step::Needed,
            sandbox: Step::Needed,
            address: None,
            started,
            ending: None,
            grace: 30,
            deadline,
            restart_policy,
            backoff,
            removed: false,
        };
        for container in &mut state.containers {
            // What is not started again stays ended as it was.
            let stays = |last: &Ended| match restart_policy {
                RestartPolicy::Always => false,
                RestartPolicy::OnFailure => last.code == 0,
                RestartPolicy::Never => true,
            };
            let stays = |last: &Ended| match container.kind {
                Kind::Main => stays(last),
                kind => kind == Kind::Ephemeral,
            };
            if let Some(last) = container.last.clone().filter(stays) {
                container.run = Run::Ended { how: last, retry: None };
                container.restarts -= 1;
            }
        }
        state
    }

    /// The pod as the API has it now: ephemeral containers may have come.
    pub(crate) fn add_ephemeral(&mut self, pod: &Pod, now: Timestamp) {
        for container in ephemeral_containers(pod) {
            if self.containers.iter().all(|known| known.name != container.name) {
                self.containers.push(ContainerState::new(&container, Kind::Ephemeral, None, now));
            }
        }
    }

    /// What to do now. Asked after everything that happened and at [`PodState::wake_at`].
    pub(crate) fn step(&mut self, now: Timestamp) -> Vec<Action> {
        if self.ending.is_none() && self.deadline.is_some_and(|deadline| now >= deadline) && !self.is_over() {
            self.ending = Some(Ending::Failed {
                reason: "DeadlineExceeded".to_owned(),
                message: "Pod was active on the node longer than the specified deadline".to_owned(),
            });
        }
        if self.ending.is_some() || self.is_over() {
            return self.wind_down();
        }
        if let Some(action) = begin(&mut self.volumes, now, Action::PrepareVolumes) {
            return vec![action];
        }
        if self.volumes != Step::Done {
            return Vec::new();
        }
        if let Some(action) = begin(&mut self.sandbox, now, Action::CreateSandbox) {
            return vec![action];
        }
        if self.sandbox != Step::Done {
            return Vec::new();
        }
        let mut actions = Vec::new();
        for index in 0..self.containers.len() {
            let container = &mut self.containers[index];
            if let Some(action) = container.advance(index, now) {
                actions.push(action);
            }
            // Later containers wait for an init container's end and a sidecar's start.
            let blocks = match container.kind {
                Kind::Init => !matches!(&container.run, Run::Ended { how, retry: None } if how.code == 0),
                Kind::Sidecar => !container.has_started,
                Kind::Main | Kind::Ephemeral => false,
            };
            if blocks {
                break;
            }
        }
        actions
    }

    /// When to step again if nothing happens.
    pub(crate) fn wake_at(&self) -> Option<Timestamp> {
        let step = |step: &Step| match step {
            Step::Failed { retry, .. } => Some(*retry),
            _ => None,
        };
        let containers = self.containers.iter().flat_map(|c| {
            let image = match &c.image {
                ImageState::Failed { retry, at, .. } => Some((*retry).min(backoff_shown(*at, *retry))),
                _ => None,
            };
            let run = match &c.run {
                Run::Refused { retry, .. } | Run::Ended { retry: Some(retry), .. } => Some(*retry),
                _ => None,
            };
            [image, run]
        });
        containers
            .chain([step(&self.volumes), step(&self.sandbox), self.deadline.filter(|_| !self.is_over())])
            .flatten()
            .min()
    }

    /// All containers that count have ended for good.
    pub(crate) fn is_over(&self) -> bool {
        let init_failed = self.containers.iter().any(|c| {
            c.kind == Kind::Init && matches!(&c.run, Run::Ended { how, retry: None } if how.code != 0)
        });
        let mut mains = self.containers.iter().filter(|c| c.kind == Kind::Main).peekable();
        init_failed
            || (mains.peek().is_some() && mains.all(|c| matches!(c.run, Run::Ended { retry: None, .. })))
    }

    /// Nothing runs any more.
    pub(crate) fn is_stopped(&self) -> bool {
        self.containers.iter().all(|c| !matches!(c.run, Run::Running { .. } | Run::Starting))
    }

    /// The API wants the pod gone.
    pub(crate) fn delete(&mut self, grace: u64) {
        self.ending = Some(Ending::Deleted);
        self.grace = grace;
    }

    /// The pod cannot be run, or no longer.
    pub(crate) fn fail(&mut self, reason: &str, message: String) {
        if self.ending.is_none() {
            self.ending = Some(Ending::Failed { reason: reason.to_owned(), message });
        }
    }

    pub(crate) fn set_grace(&mut self, grace: u64) {
        self.grace = grace;
    }

    pub(crate) fn volumes(&mut self, result: Result<(), String>, now: Timestamp) {
        self.volumes = finish(result, now);
    }

    pub(crate) fn sandbox(&mut self, result: Result<std::net::Ipv4Addr, String>, now: Timestamp) {
        self.address = result.as_ref().ok().copied();
        self.sandbox = finish(result.map(drop), now);
    }

    /// The sandbox has ended, as asked or by a fault. After a fault everything begins again.
    pub(crate) fn sandbox_ended(&mut self, now: Timestamp) {
        for index in 0..self.containers.len() {
            if matches!(self.containers[index].run, Run::Running { .. } | Run::Starting) {
                let exit = Ended {
                    code: 137,
                    signal: None,
                    reason: "Error".to_owned(),
                    message: Some("The pod's sandbox has ended".to_owned()),
                    started: now,
                    finished: now,
                    container_id: String::new(),
                };
                self.exited(index, exit, now);
            }
        }
        self.sandbox = Step::Needed;
        if self.ending.is_none() && !self.is_over() {
            self.address = None;
            for container in self.containers.iter_mut().filter(|c| c.kind == Kind::Init) {
                if let Run::Ended { how, .. } = &container.run {
                    container.last = Some(how.clone());
                    container.restarts += 1;
                    container.run = Run::Waiting;
                }
            }
        }
    }

    pub(crate) fn image(
        &mut self,
        index: usize,
        result: Result<String, (&'static str, String)>,
        now: Timestamp,
    ) {
        let container = &mut self.containers[index];
        match result {
            Ok(id) => {
                container.pull_delay = Duration::ZERO;
                container.image = ImageState::Ready { id };
            }
            Err((reason, message)) => {
                container.pull_delay = self.backoff.next(container.pull_delay);
                let retry = now + signed(container.pull_delay);
                container.image = ImageState::Failed { reason, message, at: now, retry };
            }
        }
    }

    /// The image that a container was to be started from is not here any more: it is brought again.
    pub(crate) fn image_lost(&mut self, index: usize) {
        let container = &mut self.containers[index];
        container.image = ImageState::Needed;
        container.run = Run::Waiting;
    }

    /// The program of a container runs.
    pub(crate) fn started(&mut self, index: usize, container_id: String, now: Timestamp) {
        let container = &mut self.containers[index];
        container.run = Run::Running { since: now, container_id, stopping: false };
        container.has_started = !container.has_startup_probe;
        container.is_ready = container.has_started && !container.has_readiness_probe;
    }

    /// A container could not be started because of what the pod says, such as a missing Secret.
    pub(crate) fn refused(&mut self, index: usize, reason: &'static str, message: String, now: Timestamp) {
        let retry = now + signed(self.backoff.first.min(Duration::from_secs(5)));
        self.containers[index].run = Run::Refused { reason, message, retry };
    }

    /// A container has ended.
    pub(crate) fn exited(&mut self, index: usize, mut how: Ended, now: Timestamp) {
        let policy = self.restart_policy;
        let ending = self.ending.is_some();
        let backoff = self.backoff;
        let container = &mut self.containers[index];
        if let Run::Running { since, container_id, .. } = &container.run {
            how.started = *since;
            if how.container_id.is_empty() {
                how.container_id.clone_from(container_id);
            }
        }
        let again = !ending
            && match (container.kind, policy) {
                (Kind::Ephemeral, _) => false,
                (Kind::Sidecar, _) => !self.is_over(),
                (_, RestartPolicy::Never) => false,
                (Kind::Main, RestartPolicy::Always) => true,
                (Kind::Init, _) | (Kind::Main, RestartPolicy::OnFailure) => how.code != 0,
            };
        let container = &mut self.containers[index];
        let ran = how.finished.duration_since(how.started);
        if ran >= signed(backoff.longest * 2) {
            container.delay = Duration::ZERO;
        }
        let retry = again.then(|| now + signed(container.delay));
        if again {
            container.delay = backoff.next(container.delay);
        }
        container.has_started = false;
        container.is_ready = false;
        container.run = Run::Ended { how, retry };
    }

    /// The startup probe passed.
    pub(crate) fn probe_started(&mut self, index: usize) {
        let container = &mut self.containers[index];
        if matches!(container.run, Run::Running { .. }) {
            container.has_started = true;
            container.is_ready = !container.has_readiness_probe;
        }
    }

    pub(crate) fn probe_ready(&mut self, index: usize, ready: bool) {
        let container = &mut self.containers[index];
        if matches!(container.run, Run::Running { .. }) {
            container.is_ready = ready && container.has_started;
        }
    }

    /// A container is to be ended and started again, as after a failed liveness probe.
    pub(crate) fn stop(&mut self, index: usize, grace: Option<u64>) -> Option<Action> {
        let default = self.grace;
        match &mut self.containers[index].run {
            Run::Running { stopping, .. } if !*stopping => {
                *stopping = true;
                Some(Action::Stop(index, grace.unwrap_or(default)))
            }
            _ => None,
        }
    }

    /// Ends what runs (sidecars after the others), then the sandbox, then perhaps the pod.
    fn wind_down(&mut self) -> Vec<Action> {
        let mains_run = self
            .containers
            .iter()
            .any(|c| c.kind != Kind::Sidecar && matches!(c.run, Run::Running { .. } | Run::Starting));
        let mut actions = Vec::new();
        for index in (0..self.containers.len()).rev() {
            if !(mains_run && self.containers[index].kind == Kind::Sidecar) {
                actions.extend(self.stop(index, None));
            }
        }
        if !actions.is_empty() || !self.is_stopped() {
            return actions;
        }
        for container in &mut self.containers {
            if let Run::Ended { retry, .. } = &mut container.run {
                *retry = None;
            }
        }
        match self.sandbox {
            Step::Done => {
                self.sandbox = Step::Busy;
                vec![Action::EndSandbox]
            }
            Step::Busy => Vec::new(),
            Step::Needed | Step::Failed { .. } if self.volumes == Step::Busy => Vec::new(),
            _ if self.ending == Some(Ending::Deleted) && !self.removed => {
                self.removed = true;
                vec![Action::Remove]
            }
            _ => Vec::new(),
        }
    }
}

/// A pod's ephemeral containers as ordinary ones, which they resemble but for what they count.
pub(crate) fn ephemeral_containers(pod: &Pod) -> impl Iterator<Item = Container> {
    let containers = pod.spec.iter().flat_map(|s| s.ephemeral_containers.iter().flatten());
    containers.filter_map(|c| serde_json::from_value(serde_json::to_value(c).ok()?).ok())
}

/// The reason that a run ended with the node.
const LOST: &str = "Unknown";

/// From when on a failed pull is shown as `ImagePullBackOff`: soon, but not at once.
pub(crate) fn backoff_shown(at: Timestamp, retry: Timestamp) -> Timestamp {
    at + retry.duration_since(at).min(SignedDuration::from_secs(4)) / 2
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn begin(step: &mut Step, now: Timestamp, action: Action) -> Option<Action> {
    let due = match step {
        Step::Needed => true,
        Step::Failed { retry, .. } => now >= *retry,
        Step::Busy | Step::Done => false,
    };
    due.then(|| {
        *step = Step::Busy;
        action
    })
}

fn finish(result: Result<(), String>, now: Timestamp) -> Step {
    match result {
        Ok(()) => Step::Done,
        Err(message) => Step::Failed { message, retry: now + SignedDuration::from_secs(2) },
    }
}
