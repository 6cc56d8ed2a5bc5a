//! Seaway installed in a Kubernetes, and `seaway serve` beside it.

#![allow(clippy::unwrap_used, dead_code)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};

use serde_json::{Value, json};

use super::support::{Kubectl, program};

/// Installs as an administrator does, and gives a kubeconfig of Seaway's own account.
pub(crate) fn install(admin: &Path, folder: &Path) -> PathBuf {
    let k = Kubectl::new(admin);
    let mut arguments = vec!["install", "--without-workload"];
    let known = k.ok("api-resources --api-group=admissionregistration.k8s.io -o name").stdout;
    if !known.contains("validatingadmissionpolicies") {
        arguments.push("--without-admission-policy");
    }
    let printed = program().args(arguments).output().unwrap();
    assert!(printed.status.success());
    // A server of long ago publishes schemas without the rules that kinds have today, and keeps none.
    let applied =
        k.args(&["apply", "--validate=false", "-f", "-"], &String::from_utf8(printed.stdout).unwrap());
    assert!(applied.success, "{applied:?}");
    k.ok("wait --for=condition=Established crd/environments.seaway.dev crd/stacks.seaway.dev --timeout=30s");
    let token = k.ok("create token seaway --namespace seaway-system --duration 2h").stdout;
    let text = k.ok("config view --raw -o json").stdout;
    let mut config: Value = serde_json::from_str(&text).unwrap();
    config["users"][0]["user"] = json!({"token": token.trim()});
    let path = folder.join("kubeconfig-of-seaway");
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// A running `seaway serve`; killed when dropped.
pub(crate) struct Serve {
    pub(crate) child: Child,
    /// Where it listens.
    pub(crate) address: String,
    /// The first account's link, while there is none.
    pub(crate) setup: Option<String>,
    lines: BufReader<std::process::ChildStdout>,
}

impl Serve {
    /// Starts without waiting.
    pub(crate) fn spawn(kubeconfig: &Path, data: &Path, more: &[&str]) -> Child {
        program()
            .args(["serve", "--listen", "127.0.0.1:0", "--poll-interval", "0.2"])
            .args(["--allow-outgoing", "loopback,http"])
            .arg("--kubeconfig")
            .arg(kubeconfig)
            .arg("--data-dir")
            .arg(data)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn start(kubeconfig: &Path, data: &Path, more: &[&str]) -> Self {
        let mut child = Self::spawn(kubeconfig, data, more);
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        // What it warns of is shown with the test's own output.
        std::thread::spawn(move || {
            let mut line = String::new();
            while stderr.read_line(&mut line).is_ok_and(|count| count > 0) {
                eprint!("serve: {line}");
                line.clear();
            }
        });
        Self::ready(child)
    }

    /// Waits until it is the active one.
    pub(crate) fn ready(mut child: Child) -> Self {
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.starts_with("ready"), "seaway serve did not start: {line:?}");
        let address = line.split("listening on ").nth(1).unwrap().split(',').next().unwrap().to_owned();
        Self { child, address, setup: None, lines }
    }

    /// Reads the link of the first account.
    pub(crate) fn setup_code(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().split_once("/setup#").unwrap().1.to_owned()
    }

    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
