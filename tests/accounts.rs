//! People are added, log in on the command line as themselves, and may do what their role says.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use support::{Printed, Seaway, eventually, program};

const PASSWORD: &str = "correct horse battery";

/// A person at a command line, with a folder for the login and no kubeconfig unless one is given.
struct Person {
    config: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Person {
    fn new(kubeconfig: &Path) -> Self {
        Self { config: tempfile::tempdir().unwrap(), kubeconfig: kubeconfig.to_owned() }
    }

    fn run_with(&self, arguments: &[&str], input: &str) -> Printed {
        let mut child = program()
            .args(arguments)
            .env("XDG_CONFIG_HOME", self.config.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
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

    fn run(&self, line: &str) -> Printed {
        self.run_with(&line.split_whitespace().collect::<Vec<_>>(), "")
    }

    #[track_caller]
    fn json(&self, line: &str) -> Value {
        let printed = self.run(line);
        assert!(printed.success, "seaway {line}: {printed:?}");
        serde_json::from_str(&printed.stdout).unwrap_or_else(|e| panic!("seaway {line}: {e}: {printed:?}"))
    }

    fn file(&self) -> PathBuf {
        self.config.path().join("seaway/login.json")
    }
}

/// What the page does with a link.
fn join(link: &str) {
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

#[test]
fn a_developer_is_added_and_works_as_herself_on_the_command_line() {
    let seaway = Seaway::start();
    let kubeconfig = seaway.folder.join("kubeconfig");
    let admin = Person::new(&kubeconfig);
    // The kubeconfig of the environment is somebody else's: a login counts before it.
    let ada = Person::new(&kubeconfig);

    let made = admin.json("account create ada --role developer -o json");
    let link = made["link"].as_str().unwrap();
    join(link);
    let server = link.split_once("/join#").unwrap().0;
    assert_eq!(
        admin.run("account list").rows()[1].split(' ').take(3).collect::<Vec<_>>(),
        ["ada", "developer", "active"]
    );
    let again = admin.run("account create ada");
    assert!(!again.success && again.stderr.contains("there is an account"), "{again:?}");

    let login = ["login", "--server", server, "--user", "ada", "--password-stdin"];
    let wrong = ada.run_with(&login, "wrong password\n");
    assert!(!wrong.success && !ada.file().exists(), "{wrong:?}");
    let right = ada.run_with(&login, &format!("{PASSWORD}\n"));
    assert!(right.success, "{right:?}");
    assert_eq!(std::fs::metadata(ada.file()).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!right.stdout.contains("swy_") && !right.stderr.contains("swy_"));

    let k = seaway.kubectl();
    k.apply(
        "apiVersion: seaway.dev/v1alpha1
kind: Environment
metadata: {name: production, namespace: seaway}
spec: {stack: shop, class: production, destination: {namespace: shop}}
",
    );
    eventually("she sees it", || {
        ada.json("env list -o json").as_array().unwrap().iter().any(|one| one["name"] == "production")
    });
    for refused in
        ["account list", "account create eve", "env sync production", "env delete production --yes"]
    {
        let printed = ada.run(refused);
        assert!(!printed.success && printed.stderr.contains("forbidden"), "{refused}: {printed:?}");
    }
    // With the kubeconfig named she is whoever that is.
    let named = ["account", "list", "-o", "name", "--kubeconfig", kubeconfig.to_str().unwrap()];
    assert_eq!(ada.run_with(&named, "").stdout, "ada\n");

    let stolen = std::fs::read_to_string(ada.file()).unwrap();
    let out = ada.run("logout");
    assert!(out.success && !ada.file().exists(), "{out:?}");
    std::fs::write(ada.file(), stolen).unwrap();
    let after = ada.run("env list");
    assert!(!after.success && after.stderr.contains("log in again"), "{after:?}");
    let twice = ada.run("logout");
    assert!(
        twice.success && !ada.file().exists(),
        "what the server has forgotten is forgotten here: {twice:?}"
    );

    assert!(!admin.run("account delete ada").success, "nobody can be asked");
    let gone = admin.run("account delete ada --yes");
    assert!(gone.success, "{gone:?}");
    eventually("her namespace is gone", || !k.run("get namespace seaway-ada").success);
}
