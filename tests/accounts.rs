//! People are added, log in on the command line as themselves, and may do what their role says.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::person::{PASSWORD, Person, join};
use support::{Seaway, eventually};

#[test]
fn a_developer_is_added_and_works_as_herself_on_the_command_line() {
    let seaway = Seaway::start();
    let kubeconfig = seaway.folder.join("kubeconfig");
    let admin = Person::new(&kubeconfig);
    let mut ada = Person::new(Path::new("/nonexistent"));

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
    assert_eq!(right.stderr, format!("Logging in as ada at {server}.\n"), "where the password goes is said");
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
    // With the kubeconfig named she is whoever that is, whether by the option or by the variable.
    let named = ["account", "list", "-o", "name", "--kubeconfig", kubeconfig.to_str().unwrap()];
    assert_eq!(ada.run_with(&named, "").stdout, "ada\n");
    ada.kubeconfig = kubeconfig.clone();
    assert_eq!(ada.run("account list -o name").stdout, "ada\n");
    let warned = ada.run_with(&login, &format!("{PASSWORD}\n"));
    assert!(warned.success && warned.stderr.contains("unset KUBECONFIG"), "{warned:?}");
    // One that names no Seaway server, or has no token for it, does not keep her from being herself.
    let config = std::fs::read_to_string(&kubeconfig).unwrap();
    for (text, other) in [("seaway.dev/server", "example.com/other"), (" token:", " username:")] {
        assert!(config.contains(text), "{text}");
        ada.kubeconfig = seaway.folder.join("other-kubeconfig");
        std::fs::write(&ada.kubeconfig, config.replace(text, other)).unwrap();
        let printed = ada.run("account list");
        assert!(printed.stderr.contains("forbidden"), "{other}: {printed:?}");
    }

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

/// What a page does: sends a request with the cookie of its browser; head and body of the answer.
fn as_page(server: &str, path: &str, cookie: &str, body: &Value) -> (String, String) {
    let host = server.strip_prefix("http://").unwrap();
    let body = body.to_string();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nCookie: {cookie}\r\nX-Seaway-CSRF: 1\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// The value of a parameter of a link.
fn parameter<'a>(link: &'a str, name: &str) -> &'a str {
    let query = link.split_once('?').unwrap().1;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('=')).unwrap()
}

/// A developer with an account, and the cookie of a browser where she is logged in.
fn in_a_browser(seaway: &Seaway) -> (String, String) {
    let admin = Person::new(&seaway.folder.join("kubeconfig"));
    let link = admin.json("account create ada --role developer -o json")["link"].as_str().unwrap().to_owned();
    join(&link);
    let server = link.split_once("/join#").unwrap().0.to_owned();
    let (head, _) = as_page(&server, "/api/v1/login", "", &json!({"name": "ada", "password": PASSWORD}));
    let cookie = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    (server, cookie.split(';').next().unwrap().to_owned())
}

#[test]
fn a_command_line_is_let_in_by_its_persons_browser() {
    let seaway = Seaway::start();
    let (server, cookie) = in_a_browser(&seaway);
    let ada = Person::new(Path::new("/nonexistent"));

    let mut child = ada.command(&["login", "--server", &server]).env("BROWSER", "true").spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut link = String::new();
    while !link.contains("/command-line?") {
        link.clear();
        assert_ne!(said.read_line(&mut link).unwrap(), 0, "it prints the link");
    }
    let link = link.trim();
    let (challenge, port) = (parameter(link, "challenge"), parameter(link, "port"));
    let mut mark = String::new();
    while !mark.contains("It shows") {
        mark.clear();
        assert_ne!(said.read_line(&mut mark).unwrap(), 0, "it prints what to compare");
    }
    assert!(mark.contains(&challenge[..4]), "{mark}");
    let hand_over = |query: &str| {
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        write!(stream, "GET /?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let (_, admitted) = as_page(&server, "/api/v1/command-lines", &cookie, &json!({"challenge": challenge}));
    let code = serde_json::from_str::<Value>(&admitted).unwrap()["code"].as_str().unwrap().to_owned();
    let stranger = hand_over(&format!("code={code}&state=of-another-page"));
    assert!(stranger.starts_with("HTTP/1.1 404"), "{stranger}");
    let answer = hand_over(&format!("code={code}&state={}", parameter(link, "state")));
    assert!(answer.contains("You can close this page") && !answer.contains(&code), "{answer}");
    let printed = child.wait_with_output().unwrap();
    assert!(printed.status.success());
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed, format!("Logged in to {server} as ada.\n"));
    assert!(ada.run("env list").success);
    assert!(ada.run("logout").success);
}

#[test]
fn where_the_browser_is_elsewhere_the_code_is_passed_by_hand() {
    let seaway = Seaway::start();
    let (server, cookie) = in_a_browser(&seaway);
    let ada = Person::new(Path::new("/nonexistent"));
    let mut child = ada.command(&["login", "--no-browser", "--server", &server]).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut link = String::new();
    while !link.contains("/command-line?") {
        link.clear();
        assert_ne!(said.read_line(&mut link).unwrap(), 0, "it prints the link");
    }
    assert!(!link.contains("port="), "{link}");
    let body = json!({"challenge": parameter(link.trim(), "challenge")});
    let (_, admitted) = as_page(&server, "/api/v1/command-lines", &cookie, &body);
    let code = serde_json::from_str::<Value>(&admitted).unwrap()["code"].as_str().unwrap().to_owned();
    writeln!(child.stdin.take().unwrap(), "{code}").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(ada.run("env list").success);
    // Another code is none for this command line.
    let refused = ada.run_with(&["login", "--no-browser", "--server", &server], &format!("{code}\n"));
    assert!(!refused.success && refused.stderr.contains("has been used"), "{refused:?}");
}
