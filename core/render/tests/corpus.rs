//! Real repositories against what kustomize printed for them.
//!
//! The corpus lies beside the checkout; where it is absent, there is nothing to compare.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seaway_object::yaml::{self, Dialect, Limits};
use seaway_render::{Format, Kind, Outcome, RenderRequest, render};
use seaway_source::Directory;
use serde_json::Value;

/// Directories that may differ: kustomize stops at a remote file there, and this renderer before it, at a script that
/// the corpus leaves out.
const DIFFERENT: &[&str] = &["redhat-cop--gitops-catalog/gpu-operator-certified/aggregate/overlays/aws:"];

#[derive(Default)]
struct Count {
    equal: usize,
    same_text: usize,
    different: usize,
    rejected: usize,
    accepted: usize,
    needed: usize,
}

fn corpus() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/kustomize");
    root.is_dir().then_some(root)
}

fn documents(text: &str) -> Vec<Value> {
    let limits = Limits { nodes: 10_000_000, ..Limits::default() };
    let documents = yaml::parse(text, &limits).unwrap();
    documents.iter().map(|document| yaml::resolve(document, Dialect::Kubernetes).unwrap()).collect()
}

/// The first place where two lists of objects differ.
fn difference(expected: &[Value], found: &[Value]) -> Option<String> {
    fn walk(path: &str, a: &Value, b: &Value) -> Option<String> {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) => {
                let mut keys: Vec<_> = a.keys().chain(b.keys()).collect();
                keys.sort();
                keys.dedup();
                let null = Value::Null;
                keys.into_iter().find_map(|key| {
                    let path = format!("{path}/{key}");
                    match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => walk(&path, a, b),
                        (a, b) => Some(format!("{path}: {} != {}", a.unwrap_or(&null), b.unwrap_or(&null))),
                    }
                })
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).enumerate().find_map(|(index, (a, b))| walk(&format!("{path}/{index}"), a, b))
            }
            (a, b) => (a != b).then(|| format!("{path}: {a} != {b}")),
        }
    }
    let name = |value: &Value| format!("{}/{}", value["kind"], value["metadata"]["name"]);
    let (names, others): (Vec<_>, Vec<_>) =
        (expected.iter().map(name).collect(), found.iter().map(name).collect());
    if names != others {
        return Some(format!("objects: {names:?} != {others:?}"));
    }
    expected.iter().zip(found).find_map(|(a, b)| walk(&name(a), a, b))
}

#[test]
fn real_repositories_render_as_kustomize_renders_them() {
    let Some(corpus) = corpus() else {
        println!("skipped: ../shared/corpus/kustomize is absent");
        return;
    };
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut problems = Vec::new();
    let mut repositories: Vec<_> =
        std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    repositories.sort();
    for repository in repositories.iter().filter(|path| path.join("index.tsv").is_file()) {
        let name = repository.file_name().unwrap().to_string_lossy().into_owned();
        let count = counts.entry(name.clone()).or_default();
        let tree = Directory::open(&repository.join("tree")).unwrap();
        let index = std::fs::read_to_string(repository.join("index.tsv")).unwrap();
        for line in index.lines() {
            let mut columns = line.split('\t');
            let (Some(directory), Some(result)) = (columns.next(), columns.next()) else { continue };
            let detail = columns.next().unwrap_or_default();
            let request =
                RenderRequest { kind: Some(Kind::Kustomize), ..RenderRequest::new(&tree, directory) };
            let outcome = render(&request);
            let mut problem = |text: String| problems.push(format!("{name}/{directory}: {text}"));
            match (result, outcome) {
                ("ok", Ok(Outcome::Rendered(rendered))) => {
                    let file = [repository.join("expected").join(detail), repository.join(detail)];
                    let file = file.iter().find(|file| file.is_file()).unwrap();
                    let expected = std::fs::read_to_string(file).unwrap();
                    let text = rendered.to_text(Format::Yaml);
                    let same_text = text == expected;
                    let expected = documents(&expected);
                    let found: Vec<Value> = rendered.objects.into_iter().map(|object| object.value).collect();
                    match difference(&expected, &found) {
                        None => {
                            count.equal += 1;
                            count.same_text += usize::from(same_text);
                            if !same_text {
                                problem("the text differs, the objects do not".to_owned());
                            }
                        }
                        Some(difference) => {
                            count.different += 1;
                            problem(difference);
                        }
                    }
                }
                ("ok", Ok(Outcome::Needs(needs))) => {
                    count.different += 1;
                    problem(format!("needs {needs:?}"));
                }
                ("ok", Err(error)) => {
                    count.different += 1;
                    problem(format!("error: {error}"));
                }
                ("error", Err(_)) => count.rejected += 1,
                ("error", Ok(_)) => {
                    count.accepted += 1;
                    problem(format!("renders, and kustomize says: {detail}"));
                }
                ("network", Ok(Outcome::Needs(_))) => count.needed += 1,
                ("network", Err(seaway_render::Error::Unsupported { .. })) => count.needed += 1,
                ("network", Ok(Outcome::Rendered(_))) => problem("renders without what it needs".to_owned()),
                ("network", Err(error)) => problem(format!("needs something, but says: {error}")),
                (other, _) => problem(format!("unknown result {other}")),
            }
        }
    }
    println!(
        "{:45} {:>7} {:>9} {:>9} {:>8} {:>8} {:>6}",
        "repository", "equal", "same text", "different", "rejected", "accepted", "needs"
    );
    for (name, count) in &counts {
        println!(
            "{name:45} {:>7} {:>9} {:>9} {:>8} {:>8} {:>6}",
            count.equal, count.same_text, count.different, count.rejected, count.accepted, count.needed
        );
    }
    problems.retain(|problem| !DIFFERENT.iter().any(|known| problem.starts_with(known)));
    assert!(problems.is_empty(), "{} differ:\n{}", problems.len(), problems.join("\n"));
}
