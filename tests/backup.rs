//! `seaway backup` while it runs, and `seaway restore`.

#![allow(clippy::unwrap_used)]

#[path = "support/git.rs"]
mod git;
mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use git::Repository;
use support::{Seaway, eventually, program, unwrapped};

fn run(command: &str, file: &Path, folder: &Path) -> (bool, String) {
    let output = program().arg(command).arg(file).arg("--data-dir").arg(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), unwrapped(&String::from_utf8(text).unwrap()))
}

#[test]
fn a_backup_of_a_running_server_brings_back_what_was_acknowledged_before() {
    let repository = Repository::new();
    let settings = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: red}\n";
    repository.push("main", "First", &[("app/settings.yaml", settings)]);
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    let options = ["--node", "none", "--poll-interval", "0.2"];
    let seaway = Seaway::start_with(&folder, &options);
    let k = seaway.kubectl();
    k.apply(&format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Stack\nmetadata: {{name: shop, namespace: seaway}}\nspec:\n  components:\n  \
         - name: web\n    source: {{repo: \"{}\", path: app, revision: main}}\n---\n\
         apiVersion: seaway.dev/v1alpha1\nkind: Environment\nmetadata: {{name: staging, namespace: seaway}}\nspec:\n  \
         stack: shop\n  destination: {{namespace: shop}}\n",
        repository.url()
    ));
    eventually("it is deployed", || k.run("get configmap settings -n shop").success);

    // Somebody writes all the time.
    let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (until, count, kubectl) = (stop.clone(), written.clone(), k.clone());
    let writer = std::thread::spawn(move || {
        for n in 0.. {
            if until.load(Ordering::SeqCst) {
                return;
            }
            kubectl.ok(&format!("create configmap busy-{n} --from-literal=n={n}"));
            count.store(n + 1, Ordering::SeqCst);
        }
    });
    eventually("there are writes", || written.load(Ordering::SeqCst) >= 3);
    let acknowledged = written.load(Ordering::SeqCst);
    let file = temporary.path().join("backup.tar.gz");
    let (success, text) = run("backup", &file, &folder);
    assert!(success && text.contains("wrote"), "{text}");
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    let (success, text) = run("backup", &file, &folder);
    assert!(!success && text.contains("exists already"), "{text}");
    let (success, text) = run("restore", &file, &folder);
    assert!(!success && text.contains("is not empty"), "{text}");
    assert!(seaway.terminate().success());

    let restored = temporary.path().join("restored");
    let (success, text) = run("restore", &file, &restored);
    assert!(success && text.contains("restored"), "{text}");
    let names: Vec<_> =
        std::fs::read_dir(temporary.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("restoring")), "{names:?}");
    let seaway = Seaway::start_with(&restored, &options);
    let k = seaway.kubectl();
    for n in 0..acknowledged {
        k.prints(&format!("get configmap busy-{n} -o jsonpath={{.data.n}}"), &n.to_string());
    }
    // It goes on where it was: also with what was pushed since.
    repository.push("main", "Blue", &[("app/settings.yaml", &settings.replace("red", "blue"))]);
    eventually("the push is followed", || {
        k.run("get configmap settings -n shop -o jsonpath={.data.color}").stdout == "blue"
    });
}

#[test]
fn what_is_damaged_newer_or_no_backup_leaves_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("data");
    assert!(Seaway::start_in(&folder).terminate().success());
    let (file, to) = (temporary.path().join("backup.tar.gz"), temporary.path().join("to"));
    let (success, text) = run("backup", &file, &folder);
    assert!(success, "{text}");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let (success, text) = run("restore", &file, &to);
    assert!(!success && text.contains("is damaged"), "{text}");
    std::fs::write(&file, "no archive").unwrap();
    let (success, text) = run("restore", &file, &to);
    assert!(!success && text.contains("is damaged"), "{text}");
    assert!(!to.exists());
    let (success, text) = run("backup", &temporary.path().join("other"), temporary.path());
    assert!(!success && text.contains("no data folder"), "{text}");
    assert!(!temporary.path().join("other").exists());
}
