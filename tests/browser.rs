//! The page in a real browser, on the demo: what a newcomer does in the first minutes, and a developer with a copy.
//!
//! It needs Chromium, Node.js and pods; where one is missing it says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use support::Kubectl;
use support::demo::Demo;
use support::scripts;

/// Runs a script of `tests/browser` on a demo of its own.
fn script(name: &str) {
    let Some((chromium, scripts)) = scripts::browser() else { return };
    let mut demo = Demo::start();
    let mut child = Command::new("node")
        .arg(name)
        .current_dir(&scripts)
        .env("LINK", &demo.link)
        .env("SEAWAY", support::program().get_program())
        .env("KUBECTL", Kubectl::program())
        .env("KUBECONFIG", demo.kubeconfig())
        .env("CLONE", demo.clone_of_repository())
        .env("CHROMIUM", &chromium)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_AUTHOR_NAME", "Ada")
        .env("GIT_AUTHOR_EMAIL", "ada@example.com")
        .env("GIT_COMMITTER_NAME", "Ada")
        .env("GIT_COMMITTER_EMAIL", "ada@example.com")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        println!("{line}");
        if line == "restart" {
            demo = demo.killed_and_restarted();
            writeln!(input, "done").unwrap();
        }
    }
    assert!(child.wait().unwrap().success(), "see above");
}

#[test]
fn a_newcomer_sees_it_work() {
    script("main-path.mjs");
}

#[test]
fn a_developer_works_in_a_copy() {
    script("copies.mjs");
}

#[test]
fn somebody_operates_an_environment() {
    script("operate.mjs");
}

#[test]
fn everything_is_reached_by_keyboard_and_by_touch() {
    script("reach.mjs");
}

#[test]
fn people_with_less_see_and_do_less() {
    script("people.mjs");
}

#[test]
#[ignore = "a benchmark: with a release build, --no-capture"]
fn benchmark_of_the_page() {
    script("benchmark.mjs");
}
