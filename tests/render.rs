//! `seaway render` prints what real kustomize prints.

#![allow(clippy::unwrap_used)]

#[path = "../core/source/tests/git/mod.rs"]
mod git;
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use git::git;
use support::program;

fn render(arguments: &[&str]) -> Output {
    program().arg("render").args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Directories of one repository of the corpus and what kustomize printed for each.
fn corpus(repository: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus/kustomize").join(repository);
    let Ok(index) = std::fs::read_to_string(folder.join("index.tsv")) else {
        println!("skipped: {} is not there", folder.display());
        return vec![];
    };
    let rows = index.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let (directory, result, file) = (columns.next()?, columns.next()?, columns.next()?);
        let expected = std::fs::read_to_string(folder.join("expected").join(file)).ok()?;
        (result == "ok").then(|| (folder.join("tree").join(directory), expected))
    });
    rows.collect()
}

#[test]
fn real_repositories_render_as_with_kustomize() {
    for repository in ["stefanprodan--podinfo", "GoogleCloudPlatform--bank-of-anthos"] {
        for (directory, expected) in corpus(repository) {
            let output = render(&[directory.to_str().unwrap()]);
            assert_eq!(text(&output.stdout), expected, "{}: {}", directory.display(), text(&output.stderr));
            assert!(output.status.success());
        }
    }
}

#[test]
fn a_kustomization_is_printed_in_each_form() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("base")).unwrap();
    std::fs::create_dir_all(at("over")).unwrap();
    std::fs::write(
        at("base/c.yaml"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: yes}\n",
    )
    .unwrap();
    std::fs::write(at("base/kustomization.yaml"), "resources: [c.yaml]\n").unwrap();
    std::fs::write(at("over/kustomization.yaml"), "resources: [../base]\nnamePrefix: my-\nnamespace: shop\n")
        .unwrap();
    let over = at("over");
    let over = over.to_str().unwrap();
    let yaml = render(&[over]);
    assert_eq!(
        text(&yaml.stdout),
        "apiVersion: v1\ndata:\n  a: \"yes\"\nkind: ConfigMap\nmetadata:\n  name: my-c\n  namespace: shop\n",
        "{}",
        text(&yaml.stderr)
    );
    assert_eq!(text(&render(&[over, "-o", "names"]).stdout), "shop configmap/my-c\n");
    let list: serde_json::Value = serde_json::from_slice(&render(&[over, "-o", "json"]).stdout).unwrap();
    assert_eq!(list["items"][0]["metadata"]["name"], "my-c");
}

#[test]
fn what_is_wrong_is_named_with_its_file_and_nothing_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), "resources: [missing.yaml]\n").unwrap();
    let output = render(&[folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = text(&output.stderr);
    assert!(message.contains("missing.yaml") && message.contains("kustomization.yaml"), "{message}");
    let output = render(&["/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("/nowhere/at/all"));
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

fn commit(folder: &Path, files: &[(&str, &str)]) -> String {
    if !folder.join(".git").exists() {
        git(folder, &["init", "--quiet"]);
    }
    write(folder, files);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "change"]);
    git(folder, &["rev-parse", "HEAD"])
}

/// A folder for repositories, directories and the mirrors of one test.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn render(&self, arguments: &[&str]) -> Output {
        let cache = self.at("cache");
        render(&[arguments, &["--cache-dir", cache.to_str().unwrap()]].concat())
    }

    /// What is printed when it works.
    fn rendered(&self, arguments: &[&str]) -> String {
        let output = self.render(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout).to_owned()
    }

    /// What is complained of when it does not.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.render(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        assert!(output.stdout.is_empty());
        // Without the line breaks of the report.
        text(&output.stderr).split_whitespace().filter(|word| *word != "│").collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn a_repository_is_rendered_at_a_revision_without_a_checkout() {
    let place = Place::new();
    let repository = place.at("shop");
    write(&place.at("shop"), &[]);
    std::fs::create_dir_all(&repository).unwrap();
    let first = commit(
        &repository,
        &[
            ("base/pod.yaml", POD),
            ("base/kustomization.yaml", "resources: [pod.yaml]\n"),
            ("over/kustomization.yaml", "resources: [../base]\nnamePrefix: one-\n"),
        ],
    );
    git(&repository, &["tag", "v1"]);
    commit(&repository, &[("over/kustomization.yaml", "resources: [../base]\nnamePrefix: two-\n")]);
    let url = format!("file://{}", repository.display());
    assert_eq!(place.rendered(&[&url, "--path", "over", "-o", "names"]), "pod/two-p\n");
    for revision in ["v1", &first, &first[..10], "refs/tags/v1"] {
        let arguments = [&url, "--path", "over", "--revision", revision, "-o", "names"];
        assert_eq!(place.rendered(&arguments), "pod/one-p\n", "{revision}");
    }
    // kustomize's notation, and the same from what was kept.
    for _ in 0..2 {
        assert_eq!(place.rendered(&[&format!("{url}//over?ref=v1"), "-o", "names"]), "pod/one-p\n");
    }
    let message = place.refused(&[&url, "--path", "over", "--revision", "nowhere"]);
    assert!(message.contains("nowhere") && message.contains("main"), "{message}");
    let message = place.refused(&[&url, "--path", "absent"]);
    assert!(message.contains("absent"), "{message}");
    let message = place.refused(&[repository.to_str().unwrap(), "--revision", "v1"]);
    assert!(message.contains("file:///"), "{message}");
    assert!(!repository.join("over/other").exists());
}

#[test]
fn remote_bases_are_fetched_where_that_is_allowed() {
    let place = Place::new();
    for name in ["base", "inner"] {
        std::fs::create_dir_all(place.at(name)).unwrap();
    }
    commit(&place.at("inner"), &[("k/pod.yaml", POD), ("k/kustomization.yaml", "resources: [pod.yaml]\n")]);
    let inner = format!("file://{}//k?ref=main", place.at("inner").display());
    commit(
        &place.at("base"),
        &[("kustomization.yaml", &format!("resources: ['{inner}']\nnamePrefix: base-\n"))],
    );
    let base = format!("file://{}", place.at("base").display());
    write(&place.at("top"), &[("kustomization.yaml", &format!("resources: ['{base}']\nnamePrefix: top-\n"))]);
    let top = place.at("top");
    let top = top.to_str().unwrap();
    assert_eq!(place.rendered(&[top, "--allow", "file", "-o", "names"]), "pod/top-base-p\n");
    let message = place.refused(&[top]);
    assert!(message.contains(&base) && message.contains("not allowed"), "{message}");
    let explained = place.rendered(&[top, "--allow", "file", "--explain"]);
    assert!(explained.contains("//k/pod.yaml:1"), "{explained}");
}

/// Answers every connection with `answer`, or never when that is empty.
fn server(answer: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            if !answer.is_empty() {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer.as_bytes());
            } else {
                open.push(stream);
            }
        }
    });
    port
}

#[test]
fn files_over_http_are_fetched_where_that_is_allowed() {
    let place = Place::new();
    let port = server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{POD}", POD.len()));
    let url = format!("http://127.0.0.1:{port}/a/pod.yaml");
    write(&place.at("top"), &[("kustomization.yaml", &format!("resources: ['{url}']\n"))]);
    let top = place.at("top");
    let top = top.to_str().unwrap();
    assert_eq!(place.rendered(&[top, "--allow", "loopback,http", "-o", "names"]), "pod/p\n");
    let message = place.refused(&[top, "--allow", "loopback"]);
    assert!(message.contains(&url) && message.contains("plain http is not allowed"), "{message}");
    let message = place.refused(&[top, "--allow", "http"]);
    assert!(message.contains(&url) && message.contains("this machine"), "{message}");
}

#[test]
fn remote_bases_that_hang_or_lead_elsewhere_are_given_up() {
    let place = Place::new();
    let silent = server(String::new());
    let elsewhere = "http://169.254.169.254/latest/meta-data.yaml";
    let redirects =
        server(format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"));
    let circle =
        server("HTTP/1.1 302 Found\r\nLocation: /again.yaml\r\nContent-Length: 0\r\n\r\n".to_owned());
    let missing = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned());
    let huge = server(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 100 << 20));
    for (name, url, expected) in [
        ("file-hangs", format!("http://127.0.0.1:{silent}/x.yaml"), "did not come within 1 s"),
        ("base-hangs", format!("http://127.0.0.1:{silent}/org/repo.git//k?ref=main"), "1 s"),
        ("file-redirects", format!("http://127.0.0.1:{redirects}/x.yaml"), "link-local"),
        ("base-redirects", format!("http://127.0.0.1:{redirects}/org/repo.git//k?ref=main"), "link-local"),
        ("circle", format!("http://127.0.0.1:{circle}/x.yaml"), "redirects more than 5 times"),
        ("missing", format!("http://127.0.0.1:{missing}/x.yaml"), "404"),
        ("huge", format!("http://127.0.0.1:{huge}/x.yaml"), "at most 33554432 bytes"),
        ("helper", "ext::sh -c touch% /tmp/x".to_owned(), "ext::sh"),
        ("option", "ssh://-oProxyCommand=x/a/b".to_owned(), "not the address of a repository"),
    ] {
        let folder = place.at(name);
        write(&folder, &[("kustomization.yaml", &format!("resources:\n- \"{url}\"\n"))]);
        let message =
            place.refused(&[folder.to_str().unwrap(), "--allow", "loopback,http", "--timeout", "1"]);
        let named = url.split("//k?").next().unwrap();
        assert!(message.contains(expected) && message.contains(named), "{name}: {message}");
    }
}

/// Serves the files of a folder to who says that he is `ada` with `s3cret`: the simplest way of Git over HTTP.
fn private_server(folder: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // "ada:s3cret" in base64.
    const WANTED: &str = "Authorization: Basic YWRhOnMzY3JldA==";
    let answer = move |request: &str| -> (&str, Vec<u8>) {
        if !request.lines().any(|line| line.eq_ignore_ascii_case(WANTED)) {
            return ("401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"", Vec::new());
        }
        let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default();
        match std::fs::read(folder.join(path.trim_start_matches('/'))) {
            Ok(content) => ("200 OK", content),
            Err(_) => ("404 Not Found", Vec::new()),
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                request.push(byte[0]);
            }
            let (status, body) = answer(&String::from_utf8_lossy(&request));
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    port
}

#[test]
fn a_private_repository_is_rendered_with_a_password_that_is_never_shown() {
    let place = Place::new();
    std::fs::create_dir_all(place.at("work")).unwrap();
    commit(&place.at("work"), &[("k/pod.yaml", POD), ("k/kustomization.yaml", "resources: [pod.yaml]\n")]);
    let bare = place.at("served/shop.git");
    git(place.0.path(), &["clone", "--quiet", "--bare", "work", bare.to_str().unwrap()]);
    git(&bare, &["update-server-info"]);
    let port = private_server(place.at("served"));
    let url = format!("http://127.0.0.1:{port}/shop.git");
    let home = place.at("home");
    std::fs::create_dir_all(&home).unwrap();
    // Each time with a cache of its own: what is there already needs no password.
    let render = |cache: &str, source: &[&str], credentials: Option<&str>| {
        let mut program = program();
        let cache = place.at(cache);
        program.arg("render").args(source).args(["-o", "names", "--cache-dir", cache.to_str().unwrap()]);
        program.env("HOME", &home).env_remove("SEAWAY_GIT_CREDENTIALS").env_remove("GIT_CONFIG_GLOBAL");
        if let Some(credentials) = credentials {
            program.env("SEAWAY_GIT_CREDENTIALS", credentials);
        }
        let output = program.stdin(Stdio::null()).output().unwrap();
        let message = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(!message.contains("s3cret") && !message.contains("wr0ng"), "{message}");
        (text(&output.stdout).to_owned(), message)
    };
    let named: &[&str] = &[&url, "--path", "k"];
    let (printed, message) = render("none", named, None);
    assert_eq!(printed, "", "{message}");
    assert!(message.contains("refuses access") && message.contains("SEAWAY_GIT_CREDENTIALS"), "{message}");
    let (printed, message) = render("wrong", named, Some(&format!("http://ada:wr0ng@127.0.0.1:{port}")));
    assert!(printed.is_empty() && message.contains("refuses access"), "{message}");
    let (printed, message) = render("elsewhere", named, Some("http://ada:s3cret@127.0.0.1:1/shop"));
    assert!(printed.is_empty() && message.contains("refuses access"), "{message}");
    let credentials = format!("https://a:b@git.example.com http://ada:s3cret@127.0.0.1:{port}/shop");
    let (printed, message) = render("environment", named, Some(&credentials));
    assert_eq!(printed, "pod/p\n", "{message}");

    // A helper of git, as its user has configured it; for a remote base too.
    let helper = "[credential]\n\thelper = \"!f() { echo username=ada; echo password=s3cret; }; f\"\n";
    std::fs::write(home.join(".gitconfig"), helper).unwrap();
    let (printed, message) = render("helper", named, None);
    assert_eq!(printed, "pod/p\n", "{message}");
    let top = place.at("top");
    write(&top, &[("kustomization.yaml", &format!("resources: ['{url}//k?ref=main']\nnamePrefix: top-\n"))]);
    let allowed: &[&str] = &[top.to_str().unwrap(), "--allow", "loopback,http"];
    let (printed, message) = render("base", allowed, None);
    assert_eq!(printed, "pod/top-p\n", "{message}");
}

#[test]
fn files_of_plain_yaml_are_chosen_by_globs() {
    let place = Place::new();
    let pod = |name: &str| POD.replace("{name: p}", &format!("{{name: {name}}}"));
    write(
        &place.at("m"),
        &[
            ("a.yaml", &pod("a")),
            ("apps/b.yaml", &pod("b")),
            ("apps/deep/c.yml", &pod("c")),
            ("apps/b-test.yaml", &pod("t")),
        ],
    );
    let folder = place.at("m");
    let folder = folder.to_str().unwrap();
    let names = |options: &[&str]| {
        let printed = place.rendered(&[&[folder, "-o", "names"], options].concat());
        printed.lines().map(|line| line.trim_start_matches("pod/").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&[]), "a t b c");
    assert_eq!(names(&["--include", "apps/**"]), "t b c");
    assert_eq!(names(&["--include", "apps/*", "--exclude", "**/*-test.yaml"]), "b");
    assert_eq!(names(&["--include", "{a,apps/deep/*}.{yaml,yml}"]), "a c");
    assert_eq!(names(&["--no-recurse"]), "a");
    let explained = place.rendered(&[folder, "--explain", "--no-recurse"]);
    assert!(
        explained.contains("a.yaml:1") && explained.contains("read") && explained.contains(" ms"),
        "{explained}"
    );
    write(&place.at("m"), &[("kustomization.yaml", "resources: [a.yaml]\n")]);
    let message = place.refused(&[folder, "--include", "*"]);
    assert!(message.contains("is a kustomization") && message.contains("--kind plain"), "{message}");
}

#[test]
fn validation_names_the_line_and_prints_nothing() {
    let place = Place::new();
    write(
        &place.at("k"),
        &[
            ("kustomization.yaml", "resources: [pod.yaml, odd.yaml]\nnamePrefix: x-\n"),
            ("pod.yaml", &format!("{POD}spec:\n  containerz: []\n")),
            ("odd.yaml", "apiVersion: example.com/v1\nkind: Odd\nmetadata: {name: o}\n"),
        ],
    );
    let folder = place.at("k");
    let output = place.render(&[folder.to_str().unwrap(), "--validate"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = text(&output.stderr);
    assert!(message.contains("pod.yaml:5") && message.contains("containerz"), "{message}");
    assert!(message.contains("Warning: example.com/v1 Odd was not validated"), "{message}");
    write(&place.at("k"), &[("pod.yaml", POD)]);
    assert_eq!(place.rendered(&[folder.to_str().unwrap(), "--validate", "-o", "names"]).lines().count(), 2);
}

#[test]
fn an_explanation_tells_what_made_each_object() {
    let place = Place::new();
    write(
        &place.at("k"),
        &[
            ("kustomization.yaml", "resources: [pod.yaml]\nnamePrefix: x-\npatches:\n- path: p.yaml\n"),
            ("pod.yaml", POD),
            ("p.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: true}\n"),
        ],
    );
    let folder = place.at("k");
    let folder = folder.to_str().unwrap();
    let explained = place.rendered(&[folder, "--explain"]);
    for part in [
        "pod/x-p\n",
        "pod.yaml:1",
        "namePrefix",
        "metadata.name",
        "p.yaml)",
        " ms",
        "1 object from 3 files in",
    ] {
        assert!(explained.contains(part), "{part} in {explained}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&place.rendered(&[folder, "--explain", "-o", "json"])).unwrap();
    let steps = json["objects"][0]["transformations"].as_array().unwrap();
    assert_eq!(steps[1]["what"], "patches[0]");
    assert_eq!(steps[1]["line"], 4);
    assert_eq!(steps[1]["fields"][0], "spec");
    assert!(steps[1]["microseconds"].is_number());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let place = Place::new();
    let big: String = (0..2000).map(|n| format!("{}---\n", POD.replace("p}", &format!("p{n}}}")))).collect();
    write(&place.at("k"), &[("pods.yaml", &big)]);
    let mut child = program()
        .arg("render")
        .arg(place.at("k"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}
