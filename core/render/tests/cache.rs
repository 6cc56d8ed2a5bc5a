//! What is kept: a result counts as long as the answers to all its questions are the same, and no longer.
#![allow(clippy::unwrap_used)]

#[path = "../../source/tests/git/mod.rs"]
mod git;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use git::git;
use seaway_render::{Cache, Format, Found, Outcome, RenderRequest};
use seaway_source::{
    Changes, CommitTree, Digest, Entry, Error, FileTree, ListEntry, Memory, ObjectDatabase, TreePath,
};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";

fn tree() -> Memory {
    Memory::of([
        ("k/kustomization.yaml", "resources: [pod.yaml]\nnamePrefix: a-\n"),
        ("k/pod.yaml", POD),
        ("p/one.yaml", POD),
        ("elsewhere/x.yaml", "x: 1"),
    ])
    .unwrap()
}

fn names(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rendered(rendered) => rendered.to_text(Format::Names),
        Outcome::Needs(needs) => panic!("needs {needs:?}"),
    }
}

fn ask(cache: &Cache, tree: &dyn FileTree, path: &str) -> (String, Found) {
    let (outcome, found) = cache.render(&RenderRequest::new(tree, path)).unwrap();
    (names(&outcome), found)
}

#[test]
fn what_does_not_touch_a_rendering_costs_none() {
    let cache = Cache::in_memory();
    let mut tree = tree();
    assert_eq!(ask(&cache, &tree, "k"), ("pod/a-p\n".to_owned(), Found::Rendered));
    tree.insert("elsewhere/x.yaml", "x: 2").unwrap();
    tree.insert("k/not-named.yaml", POD).unwrap();
    assert_eq!(ask(&cache, &tree, "k"), ("pod/a-p\n".to_owned(), Found::Memory));
    assert!(cache.holds(&RenderRequest::new(&tree, "k")));
    assert!(!cache.holds(&RenderRequest::new(&tree, "p")));
}

#[test]
fn what_touches_a_rendering_is_seen() {
    let cache = Cache::in_memory();
    let mut tree = tree();
    ask(&cache, &tree, "k");
    tree.insert("k/pod.yaml", POD.replace("p}", "q}")).unwrap();
    assert_eq!(ask(&cache, &tree, "k"), ("pod/a-q\n".to_owned(), Found::Rendered));
    // A name that was looked for and was absent is a question as well.
    tree.insert("k/kustomization.yml", "namePrefix: two").unwrap();
    assert!(!cache.holds(&RenderRequest::new(&tree, "k")));
    assert!(cache.render(&RenderRequest::new(&tree, "k")).is_err());
    // So is the listing of a plain directory.
    ask(&cache, &tree, "p");
    tree.insert("p/two.yaml", POD.replace("p}", "r}")).unwrap();
    assert_eq!(ask(&cache, &tree, "p"), ("pod/p\npod/r\n".to_owned(), Found::Rendered));
}

#[test]
fn branches_do_not_make_each_other_forgotten() {
    let cache = Cache::in_memory();
    let (one, mut other) = (tree(), tree());
    other.insert("k/pod.yaml", POD.replace("p}", "q}")).unwrap();
    ask(&cache, &one, "k");
    ask(&cache, &other, "k");
    for _ in 0..2 {
        assert_eq!(ask(&cache, &one, "k"), ("pod/a-p\n".to_owned(), Found::Memory));
        assert_eq!(ask(&cache, &other, "k"), ("pod/a-q\n".to_owned(), Found::Memory));
    }
}

#[test]
fn another_request_is_another_result() {
    let cache = Cache::in_memory();
    let tree = tree();
    let request = RenderRequest { namespace: Some("shop".to_owned()), ..RenderRequest::new(&tree, "k") };
    ask(&cache, &tree, "k");
    let (outcome, found) = cache.render(&request).unwrap();
    assert_eq!((names(&outcome), found), ("shop pod/a-p\n".to_owned(), Found::Rendered));
}

#[test]
fn what_is_asked_for_seldom_is_forgotten_first() {
    let cache = Cache::in_memory().with_limit(8 << 10);
    let mut tree = tree();
    ask(&cache, &tree, "k");
    for number in 0..10 {
        let path = format!("many/{number}");
        tree.insert(&format!("{path}/pod.yaml"), POD).unwrap();
        ask(&cache, &tree, &path);
        assert!(cache.holds(&RenderRequest::new(&tree, &path)));
    }
    assert!(!cache.holds(&RenderRequest::new(&tree, "k")));
}

#[test]
fn a_folder_outlives_the_process_and_may_be_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree();
    let open = || Cache::with_folder(folder.path(), 1 << 20).unwrap();
    let first = open();
    assert_eq!(ask(&first, &tree, "k").1, Found::Rendered);
    assert_eq!(ask(&first, &tree, "k").1, Found::Memory);
    let (outcome, found) = open().render(&RenderRequest::new(&tree, "k")).unwrap();
    assert_eq!(found, Found::Folder);
    let Outcome::Rendered(rendered) = &*outcome else { panic!("{outcome:?}") };
    assert_eq!(rendered.objects[0].value["metadata"]["name"], "a-p");
    assert_eq!(
        (rendered.objects[0].origin.file.as_str(), rendered.objects[0].origin.line),
        ("k/pod.yaml", 1)
    );
    assert!(rendered.inputs.hold_in(&tree));

    let files = || {
        let folders = std::fs::read_dir(folder.path().join("v1")).unwrap();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().path()).collect::<Vec<_>>()
    };
    let [file] = files().try_into().unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let whole = std::fs::read(&file).unwrap();
    let mut changed = whole.clone();
    let at = changed.len() - 20;
    changed[at] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &changed, b"", b"sha256:\n{}"] {
        std::fs::write(&file, damaged).unwrap();
        assert_eq!(ask(&open(), &tree, "k"), ("pod/a-p\n".to_owned(), Found::Rendered));
        assert_eq!(ask(&open(), &tree, "k").1, Found::Folder);
    }
}

#[test]
fn a_folder_holds_no_more_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::with_folder(folder.path(), 40_000).unwrap();
    let mut tree = tree();
    for number in 0..40 {
        let path = format!("many/{number}");
        let content = format!("{POD}data: {}\n", "x".repeat(4000));
        tree.insert(&format!("{path}/pod.yaml"), content).unwrap();
        tree.insert(&format!("{path}/kustomization.yaml"), "resources: [pod.yaml]").unwrap();
        ask(&cache, &tree, &path);
    }
    let folders = std::fs::read_dir(folder.path().join("v1")).unwrap();
    let sizes = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap());
    let total: u64 = sizes.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(total > 0 && total <= 50_000, "{total}");
}

#[test]
fn a_folder_holds_nothing_that_is_made_as_fast_as_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Cache::with_folder(folder.path(), 1 << 20).unwrap();
    let tree = tree();
    ask(&open(), &tree, "p");
    assert_eq!(std::fs::read_dir(folder.path().join("v1")).unwrap().count(), 0);
    assert_eq!(ask(&open(), &tree, "p").1, Found::Rendered);
}

/// Counts questions.
#[derive(Debug)]
struct Counting<'a>(&'a CommitTree, Arc<AtomicUsize>);

impl FileTree for Counting<'_> {
    fn find(&self, path: &TreePath) -> Result<Option<Entry>, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.find(path)
    }

    fn read(&self, path: &TreePath) -> Result<Arc<[u8]>, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(path)
    }

    fn list(&self, path: &TreePath) -> Result<Vec<ListEntry>, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.list(path)
    }

    fn digest(&self, path: &TreePath) -> Result<Digest, Error> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.digest(path)
    }

    fn identity(&self) -> Option<String> {
        self.0.identity()
    }

    fn may_be_link(&self, path: &TreePath) -> bool {
        self.0.may_be_link(path)
    }

    fn changes_since(&self, identity: &str) -> Option<Changes> {
        self.0.changes_since(identity)
    }
}

#[test]
fn a_commit_is_asked_only_what_it_may_have_changed() {
    let folder = tempfile::tempdir().unwrap();
    let commit = |file: &str, content: &str| {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        git(folder.path(), &["add", "--all"]);
        git(folder.path(), &["commit", "--quiet", "--message", "change"]);
        git(folder.path(), &["rev-parse", "HEAD"])
    };
    git(folder.path(), &["init", "--quiet"]);
    commit("k/kustomization.yaml", "resources: [pod.yaml]\n");
    let first = commit("k/pod.yaml", POD);
    let second = commit("other/file", "x");
    let third = commit("k/pod.yaml", &POD.replace("p}", "q}"));
    let database = ObjectDatabase::open(folder.path()).unwrap();
    let cache = Cache::in_memory();
    let count = Arc::new(AtomicUsize::new(0));
    let ask = |id: &str| {
        let tree = database.commit(id).unwrap();
        let tree = Counting(&tree, Arc::clone(&count));
        count.store(0, Ordering::Relaxed);
        let found = ask(&cache, &tree, "k").1;
        (found, count.load(Ordering::Relaxed))
    };
    assert_eq!(ask(&first).0, Found::Rendered);
    assert_eq!(ask(&first), (Found::Memory, 0));
    // What lies between the two commits touches nothing that was asked.
    assert_eq!(ask(&second), (Found::Memory, 0));
    assert_eq!(ask(&third).0, Found::Rendered);
    assert_eq!(ask(&first), (Found::Memory, 0));
}

/// Changes the work tree and commits that; the commit's id.
fn commit(root: &Path, change: &dyn Fn(&Path)) -> String {
    change(root);
    git(root, &["add", "--all"]);
    git(root, &["commit", "--quiet", "--message", "change"]);
    git(root, &["rev-parse", "HEAD"])
}

#[test]
fn a_commit_that_changes_what_a_link_leads_to_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let commit = |change: &dyn Fn(&Path)| commit(folder.path(), change);
    git(folder.path(), &["init", "--quiet"]);
    let first = commit(&|root| {
        std::fs::create_dir_all(root.join("real/base")).unwrap();
        std::fs::write(root.join("real/base/pod.yaml"), POD).unwrap();
        std::fs::write(root.join("real/base/kustomization.yaml"), "resources: [pod.yaml]\n").unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::fs::create_dir(root.join("k")).unwrap();
        std::fs::write(root.join("k/kustomization.yaml"), "resources: [../link/base]\n").unwrap();
    });
    let commits = [
        // The file that the link leads to, what the link leads to, and a second kustomization file where there was none.
        commit(&|root| std::fs::write(root.join("real/base/pod.yaml"), POD.replace("p}", "q}")).unwrap()),
        commit(&|root| {
            std::fs::rename(root.join("real"), root.join("moved")).unwrap();
            std::fs::remove_file(root.join("link")).unwrap();
            std::os::unix::fs::symlink("moved", root.join("link")).unwrap();
        }),
        commit(&|root| std::fs::remove_file(root.join("link")).unwrap()),
    ];
    let database = ObjectDatabase::open(folder.path()).unwrap();
    let cache = Cache::in_memory();
    let tree = database.commit(&first).unwrap();
    cache.render(&RenderRequest::new(&tree, "k")).unwrap();
    for id in commits {
        let tree = database.commit(&id).unwrap();
        assert!(!cache.holds(&RenderRequest::new(&tree, "k")), "{id}");
    }
}

#[test]
fn a_commit_that_makes_what_a_link_led_to_in_vain_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let commit = |change: &dyn Fn(&Path)| commit(folder.path(), change);
    git(folder.path(), &["init", "--quiet"]);
    let first = commit(&|root| {
        std::fs::create_dir(root.join("k")).unwrap();
        std::fs::write(root.join("k/pod.yaml"), POD).unwrap();
        std::fs::write(root.join("k/kustomization.yaml"), "resources: [pod.yaml]\n").unwrap();
        // A second one, once there is what it leads to.
        std::os::unix::fs::symlink("../elsewhere", root.join("k/Kustomization")).unwrap();
    });
    let second = commit(&|root| std::fs::write(root.join("elsewhere"), "resources: [pod.yaml]\n").unwrap());
    let database = ObjectDatabase::open(folder.path()).unwrap();
    let cache = Cache::in_memory();
    let tree = database.commit(&first).unwrap();
    assert_eq!(ask(&cache, &tree, "k").1, Found::Rendered);
    let tree = database.commit(&second).unwrap();
    assert!(!cache.holds(&RenderRequest::new(&tree, "k")));
}
