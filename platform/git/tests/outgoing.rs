//! Where fetching goes, where it never goes, and when it ends.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::killpg;
use nix::unistd::Pid;
use seaway_git::{
    Authentication, CredentialSet, Credentials, Error, Mirrors, Options, OutgoingPolicy, RepositoryUrl,
    Revision,
};
use support::{LOCAL, PASSWORD, Repository, Server, Spy, USER, open, options, revision, script};
use tokio::time::{Instant, sleep};

async fn error(mirrors: &Mirrors, url: &RepositoryUrl) -> Error {
    let error = mirrors.fetch(url, &revision("main")).await.unwrap_err();
    assert!(error.to_string().contains(&url.to_string()), "{error}");
    error
}

/// Waits until no process is left that any run of `git` started.
async fn nothing_runs(spy: &Spy) {
    let deadline = Instant::now() + Duration::from_secs(20);
    for pid in spy.read("pids").lines() {
        let group = Pid::from_raw(pid.parse().unwrap());
        while killpg(group, None) != Err(Errno::ESRCH) {
            assert!(Instant::now() < deadline, "processes of group {pid} are left");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_with_all_processes() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let spy = Spy::new();
    let limit = Duration::from_millis(1500);
    let mirrors = open(data.path(), Options { time_limit: limit, git: spy.program.clone(), ..options() });
    let url = server.url("hang/shop.git");
    assert!(matches!(error(&mirrors, &url).await, Error::TimedOut { .. }));
    let failure = mirrors.ls_remote(&url, &Revision::Head).await.unwrap_err();
    assert!(matches!(failure, Error::TimedOut { .. }) && failure.is_temporary(), "{failure}");
    assert!(spy.calls("ls-remote") >= 1 && server.requests() >= 1);
    nothing_runs(&spy).await;

    // One that stops in the middle of a pack, and then works again.
    let repository = Repository::new(server.root.path(), "shop.git");
    let id = repository.push("file", "1");
    let url = server.url("git/shop.git");
    server.state.stall.store(true, Ordering::SeqCst);
    assert!(matches!(error(&mirrors, &url).await, Error::TimedOut { .. }));
    assert!(server.state.stalled.load(Ordering::SeqCst));
    nothing_runs(&spy).await;
    server.state.stall.store(false, Ordering::SeqCst);
    let patient = open(data.path(), options());
    assert_eq!(patient.fetch(&url, &revision("main")).await.unwrap().id.as_str(), id);
}

#[tokio::test]
async fn an_aborted_runtime_leaves_no_process() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let spy = Spy::new();
    let (folder, git, url) = (data.path().to_owned(), spy.program.clone(), server.url("hang/shop.git"));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.spawn(async move {
        let mirrors = open(&folder, Options { git, ..options() });
        mirrors.fetch(&url, &revision("main")).await
    });
    while server.requests() == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    runtime.shutdown_background();
    nothing_runs(&spy).await;
}

#[tokio::test]
async fn what_the_policy_forbids_is_not_connected_to() {
    let server = Server::start().await;
    Repository::new(server.root.path(), "shop.git").push("file", "1");
    let by_name = format!("http://localhost:{}/git/shop.git", server.port);
    let mapped = format!("http://[::ffff:127.0.0.1]:{}/git/shop.git", server.port);
    for (url, policy, why) in [
        (server.url("git/shop.git").to_string(), OutgoingPolicy { loopback: false, ..LOCAL }, "this machine"),
        (by_name.clone(), OutgoingPolicy { loopback: false, ..LOCAL }, "this machine"),
        (mapped, OutgoingPolicy { loopback: false, ..LOCAL }, "this machine"),
        (by_name.clone(), OutgoingPolicy { plain_http: false, ..LOCAL }, "http"),
        ("http://169.254.169.254/latest.git".into(), OutgoingPolicy { private: true, ..LOCAL }, "link-local"),
        ("http://10.0.0.1/a.git".into(), LOCAL, "private"),
        ("https://0x7f.1/a.git".into(), OutgoingPolicy { loopback: false, ..LOCAL }, "this machine"),
        (
            server.root.path().join("shop.git").display().to_string(),
            OutgoingPolicy { files: false, ..LOCAL },
            "disk",
        ),
    ] {
        let data = tempfile::tempdir().unwrap();
        let mirrors = open(data.path(), Options { policy, ..options() });
        let error = error(&mirrors, &url.parse().unwrap()).await;
        assert!(
            matches!(error, Error::Refused { .. }) && error.to_string().contains(why),
            "{url}: {error:?}"
        );
    }
    assert_eq!(server.requests(), 0, "the server was asked");
    let data = tempfile::tempdir().unwrap();
    let url = by_name.parse().unwrap();
    assert!(
        open(data.path(), options()).fetch(&url, &revision("main")).await.is_ok(),
        "names work where allowed"
    );
}

#[tokio::test]
async fn a_redirect_is_followed_only_to_where_a_connection_is_allowed() {
    let server = Server::start().await;
    let id = Repository::new(server.root.path(), "shop.git").push("file", "1");
    let url = server.url("redirect/shop.git");
    let fetch = async |target: String| {
        *server.state.redirect.lock() = target;
        let data = tempfile::tempdir().unwrap();
        open(data.path(), options()).fetch(&url, &revision("main")).await
    };
    let commit = fetch(format!("http://127.0.0.1:{}/git/", server.port)).await.unwrap();
    assert_eq!(commit.id.as_str(), id);
    for target in ["http://169.254.169.254/", "http://10.1.1.1/", "http://[fd00:ec2::254]/"] {
        let error = fetch(target.to_owned()).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{target}: {error:?}");
    }
    for target in [format!("file://{}/", server.root.path().display()), "ssh://127.0.0.1/".to_owned()] {
        assert!(fetch(target.clone()).await.is_err(), "{target}");
    }
}

#[tokio::test]
async fn a_redirect_to_another_host_does_not_get_the_credentials() {
    let (first, second) = (Server::start().await, Server::start().await);
    *first.state.redirect.lock() = format!("http://127.0.0.1:{}/private/", second.port);
    Repository::new(second.root.path(), "shop.git").push("file", "1");
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let url = first.url("redirect/shop.git");
    let mut set = CredentialSet::new();
    let authentication = Authentication::Password { user: USER.into(), password: PASSWORD.into() };
    set.insert(&url.origin(), Credentials { authentication: Some(authentication), ca: None }).unwrap();
    mirrors.set_credentials(set);
    assert!(matches!(error(&mirrors, &url).await, Error::Unauthorized { .. }));
    let seen = second.state.requests.lock();
    assert!(!seen.is_empty() && seen.iter().all(|(_, _, authorization)| authorization.is_none()), "{seen:?}");
}

#[tokio::test]
async fn a_certificate_must_be_trusted_by_the_ca_of_the_url() {
    let (server, ca) = Server::start_tls().await;
    let id = Repository::new(server.root.path(), "shop.git").push("file", "1");
    let data = tempfile::tempdir().unwrap();
    let policy = OutgoingPolicy { plain_http: false, ..LOCAL };
    let mirrors = open(data.path(), Options { policy, ..options() });
    let url: RepositoryUrl = format!("https://127.0.0.1:{}/private/shop.git", server.port).parse().unwrap();
    assert!(matches!(error(&mirrors, &url).await, Error::Certificate { .. }));

    let mut set = CredentialSet::new();
    let authentication = Authentication::Password { user: USER.into(), password: PASSWORD.into() };
    set.insert(&url.origin(), Credentials { authentication: Some(authentication), ca: Some(ca) }).unwrap();
    mirrors.set_credentials(set);
    assert_eq!(mirrors.fetch(&url, &revision("main")).await.unwrap().id.as_str(), id);
}

#[tokio::test]
async fn a_repository_above_the_size_limit_is_refused_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    let noise: Vec<u8> = (0..3 << 20).map(|_| rand::random()).collect();
    repository.commit("noise", noise);
    let id = repository.push("file", "1");
    let data = tempfile::tempdir().unwrap();
    let url = repository.file_url();
    let limit = 1 << 20;
    let mirrors = open(data.path(), Options { max_size: limit, ..options() });
    assert!(matches!(error(&mirrors, &url).await, Error::TooLarge { .. }));
    assert!(matches!(error(&mirrors, &url).await, Error::TooLarge { .. }));
    drop(mirrors);
    let left: u64 = walk(data.path());
    assert!(left < limit, "{left} bytes are left");
    let roomy = open(data.path(), options());
    assert_eq!(roomy.fetch(&url, &revision("main")).await.unwrap().id.as_str(), id);
}

fn walk(folder: &std::path::Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries.map(|e| if e.path().is_dir() { walk(&e.path()) } else { e.metadata().unwrap().len() }).sum()
}

/// There is no ssh server here: a script notes what ssh would be asked, and runs the command on this machine.
#[tokio::test]
async fn ssh_gets_the_key_the_known_hosts_and_a_checked_address() {
    let root = tempfile::tempdir().unwrap();
    let repository = Repository::new(root.path(), "shop.git");
    let id = repository.push("file", "1");
    let ssh = root.path().join("my ssh");
    let log = root.path().join("log");
    script(
        &ssh,
        &format!(
            r#"printf '%s\n' "$@" > '{log}'
for argument; do case "$argument" in IdentityFile=*) key=${{argument#*=}};; esac; last=$argument; done
key=$(echo "$key" | tr -d '"')
stat -c 'mode=%a' "$key" >> '{log}'; cat "$key" >> '{log}'
eval "$last""#,
            log = log.display()
        ),
    );
    let data = tempfile::tempdir().unwrap();
    let folder = data.path().join("with space");
    let mirrors = open(&folder, Options { ssh: ssh.clone(), ..options() });
    let url: RepositoryUrl =
        format!("ssh://git@localhost:2222{}", repository.bare.display()).parse().unwrap();
    assert!(matches!(error(&mirrors, &url).await, Error::Unauthorized { .. }));
    assert!(!log.exists(), "without credentials the person's own keys are not tried");

    let mut set = CredentialSet::new();
    let authentication = Authentication::SshKey {
        private_key: "-----BEGIN OPENSSH PRIVATE KEY-----\nx".into(),
        known_hosts: "[localhost]:2222 ssh-ed25519 AAAA\n".into(),
    };
    set.insert("ssh://localhost:2222", Credentials { authentication: Some(authentication), ca: None })
        .unwrap();
    mirrors.set_credentials(set.clone());
    // Nobody listens at the port; with one address it is ssh that finds out.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url: RepositoryUrl =
        format!("ssh://git@127.0.0.1:{port}{}", repository.bare.display()).parse().unwrap();
    let authentication = set.find(&"ssh://localhost:2222/x".parse().unwrap()).unwrap().clone();
    set.insert(&url.origin(), authentication).unwrap();
    mirrors.set_credentials(set);
    assert_eq!(mirrors.fetch(&url, &revision("main")).await.unwrap().id.as_str(), id);

    let asked = std::fs::read_to_string(&log).unwrap();
    let port_option = format!("[127.0.0.1]:{port}");
    for needed in [
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "GlobalKnownHostsFile=/dev/null",
        "ProxyCommand=none",
        "HostName=127.0.0.1",
        &format!("HostKeyAlias={port_option}"),
        "none",
        "git@127.0.0.1",
        "mode=600",
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ] {
        assert!(asked.lines().any(|line| line == needed), "{needed} in\n{asked}");
    }
    let left = std::fs::read_dir(folder.join("secrets")).unwrap().count();
    assert_eq!(left, 0, "the key does not stay on disk");

    let forbidden =
        open(&folder, Options { ssh, policy: OutgoingPolicy::default(), own_ssh: true, ..options() });
    assert!(matches!(error(&forbidden, &url).await, Error::Refused { .. }));
}
