//! How fast and how small rendering is, beside real kustomize, on the corpus of real repositories, in one run.
//!
//! Full tier only. The numbers need a release build, of the program and of this test itself:
//!
//! ```sh
//! cargo build --release -p seaway
//! cargo test --release -p seaway-render --test benchmark -- --ignored --nocapture
//! ```
//!
//! It says what it ran; what is not there (the corpus, kubectl, the program) it skips with a message. Nothing is
//! asserted about times: a shared machine is no place for limits. It prints a table of medians over the directories,
//! and how often faster than one process of real kustomize each is.

#![allow(clippy::unwrap_used)]

#[path = "../../core/source/tests/git/mod.rs"]
mod git;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use git::git;
use seaway_render::{Cache, Found, Kind, Outcome, RenderRequest, render};
use seaway_source::{Directory, FileTree, ObjectDatabase};

/// Directories that processes are started for: every so many of the corpus, since kustomize takes its time.
const EVERY: usize = 5;
/// Rounds of what takes microseconds.
const ROUNDS: usize = 20;

struct Repository {
    name: String,
    tree: PathBuf,
    /// Directories that kustomize renders.
    directories: Vec<String>,
}

fn corpus() -> Option<Vec<Repository>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/kustomize");
    let Ok(entries) = std::fs::read_dir(&root) else {
        println!("skipped: {} is absent", root.display());
        return None;
    };
    let mut repositories = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let Ok(index) = std::fs::read_to_string(path.join("index.tsv")) else { continue };
        let rendered = index.lines().filter_map(|line| {
            let mut columns = line.split('\t');
            let (directory, result) = (columns.next()?, columns.next()?);
            (result == "ok").then(|| directory.to_owned())
        });
        repositories.push(Repository {
            name: path.file_name().unwrap().to_string_lossy().into_owned(),
            tree: path.join("tree"),
            directories: rendered.collect(),
        });
    }
    repositories.sort_by(|a, b| a.name.cmp(&b.name));
    Some(repositories)
}

/// The release program: beside this test when it is a release build itself, or in the folder beside it.
fn program() -> Option<PathBuf> {
    let target = std::env::current_exe().unwrap();
    let target = target.ancestors().nth(3)?;
    let program = target.join("release/seaway");
    if !program.is_file() {
        println!("skipped: no {} (cargo build --release -p seaway)", program.display());
        return None;
    }
    Some(program)
}

fn kubectl() -> Option<PathBuf> {
    let named = std::env::var_os("SEAWAY_TEST_KUBECTL").map(PathBuf::from).filter(|path| path.is_file());
    if named.is_none() {
        println!("skipped: SEAWAY_TEST_KUBECTL names no kubectl");
    }
    named
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One process per directory.
fn processes(program: &Path, command: &str, directories: &[PathBuf]) -> Vec<Duration> {
    let one = |directory: &PathBuf| {
        let began = Instant::now();
        let status = Command::new(program)
            .arg(command)
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{} {command} {}", program.display(), directory.display());
        began.elapsed()
    };
    directories.iter().map(one).collect()
}

fn request<'a>(tree: &'a dyn FileTree, directory: &'a str) -> RenderRequest<'a> {
    RenderRequest { kind: Some(Kind::Kustomize), ..RenderRequest::new(tree, directory) }
}

fn objects(tree: &dyn FileTree, directory: &str) -> usize {
    match render(&request(tree, directory)).unwrap() {
        Outcome::Rendered(rendered) => rendered.objects.len(),
        Outcome::Needs(needs) => panic!("{directory} needs {needs:?}"),
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&from).unwrap(), &to).unwrap();
        } else if kind.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// The most memory that this process has had since the last call, in MiB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    // proc(5): forgets the peak.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

struct Table {
    real: Option<Duration>,
}

impl Table {
    fn row(&self, what: &str, time: Duration, note: &str) {
        let ratio = self
            .real
            .map_or(String::new(), |real| format!("{:.0}x", real.as_secs_f64() / time.as_secs_f64()));
        println!("{what:<52} {:>12} {ratio:>8}  {note}", format!("{:.3} ms", time.as_secs_f64() * 1000.0));
    }
}

#[test]
#[ignore = "full tier: a benchmark"]
fn rendering_beside_kustomize() {
    let Some(corpus) = corpus() else { return };
    let build =
        if cfg!(debug_assertions) { "DEBUG BUILD: these numbers mean nothing" } else { "release build" };
    let all: Vec<(&Repository, &str)> = corpus
        .iter()
        .flat_map(|repository| repository.directories.iter().map(move |it| (repository, it.as_str())))
        .collect();
    let some: Vec<PathBuf> =
        all.iter().step_by(EVERY).map(|(repository, it)| repository.tree.join(it)).collect();
    println!("library: {build}; {} directories, {} of them for processes", all.len(), some.len());

    let real = kubectl().map(|kubectl| processes(&kubectl, "kustomize", &some));
    let table = Table { real: real.clone().map(median) };
    println!("{:<52} {:>12} {:>8}", "median per directory", "time", "faster");
    if let Some(real) = real {
        table.row("kubectl kustomize, a process per directory", median(real), "");
    }
    if let Some(program) = program() {
        table.row("seaway render, a process per directory", median(processes(&program, "render", &some)), "");
    }

    let trees: Vec<Directory> = corpus.iter().map(|it| Directory::open(&it.tree).unwrap()).collect();
    let tree_of = |repository: &Repository| {
        &trees[corpus.iter().position(|other| other.name == repository.name).unwrap()]
    };
    peak();
    let began = Instant::now();
    let mut cold = Vec::new();
    let mut count = 0;
    for (repository, directory) in &all {
        let tree = tree_of(repository);
        let began = Instant::now();
        count += objects(tree, directory);
        cold.push(began.elapsed());
    }
    let serial = began.elapsed();
    let memory = peak();
    table.row("library, cold", median(cold.clone()), "");
    cold.sort();
    table.row("library, cold, slowest directory", cold.last().copied().unwrap(), "");

    let next = AtomicUsize::new(0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while let Some((repository, directory)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    objects(tree_of(repository), directory);
                }
            });
        }
    });
    let parallel = began.elapsed();

    commits(&table, &corpus);
    println!("whole corpus, {count} objects: {serial:.2?} on one core, {parallel:.2?} on {cores}");
    println!("peak memory of this process for the whole corpus: {memory:.1} MiB");
}

/// What is kept, on commits of the largest repository.
fn commits(table: &Table, corpus: &[Repository]) {
    let largest = corpus.iter().max_by_key(|repository| repository.directories.len()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&largest.tree, folder.path());
    git(folder.path(), &["init", "--quiet"]);
    let commit = || {
        git(folder.path(), &["add", "--all", "--force"]);
        git(folder.path(), &["commit", "--quiet", "--message", "change"]);
        git(folder.path(), &["rev-parse", "HEAD"])
    };
    let first = commit();
    let touched = largest.directories[largest.directories.len() / 2].as_str();
    let file = ["kustomization.yaml", "kustomization.yml", "Kustomization"]
        .map(|name| folder.path().join(touched).join(name))
        .into_iter()
        .find(|file| file.is_file())
        .unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n# touched\n")).unwrap();
    let second = commit();

    let database = ObjectDatabase::open(folder.path()).unwrap();
    let tree = database.commit(&first).unwrap();
    let cache = Cache::in_memory();
    let mut cold = Vec::new();
    for directory in &largest.directories {
        let began = Instant::now();
        cache.render(&request(&tree, directory)).unwrap();
        cold.push(began.elapsed());
    }
    table.row("library, from a commit, cold", median(cold), &largest.name);
    let mut cached = Vec::new();
    for directory in largest.directories.iter().cycle().take(largest.directories.len() * ROUNDS) {
        let began = Instant::now();
        let (_, found) = cache.render(&request(&tree, directory)).unwrap();
        cached.push(began.elapsed());
        assert_eq!(found, Found::Memory);
    }
    table.row("library, kept, the same commit", median(cached), "");

    let tree = database.commit(&second).unwrap();
    let began = Instant::now();
    let render_again: Vec<&String> =
        largest.directories.iter().filter(|directory| !cache.holds(&request(&tree, directory))).collect();
    let decision = began.elapsed();
    assert!(render_again.iter().any(|directory| *directory == touched));
    let note = format!("{} of {} are rendered again", render_again.len(), largest.directories.len());
    table.row("what a commit touches, decision for all", decision, &note);

    let kept = tempfile::tempdir().unwrap();
    let fill = Cache::with_folder(kept.path(), 1 << 30).unwrap();
    for directory in &largest.directories {
        fill.render(&request(&tree, directory)).unwrap();
    }
    let mut from_disk = Vec::new();
    let fresh = Cache::with_folder(kept.path(), 1 << 30).unwrap();
    for directory in &largest.directories {
        let began = Instant::now();
        let (_, found) = fresh.render(&request(&tree, directory)).unwrap();
        from_disk.push(began.elapsed());
        assert_eq!(found, Found::Folder);
    }
    table.row("library, kept on disk by another process", median(from_disk), "");
}
