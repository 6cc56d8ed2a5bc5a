//! What is rendered again, and what is not.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use seaway_git::{Options, OutgoingPolicy};

use super::*;

#[path = "../../../../core/source/tests/git/mod.rs"]
mod git;

use git::git;

/// A repository with a base and an overlay, beside a mirror of it.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(world.repository()).unwrap();
        git(&world.repository(), &["init", "--quiet", "--initial-branch", "main"]);
        world.write("base/kustomization.yaml", "resources: [map.yaml]\n");
        world.write("base/map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n");
        world.write("overlay/kustomization.yaml", "resources: [../base]\nnamePrefix: x-\n");
        world
    }

    fn repository(&self) -> std::path::PathBuf {
        self.folder.path().join("repository")
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.repository().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn commit(&self) -> CommitId {
        git(&self.repository(), &["add", "--all"]);
        git(&self.repository(), &["commit", "--quiet", "--message", "change"]);
        git(&self.repository(), &["rev-parse", "HEAD"]).parse().unwrap()
    }

    fn mirrors(&self) -> Mirrors {
        let policy = OutgoingPolicy { files: true, ..OutgoingPolicy::default() };
        Mirrors::open(&self.folder.path().join("git"), Options { policy, ..Options::default() }).unwrap()
    }

    /// The cache of a program that has just been started.
    fn started(&self) -> RenderCache {
        RenderCache::open(&self.folder.path().join("rendered"))
    }

    async fn render(&self, cache: &RenderCache, path: &str, commit: &CommitId) -> Arc<RenderedComponent> {
        let repository: RepositoryUrl = format!("file://{}", self.repository().display()).parse().unwrap();
        let mirrors = self.mirrors();
        mirrors.fetch(&repository, &Revision::Commit(commit.clone())).await.unwrap();
        let component = ComponentAt {
            name: "shop".to_owned(),
            repository,
            commit: commit.clone(),
            path: path.to_owned(),
            kind: None,
            parameters: BTreeMap::new(),
            images: Vec::new(),
            remotes: BTreeMap::new(),
            files: Vec::new(),
        };
        render(component, &mirrors, cache, &|_| true, None).await.unwrap()
    }
}

fn names(rendered: &RenderedComponent) -> Vec<String> {
    rendered.objects().map(|source| source.value["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_restart_renders_nothing_again() {
    let world = World::new();
    let commit = world.commit();
    let cache = world.started();
    let first = world.render(&cache, "overlay", &commit).await;
    assert_eq!((first.found, names(&first)), (Found::Rendered, vec!["x-a".to_owned()]));
    let again = world.render(&cache.of_environment(), "overlay", &commit).await;
    assert_eq!((again.found, names(&again)), (Found::Memory, vec!["x-a".to_owned()]));
    let restarted = world.render(&world.started(), "overlay", &commit).await;
    assert_eq!((restarted.found, names(&restarted)), (Found::Folder, vec!["x-a".to_owned()]));
}

#[tokio::test]
async fn a_commit_renders_only_what_reads_it() {
    let world = World::new();
    let commit = world.commit();
    let cache = world.started();
    world.render(&cache, "overlay", &commit).await;
    world.write("elsewhere/file", "new");
    let elsewhere = world.commit();
    assert_eq!(world.render(&cache, "overlay", &elsewhere).await.found, Found::Memory);
    world.write("base/map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n");
    let touched = world.commit();
    let rendered = world.render(&cache, "overlay", &touched).await;
    assert_eq!((rendered.found, names(&rendered)), (Found::Rendered, vec!["x-b".to_owned()]));
}

#[tokio::test]
async fn a_remote_base_stays_at_its_commit_until_the_component_has_another() {
    let world = World::new();
    let url = format!("file://{}", world.repository().display());
    world.write("remote/kustomization.yaml", &format!("resources: ['{url}//base?ref=main']\n"));
    let commit = world.commit();
    let cache = world.started();
    let first = world.render(&cache, "remote", &commit).await;
    assert_eq!(names(&first), ["a"]);
    assert_eq!(first.remotes.values().collect::<Vec<_>>(), [commit.as_str()]);

    world.write("base/map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n");
    let moved = world.commit();
    let same = world.render(&cache, "remote", &commit).await;
    assert_eq!((same.found, names(&same)), (Found::Memory, vec!["a".to_owned()]));
    let other = world.render(&cache, "remote", &moved).await;
    assert_eq!((other.found, names(&other)), (Found::Rendered, vec!["b".to_owned()]));
    assert_eq!(other.remotes.values().collect::<Vec<_>>(), [moved.as_str()]);
}

#[test]
fn a_folder_that_cannot_be_made_holds_nothing_up() {
    let folder = tempfile::tempdir().unwrap();
    let file: &Path = &folder.path().join("file");
    std::fs::write(file, "").unwrap();
    RenderCache::open(file);
    assert_eq!(std::fs::read(file).unwrap(), b"");
}

#[tokio::test]
async fn a_commit_elsewhere_is_known_by_the_directories_alone_and_links_are_looked_through() {
    let world = World::new();
    world.write("plain/map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n");
    world.write("linked/map.yaml", "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n");
    std::os::unix::fs::symlink("../later/map.yaml", world.repository().join("linked/later.yaml")).unwrap();
    let commit = world.commit();
    let cache = world.started();
    let (overlay, plain, linked) = (
        world.render(&cache, "overlay", &commit).await,
        world.render(&cache, "plain", &commit).await,
        world.render(&cache, "linked", &commit).await,
    );
    let holds = async |touched: &[(&str, &str)]| {
        touched.iter().for_each(|(path, text)| world.write(path, text));
        let commit = world.commit();
        // Brings it into the mirror.
        world.render(&cache, "plain", &commit).await;
        let url: RepositoryUrl = format!("file://{}", world.repository().display()).parse().unwrap();
        let tree = world.mirrors().tree(&url, &commit).unwrap();
        let (mut ids, all) = (Ids::new(), [&overlay, &plain, &linked]);
        all.map(|one| {
            let by_places = one.places.as_ref().is_some_and(|places| places.are_in(&tree, &mut ids));
            (by_places, one.holds_in(&tree, &mut ids))
        })
    };
    let (known, asked, other) = ((true, true), (false, true), (false, false));
    assert_eq!(holds(&[("elsewhere/file", "1")]).await, [known, known, asked]);
    // A file beside those that were read: listed in one, and not asked for in the other.
    assert_eq!(holds(&[("base/notes.txt", "1"), ("plain/notes.txt", "1")]).await[0], asked);
    let map = "{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n";
    assert_eq!(holds(&[("later/map.yaml", map)]).await[2], other);
    assert_eq!(holds(&[("base/map.yaml", map)]).await[0], other);
    assert_eq!(holds(&[("plain/map.yaml", map)]).await[1], other);
}
