//! People at a command line.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Printed, program};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A person at a command line, with a folder for the login and no kubeconfig unless one is given.
pub(crate) struct Person {
    config: tempfile::TempDir,
    /// What `KUBECONFIG` says.
    pub(crate) kubeconfig: PathBuf,
}

impl Person {
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        Self { config: tempfile::tempdir().unwrap(), kubeconfig: kubeconfig.to_owned() }
    }

    /// The program as this person runs it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program();
        command
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.config.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Printed {
        let mut child = self.command(arguments).spawn().unwrap();
        // Who does not read it has ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Printed {
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            success: output.status.success(),
        }
    }

    pub(crate) fn run(&self, line: &str) -> Printed {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let printed = self.run(line);
        assert!(printed.success, "seaway {line}: {printed:?}");
        serde_json::from_str(&printed.stdout).unwrap_or_else(|e| panic!("seaway {line}: {e}: {printed:?}"))
    }

    /// Runs a command that must go well.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> Printed {
        let printed = self.run(line);
        assert!(printed.success, "seaway {line}: {printed:?}");
        printed
    }

    /// Runs a command that must be refused with this text.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str, text: &str) {
        let printed = self.run(line);
        let said = super::unwrapped(&printed.stderr);
        assert!(!printed.success && said.contains(text), "seaway {line}: {printed:?}");
    }

    /// Follows an invitation, and logs in with the password.
    #[track_caller]
    pub(crate) fn enter(&self, name: &str, link: &str) {
        join(link);
        let server = link.split_once("/join#").unwrap().0;
        let login = ["login", "--server", server, "--user", name, "--password-stdin"];
        let printed = self.run_with(&login, &format!("{PASSWORD}\n"));
        assert!(printed.success, "{printed:?}");
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.config.path().join("seaway/login.json")
    }
}

/// What the page does with a link.
pub(crate) fn join(link: &str) {
    let (server, code) = link.split_once("/join#").unwrap();
    let host = server.strip_prefix("http://").unwrap();
    let body = json!({"code": code, "password": PASSWORD}).to_string();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST /api/v1/join HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
