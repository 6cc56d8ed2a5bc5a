//! A mirror is usable after every sudden end.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use seaway_git::{Push, RepositoryUrl};
use support::pushes::files;
use support::{Repository, Server, git, open, options, revision, script};
use tokio::time::{Instant, sleep};

const FOLDER: &str = "SEAWAY_TEST_FOLDER";
const URL: &str = "SEAWAY_TEST_URL";

/// Not a test by itself: the process that another test kills.
#[tokio::test]
async fn fetches_until_killed() {
    let (Some(folder), Ok(url)) = (std::env::var_os(FOLDER), std::env::var(URL)) else { return };
    let mirrors = open(Path::new(&folder), options());
    let _ = mirrors.fetch(&url.parse().unwrap(), &revision("main")).await;
}

/// Not a test by itself, likewise.
#[tokio::test]
async fn pushes_until_killed() {
    let (Some(folder), Ok(url)) = (std::env::var_os(FOLDER), std::env::var(URL)) else { return };
    let mirrors = open(Path::new(&folder), options());
    let _ = mirrors.push(&url.parse().unwrap(), change()).await;
}

fn change() -> Push {
    files("main", &[("file", Some("pushed"))])
}

/// Starts this test program again to run one of its tests, which does something until it is killed.
fn start(test: &str, folder: &Path, url: &RepositoryUrl) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(FOLDER, folder)
        .env(URL, url.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn mirror(data: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(data).unwrap().flatten().map(|entry| entry.path());
    entries.find(|path| path.extension().is_some_and(|e| e == "git")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_pack_arrives_it_fetches_again() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(server.root.path(), "shop.git");
    let url: RepositoryUrl = server.url("git/shop.git");
    for round in 0..3 {
        let id = repository.push("file", &format!("{round}").repeat(10_000));
        server.state.stall.store(true, Ordering::SeqCst);
        server.state.stalled.store(false, Ordering::SeqCst);
        let mut child = start("fetches_until_killed", data.path(), &url);
        while !server.state.stalled.load(Ordering::SeqCst) {
            sleep(Duration::from_millis(10)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        server.state.stall.store(false, Ordering::SeqCst);

        let mirrors = open(data.path(), options());
        assert_eq!(mirrors.fetch(&url, &revision("main")).await.unwrap().id.as_str(), id, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_server_takes_a_push_the_next_one_finds_it_or_does_it() {
    let root = tempfile::tempdir().unwrap();
    for accepted in [true, false] {
        let data = tempfile::tempdir().unwrap();
        let repository = Repository::new(root.path(), &format!("accepted-{accepted}.git"));
        repository.push("file", "1");
        let url = repository.file_url();
        // The server says neither yes nor no before it is told so.
        let hook = repository.bare.join("hooks/pre-receive");
        let (asked, told) = (data.path().join("asked"), data.path().join("told"));
        std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
        script(
            &hook,
            &format!(
                "touch '{}'\nuntil [ -e '{}' ]; do sleep 0.02; done\nexit {}",
                asked.display(),
                told.display(),
                i32::from(!accepted)
            ),
        );
        let folder = data.path().join("mirrors");
        let mut child = start("pushes_until_killed", &folder, &url);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !asked.exists() {
            assert!(Instant::now() < deadline, "nothing is pushed");
            sleep(Duration::from_millis(10)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The `git` of the killed process still has the lock: nobody else writes until it has its answer.
        let lock = File::open(mirror(&folder).with_extension("lock")).unwrap();
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        let (mirrors, to) = (open(&folder, options()), url.clone());
        let next = tokio::spawn(async move { mirrors.push(&to, change()).await });
        if !accepted {
            // From now on everything is taken, but for what waits.
            let later = data.path().join("later");
            script(&later, "exit 0");
            std::fs::rename(&later, &hook).unwrap();
        }
        std::fs::write(&told, "").unwrap();
        let pushed = next.await.unwrap().unwrap();
        assert_eq!((pushed.unchanged, pushed.attempts), (accepted, 1));
        let log = git(&repository.bare, &["log", "--format=%H %s", "main"]);
        assert_eq!(log.lines().count(), 2, "{log}");
        assert!(log.starts_with(&format!("{} Propose the new price", pushed.commit)), "{log}");
        assert_eq!(git(&repository.bare, &["show", "main:file"]), "pushed");
        git(&mirror(&folder), &["fsck", "--strict", "--no-dangling"]);
        let private = folder.join("secrets").read_dir().map(|files| files.count()).unwrap_or_default();
        assert_eq!(private, 0, "files for one use are left");
    }
}

#[tokio::test]
async fn locks_and_unfinished_files_of_a_killed_git_are_removed() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    let url = repository.file_url();
    repository.push("file", "1");
    open(data.path(), options()).fetch(&url, &revision("main")).await.unwrap();
    let id = repository.push("file", "2");

    let mirror = mirror(data.path());
    let left = [
        "packed-refs.lock",
        "config.lock",
        "HEAD.lock",
        "refs/followed/refs%2Fheads%2Fmain.lock",
        "objects/pack/tmp_pack_x",
        "objects/pack/tmp_idx_x",
        "gc.pid",
    ];
    for file in left {
        std::fs::write(mirror.join(file), "").unwrap();
    }
    let unfinished = mirror.with_extension("new");
    std::fs::create_dir_all(unfinished.join("objects")).unwrap();
    let secrets = data.path().join("secrets/forgotten");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("key"), "key").unwrap();

    let mirrors = open(data.path(), options());
    assert_eq!(mirrors.fetch(&url, &revision("main")).await.unwrap().id.as_str(), id);
    for file in left {
        assert!(!mirror.join(file).exists(), "{file}");
    }
    assert!(!unfinished.exists() && !secrets.exists());
}

#[tokio::test]
async fn two_processes_can_share_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    let url = repository.file_url();
    let id = repository.push("file", "1");
    // Two values know nothing of each other, as two processes do not.
    let (first, second) = (open(data.path(), options()), open(data.path(), options()));
    let main = revision("main");
    let (a, b) = tokio::join!(first.fetch(&url, &main), second.fetch(&url, &main));
    assert_eq!((a.unwrap().id.to_string(), b.unwrap().id.to_string()), (id.clone(), id));
}
