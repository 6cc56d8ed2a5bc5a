//! Names this renderer by what it is made of, so that a kept result of another one is never taken for its own.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What decides about a result: this crate, how YAML and files are read, and the versions of what they use.
const PARTS: [&str; 4] = ["src", "../object/src", "../source/src", "../../Cargo.lock"];

fn main() -> std::io::Result<()> {
    let mut hash = Sha256::new();
    for part in PARTS {
        println!("cargo::rerun-if-changed={part}");
        let mut files = Vec::new();
        collect(Path::new(part), &mut files)?;
        files.sort();
        for file in files {
            let content = std::fs::read(&file)?;
            hash.update(format!("{} {}\n", file.display(), content.len()));
            hash.update(content);
        }
    }
    println!("cargo::rustc-env=SEAWAY_RENDERER={}", hex::encode(&hash.finalize()[..16]));
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    } else if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    }
    Ok(())
}
