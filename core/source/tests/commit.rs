//! What the tree of a Git commit promises.
#![allow(clippy::unwrap_used)]

mod git;

use std::path::Path;

use git::git;
use seaway_source::{
    CommitTree, Digest, Directory, EntryKind, Error, FileTree, ObjectDatabase, Recording, TreePath,
};

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn write(folder: &Path, file: &str, content: &str) {
    let file = folder.join(file);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

fn commit(folder: &Path) -> String {
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--allow-empty", "--message", "change"]);
    git(folder, &["rev-parse", "HEAD"])
}

fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["init", "--quiet"]);
    write(folder.path(), "a/b/file.yaml", "x: 1\n");
    write(folder.path(), "top", "top");
    // Git sorts a directory as if its name ended with a slash: these two show a search that does not know.
    write(folder.path(), "sorted.yaml", "file");
    write(folder.path(), "sorted/x", "below");
    folder
}

fn tree(folder: &Path, commit: &str) -> CommitTree {
    ObjectDatabase::open(folder).unwrap().commit(commit).unwrap()
}

fn names(tree: &dyn FileTree, at: &str) -> Vec<String> {
    tree.list(&path(at)).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn a_commit_answers_as_its_checkout_does() {
    let folder = repository();
    let id = commit(folder.path());
    let checkout = Directory::open(folder.path()).unwrap();
    for packed in [false, true] {
        if packed {
            git(folder.path(), &["gc", "--quiet"]);
        }
        let tree = tree(folder.path(), &id);
        assert_eq!(tree.id(), id);
        for asked in
            ["", "a", "a/b", "a/b/file.yaml", "top", "top/x", "none", "sorted", "sorted.yaml", "sorted/x"]
        {
            let asked = path(asked);
            assert_eq!(tree.find(&asked).unwrap(), checkout.find(&asked).unwrap(), "{asked}");
            assert_eq!(tree.read(&asked).ok(), checkout.read(&asked).ok(), "{asked}");
            assert_eq!(tree.digest(&asked).ok(), checkout.digest(&asked).ok(), "{asked}");
        }
        assert_eq!(names(&tree, ""), ["a", "sorted", "sorted.yaml", "top"]);
        assert_eq!(names(&tree, "a/b"), ["file.yaml"]);
        assert!(matches!(tree.read(&path("a/b")), Err(Error::NotAFile { .. })));
        assert!(matches!(tree.read(&path("none")), Err(Error::NotFound { .. })));
        assert!(matches!(tree.list(&path("top")), Err(Error::NotADirectory { .. })));
    }
}

#[test]
fn what_did_not_change_keeps_its_ids() {
    let folder = repository();
    let first = commit(folder.path());
    let objects = ObjectDatabase::open(folder.path()).unwrap();
    let before = objects.commit(&first).unwrap();
    write(folder.path(), "top", "changed");
    let after = objects.commit(&commit(folder.path())).unwrap();

    let blob = git(folder.path(), &["rev-parse", &format!("{first}:a/b/file.yaml")]);
    assert_eq!(before.object_id(&path("a/b/file.yaml")).unwrap(), Some(blob));
    assert_eq!(before.object_id(&path("a")).unwrap(), after.object_id(&path("a")).unwrap());
    assert_ne!(before.object_id(&path("top")).unwrap(), after.object_id(&path("top")).unwrap());
    assert_eq!(before.object_id(&path("none")).unwrap(), None);
    assert_eq!(&*after.read(&path("top")).unwrap(), b"changed", "fetched after the database was opened");
    assert_eq!(&*before.read(&path("top")).unwrap(), b"top");

    let recording = Recording::new(&before);
    recording.read(&path("a/b/file.yaml")).unwrap();
    recording.list(&path("a")).unwrap();
    let inputs = recording.into_inputs();
    assert!(inputs.hold_in(&after), "the commit changed another file");
    let recording = Recording::new(&before);
    recording.digest(&path("top")).unwrap();
    assert!(!recording.into_inputs().hold_in(&after));
}

#[cfg(unix)]
#[test]
fn links_of_a_commit_are_followed_inside_the_tree_only() {
    use std::os::unix::fs::symlink;
    let folder = repository();
    let link = |target: &str, name: &str| symlink(target, folder.path().join(name)).unwrap();
    link("a/b", "inside");
    link("../../top", "a/b/up");
    link("/etc/passwd", "absolute");
    link("../../..", "a/out");
    link("loop", "loop");
    link("nowhere", "dangling");
    let tree = tree(folder.path(), &commit(folder.path()));

    let entry = tree.find(&path("inside/file.yaml")).unwrap().unwrap();
    assert_eq!(entry.path, path("a/b/file.yaml"));
    assert_eq!(&*tree.read(&path("inside/up")).unwrap(), b"top");
    assert!(matches!(tree.read(&path("absolute")), Err(Error::Escape { .. })));
    assert!(matches!(tree.find(&path("a/out/etc")), Err(Error::Escape { .. })));
    assert!(matches!(tree.read(&path("loop")), Err(Error::LinkLoop { .. })));
    assert_eq!(tree.find(&path("dangling")).unwrap(), None);
    assert_eq!(names(&tree, ""), ["a", "inside", "sorted", "sorted.yaml", "top"]);
}

#[test]
fn submodules_and_lfs_pointers_are_not_followed_and_say_so() {
    let folder = repository();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    write(folder.path(), "big.yaml", pointer);
    let first = commit(folder.path());
    git(folder.path(), &["update-index", "--add", "--cacheinfo", &format!("160000,{first},module")]);
    git(folder.path(), &["commit", "--quiet", "--message", "submodule"]);
    let tree = tree(folder.path(), &git(folder.path(), &["rev-parse", "HEAD"]));

    assert!(matches!(tree.read(&path("big.yaml")), Err(Error::LfsPointer { .. })));
    assert!(matches!(tree.digest(&path("big.yaml")), Err(Error::LfsPointer { .. })));
    assert_eq!(tree.find(&path("module")).unwrap().unwrap().kind, EntryKind::Directory);
    assert!(names(&tree, "module").is_empty());
    let error = tree.read(&path("module/base/kustomization.yaml")).unwrap_err();
    assert!(matches!(error, Error::Submodule { .. }), "{error}");
    assert!(error.to_string().contains("module/base/kustomization.yaml"), "{error}");
}

#[test]
fn a_tag_means_its_commit_and_other_ids_are_errors() {
    let folder = repository();
    let id = commit(folder.path());
    git(folder.path(), &["tag", "--annotate", "--message", "v1", "v1"]);
    let objects = ObjectDatabase::open(folder.path()).unwrap();
    assert_eq!(objects.commit(&git(folder.path(), &["rev-parse", "v1"])).unwrap().id(), id);

    let blob = git(folder.path(), &["rev-parse", "HEAD:top"]);
    for (wrong, why) in [
        (blob.as_str(), "not a commit"),
        ("main", "40 hexadecimal digits"),
        ("0123456789012345678901234567890123456789", "not in the repository"),
    ] {
        let error = objects.commit(wrong).unwrap_err().to_string();
        assert!(error.contains(why) && error.contains(wrong), "{error}");
    }
    assert!(ObjectDatabase::open(&folder.path().join("none")).is_err());
}

#[test]
fn a_file_above_the_limit_is_refused_before_it_is_decoded() {
    let folder = repository();
    write(folder.path(), "big", &"x".repeat(100));
    let tree = tree(folder.path(), &commit(folder.path())).with_max_file(99);
    let error = tree.read(&path("big")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 100, limit: 99, .. }), "{error}");
}

#[test]
fn threads_read_one_database_together() {
    let folder = repository();
    for number in 0..50 {
        write(folder.path(), &format!("many/{number}"), &format!("content {number}"));
    }
    let id = commit(folder.path());
    git(folder.path(), &["gc", "--quiet"]);
    let tree = tree(folder.path(), &id);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for number in 0..50 {
                    let file = path(&format!("many/{number}"));
                    let content = format!("content {number}");
                    assert_eq!(&*tree.read(&file).unwrap(), content.as_bytes());
                    assert_eq!(tree.digest(&file).unwrap(), Digest::of(content.as_bytes()));
                }
            });
        }
    });
}

#[test]
fn a_commit_knows_where_it_differs_from_another() {
    let folder = repository();
    let first = commit(folder.path());
    write(folder.path(), "a/b/file.yaml", "x: 2\n");
    write(folder.path(), "new/deep/file", "1");
    std::fs::remove_dir_all(folder.path().join("sorted")).unwrap();
    std::fs::remove_file(folder.path().join("top")).unwrap();
    write(folder.path(), "top/below", "1");
    let second = commit(folder.path());
    let (first, second) = (tree(folder.path(), &first), tree(folder.path(), &second));
    let changed = |tree: &CommitTree, old: &CommitTree| {
        let changes = tree.changes_since(&old.identity().unwrap()).unwrap();
        let mut paths: Vec<String> = changes.paths().iter().map(ToString::to_string).collect();
        paths.sort();
        paths
    };
    assert_eq!(changed(&second, &first), ["a/b/file.yaml", "new", "sorted", "top"]);
    assert_eq!(changed(&first, &second), ["a/b/file.yaml", "new", "sorted", "top"]);
    assert!(changed(&first, &first).is_empty());
    let changes = second.changes_since(&first.identity().unwrap()).unwrap();
    for touched in ["a/b/file.yaml", "new", "new/deep/file", "sorted/x", "top/below"] {
        assert!(changes.touch(&path(touched)), "{touched}");
    }
    for untouched in ["", "a", "a/b", "a/b/file", "sorted.yaml", "news"] {
        assert!(!changes.touch(&path(untouched)), "{untouched}");
    }
    // Files that are too large for one may not be for the other: nothing is known.
    assert!(second.clone().with_max_file(1).changes_since(&first.identity().unwrap()).is_none());
    assert!(second.changes_since("something else").is_none());
}

#[test]
fn directories_that_are_in_many_places_are_not_compared_forever() {
    let folder = repository();
    // Each level has the one below twice. They differ only in a name that is not text, which is not listed.
    let doubled = |leaf: &[u8], levels: usize| {
        use std::os::unix::ffi::OsStrExt as _;
        let start = folder.path().join("start");
        std::fs::create_dir_all(&start).unwrap();
        std::fs::write(start.join(std::ffi::OsStr::from_bytes(leaf)), "x").unwrap();
        git(folder.path(), &["add", "--all"]);
        let mut id = git(folder.path(), &["write-tree", "--prefix=start/"]);
        std::fs::remove_dir_all(&start).unwrap();
        for _ in 0..levels {
            let list = folder.path().join(".git/list");
            std::fs::write(&list, format!("040000 tree {id}\ta\n040000 tree {id}\tb\n")).unwrap();
            let command = format!("git mktree < '{}'", list.display());
            let output =
                std::process::Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output();
            id = String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned();
        }
        git(folder.path(), &["commit-tree", "-m", "change", &id])
    };
    for (levels, is_known) in [(5, true), (40, false)] {
        let (first, second) = (doubled(b"\xff", levels), doubled(b"\xfe", levels));
        let (first, second) = (tree(folder.path(), &first), tree(folder.path(), &second));
        assert_ne!(first.identity(), second.identity());
        let changes = second.changes_since(&first.identity().unwrap());
        assert_eq!(changes.is_some(), is_known, "{levels}");
    }
}

#[test]
fn a_link_is_told_from_what_it_leads_to() {
    let folder = repository();
    std::os::unix::fs::symlink("nowhere", folder.path().join("a/link")).unwrap();
    std::os::unix::fs::symlink("a", folder.path().join("through")).unwrap();
    let id = commit(folder.path());
    let tree = tree(folder.path(), &id);
    for (asked, is_link) in [
        ("a/link", true),
        ("through", true),
        ("through/link", true),
        ("a", false),
        ("a/none", false),
        ("", false),
    ] {
        assert_eq!(tree.is_link(&path(asked)).unwrap(), is_link, "{asked}");
    }
}
