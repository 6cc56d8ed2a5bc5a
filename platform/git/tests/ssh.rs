//! Repositories behind a real `sshd`: fetched and pushed to with the key of a Secret, by nobody else's.
#![allow(clippy::unwrap_used)]

#[path = "support/sshd.rs"]
mod sshd;
mod support;

use seaway_git::{Authentication, CredentialSet, Credentials, Error, Mirrors, RepositoryUrl};
use sshd::Sshd;
use support::pushes::{files, shop, show, tip};
use support::{Repository, open, options, revision};

fn url(sshd: &Sshd, repository: &Repository) -> RepositoryUrl {
    sshd.url(&repository.bare).parse().unwrap()
}

/// Uses this key of ours, and this as the server's.
fn set_credentials(sshd: &Sshd, mirrors: &Mirrors, key: &str, host_key: &str) {
    let authentication = Authentication::SshKey {
        private_key: sshd.read(key).into(),
        known_hosts: sshd.known_hosts(host_key),
    };
    let credentials = Credentials { authentication: Some(authentication), ca: None };
    let mut set = CredentialSet::new();
    set.insert(&sshd.address(), credentials).unwrap();
    mirrors.set_credentials(set);
}

#[tokio::test]
async fn a_repository_behind_ssh_is_fetched_and_pushed_to_with_the_key_of_its_secret() {
    let Some(sshd) = Sshd::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let (repository, main, _) = shop(root.path());
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let url = url(&sshd, &repository);
    set_credentials(&sshd, &mirrors, "client", "host");
    assert_eq!(mirrors.fetch(&url, &revision("main")).await.unwrap().id.as_str(), main);
    let pushed = mirrors.push(&url, files("seaway/prices", &[("price", Some("2"))])).await.unwrap();
    assert_eq!(tip(&repository, "seaway/prices"), pushed.commit.as_str());
    assert_eq!(show(&repository, "seaway/prices:price"), "2");
    assert_eq!(mirrors.ls_remote(&url, &revision("seaway/prices")).await.unwrap().id, pushed.commit);
    let left = std::fs::read_dir(data.path().join("secrets")).unwrap().count();
    assert_eq!(left, 0, "the key does not stay on disk");
}

#[tokio::test]
async fn an_ssh_server_that_is_not_the_known_one_gets_nothing() {
    let Some(sshd) = Sshd::start() else { return };
    let root = tempfile::tempdir().unwrap();
    let (repository, ..) = shop(root.path());
    let data = tempfile::tempdir().unwrap();
    let mirrors = open(data.path(), options());
    let url = url(&sshd, &repository);
    set_credentials(&sshd, &mirrors, "client", "stranger");
    let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownHostKey { .. }), "{error:?}");
    assert!(!sshd.read("log").contains("Accepted publickey"), "it was not told who we are");

    set_credentials(&sshd, &mirrors, "stranger", "host");
    let error = mirrors.fetch(&url, &revision("main")).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
    let error = mirrors.push(&url, files("x", &[("price", Some("2"))])).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error:?}");
}
