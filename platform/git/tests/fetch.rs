//! What fetching promises.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_git::{
    Authentication, CommitId, CredentialSet, Credentials, Error, Mirrors, Options, RepositoryUrl, Revision,
};
use seaway_source::{FileTree as _, TreePath};
use support::{PASSWORD, Repository, Server, Spy, USER, git, open, options, revision};

async fn fetched(mirrors: &Mirrors, url: &RepositoryUrl, name: &str) -> String {
    mirrors.fetch(url, &revision(name)).await.unwrap().id.to_string()
}

fn content(mirrors: &Mirrors, url: &RepositoryUrl, id: &str, file: &str) -> String {
    let tree = mirrors.tree(url, &id.parse().unwrap()).unwrap();
    String::from_utf8(tree.read(&TreePath::new(file).unwrap()).unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn every_way_to_name_a_commit_finds_it_over_http_and_from_disk() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(server.root.path(), "shop.git");
    let first = repository.push("file", "1");
    repository.git(&["tag", "--annotate", "--message", "x", "v1"]);
    repository.git(&["push", "--quiet", "origin", "v1"]);
    let second = repository.push("file", "2");
    repository.git(&["checkout", "--quiet", "-b", "feature/x"]);
    let third = repository.push("file", "3");
    repository.git(&["push", "--quiet", "origin", "HEAD:refs/pull/7/head"]);

    for url in [server.url("git/shop.git"), repository.file_url()] {
        let mirrors = open(data.path(), options());
        for (name, id) in [
            ("main", &second),
            ("HEAD", &second),
            ("", &second),
            ("v1", &first),
            ("feature/x", &third),
            ("refs/heads/feature/x", &third),
            ("refs/tags/v1", &first),
            ("refs/pull/7/head", &third),
            (first.as_str(), &first),
            (&third[..10], &third),
        ] {
            assert_eq!(fetched(&mirrors, &url, name).await, **id, "{name} of {url}");
            if revision(name).to_string() != third[..10] {
                assert_eq!(
                    mirrors.ls_remote(&url, &revision(name)).await.unwrap().id.to_string(),
                    **id,
                    "{name}"
                );
            }
        }
        let commit = mirrors.fetch(&url, &revision("main")).await.unwrap();
        assert_eq!((commit.author.name.as_str(), commit.author.email.as_str()), ("Ada", "ada@example.com"));
        assert_eq!(commit.authored.to_string(), "2026-01-02T03:04:05Z");
        assert_eq!((commit.subject(), commit.message.as_str()), ("Change file", "Change file\n\nBody"));
        assert_eq!(commit.refs, ["refs/heads/main"]);
        assert_eq!(content(&mirrors, &url, &first, "file"), "1");
        assert_eq!(content(&mirrors, &url, &third, "file"), "3");
    }
    let mirrors = std::fs::read_dir(data.path()).unwrap().flatten();
    assert_eq!(mirrors.filter(|e| e.path().extension().is_some_and(|e| e == "git")).count(), 2);
}

#[tokio::test]
async fn pushes_are_seen_and_a_commit_named_by_its_id_needs_no_server() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(server.root.path(), "shop.git");
    let url = server.url("git/shop.git");
    let mirrors = open(data.path(), options());
    let mut ids = Vec::new();
    for n in 0..4 {
        let id = repository.push("file", &n.to_string());
        assert_eq!(fetched(&mirrors, &url, "main").await, id);
        assert_eq!(content(&mirrors, &url, &id, "file"), n.to_string());
        ids.push(id);
    }
    assert_eq!(fetched(&mirrors, &url, &ids[1]).await, ids[1]);
    drop(server);
    for mirrors in [&mirrors, &open(data.path(), options())] {
        assert_eq!(fetched(mirrors, &url, &ids[1]).await, ids[1]);
        let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable { .. }) && error.is_temporary(), "{error}");
        assert_eq!(content(mirrors, &url, &ids[3], "file"), "3");
    }
}

#[tokio::test]
async fn what_was_force_pushed_away_can_still_be_rolled_back_to() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(server.root.path(), "shop.git");
    let url = server.url("git/shop.git");
    let mirrors = open(data.path(), options());
    let base = repository.push("file", "base");
    let old = repository.push("file", "old");
    assert_eq!(fetched(&mirrors, &url, "main").await, old);
    repository.git(&["reset", "--quiet", "--hard", &base]);
    let new = repository.push("file", "new");
    assert_eq!(fetched(&mirrors, &url, "main").await, new);

    git(&repository.bare, &["reflog", "expire", "--expire=now", "--all"]);
    git(&repository.bare, &["gc", "--quiet", "--prune=now"]);
    let mirror = std::fs::read_dir(data.path()).unwrap().flatten().map(|entry| entry.path());
    let mirror = mirror.into_iter().find(|path| path.extension().is_some_and(|e| e == "git")).unwrap();
    git(&mirror, &["gc", "--quiet", "--prune=now"]);
    assert_eq!(fetched(&mirrors, &url, &old).await, old);
    assert_eq!(content(&mirrors, &url, &old, "file"), "old");

    let [old, new]: [CommitId; 2] = [old, new].map(|id| id.parse().unwrap());
    let range = mirrors.commits_between(&url, Some(&old), &new, 10).await.unwrap();
    assert_eq!((range.commits.len(), range.complete), (1, true));
    assert_eq!(range.commits[0].id, new);
}

#[tokio::test]
async fn the_commits_of_a_change_are_listed_with_their_authors() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    // A repository cannot choose whose name is shown.
    repository.commit(".mailmap", "Eve <eve@example.com> <ada@example.com>\n");
    let ids: Vec<CommitId> =
        (0..5).map(|n| repository.push("file", &n.to_string()).parse().unwrap()).collect();
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    assert!(matches!(
        mirrors.commits_between(&url, None, &ids[4], 10).await,
        Err(Error::CommitNotFetched { .. })
    ));
    mirrors.fetch(&url, &Revision::Head).await.unwrap();

    let between = async |old: Option<&CommitId>, limit| {
        let range = mirrors.commits_between(&url, old, &ids[4], limit).await.unwrap();
        let found: Vec<CommitId> = range.commits.iter().map(|commit| commit.id.clone()).collect();
        assert!(range.commits.iter().all(|commit| commit.author.name == "Ada"));
        (found, range.complete)
    };
    let newest_first: Vec<CommitId> = ids[2..].iter().rev().cloned().collect();
    assert_eq!(between(Some(&ids[1]), 10).await, (newest_first.clone(), true));
    assert_eq!(between(Some(&ids[1]), 3).await, (newest_first.clone(), true));
    assert_eq!(between(Some(&ids[1]), 2).await, (newest_first[..2].to_vec(), false));
    assert_eq!(between(None, 3).await, (newest_first.clone(), false));
    let unknown: CommitId = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(between(Some(&unknown), 3).await, (newest_first, false));
    assert!(matches!(
        mirrors.commits_between(&url, None, &unknown, 3).await,
        Err(Error::CommitNotFetched { .. })
    ));
}

#[tokio::test]
async fn a_branch_may_become_a_folder_of_branches_and_back() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    let id = repository.push("file", "1");
    for branch in ["release", "release/1", "release", "release/1/x"] {
        repository.git(&["push", "--quiet", "origin", &format!("HEAD:refs/heads/{branch}")]);
        assert_eq!(fetched(&mirrors, &url, branch).await, id);
        // Asked for by the beginning of its id, every branch is fetched under its own name.
        assert_eq!(fetched(&mirrors, &url, &id[..8]).await, id);
        repository.git(&["push", "--quiet", "origin", "--delete", branch]);
        let error = mirrors.fetch(&url, &revision(branch)).await.unwrap_err();
        assert!(matches!(error, Error::RevisionNotFound { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_repository_or_revision_is_an_error_that_says_what_to_do() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let fails = async |url: &RepositoryUrl, name: &str| {
        let error = mirrors.fetch(url, &revision(name)).await.unwrap_err();
        assert!(error.to_string().contains(&url.to_string()), "{error}");
        error
    };
    let empty = Repository::new(server.root.path(), "empty.git");
    for url in [server.url("git/empty.git"), empty.file_url()] {
        assert!(matches!(fails(&url, "HEAD").await, Error::Empty { .. }));
        assert!(matches!(fails(&url, "main").await, Error::Empty { .. }));
    }
    let missing = format!("file://{}/none.git", server.root.path().display()).parse().unwrap();
    for url in [server.url("git/none.git"), server.url("elsewhere/none.git"), missing] {
        let error = fails(&url, "main").await;
        assert!(matches!(error, Error::RepositoryNotFound { .. }), "{error:?}");
    }
    let error = fails(&server.url("broken/x.git"), "main").await;
    assert!(matches!(error, Error::Unreachable { .. }) && error.to_string().contains("503"), "{error}");

    let repository = Repository::new(server.root.path(), "shop.git");
    repository.push("file", "1");
    repository.git(&["tag", "blob", "HEAD:file"]);
    repository.git(&["push", "--quiet", "origin", "blob"]);
    let url = server.url("git/shop.git");
    for name in ["mian", "refs/heads/none", "1234567", "0123456789012345678901234567890123456789"] {
        let error = fails(&url, name).await;
        let Error::RevisionNotFound { known, .. } = &error else { panic!("{error:?}") };
        assert_eq!(known, &["main"]);
        assert!(error.to_string().contains(name) && error.to_string().contains("main"), "{error}");
    }
    assert!(matches!(fails(&url, "blob").await, Error::NotACommit { .. }));
    assert!(matches!(mirrors.ls_remote(&url, &revision("none")).await, Err(Error::RevisionNotFound { .. })));

    let path = server.root.path().join("sha256.git");
    git(server.root.path(), &["init", "--quiet", "--bare", "--object-format=sha256", path.to_str().unwrap()]);
    let other = tempfile::tempdir().unwrap();
    git(other.path(), &["init", "--quiet", "--object-format=sha256"]);
    git(other.path(), &["commit", "--quiet", "--allow-empty", "--message", "x"]);
    git(other.path(), &["push", "--quiet", path.to_str().unwrap(), "HEAD:refs/heads/main"]);
    let error = fails(&server.url("git/sha256.git"), "main").await;
    assert!(matches!(error, Error::ObjectFormat { .. }), "{error:?}");

    let none = Options { git: "/none/git".into(), ..options() };
    let other = tempfile::tempdir().unwrap();
    let error = open(other.path(), none).fetch(&url, &Revision::Head).await.unwrap_err();
    assert!(matches!(error, Error::NoProgram { .. }), "{error:?}");
}

#[tokio::test]
async fn credentials_open_a_repository_and_are_on_no_command_line() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(server.root.path(), "shop.git");
    let id = repository.push("file", "1");
    let url = server.url("private/shop.git");
    let spy = Spy::new();
    let mirrors = open(data.path(), Options { git: spy.program.clone(), ..options() });
    let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");

    let credentials = |password: &str| {
        let mut set = CredentialSet::new();
        let authentication = Authentication::Password { user: USER.into(), password: password.into() };
        set.insert(&url.origin(), Credentials { authentication: Some(authentication), ca: None }).unwrap();
        set
    };
    mirrors.set_credentials(credentials("wrong"));
    let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }) && !error.to_string().contains("wrong"), "{error:?}");
    mirrors.set_credentials(credentials(PASSWORD));
    assert_eq!(fetched(&mirrors, &url, "main").await, id);

    assert!(spy.calls("fetch") >= 1);
    assert!(!spy.read("calls").contains(PASSWORD));
    let allowed = [
        "PATH",
        "HOME",
        "LC_ALL",
        "TZ",
        "PWD",
        "OLDPWD",
        "SHLVL",
        "_",
        "SEAWAY_GIT_USER",
        "SEAWAY_GIT_PASSWORD",
    ];
    for line in spy.read("environment").lines() {
        let Some((name, value)) = line.split_once('=') else { continue };
        let ours = allowed.contains(&name)
            || name.starts_with("GIT_")
            || !name.bytes().all(|b| b.is_ascii_uppercase());
        assert!(ours, "{name} of the person who runs this reaches git");
        assert!(name != "HOME" || value.starts_with(data.path().canonicalize().unwrap().to_str().unwrap()));
    }
}

#[tokio::test]
async fn who_asks_for_the_same_at_once_shares_one_fetch() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(server.root.path(), "shop.git");
    let id = repository.push("file", "1");
    let url = server.url("git/shop.git");
    let spy = Spy::new();
    let mirrors = open(data.path(), Options { git: spy.program.clone(), ..options() });
    // One thread: all have asked before the first fetch begins.
    let main = revision("main");
    let mut asking: Vec<_> = (0..50).map(|_| Box::pin(mirrors.fetch(&url, &main))).collect();
    std::future::poll_fn(|context| {
        for fetch in &mut asking {
            assert!(fetch.as_mut().poll(context).is_pending());
        }
        std::task::Poll::Ready(())
    })
    .await;
    for fetch in asking {
        assert_eq!(fetch.await.unwrap().id.as_str(), id);
    }
    assert_eq!(spy.calls("fetch"), 1);
    let id = repository.push("file", "2");
    assert_eq!(fetched(&mirrors, &url, "main").await, id, "who asks later gets a fetch that begins later");
}

#[tokio::test]
async fn a_damaged_mirror_is_fetched_anew() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    repository.push("file", "1");
    let url = repository.file_url();
    open(data.path(), options()).fetch(&url, &Revision::Head).await.unwrap();
    let mirror = std::fs::read_dir(data.path()).unwrap().flatten().map(|entry| entry.path());
    let mirror = mirror.into_iter().find(|path| path.extension().is_some_and(|e| e == "git")).unwrap();
    let packs = mirror.join("objects/pack");

    for damage in 0..3 {
        let id = repository.push("file", &format!("after damage {damage}"));
        match damage {
            0 => std::fs::remove_dir_all(&packs).unwrap(),
            1 => std::fs::write(mirror.join("HEAD"), "").unwrap(),
            _ => {
                for pack in std::fs::read_dir(&packs).unwrap().flatten() {
                    std::fs::remove_file(pack.path()).unwrap();
                    std::fs::write(pack.path(), "not a pack").unwrap();
                }
            }
        }
        let mirrors = open(data.path(), options());
        assert_eq!(fetched(&mirrors, &url, "HEAD").await, id, "damage {damage}");
        assert_eq!(content(&mirrors, &url, &id, "file"), format!("after damage {damage}"));
    }
}

#[tokio::test]
async fn many_fetches_leave_few_packs_and_no_reader_notices() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    let mut ids = Vec::new();
    for n in 0..35 {
        ids.push(repository.push("file", &n.to_string()));
        assert_eq!(fetched(&mirrors, &url, "main").await, ids[n]);
    }
    // The packing goes on after the fetch has answered; the next fetch waits for it.
    fetched(&mirrors, &url, "main").await;
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(content(&mirrors, &url, id, "file"), n.to_string());
    }
    let mirror = std::fs::read_dir(data.path()).unwrap().flatten().map(|entry| entry.path());
    let mirror = mirror.into_iter().find(|path| path.extension().is_some_and(|e| e == "git")).unwrap();
    let packs = std::fs::read_dir(mirror.join("objects/pack")).unwrap().flatten();
    let packs = packs.filter(|file| file.path().extension().is_some_and(|e| e == "pack")).count();
    assert!(packs < 10, "{packs} packs");
}
