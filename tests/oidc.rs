//! Logging in at a real provider of OpenID Connect: the certified `oidc-provider`, started by the test.
//!
//! It needs Node.js; where that is missing it says so and passes.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::{Value, json};
use support::{Seaway, eventually, scripts};

/// A running provider; ended when dropped.
struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    issuer: String,
}

impl Provider {
    /// It has an address, and does not answer yet.
    fn start(scripts: &Path) -> Self {
        let mut child = Command::new("node")
            .arg("provider.mjs")
            .current_dir(scripts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut provider = Self { child, input, output, issuer: String::new() };
        provider.issuer = provider.line();
        provider
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Answers from now on, for a server at this URL.
    fn serve(&mut self, url: &str) {
        writeln!(self.input, "{url}/api/v1/oidc/callback").unwrap();
        assert_eq!(self.line(), "ready");
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Logs in as this person, with a browser of her own.
fn log_in(scripts: &Path, url: &str, name: &str) -> Value {
    let output = Command::new("node")
        .arg("login.mjs")
        .current_dir(scripts)
        .env("LINK", format!("{url}/api/v1/oidc/login?next=%2Fenvironments%2Fseaway%2Fstaging"))
        .env("NAME", name)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "see above");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A server that lets the provider's people in, with what must outlive it.
fn start(scripts: &Path) -> (Provider, tempfile::TempDir, Seaway, String) {
    let mut provider = Provider::start(scripts);
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "a secret & more\n").unwrap();
    let issuer = provider.issuer.clone();
    let options = [
        ["--node", "none"],
        ["--oidc-issuer", &issuer],
        ["--oidc-client-id", "seaway"],
        ["--oidc-client-secret-file", secret.to_str().unwrap()],
        ["--oidc-role", "platform=operator"],
        ["--oidc-role", "shop-developers=developer:shop/staging"],
    ];
    let seaway = Seaway::start_with(&folder.path().join("data"), options.as_flattened());
    let url = seaway.url().replace("127.0.0.1", "localhost");
    provider.serve(&url);
    (provider, folder, seaway, url)
}

#[test]
fn people_log_in_with_the_provider_s_button_in_a_real_browser() {
    let Some((chromium, browser)) = scripts::browser() else { return };
    let Some(scripts) = scripts::installed("oidc") else { return };
    let (provider, _folder, _seaway, url) = start(&scripts);
    let passed = Command::new("node")
        .arg("oidc.mjs")
        .current_dir(browser)
        .env("SERVER", url)
        .env("ISSUER", &provider.issuer)
        .env("CHROMIUM", chromium)
        .status()
        .unwrap();
    assert!(passed.success(), "see above");
}

#[test]
fn people_log_in_at_a_real_provider_and_its_groups_say_what_they_may_do() {
    let Some(scripts) = scripts::installed("oidc") else { return };
    let (_provider, _folder, seaway, url) = start(&scripts);

    let jane = log_in(&scripts, &url, "jane");
    assert_eq!(
        (&jane["status"], &jane["path"]),
        (&json!(200), &json!("/environments/seaway/staging")),
        "{jane}"
    );
    assert_eq!(jane["session"]["user"], "jane");
    assert_eq!(jane["session"]["method"], "oidc");
    assert_eq!(jane["session"]["groups"], json!(["seaway:operators", "system:authenticated"]));
    assert_eq!(jane["session"]["may"]["sync"], true);
    let k = seaway.kubectl();
    eventually("she has a namespace for environments of her own", || {
        k.run("get namespace seaway-jane").success
    });

    let joe = log_in(&scripts, &url, "joe");
    assert_eq!(joe["session"]["groups"], json!(["seaway:developers:shop:staging", "system:authenticated"]));
    assert!(k.ok("get role -n seaway seaway:developers:shop:staging -o name").stdout.contains("developers"));

    let eve = log_in(&scripts, &url, "eve");
    assert_eq!((&eve["status"], &eve["path"]), (&json!(401), &json!("/login?failed=role")), "{eve}");
    let again = log_in(&scripts, &url, "jane");
    assert_eq!(again["status"], 200, "{again}");
}
