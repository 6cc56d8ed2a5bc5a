//! What pushing promises. The oracle is the `git` program.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use seaway_git::{
    Authentication, Authorship, Branch, CommitId, CredentialSet, Credentials, Error, Merge, Message, Options,
    OutgoingPolicy, Person, Push, RepositoryUrl, Revision, Trailer,
};
use support::{LOCAL, PASSWORD, Repository, Server, Spy, USER, git, open, options, revision, script};

fn person(name: &str, email: &str) -> Person {
    Person { name: name.into(), email: email.into() }
}

fn trailer(value: &str) -> Trailer {
    Trailer { key: "Seaway-Proposal".into(), value: value.into() }
}

fn branch(name: &str) -> Branch {
    name.parse().unwrap()
}

/// A push of nothing yet, from `main` to this branch.
fn push(to: &str) -> Push {
    Push {
        base: branch("main"),
        branch: branch(to),
        merge: None,
        files: BTreeMap::new(),
        files_seen_at: None,
        replaces: Some(trailer("42")),
        authorship: Authorship {
            author: person("Grace Hopper", "grace@example.com"),
            committer: person("Seaway", "seaway@example.com"),
            time: "2026-03-04T05:06:07Z".parse().unwrap(),
        },
        message: Message {
            subject: "Propose the new price".into(),
            body: "Why: it is better.\n\nSeaway-Proposal: forged\n---\nSeaway-Proposal: forged too".into(),
            trailers: vec![
                trailer("42"),
                Trailer { key: "On-behalf-of".into(), value: "Grace <g@x>".into() },
            ],
        },
    }
}

fn merge(to: &str, url: &RepositoryUrl, commit: &str) -> Push {
    Push { merge: Some(Merge { url: url.clone(), commit: commit.parse().unwrap() }), ..push(to) }
}

fn files(to: &str, files: &[(&str, Option<&str>)]) -> Push {
    let files = files.iter().map(|(path, content)| (path.to_string(), content.map(Into::into))).collect();
    Push { files, ..push(to) }
}

/// A repository with `main`, and a branch `feature` that differs from it.
fn shop(root: &Path) -> (Repository, String, String) {
    let repository = Repository::new(root, "shop.git");
    git(&repository.bare, &["config", "http.receivepack", "true"]);
    repository.push("price", "1");
    repository.git(&["checkout", "--quiet", "-b", "feature"]);
    let feature = repository.push("feature", "new");
    repository.git(&["checkout", "--quiet", "main"]);
    let main = repository.push("other", "main goes on");
    (repository, main, feature)
}

fn tip(repository: &Repository, name: &str) -> String {
    git(&repository.bare, &["rev-parse", "--verify", &format!("refs/heads/{name}")])
}

fn show(repository: &Repository, what: &str) -> String {
    git(&repository.bare, &["show", what])
}

fn branches(repository: &Repository) -> String {
    git(&repository.bare, &["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"])
}

/// What `git interpret-trailers` reads in a commit's message.
fn interpreted(repository: &Repository, commit: &str, options: &[&str]) -> String {
    let message = git(&repository.bare, &["log", "-1", "--format=%B", commit]);
    let mut child = Command::new("git")
        .args(["interpret-trailers", "--parse"])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

#[tokio::test]
async fn a_merge_is_pushed_with_author_committer_and_trailers() {
    let server = Server::start().await;
    let (repository, main, feature) = shop(server.root.path());
    for (n, url) in [server.url("git/shop.git"), repository.file_url()].into_iter().enumerate() {
        let data = tempfile::tempdir().unwrap();
        let mirrors = open(data.path(), options());
        let name = format!("seaway/proposal-{n}");
        let pushed = mirrors.push(&url, merge(&name, &url, &feature)).await.unwrap();
        assert_eq!((pushed.attempts, pushed.created, pushed.unchanged), (1, true, false));
        assert_eq!((pushed.base.as_str(), pushed.branch.as_str()), (main.as_str(), name.as_str()));
        let commit = pushed.commit.as_str();
        assert_eq!(tip(&repository, &name), commit);
        assert_eq!(
            git(&repository.bare, &["log", "-1", "--format=%P|%an|%ae|%at|%cn|%ce|%ct|%s", commit]),
            format!(
                "{main} {feature}|Grace Hopper|grace@example.com|1772600767|Seaway|seaway@example.com|1772600767|\
                 Propose the new price"
            )
        );
        let trailers = "Seaway-Proposal: 42\nOn-behalf-of: Grace <g@x>\n";
        assert_eq!(interpreted(&repository, commit, &[]), trailers);
        assert_eq!(interpreted(&repository, commit, &["--no-divider"]), trailers);
        let files = git(&repository.bare, &["ls-tree", "--name-only", commit]);
        assert_eq!(files, "feature\nother\nprice");
        // What was pushed counts as fetched.
        let [main, commit]: [CommitId; 2] = [&main, commit].map(|id| id.parse().unwrap());
        assert!(mirrors.is_ancestor(&url, &main, &commit).await.unwrap());
        assert!(mirrors.is_ancestor(&url, &main, &main).await.unwrap());
        assert!(!mirrors.is_ancestor(&url, &commit, &main).await.unwrap());
        let unknown = "0123456789012345678901234567890123456789".parse().unwrap();
        for (one, other) in [(&unknown, &main), (&main, &unknown)] {
            let error = mirrors.is_ancestor(&url, one, other).await.unwrap_err();
            assert!(matches!(&error, Error::CommitNotFetched { id, .. } if *id == unknown.to_string()));
        }
    }
}

#[tokio::test]
async fn a_commit_of_another_repository_is_brought_in() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(server.root.path());
    let fork = server.root.path().join("fork.git");
    git(server.root.path(), &["clone", "--quiet", "--bare", "shop.git", fork.to_str().unwrap()]);
    repository.git(&["checkout", "--quiet", "-b", "forked"]);
    let commit = repository.commit("forked", "1");
    repository.git(&["push", "--quiet", fork.to_str().unwrap(), "forked"]);
    // The policy is about the outside: bringing in from another mirror is none of its business.
    let policy = OutgoingPolicy { files: false, ..LOCAL };
    let mirrors = open(data.path(), Options { policy, ..options() });
    let url = server.url("git/shop.git");
    let pushed = mirrors.push(&url, merge("p", &server.url("git/fork.git"), &commit)).await.unwrap();
    assert_eq!(show(&repository, &format!("{}:forked", pushed.commit)), "1");

    let unknown = "0123456789012345678901234567890123456789";
    let error = mirrors.push(&url, merge("q", &server.url("git/fork.git"), unknown)).await.unwrap_err();
    assert!(matches!(error, Error::RevisionNotFound { .. }), "{error:?}");
}

#[tokio::test]
async fn a_conflict_names_its_files_and_pushes_nothing() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, _, feature) = shop(root.path());
    repository.push("feature", "otherwise");
    let before = branches(&repository);
    let url = repository.file_url();
    let error = open(data.path(), options()).push(&url, merge("p", &url, &feature)).await.unwrap_err();
    let Error::Conflict { files, commit, base, .. } = &error else { panic!("{error:?}") };
    assert_eq!((files.as_slice(), commit.as_str()), (["feature".to_owned()].as_slice(), feature.as_str()));
    assert_eq!(base.as_str(), "main");
    assert!(error.to_string().contains("feature") && error.to_string().contains("try again"), "{error}");
    assert_eq!(branches(&repository), before);
}

#[tokio::test]
async fn a_merge_is_a_merge_commit_even_where_the_base_could_move_forward() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, main, _) = shop(root.path());
    repository.git(&["checkout", "--quiet", "-b", "ahead"]);
    let ahead = repository.push("ahead", "1");
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    let pushed = mirrors.push(&url, merge("main", &url, &ahead)).await.unwrap();
    assert_eq!(
        git(&repository.bare, &["log", "-1", "--format=%H %P", "main"]),
        format!("{} {main} {ahead}", pushed.commit)
    );
    // Contained by now: nothing to do, on no branch.
    for name in ["main", "p"] {
        let again = mirrors.push(&url, merge(name, &url, &ahead)).await.unwrap();
        assert_eq!((again.unchanged, again.created, &again.commit), (true, false, &pushed.commit), "{name}");
    }
    assert!(!branches(&repository).contains("p "));
}

#[tokio::test(flavor = "multi_thread")]
async fn pushers_at_the_same_time_all_land() {
    let root = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let url = repository.file_url();
    // Who looked at the branch waits here until all have: the first round has one winner.
    let met = tempfile::tempdir().unwrap();
    let program = met.path().join("git");
    let place = met.path().display();
    script(
        &program,
        &format!(
            "if [ \"$1\" = push ]; then touch \"{place}/met.$$\"\n\
             until [ $(ls \"{place}\" | grep -c met) -ge 3 ]; do sleep 0.02; done; fi\nexec git \"$@\""
        ),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..3 {
        let (url, program) = (url.clone(), program.clone());
        tasks.spawn(async move {
            let data = tempfile::tempdir().unwrap();
            let mirrors = open(data.path(), Options { git: program, ..options() });
            mirrors.push(&url, files("main", &[(&format!("file{n}"), Some("1"))])).await.unwrap()
        });
    }
    let pushed = tasks.join_all().await;
    assert!(pushed.iter().any(|pushed| pushed.attempts > 1), "{pushed:?}");
    let names = git(&repository.bare, &["ls-tree", "--name-only", "main"]);
    assert!((0..3).all(|n| names.contains(&format!("file{n}"))), "{names}");
    for pushed in pushed {
        assert!(!pushed.unchanged && !pushed.created);
        git(&repository.bare, &["merge-base", "--is-ancestor", pushed.commit.as_str(), "main"]);
    }
}

#[tokio::test]
async fn who_loses_every_race_is_told() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let program = data.path().join("git");
    let bare = repository.bare.display();
    let somebody = "-c user.name=S -c user.email=s@example.com";
    script(
        &program,
        &format!(
            "if [ \"$1\" = push ]; then (unset GIT_DIR; cd '{bare}' && git update-ref refs/heads/main \
             $(git {somebody} commit-tree -p main -m x 'main^{{tree}}')); fi\nexec git \"$@\""
        ),
    );
    let mirrors = open(&data.path().join("mirrors"), Options { git: program, ..options() });
    let error = mirrors.push(&repository.file_url(), files("main", &[("a", Some("1"))])).await.unwrap_err();
    assert!(matches!(&error, Error::Contended { attempts: 5, .. }) && error.is_temporary(), "{error:?}");
    assert_eq!(git(&repository.bare, &["ls-tree", "--name-only", "main"]), "other\nprice");
}

#[tokio::test]
async fn somebody_elses_branch_is_never_replaced_and_our_own_is() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, main, feature) = shop(root.path());
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    repository.git(&["push", "--quiet", "origin", "main:refs/heads/theirs"]);
    let error = mirrors.push(&url, merge("theirs", &url, &feature)).await.unwrap_err();
    assert!(matches!(error, Error::ForeignBranch { .. }) && error.to_string().contains("theirs"), "{error}");
    assert_eq!(tip(&repository, "theirs"), main);

    let first = mirrors.push(&url, merge("p", &url, &feature)).await.unwrap();
    // The same again, later, by a process that does not know of it.
    let mut later = merge("p", &url, &feature);
    later.authorship.time = "2026-03-05T00:00:00Z".parse().unwrap();
    let other = tempfile::tempdir().unwrap();
    let again = open(other.path(), options()).push(&url, later).await.unwrap();
    assert_eq!((again.unchanged, again.created, &again.commit), (true, false, &first.commit));

    // Another proposal's, or one that says it replaces nothing.
    let mut foreign = files("p", &[("price", Some("3"))]);
    foreign.message.trailers = vec![trailer("43")];
    foreign.replaces = Some(trailer("43"));
    let nothing = Push { replaces: None, ..files("p", &[("price", Some("3"))]) };
    for push in [foreign, nothing] {
        assert!(matches!(mirrors.push(&url, push).await, Err(Error::ForeignBranch { .. })));
        assert_eq!(tip(&repository, "p"), first.commit.as_str());
    }

    let moved = repository.push("other", "main moves");
    let second = mirrors.push(&url, merge("p", &url, &feature)).await.unwrap();
    assert_eq!((second.created, second.unchanged, second.base.as_str()), (false, false, moved.as_str()));
    assert_eq!(tip(&repository, "p"), second.commit.as_str());
    // Whoever looked at the replaced one can still do so.
    mirrors.fetch(&url, &Revision::Commit(first.commit.clone())).await.unwrap();

    // A person adds a commit to it: that is not ours to throw away.
    repository.git(&["fetch", "--quiet", "origin", "p"]);
    repository.git(&["checkout", "--quiet", "-B", "p", "FETCH_HEAD"]);
    let added = repository.push("mine", "1");
    assert!(matches!(mirrors.push(&url, merge("p", &url, &feature)).await, Err(Error::ForeignBranch { .. })));
    assert_eq!(tip(&repository, "p"), added);
}

#[tokio::test]
async fn a_refusal_of_the_server_is_told_without_secrets_and_not_tried_again() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let (repository, main, _) = shop(server.root.path());
    let hook = repository.bare.join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    script(&hook, &format!("printf 'No pushes on \\033[2JFridays, says {PASSWORD}\\n' >&2\nexit 1"));
    let spy = Spy::new();
    let mirrors = open(data.path(), Options { git: spy.program.clone(), ..options() });
    let url = server.url("private/shop.git");
    let mut credentials = CredentialSet::new();
    let authentication = Authentication::Password { user: USER.into(), password: PASSWORD.into() };
    let entry = Credentials { authentication: Some(authentication), ca: None };
    credentials.insert(&url.origin(), entry).unwrap();
    mirrors.set_credentials(credentials);
    let error = mirrors.push(&url, files("main", &[("a", Some("1"))])).await.unwrap_err();
    let Error::Rejected { reason, .. } = &error else { panic!("{error:?}") };
    assert!(reason.contains("pre-receive hook declined") && reason.contains("Fridays"), "{reason}");
    assert!(!reason.contains(PASSWORD) && !reason.contains(char::is_control), "{reason}");
    assert!(!error.is_temporary());
    assert_eq!(spy.calls("push"), 1);
    assert!(!spy.read("calls").contains(PASSWORD));
    assert_eq!(tip(&repository, "main"), main);

    std::fs::remove_file(&hook).unwrap();
    git(&repository.bare, &["config", "http.receivepack", "false"]);
    let error = mirrors.push(&url, files("main", &[("a", Some("1"))])).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    git(&repository.bare, &["config", "http.receivepack", "true"]);
    mirrors.push(&url, files("main", &[("a", Some("1"))])).await.unwrap();
}

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

#[tokio::test]
async fn a_push_goes_only_where_the_policy_allows_and_where_there_is_a_branch() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let before = branches(&repository);
    let url = repository.file_url();
    let strict = open(data.path(), Options { policy: OutgoingPolicy::default(), ..options() });
    let error = strict.push(&url, files("main", &[("a", Some("1"))])).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    let mirrors = open(data.path(), options());
    let nowhere = Push { base: branch("none"), ..files("p", &[("a", Some("1"))]) };
    let error = mirrors.push(&url, nowhere).await.unwrap_err();
    assert!(matches!(error, Error::RevisionNotFound { .. }), "{error:?}");
    repository.git(&["push", "--quiet", "origin", "main:refs/heads/a"]);
    let error = mirrors.push(&url, files("a/b", &[("a", Some("1"))])).await.unwrap_err();
    assert!(matches!(&error, Error::Rejected { .. }), "{error:?}");
    repository.git(&["push", "--quiet", "origin", "--delete", "a"]);
    assert_eq!(branches(&repository), before);
}
