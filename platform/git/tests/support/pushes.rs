//! Pushes, and a repository for them.

use std::collections::BTreeMap;
use std::path::Path;

use seaway_git::{Authorship, Branch, Merge, Message, Person, Push, RepositoryUrl, Trailer};

use super::{Repository, git};

pub fn person(name: &str, email: &str) -> Person {
    Person { name: name.into(), email: email.into() }
}

pub fn trailer(value: &str) -> Trailer {
    Trailer { key: "Seaway-Proposal".into(), value: value.into() }
}

pub fn branch(name: &str) -> Branch {
    name.parse().unwrap()
}

/// A push of nothing yet, from `main` to this branch.
pub fn push(to: &str) -> Push {
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

pub fn merge(to: &str, url: &RepositoryUrl, commit: &str) -> Push {
    Push { merge: Some(Merge { url: url.clone(), commit: commit.parse().unwrap() }), ..push(to) }
}

pub fn files(to: &str, files: &[(&str, Option<&str>)]) -> Push {
    let files = files.iter().map(|(path, content)| (path.to_string(), content.map(Into::into))).collect();
    Push { files, ..push(to) }
}

/// A repository with `main`, and a branch `feature` that differs from it.
pub fn shop(root: &Path) -> (Repository, String, String) {
    let repository = Repository::new(root, "shop.git");
    git(&repository.bare, &["config", "http.receivepack", "true"]);
    repository.push("price", "1");
    repository.git(&["checkout", "--quiet", "-b", "feature"]);
    let feature = repository.push("feature", "new");
    repository.git(&["checkout", "--quiet", "main"]);
    let main = repository.push("other", "main goes on");
    (repository, main, feature)
}

pub fn tip(repository: &Repository, name: &str) -> String {
    git(&repository.bare, &["rev-parse", "--verify", &format!("refs/heads/{name}")])
}

pub fn show(repository: &Repository, what: &str) -> String {
    git(&repository.bare, &["show", what])
}

pub fn branches(repository: &Repository) -> String {
    git(&repository.bare, &["for-each-ref", "--format=%(refname:short) %(objectname)", "refs/heads"])
}
