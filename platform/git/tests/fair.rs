//! Servers that do not answer hold up nobody else, and people come before polls.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use seaway_git::{Error, Mirrors, Options, RepositoryUrl, Revision};
use support::gate::Gate;
use support::{Repository, Server, open, options, revision};
use tokio::task::JoinSet;

/// What asks in vain, and how much of it has been given up.
struct Hanging {
    tasks: JoinSet<Result<(), Error>>,
    ended: Arc<AtomicUsize>,
}

impl Hanging {
    fn new() -> Self {
        Self { tasks: JoinSet::new(), ended: Arc::default() }
    }

    /// A question and a fetch, as a poll that has news to look for.
    fn ask(&mut self, mirrors: &Mirrors, url: &RepositoryUrl) {
        for fetches in [false, true] {
            let (mirrors, url, ended) = (mirrors.clone(), url.clone(), self.ended.clone());
            self.tasks.spawn(async move {
                let main = revision("main");
                let result = match fetches {
                    true => mirrors.fetch(&url, &main).await.map(drop),
                    false => mirrors.ls_remote(&url, &main).await.map(drop),
                };
                ended.fetch_add(1, Ordering::SeqCst);
                result
            });
        }
    }

    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

async fn gates(count: usize) -> Vec<Gate> {
    let mut gates = Vec::new();
    for _ in 0..count {
        gates.push(Gate::closed().await);
    }
    gates
}

#[tokio::test]
async fn a_repository_is_followed_while_forty_servers_hang() {
    let server = Server::start().await;
    let repository = Repository::new(server.root.path(), "shop.git");
    repository.push("file", "0");
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let (url, main) = (server.url("git/shop.git"), revision("main"));
    mirrors.fetch(&url, &main).await.unwrap();

    let gates = gates(40).await;
    let mut hanging = Hanging::new();
    for gate in &gates {
        hanging.ask(&mirrors, &gate.url("git/shop.git").parse().unwrap());
    }
    for gate in &gates[..12] {
        gate.holds(1).await;
    }
    for n in 1..5 {
        let id = repository.push("file", &n.to_string());
        assert_eq!(mirrors.ls_remote(&url, &main).await.unwrap().id.as_str(), id);
        assert_eq!(mirrors.fetch(&url, &main).await.unwrap().id.as_str(), id);
    }
    let ended = hanging.ended();
    assert!(ended < 40, "{ended} of 80 were waited for");
    assert!(gates.iter().all(|gate| gate.held() <= 2), "no server gets more");
}

#[tokio::test]
async fn a_person_is_served_while_polls_wait_and_asks_a_server_at_once_that_hangs_for_them() {
    let server = Server::start().await;
    let id = Repository::new(server.root.path(), "shop.git").push("file", "1");
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let gates = gates(40).await;
    let mut hanging = Hanging::new();
    // Twice as many as one server gets.
    for name in ["shop", "other"] {
        hanging.ask(&mirrors, &gates[0].url(&format!("git/{name}.git")).parse().unwrap());
    }
    gates[0].holds(2).await;
    for gate in &gates[1..] {
        hanging.ask(&mirrors, &gate.url("git/shop.git").parse().unwrap());
    }
    for gate in &gates[1..12] {
        gate.holds(1).await;
    }
    // Nobody has asked this server before.
    let (url, main) = (server.url("git/shop.git"), revision("main"));
    assert_eq!(mirrors.for_people().fetch(&url, &main).await.unwrap().id.as_str(), id);
    let ended = hanging.ended();
    assert!(ended < 40, "{ended} of 82 were waited for");

    gates[0].open(server.port);
    let url: RepositoryUrl = gates[0].url("git/shop.git").parse().unwrap();
    assert_eq!(mirrors.for_people().fetch(&url, &main).await.unwrap().id.as_str(), id);
    assert!(mirrors.answers(&url));
}

#[tokio::test]
async fn a_silent_server_is_told_of_at_once_and_asked_again() {
    let server = Server::start().await;
    let id = Repository::new(server.root.path(), "shop.git").push("file", "1");
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), Options { time_limit: Duration::from_secs(5), ..options() });
    let gate = Gate::closed().await;
    let mut hanging = Hanging::new();
    let url = |n: usize| -> RepositoryUrl { gate.url(&format!("git/{n}.git")).parse().unwrap() };
    for n in 0..40 {
        hanging.ask(&mirrors, &url(n));
    }
    let mut told = (0, 0);
    while let Some(result) = hanging.tasks.join_next().await {
        match result.unwrap().unwrap_err() {
            Error::TimedOut { .. } => told.0 += 1,
            error @ Error::Unreachable { .. } => {
                assert!(error.to_string().contains("did not answer others"), "{error}");
                told.1 += 1;
            }
            error => panic!("{error}"),
        }
    }
    assert!(told.0 < 20, "{told:?}: not one after the other");
    assert!(mirrors.is_silent(&url(0)) && !mirrors.answers(&url(0)));

    let returns = {
        let (mirrors, url) = (mirrors.clone(), url(1));
        tokio::spawn(async move { mirrors.until_not_silent(&url).await })
    };
    gate.open(server.port);
    let url: RepositoryUrl = gate.url("git/shop.git").parse().unwrap();
    let main = revision("main");
    let found = loop {
        // It may take longer than it has, where much else goes on.
        if let Ok(commit) = mirrors.fetch(&url, &main).await {
            break commit;
        }
    };
    assert_eq!(found.id.as_str(), id);
    returns.await.unwrap();
    assert!(!mirrors.is_silent(&url));
}

#[tokio::test]
async fn a_commit_that_was_fetched_needs_no_server() {
    let server = Server::start().await;
    let id = Repository::new(server.root.path(), "shop.git").push("file", "1");
    let data = tempfile::tempdir().unwrap();
    let gate = Gate::closed().await;
    let url: RepositoryUrl = gate.url("git/shop.git").parse().unwrap();
    let commit = Revision::Commit(id.parse().unwrap());
    gate.open(server.port);
    open(data.path(), options()).fetch(&url, &commit).await.unwrap();
    drop(server);
    let started_again = open(data.path(), options());
    assert_eq!(started_again.fetch(&url, &commit).await.unwrap().id.as_str(), id);
    assert!(!started_again.answers(&url), "nobody asked it");
}
