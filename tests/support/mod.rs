//! The real binary and the real kubectl, as a user has them.

#![allow(clippy::unwrap_used, dead_code)]

pub(crate) mod demo;
pub(crate) mod person;
pub(crate) mod scripts;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A running `seaway up` on a temporary folder and free ports; killed when dropped.
pub(crate) struct Seaway {
    child: Child,
    pub(crate) folder: PathBuf,
    pub(crate) ready_line: String,
    temporary: Option<tempfile::TempDir>,
}

/// The program under test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_seaway"));
    const SETTINGS: [&str; 8] = [
        "SEAWAY_DATA_DIR",
        "SEAWAY_KUBE_LISTEN",
        "SEAWAY_GATEWAY_LISTEN",
        "SEAWAY_SERVER",
        "SEAWAY_TOKEN",
        "SEAWAY_LISTEN",
        "SEAWAY_CONFIG",
        "KUBECONFIG",
    ];
    for name in SETTINGS {
        command.env_remove(name);
    }
    // Whoever runs the tests may be logged in somewhere.
    command.env("XDG_CONFIG_HOME", "/nonexistent");
    command
}

impl Seaway {
    /// Starts on a new folder.
    pub(crate) fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut seaway = Self::start_in(&temporary.path().join("data"));
        seaway.temporary = Some(temporary);
        seaway
    }

    /// Starts on a folder that is there already; no pods run.
    pub(crate) fn start_in(folder: &Path) -> Self {
        Self::start_with(folder, &["--node", "none"])
    }

    /// Starts with further options.
    pub(crate) fn start_with(folder: &Path, options: &[&str]) -> Self {
        Self::launch(program(), folder, options)
    }

    /// Starts by another command, whose last argument is the program.
    pub(crate) fn start_by(mut by: Command, folder: &Path, options: &[&str]) -> Self {
        let own = program();
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => by.env(name, value),
                None => by.env_remove(name),
            };
        }
        Self::launch(by, folder, options)
    }

    fn launch(mut command: Command, folder: &Path, options: &[&str]) -> Self {
        let mut child = command
            .args([
                "up",
                "--kube-listen",
                "127.0.0.1:0",
                "--gateway-listen",
                "127.0.0.1:0",
                "--listen",
                "127.0.0.1:0",
                "--data-dir",
            ])
            .arg(folder)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "seaway did not start: {line:?}");
        Self { child, folder: folder.to_owned(), ready_line: line, temporary: None }
    }

    /// `kill -9`, and the folder it leaves.
    pub(crate) fn kill(mut self) -> (PathBuf, Option<tempfile::TempDir>) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        (self.folder.clone(), self.temporary.take())
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    /// Address of the gateway.
    pub(crate) fn gateway(&self) -> std::net::SocketAddr {
        let address =
            self.ready_line.split("gateway at http://").nth(1).and_then(|rest| rest.split(',').next());
        address.unwrap().parse().unwrap()
    }

    /// Where Seaway's own API is, as the ready line says.
    pub(crate) fn url(&self) -> String {
        let rest = self.ready_line.split("Seaway at ").nth(1).unwrap();
        rest.split(',').next().unwrap().to_owned()
    }

    pub(crate) fn kubectl(&self) -> Kubectl {
        Kubectl::new(&self.folder.join("kubeconfig"))
    }
}

impl Drop for Seaway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) success: bool,
}

impl Printed {
    /// Standard output's lines, each with single spaces.
    pub(crate) fn rows(&self) -> Vec<String> {
        self.stdout.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}

/// Where `./dev` puts a current kubectl.
fn installed() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let folders = std::fs::read_dir(cache.join("seaway/tools")).ok()?.flatten();
    folders.map(|f| f.path().join("bin/kubectl")).find(|program| program.is_file())
}

/// A current kubectl with a kubeconfig.
#[derive(Clone)]
pub(crate) struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The program of that name that tests use.
    pub(crate) fn program() -> PathBuf {
        std::env::var_os("SEAWAY_TEST_KUBECTL")
            .map(PathBuf::from)
            .or_else(installed)
            .expect("a current kubectl: run the tests by `./dev test`, or set SEAWAY_TEST_KUBECTL")
    }

    pub(crate) fn new(kubeconfig: &Path) -> Self {
        let program = Self::program();
        Self { program, kubeconfig: kubeconfig.to_owned() }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            // Discovery is cached by server address: a free port may have been another server's.
            .env("KUBECACHEDIR", self.kubeconfig.with_file_name("kubectl-cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs kubectl with words split at spaces.
    pub(crate) fn run(&self, line: &str) -> Printed {
        self.args(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    /// Runs kubectl with arguments and standard input.
    pub(crate) fn args(&self, arguments: &[&str], input: &str) -> Printed {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Printed {
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            success: output.status.success(),
        }
    }

    /// Runs what must succeed.
    #[track_caller]
    pub(crate) fn ok(&self, line: &str) -> Printed {
        let printed = self.run(line);
        assert!(printed.success, "kubectl {line}: {}{}", printed.stdout, printed.stderr);
        printed
    }

    /// Runs what must succeed and print just this.
    #[track_caller]
    pub(crate) fn prints(&self, line: &str, expected: &str) {
        assert_eq!(self.ok(line).stdout.trim_end(), expected, "kubectl {line}");
    }

    /// Runs what must fail, with this in its message.
    #[track_caller]
    pub(crate) fn fails(&self, line: &str, message: &str) {
        let printed = self.run(line);
        assert!(!printed.success, "kubectl {line} succeeded: {}", printed.stdout);
        assert!(printed.stderr.contains(message), "kubectl {line} said: {}", printed.stderr);
    }

    /// Applies a manifest.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &str) -> String {
        let printed = self.args(&["apply", "-f", "-"], manifest);
        assert!(printed.success, "kubectl apply: {}{}", printed.stdout, printed.stderr);
        printed.stdout
    }

    /// Applies a manifest that must be refused.
    #[track_caller]
    pub(crate) fn apply_fails(&self, manifest: &str, message: &str) {
        let printed = self.args(&["apply", "-f", "-"], manifest);
        assert!(!printed.success, "kubectl apply succeeded: {}", printed.stdout);
        assert!(printed.stderr.contains(message), "kubectl apply said: {}", printed.stderr);
    }

    /// Starts kubectl and gives its lines as they come.
    pub(crate) fn follow(&self, line: &str) -> Follow {
        let mut child = self.command(&line.split_whitespace().collect::<Vec<_>>()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Follow { child, lines }
    }
}

/// A kubectl that goes on printing.
pub(crate) struct Follow {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Follow {
    /// The next line with single spaces, waiting for it.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("kubectl prints another line");
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was printed for people, without the wrapping of long lines.
pub(crate) fn unwrapped(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
}

/// Says why a test is not run. With `SEAWAY_TEST_NO_SKIP` set, what could have been installed has to be.
pub(crate) fn skipped(missing: &str) {
    assert!(std::env::var_os("SEAWAY_TEST_NO_SKIP").is_none(), "SEAWAY_TEST_NO_SKIP is set, and {missing}");
    println!("skipped: {missing}");
}

/// Asks again until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within 90 s");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Reads what a failed start printed.
pub(crate) fn failed_start(arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = program().args(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}
