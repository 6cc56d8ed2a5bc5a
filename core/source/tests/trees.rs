//! What every tree promises.
#![allow(clippy::unwrap_used)]

use seaway_source::{Directory, EntryKind, Error, FileTree, Memory, Recording, TreePath};

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn on_disk() -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
    std::fs::write(folder.path().join("a/b/file.yaml"), "x: 1\n").unwrap();
    std::fs::write(folder.path().join("top"), "top").unwrap();
    let tree = Directory::open(folder.path()).unwrap();
    (folder, tree)
}

#[test]
fn paths_are_resolved_by_their_text_and_never_climb_out() {
    assert_eq!(path("./a//b/../c").as_str(), "a/c");
    assert_eq!(path("/a").as_str(), "a");
    assert!(matches!(TreePath::new("../x"), Err(Error::Escape { .. })));
    assert!(matches!(path("a").join("../../x"), Err(Error::Escape { .. })));
    assert!(matches!(path("a").join("/etc/passwd"), Err(Error::BadPath { .. })));
    assert!(matches!(path("a").join("x\0"), Err(Error::BadPath { .. })));
    assert!(matches!(TreePath::new(&"x/".repeat(5000)), Err(Error::BadPath { .. })));
    assert!(
        path("a/b").is_in(&path("a")) && !path("ab").is_in(&path("a")) && path("a").is_in(&TreePath::root())
    );
    assert_eq!(path("a/b/c").relative_to(&path("a/x")), "../b/c");
    assert_eq!(path("a").relative_to(&path("a")), ".");
}

#[test]
fn a_directory_and_memory_answer_alike() {
    let (_folder, disk) = on_disk();
    let memory = Memory::of([("a/b/file.yaml", "x: 1\n"), ("top", "top")]).unwrap();
    for tree in [&disk as &dyn FileTree, &memory] {
        assert_eq!(&*tree.read(&path("a/b/file.yaml")).unwrap(), b"x: 1\n");
        assert!(matches!(tree.read(&path("a/b")), Err(Error::NotAFile { .. })));
        assert!(matches!(tree.read(&path("a/none")), Err(Error::NotFound { .. })));
        assert!(matches!(tree.list(&path("top")), Err(Error::NotADirectory { .. })));
        assert!(matches!(tree.list(&path("none")), Err(Error::NotFound { .. })));
        assert_eq!(tree.find(&path("top/below")).unwrap(), None);
        assert_eq!(tree.find(&path("a")).unwrap().unwrap().kind, EntryKind::Directory);
        let names: Vec<_> =
            tree.list(&TreePath::root()).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a", "top"]);
        assert_eq!(tree.digest(&path("top")).unwrap(), seaway_source::Digest::of(b"top"));
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_inside_the_tree_only() {
    use std::os::unix::fs::symlink;
    let (folder, tree) = on_disk();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "s").unwrap();
    symlink("a/b", folder.path().join("inside")).unwrap();
    symlink(folder.path().join("top"), folder.path().join("absolute")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("out")).unwrap();
    symlink("../../../..", folder.path().join("a/up")).unwrap();
    symlink("loop", folder.path().join("loop")).unwrap();

    let entry = tree.find(&path("inside/file.yaml")).unwrap().unwrap();
    assert_eq!(entry.path, path("a/b/file.yaml"));
    assert_eq!(&*tree.read(&path("absolute")).unwrap(), b"top");
    assert!(matches!(tree.read(&path("out")), Err(Error::Escape { .. })));
    assert!(matches!(tree.find(&path("a/up/etc")), Err(Error::Escape { .. })));
    assert!(matches!(tree.read(&path("loop")), Err(Error::LinkLoop { .. })));
    let names: Vec<_> = tree.list(&TreePath::root()).unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a", "absolute", "inside", "top"], "links that lead nowhere are not listed");
}

#[test]
fn a_file_above_the_limit_is_refused() {
    let (folder, tree) = on_disk();
    std::fs::write(folder.path().join("big"), vec![b'x'; 100]).unwrap();
    let error = tree.with_max_file(99).read(&path("big")).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 100, limit: 99, .. }), "{error}");
}

#[test]
fn recorded_inputs_hold_until_something_that_was_asked_changes() {
    let mut tree = Memory::of([("a/kustomization.yaml", "x"), ("a/other", "y"), ("b/file", "z")]).unwrap();
    let recording = Recording::new(&tree);
    recording.read(&path("a/kustomization.yaml")).unwrap();
    assert_eq!(recording.find(&path("a/Kustomization")).unwrap(), None);
    recording.list(&path("b")).unwrap();
    let inputs = recording.into_inputs();
    assert_eq!(inputs.files().count(), 1);
    assert!(inputs.hold_in(&tree));

    let before = tree.clone();
    tree.insert("a/other", "changed").unwrap();
    assert!(inputs.hold_in(&tree), "nobody asked for a/other");

    for (file, content) in
        [("a/kustomization.yaml", "new"), ("a/Kustomization", "appeared"), ("b/second", "listed")]
    {
        let mut tree = before.clone();
        tree.insert(file, content).unwrap();
        assert!(!inputs.hold_in(&tree), "{file} was asked for");
    }
}

#[test]
fn a_pipe_is_no_file_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("pipe.yaml")).status().unwrap();
    assert!(made.success());
    let tree = Directory::open(folder.path()).unwrap();
    let path = TreePath::new("pipe.yaml").unwrap();
    assert!(matches!(tree.read(&path), Err(Error::NotAFile { .. })));
}

#[test]
fn a_view_answers_as_its_directory_does() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("a/b/c")).unwrap();
    std::fs::write(folder.path().join("a/b/c/file"), "text").unwrap();
    std::os::unix::fs::symlink("../b", folder.path().join("a/b/self")).unwrap();
    std::os::unix::fs::symlink("/etc", folder.path().join("a/out")).unwrap();
    let tree = Directory::open(folder.path()).unwrap();
    let view = tree.view().unwrap();
    // Twice: what was seen once is remembered.
    for _ in 0..2 {
        for path in [
            "",
            "a",
            "a/b",
            "a/b/c",
            "a/b/c/file",
            "a/b/c/file/x",
            "a/b/none",
            "none/x",
            "a/b/self/c/file",
            "a/b/self",
        ] {
            let path = TreePath::new(path).unwrap();
            assert_eq!(view.find(&path).unwrap(), tree.find(&path).unwrap(), "{path}");
            assert_eq!(view.read(&path).ok(), tree.read(&path).ok(), "{path}");
            assert_eq!(view.list(&path).ok(), tree.list(&path).ok(), "{path}");
        }
        let path = TreePath::new("a/out/passwd").unwrap();
        assert!(matches!(view.find(&path), Err(Error::Escape { .. })));
    }
}
