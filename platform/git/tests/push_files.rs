//! What a push does to files, and what it refuses.
#![allow(clippy::unwrap_used)]

mod support;

use std::process::Command;

use seaway_git::{Branch, CommitId, Error, Options, Push};
use support::pushes::{files, person, push, shop, show, tip, trailer};
use support::{Spy, git, open, options, revision};

#[tokio::test]
async fn files_change_and_everything_else_stays() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    repository.commit("run", "#!/bin/sh\n");
    repository.git(&["update-index", "--chmod=+x", "run"]);
    let price = repository.git(&["rev-parse", "HEAD:price"]);
    let folder = repository.git(&["rev-parse", "HEAD^{tree}"]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{price},dir/deep/keep")]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("120000,{price},link")]);
    repository.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{folder},module")]);
    repository.git(&["commit", "--quiet", "--message", "modes"]);
    repository.git(&["push", "--quiet", "origin", "main"]);
    let before = git(&repository.bare, &["ls-tree", "-r", "main"]);

    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    let change = files(
        "main",
        &[
            ("run", Some("#!/bin/sh\r\necho\n")),
            ("dir/deep/new, 'x' *:(top)", Some("")),
            ("dir/other/ä", Some("2")),
            ("other", None),
            ("absent", None),
        ],
    );
    let pushed = mirrors.push(&url, change.clone()).await.unwrap();
    assert_eq!(tip(&repository, "main"), pushed.commit.as_str());
    assert_eq!(git(&repository.bare, &["log", "-1", "--format=%P", "main"]), pushed.base.as_str());
    let changed = git(
        &repository.bare,
        &["-c", "core.quotePath=false", "diff", "--raw", "--name-status", "main~1", "main"],
    );
    assert_eq!(changed, "A\tdir/deep/new, 'x' *:(top)\nA\tdir/other/ä\nD\tother\nM\trun");
    assert!(git(&repository.bare, &["ls-tree", "main", "run"]).starts_with("100755"));
    assert_eq!(show(&repository, "main:run"), "#!/bin/sh\r\necho");
    for kept in ["dir/deep/keep", "link", "module", "price"] {
        let line = before.lines().find(|line| line.ends_with(kept)).unwrap();
        assert_eq!(git(&repository.bare, &["ls-tree", "main", kept]), line);
    }

    let again = mirrors.push(&url, change).await.unwrap();
    assert!(again.unchanged && again.commit == pushed.commit);
    for (path, reason) in [
        ("link", "symbolic link"),
        ("dir", "folder"),
        ("module", "submodule"),
        ("price/x", "below"),
        ("link/x", "below"),
    ] {
        let error = mirrors.push(&url, files("main", &[(path, Some("1"))])).await.unwrap_err();
        assert!(matches!(&error, Error::NotAFile { path: p, .. } if p == path), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    assert_eq!(tip(&repository, "main"), pushed.commit.as_str());
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_read_is_not_written_over() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, main, _) = shop(root.path());
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    let seen: CommitId = mirrors.fetch(&url, &revision("main")).await.unwrap().id;
    assert_eq!(seen.as_str(), main);
    repository.push("other", "unrelated");
    let change = Push { files_seen_at: Some(seen), ..files("main", &[("price", Some("2"))]) };
    let pushed = mirrors.push(&url, change.clone()).await.unwrap();
    assert!(!pushed.unchanged);
    // The answer was lost: it is there by now.
    assert!(mirrors.push(&url, change.clone()).await.unwrap().unchanged);
    repository.git(&["pull", "--quiet", "origin", "main"]);
    repository.push("price", "3");
    let error = mirrors.push(&url, change).await.unwrap_err();
    assert!(matches!(&error, Error::Outdated { path, .. } if path == "price"), "{error:?}");
    assert_eq!(show(&repository, "main:price"), "3");
}

#[tokio::test]
async fn hostile_names_and_paths_are_refused_before_anything_runs() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let url = repository.file_url();
    let spy = Spy::new();
    let mirrors = open(data.path(), Options { git: spy.program.clone(), ..options() });
    let refused = async |push: Push, what: &str| {
        let error = mirrors.push(&url, push).await.unwrap_err();
        assert!(matches!(error, Error::BadPush { .. }), "{what:?}: {error:?}");
    };
    let long = "x".repeat(2000);
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a//b",
        "./a",
        "a/",
        ".git/config",
        "a/.GIT/hooks/x",
        ".git",
        "GIT~1/config",
        ".git. /x",
        ".git::$INDEX_ALLOCATION/x",
        ".g\u{200c}it/config",
        "a\\b",
        "-a",
        "a\nb",
        "a\0b",
        &long,
    ] {
        refused(files("main", &[(path, Some("1"))]), path).await;
    }
    refused(files("main", &[("a", Some("1")), ("a/b", Some("1"))]), "a file below a file").await;
    refused(files("main", &[("a", Some(&"x".repeat((1 << 20) + 1)))]), "a large file").await;
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|name| (name.as_str(), None)).collect();
    refused(files("main", &many), "many files").await;
    refused(push("main"), "nothing").await;
    for (name, email) in [
        ("", "a@b"),
        ("A\nB", "a@b"),
        ("A <x@y>", "a@b"),
        ("-A", "a@b"),
        (" A", "a@b"),
        ("...", "a@b"),
        ("A", ""),
        ("A", "a@b>"),
        ("A", "a\0b"),
    ] {
        let change = files("main", &[("a", Some("1"))]);
        let mut author = change.clone();
        author.authorship.author = person(name, email);
        refused(author, name).await;
        let mut committer = change;
        committer.authorship.committer = person(name, email);
        refused(committer, email).await;
    }
    let mut change = files("main", &[("a", Some("1"))]);
    change.message.subject = "a\nSigned-off-by: x".into();
    refused(change, "subject").await;
    let change = Push { replaces: Some(trailer("7")), ..files("main", &[("a", Some("1"))]) };
    refused(change, "a proposal without its own trailer").await;
    let mut change = files("main", &[("a", Some("1"))]);
    change.authorship.time = "1960-01-01T00:00:00Z".parse().unwrap();
    refused(change, "a time before all times").await;
    assert_eq!(spy.read("calls"), "");
    // What git itself calls no branch is none.
    for name in ["a..b", "a b", "-a", "a.lock", "/a", "a/", "a~", "a^", "a:", "a\\", "a\u{7f}", ".a", "a@{"] {
        let status =
            Command::new("git").args(["check-ref-format", "--branch", name]).output().unwrap().status;
        assert!(!status.success() && name.parse::<Branch>().is_err(), "{name}");
    }
}
