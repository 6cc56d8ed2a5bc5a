//! `seaway up --demo`: the shop's images and repository in the data folder, two environments that follow it, and what
//! to try with them.
//!
//! Everything is made at the first start and is the person's from then on: later starts change neither the repository
//! nor the Stack and the Environments.

use std::ffi::OsStr;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use http_body_util::Empty;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use miette::{IntoDiagnostic, WrapErr};
use seaway_api::Environment;
use seaway_apiserver::Identity;
use seaway_demo::{Repository, images};
use seaway_object::yaml::Dialect;
use seaway_object::{ReadOptions, read_objects};
use serde_json::Value;

use crate::machine::{MANAGER, Machine};

/// Between two looks at Git when nobody says otherwise: who pushes for the first time waits for the screen.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(2);
/// Where Stacks and shared Environments live.
const NAMESPACE: &str = "seaway";
/// The environments, and the hosts of their pages.
const SHOPS: [(&str, &str); 2] = [("staging", "staging.shop.localhost"), ("production", "shop.localhost")];
/// Between two looks at an environment that is awaited.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// After this long a person is told what is waited for.
const EXPLAIN: Duration = Duration::from_secs(20);
/// After this long the rest is printed anyway.
const PATIENCE: Duration = Duration::from_secs(180);

/// Adds the folder of the demo's images where there is one, also when a later start is without `--demo`: its pods are
/// still wanted.
pub(crate) fn layouts(data_dir: &Path, demo: bool, mut given: Vec<PathBuf>) -> Vec<PathBuf> {
    let images = folder(data_dir).join("images");
    if demo || images.join("oci-layout").exists() {
        given.push(images);
    }
    given
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("demo")
}

/// Makes what is not there, waits until both environments are healthy, and tells what to try.
pub(crate) async fn run(machine: &Machine, data_dir: &Path, kubeconfig: &Path) -> miette::Result<()> {
    let started = Instant::now();
    let at = folder(data_dir);
    let layout = at.join("images");
    let written = blocking(move || images::write(&layout)).await.wrap_err("the demo's images")?;
    step(started, if written { "its images are written" } else { "its images are there" });

    let repository = blocking(move || Repository::open(&at, SystemTime::now()))
        .await
        .wrap_err("the demo's deployment repository")?;
    let (made, bare, clone) =
        (repository.made, repository.bare.display().to_string(), repository.clone.clone());
    let is = if made { "is made" } else { "is there" };
    step(
        started,
        &format!("its deployment repository {is}: {bare}, with a clone for you in {}", clone.display()),
    );

    let definitions = blocking(move || repository.definitions()).await.wrap_err("the demo's Stack")?;
    let client = machine.server.client(Identity::admin());
    let applied = apply_absent(&client, &definitions).await?;
    let applied = if applied.is_empty() { "nothing: all are there".to_owned() } else { applied.join(", ") };
    step(started, &format!("applied {applied}"));

    let gateway = machine.gateway.local_addr();
    if machine.has_node() {
        let all = SHOPS.map(|(name, host)| healthy(&client, name, gateway, host, started));
        let _ = tokio::time::timeout(PATIENCE, futures::future::join_all(all)).await;
    } else {
        step(started, "no pods run here, so that its pages do not answer; everything else can be tried");
    }
    let kubectl = in_path("kubectl", std::env::var_os("PATH").as_deref());
    say(&what_to_try(gateway, kubeconfig, &clone, &invoked(), kubectl.as_deref()));
    // Last, so that nobody has to look for it above.
    say(&match machine.delivery.setup_link() {
        Some(link) => format!("\nLog in for the first time at {link}\n"),
        None => format!("\nThe page is at {}\n", machine.delivery.url()),
    });
    Ok(())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> seaway_demo::Result<T> + Send + 'static,
) -> miette::Result<T> {
    tokio::task::spawn_blocking(work).await.into_diagnostic()?.into_diagnostic()
}

/// Tells of a step. Whoever read the first line may have closed the pipe: that is no reason to end.
fn step(started: Instant, text: &str) {
    say(&format!("demo: {:6.2} s  {text}\n", started.elapsed().as_secs_f64()));
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Applies those objects that are not there. The others are the person's.
async fn apply_absent(client: &kube::Client, files: &[(String, String)]) -> miette::Result<Vec<String>> {
    let mut applied = Vec::new();
    for (path, text) in files {
        let unusable = || format!("{path} on the branch main of the demo's deployment repository");
        let documents = read_objects(text, &ReadOptions::new(Dialect::Kubernetes))
            .into_diagnostic()
            .wrap_err_with(unusable)?;
        for object in documents.into_iter().map(|document| document.value) {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (kind, name) = (text("/kind").to_owned(), text("/metadata/name").to_owned());
            let types =
                kube::core::TypeMeta { api_version: text("/apiVersion").to_owned(), kind: kind.clone() };
            let gvk = GroupVersionKind::try_from(&types).into_diagnostic().wrap_err_with(unusable)?;
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), NAMESPACE, &ApiResource::from_gvk(&gvk));
            if api.get_opt(&name).await.into_diagnostic().wrap_err_with(unusable)?.is_none() {
                let parameters = PatchParams::apply(MANAGER);
                api.patch(&name, &parameters, &Patch::Apply(&object))
                    .await
                    .into_diagnostic()
                    .wrap_err_with(unusable)?;
                applied.push(format!("{kind} {name}"));
            }
        }
    }
    Ok(applied)
}

/// Waits until an environment is healthy and its page answers, and tells so.
async fn healthy(client: &kube::Client, name: &str, gateway: SocketAddr, host: &str, started: Instant) {
    let api: Api<Environment> = Api::namespaced(client.clone(), NAMESPACE);
    let mut explained = Instant::now();
    loop {
        let status = api.get_opt(name).await.ok().flatten().and_then(|environment| environment.status);
        let status = status.unwrap_or_default();
        let is_healthy = status.health.as_deref() == Some("Healthy");
        // What the status says is from before, right after a start.
        if is_healthy && answers(gateway, host).await {
            return step(started, &format!("{name} is healthy: http://{host}:{}", gateway.port()));
        }
        if explained.elapsed() >= EXPLAIN {
            explained = Instant::now();
            let why = match (is_healthy, status.message.as_deref().unwrap_or_default()) {
                (true, _) => "its page does not answer yet",
                (false, "") => "nothing is known of it yet",
                (false, message) => message,
            };
            step(started, &format!("{name} is awaited: {why}"));
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Whether a page says, through the gateway, that it is ready.
async fn answers(gateway: SocketAddr, host: &str) -> bool {
    let ask = async {
        let stream = tokio::net::TcpStream::connect(gateway).await.ok()?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        let request = http::Request::get("/readyz").header("host", host).body(Empty::<Bytes>::new()).ok()?;
        let (response, _) = futures::future::join(sender.send_request(request), async {
            // It ends with the sender.
            tokio::spawn(connection);
        })
        .await;
        Some(response.ok()?.status().is_success())
    };
    matches!(tokio::time::timeout(Duration::from_secs(2), ask).await, Ok(Some(true)))
}

/// This program, as it can be called from any folder.
fn invoked() -> PathBuf {
    let name = std::env::args_os().next().map(PathBuf::from).unwrap_or_else(|| "seaway".into());
    // Without a slash it was found in PATH, and will be again.
    match name.components().count() {
        0 | 1 => name,
        _ => std::path::absolute(&name).unwrap_or(name),
    }
}

/// A program of this name in the folders of a `PATH`: another terminal may have another one.
fn in_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let folders = path.map(std::env::split_paths);
    folders
        .into_iter()
        .flatten()
        .map(|folder| folder.join(name))
        .find(|file| file.is_absolute() && file.is_file())
}

/// The pages, and five things to try.
fn what_to_try(
    gateway: SocketAddr,
    kubeconfig: &Path,
    clone: &Path,
    seaway: &Path,
    kubectl: Option<&Path>,
) -> String {
    let (seaway, kubeconfig, clone) = (quoted(seaway), quoted(kubeconfig), quoted(clone));
    let env = |rest: &str| format!("{seaway} env {rest} --kubeconfig {kubeconfig}");
    let git = format!("git -C {clone}");
    let missing = match kubectl {
        Some(_) => "",
        None => {
            " (kubectl is not in this PATH: https://kubernetes.io/docs/tasks/tools says how to install it)"
        }
    };
    let kubectl = quoted(kubectl.unwrap_or(Path::new("kubectl")));
    let kubectl = format!("{kubectl} --kubeconfig {kubeconfig} --namespace shop");
    let by_hand = format!(
        "Change production by hand, past Git: it is put back, and the history tells of the drift{missing}"
    );
    let merge = |branch: &str| {
        let sync = env("sync staging --watch");
        format!("{git} merge --no-edit origin/{branch} && {git} push origin HEAD:main && {sync}")
    };
    let things = [
        (
            "See what a branch would change in staging, before anybody merges it",
            env("plan staging --revision redesign"),
        ),
        ("Merge it: staging shows version 2.0 (leave its page open)", merge("redesign")),
        (
            "Merge 2.1, whose pods are well while a third of its requests fail: reload the page",
            merge("faster"),
        ),
        (
            "Go back to the release before; the bad one is kept out, and later commits still go through",
            env("rollback staging --reason 'a third of the requests fail' --watch"),
        ),
        (
            &by_hand,
            format!(
                "{kubectl} scale deployment/web --replicas=5 && \
                 {kubectl} wait deployment/web --for=jsonpath='{{.spec.replicas}}'=2 --timeout=60s && {}",
                env("history production")
            ),
        ),
    ];
    let mut text = String::from("\nThe shop:\n");
    for (name, host) in SHOPS {
        text.push_str(&format!("   {name:<11} http://{host}:{}\n", gateway.port()));
    }
    text.push_str("\nFive things to try, each one line to paste into another terminal:\n");
    for (index, (what, line)) in things.iter().enumerate() {
        text.push_str(&format!("\n{}. {what}\n   {line}\n", index + 1));
    }
    text.push_str(&format!(
        "\nThen make a copy of production that is yours alone, and see what differs (`seaway account create NAME` gives a \
         colleague an account):\n   {} && {}\n",
        env("create mycopy --copy-of production --expires 7d"),
        env("fidelity mycopy"),
    ));
    text.push_str("\nCtrl-C ends everything; what you did is there again at the next start.\n");
    text
}

/// A word for a POSIX shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./+:@%,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_to_try_is_one_line_with_the_paths_of_this_run() {
        let text = what_to_try(
            "127.0.0.1:8080".parse().unwrap(),
            Path::new("/a b/kubeconfig"),
            Path::new("/it's/shop"),
            Path::new("/bin/seaway"),
            Some(Path::new("/my tools/kubectl")),
        );
        let lines: Vec<&str> = text.lines().collect();
        let things: Vec<usize> =
            (0..lines.len()).filter(|i| lines[*i].starts_with(|c: char| c.is_ascii_digit())).collect();
        assert_eq!(things.len(), 5);
        for index in things {
            assert!(lines[index + 1].starts_with("   ") && lines[index + 2].is_empty(), "{text}");
        }
        for part in [
            "http://shop.localhost:8080",
            "/bin/seaway env plan staging --revision redesign --kubeconfig '/a b/kubeconfig'",
            r"git -C '/it'\''s/shop' merge",
            "'/my tools/kubectl' --kubeconfig '/a b/kubeconfig' --namespace shop scale",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }

    #[test]
    fn kubectl_is_named_where_it_was_found_and_said_to_be_missing_otherwise() {
        let folder = tempfile::tempdir().unwrap();
        let path = std::env::join_paths([Path::new("/nonexistent"), Path::new("."), folder.path()]).unwrap();
        assert_eq!(in_path("kubectl", Some(&path)), None);
        std::fs::write(folder.path().join("kubectl"), "").unwrap();
        assert_eq!(in_path("kubectl", Some(&path)), Some(folder.path().join("kubectl")));
        assert_eq!(in_path("kubectl", None), None);
        let file = Path::new("/x");
        let text = what_to_try("127.0.0.1:8080".parse().unwrap(), file, file, file, None);
        assert!(
            text.contains("kubectl is not in this PATH") && text.contains("kubectl --kubeconfig"),
            "{text}"
        );
    }

    #[test]
    fn the_images_are_found_by_a_later_start_too() {
        let folder = tempfile::tempdir().unwrap();
        assert!(layouts(folder.path(), false, vec![]).is_empty());
        let images = folder.path().join("demo/images");
        assert_eq!(layouts(folder.path(), true, vec!["/other".into()]), ["/other".into(), images.clone()]);
        images::write(&images).unwrap();
        assert_eq!(layouts(folder.path(), false, vec![]), [images]);
    }
}
