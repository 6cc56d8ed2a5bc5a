//! The page in a real browser, on the demo: what a newcomer does in the first minutes.
//!
//! It needs Chromium, Node.js and pods; where one is missing it says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::process::Command;

use support::Kubectl;
use support::demo::Demo;

fn there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_newcomer_sees_it_work() {
    let chromium = std::env::var("SEAWAY_TEST_CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    for program in [chromium.as_str(), "node", "npm"] {
        if !there(program) {
            println!("skipped: {program} is not there");
            return;
        }
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/browser");
    if !scripts.join("node_modules/playwright-core").is_dir() {
        let installed =
            Command::new("npm").args(["ci", "--no-audit"]).current_dir(&scripts).output().unwrap();
        assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    }
    let demo = Demo::start();
    let status = Command::new("node")
        .arg("main-path.mjs")
        .current_dir(&scripts)
        .env("LINK", &demo.link)
        .env("KUBECTL", Kubectl::program())
        .env("KUBECONFIG", demo.kubeconfig())
        .env("CLONE", demo.clone_of_repository())
        .env("CHROMIUM", &chromium)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
        .status()
        .unwrap();
    assert!(status.success(), "see above");
}
