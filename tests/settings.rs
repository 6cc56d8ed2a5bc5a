//! A setting is a flag, a variable or a key of `seaway.toml`, in that order.

#![allow(clippy::unwrap_used)]

mod support;

use support::{program, unwrapped};

/// What a command says that knows a server and no token.
fn said(config: Option<&str>, variable: Option<&str>, flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = program();
    command.args(["env", "list"]).args(flags).env("HOME", folder.path());
    if let Some(text) = config {
        std::fs::write(folder.path().join("seaway.toml"), text).unwrap();
        command.env("SEAWAY_CONFIG", folder.path().join("seaway.toml"));
    }
    if let Some(server) = variable {
        command.env("SEAWAY_SERVER", server);
    }
    let output = command.output().unwrap();
    assert!(!output.status.success());
    unwrapped(&String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_flag_counts_before_a_variable_and_that_before_the_file() {
    let file = Some("server = 'http://127.0.0.1:1111'\n[up]\nlisten = '127.0.0.1:0'\n");
    assert!(said(file, None, &[]).contains("no token for http://127.0.0.1:1111"));
    assert!(said(file, Some("http://127.0.0.1:2222"), &[]).contains("no token for http://127.0.0.1:2222"));
    let flags = ["--server", "http://127.0.0.1:3333"];
    assert!(said(file, Some("http://127.0.0.1:2222"), &flags).contains("no token for http://127.0.0.1:3333"));
    assert!(said(None, None, &[]).contains("no Seaway server is known"));
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let text = said(Some("servr = 'x'\n"), None, &[]);
    assert!(
        text.contains("seaway.toml") && text.contains("no setting servr") && text.contains("server"),
        "{text}"
    );
    let text = said(Some("server = \n"), None, &[]);
    assert!(text.contains("line 1"), "{text}");
    let text = said(None, None, &["--config", "/nonexistent/seaway.toml"]);
    assert!(text.contains("/nonexistent/seaway.toml cannot be read"), "{text}");
}

#[test]
fn a_file_of_somebody_else_in_the_working_directory_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("seaway.toml"), "server = 'http://127.0.0.1:1111'\n").unwrap();
    let output =
        program().args(["env", "list"]).current_dir(folder.path()).env("HOME", folder.path()).output();
    let text = unwrapped(&String::from_utf8(output.unwrap().stderr).unwrap());
    assert!(text.contains("no Seaway server is known"), "{text}");
}
