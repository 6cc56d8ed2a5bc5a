//! The deployment repository is a sound one, renders, and belongs to the person once it is made.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use seaway_demo::{Repository, images};
use seaway_render::Format;

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_750_000_000)
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    let identity = ["-c", "user.name=Jane", "-c", "user.email=jane@example.com"];
    command.args(identity).args(arguments).current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn rendered(clone: &Path, overlay: &str) -> String {
    let outcome =
        seaway_render::render_directory(clone, &clone.join("overlays").join(overlay), None).unwrap();
    match outcome {
        seaway_render::Outcome::Rendered(rendered) => {
            assert!(rendered.warnings.is_empty(), "{:?}", rendered.warnings);
            rendered.to_text(Format::Yaml)
        }
        seaway_render::Outcome::Needs(remotes) => panic!("{overlay} needs {remotes:?}"),
    }
}

#[test]
fn every_overlay_of_every_branch_renders_with_an_image_that_there_is() {
    let temporary = tempfile::tempdir().unwrap();
    let repository = Repository::open(temporary.path(), now()).unwrap();
    let clone = &repository.clone;
    for (branch, staging) in [("main", "1.1"), ("redesign", "2.0"), ("faster", "2.1")] {
        git(clone, &["checkout", "-q", branch]);
        for environment in ["staging", "production"] {
            for part in ["web", "catalog", "checkout"] {
                let text = rendered(clone, &format!("{environment}/{part}"));
                let tag = if (environment, part) == ("staging", "web") { staging } else { "1.0" };
                assert!(images::VERSIONS.iter().any(|version| version.tag == tag));
                let image = format!("image: {}:{tag}\n", images::NAME);
                assert!(text.contains(&image), "{image} is not in\n{text}");
                assert!(text.contains(&format!("SHOP_ENVIRONMENT: {environment}\n")), "{text}");
            }
        }
    }
    assert!(rendered(clone, "staging/web").contains("- staging.shop.localhost\n"));
    assert!(rendered(clone, "production/web").contains("- shop.localhost\n"));
    assert!(rendered(clone, "production/checkout").contains("kind: PersistentVolumeClaim\n"));
}

#[test]
fn it_says_what_runs_where_and_follows_itself() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("a folder");
    let repository = Repository::open(&folder, now()).unwrap();
    assert!(repository.made);
    let definitions = repository.definitions().unwrap();
    let text: String = definitions.iter().map(|(_, text)| text.as_str()).collect();
    let url = format!("file://{}/a%20folder/shop.git", temporary.path().display());
    assert!(text.contains(&url), "{text}");
    assert_eq!(text.matches("kind: Environment").count(), 2);
    assert_eq!(text.matches("kind: Stack").count(), 1);
    let refs = git(temporary.path(), &["ls-remote", "--heads", &url]);
    assert_eq!(refs.lines().count(), 3, "{refs}");
}

#[test]
fn the_history_reads_like_one_and_is_the_same_each_time() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log = |folder: &Path| {
        let repository = Repository::open(folder, now()).unwrap();
        git(&repository.bare, &["fsck", "--strict"]);
        git(&repository.bare, &["log", "--format=%an %at %s", "faster"])
    };
    let text = log(one.path());
    assert_eq!(text, log(two.path()));
    assert_eq!(text.lines().count(), 6);
    assert!(text.starts_with("Ada Lindqvist 1749989200 Try 2.1 in staging\n"), "{text}");
}

#[test]
fn what_a_person_did_stays_and_what_a_kill_left_does_not() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path();
    for rest in ["repository.new/work", "clone.new/shop"] {
        std::fs::create_dir_all(folder.join(rest)).unwrap();
    }
    let repository = Repository::open(folder, now()).unwrap();
    assert!(!folder.join("repository.new").exists() && !folder.join("clone.new").exists());
    std::fs::write(repository.clone.join("notes.txt"), "mine").unwrap();
    git(&repository.clone, &["add", "-A"]);
    git(&repository.clone, &["commit", "-q", "-m", "Mine"]);
    git(&repository.clone, &["push", "-q"]);
    let head = git(&repository.bare, &["rev-parse", "main"]);
    let again = Repository::open(folder, now()).unwrap();
    assert!(!again.made);
    assert_eq!(git(&again.bare, &["rev-parse", "main"]), head);
    assert!(again.clone.join("notes.txt").exists());
    // A clone that was thrown away comes back with what was pushed.
    std::fs::remove_dir_all(&again.clone).unwrap();
    let again = Repository::open(folder, now()).unwrap();
    assert_eq!(git(&again.clone, &["rev-parse", "HEAD"]), head);
}
