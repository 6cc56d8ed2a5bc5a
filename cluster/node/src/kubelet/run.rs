//! One run of a container: start, streams, end; and what is done beside it: probes, hooks, exec.

use super::container::{Material, PodFolders, container_spec, find, limits, termination_log};
use super::environment::PodFacts;
use super::probe::{Counter, Pace, ProbeKind, http, port, tcp, timed_out};
use super::shared::{Live, PodKey, Shared};
use super::volumes::PodVolumes;
use super::worker::Input;
use crate::cgroup::Group;
use crate::error::{Error, Result};
use crate::image::{Image, remove_tree};
use crate::logs::{self, LogFile, LogOptions};
use crate::sandbox::{ContainerSpec, Exit, Process, ProcessSpec, Sandbox, Streams};
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Pod, Probe};
use nix::fcntl::OFlag;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Last words that a container may leave.
const MAX_MESSAGE: u64 = 4096;
/// What a probe or hook may write.
const MAX_OUTPUT: u64 = 10 * 1024;

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) out_of_memory: bool,
    pub(crate) message: Option<String>,
}

/// All that one run needs.
pub(crate) struct ContainerRun {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pod: Arc<Pod>,
    pub(crate) key: PodKey,
    pub(crate) folders: PodFolders,
    pub(crate) volumes: PodVolumes,
    pub(crate) facts: PodFacts,
    pub(crate) container: Container,
    pub(crate) image: Image,
    pub(crate) sandbox: Sandbox,
    /// The number of the run.
    pub(crate) run: i32,
    /// The running container whose processes it sees, in place of its own alone.
    pub(crate) processes_of: Option<String>,
}

impl ContainerRun {
    /// Starts the container and stays until it has ended, telling the worker both.
    pub(crate) async fn run(self, index: usize, inputs: mpsc::UnboundedSender<Input>) {
        let started = self.start().await;
        let (process, group) = match started {
            Ok(started) => started,
            Err(e) => {
                let _ = inputs.send(Input::NotStarted(index, e));
                return;
            }
        };
        let id = uuid::Uuid::new_v4().simple().to_string();
        let _ = inputs.send(Input::Started(index, self.run, id, process.clone()));
        let exit = process.wait().await;
        let out_of_memory = group.as_ref().is_some_and(|g| g.was_out_of_memory());
        self.shared.ended(&self.key, &self.container.name);
        let shares = self.pod.spec.as_ref().and_then(|s| s.share_process_namespace) == Some(true);
        if let Some(group) = group.as_ref().filter(|_| shares) {
            group.kill_all();
        }
        drop(group);
        let message = self.message(exit).await;
        let folder = self.folders.container(&self.container.name);
        let run = self.run;
        let _ = tokio::task::spawn_blocking(move || {
            // What the run wrote into its root ends with it.
            for part in ["root", "upper", "work"] {
                let _ = remove_tree(&folder.join(format!("{run}-{part}")));
            }
        })
        .await;
        let _ = inputs.send(Input::Exited(index, self.run, Outcome { exit, out_of_memory, message }));
    }

    async fn start(&self) -> Result<(Process, Option<Arc<Group>>)> {
        let Self { shared, container, .. } = self;
        let found = find(&shared.client, &self.pod, container).await?;
        let services = shared.services.borrow().clone();
        let spec = container_spec(&Material {
            pod: &self.pod,
            container,
            image: &self.image,
            found: &found,
            services: &services,
            volumes: &self.volumes,
            folders: &self.folders,
            facts: self.facts,
            run: self.run,
        })?;
        for folder in [&spec.root, &spec.upper, &spec.work] {
            std::fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
        }
        let message = termination_log(&self.folders, &container.name, self.run);
        std::fs::write(&message, "").map_err(Error::io("write", &message))?;
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o666);
        std::fs::set_permissions(&message, open).map_err(Error::io("open up", &message))?;

        let group_name = format!("{}-{}-{}", self.key.uid, container.name, self.run);
        let limits = limits(container);
        let made = shared.cgroups.create(&group_name, limits);
        let problem = match &made {
            Ok((None, _)) if limits.any() => shared.cgroups.problem().map(str::to_owned),
            Ok(_) => None,
            Err(e) => Some(e.to_string()),
        };
        if let Some(problem) = problem {
            let message = format!("Limits of memory and CPU are not enforced: {problem}");
            shared.events.pod(&self.pod, Some(&container.name), true, "LimitsNotEnforced", message);
        }
        let (group, joins) = made.unwrap_or_default();
        let group = group.map(Arc::new);
        let folder = shared.log_folder(&self.key).join(&container.name);
        let log = LogFile::create(&folder, self.run, shared.options.log_rotation).await?;
        self.remove_old_logs(&folder);
        let written = log.watch();
        let process_spec = spec.process.clone();
        let (process, stdin) = if container.tty == Some(true) {
            let (streams, terminal) = Streams::terminal().map_err(|e| self.start_error(&e))?;
            let process = self.launch(spec, streams, joins).await?;
            let terminal = terminal.receive().await.map_err(|e| self.start_error(&e))?;
            let stdin = terminal.try_clone().map_err(|e| self.start_error(&e))?;
            let output = terminal_reader(terminal).map_err(|e| self.start_error(&e))?;
            tokio::spawn(logs::collect(log, output, None::<pipe::Receiver>, Timestamp::now));
            (process, Some(stdin))
        } else {
            let (output, output_end) = output_pipe().map_err(|e| self.start_error(&e))?;
            let (error, error_end) = output_pipe().map_err(|e| self.start_error(&e))?;
            let (input, stdin) = match container.stdin {
                // Held open: a program that reads it waits instead of ending.
                Some(true) => {
                    let (read, write) =
                        nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| self.start_error(&e.into()))?;
                    (read, Some(write))
                }
                _ => (null().map_err(|e| self.start_error(&e))?, None),
            };
            let streams = Streams::Files(input, output_end, error_end);
            let process = self.launch(spec, streams, joins).await;
            tokio::spawn(logs::collect(log, output, Some(error), Timestamp::now));
            (process?, stdin)
        };
        shared.began(
            &self.key,
            &container.name,
            Live {
                process: process.clone(),
                sandbox: self.sandbox.clone(),
                spec: process_spec,
                group: group.clone(),
                run: self.run,
                stdin,
                // A terminal has no end of input but the one that is typed.
                stdin_once: container.stdin_once == Some(true) && container.tty != Some(true),
                terminal: container.tty == Some(true),
                written,
            },
        );
        Ok((process, group))
    }

    async fn launch(&self, spec: ContainerSpec, streams: Streams, joins: Vec<OwnedFd>) -> Result<Process> {
        let Some(name) = &self.processes_of else { return self.sandbox.start(spec, streams, joins).await };
        let target = self.shared.with_live(&self.key, name, |live| live.process.clone());
        let target = target.ok_or_else(|| Error::Start {
            container: self.container.name.clone(),
            problem: format!("unable to find target container \"{name}\""),
        })?;
        self.sandbox.start_beside(&target, spec, streams, joins).await
    }

    fn start_error(&self, error: &std::io::Error) -> Error {
        Error::Start { container: self.container.name.clone(), problem: error.to_string() }
    }

    /// Logs of this and the last run are kept.
    fn remove_old_logs(&self, folder: &std::path::Path) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let run = name.to_str().and_then(|n| n.split('.').next()).and_then(|n| n.parse::<i32>().ok());
            if run.is_some_and(|run| run < self.run - 1) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    /// What the container says about its end.
    async fn message(&self, exit: Exit) -> Option<String> {
        let path = termination_log(&self.folders, &self.container.name, self.run);
        let mut bytes = Vec::new();
        if let Ok(file) = tokio::fs::File::open(&path).await {
            let _ = file.take(MAX_MESSAGE).read_to_end(&mut bytes).await;
        }
        let _ = tokio::fs::remove_file(&path).await;
        let fall_back = self.container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
        if bytes.is_empty() && exit.code != 0 && fall_back {
            let folder = self.shared.log_folder(&self.key).join(&self.container.name);
            let options = LogOptions { tail: Some(80), ..LogOptions::default() };
            let mut lines = logs::read(&folder, self.run, options, None);
            while let Some(Ok(line)) = lines.next().await {
                bytes.extend_from_slice(&line);
            }
            let start = bytes.len().saturating_sub(2048);
            bytes.drain(..start);
        }
        (!bytes.is_empty()).then(|| String::from_utf8_lossy(&bytes).into_owned())
    }
}

fn null() -> std::io::Result<OwnedFd> {
    Ok(std::fs::File::options().read(true).write(true).open("/dev/null")?.into())
}

/// A pipe from a process: our end, and its.
pub(crate) fn output_pipe() -> std::io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((pipe::Receiver::from_owned_fd(read)?, write))
}

/// A pipe to a process: its end, and ours.
pub(crate) fn input_pipe() -> std::io::Result<(OwnedFd, pipe::Sender)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok((read, pipe::Sender::from_owned_fd(write)?))
}

/// The controlling side of a terminal as a stream; any file that can be polled will do.
pub(crate) fn terminal_reader(terminal: OwnedFd) -> std::io::Result<pipe::Receiver> {
    nonblocking(&terminal)?;
    pipe::Receiver::from_owned_fd_unchecked(terminal)
}

pub(crate) fn terminal_writer(terminal: OwnedFd) -> std::io::Result<pipe::Sender> {
    nonblocking(&terminal)?;
    pipe::Sender::from_owned_fd_unchecked(terminal)
}

fn nonblocking(fd: &OwnedFd) -> std::io::Result<()> {
    use nix::fcntl::{FcntlArg, fcntl};
    let flags = OFlag::from_bits_truncate(fcntl(fd, FcntlArg::F_GETFL)?);
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Runs a lifecycle hook to its end.
pub(crate) async fn hook(
    shared: &Shared,
    key: &PodKey,
    container: &Container,
    sandbox: &Sandbox,
    process: &Process,
    handler: &LifecycleHandler,
) -> Result<(), String> {
    if let Some(exec) = &handler.exec {
        let command = exec.command.clone().unwrap_or_default();
        return exec_quietly(shared, key, &container.name, sandbox, process, command).await;
    }
    if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        return Ok(());
    }
    let namespace = shared.namespace().await.map_err(|e| e.to_string())?;
    if let Some(action) = &handler.http_get {
        let port = port(container, &action.port).map_err(|e| e.to_string())?;
        return http(&namespace, sandbox.address(), port, action).await;
    }
    if let Some(action) = &handler.tcp_socket {
        let port = port(container, &action.port).map_err(|e| e.to_string())?;
        return tcp(&namespace, sandbox.address(), port).await;
    }
    Err("the hook names no action".to_owned())
}

/// Runs a command in a container; an error holds what it wrote.
async fn exec_quietly(
    shared: &Shared,
    key: &PodKey,
    container: &str,
    sandbox: &Sandbox,
    main: &Process,
    command: Vec<String>,
) -> Result<(), String> {
    let (spec, joins) =
        shared.exec_spec(key, container, command.clone(), false).map_err(|e| e.to_string())?;
    let (mut output, end) = output_pipe().map_err(|e| e.to_string())?;
    let second_end = end.try_clone().map_err(|e| e.to_string())?;
    let streams = Streams::Files(null().map_err(|e| e.to_string())?, end, second_end);
    let process = sandbox.exec(main, spec, streams, joins).await.map_err(|e| e.to_string())?;
    let killed = KillOnDrop(process.clone());
    let mut text = Vec::new();
    let read = async {
        let _ = (&mut output).take(MAX_OUTPUT).read_to_end(&mut text).await;
        let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
    };
    let exit = {
        let exit = process.wait();
        tokio::pin!(exit, read);
        // A child that holds the pipe open must not keep us once the command has ended.
        tokio::select! {
            exit = &mut exit => {
                let _ = timeout(Duration::from_millis(100), &mut read).await;
                exit
            }
            () = &mut read => exit.await,
        }
    };
    drop(killed);
    if exit.code == 0 {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(if text.is_empty() { format!("command {command:?} exited with {}", exit.code) } else { text })
}

/// A probe that timed out leaves no process behind.
struct KillOnDrop(Process);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        if self.0.exit().is_none() {
            self.0.signal(libc::SIGKILL);
        }
    }
}

/// Runs a container's probes while it runs.
pub(crate) async fn probes(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    key: PodKey,
    container: Container,
    sandbox: Sandbox,
    process: Process,
    (index, run, inputs): (usize, i32, mpsc::UnboundedSender<Input>),
) {
    let prober = Prober { shared, pod, key, container, sandbox, process, index, run, inputs };
    if let Some(probe) = &prober.container.startup_probe {
        prober.series(ProbeKind::Startup, probe).await;
    }
    let liveness = async {
        if let Some(probe) = &prober.container.liveness_probe {
            prober.series(ProbeKind::Liveness, probe).await;
        }
    };
    let readiness = async {
        if let Some(probe) = &prober.container.readiness_probe {
            prober.series(ProbeKind::Readiness, probe).await;
        }
    };
    tokio::join!(liveness, readiness);
}

struct Prober {
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    key: PodKey,
    container: Container,
    sandbox: Sandbox,
    process: Process,
    index: usize,
    run: i32,
    inputs: mpsc::UnboundedSender<Input>,
}

impl Prober {
    /// Probes again and again. A startup probe ends with its first verdict, a liveness probe when it fails.
    async fn series(&self, kind: ProbeKind, probe: &Probe) {
        let pace = Pace::of(probe);
        tokio::time::sleep(pace.initial_delay).await;
        let mut counter = Counter::default();
        let mut told = None;
        let mut ticks = tokio::time::interval(pace.period);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let result = match timeout(pace.timeout, self.once(probe)).await {
                Ok(result) => result,
                Err(_) => Err(timed_out(&self.container, self.sandbox.address(), probe, pace.timeout)),
            };
            if let Err(problem) = &result {
                let message = format!("{} probe failed: {problem}", kind.name());
                self.shared.events.pod(&self.pod, Some(&self.container.name), true, "Unhealthy", message);
            }
            let verdict = counter.count(result.is_ok(), &pace);
            if verdict.is_some() && verdict != told {
                told = verdict;
                let passed = verdict == Some(true);
                if self.inputs.send(Input::Probed(self.index, self.run, kind, passed)).is_err() {
                    return;
                }
                match (kind, passed) {
                    (ProbeKind::Startup, true) => return,
                    (ProbeKind::Startup | ProbeKind::Liveness, false) => std::future::pending().await,
                    _ => {}
                }
            }
        }
    }

    async fn once(&self, probe: &Probe) -> Result<(), String> {
        let (container, address) = (&self.container, self.sandbox.address());
        if let Some(exec) = &probe.exec {
            let command = exec.command.clone().unwrap_or_default();
            return exec_quietly(
                &self.shared,
                &self.key,
                &container.name,
                &self.sandbox,
                &self.process,
                command,
            )
            .await;
        }
        let namespace = self.shared.namespace().await.map_err(|e| e.to_string())?;
        if let Some(action) = &probe.http_get {
            let port = port(container, &action.port).map_err(|e| e.to_string())?;
            return http(&namespace, address, port, action).await;
        }
        if let Some(action) = &probe.tcp_socket {
            let port = port(container, &action.port).map_err(|e| e.to_string())?;
            return tcp(&namespace, address, port).await;
        }
        if let Some(action) = &probe.grpc {
            let port = u16::try_from(action.port).map_err(|_| "the port is out of range".to_owned())?;
            let target = SocketAddrV4::new(address, port);
            let stream = namespace.dial(target).await.map_err(|e| e.to_string())?;
            let service = action.service.as_deref().unwrap_or_default();
            return super::grpc::check(stream, &target.to_string(), service).await;
        }
        Err("the probe names no action".to_owned())
    }
}

/// The process specification of a command beside a container's program.
pub(crate) fn beside(spec: &ProcessSpec, command: Vec<String>, terminal: bool) -> ProcessSpec {
    ProcessSpec { argv: command, terminal, ..spec.clone() }
}
