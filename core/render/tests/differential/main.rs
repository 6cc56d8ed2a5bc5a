//! Kustomizations made from a grammar, rendered here and by the real program.
//!
//! Real kustomize is `kubectl kustomize`; the variable `SEAWAY_TEST_KUSTOMIZE` names a kubectl that carries the version
//! which this renderer follows (1.33: kustomize 5.6), or else `SEAWAY_TEST_KUBECTL` any (`./dev test` sets it). Where
//! both are absent there is nothing to compare. Each kustomization follows from its number: a failure names it, and
//! `SEAWAY_TEST_SEEDS=17` (or `100..200`) tries just that one and prints it.
#![allow(clippy::unwrap_used)]

mod grammar;
mod layers;
mod merges;
mod mistakes;
mod objects;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use seaway_render::{Format, Kind, Outcome, RenderRequest, render};
use seaway_source::Memory;

/// Tried by every run of the tests.
const QUICK: Range<u64> = 0..24;
/// Tried by the full tier.
const FULL: Range<u64> = 1000..3000;

/// What differs on purpose, by a part of the real program's message, with the reason.
const ACCEPTED: &[(&str, &str)] = &[
    (
        "map[interface {}]interface {}",
        "kustomize writes a key such as `on` without quotes between two steps and then cannot read its own text",
    ),
    ("goroutine 1", "kustomize panics"),
];

fn kubectl() -> Option<PathBuf> {
    let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|program| program.is_file());
    let program = named("SEAWAY_TEST_KUSTOMIZE").or_else(|| named("SEAWAY_TEST_KUBECTL"));
    if program.is_none() {
        println!("skipped: SEAWAY_TEST_KUBECTL names no kubectl");
    }
    program
}

fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(text) = std::env::var("SEAWAY_TEST_SEEDS") else { return usual };
    match text.split_once("..") {
        Some((start, end)) => start.parse().unwrap()..end.parse().unwrap(),
        None => text.parse().unwrap()..text.parse::<u64>().unwrap() + 1,
    }
}

type Files = Vec<(String, String)>;

fn real(kubectl: &Path, files: &Files, folder: &Path) -> Result<String, String> {
    for (path, content) in files {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let output = Command::new(kubectl)
        .arg("kustomize")
        .arg(folder.join(grammar::TOP))
        // Nothing is fetched, and nobody's configuration is read.
        .env_clear()
        .env("HOME", folder)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    // Inside of kubectl it does not know its own version.
    let text_out = |bytes| text(bytes).replace("kustomize-(devel)", "kustomize-v5.6.0");
    if output.status.success() { Ok(text_out(output.stdout)) } else { Err(text(output.stderr)) }
}

fn ours(files: &Files) -> Result<String, String> {
    let mut tree = Memory::new();
    for (path, content) in files {
        tree.insert(path, content.as_str()).unwrap();
    }
    let request = RenderRequest { kind: Some(Kind::Kustomize), ..RenderRequest::new(&tree, grammar::TOP) };
    match render(&request) {
        Ok(Outcome::Rendered(rendered)) => Ok(rendered.to_text(Format::Yaml)),
        Ok(Outcome::Needs(needs)) => Err(format!("needs {needs:?}")),
        Err(error) => Err(error.to_string()),
    }
}

/// The first lines that differ, with some around them.
fn difference(real: &str, ours: &str) -> String {
    let (real, ours): (Vec<&str>, Vec<&str>) = (real.lines().collect(), ours.lines().collect());
    let same = real.iter().zip(&ours).take_while(|(a, b)| a == b).count();
    let part = |lines: &[&str]| {
        lines[same.saturating_sub(4).min(lines.len())..(same + 8).min(lines.len())].join("\n  ")
    };
    format!("line {}\n kustomize:\n  {}\n here:\n  {}", same + 1, part(&real), part(&ours))
}

fn compare(usual: Range<u64>, files_of: fn(u64) -> Files) {
    let Some(kubectl) = kubectl() else { return };
    let seeds = seeds(usual);
    let one = seeds.end - seeds.start == 1;
    let next = AtomicU64::new(seeds.start);
    let problems = Mutex::new(Vec::new());
    let counts = [const { AtomicU64::new(0) }; 2];
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        break;
                    }
                    let files = files_of(seed);
                    let folder = tempfile::tempdir().unwrap();
                    let (real, ours) = (real(&kubectl, &files, folder.path()), ours(&files));
                    if one {
                        for (path, content) in &files {
                            println!("--- {path}\n{content}");
                        }
                        println!("=== kustomize\n{real:#?}\n=== here\n{ours:#?}");
                    }
                    let problem = match (&real, &ours) {
                        (Ok(real), Ok(ours)) if real == ours => {
                            counts[0].fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        (Err(_), Err(_)) => {
                            counts[1].fetch_add(1, Ordering::Relaxed);
                            continue;
                        }
                        (Err(error), Ok(_)) if ACCEPTED.iter().any(|(part, _)| error.contains(part)) => {
                            continue;
                        }
                        (Ok(real), Ok(ours)) => difference(real, ours),
                        (Ok(_), Err(error)) => format!("kustomize renders it; here: {error}"),
                        (Err(error), Ok(_)) => format!("rendered here; kustomize: {}", error.trim()),
                    };
                    problems.lock().unwrap().push((seed, problem));
                }
            });
        }
    });
    let mut problems = problems.into_inner().unwrap();
    problems.sort();
    let [equal, rejected] = counts.map(AtomicU64::into_inner);
    println!("{equal} equal, {rejected} rejected by both, {} different", problems.len());
    let text: Vec<String> =
        problems.iter().map(|(seed, problem)| format!("seed {seed}: {problem}")).collect();
    assert!(text.is_empty(), "{} of {} differ:\n{}", text.len(), seeds.end - seeds.start, text.join("\n\n"));
}

#[test]
fn generated_kustomizations_render_as_with_kustomize() {
    compare(QUICK, grammar::files);
}

#[test]
fn generated_patches_merge_as_with_kustomize() {
    compare(QUICK, merges::files);
}

#[test]
fn generated_layers_render_as_with_kustomize() {
    compare(QUICK, layers::files);
}

#[test]
fn kustomizations_with_mistakes_are_rejected_as_by_kustomize() {
    compare(QUICK, mistakes::files);
}

#[test]
#[ignore = "full tier: thousands of runs of the real program"]
fn many_kustomizations_with_mistakes_are_rejected_as_by_kustomize() {
    compare(FULL, mistakes::files);
}

#[test]
#[ignore = "full tier: thousands of runs of the real program"]
fn many_generated_layers_render_as_with_kustomize() {
    compare(FULL, layers::files);
}

#[test]
#[ignore = "full tier: thousands of runs of the real program"]
fn many_generated_kustomizations_render_as_with_kustomize() {
    compare(FULL, grammar::files);
}

#[test]
#[ignore = "full tier: thousands of runs of the real program"]
fn many_generated_patches_merge_as_with_kustomize() {
    compare(FULL, merges::files);
}
