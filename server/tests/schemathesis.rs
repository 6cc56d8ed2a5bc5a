//! The document of the API against the API itself, by schemathesis (PyPI): what it generates from the document is sent,
//! and the answers must be what the document says. Not part of the usual run, since it takes minutes:
//! `cargo nextest run -p seaway-server --run-ignored only --no-capture schemathesis`.
//!
//! `SEAWAY_TEST_SCHEMATHESIS` names the program; else it is installed in a temporary virtual environment. Where that
//! cannot be, it says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::World;

const VERSION: &str = "4.32.5";

/// The program, installed below `folder` when it is nowhere else.
fn program(folder: &Path) -> Option<PathBuf> {
    if let Some(program) = std::env::var_os("SEAWAY_TEST_SCHEMATHESIS") {
        return Some(program.into());
    }
    let home = folder.join("venv");
    let run = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    let installed = run(Command::new("python3").args(["-m", "venv"]).arg(&home))
        && run(Command::new(home.join("bin/pip")).args([
            "install",
            "--quiet",
            &format!("schemathesis=={VERSION}"),
        ]));
    installed.then(|| home.join("bin/schemathesis"))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn schemathesis_finds_no_answer_that_the_document_does_not_know() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = program(folder.path()) else {
        println!("skipped: schemathesis {VERSION} could not be installed");
        return;
    };
    let world = World::start().await;
    world.deployed().await;
    world.environment("seaway", "other").await;
    let document = format!("http://{}/api/openapi.json", world.server.address());
    for settings in [
        // Whatever the document allows.
        "",
        // An environment that is there.
        "[parameters]\n\"path.namespace\" = \"seaway\"\n\"path.name\" = \"staging\"\n",
    ] {
        std::fs::write(folder.path().join("schemathesis.toml"), settings).unwrap();
        let mut command = Command::new(&program);
        command
            .current_dir(folder.path())
            .args(["--config-file", "schemathesis.toml", "run", &document, "--no-color", "--seed", "1"])
            .args(["--header", "Authorization: Bearer token-of-admin", "--max-examples", "30"])
            .args(["--request-timeout", "60", "--workers", "1", "--continue-on-failure"])
            // A stream without an end.
            .args(["--exclude-path", "/api/v1/events"])
            // What is of the right form may still be refused, for a name that is taken or something that is not there;
            // and a page that is asked for larger than the largest is given as the largest.
            .args(["--exclude-checks", "positive_data_acceptance,negative_data_rejection"]);
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    world.stop().await;
}
