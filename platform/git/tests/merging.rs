//! Merges that stay in the mirror, and whether a branch has what was proposed. The oracle is the `git` program.
#![allow(clippy::unwrap_used)]

mod support;

use seaway_git::{CommitId, Error, Revision};
use support::pushes::{branches, merge, shop};
use support::{Server, git, open, options};

fn id(text: &str) -> CommitId {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_branch_is_merged_with_upstream_and_nothing_is_pushed() {
    let server = Server::start().await;
    let (repository, main, feature) = shop(server.root.path());
    let (data, url) = (tempfile::tempdir().unwrap(), repository.file_url());
    let mirrors = open(data.path(), options());
    for revision in ["main", "feature"] {
        mirrors.fetch(&url, &revision.parse::<Revision>().unwrap()).await.unwrap();
    }
    let before = branches(&repository);
    let push = merge("feature", &url, &feature);
    let merged = mirrors.compose(&url, &push, &id(&main)).await.unwrap();
    let tree = mirrors.tree(&url, &merged).unwrap();
    for file in ["feature", "other", "price"] {
        use seaway_source::FileTree as _;
        assert!(tree.find(&seaway_source::TreePath::new(file).unwrap()).unwrap().is_some(), "{file}");
    }
    assert_eq!(mirrors.compose(&url, &push, &id(&main)).await.unwrap(), merged, "the same has the same name");
    assert_eq!(branches(&repository), before, "nothing is pushed");
    // What has everything of the other is that itself.
    let first = git(&repository.bare, &["rev-parse", "main~1"]);
    assert_eq!(mirrors.compose(&url, &push, &id(&first)).await.unwrap(), id(&feature));
    let behind = merge("feature", &url, &first);
    assert_eq!(mirrors.compose(&url, &behind, &id(&main)).await.unwrap(), id(&main));
}

#[tokio::test]
async fn what_both_changed_is_a_conflict_that_names_the_file() {
    let server = Server::start().await;
    let (repository, ..) = shop(server.root.path());
    let main = repository.push("price", "2");
    repository.git(&["checkout", "--quiet", "feature"]);
    let feature = repository.push("price", "3");
    let (data, url) = (tempfile::tempdir().unwrap(), repository.file_url());
    let mirrors = open(data.path(), options());
    for revision in ["main", "feature"] {
        mirrors.fetch(&url, &revision.parse::<Revision>().unwrap()).await.unwrap();
    }
    let error = mirrors.compose(&url, &merge("feature", &url, &feature), &id(&main)).await.unwrap_err();
    assert!(matches!(&error, Error::Conflict { files, .. } if files == &["price"]), "{error}");
    assert!(!mirrors.has_changes(&url, &id(&feature), &id(&main)).await.unwrap());
}

#[tokio::test]
async fn changes_are_found_however_they_came() {
    let server = Server::start().await;
    let (repository, main, feature) = shop(server.root.path());
    let (data, url) = (tempfile::tempdir().unwrap(), repository.file_url());
    let mirrors = open(data.path(), options());
    let has = async |base: &str| {
        for revision in ["main", "feature"] {
            mirrors.fetch(&url, &revision.parse::<Revision>().unwrap()).await.unwrap();
        }
        mirrors.has_changes(&url, &id(&feature), &id(base)).await.unwrap()
    };
    assert!(!has(&main).await);
    // Squashed onto it, and then it goes on.
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git(&["merge", "--quiet", "--squash", "feature"]);
    repository.git(&["commit", "--quiet", "-m", "Squashed"]);
    let next = repository.push("other", "and on");
    assert!(has(&next).await);
    // Taken back.
    repository.git(&["revert", "--no-edit", "HEAD~1"]);
    repository.git(&["push", "--quiet", "origin", "main"]);
    let reverted = repository.git(&["rev-parse", "HEAD"]);
    assert!(!has(reverted.trim()).await);
}
