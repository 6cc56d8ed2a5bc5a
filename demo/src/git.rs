//! The program `git`, as if nobody had ever configured it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// Who commits, and when.
pub(crate) struct Author {
    pub(crate) name: &'static str,
    pub(crate) email: &'static str,
    pub(crate) at: SystemTime,
}

/// Runs `git` in a folder and returns what it printed. Neither the person's configuration, hooks, templates and
/// signing keys nor the system's are asked.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> Result<String> {
    output(clean(folder).args(arguments), arguments)
}

/// Commits everything that changed.
pub(crate) fn commit(folder: &Path, author: &Author, message: &str) -> Result<()> {
    let seconds = author.at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    let date = format!("@{seconds} +0000");
    git(folder, &["add", "--all"])?;
    let arguments = ["commit", "--quiet", "--no-verify", "--message", message];
    let mut command = clean(folder);
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), author.name);
        command.env(format!("GIT_{role}_EMAIL"), author.email);
        command.env(format!("GIT_{role}_DATE"), &date);
    }
    output(command.args(arguments), &arguments)?;
    Ok(())
}

/// Whether the person has told Git who they are, for commits in this folder.
pub(crate) fn knows_its_user(folder: &Path) -> bool {
    ["user.name", "user.email"].iter().all(|key| {
        let mut command = Command::new("git");
        command.args(["config", "--get", key]).current_dir(folder).stdin(Stdio::null());
        command.output().is_ok_and(|output| output.status.success())
    })
}

fn clean(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.env_clear();
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C")
        .args(["-c", "core.hooksPath=/dev/null", "-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn output(command: &mut Command, arguments: &[&str]) -> Result<String> {
    let failed = |message: String| Error::Git { command: arguments.join(" "), message };
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::NoGit,
        _ => failed(error.to_string()),
    })?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
