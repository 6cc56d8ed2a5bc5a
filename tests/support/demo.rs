//! A running `seaway up --demo`, with what it prints.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A running `seaway up --demo` on a temporary folder and free ports; killed when dropped.
pub(crate) struct Demo {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    pub(crate) folder: PathBuf,
    /// The one-time link; empty where there is an account already.
    pub(crate) link: String,
    pub(crate) ready_line: String,
    temporary: Option<tempfile::TempDir>,
}

impl Demo {
    /// Starts, and returns once it has printed the one-time link.
    pub(crate) fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("data");
        let mut demo = Self::start_in(&folder, "127.0.0.1:0");
        demo.temporary = Some(temporary);
        let link = demo.line();
        demo.link = link.split_whitespace().last().unwrap().to_owned();
        assert!(demo.link.contains("/setup#"), "{link}");
        demo
    }

    fn start_in(folder: &Path, listen: &str) -> Self {
        let mut child = super::program()
            .args(["up", "--demo", "--data-dir"])
            .arg(folder)
            .args(["--listen", listen, "--kube-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let folder = folder.to_owned();
        let mut demo =
            Self { child, output, folder, link: String::new(), ready_line: String::new(), temporary: None };
        demo.ready_line = demo.line();
        assert!(demo.ready_line.starts_with("ready"), "the ready line comes first: {}", demo.ready_line);
        demo
    }

    /// `kill -9`, and started again on the same folder, its API at the same address.
    pub(crate) fn killed_and_restarted(mut self) -> Self {
        let listen = self.address("Seaway at http://");
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let temporary = self.temporary.take();
        let mut demo = Self::start_in(&self.folder, &listen);
        demo.temporary = temporary;
        demo
    }

    /// Where a part listens, as the ready line has it.
    pub(crate) fn address(&self, before: &str) -> String {
        let rest = self.ready_line.split_once(before).unwrap().1;
        rest.split([',', ' ']).next().unwrap().to_owned()
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    /// Everything up to its last line, which says where to log in.
    pub(crate) fn all(&mut self) -> String {
        let mut text = String::new();
        let ends =
            |line: &str| line.starts_with("Log in for the first time") || line.starts_with("The page is at");
        while !text.lines().last().is_some_and(ends) {
            let line = self.line();
            assert!(!line.is_empty(), "it ended after:\n{text}");
            text.push_str(&line);
        }
        text
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The person's clone of the deployment repository.
    pub(crate) fn clone_of_repository(&self) -> PathBuf {
        Path::new(&self.folder).join("demo/shop")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
