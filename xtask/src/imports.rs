//! Imports go one way: `cli → server → platform → core` and `cli → cluster → core`; `demo` knows nobody, and only
//! `cli` knows it.
//!
//! Dev-dependencies are left aside: tests of `platform` may start `cluster/apiserver`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A file with more lines than this is named as one that may hold two subjects.
const LONG_FILE: usize = 600;

/// What the crates of a room may depend on, by the first part of their path. `tests` and `xtask` are outside the
/// house and may use any of it.
fn allowed(from: &str) -> Option<&'static [&'static str]> {
    match from {
        "core" => Some(&["core"]),
        "cluster" => Some(&["core", "cluster"]),
        "platform" => Some(&["core", "platform"]),
        "server" => Some(&["core", "platform", "server"]),
        "cli" => Some(&["core", "cluster", "platform", "server", "demo", "cli"]),
        "demo" => Some(&["demo"]),
        _ => None,
    }
}

/// Runs `cargo metadata` and checks every normal and build dependency between crates of the workspace.
pub(crate) fn check() -> Result<String, String> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    for line in long_files(Path::new(root)) {
        println!("warning: {line}");
    }
    let wrong = violations(&metadata);
    if wrong.is_empty() {
        Ok("imports go one way".to_owned())
    } else {
        Err(format!("imports against the house's direction:\n  {}", wrong.join("\n  ")))
    }
}

/// Each dependency that goes the wrong way, as a line for the reader.
fn violations(metadata: &Value) -> Vec<String> {
    let root = Path::new(metadata["workspace_root"].as_str().unwrap_or_default());
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rooms: BTreeMap<&str, String> = BTreeMap::new();
    for package in packages {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap_or_default());
        let inside = manifest.strip_prefix(root).unwrap_or(manifest);
        let room = inside.components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        rooms.insert(package["name"].as_str().unwrap_or_default(), room.unwrap_or_default());
    }
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let from = rooms.get(name).map(String::as_str).unwrap_or_default();
        let Some(allowed) = allowed(from) else { continue };
        for dependency in package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default() {
            // A dependency's kind is null for a normal one.
            if dependency["kind"] == "dev" {
                continue;
            }
            let to = dependency["name"].as_str().unwrap_or_default();
            match rooms.get(to) {
                Some(room) if !allowed.contains(&room.as_str()) => {
                    wrong.push(format!(
                        "{name} ({from}) uses {to} ({room}); {from} may know only {}",
                        allowed.join(", ")
                    ));
                }
                _ => {}
            }
        }
    }
    wrong
}

/// Source files that are longer than one subject usually needs.
fn long_files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != "node_modules" && !name.starts_with('.') {
                    folders.push(path);
                }
            } else if name.ends_with(".rs") {
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                let lines = text.lines().count();
                if lines > LONG_FILE && !text.starts_with("// @generated") {
                    let inside = path.strip_prefix(root).unwrap_or(&path);
                    found.push(format!("{} has {lines} lines: two subjects?", inside.display()));
                }
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::violations;
    use serde_json::{Value, json};

    fn workspace(edges: &[(&str, &str, Value)]) -> Value {
        let package = |name: &str| {
            let dependencies: Vec<Value> = edges
                .iter()
                .filter(|(from, _, _)| *from == name)
                .map(|(_, to, kind)| json!({"name": to.replace('/', "-"), "kind": kind}))
                .collect();
            json!({
                "name": name.replace('/', "-"),
                "manifest_path": format!("/house/{name}/Cargo.toml"),
                "dependencies": dependencies,
            })
        };
        let names = ["core/merge", "cluster/apiserver", "platform/sync", "server", "cli", "demo", "tests"];
        json!({"workspace_root": "/house", "packages": names.map(package)})
    }

    #[test]
    fn the_house_as_designed_passes() {
        let edges = [
            ("cluster/apiserver", "core/merge", Value::Null),
            ("platform/sync", "core/merge", Value::Null),
            ("server", "platform/sync", Value::Null),
            ("cli", "cluster/apiserver", Value::Null),
            ("cli", "server", Value::Null),
            ("cli", "demo", Value::Null),
            ("tests", "cli", Value::Null),
        ];
        assert_eq!(violations(&workspace(&edges)), Vec::<String>::new());
    }

    #[test]
    fn every_forbidden_direction_is_named() {
        for (from, to) in [
            ("core/merge", "cluster/apiserver"),
            ("cluster/apiserver", "platform/sync"),
            ("platform/sync", "cluster/apiserver"),
            ("platform/sync", "server"),
            ("server", "cluster/apiserver"),
            ("server", "cli"),
            ("server", "demo"),
            ("demo", "core/merge"),
        ] {
            for kind in [Value::Null, json!("build")] {
                let wrong = violations(&workspace(&[(from, to, kind)]));
                assert_eq!(wrong.len(), 1, "{from} -> {to}");
                assert!(
                    wrong[0].contains(&from.replace('/', "-")) && wrong[0].contains(&to.replace('/', "-"))
                );
            }
        }
    }

    #[test]
    fn tests_of_platform_may_start_the_api_server() {
        let edges = [("platform/sync", "cluster/apiserver", json!("dev"))];
        assert_eq!(violations(&workspace(&edges)), Vec::<String>::new());
    }
}
