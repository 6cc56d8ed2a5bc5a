//! A mirror is usable after every sudden end.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use seaway_git::RepositoryUrl;
use support::{Repository, Server, open, options, revision};
use tokio::time::sleep;

const FOLDER: &str = "SEAWAY_TEST_FOLDER";
const URL: &str = "SEAWAY_TEST_URL";

/// Not a test by itself: the process that another test kills.
#[tokio::test]
async fn fetches_until_killed() {
    let (Some(folder), Ok(url)) = (std::env::var_os(FOLDER), std::env::var(URL)) else { return };
    let mirrors = open(Path::new(&folder), options());
    let _ = mirrors.fetch(&url.parse().unwrap(), &revision("main")).await;
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
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "fetches_until_killed", "--nocapture"])
            .env(FOLDER, data.path())
            .env(URL, url.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
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
