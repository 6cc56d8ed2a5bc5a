//! What pushing promises. The oracle is the `git` program.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use seaway_git::{
    Authentication, CommitId, CredentialSet, Credentials, Error, Options, OutgoingPolicy, Push, Revision,
};
use support::pushes::{branch, branches, files, merge, shop, show, tip, trailer};
use support::{LOCAL, PASSWORD, Repository, Server, Spy, USER, git, open, options, script};

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
async fn a_proposal_that_a_reviewer_has_amended_is_not_replaced() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, _, feature) = shop(root.path());
    let url = repository.file_url();
    let mirrors = open(data.path(), options());
    mirrors.push(&url, merge("p", &url, &feature)).await.unwrap();
    repository.git(&["fetch", "--quiet", "origin", "p"]);
    repository.git(&["checkout", "--quiet", "-B", "p", "FETCH_HEAD"]);
    // Author and message stay as they were, with the trailer.
    repository.git(&["rm", "--quiet", "other"]);
    repository.git(&["commit", "--quiet", "--amend", "--no-edit"]);
    repository.git(&["push", "--quiet", "--force", "origin", "p"]);
    let amended = tip(&repository, "p");
    assert!(interpreted(&repository, &amended, &[]).contains("Seaway-Proposal: 42"));
    let error = mirrors.push(&url, merge("p", &url, &feature)).await.unwrap_err();
    assert!(matches!(error, Error::ForeignBranch { .. }), "{error:?}");
    assert_eq!(tip(&repository, "p"), amended);
}

#[tokio::test]
async fn one_push_to_a_branch_goes_on_at_a_time() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, _, feature) = shop(root.path());
    let url = repository.file_url();
    let (program, place) = (data.path().join("git"), data.path().display());
    script(
        &program,
        &format!(
            "if [ \"$1\" = push ]; then echo x >> '{place}/pushes'\n\
             until [ -e '{place}/go' ]; do sleep 0.02; done; fi\nexec git \"$@\""
        ),
    );
    let mirrors = open(&data.path().join("mirrors"), Options { git: program, ..options() });
    let first = tokio::spawn({
        let (mirrors, url, push) = (mirrors.clone(), url.clone(), merge("p", &url, &feature));
        async move { mirrors.push(&url, push).await }
    });
    let pushes = data.path().join("pushes");
    while !pushes.exists() {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let mut later = merge("p", &url, &feature);
    later.authorship.time = "2026-03-05T00:00:00Z".parse().unwrap();
    let same = mirrors.push(&url, later);
    tokio::pin!(same);
    tokio::select! {
        biased;
        early = &mut same => panic!("it waits for the first one's answer: {early:?}"),
        () = std::future::ready(()) => {}
    }
    let error = mirrors.push(&url, files("p", &[("price", Some("2"))])).await.unwrap_err();
    assert!(matches!(error, Error::Busy { .. }) && error.is_temporary(), "{error:?}");
    std::fs::write(data.path().join("go"), "").unwrap();
    let (first, same) = (first.await.unwrap().unwrap(), same.await.unwrap());
    assert_eq!(first, same);
    assert_eq!(std::fs::read_to_string(&pushes).unwrap().lines().count(), 1);
    // And the branch is free again.
    assert!(mirrors.push(&url, merge("p", &url, &feature)).await.unwrap().unchanged);
}

#[tokio::test]
async fn what_the_repository_says_cannot_be_merged_is_a_conflict() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let lines = |first: &str, last: &str| format!("{first}\n1\n2\n3\n4\n5\n6\n{last}\n");
    for file in ["lock.json", "free.json", "x.bin"] {
        repository.commit(file, lines("a", "z"));
    }
    repository.push(".gitattributes", "lock.json -merge\n*.bin binary\n");
    repository.git(&["checkout", "--quiet", "-b", "theirs"]);
    // Who proposes does not decide about that.
    repository.commit(".gitattributes", "");
    let [lock, free, binary] = ["lock.json", "free.json", "x.bin"];
    let mut tips = Vec::new();
    for file in [lock, binary, free] {
        repository.git(&["checkout", "--quiet", "-B", &format!("of-{file}"), "theirs"]);
        tips.push(repository.push(file, &lines("mine", "z")));
    }
    repository.git(&["checkout", "--quiet", "main"]);
    for file in [lock, binary, free] {
        repository.push(file, &lines("a", "theirs"));
    }
    let url = repository.file_url();
    let spy = Spy::new();
    let mirrors = open(data.path(), Options { git: spy.program.clone(), ..options() });
    for (file, tip) in [lock, binary].into_iter().zip(&tips) {
        let error = mirrors.push(&url, merge("p", &url, tip)).await.unwrap_err();
        assert!(matches!(&error, Error::Conflict { files, .. } if files == &[file]), "{file}: {error:?}");
    }
    let merged = mirrors.push(&url, merge("p", &url, &tips[2])).await.unwrap();
    assert_eq!(show(&repository, &format!("{}:{free}", merged.commit)), lines("mine", "theirs").trim_end());
    // What the machine says of attributes counts nowhere.
    let environment = spy.read("environment");
    let count = |name: &str| environment.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(count("GIT_ATTR_NOSYSTEM=1"), count("GIT_TERMINAL_PROMPT="));
}

#[tokio::test]
async fn a_git_that_cannot_read_attributes_of_a_commit_merges_nothing() {
    let root = tempfile::tempdir().unwrap();
    let data = tempfile::tempdir().unwrap();
    let (repository, _, feature) = shop(root.path());
    let (url, before, program) = (repository.file_url(), branches(&repository), data.path().join("git"));
    script(
        &program,
        "case \"$1\" in --attr-source=*) echo \"unknown option: $1\" >&2; exit 129;; esac\nexec git \"$@\"",
    );
    let mirrors = open(&data.path().join("mirrors"), Options { git: program, ..options() });
    let error = mirrors.push(&url, merge("p", &url, &feature)).await.unwrap_err();
    assert!(matches!(error, Error::NoProgram { .. }) && error.to_string().contains("2.41"), "{error:?}");
    assert_eq!(branches(&repository), before);
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
