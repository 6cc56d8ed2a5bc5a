//! Runs the `git` program: without anybody's configuration, without prompts, with limits.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::time::{interval, sleep};

use crate::folder;
use crate::remote::Connection;
use crate::slots::{People, Silent, Slot, Slots};

/// More output than this ends the program, in bytes.
const MAX_OUTPUT: usize = 32 << 20;
/// The end of the error output that is kept, in bytes.
const MAX_ERRORS: usize = 16 << 10;
/// How often the size of a growing mirror is looked at.
const SIZE_INTERVAL: Duration = Duration::from_millis(200);
/// Who has waited for a host for so long most likely waits longer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Holds for every run.
const CONFIGURATION: &[(&str, &str)] = &[
    // An empty value forgets the helpers before it.
    ("credential.helper", ""),
    ("core.askPass", ""),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    // Larger blobs are streamed instead of held in memory.
    ("core.bigFileThreshold", "32m"),
    ("protocol.version", "2"),
    ("submodule.recurse", "false"),
    ("push.recurseSubmodules", "no"),
    // No path that any file system takes for `.git`.
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("fetch.recurseSubmodules", "false"),
    // What is received becomes a pack, which appears whole or not at all.
    ("fetch.unpackLimit", "1"),
    ("transfer.bundleURI", "false"),
    // Housekeeping is done when we say so.
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("http.followRedirects", "initial"),
    ("i18n.logOutputEncoding", "UTF-8"),
    ("log.showSignature", "false"),
];

/// Why a run did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    Start(std::io::Error),
    /// It was not run: its host did not answer others meanwhile.
    Silent,
    /// It took longer than this.
    TimedOut(Duration),
    /// The mirror grew above the limit.
    TooLarge,
    /// It printed more than anybody reads.
    TooMuchOutput,
    /// It ended with an error and printed this.
    Exit(String),
}

impl Failure {
    /// What it printed, if it ended by itself.
    pub(crate) fn message(&self) -> &str {
        if let Self::Exit(message) = self { message } else { "" }
    }
}

/// One run.
#[derive(Default, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// The repository, if there is one.
    pub(crate) repository: Option<&'a Path>,
    /// How to reach the remote repository, if there is one.
    pub(crate) connection: Option<&'a Connection>,
    /// Stays locked until the program has ended, even when this process ends first.
    pub(crate) lock: Option<&'a File>,
    /// The most bytes that `repository` may have.
    pub(crate) max_size: Option<u64>,
    /// Asks something, and transfers nothing.
    pub(crate) asks: bool,
    /// Who waits for it, if there can be somebody.
    pub(crate) people: Option<&'a People>,
    /// More variables.
    pub(crate) environment: &'a [(&'static str, OsString)],
}

/// How a run ended by itself.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: Vec<u8>,
    errors: String,
}

impl Ended {
    /// Why it did not succeed.
    pub(crate) fn into_failure(self) -> Failure {
        if self.errors.is_empty() {
            Failure::Exit(format!("git ended with {}", self.status))
        } else {
            Failure::Exit(self.errors)
        }
    }

    /// The end of its error output.
    pub(crate) fn errors(&self) -> &str {
        &self.errors
    }
}

pub(crate) struct Program {
    git: PathBuf,
    /// The working directory: a folder that is in no repository.
    folder: PathBuf,
    pub(crate) slots: Slots,
    nobody: People,
}

impl Program {
    pub(crate) fn new(git: PathBuf, folder: PathBuf, concurrency: usize) -> Self {
        Self { git, folder, slots: Slots::new(concurrency), nobody: People::default() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.git
    }

    /// Runs `git` with these arguments; what it printed. The time limit begins when it starts.
    pub(crate) async fn run<A: AsRef<OsStr>>(
        &self,
        call: Call<'_>,
        arguments: &[A],
        limit: Duration,
    ) -> Result<Vec<u8>, Failure> {
        let ended = self.finish(call, arguments, limit).await?;
        if ended.status.success() { Ok(ended.output) } else { Err(ended.into_failure()) }
    }

    /// The same where an error status is an answer as well.
    pub(crate) async fn finish<A: AsRef<OsStr>>(
        &self,
        call: Call<'_>,
        arguments: &[A],
        limit: Duration,
    ) -> Result<Ended, Failure> {
        let host = call.connection.and_then(Connection::host);
        let slot = self.slots.take(host, call.people.unwrap_or(&self.nobody)).await;
        let mut slot = slot.map_err(|Silent| Failure::Silent)?;
        let result = self.finish_in(&mut slot, call, arguments, limit).await;
        if let Some(connection) = call.connection {
            slot.end(connection.answer(&result, call.asks));
        }
        result
    }

    async fn finish_in<A: AsRef<OsStr>>(
        &self,
        slot: &mut Slot,
        call: Call<'_>,
        arguments: &[A],
        limit: Duration,
    ) -> Result<Ended, Failure> {
        let mut command = self.command(call).map_err(Failure::Start)?;
        let mut child = command.args(arguments).spawn().map_err(Failure::Start)?;
        let mut group = Group::led_by(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let failure = tokio::select! {
            (output, errors, status) = async {
                tokio::join!(read_all(stdout), read_end(stderr), child.wait())
            } => {
                group.ended();
                let status = status.map_err(Failure::Start)?;
                let output = output?;
                if status.success() && is_outgrown(call).await {
                    return Err(Failure::TooLarge);
                }
                return Ok(Ended { status, output, errors });
            }
            () = sleep(limit) => Failure::TimedOut(limit),
            () = outgrown(call) => Failure::TooLarge,
            never = make_way(slot, call) => match never {},
        };
        group.kill();
        let _ = child.wait().await;
        group.ended();
        Err(failure)
    }

    fn command(&self, call: Call<'_>) -> std::io::Result<Command> {
        let mut command = Command::new(&self.git);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin")))
            .env("HOME", &self.folder)
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "none")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .current_dir(&self.folder)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(match call.lock {
                Some(lock) => Stdio::from(lock.try_clone()?),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        match call.repository {
            Some(repository) => command.env("GIT_DIR", repository),
            // Nothing above is taken for a repository.
            None => command.env("GIT_CEILING_DIRECTORIES", self.folder.parent().unwrap_or(Path::new("/"))),
        };
        command.envs(call.environment.iter().map(|(name, value)| (name, value)));
        let own = CONFIGURATION.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        let configuration: Vec<(String, String)> = match call.connection {
            Some(connection) => {
                command.envs(connection.environment());
                own.chain(connection.configuration()).collect()
            }
            None => own.collect(),
        };
        command.env("GIT_CONFIG_COUNT", configuration.len().to_string());
        for (index, (key, value)) in configuration.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        Ok(command)
    }
}

/// A run that does nothing but wait leaves its place to others.
async fn make_way(slot: &mut Slot, call: Call<'_>) -> Infallible {
    loop {
        sleep(PATIENCE).await;
        // Where others wait already there may be no room yet.
        if call.connection.is_some_and(|connection| call.asks || connection.hears_nothing()) {
            slot.step_aside();
        }
    }
}

/// Ends when the repository is larger than allowed; never when there is no limit.
async fn outgrown(call: Call<'_>) {
    if call.max_size.is_none() {
        return std::future::pending().await;
    }
    let mut ticks = interval(SIZE_INTERVAL);
    loop {
        ticks.tick().await;
        if is_outgrown(call).await {
            return;
        }
    }
}

async fn is_outgrown(call: Call<'_>) -> bool {
    let (Some(repository), Some(limit)) = (call.repository, call.max_size) else { return false };
    let repository = repository.to_owned();
    tokio::task::spawn_blocking(move || folder::size(&repository)).await.is_ok_and(|size| size > limit)
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Failure> {
    let mut output = Vec::new();
    if let Some(stream) = stream {
        let mut stream = stream.take(MAX_OUTPUT as u64 + 1);
        stream.read_to_end(&mut output).await.map_err(Failure::Start)?;
    }
    if output.len() > MAX_OUTPUT { Err(Failure::TooMuchOutput) } else { Ok(output) }
}

async fn read_end(stream: Option<impl AsyncRead + Unpin>) -> String {
    let mut end = Vec::new();
    if let Some(mut stream) = stream {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            end.extend_from_slice(&chunk[..count]);
            let surplus = end.len().saturating_sub(MAX_ERRORS);
            end.drain(..surplus);
        }
    }
    String::from_utf8_lossy(&end).into_owned()
}

/// The processes that a run started. Killed when dropped before their end.
struct Group(Option<Pid>);

impl Group {
    fn led_by(child: &Child) -> Self {
        Self(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn kill(&self) {
        if let Some(group) = self.0 {
            // Fails only when all of them have ended.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
