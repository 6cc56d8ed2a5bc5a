//! A setting is a flag, a variable or a key of `seaway.toml`, in that order; and what some of them do.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;

use serde_json::Value;
use support::{failed_start, program, unwrapped};

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

/// Starts `seaway up` with these options; its first line, the rest of what it writes, and the process.
fn up(data: &std::path::Path, more: &[&str]) -> (String, std::process::Child) {
    let mut child = program()
        .args(["up", "--node", "none", "--kube-listen", "127.0.0.1:0", "--gateway-listen", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data)
        .args(more)
        .env("SEAWAY_LOG", "info")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"), "{line}");
    (line, child)
}

/// The port at which it serves its API.
fn port(ready: &str) -> u16 {
    let rest = ready.split_once("Seaway at http://").unwrap().1;
    let address = rest.split([',', ' ']).next().unwrap();
    address.rsplit(':').next().unwrap().trim().parse().unwrap()
}

#[test]
fn plain_http_beyond_this_machine_is_for_who_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, said) = failed_start(&["up", "--listen", "0.0.0.0:0", "--data-dir", data.to_str().unwrap()]);
    assert_ne!(code, Some(0));
    let said = unwrapped(&said);
    assert!(said.contains("can be reached from other machines") && said.contains("--insecure"), "{said}");
    assert!(!data.exists(), "nothing was begun");
    let (ready, mut child) = up(&data, &["--listen", "0.0.0.0:0", "--insecure"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port(&ready))).unwrap();
    write!(stream, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_log_is_one_json_object_a_line_with_the_id_of_the_request() {
    let folder = tempfile::tempdir().unwrap();
    let (ready, mut child) = up(folder.path(), &["--listen", "127.0.0.1:0", "--log-format", "json"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port(&ready))).unwrap();
    write!(
        stream,
        "GET /api/v1/environments?search=secret HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let id = answer.lines().find_map(|line| line.strip_prefix("x-request-id: ")).unwrap().to_owned();
    let mut found = None;
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        let line = line.unwrap();
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(value["level"].is_string() && value["timestamp"].is_string(), "{line}");
        if value["span"]["id"] == id.as_str() && value["fields"]["message"] == "answered" {
            assert!(!line.contains("secret"), "a query may hold what is secret: {line}");
            found = Some(value);
            break;
        }
    }
    let found = found.expect("a line of the request");
    assert_eq!(found["fields"]["status"], 401);
    child.kill().unwrap();
    child.wait().unwrap();
}
